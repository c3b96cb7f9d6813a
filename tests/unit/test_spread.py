"""A run whose paths are counted in blocks: the same bytes as in one go, also after it was killed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.blocks import COMPUTE, block_of
from forecast import spread
from forecast.archive import Run
from forecast.blockstore import Part
from forecast.errors import ArchiveError
from forecast.inputs import load
from forecast.pipeline import RunResult, RunSettings, open_run, run_forecast

SETTINGS = RunSettings(paths=4_000, draws=400, seed=3, simulate=True)


@pytest.fixture(scope="module")
def inputs():
    return load("priors/teaching")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, inputs) -> RunResult:
    """The run in one go."""
    return run_forecast(inputs, replace(SETTINGS, archive=tmp_path_factory.mktemp("spread") / "archive"))


@pytest.fixture
def fresh(tmp_path, whole, monkeypatch) -> RunSettings:
    """Settings with an archive of their own, which shares the fit; a run has six blocks."""
    monkeypatch.setattr(spread, "PATHS", 700)
    root = tmp_path / "archive"
    root.mkdir()
    (root / "calibrations").symlink_to(whole.path.parent.parent / "calibrations")
    return replace(SETTINGS, archive=root)


def files_of(run: Run | RunResult) -> dict[str, bytes]:
    """Every file of a store but its metadata, which say when and by which command it was made."""
    store = run.path / "forecast.zarr"
    files = (f for f in store.rglob("*") if f.is_file() and f.name != "zarr.json")
    return {f.relative_to(store).as_posix(): f.read_bytes() for f in files}


def backwards(folder: Path, numbers):
    """Blocks in another order, with one thread each."""
    for n in reversed(numbers):
        yield spread.compute_block(folder, n, 1)


def test_blocks_change_no_byte(inputs, whole, fresh):
    seen: list[tuple[str, int, int]] = []
    found = run_forecast(inputs, fresh, lambda *told: seen.append(told), backwards)
    assert files_of(found) == files_of(whole)
    assert [done for stage, done, _ in seen if stage == "simulate"] == [0, 50, 120, 190, 260, 330, 400]
    assert [f.name for f in (fresh.archive / "runs").iterdir()] == [found.id], "nothing else is left"


def test_a_run_that_is_stopped_goes_on(inputs, whole, fresh):
    def stop(folder, numbers):
        yield spread.compute_block(folder, numbers[3])
        yield spread.compute_block(folder, numbers[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_forecast(inputs, fresh, blocks=stop)
    (folder,) = (fresh.archive / "runs").iterdir()
    assert Part(folder).waiting() == [1, 2, 4, 5]
    with pytest.raises(ArchiveError, match="holds no runs yet"):
        open_run("latest", fresh.archive)
    asked: list[int] = []

    def rest(folder, numbers):
        asked.extend(numbers)
        yield from backwards(folder, numbers)

    found = run_forecast(inputs, fresh, blocks=rest)
    assert asked == [1, 2, 4, 5]
    assert files_of(found) == files_of(whole)
    assert [f.name for f in (fresh.archive / "runs").iterdir()] == [found.id]


def test_a_damaged_block_is_counted_again(inputs, whole, fresh):
    def damage(folder, numbers):
        for n in numbers:
            yield spread.compute_block(folder, n)
        chunk = folder / "cells.zarr" / "c.2.0.0"
        chunk.write_bytes(chunk.read_bytes()[:-1] + b"x")

    assert files_of(run_forecast(inputs, fresh, blocks=damage)) == files_of(whole)


def test_a_block_that_is_done_is_not_computed_again(inputs, whole, fresh, monkeypatch):
    """A cluster asks for a block anew if its worker died after it was written."""
    asked: list[int] = []

    def counted(folder, block, threads):
        asked.append(block)
        return spread.compute_block(folder, block, threads)

    monkeypatch.setitem(COMPUTE, "run", counted)

    def twice(folder, numbers):
        for n in (*numbers, *numbers):
            yield block_of.fn("run", str(folder), n, 1)

    assert files_of(run_forecast(inputs, fresh, blocks=twice)) == files_of(whole)
    assert asked == [*range(6)]


def test_another_seed_is_another_run(inputs, whole, fresh):
    def stop(_folder, _numbers):
        raise KeyboardInterrupt
        yield

    for seed in (3, 4, 3):
        with pytest.raises(KeyboardInterrupt):
            run_forecast(inputs, replace(fresh, seed=seed), blocks=stop)
    assert len(list((fresh.archive / "runs").glob(".part-*"))) == 2


def test_a_process_that_is_solved_has_no_blocks(inputs, fresh):
    def never(_folder, _numbers):
        raise AssertionError("something was counted")
        yield

    found = run_forecast(inputs, replace(fresh, simulate=False), blocks=never)
    assert found.tree.attrs["method"] == "exact"
    assert np.isfinite(found.tree["outcome_probability"]).all()
