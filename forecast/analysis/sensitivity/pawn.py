"""PAWN: how far knowing a parameter moves the whole distribution of a headline, not only its variance."""

from dataclasses import dataclass

import numpy as np

from forecast.analysis.sensitivity.batches import batch_of
from forecast.types import F64, I64

SLICES = 10
LEVELS = 100  # of the headline at which distributions are compared
DUMMIES = 1000
BOOTSTRAPS = 50
FLOOR = 0.999  # quantile of dummies


def slices(score: F64) -> I64:
    """Number each draw's slice of a parameter (draw,): equal shares of the draws, or the values where they are few."""
    values, at = np.unique(score, return_inverse=True)
    if len(values) <= SLICES:
        few: I64 = at.astype(np.int64)
        return few
    cuts = np.quantile(score, np.arange(1, SLICES) / SLICES)
    equal: I64 = np.searchsorted(cuts, score, side="right").astype(np.int64)
    return equal


def levels(y: F64) -> I64:
    """Number each draw's level of a headline (draw,): those of equal shares of the draws."""
    cuts = np.unique(np.quantile(y, np.arange(1, LEVELS) / LEVELS))
    number: I64 = np.searchsorted(cuts, y, side="left").astype(np.int64)
    return number


def distance(table: F64) -> F64:
    """Mean over slices of the largest gap between a slice's distribution and that of all: (...,).

    table (..., slice, level): draws in each cell; empty slices don't count.
    """
    size = table.sum(axis=-1)
    each = np.cumsum(table, axis=-1) / np.maximum(size, 1.0)[..., None]
    every = np.cumsum(table.sum(axis=-2), axis=-1)
    gap = np.abs(each - (every / every[..., -1:])[..., None, :]).max(axis=-1)
    used = size > 0
    result: F64 = (gap * used).sum(axis=-1) / used.sum(axis=-1)
    return result


@dataclass(frozen=True)
class Dummy:
    """What a parameter that does nothing shows: the quantile `FLOOR` of its index, and the standard deviation."""

    floor: float
    sd: float


def pawn(slice_of: I64, level_of: I64, dummy: Dummy, rng: np.random.Generator) -> tuple[float, float]:
    r"""Estimate the PAWN index of one parameter for one headline, and its standard error.

    The mean over slices of x of the Kolmogorov–Smirnov distance sup_t |F(t | x in the slice) − F(t)|: by
    how many points of probability the distribution of the headline moves once x is known. It is never 0 in a
    sample: compare it with the floor of `dummies`. The error is from a bootstrap of blocks of neighbouring draws;
    below the floor it is that of a dummy.

    Parameters
    ----------
    slice_of, level_of
        From `slices` and `levels`: (draw,).
    dummy
        From `dummies`.
    rng
        For the bootstrap.

    References
    ----------
    Pianosi & Wagener 2018, Environ. Model. Softw. 108:197; Künsch 1989, Ann. Stat. 17:1217 (block bootstrap).
    """
    shape = (int(slice_of.max()) + 1, int(level_of.max()) + 1)
    cell, block = slice_of * shape[1] + level_of, batch_of(len(slice_of))
    index = float(distance(np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)))
    if index <= dummy.floor:
        return index, dummy.sd
    n_block, n_cell = int(block.max()) + 1, shape[0] * shape[1]
    by_block = np.bincount(block * n_cell + cell, minlength=n_block * n_cell).reshape(n_block, n_cell)
    times = rng.multinomial(n_block, np.full(n_block, 1.0 / n_block), BOOTSTRAPS).astype(np.float32)
    again = distance((times @ by_block.astype(np.float32)).astype(np.float64).reshape(-1, *shape))
    return index, float(again.std(ddof=1))


def dummies(slice_of: I64, rng: np.random.Generator) -> Dummy:
    """Shuffle a parameter many times against a headline without ties: ties only bring distributions nearer."""
    n = len(slice_of)
    level_of = levels(np.arange(n, dtype=np.float64))
    shape = (int(slice_of.max()) + 1, int(level_of.max()) + 1)
    seen = np.empty(DUMMIES)
    for k in range(DUMMIES):
        cell = rng.permutation(slice_of) * shape[1] + level_of
        seen[k] = distance(np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64))
    return Dummy(float(np.quantile(seen, FLOOR)), float(seen.std()))
