"""Experts' answers on the link scale, and their pooling against exact integration."""

from datetime import date

import numpy as np
import pymc as pm
import pytest
from scipy import stats

from forecast.calibrate import evaluate
from forecast.calibrate.beliefs import Z95, belief, beliefs, misfits
from forecast.calibrate.elicit import DISAGREEMENT, pool
from forecast.calibrate.models import build_model
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Parameter
from forecast.errors import ReferenceClassError

AS_OF = date(2025, 3, 15)


def row(question="q", expert="A", scale="real", quantiles=(-1.0, 0.0, 1.0), day=date(2025, 1, 1)):
    low, middle, high = quantiles
    return ExpertRow(
        question=question,
        expert=expert,
        date=day,
        asked="What is the number?",
        scale=scale,
        unit="1",
        p05=low,
        p50=middle,
        p95=high,
        why="made up for a test",
    )


def normal_row(mean, sd, **more):
    return row(quantiles=(mean - Z95 * sd, mean, mean + Z95 * sd), **more)


def parameter(id_, question="q"):
    return Parameter(id=id_, label=id_, unit="1", experts=question)


@pytest.mark.parametrize(
    ("scale", "back"),
    [("real", lambda x: x), ("positive", np.exp), ("probability", lambda x: 1 / (1 + np.exp(-x)))],
)
def test_a_normal_on_the_link_scale_is_found_again(scale, back):
    q = back(np.array([-0.7 - 0.4 * Z95, -0.7, -0.7 + 0.4 * Z95]))
    found = belief(row(scale=scale, quantiles=tuple(map(float, q))))
    assert (found.mean, found.sd) == pytest.approx((-0.7, 0.4), rel=1e-12)
    assert found.misfit == pytest.approx(0.0, abs=1e-12)


def test_a_skewed_answer_is_fitted_by_least_squares():
    q = np.array([-1.0, 0.0, 3.0])
    found = belief(row(quantiles=tuple(q)))
    x = np.column_stack([np.ones(3), [-Z95, 0.0, Z95]])
    mean, sd = np.linalg.lstsq(x, q)[0]
    assert (found.mean, found.sd) == pytest.approx((mean, sd), rel=1e-12)
    assert found.misfit == pytest.approx(np.abs(q - x @ [mean, sd]).max() / sd, rel=1e-12)


def test_only_a_bad_misfit_is_named():
    groups = beliefs([row("a", quantiles=(-1.0, 0.0, 1.2)), row("b", quantiles=(-1.0, -0.9, 3.0))], AS_OF, ("a", "b"))
    assert [m.split(",")[0] for m in misfits(groups)] == ["b"]


def test_answers_given_after_the_as_of_date_are_not_known():
    rows = [row(expert="early"), row(expert="late", day=date(2025, 3, 16)), row("other")]
    assert [b.expert for b in beliefs(rows, AS_OF, ["q"])["q"]] == ["early"]


def test_a_question_without_an_answer_is_refused():
    with pytest.raises(ReferenceClassError, match="no question 'r'"):
        build_model({"a": parameter("a", "r")}, [row()], {}, AS_OF)


def consensus(groups, tau, z):
    """The pooled theta (question,) for given tau and z, by the graph that the model samples."""
    with pm.Model() as model:
        mean, variance = pool(groups)
        pm.Deterministic("theta", mean + pm.math.sqrt(variance) * pm.Normal("elicited__z", shape=len(groups)))
    free = {"elicited__disagreement": np.array([tau]), "elicited__z": np.array([z])}
    return evaluate.deterministics(model, free)["theta"][0], model, free


def test_one_expert_is_widened_by_the_disagreement_that_may_be_hidden():
    groups = beliefs([normal_row(0.3, 0.5, scale="real")], AS_OF, ["q"])
    theta, model, _ = consensus(groups, tau=2.0, z=[1.5])
    # on the real scale tau counts in units of the stated sd, which has no natural unit
    assert theta == pytest.approx([0.3 + 1.5 * np.hypot(0.5, 2.0 * 0.5)], rel=1e-12)
    assert model.observed_RVs == []


def test_experts_who_agree_leave_the_consensus_as_wide_as_each():
    rows = [normal_row(0.3, 0.5, expert=name) for name in "ABC"]
    theta, _, _ = consensus(beliefs(rows, AS_OF, ["q"]), tau=0.0, z=[1.0])
    assert theta == pytest.approx([0.3 + 0.5], rel=1e-12)


def test_what_answers_say_of_tau_is_the_density_of_their_differences():
    """Three experts, theta integrated out: the density of two contrasts of the answers, worked out by hand."""
    means, sds, tau = np.array([0.1, 0.9, -0.6]), np.array([0.4, 0.3, 0.6]), 0.7
    logit = [1 / (1 + np.exp(-(m + s * np.array([-Z95, 0, Z95])))) for m, s in zip(means, sds, strict=True)]
    rows = [
        row(expert=n, scale="probability", quantiles=tuple(map(float, q))) for n, q in zip("ABC", logit, strict=True)
    ]
    _, model, free = consensus(beliefs(rows, AS_OF, ["q"]), tau=tau, z=[0.0])
    got = sum(float(x.sum()) for x in evaluate.log_likelihoods(model, free).values())
    contrast = np.array([[-1.0, 1.0, 0.0], [-0.5, -0.5, 1.0]])  # unit Jacobian up to theta
    covariance = contrast @ np.diag(3 * sds**2 + tau**2) @ contrast.T
    wanted = stats.multivariate_normal(np.zeros(2), covariance).logpdf(contrast @ means)
    assert got == pytest.approx(wanted, rel=1e-9)


def test_the_pooled_posterior_is_the_exact_one():
    """Importance weights on prior draws against a grid over tau: mean and sd of theta, and of tau.

    Tolerance: 5 standard errors of 40 000 weighted draws (false alarm below 1 in 300 000 a number).
    """
    means, sds = np.array([-1.0, 0.5]), np.array([0.3, 0.4])
    rows = [
        row(expert=n, scale="positive", quantiles=tuple(map(float, np.exp(m + s * np.array([-Z95, 0, Z95])))))
        for n, m, s in zip("AB", means, sds, strict=True)
    ]
    model = build_model({"a": parameter("a")}, rows, {}, AS_OF)
    free = evaluate.prior_draws(model, 40_000, seed=5)
    theta = np.log(evaluate.deterministics(model, free)["a"])
    weight = np.exp(sum(x.sum(axis=1) for x in evaluate.log_likelihoods(model, free).values()))
    tau = np.linspace(0, 8 * DISAGREEMENT, 20_001)
    v = 2 * sds**2 + tau[:, None] ** 2
    p = stats.halfnorm(scale=DISAGREEMENT).pdf(tau) * stats.norm(0, np.sqrt(v.sum(axis=1))).pdf(means[1] - means[0])
    p /= p.sum()
    centre, variance = (means / v).sum(axis=1) / (1 / v).sum(axis=1), 1 / (1 / v).sum(axis=1)
    wanted = {
        "theta": p @ centre,
        "square": p @ (centre**2 + variance),
        "tau": p @ tau,
    }
    drawn = {"theta": theta, "square": theta**2, "tau": free["elicited__disagreement"]}
    for name, x in drawn.items():
        mean = np.average(x, weights=weight)
        error = np.sqrt(np.sum((weight * (x - mean)) ** 2)) / weight.sum()
        assert abs(mean - wanted[name]) < 5 * error, name
