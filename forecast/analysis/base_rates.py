"""The model held against published or counted base rates, mechanism by mechanism."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from scipy.special import betaincinv

from forecast import schema
from forecast.analysis.history import Masks, initial_flags, walk
from forecast.deal.spec import BaseRate
from forecast.process.compile import Program
from forecast.simulate import PathLog
from forecast.types import B8, F64, I64

# A span of whole years may be a day or so longer than the horizon counted in days.
SLACK = 1.5 / 365.25


def base_rate_table(program: Program, log: PathLog, base_rates: Sequence[BaseRate]) -> xr.Dataset | None:
    """Compare sampled paths with base rates.

    The model's figure is the share of paths that, within `within` years of `since`, are ended by one
    of `causes` or get `flag` set, among those in which `since` is set early enough to be followed that
    long before the horizon. Where the mechanism is asked for `alone`, paths that something else ends
    first are censored there (`pooled_alone`): elections are then not rarer because talks collapsed.
    Paths whose log is not complete are left out.

    Returns
    -------
    xr.Dataset or None
        The group `base_rates` of a forecast; None without base rates.
    """
    if not base_rates:
        return None
    columns: dict[str, list[float]] = {f"model_{k}": [] for k in ("mean", "lower", "upper", "mcse", "paths")}
    for rate in base_rates:
        asked, met, after = occurrences(program, log, rate)
        draw, n_draw = log.draw[asked], program.n_draw
        frequency = (
            pooled_alone(draw, met[asked], after[asked], n_draw) if rate.alone else pooled(draw, met[asked], n_draw)
        )
        figures = (*frequency, float(asked.sum()))
        for name, figure in zip(columns, figures, strict=True):
            columns[name].append(figure)
    reference = {k: np.array([getattr(b, k) for b in base_rates]) for k in ("value", "lower", "upper")}
    mean, lower, upper = (np.array(columns[f"model_{k}"]) for k in ("mean", "lower", "upper"))
    inside = (reference["lower"] <= mean) & (mean <= reference["upper"])
    covers = (lower <= reference["value"]) & (reference["value"] <= upper)
    return schema.dataset(
        "/base_rates",
        mechanism=[b.mechanism for b in base_rates],
        source=[b.source for b in base_rates],
        agrees=inside | covers,
        explanation=[b.explanation or "" for b in base_rates],
        **{f"reference_{k}": v for k, v in reference.items()},
        **columns,
    )


def occurrences(program: Program, log: PathLog, rate: BaseRate) -> tuple[B8, B8, F64]:
    """Look for a mechanism on every path: (path,) each.

    Returns whether the path can be asked, whether the mechanism happened in time, and the years from
    `since` to that, to the end of the path, or to the end of the span, whichever comes first.
    """
    first, flag_set = _times(program, log, rate)
    by_cause = np.isin(log.cause, [program.causes.index(c) for c in rate.causes])
    happened = np.minimum(flag_set, np.where(by_cause, log.end_time, np.inf))
    asked: B8 = (first + rate.within <= program.horizon + SLACK) & ~log.truncated
    ended = np.where(log.cause >= 0, log.end_time, np.inf)
    with np.errstate(invalid="ignore"):
        met: B8 = asked & (happened - first <= rate.within)
        after: F64 = np.minimum(np.minimum(happened, ended) - first, rate.within)
    return asked, met, after


def _times(program: Program, log: PathLog, rate: BaseRate) -> tuple[F64, F64]:
    """Time at which `since` is first set, and at which `flag` gets set at or after it; infinite if never."""
    names = {name: np.uint64(1 << n) for n, name in enumerate(program.flags)}
    since = names[rate.since] if rate.since else np.uint64(0)
    flag = names[rate.flag] if rate.flag else np.uint64(0)
    n = len(log.n_step)
    at_once = not rate.since or bool(initial_flags(program) & int(since))
    first, got, last = np.full(n, 0.0 if at_once else np.inf), np.full(n, np.inf), np.full(n, -np.inf)
    for s in walk(program, log, Masks.of(program)):
        new = s.after & ~s.before
        starts = s.row[((new & since) != 0) & np.isinf(first[s.row])]
        first[starts] = log.time[starts, s.number]
        sets = s.row[(new & flag) != 0]
        last[sets] = log.time[sets, s.number]
        # What was set earlier in the same instant as `since` counts as well.
        due = s.row[np.isinf(got[s.row]) & (last[s.row] >= first[s.row])]
        got[due] = last[due]
    return first, got


def pooled(draw: I64, met: B8, n_draw: int) -> tuple[float, float, float, float]:
    """Mean of a frequency, its 5% and 95% quantiles over draws, and the mean's Monte Carlo error.

    Few paths a draw make the draws' own frequencies mostly noise. Their variance is therefore split by
    moments (one-way analysis of variance, unequal sizes) into chance and draws.

    Parameters
    ----------
    draw
        Shape (path,): the draw that a path belongs to.
    met
        Shape (path,): whether it happened.
    n_draw
        Number of draws.
    """
    n = np.bincount(draw, minlength=n_draw)
    return pooled_counts(n, np.bincount(draw[met], minlength=n_draw))


def pooled_counts(paths: I64, hits: I64) -> tuple[float, float, float, float]:
    """`pooled`, from the paths of each draw and those on which it happened: (draw,) each."""
    total, met = int(paths.sum()), int(hits.sum())
    if total == 0:
        return float("nan"), float("nan"), float("nan"), float("nan")
    mean = met / total
    used = paths > 0
    n = paths[used].astype(np.float64)
    p = hits[used] / n
    within = float((n * p * (1.0 - p)).sum()) / max(total - len(n), 1)
    size = total - float((n**2).sum()) / total
    between = float((n * (p - mean) ** 2).sum()) - (len(n) - 1) * within
    between = between / size if size > 0 and len(n) < total else 0.0
    mcse = float(np.sqrt(mean * (1.0 - mean) / total))
    return mean, *_interval(mean, between, mcse), mcse


def pooled_alone(draw: I64, met: B8, after: F64, n_draw: int) -> tuple[float, float, float, float]:
    r"""Estimate the same as `pooled` for a mechanism by itself: what something else ends is censored.

    The mean is Kaplan and Meier's 1 − Π(1 − h_j), h_j the share of the paths followed to t_j in which it
    happened then; its error is Greenwood's. It assumes that what ends the others says nothing of the
    mechanism. Draws differ by a factor z of the hazard, with mean 1: what happened less what was to be
    expected, O_d − E_d with E_d = Σ h_j over the paths followed, has chance variance Σ h_j (1 − h_j),
    and what is beyond that comes from z; to first order it moves the mean by (1 − mean) Σ h_j / (1 − h_j).

    Parameters
    ----------
    draw, met, n_draw
        As for `pooled`.
    after
        Shape (path,): years until it happened, until something else ended the path, or to the end of the span.

    References
    ----------
    Kaplan & Meier 1958, J. Am. Stat. Assoc. 53:457; Greenwood 1926.

    Examples
    --------
    One of four happens at 1, one is lost at 2, one of the two left happens at 3: 1 − (3/4)(1/2).

    >>> after, met = np.array([1.0, 2.0, 3.0, 5.0]), np.array([True, False, True, False])
    >>> pooled_alone(np.arange(4), met, after, 4)[0]
    0.625
    """
    if len(met) == 0:
        return float("nan"), float("nan"), float("nan"), float("nan")
    times, happened = np.unique(after[met], return_counts=True)
    at_risk = len(after) - np.searchsorted(np.sort(after), times, side="left")
    h = happened / at_risk
    mean = 1.0 - float(np.prod(1.0 - h))
    if len(h) == 0 or mean == 1.0:
        return mean, *_interval(mean, 0.0, 0.0), 0.0
    mcse = (1.0 - mean) * float(np.sqrt((h / (at_risk - happened)).sum()))
    passed = np.searchsorted(times, after, side="right")  # (path,) times at which the path was at risk
    expected, variance = (np.concatenate([[0.0], np.cumsum(x)])[passed] for x in (h, h * (1.0 - h)))
    e, v = (np.bincount(draw, weights=x, minlength=n_draw) for x in (expected, variance))
    o = np.bincount(draw[met], minlength=n_draw)
    factor = float(((o - e) ** 2 - v).sum() / (e**2).sum()) if len(np.unique(draw)) < len(draw) else 0.0
    slope = (1.0 - mean) * float((h / (1.0 - h)).sum())
    return mean, *_interval(mean, slope**2 * factor, mcse), mcse


def _interval(mean: float, between: float, mcse: float) -> tuple[float, float]:
    """5% and 95% quantiles of a beta distribution with this mean and variance between draws.

    Never narrower than the Monte Carlo error (1.645 of it each way), which is all there is where draws
    have one path each.
    """
    noise = (max(mean - 1.645 * mcse, 0.0), min(mean + 1.645 * mcse, 1.0))
    if not 0.0 < between < mean * (1.0 - mean):
        return noise
    weight = mean * (1.0 - mean) / between - 1.0
    lower, upper = betaincinv(mean * weight, (1.0 - mean) * weight, [0.05, 0.95])
    return min(float(lower), noise[0]), max(float(upper), noise[1])
