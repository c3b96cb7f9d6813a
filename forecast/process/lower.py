"""Names → integer arrays: the part of a program that every draw shares."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np

from forecast.deal.spec import Branch, Condition, Effect, Hazard, Modifier, Process, Scheduled
from forecast.kernels.layout import CONSTANT, PIECEWISE, WEIBULL, Structure
from forecast.types import F64, I64, U64, calendar_dates, years_between


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
        flat = [g for gs in groups for g in gs]
        return {
            "cond_want": _u64(m[0] for m in masks),
            "cond_forbid": _u64(m[1] for m in masks),
            "cond_group": _pointer(len(g) for g in groups),
            "group_want": _u64(g[0] for g in flat),
            "group_forbid": _u64(g[1] for g in flat),
        }


def _union(masks: Iterator[int]) -> int:
    return reduce(or_, masks, 0)


def _u64(values: Iterator[int] | Sequence[int]) -> U64:
    return np.array(list(values), dtype=np.uint64)


def _i64(values: Iterator[int] | Sequence[int]) -> I64:
    return np.array(list(values), dtype=np.int64)


def _pointer(lengths: Iterator[int] | Sequence[int]) -> I64:
    return np.concatenate([[0], np.cumsum(list(lengths), dtype=np.int64)]).astype(np.int64)


def branches_of(process: Process) -> list[tuple[Scheduled, Branch]]:
    """Every branch, the rest of each event last."""
    return [(s, b) for s in process.scheduled for b in ordered(s)]


def ordered(event: Scheduled) -> list[Branch]:
    """Branches of an event, the rest last."""
    return sorted(event.branches, key=lambda b: b.probability is None and b.logit is None)


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

    def start(self) -> dict[str, np.ndarray]:
        """State at the as-of date."""
        p = self.process
        starts = [years_between(p.as_of, c.running_since) if c.running_since else np.inf for c in p.clocks]
        return {
            "horizon": np.array([p.horizon]),
            "flags0": _u64([_mask([f.id for f in p.flags if f.initially], self.flags)]),
            "clock0": np.array(starts, dtype=np.float64),
        }

    def depends(self, h: Hazard) -> int:
        """Flags that a hazard's condition or modifiers read."""
        modifiers = Condition(all=tuple(m.when for m in h.modifiers if m.when))
        return self.conditions.reads(h.when) | self.conditions.reads(modifiers)

    def hazards(self) -> dict[str, np.ndarray]:
        """Hazards, their age bins and all modifiers."""
        hazards = self.process.hazards
        modifiers = [_literals((m.when,) if m.when else (), self.flags) for _, m in modifiers_of(self.process)]
        return {
            "mod_want": _u64(m[0] for m in modifiers),
            "mod_forbid": _u64(m[1] for m in modifiers),
            "haz_kind": _i64(_kind(h, e) for h, e in zip(hazards, self.edges, strict=True)),
            "haz_cond": _i64(self.conditions.add(h.when) for h in hazards),
            "haz_clock": _i64(self.clocks[h.clock] if h.clock else -1 for h in hazards),
            "haz_depends": _u64(self.depends(h) for h in hazards),
            "haz_bin": _pointer(len(e) for e in self.edges),
            "haz_mod": _pointer(len(h.modifiers) for h in hazards),
            "haz_key": _u64(event_key(h.id) for h in hazards),
            "bin_edge": np.concatenate([*self.edges, np.zeros(0)]),
        }

    def scheduled(self, calendar: Sequence[tuple[float, int, int]]) -> dict[str, np.ndarray]:
        """Scheduled events, their branches, and when they are due."""
        events = self.process.scheduled
        aged = [(n, s.at_age) for n, s in enumerate(events) if s.at_age]
        before = sum(len(h.modifiers) for h in self.process.hazards)
        return {
            "sch_cond": _i64(self.conditions.add(s.when) for s in events),
            "sch_key": _u64(event_key(s.id) for s in events),
            "sch_logit": _i64(int(any(b.logit for b in s.branches)) for s in events),
            "sch_branch": _pointer(len(s.branches) for s in events),
            "branch_mod": before + _pointer(len(b.modifiers) for _, b in branches_of(self.process)),
            "cal_time": np.array([*(t for t, _, _ in calendar), np.inf]),
            "cal_event": _i64([*(s for _, s, _ in calendar), len(events)]),
            "cal_entry": _i64([*(n for _, _, n in calendar), 0]),
            "aged_event": _i64(n for n, _ in aged),
            "aged_clock": _i64(self.clocks[a.clock] for _, a in aged),
            "aged_age": np.array([a.age for _, a in aged], dtype=np.float64),
        }

    def effects(self) -> dict[str, np.ndarray]:
        """Effects, and the flags and hazards that each may touch."""
        effects = firings_of(self.process)[1]
        touched = [sorted({self.flags[x] for x in (*e.set, *e.clear)}) for e in effects]
        refreshed = [self.refreshed(n, e) for n, e in enumerate(effects)]
        return {
            "eff_set": _u64(_mask(e.set, self.flags) for e in effects),
            "eff_clear": _u64(_mask(e.clear, self.flags) for e in effects),
            "eff_start": _u64(_mask(e.start, self.clocks) for e in effects),
            "eff_stop": _u64(_mask(e.stop, self.clocks) for e in effects),
            "eff_end": _i64(self.causes[e.end] if e.end else -1 for e in effects),
            "eff_flag": _pointer(len(t) for t in touched),
            "flag_list": _i64([f for t in touched for f in t]),
            "eff_haz": _pointer(len(t) for t in refreshed),
            "haz_list": _i64([k for t in refreshed for k in t]),
        }

    def refreshed(self, n: int, e: Effect) -> list[int]:
        """Hazards that effect `n` may change: they read one of its flags or clocks, or are what has just fired."""
        changes, clocks = _mask((*e.set, *e.clear), self.flags), {*e.start, *e.stop}
        hazards = enumerate(self.process.hazards)
        return [k for k, h in hazards if k == n or self.depends(h) & changes or h.clock in clocks]

    def outputs(self) -> dict[str, np.ndarray]:
        """Outcome classes and meters."""
        outcomes, meters, q = self.process.outcomes[:-1], meters_of(self.process), self.conditions
        return {
            "out_cond": _i64(q.add(o.when) for o in outcomes),
            "out_cause": _u64(_mask(o.causes, self.causes) for o in outcomes),
            "out_reads": _u64([_union(q.reads(o.when) for o in outcomes if o.when)]),
            "meter_cond": _i64(q.add(m.condition) if m.condition is not None else -1 for m in meters),
            "meter_first": _i64(m.firings[0] for m in meters),
            "meter_last": _i64(m.firings[1] for m in meters),
            "meter_reads": _u64([_union(q.reads(m.condition) for m in meters if m.condition)]),
            "lumps": _i64([sum(m.condition is None for m in meters)]),
        }


def structure_of(process: Process, edges: Sequence[F64]) -> tuple[Structure, list[str]]:
    """Lower a process whose hazards have these age bins; also notes on what can never come."""
    lower = _Lowering(process, edges)
    calendar, notes = _calendar(process)
    fields = {**lower.start(), **lower.hazards(), **lower.scheduled(calendar), **lower.effects(), **lower.outputs()}
    return Structure(**fields, **lower.conditions.arrays()), notes


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
