"""Given that: what a forecast says on the paths on which something so happens, nothing being changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from forecast.analysis.conditioning import (
    HAPPENS,
    Given,
    Seen,
    Shift,
    conditional,
    effective_draws,
    joined,
    look,
    shifts,
)
from forecast.deal.describe import describe
from forecast.deal.expand import expand
from forecast.deal.targets import AT_ONCE, NEVER, Target, find_target, targets_of
from forecast.errors import DealFileError, ForecastError
from forecast.estimate import MIN_ESS
from forecast.inputs import Inputs, load
from forecast.pipeline import Progress, RunSettings, calibrate_deal, open_run, silent, stored, used_draws
from forecast.process.compile import compile_process
from forecast.process.draws import Draws
from forecast.simulate import record_paths
from forecast.variants import headlines_first

BLOCK = 20_000


@dataclass(frozen=True)
class Conditioned:
    """Figures given that something so happens; `happens` of `paths` paths rest on `effective` draws' worth."""

    title: str
    that: tuple[str, ...]
    figures: tuple[Given, ...]
    headlines: int
    shifts: tuple[Shift, ...]
    labels: Mapping[str, str]
    paths: int
    happens: int
    effective: float


def given(
    which: str, that: Mapping[str, str], settings: RunSettings | None = None, progress: Progress = silent
) -> Conditioned:
    """Say what is probable given that events come out so: P(figure | it so happens) against P(figure).

    Nothing is forced: the paths are those of the forecast, and those on which it happens are taken out of them. That
    also tells about the parameters, and about what came before.

    Parameters
    ----------
    which
        A deal (its folder or file), or a run: its id, the start of one, or "latest".
    that
        Event → outcome, as for forcing; `happens` and `never` for anything.
    settings
        Paths looked at, at most those of the run; draws and seed for a deal.

    Raises
    ------
    ForecastError
        Unknown events or outcomes; too few paths on which it happens.
    """
    settings = settings or RunSettings(paths=200_000)
    path = Path(which)
    if (path / "deal.toml").is_file() or path.name == "deal.toml":
        inputs = load(path)
        targets = _targets(inputs, that)
        calibration, gate = calibrate_deal(inputs, settings, progress)
        if gate.problems:
            raise ForecastError("the calibration fails its checks:\n" + "\n".join(gate.problems))
        draws = used_draws(inputs, calibration, settings)
        return _given(inputs, draws, targets, that, settings, settings.replicates, progress)
    run = open_run(which, settings.archive)
    attrs = run.manifest["attrs"]
    inputs, calibration = stored(run, settings.archive)
    targets = _targets(inputs, that)
    paths = min(settings.paths, int(attrs["paths"]))
    settings = replace(settings, draws=int(attrs["draws"]), seed=int(attrs["seed"]), paths=paths)
    draws = used_draws(inputs, calibration, settings)
    return _given(inputs, draws, targets, that, settings, int(attrs["replicates"]), progress)


def _targets(inputs: Inputs, that: Mapping[str, str]) -> list[tuple[Target, str]]:
    known = targets_of(inputs.deal.file, expand(inputs.deal))
    problems: list[str] = [] if that else ["there is no condition: give --that EVENT=OUTCOME"]
    found = []
    for name, outcome in that.items():
        if outcome == AT_ONCE:
            problems.append(f"--that {name}={outcome}: given that it happens is written {name}={HAPPENS}")
            continue
        try:
            found.append((find_target(name, outcome, known, (HAPPENS, NEVER)), outcome))
        except DealFileError as err:
            problems += [f"--that {line}" for line in str(err).splitlines()]
    if problems:
        raise DealFileError("\n".join(problems))
    return found


def _given(
    inputs: Inputs,
    draws: Draws,
    targets: Sequence[tuple[Target, str]],
    that: Mapping[str, str],
    settings: RunSettings,
    replicates: int,
    progress: Progress,
) -> Conditioned:
    program = compile_process(expand(inputs.deal), draws)
    wanted, heads = headlines_first([program], describe(inputs.deal).headline, inputs.deal.horizon)
    total = program.n_draw * replicates
    numbers = np.unique(np.linspace(0, total - 1, min(settings.paths, total)).astype(np.int64))
    seen: list[Seen] = []
    for first in range(0, len(numbers), BLOCK):
        log = record_paths(program, seed=settings.seed, paths=numbers[first : first + BLOCK], replicates=replicates)
        seen.append(look(program, log, targets, wanted))
        progress("look", min(first + BLOCK, len(numbers)), len(numbers))
    whole = joined(seen)
    words = tuple(f"{k}={v}" for k, v in that.items())
    happens, paths = int(whole.given.sum()), len(whole.given)
    if happens < MIN_ESS:
        raise ForecastError(
            f"{' and '.join(words)}: so it happens on {happens:,} of {paths:,} paths, too few to say anything "
            f"({MIN_ESS:.0f} at least); look at more with --paths, or ask what if we make it so: forecast whatif"
        )
    labels = {k: p.label for k, p in inputs.deal.file.parameters.items()}
    figures = tuple(conditional(whole, wanted, program.n_draw))
    effective = effective_draws(whole, program.n_draw)
    told = tuple(shifts(whole, draws))
    return Conditioned(inputs.deal.file.deal.title, words, figures, heads, told, labels, paths, happens, effective)
