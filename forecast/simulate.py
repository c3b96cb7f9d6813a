"""Program + seed → counts: blocks of draws on a thread pool, the same bytes however they are cut."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event

import numpy as np

from forecast.errors import ForecastError
from forecast.kernels.gsmp import MAX_STEPS, run_jobs, worth_each
from forecast.kernels.layout import END, JOB, RISK, Grid, Log, Records, Work, whole_vectors
from forecast.process.compile import Program
from forecast.types import F64, I32, I64

BLOCK = 4096  # paths a block, in whole draws: enough to hide the hand-over, few enough for a smooth progress bar


@dataclass(frozen=True)
class Counts:
    """What the paths of each draw add up to at the times of `grid`.

    cause (draw, time, cause): paths ended by that cause at or before the time
    outcome (draw, time, outcome): paths in that class at the time, after everything of that instant
    state (draw, time, flag): paths with the flag set (flags stay as they are after the end)
    fired (draw, firing): times that the hazard or branch fired
    consequence (draw, time, consequence): sum over paths of the amount by that time
    consequence_square (draw, consequence): sum over paths of the squared amount by the horizon
    """

    replicates: int
    grid: F64
    cause: I32
    outcome: I32
    state: I32
    fired: I64
    consequence: F64
    consequence_square: F64


@dataclass(frozen=True)
class PathLog:
    """Whole histories of some paths.

    draw, replicate, n_step, cause (−1: none), end_time, truncated: (path,)
    time (path, step): years; NaN behind the last step; firing (path, step): −1 there
    """

    draw: I64
    replicate: I64
    n_step: I64
    cause: I64
    end_time: F64
    truncated: np.ndarray
    time: F64
    firing: I32


def simulate(
    program: Program,
    *,
    seed: int,
    replicates: int,
    grid: F64,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    cancel: Event | None = None,
    draws: slice = slice(None),
) -> Counts:
    """Simulate `replicates` paths for each draw of a program, or for some of its draws.

    Parameters
    ----------
    program
        From `compile_process`.
    seed
        64 bits; with the same seed the result is the same to the bit, whatever `threads`.
    replicates
        Paths a draw.
    grid
        Shape (time,): years since the as-of date, increasing, none past the horizon.
    threads
        All cores, if None.
    progress
        Called with (draws done, draws in all).
    cancel
        Set it from another thread to stop; then `ForecastError` is raised.
    draws
        Those to simulate, one after the other; the results of several calls, put end to end, equal those of one.
    """
    start, stop, _ = draws.indices(program.n_draw)
    total = stop - start
    grid = np.ascontiguousarray(grid, dtype=np.float64)
    _check_numbers(replicates, seed)
    _check_grid(program, grid)
    arrays = _allocate(program, len(grid), total)
    size = max(1, BLOCK // replicates)
    blocks = [(d, min(d + size, stop)) for d in range(start, stop, size)]
    n_threads = threads or getattr(os, "process_cpu_count", os.cpu_count)() or 1

    def work(first: int, last: int) -> int:
        if cancel is not None and cancel.is_set():
            return 0
        _run(program, arrays, grid, _jobs(first, last, replicates, start), seed)
        return last - first

    done = 0
    with ThreadPoolExecutor(n_threads) as pool:
        waiting = {pool.submit(work, *b) for b in blocks}
        try:
            while waiting:
                finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                done += sum(f.result() for f in finished)
                if progress:
                    progress(done, total)
        except BaseException:
            for f in waiting:
                f.cancel()
            raise
    if done < total:
        raise ForecastError("the simulation was cancelled")
    return _counts(program, arrays, grid, replicates, slice(start, stop))


def record_paths(program: Program, *, seed: int, paths: I64, replicates: int, max_steps: int = 128) -> PathLog:
    """Simulate some paths by their number (draw × replicates + replicate) and keep their histories."""
    _check_numbers(replicates, seed)
    numbers = np.asarray(paths, dtype=np.int64)
    if ((numbers < 0) | (numbers >= program.n_draw * replicates)).any():
        raise ForecastError(f"paths: numbers go from 0 to {program.n_draw * replicates - 1} (draws × replicates − 1)")
    n = len(numbers)
    jobs = np.zeros(n, JOB)
    jobs["draw"], jobs["first"] = numbers // replicates, numbers % replicates
    jobs["last"] = jobs["first"] + 1
    log = Log(np.full((n, max_steps), np.nan), np.full((n, max_steps), -1, dtype=np.int32))
    arrays = _allocate(program, 1, 1)
    ends = _run(program, arrays, np.array([program.horizon]), jobs, seed, log)
    steps, draw, replicate = ends["events"], jobs["draw"].astype(np.int64), jobs["first"].astype(np.int64)
    kept = np.minimum(steps, max_steps)
    return PathLog(draw, replicate, kept, ends["cause"], ends["time"], steps > max_steps, log.time, log.event)


def _check_numbers(replicates: int, seed: int) -> None:
    if replicates < 1 or replicates >= 2**32:
        raise ForecastError(f"replicates: must be from 1 to 2^32 − 1 (got {replicates})")
    if not 0 <= seed < 2**64:
        raise ForecastError(f"seed: must be from 0 to 2^64 − 1 (got {seed})")


def _check_grid(program: Program, grid: F64) -> None:
    if (
        len(grid) == 0
        or not np.isfinite(grid).all()
        or (np.diff(grid) <= 0).any()
        or grid[0] < 0
        or grid[-1] > program.horizon + 1e-12
    ):
        raise ForecastError("grid: times must increase, from 0 or later to the horizon at most")


def _allocate(program: Program, n_time: int, n_draw: int) -> tuple[np.ndarray, ...]:
    n_meter = len(program.structure.meters)
    shape = (n_draw, n_time + 1)
    return (
        np.zeros((*shape, len(program.causes)), np.int32),
        np.zeros((*shape, len(program.outcomes)), np.int32),
        np.zeros((*shape, len(program.flags)), np.int32),
        np.zeros((n_draw, len(program.firings)), np.int64),
        np.zeros((*shape, n_meter), np.int32),
        np.zeros((*shape, n_meter)),
        np.zeros((n_draw, n_meter)),
    )


def _placed(program: Program, grid: F64) -> Grid:
    """Prepare a grid for finding the place of a time at once."""
    per_year = 4.0 * len(grid) / program.horizon
    buckets = np.arange(int(program.horizon * per_year) + 2) / per_year
    # The bucket of a time is found by a product that is rounded: begin a little before it.
    hint = np.searchsorted(grid, buckets * (1.0 - 1e-12), side="left")
    place = np.searchsorted(grid, program.structure.calendar["time"], side="left")
    return Grid(np.append(grid, np.inf), hint.astype(np.uint32), np.array([per_year]), place.astype(np.uint32))


def scratch(program: Program) -> Work:
    """Scratch space for one thread."""
    s = program.structure
    whole, n_meter, padded = s.whole[0], len(s.meters), len(s.key)
    risks, soon = np.zeros(len(s.hazards), RISK), np.full(whole_vectors(len(s.hazards)), np.inf)
    words = risks.view(np.float64)
    first = np.zeros(2 * padded)
    return Work(
        start=np.zeros(len(s.clock0)),
        risks=risks,
        risk_words=words,
        risk_words0=np.zeros(len(words)),
        first=first,
        left=first[:padded],
        spare=first[padded:],
        next=soon,
        next_bits=soon.view(np.int64),
        event_state=np.zeros(len(s.events), np.uint32),
        event_left=np.zeros(len(s.events)),
        event_drawn=np.zeros(len(s.events), np.uint32),
        memo=np.zeros(int(whole["memo"])),
        classes=np.full(int(whole["classes"]), -1, np.int32),
        due=np.zeros(len(s.aged)),
        meter_since=np.zeros(n_meter),
        meter_total=np.zeros(n_meter),
    )


def _jobs(first: int, last: int, replicates: int, start: int) -> Records:
    """All replicates of some draws, each draw in its own row; draw `start` has row 0."""
    jobs = np.zeros(last - first, JOB)
    jobs["draw"] = np.arange(first, last)
    jobs["row"] = jobs["draw"] - start
    jobs["last"] = replicates
    return jobs


def _run(
    program: Program, arrays: tuple[np.ndarray, ...], grid: F64, jobs: Records, seed: int, log: Log | None = None
) -> Records:
    """Run jobs; return how the last path of each ended."""
    ends = np.zeros(len(jobs), END)
    kept = log or Log(np.zeros((1, 0)), np.zeros((1, 0), np.int32))
    with np.errstate(divide="ignore"):  # a rate of 0; it matters with the compiler off only
        endless = run_jobs(
            program.structure,
            program.values,
            scratch(program),
            _placed(program, grid),
            np.uint64(seed),
            jobs,
            kept.time,
            kept.event,
            ends,
            *arrays,
            log is None,
        )
    if endless >= 0:
        raise ForecastError(_no_end(program, int(jobs["draw"][endless]), arrays[3][jobs["row"][endless]]))
    return ends


def _no_end(program: Program, draw: int, fired: I64) -> str:
    firing = program.firings[int(np.argmax(fired))]
    return (
        f"a path of draw {draw} had more than {MAX_STEPS:,} events and was given up: {firing.id!r} fires almost "
        f"without pause ({int(fired.max()):,} times so far); its rate, or what lets it fire again, is wrong"
    )


def _counts(program: Program, arrays: tuple[np.ndarray, ...], grid: F64, replicates: int, draws: slice) -> Counts:
    """Drop the slot behind the grid, and turn meters into amounts."""
    cause, outcome, state, fired, count, offset, square = arrays
    n = len(grid)
    rate = program.values.discount[draws]
    discounted = np.empty((n, *rate.shape))
    worth_each(grid, rate.ravel(), discounted.reshape(n, -1))
    metered = count[:, :n] * discounted.swapaxes(0, 1) + offset[:, :n]
    amount = program.consequence_amount[draws]
    meter = program.consequence_meter
    return Counts(
        replicates=replicates,
        grid=grid,
        cause=cause[:, :n],
        outcome=outcome[:, :n],
        state=state[:, :n],
        fired=fired,
        consequence=amount[:, None, :] * metered[:, :, meter],
        consequence_square=amount**2 * square[:, meter],
    )
