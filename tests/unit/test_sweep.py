"""Sweeps: what may be swept, what is refused, and that a killed one goes on to the same bytes."""

import csv
import io
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import forecast as fc
from forecast.analysis import sweep as cells
from forecast.analysis.design import grid, parse_design, parse_grid, points
from forecast.blockstore import Part, locked
from forecast.errors import ArchiveError, DealFileError, ForecastError
from forecast.inputs import load
from forecast.pipeline import RunSettings, calibrate_deal
from forecast.report.sweep_page import table, write_page
from forecast.report.words import in_words
from forecast.sweeping import compute_block, run_sweep

SETTINGS = RunSettings(paths=4_000, draws=400, seed=3)
DEADLINE = "clauses.troops_leave.deadline"


@pytest.fixture(scope="module")
def inputs():
    return load("priors/teaching")


@pytest.fixture(scope="module")
def archive(tmp_path_factory, inputs) -> Path:
    """An archive that holds the fit of the deal."""
    folder = tmp_path_factory.mktemp("sweeps") / "archive"
    calibrate_deal(inputs, replace(SETTINGS, archive=folder))
    return folder


@pytest.fixture
def fresh(tmp_path, archive) -> RunSettings:
    """Settings with an archive of their own, which shares the fit."""
    root = tmp_path / "archive"
    root.mkdir()
    (root / "calibrations").symlink_to(archive / "calibrations")
    return replace(SETTINGS, archive=root)


def bytes_of(data: xr.Dataset) -> dict[str, bytes]:
    store = Path(data.attrs["path"])
    return {f.relative_to(store).as_posix(): f.read_bytes() for f in sorted(store.rglob("*")) if f.is_file()}


# ---- what is swept -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=0.2,0.5", (0.2, 0.5)),
        ("a=true,false", (True, False)),
        ("a=24 months,36 months", ("24 months", "36 months")),
        ('a=["x", "y"],["z"]', (["x", "y"], ["z"])),
        ("a=0.1..0.9/9", (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
        ("a=1..4/3", (1.0, 2.5, 4.0)),
        ("a=-1.5..2e1/3", (-1.5, 9.25, 20.0)),
        ("a=0.01..1/3log", (0.01, 0.1, 1.0)),
    ],
)
def test_an_axis_is_a_list_or_a_range(text, values):
    assert parse_grid([text]).spans["a"].values == values


def test_whole_numbers_of_a_key_stay_whole():
    assert list(map(repr, parse_grid(["a.b=1..5/5"]).spans["a.b"].values)) == ["1", "2", "3", "4", "5"]
    assert parse_grid(["a.b=1..4/3"]).spans["a.b"].values == (1.0, 2.5, 4.0)


def test_a_latin_hypercube_has_one_cell_in_each_slice():
    design = parse_design("lhs", 8, ["a=0..1", "b=posterior", "c=true,false"])
    draws = np.random.default_rng(1).normal(size=4_000)
    found = points(design, {"b": draws}, seed=5)
    assert sorted((np.array(found["a"]) * 8).astype(int)) == list(range(8))
    edges = np.quantile(draws, np.linspace(0, 1, 9))
    assert (np.histogram(found["b"], edges)[0] == 1).all()
    assert sorted(found["c"]) == [False] * 4 + [True] * 4
    assert found == points(design, {"b": draws}, seed=5)
    assert found != points(design, {"b": draws}, seed=6)


def test_sobol_points_are_even():
    found = points(parse_design("sobol", 16, ["a=0.01..1/log", "b.c=1..16"]), {}, seed=5)
    assert sorted(((np.log10(found["a"]) + 2) * 8).astype(int)) == sorted([*range(16)])
    assert all(isinstance(v, int) for v in found["b.c"])


def test_a_plan_makes_its_cells_one_by_one(inputs):
    made = cells.Plan("grid", ("noise", DEADLINE), ((0.5, 1.0), ("12 months", "24 months", "36 months")), ("noise",))
    assert (made.size, made.shape) == (6, (2, 3))
    assert made.cell(4) == cells.Cell((1.0, "24 months"), {DEADLINE: "24 months"}, {"noise": 1.0})


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (["noize=1,2"], "noize: no such parameter; did you mean 'noise'?"),
        (["power_changes=0.2,1.2"], "1.2 is no probability strictly between 0 and 1"),
        (["shooting=-0.1..0.2/3"], "shooting: -0.1 is negative, but the unit is 'per year'"),
        (["noise=0,1"], "noise: 0: the noise of decisions must be more than 0"),
        (["noise=a,b"], "noise: 'a' is not a finite number"),
        (["noise=1,1"], "noise: a value is given twice"),
        (["clauses.troop_leave.deadline=1,2"], "did you mean 'troops_leave'?"),
        ([f"{DEADLINE}=12 months,soon"], f"{DEADLINE}=soon: "),
        (["deal.as_of=2025-01-01,2025-02-01"], "must leave the deal, its as-of date"),
        (["parameters.noise.constant=1.0,2.0"], "name a parameter itself to hold it at a value"),
        (["noise=1..2/100000", "power_changes=0.1..0.9/10000"], "1,000,000,000 cells; a sweep may have 100,000"),
        (["noise=1..2/1000000000"], "noise: 1,000,000,000 values: a sweep may have 100,000 cells"),
        (["noise=2..1/3"], "the range 2..1 is empty"),
        (["noise=0..1/3log"], "0 has no logarithm"),
        (["noise="], "write NAME=VALUES"),
    ],
)
def test_a_bad_sweep_is_refused_before_anything_runs(inputs, fresh, axes, message):
    with pytest.raises(DealFileError) as err:
        run_sweep(inputs, parse_grid(axes), fresh, progress=_never)
    assert message in str(err.value)
    assert not (fresh.archive / "sweeps").exists()


def test_all_problems_at_once(inputs, fresh):
    axes = {"noize": [1.0], "power_changes": [0.0, 2.0], DEADLINE: ["soon", "never"]}
    with pytest.raises(DealFileError) as err:
        run_sweep(inputs, grid(axes), fresh, progress=_never)
    assert [line.split(":")[0] for line in str(err.value).splitlines()] == [
        "noize", "power_changes", "power_changes", f"{DEADLINE}=soon", f"{DEADLINE}=never",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "n", "over", "message"),
    [
        ("sobol", 100, ["noise=0.5..2"], "take 64 or 128"),
        ("lhs", 1, ["noise=0.5..2"], "at least 2 cells"),
        ("lhs", 10**9, ["noise=0.5..2"], "1,000,000,000 cells"),
        ("lhs", 8, ["noise=posterior"], "noise: is a constant, 1, without a posterior"),
        ("lhs", 8, [f"{DEADLINE}=posterior"], "only a parameter has a posterior"),
        ("lhs", 8, ["power_changes=0..0.5"], "0 is no probability strictly between 0 and 1"),
    ],
)
def test_a_bad_design_is_refused_before_anything_runs(inputs, fresh, kind, n, over, message):
    with pytest.raises(DealFileError) as err:
        run_sweep(inputs, parse_design(kind, n, over), fresh, progress=_never)
    assert message in str(err.value)


def test_a_parameter_with_several_entries_cannot_be_held(inputs, fresh):
    with pytest.raises(DealFileError, match="shooting: has several entries"):
        run_sweep(inputs, grid({"shooting": [0.1, 0.2]}), fresh)
    assert not (fresh.archive / "sweeps").exists()


# ---- what comes out ------------------------------------------------------------------------------


def test_a_grid_has_the_swept_names_as_dims(inputs, fresh):
    said: list[str] = []
    data = fc.run_sweep(inputs, {"noise": [0.5, 1.0], DEADLINE: ["12 months", "24 months"]}, fresh, say=said.append)
    assert data["headline_mean"].dims == ("noise", DEADLINE, "headline")
    assert "4 cells, computed, not simulated; one took" in said[0]
    assert float(np.abs(data["headline_difference"][0, 0]).max()) == 0.0
    stored = xr.open_zarr(data.attrs["path"], consolidated=False, chunks=None)
    xr.testing.assert_equal(stored.load(), data)
    single = fc.run_sweep(inputs, {DEADLINE: ["24 months"], "noise": [1.0]}, fresh)
    np.testing.assert_array_equal(
        single["headline_mean"].squeeze(), data["headline_mean"].sel(noise=1.0)[1], "a cell does not know the others"
    )


def test_the_same_sweep_is_read_from_the_archive(inputs, fresh):
    first = fc.run_sweep(inputs, {"noise": [0.5, 1.0]}, fresh)
    said: list[str] = []
    again = fc.run_sweep(inputs, {"noise": [0.5, 1.0]}, replace(fresh, threads=1), say=said.append)
    assert said[-1].startswith("this sweep is in the archive already")
    xr.testing.assert_identical(again, first)
    other = fc.run_sweep(inputs, {"noise": [0.5, 1.0]}, replace(fresh, seed=4))
    assert other.attrs["path"] != first.attrs["path"]


def test_a_design_is_compared_with_the_deal_as_it_is(inputs, fresh, tmp_path):
    design = parse_design("sobol", 4, ["power_changes=posterior", f"{DEADLINE}=12 months,24 months"])
    data = fc.run_sweep(inputs, design, fresh)
    assert data["headline_mean"].dims == ("cell", "headline")
    assert data["power_changes"].dims == data[DEADLINE].dims == ("cell",)
    base = fc.run_sweep(inputs, {DEADLINE: ["12 months"]}, fresh)["headline_mean"].to_numpy()
    np.testing.assert_allclose(data["headline_mean"] - data["headline_difference"], np.tile(base, (4, 1)), atol=1e-12)
    page = write_page(tmp_path / "page", data).read_text(encoding="utf-8")
    assert 'href="http' not in page.replace("http://www.w3.org", "")
    assert "a set of Sobol points over" in page
    assert len((tmp_path / "page" / "sweep.csv").read_text().splitlines()) == 1 + 4 * 2


def test_no_label_in_the_csv_is_a_formula(inputs, fresh):
    data = fc.run_sweep(inputs, {"noise": [0.5, 1.0]}, fresh)
    rows = list(csv.reader(io.StringIO(table(data.assign_coords(headline=["=1+1", "@x"])))))
    assert [r[1] for r in rows[1:]] == ["'=1+1", "'@x"] * 2


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_every_shape_has_its_picture(inputs, fresh, tmp_path, axes):
    chosen = dict(
        [("noise", [0.5, 2.0]), ("power_changes", [0.2, 0.4, 0.6]), (DEADLINE, ["12 months", "24 months"])][:axes]
    )
    page = write_page(tmp_path / "page", fc.run_sweep(inputs, chosen, fresh)).read_text(encoding="utf-8")
    assert ("Line and band", "Map", "One map for each combination")[axes - 1] in page
    assert {f.name for f in (tmp_path / "page").iterdir()} >= {"index.html", "headline-1.png", "headline-2.svg"}


def test_a_combination_that_is_no_deal_is_named(inputs, fresh, monkeypatch):
    def refuse(*_args):
        raise DealFileError("the two do not go together")

    monkeypatch.setattr("forecast.sweeping.load_deal", refuse)
    with pytest.raises(ForecastError, match=rf"^{DEADLINE}=24 months, noise=2.0: the two do not go together$"):
        run_sweep(inputs, grid({"noise": [2.0], DEADLINE: ["24 months"]}), fresh)


# ---- interrupted ---------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
import forecast as fc
from forecast.pipeline import RunSettings
axes = {"noise": [0.5, 0.75, 1.0, 1.5, 2.0, 3.0], "power_changes": [0.2, 0.4, 0.6]}
settings = RunSettings(paths=4_000, draws=400, seed=3, archive=Path(sys.argv[1]))
fc.run_sweep(fc.load("priors/teaching"), axes, settings, lambda stage, done, _: print(stage, done, flush=True))
"""
AXES = {"noise": [0.5, 0.75, 1.0, 1.5, 2.0, 3.0], "power_changes": [0.2, 0.4, 0.6]}


def test_a_killed_sweep_goes_on_to_the_same_bytes(inputs, archive, tmp_path):
    whole = fc.run_sweep(inputs, AXES, replace(SETTINGS, archive=archive))
    for n, stop in enumerate((1, 7, 13)):
        root = tmp_path / str(n)
        root.mkdir()
        (root / "calibrations").symlink_to(archive / "calibrations")
        with subprocess.Popen([sys.executable, "-c", SCRIPT, str(root)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            for line in process.stdout:
                if line == f"sweep {stop}\n":
                    time.sleep(0.01 * n)  # in the middle of the next cell
                    process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        (folder,) = (root / "sweeps").iterdir()
        assert folder.name.startswith(".part-")
        kept = {f.name: f.stat().st_mtime_ns for f in (folder / "done").glob("*.json")}
        assert len(kept) >= stop
        chunks = {f.name: f.stat().st_mtime_ns for f in (folder / "cells.zarr").glob("c.*") if "partial" not in f.name}
        seen: list[tuple[int, dict[str, int]]] = []

        def watch(stage, done, _total, folder=folder, seen=seen):
            if stage == "sweep" and folder.exists():
                seen.append((done, {f.name: f.stat().st_mtime_ns for f in (folder / "cells.zarr").glob("c.*")}))

        resumed = fc.run_sweep(inputs, AXES, replace(SETTINGS, archive=root), progress=watch)
        assert seen[0][0] >= stop, "finished cells are kept"
        assert all(seen[-1][1][name] == chunks[name] for name in (f"c.{int(k[:5])}.0.0" for k in kept))
        assert bytes_of(resumed) == bytes_of(whole)
        assert [f.name for f in (root / "sweeps").iterdir()] == [Path(resumed.attrs["path"]).parent.name]


def test_a_damaged_block_is_computed_again(inputs, fresh):
    whole = fc.run_sweep(inputs, {"noise": [0.5, 1.0, 2.0]}, replace(fresh, archive=fresh.archive.parent / "whole"))

    def stop(folder, numbers):
        yield compute_block(folder, numbers[0])
        yield compute_block(folder, numbers[1])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(inputs, grid({"noise": [0.5, 1.0, 2.0]}), fresh, blocks=stop)
    (folder,) = (fresh.archive / "sweeps").iterdir()
    chunk = folder / "cells.zarr" / "c.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")
    part = Part(folder)
    assert part.waiting() == [0, 2]
    with pytest.raises(ArchiveError, match="2 blocks are not finished"):
        next(part.tables())
    assert bytes_of(fc.run_sweep(inputs, {"noise": [0.5, 1.0, 2.0]}, fresh)) == bytes_of(whole)


def test_two_processes_do_not_compute_the_same_sweep(inputs, fresh):
    def nested(folder, _numbers):
        with pytest.raises(ArchiveError, match="is being computed by another process"), locked(Part(folder)):
            pass
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        run_sweep(inputs, grid({"noise": [0.5, 1.0]}), fresh, blocks=nested)


def test_times_in_words():
    assert [in_words(s) for s in (0.2, 61, 300, 7_000, 200_000)] == [
        "about 1 s", "about 61 s", "about 5.0 min", "about 1.9 h", "about 2.3 days",
    ]  # fmt: skip


def _never(*_args):
    raise AssertionError("something ran")
