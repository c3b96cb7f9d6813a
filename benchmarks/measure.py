"""Clocks, repeats and children: how everything here is measured."""

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
# Every library takes one thread; read when the library is loaded.
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}

type Run = Callable[[int, int], Any]  # (paths, seed)


def with_one_thread(module: str) -> None:
    """Start the program anew if libraries could take more than one thread."""
    if any(os.environ.get(k) != v for k, v in ONE_THREAD.items()):
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | ONE_THREAD
        os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], env)  # noqa: S606


def cpu() -> float:
    """Processor time of this process, of all its threads, and of the children that it has waited for: seconds."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def memory(what: str) -> int:
    """Bytes that this process holds now (VmRSS), or has held at most (VmHWM); 0 where that can't be told."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    (line,) = [x for x in status.read_text().splitlines() if x.startswith(f"{what}:")]
    return int(line.split()[1]) * 1024


def spent(work: Callable[[], object], clock: Callable[[], float] = cpu) -> float:
    """Seconds that some work takes."""
    start = clock()
    work()
    return clock() - start


def enough(run: Run, first: int, seconds: float, step: int = 1) -> int:
    """Number of paths, a multiple of `step`, that take about so long; warms up on the way."""
    n = -(-first // step) * step
    run(n, 0)
    while (wanted := n * seconds / max(spent(partial(run, n, 0)), 1e-4)) > 1.5 * n:
        n = int(-(-min(wanted, 10.0 * n) // step) * step)
    return n


def side_by_side(runs: list[Callable[[], object]], repeats: int) -> list[list[float]]:
    """Seconds of each of some pieces of work, taken in turn so that all meet the same neighbours on the machine."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeats):
        for work, took in zip(runs, times, strict=True):
            took.append(spent(work))
    return times


def ratio(times: list[float], base: list[float]) -> float:
    """Median of the ratios of pairs."""
    return statistics.median(a / b for a, b in zip(times, base, strict=True))


def child(*arguments: str, **env: str) -> tuple[str, float]:
    """Run `python -m benchmarks.child …`; return what it printed and its processor time."""
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = cpu()
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.child", *arguments],
        cwd=ROOT,
        env=inherited | env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"benchmarks.child {' '.join(arguments)}: {done.stderr}")
    return done.stdout.strip(), cpu() - start


def apart(a: Any, n_a: int, b: Any, n_b: int | None = None) -> float:
    """Largest |z| between counts a of n_a paths and counts b of n_b paths (probabilities, if n_b is None)."""
    p = np.asarray(a) / n_a
    q = np.asarray(b) if n_b is None else np.asarray(b) / n_b
    middle = q if n_b is None else (np.asarray(a) + np.asarray(b)) / (n_a + n_b)
    variance = middle * (1.0 - middle) * (1.0 / n_a + (0.0 if n_b is None else 1.0 / n_b))
    same = p == q
    return float(np.max(np.abs(p - q)[~same] / np.sqrt(variance[~same]), initial=0.0))
