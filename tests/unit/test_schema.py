import numpy as np
import pytest
import xarray as xr

from forecast import schema
from tests import outputs_data as made
from tests.unit.test_estimands import forecast_of


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return forecast_of()


def test_every_declared_variable_says_what_it_is() -> None:
    for group in (*schema.GROUPS.values(), schema.SWEEP):
        for name, v in group.items():
            assert v.long_name, name
            assert v.description, name
            assert v.units or v.dtype in ("U", "M8[ns]"), name


def test_a_built_forecast_carries_units_and_meaning_on_every_variable(tree: xr.DataTree) -> None:
    for node in tree.subtree:
        for name, v in node.to_dataset(inherit=False).variables.items():
            assert v.attrs["long_name"], name
            assert v.attrs["description"], name
            assert v.attrs.get("units") or v.dtype.kind in "UM", name


def test_whole_forecast_has_no_problems(tree: xr.DataTree) -> None:
    assert schema.problems(tree) == []


def test_undeclared_name_is_refused_with_the_closest() -> None:
    with pytest.raises(ValueError, match="'outcome_means' is not a declared variable; did you mean 'outcome_mean'"):
        schema.dataset("/summary", outcome_means=np.zeros((2, 2)))


def test_wrong_number_of_dims_is_refused() -> None:
    with pytest.raises(ValueError, match="'outcome_mean' has the dims time, outcome; the array has shape"):
        schema.dataset("/summary", outcome_mean=np.zeros(2))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda t: t.assign(confidence=("time", np.zeros(t.sizes["time"]))), "'confidence' is not a declared variable"),
        (lambda t: t.drop_vars("outcome_probability_mcse"), "'outcome_probability_mcse' is missing"),
        (lambda t: t.assign(parameters=t["parameters"].astype("f4")), "'parameters' has dtype float32"),
        (lambda t: t.transpose("time", "draw", ...), "declared are ('draw', 'time', 'outcome')"),
        (lambda t: t.drop_attrs(deep=False), "attrs: 'deal_id' is missing"),
        (lambda t: t.assign_attrs(status="draft"), "status is 'draft'; it may be published or held"),
        (lambda t: t.assign(parameters=t["parameters"].drop_attrs()), "'parameters' has no long_name"),
    ],
)
def test_departures_are_named(tree: xr.DataTree, spoil: object, said: str) -> None:
    spoiled = tree.copy()
    spoiled.dataset = spoil(tree.to_dataset())  # type: ignore[operator]
    assert any(said in p for p in schema.problems(spoiled)), schema.problems(spoiled)


def test_unknown_and_missing_groups_are_named(tree: xr.DataTree) -> None:
    groups = {k: v for k, v in tree.to_dict().items() if k != "/summary"} | {"/extra": xr.Dataset()}
    found = schema.problems(xr.DataTree.from_dict(groups))
    assert any("/extra: not a declared group" in p for p in found)
    assert "/summary: the group is missing" in found


def test_markdown_has_a_row_for_every_variable() -> None:
    text = schema.markdown()
    for group in (*schema.GROUPS.values(), schema.SWEEP):
        for name in group:
            assert f"| `{name}`" in text
    assert all(line.count("|") == 6 for line in text.splitlines() if line.startswith("| `"))


def test_a_sweep_is_checked_too() -> None:
    dims = ("oral_worth", "headline")
    data = xr.Dataset(
        {f"headline_{k}": (dims, np.zeros((2, 1)), {"long_name": k}) for k in ("mean", "lower", "upper", "mcse")},
        coords={"oral_worth": [0.2, 0.5], "headline": ("headline", ["Signed"], {"long_name": "headline"})},
        attrs=made.attrs(2, 2),
    )
    assert schema.sweep_problems(data) == [
        "sweep: 'headline_difference' is missing",
        "sweep: 'headline_difference_mcse' is missing",
    ]
