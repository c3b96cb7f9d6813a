"""Exact probabilities of a small process: Kolmogorov's forward equations on its reachable states.

A state is the flags with the start of every clock whose age matters. That is a finite set as long as
only scheduled events start such clocks, so that starts are known instants; a hazard that starts one
makes a continuum, and the solver refuses. Between instants the rates are constant (uniformisation, which
adds positive terms only, so that rare states keep their relative accuracy) or change with an age
(Weibull: a tight ODE, in a time in which a rate that is infinite at age 0 is not).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.sparse import csr_array, eye_array

from forecast.errors import SolverError
from forecast.kernels.layout import CONSTANT, WEIBULL
from forecast.process.compile import Program
from forecast.types import F64

FULL = (1 << 64) - 1
TAIL = 1e-17  # Poisson tail that uniformisation leaves out


class Node(NamedTuple):
    """A path's whole state: flags, clock starts (inf: not running) and the cause that ended it (−1: none)."""

    flags: int
    starts: tuple[float, ...]
    cause: int


class Move(NamedTuple):
    """Hazard k takes a path from node i to node j."""

    i: int
    j: int
    k: int


@dataclass(frozen=True)
class ExactForecast:
    """Exact probabilities for one draw at the times of a grid.

    cause (time, cause): ended by it; outcome (time, outcome): in the class; state (time, flag): flag set.
    """

    cause: F64
    outcome: F64
    state: F64


def exact_forecast(program: Program, draw: int, grid: F64, max_states: int = 4096) -> ExactForecast:
    """Solve one draw of a program exactly, to about 1e-9.

    Parameters
    ----------
    program
        From `compile_process`.
    draw
        Which posterior draw.
    grid
        Shape (time,): years since the as-of date, increasing, none past the horizon.
    max_states
        Refuse more states than this.

    Raises
    ------
    SolverError
        A hazard starts a clock whose age matters, there are too many states, or the grid is wrong.
    """
    grid = np.asarray(grid, dtype=np.float64)
    if not len(grid) or grid[0] < 0 or (np.diff(grid) <= 0).any() or grid[-1] > program.horizon:
        raise SolverError("grid: times must increase, from 0 or later to the horizon at most")
    return _Solver(program, draw, max_states).solve(grid)


class _Solver:
    """One solution under way: `mass` is the probability of each state at time `t`."""

    def __init__(self, program: Program, draw: int, max_states: int) -> None:
        self.p, self.s, self.v, self.d, self.max_states = program, program.structure, program.values, draw, max_states
        s = self.s
        self.n_haz = len(s.haz_kind)
        n_clock = len(s.clock0)
        aged = set(s.aged_clock.tolist())
        readers: dict[int, set[int]] = defaultdict(set)
        for c, kind in zip(s.haz_clock.tolist(), s.haz_kind.tolist(), strict=True):
            readers[c].add(kind)
        self.read = [c in aged or bool(readers[c]) for c in range(n_clock)]
        # a clock that only constant rates look at has no age that matters: it runs or it doesn't
        self.ageless = [c not in aged and readers[c] <= {CONSTANT} for c in range(n_clock)]
        for k in range(self.n_haz):
            for c in range(n_clock):
                starts = s.eff_end[k] < 0 and int(s.eff_start[k]) >> c & 1
                if starts and self.read[c] and not self.ageless[c]:
                    raise SolverError(
                        f"hazard {program.process.hazards[k].id!r} starts clock {program.process.clocks[c].id!r} at a "
                        "random time; the exact solver takes processes in which only scheduled events start "
                        "clocks whose age matters: simulate this one"
                    )
        self.t = 0.0
        starts0 = (self._start(c, x) for c, x in enumerate(s.clock0.tolist()))
        self.mass: dict[Node, float] = {Node(int(s.flags0[0]), tuple(starts0), -1): 1.0}

    def solve(self, grid: F64) -> ExactForecast:
        p = self.p
        cause = np.zeros((len(grid), len(p.causes)))
        outcome = np.zeros((len(grid), len(p.outcomes)))
        state = np.zeros((len(grid), len(p.flags)))
        self._instant()
        for i, goal in enumerate(grid.tolist()):
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
        total = sum(self.mass.values())
        if abs(total - 1.0) > 1e-8:
            raise SolverError(f"the probabilities add up to {total:.12g}: please report this process")
        return ExactForecast(cause, outcome, state)

    # ---- what the arrays say -----------------------------------------------------------------

    def _start(self, c: int, t: float) -> float:
        """Start of a clock as a state keeps it: unread clocks never run, ageless ones have run for ever."""
        if not self.read[c]:
            return np.inf
        return 0.0 if self.ageless[c] and t <= self.t else t

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

    def _since(self, k: int, node: Node) -> float:
        """Time from which hazard k counts its age in a state."""
        c = int(self.s.haz_clock[k])
        return node.starts[c] if c >= 0 else 0.0

    def _bin_rate(self, k: int, age: float) -> float:
        """Constant or piecewise base rate at an age."""
        first, last = self.s.haz_bin[k], self.s.haz_bin[k + 1]
        i = first + int(np.searchsorted(self.s.bin_edge[first:last], age, side="right")) - 1
        return float(self.v.bin_rate[self.d, i])

    def _after(self, e: int, node: Node) -> Node:
        s = self.s
        flags = (node.flags | int(s.eff_set[e])) & ~int(s.eff_clear[e])
        if s.eff_end[e] >= 0:  # clocks no longer matter
            return Node(flags, (), int(s.eff_end[e]))
        starts = list(node.starts)
        for c in range(len(starts)):
            if int(s.eff_stop[e]) >> c & 1:
                starts[c] = np.inf
            if int(s.eff_start[e]) >> c & 1:
                starts[c] = self._start(c, self.t)
        return Node(flags, tuple(starts), -1)

    def _outcome(self, node: Node) -> int:
        for o, (ended, q) in enumerate(zip(self.s.out_cause.tolist(), self.s.out_cond.tolist(), strict=True)):
            matches = node.cause < 0 if ended == 0 else node.cause >= 0 and ended >> node.cause & 1
            if matches and self._holds(q, node.flags):
                return o
        return len(self.s.out_cond)

    # ---- between instants --------------------------------------------------------------------

    def _reachable(self) -> tuple[list[Node], list[Move]]:
        """States that hazards can reach from here, and the moves between them."""
        index = {n: i for i, n in enumerate(self.mass)}
        queue, moves = list(index), []
        for node in queue:  # grows while it is walked
            if node.cause >= 0:
                continue
            for k in range(self.n_haz):
                if self._since(k, node) < np.inf and self._holds(self.s.haz_cond[k], node.flags):
                    target = self._after(k, node)
                    if target not in index:
                        index[target] = len(index)
                        queue.append(target)
                    if target != node:
                        moves.append(Move(index[node], index[target], k))
            if len(index) > self.max_states:
                raise SolverError(f"more than {self.max_states} states; simulate this process instead")
        return queue, moves

    def _next_break(self, nodes: list[Node]) -> float:
        """Return the next instant at which something is due or a rate jumps."""
        s = self.s
        starts = {(c, x) for n in nodes if n.cause < 0 for c, x in enumerate(n.starts) if x < np.inf}
        starts.add((-1, 0.0))
        later: list[float] = s.cal_time.tolist()
        for c, x in starts:
            later += [x + a for b, a in zip(s.aged_clock.tolist(), s.aged_age.tolist(), strict=True) if b == c]
            for k in range(self.n_haz):
                if s.haz_clock[k] == c:
                    later += [x + e for e in s.bin_edge[s.haz_bin[k] : s.haz_bin[k + 1]].tolist()]
        return min(x for x in later if x > self.t)

    def _flow(self, nodes: list[Node], moves: list[Move], end: float) -> None:
        """Carry the mass from now to `end`; no rate jumps and nothing is due in between."""
        x, length = np.array([self.mass.get(n, 0.0) for n in nodes]), end - self.t
        fixed: list[tuple[Move, float]] = []
        ageing: dict[tuple[int, float], list[tuple[Move, float]]] = defaultdict(list)
        for m in moves:
            start = self._since(m.k, nodes[m.i])
            if self.t + length / 2 < start:  # the clock starts later
                continue
            rate = self._factor(self.s.haz_mod[m.k], self.s.haz_mod[m.k + 1], nodes[m.i].flags)
            if self.s.haz_kind[m.k] == WEIBULL:
                ageing[m.k, start].append((m, rate))
            else:
                fixed.append((m, rate * self._bin_rate(m.k, self.t - start + length / 2)))
        constant = _generator(fixed, len(nodes))
        if ageing:
            parts = [(k, start, _generator(entries, len(nodes))) for (k, start), entries in ageing.items()]
            x = self._integrate(x, constant, parts, length)
        else:
            x = _uniformise(x, constant, length)
        self.mass = {n: float(m) for n, m in zip(nodes, x, strict=True) if m > 0.0}

    def _integrate(self, x: F64, constant: Any, parts: list[tuple[int, float, Any]], length: float) -> F64:
        """Integrate over u in [0, 1], with time = now + length·u^p: no rate is infinite or has a cusp in u."""
        shape = [float(self.v.shape[self.d, k]) for k, _, _ in parts]
        scale = [float(self.v.scale[self.d, k]) for k, _, _ in parts]
        age0 = [self.t - start for _, start, _ in parts]
        p = max([1.0, *(3.0 / c for c, a in zip(shape, age0, strict=True) if a == 0.0)])

        def slope(u: float, y: F64) -> F64:
            elapsed = length * u**p
            speed = length * p * u ** (p - 1.0)
            out = speed * (constant @ y)
            for c, b, a, (_, _, q) in zip(shape, scale, age0, parts, strict=True):
                age = a + elapsed
                if age > 0.0:
                    out += speed * c / b * (age / b) ** (c - 1.0) * (q @ y)
            return np.asarray(out)

        solution = solve_ivp(slope, (0.0, 1.0), x, method="DOP853", rtol=1e-10, atol=1e-15)
        if not solution.success:
            raise SolverError(f"the forward equations could not be integrated: {solution.message}")
        return np.asarray(solution.y[:, -1])

    # ---- at an instant -----------------------------------------------------------------------

    def _instant(self) -> None:
        """Run everything that is due now, in file order."""
        s = self.s
        aged = {
            e: (c, a) for e, c, a in zip(s.aged_event.tolist(), s.aged_clock.tolist(), s.aged_age.tolist(), strict=True)
        }
        first, last = np.searchsorted(s.cal_time, self.t, "left"), np.searchsorted(s.cal_time, self.t, "right")
        due = [*s.cal_event[first:last].tolist(), *aged]
        for event in sorted(due):
            self._happen(event, aged.get(event))

    def _happen(self, event: int, at_age: tuple[int, float] | None) -> None:
        new: dict[Node, float] = defaultdict(float)
        for node, mass in self.mass.items():
            due = node.cause < 0 and (at_age is None or node.starts[at_age[0]] + at_age[1] == self.t)
            if not due or not self._holds(self.s.sch_cond[event], node.flags):
                new[node] += mass
                continue
            for b, chance in self._chances(event, node.flags):
                if chance > 0.0:
                    new[self._after(self.n_haz + b, node)] += mass * chance
        self.mass = dict(new)

    def _chances(self, event: int, flags: int) -> Iterator[tuple[int, float]]:
        """Probability of each branch; the rest is the last one."""
        s, first, last = self.s, int(self.s.sch_branch[event]), int(self.s.sch_branch[event + 1])
        weights = [float(w) for w in self.v.weight[self.d, first:last]]
        if s.sch_logit[event]:
            for n, b in enumerate(range(first, last - 1)):
                weights[n] *= self._factor(s.branch_mod[b], s.branch_mod[b + 1], flags)
            total = sum(weights)
            weights = [w / total for w in weights]
        else:
            weights[-1] = 1.0 - sum(weights[:-1])
        yield from zip(range(first, last), weights, strict=True)


def _generator(entries: list[tuple[Move, float]], n: int) -> Any:
    """Transposed generator matrix of moves with rates: d mass / dt = Q mass."""
    i = np.array([m.i for m, _ in entries], dtype=np.int64)
    j = np.array([m.j for m, _ in entries], dtype=np.int64)
    rate = np.array([r for _, r in entries], dtype=np.float64)
    return csr_array((np.concatenate([rate, -rate]), (np.concatenate([j, i]), np.concatenate([i, i]))), shape=(n, n))


def _uniformise(x: F64, q: Any, length: float) -> F64:
    """e^(q·length) x as a Poisson mixture of steps of a discrete chain (Jensen 1953)."""
    fastest = float(-q.diagonal().min())
    if fastest == 0.0:
        return x
    chain = eye_array(len(x), format="csr") + q / fastest
    pieces = max(1, int(np.ceil(fastest * length / 20.0)))
    mean = fastest * length / pieces
    for _ in range(pieces):
        term, weight, n = x, float(np.exp(-mean)), 0
        total = weight * term
        while n < mean or weight > TAIL:
            n += 1
            term, weight = chain @ term, weight * mean / n
            total = total + weight * term
        x = np.maximum(total, 0.0) * (x.sum() / total.sum())
    return x
