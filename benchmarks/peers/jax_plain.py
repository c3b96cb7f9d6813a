"""JAX as one writes it: a function that follows one path, with a key of its own, by a while loop; `jit(vmap(path))`.

`jax_loop` is what tuning made of it. Rates are written out hazard by hazard, which XLA likes better than matrices;
the number of paths at a time was chosen by trial; float32, which is what JAX gives unless told otherwise.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.reading import Chain, Mask

BATCH = 4096  # paths at a time

I64 = NDArray[np.int64]


def about() -> str:
    """Name its version."""
    return f"jax {version('jax')}"


def build(chain: Chain) -> Callable[[int, int], I64]:
    """Make a function of (paths, seed) that gives the paths ended by each cause; whole batches only."""
    batch = jax.jit(jax.vmap(_path(chain)))

    def run(n: int, seed: int) -> I64:
        if n % BATCH:
            raise ValueError(f"paths: a multiple of {BATCH}")
        out = np.zeros(len(chain.causes) + 1, np.int64)
        for key in jax.random.split(jax.random.key(seed), n // BATCH):
            cause = batch(jax.random.split(key, BATCH))
            out += np.bincount(np.asarray(cause) + 1, minlength=len(out))
        return out[1:]

    return run


def _path(chain: Chain) -> Callable[[Any], Any]:
    """Make the function of a key that follows a path and returns the cause of its end, −1 if it does not end."""
    to_set, to_keep = jnp.array([j.set for j in chain.jumps]), jnp.array([~j.clear for j in chain.jumps])
    ends = jnp.array([j.end for j in chain.jumps])

    def holds(mask: Mask, flags: Any) -> Any:
        return (flags & (mask.want | mask.forbid)) == mask.want

    def rates(flags: Any) -> Any:
        out = []
        for jump in chain.jumps:
            rate = jnp.where(holds(jump.when, flags), jump.rate, 0.0)
            for mask, factor in jump.factors:
                rate *= jnp.where(holds(mask, flags), factor, 1.0)
            out.append(rate)
        return jnp.stack(out)

    def step(state: Any) -> Any:
        key, t, flags, _ = state
        key, now = jax.random.split(key)
        u = jax.random.uniform(now, (2,))
        cumulative = jnp.cumsum(rates(flags))
        t -= jnp.log1p(-u[0]) / cumulative[-1]
        k = jnp.sum(cumulative <= u[1] * cumulative[-1])
        return key, t, (flags | to_set[k]) & to_keep[k], jnp.where(t <= chain.horizon, ends[k], -1)

    def path(key: Any) -> Any:
        start = (key, jnp.float32(0.0), jnp.int32(chain.first), jnp.int32(-1))
        return jax.lax.while_loop(lambda s: (s[1] < chain.horizon) & (s[3] < 0), step, start)[3]

    return path
