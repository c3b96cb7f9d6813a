"""Predictive checks: how far data lie in the tail of what a model predicts; numpy only."""

from collections.abc import Callable

import numpy as np

from forecast.types import F64

type Statistic = Callable[[str, F64, F64], F64]  # of data (..., cell, ...) of a kind, for predictions

COUNTS = ("rates", "binomial", "categories", "survival")
STATISTICS = ("total", "chi_squared", "largest_residual", "zeros")
FEW = 20  # predictions beyond the data, below which the tail is fitted
TAIL = 0.1  # share of the predictions that the tail is fitted to


def upper_p(seen: float, drawn: F64) -> float:
    """Mid-p of the upper tail, P(T > t) + P(T = t) / 2, from draws (draw,) of T.

    Where few draws lie beyond t, a generalised Pareto tail is fitted to the largest tenth of them by
    probability-weighted moments (Hosking & Wallis 1987), its shape not below 0, which errs on the side of a
    larger p-value: so that a p-value may be as small as a Bonferroni threshold (Knijnenburg et al. 2009).
    """
    if not np.isfinite(drawn).all() or not np.isfinite(seen):
        return float("nan")
    n = len(drawn)
    above = (drawn > seen).sum() + 0.5 * (drawn == seen).sum()
    if above >= FEW or seen <= np.quantile(drawn, 1.0 - TAIL):
        return float(above) / n
    return _pareto_p(seen, drawn)


def _pareto_p(seen: float, drawn: F64) -> float:
    ordered = np.sort(drawn)
    count = max(FEW, int(TAIL * len(drawn)))
    threshold, excess = ordered[-count - 1], ordered[-count:] - ordered[-count - 1]
    mean = excess.mean()
    if not mean > 0.0 or seen <= threshold:  # all equal: nothing to fit
        return max(float((drawn > seen).mean() + 0.5 * (drawn == seen).mean()), 0.5 / len(drawn))
    weighted = (excess * (1.0 - (np.arange(1, count + 1) - 0.35) / count)).mean()
    shape = max(2.0 - mean / (mean - 2.0 * weighted), 0.0)
    scale = mean * (1.0 - shape)
    z = (seen - threshold) / scale
    beyond = np.exp(-z) if shape < 1e-6 else (1.0 + shape * z) ** (-1.0 / shape)
    return float(count / len(drawn) * beyond)


def two_sided(seen: float, drawn: F64) -> float:
    """Twice the smaller tail, at most 1."""
    return min(1.0, 2.0 * min(upper_p(seen, drawn), upper_p(-seen, -drawn)))


def residuals(kind: str, x: F64, drawn: F64) -> F64:
    """Residuals of data (..., cell, ...), standardised by predictions (draw, cell, ...).

    Of counts, of twice their square roots (Freeman–Tukey), whose sd is about 1 whatever their mean, and
    is not taken to be less: so that one event in a cell where next to none were due is no more than it is.
    """
    if kind in COUNTS:
        x, drawn = 2.0 * np.sqrt(x), 2.0 * np.sqrt(drawn)
    least = 1.0 if kind in COUNTS else 1.0 / np.sqrt(len(drawn))
    return np.asarray((x - drawn.mean(axis=0)) / np.maximum(drawn.std(axis=0), least))


def chi_squared(kind: str, x: F64, drawn: F64) -> F64:
    """Sum of squared residuals."""
    return np.asarray((residuals(kind, x, drawn) ** 2).sum(axis=tuple(range(1 - drawn.ndim, 0))))


def largest_residual(kind: str, x: F64, drawn: F64) -> F64:
    """Largest absolute residual."""
    return np.asarray(np.abs(residuals(kind, x, drawn)).max(axis=tuple(range(1 - drawn.ndim, 0))))


def posterior_p(kind: str, seen: F64, drawn: F64) -> dict[str, float]:
    """p-value of each discrepancy T(data) against T of predictions; NaN where it would say nothing.

    total: sum of all cells, two-sided; of categories the total that deviates most, upper tail
    chi_squared, largest_residual: of `residuals`, upper tail
    zeros: number of cells without any event (shares below half a decision), two-sided

    Of survival cases, whose times end with the event, the total alone has a known law.
    """
    found = dict.fromkeys(STATISTICS, float("nan"))
    if kind == "categories":
        found["total"] = upper_p(*_pair(largest_residual, kind, seen.sum(axis=0), drawn.sum(axis=1)))
    elif kind in ("rates", "binomial", "survival"):
        found["total"] = two_sided(float(seen.sum()), drawn.sum(axis=1))
    if kind == "survival":
        return found
    found["chi_squared"] = upper_p(*_pair(chi_squared, kind, seen, drawn))
    found["largest_residual"] = upper_p(*_pair(largest_residual, kind, seen, drawn))
    if kind in ("rates", "binomial", "categories"):
        inner = tuple(range(1, drawn.ndim))
        found["zeros"] = two_sided(float((seen < 0.5).sum()), (drawn < 0.5).sum(axis=inner).astype(np.float64))
    return found


def _pair(statistic: Statistic, kind: str, seen: F64, drawn: F64) -> tuple[float, F64]:
    return float(statistic(kind, seen, drawn)), statistic(kind, drawn, drawn)


def scatter(kind: str, seen: F64, drawn: F64) -> float:
    """Sum of squared residuals of the data over its mean in predictions: 2 if cells scatter twice as much."""
    t, replicated = _pair(chi_squared, kind, seen, drawn)
    return t / max(float(replicated.mean()), 1e-300)


def prior_p(kind: str, seen: F64, drawn: F64) -> float:
    """p-value of the data under the prior: prior–data conflict (Evans & Moshonov 2006).

    Of counts, the total, two-sided; of categories and experts, the sum of squared standardised deviations
    from what the prior predicts, upper tail.
    """
    if kind in ("rates", "binomial", "survival"):
        return two_sided(float(seen.sum()), drawn.sum(axis=1))
    if kind == "categories":
        seen, drawn = seen.sum(axis=0), drawn.sum(axis=1)
    return upper_p(*_pair(chi_squared, kind, seen, drawn)) if kind != "agreement" else float("nan")


def reported(kind: str, seen: F64, drawn: F64) -> tuple[float, F64]:
    """What the table shows: the total, or that of the first category; of other kinds the sum of squares."""
    if kind == "categories":
        return float(seen[:, 0].sum()), drawn[:, :, 0].sum(axis=1)
    if kind in ("rates", "binomial", "survival"):
        return float(seen.sum()), drawn.sum(axis=1)
    return _pair(chi_squared, kind, seen, drawn)
