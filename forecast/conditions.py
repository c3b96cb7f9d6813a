"""Given that: what a forecast says on the paths on which something so happens, nothing being changed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.conditioning import (
    HAPPENS,
    Curves,
    Given,
    Seen,
    Shift,
    conditional,
    conditional_curves,
    curves,
    effective_draws,
    joined,
    look,
    paths_of,
    shifts,
)
from forecast.analysis.given import FOLDER, KIND, Parts, assemble, problems
from forecast.analysis.scenarios import HEADLINE
from forecast.analysis.sensitivity.stored import find_run
from forecast.archive import Archive
from forecast.deal.describe import describe
from forecast.deal.expand import expand
from forecast.deal.targets import AT_ONCE, NEVER, Target, find_target, targets_of
from forecast.durable import make_writable
from forecast.errors import DealFileError, ForecastError
from forecast.estimate import MIN_ESS
from forecast.inputs import Inputs, load
from forecast.pipeline import (
    Progress,
    RunSettings,
    calibrate_deal,
    provenance,
    silent,
    stored,
    used_draws,
)
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.refine import KINDS, Wanted
from forecast.simulate import PathLog, record_paths
from forecast.types import monthly_grid, years_between
from forecast.variants import headlines_first

BLOCK = 20_000
MIN_DRAWS = 10.0  # worth of draws; an interval over fewer says nothing
KEPT = ("Conventions", "deal_id", "title", "deal_digest", "as_of", "horizon", "seed", "draws", "status", "held_reasons",
        "headline", "overrides", "inputs", "calibration_digest")  # fmt: skip

type Asked = Sequence[tuple[Target, str]]


@dataclass(frozen=True)
class Conditioned:
    """Figures given that something so happens; `happens` of `paths` paths rest on `effective` draws' worth.

    data: the same, and curves over time, as `forecast.analysis.given` declares them; path: where that is kept.
    """

    title: str
    that: tuple[str, ...]
    figures: tuple[Given, ...]
    headlines: int
    shifts: tuple[Shift, ...]
    labels: Mapping[str, str]
    paths: int
    happens: int
    effective: float
    data: xr.Dataset
    path: Path


@dataclass(frozen=True)
class Source:
    """A forecast whose paths are looked at; `attrs` say where it comes from."""

    inputs: Inputs
    draws: Draws
    replicates: int
    attrs: Mapping[str, Any]


def given(
    which: str | Inputs,
    that: Mapping[str, str],
    settings: RunSettings | None = None,
    progress: Progress = silent,
) -> Conditioned:
    """Say what is probable given that events come out so: P(figure | it so happens) against P(figure).

    Nothing is forced: the paths are those of the forecast, and those on which it happens are taken out of them. That
    also tells about the parameters, and about what came before.

    Parameters
    ----------
    which
        A deal (from `load`, or its folder or file), or a run: its id, the start of one, "latest", or the id of a deal,
        whose newest run is taken.
    that
        Event → outcome, as for forcing; `happens` and `never` for anything.
    settings
        Paths looked at, at most those of the run; draws and seed for a deal.

    Raises
    ------
    ForecastError
        Unknown events or outcomes, a condition that contradicts itself, too few paths on which it happens; nothing
        is written then.
    """
    settings = settings or RunSettings(paths=200_000, command="forecast.given(...)")
    if not isinstance(which, Inputs) and not is_deal(which):
        return _of_run(which, that, settings, progress)
    inputs = which if isinstance(which, Inputs) else load(Path(which))
    targets = asked_of(inputs, that)
    make_writable(settings.archive)
    calibration, gate = calibrate_deal(inputs, settings, progress)
    if gate.problems:
        raise ForecastError("the calibration fails its checks:\n" + "\n".join(gate.problems))
    attrs = {**provenance(inputs, settings, calibration, gate), "run": ""}
    source = Source(inputs, used_draws(inputs, calibration, settings), settings.replicates, attrs)
    return _given(source, targets, that, settings, progress)


def is_deal(which: str) -> bool:
    """Whether this names a deal's folder or file rather than a run."""
    path = Path(which)
    return (path / "deal.toml").is_file() or path.name == "deal.toml"


def _of_run(which: str, that: Mapping[str, str], settings: RunSettings, progress: Progress) -> Conditioned:
    run, _ = find_run(which, Archive(settings.archive))
    attrs = run.manifest["attrs"]
    inputs, calibration = stored(run, settings.archive)
    targets = asked_of(inputs, that)
    make_writable(settings.archive)
    paths = min(settings.paths, int(attrs["paths"]))
    settings = replace(settings, draws=int(attrs["draws"]), seed=int(attrs["seed"]), paths=paths)
    kept = {k: attrs[k] for k in KEPT if k in attrs}
    source = Source(
        inputs,
        used_draws(inputs, calibration, settings),
        int(attrs["replicates"]),
        {**kept, "run": run.id, "command": settings.command},
    )
    return _given(source, targets, that, settings, progress)


def inputs_of(which: str | Inputs, archive: Path) -> Inputs:
    """Return what a deal or a run was read from."""
    return stored(find_run(which, Archive(archive))[0], archive)[0] if isinstance(which, str) else which


def askable(inputs: Inputs) -> dict[str, Target]:
    """Name everything that can be asked about: what can be forced, and every way of ending that is no event's name."""
    process = expand(inputs.deal)
    found = {
        name: replace(t, outcomes=tuple(dict.fromkeys((*(o for o in t.outcomes if o != AT_ONCE), HAPPENS, NEVER))))
        for name, t in targets_of(inputs.deal.file, process).items()
    }
    named = {e for t in found.values() for e in t.events} | set(found)
    endings = [c for c in process.causes if c.id not in named]
    return found | {c.id: Target(c.id, f"It ends so: {c.label}", (), (HAPPENS, NEVER), c.id) for c in endings}


def asked_of(inputs: Inputs, that: Mapping[str, str]) -> list[tuple[Target, str]]:
    """Look up what is given; all that is wrong with it at once."""
    known = askable(inputs)
    wrong: list[str] = [] if that else ["there is no condition: give --that EVENT=OUTCOME"]
    found = []
    for name, outcome in that.items():
        if outcome == AT_ONCE:
            wrong.append(f"--that {name}={outcome}: given that it happens is written {name}={HAPPENS}")
            continue
        try:
            found.append((find_target(name, outcome, known, "asked about"), outcome))
        except DealFileError as err:
            wrong += [f"--that {line}" for line in str(err).splitlines()]
    wrong += _contradictions(inputs, found)
    if wrong:
        raise DealFileError("\n".join(wrong))
    return found


def _contradictions(inputs: Inputs, asked: Asked) -> Iterator[str]:
    """Yield pairs of conditions that no path can meet."""
    once = {s.id for s in expand(inputs.deal).scheduled if not s.every and not s.at_age and len(s.dates) == 1}
    for (a, x), (b, y) in combinations(asked, 2):
        pair = f"--that {a.name}={x} and --that {b.name}={y}"
        if a.cause or b.cause:
            if a.cause and b.cause and x == y == HAPPENS:
                yield f"{pair}: contradict each other: a path ends but once"
            continue
        never = (x == NEVER and set(b.events) <= set(a.events)) or (y == NEVER and set(a.events) <= set(b.events))
        if never and x != y:
            yield f"{pair}: contradict each other: what never happens cannot come out so"
        elif a.events == b.events and set(a.events) <= once and HAPPENS not in (x, y) and x != y:
            yield f"{pair}: contradict each other: it comes out but once"


def _given(
    source: Source, targets: Asked, that: Mapping[str, str], settings: RunSettings, progress: Progress
) -> Conditioned:
    deal, draws = source.inputs.deal, source.draws
    program = compile_process(expand(deal), draws)
    wanted, heads = headlines_first([program], describe(deal).headline, deal.horizon)
    days = sorted({*monthly_grid(deal.as_of, deal.horizon), *(d for _, _, _, d in describe(deal).headline)})
    times = [years_between(deal.as_of, d) for d in days]
    seen: list[Seen] = []
    over_time: dict[str, Curves] = {}
    for log in _paths(program, source, settings, progress):
        seen.append(look(program, log, targets, wanted))
        for kind, new in curves(program, log, targets, times).items():
            old = over_time.get(kind)
            over_time[kind] = Curves(old.given + new.given, old.every + new.every) if old else new
    whole = joined(seen)
    words = tuple(f"{k}={v}" for k, v in that.items())
    effective = _enough(whole, program.n_draw, " and ".join(words))
    labels = {k: p.label for k, p in deal.file.parameters.items()}
    figures, told = tuple(conditional(whole, wanted, program.n_draw)), tuple(shifts(whole, draws))
    happens, total = paths_of(whole, program.n_draw), len(whole.given)
    things = {
        "cause": {c.id: c.label for c in program.process.causes},
        "outcome": {o.id: o.label for o in program.process.outcomes},
    }
    compared = {k: conditional_curves(c, happens, total) for k, c in over_time.items()}
    kinds = [_kind(n, heads, w) for n, w in enumerate(wanted)]
    attrs = {
        **source.attrs,
        "given": json.dumps(words, ensure_ascii=False),
        "looked_at": total,
        "happens": int(happens.sum()),
        "effective_draws": effective,
    }
    data = assemble(Parts(figures, kinds, days, things, compared, told, labels), attrs)
    path = Archive(settings.archive).write_dataset(data, KIND, folder=FOLDER, problems=problems)
    progress("write", 1, 1)
    clear = tuple(s for s in told if s.clear)
    title = deal.file.deal.title
    return Conditioned(title, words, figures, heads, clear, labels, total, int(happens.sum()), effective, data, path)


def _kind(n: int, heads: int, w: Wanted) -> str:
    return HEADLINE if n < heads else KINDS[w.variable]


def _paths(program: Program, source: Source, settings: RunSettings, progress: Progress) -> Iterator[PathLog]:
    """Follow the paths that are looked at, block by block: all of the forecast, or some, evenly spread."""
    total = program.n_draw * source.replicates
    numbers = np.unique(np.linspace(0, total - 1, min(settings.paths, total)).astype(np.int64))
    for first in range(0, len(numbers), BLOCK):
        block = numbers[first : first + BLOCK]
        yield record_paths(program, seed=settings.seed, paths=block, replicates=source.replicates)
        progress("look", min(first + BLOCK, len(numbers)), len(numbers))


def _enough(seen: Seen, n_draw: int, words: str) -> float:
    """Effective draws that the paths on which it happens come from; too few of either are refused."""
    happens, paths = int(seen.given.sum()), len(seen.given)
    asked = "look at more with --paths, or ask what if we make it so: forecast whatif"
    if happens == 0:
        raise ForecastError(f"{words}: so it happens on none of {paths:,} paths; {asked}")
    if happens < MIN_ESS:
        raise ForecastError(
            f"{words}: so it happens on {happens:,} of {paths:,} paths, too few to say anything "
            f"({MIN_ESS:.0f} at least); {asked}"
        )
    effective = effective_draws(seen, n_draw)
    if effective < MIN_DRAWS:
        raise ForecastError(
            f"{words}: the {happens:,} paths on which it so happens come from {effective:.1f} effective draws, too few "
            f"to say anything ({MIN_DRAWS:.0f} at least); ask what if we make it so: forecast whatif"
        )
    return effective
