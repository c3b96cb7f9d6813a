"""Problems of a process that need no numbers: unknown names, duplicates, conditions that cannot hold."""

from collections import Counter
from collections.abc import Iterable, Iterator

from forecast.deal.spec import Condition, Effect, Modifier, Process
from forecast.deal.words import closest

MAX_FLAGS = 64


def process_problems(process: Process) -> list[str]:
    """One line a problem: what it is in, the value, and what would be right."""
    found = [*_duplicates(process)]
    if len(process.flags) > MAX_FLAGS:
        found.append(
            f"{len(process.flags)} flags, but a process may have {MAX_FLAGS}: each clause takes up to 3, a promise 1, "
            "an election 3, a leader and a signing party 1; drop or merge some"
        )
    found += [*_unknown(process), *_conditions(process), *_exclusive(process), *_outcomes(process)]
    return list(dict.fromkeys(found))


def effects_of(process: Process) -> Iterator[tuple[str, Effect]]:
    """(event, effect) of every hazard and every branch."""
    for h in process.hazards:
        yield f"hazard {h.id!r}", h.effect
    for s in process.scheduled:
        for b in s.branches:
            yield f"event {s.id!r}, branch {b.id!r}", b.effect


def conditions_of(process: Process) -> Iterator[tuple[str, Condition]]:
    """(where, condition) of everything that has one."""
    for h in process.hazards:
        yield f"hazard {h.id!r}", h.when
    for s in process.scheduled:
        yield f"event {s.id!r}", s.when
    for c in process.consequences:
        if c.when is not None:
            yield f"consequence {c.id!r}", c.when
    for o in process.outcomes:
        if o.when is not None:
            yield f"outcome {o.id!r}", o.when


def _modifiers_of(process: Process) -> Iterator[tuple[str, Modifier]]:
    for h in process.hazards:
        yield from ((f"hazard {h.id!r}", m) for m in h.modifiers)
    for s in process.scheduled:
        for b in s.branches:
            yield from ((f"event {s.id!r}, branch {b.id!r}", m) for m in b.modifiers)


def _duplicates(process: Process) -> Iterator[str]:
    groups = {
        "flag": [f.id for f in process.flags],
        "clock": [c.id for c in process.clocks],
        "event": [*(h.id for h in process.hazards), *(s.id for s in process.scheduled)],
        "cause": [c.id for c in process.causes],
        "outcome": [o.id for o in process.outcomes],
        "consequence": [c.id for c in process.consequences],
        "derived parameter": [d.id for d in process.derived],
    }
    for s in process.scheduled:
        groups[f"branch of event {s.id!r}"] = [b.id for b in s.branches]
    for kind, ids in groups.items():
        for id_, n in Counter(ids).items():
            if n > 1:
                yield f"{kind} {id_!r} is declared {n} times; give each its own name"


def _unknown(process: Process) -> Iterator[str]:
    flags = [f.id for f in process.flags]
    clocks = [c.id for c in process.clocks]
    causes = [c.id for c in process.causes]
    events = {e.id: e for e in process.scheduled}
    for where, effect in effects_of(process):
        yield from _missing(where, "flag", (*effect.set, *effect.clear), flags)
        yield from _missing(where, "clock", (*effect.start, *effect.stop), clocks)
        yield from _missing(where, "cause", (effect.end,) if effect.end else (), causes)
    for where, condition in conditions_of(process):
        literals = (*condition.all, *(x for group in condition.any for x in group))
        yield from _missing(where, "flag", (x.removeprefix("not ") for x in literals), flags)
    for where, m in _modifiers_of(process):
        yield from _missing(where, "flag", (m.when.removeprefix("not "),) if m.when else (), flags)
    for h in process.hazards:
        yield from _missing(f"hazard {h.id!r}", "clock", (h.clock,) if h.clock else (), clocks)
    for s in process.scheduled:
        yield from _missing(f"event {s.id!r}", "clock", (s.at_age.clock,) if s.at_age else (), clocks)
    for o in process.outcomes:
        yield from _missing(f"outcome {o.id!r}", "cause", o.causes, causes)
    for c in process.consequences:
        names = [*events, *(h.id for h in process.hazards)]
        yield from _missing(f"consequence {c.id!r}", "event", (c.event,) if c.event else (), names)
        if c.branch and c.event in events:
            branches = [b.id for b in events[c.event].branches]
            yield from _missing(f"consequence {c.id!r}", "branch", (c.branch,), branches)


def _missing(where: str, kind: str, names: Iterable[str], known: list[str]) -> Iterator[str]:
    for name in names:
        if name not in known:
            yield f"{where}: no {kind} {name!r}; {closest(name, known, 'known')}"


def _conditions(process: Process) -> Iterator[str]:
    """Conditions that contradict themselves, or want a flag that nothing ever sets."""
    settable = {f.id for f in process.flags if f.initially} | {x for _, e in effects_of(process) for x in e.set}
    declared = {f.id for f in process.flags}
    for where, condition in conditions_of(process):
        positive = {x for x in condition.all if not x.startswith("not ")}
        negative = {x.removeprefix("not ") for x in condition.all if x.startswith("not ")}
        for name in sorted(positive & negative):
            yield f"{where}: wants {name!r} and 'not {name}' at once; it can never hold"
        for name in sorted(positive & declared - settable):
            yield f"{where}: wants {name!r}, which nothing ever sets; it can never hold"
        for group in condition.any:
            if not group:
                yield f"{where}: an empty group of alternatives can never hold"


def _exclusive(process: Process) -> Iterator[str]:
    initial = {f.id for f in process.flags if f.initially}
    for group in process.exclusive:
        yield from _missing(f"exclusive group {', '.join(group)}", "flag", group, [f.id for f in process.flags])
        if len(both := sorted(initial & set(group))) > 1:
            yield f"flags {', '.join(both)} are exclusive, but all are set at the start"
        for where, effect in effects_of(process):
            for name in set(effect.set) & set(group):
                left = sorted(set(group) - {name} - set(effect.clear))
                if left:
                    yield f"{where}: sets {name!r} of an exclusive group without clearing {', '.join(left)}"


def _outcomes(process: Process) -> Iterator[str]:
    rests = [o.id for o in process.outcomes if o.rest]
    if len(rests) != 1 or not process.outcomes[-1].rest:
        yield f"outcomes: the last class, and no other, must have rest = true (got {', '.join(rests) or 'none'})"
    for c in process.consequences:
        if (c.when is None) == (c.event is None):
            yield f"consequence {c.id!r}: give either `when` (an amount per year) or `event` (a lump sum)"
    for h in process.hazards:
        weibull = h.weibull_shape is not None, h.weibull_scale is not None
        if (h.rate is None) != all(weibull) or (h.rate is not None and any(weibull)):
            yield f"hazard {h.id!r}: give either `rate`, or both `weibull_shape` and `weibull_scale`"
        if all(weibull) and h.clock is None:
            yield f"hazard {h.id!r}: a Weibull hazard needs a clock"
    for s in process.scheduled:
        if sum((bool(s.dates), s.every is not None, s.at_age is not None)) != 1:
            yield f"event {s.id!r}: give exactly one of dates, every and at_age"
        rest = [b.id for b in s.branches if b.probability is None and b.logit is None]
        if len(rest) != 1:
            got = ", ".join(rest) or "none"
            yield f"event {s.id!r}: exactly one branch must have neither probability nor logit (got {got})"
        for b in s.branches:
            if b.modifiers and not b.logit:
                yield f"event {s.id!r}, branch {b.id!r}: modifiers go with a logit; a probability or the rest has none"
        if any(b.probability for b in s.branches) and any(b.logit for b in s.branches):
            yield f"event {s.id!r}: branches have either probabilities or logits, not both"
