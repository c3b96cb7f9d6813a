import json
from datetime import date

import numpy as np
import pytest
import xarray as xr

from forecast import schema
from forecast.errors import ArchiveError
from forecast.report import stories, tables
from forecast.report.model import Estimate, Source
from forecast.report.words import never_bound
from tests import report_data

HORIZON = report_data.HORIZON


@pytest.fixture(scope="module")
def tree():
    return report_data.forecast_tree(120, 64)


@pytest.fixture(scope="module")
def description():
    return report_data.description()


def test_the_made_up_forecast_has_the_layout_of_a_real_one(tree):
    assert schema.problems(tree) == []


def test_headlines_come_from_the_summary_at_their_date(tree, description):
    rows = tables.headlines(tree, description.headline)
    signed = rows[0]
    at = list(tree["time"].to_numpy().astype("datetime64[D]")).index(np.datetime64("2027-03-15"))
    assert signed.day == date(2027, 3, 15)
    assert signed.estimate.mean == float(tree["summary"]["state_mean"][at, 0])
    assert signed.estimate.lower == float(tree["summary"]["state_lower"][at, 0])
    assert signed.estimate.upper == float(tree["summary"]["state_upper"][at, 0])
    assert signed.estimate.mcse == float(tree["summary"]["state_mcse"][at, 0]) > 0
    assert [r.id for r in rows] == [h[2] for h in description.headline]


def test_a_date_between_grid_times_takes_the_one_before_and_says_so(tree):
    (row,) = tables.headlines(tree, [("x", "cumulative_incidence", "no_deal", date(2026, 4, 14))])
    assert row.day == date(2026, 3, 15)
    assert tables.day_at(tree, date(1990, 1, 1)) == 0
    assert tables.day_at(tree, date(2990, 1, 1)) == tree.sizes["time"] - 1


def test_no_date_means_the_horizon(tree):
    (row,) = tables.headlines(tree, [("x", "cumulative_incidence", "no_deal", None)])
    assert row.day == HORIZON


@pytest.mark.parametrize(
    ("variable", "name", "message"),
    [
        ("outcome_probability", "in_farce", "no outcome 'in_farce'.*in_force"),
        ("consequence", "x", "no probability 'consequence'"),
    ],
)
def test_a_headline_about_nothing_is_refused(tree, variable, name, message):
    with pytest.raises(ArchiveError, match=message):
        tables.headlines(tree, [("x", variable, name, HORIZON)])


def test_a_cause_never_seen_gets_the_wilson_bound_and_not_certainty(tree):
    e = tables.estimate(tree, "cumulative_incidence", "neutrality_reversed", HORIZON)
    assert e == Estimate(0.0, 0.0, never_bound(120 * 64), 0.0)
    assert tables.bounded(Estimate(1.0, 1.0, 1.0, 0.0), 1000) == Estimate(1.0, 1 - never_bound(1000), 1.0, 0.0)
    assert tables.bounded(Estimate(0.5, 0.4, 0.6, 0.1), 1000) == Estimate(0.5, 0.4, 0.6, 0.1)


def test_dates_shown_are_one_two_and_five_years_ahead_and_the_horizon(tree):
    assert tables.shown_dates(tree) == (date(2026, 3, 15), date(2027, 3, 15), date(2030, 3, 15), HORIZON)
    short = tree.isel(time=slice(0, 15))
    assert tables.shown_dates(short) == (date(2026, 3, 15), date(2026, 5, 15))


def test_outcomes_shown_add_up_to_one_at_each_date(tree):
    days = tables.shown_dates(tree)
    rows = tables.curves(tree, "outcome_probability", days)
    assert [r.id for r in rows] == list(report_data.OUTCOMES)
    np.testing.assert_allclose(np.sum([[e.mean for e in r.at] for r in rows], axis=0), 1.0, atol=1e-12)


def test_causes_are_ranked_and_their_shares_add_up(tree):
    rows = tables.causes(tree)
    assert [r.by_horizon.mean for r in rows] == sorted((r.by_horizon.mean for r in rows), reverse=True)
    assert sum(r.share for r in rows) == pytest.approx(1.0)
    assert rows[-1].id == "neutrality_reversed"
    assert rows[-1].half_by is None


def test_half_of_a_cause_has_accrued_at_the_date_given_and_not_a_month_before(tree):
    row = next(r for r in tables.causes(tree) if r.id == "fighting_resumes")
    curve = tree["summary"]["cause_mean"].sel(cause="fighting_resumes").to_numpy()
    i = tables.day_at(tree, row.half_by)
    assert curve[i - 1] < curve[-1] / 2 <= curve[i]


def test_storylines_pair_steps_with_their_dates(tree):
    rows = stories.storylines(tree, top=3)
    assert len(rows) == 3
    assert rows[2].steps == (("The package is signed", "Aug 2026"), ("Fighting resumes", "Jan 2029"))
    assert rows[0].steps[-1] == ("Still in force at the horizon", "")
    assert rows[2].cause == "fighting_resumes"
    assert rows[2].example_path == 1033


def test_groups_that_a_forecast_lacks_give_no_rows(tree):
    bare = xr.DataTree.from_dict({"/": tree.to_dataset(), "/summary": tree["summary"].to_dataset(inherit=False)})
    assert stories.storylines(bare) == ()
    assert tables.base_rates(bare) == ()
    assert tables.refusals(bare, {}) == ()
    assert tables.transfers(bare, ()) == ()


def test_refusals_are_added_up_by_party(tree):
    parties = {
        "us_decides/refuses": "United States",
        "russia_decides/refuses": "West",
        "ukraine_decides/refuses": "West",
    }
    rows = tables.refusals(tree, parties)
    frequency = tree["event_frequency"].to_numpy()
    assert [r.party for r in rows] == ["West", "United States"]
    assert rows[0].per_path.mean == pytest.approx(frequency[:, 1:3].sum(axis=1).mean())
    assert rows[0].per_path.lower < rows[0].per_path.mean < rows[0].per_path.upper
    assert sum(r.share for r in rows) == pytest.approx(1.0)
    with pytest.raises(ArchiveError, match="no firing 'nobody'"):
        tables.refusals(tree, {"nobody": "X"})


def test_transfers_are_added_up_over_buyers_and_conserved(tree, description):
    (group,) = tables.transfers(tree, description.consequence_groups)
    assert group.columns == ("India", "Algeria", "Egypt")
    assert [f.label for f in group.losers] == ["No longer bought from Russia"]
    assert {f.label for f in group.gainers} == {f"Bought from {s} instead" for s in report_data.SUPPLIERS.values()}
    assert [f.total.mean for f in group.gainers] == sorted((f.total.mean for f in group.gainers), reverse=True)
    assert group.residual < 1e-12
    loser = group.losers[0]
    assert loser.total.mean == pytest.approx(sum(c.mean for c in loser.cells))
    assert loser.total.mean == pytest.approx(-sum(f.total.mean for f in group.gainers))
    assert loser.total.lower < loser.total.mean < loser.total.upper < 0


def test_a_leak_in_a_market_shows(tree, description):
    leaky = tree.copy(deep=True)
    leaky["consequence_amount"][:, -1, 0] *= 1.1
    (group,) = tables.transfers(leaky, description.consequence_groups)
    assert group.residual > 0.05
    title, unit, losers, gainers = description.consequence_groups[0]
    with pytest.raises(ArchiveError, match="no 'mars'"):
        tables.transfers(tree, [(title, unit, losers, (*gainers, "mars"))])


def test_a_consequence_outside_every_market_is_listed_by_itself(tree, description):
    assert tables.amounts(tree, description.consequence_groups) == ()
    title, unit, losers, gainers = description.consequence_groups[0]
    (row,) = tables.amounts(tree, [(title, unit, losers, gainers[1:])])
    assert (row.label, row.unit) == ("India: bought from United States instead", "TIV million")
    values = tree["consequence_amount"].sel(consequence=gainers[0]).to_numpy()[:, -1]
    assert row.estimate.mean == pytest.approx(values.mean())
    assert row.estimate.lower < row.estimate.mean < row.estimate.upper


def test_two_consequences_of_one_name_are_not_lost():
    named = {"a": "India: France", "b": "India: France"}
    assert tables.sides(named, ["a", "b"]) == {"France": {"India": "a", "b": "b"}}


def test_the_interval_loses_the_noise_of_the_replicates():
    """Draws N(0, 1) seen with noise N(0, 1): the corrected 90% interval is that of N(0, 1) again.

    A quantile of 20,000 draws at 5% has a standard error of sqrt(0.05 * 0.95 / n) / 0.103 = 0.015;
    0.09 is six of them, a false alarm in 5e8; the uncorrected bound is 0.68 further out.
    """
    rng = np.random.default_rng(11)
    n = 20_000
    seen = rng.standard_normal(n) + rng.standard_normal(n)
    e = tables.spread(seen, mcse=1 / np.sqrt(n))
    assert e.lower == pytest.approx(-1.645, abs=0.09)
    assert e.upper == pytest.approx(1.645, abs=0.09)
    assert tables.spread(seen).upper > 2.2


def test_a_constant_has_an_interval_of_no_width():
    e = tables.spread(np.full(5, 3.0), mcse=0.1)
    assert (e.mean, e.lower, e.upper) == (3.0, 3.0, 3.0)


def test_base_rates_keep_their_explanation(tree):
    rows = tables.base_rates(tree)
    assert [r.agrees for r in rows] == [True, True, True, False]
    assert (rows[3].model.lower, rows[3].model.upper) == (0.13, 0.33)
    assert (rows[3].reference.lower, rows[3].reference.upper) == (0.36, 0.56)
    assert (rows[3].model.mean, rows[3].reference.mean) == (0.22, 0.46)
    assert "oral" in rows[3].explanation


def test_every_parameter_has_a_row_with_its_source_and_quantiles(tree):
    rows = tables.parameters(tree, report_data.sources())
    assert [r.id for r in rows] == [p[0] for p in report_data.PARAMETERS]
    binned = rows[1]
    assert binned.id == "fighting_resumes[0-1]"
    assert binned.label == "Fighting resumes, 0-1"
    assert binned.origin == "reference class fighting_resumes, transfer sd 0.3"
    values = tree["parameters"].to_numpy()[:, 1]
    assert (binned.lower, binned.median, binned.upper) == tuple(np.quantile(values, (0.05, 0.5, 0.95)))


def test_a_parameter_without_a_source_shows_the_gap(tree):
    rows = tables.parameters(tree, [Source("us_change", "Change", "probability", "experts", "why")])
    assert rows[0].origin == "not stated"
    assert rows[4].origin == "experts"


def test_attributes_are_read_as_lists_and_tables(tree):
    assert tables.attribute_table(tree, "versions")["numpy"] == "2.5.5"
    other = tree.copy()
    for value in (json.dumps(["a", "b"]), ["a", "b"], "a\nb"):
        other.attrs["held_reasons"] = value
        assert tables.attribute_list(other, "held_reasons") == ("a", "b")
    assert tables.attribute_list(other, "no_such") == ()
    assert tables.attribute_table(other, "no_such") == {}
