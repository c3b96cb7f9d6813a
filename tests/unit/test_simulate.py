"""Counts against histories added up by hand; the same bits however the work is cut; what is refused."""

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from forecast.deal.spec import Branch, Condition, Effect, Hazard, Process, Scheduled
from forecast.errors import ForecastError
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.simulate import Counts, PathLog, record_paths, simulate
from tests.oracles.closed_forms import CASES
from tests.reference.processes import AS_OF, random_process

ARRAYS = ("cause", "outcome", "state", "fired", "consequence", "consequence_square")
SEED = 0xFEDC_BA98_7654_3210
INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
REPLICATES = 25
GOLDEN = "8980a74674e63574ce43fa21737b123550dff0af05fb0f4dc08aeb3ccfa5aabe"


def same(a: Counts, b: Counts) -> bool:
    return all(getattr(a, x).tobytes() == getattr(b, x).tobytes() for x in ARRAYS)


def made(number: int, n_draw: int = 3) -> tuple[Process, Draws, Program]:
    process, draws = random_process(number, n_draw)
    return process, draws, compile_process(process, draws)


def is_true(condition: Condition, flags: set[str]) -> bool:
    def literal(x: str) -> bool:
        return x[4:] not in flags if x.startswith("not ") else x in flags

    return all(map(literal, condition.all)) and all(any(map(literal, g)) for g in condition.any)


def amount(draws: Draws, names: tuple[str, ...], d: int) -> float:
    base = next(k for k in draws.values if k.endswith("_amount"))
    return float(np.prod([2 * draws.values[base][d] if n == "twice" else draws.values[n][d] for n in names]))


class ByHand:
    """Adds up one path of a log by names, without hurry."""

    def __init__(self, process: Process, draws: Draws, program: Program, log: PathLog, row: int) -> None:
        self.process, self.draws, self.d = process, draws, int(log.draw[row])
        flags, cause = {f.id for f in process.flags if f.initially}, None
        self.states = [(0.0, set(flags), None)]  # (since, flags, cause)
        self.fired: list[tuple[float, str]] = []
        for j in range(int(log.n_step[row])):
            firing = program.firings[int(log.firing[row, j])]
            effect = program.effect_of(firing)
            flags, cause = (flags | set(effect.set)) - set(effect.clear), effect.end
            self.states.append((float(log.time[row, j]), set(flags), cause))
            self.fired.append((float(log.time[row, j]), firing.event))

    def at(self, t: float) -> tuple[set[str], str | None]:
        return next((flags, cause) for since, flags, cause in reversed(self.states) if since <= t)

    def outcome(self, t: float) -> str:
        flags, cause = self.at(t)
        for o in self.process.outcomes[:-1]:
            if (cause in o.causes if o.causes else cause is None) and (o.when is None or is_true(o.when, flags)):
                return o.id
        return self.process.outcomes[-1].id

    def consequence(self, n: int, t: float) -> float:
        c = self.process.consequences[n]
        r = float(self.draws.values[c.discount][self.d]) if c.discount else 0.0
        if c.event:
            total = sum(np.exp(-r * when) for when, event in self.fired if event == c.event and when <= t)
        else:
            ends = [*(since for since, _, _ in self.states[1:]), np.inf]
            total = 0.0
            for (since, flags, cause), end in zip(self.states, ends, strict=True):
                low, high = min(since, t), min(end, t)
                if cause is None and is_true(c.when, flags):
                    total += -(np.expm1(-r * high) - np.expm1(-r * low)) / r if r > 0 else high - low
        return c.sign * amount(self.draws, c.amount, self.d) * total


@pytest.mark.parametrize("number", range(1, 4 if INTERPRETED else 16))
def test_counts_are_what_the_histories_add_up_to(number):
    process, draws, program = made(number)
    n_draw, end = program.n_draw, program.horizon
    grid = np.array([0.0, 0.11, 0.35 * end, 0.6 * end, end])
    counts = simulate(program, seed=SEED, replicates=REPLICATES, grid=grid)
    log = record_paths(program, seed=SEED, paths=np.arange(n_draw * REPLICATES), replicates=REPLICATES, max_steps=9000)
    assert not log.truncated.any()
    wanted = {x: np.zeros_like(getattr(counts, x)) for x in ARRAYS}
    for row in range(n_draw * REPLICATES):
        path, d = ByHand(process, draws, program, log, row), int(log.draw[row])
        for i, t in enumerate(grid):
            flags, cause = path.at(t)
            wanted["outcome"][d, i, program.outcomes.index(path.outcome(t))] += 1
            for f in flags:
                wanted["state"][d, i, program.flags.index(f)] += 1
            if cause:
                wanted["cause"][d, i, program.causes.index(cause)] += 1
            for n in range(len(program.consequences)):
                wanted["consequence"][d, i, n] += path.consequence(n, t)
        for n in range(len(program.consequences)):
            wanted["consequence_square"][d, n] += path.consequence(n, end) ** 2
        np.add.at(wanted["fired"][d], log.firing[row, : log.n_step[row]], 1)
    for x in ("cause", "outcome", "state", "fired"):
        np.testing.assert_array_equal(getattr(counts, x), wanted[x], err_msg=x)
    for x in ("consequence", "consequence_square"):
        np.testing.assert_allclose(getattr(counts, x), wanted[x], rtol=1e-10, atol=1e-10, err_msg=x)
    assert (counts.outcome.sum(axis=2) == REPLICATES).all()


def test_a_grid_that_stops_early_or_starts_late_only_looks_elsewhere():
    *_, program = made(4)
    full = np.linspace(0.0, program.horizon, 11)
    whole = simulate(program, seed=1, replicates=40, grid=full)
    part = simulate(program, seed=1, replicates=40, grid=full[3:7])
    for x in ("cause", "outcome", "state"):
        np.testing.assert_array_equal(getattr(part, x), getattr(whole, x)[:, 3:7])
    np.testing.assert_allclose(part.consequence, whole.consequence[:, 3:7], rtol=1e-12, atol=1e-12)
    assert part.consequence_square.tobytes() == whole.consequence_square.tobytes()
    assert part.fired.tobytes() == whole.fired.tobytes()


# ---- the same bits ---------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("block", [1, 100, 10_000])
def test_threads_and_blocks_change_no_bit(threads, block, monkeypatch):
    monkeypatch.setattr("forecast.simulate.BLOCK", block)
    *_, program = made(5, 70)
    grid = np.linspace(0.0, program.horizon, 5)
    blocks = [simulate(program, seed=7, replicates=20, grid=grid, draws=slice(d, d + 7)) for d in range(0, 70, 7)]
    counts = simulate(program, seed=7, replicates=20, grid=grid, threads=threads)
    for x in ARRAYS:
        assert getattr(counts, x).tobytes() == np.concatenate([getattr(b, x) for b in blocks]).tobytes(), x


def _in_another_process(first: int) -> Counts:
    process, draws = random_process(5, 12)
    program = compile_process(process, draws)
    grid = np.linspace(0.0, program.horizon, 5)
    return simulate(program, seed=7, replicates=20, grid=grid, draws=slice(first, first + 6))


def test_processes_change_no_bit():
    *_, program = made(5, 12)
    counts = simulate(program, seed=7, replicates=20, grid=np.linspace(0.0, program.horizon, 5))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_in_another_process, (0, 6)))
    for x in ARRAYS:
        assert getattr(counts, x).tobytes() == np.concatenate([getattr(b, x) for b in parts]).tobytes(), x


def test_more_replicates_leave_the_first_ones_as_they_were():
    *_, program = made(6)
    numbers = np.arange(10)
    few = record_paths(program, seed=3, paths=numbers, replicates=10)
    many = record_paths(program, seed=3, paths=numbers, replicates=1000)
    assert few.time.tobytes() == many.time.tobytes()
    assert few.firing.tobytes() == many.firing.tobytes()


def test_another_seed_is_another_future():
    *_, program = made(6)
    grid = np.array([program.horizon])
    a, b = (simulate(program, seed=s, replicates=200, grid=grid) for s in (1, 2**63 + 1))
    assert not same(a, b)


def test_a_draw_does_not_depend_on_the_others():
    process, draws = random_process(8, 4)
    other = {k: np.concatenate([v[:1], v[:1], v[2:3]]) for k, v in draws.values.items()}
    grid = np.array([0.5, 1.0])
    a = simulate(compile_process(process, draws), seed=1, replicates=60, grid=grid)
    b = simulate(
        compile_process(process, Draws(other, draws.edges, draws.labels, {})), seed=1, replicates=60, grid=grid
    )
    for x in ARRAYS:
        np.testing.assert_array_equal(getattr(a, x)[[0, 2]], getattr(b, x)[[0, 2]])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_an_impossible_event_changes_nothing(number):
    """Everybody's luck hangs on his own name: newcomers in the first place, in the middle and at the end."""
    process, draws, program = made(number)
    never = Hazard(id="never", label="", rate="zero", effect=Effect(set=("a",), end="collapse"))
    closed = Condition(all=("a",), any=(("not a",),))
    coin = (Branch(id="x", label="", probability="half", effect=Effect(end="collapse")), Branch(id="y", label=""))
    event = Scheduled(id="nothing", label="", when=closed, dates=(AS_OF,), branches=coin)
    values = {**draws.values, "zero": np.zeros(3), "half": np.full(3, 0.5)}
    h, s = process.hazards, process.scheduled
    wider = process.model_copy(update={"hazards": (h[0], never, *h[1:]), "scheduled": (event, *s)})
    wide = compile_process(wider, Draws(values, draws.edges, draws.labels, {}))
    grid = np.linspace(0.0, program.horizon, 9)
    a, b = (simulate(p, seed=11, replicates=10 if INTERPRETED else 100, grid=grid) for p in (program, wide))
    for x in ("cause", "outcome", "state", "consequence", "consequence_square"):
        assert getattr(a, x).tobytes() == getattr(b, x).tobytes(), x
    kept = [wide.firings.index(f) for f in program.firings]
    np.testing.assert_array_equal(a.fired, b.fired[:, kept])
    assert b.fired.sum() == a.fired.sum()


def test_the_order_of_hazards_changes_nothing():
    process, draws, program = made(9)
    turned = compile_process(process.model_copy(update={"hazards": process.hazards[::-1]}), draws)
    grid = np.linspace(0.0, program.horizon, 9)
    a, b = (simulate(p, seed=11, replicates=100, grid=grid) for p in (program, turned))
    for x in ("cause", "outcome", "state"):
        assert getattr(a, x).tobytes() == getattr(b, x).tobytes(), x


@pytest.mark.skipif(INTERPRETED, reason="the compiler is off already")
def test_the_compiler_changes_no_bit():
    code = (
        "import hashlib, numpy as np\n"
        "from tests.reference.processes import random_process\n"
        "from forecast.process.compile import compile_process\n"
        "from forecast.simulate import simulate\n"
        "h = hashlib.sha256()\n"
        "for n in range(6):\n"
        "    p = compile_process(*random_process(n))\n"
        "    c = simulate(p, seed=5, replicates=6, grid=np.linspace(0.0, p.horizon, 5), threads=1)\n"
        f"    [h.update(getattr(c, x).tobytes()) for x in {ARRAYS}]\n"
        "print(h.hexdigest())\n"
    )
    root = Path(__file__).parents[2]
    seen = {
        subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=root,
            env={**os.environ, "NUMBA_DISABLE_JIT": off, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for off in ("0", "1")
    }
    assert len(seen) == 1


# ---- progress, cancelling, refusals ----------------------------------------------------------------


def test_progress_counts_draws_up_to_all_of_them(monkeypatch):
    *_, program = made(5, 70)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr("forecast.simulate.BLOCK", 20)
    simulate(program, seed=1, replicates=2, grid=np.array([1.0]), threads=1, progress=lambda *x: seen.append(x))
    assert seen == sorted(set(seen))
    assert seen[-1] == (70, 70)


def test_cancelling_stops_before_the_end():
    *_, program = made(5, 400)
    cancel, seen = Event(), []

    def progress(done: int, total: int) -> None:
        seen.append(done)
        cancel.set()

    with pytest.raises(ForecastError, match="cancelled"):
        simulate(program, seed=1, replicates=50, grid=np.array([1.0]), threads=1, progress=progress, cancel=cancel)
    assert max(seen) < 400


def test_an_error_in_progress_gets_out():
    *_, program = made(5, 70)

    def progress(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(program, seed=1, replicates=2, grid=np.array([1.0]), progress=progress)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "seed: must be from 0"),
        ({"seed": 2**64}, "seed: must be from 0"),
        ({"replicates": 0}, "replicates: must be from 1"),
        ({"replicates": 2**32}, "replicates: must be from 1"),
        ({"grid": np.array([])}, "grid: times must increase"),
        ({"grid": np.array([0.2, 0.1])}, "grid: times must increase"),
        ({"grid": np.array([-0.1, 0.1])}, "grid: times must increase"),
        ({"grid": np.array([0.1, 99.0])}, "grid: times must increase"),
        ({"grid": np.array([0.1, np.nan])}, "grid: times must increase"),
    ],
)
def test_refuses(changes, message):
    *_, program = made(0)
    settings = {"seed": 1, "replicates": 2, "grid": np.array([0.5]), **changes}
    with pytest.raises(ForecastError, match=message):
        simulate(program, **settings)
    with pytest.raises(ForecastError, match=message):
        simulate(program, **settings, draws=slice(0, 1))


@pytest.mark.parametrize("number", [-1, 3 * 10])
def test_refuses_paths_that_do_not_exist(number):
    *_, program = made(0)
    with pytest.raises(ForecastError, match="paths: numbers go from 0 to 29"):
        record_paths(program, seed=1, paths=np.array([0, number]), replicates=10)


def test_a_long_history_is_cut_and_says_so():
    *_, program = made(3)
    paths = np.arange(60)
    whole = record_paths(program, seed=1, paths=paths, replicates=20, max_steps=500)
    short = record_paths(program, seed=1, paths=paths, replicates=20, max_steps=3)
    assert short.truncated.tolist() == (whole.n_step > 3).tolist()
    assert short.truncated.any()
    assert short.n_step.tolist() == np.minimum(whole.n_step, 3).tolist()
    assert short.firing.tolist() == whole.firing[:, :3].tolist()
    assert short.end_time.tolist() == whole.end_time.tolist()


@pytest.mark.skipif(INTERPRETED, reason="a million events take minutes without the compiler")
def test_gives_up_a_path_without_end():
    process, draws = random_process(0, 3)
    mad = Hazard(id="mad", label="", rate="mad", effect=Effect(set=("a",)))
    values = {**draws.values, "mad": np.array([0.0, 0.0, 1e12])}
    process = process.model_copy(update={"hazards": (mad,), "scheduled": (), "consequences": ()})
    program = compile_process(process, Draws(values, draws.edges, draws.labels, {}))
    message = "a path of draw 2 had more than 1,000,000 events and was given up: 'mad' fires"
    with pytest.raises(ForecastError, match=message):
        simulate(program, seed=1, replicates=50, grid=np.array([1.0]))
    with pytest.raises(ForecastError, match=message):
        record_paths(program, seed=1, paths=np.array([0, 149]), replicates=50)


def test_paths_are_those_of_every_machine():
    """Written down once: other bits would mean that seeds, archives and replays no longer say what they said."""
    digest = hashlib.sha256()
    for name in (
        "weibull_against_exponential",
        "two_steps",
        "age_bins",
        "softmax_of_three",
        "deadline",
        "votes_that_turn",
    ):
        case = CASES[name]()
        program = compile_process(case.process, case.draws)
        log = record_paths(program, seed=20250315, paths=np.arange(200), replicates=200)
        digest.update(log.time.tobytes() + log.firing.tobytes() + log.end_time.tobytes())
    assert digest.hexdigest() == GOLDEN
