"""Exact probabilities of a small process: Kolmogorov's forward equations on its reachable states.

A state is the flags with the starts of all clocks. It is finite as long as only scheduled events move
clocks, so that starts are known instants; a hazard that starts a clock makes a continuum of them, and
the solver refuses. Between scheduled instants rates are constant (matrix exponential) or change with
age (Weibull: a tight ODE, in a time in which a hazard that is infinite at age 0 is not).
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from forecast.errors import SolverError
from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program
from forecast.types import F64

FULL = (1 << 64) - 1


class Node(NamedTuple):
    """A path's whole state: flags, clock starts (inf: not running) and the cause that ended it (−1: none)."""

    flags: int
    starts: tuple[float, ...]
    cause: int


@dataclass(frozen=True)
class ExactForecast:
    """Exact probabilities for one draw at the times of a grid.

    cause (time, cause): ended by it; outcome (time, outcome): in the class; state (time, flag): flag set.
    """

    cause: F64
    outcome: F64
    state: F64


def exact_forecast(program: Program, draw: int, grid: F64, max_states: int = 2048) -> ExactForecast:
    """Solve one draw of a program exactly.

    Parameters
    ----------
    program
        From `compile_process`.
    draw
        Which posterior draw.
    grid
        Shape (time,): years since the as-of date, increasing.
    max_states
        Refuse more states than this.

    Raises
    ------
    SolverError
        A hazard moves a clock, or there are too many states.
    """
    return _Solver(program, draw, max_states).solve(grid)


class _Solver:
    """One solution under way: `mass` is the probability of each state at time `t`."""

    def __init__(self, program: Program, draw: int, max_states: int) -> None:
        self.p, self.s, self.v, self.d, self.max_states = program, program.structure, program.values, draw, max_states
        s = self.s
        for k in range(len(s.haz_kind)):
            if s.eff_end[k] < 0 and (int(s.eff_start[k]) | int(s.eff_stop[k])):
                raise SolverError(
                    f"hazard {program.process.hazards[k].id!r} starts or stops a clock at a random time; "
                    "the exact solver takes processes whose clocks only scheduled events move: simulate this one"
                )
        self.t = 0.0
        self.mass: dict[Node, float] = {Node(int(s.flags0[0]), tuple(s.clock0.tolist()), -1): 1.0}

    def solve(self, grid: F64) -> ExactForecast:
        s, p = self.s, self.p
        cause = np.zeros((len(grid), len(p.causes)))
        outcome = np.zeros((len(grid), len(p.outcomes)))
        state = np.zeros((len(grid), len(p.flags)))
        self._instant()
        for i, goal in enumerate(grid):
            while self.t < goal:
                nodes, moves = self._reachable()
                end = min(goal, self._next_break(nodes))
                self._flow(nodes, moves, end)
                self.t = end
                self._instant()
            for node, mass in self.mass.items():
                outcome[i, self._outcome(node)] += mass
                if node.cause >= 0:
                    cause[i, node.cause] += mass
                for f in range(len(p.flags)):
                    state[i, f] += mass * (node.flags >> f & 1)
        if abs(sum(self.mass.values()) - 1.0) > 1e-9 or s.horizon[0] < grid[-1] - 1e-12:
            raise SolverError("the probabilities do not add up to one: please report this process")
        return ExactForecast(cause, outcome, state)

    # ---- what the arrays say -----------------------------------------------------------------

    def _holds(self, q: int, flags: int) -> bool:
        s = self.s
        if flags & int(s.cond_want[q]) != int(s.cond_want[q]) or flags & int(s.cond_forbid[q]):
            return False
        groups = range(s.cond_group[q], s.cond_group[q + 1])
        return all(flags & int(s.group_want[g]) or ~flags & FULL & int(s.group_forbid[g]) for g in groups)

    def _factor(self, first: int, last: int, flags: int) -> float:
        s, result = self.s, 1.0
        for m in range(first, last):
            if flags & int(s.mod_want[m]) == int(s.mod_want[m]) and not flags & int(s.mod_forbid[m]):
                result *= float(self.v.factor[self.d, m])
        return result

    def _rate(self, k: int, node: Node, elapsed: float) -> float:
        """Intensity of hazard k in a state, `elapsed` years after the present instant."""
        s, c = self.s, int(self.s.haz_clock[k])
        if not self._holds(s.haz_cond[k], node.flags) or (c >= 0 and node.starts[c] == np.inf):
            return 0.0
        age = self.t - (node.starts[c] if c >= 0 else 0.0) + elapsed
        if age < 0.0:
            return 0.0
        factor = self._factor(s.haz_mod[k], s.haz_mod[k + 1], node.flags)
        if s.haz_kind[k] == WEIBULL:
            shape, scale = float(self.v.shape[self.d, k]), float(self.v.scale[self.d, k])
            return factor * shape / scale * (age / scale) ** (shape - 1.0) if age > 0.0 else 0.0
        first, last = s.haz_bin[k], s.haz_bin[k + 1]
        i = first + int(np.searchsorted(s.bin_edge[first:last], age, side="right")) - 1
        return factor * float(self.v.bin_rate[self.d, max(i, first)])

    def _after(self, e: int, node: Node) -> Node:
        s = self.s
        flags = (node.flags | int(s.eff_set[e])) & ~int(s.eff_clear[e])
        starts = list(node.starts)
        for c in range(len(starts)):
            if int(s.eff_stop[e]) >> c & 1:
                starts[c] = np.inf
            if int(s.eff_start[e]) >> c & 1:
                starts[c] = self.t
        return Node(flags, tuple(starts), int(s.eff_end[e]))

    def _outcome(self, node: Node) -> int:
        for o, (ended, q) in enumerate(zip(self.s.out_cause.tolist(), self.s.out_cond.tolist(), strict=True)):
            matches = node.cause < 0 if ended == 0 else node.cause >= 0 and ended >> node.cause & 1
            if matches and self._holds(q, node.flags):
                return o
        return len(self.s.out_cond)

    # ---- between instants --------------------------------------------------------------------

    def _reachable(self) -> tuple[list[Node], list[tuple[int, int, int]]]:
        """States that hazards can reach from here, and the moves (from, to, hazard) between them."""
        index = {n: i for i, n in enumerate(self.mass)}
        queue, moves = list(index), []
        for node in queue:
            if node.cause >= 0:
                continue
            for k in range(len(self.s.haz_kind)):
                if self._holds(self.s.haz_cond[k], node.flags):
                    target = self._after(k, node)
                    if target not in index:
                        index[target] = len(index)
                        queue.append(target)
                    moves.append((index[node], index[target], k))
            if len(index) > self.max_states:
                raise SolverError(f"more than {self.max_states} states; simulate this process instead")
        return list(index), moves

    def _next_break(self, nodes: list[Node]) -> float:
        """Return the next instant at which something is due or a rate jumps."""
        s, t = self.s, self.t
        later = [x for x in s.cal_time.tolist() if x > t]
        for node in nodes:
            if node.cause >= 0:
                continue
            later += [node.starts[c] + a for c, a in zip(s.aged_clock.tolist(), s.aged_age.tolist(), strict=True)]
            for k in range(len(s.haz_kind)):
                start = node.starts[s.haz_clock[k]] if s.haz_clock[k] >= 0 else 0.0
                later += [start + e for e in s.bin_edge[s.haz_bin[k] : s.haz_bin[k + 1]].tolist()]
        return min(x for x in later if x > t)

    def _flow(self, nodes: list[Node], moves: list[tuple[int, int, int]], end: float) -> None:
        start = self.t
        x0 = np.array([self.mass.get(n, 0.0) for n in nodes])
        weibull = [(i, k) for i, _, k in moves if self.s.haz_kind[k] == WEIBULL]
        if weibull:
            x1 = self._flow_by_ode(nodes, moves, x0, end, self._stretch(nodes, weibull))
        else:
            x1 = expm(self._generator(nodes, moves, (end - start) / 2).T * (end - start)) @ x0
        self.mass = {n: float(x) for n, x in zip(nodes, x1, strict=True) if x > 0.0}

    def _generator(self, nodes: list[Node], moves: list[tuple[int, int, int]], elapsed: float) -> F64:
        q = np.zeros((len(nodes), len(nodes)))
        for i, j, k in moves:
            rate = self._rate(k, nodes[i], elapsed)
            q[i, j] += rate
            q[i, i] -= rate
        return q

    def _stretch(self, nodes: list[Node], weibull: list[tuple[int, int]]) -> float:
        """Smallest shape below 1 of a hazard whose age is 0 now: there it is infinite."""
        shapes = [1.0]
        for i, k in weibull:
            c = int(self.s.haz_clock[k])
            if nodes[i].starts[c] == self.t:
                shapes.append(float(self.v.shape[self.d, k]))
        return min(shapes)

    def _flow_by_ode(
        self, nodes: list[Node], moves: list[tuple[int, int, int]], x0: F64, end: float, stretch: float
    ) -> F64:
        """Integrate over u with t = start + u^(1/stretch), in which no rate is infinite."""
        length = end - self.t
        last = np.nextafter(length, 0.0)  # a rate may jump at the end

        def slope(u: float, x: F64) -> F64:
            u = max(u, 1e-30)
            elapsed = min(u ** (1.0 / stretch), last)
            speed = u ** (1.0 / stretch - 1.0) / stretch
            out = np.zeros_like(x)
            for i, j, k in moves:
                flow = self._rate(k, nodes[i], elapsed) * speed * x[i]
                out[i] -= flow
                out[j] += flow
            return out

        span = (0.0, length**stretch)
        solution = solve_ivp(slope, span, x0, method="DOP853", rtol=1e-9, atol=1e-13)
        if not solution.success:
            raise SolverError(f"the forward equations could not be integrated: {solution.message}")
        return np.asarray(solution.y[:, -1])

    # ---- at an instant -----------------------------------------------------------------------

    def _instant(self) -> None:
        """Run everything that is due now, in file order."""
        s, t = self.s, self.t
        calendar: dict[int, int] = defaultdict(int)
        for when, event in zip(s.cal_time.tolist(), s.cal_event.tolist(), strict=True):
            if when == t:
                calendar[event] += 1
        aged = dict(
            zip(s.aged_event.tolist(), zip(s.aged_clock.tolist(), s.aged_age.tolist(), strict=True), strict=True)
        )
        for event in range(len(s.sch_cond)):
            for _ in range(calendar[event]):
                self._happen(event, None)
            if event in aged:
                self._happen(event, aged[event])

    def _happen(self, event: int, at_age: tuple[int, float] | None) -> None:
        new: dict[Node, float] = defaultdict(float)
        for node, mass in self.mass.items():
            due = at_age is None or node.starts[at_age[0]] + at_age[1] == self.t
            if node.cause >= 0 or not due or not self._holds(self.s.sch_cond[event], node.flags):
                new[node] += mass
                continue
            for b, p in self._chances(event, node.flags):
                new[self._after(len(self.s.haz_kind) + b, node)] += mass * p
        self.mass = dict(new)

    def _chances(self, event: int, flags: int) -> list[tuple[int, float]]:
        s, first, last = self.s, int(self.s.sch_branch[event]), int(self.s.sch_branch[event + 1])
        weights = [float(w) for w in self.v.weight[self.d, first:last]]
        if s.sch_logit[event]:
            for n, b in enumerate(range(first, last - 1)):
                weights[n] *= self._factor(s.branch_mod[b], s.branch_mod[b + 1], flags)
            total = sum(weights)
            return [(b, w / total) for b, w in zip(range(first, last), weights, strict=True)]
        weights[-1] = 1.0 - sum(weights[:-1])
        return list(zip(range(first, last), weights, strict=True))
