"""Whether a process is small: whether solving it costs no more than simulating it."""

import numpy as np

from forecast.errors import SolverError
from forecast.kernels import exact as layout
from forecast.kernels.layout import Records
from forecast.process.compile import Program
from forecast.process.forward import MAX_STATES, numbers_of
from forecast.process.plan import Planned, plan_of
from forecast.types import F64

PATH = 1500.0  # multiplications and additions of the solver that take as long as a path: half a microsecond
PATHS = 256  # a draw; as many as a run has unless told otherwise
TERMS = 8.0  # of a stretch of time, at least
TYPICAL = 16  # draws whose rates are looked at


def small(program: Program, grid: F64) -> Planned | None:
    """Plan the exact solution of a process, if it is small; None if it is to be simulated.

    It is small if the solver takes it, with at most `MAX_STATES` states at one time, and if by its count of
    operations a draw takes no longer than `PATHS` paths at half a microsecond each. Nothing is timed, so that the
    answer is the same everywhere.
    """
    limit = PATH * PATHS
    try:
        planned = plan_of(program, grid, MAX_STATES, max_visits=int(limit / (4.0 * TERMS)))
    except SolverError:
        return None
    return planned if work_of(program, planned) <= limit else None


def work_of(program: Program, planned: Planned) -> float:
    """Estimate the multiplications and additions that the solver needs for a typical draw."""
    p, n_read, n_meter = planned.plan, planned.reads, len(program.structure.meters)
    step, times = p.stretches["end"] - p.stretches["start"], _sizes(p.stretches, "grid")
    jumps = _leaving(program, planned)[p.stretches["graph"]] * step
    pieces = np.ceil(jumps / layout.MEAN).clip(1.0)
    ends = times <= layout.FEW * pieces  # pieces end at the times of the grid, and only there is anything read
    pieces = np.where(ends, pieces + times, pieces)
    terms = TERMS + jumps / pieces + 7.5 * np.sqrt(jumps / pieces)
    states, leaks, fires = (_sizes(p.graphs, name) for name in ("active", "outlet", "fire"))
    reads = np.add.reduceat(_sizes(p.nodes, "read")[p.actives["node"]], p.graphs["active"]) + leaks
    term = np.add.reduceat(
        4.0 + _sizes(p.actives, "move") + _sizes(p.nodes, "flow")[p.actives["node"]], p.graphs["active"]
    )
    term += _sizes(p.graphs, "lump")
    begin = fires + 2.0 * states + leaks + len(planned.rates)
    term, begin, reads = (of_graph[p.stretches["graph"]] for of_graph in (term, begin, reads + 2.0 * n_read))
    mix = terms * (0.3 * n_read + 5.0 * n_meter) + 10.0 * len(planned.columns) + 60.0 * n_meter
    show = times * np.where(ends, reads + mix, mix)
    stretches = pieces * terms * (term + np.where(ends, 0.0, reads)) + begin + show
    handovers = 3.0 + _sizes(p.handovers, "read") + 10.0 * _sizes(p.handovers, "pay")
    return float(stretches.sum() + handovers.sum())


def _leaving(program: Program, planned: Planned) -> F64:
    """Largest rate of leaving a state, typically: (graph,) 1/year."""
    p = planned.plan
    if not len(planned.rates):
        return np.zeros(len(p.graphs))
    some = np.unique(np.linspace(0, program.n_draw - 1, TYPICAL).astype(np.int64))
    rates, *_ = numbers_of(program, planned, some)
    rate = rates.swapaxes(0, 1).reshape(len(planned.rates), -1)[:, : len(some)].mean(axis=1)
    upto = np.append(0.0, np.cumsum(rate[p.exits]))
    result: F64 = np.maximum.reduceat(upto[p.actives["exit_end"]] - upto[p.actives["exit"]], p.graphs["active"])
    return result


def _sizes(of: Records, name: str) -> F64:
    """Lengths of ranges."""
    result: F64 = of[f"{name}_end"].astype(np.float64) - of[name]
    return result
