"""Scenarios: what is forced, dropped, added and set; paired differences; mistakes; the pictures and tables of it."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from forecast import conditions as conditions_module
from forecast import scenarios as scenarios_module
from forecast.analysis.conditioning import (
    Curves,
    conditional,
    conditional_curves,
    curves,
    effective_draws,
    happened,
    look,
    paths_of,
    shifts,
)
from forecast.analysis.given import problems as given_problems
from forecast.analysis.paired import level, paired
from forecast.analysis.scenarios import problems
from forecast.cli_whatif import given as given_command
from forecast.cli_whatif import whatif as command
from forecast.conditions import Source, _given, asked_of
from forecast.coordinates import DIMS, _luck, coordinates_of, deal_out, sobol_points
from forecast.deal.expand import expand
from forecast.deal.parts import left_out, names_of
from forecast.deal.scenario import Scenario, read_scenarios, words_to_scenario
from forecast.deal.spec import Process
from forecast.deal.targets import Target, targets_of
from forecast.errors import DealFileError, ForecastError
from forecast.estimate import estimate_each
from forecast.inputs import load
from forecast.pipeline import RunSettings
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.process.exact import exact_forecast, exact_forecasts
from forecast.process.force import forced, without
from forecast.refine import Wanted, wanted_of
from forecast.report.given_page import write_page as write_given
from forecast.report.given_rows import lines as given_lines
from forecast.report.given_rows import table as given_table
from forecast.report.whatif_page import write_page
from forecast.report.whatif_rows import lines, parts, table
from forecast.scenarios import _window, evaluate
from forecast.simulate import record_paths, simulate
from forecast.types import years_between
from forecast.variants import joint, variants_of
from tests.statistical.test_deal import NUMBERS

TEACHING, SHIPPED, USMCA = (Path("priors") / x for x in ("teaching", "ukraine_2025", "usmca_review"))
SETTINGS = RunSettings(paths=400 * 32, draws=400, seed=3)


def teaching_draws(n: int = 400) -> Draws:
    """Draws of the teaching deal's parameters, without a calibration."""
    rng = np.random.default_rng(4)
    spread = {"power_changes", "default_ends_deal", "opposition_opposes"}
    values = {
        name: x * rng.uniform(0.8, 1.25, n) if name in spread else x + 0.2 * np.abs(rng.normal(size=n))
        for name, x in NUMBERS.items()
    }
    values["shooting"] = np.array([0.2, 0.1, 0.05]) * rng.lognormal(0.0, 0.3, (n, 1))
    return Draws(values, {"shooting": np.array([0.0, 1.0, 2.0, np.inf])}, {}, {})


def compared(scenarios: list[Scenario], settings: RunSettings = SETTINGS) -> xr.Dataset:
    """Compare scenarios of the teaching deal with made-up draws, as `whatif` does after its calibration."""
    module = scenarios_module
    inputs = load(TEACHING)
    variants = variants_of(inputs, scenarios)
    draws = teaching_draws()
    programs = [compile_process(expand(inputs.deal), draws), *(v.program(draws) for v in variants)]
    window = _window(inputs, programs)
    found = evaluate(programs, window, settings)
    rows = [
        module.Row(v.scenario.name, v.scenario.title, v.scenario.changes, v.notes, e)
        for v, e in zip(variants, found[1:], strict=True)
    ]
    attrs = {
        "title": "The bridge", "as_of": "2025-01-01", "horizon": "2030-01-01", "draws": 400, "replicates": 32,
        "weighted_replicates": 32, "method": "simulated" if settings.simulate else "exact",
    }  # fmt: skip
    days = [d for d, _ in module._days(inputs)]
    return module.assemble(window.asked, days, window.things, found[0], rows, attrs)


# ---- what is forced ------------------------------------------------------------------------------


def common_cause(n_draw: int = 50) -> Program:
    """A storm (30 %) lets a dam break (80 %, else 10 %); the crop fails after a storm (90 %, else 20 %)."""
    numbers = {"storm": 0.3, "calm_break": np.log(0.1 / 0.9), "storm_adds": np.log(0.8 / 0.2) - np.log(0.1 / 0.9),
               "calm_crop": np.log(0.2 / 0.8), "storm_crop": np.log(0.9 / 0.1) - np.log(0.2 / 0.8)}  # fmt: skip

    def event(id_: str, day: date, branch: dict, effect: dict) -> dict:
        rest = {"id": "no", "label": ""}
        return {"id": id_, "label": id_, "dates": [day], "branches": [{"id": "yes", "label": "", "effect": effect,
                **branch}, rest]}  # fmt: skip

    process = Process.model_validate({
        "deal_id": "storm", "title": "Storm", "as_of": date(2025, 1, 1), "horizon": 3.0,
        "flags": [{"id": f, "label": ""} for f in ("storm", "broken", "failed")],
        "scheduled": [
            event("weather", date(2025, 6, 1), {"probability": "storm"}, {"set": ["storm"]}),
            event("dam", date(2025, 7, 1), {"logit": "calm_break",
                  "modifiers": [{"when": "storm", "log_ratio": "storm_adds"}]}, {"set": ["broken"]}),
            event("harvest", date(2025, 9, 1), {"logit": "calm_crop",
                  "modifiers": [{"when": "storm", "log_ratio": "storm_crop"}]}, {"set": ["failed"]}),
        ],
        "outcomes": [{"id": "all", "label": "", "rest": True}],
    })  # fmt: skip
    return compile_process(process, Draws({k: np.full(n_draw, v) for k, v in numbers.items()}, {}, {}, {}))


def failed(program: Program) -> float:
    return float(exact_forecast(program, 0, np.array([3.0])).state[0, program.flags.index("failed")])


def test_what_is_forced_tells_nothing_about_what_came_before():
    base = common_cause()
    assert failed(base) == pytest.approx(0.3 * 0.9 + 0.7 * 0.2, abs=1e-12)
    assert failed(forced(base, {"dam": "yes"})) == pytest.approx(failed(base), abs=1e-12)
    assert failed(forced(base, {"weather": "yes"})) == pytest.approx(0.9, abs=1e-12)
    assert failed(forced(base, {"weather": "no"})) == pytest.approx(0.2, abs=1e-12)
    assert failed(forced(base, {"harvest": "yes"})) == pytest.approx(1.0, abs=1e-12)
    assert failed(forced(base, {"harvest": "no"})) == 0.0


def test_the_simulator_and_the_weighted_paths_force_alike():
    program = forced(common_cause(400), {"weather": "yes", "dam": "yes"})
    counts = simulate(program, seed=1, replicates=50, grid=np.array([3.0]))
    assert (counts.state[:, 0, program.flags.index("broken")] == 50).all()
    share = counts.state[:, 0, program.flags.index("failed")].sum() / 20_000
    assert share == pytest.approx(0.9, abs=4 * np.sqrt(0.09 / 20_000))
    found = estimate_each(program, [("state", "failed")], seed=1, times=[3.0], replicates=32)
    assert found.mean.mean() == pytest.approx(0.9, abs=4 * float(found.mcse[0, 0]) + 1e-9)


def exits(rate: float, n_draw: int = 30, *, weibull: bool = False) -> Program:
    """Two ways out: `war` at a rate, `peace` at another."""
    how = {"weibull_shape": "shape", "weibull_scale": "scale", "clock": "since"} if weibull else {"rate": "war"}
    process = Process.model_validate({
        "deal_id": "exits", "title": "Exits", "as_of": date(2025, 1, 1), "horizon": 4.0, "flags": [],
        "clocks": [{"id": "since", "label": "", "running_since": date(2025, 1, 1)}],
        "hazards": [{"id": "war", "label": "", "effect": {"end": "war"}, **how},
                    {"id": "peace", "label": "", "rate": "peace", "effect": {"end": "peace"}}],
        "causes": [{"id": "war", "label": "War"}, {"id": "peace", "label": "Peace"}],
        "outcomes": [{"id": "rest", "label": "", "rest": True}],
    })  # fmt: skip
    values = {"war": rate, "peace": 0.2, "shape": 1.0, "scale": 1.0 / rate}
    return compile_process(process, Draws({k: np.full(n_draw, v) for k, v in values.items()}, {}, {}, {}))


@pytest.mark.parametrize("weibull", [False, True])
def test_a_hazard_never_comes_or_comes_at_once(weibull):
    base = exits(0.3, weibull=weibull)
    never, soon = (forced(base, {"war": w}) for w in ("never", "at_once"))
    at = {"seed": 2, "times": [4.0], "replicates": 256}
    peace, war = (estimate_each(p, [("cause", "peace"), ("cause", "war")], **at).mean.mean(axis=(0, 1))
                  for p in (never, soon))  # fmt: skip
    assert peace[0] == pytest.approx(1 - np.exp(-0.8), abs=2e-3)
    assert peace[1] == 0.0
    assert war[1] > 0.999


def test_the_difference_is_that_of_closed_forms_and_of_two_exact_runs():
    before, after = exits(0.3), exits(0.5)
    grid = np.array([1.0, 4.0])
    exact = [exact_forecasts(p, grid).cause[:, None, :, 0] for p in (before, after)]
    wanted = [r / (r + 0.2) * (1 - np.exp(-(r + 0.2) * grid)) for r in (0.3, 0.5)]
    change = paired(*exact)
    np.testing.assert_allclose(change.mean, wanted[1] - wanted[0], atol=1e-11)
    np.testing.assert_array_equal(change.mcse, 0.0)
    each = [np.stack([simulate(p, seed=s, replicates=400, grid=grid).cause[..., 0] / 400 for s in (1, 2)], axis=1)
            for p in (before, after)]  # fmt: skip
    found = paired(*each)
    assert (np.abs(found.mean - change.mean) < 4 * found.mcse).all()
    assert (found.mcse > 0).all()


def test_a_scheduled_event_without_a_choice_may_not_take_place():
    inputs = load(TEACHING)
    process = without(expand(inputs.deal), {"signing": "never"})
    program = compile_process(process, teaching_draws())
    p = exact_forecasts(program, np.array([4.9]))
    assert (p.state[:, 0, program.flags.index("signed")] == 0.0).all()


# ---- scenarios of a deal -------------------------------------------------------------------------


def test_a_scenario_that_changes_nothing_changes_nothing_to_the_bit():
    for simulated in (False, True):
        data = compared([Scenario("same", set={"negotiation.collapse": "talks_collapse"})],
                        replace(SETTINGS, simulate=simulated))  # fmt: skip
        for name in data.data_vars:
            if "difference" in str(name):
                np.testing.assert_array_equal(data[name].to_numpy(), 0.0, err_msg=str(name))


def test_simulated_differences_agree_with_exact_ones():
    asked = [
        Scenario("safe", force={"shooting": "never"}),
        Scenario("without", drop=("troops_leave",)),
        Scenario("change", force={"north_parliament.2027": "change", "south": "accepts"}),
        Scenario("sure", set={"default_ends_deal": 0.9}),
    ]
    exact, near = compared(asked), compared(asked, replace(SETTINGS, simulate=True))
    assert problems(exact) == problems(near) == []
    for name in ("difference", "cause_difference", "outcome_difference"):
        error = np.abs(near[f"{name}_mean"] - exact[f"{name}_mean"]).to_numpy()
        allowed = 4.5 * near[f"{name}_mcse"].to_numpy() + 1e-6
        assert (error <= allowed).mean() > 0.995, name
        assert (exact[f"{name}_mcse"] == 0.0).all()
    assert (exact["changed_mean"].sel(scenario="safe")[exact["figure_name"] == "shooting"] == 0.0).all()


def test_what_goes_with_a_clause_is_said():
    inputs = load(SHIPPED)
    v = variants_of(inputs, [Scenario("x", drop=("promise", "verification"))])[0]
    assert not v.inputs.deal.file.promises["neutral_status"].included
    assert not v.inputs.deal.file.verification.agreed
    assert "its worth to United States, Russia, Ukraine" in v.notes[0]
    assert "neutrality_reversed, whose chance becomes 0" in v.notes[0]
    assert "what acts on it" in v.notes[0]


def test_clauses_are_added_from_a_file(tmp_path):
    extra = tmp_path / "more.toml"
    extra.write_text(
        '[breakdowns.flood]\ncause_label = "Flood"\nhazard = "flood"\nsource = "invented"\n'
        '[parameters.flood]\nlabel = "Flood"\nunit = "per year"\nconstant = 0.1\nsource = "invented"\n'
        '[[cascades]]\nwhen = "troops_leave_defaulted"\non = ["flood"]\nlog_ratio = "default_raises_shooting"\n'
    )
    inputs = load(TEACHING)
    v = variants_of(inputs, [Scenario("wet", add=(extra,))])[0]
    assert len(v.inputs.deal.file.cascades) == len(inputs.deal.file.cascades) + 1
    whole = joint(inputs, [v])
    assert list(whole.deal.file.parameters) == [*inputs.deal.file.parameters, "flood"]
    base = teaching_draws()
    drawn = replace(base, values={**base.values, "flood": np.full(400, 0.1)})
    assert "flood" in v.program(drawn).causes
    extra.write_text('[breakdowns.shooting]\nhazard = "flood"\n')
    with pytest.raises(DealFileError, match=r"breakdowns.shooting.hazard: the deal has it already"):
        variants_of(inputs, [Scenario("wet", add=(extra,))])


FLOOD = (
    '[breakdowns.flood]\ncause_label = "Flood"\nhazard = "flood"\nsource = "invented"\n'
    '[parameters.flood]\nlabel = "Flood"\nunit = "per year"\nexperts = "flood_rate"\n'
)
HEADER = "question,expert,date,asked,scale,unit,p05,p50,p95,why\n"
ANSWER = 'flood_rate,An hydrologist,2024-11-01,"How often a year is the bridge flooded?",positive,per year,{}\n'
WHY = '"Three times since it was built in 1990."'


def test_clauses_bring_the_answers_that_they_rest_on(tmp_path):
    extra, sheet = tmp_path / "more.toml", tmp_path / "experts.csv"
    extra.write_text(FLOOD)
    inputs = load(TEACHING)
    with pytest.raises(DealFileError, match=r"no question 'flood_rate' in the deal's experts.csv, nor in .*put its an"):
        variants_of(inputs, [Scenario("wet", add=(extra,))])
    other = 'shore,An hydrologist,2024-11-01,"How often does it rain?",positive,per year,1,2,3,"It rains a lot."\n'
    sheet.write_text(HEADER + ANSWER.format(f"0.02,0.1,0.3,{WHY}") + other)
    v = variants_of(inputs, [Scenario("wet", add=(extra,))])[0]
    assert [r.question for r in v.inputs.deal.experts if r not in inputs.deal.experts] == ["flood_rate"]
    assert v.notes == ("with more.toml comes 1 answer of An hydrologist from the experts.csv beside it",)
    whole = joint(inputs, [v])
    assert whole.deal.experts == v.inputs.deal.experts
    assert whole.deal.file.parameters["flood"].experts == "flood_rate"
    sheet.write_text(HEADER + ANSWER.format(f"0.3,0.1,0.02,{WHY}"))
    with pytest.raises(DealFileError, match=r"experts\.csv: line 2: "):
        variants_of(inputs, [Scenario("wet", add=(extra,))])


def test_answers_that_contradict_each_other_are_refused(tmp_path):
    adds = []
    for n, median in enumerate((0.1, 0.2)):
        folder = tmp_path / str(n)
        folder.mkdir()
        (folder / "more.toml").write_text(FLOOD)
        (folder / "experts.csv").write_text(HEADER + ANSWER.format(f"0.02,{median},0.3,{WHY}"))
        adds.append(folder / "more.toml")
    inputs = load(TEACHING)
    with pytest.raises(DealFileError, match="'An hydrologist' answers 'flood_rate' otherwise than in another scenario"):
        variants_of(inputs, [Scenario(f"wet{n}", add=(a,)) for n, a in enumerate(adds)])


def test_the_deals_own_answers_come_first(tmp_path):
    row = next(r for r in load(SHIPPED).deal.experts if r.question == "oral_worth")
    extra = tmp_path / "more.toml"
    extra.write_text(
        '[breakdowns.flood]\ncause_label = "Flood"\nhazard = "flood"\nsource = "invented"\n[parameters.flood]\n'
        'label = "Flood"\nunit = "per year"\nexperts = "fighting_resumes_rate"\n[parameters.worth]\nlabel = "Worth"\n'
        f'unit = "{row.unit}"\nexperts = "oral_worth"\n'
    )
    flood = ANSWER.format(f"0.02,0.1,0.3,{WHY}").replace("flood_rate", "fighting_resumes_rate")
    worth = (
        f'oral_worth,Somebody else,2024-11-01,"How much is it worth, would you say?",{row.scale},{row.unit},0.1,0.2,0.3'
    )
    (tmp_path / "experts.csv").write_text(f"{HEADER}{flood}{worth},{WHY}\n")
    v = variants_of(load(SHIPPED), [Scenario("wet", add=(extra,))])[0]
    assert any("own answers to oral_worth are used, not those beside more.toml" in n for n in v.notes)
    assert not any(r.expert == "Somebody else" for r in v.inputs.deal.experts)


MISTAKES = [
    (Scenario("x", force={"us_election_2028": "change"}), "did you mean 'us_presidency.2028'"),
    (Scenario("x", force={"us_presidency.2028": "changes"}), "comes out as one of change, stays"),
    (Scenario("x", force={"fighting_resumes": "at once"}), "comes out as one of never, at_once"),
    (Scenario("x", force={"ukraine_president_exit": "at_once"}), "comes out as one of never"),
    (
        Scenario("x", force={"talks_collapse": "never", "talks_collapse_ukraine": "at_once"}),
        "forced to 'never' already",
    ),
    (Scenario("x", drop=("russia",)), "a party is not part of the package"),
    (Scenario("x", drop=("us_presidency",)), "--force us_presidency.2028=stays"),
    (Scenario("x", drop=("fighting_resumes",)), "rule it out with --force fighting_resumes=never"),
    (Scenario("x", drop=("kaliningrod",)), "did you mean 'kaliningrad'"),
    (Scenario("x", drop=("arms",)), "changes no probability"),
    (Scenario("x", set={"oral_wrth": 0.3}), "no such parameter; did you mean 'oral_worth'"),
    (Scenario("x", set={"oral_worth": 1.3}), "no probability strictly between 0 and 1"),
    (Scenario("x", set={"promise.bindin": True}), "bindin"),
    (Scenario("x", set={"deal.horizon": "3 years"}), "share the deal's window"),
    (Scenario("x", set={"parameters.oral_worth.experts": "unverified_worth"}), "share one calibration"),
    (Scenario("x", set={"fighting_resumes": 0.3, "noise": 0}), "noise of decisions must be more than 0"),
]


@pytest.mark.parametrize(("scenario", "says"), MISTAKES, ids=range(len(MISTAKES)))
def test_mistakes_are_said(scenario, says):
    with pytest.raises(ForecastError, match=says.replace("(", r"\(")):
        variants_of(load(SHIPPED), [scenario])


def test_all_mistakes_are_said_at_once_and_nothing_is_written(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('[scenarios.a]\ndrop = ["russia"]\n[scenarios.b.force]\nfighting_resumes = "often"\n')
    archive = tmp_path / "archive"
    args = [str(SHIPPED), "--scenarios", str(file), "--set", "oral_worth=2", "--archive", str(archive)]
    result = CliRunner().invoke(command, args)
    said = str(result.exception)
    assert isinstance(result.exception, ForecastError)
    assert all(x in said for x in ("scenario 'a'", "scenario 'b'", "scenario 'scenario'"))
    assert not archive.exists()


def test_words_and_file_are_read_whatever_is_wrong_with_the_other(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text('title = "x"\n[scenarios.a]\ndrp = ["verification"]\n[scenarios.B]\nset = 3\n')
    args = [
        str(SHIPPED),
        "--scenarios",
        str(file),
        "--force",
        "x=y",
        "--force",
        "x=z",
        "--archive",
        str(tmp_path / "a"),
    ]
    said = str(CliRunner().invoke(command, args).exception)
    for line in ("--force x: is given twice", "scenarios.a.drp: unknown key; did you mean 'drop'?",
                 "scenarios.B: 'B' is not a name", "title: unknown key; keys here are: scenarios"):  # fmt: skip
        assert line in said
    file.write_text('[scenarios.a]\ndrop = ["verificaton"]\n')
    said = str(CliRunner().invoke(command, [*args, "--set", "nois=2"]).exception)
    assert "--force x: nothing that can be forced is called so" in said  # words that could be read are checked too
    assert "--set nois: no such parameter; did you mean 'noise'?" in said
    assert "--force x: is given twice" in said
    assert "verificaton: no clause or promise is called so; did you mean 'verification'?" in said


def test_scenario_files_and_words_are_read(tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(
        '[scenarios.a]\nlabel = "A"\nset = { promise.binding = true, oral_worth = 0.5 }\ndrop = ["verification"]\n'
        'add = "more.toml"\n[scenarios.a.force]\nus_presidency.2028 = "change"\n'
    )
    a = read_scenarios(file)[0]
    assert a.set == {"promise.binding": True, "oral_worth": 0.5}
    assert a.force == {"us_presidency.2028": "change"}
    assert a.add == (tmp_path / "more.toml",)
    read, wrong = words_to_scenario("w", ["x.y=3"], ["c"], [], ["e=o"])
    assert read.changes == ("x.y=3", "without c", "e forced to o")
    assert not wrong
    read, wrong = words_to_scenario("w", ["x", "y=2"], [], [], ["e=o", "e=p"])
    assert read.changes == ("y=2", "e forced to o")
    assert [line.split(": ")[1].split(",")[0] for line in wrong] == ["write NAME=VALUE", "is given twice"]
    file.write_text("[scenarios.a]\nsett = {}\n")
    with pytest.raises(DealFileError, match="sett"):
        read_scenarios(file)


def test_everything_that_can_be_forced_is_listed():
    inputs = load(SHIPPED)
    known = targets_of(inputs.deal.file, expand(inputs.deal))
    assert known["us_presidency.2028"].outcomes == ("change", "stays")
    assert known["fighting_resumes"].outcomes == ("never", "at_once")
    assert known["talks_collapse"].events == ("talks_collapse_ukraine", "talks_collapse")
    result = CliRunner().invoke(command, [str(SHIPPED), "--list"])
    assert result.exit_code == 0
    assert "us_presidency.2028 " in result.output
    assert "nothing to change" in CliRunner().invoke(command, [str(SHIPPED)]).output


# ---- differences, and what is shown --------------------------------------------------------------


def test_the_interval_leaves_the_noise_of_paths_out():
    rng = np.random.default_rng(5)
    truth = rng.normal(0.1, 0.02, 4000)
    noisy = truth[:, None, None] + rng.normal(0, 0.1, (4000, 2, 1))
    found = paired(np.zeros_like(noisy), noisy)
    assert found.mcse[0] == pytest.approx(0.1 / np.sqrt(8000), rel=0.05)
    low, high = np.quantile(truth, [0.05, 0.95])
    assert (found.lower[0], found.upper[0]) == (pytest.approx(low, abs=0.012), pytest.approx(high, abs=0.012))
    assert level(np.full((3, 1, 1), 0.4)).mean[0] == pytest.approx(0.4)


def shipped_draws(n: int = 400) -> Draws:
    """Draws of the shipped deal's parameters without a calibration: medians of experts, else usual values."""
    file, rng = load(SHIPPED).deal, np.random.default_rng(8)
    asked = {r.question: r.quantiles["p50"] for r in file.experts}
    usual = {"probability": 0.4, "per year": 0.1, "logit": -1.0, "log ratio": 0.4, "utility": 0.5, "years": 5.0}
    values, labels = {}, {}
    for name, p in file.file.parameters.items():
        x = p.constant if p.constant is not None else asked.get(p.experts or "", usual.get(p.unit, 1.0))
        values[name] = np.full(n, x) if p.unit == "probability" else x * rng.uniform(0.7, 1.3, n)
    entries = [e for m in file.file.markets.values() for group in m.suppliers.values() for e in group]
    for name in ("india_shares", "algeria_shares", "egypt_shares"):
        labels[name], values[name] = tuple(entries), np.full((n, len(entries)), 1 / len(entries))
    labels["inspections"], values["inspections"] = ("shape", "scale"), np.tile([1.2, 6.0], (n, 1))
    return Draws(values, {}, labels, {})


ABKHAZIA = """
[clauses.abkhazia]
kind = "delivery"
title = "Withdrawal from Abkhazia"
obliged = ["russia"]
facts = "Invented."
source = "invented"
deadline = "24 months"
grace = "12 months"
default = "transnistria_default_odds"
late = "transnistria_late_odds"
cause = "abkhazia_default"
cause_label = "Abkhazia default"
response = { after = "6 months", ends_deal = "transnistria_ends_deal" }
"""
# Counted differences are those of paths: 1, 0 or −1. Of two variants whose probabilities differ by d no pairing has a
# variance below |d| − d², so that what changes much gains little. Weighted paths draw less by luck in any case.
LUCK = {  # scenario → gain of weighted and of counted paths over two runs apart, and of weighted over counted apart
    "force": (Scenario("force", force={"us_presidency.2028": "change"}), 10.0, 5.0, 20.0),
    "modifier": (Scenario("modifier", set={"default_cascade": 1.0}), 10.0, 10.0, 40.0),
    "add": (Scenario("add"), 10.0, 10.0, 40.0),
    "drop": (Scenario("drop", drop=("transnistria",)), 3.0, 3.0, 10.0),
    "votes": (Scenario("votes", set={"promise.binding": True}), 1.5, 1.5, 6.0),
}


@pytest.mark.parametrize("name", LUCK)
def test_luck_is_shared_so_that_differences_are_far_less_noisy(name, tmp_path):
    inputs, draws = load(SHIPPED), shipped_draws()
    (tmp_path / "more.toml").write_text(ABKHAZIA)
    scenario, weighted, counted, over = LUCK[name]
    v = variants_of(inputs, [replace(scenario, add=(tmp_path / "more.toml",)) if name == "add" else scenario])[0]
    programs = [compile_process(expand(inputs.deal), draws), v.program(draws)]
    window = replace(_window(inputs, programs), grid=np.array([2.0, 5.0, programs[0].horizon]))
    before, after = evaluate(programs, window, RunSettings(paths=400 * 64, draws=400, seed=3))
    wanted = [n for n, a in enumerate(window.asked) if a.label == "In force on 15 March 2030"]
    in_force = list(window.things["outcome"]).index("in_force")
    pairs = {
        "weighted": (before.figures[..., wanted], after.figures[..., wanted]),
        "counted": (before.outcome[:, :, 1:2, in_force], after.outcome[:, :, 1:2, in_force]),
    }
    apart = {k: float((level(x).mcse ** 2 + level(y).mcse ** 2)[0]) for k, (x, y) in pairs.items()}
    together = {k: float(paired(x, y).mcse[0] ** 2) for k, (x, y) in pairs.items()}
    assert apart["weighted"] > weighted * together["weighted"]
    assert apart["counted"] > counted * together["counted"]
    assert apart["counted"] > over * together["weighted"]


def test_an_event_that_touches_nothing_changes_nothing_to_the_bit(tmp_path):
    """It comes before others in the file and has a Sobol coordinate of its own: those of the others stay."""
    extra = tmp_path / "more.toml"
    extra.write_text(
        '[calendar.fair]\nlabel = "The fair is held"\ndate = 2025-06-01\nhappens = "default_ends_deal"\n'
        'sets = "fair_held"\nsource = "invented"\n'
    )
    data = compared([Scenario("fair", add=(extra,))], replace(SETTINGS, simulate=True))
    shared = data["figure_kind"] == "headline"
    np.testing.assert_array_equal(data["difference_draw"].sel(figure=shared).to_numpy(), 0.0)
    np.testing.assert_array_equal(data["cause_difference_mean"].to_numpy(), 0.0)


def test_the_deal_by_itself_keeps_its_luck_among_scenarios():
    inputs, draws = load(SHIPPED), shipped_draws(40)
    variants = variants_of(inputs, [Scenario("drop", drop=("transnistria", "verification")), Scenario("same")])
    programs = [compile_process(expand(inputs.deal), draws), *(v.program(draws) for v in variants)]
    names = [("state", "signed"), ("cause", "us_withdrawal"), ("outcome", "in_force")]
    how = {"seed": 3, "times": [2.0, 5.0], "replicates": 32}
    dealt = coordinates_of(programs, [names] * 3)
    alone, among = estimate_each(programs[0], names, **how), estimate_each(programs[0], names, coordinates=dealt, **how)
    np.testing.assert_array_equal(alone.group_mean, among.group_mean)
    for program in programs:
        e = estimate_each(program, names, coordinates=dealt, **how)
        plain = estimate_each(program, names, sobol=False, **how)
        z = (e.mean.mean(axis=0) - plain.mean.mean(axis=0)) / np.hypot(e.mcse, plain.mcse)
        assert np.abs(z).max() < 4.5


def test_an_event_keeps_its_coordinate_where_others_are_missing():
    """Of the columns that are written to an event's place, the last one is its own; second dates have some, too."""
    inputs, draws = load(SHIPPED), shipped_draws(8)
    variants = variants_of(inputs, [Scenario("drop", drop=("transnistria", "verification"))])
    whole, less = compile_process(expand(inputs.deal), draws), variants[0].program(draws)
    dealt = deal_out([_luck(whole)])
    assert {turn for _, turn in dealt} == {0, 1}
    table, place = sobol_points(whole, 4, dealt)
    fewer, where = sobol_points(less, 4, dealt)
    np.testing.assert_array_equal(fewer, table[:, : len(where)])
    luck = _luck(less)
    missing = [j for j, c in enumerate(dealt[: len(where)]) if c not in luck]
    assert missing, "a test of gaps needs some"
    for j, coordinate in enumerate(dealt[: len(where)]):
        if j not in missing:
            assert where[j] == luck[coordinate]
            assert np.flatnonzero(where == where[j])[-1] == j
    assert len(set(place)) == len(dealt)


def test_coordinates_are_few_and_go_to_what_comes_first():
    many = [(f"e{n}", turn) for turn in (0, 1) for n in range(40)]
    assert deal_out([many]) == tuple(many[:DIMS])
    more = deal_out([many, [("new", 0), ("new", 1)]])
    assert more[40] == ("new", 0)
    assert len(more) == DIMS
    assert ("new", 1) not in more
    crowd = [[(f"s{n}-{k}", 0) for k in range(10)] for n in range(20)]
    assert deal_out([many, *crowd])[:40] == tuple(many[:40])


def test_the_table_the_csv_and_the_page_show_it(tmp_path):
    data = compared([Scenario("safe", force={"shooting": "never"}), Scenario("same", label="Nothing <b>")])
    text = "\n".join(lines(data, 4))
    assert "shooting forced to never" in text
    assert "solved exactly" in text
    rows = table(data).splitlines()
    n = data.sizes
    assert len(rows) == 1 + 2 * (n["figure"] + n["time"] * (n["cause"] + n["outcome"]))
    page = write_page(tmp_path / "out", data, 4).read_text()
    assert "Nothing &lt;b&gt;" in page
    assert "None moves by 0.05 points" in page
    for name in ("difference-1.png", "outcomes-1.svg", "causes-1.png", "whatif.csv"):
        assert (tmp_path / "out" / name).stat().st_size > 1000
    assert parts(data)[1].shown(3)[0].difference == 0.0


# ---- given that it so happens --------------------------------------------------------------------


def test_what_is_given_tells_about_what_came_before():
    program = common_cause(400)
    wanted = [Wanted("Failed", "state_probability", "failed", date(2027, 1, 1)),
              Wanted("Storm", "state_probability", "storm", date(2027, 1, 1)),
              Wanted("Soon", "state_probability", "storm", date(2025, 2, 1)),
              Wanted("All", "outcome_probability", "all", date(2027, 1, 1))]  # fmt: skip
    log = record_paths(program, seed=4, paths=np.arange(400 * 100), replicates=100)
    dam = Target("dam", "", ("dam",), ("yes", "no"))
    seen = look(program, log, [(dam, "yes")], wanted)
    failed_, storm, soon, all_ = conditional(seen, wanted, 400)
    storm_given = 0.3 * 0.8 / (0.3 * 0.8 + 0.7 * 0.1)
    expected = storm_given * 0.9 + (1 - storm_given) * 0.2
    assert failed_.mean == pytest.approx(expected, abs=4 * failed_.mcse)
    assert failed_.difference == pytest.approx(expected - 0.41, abs=4 * failed_.difference_mcse)
    assert storm.mean == pytest.approx(storm_given, abs=4 * storm.mcse)
    assert (soon.mean, all_.mean) == (0.0, 1.0)
    never = look(program, log, [(dam, "yes"), (dam, "never")], wanted)
    assert not never.given.any()
    assert look(program, log, [(dam, "happens")], wanted).given.all()
    assert effective_draws(seen, 400) == pytest.approx(400, rel=0.1)


def test_classes_and_causes_on_paths_are_those_of_the_kernel():
    inputs, draws = load(TEACHING), teaching_draws()
    program = compile_process(expand(inputs.deal), draws)
    wanted = list(wanted_of(program, (), date(2029, 12, 31)))
    log = record_paths(program, seed=3, paths=np.arange(400 * 20), replicates=20)
    target = targets_of(inputs.deal.file, program.process)["south"]
    seen = look(program, log, [(target, "accepts")], wanted)
    counts = simulate(program, seed=3, replicates=20, grid=np.array([years_between(inputs.deal.as_of, wanted[0].day)]))
    for k, w in enumerate(wanted):
        names, values = ((program.causes, counts.cause) if w.variable == "cumulative_incidence"
                         else (program.outcomes, counts.outcome))  # fmt: skip
        assert seen.met[:, k].sum() == values[:, 0, names.index(w.name)].sum()
    told = {s.parameter: s.shift for s in shifts(seen, draws)}
    assert told["talks_collapse"] < 0


def test_what_is_given_must_be_known_and_common_enough(tmp_path):
    for that, says in (("us_presidency.2028=chnge", "comes out as one of change, stays, happens, never"),
                       ("fighting_resumes=at_once", "is written fighting_resumes=happens"),
                       ("nonsense_xyz_abc=1", "nothing that can be asked about is called so")):  # fmt: skip
        result = CliRunner().invoke(given_command, [str(SHIPPED), "--that", that, "--archive", str(tmp_path / "a")])
        assert says in str(result.exception)
    assert not (tmp_path / "a").exists()
    inputs, settings = load(TEACHING), RunSettings(paths=4000, draws=400, archive=tmp_path / "a")
    attrs = {"deal_id": "teaching", "as_of": "2025-01-01", "deal_digest": "0" * 64, "title": "The bridge", "run": "",
             "horizon": "2030-01-01"}  # fmt: skip
    source = Source(inputs, teaching_draws(), 10, attrs)
    for that, says in (
        ({"shooting": "happens", "north_parliament.2027": "change", "troops_leave": "default"}, "too few to say any"),
        ({"signing": "never", "north_parliament.2027": "change", "shooting": "happens"}, "on none of 4,000 paths"),
    ):
        with pytest.raises(ForecastError, match=says):
            _given(source, asked_of(inputs, that), that, settings, lambda *_: None)
    assert not (tmp_path / "a").exists()
    one = Source(inputs, replace(teaching_draws(), values={k: v[:4] for k, v in teaching_draws().values.items()}), 1000,
                 attrs)  # fmt: skip
    with pytest.raises(ForecastError, match="effective draws, too few"):
        _given(one, asked_of(inputs, {"south": "accepts"}), {"south": "accepts"}, settings, lambda *_: None)


def test_conditions_are_read_whatever_is_wrong_with_others(tmp_path):
    args = [str(SHIPPED), "--that", "signing", "--that", "us_presidency.2028=chnge", "--archive", str(tmp_path / "a")]
    said = str(CliRunner().invoke(given_command, args).exception)
    assert "--that 'signing': write NAME=VALUE" in said
    assert "comes out as one of change, stays, happens, never" in said


def test_a_condition_that_contradicts_itself_is_refused():
    inputs = load(SHIPPED)
    for that, says in (
        ({"talks_collapse": "never", "talks_collapse_ukraine": "happens"}, "what never happens cannot come out so"),
        ({"us_presidency.2028": "change", "us_presidency_vote_1": "stays"}, "it comes out but once"),
        ({"us_withdrawal": "happens", "no_deal": "happens"}, "a path ends but once"),
    ):
        with pytest.raises(DealFileError, match=says):
            asked_of(inputs, that)
    assert len(asked_of(inputs, {"us_presidency.2028": "change", "us_presidency_vote_1": "happens"})) == 2
    assert len(asked_of(inputs, {"us_withdrawal": "never", "no_deal": "never", "talks_collapse": "never"})) == 3
    with pytest.raises(DealFileError, match=r"(?s)nonsense.*contradict"):
        asked_of(inputs, {"nonsense": "x", "talks_collapse": "never", "talks_collapse_ukraine": "happens"})


def test_a_way_of_ending_may_be_given():
    inputs, draws = load(TEACHING), teaching_draws()
    program = compile_process(expand(inputs.deal), draws)
    log = record_paths(program, seed=3, paths=np.arange(400 * 20), replicates=20)
    withdrawn = log.cause == program.causes.index("north_withdraws")
    assert 100 < withdrawn.sum() < 2000
    np.testing.assert_array_equal(happened(program, log, asked_of(inputs, {"north_withdraws": "happens"})), withdrawn)
    both = asked_of(inputs, {"north_withdraws": "never", "shooting": "happens"})
    np.testing.assert_array_equal(happened(program, log, both), log.cause == program.causes.index("shooting"))
    listed = CliRunner().invoke(given_command, [str(TEACHING), "--list"]).output
    assert "It ends so: The North withdraws" in listed
    assert "It ends so: Shooting resumes" not in listed  # an event has that name


def test_what_rests_on_a_dropped_clause_goes_with_it():
    inputs = load(USMCA)
    (variant,) = variants_of(inputs, [Scenario("x", drop=("free_trade",))])
    assert [c.id for c in expand(inputs.deal).consequences] == ["trade_at_risk"]
    assert not variant.process.consequences
    assert "no more of: the amount “Trade in goods under tariffs in breach”" in variant.notes[0]


@pytest.mark.parametrize(
    ("changes", "gone"),
    [
        ({}, False),
        ({"verification.agreed": False}, True),
        ({"clauses.kaliningrad.included": False}, False),
        ({f"clauses.{c}.included": False for c in ("kaliningrad", "transnistria", "export_limits")}, True),
    ],
)
def test_inspections_are_left_out_if_not_agreed_or_if_there_is_nothing_to_inspect(changes, gone):
    assert ("verification_refused" in left_out(load(SHIPPED, changes).deal.file)) == gone


@pytest.mark.parametrize("deal", [TEACHING, SHIPPED, USMCA], ids=lambda d: d.name)
def test_what_goes_with_a_dropped_clause_has_all_the_names_that_it_has(deal):
    inputs = load(deal)
    file, process = inputs.deal.file, expand(inputs.deal)
    there = [x.id for x in (*process.flags, *process.hazards, *process.scheduled)]
    for id_ in (*file.clauses, *file.promises, "verification"):
        assert {name for name in there if name.startswith(f"{id_}_")} <= names_of(id_)


def test_curves_are_those_of_figures_at_each_date():
    inputs, draws = load(TEACHING), teaching_draws()
    program = compile_process(expand(inputs.deal), draws)
    days = [date(2026, 6, 1), date(2029, 12, 31)]
    times = [years_between(inputs.deal.as_of, d) for d in days]
    log = record_paths(program, seed=3, paths=np.arange(400 * 20), replicates=20)
    asked = asked_of(inputs, {"south": "accepts"})
    counted = curves(program, log, asked, times)
    for t, day in enumerate(days):
        wanted = list(wanted_of(program, (), day))
        seen = look(program, log, asked, wanted)
        figures = conditional(seen, wanted, 400)
        for kind, names in (("cause", program.causes), ("outcome", program.outcomes)):
            found = conditional_curves(counted[kind], paths_of(seen, 400), len(seen.given))
            for f in figures:
                if (f.wanted.variable == "cumulative_incidence") == (kind == "cause"):
                    k = names.index(f.wanted.name)
                    got = [found[n][t, k] for n in ("forecast", "mean", "lower", "upper", "mcse", "difference_mcse")]
                    np.testing.assert_allclose(
                        got, (f.plain, f.mean, f.lower, f.upper, f.mcse, f.difference_mcse), atol=1e-12
                    )
    everyone = Curves(counted["outcome"].given, counted["outcome"].given.sum(axis=0))
    same = conditional_curves(everyone, paths_of(seen, 400), int(seen.given.sum()))
    np.testing.assert_allclose(same["mean"], same["forecast"])
    assert (same["difference_mcse"] == 0.0).all()


# ---- the commands, with made-up draws in the place of a calibration ------------------------------


@pytest.fixture
def uncalibrated(monkeypatch):
    """Draws of the teaching deal without a fit; the gate passes unless `problems` says otherwise."""
    gate = SimpleNamespace(problems=[], warnings=[])
    for module in (scenarios_module, conditions_module):
        monkeypatch.setattr(module, "calibrate_deal", lambda *_: (SimpleNamespace(digest="made-up"), gate))
        monkeypatch.setattr(module, "used_draws", lambda *_: teaching_draws())
    return gate


def test_whatif_prints_keeps_and_draws(tmp_path, uncalibrated):
    args = [str(TEACHING), "--force", "shooting=never", "--paths", "12800", "--draws", "400",
            "--archive", str(tmp_path / "a"), "--out", str(tmp_path / "page")]  # fmt: skip
    result = CliRunner().invoke(command, args, catch_exceptions=False)
    assert result.exit_code == 0
    assert "Shooting resumes (2030-01-01)" in result.output
    store = next((tmp_path / "a" / "whatifs").glob("teaching-2025-01-01-*/whatif.zarr"))
    kept = xr.open_zarr(store, consolidated=False)
    assert problems(kept.load()) == []
    assert kept.attrs["method"] == "exact"
    assert (tmp_path / "page" / "index.html").exists()
    rows = CliRunner().invoke(command, [*args[:9], "--csv"], catch_exceptions=False).output.splitlines()
    assert next(r for r in rows if r.startswith("scenario,label"))


def test_nothing_is_compared_where_the_calibration_fails(tmp_path, uncalibrated):
    uncalibrated.problems.append("R-hat of shooting is 1.2")
    result = CliRunner().invoke(command, [str(TEACHING), "--force", "shooting=never", "--archive", str(tmp_path)])
    assert "R-hat of shooting is 1.2" in str(result.exception)
    assert not (tmp_path / "whatifs").exists()


def test_given_prints_keeps_and_draws(tmp_path, uncalibrated):
    args = [str(TEACHING), "--that", "north_parliament.2027=change", "--paths", "20000", "--draws", "400",
            "--archive", str(tmp_path / "a"), "--out", str(tmp_path / "page")]  # fmt: skip
    result = CliRunner().invoke(given_command, args, catch_exceptions=False)
    assert result.exit_code == 0
    assert "given north_parliament.2027=change: on " in result.output
    assert "paths" in result.output
    assert "effective draws" in result.output
    assert "It tells about these parameters" in result.output
    store = next((tmp_path / "a" / "givens").glob("teaching-2025-01-01-*/given.zarr"))
    kept = xr.open_zarr(store, consolidated=False).load()
    assert given_problems(kept) == []
    assert kept.attrs["happens"] < kept.attrs["looked_at"] == 20_000
    assert "\n".join(given_lines(kept, 6)) in result.output
    n = kept.sizes
    rows = n["figure"] + n["time"] * (n["cause"] + n["outcome"]) + n["parameter"]
    assert given_table(kept).count("\n") == rows + 1
    page = (tmp_path / "page" / "index.html").read_text()
    assert "Given north_parliament.2027=change" in page
    for name in ("given.png", "given.csv", "outcomes.svg", "causes.png"):
        assert (tmp_path / "page" / name).stat().st_size > 1000
    again = write_given(tmp_path / "again", kept.assign_attrs(title="<b>"), 0).read_text()
    assert "&lt;b&gt;" in again
    csv_rows = CliRunner().invoke(given_command, [*args[:9], "--csv"], catch_exceptions=False).output.splitlines()
    assert next(r for r in csv_rows if r.startswith("given,kind"))


def test_given_lists_and_refuses(tmp_path):
    listed = CliRunner().invoke(given_command, [str(SHIPPED), "--list"])
    assert listed.exit_code == 0
    assert "us_presidency.2028 " in listed.output
    assert "at_once" not in listed.output
    assert "nothing is given" in CliRunner().invoke(given_command, [str(SHIPPED)]).output
    mixed = CliRunner().invoke(given_command, ["latest", "--that", "x=y", "--seed", "3", "--archive", str(tmp_path)])
    assert "a run has its own date, draws and seed; leave out --seed" in mixed.output
