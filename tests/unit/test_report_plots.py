import xml.etree.ElementTree as ET
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import PolyCollection

from forecast.report import colours, plots
from forecast.report.svg import to_svg
from tests import report_data

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def tree():
    return report_data.forecast_tree(60, 32)


@pytest.fixture(scope="module")
def description():
    return report_data.description()


def texts(figure):
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def bands(axes):
    return [c for c in axes.collections if isinstance(c, PolyCollection)]


def test_calendar_years_with_fractions():
    assert plots.decimal_years([date(2025, 1, 1), date(2025, 7, 2), date(2028, 12, 31)]) == pytest.approx(
        [2025.0, 2025 + 182 / 365, 2028 + 365 / 366]
    )


def test_outcomes_are_stacked_up_to_one_in_the_order_of_the_deal(tree):
    (axes,) = plots.outcomes_over_time(tree).axes
    drawn = bands(axes)
    assert len(drawn) == len(report_data.OUTCOMES)
    assert drawn[-1].get_paths()[0].vertices[:, 1].max() == pytest.approx(1.0)
    at_end = tree["summary"]["outcome_mean"].to_numpy()[-1]
    for k, band in enumerate(drawn):
        vertices = band.get_paths()[0].vertices
        edge = vertices[np.isclose(vertices[:, 0], plots.decimal_years([report_data.HORIZON])[0])][:, 1]
        assert edge.max() - edge.min() == pytest.approx(at_end[k], abs=1e-9)


def test_every_class_is_named_with_its_share_on_a_wide_page(tree):
    drawn = " ".join(texts(plots.outcomes_over_time(tree))).replace("\n", " ")
    for label in report_data.OUTCOMES.values():
        assert label in drawn
    assert not texts(plots.outcomes_over_time(tree, narrow=True))


def test_calendar_marks_inside_the_window_are_numbered_in_order(tree, description):
    wide = texts(plots.outcomes_over_time(tree, description.calendar))
    assert "1  First round" in wide
    assert "2  New START expires" in wide
    assert not [t for t in wide if "beyond" in t]
    assert texts(plots.outcomes_over_time(tree, description.calendar, narrow=True)) == list("1234567")


def test_too_many_marks_fall_back_to_numbers(tree):
    crowd = [(date(2026, 1, day), f"a long name of a day {day}") for day in range(1, 11)]
    drawn = texts(plots.outcomes_over_time(tree, crowd))
    assert "1" in drawn
    assert not [t for t in drawn if "long name" in t]


def test_marks_never_overlap_in_a_row():
    x = np.array([2025.0, 2035.0])
    marks = [(date(2028, 1, 1), "election"), (date(2028, 3, 1), "office"), (date(2033, 1, 1), "end")]
    placed = plots._place_marks(x, marks, 600.0, 300.0, narrow=False)
    assert [row for _, row in placed] == [0, 1, 0]


def test_incidence_has_one_panel_a_cause_on_one_scale_most_probable_first(tree):
    axes = plots.incidence_by_cause(tree).axes
    assert len(axes) == len(report_data.CAUSES)
    assert len({a.get_ylim() for a in axes}) == 1
    ends = [a.lines[0].get_ydata()[-1] for a in axes]
    assert ends == sorted(ends, reverse=True)
    assert max(tree["summary"]["cause_upper"].to_numpy().max(), 0) <= axes[0].get_ylim()[1]
    assert "not seen in 1,920 paths" in texts(plots.incidence_by_cause(tree))


def test_a_cause_keeps_its_colour_in_every_picture(tree):
    shade = colours.outcome_colours(list(report_data.OUTCOMES), list(report_data.CAUSES))
    by_cause = colours.cause_colours(list(report_data.CAUSES))
    assert shade["breakdown/us_withdrawal"] == by_cause["us_withdrawal"]
    assert shade["no_deal"] == by_cause["no_deal"]
    assert len(set(shade.values())) == len(shade)
    panels = plots.incidence_by_cause(tree).axes
    assert {a.lines[0].get_color() for a in panels} == set(by_cause.values())


def test_a_lone_class_that_is_no_end_is_never_the_palest():
    alone = colours.outcome_colours(["broken", "in_force"], ["broken"])
    assert alone["in_force"] == colours.outcome_colours(["in_force", "broken", "rest"], ["broken"])["in_force"]


def test_transfers_mirror_each_other(tree, description):
    (axes,) = plots.transfers_over_time(tree, description.consequence_groups[0]).axes
    edges = np.concatenate([b.get_paths()[0].vertices[:, 1] for b in bands(axes)])
    assert edges.max() == pytest.approx(-edges.min(), rel=1e-9)
    assert len(bands(axes)) == 1 + len(report_data.SUPPLIERS)
    low, high = axes.get_ylim()
    assert low <= edges.min() < edges.max() <= high


@given(wanted=st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=14).map(sorted), height=st.floats(0.001, 0.07))
def test_labels_keep_their_distance_and_stay_inside(wanted, height):
    gap = np.full(len(wanted), height)
    placed = plots.spread_out(np.array(wanted), gap, 0.0, 1.0)
    assert np.all(np.diff(placed) >= height - 1e-9)
    assert placed[0] >= height / 2 - 1e-9
    assert placed[-1] <= 1 - height / 2 + 1e-9


def test_labels_with_room_stay_where_they_are():
    wanted = np.array([0.2, 0.5, 0.8])
    np.testing.assert_allclose(plots.spread_out(wanted, np.full(3, 0.1), 0.0, 1.0), wanted)
    crowded = plots.spread_out(np.array([0.5, 0.5]), np.full(2, 0.1), 0.0, 1.0)
    np.testing.assert_allclose(crowded, [0.45, 0.55])


@pytest.mark.parametrize("narrow", [False, True])
def test_svg_is_well_formed_repeatable_and_alone(tree, narrow):
    first = to_svg(plots.outcomes_over_time(tree, narrow=narrow), "a")
    assert first == to_svg(plots.outcomes_over_time(tree, narrow=narrow), "a")
    root = ET.fromstring(first)  # noqa: S314  # our own text
    assert root.tag == f"{SVG}svg"
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    assert all(i.startswith("a-") for i in ids)
    linked = [v[1:] for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert linked
    assert set(linked) <= set(ids)
    assert "<style" not in first
    assert "<metadata" not in first
    assert "DejaVu" not in first


def test_labels_with_dollar_signs_and_markup_are_text(tree):
    odd = report_data.relabelled(tree, "outcome", ["<script>alert(1)</script> $1 & $2"] + ["x"] * 11)
    drawn = to_svg(plots.outcomes_over_time(odd), "a")
    assert "<script" not in drawn
    assert "$1 &amp; $2" in drawn.replace("\n", " ")
    ET.fromstring(drawn)  # noqa: S314  # our own text
