"""Which figures are printed, how they are estimated, and what is said where there is none."""

from datetime import date

import numpy as np
import pytest
import xarray as xr

from forecast.deal.spec import Process
from forecast.errors import ForecastError
from forecast.estimate import estimate
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.process.exact import exact_forecast
from forecast.refine import (
    BOOSTED,
    TOO_FEW,
    UNREACHED,
    WEIGHTED,
    Figures,
    Wanted,
    estimates_dataset,
    figures,
    interval,
    refined,
    wanted_of,
)
from forecast.report import tables
from forecast.report.html import render
from forecast.types import years_between
from tests import report_data

END = date(2035, 1, 1)


def chain(first: float, second: float, n_draw: int = 40) -> Program:
    """Two rare steps to war, against an end that is common; `never` wants a flag that only war would set."""
    rates = {"first": first, "second": second, "back": 0.5, "last": 0.05, "other": 0.1}
    process = Process.model_validate({
        "deal_id": "chain", "title": "Chain", "as_of": date(2025, 1, 1), "horizon": 10.0,
        "flags": [{"id": f, "label": ""} for f in ("one", "two", "three")],
        "hazards": [
            {"id": "first", "label": "", "when": ["not one"], "rate": "first", "effect": {"set": ["one"]}},
            {"id": "second", "label": "", "when": ["one"], "rate": "second", "effect": {"set": ["two"]}},
            {"id": "back", "label": "", "when": ["one"], "rate": "back", "effect": {"clear": ["one", "two"]}},
            {"id": "last", "label": "", "when": ["two"], "rate": "last", "effect": {"end": "war"}},
            {"id": "other", "label": "", "rate": "other", "effect": {"end": "other"}},
        ],
        "causes": [{"id": "war", "label": "War"}, {"id": "other", "label": "Another end"}],
        "outcomes": [
            {"id": "war", "label": "War", "causes": ["war"]},
            {"id": "both", "label": "Both steps", "when": ["one", "two"]},
            {"id": "rest", "label": "The rest", "rest": True},
        ],
    })  # fmt: skip
    return compile_process(process, Draws({k: np.full(n_draw, v) for k, v in rates.items()}, {}, {}, {}))


def found(program: Program, replicates: int = 64):
    wanted = wanted_of(program, [("War", "cumulative_incidence", "war", END)], END)
    return refined(figures(program, wanted, seed=3, replicates=replicates), program, seed=3, replicates=replicates)


def test_what_is_common_comes_from_weighted_paths_and_is_right():
    program = chain(0.2, 0.3)
    data = estimates_dataset(found(program))
    assert set(data["estimate_method"].to_numpy()) == {WEIGHTED}
    exact = exact_forecast(program, 0, np.array([10.0]))
    truth = dict(zip(program.causes, exact.cause[0], strict=True)) | dict(
        zip(program.outcomes, exact.outcome[0], strict=True)
    )
    for name, mean, mcse in zip(*(data[f"estimate_{k}"].to_numpy() for k in ("name", "mean", "mcse")), strict=True):
        assert abs(mean - truth[str(name)]) < 4.5 * mcse


def test_each_thing_is_listed_once_and_the_headline_first():
    program = chain(0.2, 0.3)
    wanted = wanted_of(program, [("A war by then", "cumulative_incidence", "war", END)], END)
    assert [(w.label, w.name) for w in wanted] == [
        ("A war by then", "war"), ("Another end", "other"), ("War", "war"), ("Both steps", "both"), ("The rest", "rest")
    ]  # fmt: skip


def test_what_is_rare_is_estimated_by_importance_sampling():
    program = chain(2e-3, 2e-3)
    data = estimates_dataset(found(program))
    methods = dict(zip(data["estimate_name"].to_numpy(), data["estimate_method"].to_numpy(), strict=True))
    assert methods["war"] == BOOSTED
    truth = exact_forecast(program, 0, np.array([10.0])).cause[0, 0]
    assert 1e-7 < truth < 1e-5
    k = list(data["estimate_name"].to_numpy()).index("war")
    assert abs(float(data["estimate_mean"][k]) - truth) < 4.5 * float(data["estimate_mcse"][k])
    assert float(data["estimate_mcse"][k]) < 0.1 * truth
    assert float(data["estimate_ess"][k]) >= 100.0


def test_a_figure_on_too_few_paths_is_not_given_but_its_bound_is():
    """A class that no cause makes has nothing to be boosted for."""
    program = chain(2e-3, 2e-3)
    data = estimates_dataset(found(program))
    k = list(data["estimate_name"].to_numpy()).index("both")
    truth = exact_forecast(program, 0, np.array([10.0])).outcome[0, 1]
    assert str(data["estimate_method"].to_numpy()[k]) in (TOO_FEW, UNREACHED)
    assert np.isnan(data["estimate_mean"][k]) or float(data["estimate_mean"][k]) == 0.0
    assert truth < float(data["estimate_upper"][k]) < 0.01


def test_variants_share_their_luck():
    """10 % more of what leads to war, on the same seed and on another."""
    base, more, wanted = chain(0.2, 0.3), chain(0.2, 0.33), [Wanted("War", "cumulative_incidence", "war", END)]
    a = figures(base, wanted, seed=5, replicates=64).p[:, 0]
    b = figures(more, wanted, seed=5, replicates=64).p[:, 0]
    c = figures(more, wanted, seed=6, replicates=64).p[:, 0]
    assert (b - a).var() * 10.0 < (c - a).var()


def test_what_is_decided_by_a_step_comes_from_paths_that_end_with_it():
    """The engine chooses: the flag is set by a hazard, nothing clears it, and nobody has asked for anything special.

    The figures are right to 4.5 of their standard errors, and have less variance than on paths that go on.
    """
    program = chain(0.2, 0.3)
    lasts = Process.model_validate({
        **program.process.model_dump(),
        "hazards": [h.model_dump() for h in program.process.hazards if h.id != "back"],
    })  # fmt: skip
    values = {"first": 0.2, "second": 0.3, "last": 0.05, "other": 0.1}
    program = compile_process(lasts, Draws({k: np.full(40, v) for k, v in values.items()}, {}, {}, {}))
    wanted = [Wanted(f, "state_probability", f, END) for f in ("one", "two")]
    f = figures(program, wanted, seed=3, replicates=64)
    time = years_between(program.process.as_of, END)
    exact = exact_forecast(program, 0, np.array([time])).state[0, :2]
    plain = estimate(program, seed=3, times=[time], flags=["one", "two"], replicates=64)
    going_on = plain.noise[0, [plain.column("state", x) for x in ("one", "two")]]
    assert (np.abs(f.p.mean(axis=0) - exact) <= 4.5 * f.mcse + 1e-12).all()
    assert f.noise[0] < 1e-20  # only the step itself is a matter of luck
    assert f.noise[1] < 0.5 * going_on[1]
    assert f.paths == plain.paths


def test_each_thing_is_read_off_at_its_own_date():
    """4.5 standard errors, at two dates that are asked for in the wrong order."""
    program, days = chain(0.2, 0.3), (END, date(2028, 1, 1))
    f = figures(program, [Wanted("War", "cumulative_incidence", "war", d) for d in days], seed=3, replicates=64)
    times = np.array([years_between(program.process.as_of, d) for d in days])
    exact = exact_forecast(program, 0, times[::-1]).cause[::-1, 0]
    assert (np.abs(f.p.mean(axis=0) - exact) < 4.5 * f.mcse).all()
    assert exact[0] > 2.0 * exact[1]


def given(p: np.ndarray, noise: float = 0.0, ess: float = 1e5, method: str = WEIGHTED) -> Figures:
    """One figure as it may have been found."""
    wanted = (Wanted("War", "cumulative_incidence", "war", END),)
    one = np.ones(1)
    return Figures(wanted, p[:, None], noise * one, 1e-3 * one, ess * one, (method,), 10_000)


def test_the_interval_is_that_of_the_draws_without_their_noise():
    """Half of the variance is noise: deviations from the mean shrink by the root of a half."""
    p = np.linspace(0.2, 0.4, 101)
    mean, lower, upper = interval(given(p, noise=p.var(ddof=1) / 2))
    assert mean[0] == pytest.approx(0.3)
    assert lower[0] == pytest.approx(0.3 - 0.09 * np.sqrt(0.5))
    assert upper[0] == pytest.approx(0.3 + 0.09 * np.sqrt(0.5))


@pytest.mark.parametrize("method", [TOO_FEW, UNREACHED])
def test_what_rests_on_too_few_paths_may_be_nothing_at_all(method):
    data = estimates_dataset(given(np.linspace(0.2, 0.4, 101), ess=9.0, method=method))
    assert float(data["estimate_lower"][0]) == 0.0
    assert float(estimates_dataset(given(np.linspace(0.2, 0.4, 101)))["estimate_lower"][0]) > 0.2


def test_what_importance_sampling_makes_no_better_is_left():
    """8 paths can't be worth more than the 99 that the figure rests on."""
    before = given(np.full(4, 0.123), ess=99.0, method=TOO_FEW)
    after = refined(before, chain(2e-3, 2e-3, 4), seed=3, replicates=2)
    assert after.p.tolist() == before.p.tolist()
    assert (after.method, after.ess.tolist()) == (before.method, before.ess.tolist())
    few = given(np.full(4, 0.123), ess=1e-9, method=TOO_FEW)
    assert refined(few, chain(2e-3, 2e-3, 4), seed=3, replicates=2).p.tolist() != few.p.tolist()


def test_a_class_that_wants_more_than_its_cause_is_not_taken_for_it():
    program = chain(2e-3, 2e-3)
    process = program.process.model_dump()
    process["outcomes"][0]["when"] = {"all": ("one",), "any": ()}
    values = {k: np.full(40, v) for k, v in (("first", 2e-3), ("second", 2e-3), ("back", 0.5), ("last", 0.05))}
    narrower = compile_process(Process.model_validate(process), Draws(values | {"other": np.full(40, 0.1)}, {}, {}, {}))
    for p, methods in ((program, {BOOSTED}), (narrower, {TOO_FEW, UNREACHED})):
        wanted = [Wanted("War", "outcome_probability", "war", END)]
        f = refined(figures(p, wanted, seed=3, replicates=64), p, seed=3, replicates=64)
        assert set(f.method) <= methods


def test_nothing_to_estimate_is_refused():
    with pytest.raises(ForecastError, match="nothing to estimate"):
        figures(chain(0.2, 0.3), [], seed=1, replicates=8)


def test_the_report_prints_the_estimates_and_how_they_were_made():
    """Not the counts of the summary, which are other numbers."""
    tree = report_data.forecast_tree()
    day = tables.grid_date(tree, tables.day_at(tree, date(2030, 3, 15)))
    wanted = (
        Wanted("The deal is in force", "outcome_probability", "in_force", day),
        Wanted("A rare <cause>", "cumulative_incidence", "x", day),
    )
    one = np.ones(2)
    p = np.tile([0.123, 1e-6], (tree.sizes["draw"], 1))
    found = Figures(wanted, p, 1e-9 * one, 1e-4 * one, np.array([1e5, 3.0]), (WEIGHTED, TOO_FEW), 4321)
    tree["estimates"] = xr.DataTree(estimates_dataset(found))
    page = render(tree, report_data.description(), report_data.health())
    assert "4,321 weighted paths" in page
    assert "too rare for a figure: A rare &lt;cause&gt;" in page
    assert "about 1 in 8" in page
    assert tables.estimate(tree, "outcome_probability", "in_force", day).mean == pytest.approx(0.123)
