"""What the compiler refuses, in which words, and what it makes of what it takes."""

from datetime import date

import numpy as np
import pytest

from forecast.deal.spec import Process
from forecast.errors import CompileError
from forecast.process.compile import compile_process
from forecast.process.draws import Draws

AS_OF = date(2025, 1, 1)
BASE = {
    "deal_id": "small",
    "title": "Small",
    "as_of": AS_OF,
    "horizon": 5.0,
    "flags": [{"id": "signed", "label": "", "initially": True}, {"id": "late", "label": ""}],
    "clocks": [{"id": "age", "label": "", "running_since": AS_OF}],
    "hazards": [
        {"id": "collapse", "label": "", "rate": "rate", "effect": {"end": "over"}},
        {"id": "lapse", "label": "", "rate": "bins", "clock": "age", "effect": {"set": ["late"]}},
    ],
    "scheduled": [
        {
            "id": "vote",
            "label": "",
            "dates": [date(2026, 1, 1)],
            "branches": [
                {"id": "yes", "label": "", "probability": "chance", "effect": {"clear": ["late"]}},
                {"id": "no", "label": ""},
            ],
        }
    ],
    "causes": [{"id": "over", "label": ""}],
    "outcomes": [{"id": "ended", "label": "", "causes": ["over"]}, {"id": "open", "label": "", "rest": True}],
}
VALUES = {"rate": 0.1, "chance": 0.3, "log": 0.5, "shape": 1.5, "scale": 2.0, "amount": 3.0, "minus": -3.0}


def small(**changes) -> Process:
    return Process.model_validate({**BASE, **changes})


def draws(n: int = 3, **changes) -> Draws:
    values = {k: np.full(n, v) for k, v in VALUES.items()}
    values["bins"] = np.tile([0.1, 0.2, 0.3], (n, 1))
    values["shares"] = np.tile([0.2, 0.3, 0.5], (n, 1))
    values |= {k: np.asarray(v, dtype=float) for k, v in changes.items()}
    edges = {"bins": np.array([0.0, 1.0, 2.0, np.inf])}
    return Draws(values, edges, {"shares": ("france", "china", "others")}, {})


def hazard(**changes) -> dict:
    return {"id": "extra", "label": "", "effect": {"end": "over"}, **changes}


def event(**changes) -> dict:
    return {
        "id": "extra",
        "label": "",
        "dates": [date(2027, 1, 1)],
        "branches": [{"id": "only", "label": ""}],
        **changes,
    }


def way(id_: str, **changes) -> dict:
    return {"id": id_, "label": "", **changes}


def with_hazard(**changes) -> Process:
    return small(hazards=[*BASE["hazards"], hazard(**changes)])


def with_event(**changes) -> Process:
    return small(scheduled=[*BASE["scheduled"], event(**changes)])


def test_the_base_case_compiles():
    program = compile_process(small(), draws())
    assert program.n_draw == 3
    assert [f.id for f in program.firings] == ["collapse", "lapse", "vote/yes", "vote/no"]
    assert program.effect_of(program.firings[1]).set == ("late",)
    assert (program.flags, program.causes, program.outcomes) == (("signed", "late"), ("over",), ("ended", "open"))
    assert program.notes == ()


REFUSED = {
    "unknown flag": (
        with_hazard(rate="rate", when=["sigend"]),
        {},
        r"'extra': no flag 'sigend'; did you mean 'signed'",
    ),
    "unknown clock": (with_hazard(rate="rate", clock="aeg"), {}, r"no clock 'aeg'; did you mean 'age'"),
    "unknown cause": (with_hazard(rate="rate", effect={"end": "ovre"}), {}, r"no cause 'ovre'; did you mean 'over'"),
    "unknown parameter": (with_hazard(rate="ratee"), {}, r"'extra': no parameter 'ratee'; did you mean 'rate'"),
    "unknown entry": (with_hazard(rate="shares[frence]"), {}, r"'shares' has no entry 'frence'; it has: france"),
    "several entries": (
        with_event(branches=[way("a", probability="shares"), way("b")]),
        {},
        r"'shares' has several entries; name one, as in shares\[…\]",
    ),
    "entries, not bins": (with_hazard(rate="shares", clock="age"), {}, "no age bins; name one"),
    "bins without clock": (with_hazard(rate="bins"), {}, "'bins' goes by age, so the hazard needs a clock"),
    "two kinds of rate": (
        with_hazard(rate="rate", weibull_shape="shape", weibull_scale="scale", clock="age"),
        {},
        "give either `rate`, or both",
    ),
    "no rate": (with_hazard(), {}, "give either `rate`, or both"),
    "half a Weibull": (with_hazard(weibull_shape="shape", clock="age"), {}, "give either `rate`, or both"),
    "Weibull without clock": (with_hazard(weibull_shape="shape", weibull_scale="scale"), {}, "needs a clock"),
    "contradiction": (with_hazard(rate="rate", when=["late", "not late"]), {}, "at once; it can never hold"),
    "duplicate event": (with_hazard(id="vote", rate="rate"), {}, "event 'vote' is declared 2 times"),
    "sets and clears": (
        with_hazard(rate="rate", effect={"set": ["late"], "clear": ["late"]}),
        {},
        "sets 'late' and clears it at once",
    ),
    "no rest": (with_event(branches=[way("a", probability="chance")]), {}, r"exactly one branch .* \(got none\)"),
    "two rests": (with_event(branches=[way("a"), way("b")]), {}, r"exactly one branch .* \(got a, b\)"),
    "two kinds of branch": (
        with_event(branches=[way("a", probability="chance"), way("b", logit="log"), way("c")]),
        {},
        "either probabilities or logits",
    ),
    "nothing says when": (with_event(dates=[]), {}, "exactly one of dates, every and at_age"),
    "age of nothing": (
        with_event(dates=[], at_age={"clock": "age", "age": 1e-9}),
        {},
        "at an age of 1e-09 years; it must be at least",
    ),
    "negative rate": (
        small(),
        {"rate": [0.1, -0.2, 0.1]},
        "'rate' must be finite and not negative, but is -0.2 in 1 of 3",
    ),
    "NaN": (small(), {"rate": [0.1, np.nan, np.nan]}, "'rate' must be finite and not negative, but is nan in 2 of 3"),
    "infinite bin": (small(), {"bins": np.full((3, 3), np.inf)}, "'bins' must be finite .* in 9 of 9 values"),
    "probability of 1.2": (
        small(),
        {"chance": [0.3, 1.2, 0.3]},
        "'chance' must be strictly between 0 and 1, but is 1.2",
    ),
    "probability of 0": (small(), {"chance": [0.3, 0.0, 0.3]}, "'chance' must be strictly between 0 and 1, but is 0"),
    "sum above 1": (
        with_event(branches=[way("a", probability="chance"), way("b", probability="more"), way("c")]),
        {"more": [0.2, 0.8, 0.2]},
        "event 'extra': the probabilities of its branches add up to more than 1",
    ),
    "a logit of 400": (
        with_event(branches=[way("a", logit="log"), way("b")]),
        {"log": [0.0, 400.0, 0.0]},
        "'log' must be within ±300, but is 400",
    ),
    "logits that add up": (
        with_event(branches=[way("a", logit="log", modifiers=[{"log_ratio": "log"}]), way("b")]),
        {"log": [0.0, 200.0, 0.0]},
        "log, log add up to 400 in some draw",
    ),
    "modifiers that add up": (
        with_hazard(rate="rate", modifiers=[{"log_ratio": "log"}, {"when": "late", "log_ratio": "log"}]),
        {"log": [0.0, -200.0, 0.0]},
        "hazard 'extra': log, log add up to 400",
    ),
    "a shape of 0": (
        with_hazard(weibull_shape="shape", weibull_scale="scale", clock="age"),
        {"shape": [1.0, 0.0, 1.0]},
        "'shape' must be from 0.01 to 100, but is 0",
    ),
    "a scale below 0": (
        with_hazard(weibull_shape="shape", weibull_scale="scale", clock="age"),
        {"scale": [1.0, -1.0, 1.0]},
        "'scale' must be from 1e-06 to 1e",
    ),
    "bins of the wrong number": (
        small(),
        {"bins": np.full((3, 2), 0.1)},
        "the 2 age bins of 'bins' need as many edges",
    ),
    "draws of the wrong number": (small(), {"log": [1.0, 2.0]}, "parameter 'log': .* but there are 3 draws"),
    "derived from nothing": (
        small(derived=[{"id": "d", "label": "", "terms": [{"parameters": ["log"]}], "over": ["zero"]}]),
        {"zero": [1.0, 0.0, 1.0]},
        "parameter 'd': 'd' must be finite, but is inf in 1 of 3",
    ),
    "derived and sampled": (
        small(derived=[{"id": "log", "label": "", "terms": [{"parameters": ["rate"]}]}]),
        {},
        "'log' is both sampled and derived",
    ),
    "shared luck": (
        with_event(id="event_34372").model_copy(
            update={"hazards": with_hazard(id="event_98359", rate="rate").hazards},
        ),
        {},
        "'event_98359' and 'event_34372' would share their random numbers",
    ),
    "exclusive flags": (
        small(exclusive=[["signed", "late"]]),
        {},
        "sets 'late' of an exclusive group without clearing signed",
    ),
    "65 flags": (small(flags=[*BASE["flags"], *({"id": f"f{n}", "label": ""} for n in range(63))]), {}, "65 flags"),
    "65 clocks": (small(clocks=[*BASE["clocks"], *({"id": f"c{n}", "label": ""} for n in range(64))]), {}, "65 clocks"),
    "65 causes": (small(causes=[*BASE["causes"], *({"id": f"c{n}", "label": ""} for n in range(64))]), {}, "65 causes"),
    "negative discount": (
        small(
            consequences=[{"id": "x", "label": "", "unit": "1", "amount": ["amount"], "when": [], "discount": "minus"}]
        ),
        {},
        "consequence 'x': 'minus' must be not negative",
    ),
    "amounts that do not cancel": (
        small(
            consequences=[
                {"id": a, "label": "", "unit": "1", "amount": [a], "when": [], "conserved": "g"}
                for a in ("amount", "log")
            ]
        ),
        {},
        "conserved group 'g': its amounts do not add up to zero",
    ),
    "a group of two conditions": (
        small(
            consequences=[
                {"id": "amount", "label": "", "unit": "1", "amount": ["amount"], "when": [], "conserved": "g"},
                {"id": "minus", "label": "", "unit": "1", "amount": ["minus"], "when": ["signed"], "conserved": "g"},
            ]
        ),
        {},
        "must share one condition and one discount",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name):
    process, changes, message = REFUSED[name]
    with pytest.raises(CompileError, match=message):
        compile_process(process, draws(**changes))


def test_lists_all_problems_at_once_and_each_once():
    process = small(
        hazards=[*BASE["hazards"], hazard(rate="nothing", when=["sigend"]), hazard(id="more", rate="rate")],
        scheduled=[event(branches=[way("a", probability="chance"), way("b", probability="log")])],
    )
    with pytest.raises(CompileError) as caught:
        compile_process(process, draws(rate=[-1.0, 1.0, 1.0], log=[2.0, 2.0, 2.0]))
    lines = str(caught.value).splitlines()
    for part in (
        "'sigend'",
        "'nothing'",
        "'collapse': 'rate'",
        "'more': 'rate'",
        "'log' must be",
        "exactly one branch",
    ):
        assert sum(part in line for line in lines) == 1, part
    assert len(set(lines)) == len(lines)


def test_notes_what_never_comes():
    program = compile_process(with_event(dates=[date(2024, 1, 1), date(2040, 1, 1)]), draws())
    assert program.notes == ("event 'extra': all of its dates lie outside the forecast",)


def test_conserved_amounts_may_cancel_by_products():
    consequences = [
        {"id": f"to_{s}", "label": "", "unit": "1", "amount": ["amount", f"shares[{s}]"], "when": [], "conserved": "g"}
        for s in ("france", "china", "others")
    ]
    lost = {"id": "lost", "label": "", "unit": "1", "amount": ["amount"], "sign": -1, "when": [], "conserved": "g"}
    program = compile_process(small(consequences=[*consequences, lost]), draws())
    np.testing.assert_allclose(program.consequence_amount.sum(axis=1), 0.0, atol=1e-12)
    assert len(program.structure.meters) == 1


def test_a_derived_parameter_does_not_depend_on_how_many_draws_there_are():
    terms = [{"parameters": ["log", "amount"], "sign": (-1) ** n} for n in range(11)] + [{"parameters": ["rate"]}]
    process = small(
        derived=[{"id": "d", "label": "", "terms": terms, "over": ["scale", "shape"]}],
        scheduled=[event(branches=[way("a", logit="d"), way("b")])],
    )
    rng = np.random.default_rng(3)
    many = {k: rng.normal(1, 0.3, 50) for k in VALUES} | {"rate": np.full(50, 0.1)}
    whole = draws(50, **many)
    weight = compile_process(process, whole).values.weight
    for d in range(50):
        one = Draws({k: v[d : d + 1] for k, v in whole.values.items()}, whole.edges, whole.labels, {})
        assert compile_process(process, one).values.weight[0, 0] == weight[d, 0]
