"""Blocks of sweeps and runs on real Dask workers: the same bytes as in one process, also when a worker is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import forecast as fc
from flows import cluster
from flows.cluster import check_cluster, departures, fingerprint
from flows.workers import threads_of, workers_of
from forecast.analysis.design import parse_grid
from forecast.errors import ForecastError
from forecast.inputs import load
from forecast.pipeline import RunSettings

VARY = ["noise=0.5..2/8", "power_changes=0.2,0.5"]
WORDS = ["priors/teaching", "--draws", "400", "--seed", "3", "--simulate"]
COMMANDS = {
    "sweep": ["sweep", *WORDS, "--paths", "100000", *(w for v in VARY for w in ("--vary", v))],
    "run": ["run", *WORDS, "--paths", "30000000", "--quiet"],
}


@pytest.mark.parametrize(("where", "n"), [("local:3", 3), ("tcp://127.0.0.1:8786", None), ("tls://host:1", None)])
def test_where_the_work_goes(where, n):
    assert workers_of(where) == n


@pytest.mark.parametrize(
    "where",
    [
        "locale", "locall", "local:0", "local:00", "local:x", "local:", "http://127.0.0.1:8786", "", "tcp://",
        "tcp://host", "tcp://host:", "tcp://host:0", "tcp://host:65536", "tcp://host:x", "tcp://a b:1", "tcp://host:1/x",
        "127.0.0.1:1",
    ],
)  # fmt: skip
def test_a_place_that_is_none_is_refused(where):
    with pytest.raises(ForecastError, match=r"write local, local:N .* or tcp://HOST:PORT"):
        workers_of(where)


def test_workers_do_not_share_cores(monkeypatch):
    monkeypatch.setattr("flows.workers._cores", lambda: 8)
    assert [threads_of(w, None) for w in ("local", "local:2", "local:16", "tcp://host:1")] == [1, 4, 1, 1]
    assert threads_of("local:2", 3) == 3


def test_a_worker_that_departs_is_named(tmp_path):
    own = fingerprint(str(tmp_path))
    assert own["archive"] == "True"
    assert not list(departures("w", own, tmp_path))
    (line,) = departures("w", own | {"numba": "0.1"}, tmp_path)
    assert line == f"the worker w has numba 0.1, here it is {own['numba']}; install the same versions"
    (line,) = departures("w", own | {"code": "x"}, tmp_path)
    assert "has other code of this package" in line
    (line,) = departures("w", fingerprint(str(tmp_path / "nowhere")), tmp_path)
    assert f"does not see {tmp_path}; give --archive" in line
    (line,) = departures("w", ModuleNotFoundError("No module named 'flows'"), tmp_path)
    assert "cannot run this package (ModuleNotFoundError: No module named 'flows')" in line


def test_nothing_listens_there(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ANSWERS_IN", 1)
    with pytest.raises(ForecastError, match=r"--dask tcp://127.0.0.1:1: no Dask scheduler answers there within 1 s"):
        check_cluster("tcp://127.0.0.1:1", tmp_path)


# ---- real processes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """An archive with the sweep and the run, each made in one process."""
    archive = tmp_path_factory.mktemp("dask") / "plain"
    settings = {"draws": 400, "seed": 3, "simulate": True, "archive": archive}
    inputs = load("priors/teaching")
    fc.run_sweep(inputs, parse_grid(VARY), RunSettings(paths=100_000, **settings))
    fc.run_forecast(inputs, RunSettings(paths=30_000_000, **settings))
    return archive


@pytest.fixture
def archive(tmp_path, plain) -> Path:
    """An archive of its own, which shares the fit."""
    root = tmp_path / "archive"
    root.mkdir()
    (root / "calibrations").symlink_to(plain / "calibrations")
    return root


@pytest.fixture
def scheduler(tmp_path) -> Iterator[str]:
    """The address of a Dask scheduler without workers."""
    with dask_process(tmp_path, "scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0", "--no-show"):
        file = tmp_path / "scheduler.json"
        for _ in range(600):
            if file.exists() and file.stat().st_size:
                break
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
def test_a_killed_worker_costs_its_block_only(kind, archive, plain, tmp_path):
    with started(kind, "local:2", archive, tmp_path) as process:
        seen: dict[str, int] = {}
        killed = changed = 0
        while process.poll() is None:
            for entry in archive.glob(f"{kind}s/.part-*/done/*.json"):
                stamp = _stamp(entry)
                changed += stamp > 0 and seen.setdefault(entry.name, stamp) != stamp
            if not killed and len(seen) >= 3:
                time.sleep(0.2)
                killed = _worker_of(process.pid)
                os.kill(killed, signal.SIGKILL)
            time.sleep(0.05)
        said = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, said
    assert killed, said
    assert changed == 0, "a block that was finished was computed again"
    assert _bytes(archive, kind) == _bytes(plain, kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
def test_a_cluster_that_is_there_gives_the_same_bytes(kind, archive, plain, scheduler, tmp_path):
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(dask_process(tmp_path, "worker", "--nthreads", "1", "--no-dashboard"))
        with started(kind, scheduler, archive, tmp_path) as process:
            said = process.communicate()[0]
    assert process.returncode == 0, said
    assert _bytes(archive, kind) == _bytes(plain, kind)


@pytest.mark.slow
def test_a_cluster_without_workers_is_refused(archive, scheduler, monkeypatch):
    monkeypatch.setattr(cluster, "WORKERS_IN", 2)
    with pytest.raises(ForecastError, match="the scheduler has no workers, and none came within 2 s"):
        check_cluster(scheduler, archive)


@pytest.mark.slow
@pytest.mark.parametrize("kind", COMMANDS)
def test_what_was_killed_altogether_goes_on(kind, archive, plain, tmp_path):
    with started(kind, "local:2", archive, tmp_path) as process:
        while process.poll() is None and len(list(archive.glob(f"{kind}s/.part-*/done/*.json"))) < 3:
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    assert [f.name[:6] for f in (archive / f"{kind}s").iterdir()] == [".part-"], "nothing is published"
    entries = {f: f.stat().st_mtime_ns for f in archive.glob(f"{kind}s/.part-*/done/*.json")}
    with started(kind, "local:2", archive, tmp_path) as process:
        again = set()
        while process.poll() is None:
            again |= {f for f, t in entries.items() if _stamp(f) not in (0, t)}
            time.sleep(0.05)
        said = process.stdout.read() if process.stdout else ""
    assert process.returncode == 0, said
    assert not again
    assert _bytes(archive, kind) == _bytes(plain, kind)


def started(kind: str, where: str, archive: Path, folder: Path) -> subprocess.Popen[str]:
    """Start a command on Dask, in a group of processes of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    return subprocess.Popen(
        [sys.executable, "-m", "forecast", *COMMANDS[kind], "--dask", where, "--archive", str(archive)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=environment | {"PREFECT_HOME": str(folder / "prefect")},
    )


class dask_process:  # noqa: N801  # a context, as a function would be
    """A scheduler or a worker on the loopback interface, for as long as this lasts."""

    def __init__(self, folder: Path, what: str, *words: str) -> None:
        place = ["--host", "127.0.0.1", "--scheduler-file", str(folder / "scheduler.json")]
        with (folder / f"{what}.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dask", what, *place, *words], stdout=log, stderr=log, start_new_session=True
            )

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _worker_of(pid: int) -> int:
    """Find a worker among the children of a process: the last one that multiprocessing has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(p) for p in (task / "children").read_text().split()]
    return max(p for p in found if b"spawn_main" in Path(f"/proc/{p}/cmdline").read_bytes())


def _stamp(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _bytes(archive: Path, kind: str) -> dict[str, bytes]:
    """Files of the only result of a kind; of a run but for its metadata, which say when and how it was made."""
    (result,) = (archive / f"{kind}s").iterdir()
    files = (f for f in result.rglob("*") if f.is_file() and f.suffix != ".html" and f.name != "manifest.json")
    kept = (f for f in files if kind == "sweep" or f.name != "zarr.json")
    return {f.relative_to(result.parent).as_posix(): f.read_bytes() for f in kept}
