"""Frontiers: every package of a deal by how likely it is accepted and how likely it then lasts."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.declared import dataset
from forecast.analysis.frontier import (
    FOLDER,
    KIND,
    VARIABLES,
    Block,
    by_draw,
    front_chance,
    lasts_interval,
    membership,
    membership_luck,
    open_packages,
    packages,
    points,
    problems,
    undominated,
)
from forecast.analysis.paired import level
from forecast.archive import Archive
from forecast.coordinates import Coordinates, coordinates_of
from forecast.deal.parts import SIGNED, SINCE_SIGNATURE, included
from forecast.deal.spec import AtAge, Branch, Condition, Effect, Flag, Process, Scheduled
from forecast.durable import make_writable
from forecast.errors import DealFileError, ForecastError
from forecast.estimate import estimate_each
from forecast.inputs import Inputs, load
from forecast.pipeline import Progress, RunSettings, calibrate_deal, provenance, silent, used_draws
from forecast.process.compile import Program
from forecast.process.decided import Quantity
from forecast.process.draws import Draws
from forecast.process.forward import solve_plan
from forecast.process.small import small
from forecast.process.values import Numbers
from forecast.report.words import in_words
from forecast.types import F64, years_between
from forecast.variants import Variant, variant_of

FEW = 16  # weighted paths a draw at first
MORE = 4  # times as many in each round, of those that may be on the front
MOST = 65_536  # paths a draw
BUDGET = 4_000_000  # weighted paths of all rounds after the first
FEW_DRAWS = 8  # draws that a program is compiled with to see which events it has
SHARED = 32  # programs, at most, whose events the coordinates are dealt out to
STABLE, SPENT, NO_MORE = "stable", "budget spent", "most paths a draw"

type Say = Callable[[str], None]


@dataclass(frozen=True)
class _Window:
    """When a package is looked at: years to the last round and to the last day; years that it is to have lasted."""

    last: float
    end: float
    age: float


@dataclass(frozen=True)
class _Found:
    """What the paths say: (draw, group, 2) and paths of each package; how many rounds, and why no more.

    chance, luck (package,): `front_chance` and `membership_luck`
    """

    p: Sequence[F64]
    paths: Sequence[int]
    chance: F64
    luck: F64
    rounds: int
    stopped: str


def frontier(
    inputs: Inputs,
    optional: Sequence[str] = (),
    terms: Mapping[str, Sequence[Any]] | None = None,
    *,
    years: float = 5.0,
    accept_by: date | None = None,
    budget: int = BUDGET,
    settings: RunSettings | None = None,
    progress: Progress = silent,
    say: Say | None = None,
) -> xr.Dataset:
    """Compare packages of a deal: P(all accept) against P(in force `years` after the signature, given that).

    Parameters
    ----------
    inputs
        From `load`; a deal under negotiation.
    optional
        Clauses and promises that may be left out, or "verification".
    terms
        Key of the deal file, or parameter → values.
    years
        How long a package is to last, counted from its own signature, in whichever round that comes.
    accept_by
        The last round, if another than the deal's.
    budget
        Weighted paths, in all, for the rounds after the first. In each, the packages that may be on the front get four
        times as many, until it is settled which are, or this is spent.
    settings
        `draws`, `seed`, `threads`, `archive`; `weighted` paths a draw at first (16 if None).
    progress
        Called with (stage, packages done, packages in all).
    say
        Called with a sentence on the size of the work, and how long it will take.

    Returns
    -------
    xr.Dataset
        Dims package, party, clause, term, draw; each variable with its units and meaning. `attrs["path"]` is the Zarr
        store; `attrs["stopped"]` says whether the front is stable or the budget was spent first.

    Raises
    ------
    ForecastError
        With everything that is wrong with the packages; nothing is written.

    Examples
    --------
    >>> found = frontier(load("priors/ukraine_2025"), ["kaliningrad"], years=3)  # doctest: +SKIP
    >>> found.sel(package="without kaliningrad")["lasts"].item()  # doctest: +SKIP
    """
    settings = settings or RunSettings(draws=400, command="forecast.frontier(...)")
    terms = terms or {}
    inputs = _until(inputs, accept_by)
    window = _window(inputs, years)
    variants = _read(inputs, optional, terms, window)
    make_writable(settings.archive)
    calibration, gate = calibrate_deal(inputs, settings, progress)
    if gate.problems:
        raise ForecastError("the calibration fails its checks, so nothing was compared:\n" + "\n".join(gate.problems))
    draws = used_draws(inputs, calibration, settings)
    found = _Work(variants, draws, window, settings, progress, say or (lambda _: None)).evaluated(budget)
    attrs = {
        **provenance(inputs, settings, calibration, gate),
        "years": years,
        "last_round": str(_last(inputs)),
        "budget": budget,
        "rounds": found.rounds,
        "stopped": found.stopped,
    }
    data = assemble(variants, draws, found, {"clause": tuple(optional), "term": tuple(terms)}, attrs)
    path = Archive(settings.archive).write_dataset(data, KIND, folder=FOLDER, problems=problems)
    return data.assign_attrs(path=str(path))


# ---- what is compared ----------------------------------------------------------------------------


def _last(inputs: Inputs) -> date:
    negotiation = inputs.deal.file.negotiation
    if negotiation is None:
        raise DealFileError("this deal is in force already: there is nothing to be accepted")
    return negotiation.last


def _until(inputs: Inputs, accept_by: date | None) -> Inputs:
    if accept_by is None or accept_by == _last(inputs):
        return inputs
    return load(inputs.deal.folder, {**inputs.deal.overrides, "negotiation.last": accept_by})


def _window(inputs: Inputs, years: float) -> _Window:
    deal, last = inputs.deal, _last(inputs)
    room = (deal.horizon - last).days
    if not 0 < years * 365.25 < room + 0.5:  # a NaN is refused here too, and what no calendar holds
        most = np.floor(max(room, 0) / 3.6525) / 100.0
        raise DealFileError(
            f"--years {years:g}: must be more than 0 and, counted from a signature in the last round, {last}, end by "
            f"the horizon, {deal.horizon}: at most {most:g}"
        )
    signed, horizon = years_between(deal.as_of, last), years_between(deal.as_of, deal.horizon)
    end = min(signed + years, horizon)
    return _Window(signed, end, min(years, end - signed - 1e-9))


def _read(
    inputs: Inputs, optional: Sequence[str], terms: Mapping[str, Sequence[Any]], window: _Window
) -> list[Variant]:
    """Read every package; what is wrong with any of them, once."""
    wrong: dict[str, None] = {}
    found = []
    for scenario in packages(optional, terms):
        try:
            variant = variant_of(inputs, scenario)
            found.append(replace(variant, process=timed(variant.process, window.age)))
        except ForecastError as err:
            wrong |= dict.fromkeys(str(err).splitlines())
    if wrong:
        raise DealFileError("\n".join(list(wrong)[:20]))
    return found


def timed(process: Process, age: float) -> Process:
    """Let a process set its last flag `age` years after its signature, if it is in force then.

    The flag is read by nothing else, so that everything else goes as before; it comes after all that happens at the
    same instant.
    """
    in_force = next((o for o in process.outcomes if not o.causes), None)
    if in_force is None or in_force.id != "in_force":
        raise DealFileError("outcomes: what lasts is the class in_force, which must be the first without causes")
    flag, taken = "lasts", {f.id for f in process.flags}
    while flag in taken:
        flag += "_"
    branch = Branch(id="lasts", label="In force so long after its signature", effect=Effect(set=(flag,)))
    at_age = AtAge(clock=SINCE_SIGNATURE, age=age)
    when = Condition(all=(SIGNED,)) if in_force.when is None else in_force.when
    event = Scheduled(id=f"{flag}_so_long", label=branch.label, when=when, at_age=at_age, branches=(branch,))
    flags = (*process.flags, Flag(id=flag, label=branch.label))
    return process.model_copy(update={"flags": flags, "scheduled": (*process.scheduled, event)})


# ---- what the paths say --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Work:
    """Evaluates packages, again and again with more paths those that may be on the front."""

    variants: Sequence[Variant]
    draws: Draws
    window: _Window
    settings: RunSettings
    progress: Progress
    say: Say

    def evaluated(self, budget: int) -> _Found:
        """Evaluate every package, and refine the front until it is stable or the budget is spent."""
        few, left, rounds = self.settings.weighted or FEW, budget, 1
        shared = self._shared()
        found, paths = self._first(few, budget, shared)
        each = few
        while True:
            chance, luck = front_chance(found, self.settings.seed), membership_luck(found)
            open_ = open_packages(chance, luck)
            if not open_:
                return _Found(found, paths, chance, luck, rounds, STABLE)
            # those that are on the front for certain, too: packages with as many paths share their luck
            near = [k for k in sorted({*open_, *np.flatnonzero(chance > 0.0).tolist()}) if paths[k]]
            each *= MORE
            cost = len(near) * each * self.draws.n_draw
            if each > MOST or cost > left or not near:
                return _Found(found, paths, chance, luck, rounds, SPENT if cost > left else NO_MORE)
            left, rounds = left - cost, rounds + 1
            for n, k in enumerate(near):
                found[k], paths[k] = self._one(k, each, shared)
                self.progress(f"round {rounds}", n + 1, len(near))

    def _first(self, few: int, budget: int, shared: Coordinates) -> tuple[list[F64], list[int]]:
        """Evaluate every package with few paths; the first one tells how long all will take."""
        n = len(self.variants)
        for _ in range(2):  # the second time with the kernels loaded
            started = time.perf_counter()
            first = self._one(0, few, shared)
            seconds = time.perf_counter() - started
        how = f"{first[1]:,} weighted paths each" if first[1] else "computed, not simulated"
        more = f", and the rounds after that {in_words(seconds * budget / first[1])} at most" if first[1] else ""
        self.say(f"{n:,} packages, {how}; one took {seconds:.2f} s, all will take {in_words(n * seconds)}{more}")
        rows = [first]
        self.progress("packages", 1, n)
        for k in range(1, n):
            rows.append(self._one(k, few, shared))
            self.progress("packages", k + 1, n)
        return [p for p, _ in rows], [paths for _, paths in rows]

    def _one(self, k: int, replicates: int, shared: Coordinates) -> tuple[F64, int]:
        program = self.variants[k].program(self.draws)
        return probabilities(program, self.window, self.settings, replicates, shared)

    def _shared(self) -> Coordinates:
        """Deal luck out to the events of the packages that leave nothing out: the others have no more."""
        few = replace(self.draws, values={k: v[:FEW_DRAWS] for k, v in self.draws.values.items()})
        programs = [v.program(few) for v in self.variants if not v.scenario.drop][:SHARED]
        return coordinates_of(programs, [_names(p) for p in programs])


def _names(program: Program) -> list[Quantity]:
    return [("state", SIGNED), ("state", program.flags[-1])]


def probabilities(
    program: Program, window: _Window, settings: RunSettings, replicates: int, shared: Coordinates
) -> tuple[F64, int]:
    """P(signed by the last round), and P(that, and in force so long after it): (draw, group, 2); and paths.

    One group and no paths where it is exact.
    """
    grid = np.array([window.last, window.end])
    if not settings.simulate and (planned := small(program, grid)) is not None:
        state = solve_plan(program, planned, threads=settings.threads).state
        return np.stack([state[:, 0, program.flags.index(SIGNED)], state[:, 1, -1]], axis=1)[:, None], 0
    how: dict[str, Any] = {"seed": settings.seed, "replicates": replicates, "threads": settings.threads}
    e = estimate_each(program, _names(program), times=grid, coordinates=shared, **how)
    return np.stack([e.group_mean[:, :, 0, 0], e.group_mean[:, :, 1, 1]], axis=-1), e.paths


# ---- what comes out ------------------------------------------------------------------------------


def blocks(variant: Variant, draws: Draws) -> Block:
    """Find who is the least likely to accept a package, and the clause that is worth the least to that party."""
    file = variant.inputs.deal.file
    numbers = Numbers(variant.process, draws, [])
    chance: dict[str, float] = {}
    for id_, party in file.parties.items():
        if party.signs:
            logit = numbers.get(id_, f"{id_}_acceptance")
            if not party.at_table and party.absent:
                logit = logit + numbers.get(id_, party.absent)
            chance[id_] = float((1.0 / (1.0 + np.exp(-logit))).mean())
    worst = min(chance, key=lambda k: chance[k])
    values = file.parties[worst].values
    worth = {c: float(numbers.get(c, values[c]).mean()) for c, _ in included(file) if c in values}
    least = min(worth, key=lambda c: worth[c], default="")
    return Block(chance, worst, least if least and worth[least] < 0 else "")


def assemble(
    variants: Sequence[Variant],
    draws: Draws,
    found: _Found,
    names: Mapping[str, tuple[str, ...]],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Put packages side by side; `names` are the optional clauses and the terms."""
    x, ex, y, ey = points(found.p)
    signed, lasts = by_draw(found.p)
    levels = [level(p[..., :1]) for p in found.p]
    low, high = zip(*map(lasts_interval, found.p), strict=True)
    who = [blocks(v, draws) for v in variants]
    scenarios = [v.scenario for v in variants]
    parties = list(who[0].accepts)
    columns = {
        **names,
        "package": [s.title if s.changes else "the whole package" for s in scenarios],
        "party": parties,
        "included": np.array([[c not in s.drop for c in names["clause"]] for s in scenarios]).reshape(
            len(scenarios), -1
        ),
        "value": np.array([[_text(s.set, t) for t in names["term"]] for s in scenarios]).reshape(len(scenarios), -1),
        "accepted": x,
        "accepted_lower": [c.lower[0] for c in levels],
        "accepted_upper": [c.upper[0] for c in levels],
        "accepted_mcse": ex,
        "lasts": y,
        "lasts_lower": low,
        "lasts_upper": high,
        "lasts_mcse": ey,
        "on_front": undominated(x, y),
        "on_front_chance": found.chance,
        "membership": membership(signed, lasts),
        "membership_luck": found.luck,
        "paths": found.paths,
        "accepted_draw": signed,
        "lasts_draw": lasts,
        "accepts": [[b.accepts[p] for p in parties] for b in who],
        "blocker": [b.party for b in who],
        "blocker_accepts": [b.accepts[b.party] for b in who],
        "costs_it_most": [b.clause for b in who],
    }
    return dataset(columns, VARIABLES, attrs)


def _text(changes: Mapping[str, Any], key: str) -> str:
    value = changes.get(key, "")
    return str(value).lower() if isinstance(value, bool) else str(value)
