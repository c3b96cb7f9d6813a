"""Differences between two variants of a deal that share their draws and their luck."""

from dataclasses import dataclass

import numpy as np

from forecast.estimate import Estimates, difference
from forecast.types import F64

COLUMNS = 512  # quantities that are summarised together


@dataclass(frozen=True)
class Change:
    """A difference (…,): its mean, 5 % and 95 % quantiles over draws, and the mean's Monte Carlo standard error."""

    mean: F64
    lower: F64
    upper: F64
    mcse: F64


def paired(before: F64, after: F64) -> Change:
    r"""Summarise `after` − `before`, draw by draw and group by group of paths.

    With c_dg the difference in group g of draw d, the mean is that of all c. Between the groups of a draw only chance
    differs, so that N = mean_d(var_g(c_dg) / G) is the Monte Carlo variance of a draw's difference, without bias,
    and sqrt(N / D) the error of the mean (`estimate.difference`). The interval is that of the draws' differences with
    that noise taken out: deviations from the mean are shrunk by sqrt(max(0, 1 − N / V)), V their variance.

    Parameters
    ----------
    before, after
        Shape (draw, group, …): group means. With one group they are taken to be exact.

    Examples
    --------
    >>> a = np.zeros((3, 2, 1))
    >>> c = paired(a, a + np.array([0.1, 0.2, 0.3])[:, None, None])
    >>> [round(float(x[0]), 3) for x in (c.mean, c.lower, c.upper, c.mcse)]
    [0.2, 0.11, 0.29, 0.0]
    """
    shape = before.shape[2:]
    flat = [x.reshape(*x.shape[:2], -1) for x in (before, after)]
    parts = [_paired(*(x[..., k : k + COLUMNS] for x in flat)) for k in range(0, flat[0].shape[2], COLUMNS)]
    rows = np.concatenate([np.zeros((4, 0)), *parts], axis=1)
    return Change(*(row.reshape(shape) for row in rows))


def level(p: F64) -> Change:
    """Summarise probabilities in the same way: shape (draw, group, …); the interval stays within 0 and 1."""
    found = paired(np.zeros_like(p), p)
    return Change(found.mean, np.clip(found.lower, 0.0, 1.0), np.clip(found.upper, 0.0, 1.0), found.mcse)


def _paired(before: F64, after: F64) -> F64:
    """Mean, lower, upper and error (4, column) of group means (draw, group, column)."""
    n_draw, groups, n = before.shape
    change = after - before
    by_draw = change.mean(axis=1)
    mean, mcse = by_draw.mean(axis=0), np.zeros(n)
    if groups > 1:
        names = tuple(("state", str(k)) for k in range(n))
        ess, time = np.full((1, n), np.inf), np.zeros(1)
        a, b = (Estimates(time, names, x[:, :, None], ess, n_draw) for x in (before, after))
        mean, mcse = (x[0] for x in difference(a, b))
    spread = by_draw.var(axis=0, ddof=1) if n_draw > 1 else np.zeros(n)
    ratio = np.divide(mcse**2 * n_draw, spread, out=np.ones(n), where=spread > 0)
    keep = np.sqrt(np.clip(1.0 - ratio, 0.0, 1.0))
    low, high = np.quantile(by_draw, [0.05, 0.95], axis=0)
    lower, upper = (np.clip(mean + keep * (q - mean), -1.0, 1.0) for q in (low, high))
    result: F64 = np.stack([mean, lower, upper, mcse])
    return result
