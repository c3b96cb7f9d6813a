"""Sensitivities of stored runs: what is read, refused, kept and printed."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from forecast import swings
from forecast.analysis.sensitivity.analyse import analyse
from forecast.analysis.sensitivity.batches import batch_error
from forecast.analysis.sensitivity.decision import load_decision, payoffs, quiet
from forecast.analysis.sensitivity.factors import factors_of, numbers_of
from forecast.analysis.sensitivity.headlines import headlines_of
from forecast.analysis.sensitivity.registry import SENSITIVITY, markdown, problems
from forecast.analysis.sensitivity.stored import find_run, sensitivity
from forecast.archive import Archive
from forecast.cli_sensitivity import sensitivity as command
from forecast.deal.spec import Process
from forecast.errors import ArchiveError, ForecastError
from forecast.inputs import load
from forecast.process.draws import Draws
from forecast.report.sensitivity_page import write_page
from forecast.report.sensitivity_rows import in_unit, parts
from forecast.report.sensitivity_text import COLUMNS, lines, table
from forecast.swings import held
from tests import outputs_data

DRAWS = 800
LABEL = 'Signed <b>& "sealed"</b> $x_1$'
EVIL = '=HYPERLINK("x")<script>'


def made_tree(y=None, noise: float = 0.0, n: int = DRAWS, **attrs) -> xr.DataTree:
    """A run as `analyse` reads it: y of the headline driven by two of four numbers, one parameter with two entries."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 4))
    if y is None:
        y = np.clip(0.4 + 0.1 * x[:, 0] + 0.05 * x[:, 2] + rng.normal(size=n) * np.sqrt(noise), 0.0, 1.0)
    values = np.column_stack([x, np.full(n, 3.0)])
    outcome = np.stack([np.zeros((n, 4)), np.stack([y, 1.0 - y, 0.0 * y, 0.0 * y], axis=1)], axis=1)
    root = xr.Dataset(
        {
            "parameters": (("draw", "parameter"), values),
            "outcome_probability": (("draw", "time", "outcome"), outcome),
            "cumulative_incidence": (("draw", "time", "cause"), outcome[:, :, :1]),
            "state_probability": (("draw", "time", "state"), outcome[:, :, :1]),
        },
        coords={
            "parameter": ["driver", "idle", "pair[0-1]", "pair[1+]", "fixed"],
            "parameter_label": ("parameter", [EVIL, "Idle", "Pair, 0-1", "Pair, 1+", "Fixed"]),
            "parameter_unit": ("parameter", ["utility", "probability", "per year", "per year", "1"]),
            "time": np.array(["2025-03-15", "2030-03-15"], "datetime64[ns]"),
            "outcome": ["in_force", "no_deal", "open", "other"],
            "outcome_label": ("outcome", ["In force", "No deal", "Open", "Other"]),
            "cause": ["war"],
            "cause_label": ("cause", ["Fighting resumes"]),
            "state": ["signed"],
            "state_label": ("state", ["Signed"]),
        },
        attrs={
            **outputs_data.attrs(n, 50),
            "method": "exact",
            "headline": json.dumps([[LABEL, "outcome_probability", "in_force", "2030-03-15"]]),
            **attrs,
        },
    )
    return xr.DataTree(root)


@pytest.fixture(scope="module")
def data():
    return analyse(made_tree()).assign_attrs(run="small-1")


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """An archive with one run of 240 draws, made by hand."""
    folder = tmp_path_factory.mktemp("archive")
    archive = Archive(folder / "outputs")
    headline = json.dumps([["In force", "outcome_probability", "in_force", "2030-03-15"]])
    tree = outputs_data.forecast_tree(240, 40, headline=headline)
    return archive, outputs_data.write(archive, tree, folder)


# ---- what is analysed ------------------------------------------------------------------------------


def test_every_declared_variable_is_there_and_described(data):
    assert problems(data) == []
    missing = {n for n in SENSITIVITY if n not in data.variables}
    assert missing == {n for n in SENSITIVITY if n.startswith(("decision_value", "paired_"))}
    assert all(v.attrs["long_name"] and v.attrs["description"] for v in data.variables.values())


def test_the_manual_lists_the_variables_as_they_are_declared():
    assert markdown() in Path("docs/sensitivity.md").read_text("utf-8"), "put registry.markdown() into the page again"


def test_what_departs_from_the_registry_is_said(data):
    broken = data.drop_vars("pawn").assign(colour=("factor", np.zeros(data.sizes["factor"])))
    broken["first_order"] = broken["first_order"].astype("f4")
    broken["tornado_low"] = broken["tornado_low"].transpose()
    found = "\n".join(problems(broken))
    for text in (
        "'pawn' is missing",
        "'colour' is not a declared",
        "'first_order' has dtype",
        "'tornado_low' has dims",
    ):
        assert text in found


def test_who_drives_the_headline(data):
    first = data["first_order"][0].to_series()
    assert first["driver"] == pytest.approx(0.8, abs=0.06)
    assert first["pair[0-1]"] == pytest.approx(0.2, abs=0.06)
    assert abs(first["idle"]) < 0.02
    assert first["all:parameters"] > 0.97
    assert data["tornado_low"][0].to_series()["driver"] == pytest.approx(0.4 - 0.1645, abs=0.03)
    assert data["tornado_high"][0].to_series()["driver"] == pytest.approx(0.4 + 0.1645, abs=0.03)
    sd = float(data["headline_sd"][0])
    assert data["value_brier"][0].to_series()["driver"] == pytest.approx(first["driver"] * sd**2)
    assert data["value_log"][0].to_series()["driver"] > 0.01


def test_a_constant_is_no_factor_and_entries_make_a_parameter(data):
    kinds = dict(zip(data["factor"].to_numpy(), data["factor_kind"].to_numpy(), strict=True))
    assert kinds == {
        "driver": "parameter", "idle": "parameter", "pair[0-1]": "entry", "pair[1+]": "entry", "pair": "parameter",
        "all:parameters": "all",
    }  # fmt: skip
    assert np.isnan(data["pawn"][0].to_series()["pair"])
    assert np.isnan(data["independent"][0].to_series()["all:parameters"])
    assert data["factor_low"].to_series()["driver"] == pytest.approx(-1.645, abs=0.2)


def test_the_box_of_the_driver(data):
    assert data["box_clear"].to_numpy().all()
    low = data.sel(side="low").isel(headline=0)
    assert "driver" in low["box_parameter"].to_numpy()
    at = list(low["box_parameter"].to_numpy()).index("driver")
    assert np.isinf(low["box_lower"][at])
    assert -1.0 < float(low["box_upper"][at]) < 0.5
    x, y = made_tree()["parameters"].to_numpy()[:, 0], made_tree()["outcome_probability"].to_numpy()[:, 1, 0]
    inside = x <= float(low["box_upper"][at])
    assert float(low["box_mean"]) == pytest.approx(y[inside].mean(), abs=0.05)
    assert float(low["box_mean"]) < float(low["box_outside"])


def test_many_idle_parameters_take_nothing_from_the_independent_part():
    """150 of 600 draws' worth is regressed out of it: without a correction 0.6 would be left of 0.8."""
    tree = made_tree(n=600)
    rng = np.random.default_rng(3)
    x = np.column_stack([tree["parameters"].to_numpy()[:, :4], rng.normal(size=(600, 146))])
    names = [*tree["parameter"].to_numpy()[:4], *(f"idle_{k}" for k in range(146))]
    wide = tree.to_dataset().drop_dims("parameter").assign(parameters=(("draw", "parameter"), x))
    texts = {f"parameter_{k}": ("parameter", names) for k in ("label", "unit")}
    wide = wide.assign_coords(parameter=names, **texts)
    found = analyse(xr.DataTree(wide))
    assert found["independent"][0].to_series()["driver"] == pytest.approx(0.8, abs=0.1)
    few = analyse(xr.DataTree(wide.isel(draw=slice(0, 250))))
    assert np.isnan(few["independent"][0].to_series()["driver"])
    assert few["first_order"][0].to_series()["driver"] > 0.5


def test_the_same_run_gives_the_same_figures(data):
    xr.testing.assert_identical(data, analyse(made_tree()).assign_attrs(run="small-1"))


def test_noise_of_counted_paths_is_taken_out():
    """The noise of the share of 50 paths is 0.4 · 0.6 / 49 or so."""
    tree = made_tree(noise=0.24 / 50, method="simulated")
    found = headlines_of(tree)[0]
    assert found.noise == pytest.approx(0.24 / 49, rel=0.1)
    with_noise = analyse(tree)
    assert with_noise["headline_sd"][0] == pytest.approx(np.hypot(0.1, 0.05), rel=0.1)
    assert with_noise["headline_noise"][0] == pytest.approx(0.28, abs=0.05)
    assert with_noise["first_order"][0].to_series()["driver"] == pytest.approx(0.8, abs=0.1)


def test_the_better_estimate_is_read_with_its_noise(archived):
    tree = archived[1].open()
    found = headlines_of(tree)[0]
    group = tree["estimates"].to_dataset()
    np.testing.assert_array_equal(found.y, group["estimate_probability"].to_numpy()[:, 0])
    assert found.noise == pytest.approx(float(group["estimate_mcse"][0]) ** 2 * 240)


# ---- what cannot be analysed -----------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 1.0, 0.3])
def test_a_headline_that_never_varies_says_so_and_has_no_figures(p, tmp_path):
    found = analyse(made_tree(y=np.full(DRAWS, p))).assign_attrs(run="r")
    assert np.isnan(found["first_order"]).all()
    assert not found["box_clear"].any()
    assert problems(found) == []
    text = "\n".join(lines(found, 5))
    assert "nothing to explain" in text
    assert "nan" not in text
    page = write_page(tmp_path, found, 5).read_text("utf-8")
    assert "nothing to explain" in page
    assert "<svg" not in page


def test_nothing_is_found_in_noise(tmp_path):
    """y has nothing to do with the parameters: at the rates tested in tests/statistical one false alarm in 150."""
    found = analyse(made_tree(y=np.random.default_rng(9).beta(2.0, 5.0, DRAWS))).assign_attrs(run="r")
    text = "\n".join(lines(found, 5))
    assert "no single parameter shows more than one without effect would" in text
    assert text.count("No region of at most three parameters was found") == 2
    assert "Find out next" not in text
    assert "No single parameter shows more" in write_page(tmp_path, found, 5).read_text("utf-8")


def test_too_rare_a_headline_says_so(archived):
    tree = archived[1].open()
    found = analyse(tree, headline=["No deal, at"])
    assert "too few paths" in str(found["headline_trouble"].to_numpy()[0])
    assert np.isnan(found["first_order"]).all()


def test_a_run_without_uncertain_parameters_is_refused():
    tree = made_tree()
    flat = tree.to_dataset().assign(parameters=tree["parameters"] * 0.0 + 1.0)
    with pytest.raises(ForecastError, match="every parameter of this run is a constant"):
        analyse(xr.DataTree(flat))


def test_too_few_draws_are_refused():
    with pytest.raises(ForecastError, match="the run has 150 draws; sensitivities take at least 200"):
        analyse(made_tree(n=150))


def test_one_path_a_draw_is_refused():
    with pytest.raises(ForecastError, match="one path a draw, which cannot tell luck from parameters"):
        analyse(made_tree(method="simulated", replicates=1))


@pytest.mark.parametrize(
    ("asked", "label"),
    [
        (LABEL, LABEL),
        ("signed <B>", LABEL),
        ("war", "Fighting resumes, by 2030-03-15"),
        ("no_deal", "No deal, at 2030-03-15"),
    ],
)
def test_a_headline_by_its_label_a_part_of_it_or_an_id(asked, label):
    assert [h.label for h in headlines_of(made_tree(), [asked])] == [label]


def test_asking_twice_gives_one():
    assert len(headlines_of(made_tree(), ["war", "Fighting resumes", "open"])) == 2


def test_an_unknown_headline_is_answered_with_the_closest():
    with pytest.raises(ForecastError, match=r"'Fihgting resumes'.*did you mean 'Fighting resumes, by 2030-03-15'"):
        headlines_of(made_tree(), ["Fihgting resumes"])
    with pytest.raises(ForecastError, match=r"'2030': fits 4 of them; write more"):
        headlines_of(made_tree(), ["2030"])
    with pytest.raises(ForecastError, match="there is no such; there are: "):
        headlines_of(made_tree(), [""])
    with pytest.raises(ForecastError, match="the run has no headline; name a cause"):
        headlines_of(made_tree(headline="[]"))


# ---- groups ----------------------------------------------------------------------------------------


def test_groups_by_source_party_and_clause():
    deal = load("priors/ukraine_2025").deal
    names = [n for n, p in deal.file.parameters.items() if p.constant is None]
    root = xr.Dataset(
        {"parameters": (("draw", "parameter"), np.random.default_rng(1).normal(size=(4, len(names))))},
        coords={"parameter": names, "parameter_label": ("parameter", names), "parameter_unit": ("parameter", names)},
    )
    numbers = numbers_of(xr.DataTree(root))
    found = {f.id: {numbers.ids[k] for k in f.members} for f in factors_of(numbers, deal)}
    assert found["party:ukraine"] >= {"ukraine_reservation", "ukraine_values_kaliningrad", "absence_from_table"}
    assert "russia_reservation" not in found["party:ukraine"]
    clause = found["clause:kaliningrad"]
    assert clause >= {
        "kaliningrad_default_odds",
        "russia_values_kaliningrad",
        "us_values_kaliningrad",
        "kaliningrad_ends_deal",
    }
    assert "us_values_us_limits" not in clause
    assert found["promise:neutral_status"] >= {"oral_reversal", "ukraine_values_neutrality"}
    assert any(i.startswith("class:") and "ukraine_exit_regular" in names for i, names in found.items())
    leaving = next(f for f in factors_of(numbers, deal) if f.id == "ukraine_exit_regular")
    for source in deal.file.parameters["ukraine_exit_regular"].rests_on:
        assert f"reference class {source.reference}" in leaving.source
    assert any(i.startswith("experts:") for i in found)
    assert found["part:cascades"] >= {"default_cascade", "reciprocity"}
    assert found["all:parameters"] == set(names)
    members = [f.members for f in factors_of(numbers, deal)]
    assert len(members) == len(set(members))


# ---- decisions -------------------------------------------------------------------------------------

PREPARE = f"""
title = "Prepare for it?"
unit = "EUR million"
headline = {json.dumps(LABEL)}
[actions.wait]
label = "Wait"
if_true = 0
if_false = 0
[actions.prepare]
label = "Prepare"
if_true = 60.0
if_false = -40.0
"""


def decision(tmp_path: Path, text: str):
    file = tmp_path / "decision.toml"
    file.write_text(text, encoding="utf-8")
    return load_decision(file)


def test_a_decision_by_a_headline(tmp_path):
    """Payoff of preparing is 100 y − 40, with y about N(0.4, 0.11²): knowing all is worth 11 φ(0) or so."""
    chosen = decision(tmp_path, PREPARE)
    tree = made_tree()
    y = headlines_of(tree)[0].y
    np.testing.assert_allclose(payoffs(chosen, tree), np.column_stack([0.0 * y, 100.0 * y - 40.0]))
    found = analyse(tree, decision=chosen).assign_attrs(run="r")
    assert problems(found) == []
    assert found.attrs["decision_perfect"] == pytest.approx(11.2 * 0.399, abs=0.5)
    value = found["decision_value"].to_series()
    assert value["driver"] == pytest.approx(10.0 * 0.399, abs=0.6)
    assert value["driver"] > value["pair"] > abs(value["idle"]) - 0.1
    assert "Prepare for it?" in "\n".join(lines(found, 5))
    assert "worth" in write_page(tmp_path / "page", found, 5).read_text("utf-8")


def test_a_decision_by_outcome(tmp_path):
    text = """
    title = "t"
    unit = "points"
    at = 2030-03-15
    [actions.a]
    label = "A"
    payoff = { in_force = 1, no_deal = 0, open = 0, other = 0 }
    [actions.b]
    label = "B"
    payoff = { in_force = 0, no_deal = 1.0, open = 0, other = 0 }
    """
    tree = made_tree()
    y = headlines_of(tree)[0].y
    np.testing.assert_allclose(payoffs(decision(tmp_path, text), tree), np.column_stack([y, 1.0 - y]))
    late = decision(tmp_path, text.replace("at = 2030-03-15", "at = 2031-03-15"))
    with pytest.raises(ForecastError, match="at = 2031-03-15: outside the forecast, 2025-03-15 to 2030-03-15"):
        payoffs(late, tree)
    wrong = decision(tmp_path, text.replace("no_deal = 1.0", "nodeal = 1.0"))
    with pytest.raises(
        ForecastError, match=r"no outcome class 'nodeal'; did you mean 'no_deal'\?\n.*gives nothing for no_deal"
    ):
        payoffs(wrong, tree)


def test_noise_does_not_make_a_decision_look_worth_more():
    rng = np.random.default_rng(2)
    y = rng.normal(0.4, 0.1, 4000) + rng.normal(0.0, 0.1, 4000)
    assert quiet(y, 0.01).std() == pytest.approx(0.1, rel=0.05)
    assert quiet(np.full(5, 0.3), 0.0).tolist() == [0.3] * 5


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("if_false = -40.0", "", "actions.prepare: with a headline, give if_true and if_false"),
        ("if_true = 60.0", "if_true = nan", "if_true.float: Input should be a finite number"),
        (f"headline = {json.dumps(LABEL)}", "", "give either headline"),
        ("unit =", "unti =", "unti: Extra inputs are not permitted"),
        ("title = ", "title ", "not valid TOML"),
        ("[actions.wait]", "[actions.prepare2]\nlabel = 'x'\n[actions.wait]", "actions.prepare2: with a headline"),
        ('[actions.prepare]\nlabel = "Prepare"\nif_true = 60.0\nif_false = -40.0', "", "takes at least two"),
    ],
)
def test_mistakes_in_a_decision_file(tmp_path, old, new, message):
    assert old in PREPARE
    with pytest.raises(ForecastError, match=r"decision.toml: ") as caught:
        decision(tmp_path, PREPARE.replace(old, new))
    assert message in str(caught.value)


def test_a_missing_decision_file(tmp_path):
    with pytest.raises(ForecastError, match=r"no such decision file; docs/sensitivity.md shows one"):
        load_decision(tmp_path / "none.toml")


# ---- runs in the archive ---------------------------------------------------------------------------


def test_figures_are_kept_in_the_archive_and_never_overwritten(archived):
    archive, run = archived
    first, second = (sensitivity("latest", archive.root) for _ in range(2))
    assert first.path != second.path
    assert first.path.parent.parent == archive.root / "sensitivities"
    for found in (first, second):
        kept = xr.open_zarr(found.path, consolidated=False)
        assert kept.attrs["run"] == run.id
        np.testing.assert_array_equal(kept["first_order"], found.data["first_order"])
    assert "no groups by source, party or clause" in first.notes[0]  # the run made by hand keeps no whole deal


def test_a_held_run_is_marked(tmp_path):
    archive = Archive(tmp_path / "outputs")
    headline = json.dumps([["In force", "outcome_probability", "in_force", "2030-03-15"]])
    outputs_data.write(archive, outputs_data.forecast_tree(240, 40, headline=headline, status="held"), tmp_path)
    assert "the run is held: its calibration fails its checks" in sensitivity("latest", archive.root).notes


def test_a_run_by_id_by_the_deals_name_or_not_at_all(archived):
    archive, run = archived
    assert find_run(run.id, archive)[0].id == run.id
    assert find_run("small", archive)[0].id == run.id
    with pytest.raises(ArchiveError, match="no run 'smoll-2025'; did you mean"):
        find_run("smoll-2025", archive)
    with pytest.raises(
        ForecastError, match=r"priors/smal: no folder with a deal.toml, and no run; .* has runs of: small"
    ):
        find_run("priors/smal", archive)
    with pytest.raises(
        ForecastError, match=r"no run of 'teaching' to analyse; make one with: forecast run priors/teaching"
    ):
        find_run("priors/teaching", archive)


def test_a_deal_that_has_changed_since_its_run_is_noted(tmp_path):
    archive = Archive(tmp_path / "outputs")
    deal = load("priors/teaching")
    attrs = {"deal_id": deal.deal.id}
    run = outputs_data.write(archive, outputs_data.forecast_tree(240, 40, **attrs), tmp_path)
    found, notes = find_run("priors/teaching", archive)
    assert found.id == run.id
    assert notes == (f"priors/teaching has changed since {run.id}, its newest run; the figures are of that run",)
    same = outputs_data.write(archive, outputs_data.forecast_tree(240, 40, deal_digest=deal.digest, **attrs), tmp_path)
    outputs_data.write(archive, outputs_data.forecast_tree(240, 40, **attrs), tmp_path)
    found, notes = find_run("priors/teaching/deal.toml", archive)
    assert (found.id, notes) == (same.id, ())


# ---- pairs: one parameter moved, everything else at its draws -------------------------------------


def two_chances(n: int = DRAWS) -> tuple[Draws, Process]:
    """Both of two things happen with chances that go together; the second entry of `pair` is one of them."""
    rng = np.random.default_rng(6)
    one = rng.uniform(0.2, 0.8, n)
    two = np.clip(one + rng.normal(0.0, 0.05, n), 0.05, 0.95)
    shares = np.stack([one, 1.0 - one], axis=1)
    values = {"one": one, "pair": np.stack([np.full(n, 0.5), two], axis=1), "shares": shares}

    def event(id_: str, probability: str, when: list[str]) -> dict:
        yes = {"id": "yes", "label": "", "probability": probability, "effect": {"set": [id_]}}
        return {"id": id_, "label": "", "dates": [date(2026, 1, 1)], "when": {"all": when},
                "branches": [yes, {"id": "no", "label": ""}]}  # fmt: skip

    process = Process.model_validate({
        "deal_id": "small", "title": "Two", "as_of": date(2025, 3, 15), "horizon": 5.0,
        "flags": [{"id": f, "label": ""} for f in ("first", "both")],
        "scheduled": [event("first", "one", []), event("both", "pair[b]", ["first"])],
        "outcomes": [{"id": "all", "label": "", "rest": True}],
    })  # fmt: skip
    labels = {"pair": ("a", "b"), "shares": ("x", "y")}
    return Draws(values, {}, labels, {}), process


@pytest.fixture(params=["exact", "simulated"])
def pairs(request, tmp_path, monkeypatch):
    """`forecast sensitivity --paired` of a run of `two_chances`, solved exactly or by weighted paths."""
    draws, process = two_chances()
    y = draws.values["one"] * draws.values["pair"][:, 1]
    names = ["one", "pair[a]", "pair[b]", "shares[x]", "shares[y]"]
    columns = np.column_stack([draws.values["one"], draws.values["pair"], draws.values["shares"]])
    tree = xr.DataTree(xr.Dataset(
        {"parameters": (("draw", "parameter"), columns), "state_probability": (("draw", "time", "state"),
         np.stack([0.0 * y, y], axis=1)[:, :, None]), "outcome_probability": (("draw", "time", "outcome"),
         np.ones((DRAWS, 2, 1))), "cumulative_incidence": (("draw", "time", "cause"), np.zeros((DRAWS, 2, 0)))},
        coords={"parameter": names, "parameter_label": ("parameter", names), "parameter_unit": ("parameter",
                ["probability"] * 3 + ["share"] * 2), "time": np.array(["2025-03-15", "2030-03-15"], "datetime64[ns]"),
                "state": ["both"], "state_label": ("state", ["Both"]), "outcome": ["all"],
                "outcome_label": ("outcome", ["All"]), "cause": np.zeros(0, "U1"),
                "cause_label": ("cause", np.zeros(0, "U1"))},
        attrs={**outputs_data.attrs(DRAWS, 50), "method": request.param, "headline": json.dumps(
               [["Both", "state_probability", "both", "2030-03-15"]])},
    ))  # fmt: skip
    run = SimpleNamespace(id="small-1", open=lambda: tree, manifest={"attrs": {**tree.attrs, "seed": 5}})
    monkeypatch.setattr(swings, "analysed", lambda *_: (run, analyse(tree).assign_attrs(run=run.id), ()))
    monkeypatch.setattr(swings, "stored", lambda *_: (SimpleNamespace(deal=None), None))
    monkeypatch.setattr(swings, "used_draws", lambda *_: draws)
    monkeypatch.setattr(swings, "expand", lambda _: process)
    return draws, swings.paired_sensitivity("latest", 10, tmp_path / "outputs"), request.param


def test_pairs_move_one_number_and_nothing_else(pairs):
    """Both happen with chance one · two: with one held at q, that is q times the mean of two.

    In the draws they go together, so that the stored run's own tornado reaches further. Simulated: within 4.5 errors.
    """
    draws, found, how = pairs
    one, two = draws.values["one"], draws.values["pair"][:, 1]
    data = found.data.sel(headline="Both")
    for number, x, other in (("one", one, two), ("pair[b]", two, one)):
        at = data.sel(factor=number)
        for side, q in (("low", 0.05), ("high", 0.95)):
            expected = float(np.quantile(x, q)) * other.mean()
            error = float(at[f"paired_{side}_error"])
            assert float(at[f"paired_{side}"]) == pytest.approx(expected, abs=1e-9 if how == "exact" else 4.5 * error)
            influence = batch_error(float(np.quantile(x, q)) * other - one * two)
            assert error == pytest.approx(float(influence), rel=1e-6 if how == "exact" else 0.3)
        assert float(at["tornado_high"] - at["tornado_low"]) > 1.5 * float(at["paired_high"] - at["paired_low"])
    assert np.isnan(found.data["paired_low"].sel(factor="all:parameters")).all()
    assert "not moved alone: shares[x]: is one of several shares that add up to 1" in found.notes
    kept = xr.open_zarr(found.path, consolidated=False).load()
    assert problems(kept) == []


def test_pairs_are_printed_and_drawn_beside_the_stored_run(pairs, tmp_path):
    _, found, how = pairs
    text = "\n".join(lines(found.data, 3))
    assert "nothing simulated but the pairs" in text
    assert ("solved exactly" if how == "exact" else "16 weighted paths a draw") in text
    assert "moved alone, everything else at its draws (paired)" in text
    page = write_page(tmp_path / "page", found.data, 3).read_text("utf-8")
    assert "Dark bars: moved alone" in page
    drawn = (tmp_path / "page" / "tornado-1.svg").read_text("utf-8")
    assert "5%, moved alone" in drawn
    row = next(r for r in csv.DictReader(io.StringIO(table(found.data))) if r["factor"] == "one")
    assert float(row["paired_at_low"]) == float(found.data["paired_low"].sel(factor="one")[0])


def test_numbers_are_held_one_by_one():
    draws, _ = two_chances(5)
    moved = held(draws, "pair[b]", 0.3)
    np.testing.assert_array_equal(moved.values["pair"], np.stack([np.full(5, 0.5), np.full(5, 0.3)], axis=1))
    np.testing.assert_array_equal(moved.values["one"], draws.values["one"])
    for number, says in (("pair", "no such entry"), ("pair[c]", "no such entry"), ("two", "no such parameter"),
                         ("shares[x]", "add up to 1")):  # fmt: skip
        with pytest.raises(ForecastError, match=says):
            held(draws, number, 0.3)


def test_lower_bounds_and_what_is_not_given_are_said(data, tmp_path):
    text = "\n".join(lines(data, 5))
    assert "≥" in text
    assert "Total-order indices are not given" in text
    page = write_page(tmp_path, data, 5).read_text("utf-8")
    assert "No total-order indices" in page
    assert "at least " in page


# ---- what is printed -------------------------------------------------------------------------------


def test_rows_are_ranked_and_marked(data):
    (part,) = parts(data)
    assert [r.id for r in part.facts][:2] == ["driver", "pair"]
    assert [r.clear for r in part.facts] == [True, True, False]
    assert {r.id for r in part.numbers} == {"driver", "idle", "pair[0-1]", "pair[1+]"}
    assert part.everything.id == "all:parameters"
    assert part.label == LABEL


def test_the_terminal_says_what_counts(data):
    text = "\n".join(lines(data, 1))
    assert "and 1 more that show something (--top 2)" in text
    assert "Find out next:" in text
    assert "narrow the standard deviation from 11." in text
    assert "is below" in text
    assert "nothing simulated" in text


def test_texts_of_a_deal_are_escaped_on_the_page(data, tmp_path):
    page = write_page(tmp_path, data, 5).read_text("utf-8")
    assert "font: 15px/1.5 var(--sans)" in page
    assert '"Segoe UI"' in page  # the style sheet is ours and stays as it is
    assert "<script>" not in page
    assert "Signed <b>" not in page
    assert "Signed &lt;b&gt;&amp;" in page
    assert "&lt;script&gt;" in page
    assert "$x_1$" in page
    drawn = sorted(f.name for f in tmp_path.iterdir())
    assert drawn == ["index.html", "sensitivity.csv", "shares-1.png", "shares-1.svg", "tornado-1.png", "tornado-1.svg"]
    for name in ("shares-1.svg", "tornado-1.svg"):
        texts = "".join(t.text or "" for t in ET.parse(tmp_path / name).iter() if t.tag.endswith("text"))  # noqa: S314
        assert "=HYPERLINK" in texts


def test_no_cell_of_the_csv_is_a_formula(data):
    text = table(data)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == data.sizes["factor"]
    driver = next(r for r in rows if r["factor"] == "driver")
    assert driver["label"] == "'" + EVIL
    assert float(driver["first_order"]) == float(data["first_order"][0, 0])
    assert float(driver["low"]) == float(data["factor_low"][0])
    assert next(r for r in rows if r["factor"] == "pair")["pawn"] == ""


def test_two_headlines_have_an_overview(tmp_path):
    tree = made_tree()
    asked = [
        [LABEL, "outcome_probability", "in_force", "2030-03-15"],
        ["Not", "outcome_probability", "no_deal", "2030-03-15"],
    ]
    tree.attrs["headline"] = json.dumps(asked)
    found = analyse(tree).assign_attrs(run="r")
    assert "over all headlines" in "\n".join(lines(found, 5))
    page = write_page(tmp_path, found, 5).read_text("utf-8")
    assert (tmp_path / "overview.png").stat().st_size > 5000
    assert "80% of the variance on average" in page or "of the variance on average, clear for 2 of 2" in page


def test_values_with_their_units():
    assert in_unit(0.25, "share") == "25%"
    assert in_unit(0.5, "per year") == "0.500 per year"
    assert in_unit(3.0, "1") == "3.00"


def test_the_command(archived, tmp_path):
    archive, _ = archived
    run = CliRunner().invoke
    shown = run(command, ["latest", "--archive", str(archive.root), "--out", str(tmp_path / "out"), "--top", "2"])
    assert shown.exit_code == 0, shown.output
    assert "In force" in shown.output
    assert (tmp_path / "out" / "index.html").is_file()
    rows = run(command, ["small", "--archive", str(archive.root), "--csv"])
    assert rows.output.startswith("headline,factor,label")
    wrong = run(command, ["latest", "--archive", str(archive.root), "--headline", "In farce"])
    assert isinstance(wrong.exception, ForecastError)
    assert "did you mean 'In force'" in str(wrong.exception)


def test_dates_of_headlines_are_taken_as_the_report_takes_them():
    """A date between two grid times is that of the earlier one."""
    tree = made_tree(headline=json.dumps([["Early", "outcome_probability", "in_force", date(2029, 1, 1).isoformat()]]))
    assert headlines_of(tree)[0].y.tolist() == [0.0] * DRAWS
