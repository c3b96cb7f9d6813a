"""The kernel against closed forms, and against the exact solver on processes made up at random.

Tolerances are in standard errors of a counted fraction, √(p(1 − p)/n), but at least 2/n, which is what
the Poisson tail of an event that is hardly ever seen calls for. The seeds are fixed, so that a test
passes for ever or fails for ever; the false-alarm rates say how likely a fresh seed would fail.

FORECAST_TEST_PATHS sets the number of paths of every test here (the default run takes 2e5, the slow one 1e6).
"""

import os

import numpy as np
import pytest

from forecast.process.compile import compile_process
from forecast.process.exact import exact_forecast
from forecast.simulate import simulate
from tests.oracles.closed_forms import CASES, GRID
from tests.reference.processes import random_process

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
PATHS = int(os.environ.get("FORECAST_TEST_PATHS", "500" if INTERPRETED else "200000"))
SLOW_PATHS = max(PATHS, 1_000_000)


def worst(got: np.ndarray, wanted: np.ndarray, n: int) -> float:
    """Largest distance in standard errors; an impossible or certain event must be seen never or always."""
    p = np.clip(wanted, 0.0, 1.0)
    se = np.sqrt(p * (1 - p) / n)
    certain = se < 1e-9
    assert (np.abs(got - p)[certain] < 1e-9).all()
    return float((np.abs(got - p) / np.maximum(se, 2.0 / n))[~certain].max(initial=0.0))


@pytest.mark.parametrize("name", CASES)
def test_kernel_gives_the_closed_form(name):
    """At most 8 numbers a case, 12 cases, 4.5 standard errors: a false alarm in 1 of 1,500 seeds."""
    case = CASES[name]()
    program = compile_process(case.process, case.draws)
    counts = simulate(program, seed=2025, replicates=PATHS, grid=GRID)
    names = {"cause": program.causes, "outcome": program.outcomes, "state": program.flags}
    for (kind, id_), f in case.wanted.items():
        got = getattr(counts, kind)[0, :, names[kind].index(id_)] / PATHS
        assert worst(got, np.array([f(t) for t in GRID]), PATHS) < 4.5, (kind, id_)


def distance(number: int, paths: int) -> float:
    process, draws = random_process(number, 1, exact=True)
    program = compile_process(process, draws)
    grid = np.linspace(0.0, program.horizon, 7)
    exact = exact_forecast(program, 0, grid)
    counts = simulate(program, seed=number, replicates=paths, grid=grid)
    kinds = ("cause", "outcome", "state")
    return max(worst(getattr(counts, k)[0] / paths, getattr(exact, k), paths) for k in kinds)


@pytest.mark.parametrize("number", range(40))
def test_kernel_agrees_with_the_exact_solver(number):
    """40 processes, about 40 independent numbers each, 4.5 standard errors: a false alarm in 1 of 90 seeds."""
    assert distance(number, PATHS) < 4.5


@pytest.mark.slow
def test_kernel_agrees_with_the_exact_solver_at_a_million_paths():
    """120 processes: none beyond 5 standard errors, at most 2 beyond 4 (chance alone: 0.3; 1 in 250 seeds)."""
    distances = np.array([distance(number, SLOW_PATHS) for number in range(120)])
    assert distances.max() < 5.0
    assert (distances > 4.0).sum() <= 2
