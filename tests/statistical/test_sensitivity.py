"""Sensitivities against closed forms: Ishigami, Sobol's g, correlated Gaussians, and decisions between two actions.

Where a figure is compared with a closed form the tolerance is 4.5 of its own standard errors, over fixed seeds: one
false alarm in 150,000. Mean errors over seeds check the bias, which single seeds would hide.
"""

import numpy as np
import pytest
from scipy.stats import ks_2samp, norm

from forecast.analysis.sensitivity import pawn, prim
from forecast.analysis.sensitivity.batches import batch_error
from forecast.analysis.sensitivity.scores import innovations, joint, normal_scores
from forecast.analysis.sensitivity.smooth import curve, smooth_curve, smooth_surface
from forecast.analysis.sensitivity.tornado import swing
from forecast.analysis.sensitivity.value import (
    decision_value,
    explained,
    floor,
    log_score,
    perfect_value,
    spread,
    spread_saved,
)

DRAWS, TOLERANCE = 4000, 4.5
SEEDS = range(24)


def index(x, y, noise=0.0):
    """First-order index of one number: estimate and error."""
    return both(explained(spread(y[:, None], np.array([noise])), fit_of(x, y)))


def both(value):
    return float(value.estimate[0]), float(value.error[0])


def fit_of(x, y):
    return smooth_curve(curve(normal_scores(x[:, None])[:, 0]), y[:, None])


def ishigami(seed):
    x = np.random.default_rng(seed).uniform(-np.pi, np.pi, (DRAWS, 3))
    return x, np.sin(x[:, 0]) + 7.0 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def sobol_g(seed):
    a = np.array([0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0])
    x = np.random.default_rng(seed).random((DRAWS, 8))
    return x, np.prod((np.abs(4.0 * x - 2.0) + a) / (1.0 + a), axis=1)


V_ISHIGAMI = 49.0 / 8.0 + 0.1 * np.pi**4 / 5.0 + 0.01 * np.pi**8 / 18.0 + 0.5
S_ISHIGAMI = np.array([0.5 * (1.0 + 0.1 * np.pi**4 / 5.0) ** 2, 49.0 / 8.0, 0.0]) / V_ISHIGAMI
PARTS_G = 1.0 / (3.0 * (1.0 + np.array([0.0, 1.0, 4.5, 9.0, 99.0, 99.0, 99.0, 99.0])) ** 2)
S_G = PARTS_G / (np.prod(1.0 + PARTS_G) - 1.0)


@pytest.mark.parametrize(("function", "exact"), [(ishigami, S_ISHIGAMI), (sobol_g, S_G)], ids=["Ishigami", "Sobol g"])
def test_first_order_indices_of_test_functions(function, exact):
    """Of 24 seeds each within 4.5 errors; their mean within 0.01 of the truth; errors of the right size."""
    found = np.array([[index(x, y) for x in xs.T] for xs, y in map(function, SEEDS)])  # (seed, number, 2)
    estimate, error = found[..., 0], found[..., 1]
    off = (estimate - exact) / error
    assert np.abs(off).max() < TOLERANCE
    assert np.abs(estimate.mean(axis=0) - exact).max() < 0.01
    large = exact > 0.05
    assert np.all(off.std(axis=0)[large] < 1.5)
    assert np.all(off.std(axis=0)[large] > 0.6)


def test_an_index_does_not_depend_on_the_scale_of_the_parameter():
    """Heavy tails: a rate that spans twenty orders of magnitude, and its logarithm."""
    rng = np.random.default_rng(1)
    z = rng.normal(size=DRAWS)
    y = norm.cdf(z + rng.normal(size=DRAWS))
    assert index(np.exp(5.0 * z), y) == index(z, y)
    # Cov of Φ at two jointly normal arguments of variance s² and correlation r is asin(r s² / (1 + s²)) / 2π; here
    # s² = 2, r = 1/2 for two worlds with the same z, and 1 for the variance of y itself.
    exact = np.arcsin(1.0 / 3.0) / np.arcsin(2.0 / 3.0)
    estimate, error = index(z, y)
    assert abs(estimate - exact) < TOLERANCE * error


A = np.array([1.0, 0.5, -0.8, 0.0])
C = np.array([[1.0, 0.7, 0.3, 0.6], [0.7, 1.0, 0.0, 0.2], [0.3, 0.0, 1.0, 0.0], [0.6, 0.2, 0.0, 1.0]])
V_GAUSS = float(A @ C @ A)


def gaussian(seed):
    x = np.random.default_rng(seed).multivariate_normal(np.zeros(4), C, DRAWS)
    return x, x @ A


def test_correlated_gaussians_full_and_independent_parts():
    """Full (C a)_i² / a'Ca; independent a_i² / Q_ii / a'Ca. The fourth acts only through what goes with it."""
    full, alone = (C @ A) ** 2 / V_GAUSS, A**2 / np.diag(np.linalg.inv(C)) / V_GAUSS
    assert full[3] > 0.05
    assert alone[3] == 0.0
    for seed in SEEDS:
        x, y = gaussian(seed)
        together = joint(normal_scores(x))
        for k in range(4):
            estimate, error = index(x[:, k], y)
            assert abs(estimate - full[k]) < TOLERANCE * error
            left = innovations(together, [k])
            estimate, error = index(left[:, 0], y)
            # The scores are ranks': their correlations, and so what is left, are off by about 1/√n as well.
            assert abs(estimate - alone[k]) < TOLERANCE * error + 0.002


def test_what_others_determine_has_no_independent_part():
    x = np.random.default_rng(2).normal(size=(DRAWS, 2))
    together = joint(normal_scores(np.column_stack([x, x[:, 0]])))
    assert innovations(together, [2]) is None
    assert innovations(together, [1]) is not None
    assert innovations(together, [0, 2]).shape[1] <= 2


def test_several_parameters_together():
    """Var(E[y | x_g]) of Gaussians is c'Σ⁻¹c; the estimate is on average too low, by less than 0.01 here."""
    members = [0, 3]
    c = (C @ A)[members]
    exact = float(c @ np.linalg.inv(C[np.ix_(members, members)]) @ c) / V_GAUSS
    off = []
    for seed in SEEDS:
        x, y = gaussian(seed)
        value = explained(spread(y[:, None], np.zeros(1)), smooth_surface(normal_scores(x[:, members]), y[:, None]))
        off.append((both(value)[0] - exact) / both(value)[1])
        assert value.estimate[0] == value.lower[0]
    assert max(np.abs(off)) < TOLERANCE
    assert -1.0 < np.mean(off) < 0.6


def test_everything_together_explains_everything():
    x, y = gaussian(0)
    value = explained(spread(y[:, None], np.zeros(1)), smooth_surface(normal_scores(x), y[:, None]))
    assert 0.99 < both(value)[0] <= 1.0 + 1e-9


def test_an_interaction_is_found_together_and_not_alone():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(DRAWS, 30))
    y = x[:, 0] * x[:, 1] + 0.3 * x[:, 2]
    assert index(x[:, 0], y)[0] < 0.02
    value = explained(spread(y[:, None], np.zeros(1)), smooth_surface(normal_scores(x[:, :2]), y[:, None]))
    assert both(value)[0] == pytest.approx(1.0 / 1.09, abs=0.05)


def test_noise_of_the_simulation_is_neither_explained_nor_counted():
    """y of the draws is seen through binomial noise of 30 paths: as much variance again as the parameters make."""
    estimates, naive = [], []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(DRAWS, 2))
        first = 0.06 * np.tanh(x[:, 0]) / np.tanh(x[:, 0]).std()
        p = np.clip(0.3 + first + 0.05 * np.clip(x[:, 1], -2.0, 2.0), 0.0, 1.0)
        seen = rng.binomial(30, p) / 30
        noise = float((seen * (1.0 - seen)).mean() / 29)
        exact = first.var() / p.var()
        estimate, error = index(x[:, 0], seen, noise)
        assert abs(estimate - exact) < TOLERANCE * error
        estimates.append(estimate - exact)
        naive.append(index(x[:, 0], seen)[0] - exact)
    assert abs(np.mean(estimates)) < 0.01
    assert np.mean(naive) < -0.2


def test_where_there_is_only_noise_nothing_is_said():
    rng = np.random.default_rng(4)
    seen = rng.binomial(50, 0.3, (DRAWS, 1)) / 50
    s = spread(seen, np.array([float((seen * (1.0 - seen)).mean() / 49)]))
    assert np.isnan(s.known[0])
    assert np.isnan(explained(s, fit_of(rng.normal(size=DRAWS), seen[:, 0])).estimate[0])


def test_a_parameter_without_effect_stays_below_the_floor():
    """999 in 1000 do. Of 3000 at most 12 may be above: with 3 expected, one false alarm in 70,000."""
    rng = np.random.default_rng(5)
    above = 0
    for _ in range(10):
        basis, y = curve(normal_scores(rng.normal(size=(DRAWS, 1)))[:, 0]), rng.beta(1.0, 4.0, (DRAWS, 300))
        s, fit = spread(y, np.zeros(300)), smooth_curve(basis, y)
        above += int((explained(s, fit).estimate > floor(s, fit)).sum())
    assert 0 < above <= 12


def test_several_parameters_without_effect_explain_nothing():
    """Of 60 groups none is 3 errors from nothing on the high side, and the mean is not above it."""
    rng = np.random.default_rng(6)
    y = rng.beta(1.0, 4.0, (1000, 1))
    s = spread(y, np.zeros(1))
    found = np.array(
        [both(explained(s, smooth_surface(normal_scores(rng.normal(size=(1000, 8))), y))) for _ in range(60)]
    )
    assert (found[:, 0] / found[:, 1]).max() < 3.0
    assert found[:, 0].mean() < 0.001


def test_errors_allow_for_chains():
    """An autoregression of 0.6 makes the error of a mean twice as large."""
    rng = np.random.default_rng(7)
    ratios = []
    for _ in range(20):
        e = rng.normal(size=8000)
        x = np.empty_like(e)
        x[0] = e[0]
        for k in range(1, len(e)):
            x[k] = 0.6 * x[k - 1] + e[k]
        ratios.append(float(batch_error(x)) / (x.std() / np.sqrt(len(x))))
    assert np.mean(ratios) == pytest.approx(2.0, rel=0.1)


# ---- value of information --------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [-0.3, 0.0, 0.5])
def test_value_for_a_decision_between_two_actions(mean):
    """Payoff of acting is m + x + e: EVPPI of x is s φ(m/s) + m Φ(m/s) − max(m, 0); and the estimate is unbiased."""
    s_x, off, brackets = 0.8, [], []
    exact = s_x * norm.pdf(mean / s_x) + mean * norm.cdf(mean / s_x) - max(mean, 0.0)
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x, e = s_x * rng.normal(size=1500), 2.0 * rng.normal(size=1500)
        payoff = np.column_stack([np.zeros(1500), mean + x + e - (x + e).mean()])
        fit = smooth_curve(curve(normal_scores(x[:, None])[:, 0]), payoff)
        value = decision_value(payoff, fit)
        off.append((both(value)[0] - exact) / both(value)[1])
        brackets.append((value.lower[0] - exact, value.upper[0] - exact))
    assert np.abs(off).max() < TOLERANCE
    assert abs(np.mean(off)) < 0.9
    lower, upper = np.array(brackets).T
    assert lower.mean() < upper.mean()
    assert lower.mean() < 0.01
    assert upper.mean() > -0.01


def test_a_useless_fact_is_worth_nothing_and_the_plug_in_figure_says_otherwise():
    rng = np.random.default_rng(8)
    estimates, plug_in = [], []
    for _ in range(40):
        payoff = np.column_stack([np.zeros(1000), rng.normal(size=1000)])
        value = decision_value(payoff, smooth_curve(curve(normal_scores(rng.normal(size=(1000, 1)))[:, 0]), payoff))
        estimates.append(value.estimate[0])
        plug_in.append(value.upper[0])
    assert abs(np.mean(estimates)) < 3.0 * np.std(estimates) / np.sqrt(40) + 0.003
    assert np.mean(plug_in) > 0.02


def test_value_of_perfect_information():
    payoff = np.array([[0.0, 4.0], [0.0, -2.0], [0.0, -1.0], [0.0, 1.0]])
    assert perfect_value(payoff) == pytest.approx(5.0 / 4.0 - 0.5)


def test_log_score_is_the_mutual_information():
    """Two equally likely worlds with probabilities 0.1 and 0.6: H(0.35) − (H(0.1) + H(0.6)) / 2 bits."""

    def entropy(p):
        return -p * np.log2(p) - (1.0 - p) * np.log2(1.0 - p)

    exact = entropy(0.35) - (entropy(0.1) + entropy(0.6)) / 2.0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x = rng.integers(0, 2, DRAWS).astype(float)
        y = np.where(x > 0.0, 0.6, 0.1) + rng.uniform(-0.1, 0.1, DRAWS)
        value = log_score(spread(y[:, None], np.zeros(1)), fit_of(x, y))
        assert abs(both(value)[0] - exact) < TOLERANCE * both(value)[1] + 0.004  # the shares of the worlds vary, too


def test_fall_of_the_standard_deviation():
    rng = np.random.default_rng(9)
    x, e = rng.normal(size=(2, DRAWS))
    y = 0.03 * x + 0.04 * e
    s = spread(y[:, None], np.zeros(1))
    saved, error = spread_saved(s, explained(s, fit_of(x, y)))
    assert abs(saved[0] - (0.05 - 0.04)) < TOLERANCE * error[0] + 0.0005
    assert 0.0 < error[0] < 0.002


# ---- tornado ---------------------------------------------------------------------------------------


def test_tornado_of_a_line():
    """E[y | x at its quantile] is 0.5 ± 0.1 · 1.645."""
    off = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=DRAWS)
        y = (0.5 + 0.1 * x + 0.1 * rng.normal(size=DRAWS))[:, None]
        basis = curve(normal_scores(np.exp(x)[:, None])[:, 0])
        found = swing(basis, y, smooth_curve(basis, y))
        for value, error, exact in (
            (found.low, found.low_error, 0.5 - 0.16449),
            (found.high, found.high_error, 0.5 + 0.16449),
            (found.high - found.low, found.swing_error, 0.32897),
        ):
            off.append(float((value[0] - exact) / error[0]))
    assert np.abs(off).max() < TOLERANCE
    assert 0.7 < np.std(off) < 1.4


# ---- PAWN ------------------------------------------------------------------------------------------


def test_pawn_is_the_mean_of_kolmogorov_smirnov_distances():
    """Against SciPy's, slice by slice. Headlines are compared at 100 levels: no more than 0.01 is missed by that."""
    rng = np.random.default_rng(10)
    x = rng.normal(size=DRAWS)
    y = x + rng.normal(size=DRAWS)
    at = pawn.slices(x)
    assert np.bincount(at).tolist() == [400] * 10
    dummy = pawn.dummies(at, rng)
    found, error = pawn.pawn(at, pawn.levels(y), dummy, rng)
    exact = np.mean([ks_2samp(y[at == k], y).statistic for k in range(10)])
    assert exact - 0.01 < found <= exact + 1e-9
    assert 0.003 < error < 0.02


def test_pawn_of_noise_stays_below_its_floor():
    """999 in 1000 do; of 1000 at most 7 may be above: one false alarm in 100,000."""
    rng = np.random.default_rng(11)
    y = pawn.levels(rng.beta(1.0, 5.0, DRAWS))
    dummy = pawn.dummies(pawn.slices(rng.normal(size=DRAWS)), rng)
    found = [pawn.pawn(pawn.slices(rng.normal(size=DRAWS)), y, dummy, rng) for _ in range(1000)]
    assert sum(index > dummy.floor for index, _ in found) <= 7
    assert 0.02 < dummy.floor < 0.06
    assert all(error == dummy.sd for index, error in found if index <= dummy.floor)


def test_pawn_sees_what_leaves_the_mean_alone():
    rng = np.random.default_rng(12)
    x = rng.normal(size=DRAWS)
    y = np.exp(0.7 * x) * rng.normal(size=DRAWS)
    at = pawn.slices(x)
    dummy = pawn.dummies(at, rng)
    assert index(x, y)[0] < 0.02
    assert pawn.pawn(at, pawn.levels(y), dummy, rng)[0] > 2.0 * dummy.floor


def test_slices_of_few_values_are_the_values():
    assert pawn.slices(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2, 0, 2, 1]


# ---- boxes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("high", [False, True])
def test_a_planted_box_is_found(high):
    """A third of the draws, by two of forty parameters: its ends to a level or three, its figures within 4.5 errors."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = rng.random((DRAWS, 40))
        inside = (x[:, 7] > 0.4) & (x[:, 21] < 0.55)
        y = np.where(inside, 0.1, 0.5) + rng.uniform(-0.1, 0.1, DRAWS)
        found = prim.find_box(prim.rank_levels(x), 1.0 - y if high else y, high=high)
        assert found.clear
        assert set(found.box.rules) == {7, 21}
        assert abs(found.box.rules[7][0] - 0.4 * prim.LEVELS) <= 3
        assert found.box.rules[7][1] == prim.LEVELS - 1
        assert found.box.rules[21][0] == 0
        assert abs(found.box.rules[21][1] - 0.55 * prim.LEVELS) <= 3
        assert found.mean == pytest.approx(0.9 if high else 0.1, abs=0.03)
        assert abs(found.share - 0.33) < TOLERANCE * found.share_error + 0.02
        sought = 0.33 * 0.9 / (0.33 * 0.9 + 0.67 * 0.5)
        assert abs(found.coverage - sought) < TOLERANCE * found.coverage_error + 0.03


def test_no_box_is_found_in_noise():
    """A box must differ by 3 errors on draws that took no part: one in 740 would. Of 40 at most one may."""
    clear = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        level, y = prim.rank_levels(rng.normal(size=(1200, 25))), rng.beta(1.0, 3.0, 1200)
        found = [prim.find_box(level, y, high=high) for high in (False, True)]
        clear += sum(f is not None and f.clear for f in found)
    assert clear <= 1


def test_a_box_has_at_most_three_parameters_and_enough_draws():
    rng = np.random.default_rng(13)
    x = rng.normal(size=(DRAWS, 8))
    found = prim.find_box(prim.rank_levels(x), norm.cdf(x.sum(axis=1)), high=False)
    assert 1 <= len(found.box.rules) <= 3
    assert found.share > prim.MIN_SHARE / 2.0
    assert found.clear


def test_no_box_where_nothing_varies():
    x = np.random.default_rng(14).normal(size=(1000, 3))
    assert prim.find_box(prim.rank_levels(x), np.full(1000, 0.4), high=False) is None
    assert prim.find_box(np.zeros((1000, 0), np.int64), x[:, 0], high=False) is None
