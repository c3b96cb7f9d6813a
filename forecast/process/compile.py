"""Process + draws → contiguous arrays. The last place that may refuse input: kernels trust what they get."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from operator import or_

import numpy as np

from forecast.deal.check_process import process_problems
from forecast.deal.expand import calendar_dates
from forecast.deal.spec import Branch, Condition, Effect, Hazard, Modifier, Process, Scheduled
from forecast.errors import CompileError
from forecast.kernels.arith import exp_array
from forecast.kernels.layout import CONSTANT, PIECEWISE, WEIBULL, Structure, Values
from forecast.process.draws import Draws
from forecast.types import F64, I64, U64, years_between

MAX_LOGIT = 300.0
MIN_AGE = 1e-6  # years; shorter than this, start + age could round to start


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


@dataclass(frozen=True)
class Program:
    """A process as arrays, with the names that its numbers stand for."""

    process: Process
    structure: Structure
    values: Values
    firings: tuple[Firing, ...]
    effects: tuple[Effect, ...]
    consequence_meter: I64  # (consequence,) its meter
    consequence_amount: F64  # (draw, consequence) signed amount a year, or a firing
    notes: tuple[str, ...]

    @property
    def n_draw(self) -> int:
        """Number of posterior draws."""
        return len(self.values.factor)

    @property
    def horizon(self) -> float:
        """Years."""
        return self.process.horizon

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the flags, by bit."""
        return tuple(f.id for f in self.process.flags)

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the causes."""
        return tuple(c.id for c in self.process.causes)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the outcome classes."""
        return tuple(o.id for o in self.process.outcomes)

    @property
    def consequences(self) -> tuple[str, ...]:
        """Names of the consequences."""
        return tuple(c.id for c in self.process.consequences)

    def effect_of(self, firing: Firing) -> Effect:
        """Return what a firing does."""
        return self.effects[self.firings.index(firing)]


def compile_process(process: Process, draws: Draws) -> Program:
    """Lower a process and its draws to arrays.

    Raises
    ------
    CompileError
        One line for each problem: unknown names, impossible conditions, numbers outside their range
        in any draw, consequences that should cancel and do not.
    """
    problems = process_problems(process)
    numbers = _Numbers(process, draws, problems)
    if problems:
        raise CompileError("\n".join(problems))
    structure, notes = _structure(process, numbers)
    values = _values(process, numbers)
    meters = _meters(process)
    amount = np.ones((draws.n_draw, len(process.consequences)))
    for n, c in enumerate(process.consequences):
        amount[:, n] = c.sign * np.prod([numbers.scalar(f"consequence {c.id!r}", a) for a in c.amount], axis=0)
    meter_of = np.array([meters.index(_meter_of(process, c.id)) for c in process.consequences], dtype=np.int64)
    problems += _hash_clashes(process)
    problems += _conservation(process, amount)
    problems += numbers.problems
    if problems:
        raise CompileError("\n".join(dict.fromkeys(problems)))
    firings, effects = _firings(process)
    return Program(process, structure, values, firings, effects, meter_of, amount, tuple(notes))


class _Numbers:
    """Looks parameters up, computes derived ones, and collects what is wrong with them."""

    def __init__(self, process: Process, draws: Draws, problems: list[str]) -> None:
        self.draws = draws
        self.problems = problems
        self.derived: dict[str, F64] = {}
        for d in process.derived:
            where = f"parameter {d.id!r}"
            terms = [t.sign * np.prod([self.scalar(where, p) for p in t.parameters], axis=0) for t in d.terms]
            with np.errstate(divide="ignore", invalid="ignore"):
                value = np.sum(terms, axis=0) / np.prod([self.scalar(where, p) for p in d.over] or [np.ones(1)], axis=0)
            self._finite(where, d.id, value)
            self.derived[d.id] = value

    def get(self, where: str, ref: str) -> F64:
        """Values of a reference: (draw,) or, for a parameter with age bins, (draw, bin)."""
        name, _, entry = ref.partition("[")
        known = {**self.draws.values, **self.derived}
        if name not in known:
            near = get_close_matches(name, known, n=1)
            self.problems.append(
                f"{where}: no parameter {name!r}" + (f"; did you mean {near[0]!r}?" if near else "; declare it")
            )
            return np.ones(self.draws.n_draw)
        value = known[name]
        if not entry:
            return value
        labels = self.draws.labels.get(name, ())
        if entry.rstrip("]") not in labels:
            near = ", ".join(get_close_matches(entry.rstrip("]"), labels, n=1) or labels or ("none",))
            self.problems.append(f"{where}: {name!r} has no entry {entry.rstrip(']')!r}; it has: {near}")
            return np.ones(self.draws.n_draw)
        return value[:, labels.index(entry.rstrip("]"))]

    def scalar(self, where: str, ref: str) -> F64:
        """Values of a reference that must be one number a draw."""
        value = self.get(where, ref)
        if value.ndim != 1:
            self.problems.append(f"{where}: {ref!r} has several entries; name one, as in {ref}[…]")
            return np.ones(self.draws.n_draw)
        return self._finite(where, ref, value)

    def checked(self, where: str, ref: str, good: Callable[[F64], np.ndarray], wanted: str) -> F64:
        """Values that must satisfy `good` in every draw."""
        value = self.scalar(where, ref)
        self._check(where, ref, value, good, wanted)
        return value

    def rate(self, where: str, ref: str) -> tuple[F64, F64]:
        """(edges, (draw, bin)) of a rate; a number has one bin from age 0."""
        value = self.get(where, ref)
        self._check(where, ref, value, lambda x: np.isfinite(x) & (x >= 0), "finite and not negative")
        if value.ndim == 1:
            return np.zeros(1), value[:, None]
        if ref not in self.draws.edges:
            self.problems.append(f"{where}: {ref!r} has several entries but no age bins; name one, as in {ref}[…]")
            return np.zeros(1), value[:, :1]
        return self.draws.edges[ref][:-1], value

    def _finite(self, where: str, ref: str, value: F64) -> F64:
        self._check(where, ref, value, np.isfinite, "finite")
        return value

    def _check(self, where: str, ref: str, value: F64, good: Callable[[F64], np.ndarray], wanted: str) -> None:
        bad = ~np.asarray(good(value))
        if bad.any():
            first = value[bad][0]
            self.problems.append(
                f"{where}: {ref!r} must be {wanted}, but is {first:.6g} in {int(bad.sum())} of {bad.size} values"
            )


def event_key(event: str) -> int:
    """32 bits that stand for an event in the random numbers: they depend on its id alone."""
    return int.from_bytes(hashlib.blake2b(event.encode(), digest_size=4).digest(), "little")


def _hash_clashes(process: Process) -> Iterator[str]:
    seen: dict[int, str] = {}
    for id_ in [*(h.id for h in process.hazards), *(s.id for s in process.scheduled)]:
        if other := seen.get(event_key(id_)):
            yield f"events {other!r} and {id_!r} would share their random numbers; rename one of them"
        seen[event_key(id_)] = id_


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


def _branches(process: Process) -> list[tuple[Scheduled, Branch]]:
    """Every branch, the rest of each event last."""
    return [(s, b) for s in process.scheduled for b in _ordered(s)]


def _ordered(event: Scheduled) -> list[Branch]:
    return sorted(event.branches, key=lambda b: b.probability is None and b.logit is None)


def _firings(process: Process) -> tuple[tuple[Firing, ...], tuple[Effect, ...]]:
    firings = [Firing(h.id, "", h.label, "hazard") for h in process.hazards]
    firings += [Firing(s.id, b.id, b.label, "scheduled") for s, b in _branches(process)]
    effects = [h.effect for h in process.hazards] + [b.effect for _, b in _branches(process)]
    return tuple(firings), tuple(effects)


def _modifiers(process: Process) -> list[tuple[str, Modifier]]:
    """Every modifier, hazards first, then branches."""
    found = [(f"hazard {h.id!r}", m) for h in process.hazards for m in h.modifiers]
    return found + [(f"event {s.id!r}", m) for s, b in _branches(process) for m in b.modifiers]


def _structure(process: Process, numbers: _Numbers) -> tuple[Structure, list[str]]:
    flags = {f.id: n for n, f in enumerate(process.flags)}
    clocks = {c.id: n for n, c in enumerate(process.clocks)}
    causes = {c.id: n for n, c in enumerate(process.causes)}
    conditions = _Conditions(flags)
    haz_mod = _pointer(len(h.modifiers) for h in process.hazards)
    branches = _branches(process)
    effects = _firings(process)[1]
    touched = [sorted({flags[x] for x in (*e.set, *e.clear)}) for e in effects]
    depends = [
        conditions.reads(h.when) | conditions.reads(Condition(all=tuple(m.when for m in h.modifiers if m.when)))
        for h in process.hazards
    ]
    refreshed = [_refreshed(process, n, e, depends, flags) for n, e in enumerate(effects)]
    edges = [_edges(h, numbers) for h in process.hazards]
    modifiers = [_literals((m.when,) if m.when else (), flags) for _, m in _modifiers(process)]
    calendar, notes = _calendar(process)
    aged = [(n, s.at_age) for n, s in enumerate(process.scheduled) if s.at_age]
    meters = _meters(process)
    fields = {
        "horizon": np.array([process.horizon]),
        "flags0": _u64([_mask([f.id for f in process.flags if f.initially], flags)]),
        "clock0": np.array(
            [years_between(process.as_of, c.running_since) if c.running_since else np.inf for c in process.clocks],
            dtype=np.float64,
        ),
        "mod_want": _u64(m[0] for m in modifiers),
        "mod_forbid": _u64(m[1] for m in modifiers),
        "haz_kind": _i64(_kind(h, e) for h, e in zip(process.hazards, edges, strict=True)),
        "haz_cond": _i64(conditions.add(h.when) for h in process.hazards),
        "haz_clock": _i64(clocks[h.clock] if h.clock else -1 for h in process.hazards),
        "haz_depends": _u64(depends),
        "haz_bin": _pointer(len(e) for e in edges),
        "haz_mod": haz_mod,
        "haz_key": _u64(event_key(h.id) for h in process.hazards),
        "bin_edge": np.concatenate([*edges, np.zeros(0)]),
        "sch_cond": _i64(conditions.add(s.when) for s in process.scheduled),
        "sch_key": _u64(event_key(s.id) for s in process.scheduled),
        "sch_logit": _i64(int(any(b.logit for b in s.branches)) for s in process.scheduled),
        "sch_branch": _pointer(len(s.branches) for s in process.scheduled),
        "branch_mod": haz_mod[-1] + _pointer(len(b.modifiers) for _, b in branches),
        "cal_time": np.array([*(t for t, _, _ in calendar), np.inf]),
        "cal_event": _i64([*(s for _, s, _ in calendar), len(process.scheduled)]),
        "cal_entry": _i64([*(n for _, _, n in calendar), 0]),
        "aged_event": _i64(n for n, _ in aged),
        "aged_clock": _i64(clocks[a.clock] for _, a in aged),
        "aged_age": np.array([a.age for _, a in aged], dtype=np.float64),
        "eff_set": _u64(_mask([x for x in e.set if x not in e.clear], flags) for e in effects),
        "eff_clear": _u64(_mask(e.clear, flags) for e in effects),
        "eff_start": _u64(_mask(e.start, clocks) for e in effects),
        "eff_stop": _u64(_mask(e.stop, clocks) for e in effects),
        "eff_end": _i64(causes[e.end] if e.end else -1 for e in effects),
        "eff_flag": _pointer(len(t) for t in touched),
        "flag_list": _i64([f for t in touched for f in t]),
        "eff_haz": _pointer(len(t) for t in refreshed),
        "haz_list": _i64([k for t in refreshed for k in t]),
        "out_cond": _i64(conditions.add(o.when) for o in process.outcomes[:-1]),
        "out_cause": _u64(_mask(o.causes, causes) for o in process.outcomes[:-1]),
        "meter_cond": _i64(conditions.add(m.condition) if m.condition is not None else -1 for m in meters),
        "meter_first": _i64(m.firings[0] for m in meters),
        "meter_last": _i64(m.firings[1] for m in meters),
        "out_reads": _u64([_union(conditions.reads(o.when) for o in process.outcomes if o.when)]),
        "meter_reads": _u64([_union(conditions.reads(m.condition) for m in meters if m.condition)]),
        "lumps": _i64([sum(m.condition is None for m in meters)]),
    }
    numbers.problems += [
        f"event {process.scheduled[n].id!r}: at an age of {a.age:.3g} years; it must be more than {MIN_AGE} years"
        for n, a in aged
        if a.age < MIN_AGE
    ]
    return Structure(**{**fields, **conditions.arrays()}), notes


def _refreshed(process: Process, n: int, e: Effect, depends: Sequence[int], flags: Mapping[str, int]) -> list[int]:
    """Hazards that effect `n` may change: they read one of its flags or clocks, or are what has just fired."""
    changes = _mask((*e.set, *e.clear), flags)
    clocks = {*e.start, *e.stop}
    return [k for k, h in enumerate(process.hazards) if k == n or depends[k] & changes or h.clock in clocks]


def _edges(h: Hazard, numbers: _Numbers) -> F64:
    """Lower edges of a hazard's age bins; one for the other kinds."""
    if not h.rate:
        return np.zeros(1)
    edges, _ = numbers.rate(f"hazard {h.id!r}", h.rate)
    if len(edges) > 1 and not h.clock:
        numbers.problems.append(f"hazard {h.id!r}: {h.rate!r} goes by age, so the hazard needs a clock")
    if edges[0] != 0.0 or (np.diff(edges) <= 0).any():
        numbers.problems.append(f"hazard {h.id!r}: the age bins of {h.rate!r} must begin at 0 and increase")
    return edges


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


def _meter_of(process: Process, consequence: str) -> Meter:
    c = next(c for c in process.consequences if c.id == consequence)
    if c.when is not None:
        return Meter(c.when, (0, 0), c.discount)
    firings = _firings(process)[0]
    numbers = [n for n, f in enumerate(firings) if f.event == c.event and c.branch in (None, f.branch)]
    return Meter(None, (numbers[0], numbers[-1] + 1), c.discount)


def _meters(process: Process) -> list[Meter]:
    return list(dict.fromkeys(_meter_of(process, c.id) for c in process.consequences))


def _values(process: Process, numbers: _Numbers) -> Values:
    n = numbers.draws.n_draw
    factors = [_logarithm(numbers, where, m.log_ratio) for where, m in _modifiers(process)]
    values = Values(
        bin_rate=_stack([_rates(h, numbers) for h in process.hazards], n),
        shape=_columns([_weibull(h, h.weibull_shape, numbers) for h in process.hazards], n),
        scale=_columns([_weibull(h, h.weibull_scale, numbers) for h in process.hazards], n),
        factor=exp_array(_columns(factors, n)),
        weight=_weights(process, numbers),
        discount=_columns([_discount(m, numbers) for m in _meters(process)], n),
    )
    for s, b in _branches(process):
        total = sum(
            (np.abs(numbers.scalar(f"event {s.id!r}", m.log_ratio)) for m in b.modifiers),
            start=np.abs(numbers.scalar(f"event {s.id!r}", b.logit)) if b.logit else np.zeros(n),
        )
        if (total > MAX_LOGIT).any():
            numbers.problems.append(f"event {s.id!r}, branch {b.id!r}: log-odds beyond ±{MAX_LOGIT:.0f} in some draw")
    return values


def _logarithm(numbers: _Numbers, where: str, ref: str) -> F64:
    return numbers.checked(where, ref, lambda x: np.abs(x) <= MAX_LOGIT, f"within ±{MAX_LOGIT:.0f}")


def _rates(h: Hazard, numbers: _Numbers) -> F64:
    if not h.rate:
        return np.zeros((numbers.draws.n_draw, 1))
    return numbers.rate(f"hazard {h.id!r}", h.rate)[1]


def _weibull(h: Hazard, ref: str | None, numbers: _Numbers) -> F64:
    if ref is None:
        return np.ones(numbers.draws.n_draw)
    return numbers.checked(f"hazard {h.id!r}", ref, lambda x: x > 0, "more than 0")


def _discount(meter: Meter, numbers: _Numbers) -> F64:
    if meter.discount is None:
        return np.zeros(numbers.draws.n_draw)
    return numbers.checked("discount", meter.discount, lambda x: x >= 0, "not negative")


def _weights(process: Process, numbers: _Numbers) -> F64:
    """Probabilities of branches, or e^logit; 1 for the rest."""
    n, columns = numbers.draws.n_draw, []
    for s in process.scheduled:
        where, total = f"event {s.id!r}", np.zeros(n)
        for b in _ordered(s):
            if b.probability:
                p = numbers.checked(where, b.probability, lambda x: (x > 0) & (x < 1), "strictly between 0 and 1")
                total += p
                columns.append(p)
            elif b.logit:
                columns.append(exp_array(_logarithm(numbers, where, b.logit)))
            else:
                columns.append(np.ones(n))
        if (total > 1 + 1e-12).any():
            numbers.problems.append(f"{where}: the probabilities of its branches add up to more than 1 in some draw")
    return _columns(columns, n)


def _columns(columns: Sequence[F64], n: int) -> F64:
    return np.ascontiguousarray(np.stack(columns, axis=1)) if columns else np.zeros((n, 0))


def _stack(blocks: Sequence[F64], n: int) -> F64:
    return np.ascontiguousarray(np.concatenate(blocks, axis=1)) if blocks else np.zeros((n, 0))


def _conservation(process: Process, amount: F64) -> Iterator[str]:
    """Consequences of a conserved group must cancel on every path, hence in every draw."""
    groups = dict.fromkeys(c.conserved for c in process.consequences if c.conserved)
    for group in groups:
        members = [n for n, c in enumerate(process.consequences) if c.conserved == group]
        kinds = {_meter_of(process, process.consequences[n].id) for n in members}
        if len(kinds) > 1:
            yield f"conserved group {group!r}: its members must share one condition and one discount"
        total, size = amount[:, members].sum(axis=1), np.abs(amount[:, members]).sum(axis=1)
        if (np.abs(total) > 1e-9 * np.maximum(size, 1e-300)).any():
            yield f"conserved group {group!r}: its amounts do not add up to zero (off by {np.abs(total).max():.3g})"
