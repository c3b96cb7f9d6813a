import dataclasses

import numpy as np
import pytest

from forecast.analysis.storylines import Storyline, storyline_table, storylines
from forecast.deal.spec import (
    Branch,
    Clock,
    Condition,
    Effect,
    Flag,
    Hazard,
    Modifier,
    OutcomeClass,
    Process,
    Scheduled,
)
from forecast.process.compile import Program, compile_process
from tests import outputs_data as made

SIGN = (0.3, "signing/signed")
CHANGE = (3.65, "vote/change")


@pytest.fixture(scope="module")
def program() -> Program:
    return made.program()


def told(program: Program, *paths: list[tuple[float, str]]) -> list[Storyline]:
    return storylines(program, made.log_of(program, list(paths)), 10)


def steps(program: Program, *path: tuple[float, str]) -> tuple[str, ...]:
    return told(program, list(path))[0].steps


def test_refusals_that_come_and_go_are_no_milestones(program: Program) -> None:
    rounds = [(0.1, "north/refuses"), (0.2, "north/accepts"), (0.25, "north/refuses"), (0.3, "north/accepts")]
    assert steps(program, *rounds, SIGN, (2.0, "fighting")) == ("The deal is signed", "Fighting resumes")
    assert steps(program, *rounds[:3], (0.5, "collapse")) == ("Talks collapse",)


def test_what_the_ending_does_not_depend_on_is_left_out(program: Program) -> None:
    assert steps(program, (0.1, "rain"), SIGN, (0.4, "rain"), (2.0, "fighting")) == (
        "The deal is signed",
        "Fighting resumes",
    )


def test_what_changes_nothing_is_left_out(program: Program) -> None:
    assert steps(program, SIGN, (3.65, "vote/stays"), (4.0, "fighting")) == ("The deal is signed", "Fighting resumes")


def test_what_the_ending_needs_is_told_back_to_the_start(program: Program) -> None:
    assert steps(program, SIGN, CHANGE, (4.0, "withdrawal")) == (
        "The deal is signed",
        "Power changes hands",
        "The opponent withdraws",
    )


def test_a_risk_factor_is_told_only_where_it_was_in_force(program: Program) -> None:
    assert steps(program, SIGN, CHANGE, (4.0, "fighting")) == (
        "The deal is signed",
        "Power changes hands",
        "Fighting resumes",
    )
    # An open path depends on its outcome class alone: signed.
    assert steps(program, SIGN, CHANGE) == ("The deal is signed", "At the horizon: Signed and in force")


def test_an_open_path_ends_with_its_outcome_class(program: Program) -> None:
    line = told(program, [])[0]
    assert (line.steps, line.cause) == (("At the horizon: Talks still open",), "")
    assert line.dates == (program.horizon,)


def test_paths_are_grouped_counted_and_dated(program: Program) -> None:
    signed = [[(t, "signing/signed"), (end, "fighting")] for t, end in ((0.2, 1.0), (0.3, 3.0), (1.5, 2.0))]
    lines = told(program, *signed, [(0.5, "collapse")])
    first, second = lines
    assert (first.count, first.cause, first.dates) == (3, "war", (0.3, 2.0))
    assert first.example == 10  # path 1 (number 1 × 10) is 1.0 from the medians, the others 1.1 and 1.2
    assert (second.count, second.cause) == (1, "no_deal")


def test_an_ending_through_a_recurring_event_is_told(program: Program) -> None:
    base = made.process()
    last = Scheduled(
        id="last", label="Talks", dates=base.scheduled[1].dates,
        branches=(Branch(id="fail", label="Talks end", effect=Effect(set=("refused",), end="no_deal")),),
    )  # fmt: skip
    other = compile_process(base.model_copy(update={"scheduled": (*base.scheduled, last)}), made.draws())
    assert told(other, [(0.5, "last/fail")])[0].steps == ("Talks end",)


def test_the_same_milestone_twice_running_is_told_once() -> None:
    base = made.process()
    flag = Flag(id="quarrel", label="Quarrel")
    events = tuple(
        Scheduled(id=f"quarrel_{n}", label="Quarrel", dates=(day,), branches=(
            Branch(id="on", label="A quarrel", effect=Effect(set=("quarrel",), start=("since",))),))
        for n, day in enumerate(base.scheduled[1].dates[:2])
    )  # fmt: skip
    process = Process.model_validate(
        {**base.model_dump(), "flags": (*base.flags, flag), "scheduled": (*base.scheduled, *events)}
    )
    other = compile_process(process, made.draws())
    line = told(other, [SIGN, (0.4, "quarrel_0/on"), (0.6, "quarrel_1/on"), (2.0, "fighting")])[0]
    assert line.steps == ("The deal is signed", "A quarrel", "Fighting resumes")
    assert line.dates == (0.3, 0.4, 2.0)


@pytest.fixture(scope="module")
def chain() -> Program:
    """What ends a path here depends on a chain of flags and clocks, and on risk factors that come and go."""

    def hazard(id_: str, when: tuple[str, ...] = (), **effect: object) -> Hazard:
        return Hazard(id=id_, label=id_.upper(), when=Condition(all=when), rate="rain", effect=Effect(**effect))

    factors = (Modifier(when="calm", log_ratio="tension"), Modifier(when="x", log_ratio="tension"))
    process = made.process().model_copy(
        update={
            "flags": tuple(Flag(id=i, label=i, initially=i == "calm") for i in ("a", "b", "x", "calm")),
            "clocks": (Clock(id="k", label="k"),),
            "hazards": (
                hazard("a_comes", set=("a",)),
                hazard("b_comes", ("a",), set=("b",)),
                hazard("k_starts", start=("k",)),
                hazard("b_by_clock", set=("b",)).model_copy(update={"clock": "k"}),
                hazard("x_comes", set=("x",)),
                hazard("x_goes", clear=("x",)),
                hazard("storm", clear=("calm",)),
                hazard("lull", set=("calm",)),
                hazard("end", ("b",), end="war").model_copy(update={"modifiers": factors}),
                hazard("end_with_x", ("b",), set=("x",), end="war").model_copy(update={"modifiers": factors}),
            ),
            "scheduled": (),
            "outcomes": (OutcomeClass(id="rest", label="Rest", rest=True),),
            "consequences": (),
        }
    )
    return compile_process(process, made.draws())


@pytest.mark.parametrize(
    ("path", "told_as"),
    [
        ("a_comes b_comes end", "A_COMES B_COMES END"),  # the condition of what the ending needs
        ("k_starts b_by_clock end", "K_STARTS B_BY_CLOCK END"),  # … and its clock
        ("a_comes a_comes b_comes end", "A_COMES B_COMES END"),  # the second time it changes nothing
        ("a_comes b_comes x_comes end", "A_COMES B_COMES X_COMES END"),  # a risk factor in force
        ("a_comes b_comes x_comes x_goes end", "A_COMES B_COMES END"),  # … and one no longer so
        ("a_comes b_comes storm end", "A_COMES B_COMES END"),  # what lowered the risk did not bring it about
        ("a_comes b_comes storm lull end", "A_COMES B_COMES END"),  # in force again, as at the start
        ("a_comes b_comes x_comes x_goes end_with_x", "A_COMES B_COMES END_WITH_X"),  # set by the ending itself
    ],
)
def test_a_story_is_traced_back_from_its_ending(chain: Program, path: str, told_as: str) -> None:
    firings = [(0.1 * n, name) for n, name in enumerate(path.split(), start=1)]
    assert steps(chain, *firings) == tuple(told_as.split())


def test_table_is_sorted_cut_and_says_what_it_covers(program: Program) -> None:
    paths = [[(0.5, "collapse")]] * 5 + [[SIGN, (2.0, "fighting")]] * 3 + [[]] * 2
    log = made.log_of(program, paths)
    table = storyline_table(program, log, storylines(program, log, 10), top=2)
    assert list(table["text"].to_numpy()) == ["Talks collapse", "The deal is signed → Fighting resumes"]
    assert list(table["dates"].to_numpy()) == ["Sep 2025", "Jul 2025 → Mar 2027"]
    np.testing.assert_allclose(table["frequency"], [0.5, 0.3])
    np.testing.assert_allclose(table["frequency_mcse"], np.sqrt([0.025, 0.021]))
    assert table.attrs == {"sampled_paths": 10, "distinct": 3, "share_covered": 0.8, "paths_left_out": 0}


def test_a_log_that_is_not_complete_is_left_out_and_counted(program: Program) -> None:
    log = made.log_of(program, [[(0.5, "collapse")], [SIGN, (2.0, "fighting")]])
    log = dataclasses.replace(log, truncated=np.array([False, True]))
    table = storyline_table(program, log, storylines(program, log, 10))
    assert list(table["text"].to_numpy()) == ["Talks collapse"]
    assert table.attrs["paths_left_out"] == 1
    assert float(table["frequency"][0]) == 0.5


def test_an_arrow_in_a_label_is_no_step(program: Program) -> None:
    base = made.process()
    hazards = tuple(h.model_copy(update={"label": "Peace → war"}) if h.id == "fighting" else h for h in base.hazards)
    other = compile_process(base.model_copy(update={"hazards": hazards}), made.draws())
    log = made.log_of(other, [[SIGN, (2.0, "fighting")]])
    table = storyline_table(other, log, storylines(other, log, 10))
    assert str(table["text"][0].item()).split(" → ") == ["The deal is signed", "Peace to war"]
    assert str(table["dates"][0].item()).count(" → ") == 1


def test_endings_of_one_label_are_told_apart_by_their_cause(chain: Program) -> None:
    base = chain.process
    hazards = tuple(
        h.model_copy(update={"label": "The end", "effect": Effect(end=cause)}) if h.effect.end else h
        for h, cause in zip(base.hazards, [""] * 8 + ["war", "exit"], strict=True)
    )
    other = compile_process(base.model_copy(update={"hazards": hazards}), made.draws())
    lines = told(other, [(0.1, "end")], [(0.1, "end_with_x")], [(0.1, "end_with_x")])
    assert [x.steps for x in lines] == [("The end: The North withdraws",), ("The end: Fighting resumes",)]
