"""SciPy's matrix exponential on the states that can be reached: the exact answer for one draw of a small problem."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from benchmarks.peers.reading import Chain


def build(chain: Chain) -> Callable[[], NDArray[np.float64]]:
    """Make a function that gives the probability of each cause by the horizon, states and rates anew each time."""

    def solve() -> NDArray[np.float64]:
        n_cause, number = len(chain.causes), {chain.first: 0}
        moves: list[tuple[int, int, float]] = []
        for state in (queue := [chain.first]):
            for jump in chain.jumps:
                rate, after = jump.rate_in(state), jump.after(state)
                if rate == 0.0:
                    continue
                if jump.end < 0 and after not in number:
                    number[after] = len(number)
                    queue.append(after)
                moves.append((number[state], -1 - jump.end if jump.end >= 0 else number[after], rate))
        q = np.zeros((len(number) + n_cause,) * 2)
        for i, j, rate in moves:
            q[i, j] += rate
            q[i, i] -= rate
        return np.asarray(expm(chain.horizon * q)[0, len(number) :][::-1])

    return solve
