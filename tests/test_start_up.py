"""The command line answers at once: heavy libraries are imported where they are used.

CPU time of the process is measured, not time on the clock: a busy machine must not decide. Nor a slow one: it is
compared with a piece of plain Python, started in turn. The least of a few starts is taken, so that a start which still
had to compile modules does not count.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

resource = pytest.importorskip("resource", reason="no resource usage of child processes on this system")

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"numba", "pymc", "pytensor", "arviz", "nutpie", "prefect", "xarray", "matplotlib", "pandas", "scipy", "zarr"}
DEALS = sorted(str(path.parent.relative_to(ROOT)) for path in (ROOT / "priors").glob("*/deal.toml"))
STARTS = 3
# Parses a module of the standard library and adds up squares: 0.42 s of CPU time where `check` takes 0.67 s.
YARDSTICK = (
    "import ast, inspect\nfor _ in range(6): ast.parse(inspect.getsource(inspect)); sum(i * i for i in range(400_000))"
)
ALLOWED = 2.5  # times the yardstick


def start(*code_or_command: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Run this interpreter once: CPU seconds, and what it printed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *code_or_command], cwd=ROOT, env=env, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done


COMMANDS = [["--help"], ["run", "--help"], *(["check", deal] for deal in DEALS)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_and_check_answer_at_once(command: list[str]) -> None:
    seconds, yardstick = [], []
    for _ in range(STARTS):
        yardstick.append(start("-c", YARDSTICK)[0])
        used, done = start("-c", "from forecast.cli import main; main()", *command)
        assert done.returncode == 0, done.stderr
        assert done.stdout
        seconds.append(used)
    assert min(seconds) < ALLOWED * min(yardstick)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_and_check_import_nothing_heavy(command: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('imported:', *sorted({name.partition('.')[0] for name in sys.modules})))\n"
        "from forecast.cli import main\n"
        "main()"
    )
    _, done = start("-c", code, *command)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.rpartition("imported:")[2].split())
    assert "click" in imported  # the list is a list
    assert imported & HEAVY == set()


@pytest.mark.parametrize("module", ["forecast", "forecast.cli", "forecast.errors", "forecast.deal.loader"])
def test_importing_brings_nothing_heavy(module: str) -> None:
    _, done = start("-c", f"import {module}, sys; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    imported = {name.partition(".")[0] for name in done.stdout.split()}
    assert "forecast" in imported
    assert imported & HEAVY == set()
