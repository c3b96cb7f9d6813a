"""Standard errors that hold for draws in the order of their chains, whose neighbours may be alike."""

import numpy as np

from forecast.types import F64, I64

BATCHES = 50


def batch_of(n: int, batches: int = BATCHES) -> I64:
    """Number each draw's batch: as many runs of neighbours as there are, or one a draw where draws are few."""
    numbers: I64 = np.arange(n) * min(batches, n) // n
    return numbers


def batch_error(influence: F64) -> F64:
    """Standard error of the mean over draws of `influence` (draw, ...), from the means of batches.

    References
    ----------
    Flegal & Jones 2010, Ann. Stat. 38:1034.

    Examples
    --------
    >>> x = np.random.default_rng(1).normal(size=5000)
    >>> round(float(batch_error(x)) * 5000**0.5, 1)  # 1 up to the 10 % that 50 batches leave
    1.1
    """
    n = len(influence)
    at = batch_of(n)
    starts = np.flatnonzero(np.diff(at, prepend=-1))
    size = np.diff([*starts, n])
    shape = (-1,) + (1,) * (influence.ndim - 1)
    means = np.add.reduceat(influence, starts, axis=0) / size.reshape(shape)
    error: F64 = means.std(axis=0, ddof=1) / np.sqrt(len(starts))
    return error
