"""What a flag decides that nothing clears, on paths that end where it is set.

Whether a deal is signed by some date, or its talks have failed before, does not depend on what comes after the
signature. In a variant of the process whose paths end there, weighted paths carry the probability of the signature
instead of drawing it: the expectation of what they would have counted, given all other luck.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from forecast.deal.parts import negated
from forecast.deal.spec import Branch, Cause, Condition, Effect, OutcomeClass, Process, Scheduled
from forecast.process.compile import MAX_BITS, Program
from forecast.process.lower import event_key, firings_of, structure_of
from forecast.types import I64, calendar_dates

type Quantity = tuple[str, str]  # kind (cause, outcome or state) and name

VARIANTS = 2  # at most, as each takes as long as another run
SIGN = "/"  # in names that the variant adds: no name of a process has it


@dataclass(frozen=True)
class Part:
    """A program, and what is to be estimated with it."""

    program: Program
    names: tuple[Quantity, ...]


def parts_of(program: Program, names: Sequence[Quantity]) -> list[Part]:
    """Share quantities out between a program and its variants: first those of the flag that decides the most.

    Every quantity has the same probability in its part as in the program.
    """
    rest, parts, flags = list(dict.fromkeys(names)), list[Part](), lasting(program.process)
    while len(parts) < min(VARIANTS, len(flags)):
        by_flag = {f: [q for q in rest if _decides(program.process, f, q)] for f in flags}
        flag = max(flags, key=lambda f: len(by_flag[f]))
        if not by_flag[flag]:
            break
        parts.append(Part(ended_by(program, flag), tuple(by_flag[flag])))
        rest = [q for q in rest if q not in by_flag[flag]]
    return [Part(program, tuple(rest)), *parts] if rest or not parts else parts


def _decides(process: Process, flag: str, quantity: Quantity) -> bool:
    """Whether a quantity is the flag itself, or nothing that is so once the flag is set."""
    kind, name = quantity
    if kind == "state":
        return name == flag
    if kind == "cause":
        return _before(process, flag, name)
    o = next(o for o in process.outcomes if o.id == name)
    if o.when is not None and f"not {flag}" in o.when.all:
        return True
    return bool(o.causes) and all(_before(process, flag, c) for c in o.causes)


def _before(process: Process, flag: str, cause: str) -> bool:
    """Whether all that ends paths by a cause needs the flag to be clear."""
    guards = [h.when for h in process.hazards if h.effect.end == cause]
    guards += [s.when for s in process.scheduled if any(b.effect.end == cause for b in s.branches)]
    return all(f"not {flag}" in when.all for when in guards)


def lasting(process: Process) -> list[str]:
    """List the flags that something sets, that nothing clears and that aren't set from the beginning."""
    if len(process.causes) >= MAX_BITS:  # there is no room for one more
        return []
    effects = firings_of(process)[1]
    moved = {f for e in effects for f in e.set} - {f for e in effects for f in e.clear}
    return [f.id for f in process.flags if f.id in moved and not f.initially]


def ended_by(program: Program, flag: str) -> Program:
    """Let the paths of a program end where a lasting flag is set; nothing has consequences there.

    The flag stays set, and what has ended by it is in a class of its own.
    """
    p, new = program.process, SIGN + flag
    fusions = {f.event: f for f in _fusions(p, flag)}
    events = [
        (n, x)
        for n, event in enumerate(p.scheduled)
        for x in (_fused(event, fusions[event.id], flag) if event.id in fusions else [event])
    ]
    changes = {
        "hazards": tuple(h.model_copy(update={"effect": _ended(h.effect, flag)}) for h in p.hazards),
        "scheduled": tuple(x.model_copy(update={"branches": _branches(x, flag)}) for _, x in events),
        "causes": (*p.causes, Cause(id="x", label="").model_copy(update={"id": new})),
        "outcomes": (OutcomeClass(id="x", label="").model_copy(update={"id": new, "causes": (new,)}), *p.outcomes),
        "consequences": (),
    }
    return _lowered(program, p.model_copy(update=changes), [n for n, _ in events])


def _branches(event: Scheduled, flag: str) -> tuple[Branch, ...]:
    return tuple(b.model_copy(update={"effect": _ended(b.effect, flag)}) for b in event.branches)


def _ended(effect: Effect, flag: str) -> Effect:
    """End the path where an effect sets the flag, unless it ends by a cause of its own."""
    if flag not in effect.set or effect.end is not None:
        return effect
    return effect.model_copy(update={"end": SIGN + flag})


def _lowered(program: Program, process: Process, origin: Sequence[int]) -> Program:
    """Compile a variant whose scheduled events have the numbers of those that they come from."""
    s, v = program.structure, program.values
    edges = [s.bin_edge[h["bin"] : h["bin_end"]] for h in s.hazards]
    structure, _ = structure_of(process, edges)
    branches = _all(s.events[n][["branch", "branch_end"]] for n in origin)
    modifiers = _all([*(h[["mod", "mod_end"]] for h in s.hazards), *(s.branches[b] for b in branches)])
    values = v._replace(
        factor=np.ascontiguousarray(v.factor[:, modifiers]),
        weight=np.ascontiguousarray(v.weight[:, branches]),
        discount=np.zeros((program.n_draw, 0)),
    )
    none, amount = np.zeros(0, np.int64), np.zeros((program.n_draw, 0))
    return Program(process, structure, values, *firings_of(process), none, amount, ())


def _all(ranges: Iterable[Any]) -> I64:
    """Put ranges end to end."""
    return np.array([i for first, last in ranges for i in range(first, last)], dtype=np.int64)


# ---- events of one instant -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Fusion:
    """A decision after which, at the same instant, the flag is set for certain.

    That is so where one of the branches comes about and all of the literals hold, which no branch touches.
    """

    event: str
    literals: tuple[str, ...]
    branches: tuple[str, ...]


def _fusions(process: Process, flag: str) -> Iterator[_Fusion]:
    """Find the decisions that the setting of a flag follows from: the last vote decides, not the signing after it."""
    keys, taken = {event_key(f.event) for f in firings_of(process)[0]}, set[str]()
    for n, event in enumerate(process.scheduled):
        effect = event.branches[0].effect
        certain = len(event.branches) == 1 and flag in effect.set and effect.end is None
        if not certain or event.at_age or event.when.any:
            continue
        last = _last_to_matter(process, n)
        if last is None or last.id in taken or event_key(last.id + SIGN) in keys:
            continue
        if found := _fusion(last, event):
            taken.add(last.id)
            yield found


def _last_to_matter(process: Process, n: int) -> Scheduled | None:
    """Return the last event before number n, on all of whose dates that one is due too, that its condition hangs on.

    None if the path may end in between, or if it isn't known what comes in between.
    """
    event = process.scheduled[n]
    reads, dates = {_flag(x) for x in event.when.all}, _dates(event)
    for other in reversed(process.scheduled[:n]):
        if other.at_age is None and not set(_dates(other)) & set(dates):
            continue
        if any(b.effect.end is not None for b in other.branches):
            return None
        if reads & _touched(other):
            once = len(set(_dates(other))) == len(_dates(other))
            return other if other.at_age is None and once and set(_dates(other)) <= set(dates) else None
    return None


def _fusion(decision: Scheduled, event: Scheduled) -> _Fusion | None:
    """Say when an event follows from a decision; None where that can't be said branch by branch."""
    touched = _touched(decision)
    open_ = [x for x in event.when.all if _flag(x) in touched]
    verdicts = {b.id: [_made(b.effect, x) for x in open_] for b in decision.branches}
    unknown = any(None in v and False not in v for v in verdicts.values())
    follows = tuple(b for b, v in verdicts.items() if all(v))
    literals = tuple(x for x in event.when.all if x not in open_ and x not in decision.when.all)
    return None if unknown or not follows else _Fusion(decision.id, literals, follows)


def _fused(event: Scheduled, fusion: _Fusion, flag: str) -> list[Scheduled]:
    """Let a decision end the path: in two events, of which never more than one is on at any date."""
    ends = Effect(set=(flag,))
    branches = tuple(b.model_copy(update={"effect": ends}) if b.id in fusion.branches else b for b in event.branches)
    if not fusion.literals:
        return [event.model_copy(update={"branches": branches})]
    now = Condition(all=(*event.when.all, *fusion.literals), any=event.when.any)
    other = Condition(all=event.when.all, any=(*event.when.any, tuple(map(negated, fusion.literals))))
    decisive = event.model_copy(update={"id": event.id + SIGN, "when": now, "branches": branches})
    return [decisive, event.model_copy(update={"when": other})]


def _made(effect: Effect, literal: str) -> bool | None:
    """What an effect makes of a literal; None if it leaves it as it was."""
    flag = _flag(literal)
    if flag not in (*effect.set, *effect.clear):
        return None
    return (flag in effect.set) == (flag == literal)


def _touched(event: Scheduled) -> set[str]:
    return {f for b in event.branches for f in (*b.effect.set, *b.effect.clear)}


def _flag(literal: str) -> str:
    return literal.removeprefix("not ")


def _dates(event: Scheduled) -> tuple[date, ...]:
    return calendar_dates(event.every.first, event.every.every, event.every.last) if event.every else event.dates
