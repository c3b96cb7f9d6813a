import math
from datetime import date
from pathlib import Path
from types import MappingProxyType

import pytest

from forecast.calibrate.fit import Calibration
from forecast.calibrate.gate import judge
from forecast.deal.parameters import Contrast, Distribution, Parameter, Reference
from forecast.inputs import Inputs, load
from forecast.report.health import health_of, sources_of
from forecast.report.html import checks
from tests import report_data

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def inputs():
    return load(ROOT / "priors" / "teaching")


def health_of_tree(tree, parameters):
    return health_of(Calibration(tree, "abc", from_cache=True, seconds=12.5), judge(tree, parameters))


def test_a_good_fit_is_reported_with_its_worst_figures():
    tree, parameters = report_data.calibration_tree()
    del tree["posterior"]["fixed"]
    gate = judge(tree, parameters)
    health = health_of_tree(tree, parameters)
    assert health.gate_passed
    assert health.problems == ()
    assert health.worst_rhat == max(row[1] for row in gate.table) < 1.01
    assert health.smallest_ess_bulk == min(row[2] for row in gate.table) > 400
    assert health.smallest_ess_tail == min(row[3] for row in gate.table) > 400
    assert (health.divergences, health.bfmi) == (0, gate.bfmi)
    assert (health.seconds, health.from_cache, health.digest) == (12.5, True, "abc")
    assert all(c.passed for c in checks(health))


def test_one_figure_that_cannot_be_computed_is_the_worst_one():
    tree, parameters = report_data.calibration_tree()
    del tree["posterior"]["fixed"]
    tree["posterior"]["rate_b"][0, 0] = math.nan
    del tree["sample_stats"]
    health = health_of_tree(tree, parameters)
    assert not health.gate_passed
    assert math.isnan(health.worst_rhat)
    assert math.isnan(health.smallest_ess_bulk)
    assert health.divergences == -1
    assert [c.value for c in checks(health)] == ["n/a"] * 5
    assert not any(c.passed for c in checks(health))


def with_parameters(inputs, *parameters):
    """The same deal with other parameters."""
    file = inputs.deal.file.model_copy(update={"parameters": MappingProxyType({p.id: p for p in parameters})})
    return Inputs(inputs.deal.model_copy(update={"file": file}), inputs.classes)


def test_every_parameter_of_a_deal_has_a_source_in_order(inputs):
    rows = sources_of(inputs)
    assert [r.parameter for r in rows] == list(inputs.deal.file.parameters)
    assert all(r.origin and r.source and r.label and r.unit for r in rows)


def test_a_reference_class_is_named_with_what_is_taken_and_cited_once(inputs):
    (used,) = inputs.classes.values()
    common = {"unit": "per year", "rationale": "the nearest kin"}
    first = Parameter(id="a", label="A", reference=Reference(**{"class": used.id}, transfer_sd=0.5), **common)
    second = Parameter(
        id="b", label="B", **common,
        reference=Reference(
            **{"class": used.id}, transfer_sd=0.25, where={"conflict_type": "interstate"}, exclude=("x",),
            contrast=Contrast(covariate="any_full", base="0", to="1"),
        ),
    )  # fmt: skip
    a, b = sources_of(with_parameters(inputs, first, second))
    assert a.origin == b.origin == f"Reference class “{used.title}”"
    assert a.source.startswith("The nearest kin. Transfer to this deal: sd 0.50 on the link scale. Data: ")
    assert used.citation[0] in a.source
    assert used.citation[0] not in b.source
    assert b.source == (
        "The nearest kin. Effect of any_full: 1 against 0. Taken at conflict_type = interstate. Without x. "
        "Transfer to this deal: sd 0.25 on the link scale. Data: as above."
    )


def test_experts_are_quoted_with_question_date_figures_and_reason(inputs):
    row = next(r for r in sources_of(inputs) if r.parameter == "power_changes")
    answers = [e for e in inputs.deal.experts if e.question == "power_changes"]
    assert len(answers) == 2
    assert row.origin == f"Elicited: {answers[0].expert} and {answers[1].expert}"
    assert f"Asked: “{answers[0].asked}”" in row.source
    assert "on 10 December 2024 (5, 50 and 95%: 30%, 48%, 65%): " + answers[0].why in row.source
    assert answers[0].date == date(2024, 12, 10)


def test_distributions_and_constants_show_their_figures_and_source(inputs):
    spread = Distribution(family="beta", alpha=2.0, beta=4.5)
    rows = sources_of(
        with_parameters(
            inputs,
            Parameter(id="a", label="A", unit="1", distribution=spread, source="a guess"),
            Parameter(id="b", label="B", unit="1", constant=0.5, source="Treaty, article 3"),
        )
    )
    assert (rows[0].origin, rows[0].source) == ("Distribution beta(alpha 2.00, beta 4.50)", "A guess.")
    assert (rows[1].origin, rows[1].source) == ("Constant", "Treaty, article 3.")
