"""NumPy on the Markov problem with a table of all states, for one draw: what does not carry to many flags or draws.

How it was made fast: total rates and the next state of every state are in tables, the next state by Walker's alias
method (exact: one uniform, two look-ups); all paths of a batch take their next event together, and those that have
ended are dropped at every step; the batch was chosen by trial.
"""

from collections.abc import Callable
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.reading import Chain

BATCH = 32_768

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


def about() -> str:
    """Name its version."""
    return f"numpy {version('numpy')}"


def build(chain: Chain) -> Callable[[int, int], I64]:
    """Make a function of (paths, seed) that gives the paths ended by each cause."""
    mean, chance, stay, other, n_state = tables(chain)
    width, n_cause = chance.size // n_state, len(chain.causes)

    def batch(n: int, rng: np.random.Generator) -> I64:
        state, t = np.full(n, chain.first), np.zeros(n)
        counts = np.zeros(n_cause, np.int64)
        while len(t):
            t += rng.standard_exponential(len(t)) * mean.take(state)
            u = rng.random(len(t))
            u *= width
            slot = u.astype(np.int64)
            u -= slot
            slot += state * width
            state = np.where(u < chance.take(slot), stay.take(slot), other.take(slot))
            inside = t <= chain.horizon
            ended = inside & (state < 0)
            counts += np.bincount(-1 - state[ended], minlength=n_cause)
            on = (inside ^ ended).nonzero()[0]
            state, t = state.take(on), t.take(on)
        return counts

    def run(n: int, seed: int) -> I64:
        rng = np.random.Generator(np.random.SFC64(seed))
        out = np.zeros(len(chain.causes), np.int64)
        for start in range(0, n, BATCH):
            out += batch(min(BATCH, n - start), rng)
        return out

    return run


def tables(chain: Chain) -> tuple[F64, F64, I64, I64, int]:
    """Mean time in each state; its alias table: chance of the slot's own target, that target, the other one.

    A target is a state, or −1 − cause.
    """
    n_state, width = 1 << len(chain.names), 1
    while width < len(chain.jumps):
        width *= 2
    mean = np.full(n_state, np.inf)
    chance, stay, other = np.ones((n_state, width)), np.zeros((n_state, width), int), np.zeros((n_state, width), int)
    for s in range(n_state):
        rates = np.array(chain.rates(s))
        total = rates.sum()
        if total == 0.0:
            continue
        mean[s] = 1.0 / total
        target = [-1 - j.end if j.end >= 0 else j.after(s) for j in chain.jumps]
        chance[s], stay[s], other[s] = alias(rates / total, np.array(target), width)
    return mean, chance.ravel(), stay.ravel(), other.ravel(), n_state


def alias(p: F64, target: I64, width: int) -> tuple[F64, I64, I64]:
    """Walker's alias table of a distribution, in Vose's way."""
    share = np.zeros(width)
    share[: len(p)] = p * width
    own = np.zeros(width, int)
    own[: len(p)] = target
    chance, other = np.ones(width), own.copy()
    small = [i for i in range(width) if share[i] < 1.0]
    large = [i for i in range(width) if share[i] >= 1.0]
    while small and large:
        a, b = small.pop(), large[-1]
        chance[a], other[a] = share[a], own[b]
        share[b] -= 1.0 - share[a]
        if share[b] < 1.0:
            small.append(large.pop())
    return chance, own, other
