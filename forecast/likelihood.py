"""Facts to date → the exact log-likelihood of a history under every posterior draw of a program.

A history names every firing on one path, hazards and branches alike. It is followed once by its names, which
is where mistakes are found and told; the numbers are left to `kernels.likelihood`.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np

from forecast.deal.spec import AtAge, Condition, Effect, Hazard, Scheduled
from forecast.errors import ForecastError
from forecast.kernels.likelihood import path_log_likelihood
from forecast.process.compile import Program
from forecast.simulate import PathLog
from forecast.types import F64, I64, date_after

TOLERANCE = 1e-9  # years, 0.03 seconds: how far a scheduled firing may be from its date, to allow for rounding


@dataclass(frozen=True)
class History:
    """What was seen of one path from the as-of date to `end`, both included.

    time (event,): years since the as-of date, in order
    firing (event,): number into `Program.firings`: the hazard that fired, or the branch that was taken
    end: years; up to then everything that fired is here. An event that ended the path may come earlier.
    """

    time: F64
    firing: I64
    end: float

    @classmethod
    def of(cls, log: PathLog, i: int) -> Self:
        """Whole history of recorded path i, up to its end or the horizon."""
        if log.truncated[i]:
            raise ForecastError(
                f"path {i} of the log: only its first {log.n_step[i]} events were kept; record it with more max_steps"
            )
        n = int(log.n_step[i])
        return cls(log.time[i, :n].copy(), log.firing[i, :n].astype(np.int64), float(log.end_time[i]))

    @classmethod
    def named(cls, program: Program, events: Sequence[tuple[float, str]], end: float) -> Self:
        """History of (years, firing id) pairs; an id is a hazard's, or event/branch."""
        ids = [f.id for f in program.firings]
        wrong = [name for _, name in events if name not in ids]
        if wrong:
            near = [get_close_matches(name, ids, n=3) or ids for name in wrong]
            raise ForecastError(
                "\n".join(
                    f"history: no firing {name!r}; it must be a hazard or event/branch, such as {', '.join(n[:3])}"
                    for name, n in zip(wrong, near, strict=True)
                )
            )
        time = np.array([t for t, _ in events], dtype=np.float64)
        return cls(time, np.array([ids.index(name) for _, name in events], dtype=np.int64), end)


def log_likelihood(program: Program, history: History) -> F64:
    """Compute the exact log-likelihood of a history under each draw of a program.

    Σ log λ_k(t) over the hazards that fired − ∫ Σ_k λ_k(u) du over [0, `history.end`], or up to the event that
    ended the path, + Σ log P(branch) over the scheduled events that were due and enabled. Andersen, Borgan,
    Gill & Keiding 1993, Statistical Models Based on Counting Processes, section II.7.

    Parameters
    ----------
    program
        From `compile_process`.
    history
        Every firing from 0 to `history.end`, in order; at one instant scheduled events in file order come
        before hazards. Scheduled firings may be 1e-9 years off their date, and are taken to be on it.

    Returns
    -------
    F64
        Shape (draw,). The unit of density is 1/year for each hazard that fired; −inf where a draw makes the
        history impossible, as a rate of 0 does.

    Raises
    ------
    ForecastError
        One line for each firing that the process could not make in any draw, and for each that is missing.
    """
    time, firing = _checked(program, history)
    out = np.empty(program.n_draw)
    s = program.structure
    scratch = np.empty(len(s.clock0)), np.empty(len(program.process.hazards))
    with np.errstate(over="ignore", invalid="ignore"):  # for the kernel with the compiler off: it knows infinity
        path_log_likelihood(s, program.values, *scratch, time, firing, float(history.end), out)
    return out


class _Entry(NamedTuple):
    """One firing of a history: its place, years, and number into `Program.firings`."""

    place: int
    time: float
    firing: int


def _checked(program: Program, history: History) -> tuple[F64, I64]:
    """Times, the scheduled ones exactly on their dates, and firings of a history that is possible."""
    time, firing = np.asarray(history.time, dtype=np.float64), np.asarray(history.firing)
    if time.ndim != 1 or time.shape != firing.shape or not (np.issubdtype(firing.dtype, np.integer) or not len(time)):
        raise ForecastError(
            "history: time and firing must be arrays of one length, of years and of numbers into the program's "
            f"firings (got shapes {time.shape} and {firing.shape}, the latter of {firing.dtype})"
        )
    walk = _Walk(program)
    walk.follow([_Entry(i, t, f) for i, (t, f) in enumerate(zip(time.tolist(), firing.tolist(), strict=True))], history)
    if walk.problems:
        raise ForecastError("\n".join(f"history: {p}" for p in walk.problems))
    return np.array(walk.times, dtype=np.float64), firing.astype(np.int64)


class _Walk:
    """A path followed by the names of its flags and clocks; `problems` collects what cannot have been."""

    def __init__(self, program: Program) -> None:
        process, s = program.process, program.structure
        self.program, self.process = program, process
        self.flags = {f.id for f in process.flags if f.initially}
        self.clocks: dict[str, float] = dict(zip((c.id for c in process.clocks), s.clock0.tolist(), strict=True))
        self.calendar = list(
            zip(s.calendar["time"].tolist(), s.calendar["event"].tolist(), strict=True)
        )  # inf at the end
        self.number = {e.id: n for n, e in enumerate(process.scheduled)}
        self.aged = {n: e.at_age for n, e in enumerate(process.scheduled) if e.at_age}
        due = {n: self._deadline(a) for n, a in self.aged.items()}
        self.due = {n: t if t >= 0.0 else np.inf for n, t in due.items()}
        self.taken: dict[int, float] = {}  # when each scheduled event last had a branch taken
        self.next = 0  # entry of the calendar
        self.now = 0.0
        self.ended: _Entry | None = None
        self.times: list[float] = []
        self.problems: list[str] = []

    def follow(self, entries: Sequence[_Entry], history: History) -> None:
        """Follow a whole history."""
        if not 0.0 <= history.end <= self.process.horizon:
            latest = self._at(self.process.horizon)
            self.problems.append(f"its end, {self._at(history.end)}, must lie between 0 and the horizon, {latest}")
        good = [e for e in entries if self._sound(e, history.end)]
        late = [(before, e) for before, e in pairwise(good) if e.time < before.time - TOLERANCE]
        for before, e in late:
            self.problems.append(f"{self._name(e)}: comes after {self._name(before)}; put them in order of time")
        rest = deque(sorted(good, key=lambda e: e.time) if late else good)
        while rest:
            entry = rest.popleft()
            if not self._reach(entry, rest):
                self._fire(entry)
        if self.ended is None and history.end <= self.process.horizon:
            self._pass_due(history.end, None, rest)

    # ---- one entry -----------------------------------------------------------------------------

    def _sound(self, e: _Entry, end: float) -> bool:
        """Whether an entry names a firing and a time that can be followed."""
        n = len(self.program.firings)
        if not 0 <= e.firing < n:
            self.problems.append(f"entry {e.place}: no firing {e.firing}; they have the numbers 0 to {n - 1}")
        elif not e.time >= 0.0:
            self.problems.append(
                f"{self._name(e)}: its time must not be before the as-of date, {self.process.as_of}; "
                "what happened earlier belongs in the state at that date"
            )
        elif e.time > self.process.horizon:
            self.problems.append(f"{self._name(e)}: is past the horizon, {self._at(self.process.horizon)}; drop it")
        elif e.time > end:
            self.problems.append(
                f"{self._name(e)}: is past the end of the history, {self._at(end)}; drop it or set a later end"
            )
        else:
            return True
        return False

    def _reach(self, entry: _Entry, rest: deque[_Entry]) -> bool:
        """Pass everything that was due before an entry; True if that leaves nothing to do with it."""
        if self.ended is None:
            scheduled = bool(self.program.firings[entry.firing].branch)
            if self._pass_due(entry.time + TOLERANCE * scheduled, entry, rest):
                return True
        if self.ended is not None:
            self.problems.append(f"{self._name(entry)}: the path had ended by {self._name(self.ended)}; drop it")
            return True
        if self.program.firings[entry.firing].branch:
            self.problems.append(f"{self._name(entry)}: {self._no_date(entry)}")
        elif why := self._why_not(self.process.hazards[entry.firing], entry.time):
            self.problems.append(f"{self._name(entry)}: could not fire, as {why}")
        return False

    def _pass_due(self, limit: float, entry: _Entry | None, rest: deque[_Entry]) -> bool:
        """Pass the scheduled events due by `limit`, or up to the one that an entry is about; True if that was one."""
        while self.ended is None:
            t, n = min([self.calendar[self.next], *((t, n) for n, t in self.due.items())])
            if t > limit or t == np.inf:
                return False
            if n in self.aged:
                self.due[n] = np.inf
            else:
                self.next += 1
            event = self.process.scheduled[n]
            unmet = _unmet(event.when, self.flags)
            if entry is not None and self._is(entry, n, t):
                if unmet:
                    self.problems.append(f"{self._name(entry)}: was not enabled, as it needs {unmet}; drop it")
                self._fire(entry, t)
                return True
            if not unmet:
                self._left_out(event, t, entry, rest)
        return False

    def _left_out(self, event: Scheduled, t: float, entry: _Entry | None, rest: deque[_Entry]) -> None:
        """Tell of an event that was due and enabled: it comes later in the history, at the same time, or never."""
        later = next((e for e in rest if self._is(e, self.number[event.id], t)), None)
        if later is None or entry is None:
            ids = ", ".join(f"{event.id}/{b.id}" for b in event.branches)
            self.problems.append(
                f"event {event.id!r} at {self._at(t)}: was due and enabled, but has no branch in the history; "
                f"add the one that was taken ({ids})"
            )
            return
        self.problems.append(
            f"{self._name(later)}: must come before {self._name(entry)}; at one instant scheduled events "
            "come first, in the order of the file"
        )
        rest.remove(later)
        self._fire(later, t)

    def _fire(self, entry: _Entry, due: float | None = None) -> None:
        """Let an entry happen, even if it could not: what comes after it most likely took it for granted."""
        self.now = max(entry.time if due is None else due, self.now)
        self.times.append(self.now)
        event = self.number.get(self.program.firings[entry.firing].event)
        if event is not None:
            self.taken[event] = self.now
        effect = self.program.effects[entry.firing]
        self.flags = (self.flags | {*effect.set}) - {*effect.clear}
        if effect.end:
            self.ended = entry
        self._move_clocks(effect)

    def _move_clocks(self, effect: Effect) -> None:
        self.clocks |= dict.fromkeys(effect.stop, np.inf) | dict.fromkeys(effect.start, self.now)
        for n, at_age in self.aged.items():
            if at_age.clock in effect.stop or at_age.clock in effect.start:
                self.due[n] = self._deadline(at_age)

    # ---- questions -----------------------------------------------------------------------------

    def _deadline(self, at_age: AtAge) -> float:
        return self.clocks[at_age.clock] + at_age.age

    def _is(self, entry: _Entry, n: int, t: float) -> bool:
        """Whether an entry is a branch of scheduled event n, due at t."""
        firing = self.program.firings[entry.firing]
        return bool(firing.branch) and self.number[firing.event] == n and abs(entry.time - t) <= TOLERANCE

    def _why_not(self, hazard: Hazard, t: float) -> str:
        """Say why a hazard could not fire at t; empty if it could."""
        if unmet := _unmet(hazard.when, self.flags):
            return f"it needs {unmet}; put what made it so before it, or drop it"
        if hazard.clock is None:
            return ""
        start = self.clocks[hazard.clock]
        if start == np.inf:
            return f"its clock {hazard.clock!r} was not running; put what starts it before it, or drop it"
        if t < start:
            return f"its clock {hazard.clock!r} starts only at {self._at(start)}; give a later time, or drop it"
        if t == start and hazard.weibull_shape:
            return (
                f"its clock {hazard.clock!r} starts at that very time, when a Weibull rate is 0 or infinite; "
                "give a later time"
            )
        return ""

    def _no_date(self, entry: _Entry) -> str:
        """Say when the scheduled event of an entry is due, as it isn't due at its time."""
        event = self.process.scheduled[self.number[self.program.firings[entry.firing].event]]
        n = self.number[event.id]
        if abs(self.taken.get(n, np.inf) - entry.time) <= TOLERANCE:
            return "had its branch taken at that time already; keep one of the two"
        if event.at_age:
            clock, age, due = event.at_age.clock, event.at_age.age, self.due[n]
            if due < np.inf:
                return f"is due when clock {clock!r} reaches an age of {age:.12g} years, at {self._at(due)}"
            return f"is due when clock {clock!r} reaches an age of {age:.12g} years, which lies not ahead of it then"
        dates = [t for t, m in self.calendar if m == n and t < np.inf]
        if not dates:
            return "has no date inside the forecast; drop it"
        nearest = min(dates, key=lambda t: abs(t - entry.time))
        return f"has no date then; the nearest is {self._at(nearest)}"

    def _name(self, e: _Entry) -> str:
        f = self.program.firings[e.firing]
        return f"{'event' if f.branch else 'hazard'} {f.id!r} at {self._at(e.time)}"

    def _at(self, t: float) -> str:
        """Years and, where the calendar has it, the date."""
        if not -1000.0 < t < 1000.0:
            return f"{t:.12g} years"
        day = date_after(self.process.as_of, t)
        return f"{t:.12g} years ({day:%Y-%m-%d})"


def _unmet(condition: Condition, flags: set[str]) -> str:
    """What a condition lacks, in words; empty where it holds."""
    lacking = [repr(x) for x in condition.all if not _literal(x, flags)]
    lacking += [f"one of {', '.join(map(repr, g))}" for g in condition.any if not any(_literal(x, flags) for x in g)]
    return " and ".join(lacking)


def _literal(literal: str, flags: set[str]) -> bool:
    name = literal.removeprefix("not ")
    return (name in flags) == (name == literal)
