"""Exact probabilities of one draw: Kolmogorov's forward equations on the reachable states, slow and plain.

What the simulation and the solver of all draws (`forecast.process.forward`) are tested against. Between instants
the rates are constant (uniformisation, which adds positive terms only, so that rare states keep their relative
accuracy) or change with an age (Weibull: a tight ODE, in a time in which a rate that is infinite at age 0 is not).
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.integrate import solve_ivp
from scipy.sparse import csr_array, eye_array

from forecast.errors import SolverError
from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program
from forecast.process.forward import ExactForecasts, exact_forecasts
from forecast.process.plan import checked_grid
from forecast.process.states import Node, Rules
from forecast.types import F64

__all__ = ["ExactForecast", "ExactForecasts", "exact_forecast", "exact_forecasts"]

TAIL = 1e-17  # Poisson tail that uniformisation leaves out


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
    return _Solver(program, draw, max_states).solve(checked_grid(program, grid))


class _Solver:
    """One solution under way: `mass` is the probability of each state at time `t`."""

    def __init__(self, program: Program, draw: int, max_states: int) -> None:
        self.p, self.s, self.v, self.d, self.max_states = program, program.structure, program.values, draw, max_states
        self.rules = Rules(program)
        self.t = 0.0
        self.mass: dict[Node, float] = {self.rules.first(): 1.0}

    def solve(self, grid: F64) -> ExactForecast:
        p = self.p
        cause = np.zeros((len(grid), len(p.causes)))
        outcome = np.zeros((len(grid), len(p.outcomes)))
        state = np.zeros((len(grid), len(p.flags)))
        self._instant()
        for i, goal in enumerate(grid.tolist()):
            while self.t < goal:
                nodes, moves = self._reachable()
                end = min(goal, self.rules.next_break(nodes, self.t))
                self._flow(nodes, moves, end)
                self.t = end
                self._instant()
            for node, mass in self.mass.items():
                outcome[i, self.rules.outcome(node)] += mass
                if node.cause >= 0:
                    cause[i, node.cause] += mass
                for f in range(len(p.flags)):
                    state[i, f] += mass * (node.flags >> f & 1)
        total = sum(self.mass.values())
        if abs(total - 1.0) > 1e-8:
            raise SolverError(f"the probabilities add up to {total:.12g}: please report this process")
        return ExactForecast(cause, outcome, state)

    # ---- between instants --------------------------------------------------------------------

    def _reachable(self) -> tuple[list[Node], list[Move]]:
        """States that hazards can reach from here, and the moves between them."""
        index = {n: i for i, n in enumerate(self.mass)}
        queue, moves = list(index), []
        for node in queue:  # grows while it is walked
            for k in self.rules.enabled(node):
                target = self.rules.after(k, node, self.t)
                if target not in index:
                    index[target] = len(index)
                    queue.append(target)
                if target != node:
                    moves.append(Move(index[node], index[target], k))
            if len(index) > self.max_states:
                raise SolverError(f"more than {self.max_states} states; simulate this process instead")
        return queue, moves

    def _flow(self, nodes: list[Node], moves: list[Move], end: float) -> None:
        """Carry the mass from now to `end`; no rate jumps and nothing is due in between."""
        x, length = np.array([self.mass.get(n, 0.0) for n in nodes]), end - self.t
        fixed: list[tuple[Move, float]] = []
        ageing: dict[tuple[int, float], list[tuple[Move, float]]] = defaultdict(list)
        for m in moves:
            start = self.rules.since(m.k, nodes[m.i])
            if self.t + length / 2 < start:  # the clock starts later
                continue
            rate = self._factor(self.s.hazards["mod"][m.k], self.s.hazards["mod_end"][m.k], nodes[m.i].flags)
            if self.s.hazards["kind"][m.k] == WEIBULL:
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

    def _factor(self, first: int, last: int, flags: int) -> float:
        return float(np.prod(self.v.factor[self.d, list(self.rules.active(first, last, flags))]))

    def _bin_rate(self, k: int, age: float) -> float:
        """Constant or piecewise base rate at an age."""
        return float(self.v.bin_rate[self.d, self.rules.bin(k, age)])

    # ---- at an instant -----------------------------------------------------------------------

    def _instant(self) -> None:
        """Run everything that is due now, in file order."""
        for event, at_age in self.rules.due(self.t):
            new: dict[Node, float] = defaultdict(float)
            for node, mass in self.mass.items():
                if not self.rules.happens(event, at_age, node, self.t):
                    new[node] += mass
                    continue
                for b, chance in self._chances(event, node.flags):
                    if chance > 0.0:
                        new[self.rules.after(self.rules.n_haz + b, node, self.t)] += mass * chance
            self.mass = dict(new)

    def _chances(self, event: int, flags: int) -> Iterator[tuple[int, float]]:
        """Probability of each branch; the rest is the last one."""
        e = self.s.events[event]
        first, last = int(e["branch"]), int(e["branch_end"])
        weights = [float(w) for w in self.v.weight[self.d, first:last]]
        if e["logit"]:
            for n, b in enumerate(range(first, last - 1)):
                mods = self.s.branches[b]
                weights[n] *= self._factor(mods["mod"], mods["mod_end"], flags)
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
