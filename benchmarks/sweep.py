"""A sweep of the shipped deal: `python -m benchmarks.sweep [--cells 100]`; about 8 minutes.

What a cell takes in a sweep against the same paths by themselves, with one thread and two, and with one Dask worker and
two; what memory does. All ways must give the same bytes, or nothing is said. The figures go to
benchmarks/results/sweep.json, of which `python -m benchmarks.write` makes a part of docs/performance.md.
"""

import argparse
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xarray as xr

from benchmarks.measure import ROOT, memory, with_one_thread
from benchmarks.results import Figure, Report, Table, at_least, at_most, keep, machine, show
from flows.sweep import sweep_as_flow
from forecast.analysis.design import Design, parse_grid
from forecast.deal.expand import expand
from forecast.inputs import Inputs, load
from forecast.pipeline import RunSettings, calibrate_deal, used_draws
from forecast.sweeping import figures_of, run_sweep, wanted_of

SHIPPED = "priors/ukraine_2025"
SETTINGS = RunSettings(paths=100_000, draws=4_000, seed=1, threads=1)
CELLS = 100
ALONE = 5  # timings of a cell alone, before each sweep and after the last
SLACK = 1.1  # flat memory, to so much


@dataclass
class Watch:
    """Follows a sweep from its first finished block to its last, so that neither start nor end counts."""

    clock: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)

    def __call__(self, stage: str, done: int, _total: int) -> None:
        """Note when how many cells were done."""
        if stage == "sweep" and done:
            self.clock.append(time.perf_counter())
            self.memory.append(memory("VmRSS"))
            self.done.append(done)

    @property
    def a_cell(self) -> float:
        """Seconds a cell, by the clock."""
        return (self.clock[-1] - self.clock[0]) / (self.done[-1] - self.done[0])


def grid_of(cells: int) -> Design:
    """Grid of two parameters, with so many cells or a few more."""
    side = max(2, round(cells**0.5))
    other = -(-cells // side)
    return parse_grid([f"oral_worth=0.1..0.9/{side}", f"noise=0.5..2/{max(2, other)}"])


def alone(inputs: Inputs, settings: RunSettings) -> Callable[[int], float]:
    """Seconds, by the clock, of the paths of a cell by themselves; by the number of threads."""
    calibration, _ = calibrate_deal(inputs, settings)
    draws, process, wanted = used_draws(inputs, calibration, settings), expand(inputs.deal), wanted_of(inputs.deal)
    how = {"seed": settings.seed, "replicates": settings.weighted_replicates, "simulate": False}

    def took(threads: int) -> float:
        start = time.perf_counter()
        figures_of(process, wanted, draws, how, threads)
        return time.perf_counter() - start

    took(1)
    return took


def measured(inputs: Inputs, design: Design, folder: Path) -> list[Table]:
    """Sweep in four ways, and set them side by side."""
    whole = replace(SETTINGS, archive=folder / "alone")
    cell = alone(inputs, whole)
    sweeps: dict[str, Watch] = {}
    paths: dict[int, list[float]] = {1: [], 2: []}
    first: xr.Dataset | None = None
    for name, threads, where in (
        ("1 thread", 1, None),
        ("2 threads", 2, None),
        ("1 Dask worker", 1, "local:1"),
        ("2 Dask workers", 1, "local:2"),
    ):
        for n, times in paths.items():
            times += [cell(n) for _ in range(ALONE)]
        archive = folder / name.replace(" ", "-")
        shutil.copytree(whole.archive / "calibrations", archive / "calibrations")
        settings, watch = replace(SETTINGS, archive=archive, threads=threads), Watch()
        found = (
            run_sweep(inputs, design, settings, watch)
            if where is None
            else sweep_as_flow(inputs, design, settings, where, watch, print)
        )
        first = found if first is None else first
        for variable in first.data_vars:
            np.testing.assert_array_equal(found[variable].to_numpy(), first[variable].to_numpy(), err_msg=name)
        sweeps[name] = watch
        print(f"{name}: {watch.a_cell:.2f} s a cell", flush=True)
    return tables(sweeps, {n: statistics.median(times) for n, times in paths.items()}, design)


def tables(sweeps: dict[str, Watch], paths: dict[int, float], design: Design) -> list[Table]:
    """Time and memory."""
    cells = sweeps["1 thread"].done[-1]
    by_clock = {name: w.a_cell for name, w in sweeps.items()}
    rows = [
        Figure("paths of a cell alone, 1 thread", paths[1], "s"),
        Figure("paths of a cell alone, 2 threads", paths[2], "s", paths[1] / paths[2]),
    ]
    for name, threads in (("1 thread", 1), ("2 threads", 2)):
        over = by_clock[name] / paths[threads]
        note = f"{by_clock['1 thread'] / by_clock[name]:.2f} × as fast as 1 thread" if threads == 2 else ""
        rows.append(Figure(f"sweep, {name}", by_clock[name], "s/cell", over, **at_most(over, SLACK), note=note))
    one, two = by_clock["1 Dask worker"], by_clock["2 Dask workers"]
    rows.append(Figure("sweep, 1 Dask worker", one, "s/cell", one / paths[1]))
    rows.append(
        Figure("sweep, 2 Dask workers", two, "s/cell", one / two, **at_least(one / two, 1.75), note="against 1")
    )
    swept = " × ".join(design.spans)
    intro = (
        f"{SHIPPED}, {cells} cells of {swept}, {SETTINGS.paths:,} paths a cell asked for and "
        f"{SETTINGS.weighted_replicates * SETTINGS.n_draw:,} weighted ones run; by the clock, from the first cell that "
        "was finished to the last. Ratios of a sweep with threads are against the same paths by themselves, in the "
        "same process."
    )
    held = sweeps["1 thread"].memory
    growth = held[-1] / held[1] if held[1] else 1.0
    rows_held = [
        Figure("after the second cell", held[1] / 1e6, "MB"),
        Figure(f"after cell {cells}", held[-1] / 1e6, "MB", growth, **at_most(growth, SLACK)),
    ]
    return [
        Table("A sweep of the shipped deal", intro, rows),
        Table("Memory of a sweep", "Resident, 1 thread.", rows_held, "× second"),
    ]


def main() -> None:
    with_one_thread("benchmarks.sweep")
    parser = argparse.ArgumentParser(description="Measure what a cell of a sweep takes.")
    parser.add_argument("--cells", type=int, default=CELLS, help=f"about; of fewer than {CELLS} nothing is kept")
    options = parser.parse_args()
    inputs = load(ROOT / SHIPPED)
    with TemporaryDirectory() as folder:
        found = measured(inputs, grid_of(options.cells), Path(folder))
    for table in found:
        show(table)
    if options.cells >= CELLS:
        print(f"\nkept: {keep('sweep', Report('python -m benchmarks.sweep', machine(), found))}")


if __name__ == "__main__":
    main()
