"""The gate: a healthy fit passes; everything that ArviZ's diagnostics alone would wave through does not."""

import numpy as np
import pytest
import xarray as xr

from forecast.calibrate.gate import judge
from forecast.deal.parameters import Distribution, Parameter

CHAINS, DRAWS = 4, 1000


def parameter(id_, constant=None):
    origin = {"constant": constant} if constant is not None else {}
    if constant is None:
        origin["distribution"] = Distribution(family="normal", mu=0.0, sigma=1.0)
    return Parameter(id=id_, label=id_, unit="1", source="made up for a test", **origin)


PARAMETERS = {p.id: p for p in (parameter("a"), parameter("b"), parameter("one", constant=1.0))}


def healthy(chains=CHAINS, draws=DRAWS):
    """Independent normals for `a` and the three entries of `b`, and energies of a chain that mixes."""
    rng = np.random.default_rng(20250315)
    posterior = xr.Dataset(
        {
            "a": (("chain", "draw"), rng.normal(size=(chains, draws))),
            "b": (("chain", "draw", "b__entry"), rng.normal(size=(chains, draws, 3))),
        },
        coords={"chain": np.arange(chains), "draw": np.arange(draws), "b__entry": ["x", "y", "z"]},
    )
    stats = xr.Dataset(
        {
            "diverging": (("chain", "draw"), np.zeros((chains, draws), bool)),
            "energy": (("chain", "draw"), rng.normal(50.0, 3.0, size=(chains, draws))),
        }
    )
    return {"posterior": posterior, "sample_stats": stats}


def verdict(groups):
    return judge(xr.DataTree.from_dict(groups), PARAMETERS)


def test_independent_draws_pass_and_constants_are_not_asked_for():
    report = verdict(healthy())
    assert report.passed, report.problems
    assert report.problems == ()


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["a", "b"])
def test_one_bad_draw_among_thousands_fails(name, poison):
    groups = healthy()
    groups["posterior"][name].values[(2, 500) if name == "a" else (2, 500, 1)] = poison
    report = verdict(groups)
    assert not report.passed
    assert any(p.startswith(name) for p in report.problems), report.problems


@pytest.mark.parametrize("stuck", [slice(None), slice(1, 2)], ids=["all chains", "one chain"])
def test_a_chain_that_never_moves_fails(stuck):
    groups = healthy()
    groups["posterior"]["a"].values[stuck] = 0.25
    report = verdict(groups)
    assert not report.passed
    assert any(p.startswith("a") for p in report.problems), report.problems


def test_chains_that_disagree_fail_on_r_hat():
    groups = healthy()
    groups["posterior"]["a"].values[0] += 0.5  # half a standard deviation: R-hat about 1.03
    assert any("R-hat" in p and p.startswith("a") for p in verdict(groups).problems)


def test_sticky_chains_fail_on_effective_sample_size():
    groups = healthy()
    a = groups["posterior"]["a"].values
    a[:] = np.repeat(a[:, ::20], 20, axis=1)  # 50 distinct values a chain, 200 in all
    assert any("effective sample size" in p for p in verdict(groups).problems)


def test_too_few_draws_fail():
    assert any("effective sample size" in p for p in verdict(healthy(draws=60)).problems)


def test_one_chain_fails():
    assert any("chain" in p for p in verdict(healthy(chains=1, draws=4000)).problems)


def test_one_divergence_fails():
    groups = healthy()
    groups["sample_stats"]["diverging"].values[3, 7] = True
    report = verdict(groups)
    assert report.divergences == 1
    assert any("divergence" in p for p in report.problems)


def random_walk(chains):
    return np.cumsum(np.random.default_rng(3).normal(size=chains.shape), axis=1)


@pytest.mark.parametrize(
    "spoil",
    [random_walk, np.zeros_like, lambda e: np.full_like(e, np.nan)],
    ids=["wanders", "constant", "NaN"],
)
def test_energy_that_does_not_mix_fails(spoil):
    groups = healthy()
    groups["sample_stats"]["energy"].values[:] = spoil(groups["sample_stats"]["energy"].values)
    assert any("BFMI" in p for p in verdict(groups).problems)


@pytest.mark.parametrize("lost", ["diverging", "energy"])
def test_statistics_that_the_sampler_kept_to_itself_fail(lost):
    groups = healthy()
    groups["sample_stats"] = groups["sample_stats"].drop_vars(lost)
    assert not verdict(groups).passed


def test_a_parameter_that_was_not_sampled_fails():
    groups = healthy()
    groups["posterior"] = groups["posterior"].drop_vars("b")
    assert any(p.startswith("b") for p in verdict(groups).problems)


def test_the_table_has_every_entry_with_its_figures():
    table = {row[0]: row[1:] for row in verdict(healthy()).table}
    assert {"a", "b[x]", "b[y]", "b[z]"} <= set(table)
    assert all(abs(rhat - 1.0) < 0.01 and bulk > 3000 and tail > 3000 for rhat, bulk, tail in table.values())
