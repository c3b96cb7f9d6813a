"""The least that a path can cost: its random numbers, made in long batches and not used."""

from typing import NamedTuple

import numpy as np

from forecast.kernels.arith import MASK, S32, W0, W1, log, philox_round, unit
from forecast.kernels.jit import kernel
from forecast.process.compile import Program
from forecast.simulate import Counts

U = np.uint64
KEY = 1
LENGTH = 1024  # numbers at a time: they stay in the first cache


class Numbers(NamedTuple):
    """Random numbers of a path, on average."""

    exponentials: float
    uniforms: float


def numbers_of(program: Program, counts: Counts) -> Numbers:
    """Count: an exponential for each hazard and each time that one fires; a uniform for each choice of a branch."""
    s = program.structure
    n_haz, n_path = len(s.hazards), counts.replicates * program.n_draw
    fired = counts.fired.sum(axis=0) / n_path
    chosen = sum(
        float(fired[n_haz + int(e["branch"]) : n_haz + int(e["branch_end"])].sum())
        for e in s.events
        if e["branch_end"] - e["branch"] > 1
    )
    return Numbers(n_haz + float(fired[:n_haz].sum()), chosen)


@kernel
def fill(c0, c1, c2, c3, even, odd, draw, seed):
    """Make a pair of uniforms for every replicate: `pair` of forecast.kernels.arith, to the bit.

    One pass over all of them a round, with the state in arrays of 32 bits: so the compiler takes vectors.
    """
    for r in range(c0.size):
        c0[r], c1[r], c2[r], c3[r] = 0, KEY, r, draw
    k0, k1 = seed & MASK, seed >> S32
    for n in range(10):
        one_round(c0, c1, c2, c3, (k0 + W0[n]) & MASK, (k1 + W1[n]) & MASK)
    for r in range(even.size):
        even[r], odd[r] = unit(U(c0[r]), U(c1[r])), unit(U(c2[r]), U(c3[r]))


@kernel
def one_round(c0, c1, c2, c3, k0, k1):
    """Do one round of Philox everywhere."""
    for r in range(c0.size):
        a, b, c, d = philox_round(U(c0[r]), U(c1[r]), U(c2[r]), U(c3[r]), k0, k1)
        c0[r], c1[r], c2[r], c3[r] = a, b, c, d


@kernel
def exponentials(uniforms):
    """Turn uniforms into exponentials."""
    for r in range(uniforms.size):
        uniforms[r] = -log(uniforms[r])


@kernel
def many(c0, c1, c2, c3, even, odd, batches, logs, seed):
    """Make batches of pairs, the first `logs` of them exponentials."""
    for d in range(batches):
        fill(c0, c1, c2, c3, even, odd, d, seed)
        if d < logs:
            exponentials(even)
            exponentials(odd)


def make(numbers: Numbers, paths: int) -> None:
    """Make the random numbers of so many paths."""
    words, doubles = [np.empty(LENGTH, np.uint32) for _ in range(4)], [np.empty(LENGTH) for _ in range(2)]
    logs, others = (max(1, round(each * paths / (2 * LENGTH))) for each in numbers)
    many(*words, *doubles, logs + others, logs, U(1))
