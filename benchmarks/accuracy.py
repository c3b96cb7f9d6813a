"""How much sooner weighted paths are as exact as counted ones: `python -m benchmarks.accuracy [--quick] [--only …]`.

Variance × CPU time, one thread, of plain counting over that of `forecast.estimate`, for single probabilities, rare
causes and differences of scenarios. The variance of an estimate is taken from the spread over seeds, and what the
estimator says of itself is held against it. The figures are kept in benchmarks/results/accuracy.json, of which
`python -m benchmarks.write` makes a part of docs/performance.md. It takes 15 minutes, and one more where the archive
has no fit of the shipped deal.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import choices, rare
from benchmarks.measure import ROOT, with_one_thread
from benchmarks.results import Figure, Report, Table, at_least, keep, machine, show
from benchmarks.scenarios import SHIPPED, Base, Pair, benchmark, benchmark_variations, headlines, shipped, variations
from benchmarks.variance import PLAIN, SEEDS, WEIGHED, Asked, Counted, DifferError, Effort, agree, repeated
from forecast.types import F64

# Goal and stretch by what begins a label; every other cause has piecewise or constant rates.
GOALS = {"withdrawal": (3.5, 8.0), "nuclear_use": (10_000.0, 30_000.0), "signed": (5.0, 8.0)}
PIECEWISE = (10.0, 20.0)
SHARED, DIRECT, INDIRECT = 10.0, 2000.0, 70.0  # goals for differences

type Goal = Callable[[Asked], tuple[float, float] | None]


# ---- single probabilities ------------------------------------------------------------------------


def single(effort: Effort) -> list[Table]:
    """Compare on the deal-like problem and on the shipped deal, for several numbers of paths."""
    ours, deal = Counted.of(*benchmark(effort.draws)), Counted.of(*headlines(*shipped(effort.draws, effort.archive)))
    tables = [_single("The deal-like problem", ours, n, effort, _goal) for n in (128, 256, 512)]
    return tables + [_single(f"The headlines of {SHIPPED}", deal, n, effort, lambda _: None) for n in (128, 512)]


def _single(title: str, base: Counted, replicates: int, effort: Effort, goal: Goal) -> Table:
    problem, seeds = base.problem, range(10, 10 + effort.seeds)
    found = repeated(lambda s: problem.weigh(s, replicates), seeds)
    plain = repeated(lambda s: problem.weigh(s, replicates, sobol=False), seeds)
    slower, slower_plain = base.slower(replicates, effort.repeats)
    z = agree(f"{title}, {replicates} paths", base.counts, found, base.path)
    better, without = base.better(found, replicates), base.better(plain, replicates) / slower_plain
    figures = []
    for a in base.asked:
        at, wanted = (a.time, a.quantity), goal(a)
        gain = float(better[at] / slower[a.quantity])
        target: dict[str, Any] = {} if wanted is None else at_least(gain, *wanted)
        note = f"without Sobol points {without[at]:,.3g}; own error² / spread {found.honesty[at]:.2f}"
        name = f"{a.label}, {replicates} paths"
        figures.append(Figure(name, float(better[at]), "× less variance", gain, **target, note=note))
    intro = (
        f"{effort.draws} draws × {replicates} weighted paths, {effort.seeds} seeds, to about 5 %; a path takes "
        f"{slower.max():.1f} times as long as a counted one{_ending(slower)}; |z| ≤ {z:.1f} against counts."
    )
    return Table(f"{title}: {replicates} weighted paths a draw", intro, figures, "× counting")


def _ending(slower: F64) -> str:
    """How long a path takes that ends where a flag is set, where there are such."""
    shortest = slower.min()
    return f", {shortest:.1f} times where it ends with the signature" if shortest < slower.max() else ""


def _goal(a: Asked) -> tuple[float, float]:
    return GOALS.get(a.label.split()[0], PIECEWISE)


# ---- differences of scenarios --------------------------------------------------------------------


def paired(effort: Effort) -> list[Table]:
    """Compare differences of scenarios: all parameters of the shipped deal, and three of the deal-like problem."""
    problem, asked = benchmark(effort.draws)
    ours = Base.of(problem, asked, effort.repeats)
    pairs = [ours.against(s) for s in benchmark_variations(problem)]
    tables = [_shared("The deal-like problem", ours, pairs), _differences("The deal-like problem", ours, pairs)]
    inputs, draws = shipped(effort.draws, effort.archive)
    deal = Base.of(*headlines(inputs, draws), effort.repeats)
    pairs = [deal.against(s) for s in variations(inputs, draws)]
    direct, through = ([p for p in pairs if p.scenario.direct is kind] for kind in (True, False))
    return [
        *tables,
        _shared(SHIPPED, deal, pairs),
        _differences(f"{SHIPPED}, what ends the path", deal, direct),
        _differences(f"{SHIPPED}, what works through other events", deal, through),
    ]


def _shared(title: str, base: Base, pairs: list[Pair]) -> Table:
    figures = []
    for p in sorted(pairs, key=lambda p: -p.shared[p.most]):
        gain = float(p.shared[p.most])
        note = f"{base.asked[p.most].label}; all that it moves: {_range(p.shared[p.moved])}"
        name = f"{p.scenario.name} {p.scenario.change}, counted"
        figures.append(Figure(name, None, "", gain, **at_least(gain, SHARED), note=note))
    intro = (
        "Counts with the same keys in both scenarios against counts with keys of their own: variance of the difference "
        f"of the probability that the parameter moves the most. {SEEDS} seeds × {PLAIN} paths a draw; it costs no time."
    )
    return Table(f"Differences by counting with shared luck: {title}", intro, figures, "× less variance")


def _differences(title: str, base: Base, pairs: list[Pair]) -> Table:
    figures = []
    for p in sorted(pairs, key=lambda p: -p.weighed[p.most]):
        gain = float(p.weighed[p.most])
        target = at_least(gain, DIRECT if p.scenario.direct else INDIRECT)
        note = f"{base.asked[p.most].label}; all that it moves: {_range(p.weighed[p.moved])}; {_where(p)}"
        name = f"{p.scenario.name} {p.scenario.change}"
        figures.append(Figure(name, float(p.change[p.most]), "", gain, **target, note=note))
    honest = [float(x) for p in pairs for x in p.own[p.moved]]
    intro = (
        f"`estimate` with the same seed in both scenarios, {WEIGHED} paths a draw, against counts with keys of their "
        "own: for the probability that the parameter moves the most, by how much it moves, and variance × time. A "
        f"weighted path takes {base.slower.max():.1f} times as long{_ending(base.slower)}. The squared error that "
        "`difference` says is "
        f"{min(honest):.2f} to {max(honest):.2f} of the spread over {SEEDS} seeds, {statistics.median(honest):.2f} in "
        "the middle."
    )
    return Table(f"Differences: {title}", intro, figures, "× counting")


def _range(x: F64) -> str:
    low, high = float(x.min()), float(x.max())
    return f"{low:,.0f}" if len(x) == 1 else f"{low:,.0f}–{high:,.0f}"


def _where(p: Pair) -> str:
    names = p.scenario.where
    return f"works on {', '.join(names[:2])}" + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def main() -> None:
    with_one_thread("benchmarks.accuracy")
    parser = argparse.ArgumentParser(description="Measure variance × time of weighted paths.")
    parts = ("single", "rare", "paired", "choices")
    parser.add_argument("--quick", action="store_true", help="few draws, to see whether all runs; nothing is kept")
    parser.add_argument("--only", choices=parts, nargs="+", default=parts, help="nothing is kept")
    parser.add_argument("--archive", type=Path, default=ROOT / "outputs", help="where the fit of the shipped deal is")
    options = parser.parse_args()
    effort = Effort.of(options.archive, quick=options.quick)
    make: dict[str, Callable[[], list[Table]]] = {
        "single": partial(single, effort),
        "rare": lambda: [rare.table(effort)],
        "paired": partial(paired, effort),
        "choices": lambda: [choices.table(effort)],
    }
    tables = []
    try:
        for part in options.only:
            for table in make[part]():
                show(table)
                tables.append(table)
    except DifferError as error:
        sys.exit(f"not the same probabilities: {error}")
    if not options.quick and tuple(options.only) == parts:
        print(f"\nkept: {keep('accuracy', Report('python -m benchmarks.accuracy', machine(), tables))}")


if __name__ == "__main__":
    main()
