import dataclasses

import numpy as np
import pytest
import xarray as xr

from forecast import schema
from forecast.errors import ForecastError
from forecast.estimands import build_forecast, consequence_mcse, entries, forecast_invariants, summarise
from forecast.simulate import Counts
from tests import outputs_data as made

R = 60


def some_log() -> made.PathLog:
    return made.log_of(made.program(), [[(0.3, "signing/signed"), (2.0, "fighting")], [(1.0, "collapse")], []])


def forecast_of(counts: Counts | None = None, **changes: object) -> xr.DataTree:
    program = made.program()
    counts = counts or made.made_counts(program, R)
    attrs = made.attrs(program.n_draw, counts.replicates, **changes)
    return build_forecast(program, counts, some_log(), made.draws(), attrs, None, None)


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return forecast_of()


def test_values_are_the_counts_over_the_replicates(tree: xr.DataTree) -> None:
    counts = made.made_counts(made.program(), R)
    for name, dim in schema.PROBABILITY_DIMS.items():
        np.testing.assert_allclose(tree[name].to_numpy() * R, getattr(counts, dim), rtol=1e-14)
        mean = getattr(counts, dim).mean(axis=0) / R
        np.testing.assert_allclose(tree["summary"][f"{dim}_mean"].to_numpy(), mean, rtol=1e-13)
        np.testing.assert_array_equal(tree[f"{name}_mcse"].to_numpy(), tree["summary"][f"{dim}_mcse"].to_numpy())
    np.testing.assert_allclose(tree["consequence_amount"].to_numpy(), counts.consequence / R, rtol=1e-8)
    np.testing.assert_allclose(tree["event_frequency"].to_numpy() * R, counts.fired, rtol=1e-14)


def test_coordinates_are_dates_and_names(tree: xr.DataTree) -> None:
    assert tree["time"].dtype == "datetime64[ns]"
    assert [str(t)[:10] for t in tree["time"].to_numpy()[[0, 1, -1]]] == ["2025-03-15", "2025-04-15", "2030-03-15"]
    assert tree["lead"].to_numpy()[0] == 0.0
    assert list(tree["cause"].to_numpy()) == ["no_deal", "war", "exit", "comet"]
    assert str(tree["outcome_label"].to_numpy()[0]) == "Signed and in force"
    assert list(tree["consequence_unit"].to_numpy()) == ["TIV million", "TIV million", "EUR billion"]
    assert "north/refuses" in tree["firing"].to_numpy()
    assert list(tree["draw"].to_numpy()[:2]) == [0, 1]


def test_parameters_are_flattened_by_entry(tree: xr.DataTree) -> None:
    names = list(tree["parameter"].to_numpy())
    assert [n for n in names if n.startswith("fighting")] == ["fighting[0-1]", "fighting[1-5]", "fighting[5+]"]
    assert [n for n in names if n.startswith("share")] == ["share[france]", "share[turkey]"]
    given = made.draws().values
    np.testing.assert_array_equal(tree["parameters"].sel(parameter="fighting[1-5]"), given["fighting"][:, 1])
    np.testing.assert_array_equal(tree["parameters"].sel(parameter="collapse"), given["collapse"])
    assert str(tree["parameter_unit"].sel(parameter="fighting[5+]").item()) == "per year"


def test_entries_without_names_are_numbered() -> None:
    draws = made.draws()
    assert entries(dataclasses.replace(draws, labels={}), "share") == ["0", "1"]


def test_summary_recovers_the_spread_between_draws() -> None:
    """Known truth: p_d ~ Beta(4, 8), R = 30. Unshrunk, the interval is about 15% too wide.

    With 20,000 draws the standard error of a quantile is below 0.003; the tolerance is 4 of them, and the shape of
    a beta plus binomial noise, shrunk, differs from the beta by less than that.
    """
    rng = np.random.default_rng(20260901)
    p = rng.beta(4, 8, 20_000)
    count = rng.binomial(30, p).astype(np.int32)[:, None, None]
    s = summarise(count, 30)
    lower, upper = np.quantile(p, [0.05, 0.95])
    assert abs(s["lower"][0, 0] - lower) < 0.012
    assert abs(s["upper"][0, 0] - upper) < 0.012
    raw = np.quantile(count / 30, [0.05, 0.95])
    assert raw[1] - raw[0] > 1.1 * (upper - lower)


def test_monte_carlo_error_is_the_spread_over_seeds() -> None:
    """The standard deviation of the mean over 2,000 seeds, for the same draws: 4 standard errors are 6.3%."""
    rng = np.random.default_rng(7)
    p = rng.beta(2, 5, 50)
    means, errors = [], []
    for _ in range(2000):
        s = summarise(rng.binomial(20, p).astype(np.int32)[:, None, None], 20)
        means.append(s["mean"][0, 0])
        errors.append(s["mcse"][0, 0])
    assert np.std(means) / np.sqrt(np.mean(np.square(errors))) == pytest.approx(1.0, abs=0.063)


def test_draws_that_agree_have_an_interval_as_narrow_as_chance_allows() -> None:
    rng = np.random.default_rng(3)
    s = summarise(rng.binomial(50, 0.3, (4000, 1, 1)).astype(np.int32), 50)
    assert s["upper"][0, 0] - s["lower"][0, 0] < 0.05  # 0.21 unshrunk


@pytest.mark.parametrize("hits", [0, 1])
def test_never_and_always_reach_to_wilsons_bound(hits: int) -> None:
    count = np.full((100, 1, 1), hits * 10, np.int32)
    s = {k: float(v[0, 0]) for k, v in summarise(count, 10).items()}
    bound = 1.6448536269514722**2 / (1000 + 1.6448536269514722**2)
    assert s["mean"] == hits
    assert (s["lower"], s["upper"]) == pytest.approx((0.0, bound) if hits == 0 else (1.0 - bound, 1.0), abs=1e-15)
    assert s["mcse"] == pytest.approx(bound / 1.6448536269514722)


def test_one_replicate_shrinks_nothing() -> None:
    count = np.array([0, 1, 1, 0, 1, 1, 0, 0, 1, 1] * 10, np.int32)[:, None, None]
    s = {k: float(v[0, 0]) for k, v in summarise(count, 1).items()}
    assert (s["lower"], s["upper"]) == (0.0, 1.0)
    assert s["mcse"] == pytest.approx(np.sqrt(0.6 * 0.4 / 100))


def test_one_draw_is_not_divided_by_zero() -> None:
    s = summarise(np.array([[[30]]], np.int32), 100)
    assert all(np.isfinite(v).all() for v in s.values())
    assert s["mcse"][0, 0] == pytest.approx(np.sqrt(0.3 * 0.7 / 99))


def test_consequence_error_matches_paths_simulated_directly() -> None:
    """Exact: the within-draw variance from sums and sums of squares is the sample variance."""
    rng = np.random.default_rng(1)
    x = rng.gamma(2.0, 3.0, (30, 40, 2))  # draw, path, consequence
    counts = dataclasses.replace(
        made.made_counts(made.program(), 40),
        consequence=x.sum(axis=1)[:, None, :],
        consequence_square=(x**2).sum(axis=1),
    )
    expected = np.sqrt(x.var(axis=1, ddof=1).mean(axis=0) / (30 * 40))
    np.testing.assert_allclose(consequence_mcse(counts), expected, rtol=1e-10)


def test_whole_forecast_keeps_its_rules(tree: xr.DataTree) -> None:
    assert forecast_invariants(tree) == []


def put(name: str, index: tuple[int, ...], value: float) -> object:
    def spoil(data: xr.Dataset) -> xr.Dataset:
        values = data[name].to_numpy().copy()
        values[index] = value
        return data.assign({name: data[name].copy(data=values)})

    return spoil


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (put("outcome_probability", (0, 3, 0), np.nan), "outcome_probability: lies between nan"),
        (put("consequence_amount", (0, 3, 0), np.inf), "consequence_amount: 1 values are not finite"),
        (put("parameters", (2, 2), np.nan), "parameters: 1 values are not finite"),
        (put("state_probability", (0, 3, 0), 1.2), "state_probability: lies between"),
        (put("state_probability", (0, 3, 0), -0.1), "state_probability: lies between -0.1"),
        (put("outcome_probability", (5, 7, 1), 0.0), "outcome_probability: classes add up to"),
        (put("cumulative_incidence", (0, -1, 1), 0.0), "cumulative_incidence: falls over time"),
        (put("cumulative_incidence", (0, -1, 3), 1.0), "cumulative_incidence: causes add up to"),
        (put("consequence_amount", (0, -1, 0), -1e4), "group 'market' must add up to zero"),
        (put("consequence_mcse", (0,), -1.0), "consequence_mcse: a Monte Carlo error is negative"),
        (put("outcome_probability_mcse", (0, 0), np.nan), "outcome_probability_mcse: 1 values are not finite"),
        (lambda d: d.assign_attrs(draws=3), "attrs: draws 3"),
        (lambda d: d.assign_attrs(horizon="2031-01-01"), "horizon are 2025-03-15 and 2031-01-01"),
        (lambda d: d.assign_attrs(as_of="2025-03-16"), "time: runs from 2025-03-15"),
    ],
)
def test_a_broken_rule_is_named(tree: xr.DataTree, spoil: object, said: str) -> None:
    spoiled = tree.copy()
    spoiled.dataset = spoil(tree.to_dataset())  # type: ignore[operator]
    assert any(said in p for p in forecast_invariants(spoiled)), forecast_invariants(spoiled)


def test_crossed_interval_is_named(tree: xr.DataTree) -> None:
    spoiled = tree.copy()
    spoiled["summary"].dataset = put("cause_lower", (3, 1), 0.99)(tree["summary"].to_dataset())  # type: ignore[operator]
    assert "summary: cause_lower is above cause_upper" in forecast_invariants(spoiled)


def test_grid_that_stops_short_is_refused() -> None:
    counts = made.made_counts(made.program(), R)
    short = dataclasses.replace(counts, grid=counts.grid[:-1])
    with pytest.raises(ForecastError, match=r"grid: must end at the horizon"):
        forecast_of(short)


def test_grid_between_days_is_refused() -> None:
    counts = made.made_counts(made.program(), R)
    grid = counts.grid.copy()
    grid[1] += 0.4 / 365.25
    with pytest.raises(ForecastError, match="whole days since 2025-03-15"):
        forecast_of(dataclasses.replace(counts, grid=grid))


def test_sampled_paths_are_kept(tree: xr.DataTree) -> None:
    paths = tree["paths"].to_dataset(inherit=False)
    assert list(paths["number"].to_numpy()) == [0, R, 2 * R]
    assert list(paths["ended_by"].to_numpy()) == [1, 0, -1]
    first = paths["event"].to_numpy()[0]
    assert [str(tree["firing"].to_numpy()[k]) for k in first] == ["signing/signed", "fighting"]
    assert paths.sizes["step"] == 2
    assert np.isnan(paths["event_time"].to_numpy()[2]).all()
