"""Variants whose paths end where a flag is set: the exact solver gives what is decided by then the same probability."""

from datetime import timedelta

import numpy as np
import pytest

from forecast.deal.spec import Process
from forecast.errors import SolverError
from forecast.process.compile import MAX_BITS, Program, compile_process
from forecast.process.decided import SIGN, VARIANTS, ended_by, lasting, parts_of
from forecast.process.draws import Draws
from forecast.process.exact import exact_forecast
from tests.generate import cases, generate
from tests.oracles.closed_forms import AS_OF
from tests.reference.processes import random_process
from tests.statistical.test_deal import teaching

TIMES = np.array([0.0, 0.3, 0.7, 1.0])  # of the horizon
DAYS = (0, 100, 200, 365)


def branch(id_: str, share: str | None = None, end: str | None = None, **effect: str) -> dict:
    moves = {k: v.split() for k, v in effect.items()}
    return {"id": id_, "label": "", "probability": share, "effect": {**moves, "end": end}}


def odds(id_: str, logit: str, when: list[str], **effect: str) -> dict:
    modifiers = [{"when": f, "log_ratio": f"if_{f}"} for f in when]
    return {**branch(id_, **effect), "logit": logit, "modifiers": modifiers}


def event(id_: str, when: list, *branches: dict, days: tuple[int, ...] = DAYS, **parts) -> dict:
    dates = [] if parts else [AS_OF + timedelta(days=d) for d in days]
    return {"id": id_, "label": "", "when": when, "dates": dates, "branches": list(branches), **parts}


def hazard(id_: str, when: list, rate: str = "r", **effect) -> dict:
    return {"id": id_, "label": "", "when": when, "rate": rate, "effect": effect}


EVERYONE = ["not signed", "not a_refused", "not b_refused", "not opposed"]
A = event("a", ["not signed"], branch("yes", "p", clear="a_refused"), branch("no", set="a_refused"))
B = event("b", ["not signed"], branch("yes", "q", clear="b_refused"), branch("no", set="b_refused"))
SIGN_NOW = event("sign", EVERYONE, branch("only", set="signed", start="since"))


def talks(*scheduled: dict, hazards: tuple[dict, ...] = (), n_draw: int = 2, **parts) -> Program:
    """Two parties decide on four days, and sign if both accept and nothing speaks against it."""
    flags = ("signed", "a_refused", "b_refused", "opposed", "hot")
    base = {
        "deal_id": "talks", "title": "", "as_of": AS_OF, "horizon": 2.0,
        "flags": [{"id": f, "label": ""} for f in flags],
        "clocks": [{"id": "since", "label": ""}, {"id": "begun", "label": "", "running_since": AS_OF}],
        "causes": [{"id": c, "label": ""} for c in ("failed", "war")],
        "outcomes": [
            {"id": "failed", "label": "", "causes": ["failed"]},
            {"id": "calm", "label": "", "when": ["not signed", "not hot"]},
            {"id": "signed", "label": "", "when": ["signed"]},
            {"id": "rest", "label": "", "rest": True},
        ],
        "scheduled": [*scheduled],
        "hazards": [
            hazard("collapse", ["not signed"], set=["hot"], end="failed"),
            hazard("war", ["hot"], end="war"),
            hazard("heat", ["not hot"], set=["hot"]),
            hazard("calm", ["hot"], "s", clear=["hot"]),
            hazard("oppose", ["not opposed"], "s", set=["opposed"]),
            hazard("agree", ["opposed"], "s", clear=["opposed"]),
            *hazards,
        ],
    }  # fmt: skip
    values = {"p": [0.5, 0.3], "q": [0.4, 0.8], "h": [0.25, 0.1], "r": [0.3, 0.2], "s": [0.9, 1.4]}
    values |= {"u": [0.3, -0.5], "v": [-0.2, 0.4], "if_hot": [0.8, -1.1], "if_opposed": [-1.5, 0.7]}
    draws = {k: np.resize(v, n_draw) for k, v in values.items()}
    return compile_process(Process.model_validate({**base, **parts}), Draws(draws, {}, {}, {}))


def everything(program: Program) -> list[tuple[str, str]]:
    names = {"cause": program.causes, "outcome": program.outcomes, "state": program.flags}
    return [(kind, name) for kind, all_ in names.items() for name in all_]


def solved(program: Program, draw: int) -> dict[tuple[str, str], np.ndarray]:
    exact = exact_forecast(program, draw, TIMES * program.horizon)
    table = np.concatenate([exact.cause, exact.outcome, exact.state], axis=1)
    return dict(zip(everything(program), table.T, strict=True))


def agree(program: Program, draw: int = 0) -> list[str]:
    """Hold every variant of a program against it; return the flags that end paths."""
    whole = solved(program, draw)
    parts = [p for p in parts_of(program, everything(program)) if p.program is not program]
    for part in parts:
        found = solved(part.program, draw)
        for name in part.names:
            np.testing.assert_allclose(found[name], whole[name], rtol=0, atol=1e-10, err_msg=str(name))
    return [part.program.causes[-1].removeprefix(SIGN) for part in parts]


def decisive(program: Program) -> list[str]:
    """Events of the variant that the signature ends by themselves, rather than by the signing after them."""
    variant = ended_by(program, "signed")
    return [f.event for f, e in zip(variant.firings, variant.effects, strict=True) if e.end == "/signed"]


# ---- the same probabilities ------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "seed"), cases(42))
def test_what_is_decided_keeps_its_probability(kind, seed):
    agree(compile_process(*generate(kind, seed, n_draw=1)))


def test_what_is_decided_keeps_its_probability_in_mixed_processes():
    """Processes made up at random, but for those that the solver refuses; a third of them have a lasting flag."""
    found: list[str] = []
    for number in range(60):
        program = compile_process(*random_process(number, 1, exact=True))
        try:
            found += agree(program)
        except SolverError:
            continue
    assert len(found) >= 10


def test_a_whole_deal_keeps_its_probabilities():
    program = teaching(1)
    assert agree(program)[0] == "signed"
    assert any(x.endswith(SIGN) for x in decisive(program)), "the last vote should decide"


VOTES = {
    "the last vote decides": ((A, B, SIGN_NOW), ["b/"]),
    "only one votes": ((B, SIGN_NOW), ["b/"]),
    "what comes in between matters not": (
        (A, B, event("x", ["hot"], branch("yes", "h", set="hot"), branch("no", clear="hot")), SIGN_NOW),
        ["b/"],
    ),
    "what comes in between matters": (
        (A, B, event("x", [], branch("yes", "h", set="opposed"), branch("no")), SIGN_NOW),
        [],
    ),
    "what comes in between ends paths": (
        (A, B, event("x", ["hot"], branch("yes", "h", end="war"), branch("no")), SIGN_NOW),
        [],
    ),
    "an age comes in between": (
        (A, B, event("x", [], branch("only", set="opposed"), at_age={"clock": "begun", "age": 200 / 365.25}), SIGN_NOW),
        [],
    ),
    "what comes in between has other dates": (
        (A, B, event("x", [], branch("only", set="opposed"), days=(50, 150)), SIGN_NOW),
        ["b/"],
    ),
    "the vote has more dates than the signing": (
        (A, event("b", ["not signed"], *B["branches"], days=(0, 50, 100, 200, 365)), SIGN_NOW),
        [],
    ),
    "the signing has more dates than the vote": (
        (A, event("b", ["not signed"], *B["branches"], days=(100, 365)), SIGN_NOW),
        ["b/"],
    ),
    "a vote twice a day": (
        (A, event("b", ["not signed"], *B["branches"], days=(0, 100, 100, 365)), SIGN_NOW),
        [],
    ),
    "a branch that leaves things as they are": (
        (A, event("b", [], branch("yes", "q", clear="b_refused"), branch("hung", "h"), branch("no", set="b_refused")),
         SIGN_NOW),
        [],
    ),
    "a branch that vetoes": (
        (A, event("b", [], branch("yes", "q", clear="b_refused"), branch("veto", "h", set="b_refused opposed"),
                  branch("no", set="b_refused")), SIGN_NOW),
        [],
    ),
    "a branch that settles all": (
        (A, event("b", [], branch("yes", "q", clear="b_refused opposed"), branch("no", set="b_refused")), SIGN_NOW),
        ["b/"],
    ),
    "a vote that ends paths": (
        (A, event("b", [], branch("yes", "q", clear="b_refused"), branch("out", "h", end="war"),
                  branch("no", set="b_refused")), SIGN_NOW),
        [],
    ),
    "an age decides last": (
        (
            A,
            B,
            event(
                "x",
                [],
                branch("yes", "h", clear="opposed"),
                branch("no", set="opposed"),
                at_age={"clock": "begun", "age": 200 / 365.25},
            ),
            SIGN_NOW,
        ),
        [],
    ),
    "a vote with odds, and another one behind": (
        (
            A,
            event("b", [], odds("yes", "u", ["hot", "opposed"], clear="b_refused"), branch("no", set="b_refused")),
            SIGN_NOW,
            event("c", [], odds("yes", "v", ["opposed"], set="hot"), branch("no", clear="hot")),
        ),
        ["b/"],
    ),
    "all of some and any of others": (
        (A, B, event("sign", [*EVERYONE, ["hot", "a_refused"]], branch("only", set="signed"))),
        [],
    ),
    "any of several": (
        (A, B, event("sign", ["not signed", ["not a_refused", "not b_refused"]], branch("only", set="signed"))),
        [],
    ),
    "the signature is a matter of luck": (
        (A, B, event("sign", EVERYONE, branch("yes", "h", set="signed"), branch("no"))),
        [],
    ),
    "the vote has conditions of its own": (
        (A, event("b", ["not opposed", ["hot", "not a_refused"]], *B["branches"]), SIGN_NOW),
        ["b/"],
    ),
    "nothing else matters": (
        (event("b", ["not signed"], *B["branches"]), event("sign", ["not b_refused"], branch("only", set="signed"))),
        ["b"],
    ),
    "two ways to sign": (
        (A, B, SIGN_NOW, event("late", ["hot", *EVERYONE[:3]], branch("only", set="signed"))),
        ["b/"],
    ),
    "a signature that is the end": (
        (A, B, event("sign", EVERYONE, branch("only", set="signed", end="war"))),
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VOTES)
def test_a_vote_from_which_the_signature_follows_decides(name):
    """Two draws each; and which event of the instant it is that carries the probability."""
    scheduled, wanted = VOTES[name]
    program = talks(*scheduled)
    for draw in (0, 1):
        assert "signed" in agree(program, draw)
    assert [x for x in decisive(program) if x not in {"sign", "late"}] == wanted


@pytest.mark.parametrize("when", [["hot"], ["not hot"], []])
def test_a_flag_that_a_hazard_sets_decides_too(when):
    program = talks(A, B, hazards=(hazard("sign", [*when, "not opposed"], "s", set=["signed"]),))
    for draw in (0, 1):
        assert agree(program, draw) == ["signed"]


# ---- what is decided by what -----------------------------------------------------------------------


def test_what_a_flag_decides():
    parts = parts_of(talks(A, B, SIGN_NOW), everything(talks(A, B, SIGN_NOW)))
    assert len(parts) == 2
    assert set(parts[1].names) == {("state", "signed"), ("cause", "failed"), ("outcome", "failed"), ("outcome", "calm")}
    assert parts[1].program.outcomes[0] == parts[1].program.causes[-1] == "/signed"
    assert not parts[1].program.process.consequences


def test_flags_that_do_not_last_decide_nothing():
    """Cleared by somebody, set from the beginning, or never set."""
    names = [("state", "signed"), ("cause", "failed")]
    for parts in (
        {"hazards": (hazard("undo", ["signed"], "s", clear=["signed"]),)},
        {"flags": [{"id": f, "label": "", "initially": f == "signed"}
                   for f in ("signed", "a_refused", "b_refused", "opposed", "hot")]},
    ):  # fmt: skip
        program = talks(A, B, SIGN_NOW, **parts)
        assert "signed" not in lasting(program.process)
        assert [p.program is program for p in parts_of(program, names)] == [True]
    sign = event("sign", EVERYONE, branch("only", set="hot"))
    outcomes = [{"id": "rest", "label": "", "rest": True}]
    assert lasting(talks(A, B, sign, outcomes=outcomes).process) == []


def test_there_must_be_room_for_one_more_cause():
    causes = [{"id": c, "label": ""} for c in ("failed", "war", *(f"c{n}" for n in range(MAX_BITS - 3)))]
    assert lasting(talks(A, B, SIGN_NOW, causes=causes).process) == ["signed"]
    causes.append({"id": "last", "label": ""})
    assert lasting(talks(A, B, SIGN_NOW, causes=causes).process) == []


def test_only_what_is_asked_for_is_run():
    program = talks(A, B, SIGN_NOW)
    assert [p.program is program for p in parts_of(program, [("cause", "war")])] == [True]
    assert [p.program is program for p in parts_of(program, [("state", "signed")])] == [False]
    assert [p.names for p in parts_of(program, [])] == [()]


def test_few_variants_are_run_and_those_that_decide_the_most():
    flags = [f"f{n}" for n in range(4)]
    known = [{"id": f, "label": ""} for f in (*flags, "signed", "a_refused", "b_refused", "opposed", "hot")]
    turns = (*(hazard(f, [], set=[f]) for f in flags), hazard("end", ["not f2"], end="late"))
    causes = [{"id": c, "label": ""} for c in ("failed", "war", "late")]
    program = talks(A, B, SIGN_NOW, hazards=turns, flags=known, causes=causes)
    parts = parts_of(program, [*(("state", f) for f in flags), ("cause", "late")])
    assert len(parts) == VARIANTS + 1
    assert [p.names for p in parts] == [
        (("state", "f1"), ("state", "f3")),
        (("state", "f2"), ("cause", "late")),
        (("state", "f0"),),
    ]
