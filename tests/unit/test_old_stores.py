"""Archives of past schemas stay readable, and say what they said when they were written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from forecast import schema
from forecast.archive import Archive
from forecast.estimands import forecast_invariants

STORES = sorted((Path(__file__).parents[1] / "stores").glob("schema_*"), key=lambda p: int(p.name.split("_")[1]))


def test_there_is_one_for_every_schema() -> None:
    assert [p.name for p in STORES] == [f"schema_{n}" for n in range(1, schema.SCHEMA + 1)]


@pytest.mark.parametrize("root", STORES, ids=lambda p: p.name)
def test_an_old_archive_reads_as_it_was_written(root: Path) -> None:
    expected = json.loads((root / "expected.json").read_text(encoding="utf-8"))
    archive = Archive(root)
    (run,) = archive.list_runs()
    assert run.id == expected["id"]
    assert archive.verify(run) == []
    assert archive.open("latest").id == archive.open(("small", "2025-03-15")).id == run.id
    tree = run.open()
    assert tree.attrs["schema"] == int(re.sub(r"\D", "", root.name))
    assert [str(t)[:10] for t in tree["time"].to_numpy()] == expected["times"]
    at_end = tree["summary/outcome_mean"].to_numpy()[-1]
    np.testing.assert_allclose(at_end, list(expected["outcome_mean_at_the_horizon"].values()), atol=1e-11)
    assert [str(o) for o in tree["outcome"].to_numpy()] == list(expected["outcome_mean_at_the_horizon"])
    incidence = tree["cumulative_incidence"].to_numpy()[1, -1]
    np.testing.assert_allclose(incidence, expected["cumulative_incidence_of_draw_1_at_the_horizon"], atol=1e-11)
    drawn = dict(zip(tree["parameter"].to_numpy(), tree["parameters"].to_numpy()[2], strict=True))
    assert {str(k): float(v) for k, v in drawn.items()} == expected["parameters_of_draw_2"]
    assert [str(t) for t in tree["storylines/text"].to_numpy()] == expected["storylines"]
    rates = tree["base_rates"].to_dataset(inherit=False)
    assert [str(rates["mechanism"].to_numpy()[0]), float(rates["model_mean"][0])] == expected["base_rate"]


@pytest.mark.parametrize("root", STORES[-1:], ids=lambda p: p.name)
def test_the_newest_follows_the_registry(root: Path) -> None:
    tree = Archive(root).open("latest").open()
    assert schema.problems(tree) == []
    assert forecast_invariants(tree) == []


@pytest.mark.parametrize("root", STORES, ids=lambda p: p.name)
def test_plain_xarray_reads_it_without_us(root: Path) -> None:
    (path,) = (root / "runs").glob("*/forecast.zarr")
    with xr.open_datatree(path, engine="zarr", consolidated=False) as tree:
        np.testing.assert_allclose(tree["outcome_probability"].sum("outcome"), 1.0, atol=1e-12)
