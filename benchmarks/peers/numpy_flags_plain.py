"""NumPy on the Markov problem with flags as they are, as one writes it in a day; `numpy_flags` is tuned to the limit.

All paths of a batch take their next event together. A path's flags are bits of an integer; the rate of a hazard is its
base where its condition holds, times the factor of each modifier where that one holds. The next hazard is the first
whose cumulative rate exceeds a uniform share of the total. Paths that have ended are dropped at every step.
"""

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.reading import Chain, Mask

BATCH = 16_384  # paths at a time, by trial

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


def about() -> str:
    """Name its version."""
    return f"numpy {version('numpy')}"


def build(chain: Chain) -> Callable[[int, int], I64]:
    """Make a function of (paths, seed) that gives the paths ended by each cause."""
    n_cause = len(chain.causes)
    to_set, to_keep = np.array([j.set for j in chain.jumps]), np.array([~j.clear for j in chain.jumps])
    end = np.array([j.end for j in chain.jumps])

    def batch(n: int, rng: np.random.Generator) -> I64:
        flags, t = np.full(n, chain.first), np.zeros(n)
        counts = np.zeros(n_cause, np.int64)
        while len(t):
            cumulative = cumulative_rates(chain, flags)
            total = cumulative[-1]
            t += rng.standard_exponential(len(t)) / total
            k = (cumulative <= rng.random(len(t)) * total).sum(axis=0)
            inside, cause = t <= chain.horizon, end[k]
            counts += np.bincount(cause[inside & (cause >= 0)], minlength=n_cause)
            going = inside & (cause < 0)
            t, k = t[going], k[going]
            flags = (flags[going] | to_set[k]) & to_keep[k]
        return counts

    def run(n: int, seed: int) -> I64:
        rng = np.random.default_rng(seed)
        return sum((batch(min(BATCH, n - first), rng) for first in range(0, n, BATCH)), np.zeros(n_cause, np.int64))

    return run


def cumulative_rates(chain: Chain, flags: I64) -> F64:
    """Sums (hazard, path) of the rates of a hazard and those before it."""
    out, total = np.empty((len(chain.jumps), len(flags))), np.zeros(len(flags))
    for cumulative, jump in zip(out, chain.jumps, strict=True):
        rate = np.where(holds(jump.when, flags), jump.rate, 0.0)
        for mask, factor in jump.factors:
            rate *= np.where(holds(mask, flags), factor, 1.0)
        total += rate
        cumulative[:] = total
    return out


def holds(mask: Mask, flags: I64) -> NDArray[np.bool_]:
    """Paths whose flags are as a mask wants them."""
    return flags & (mask.want | mask.forbid) == mask.want
