"""Our engine against others, one thread, in one run: `python -m benchmarks.compare [--full] [--quick] [--only …]`.

All give the same probabilities first, or nothing is timed. Peers that are not installed are left out: set them up by
`uv sync --group bench`. The figures are kept in benchmarks/results/compare.json, of which `python -m benchmarks.write`
makes docs/performance.md. It takes 5 minutes; with --full, which runs 40 million paths for their memory, 7.
"""

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from benchmarks import limit, trivial
from benchmarks.measure import apart, child, enough, ratio, side_by_side, spent, with_one_thread
from benchmarks.peers import expm, numpy_deal, numpy_deal_plain
from benchmarks.peers.reading import Chain, chain_of
from benchmarks.problem import MONTHS, N_DRAW, REPLICATES, deal_like, markov
from benchmarks.results import Figure, Report, Table, at_least, at_most, keep, machine, show
from forecast.process.compile import Program
from forecast.process.exact import exact_forecast, exact_forecasts
from forecast.process.forward import solve_plan
from forecast.process.small import small
from forecast.simulate import Counts, simulate
from forecast.types import F64

LIMIT_Z = 4.0
QUIET = 1.85  # gain of two threads with nothing but arithmetic, below which other programs are in the way
END = np.array([10.0])
TWO_KINDS = (
    "NumPy and JAX come twice: as a good engineer writes them in a day, to which the targets belong, and tuned to the "
    "limit by hand."
)


@dataclass(frozen=True)
class Peer:
    """A simulator of the Markov problem. first: paths of a first try; step: it takes multiples; goal: times ours."""

    name: str
    module: str
    first: int
    step: int = 1
    goal: float | None = None


PEERS = (
    Peer("NumPy, general flags", "numpy_flags_plain", 100_000, goal=25.0),
    Peer("NumPy, general flags, tuned", "numpy_flags", 100_000),
    Peer("NumPy, table of states", "numpy_table", 100_000),
    Peer("JAX, vmap of a path", "jax_plain", 131_072, 131_072, goal=15.0),
    Peer("JAX, tuned loop", "jax_loop", 131_072, 131_072),
    Peer("rebop, Rust core", "rebop_core", 2_000, goal=70.0),
    Peer("GillesPy2, C++", "gillespie_cpp", 10_000, 10_000, goal=90.0),
    Peer("SimPy", "simpy_process", 2_000),
)


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    seconds: float
    repeats: int
    draws: int

    @classmethod
    def of(cls, *, quick: bool) -> "Effort":
        """Choose by the option."""
        return cls(0.1, 1, 64) if quick else cls(1.2, 5, 1024)


class DifferError(Exception):
    """Two simulators give different probabilities."""


def check(what: str, z: float) -> str:
    """Refuse to time what gives other probabilities."""
    if not z < LIMIT_Z:
        raise DifferError(f"{what}: |z| = {z:.1f} (limit {LIMIT_Z:g})")
    return f"|z| ≤ {z:.1f}"


def ours(program: Program, grid: F64, replicates: int, *, threads: int = 1, seed: int = 1) -> Any:
    """Run this engine."""
    return simulate(program, seed=seed, replicates=replicates, grid=grid, threads=threads)


# ---- the deal-like problem -----------------------------------------------------------------------


def deal(effort: Effort) -> Table:
    """Compare with NumPy and with the random numbers alone."""
    program, n = deal_like(effort.draws), effort.draws * REPLICATES
    counts = ours(program, MONTHS, REPLICATES)
    plainly, agree = (
        _same(name, peer.simulate(program, seed=1, replicates=REPLICATES, grid=MONTHS), counts, n)
        for name, peer in (("NumPy", numpy_deal_plain), ("NumPy, tuned", numpy_deal))
    )
    numbers = limit.numbers_of(program, counts)
    limit.make(numbers, n // 10)
    engine, plain, numpy, least = side_by_side(
        [
            lambda: ours(program, MONTHS, REPLICATES),
            lambda: numpy_deal_plain.simulate(program, seed=2, replicates=REPLICATES, grid=MONTHS),
            lambda: numpy_deal.simulate(program, seed=2, replicates=REPLICATES, grid=MONTHS),
            lambda: limit.make(numbers, n),
        ],
        effort.repeats,
    )
    events = counts.fired.sum() / n
    in_plain, in_numpy, in_least = ratio(plain, engine), ratio(numpy, engine), ratio(engine, least)
    random = f"{numbers.exponentials:.1f} exponentials and {numbers.uniforms:.1f} uniforms a path"
    figures = [
        Figure("this engine", _each(engine, n, 1e6), "µs/path", note=f"{events:.1f} events a path"),
        Figure(
            "NumPy, the whole process",
            _each(plain, n, 1e6),
            "µs/path",
            in_plain,
            **at_least(in_plain, 10, 15),
            note=plainly,
        ),
        Figure("NumPy, the whole process, tuned", _each(numpy, n, 1e6), "µs/path", in_numpy, note=agree),
        Figure("its random numbers alone", _each(least, n, 1e6), "µs/path", note=random),
        Figure("this engine / its random numbers", None, "", in_least, **at_most(in_least, 16, 12)),
    ]
    intro = (
        f"{effort.draws} draws × {REPLICATES} paths, 10 years, monthly causes and flags. CPU time, 1 thread; × ours: "
        f"median of pairs taken in turn. {TWO_KINDS}"
    )
    return Table("The deal-like problem", intro, figures, "× ours")


def _same(name: str, other: Any, counts: Counts, n: int) -> str:
    """Check causes and flags at the end."""
    cause = apart(counts.cause[:, -1].sum(0), n, other.cause[:, -1].sum(0), n)
    return check(name, max(cause, apart(counts.state[:, -1].sum(0), n, other.state[:, -1].sum(0), n)))


def _each(times: list[float], n: int, unit: float) -> float:
    return statistics.median(times) / n * unit


# ---- the Markov problem --------------------------------------------------------------------------


def chain(effort: Effort) -> Table:
    """Compare with simulators that know constant rates only."""
    program = markov()
    problem, exact = chain_of(program), exact_forecast(program, 0, END).cause[0]
    engine = Engine.of(effort)
    n = enough(lambda n, seed: ours(program, END, n, seed=seed + 1), 20_000, effort.seconds)
    agree = check("this engine, told to simulate", apart(ours(program, END, n).cause[0, 0], n, exact))
    simulated, base = side_by_side([lambda: ours(program, END, n), engine.run], effort.repeats)
    note = f"{statistics.median(base) / engine.draws * 1e6:.0f} µs a draw, no Monte Carlo error"
    factor = ratio(simulated, base) * engine.paths / n
    figures = [
        Figure("this engine", _each(base, engine.paths, 1e9), "ns/path", note=note),
        Figure("this engine, told to simulate", _each(simulated, n, 1e9), "ns/path", factor, note=agree),
    ]
    figures += [_peer(p, problem, exact, engine, partial(ours, program, END), n, effort) for p in PEERS]
    intro = (
        f"14 constant hazards, 7 flags, causes at 10 years, {REPLICATES} paths a draw. This process is small and "
        f"Markov, so the engine solves it: its time for {engine.draws:,} draws, plan included, is set against that of "
        "as many paths. `forecast run --simulate` has it simulated; the notes say how the others stand against that. "
        "They have one draw, which spares them the tables of all the others. |z|: the cause furthest from the exact "
        f"solution, in standard errors. CPU time, 1 thread; × ours: median of pairs taken in turn. {TWO_KINDS}"
    )
    return Table("The Markov problem", intro, figures, "× ours")


@dataclass(frozen=True)
class Engine:
    """What a forecast of the Markov problem runs: the engine decides anew each time that it is small."""

    program: Program
    draws: int

    @classmethod
    def of(cls, effort: Effort) -> "Engine":
        """Make it, and have everything compiled."""
        draws = N_DRAW if effort.repeats > 1 else effort.draws
        engine = cls(markov(draws), draws)
        engine.run()
        return engine

    @property
    def paths(self) -> int:
        """How many paths it takes the place of."""
        return self.draws * REPLICATES

    def run(self) -> None:
        """Run it."""
        planned = small(self.program, END)
        if planned is None:
            raise DifferError("the engine would simulate the Markov problem")
        solve_plan(self.program, planned, threads=1)


def _peer(
    peer: Peer, problem: Chain, exact: F64, engine: Engine, simulator: Callable[[int], object], n: int, effort: Effort
) -> Figure:
    try:
        module = import_module(f"benchmarks.peers.{peer.module}")
    except ModuleNotFoundError as error:
        return Figure(peer.name, None, "ns/path", note=f"not installed ({error.name})")
    run = module.build(problem)
    paths = enough(run, peer.first, effort.seconds, peer.step)
    agree = check(peer.name, apart(run(paths, 1), paths, exact))
    theirs, base, simulated = side_by_side([lambda: run(paths, 2), engine.run, lambda: simulator(n)], effort.repeats)
    factor = ratio(theirs, base) * engine.paths / paths
    target = {} if peer.goal is None else at_least(factor, peer.goal)
    note = f"{ratio(theirs, simulated) * n / paths:.3g} × simulated; {agree}; {module.about()}"
    return Figure(peer.name, _each(theirs, paths, 1e9), "ns/path", factor, **target, note=note)


# ---- where no simulation is needed ---------------------------------------------------------------


def exact(effort: Effort) -> Table:
    """Compare the exact solver with NumPy on small problems."""
    program = markov()
    problem = chain_of(program)
    table = import_module("benchmarks.peers.numpy_table").build(problem)
    solve, expected = expm.build(problem), exact_forecast(program, 0, END).cause[0]
    if not np.allclose(solve(), expected, atol=1e-8):
        raise DifferError("exact solver and matrix exponential")
    paths = 250_000
    many = markov(draws := 400)
    exact_forecasts(many, END, threads=1)
    solver, exponential = side_by_side(
        [lambda: exact_forecasts(many, END, threads=1), lambda: [solve() for _ in range(draws)]], effort.repeats
    )
    solver, exponential = [t / draws for t in solver], [t / draws for t in exponential]
    numpy = [spent(lambda: table(paths, 1)) for _ in range(effort.repeats)]
    times = _each(numpy, 1, 1e3) / _each(solver, 1, 1e3)
    small = [
        Figure("Markov problem, exact solver", _each(solver, 1, 1e3), "ms/draw"),
        Figure(
            f"… NumPy, table of states, {paths:,} paths", _each(numpy, 1, 1e3), "ms/draw", times, **at_least(times, 1),
            note="standard errors up to 0.001",
        ),
        Figure(
            "… SciPy, matrix exponential", _each(exponential, 1, 1e3), "ms/draw", ratio(exponential, solver),
            note="constant rates and few states only",
        ),
    ]  # fmt: skip
    intro = (
        "The exact solver has no Monte Carlo error. On trivial competing risks five lines of NumPy beat both it and "
        "the simulator: there is nothing to simulate."
    )
    return Table("Small problems", intro, small + trivial_risks(effort), "× ours")


def trivial_risks(effort: Effort) -> list[Figure]:
    """Five competing risks."""
    program, run = trivial.competing_risks(), trivial.in_numpy()
    answer = exact_forecast(program, 0, END).cause[0]
    n = enough(run, 100_000, effort.seconds / 2)
    agree = check("NumPy, competing risks", apart(run(n, 1), n, answer))
    check("this engine, competing risks", apart(ours(program, END, n).cause[0, 0], n, answer))
    engine, numpy = side_by_side([lambda: ours(program, END, n), lambda: run(n, 2)], effort.repeats)
    solver = [spent(lambda: exact_forecast(program, 0, END)) for _ in range(10 * effort.repeats)]
    return [
        Figure("five competing risks, this engine", _each(engine, n, 1e9), "ns/path"),
        Figure("… NumPy", _each(numpy, n, 1e9), "ns/path", ratio(numpy, engine), note=f"{agree}; below 1: NumPy wins"),
        Figure(
            "… exact solver",
            _each(solver, 1, 1e3),
            "ms/draw",
            note=f"as long as {statistics.median(solver) / _each(numpy, n, 1.0):,.0f} paths in NumPy",
        ),
    ]


# ---- the engine itself ---------------------------------------------------------------------------


def engine(effort: Effort, *, full: bool) -> Table:
    """Threads, hazards, memory, start."""
    figures = [*threads(effort), *hazards(effort), *memory(full=full, quick=effort.repeats == 1), *start()]
    return Table("The engine itself", "The deal-like problem.", figures)


def threads(effort: Effort) -> list[Figure]:
    """Two threads against one, by the clock on the wall; the best of several, as neighbours only ever slow down.

    Hashing, which needs nothing but processors, tells what the machine has to give at the same time.
    """
    program, paths = deal_like(effort.draws), effort.draws * REPLICATES
    times: dict[tuple[str, int], list[float]] = {(what, n): [] for what in ("ours", "hash") for n in (1, 2)}
    for _ in range(effort.repeats + 2):
        for n in (1, 2):
            work = partial(ours, program, MONTHS, REPLICATES, threads=n)
            times["ours", n].append(spent(work, time.perf_counter))
            times["hash", n].append(spent(partial(hashing, n), time.perf_counter))
    best = {key: min(took) for key, took in times.items()}
    gain, possible = (best[what, 1] / best[what, 2] for what in ("ours", "hash"))
    target = at_least(gain, 1.75)
    if not target["met"] and possible < QUIET:
        target["met"] = None
    note = f"hashing beside it: {possible:.2f} ×" + (", so this machine cannot tell" if target["met"] is None else "")
    return [
        Figure("1 thread, wall clock, best", best["ours", 1] / paths * 1e6, "µs/path"),
        Figure("2 threads", best["ours", 2] / paths * 1e6, "µs/path", gain, **target, note=note),
    ]


def hashing(threads: int) -> None:
    """Hash 400 MB, in two halves if there are two threads."""
    data = bytes(50_000_000)

    def work() -> None:
        for _ in range(8 // threads):
            hashlib.sha256(data).digest()

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(work) for _ in range(threads)]:
            done.result()


def hazards(effort: Effort) -> list[Figure]:
    """64 hazards against 14, by event."""
    programs = {14: deal_like(effort.draws), 64: deal_like(effort.draws, extra_hazards=50)}
    events = {n: float(ours(p, END, REPLICATES).fired.sum()) for n, p in programs.items()}
    few, many = side_by_side(
        [partial(ours, p, MONTHS, REPLICATES) for p in programs.values()],
        effort.repeats,
    )
    more = ratio(many, few) * events[14] / events[64]
    return [
        Figure("14 hazards", statistics.median(few) / events[14] * 1e9, "ns/event"),
        Figure("64 hazards", statistics.median(many) / events[64] * 1e9, "ns/event", more, **at_most(more, 1.4)),
    ]


def memory(*, full: bool, quick: bool) -> list[Figure]:
    """Largest memory of a process that simulates more and more paths."""
    sizes = [400_000] if quick else [400_000, 4_000_000, 40_000_000] if full else [400_000, 4_000_000]
    child("memory", "4000")  # compiles, if that is still to be done
    peaks = [float(child("memory", str(n))[0]) / 1e6 for n in sizes]
    figures = []
    for n, peak in zip(sizes, peaks, strict=True):
        against = peak / peaks[0]
        flat = abs(against - 1.0) <= 0.1 and peak < 400.0
        figures.append(Figure(f"memory, {n:,} paths", peak, "MB", against, target="< 400 MB, flat ± 10 %", met=flat))
    return figures


def start() -> list[Figure]:
    """Processor time of a process that imports the engine and simulates 16 paths."""
    with tempfile.TemporaryDirectory() as folder:
        _, cold = child("start", NUMBA_CACHE_DIR=folder)
        cached = min(child("start", NUMBA_CACHE_DIR=folder)[1] for _ in range(3))
    return [
        Figure("start, nothing compiled yet", cold, "s CPU", **at_most(cold, 12, unit=" s")),
        Figure("start, compiled before", cached, "s CPU", **at_most(cached, 2.5, unit=" s")),
    ]


def main() -> None:
    with_one_thread("benchmarks.compare")
    parser = argparse.ArgumentParser(description="Compare this engine with others.")
    parser.add_argument("--full", action="store_true", help="also 40 million paths, for their memory")
    parser.add_argument("--quick", action="store_true", help="short timings, to see whether all runs; nothing is kept")
    parts = ("deal", "chain", "exact", "engine")
    parser.add_argument("--only", choices=parts, nargs="+", default=parts, help="nothing is kept")
    options = parser.parse_args()
    effort = Effort.of(quick=options.quick)
    make: dict[str, Callable[[], Table]] = {
        "deal": lambda: deal(effort),
        "chain": lambda: chain(effort),
        "exact": lambda: exact(effort),
        "engine": lambda: engine(effort, full=options.full),
    }
    tables = []
    try:
        for part in options.only:
            tables.append(make[part]())
            show(tables[-1])
    except DifferError as error:
        sys.exit(f"not the same probabilities: {error}")
    if not options.quick and tuple(options.only) == parts:
        command = "python -m benchmarks.compare" + (" --full" if options.full else "")
        print(f"\nkept: {keep('compare', Report(command, machine(), tables))}")


if __name__ == "__main__":
    main()
