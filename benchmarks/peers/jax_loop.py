"""JAX: one compiled while loop, in which every lane of a vector follows one path after the other.

How it was made fast: the rates are written out hazard by hazard, so that XLA makes one vectorised loop of a step (the
same with matrix products or a cumulative sum is 4 × slower); lanes take a new path as soon as theirs has ended, as
arrays cannot be made smaller under way (2 × faster than waiting for the longest path; every lane does the same number
of paths, so nothing is biased); a key a step, threefry (faster here than XLA's own generator); `vmap` of a whole path,
with a key each, is 20 × slower. float32 but for the counts: a path is a dozen sums, so nothing needs x64.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.reading import Chain, Jump

LANES, TURNS = 1024, 128
BATCH = LANES * TURNS

I64 = NDArray[np.int64]


def about() -> str:
    """Name its version."""
    return f"jax {version('jax')}"


def build(chain: Chain) -> Callable[[int, int], I64]:
    """Make a function of (paths, seed) that gives the paths ended by each cause; whole batches only."""
    compiled = jax.jit(_batch(chain))

    def run(n: int, seed: int) -> I64:
        if n % BATCH:
            raise ValueError(f"paths: a multiple of {BATCH}")
        out = np.zeros(len(chain.causes), np.int64)
        for key in jax.random.split(jax.random.key(seed), n // BATCH):
            out += np.asarray(compiled(key))
        return out

    return run


def _rate(jump: Jump, flags: Any) -> Any:
    """Rate of a jump on every lane."""
    on = ((flags & jump.when.want) == jump.when.want) & ((flags & jump.when.forbid) == 0)
    rate = jnp.where(on, jnp.float32(jump.rate), jnp.float32(0.0))
    for mask, factor in jump.factors:
        on = ((flags & mask.want) == mask.want) & ((flags & mask.forbid) == 0)
        rate = jnp.where(on, rate * jnp.float32(factor), rate)
    return rate


def _batch(chain: Chain) -> Callable[[Any], Any]:
    """Make the function of a key that follows LANES · TURNS paths."""
    to_set, to_keep = jnp.array([j.set for j in chain.jumps]), jnp.array([~j.clear for j in chain.jumps])
    ends = jnp.array([j.end for j in chain.jumps])
    causes = jnp.arange(len(chain.causes))[:, None]

    def step(state: Any) -> Any:
        flags, t, left, counts, key = state
        key, now = jax.random.split(key)
        u = jax.random.uniform(now, (2, LANES))
        total = jnp.zeros(LANES, jnp.float32)
        cumulative = []
        for jump in chain.jumps:
            total = total + _rate(jump, flags)
            cumulative.append(total)
        mark = u[1] * total
        k = sum((mark >= c).astype(jnp.int32) for c in cumulative[:-1])
        t = t - jnp.log1p(-u[0]) / total
        end = jnp.where(t <= chain.horizon, ends[k], -1)
        over = (t > chain.horizon) | (end >= 0)
        counts = counts + ((end == causes) & (left > 0))
        flags = jnp.where(over, chain.first, (flags | to_set[k]) & to_keep[k])
        return flags, jnp.where(over, jnp.float32(0.0), t), left - over, counts, key

    def batch(key: Any) -> Any:
        lanes = jnp.full(LANES, chain.first, jnp.int32)
        counts = jnp.zeros((len(chain.causes), LANES), jnp.int32)
        start = (lanes, jnp.zeros(LANES, jnp.float32), jnp.full(LANES, TURNS, jnp.int32), counts, key)
        return jax.lax.while_loop(lambda s: jnp.any(s[2] > 0), step, start)[3].sum(axis=1)

    return batch
