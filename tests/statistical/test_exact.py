"""The kernel against the exact solver, on generated processes.

Tolerance: 4.5 standard errors for each of about 16 probabilities of 56 processes: a false alarm in
one of 160 seeds, and the seed is fixed. With 2e5 paths a bias of 0.005 in a probability of 0.5 fails;
the slow form (1e6 paths, 4 standard errors as long as they are exceeded no more often than chance
allows) finds 0.002.
"""

import numpy as np
import pytest

from forecast.process.compile import compile_process
from forecast.process.exact import exact_forecast
from forecast.simulate import simulate
from tests.generate import cases, generate


def worst_z(kind: str, seed: int, replicates: int) -> float:
    process, draws = generate(kind, seed, n_draw=1)
    program = compile_process(process, draws)
    grid = np.array([0.0, 1.0, 700 / 365.25, 5.0, program.horizon])
    exact = exact_forecast(program, 0, grid)
    counts = simulate(program, seed=20_250_315 + seed, replicates=replicates, grid=grid)
    worst = 0.0
    for want, got in ((exact.cause, counts.cause), (exact.outcome, counts.outcome), (exact.state, counts.state)):
        p = np.clip(want, 0.0, 1.0)
        error = np.abs(got[0] / replicates - p)
        se = np.sqrt(p * (1 - p) / replicates)
        impossible = se < 1e-9
        assert (error[impossible] < 1e-9).all()
        # an event expected less than ten times is judged by its Poisson tail, through a wider error
        se = np.maximum(se, 2.0 / replicates)
        worst = max(worst, float((error / se)[~impossible].max(initial=0.0)))
    return worst


@pytest.mark.parametrize(("kind", "seed"), cases(56))
def test_kernel_agrees_with_the_exact_solver(kind, seed):
    assert worst_z(kind, seed, 200_000) < 4.5


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed"), cases(200))
def test_kernel_agrees_with_the_exact_solver_at_a_million_paths(kind, seed):
    assert worst_z(kind, seed, 1_000_000) < 4.5
