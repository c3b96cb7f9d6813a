import csv
import math

import matplotlib as mpl
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from forecast.deal.parameters import Parameter
from forecast.report.diagnostic_plots import drawable, window
from forecast.report.diagnostics import coverage, summary, write_diagnostics
from tests import report_data


@pytest.fixture(scope="module")
def fit():
    return report_data.calibration_tree()


def test_a_good_fit_makes_a_page_of_its_own_with_every_picture(fit, tmp_path):
    tree, parameters = fit
    before = mpl.get_backend()
    index = write_diagnostics(tmp_path / "diagnostics", tree, parameters)
    text = index.read_text(encoding="utf-8")
    assert mpl.get_backend() == before
    for kind in ("energy", "rank_1", "trace_1", "prior_posterior_1", "posterior_predictive_1"):
        with Image.open(index.parent / f"{kind}.png") as picture:
            assert picture.size[0] == 1250
            assert len(picture.convert("L").getcolors()) > 20
    assert text.count('src="data:image/png;base64,') == len(list(index.parent.glob("*.png")))
    assert "All 7 parameters pass" in text
    assert "<script" not in text
    assert "://" not in text


def test_the_summary_holds_the_figures_at_full_precision(fit, tmp_path):
    tree, parameters = fit
    rows = summary(tree, list(parameters), parameters)
    by_id = {r.id: r for r in rows}
    values = tree["posterior"]["rate_a"].to_numpy()
    assert by_id["rate_a"].figures["mean"] == pytest.approx(values.mean())
    assert by_id["rate_a"].figures["eti90_lb"] == pytest.approx(np.quantile(values, 0.05))
    assert by_id["binned[1-3]"].label == "Binned rate, 1-3"
    assert by_id["fixed"].fixed
    assert not any(r.trouble for r in rows)
    write_diagnostics(tmp_path, tree, parameters)
    with (tmp_path / "summary.csv").open(encoding="utf-8") as file:
        stored = {r["parameter"]: r for r in csv.DictReader(file)}
    assert list(stored) == [r.id for r in rows]
    assert float(stored["rate_a"]["mean"]) == by_id["rate_a"].figures["mean"]


def test_no_label_in_the_summary_is_a_formula(fit, tmp_path):
    tree, parameters = fit
    evil = {k: p.model_copy(update={"label": f"={p.label}"}) for k, p in parameters.items()}
    write_diagnostics(tmp_path, tree, evil)
    with (tmp_path / "summary.csv").open(encoding="utf-8") as file:
        assert all(r["label"].startswith("'=") for r in csv.DictReader(file))


@pytest.mark.parametrize(
    ("poison", "words"),
    [
        (lambda x: x.at_chain(1, 5.0), "R-hat"),
        (lambda x: x.at_one(np.nan), "not finite"),
        (lambda x: x.at_one(np.inf), "not finite"),
        (lambda x: x.constant(), "R-hat n/a"),
    ],
)
def test_a_poisoned_chain_is_named_and_the_page_still_made(fit, tmp_path, poison, words):
    tree, parameters = fit
    bad = tree.copy(deep=True)

    class Chain:
        values = bad["posterior"]["rate_b"]

        def at_chain(self, chain, shift):
            self.values[chain] += shift

        def at_one(self, value):
            self.values[0, 3] = value

        def constant(self):
            self.values[:] = 0.25

    poison(Chain())
    rows = {r.id: r for r in summary(bad, list(parameters), parameters)}
    assert words in "; ".join(rows["rate_b"].trouble)
    assert not rows["rate_a"].trouble
    text = write_diagnostics(tmp_path, bad, parameters).read_text(encoding="utf-8")
    assert "1 of 7 parameters do not pass" in text
    assert "<code>rate_b</code>" in text


def test_only_what_can_be_drawn_is_drawn(fit):
    tree, parameters = fit
    bad = tree.copy(deep=True)
    bad["posterior"]["rate_a"][0, 0] = math.nan
    flat = drawable(bad, list(parameters))
    assert set(flat["posterior"].data_vars) == {"rate_b", "rate_c", *(f"binned[{b}]" for b in ("0-1", "1-3", "3+"))}
    assert set(flat["prior"].data_vars) == set(flat["posterior"].data_vars)


def test_the_window_shows_the_posterior_and_not_the_tail_of_the_prior():
    rng = np.random.default_rng(5)
    prior = rng.lognormal(-2, 3, 4000)
    low, high = window(prior, rng.normal(0.2, 0.02, 4000))
    assert low < 0.14
    assert 0.26 < high < 10 < float(prior.max())


def test_coverage_is_counted_cell_by_cell(fit):
    tree, _ = fit
    (row,) = coverage(tree)
    assert (row.variable, row.cells) == ("breakdown__events", 40)
    assert row.inside >= 0.8
    assert row.lower <= row.total <= row.upper
    wrong = tree.copy(deep=True)
    wrong["observed_data"]["breakdown__events"][:20] = 10_000
    (row,) = coverage(wrong)
    assert row.inside <= 0.5
    assert row.total > row.upper


def test_a_calibration_without_data_or_prior_still_makes_a_page(fit, tmp_path):
    tree, parameters = fit
    bare = xr.DataTree.from_dict({"/posterior": tree["posterior"].to_dataset()})
    index = write_diagnostics(tmp_path, bare, parameters)
    assert {p.stem for p in tmp_path.glob("*.png")} == {"rank_1", "trace_1"}
    assert "Coverage" not in index.read_text(encoding="utf-8")


def test_parameters_that_the_posterior_lacks_are_left_out(fit):
    tree, parameters = fit
    more = {**parameters, "absent": Parameter(id="absent", label="x", unit="1", constant=1.0, source="x")}
    assert summary(tree, [n for n in more if n in tree["posterior"]], more)
    assert summary(tree, [], more) == ()
