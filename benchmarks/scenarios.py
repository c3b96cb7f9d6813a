"""Two scenarios that differ in one parameter: how exactly each way tells the difference."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.measure import ROOT
from benchmarks.problem import deal_like
from benchmarks.variance import (
    PLAIN,
    SEEDS,
    WEIGHED,
    Asked,
    Problem,
    counted,
    divided,
    of_one_path,
)
from forecast.deal.describe import describe
from forecast.deal.expand import expand
from forecast.deal.spec import Process
from forecast.estimate import Estimates, difference
from forecast.inputs import Inputs, load
from forecast.pipeline import RunSettings, calibrate_deal, used_draws
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.types import F64, I64, years_between

SHIPPED = "priors/ukraine_2025"
KINDS = {"state_probability": "state", "outcome_probability": "outcome", "cumulative_incidence": "cause"}
MOVED = 0.1  # a figure is moved by a parameter if by this share of the one that it moves the most


@dataclass(frozen=True)
class Scenario:
    """Another program. direct: every event that the parameter works on ends the path."""

    name: str
    change: str
    direct: bool
    where: tuple[str, ...]
    program: Program


@dataclass(frozen=True)
class Pair:
    """How exactly the difference of two scenarios is known; arrays (figure,).

    shared: variance of independent counts over that of counts with the same keys; weighed: variance × time of
    independent counts over that of weighted paths with the same keys; own: variance that `difference` says, over the
    spread.
    """

    scenario: Scenario
    change: F64
    error: F64
    shared: F64
    weighed: F64
    own: F64

    @property
    def most(self) -> int:
        """The figure that the parameter moves the most."""
        return int(np.abs(self.change).argmax())

    @property
    def moved(self) -> I64:
        """Which figures it moves at all."""
        size = np.abs(self.change)
        return np.flatnonzero(size >= MOVED * size.max())


@dataclass(frozen=True)
class Base:
    """One deal as it is. counts, weights: of each seed; slower (figure,): time of weighted paths over counted ones."""

    problem: Problem
    asked: tuple[Asked, ...]
    counts: F64
    weights: tuple[Estimates, ...]
    slower: F64

    @classmethod
    def of(cls, problem: Problem, asked: tuple[Asked, ...], repeats: int) -> "Base":
        """Run a deal as it is."""
        weights = tuple(problem.weigh(seed, WEIGHED) for seed in range(SEEDS))
        slower = problem.slower(WEIGHED, repeats)[[a.quantity for a in asked]]
        return cls(problem, asked, counted(problem, range(SEEDS)), weights, slower)

    def pick(self, figures: F64) -> F64:
        """What is asked for, of (…, time, quantity)."""
        t, j = [a.time for a in self.asked], [a.quantity for a in self.asked]
        result: F64 = figures[..., t, j]
        return result

    def against(self, scenario: Scenario) -> Pair:
        """Compare a scenario with it."""
        other = replace(self.problem, program=scenario.program)
        counts = counted(other, range(SEEDS))
        weights = [other.weigh(seed, WEIGHED) for seed in range(SEEDS)]
        path = of_one_path(self.counts, _mean(self.weights)) + of_one_path(counts, _mean(weights))
        change = np.stack([b.mean - a.mean for a, b in zip(self.weights, weights, strict=True)])
        spread, spread_shared = change.var(axis=0, ddof=1).mean(axis=0), _spread(counts - self.counts)
        own = [difference(a, b)[1] ** 2 for a, b in zip(self.weights, weights, strict=True)]
        n_draw = len(change[0])
        return Pair(
            scenario,
            self.pick(change.mean(axis=(0, 1))),
            self.pick(np.sqrt(spread / (SEEDS * n_draw))),
            self.pick(divided(path / PLAIN, spread_shared)),
            self.pick(divided(path / WEIGHED, spread)) / self.slower,
            self.pick(divided(np.mean(own, axis=0) * n_draw, spread)),
        )


def _mean(weights: tuple[Estimates, ...] | list[Estimates]) -> F64:
    result: F64 = np.mean([w.mean for w in weights], axis=0)
    return result


def _spread(x: F64) -> F64:
    result: F64 = x.var(axis=0, ddof=1).mean(axis=0)
    return result


# ---- the shipped deal ----------------------------------------------------------------------------


def shipped(draws: int, archive: Path) -> tuple[Inputs, Draws]:
    """Load the shipped deal and some draws of its fit, which is made if the archive has none."""
    inputs = load(ROOT / SHIPPED)
    settings = RunSettings(draws=draws, archive=archive)
    calibration, _ = calibrate_deal(inputs, settings)
    return inputs, used_draws(inputs, calibration, settings)


def headlines(inputs: Inputs, draws: Draws) -> tuple[Problem, tuple[Asked, ...]]:
    """Set the problem of a deal's headlines."""
    program, headline = compile_process(expand(inputs.deal), draws), describe(inputs.deal).headline
    days = sorted({day for *_, day in headline})
    names = tuple(dict.fromkeys((KINDS[variable], name) for _, variable, name, _ in headline))
    problem = Problem(program, np.array([years_between(inputs.deal.as_of, d) for d in days]), names)
    asked = [Asked(label, days.index(d), names.index((KINDS[v], name))) for label, v, name, d in headline]
    return problem, tuple(asked)


def variations(inputs: Inputs, draws: Draws) -> Iterator[Scenario]:
    """Change each parameter by a tenth that has anything to do with the paths; leave out what changes the same."""
    process, seen = expand(inputs.deal), list[Program]()
    uses = uses_of(process)
    for name, parameter in inputs.deal.file.parameters.items():
        if name not in uses:
            continue
        values, change = changed(draws, name, parameter.unit)
        program = compile_process(process, replace(draws, values={**draws.values, name: values}))
        if any(_alike(program, other) for other in seen):
            continue
        seen.append(program)
        where = uses[name]
        yield Scenario(name, change, all(where.values()), tuple(where), program)


def changed(draws: Draws, name: str, unit: str) -> tuple[F64, str]:
    """Draws of a parameter a tenth larger: of a rate or time, of odds, or 0.1 on a log or utility scale."""
    old = draws.values[name]
    if unit == "probability":
        odds = 1.1 * old / (1.0 - old)
        return odds / (1.0 + odds), "odds × 1.1"
    if unit not in ("per year", "years", "1"):
        return old + 0.1, "+ 0.1"
    if (labels := draws.labels.get(name)) and "scale" in labels:
        return old * np.where(np.array(labels) == "scale", 1.1, 1.0), "scale × 1.1"
    return old * 1.1, "× 1.1"


def uses_of(process: Process) -> dict[str, dict[str, bool]]:
    """Parameter → the events that it works on, and whether each ends the path."""
    uses: dict[str, dict[str, bool]] = {}

    def note(event: str, ends: bool, *references: str | None) -> None:
        for name in filter(None, references):
            uses.setdefault(name.partition("[")[0], {})[event] = ends

    for h in process.hazards:
        modifiers = (m.log_ratio for m in h.modifiers)
        note(h.id, h.effect.end is not None, h.rate, h.weibull_shape, h.weibull_scale, *modifiers)
    for s in process.scheduled:
        ends = any(b.effect.end is not None for b in s.branches)
        for b in s.branches:
            note(s.id, ends, b.probability, b.logit, *(m.log_ratio for m in b.modifiers))
    for d in process.derived:
        for event, ends in uses.get(d.id, {}).copy().items():
            note(event, ends, *(p for term in d.terms for p in term.parameters))
    return uses


def _alike(a: Program, b: Program) -> bool:
    """Whether two programs of one process have the same numbers."""
    return all(np.allclose(x, y, rtol=1e-9, atol=0.0) for x, y in zip(a.values, b.values, strict=True))


# ---- the deal-like problem -----------------------------------------------------------------------


def benchmark(draws: int) -> tuple[Problem, tuple[Asked, ...]]:
    """Set the deal-like problem: each cause at three times, and P(signed) at the first."""
    program, times = deal_like(draws), np.array([2.0, 5.0, 10.0])
    names = (*(("cause", c) for c in program.causes), ("state", "signed"))
    causes = [
        Asked(f"{cause} by {t:g} years", i, j) for j, cause in enumerate(program.causes) for i, t in enumerate(times)
    ]
    return Problem(program, times, names), (*causes, Asked("signed by 2 years", 0, len(program.causes)))


def benchmark_variations(problem: Problem) -> list[Scenario]:
    """Raise one rate: of what ends the path, and of two that work through others."""
    return [
        Scenario(name, f"× {factor:g}", direct, (name,), _scaled(problem.program, name, factor))
        for name, factor, direct in (("breakdown", 1.1, True), ("minor", 1.2, False), ("slump", 1.2, False))
    ]


def _scaled(program: Program, hazard: str, factor: float) -> Program:
    names: Callable[[str], int] = [h.id for h in program.process.hazards].index
    h = program.structure.hazards[names(hazard)]
    rate = program.values.bin_rate.copy()
    rate[:, h["bin"] : h["bin_end"]] *= factor
    return replace(program, values=program.values._replace(bin_rate=rate))
