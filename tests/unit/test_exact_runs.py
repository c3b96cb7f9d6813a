"""A run whose process is small: solved rather than simulated, said so, and in agreement with its simulation."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from forecast.archive import Archive
from forecast.deal.describe import describe
from forecast.deal.expand import expand
from forecast.errors import ForecastError
from forecast.estimands import build_forecast, forecast_invariants
from forecast.inputs import load
from forecast.pipeline import RunSettings, headline_rows, precise, simulate_deal
from forecast.process.compile import compile_process
from forecast.process.draws import Draws
from forecast.process.exact import exact_forecasts
from forecast.process.small import small
from forecast.refine import exact_figures, wanted_of
from forecast.report import plots, tables
from forecast.report.html import render
from forecast.schema import PROBABILITY_DIMS
from forecast.simulate import simulate
from forecast.sweeping import figures_of
from forecast.sweeping import wanted_of as headlines_of
from tests import outputs_data as made
from tests import report_data
from tests.reference.processes import random_process
from tests.statistical.test_deal import NUMBERS

N_DRAW = 400
SETTINGS = RunSettings(paths=N_DRAW * 64, draws=N_DRAW, seed=3)


def draws() -> Draws:
    """Draws of the teaching deal's parameters, without a calibration."""
    rng = np.random.default_rng(4)
    spread = {"power_changes", "default_ends_deal", "opposition_opposes"}
    values = {
        name: x * rng.uniform(0.8, 1.25, N_DRAW) if name in spread else x + 0.2 * np.abs(rng.normal(size=N_DRAW))
        for name, x in NUMBERS.items()
    }
    values["shooting"] = np.array([0.2, 0.1, 0.05]) * rng.lognormal(0.0, 0.3, (N_DRAW, 1))
    return Draws(values, {"shooting": np.array([0.0, 1.0, 2.0, np.inf])}, {}, {})


def forecast(settings: RunSettings) -> xr.DataTree:
    inputs = load(Path("priors/teaching"))
    headline = [[a, b, c, str(d)] for a, b, c, d in describe(inputs.deal).headline]
    attrs = made.attrs(
        N_DRAW,
        settings.replicates,
        deal_id="teaching",
        as_of=str(inputs.deal.as_of),
        horizon=str(inputs.deal.horizon),
        headline=made.json.dumps(headline),
    )
    return simulate_deal(inputs, draws(), settings, attrs)[1]


@pytest.fixture(scope="module")
def solved() -> xr.DataTree:
    return forecast(SETTINGS)


@pytest.fixture(scope="module")
def simulated() -> xr.DataTree:
    return forecast(replace(SETTINGS, simulate=True))


def test_a_small_deal_is_solved_unless_told_otherwise(solved, simulated):
    assert solved.attrs["method"] == "exact"
    assert "estimates" not in solved.children
    assert simulated.attrs["method"] == "simulated"
    assert "estimates" in simulated.children
    assert forecast_invariants(solved) == []
    assert solved.attrs["paths"] == simulated.attrs["paths"] == N_DRAW * 64


def test_no_more_paths_are_simulated_than_are_kept():
    tree = forecast(replace(SETTINGS, paths=N_DRAW * 5_000))
    assert tree.attrs["paths"] == tree["paths"].sizes["path"] == 40_000
    assert tree.attrs["replicates"] == 100


def test_it_agrees_with_the_simulation(solved, simulated):
    """Tolerance: 4.5 Monte Carlo errors for headlines (a false alarm in 70,000), 5 for 61 × 24 others; fixed seed."""
    for one, other in zip(headline_rows(solved), headline_rows(simulated), strict=True):
        assert one[0] == other[0]
        assert one[4] == 0.0 < other[4]
        assert abs(one[1] - other[1]) < 4.5 * other[4]
    for dim in PROBABILITY_DIMS.values():
        mean, error = (simulated["summary"][f"{dim}_{k}"] for k in ("mean", "mcse"))
        assert (np.abs(solved["summary"][f"{dim}_mean"] - mean) < 5 * error + 1e-9).all()
    frequency = [t["event_frequency"].mean("draw") for t in (solved, simulated)]
    np.testing.assert_allclose(*frequency, atol=0.02)


def test_its_intervals_are_plain_quantiles_without_error(solved):
    for name, dim in PROBABILITY_DIMS.items():
        low, high = np.quantile(solved[name], [0.05, 0.95], axis=0)
        np.testing.assert_allclose(solved["summary"][f"{dim}_lower"], low, rtol=1e-12)
        np.testing.assert_allclose(solved["summary"][f"{dim}_upper"], high, rtol=1e-12)
        assert (solved[f"{name}_mcse"] == 0.0).all()


def test_its_words(solved, simulated):
    assert tables.how_estimated(solved) == (
        "Exact: the process is small, so its probabilities, amounts and frequencies were computed, not simulated, "
        "without a Monte Carlo error; 25,600 paths were simulated for storylines and base rates."
    )
    assert "Exact" not in tables.how_estimated(simulated)
    deal = describe(load(Path("priors/teaching")).deal)
    pages = [render(t, deal, report_data.health()) for t in (solved, simulated)]
    assert ["Exact: the process is small" in p for p in pages] == [True, False]
    assert ["· Monte Carlo error ±" in p for p in pages] == [False, True]
    assert ["exact: Kolmogorov" in p for p in pages] == [True, False]
    assert not re.search(r"\bnan\b", pages[0], re.IGNORECASE)


def test_what_never_happens_is_said_to_be_impossible_and_not_unseen():
    tree = exact_tree()
    never = tables.estimate(tree, "cumulative_incidence", "comet", made.HORIZON)
    assert (never.mean, never.lower, never.upper) == (0.0, 0.0, 0.0)
    said = [t.get_text() for t in plots.incidence_by_cause(tree).findobj(lambda x: hasattr(x, "get_text"))]
    assert "never" in said
    assert not any("not seen" in s for s in said)


def exact_tree() -> xr.DataTree:
    program = made.program()
    answer = exact_forecasts(program, made.grid())
    log = made.log_of(program, [[(0.3, "signing/signed"), (2.0, "fighting")], []])
    attrs = made.attrs(program.n_draw, 1, method="exact")
    return build_forecast(program, answer, log, made.draws(), attrs)


def test_amounts_and_frequencies_are_those_of_the_simulation():
    """Tolerance: 5 Monte Carlo errors of 400,000 paths; the seed is fixed."""
    program, tree, replicates = made.program(), exact_tree(), 10_000
    assert forecast_invariants(tree) == []
    counts = simulate(program, seed=6, replicates=replicates, grid=made.grid())
    at_end = counts.consequence[:, -1] / replicates
    error = np.sqrt((counts.consequence_square / replicates - at_end**2).mean(axis=0) / (made.N_DRAW * replicates))
    off = np.abs(at_end.mean(axis=0) - tree["consequence_amount"][:, -1].mean("draw"))
    assert (off < 5 * error).all()
    assert (tree["consequence_mcse"] == 0.0).all()
    fired = counts.fired.mean(axis=0) / replicates
    np.testing.assert_allclose(tree["event_frequency"].mean("draw"), fired, rtol=0.02, atol=1e-3)


def test_it_comes_back_from_the_archive_as_it_was(tmp_path):
    tree, archive = exact_tree(), Archive(tmp_path / "archive")
    run = made.write(archive, tree, tmp_path)
    again = run.open()
    for name in (*PROBABILITY_DIMS, "event_frequency", "consequence_amount"):
        np.testing.assert_array_equal(again[name].to_numpy(), tree[name].to_numpy())
        assert again[name].dtype == np.float64
    assert forecast_invariants(again) == []
    assert archive.verify(run) == []
    lost = next((run.path / "forecast.zarr" / "outcome_probability").glob("c.*"))
    lost.unlink()
    with xr.open_datatree(run.path / "forecast.zarr", engine="zarr", consolidated=False) as damaged:
        assert np.isnan(damaged["outcome_probability"]).all()


def test_an_unknown_method_is_named():
    tree = exact_tree()
    tree.attrs["method"] = "guessed"
    assert "attrs: method is 'guessed'; it may be exact or simulated" in forecast_invariants(tree)


def test_nothing_needs_to_be_simulated_for_a_precision():
    inputs = load(Path("priors/teaching"))
    settings, notes = precise(inputs, draws(), replace(SETTINGS, precision=0.05))
    assert settings.n_draw == N_DRAW
    assert "nothing needs to be simulated for it, as the process is small enough to be solved" in notes[0]
    settings, notes = precise(inputs, draws(), replace(SETTINGS, precision=0.002))
    assert settings.n_draw > N_DRAW  # only more draws help
    _, notes = precise(inputs, draws(), replace(SETTINGS, precision=0.05, simulate=True))
    assert "weighted paths each" in notes[0]
    with pytest.raises(ForecastError, match="at most"):
        precise(inputs, draws(), replace(SETTINGS, precision=1e-5))


def test_a_sweep_solves_its_cells_too():
    inputs = load(Path("priors/teaching"))
    process, wanted = expand(inputs.deal), headlines_of(inputs.deal)
    how = {"seed": SETTINGS.seed, "replicates": SETTINGS.weighted_replicates}
    exact, weighted = (figures_of(process, wanted, draws(), {**how, "simulate": s}, None) for s in (False, True))
    assert exact.exact
    assert not weighted.exact
    assert (exact.mcse == 0.0).all()
    assert (np.abs(exact.p.mean(axis=0) - weighted.p.mean(axis=0)) < 4.5 * weighted.mcse).all()


def test_each_figure_is_the_one_asked_for(solved):
    inputs = load(Path("priors/teaching"))
    program = compile_process(expand(inputs.deal), draws())
    wanted = wanted_of(program, describe(inputs.deal).headline, inputs.deal.horizon)
    found = exact_figures(program, wanted)
    assert found is not None
    assert len({w.variable for w in wanted}) == 3
    for w, p in zip(wanted, found.p.T, strict=True):
        want = solved[w.variable].sel(time=np.datetime64(w.day), **{PROBABILITY_DIMS[w.variable]: w.name})
        np.testing.assert_allclose(p, want, rtol=1e-8, atol=1e-12)


def test_a_process_with_random_clocks_is_simulated():
    program = compile_process(*random_process(1, 2))
    assert small(program, np.array([program.horizon])) is None
