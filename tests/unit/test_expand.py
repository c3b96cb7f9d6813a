"""What the words become."""

from datetime import date
from pathlib import Path

import pytest

from forecast.deal.check_process import process_problems
from forecast.deal.describe import deal_sentences, describe, process_sentences
from forecast.deal.diagram import diagram_svg, diagram_text
from forecast.deal.expand import expand
from forecast.deal.loader import load_deal
from forecast.deal.spec import Condition, Process
from forecast.types import add_months, calendar_dates, horizon_date, monthly_grid

DEALS = sorted(p.parent for p in Path("priors").glob("*/deal.toml"))


@pytest.fixture(scope="module")
def teaching() -> Process:
    return expand(load_deal(Path("priors/teaching")))


@pytest.mark.parametrize("folder", DEALS, ids=lambda p: p.name)
def test_every_shipped_deal_expands_without_a_problem(folder):
    process = expand(load_deal(folder))
    assert process_problems(process) == []
    assert process.outcomes[-1].rest


def test_a_delivery_clause_becomes_a_deadline_with_three_ends(teaching):
    deadline = next(s for s in teaching.scheduled if s.id == "troops_leave_deadline")
    assert deadline.at_age.age == 1.0
    assert [b.id for b in deadline.branches] == ["default", "late", "on_time"]
    late = next(s for s in teaching.scheduled if s.id == "troops_leave_late_delivery")
    assert late.at_age.age == pytest.approx(1.5)
    assert late.when == Condition(all=("troops_leave_late",))


def test_signature_needs_every_signer_and_comes_after_their_decisions(teaching):
    ids = [s.id for s in teaching.scheduled]
    assert ids.index("north_decides") < ids.index("south_decides") < ids.index("signing") < ids.index("talks_end")
    signing = teaching.scheduled[ids.index("signing")]
    assert signing.when.all == ("not signed", "not north_refused", "not south_refused")
    assert signing.dates[0] == date(2025, 3, 1)
    assert signing.dates[-1] == date(2026, 12, 1)


def test_acceptance_is_utility_less_reservation_over_noise(teaching):
    acceptance = next(d for d in teaching.derived if d.id == "south_acceptance")
    assert [(t.sign, t.parameters) for t in acceptance.terms] == [
        (-1, ("south_reservation",)),
        (1, ("south_values_troops",)),
    ]
    assert acceptance.over == ("noise",)


def test_a_cascade_moves_the_hazard_that_it_names(teaching):
    shooting = next(h for h in teaching.hazards if h.id == "shooting")
    assert [(m.when, m.log_ratio) for m in shooting.modifiers] == [
        ("troops_leave_defaulted", "default_raises_shooting")
    ]


def test_a_clause_left_out_of_the_package_is_gone():
    deal = load_deal(Path("priors/teaching"), {"clauses.troops_leave.included": False, "cascades": [], "headline": []})
    process = expand(deal)
    assert not [s for s in process.scheduled if s.id.startswith("troops_leave")]
    acceptance = next(d for d in process.derived if d.id == "south_acceptance")
    assert len(acceptance.terms) == 1


def test_dates_keep_their_day_of_the_month():
    assert add_months(date(2025, 1, 31), 1) == date(2025, 2, 28)
    assert calendar_dates(date(2025, 1, 31), 1 / 12, date(2025, 4, 1)) == (
        date(2025, 1, 31),
        date(2025, 2, 28),
        date(2025, 3, 31),
    )
    assert calendar_dates(date(2025, 1, 1), 7 / 365.25, date(2025, 1, 15))[-1] == date(2025, 1, 15)
    assert horizon_date(date(2025, 3, 15), 10.0) == date(2035, 3, 15)
    grid = monthly_grid(date(2025, 3, 15), date(2035, 3, 15))
    assert (len(grid), grid[0], grid[-1]) == (121, date(2025, 3, 15), date(2035, 3, 15))


@pytest.mark.parametrize("folder", DEALS, ids=lambda p: p.name)
def test_a_deal_is_said_in_sentences_that_name_every_parameter(folder):
    deal = load_deal(folder)
    process = expand(deal)
    text = " ".join([*deal_sentences(deal.file), *process_sentences(process)])
    assert [p for p in deal.file.parameters if p not in text] == []
    assert diagram_text(process).count("──▶") >= len(process.causes)
    svg = diagram_svg(process)
    assert svg.startswith("<svg")
    assert svg.endswith("</svg>")
    description = describe(deal)
    assert description.headline
    assert description.not_covered


def test_names_from_a_file_are_escaped_in_the_diagram():
    deal = load_deal(Path("priors/teaching"), {"breakdowns.shooting.cause_label": "<script>alert(1)</script>"})
    assert "<script>" not in diagram_svg(expand(deal))


@pytest.mark.parametrize(
    "override",
    [
        {"verification.agreed": False},
        {"clauses.kaliningrad.included": False},
        {"clauses.export_limits.included": False},
        {"promises.neutral_status.included": False},
        {"promises.neutral_status.binding": True},
        {"parties.ukraine.at_table": True},
    ],
    ids=str,
)
def test_a_package_can_be_changed_key_by_key(override):
    """What refers to the part that is left out still has something to name; its risk is gone."""
    process = expand(load_deal(Path("priors/ukraine_2025"), override))
    assert process_problems(process) == []
    name = next(iter(override)).split(".")[1]
    if "included" in next(iter(override)):
        assert not [e for e in (*process.hazards, *process.scheduled) if e.id.startswith(f"{name}_")]
        assert f"{name}_defaulted" in [f.id for f in process.flags]


def test_without_inspectors_a_clause_is_unverified_from_the_start():
    process = expand(load_deal(Path("priors/ukraine_2025"), {"verification.agreed": False}))
    violation = next(h for h in process.hazards if h.id == "export_limits_violation")
    assert [m.when for m in violation.modifiers if m.log_ratio == "unverified_default"] == [None]
    russia = next(d for d in process.derived if d.id == "russia_acceptance")
    assert ("russia_values_export_limits", "unverified_worth") in [t.parameters for t in russia.terms]


def test_whoever_governs_at_the_signature_made_the_deal():
    process = expand(load_deal(Path("priors/ukraine_2025")))
    signing = next(s for s in process.scheduled if s.id == "signing")
    assert signing.branches[0].effect.clear == ("us_presidency_other_side",)


def test_a_leader_who_leaves_opposes_nothing_any_more():
    process = expand(load_deal(Path("priors/ukraine_2025")))
    exits = [h for h in process.hazards if h.id.startswith("ukraine_president_exit")]
    assert len(exits) == 2
    assert all(h.effect.clear == ("ukraine_president_opposed",) for h in exits)


def test_moving_the_as_of_date_keeps_the_last_day():
    deal = load_deal(Path("priors/teaching"), {"deal.as_of": date(2024, 12, 20)})
    assert (deal.as_of, deal.horizon) == (date(2024, 12, 20), date(2030, 1, 1))


def test_talks_that_fail_have_one_cause_whoever_refused():
    """The cause of a party is that of talks in which it alone refused; all other failures are no deal."""
    process = expand(load_deal(Path("priors/ukraine_2025")))
    when = {h.id: h.when for h in process.hazards if h.id.startswith("talks_collapse")}
    assert when["talks_collapse_ukraine"] == Condition(
        all=("not signed", "ukraine_refused", "not united_states_refused", "not russia_refused")
    )
    assert when["talks_collapse"] == Condition(
        all=("not signed",), any=(("not ukraine_refused", "united_states_refused", "russia_refused"),)
    )
    last = {s.id: s.when for s in process.scheduled if s.id.startswith("talks_end")}
    assert last == {f"talks_end{k.removeprefix('talks_collapse')}": w for k, w in when.items()}


def test_the_pendulum_swings_back(teaching):
    back = next(s for s in teaching.scheduled if s.id == "north_parliament_returns")
    assert back.when.all == ("north_parliament_change_coming", "north_parliament_other_side")
    for branch in back.branches:
        assert {"north_parliament_change_coming", "north_parliament_other_side"} <= set(branch.effect.clear)
    assert [("north_parliament_opposed" in b.effect.set) for b in back.branches] == [True, False]


def test_a_late_delivery_is_late_no_longer(teaching):
    (kept,) = next(s for s in teaching.scheduled if s.id == "troops_leave_late_delivery").branches
    assert (kept.effect.set, kept.effect.clear) == (("troops_leave_fulfilled",), ("troops_leave_late",))


def test_what_one_supplier_loses_the_others_gain():
    process = expand(load_deal(Path("priors/ukraine_2025")))
    india = {q.id: q.sign for q in process.consequences if q.conserved == "arms_india"}
    gains = ("united_states", "france", "turkey", "china", "others", "unmet")
    assert india == {"arms_india_lost": -1, **{f"arms_india_{s}": 1 for s in gains}}
