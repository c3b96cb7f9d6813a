"""What a path's whole state is and where it can go from there, whatever the numbers of a draw.

A state is the flags with the start of every clock whose age matters. That is a finite set as long as
only scheduled events start such clocks, so that starts are known instants; a hazard that starts one
makes a continuum, and the exact solvers refuse.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from forecast.errors import SolverError
from forecast.kernels.layout import CONSTANT
from forecast.process.compile import Program

FULL = (1 << 64) - 1


class Node(NamedTuple):
    """A path's whole state: flags, clock starts (inf: not running) and the cause that ended it (−1: none)."""

    flags: int
    starts: tuple[float, ...]
    cause: int


class Rules:
    """The rules of a program's process on its states."""

    def __init__(self, program: Program) -> None:
        self.s = s = program.structure
        self.n_haz = len(s.hazards)
        n_clock = len(s.clock0)
        aged = set(s.aged["clock"].tolist())
        readers: dict[int, set[int]] = defaultdict(set)
        for c, kind in zip(s.hazards["clock"].tolist(), s.hazards["kind"].tolist(), strict=True):
            readers[c].add(kind)
        self.read = [c in aged or bool(readers[c]) for c in range(n_clock)]
        # a clock that only constant rates look at has no age that matters: it runs or it doesn't
        self.ageless = [c not in aged and readers[c] <= {CONSTANT} for c in range(n_clock)]
        for k in range(self.n_haz):
            for c in range(n_clock):
                starts = s.effects["end"][k] < 0 and int(s.effects["start"][k]) >> c & 1
                if starts and self.read[c] and not self.ageless[c]:
                    raise SolverError(
                        f"hazard {program.process.hazards[k].id!r} starts clock {program.process.clocks[c].id!r} at a "
                        "random time; the exact solver takes processes in which only scheduled events start "
                        "clocks whose age matters: simulate this one"
                    )
        fields = ["cond", "clock", "bin", "bin_end", "mod", "mod_end"]
        self.hazards: list[tuple[int, int, int, int, int, int]] = s.hazards[fields].tolist()
        self.conditions: list[tuple[int, int, int, int]] = s.conditions.tolist()
        self.groups: list[tuple[int, int]] = s.groups.tolist()
        self.modifiers: list[tuple[int, int]] = s.modifiers.tolist()
        self.effects: list[tuple[int, int, int, int, int]] = s.effects[
            ["set", "clear", "start", "stop", "end"]
        ].tolist()
        self.outcomes: list[tuple[int, int]] = s.outcomes.tolist()
        self.aged: list[tuple[float, int, int]] = s.aged.tolist()
        # what jumps at an age of a clock (−1: none, that is the as-of date): a rate, or a scheduled event
        self.ages: dict[int, set[float]] = defaultdict(set)
        for age, _, c in self.aged:
            self.ages[c].add(age)
        for _, c, first, last, _, _ in self.hazards:
            self.ages[c].update(s.bin_edge[first:last].tolist())

    def first(self) -> Node:
        """State at the as-of date."""
        starts = (self.start(c, x, 0.0) for c, x in enumerate(self.s.clock0.tolist()))
        return Node(int(self.s.whole["flags"][0]), tuple(starts), -1)

    def start(self, c: int, t: float, now: float) -> float:
        """Start of a clock as a state keeps it: unread clocks never run, ageless ones have run for ever."""
        if not self.read[c]:
            return np.inf
        return 0.0 if self.ageless[c] and t <= now else t

    def holds(self, q: int, flags: int) -> bool:
        """Whether condition q holds."""
        want, forbid, first, last = self.conditions[q]
        if flags & want != want or flags & forbid:
            return False
        return all(flags & any_set or ~flags & FULL & any_clear for any_set, any_clear in self.groups[first:last])

    def active(self, first: int, last: int, flags: int) -> tuple[int, ...]:
        """Those of the modifiers first … last − 1 that hold."""
        mods = enumerate(self.modifiers[first:last], first)
        return tuple(m for m, (want, forbid) in mods if flags & want == want and not flags & forbid)

    def since(self, k: int, node: Node) -> float:
        """Time from which hazard k counts its age in a state."""
        c = self.hazards[k][1]
        return node.starts[c] if c >= 0 else 0.0

    def bin(self, k: int, age: float) -> int:
        """Place, among all rates, of the one that hazard k has at an age."""
        _, _, first, last, _, _ = self.hazards[k]
        return first + int(np.searchsorted(self.s.bin_edge[first:last], age, side="right")) - 1

    def enabled(self, node: Node) -> Iterator[int]:
        """Hazards whose condition holds and whose clock runs, or will run before anything touches it."""
        if node.cause < 0:
            for k in range(self.n_haz):
                if self.since(k, node) < np.inf and self.holds(self.hazards[k][0], node.flags):
                    yield k

    def after(self, e: int, node: Node, now: float) -> Node:
        """State after effect e."""
        sets, clears, start, stop, end = self.effects[e]
        flags = (node.flags | sets) & ~clears
        if end >= 0:  # clocks no longer matter
            return Node(flags, (), end)
        starts = list(node.starts)
        for c in range(len(starts)):
            if stop >> c & 1:
                starts[c] = np.inf
            if start >> c & 1:
                starts[c] = self.start(c, now, now)
        return Node(flags, tuple(starts), -1)

    def outcome(self, node: Node) -> int:
        """First outcome class that matches a state; the last one catches the rest."""
        for o, (ended, q) in enumerate(self.outcomes):
            matches = node.cause < 0 if ended == 0 else node.cause >= 0 and ended >> node.cause & 1
            if matches and self.holds(q, node.flags):
                return o
        return len(self.outcomes)

    def next_break(self, nodes: Iterable[Node], now: float) -> float:
        """Return the next instant at which something is due or a rate jumps; infinite if there is none."""
        starts = {(c, x) for n in nodes if n.cause < 0 for c, x in enumerate(n.starts) if x < np.inf}
        calendar = self.s.calendar["time"]
        later = [float(calendar[np.searchsorted(calendar, now, side="right")])]  # the last one is at infinity
        later += [x + age for c, x in (*starts, (-1, 0.0)) for age in self.ages.get(c, ()) if x + age > now]
        return min(later)

    def due(self, now: float) -> list[tuple[int, tuple[int, float] | None]]:
        """Events that may be due at an instant, in file order; with clock and age where they go by one."""
        first, last = (np.searchsorted(self.s.calendar["time"], now, side) for side in ("left", "right"))
        dated = [(e, None) for e in self.s.calendar["event"][first:last].tolist()]
        return sorted([*dated, *((e, (c, age)) for age, e, c in self.aged)], key=lambda x: x[0])

    def happens(self, event: int, at_age: tuple[int, float] | None, node: Node, now: float) -> bool:
        """Whether an event that may be due happens in a state."""
        if node.cause >= 0 or (at_age is not None and node.starts[at_age[0]] + at_age[1] != now):
            return False
        return self.holds(int(self.s.events["cond"][event]), node.flags)
