"""Checks of a fit against its data, on fits made by hand: conjugate posteriors, drawn exactly."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from forecast.calibrate.criticism import CONFLICT, FAILS, HOLD, PASSES, criticise
from forecast.calibrate.gate import judge_run
from forecast.calibrate.leave_one_out import pit_p
from forecast.calibrate.observations import EXPERTS, blocks
from forecast.calibrate.predictive import posterior_p, prior_p, scatter, two_sided, upper_p
from forecast.deal.parameters import Parameter, Reference
from forecast.schema import GROUPS, _group_problems

CHAINS, DRAWS, CELLS = 4, 500, 20
EXPOSURE = np.linspace(5.0, 40.0, CELLS)


def parameter(id_, class_):
    reference = Reference(**{"class": class_}, transfer_sd=0.0)
    return Parameter(id=id_, label=id_, unit="per year", reference=reference, rationale="made up")


PARAMETERS = {"attacks": parameter("attacks", "attacks"), "truces": parameter("truces", "truces")}


def fit(events, prior=(2.0, 10.0), seed=1):
    """Gamma–Poisson fit of two classes, whose events (class, cell) share a variable.

    The rate of each class has a Gamma(shape, rate) prior, so the posterior is Gamma(shape + events, rate +
    exposure): posterior, predictions and log-likelihood are drawn and computed exactly.
    """
    rng = np.random.default_rng(seed)
    shape, inverse = prior
    names = list(PARAMETERS)
    post = {
        c: rng.gamma(shape + events[k].sum(), 1.0 / (inverse + EXPOSURE.sum()), (CHAINS, DRAWS))
        for k, c in enumerate(names)
    }
    before = {c: rng.gamma(shape, 1.0 / inverse, (1, 1000)) for c in names}
    cells = [f"{c}: cell {k}" for c in names for k in range(CELLS)]
    coords, dims = {"rates__cell": cells}, ("chain", "draw", "rates__cell")
    mean = np.concatenate([post[c][..., None] * EXPOSURE for c in names], axis=2)
    early = np.concatenate([before[c][..., None] * EXPOSURE for c in names], axis=2)
    seen = np.concatenate(list(events)).astype(np.int64)
    log_prior = np.stack([stats.gamma.logpdf(post[c], shape, scale=1.0 / inverse) for c in names], axis=2)
    sample = ("chain", "draw")
    groups = {
        "posterior": xr.Dataset({c: (sample, x) for c, x in post.items()}),
        "prior": xr.Dataset({c: (sample, x) for c, x in before.items()}),
        "posterior_predictive": xr.Dataset({"rates__events": (dims, rng.poisson(mean)[:, ::2])}, coords),
        "prior_predictive": xr.Dataset({"rates__events": (dims, rng.poisson(early))}, coords),
        "log_likelihood": xr.Dataset({"rates__events": (dims, stats.poisson.logpmf(seen, mean))}, coords),
        "log_prior": xr.Dataset(
            {"class__base": ((*sample, "class__outcome"), log_prior)},
            {"class__outcome": [f"{c}: event" for c in names]},
        ),
        "observed_data": xr.Dataset({"rates__events": ("rates__cell", seen)}, coords),
        "sample_stats": xr.Dataset(
            {
                "diverging": (sample, np.zeros((CHAINS, DRAWS), bool)),
                "energy": (sample, rng.normal(9, 1, (CHAINS, DRAWS))),
            }
        ),
    }
    return xr.DataTree.from_dict(groups)


def fair(seed=5, rate=0.2):
    return np.random.default_rng(seed).poisson(rate * EXPOSURE, (2, CELLS))


def test_a_right_model_passes_and_its_checks_are_of_the_schema():
    found = criticise(fit(fair()), PARAMETERS)
    assert found.problems == ()
    assert found.warnings == ()
    checks = found.checks
    assert list(checks["reference_class"].to_numpy()) == ["attacks", "truces"]
    assert (checks["verdict"] == PASSES).all()
    assert (checks["cells"] == CELLS).all()
    assert list(_group_problems("/checks", checks, GROUPS["/checks"])) == []
    assert float(checks["high_pareto_k"].sum()) == 0
    assert checks.attrs["hold_below"] == pytest.approx(HOLD / 12)  # 4 discrepancies, prior and PIT, of 2 classes


def test_leave_one_out_is_the_exact_one():
    """The predictive of a cell left out is negative binomial; 2000 draws give elpd within 0.1."""
    events = fair()
    found = criticise(fit(events), PARAMETERS).checks.sel(reference_class="attacks")
    total, years = 2.0 + events[0].sum(), 10.0 + EXPOSURE.sum()
    exact, lower = 0.0, []
    for y, e in zip(events[0], EXPOSURE, strict=True):
        law = stats.nbinom(total - y, (years - e) / years)
        exact += law.logpmf(y)
        lower.append(law.cdf(y - 1))
    assert float(found["elpd_loo"]) == pytest.approx(exact, abs=0.1)
    own = found["pit_class"].to_numpy() == "attacks"
    # 1000 predictions give each P within 4 standard errors of at most 0.016
    assert np.abs(found["pit_lower"].to_numpy()[own] - lower).max() < 0.064


def test_scattered_cells_hold_the_run_and_the_message_says_which_and_what_to_do():
    events = fair()
    events[1] = np.random.default_rng(8).negative_binomial(0.5, 0.5 / (0.5 + 0.2 * EXPOSURE))
    events[1, 3] += 30
    tree = fit(events)
    found = criticise(tree, PARAMETERS)
    (problem,) = found.problems
    assert problem.startswith("truces (behind truces): the model does not reproduce its data")
    assert "“cell 3”" in problem
    assert "add a covariate" in problem
    assert list(found.checks["verdict"].to_numpy()) == [PASSES, FAILS]
    report = judge_run(tree, PARAMETERS)
    assert problem in report.problems
    assert report.checks is not None


def test_a_prior_in_the_wrong_unit_is_a_conflict():
    found = criticise(fit(fair(rate=4.0), prior=(4.0, 20.0)), PARAMETERS)
    assert len(found.problems) == 2
    assert all("prior-data conflict" in p and "units" in p for p in found.problems)


def test_power_scaling_names_the_number_that_answers_to_its_prior():
    """A sharp prior far from the data: both matter. A vague one: only the data do."""
    sharp = criticise(fit(fair(rate=0.35), prior=(100.0, 500.0)), PARAMETERS).checks
    assert set(sharp["diagnosis"].to_numpy()) == {CONFLICT}
    vague = criticise(fit(fair(), prior=(0.5, 2.0)), PARAMETERS).checks
    assert set(vague["diagnosis"].to_numpy()) == {""}
    assert (vague["likelihood_sensitivity"] > 0.05).all()


def test_arviz_gives_the_same_sensitivity():
    import arviz as az

    tree = fit(fair(rate=0.35), prior=(100.0, 500.0))
    own = criticise(tree, PARAMETERS).checks
    coords = {"class__outcome": ["attacks: event"]}
    theirs = az.psense(tree, var_names=["attacks"], group="prior", group_coords=coords)["attacks"]
    k = list(own["sensitivity_parameter"].to_numpy()).index("attacks")
    assert float(own["prior_sensitivity"][k]) == pytest.approx(float(theirs), rel=1e-6)


def test_what_cannot_be_checked_is_left_to_the_gate():
    tree = fit(fair())
    bare = xr.DataTree.from_dict({"posterior": tree["posterior"].to_dataset()})
    assert criticise(bare, PARAMETERS) is None
    bad = fit(fair())
    bad["posterior"]["attacks"][0, 3] = np.nan
    assert criticise(bad, PARAMETERS) is None
    assert not judge_run(bad, PARAMETERS).passed


def test_classes_are_told_apart_by_labels_and_experts_put_together():
    tree = fit(fair())
    sample, rng = ("chain", "draw"), np.random.default_rng(3)
    for k in (2, 3):
        name, dim = f"elicited__answer_{k}", f"elicited__answer_{k}_dim_0"
        tree["observed_data"][name] = xr.DataArray(rng.normal(size=4), dims=dim)
        for group, shape in (("posterior_predictive", (CHAINS, DRAWS // 2)), ("log_likelihood", (CHAINS, DRAWS))):
            tree[group][name] = xr.DataArray(rng.normal(size=(*shape, 4)), dims=(*sample, dim))
    found = {b.id: b for b in blocks(tree)}
    assert set(found) == {"attacks", "truces", EXPERTS}
    assert found[EXPERTS].observed.shape == (8,)
    assert found[EXPERTS].expected is None
    assert found["truces"].labels[0] == "cell 0"
    assert found["truces"].every == 2


def test_the_tail_of_a_p_value_is_near_the_exact_one():
    """Beyond the largest of 1000 draws: within a factor of 5 of the normal and the exponential tail."""
    rng = np.random.default_rng(6)
    for law in (stats.norm(), stats.expon()):
        found = [upper_p(law.isf(1e-5), law.rvs(1000, random_state=rng)) for _ in range(60)]
        assert 0.2 < np.exp(np.mean(np.log(found))) / 1e-5 < 30
    x = rng.normal(size=1000)
    assert upper_p(0.0, x) == pytest.approx((x > 0).mean())
    assert two_sided(5.0, np.full(100, 5.0)) == 1.0
    assert np.isnan(upper_p(np.nan, x))


def test_p_values_of_a_true_model_are_seldom_small():
    """2000 tables of known rates: p below 0.01 in at most 1.6 % plus 4 standard errors, for each discrepancy.

    The margin of 0.6 % is twice the standard error of a 99 % quantile that 1000 predictions give.
    """
    rng = np.random.default_rng(9)
    mean = 0.2 * EXPOSURE
    drawn = rng.poisson(mean, (1000, CELLS)).astype(float)
    found = [posterior_p("rates", rng.poisson(mean).astype(float), drawn) for _ in range(2000)]
    for name in found[0]:
        assert np.mean([f[name] < 0.01 for f in found]) < 0.016 + 4 * np.sqrt(0.01 * 0.99 / 2000), name
    before = [prior_p("rates", rng.poisson(mean).astype(float), drawn) for _ in range(2000)]
    assert np.mean(np.array(before) < 0.01) < 0.016 + 4 * np.sqrt(0.01 * 0.99 / 2000)
    assert scatter("rates", mean, drawn) < 0.3


def test_pit_values_of_counts_are_spread_over_their_steps():
    rng = np.random.default_rng(10)
    p = []
    for _ in range(200):
        y, law = rng.poisson(1.5, 60), stats.poisson(1.5)
        p.append(pit_p(law.cdf(y - 1), law.cdf(y)))
    assert np.mean(np.array(p) < 0.05) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 200)
    y = rng.negative_binomial(0.7, 0.7 / 2.2, 200)
    assert pit_p(stats.poisson(1.5).cdf(y - 1), stats.poisson(1.5).cdf(y)) < 1e-6
    assert np.isnan(pit_p(np.array([0.1]), np.array([0.2])))


def test_parameters_of_another_class_do_not_feel_it():
    checks = criticise(fit(fair()), {"attacks": PARAMETERS["attacks"]}).checks
    assert list(checks["sensitivity_class"].to_numpy()) == ["attacks"]
    assert replace(next(iter(blocks(fit(fair())))), kind="experts").discrete is False
