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
    long before the horizon. Paths whose log is not complete are left out.

    Returns
    -------
    xr.Dataset or None
        The group `base_rates` of a forecast; None without base rates.
    """
    if not base_rates:
        return None
    columns: dict[str, list[float]] = {f"model_{k}": [] for k in ("mean", "lower", "upper", "mcse", "paths")}
    for rate in base_rates:
        asked, met = occurrences(program, log, rate)
        figures = (*pooled(log.draw[asked], met[asked], program.n_draw), float(asked.sum()))
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


def occurrences(program: Program, log: PathLog, rate: BaseRate) -> tuple[B8, B8]:
    """Return for each path whether it can be asked, and whether the mechanism happened in time: (path,) each."""
    first, flag_set = _times(program, log, rate)
    by_cause = np.isin(log.cause, [program.causes.index(c) for c in rate.causes])
    happened = np.minimum(flag_set, np.where(by_cause, log.end_time, np.inf))
    asked: B8 = (first + rate.within <= program.horizon + SLACK) & ~log.truncated
    with np.errstate(invalid="ignore"):
        met: B8 = asked & (happened - first <= rate.within)
    return asked, met


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
    moments (one-way analysis of variance, unequal sizes) into chance and draws, and the interval is
    that of a beta distribution with the mean and the variance between draws. It is never narrower than
    the Monte Carlo error (1.645 of it each way), which is all there is where draws have one path each.
    """
    n = np.bincount(draw, minlength=n_draw).astype(np.float64)
    k = np.bincount(draw[met], minlength=n_draw).astype(np.float64)
    total, used = n.sum(), n > 0
    if total == 0:
        return float("nan"), float("nan"), float("nan"), float("nan")
    mean = float(k.sum() / total)
    mcse = float(np.sqrt(mean * (1.0 - mean) / total))
    p = k[used] / n[used]
    n = n[used]
    within = float((n * p * (1.0 - p)).sum()) / max(total - len(n), 1.0)
    between_squares = float((n * (p - mean) ** 2).sum())
    size = total - float((n**2).sum()) / total
    between = (between_squares - (len(n) - 1) * within) / size if size > 0 else 0.0
    noise = (max(mean - 1.645 * mcse, 0.0), min(mean + 1.645 * mcse, 1.0))
    if not 0.0 < between < mean * (1.0 - mean) or len(n) == total:
        return mean, *noise, mcse
    weight = mean * (1.0 - mean) / between - 1.0
    lower, upper = betaincinv(mean * weight, (1.0 - mean) * weight, [0.05, 0.95])
    return mean, min(float(lower), noise[0]), max(float(upper), noise[1]), mcse
