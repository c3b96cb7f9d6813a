"""The commands, as a person uses them: each in a process of its own, on the teaching deal."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

DEAL = "priors/teaching"
SMALL = ("--paths", "40000", "--draws", "2000")


def forecast(*words: str, archive: Path | None = None, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command; fail with what it printed if it exits otherwise than expected."""
    where = ["--archive", str(archive)] if archive else []
    command = [sys.executable, "-m", "forecast", *words, *where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    """An archive with one run of the teaching deal, made by the command."""
    folder = tmp_path_factory.mktemp("archive")
    done = forecast("run", DEAL, *SMALL, "--threads", "1", archive=folder)
    assert "Signed by the end of 2026" in done.stdout
    return folder


@pytest.fixture(scope="session")
def run_id(archive) -> str:
    return next((archive / "runs").glob("teaching-*")).name


def content(run: Path) -> dict[str, str]:
    """Hash of every chunk of a run's forecast (its metadata holds the time and the command)."""
    chunks = [p for p in (run / "forecast.zarr").rglob("*") if p.is_file() and p.name != "zarr.json"]
    return {str(p.relative_to(run)): hashlib.sha256(p.read_bytes()).hexdigest() for p in chunks}


def test_a_run_opens_with_plain_xarray(archive, run_id):
    tree = xr.open_datatree(archive / "runs" / run_id / "forecast.zarr", engine="zarr", consolidated=False)
    total = tree["outcome_probability"].sum("outcome")
    np.testing.assert_allclose(total, 1.0, atol=1e-9)
    assert tree.attrs["status"] == "published"
    assert tree["time"].dtype.kind == "M"


def test_two_threads_and_another_process_give_the_same_bytes(archive, run_id):
    second = forecast("run", DEAL, *SMALL, "--threads", "2", "--quiet", archive=archive).stdout.strip()
    assert second != run_id
    assert content(archive / "runs" / second) == content(archive / "runs" / run_id)


def test_another_seed_gives_another_forecast_within_its_error(archive, run_id):
    other = forecast("run", DEAL, *SMALL, "--seed", "2", "--quiet", archive=archive).stdout.strip()
    a, b = (
        xr.open_datatree(archive / "runs" / r / "forecast.zarr", engine="zarr", consolidated=False)
        for r in (run_id, other)
    )
    means = [t["outcome_probability"].isel(time=-1).mean("draw") for t in (a, b)]
    difference = np.abs(means[0] - means[1])
    assert 0 < float(difference.max()) < 0.05


def test_a_small_deal_is_solved_and_says_so_and_can_be_simulated(archive):
    said = forecast("run", DEAL, *SMALL, archive=archive).stdout
    assert "Exact: the process is small" in said
    assert "exact" in next(x for x in said.splitlines() if x.startswith("Signed by the end of 2026"))
    said = forecast("run", DEAL, *SMALL, "--simulate", archive=archive).stdout
    assert "Exact" not in said
    assert "±" in next(x for x in said.splitlines() if x.startswith("Signed by the end of 2026"))


def test_list_show_report_replay_verify(archive, run_id, tmp_path):
    assert run_id in forecast("list", archive=archive).stdout
    shown = forecast("show", run_id, "--at", "2028-01-01", archive=archive).stdout
    assert "Shooting resumes" in shown
    assert "Monte Carlo" in shown
    page = tmp_path / "report.html"
    forecast("report", run_id, "--out", str(page), archive=archive)
    text = page.read_text(encoding="utf-8")
    assert "The bridge" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    story = forecast("replay", run_id, "--path", "7", archive=archive).stdout.splitlines()
    assert story[0].startswith("The bridge: a teaching example: path 7 of 40,000")
    assert "END" in story[-1] or "horizon" in story[-1]
    assert forecast("verify", run_id, archive=archive).stdout.strip().endswith("every file is as it was written")


def test_a_replayed_path_is_the_one_that_was_simulated(archive, run_id):
    tree = xr.open_datatree(archive / "runs" / run_id / "forecast.zarr", engine="zarr", consolidated=False)
    paths = tree["paths"].to_dataset()
    number, cause = int(paths["number"][11]), int(paths["ended_by"][11])
    last = forecast("replay", run_id, "--path", str(number), archive=archive).stdout.splitlines()[-1]
    label = str(tree["cause_label"].to_numpy()[cause]) if cause >= 0 else "the horizon"
    assert label in last


def test_a_run_without_its_calibration_is_not_replayed_with_another(archive, run_id, tmp_path):
    shutil.copytree(archive / "runs" / run_id, tmp_path / "archive" / "runs" / run_id)
    done = forecast("replay", run_id, "--path", "7", archive=tmp_path / "archive", code=2)
    assert "its calibration" in done.stderr
    assert "is not in" in done.stderr


def test_a_damaged_run_is_found_out(archive, run_id, tmp_path):
    copy = tmp_path / "archive"
    shutil.copytree(archive / "runs" / run_id, copy / "runs" / run_id)
    chunk = max(
        (p for p in (copy / "runs" / run_id / "forecast.zarr").rglob("*") if p.is_file()),
        key=lambda p: p.stat().st_size,
    )
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(bytes(data))
    assert chunk.name in forecast("verify", run_id, archive=copy, code=2).stderr


def test_a_sweep_shares_its_luck_between_cells(archive):
    done = forecast(
        "sweep", DEAL, "--vary", "noise=0.5,1.0,2.0", "--paths", "20000", "--draws", "2000", archive=archive
    )
    assert "noise=0.5" in done.stdout
    assert "against the first cell" in done.stdout
    assert "Exact: 3 of 3 cells were computed, not simulated" in done.stdout
    store = Path(done.stdout.strip().splitlines()[-1].split()[-1])
    sweep = xr.open_zarr(store, consolidated=False)
    assert sweep["headline_mean"].dims[0] == "noise"
    first = sweep.sel(noise=0.5)
    assert float(np.abs(first["headline_difference"]).max()) == 0.0
    assert (np.abs(sweep.sel(noise=2.0)["headline_difference"]) > 0.005).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "priors/nowhere"), "no such deal file; deals here: "),
        (("run", DEAL, "--as-of", "yesterday"), "--as-of 'yesterday': a date is written like 2025-03-15"),
        (("run", DEAL, "--set", "deal.horizon"), "write KEY=VALUE"),
        (("run", DEAL, "--archive", "/proc/nowhere"), "/proc/nowhere: cannot be written to"),
        (("run", DEAL, "--set", "clauses.troop_leave.binding=false"), "did you mean 'troops_leave'?"),
        (("run", DEAL, "--paths", "-5"), "is not in the range"),
        (
            ("check", DEAL, "--set", "parameters.noise.constant=nan"),
            "parameters.noise.constant: must be a finite number",
        ),
        (("show", "nothing"), "nothing"),
        (("sweep", DEAL, "--vary", "noize=1,2"), "noize: no such parameter; did you mean 'noise'?"),
        (("sweep", DEAL, "--vary", "power_changes=0.2,1.2"), "1.2 is no probability strictly between 0 and 1"),
        (("frob",), "No such command"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(tmp_path, words, message):
    where = None if words[0] in ("check", "frob") or "--archive" in words else tmp_path / "archive"
    done = forecast(*words, archive=where, code=2)
    assert message in done.stderr
    assert not list(tmp_path.rglob("*"))


def test_a_date_after_the_window_is_refused(archive, run_id):
    assert "outside the forecast" in forecast("show", run_id, "--at", "2040-01-01", archive=archive, code=2).stderr
    assert "has paths 0 to 39999" in forecast("replay", run_id, "--path", "40000", archive=archive, code=2).stderr


@pytest.mark.parametrize("after", [0.8, 2.0, 3.5])
def test_a_killed_run_leaves_nothing_behind_that_counts(archive, tmp_path, after):
    copy = tmp_path / "archive"
    shutil.copytree(archive / "calibrations", copy / "calibrations")
    command = [sys.executable, "-m", "forecast", "run", DEAL, *SMALL, "--archive", str(copy)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for line in forecast("list", archive=copy).stdout.splitlines()[1:]:
        forecast("verify", line.split()[0], archive=copy)
    made = forecast("run", DEAL, *SMALL, "--quiet", archive=copy).stdout.strip()
    forecast("verify", made, archive=copy)


NO_NETWORK = """
import sys
seen = []
def hook(event, args):
    if event in ("socket.bind", "socket.connect", "socket.getaddrinfo", "socket.sendto"):
        seen.append((event, args[1:]))
sys.addaudithook(hook)
from forecast.cli import app
app(sys.argv[1:], standalone_mode=False)
if seen:
    sys.exit(f"touched the network: {seen}")
"""


def test_a_run_touches_no_network(tmp_path, archive):
    shutil.copytree(archive / "calibrations", tmp_path / "calibrations")
    command = [sys.executable, "-c", NO_NETWORK, "run", DEAL, *SMALL, "--archive", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr


def test_precision_is_reached_and_said(archive):
    done = forecast("run", DEAL, "--draws", "2000", "--precision", "0.002", "--simulate", archive=archive)
    assert "precision 0.002: " in done.stdout
    assert "which needs the most" in done.stdout
    said = re.search(r"draws leave ± ([\d.e-]+), the paths ± ([\d.e-]+)", done.stdout)
    draws, paths = (float(x) for x in said.groups())
    assert 0.0018 < np.hypot(draws, paths) <= 0.00205, "far more than needed would be waste"
    assert draws > paths, "with 2,000 draws alone it would be ± 0.003: more were drawn"
    refused = forecast("run", DEAL, "--draws", "2000", "--precision", "0.0000001", archive=archive, code=2)
    assert "--precision 1e-07: must be from 0.000001" in refused.stderr
    exact = forecast("run", DEAL, "--draws", "2000", "--precision", "0.01", archive=archive)
    assert "precision 0.01: nothing needs to be simulated for it" in exact.stdout


def test_one_path_a_draw_is_a_forecast_too(archive):
    done = forecast("run", DEAL, "--draws", "2000", "--paths", "1000", archive=archive)
    assert "2,000 paths" in done.stdout
    assert "nan" not in done.stdout
