"""Variance × time: how much sooner one way of estimating is as exact as another.

The variance is always that of the figure of one draw, averaged over draws: that of their mean, times the draws.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import side_by_side
from forecast.estimate import Estimates, estimate, estimate_each
from forecast.process.compile import Program
from forecast.process.decided import Part, Quantity, parts_of
from forecast.simulate import Counts, simulate
from forecast.types import F64

PLAIN = 256  # counted paths a draw, of a run that is timed
HITS = 1000  # a probability that fewer counted paths have seen is taken from the estimator
LIMIT_Z = 4.0
SEEDS = 4  # of counts, and of both kinds of paths of a pair of scenarios
WEIGHED = 256  # weighted paths a draw, where that is not what is compared


class DifferError(Exception):
    """Two ways of estimating give different probabilities."""


@dataclass(frozen=True)
class Effort:
    """How long to measure, and where the fit of the shipped deal is."""

    draws: int
    seeds: int
    repeats: int
    archive: Path

    @classmethod
    def of(cls, archive: Path, *, quick: bool) -> "Effort":
        """Choose by the option."""
        return cls(40, 3, 1, archive) if quick else cls(400, 8, 5, archive)


@dataclass(frozen=True)
class Asked:
    """A figure: its place in (time, quantity)."""

    label: str
    time: int
    quantity: int


@dataclass(frozen=True)
class Problem:
    """A program, and the times and quantities that are asked for."""

    program: Program
    times: F64
    names: tuple[Quantity, ...]

    def count(self, seed: int, replicates: int = PLAIN) -> Counts:
        """Count paths."""
        return simulate(self.program, seed=seed, replicates=replicates, grid=self.times, threads=1)

    def weigh(self, seed: int, replicates: int, *, sobol: bool = True) -> Estimates:
        """Estimate by weighted paths, each quantity on those that suit it."""
        settings = {"seed": seed, "times": self.times, "replicates": replicates, "sobol": sobol}
        return estimate_each(self.program, self.names, threads=1, **settings)

    def slower(self, replicates: int, repeats: int, *, sobol: bool = True) -> F64:
        """Time of the weighted paths that a quantity comes from over that of counted ones: (quantity,)."""
        parts = parts_of(self.program, self.names)

        def run(part: Part) -> Callable[[], object]:
            flags = [name for kind, name in part.names if kind == "state"]
            settings = {"seed": 1, "times": self.times, "flags": flags, "replicates": replicates, "sobol": sobol}
            return lambda: estimate(part.program, threads=1, **settings)

        took = times_as_long([lambda: self.count(1), *map(run, parts)], repeats)[1:]
        by_name = {q: t * PLAIN / replicates for part, t in zip(parts, took, strict=True) for q in part.names}
        return np.array([by_name[q] for q in self.names])

    def fractions(self, counts: Counts) -> F64:
        """Order counts as estimates are: (draw, time, quantity)."""
        p = self.program
        columns = {"cause": (counts.cause, p.causes), "outcome": (counts.outcome, p.outcomes)}
        columns["state"] = (counts.state, p.flags)
        found = [columns[kind][0][..., columns[kind][1].index(name)] for kind, name in self.names]
        result: F64 = np.stack(found, axis=-1) / counts.replicates
        return result


@dataclass(frozen=True)
class Repeats:
    """The same estimate from several seeds. mean: (seed, draw, time, quantity); own: the noise that it says it has."""

    mean: F64
    own: F64

    @property
    def spread(self) -> F64:
        """Variance of one draw's figure, averaged over draws, from the spread over seeds: (time, quantity)."""
        result: F64 = self.mean.var(axis=0, ddof=1).mean(axis=0)
        return result

    @property
    def honesty(self) -> F64:
        """Variance that the estimator says it has, over that of the spread."""
        return divided(self.own, self.spread)


def repeated(make: Callable[[int], Estimates], seeds: Sequence[int]) -> Repeats:
    """Estimate with several seeds."""
    found = [make(seed) for seed in seeds]
    return Repeats(np.stack([e.mean for e in found]), np.mean([e.noise for e in found], axis=0))


def counted(problem: Problem, seeds: Sequence[int]) -> F64:
    """Fractions of counted paths: (seed, draw, time, quantity)."""
    return np.stack([problem.fractions(problem.count(seed)) for seed in seeds])


def of_one_path(counts: F64, instead: F64) -> F64:
    """Variance p(1 − p) of one counted path, averaged over draws, without bias: (time, quantity).

    counts: (seed, draw, time, quantity); instead: probabilities (draw, time, quantity) for what is hardly ever counted.
    """
    p, n = counts.mean(axis=0), len(counts) * PLAIN
    own = (p * (1.0 - p)).mean(axis=0) * n / (n - 1)
    hits = p.sum(axis=0) * n
    result: F64 = np.where(hits >= HITS, own, (instead * (1.0 - instead)).mean(axis=0))
    return result


def agree(what: str, counts: F64, estimates: Repeats, path: F64) -> float:
    """Largest |z| between counts and estimates; refuse what gives other probabilities."""
    n_seed, n_draw = counts.shape[:2]
    noise = path / (n_seed * n_draw * PLAIN) + estimates.spread / estimates.mean[..., 0, 0].size
    apart = np.abs(counts.mean(axis=(0, 1)) - estimates.mean.mean(axis=(0, 1)))
    z = float(divided(apart, np.sqrt(noise)).max())
    if not z < LIMIT_Z:
        raise DifferError(f"{what}: |z| = {z:.1f} (limit {LIMIT_Z:g})")
    return z


def divided(a: F64, b: F64) -> F64:
    """Quotient; 0 where both are 0."""
    result: F64 = np.divide(a, b, out=np.where(a > 0, np.inf, 0.0), where=b > 0)
    return result


def times_as_long(runs: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Seconds of each run over those of the first: medians of pairs taken in turn."""
    for run in runs:
        run()
    times = side_by_side(list(runs), repeats)
    return [statistics.median(a / b for a, b in zip(t, times[0], strict=True)) for t in times]


def middle(x: F64) -> float:
    """Geometric mean."""
    return float(np.exp(np.log(x).mean()))


@dataclass(frozen=True)
class Counted:
    """A problem and its counts. path: variance of one counted path (time, quantity)."""

    problem: Problem
    asked: tuple[Asked, ...]
    counts: F64
    path: F64

    @classmethod
    def of(cls, problem: Problem, asked: tuple[Asked, ...]) -> "Counted":
        """Count, and refuse weighted paths that say otherwise."""
        counts, good = counted(problem, range(SEEDS)), repeated(lambda s: problem.weigh(s, 512), range(2))
        path = of_one_path(counts, good.mean.mean(axis=0))
        agree("weighted paths", counts, good, path)
        return cls(problem, asked, counts, path)

    def better(self, found: Repeats, replicates: int) -> F64:
        """Variance of as many counted paths over that of weighted ones: (time, quantity)."""
        return divided(self.path / replicates, found.spread)

    def slower(self, replicates: int, repeats: int) -> tuple[F64, F64]:
        """Time of a weighted path over that of a counted one, with and without Sobol points: (quantity,) each."""
        with_points, plain = (self.problem.slower(replicates, repeats, sobol=s) for s in (True, False))
        return with_points, plain
