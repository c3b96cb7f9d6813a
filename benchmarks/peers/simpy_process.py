"""SimPy: a Python process that waits for the next event of a path, then for that of the next path.

How it was made fast: one process and one pending event at any time, as the paths are taken one after the other; rates
of a state are worked out when it is first seen; the next event is found by bisection.
"""

import random
from bisect import bisect_left
from collections.abc import Callable, Iterator
from importlib.metadata import version
from itertools import accumulate
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from benchmarks.peers.reading import Chain

I64 = NDArray[np.int64]


def about() -> str:
    """Name its version."""
    return f"simpy {version('simpy')}"


class _States(dict[int, tuple[float, list[float], list[int]]]):
    """Total rate of a state, cumulative rates and targets (a state, or −1 − cause), worked out when first asked for."""

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.chain = chain

    def __missing__(self, flags: int) -> tuple[float, list[float], list[int]]:
        live = [(r, j) for r, j in zip(self.chain.rates(flags), self.chain.jumps, strict=True) if r > 0.0]
        cumulative = list(accumulate(r for r, _ in live))
        targets = [-1 - j.end if j.end >= 0 else j.after(flags) for _, j in live]
        self[flags] = cumulative[-1], cumulative, targets
        return self[flags]


def build(chain: Chain) -> Callable[[int, int], I64]:
    """Make a function of (paths, seed) that gives the paths ended by each cause."""
    states = _States(chain)

    def paths(env: Any, n: int, rng: random.Random, counts: list[int]) -> Iterator[Any]:
        horizon, first = chain.horizon, chain.first
        exponential, uniform, timeout = rng.expovariate, rng.random, env.timeout
        for _ in range(n):
            flags, end = first, env.now + horizon
            while flags >= 0:
                total, cumulative, targets = states[flags]
                wait = exponential(total)
                if env.now + wait > end:
                    break
                yield timeout(wait)
                flags = targets[bisect_left(cumulative, total * uniform())]
            else:
                counts[-1 - flags] += 1
            yield timeout(end - env.now)

    def run(n: int, seed: int) -> I64:
        env, counts = simpy.Environment(), [0] * len(chain.causes)
        env.process(paths(env, n, random.Random(seed), counts))  # noqa: S311
        env.run()
        return np.array(counts)

    return run
