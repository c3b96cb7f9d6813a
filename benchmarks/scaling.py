"""How cost grows: `python -m benchmarks.scaling [--quick]`; 3 minutes.

With paths, draws, the horizon, hazards and threads. The figures are kept in benchmarks/results/scaling.json, of which
`python -m benchmarks.write` makes a part of docs/performance.md.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

from benchmarks.measure import cpu, spent, with_one_thread
from benchmarks.problem import MONTHS, REPLICATES, deal_like
from benchmarks.results import Figure, Report, Table, keep, machine, show
from forecast.process.compile import Program
from forecast.simulate import Counts, simulate

HORIZONS = (2.0, 5.0, 10.0, 20.0)
HAZARDS = (14, 24, 34, 44, 54, 64)


def best(
    program: Program, replicates: int, repeats: int, *, threads: int = 1, clock: Any = cpu
) -> tuple[float, Counts]:
    """Seconds of the best of several runs, after a first one if it is more than one, and what they count."""
    counts: list[Counts] = []
    months = MONTHS * (program.horizon / MONTHS[-1])

    def work() -> None:
        counts[:] = [simulate(program, seed=1, replicates=replicates, grid=months, threads=threads)]

    if repeats > 1:
        work()
    return min(spent(work, clock) for _ in range(repeats)), counts[0]


def by_paths(scale: float, repeats: int) -> Table:
    """Cost against the number of paths, for 256 draws."""
    program, figures = deal_like(256), []
    for paths in (10_000, 100_000, 1_000_000, 10_000_000):
        replicates = max(1, round(paths * scale / 256))
        times = 1 if paths > 1_000_000 else repeats
        took, _ = best(program, replicates, times)
        figures.append((f"{256 * replicates:,} paths", took / (256 * replicates) * 1e6))
    return _table("Paths", "256 draws; CPU time, 1 thread.", "µs/path", figures)


def by_draws(scale: float, repeats: int) -> Table:
    """Cost against draws at a fixed number of paths."""
    figures, total = [], 2**18
    for draws in (16, 64, 256, 1024, 4096, 16_384):
        replicates = max(1, int(total * scale) // draws)
        took, _ = best(deal_like(draws), replicates, repeats)
        figures.append((f"{draws:,} draws × {replicates:,}", took / (draws * replicates) * 1e6))
    return _table("Draws × paths a draw", "CPU time, 1 thread.", "µs/path", figures)


def by_horizon(scale: float, repeats: int) -> Table:
    """Cost against the horizon."""
    figures, draws = [], max(4, int(512 * scale))
    for years in HORIZONS:
        took, counts = best(deal_like(draws, horizon=years), REPLICATES, repeats)
        figures.append((f"{years:g} years", took / (draws * REPLICATES) * 1e6, _events(counts, draws)))
    return _table("Horizon", f"{draws} draws × {REPLICATES}; CPU time, 1 thread.", "µs/path", figures)


def by_hazards(scale: float, repeats: int) -> Table:
    """Cost of an event against the number of hazards."""
    figures, draws = [], max(4, int(512 * scale))
    for n in HAZARDS:
        took, counts = best(deal_like(draws, extra_hazards=n - 14), REPLICATES, repeats)
        figures.append((f"{n} hazards", took / counts.fired.sum() * 1e9, _events(counts, draws)))
    intro = f"{draws} draws × {REPLICATES}, hazards that hardly ever fire added; CPU time, 1 thread."
    return _table("Hazards", intro, "ns/event", figures)


def by_threads(scale: float, repeats: int) -> Table:
    """Wall clock against threads."""
    draws = max(4, int(1024 * scale))
    program = deal_like(draws)
    times = {n: best(program, REPLICATES, repeats, threads=n, clock=time.perf_counter)[0] for n in (1, 2)}
    figures = [(f"{n} thread{'s'[: n - 1]}", t / (draws * REPLICATES) * 1e6) for n, t in times.items()]
    intro = f"{draws} draws × {REPLICATES}; wall clock, which only a quiet machine can tell."
    return _table("Threads", intro, "µs/path", figures)


def _events(counts: Counts, draws: int) -> str:
    return f"{counts.fired.sum() / (draws * counts.replicates):.1f} events a path"


def _table(title: str, intro: str, unit: str, rows: list[Any]) -> Table:
    """Put figures into a table, with their ratio to the first."""
    first = rows[0][1]
    figures = [Figure(what, value, unit, value / first, note=note[0] if note else "") for what, value, *note in rows]
    return Table(title, intro + " Best of several.", figures, "× first")


def main() -> None:
    with_one_thread("benchmarks.scaling")
    parser = argparse.ArgumentParser(description="Measure how cost grows.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the paths; nothing is kept")
    options = parser.parse_args()
    parts: tuple[Callable[[float, int], Table], ...] = (by_paths, by_draws, by_horizon, by_hazards, by_threads)
    tables = []
    for part in parts:
        tables.append(part(0.05, 1) if options.quick else part(1.0, 3))
        show(tables[-1])
    if not options.quick:
        print(f"\nkept: {keep('scaling', Report('python -m benchmarks.scaling', machine(), tables))}")


if __name__ == "__main__":
    main()
