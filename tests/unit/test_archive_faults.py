"""What nobody plans for: a kill at any moment, a full disk, several writers at once."""

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import xarray as xr
from zarr.storage import LocalStore

from forecast import durable
from forecast.archive import Archive
from forecast.errors import ArchiveError
from tests import outputs_data as made

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return made.forecast_tree()


def start(archive: Archive, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.archive_writer", str(archive.root), *map(str, arguments)]
    # One thread in the process that forks, so that the fork is a safe one.
    env = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return out.split("\n")[:-1]


def assert_whole(archive: Archive, n: int) -> None:
    runs = archive.list_runs()
    assert len(runs) == n
    for run in runs:
        assert archive.verify(run) == []
        run.open().load()


@pytest.mark.parametrize("n", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_any_moment_leaves_whole_runs_only(tree: xr.DataTree, tmp_path: Path, n: int) -> None:
    """Writers killed at moments spread over a run and a half; what was reported as written is there, and whole."""
    archive = Archive(tmp_path / "archive")
    reported = finish(start(archive, "killed", n, 20250315))
    assert reported
    left = [p for p in archive.runs.iterdir() if p.name.startswith(".tmp-")]
    assert left, "no writer was killed in the middle of a run: the test shows nothing"
    ids = {r.id for r in archive.list_runs()}
    assert set(reported) <= ids
    assert_whole(archive, len(ids))
    last = made.write(archive, tree, tmp_path)  # the next run works, and tidies up
    assert last.id not in ids
    assert not [p for p in archive.runs.iterdir() if p.name.startswith(".tmp-")]


def test_two_processes_and_a_reader_at_once(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    writers = [start(archive, "write", 4) for _ in range(2)]
    seen = 0
    while any(w.poll() is None for w in writers):
        for run in archive.list_runs()[-1:]:
            assert archive.verify(run) == []
            seen += 1
        time.sleep(0.05)
    written = [name for w in writers for name in finish(w)]
    assert len(set(written)) == 8
    assert seen > 0
    assert_whole(archive, 8)


def test_threads_at_once(tree: xr.DataTree, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    with ThreadPoolExecutor(4) as pool:
        written = [f.result().id for f in [pool.submit(made.write, archive, tree, tmp_path) for _ in range(4)]]
    assert len(set(written)) == 4
    assert_whole(archive, 4)


def test_a_name_that_another_took_meanwhile_is_not_taken(
    tree: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other writer publishes between the choice of the number and the rename."""
    archive, publish = Archive(tmp_path / "archive"), durable.publish

    def late(tmp: Path, target: Path) -> bool:
        if target.name.endswith("-0001") and not target.exists():
            shutil.copytree(tmp, target)
        return publish(tmp, target)

    monkeypatch.setattr(durable, "publish", late)
    run = made.write(archive, tree, tmp_path)
    assert run.id.endswith("-0002")
    assert run.manifest["id"] == run.id
    assert_whole(archive, 2)


def full(archive: Archive, tree: xr.DataTree, tmp_path: Path) -> None:
    """The run fails with a remedy and leaves nothing; the one before is untouched."""
    before = {f: f.read_bytes() for f in archive.root.rglob("*") if f.is_file()}
    with pytest.raises(ArchiveError, match=r"nothing was written: the disk is full; free some space"):
        made.write(archive, tree, tmp_path)
    assert {f: f.read_bytes() for f in archive.root.rglob("*") if f.is_file()} == before
    assert_whole(archive, 1)


@pytest.mark.parametrize("n", [1, 2, 40, 110])
def test_disk_full_at_the_nth_chunk(tree: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    archive, written, real = Archive(tmp_path / "archive"), [0], LocalStore.set
    made.write(archive, tree, tmp_path)

    async def short_of_space(self: LocalStore, key: str, value: object) -> None:
        written[0] += 1
        if written[0] >= n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), key)
        await real(self, key, value)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalStore, "set", short_of_space)
    full(archive, tree, tmp_path)
    assert written[0] >= n


@pytest.mark.parametrize("n", [1, 100])
def test_disk_full_while_it_is_flushed(
    tree: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    """With delayed allocation the disk says so only now."""
    archive, flushed, real = Archive(tmp_path / "archive"), [0], os.fsync
    made.write(archive, tree, tmp_path)

    def short_of_space(handle: int) -> None:
        flushed[0] += 1
        if flushed[0] == n:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", short_of_space)
    full(archive, tree, tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 800 kB in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=800k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full(tree: xr.DataTree, tmp_path: Path, small_disk: Path) -> None:
    """A run takes about 600 kB in blocks of 4 kB: one fits."""
    archive = Archive(small_disk / "archive")
    made.write(archive, tree, tmp_path)
    full(archive, tree, tmp_path)


@pytest.mark.parametrize("size", [0, 2000])
def test_a_limit_on_the_size_of_files_is_explained(tmp_path: Path, size: int) -> None:
    archive = Archive(tmp_path / "archive")
    said = finish(start(archive, "limited", size))
    assert len(said) == 1
    assert said[0].startswith("refused: ")
    assert "a file grew beyond what this account may write" in said[0]
    assert list(archive.runs.iterdir()) == []


def test_a_folder_that_is_a_file_is_explained(tree: xr.DataTree, tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("mine")
    with pytest.raises(ArchiveError, match="a part of this path is a file; choose another folder"):
        made.write(Archive(tmp_path / "archive"), tree, tmp_path)


def test_a_fault_that_may_pass_stays_what_it_is(
    tree: xr.DataTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input/output error may be worth another try: it is no mistake of the input."""

    def hiccup(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    archive = Archive(tmp_path / "archive")
    archive.runs.mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", hiccup)
    with pytest.raises(OSError, match="Input/output error"):
        made.write(archive, tree, tmp_path)
    assert list(archive.runs.iterdir()) == []
