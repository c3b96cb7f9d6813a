"""The statistics of simulation-based calibration against exact laws, and the swapping of data against a new model."""

import numpy as np
import pytest
from scipy import stats

from forecast.calibrate.sbc.ranks import KEPT, below, chi_squared, coverage, envelope, envelope_p, grid, p_of_gamma

N = 200


def uniform(n_study, n=N, seed=1):
    return np.random.default_rng(seed).integers(0, KEPT + 1, (n_study, n))


def test_the_envelope_holds_as_often_as_it_says():
    """2000 studies of 200 uniform ranks: share of p below 0.05 within 4 standard errors (0.03 to 0.07)."""
    p = np.array([envelope_p(r) for r in uniform(2000)])
    assert abs((p < 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000)
    assert abs((p < 0.5).mean() - 0.5) < 4 * np.sqrt(0.25 / 2000) + 0.02  # it is discrete
    low, high = envelope(N, 0.05)
    left = [bool(((below(r) / N < low) | (below(r) / N > high)).any()) for r in uniform(2000, seed=2)]
    assert abs(np.mean(left) - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000)


def test_the_recursion_is_exact_for_one_point_of_the_grid():
    """With gamma so small that only the first point can be left, the law is binomial."""
    n, z = 3, grid()[0]
    gamma = 2 * stats.binom.sf(2, n, z) * 1.0001  # all three ranks below the first point, or the mirror image
    assert p_of_gamma(n, gamma) == pytest.approx(2 * z**3, rel=1e-9)


def test_chi_squared_is_uniform_under_the_null():
    p = np.array([chi_squared(r) for r in uniform(2000, seed=3)])
    assert abs((p < 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / 2000) + 0.005


@pytest.mark.parametrize(
    "skewed",
    [
        lambda u: u**1.7,  # estimates too high
        lambda u: np.clip(0.5 + 1.6 * (u - 0.5), 0, 0.9999),  # intervals too narrow
        lambda u: 0.5 + 0.6 * (u - 0.5),  # intervals too wide
    ],
)
def test_uneven_ranks_are_noticed(skewed):
    u = np.random.default_rng(4).random(500)
    ranks = (skewed(u) * (KEPT + 1)).astype(int)
    assert min(chi_squared(ranks), envelope_p(ranks)) < 1e-5


def test_intervals_count_the_ranks_between_their_edges():
    every = np.arange(KEPT + 1)
    assert coverage(every, 0.5) == 0.5
    assert coverage(every, 0.9) == 0.9
