"""Probabilities at a few times, more exactly than by counting paths: weights, Sobol points, importance sampling.

`simulate` counts, which is right for curves of everything over time. A headline, a rare cause or the difference
between two scenarios deserves better: `estimate` never lets a hazard that ends the path happen but carries the
probability that it hasn't (`kernels.weighted`), and spreads the luck of what is left evenly (Sobol points with
random shifts). `estimate_rare` makes what leads to one rare cause more likely and weighs it back.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from forecast.coordinates import Coordinate, Coordinates, flag_of, sobol_points
from forecast.errors import ForecastError
from forecast.kernels.layout import WEIBULL, Score, Scoring
from forecast.kernels.weighted import weigh_draws
from forecast.process.compile import Program
from forecast.process.decided import parts_of
from forecast.simulate import scratch
from forecast.types import F64

GROUPS = 2  # of paths of a draw, independent of each other: their difference tells the Monte Carlo error
CANDIDATES = 8.0  # how many times as often a Weibull hazard that ends the path is tried
BLOCK = 1024  # paths a block, in whole draws
RAREST, MOST = 0.2, 1e6  # limits of boosts and tilts: making things much rarer would leave heavy tails
MIN_ESS = 100.0  # a figure that rests on fewer paths than this is not to be printed
KEY = 0xD1B54A32D192ED03  # the seed of weighted paths, so that they are independent of counted ones


@dataclass(frozen=True)
class Sampling:
    """How paths are made: what is sampled more often than it happens, and what is made likelier.

    boost (hazard,): 0 for what is never let happen; tilt (branch,).
    """

    boost: F64
    tilt: F64


@dataclass(frozen=True)
class Estimates:
    """Probabilities at a few times for each draw.

    times (time,): years since the as-of date. group_mean (draw, group, time, quantity): means of the groups of
    paths; quantities are causes, outcome classes, then the flags asked for. ess (time, quantity): effective number
    of paths that a figure rests on, (Σx)² / Σx². paths: in all.
    """

    times: F64
    names: tuple[tuple[str, str], ...]
    group_mean: F64
    ess: F64
    paths: int

    @cached_property
    def mean(self) -> F64:
        """(draw, time, quantity)."""
        result: F64 = self.group_mean.mean(axis=1)
        return result

    @cached_property
    def noise(self) -> F64:
        """Monte Carlo variance of `mean` of one draw, averaged over draws: (time, quantity); without bias."""
        result: F64 = (self.group_mean.var(axis=1, ddof=1) / self.group_mean.shape[1]).mean(axis=0)
        return result

    @property
    def mcse(self) -> F64:
        """Monte Carlo standard error of the mean over these draws: (time, quantity)."""
        result: F64 = np.sqrt(self.noise / len(self.group_mean))
        return result

    @property
    def enough(self) -> np.ndarray:
        """Whether a figure rests on enough paths to be printed: (time, quantity)."""
        return self.ess >= MIN_ESS

    def column(self, kind: str, name: str) -> int:
        """Place of a quantity: kind is cause, outcome or state."""
        return self.names.index((kind, name))


def plain_sampling(program: Program) -> Sampling:
    """Paths that nothing ends: hazards that end paths never happen, but for Weibull ones, which are tried often."""
    s = program.structure
    ends = s.effects["end"][: len(s.hazards)] >= 0
    boost = np.where(ends, np.where(s.hazards["kind"] == WEIBULL, CANDIDATES, 0.0), 1.0)
    return Sampling(boost, np.ones(len(s.branches)))


def estimate(
    program: Program,
    *,
    seed: int,
    times: Sequence[float] | F64,
    flags: Sequence[str] = (),
    replicates: int = 128,
    threads: int | None = None,
    sampling: Sampling | None = None,
    sobol: bool = True,
    dealt: Sequence[Coordinate] | None = None,
) -> Estimates:
    """Estimate every cause, every outcome class and some flags at a few times.

    Parameters
    ----------
    program
        From `compile_process`.
    seed
        64 bits; the result does not depend on `threads`.
    times
        Years since the as-of date, increasing, none past the horizon.
    flags
        Names of flags whose probability is wanted.
    replicates
        Paths a draw: 2 groups of a power of two each, rounded up.
    sampling
        From `plain_sampling`, if None.
    sobol
        Spread the luck evenly. Without it paths are independent.
    dealt
        What each Sobol coordinate stands for; the program's own, if None.

    Raises
    ------
    ForecastError
        Times out of order or past the horizon; a flag that isn't there; a path without an end.
    """
    times = _checked(program, times, flags)
    each = 1 << max(0, (-(-max(replicates, GROUPS) // GROUPS) - 1).bit_length())
    scoring = _scoring(program, times, flags, sampling or plain_sampling(program), each if sobol else 0, dealt)
    total, square, _ = _weigh(program, scoring, seed, each, threads)
    paths = program.n_draw * GROUPS * each
    hits, squares = total.sum(axis=(0, 1)), square.sum(axis=0)
    ess = np.divide(hits**2, squares, out=np.zeros_like(hits), where=squares > 0)
    return Estimates(times, _names(program, flags), total / each, ess, paths)


def estimate_each(
    program: Program,
    names: Sequence[tuple[str, str]],
    *,
    seed: int,
    times: Sequence[float] | F64,
    replicates: int = 128,
    threads: int | None = None,
    sobol: bool = True,
    coordinates: Coordinates | None = None,
) -> Estimates:
    """Estimate some quantities at a few times, each on the paths that suit it.

    What a flag decides that nothing clears, as a signature does, is estimated on paths that end where it is set
    (`process.decided`); the rest as by `estimate`. Differences of the results are paired as ever, if both programs
    have the same events, or coordinates that were dealt out to both.

    Parameters
    ----------
    program, seed, times, replicates, threads, sobol
        As of `estimate`; every part has as many paths.
    names
        Quantities, (kind, name) each: kind is cause, outcome or state. The result has them in this order.
    coordinates
        From `coordinates_of` this and the programs that it is compared with; its own, if None.
    """
    how: dict[str, Any] = {"seed": seed, "times": times, "replicates": replicates, "threads": threads, "sobol": sobol}
    found: dict[tuple[str, str], tuple[Estimates, int]] = {}
    for part in parts_of(program, names):
        how["dealt"] = None if coordinates is None else coordinates.dealt[flag_of(part.program)]
        e = estimate(part.program, flags=[name for kind, name in part.names if kind == "state"], **how)
        found |= {q: (e, e.column(*q)) for q in part.names}
    columns = [found[q] for q in names]
    means = np.stack([e.group_mean[..., j] for e, j in columns], axis=-1)
    ess = np.stack([e.ess[:, j] for e, j in columns], axis=-1)
    return Estimates(columns[0][0].times, tuple(names), means, ess, columns[0][0].paths)


def estimate_rare(
    program: Program,
    cause: str,
    *,
    seed: int,
    time: float,
    replicates: int = 128,
    threads: int | None = None,
    rounds: int = 4,
) -> tuple[Estimates, Sampling]:
    """Estimate a cause whose way is rare: first learn what leads to it, then make that likelier and weigh it back.

    The boosts and tilts are those of the cross-entropy method (Rubinstein 1999, Methodol. Comput. Appl. Probab.
    1:127): of each hazard the mean number of firings over the mean number to be expected, both weighted by the
    probability that the path gives the cause. The first round looks for the ways as they are, and with every hazard
    and branch made to happen about once, by the fastest and by the usual of its rates: what one of these samplings
    finds counts by its probability, so that a way which one of them makes all but impossible isn't lost.

    Returns
    -------
    tuple
        The estimates at `time` (years), and how they were sampled.
    """
    if cause not in program.causes:
        raise ForecastError(f"cause {cause!r}: not one of {', '.join(program.causes)}")
    times = _checked(program, [time], ())
    number, base = program.causes.index(cause), plain_sampling(program)
    samplings = [base, _eager(program, base, time, fastest=True), _eager(program, base, time, fastest=False)]
    few = max(1, min(replicates, 20_000 // program.n_draw))
    tuned = {"tune": np.array([number]), "special": np.ones(len(program.structure.events), np.bool_)}
    for n in range(rounds):
        scorings = [_scoring(program, times, (), x, 0)._replace(**tuned) for x in samplings]
        learnt = [_weigh(program, x, seed + 1 + n, few, threads)[2] for x in scorings]
        happened, exposure = np.sum(learnt, axis=0)
        samplings = [_improved(program, base, happened, exposure)]
    sampling = samplings[0]
    return estimate(
        program, seed=seed, times=times, replicates=replicates, threads=threads, sampling=sampling, sobol=False
    ), sampling


def difference(a: Estimates, b: Estimates) -> tuple[F64, F64]:
    """Mean of b − a over draws, and its Monte Carlo standard error: (time, quantity) each.

    Both must come from the same seed, draws and number of paths: they share their luck, path by path, so that the
    error is that of the difference and not of the two.
    """
    if a.group_mean.shape != b.group_mean.shape or a.names != b.names or a.paths != b.paths:
        raise ForecastError("difference: the two must have the same draws, paths, times and quantities")
    change = b.group_mean - a.group_mean
    noise = (change.var(axis=1, ddof=1) / change.shape[1]).mean(axis=0)
    return change.mean(axis=(0, 1)), np.sqrt(noise / len(change))


def _eager(program: Program, base: Sampling, time: float, *, fastest: bool) -> Sampling:
    """Hazards and branches that don't end paths are made to happen about once within the time."""
    s = program.structure
    rate = np.array([_rate(program, k, fastest=fastest) for k in range(len(s.hazards))])
    wanted = np.clip(1.0 / np.maximum(rate * time, 1e-12), 1.0, MOST)
    free = (base.boost == 1.0) & (s.hazards["kind"] != WEIBULL)
    dates = np.bincount(s.calendar["event"][s.calendar["time"] <= time], minlength=len(s.events))
    tilt = [_share(program, n, int(dates[n])) for n in range(len(s.events))]
    return Sampling(np.where(free, wanted, base.boost), np.concatenate([*tilt, np.ones(0)]))


def _rate(program: Program, k: int, *, fastest: bool) -> float:
    """Mean over ages and draws; or over draws, of the fastest age with all modifiers that make it faster."""
    h = program.structure.hazards[k]
    bins = program.values.bin_rate[:, h["bin"] : h["bin_end"]]
    faster = np.maximum(program.values.factor[:, h["mod"] : h["mod_end"]], 1.0).prod(axis=1)
    return float((bins.max(axis=1) * faster).mean() if fastest else bins.mean())


def _share(program: Program, n: int, dates: int) -> F64:
    """Tilts with which each branch of event n comes about at one of its dates."""
    e = program.structure.events[n]
    weight = program.values.weight[:, e["branch"] : e["branch_end"]].copy()
    if not e["logit"]:
        weight[:, -1] = np.maximum(1.0 - weight[:, :-1].sum(axis=1), 0.0)
    share = (weight / weight.sum(axis=1, keepdims=True)).mean(axis=0)
    result: F64 = np.clip(1.0 / np.maximum(share * share.size * max(dates, 1), 1e-12), 1.0, MOST)
    return result


def _improved(program: Program, base: Sampling, happened: F64, exposure: F64) -> Sampling:
    """Boosts and tilts from what has happened, and what was to be expected, where the cause took its mass."""
    s = program.structure
    n_haz = len(s.hazards)
    seen = (happened > 0) & (exposure > 0)
    ratio = np.divide(happened, exposure, out=np.ones_like(happened), where=seen)
    free = (base.boost == 1.0) & (s.hazards["kind"] != WEIBULL)
    # What was never seen with the cause is left as it happens.
    boost = np.where(free, np.clip(ratio[:n_haz], RAREST, MOST), base.boost)
    return Sampling(boost, np.clip(ratio[n_haz:], RAREST, MOST))


def _checked(program: Program, times: Sequence[float] | F64, flags: Sequence[str]) -> F64:
    at = np.asarray(times, dtype=np.float64)
    if not at.size or not np.isfinite(at).all() or (np.diff(at) <= 0).any() or at[0] < 0 or at[-1] > program.horizon:
        raise ForecastError(f"times: must increase, from 0 or later to the horizon ({program.horizon:g} years) at most")
    if unknown := [f for f in flags if f not in program.flags]:
        raise ForecastError(f"flags: {unknown[0]!r} is not one of {', '.join(program.flags)}")
    return at


def _names(program: Program, flags: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return (
        *(("cause", c) for c in program.causes),
        *(("outcome", o) for o in program.outcomes),
        *(("state", f) for f in flags),
    )


def _scoring(
    program: Program,
    times: F64,
    flags: Sequence[str],
    sampling: Sampling,
    points: int,
    dealt: Sequence[Coordinate] | None = None,
) -> Scoring:
    s = program.structure
    n_cause, n_class = len(program.causes), len(program.outcomes)
    ends = s.effects["end"][: len(s.hazards)] >= 0
    table, place = sobol_points(program, points, dealt)
    touches, fates = _touches(program, sampling, flags)
    special = (s.effects["end"][len(s.hazards) :] >= 0) | (sampling.tilt != 1.0)
    return Scoring(
        times=times,
        watched=np.array([program.flags.index(f) for f in flags], dtype=np.uint32),
        first_outcome=np.array([n_cause]),
        first_state=np.array([n_cause + n_class]),
        ending=np.flatnonzero(sampling.boost == 0.0).astype(np.uint32),
        boosted=np.flatnonzero(~ends & (sampling.boost != 1.0)).astype(np.uint32),
        boost=np.ascontiguousarray(sampling.boost, dtype=np.float64),
        tilt=np.ascontiguousarray(sampling.tilt, dtype=np.float64),
        tune=np.array([-1]),
        points=table,
        place=place,
        touches=touches,
        fates=fates,
        special=np.array([special[e["branch"] : e["branch_end"]].any() for e in s.events], dtype=np.bool_),
    )


def _touches(program: Program, sampling: Sampling, flags: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Whether each effect can change what the weight falls by, or what is reported, and the latter alone: (effect,)."""
    s = program.structure
    reported = s.whole["out_reads"][0] | np.uint64(sum(1 << program.flags.index(f) for f in flags))
    fates = ((s.effects["set"] | s.effects["clear"]) & reported) != 0
    weighing = sampling.boost != 1.0
    reads = [weighing[s.readers["which"][e["reader"] : e["reader_end"]]].any() for e in s.effects]
    return fates | np.array(reads, dtype=np.bool_), fates


def _score(program: Program, scoring: Scoring) -> Score:
    s = program.structure
    quantities = len(program.causes) + len(program.outcomes) + len(scoring.watched)
    n = len(scoring.ending)
    e = len(s.hazards) + len(s.branches)
    return Score(
        rate=np.zeros(n),
        taken=np.zeros(n),
        ended=np.zeros(quantities),
        now=np.zeros(quantities),
        shift=np.zeros(len(scoring.place), np.uint64),
        learns=scoring.tune >= 0,
        happened=np.zeros(e),
        exposure=np.zeros(e),
        with_events=np.zeros(e),
        with_exposure=np.zeros(e),
    )


def _weigh(
    program: Program, scoring: Scoring, seed: int, each: int, threads: int | None
) -> tuple[F64, F64, tuple[F64, F64]]:
    """Sums over paths: total (draw, group, time, quantity), square (draw, time, quantity), and what was learnt."""
    n, quantities = program.n_draw, len(_names(program, ())) + len(scoring.watched)
    total = np.zeros((n, GROUPS, len(scoring.times), quantities))
    square = np.zeros((n, len(scoring.times), quantities))
    size = max(1, BLOCK // (GROUPS * each))
    blocks = [(d, min(d + size, n)) for d in range(0, n, size)]

    def work(block: tuple[int, int]) -> Score:
        score = _score(program, scoring)
        key = np.uint64((seed ^ KEY) % 2**64)
        with np.errstate(divide="ignore", over="ignore"):  # matters with the compiler off only
            arrays = (program.structure, program.values, scratch(program), scoring, score)
            endless = weigh_draws(*arrays, key, *block, GROUPS, each, total, square)
        if endless >= 0:
            raise ForecastError(f"a path of draw {endless} had no end and was given up: a rate is beyond all measure")
        return score

    with ThreadPoolExecutor(threads or getattr(os, "process_cpu_count", os.cpu_count)() or 1) as pool:
        scores = list(pool.map(work, blocks))
    # in the order of the draws, so that the sums don't depend on the threads
    learnt = tuple(np.sum([getattr(x, name) for x in scores], axis=0) for name in ("with_events", "with_exposure"))
    return total, square, (learnt[0], learnt[1])
