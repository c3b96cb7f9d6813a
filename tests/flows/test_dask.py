"""Blocks of a sweep on real Dask workers: the same bytes as in one process, also when a worker is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import forecast as fc
from flows.workers import threads_of, workers_of
from forecast.analysis.design import parse_grid
from forecast.errors import ForecastError
from forecast.inputs import load
from forecast.pipeline import RunSettings

VARY = ["noise=0.5..2/8", "power_changes=0.2,0.5"]
SETTINGS = {"paths": 100_000, "draws": 400, "seed": 3, "simulate": True}


@pytest.mark.parametrize(("where", "n"), [("local:3", 3), ("tcp://127.0.0.1:8786", None), ("tls://host:1", None)])
def test_where_the_work_goes(where, n):
    assert workers_of(where) == n


@pytest.mark.parametrize("where", ["locale", "local:0", "local:x", "http://127.0.0.1:8786", ""])
def test_a_place_that_is_none_is_refused(where):
    with pytest.raises(ForecastError, match=r"write local, local:N .* or tcp://HOST:PORT"):
        workers_of(where)


def test_workers_do_not_share_cores(monkeypatch):
    monkeypatch.setattr("flows.workers._cores", lambda: 8)
    assert [threads_of(w, None) for w in ("local", "local:2", "local:16", "tcp://host:1")] == [1, 4, 1, 1]
    assert threads_of("local:2", 3) == 3


@pytest.mark.slow
def test_a_killed_worker_costs_its_block_only(tmp_path):
    whole = fc.run_sweep(load("priors/teaching"), parse_grid(VARY), RunSettings(archive=tmp_path / "a", **SETTINGS))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "calibrations").symlink_to(tmp_path / "a" / "calibrations")
    words = ["--paths", "100000", "--draws", "400", "--seed", "3", "--simulate", "--archive", str(tmp_path / "b")]
    command = [sys.executable, "-m", "forecast", "sweep", "priors/teaching", "--dask", "local:2", *words]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    environment["PREFECT_HOME"] = str(tmp_path / "prefect")
    with subprocess.Popen(
        [*command, *(w for v in VARY for w in ("--vary", v))],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    ) as process:  # fmt: skip
        seen: dict[str, int] = {}
        killed = changed = 0
        while process.poll() is None:
            for entry in (tmp_path / "b" / "sweeps").glob(".part-*/done/*.json"):
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
    (store,) = (tmp_path / "b" / "sweeps").glob("*/sweep.zarr")
    assert _bytes(store) == _bytes(Path(whole.attrs["path"]))
    assert store.parent.name == Path(whole.attrs["path"]).parent.name


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


def _bytes(store: Path) -> dict[str, bytes]:
    return {f.relative_to(store).as_posix(): f.read_bytes() for f in store.rglob("*") if f.is_file()}
