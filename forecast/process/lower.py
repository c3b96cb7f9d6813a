"""Names → integer arrays: the part of a program that every draw shares."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, pairwise
from operator import or_
from typing import Any

import numpy as np

from forecast.deal.spec import Branch, Condition, Effect, Hazard, Modifier, Process, Scheduled
from forecast.kernels import layout
from forecast.kernels.layout import CONSTANT, PIECEWISE, WEIBULL, Records, Structure
from forecast.types import F64, calendar_dates, years_between

MEMO_BITS = 8  # what reads more flags than this is worked out anew each time
MADE = 16  # random numbers of an event, at most, that are made when a path begins
EVERY = 0xFFFFFFFF


@dataclass(frozen=True)
class Firing:
    """One thing that can fire: a hazard, or a branch of a scheduled event."""

    event: str
    branch: str
    label: str
    kind: str

    @property
    def id(self) -> str:
        """Name in outputs: the hazard's id, or event/branch."""
        return f"{self.event}/{self.branch}" if self.branch else self.event


@dataclass(frozen=True)
class Meter:
    """What several consequences share: a condition or an event, and a discount rate."""

    condition: Condition | None
    firings: tuple[int, int]
    discount: str | None


def event_key(event: str) -> int:
    """32 bits that stand for an event in the random numbers: they depend on its id alone."""
    return int.from_bytes(hashlib.blake2b(event.encode(), digest_size=4).digest(), "little")


def _mask(names: Sequence[str], index: Mapping[str, int]) -> int:
    return sum(1 << index[n] for n in set(names))


def _literals(literals: Sequence[str], index: Mapping[str, int]) -> tuple[int, int]:
    want = [x for x in literals if not x.startswith("not ")]
    forbid = [x.removeprefix("not ") for x in literals if x.startswith("not ")]
    return _mask(want, index), _mask(forbid, index)


class _Conditions:
    """The distinct conditions of a process, and their masks."""

    def __init__(self, flags: Mapping[str, int]) -> None:
        self.flags = flags
        self.seen: dict[Condition, int] = {}

    def add(self, condition: Condition | None) -> int:
        """Number of a condition; the empty one if there is none."""
        return self.seen.setdefault(condition or Condition(), len(self.seen))

    def reads(self, condition: Condition) -> int:
        """Flags that a condition looks at."""
        literals = (*condition.all, *(x for g in condition.any for x in g))
        want, forbid = _literals(literals, self.flags)
        return want | forbid

    def arrays(self) -> dict[str, np.ndarray]:
        """Masks of all conditions seen."""
        masks = [_literals(c.all, self.flags) for c in self.seen]
        groups = [[_literals(g, self.flags) for g in c.any] for c in self.seen]
        ranges = _ranges([len(g) for g in groups])
        return {
            "conditions": _records(layout.CONDITION, ((*m, *r) for m, r in zip(masks, ranges, strict=True))),
            "groups": _records(layout.GROUP, (g for gs in groups for g in gs)),
        }


def _union(masks: Iterator[int]) -> int:
    return reduce(or_, masks, 0)


def _records(dtype: np.dtype[Any], rows: Iterable[tuple[Any, ...]]) -> Records:
    return np.array(list(rows), dtype=dtype)


def _u32(values: Iterable[int]) -> np.ndarray:
    return np.array(list(values), dtype=np.uint32)


def _ranges(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """First and last + 1 of things of these lengths laid end to end."""
    ends = list(accumulate(lengths, initial=0))
    return list(pairwise(ends))


def branches_of(process: Process) -> list[tuple[Scheduled, Branch]]:
    """Every branch, the rest of each event last."""
    return [(s, b) for s in process.scheduled for b in ordered(s)]


def ordered(event: Scheduled) -> list[Branch]:
    """Branches of an event, the rest last."""
    return sorted(event.branches, key=lambda b: b.probability is None and b.logit is None)


def _stops(event: Scheduled, branch: Branch) -> bool:
    """Whether a branch ends the path or leaves the event switched off."""
    effect = branch.effect
    off = {*(f"not {f}" for f in effect.set), *effect.clear}
    return effect.end is not None or not off.isdisjoint(event.when.all)


def firings_of(process: Process) -> tuple[tuple[Firing, ...], tuple[Effect, ...]]:
    """Everything that can fire, hazards first, and what each does."""
    firings = [Firing(h.id, "", h.label, "hazard") for h in process.hazards]
    firings += [Firing(s.id, b.id, b.label, "scheduled") for s, b in branches_of(process)]
    effects = [h.effect for h in process.hazards] + [b.effect for _, b in branches_of(process)]
    return tuple(firings), tuple(effects)


def modifiers_of(process: Process) -> list[tuple[str, Modifier]]:
    """Every modifier, hazards first, then branches."""
    found = [(f"hazard {h.id!r}", m) for h in process.hazards for m in h.modifiers]
    return found + [(f"event {s.id!r}", m) for s, b in branches_of(process) for m in b.modifiers]


class _Lowering:
    """Numbers for the names of one process; each method gives the arrays of one kind of thing."""

    def __init__(self, process: Process, edges: Sequence[F64]) -> None:
        self.process, self.edges = process, edges
        self.flags = {f.id: n for n, f in enumerate(process.flags)}
        self.clocks = {c.id: n for n, c in enumerate(process.clocks)}
        self.causes = {c.id: n for n, c in enumerate(process.causes)}
        self.conditions = _Conditions(self.flags)
        self.initially = _mask([f.id for f in process.flags if f.initially], self.flags)
        events = [(s.when, [m for b in s.branches for m in b.modifiers]) for s in process.scheduled]
        self.reads = [self.depends(*x) for x in (*((h.when, h.modifiers) for h in process.hazards), *events)]

    def start(self) -> dict[str, np.ndarray]:
        """State at the as-of date."""
        p = self.process
        starts = [years_between(p.as_of, c.running_since) if c.running_since else np.inf for c in p.clocks]
        reads, meters = self.class_reads(), meters_of(p)
        metered = _union(self.conditions.reads(m.condition) for m in meters if m.condition)
        lumps = sum(m.condition is None for m in meters)
        classes = 1 << len(reads) if len(reads) <= MEMO_BITS else 0
        row = (p.horizon, self.initially, _mask_of(reads), metered, lumps, self.memo_size(), classes)
        return {
            "whole": _records(layout.WHOLE, [(*row, _local(reads, self.initially))]),
            "clock0": np.array(starts, dtype=np.float64),
        }

    def depends(self, when: Condition, modifiers: Iterable[Modifier]) -> list[int]:
        """Flags that a condition and modifiers read."""
        literals = Condition(all=tuple(m.when for m in modifiers if m.when))
        return _bits(self.conditions.reads(when) | self.conditions.reads(literals))

    def class_reads(self) -> list[int]:
        """Flags that the outcome classes read."""
        return _bits(_union(self.conditions.reads(o.when) for o in self.process.outcomes if o.when))

    def memory(self) -> Iterator[tuple[int, int]]:
        """First place, and size, of what hazards, then events, remember by their own number of their flags.

        A hazard has one place a number, an event one for each branch. A hazard that reads too many flags has no
        memory: 2³² − 1; such an event has one entry, which is written anew each time.
        """
        place = 0
        widths = [0] * len(self.process.hazards) + [len(s.branches) for s in self.process.scheduled]
        for flags, width in zip(self.reads, widths, strict=True):
            remembers = len(flags) <= MEMO_BITS
            size = max(width, 1) << len(flags) if remembers else width
            yield (place if remembers or width else EVERY), size
            place += size

    def memo_size(self) -> int:
        """Places of the memory in all."""
        return sum(size for _, size in self.memory())

    def hazards(self) -> dict[str, np.ndarray]:
        """Hazards, their age bins and all modifiers."""
        hazards = self.process.hazards
        modifiers = [_literals((m.when,) if m.when else (), self.flags) for _, m in modifiers_of(self.process)]
        bins, mods = _ranges([len(e) for e in self.edges]), _ranges([len(h.modifiers) for h in hazards])
        places = [place for place, _ in self.memory()]
        rows = [
            (
                event_key(h.id),
                _kind(h, self.edges[k]),
                self.conditions.add(h.when),
                self.clocks[h.clock] if h.clock else -1,
                *bins[k],
                *mods[k],
                places[k],
                _local(self.reads[k], self.initially),
            )
            for k, h in enumerate(hazards)
        ]
        return {
            "modifiers": _records(layout.MODIFIER, modifiers),
            "hazards": _records(layout.HAZARD, rows),
            "weibull": _u32(k for k, h in enumerate(hazards) if h.weibull_shape),
            "bin_edge": np.concatenate([*self.edges, np.zeros(0)]),
        }

    def scheduled(self, calendar: Sequence[tuple[float, int, int]]) -> dict[str, np.ndarray]:
        """Scheduled events, their branches, and when they are due."""
        events, n_haz = self.process.scheduled, len(self.process.hazards)
        before = sum(len(h.modifiers) for h in self.process.hazards)
        branches, places = _ranges([len(s.branches) for s in events]), [place for place, _ in self.memory()]
        once = [all(_stops(s, b) for b in ordered(s)[:-1]) for s in events]
        dates = [sum(n == event for _, event, _ in calendar) for n in range(len(events))]
        pairs = [1 if once[n] else min(max(-(-dates[n] // 2), 1), MADE // 2) for n in range(len(events))]
        more = _ranges([count - 1 for count in pairs])
        rows = [
            (
                event_key(s.id),
                self.conditions.add(s.when),
                int(any(b.logit for b in s.branches)),
                int(once[n]),
                *branches[n],
                places[n_haz + n],
                len(s.branches) if len(self.reads[n_haz + n]) <= MEMO_BITS else 0,
                _local(self.reads[n_haz + n], self.initially),
                2 * pairs[n],
                n_haz + len(events) + more[n][0] - 1,
            )
            for n, s in enumerate(events)
        ]
        mods = _ranges([before, *(len(b.modifiers) for _, b in branches_of(self.process))])[1:]
        keys = [(event_key(name), 0) for name in (*(h.id for h in self.process.hazards), *(s.id for s in events))]
        keys += [(event_key(s.id), block) for n, s in enumerate(events) for block in range(1, pairs[n])]
        keys += [(0, 0)] * (layout.whole_vectors(len(keys)) - len(keys))
        aged = [(s.at_age.age, n, self.clocks[s.at_age.clock]) for n, s in enumerate(events) if s.at_age]
        return {
            "events": _records(layout.EVENT, rows),
            "branches": _records(layout.BRANCH, mods),
            "aged": _records(layout.AGED, aged),
            "calendar": _records(layout.CALENDAR, [*((t, s) for t, s, _ in calendar), (np.inf, len(events))]),
            "key": np.array([key for key, _ in keys], dtype=np.uint64),
            "block": np.array([block for _, block in keys], dtype=np.uint64),
        }

    def effects(self) -> dict[str, np.ndarray]:
        """Effects, the flags that each may touch, and what reads those."""
        effects, n_haz = firings_of(self.process)[1], len(self.process.hazards)
        touched, plain, own, events, classes = [], [], [], [], self.class_reads()
        places = [place if k < n_haz else 0 for k, (place, _) in enumerate(self.memory())]
        special = {k for k, h in enumerate(self.process.hazards) if h.weibull_shape or len(self.reads[k]) > MEMO_BITS}
        rows = []
        for n, e in enumerate(effects):
            new, old = _mask(e.set, self.flags), _mask(e.clear, self.flags)
            touched.append(_bits(new | old))
            reading = {k for k, f in enumerate(self.reads) if (new | old) & _mask_of(f)}
            turns = [
                (_local(f, new), EVERY - _local(f, old), place) for f, place in zip(self.reads, places, strict=True)
            ]
            moved = {k for k, h in enumerate(self.process.hazards) if h.clock in {*e.start, *e.stop}}
            careful = sorted(moved | (reading & special) | ({n} if n < n_haz else set()))
            plain.append([(k, *turns[k], 0) for k in sorted(reading - set(careful)) if k < n_haz])
            own.append([(k, *turns[k], int(k in moved)) for k in careful])
            events.append([(k - n_haz, *turns[k], 0) for k in sorted(reading) if k >= n_haz])
            end = self.causes[e.end] if e.end else -1
            clocks = _mask(e.start, self.clocks), _mask(e.stop, self.clocks)
            rows.append(((new, old, *clocks, end), (_local(classes, new), EVERY - _local(classes, old))))
        readers = _ranges([n for a, b in zip(plain, own, strict=True) for n in (len(a), len(b))])
        ranges = zip(
            *(_ranges([len(t) for t in touched]), readers[::2], readers[1::2], _ranges([len(t) for t in events])),
            strict=True,
        )
        return {
            "effects": _records(
                layout.EFFECT,
                ((*row, *f, *a, b[1], *t, *last) for (row, last), (f, a, b, t) in zip(rows, ranges, strict=True)),
            ),
            "flag_list": _u32(f for t in touched for f in t),
            "readers": _records(layout.READER, (x for a, b in zip(plain, own, strict=True) for x in (*a, *b))),
            "event_readers": _records(layout.READER, (x for t in events for x in t)),
        }

    def outputs(self) -> dict[str, np.ndarray]:
        """Outcome classes and meters."""
        q = self.conditions
        outcomes = [(_mask(o.causes, self.causes), q.add(o.when)) for o in self.process.outcomes[:-1]]
        meters = [(q.add(m.condition) if m.condition is not None else -1, *m.firings) for m in meters_of(self.process)]
        return {"outcomes": _records(layout.OUTCOME, outcomes), "meters": _records(layout.METER, meters)}


def structure_of(process: Process, edges: Sequence[F64]) -> tuple[Structure, list[str]]:
    """Lower a process whose hazards have these age bins; also notes on what can never come."""
    lower = _Lowering(process, edges)
    calendar, notes = _calendar(process)
    fields = {**lower.start(), **lower.hazards(), **lower.scheduled(calendar), **lower.effects(), **lower.outputs()}
    return Structure(**fields, **lower.conditions.arrays()), notes


def _bits(mask: int) -> list[int]:
    """Numbers of the bits that are set."""
    return [f for f in range(mask.bit_length()) if mask >> f & 1]


def _mask_of(bits: Iterable[int]) -> int:
    return sum(1 << f for f in bits)


def _local(flags: Sequence[int], mask: int) -> int:
    """Those flags of a mask, as a number with one bit for each of `flags`; 0 where those are too many to number."""
    return sum(1 << j for j, f in enumerate(flags) if mask >> f & 1) & EVERY


def _kind(h: Hazard, edges: F64) -> int:
    return WEIBULL if h.weibull_shape else PIECEWISE if len(edges) > 1 else CONSTANT


def _calendar(process: Process) -> tuple[list[tuple[float, int, int]], list[str]]:
    """(time, event, entry) inside the window, in order of time and file; notes on what never comes."""
    entries, notes = [], []
    for n, s in enumerate(process.scheduled):
        dates = calendar_dates(s.every.first, s.every.every, s.every.last) if s.every else s.dates
        times = [years_between(process.as_of, day) for day in sorted(dates)]
        inside = [(t, n, k) for k, t in enumerate(times) if 0.0 <= t <= process.horizon]
        if dates and not inside:
            notes.append(f"event {s.id!r}: all of its dates lie outside the forecast")
        entries += inside
    return sorted(entries), notes


def meter_of(process: Process, consequence: str) -> Meter:
    """Meter of a consequence."""
    c = next(c for c in process.consequences if c.id == consequence)
    if c.when is not None:
        return Meter(c.when, (0, 0), c.discount)
    firings = firings_of(process)[0]
    numbers = [n for n, f in enumerate(firings) if f.event == c.event and c.branch in (None, f.branch)]
    return Meter(None, (numbers[0], numbers[-1] + 1), c.discount)


def meters_of(process: Process) -> list[Meter]:
    """Distinct meters of a process."""
    return list(dict.fromkeys(meter_of(process, c.id) for c in process.consequences))
