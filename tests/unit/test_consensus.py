"""The consensus on a grid against the graph that the sampler sees, and the weights in the pool."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from forecast.calibrate import evaluate
from forecast.calibrate.beliefs import Belief, belief, beliefs, shared
from forecast.calibrate.consensus import DISAGREEMENT, consensus, spread
from forecast.calibrate.elicit import pool
from tests.unit.test_cooke import AS_OF, answer


def group(question, *members, scale="positive"):
    """Beliefs (mean, sd, weight) about one question."""
    return [Belief(question, f"E{n}", scale, m, s, 0.0, w) for n, (m, s, w) in enumerate(members)]


GROUPS = {
    "a": group("a", (-1.0, 0.3, 0.5), (0.5, 0.4, 0.5)),
    "b": group("b", (0.2, 0.2, 0.7), (0.3, 0.5, 0.2), (1.4, 0.9, 0.1)),
    "c": group("c", (3.0, 2.0, 1.0), scale="real"),
}


def test_the_grid_has_the_graph_of_the_model():
    found = consensus(GROUPS)
    with pm.Model() as model:
        mean, variance = pool(GROUPS)
        pm.Deterministic("mean", mean)
        pm.Deterministic("variance", variance)
    at = found.tau[::100]
    free = {"elicited__disagreement": at}
    drawn = evaluate.deterministics(model, free)
    assert drawn["mean"] == pytest.approx(found.mean[::100], rel=1e-12)
    assert np.sqrt(drawn["variance"]) == pytest.approx(found.sd[::100], rel=1e-12)
    density = np.log(found.density[::100])
    log_p = stats.halfnorm(scale=DISAGREEMENT).logpdf(at)
    log_p += sum(x.sum(axis=1) for x in evaluate.log_likelihoods(model, free).values())
    assert np.diff(density) == pytest.approx(np.diff(log_p), rel=1e-9)


def test_quantiles_are_those_of_the_mixture():
    found = consensus(GROUPS)
    low, middle, high = found.quantiles((0.05, 0.5, 0.95)).T
    for level, x in ((0.05, low), (0.5, middle), (0.95, high)):
        below = (found.density[:, None] * stats.norm(found.mean, found.sd).cdf(x)).sum(axis=0)
        assert below == pytest.approx(level, abs=1e-12)


def test_weights_enter_as_precisions():
    """Without disagreement the mean is sum(w m / s²) / sum(w / s²), the variance 1 / sum(w / s²)."""
    groups = {"q": group("q", (-1.0, 0.3, 0.8), (0.5, 0.4, 0.2))}
    with pm.Model() as model:
        mean, variance = pool(groups)
        pm.Deterministic("mean", mean)
        pm.Deterministic("variance", variance)
    drawn = evaluate.deterministics(model, {"elicited__disagreement": np.array([0.0])})
    precision = np.array([0.8 / 0.09, 0.2 / 0.16])
    assert drawn["mean"][0] == pytest.approx(precision @ [-1.0, 0.5] / precision.sum())
    assert drawn["variance"][0] == pytest.approx(1 / precision.sum())


def test_an_expert_of_weight_zero_is_left_out_unless_nobody_else_answered():
    rows = [answer("A", "q", (0, 1, 2)), answer("B", "q", (1, 2, 3)), answer("B", "r", (1, 2, 3))]
    found = beliefs(rows, AS_OF, ["q", "r"], {"A": 2.0})
    assert [(b.expert, b.weight) for b in found["q"]] == [("A", 1.0)]
    assert [(b.expert, b.weight) for b in found["r"]] == [("B", 1.0)]


def test_shares_of_those_who_answered_add_up_to_one():
    found = shared(group("q", (0, 1, 1), (1, 1, 1), (2, 1, 1)), {"E0": 0.5, "E2": 0.3, "somebody else": 0.2})
    assert [(b.expert, b.weight) for b in found] == [("E0", 0.625), ("E2", pytest.approx(0.375))]


def test_any_quantiles_of_a_normal_give_it_back():
    columns = ("p01", "p10", "p50", "p75", "p97.5")
    z = stats.norm.ppf([0.01, 0.1, 0.5, 0.75, 0.975])
    found = belief(answer("A", "q", np.exp(0.4 + 0.7 * z), "positive", columns=columns))
    assert (found.mean, found.sd, found.misfit) == pytest.approx((0.4, 0.7, 0.0), abs=1e-9)


def test_more_quantiles_are_fitted_by_least_squares():
    columns, q = ("p05", "p25", "p50", "p95"), np.array([-1.0, 0.0, 0.2, 3.0])
    z = stats.norm.ppf([0.05, 0.25, 0.5, 0.95])
    slope, level = np.polyfit(z, q, 1)
    found = belief(answer("A", "q", q, columns=columns))
    assert (found.mean, found.sd) == pytest.approx((level, slope), rel=1e-9)


def test_spread_is_the_weighted_standard_deviation_of_the_means():
    assert spread(group("q", (0.0, 1, 0.75), (4.0, 1, 0.25))) == pytest.approx(np.sqrt(0.75 * 1 + 0.25 * 9))


def test_far_apart_experts_do_not_leave_the_grid():
    found = consensus({"q": group("q", (-50.0, 0.1, 0.5), (50.0, 0.1, 0.5))})
    assert found.density[-1] < 1e-9 * found.density.max()
    assert found.quantiles((0.5,))[0, 0] == pytest.approx(0.0, abs=1e-6)
