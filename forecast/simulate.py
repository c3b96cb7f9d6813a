"""Program + seed → counts: blocks of draws on a thread pool, the same bytes however they are cut."""

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event

import numpy as np

from forecast.errors import ForecastError
from forecast.kernels.gsmp import MAX_STEPS, run_draws, run_numbers, worth_each
from forecast.kernels.layout import Log, Tally, Work
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
) -> Counts:
    """Simulate `replicates` paths for each draw of a program.

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
    """
    total = program.n_draw
    grid = np.ascontiguousarray(grid, dtype=np.float64)
    _check_numbers(replicates, seed)
    _check_grid(program, grid)
    arrays = _allocate(program, len(grid), total)
    size = max(1, BLOCK // replicates)
    blocks = [(d, min(d + size, total)) for d in range(0, total, size)]
    n_threads = threads or getattr(os, "process_cpu_count", os.cpu_count)() or 1

    def work(first: int, last: int) -> int:
        if cancel is not None and cancel.is_set():
            return 0
        _run(program, arrays, grid, first, last, replicates, seed)
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
    return _counts(program, arrays, grid, replicates, slice(0, total))


def simulate_block(program: Program, *, seed: int, replicates: int, grid: F64, draws: slice) -> Counts:
    """Simulate some draws only; blocks put end to end equal `simulate` to the bit."""
    grid = np.ascontiguousarray(grid, dtype=np.float64)
    _check_numbers(replicates, seed)
    _check_grid(program, grid)
    first, last, _ = draws.indices(program.n_draw)
    arrays = _allocate(program, len(grid), program.n_draw)
    _run(program, arrays, grid, first, last, replicates, seed)
    return _counts(program, arrays, grid, replicates, slice(first, last))


def record_paths(program: Program, *, seed: int, paths: I64, replicates: int, max_steps: int = 128) -> PathLog:
    """Simulate some paths by their number (draw × replicates + replicate) and keep their histories."""
    _check_numbers(replicates, seed)
    numbers = np.asarray(paths, dtype=np.int64)
    if ((numbers < 0) | (numbers >= program.n_draw * replicates)).any():
        raise ForecastError(f"paths: numbers go from 0 to {program.n_draw * replicates - 1} (draws × replicates − 1)")
    draw, replicate = numbers // replicates, numbers % replicates
    n = len(numbers)
    time = np.full((n, max_steps), np.nan)
    firing = np.full((n, max_steps), -1, dtype=np.int32)
    steps, cause, end = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n)
    grid = np.array([program.horizon])
    tally, work = _tally(_allocate(program, 1, 1), 0), _work(program)
    no_end = run_numbers(
        program.structure,
        program.values,
        work,
        tally,
        grid,
        draw,
        replicate,
        np.uint64(seed),
        time,
        firing,
        steps,
        cause,
        end,
    )
    if no_end >= 0:
        raise ForecastError(_no_end(program, int(draw[no_end]), tally.fired))
    return PathLog(draw, replicate, np.minimum(steps, max_steps), cause, end, steps > max_steps, time, firing)


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
    n_meter = len(program.structure.meter_cond)
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


def _tally(arrays: tuple[np.ndarray, ...], d: int) -> Tally:
    return Tally(*(a[d] for a in arrays))


def _work(program: Program) -> Work:
    s = program.structure
    c, k, a, x = len(s.clock0), len(s.haz_kind), len(s.aged_event), len(s.meter_cond)
    return Work(
        np.zeros(c),
        np.zeros(c, np.int64),
        np.zeros(k),
        np.zeros(k),
        np.zeros(k),
        np.zeros(k),
        np.zeros(k, np.int64),
        np.zeros(a),
        np.zeros(x),
        np.zeros(x),
    )


def _run(
    program: Program, arrays: tuple[np.ndarray, ...], grid: F64, first: int, last: int, replicates: int, seed: int
) -> None:
    no_log = Log(np.zeros(0), np.zeros(0, np.int32))
    endless = run_draws(
        program.structure,
        program.values,
        _work(program),
        no_log,
        grid,
        first,
        last,
        replicates,
        np.uint64(seed),
        *arrays,
    )
    if endless >= 0:
        raise ForecastError(_no_end(program, int(endless), arrays[3][endless]))


def _no_end(program: Program, draw: int, fired: I64) -> str:
    firing = program.firings[int(np.argmax(fired))]
    return (
        f"a path of draw {draw} had more than {MAX_STEPS:,} events and was given up: {firing.id!r} fires almost "
        f"without pause ({int(fired.max()):,} times so far); its rate, or what lets it fire again, is wrong"
    )


def _counts(program: Program, arrays: tuple[np.ndarray, ...], grid: F64, replicates: int, draws: slice) -> Counts:
    """Drop the slot behind the grid, and turn meters into amounts."""
    cause, outcome, state, fired, count, offset, square = (a[draws] for a in arrays)
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
