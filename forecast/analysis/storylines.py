"""Typical courses of events: what led to each ending, how often, and when.

A storyline keeps, of all that happened on a path, the milestones that its ending depends on:

* a firing is a milestone if it changed a flag or a clock, or ended the path. Not so what merely comes
  and goes in an event that recurs (a party that refuses in one round and accepts in the next): a
  branch whose every change another branch of the same recurring event undoes;
* a milestone belongs to the story if the ending reads what it changed: the flags and the clock of the
  condition that let the ending happen (of an open path: of its outcome class), those of the risk factors
  that were in force by then, and from there back through the conditions of what changed those;
* a milestone that follows one with the same label is left out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import xarray as xr

from forecast import schema
from forecast.analysis.history import Masks, bits, holds, initial_flags, walk
from forecast.deal.spec import Condition, Modifier
from forecast.process.compile import Program
from forecast.simulate import PathLog
from forecast.types import B8, I64, U64, date_after

ARROW = " → "
TOP = 40
NO_FLAG = np.uint64(0)


@dataclass(frozen=True)
class Storyline:
    """A course of events shared by `count` sampled paths; one date (years) a step, the median."""

    steps: tuple[str, ...]
    cause: str
    count: int
    dates: tuple[float, ...]
    example: int


def storyline_table(program: Program, log: PathLog, found: Sequence[Storyline], top: int = TOP) -> xr.Dataset:
    """Tabulate the most frequent storylines of sampled paths.

    Parameters
    ----------
    program
        From `compile_process`.
    log
        Sampled paths, spread evenly over the draws.
    found
        Their storylines, from `storylines`.
    top
        How many, at most.

    Returns
    -------
    xr.Dataset
        The group `storylines` of a forecast, most frequent first. Its attributes say what share of the
        sampled paths the rows cover, and how many were left out because their log is not complete.
    """
    rows, n = found[:top], len(log.n_step)
    share = np.array([r.count for r in rows], dtype=np.float64) / max(n, 1)
    as_of = program.process.as_of
    return schema.dataset(
        "/storylines",
        {
            "sampled_paths": n,
            "distinct": len(found),
            "share_covered": float(share.sum()),
            "paths_left_out": int(log.truncated.sum()),
        },
        text=[ARROW.join(r.steps) for r in rows],
        ended_by=[r.cause for r in rows],
        frequency=share,
        frequency_mcse=np.sqrt(share * (1.0 - share) / max(n, 1)),
        dates=[months(as_of, r.dates) for r in rows],
        example_path=np.array([r.example for r in rows], dtype=np.int64),
    )


def months(as_of: date, dates: Iterable[float]) -> str:
    """Write years since the as-of date as months, joined by arrows."""
    return ARROW.join(f"{date_after(as_of, t):%b %Y}" for t in dates)


def storylines(program: Program, log: PathLog, replicates: int) -> list[Storyline]:
    """Group whole paths by their storyline, most frequent first; ties in the order of the text."""
    told = _Telling(program)
    row, step, label, ending = told.milestones(log)
    number = log.draw * replicates + log.replicate
    starts = np.searchsorted(row, np.arange(len(log.n_step) + 1))
    groups: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    for i in np.flatnonzero(ending >= 0):
        groups[int(ending[i]), label[starts[i] : starts[i + 1]].tobytes()].append(int(i))
    found = []
    for (end, _), members in groups.items():
        paths = np.array(members)
        first, length = starts[paths], int(starts[paths[0] + 1] - starts[paths[0]])
        at = first[:, None] + np.arange(length)
        times = np.column_stack([log.time[row[at], step[at]], log.end_time[paths]])
        middle = np.median(times, axis=0)
        nearest = paths[np.argmin(np.abs(times - middle).sum(axis=1))]
        text = tuple(told.labels[k] for k in label[at[0]]) if length else ()
        found.append(
            Storyline((*text, told.ending_label(end)), told.cause(end), len(paths), tuple(middle), int(number[nearest]))
        )
    return sorted(found, key=lambda s: (-s.count, s.steps))


@dataclass
class _Telling:
    """What each firing changes and reads, and which firings matter for which ending.

    An ending is numbered by its firing, or, of a path that is open, by firings + outcome class.
    """

    program: Program
    masks: Masks = field(init=False)
    flags: dict[str, int] = field(init=False)
    clocks: dict[str, int] = field(init=False)
    labels: list[str] = field(init=False)
    code: I64 = field(init=False)

    def __post_init__(self) -> None:
        process = self.program.process
        self.masks = Masks.of(self.program)
        self.flags = {name: n for n, name in enumerate(self.program.flags)}
        self.clocks = {c.id: n for n, c in enumerate(process.clocks)}
        texts = [f.label.replace(ARROW, " to ") for f in self.program.firings]
        self.labels = list(dict.fromkeys(texts))
        order = {text: n for n, text in enumerate(self.labels)}
        self.code = np.array([order[t] for t in texts], dtype=np.int64)
        hazards = {h.id: (h.when, h.modifiers, h.clock) for h in process.hazards}
        branches = {
            (s.id, b.id): (s.when, b.modifiers, s.at_age.clock if s.at_age else None)
            for s in process.scheduled
            for b in s.branches
        }
        read = [hazards[f.event] if f.kind == "hazard" else branches[f.event, f.branch] for f in self.program.firings]
        self._needs = [(self._flags_of(when), bits((clock,), self.clocks) if clock else 0) for when, _, clock in read]
        self._modifiers = [modifiers for _, modifiers, _ in read]

    def milestones(self, log: PathLog) -> tuple[I64, I64, I64, I64]:
        """Milestones before the ending of every path.

        Returns `row`, `step` and `label` of each milestone, sorted by row and step, and the ending of
        each path (−1 where the log is not complete).
        """
        n = len(log.n_step)
        changed = np.zeros((n, int(log.n_step.max(initial=0))), np.bool_)
        flags = np.full(n, initial_flags(self.program), np.uint64)
        running = np.full(n, bits(tuple(c.id for c in self.program.process.clocks if c.running_since), self.clocks))
        running = running.astype(np.uint64)
        m = self.masks
        for s in walk(self.program, log, m):
            is_running = running[s.row]
            stops = (m.stop[s.firing] & is_running) != 0
            changed[s.row, s.number] = (s.before != s.after) | stops | (m.start[s.firing] != 0)
            running[s.row] = (is_running & ~m.stop[s.firing]) | m.start[s.firing]
            ends = m.ends[s.firing]
            changed[s.row[ends], s.number] = False
            flags[s.row] = np.where(ends, s.before, s.after)
        ending = self._endings(log, flags)
        row, step = np.nonzero(changed & (ending >= 0)[:, None])
        firing = log.firing[row, step].astype(np.int64)
        keep = self._matters(ending, self._in_force(ending, flags))[row, firing] & ~self._passing()[firing]
        row, step, label = row[keep], step[keep], self.code[firing[keep]]
        again = np.zeros(len(row), np.bool_)
        again[1:] = (row[1:] == row[:-1]) & (label[1:] == label[:-1])
        return row[~again], step[~again], label[~again], ending

    def ending_label(self, ending: int) -> str:
        """Last step of the story; the cause is added where endings by several causes share a label."""
        n = len(self.code)
        if ending >= n:
            return f"At the horizon: {self.program.process.outcomes[ending - n].label.replace(ARROW, ' to ')}"
        label = str(self.labels[self.code[ending]])
        same = {e.end for e, code in zip(self.program.effects, self.code, strict=True) if code == self.code[ending]}
        if len(same - {None}) < 2:
            return label
        cause = next(c.label for c in self.program.process.causes if c.id == self.program.effects[ending].end)
        return f"{label}: {cause.replace(ARROW, ' to ')}"

    def cause(self, ending: int) -> str:
        """Cause that the ending stands for; empty for an open path."""
        return str(self.program.effects[ending].end or "") if ending < len(self.code) else ""

    def _endings(self, log: PathLog, flags: U64) -> I64:
        last = log.firing[np.arange(len(flags)), np.maximum(log.n_step - 1, 0)].astype(np.int64)
        taken = np.full(len(flags), -1, dtype=np.int64)
        for n, o in enumerate(self.program.process.outcomes):
            if not o.causes:
                taken[(taken < 0) & holds(o.when or Condition(), flags, self.flags)] = n
        ending = np.where(log.cause >= 0, last, taken + len(self.code))
        ending[log.truncated] = -1
        return ending

    def _in_force(self, ending: I64, flags: U64) -> U64:
        """Flags of the ending's risk factors that hold and have changed since the as-of date."""
        changed = flags ^ np.uint64(initial_flags(self.program))
        result = np.zeros(len(flags), np.uint64)
        for e in np.unique(ending[(ending >= 0) & (ending < len(self.code))]):
            rows = np.flatnonzero(ending == e)
            for modifier in self._modifiers[e]:
                if modifier.when:
                    hold = holds(Condition(all=(modifier.when,)), flags[rows], self.flags)
                    result[rows] |= np.where(hold, np.uint64(_bit(modifier, self.flags)), NO_FLAG) & changed[rows]
        return result

    def _matters(self, ending: I64, in_force: U64) -> B8:
        """Whether a firing belongs to the story of a path: (path, firing)."""
        keys = np.column_stack([(ending + 1).astype(np.uint64), in_force])
        pairs, which = np.unique(keys, axis=0, return_inverse=True)
        stories = [self._story(int(e) - 1, int(held)) for e, held in pairs]
        result: B8 = np.array(stories, np.bool_).reshape(len(stories), len(self.code))[which.ravel()]
        return result

    def _story(self, ending: int, held: int) -> B8:
        if ending < 0:
            return np.zeros(len(self.code), np.bool_)
        if ending < len(self.code):
            flags, clocks = self._needs[ending]
            flags |= held
        else:
            flags, clocks = self._flags_of_outcome(ending - len(self.code)), 0
        m = self.masks
        while True:
            touches: B8 = ((m.set | m.clear) & np.uint64(flags) | (m.start | m.stop) & np.uint64(clocks)) != 0
            known = (flags, clocks)
            for g in np.flatnonzero(touches):
                flags |= self._needs[g][0]
                clocks |= self._needs[g][1]
            if known == (flags, clocks):
                return touches

    def _flags_of_outcome(self, n: int) -> int:
        outcomes = self.program.process.outcomes
        if outcomes[n].when is not None:
            return self._flags_of(outcomes[n].when or Condition())
        everything = 0
        for o in outcomes:
            everything |= self._flags_of(o.when or Condition())
        return everything

    def _flags_of(self, condition: Condition) -> int:
        literals = [*condition.all, *(x for group in condition.any for x in group)]
        return bits(tuple(x.removeprefix("not ") for x in literals), self.flags)

    def _passing(self) -> B8:
        """Branches of a recurring event that another branch of it undoes, and that do nothing else."""
        recurring = {s.id for s in self.program.process.scheduled if len(s.dates) > 1 or s.every}
        firings, m = self.program.firings, self.masks
        result = np.zeros(len(firings), np.bool_)
        for n, f in enumerate(firings):
            if f.event not in recurring or m.ends[n] or m.start[n] or m.stop[n]:
                continue
            others = [k for k, g in enumerate(firings) if g.event == f.event and k != n]
            sets = np.bitwise_or.reduce(m.set[others], initial=0)
            clears = np.bitwise_or.reduce(m.clear[others], initial=0)
            result[n] = not (m.set[n] & ~clears) and not (m.clear[n] & ~sets)
        return result


def _bit(modifier: Modifier, order: dict[str, int]) -> int:
    return 1 << order[(modifier.when or "").removeprefix("not ")]
