"""A process as the exact solver's plan: every state that any draw may reach, and what happens to them when.

Made once for all draws, from the rules alone. Between instants (something is due, or a rate jumps) the rates of a
draw are constant, and a graph says which of them move what; at an instant, masses are handed over. A number that
is 0 in some draw leaves states empty there.
"""

import sys
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from forecast.errors import SolverError
from forecast.kernels import exact as layout
from forecast.kernels.exact import ALWAYS, NEVER
from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program
from forecast.process.states import Node, Rules
from forecast.types import F64, I64


class Rate(NamedTuple):
    """A hazard's rate in some states: the base rate at a place, times the modifiers that hold."""

    place: int
    modifiers: tuple[int, ...]


class Chance(NamedTuple):
    """Probability of a branch in some states: number `branch` of its event; the modifiers that hold, by branch."""

    event: int
    branch: int
    modifiers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Planned:
    """A plan, and what its numbers stand for.

    columns (outcome + cause + flag,): place of each in what is read; −1 where it is never so, −2 where always.
    states: largest number at one time of states that have not ended.
    """

    plan: layout.Plan
    rates: tuple[Rate, ...]
    chances: tuple[Chance, ...]
    columns: I64
    states: int

    @property
    def reads(self) -> int:
        """How many different things are read."""
        return int(self.columns.max(initial=NEVER)) + 1

    @property
    def lanes(self) -> int:
        """How many draws go side by side: many, as long as their states stay in the processor's fast memory."""
        return min(max(8192 // self.states, 8), 64) // 8 * 8


class Way(NamedTuple):
    """A hazard out of a state: since when its clock runs, where it leads and the modifiers that hold."""

    hazard: int
    since: float
    target: Node
    modifiers: tuple[int, ...]


class _Numbered[K: Hashable](dict[K, int]):
    """Numbers things in the order in which they are first met."""

    def __missing__(self, key: K) -> int:
        self[key] = len(self)
        return self[key]


def plan_of(program: Program, grid: F64, max_states: int, max_visits: int | None = None) -> Planned:
    """Plan the solution of a program at the times of a grid.

    Raises
    ------
    SolverError
        A hazard is Weibull or starts a clock whose age matters, there are more than `max_states` states at one
        time, or more than `max_visits` of them when those of all stretches of time are added up; or the grid is
        wrong.
    """
    grid = checked_grid(program, grid)
    kinds = program.structure.hazards["kind"].tolist()
    for hazard, kind in zip(program.process.hazards, kinds, strict=True):
        if kind == WEIBULL:
            raise SolverError(f"hazard {hazard.id!r} is Weibull, so that its rate never rests; simulate this process")
    return _Planner(program, grid, max_states, max_visits or sys.maxsize).plan()


def checked_grid(program: Program, grid: F64) -> F64:
    """Return a grid that a solver can take."""
    grid = np.ascontiguousarray(grid, dtype=np.float64)
    if not len(grid) or not grid[0] >= 0 or not (np.diff(grid) > 0).all() or grid[-1] > program.horizon + 1e-12:
        raise SolverError("grid: times must increase, from 0 or later to the horizon at most")
    return grid


class _Planner:
    """A plan in the making; `rows` become its arrays."""

    def __init__(self, program: Program, grid: F64, max_states: int, max_visits: int) -> None:
        self.program, self.s, self.grid = program, program.structure, grid
        self.max_states, self.visits_left = max_states, max_visits
        self.rules = Rules(program)
        self.nodes: _Numbered[Node] = _Numbered()
        self.rates: _Numbered[Rate] = _Numbered()
        self.chances: _Numbered[Chance] = _Numbered()
        self.found: dict[Node, list[Way]] = {}
        self.graphs: dict[Hashable, int] = {}
        self.endings: list[list[tuple[int, int, Node]]] = []  # of each graph: source, rate, target
        self.rows: dict[str, list[Any]] = {name: [] for name in layout.Plan._fields}
        self.states = 0
        meters = self.s.meters.tolist()
        self.flows = [(m, q) for m, (q, _, _) in enumerate(meters) if q >= 0]
        self.paid = [
            [m for m, (q, first, last) in enumerate(meters) if q < 0 and first <= e < last]
            for e in range(len(program.firings))
        ]

    def plan(self) -> Planned:
        """Walk from instant to instant."""
        alive, t, horizon = [self.rules.first()], 0.0, self.program.horizon
        self.nodes[alive[0]]  # number 0, where all the mass is at first
        while True:
            happening = len(self.rows["happenings"])
            for event, at_age in self.rules.due(t):
                alive = self._happen(event, at_age, alive, t)
            end = min(self.rules.next_break(alive, t), horizon)
            alive = self._reach(alive, t)
            first, last = np.searchsorted(self.grid, (t, end)).tolist()
            last = len(self.grid) if t == horizon else last
            graph = self._graph(alive, t, (t + end) / 2.0)
            self.rows["stretches"].append((t, end, graph, first, last, happening, len(self.rows["happenings"])))
            if t == horizon:
                return self._planned()
            t = end

    # ---- at an instant -----------------------------------------------------------------------

    def _happen(self, event: int, at_age: tuple[int, float] | None, alive: list[Node], t: float) -> list[Node]:
        """Enter what an event hands over; return the states that may hold mass after it."""
        sources = [n for n in alive if self.rules.happens(event, at_age, n, t)]
        if not sources:
            return alive
        after = dict.fromkeys(n for n in alive if n not in set(sources))
        handovers = []
        for i, node in enumerate(sources):
            for b, chance in self._branches(event, node.flags):
                firing = self.rules.n_haz + b
                target = self.rules.after(firing, node, t)
                if target.cause < 0:
                    after[target] = None
                handovers.append((i, target, chance, firing))
        source = self._append("sources", [self.nodes[n] for n in sources])
        self.rows["happenings"].append((*source, *self._append("handovers", handovers)))
        return list(after)

    def _branches(self, event: int, flags: int) -> Iterator[tuple[int, int]]:
        """Branches of an event, and the number of the chance that each has in a state."""
        first, last = (int(self.s.events[name][event]) for name in ("branch", "branch_end"))
        mods = self.s.branches[first:last].tolist()
        active = tuple(self.rules.active(a, b, flags) for a, b in mods)
        for b in range(first, last):
            yield b, self.chances[Chance(event, b - first, active)]

    # ---- between instants --------------------------------------------------------------------

    def _ways(self, node: Node, t: float) -> list[Way]:
        """Hazards out of a state that run at time t."""
        if node not in self.found:
            self.found[node] = [
                Way(k, self.rules.since(k, node), self.rules.after(k, node, t), self._modifiers(k, node.flags))
                for k in self.rules.enabled(node)
            ]
        return [w for w in self.found[node] if w.since <= t]

    def _modifiers(self, k: int, flags: int) -> tuple[int, ...]:
        return self.rules.active(self.rules.hazards[k][4], self.rules.hazards[k][5], flags)

    def _reach(self, alive: list[Node], t: float) -> list[Node]:
        """States that hazards can reach, in order of their numbers."""
        seen = dict.fromkeys(alive)
        queue = list(seen)
        for node in queue:  # grows while it is walked
            for way in self._ways(node, t):
                if way.target.cause < 0 and way.target not in seen:
                    seen[way.target] = None
                    queue.append(way.target)
            if len(queue) > self.max_states:
                raise SolverError(f"more than {self.max_states} states; simulate this process instead")
        self.states, self.visits_left = max(self.states, len(queue)), self.visits_left - len(queue)
        if self.visits_left < 0:
            raise SolverError("too many states at too many times; simulate this process instead")
        return sorted(queue, key=self.nodes.__getitem__)

    def _graph(self, nodes: list[Node], t: float, middle: float) -> int:
        """Number of the graph of these states, with the rates that are in force in the middle of the stretch."""
        ways = [self._ways(n, t) for n in nodes]
        asked = dict.fromkeys((w.hazard, w.since) for some in ways for w in some)
        place = {(k, since): self.rules.bin(k, middle - since) for k, since in asked}
        key = (tuple(self.nodes[n] for n in nodes), tuple(place.items()))
        if key not in self.graphs:
            self.graphs[key] = len(self.graphs)
            rated = [[(self.rates[Rate(place[w.hazard, w.since], w.modifiers)], w) for w in some] for some in ways]
            self._add_graph(nodes, rated)
        return self.graphs[key]

    def _add_graph(self, nodes: list[Node], rated: list[list[tuple[int, Way]]]) -> None:
        at = {n: i for i, n in enumerate(nodes)}
        into: list[list[tuple[int, int]]] = [[] for _ in nodes]
        out: list[list[int]] = [[] for _ in nodes]
        fires, lumps, endings = [], [], []
        for i, (node, some) in enumerate(zip(nodes, rated, strict=True)):
            for rate, way in some:
                fires.append((i, rate, way.hazard))
                lumps += [(i, rate, m) for m in self.paid[way.hazard]]
                if way.target.cause >= 0:
                    endings.append((i, rate, way.target))
                elif way.target != node:
                    into[at[way.target]].append((i, rate))
                if way.target != node:
                    out[i].append(rate)
        actives = [
            (self.nodes[n], *self._append("moves", into[i]), *self._append("exits", out[i]))
            for i, n in enumerate(nodes)
        ]
        parts: dict[str, Sequence[Any]] = {"actives": actives, "fires": fires, "lumps": lumps}
        self.endings.append(endings)
        self.rows["graphs"].append(tuple(x for name, rows in parts.items() for x in self._append(name, rows)))

    # ---- the arrays --------------------------------------------------------------------------

    def _append(self, name: str, rows: Sequence[Any]) -> tuple[int, int]:
        """Add rows to an array; return their range."""
        first = len(self.rows[name])
        self.rows[name] += rows
        return first, len(self.rows[name])

    def _shown(self, node: Node) -> list[bool]:
        """Whether a path in a state is in each class, ended by each cause, and has each flag."""
        p, outcome = self.program, self.rules.outcome(node)
        return [
            *(o == outcome for o in range(len(p.outcomes))),
            *(c == node.cause for c in range(len(p.causes))),
            *(bool(node.flags >> f & 1) for f in range(len(p.flags))),
        ]

    def _planned(self) -> Planned:
        """Turn the rows into arrays; what is the same in every state is read once."""
        met = dict.fromkeys(self.nodes)
        met |= dict.fromkeys(row[1] for row in self.rows["handovers"])
        met |= dict.fromkeys(row[2] for endings in self.endings for row in endings)
        shown = np.array([self._shown(n) for n in met], dtype=np.bool_)
        different, inverse = np.unique(shown, axis=1, return_inverse=True)
        kept = np.flatnonzero(different.any(axis=0) & ~different.all(axis=0))
        place = np.where(different.all(axis=0), ALWAYS, NEVER)
        place[kept] = np.arange(len(kept))
        reads = {n: np.flatnonzero(row).tolist() for n, row in zip(met, different[:, kept], strict=True)}
        self._number(reads)
        kinds: dict[str, Any] = {**dict.fromkeys(layout.Plan._fields, np.uint32), **layout.RECORDS}
        arrays = {name: np.array(rows, dtype=kinds[name]) for name, rows in self.rows.items() if name != "grid"}
        plan = layout.Plan(**arrays, grid=self.grid)
        return Planned(plan, tuple(self.rates), tuple(self.chances), place[inverse], self.states)

    def _number(self, reads: Mapping[Node, list[int]]) -> None:
        """Write numbers for the states in the rows, and what is read off them."""
        ranges = {n: self._append("reads", r) for n, r in reads.items()}
        on = {n: [m for m, q in self.flows if self.rules.holds(q, n.flags)] for n in self.nodes}
        self.rows["nodes"] = [(*ranges[n], *self._append("meters", on[n])) for n in self.nodes]
        pay = [self._append("meters", m) for m in self.paid]
        self.rows["handovers"] = [
            (i, -1, chance, firing, *ranges[n], *pay[firing])
            if n.cause >= 0
            else (i, self.nodes[n], chance, firing, 0, 0, *pay[firing])
            for i, n, chance, firing in self.rows["handovers"]
        ]
        graphs = []
        for row, endings in zip(self.rows["graphs"], self.endings, strict=True):
            leaks: dict[tuple[int, int], list[int]] = defaultdict(list)
            for i, rate, n in endings:
                for what in reads[n]:
                    leaks[what, i].append(rate)
            outlets = [(i, what, *self._append("exits", leaks[what, i])) for what, i in sorted(leaks)]
            graphs.append((*row, *self._append("outlets", outlets)))
        self.rows["graphs"] = graphs
