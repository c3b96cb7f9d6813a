"""What a flag decides, by weighted paths that end where it is set: against the exact solver, and how much it gains.

As in test_estimate.py: `DRAWS` equal draws, whose groups are independent, and a standard error with as many degrees of
freedom, of which 4.5 are a false alarm in 60,000 for each figure. Seeds are fixed.
"""

import numpy as np
import pytest

from forecast.estimate import difference, estimate, estimate_each
from forecast.process.compile import Program, compile_process
from forecast.process.decided import parts_of
from forecast.process.exact import exact_forecast
from tests.generate import cases, generate
from tests.reference.processes import random_process
from tests.statistical.test_deal import teaching
from tests.statistical.test_estimate import DRAWS, INTERPRETED, LIMIT, MADE_UP, PATHS, TIMES, tiled

compiled_only = pytest.mark.skipif(INTERPRETED, reason="takes too many paths for Python")
MANY = [*cases(42), *((MADE_UP, n) for n in range(40))]
FEW = MANY[:14] if INTERPRETED else MANY


def everything(program: Program) -> list[tuple[str, str]]:
    names = {"cause": program.causes, "outcome": program.outcomes, "state": program.flags}
    return [(kind, name) for kind, all_ in names.items() for name in all_]


def decided_names(program: Program) -> list[tuple[str, str]]:
    parts = [p for p in parts_of(program, everything(program)) if p.program is not program]
    return [name for p in parts for name in p.names]


def exact_of(program: Program, names: list[tuple[str, str]], times: np.ndarray) -> np.ndarray:
    """(time, name)."""
    exact = exact_forecast(program, 0, times)
    table = np.concatenate([exact.cause, exact.outcome, exact.state], axis=1)
    return np.clip(table[:, [everything(program).index(n) for n in names]], 0.0, 1.0)


def worst(kind: str, seed: int) -> float:
    """Largest z of what is decided; 0 where nothing is."""
    process, draws = random_process(seed, 1, exact=True) if kind == MADE_UP else generate(kind, seed, n_draw=1)
    one, many = (compile_process(process, tiled(draws, n)) for n in (1, DRAWS))
    if not (names := decided_names(one)):
        return 0.0
    times = TIMES * process.horizon
    wanted, largest = exact_of(one, names, times), 0.0
    for sobol in (True, False):
        e = estimate_each(many, names, seed=400 + seed, times=times, replicates=PATHS // DRAWS, sobol=sobol)
        floor = np.where(e.ess < 100.0, 2.0, 1.0) / e.paths
        z = np.abs(e.mean.mean(axis=0) - wanted) / np.maximum(e.mcse, floor)
        largest = max(largest, float(z.max()))
    return largest


def test_what_is_decided_agrees_with_the_exact_solver():
    """Of 82 processes those that have a lasting flag, twice: 4.5 standard errors, a false alarm in 1 of 40 seeds."""
    found = np.array([worst(*c) for c in FEW])
    assert found.max() < LIMIT
    assert (found > 0.0).sum() >= (2 if INTERPRETED else 12)


DEAL = [("state", "signed"), ("cause", "no_deal")]


@compiled_only
def test_a_signature_is_estimated_far_better():
    """The teaching deal: right to 4.5 standard errors, and 16 to 30 times less variance than on paths that go on."""
    program, times = teaching(DRAWS), np.array([1.0, 3.0, teaching(1).horizon])
    names = [*DEAL, ("cause", "shooting")]
    settings = {"seed": 3, "times": times, "replicates": 128}
    e, plain = estimate_each(program, names, **settings), estimate(program, flags=["signed"], **settings)
    z = (e.mean.mean(axis=0) - exact_of(teaching(1), names, times)) / np.maximum(e.mcse, 1.0 / e.paths)
    assert np.abs(z).max() < LIMIT
    ratio = plain.noise[:, [plain.column(*n) for n in names]] / np.maximum(e.noise, 1e-30)
    assert (ratio[:, :2] > 10.0).all()
    np.testing.assert_array_equal(ratio[:, 2], 1.0)


@compiled_only
@pytest.mark.parametrize(("name", "value"), [("south_reservation", 0.4), ("talks_collapse", 0.36)])
def test_differences_are_paired_on_paths_that_end(name, value):
    """A vote's odds, and what ends the talks: the difference is right, and shared luck still pays.

    The variance is 120 to 2,800 times less than of runs with luck of their own, and 20 to 4,000 times less than of
    paths that go on.
    """
    times = np.array([1.0, teaching(1).horizon])
    settings = {"seed": 5, "times": times, "replicates": 128}
    a, b = (estimate_each(teaching(DRAWS, **c), DEAL, **settings) for c in ({}, {name: value}))
    change, mcse = difference(a, b)
    true = exact_of(teaching(1, **{name: value}), DEAL, times) - exact_of(teaching(1), DEAL, times)
    assert np.abs((change - true) / np.maximum(mcse, 1e-7)).max() < LIMIT
    other = estimate_each(teaching(DRAWS, **{name: value}), DEAL, **{**settings, "seed": 6})
    plain = [estimate(teaching(DRAWS, **c), flags=["signed"], **settings) for c in ({}, {name: value})]
    unpaired, going_on = difference(a, other)[1], difference(*plain)[1][:, [plain[0].column(*n) for n in DEAL]]
    assert (unpaired**2 > 50.0 * mcse**2).all()
    assert (going_on**2 > 10.0 * mcse**2).all()
