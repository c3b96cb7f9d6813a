"""Exact probabilities of every draw of a small process: the forward equations along one plan for all.

Where a process is small and Markov between known instants, this replaces simulation: it costs less, and has no
Monte Carlo error.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from forecast.kernels import exact as layout
from forecast.kernels.exact import fastest, solve
from forecast.process.compile import Program
from forecast.process.plan import Chance, Planned, plan_of
from forecast.types import F64, I64

MAX_STATES = 512
BLOCK = 256  # draws a task


@dataclass(frozen=True)
class ExactForecasts:
    """Exact probabilities of every draw.

    cause (draw, time, cause), outcome (draw, time, outcome), state (draw, time, flag): as in `ExactForecast`
    fired (draw, firing): expected number of times that the hazard or branch fires within the horizon
    consequence (draw, time, consequence): expected amount by that time
    """

    grid: F64
    cause: F64
    outcome: F64
    state: F64
    fired: F64
    consequence: F64


def exact_forecasts(
    program: Program,
    grid: F64,
    *,
    max_states: int = MAX_STATES,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ExactForecasts:
    """Solve every draw of a program without Weibull hazards exactly, to about 1e-12.

    Parameters
    ----------
    program, grid
        As for `exact_forecast`.
    max_states
        Refuse more states at one time than this.
    threads
        All cores, if None; the result is the same to the bit.
    progress
        Called with (draws done, draws in all).

    Raises
    ------
    SolverError
        As `exact_forecast`; also where a hazard is Weibull.
    """
    return solve_plan(program, plan_of(program, grid, max_states), threads=threads, progress=progress)


def solve_plan(
    program: Program,
    planned: Planned,
    *,
    threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ExactForecasts:
    """Solve every draw of a program along a plan for it."""
    n_draw, n_meter, n_firing = program.n_draw, len(program.structure.meters), len(program.firings)
    n_outcome, n_cause, n_time = len(program.outcomes), len(program.causes), len(planned.plan.grid)
    causes = np.array([n_outcome, n_outcome + n_cause])
    shown = np.empty((n_draw, n_time, len(planned.columns)))
    meter, fired = np.empty((n_draw, n_time, n_meter)), np.empty((n_draw, n_firing))
    speed = np.zeros(n_draw)

    def look(draws: I64) -> int:
        rate, _, _, rows = numbers_of(program, planned, draws)
        found = np.zeros(rows.shape)
        fastest(planned.plan, scratch(planned, n_meter, n_firing), rate, found)
        speed[rows] = found
        return 0

    def work(draws: I64) -> int:
        numbers = numbers_of(program, planned, draws)
        space = scratch(planned, n_meter, n_firing)
        solve(planned.plan, space, *numbers, planned.columns, causes, shown, meter, fired)
        return len(draws)

    done = 0
    with ThreadPoolExecutor(threads or getattr(os, "process_cpu_count", os.cpu_count)() or 1) as pool:
        every = np.arange(n_draw)
        sum(pool.map(look, np.split(every, every[BLOCK::BLOCK])))
        order = np.argsort(speed, kind="stable")  # draws side by side take as long as the fastest of them
        for n in pool.map(work, np.split(order, every[BLOCK::BLOCK])):
            done += n
            if progress:
                progress(done, n_draw)
    outcome, cause, state = np.split(shown, causes, axis=2)
    consequence = program.consequence_amount[:, None, :] * meter[:, :, program.consequence_meter]
    return ExactForecasts(planned.plan.grid, cause, outcome, state, fired, consequence)


# ---- the numbers of draws ------------------------------------------------------------------------


def numbers_of(program: Program, planned: Planned, draws: I64) -> tuple[F64, F64, F64, I64]:
    """Rates, chances, discounts and numbers of some draws, side by side: (block, rate, lane) … (block, lane).

    The last draw fills up the last block.
    """
    v, lanes = program.values, planned.lanes
    chosen = draws[np.minimum(np.arange(-(-len(draws) // lanes) * lanes), len(draws) - 1)]
    factor = v.factor[chosen]
    rates = [v.bin_rate[chosen, r.place] * _product(factor, r.modifiers) for r in planned.rates]
    chances = [_chance(program, c, chosen, factor) for c in planned.chances]
    discounts = list(v.discount[chosen].T)
    rate, chance, discount = (_side_by_side(x, lanes, len(chosen)) for x in (rates, chances, discounts))
    return rate, chance, discount, chosen.reshape(-1, lanes)


def _product(factor: F64, columns: tuple[int, ...]) -> F64:
    result: F64 = factor[:, list(columns)].prod(axis=1)
    return result


def _chance(program: Program, chance: Chance, draws: I64, factor: F64) -> F64:
    """Probability of a branch in each draw; the rest is the last one."""
    event = program.structure.events[chance.event]
    weights = program.values.weight[draws, event["branch"] : event["branch_end"]]
    if event["logit"]:
        weights = weights * np.stack([_product(factor, m) for m in chance.modifiers], axis=1)
        result: F64 = weights[:, chance.branch] / weights.sum(axis=1)
    elif chance.branch < weights.shape[1] - 1:
        result = weights[:, chance.branch]
    else:
        result = np.maximum(1.0 - weights[:, :-1].sum(axis=1), 0.0)
    return result


def _side_by_side(columns: Sequence[F64], lanes: int, n_draw: int) -> F64:
    """(draw,) columns to (block, column, lane)."""
    table = np.array(columns).reshape(len(columns), n_draw // lanes, lanes)
    return np.ascontiguousarray(table.swapaxes(0, 1))


def scratch(planned: Planned, n_meter: int, n_firing: int) -> layout.Scratch:
    """Make the space that one thread works in."""
    p, lanes, n_read = planned.plan, planned.lanes, planned.reads
    rows = {
        "mass": len(p.nodes),
        **dict.fromkeys(("x", "y", "end", "spent", "stay"), planned.states),
        "step": len(planned.rates),
        "leak": int((p.graphs["outlet_end"] - p.graphs["outlet"]).max(initial=0)),
        "taken": int((p.happenings["source_end"] - p.happenings["source"]).max(initial=0)),
        "rate": layout.MOST * n_meter,
        **dict.fromkeys(("worth", "amount"), n_meter),
        "fired": n_firing,
        "lane": 3,
    }
    return layout.Scratch(
        **{name: np.zeros((n, lanes)) for name, n in rows.items()},
        **{name: np.zeros((n, n_read * lanes)) for name, n in (("seen", layout.MOST), ("total", 1), ("ended", 2))},
        **{name: np.zeros(layout.MOST) for name in ("weight", "later")},
    )
