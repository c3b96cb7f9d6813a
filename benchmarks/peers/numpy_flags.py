"""NumPy on the Markov problem with the flags as they are: no table of states, so it carries to any number of flags.

How it was made fast: all paths of a batch take their next event together, and those that have ended are dropped at
every step; log rates and unmet conditions of all hazards are two matrix products of the flags; the next hazard is
found by a matrix product with a triangle and by counting bits of a comparison; float32 but for times; the batch was
chosen by trial.
"""

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.reading import Chain, Mask

BATCH = 4096
WIDTH = 16

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]


def about() -> str:
    """Name its version."""
    return f"numpy {version('numpy')}"


def build(chain: Chain) -> Callable[[int, int], I64]:
    """Make a function of (paths, seed) that gives the paths ended by each cause."""
    work = _Arrays(chain)

    def run(n: int, seed: int) -> I64:
        rng = np.random.Generator(np.random.SFC64(seed))
        out = np.zeros(len(chain.causes), np.int64)
        with np.errstate(divide="ignore"):
            for first in range(0, n, BATCH):
                out += work.batch(min(BATCH, n - first), rng)
        return out

    return run


def _linear(masks: list[Mask], weights: list[float], n_flag: int) -> tuple[F32, float]:
    """Row and constant of Σ weight · (literal fails), for masks of one literal each."""
    row, constant = np.zeros(n_flag, np.float32), 0.0
    for mask, weight in zip(masks, weights, strict=True):
        for f in range(n_flag):
            if mask.want >> f & 1:
                row[f] -= weight
                constant += weight
            elif mask.forbid >> f & 1:
                row[f] += weight
    return row, constant


class _Arrays:
    """The chain as matrices. Flags are a column of ones and one column a flag."""

    def __init__(self, chain: Chain) -> None:
        n_flag, n = len(chain.names), len(chain.jumps)
        self.horizon, self.n_cause = chain.horizon, len(chain.causes)
        self.width = -(-n // WIDTH) * WIDTH
        self.first = np.array([1.0, *(chain.first >> f & 1 for f in range(n_flag))], np.float32)
        self.matrix = np.zeros((1 + n_flag, self.width), np.float32)
        self.matrix[0] = -np.inf
        for k, j in enumerate(chain.jumps):
            factors = [(m, -float(np.log(f))) for m, f in j.factors]
            row, constant = _linear([m for m, _ in factors], [f for _, f in factors], n_flag)
            base = np.log(j.rate) - sum(f for _, f in factors)
            unmet, never = _linear([j.when], [100.0], n_flag)
            self.matrix[1:, k] = row - unmet
            self.matrix[0, k] = base + constant - never
        self.triangle = np.triu(np.ones((self.width, self.width), np.float32))
        bit = np.arange(n_flag)
        self.set = np.array([[0, *(j.set & ~j.clear) >> bit & 1] for j in chain.jumps], np.float32)
        self.keep = np.array([[1, *(~j.clear) >> bit & 1] for j in chain.jumps], np.float32)
        self.end = np.array([j.end for j in chain.jumps])

    def batch(self, n: int, rng: np.random.Generator) -> I64:
        """Follow n paths to the horizon."""
        flags, t = np.repeat(self.first[None], n, axis=0), np.zeros(n)
        counts = np.zeros(self.n_cause + 1, np.int64)
        while len(t):
            rates = flags @ self.matrix
            np.exp(rates, out=rates)
            total = rates @ self.triangle
            t += rng.standard_exponential(len(t)) / total[:, -1]
            mark = rng.random(len(t), np.float32)
            mark *= total[:, -1]
            below = np.less_equal(total, mark[:, None]).view(np.uint64)
            k = np.bitwise_count(below[:, 0]).astype(np.int64)
            for j in range(1, below.shape[1]):
                k += np.bitwise_count(below[:, j])
            end = self.end.take(k)
            inside = t <= self.horizon
            counts += np.bincount(1 + end[inside], minlength=self.n_cause + 1)
            on = (inside & (end < 0)).nonzero()[0]
            k = k.take(on)
            flags, t = flags.take(on, axis=0), t.take(on)
            np.maximum(flags, self.set.take(k, axis=0), out=flags)
            flags *= self.keep.take(k, axis=0)
        return counts[1:]
