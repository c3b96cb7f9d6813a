"""What can be forced, or asked about, by name: events, and the words for how they come out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from forecast.deal.model import DealFile, Delivery
from forecast.deal.spec import Effect, Hazard, Process, Scheduled
from forecast.errors import DealFileError

NEVER, AT_ONCE = "never", "at_once"


@dataclass(frozen=True)
class Target:
    """Something with outcomes: the events of the process that it stands for.

    outcomes: words for `--force`; a branch of the events, `never`, or `at_once`. cause: the way of ending, of one
    that has no events of its own.
    """

    name: str
    label: str
    events: tuple[str, ...]
    outcomes: tuple[str, ...]
    cause: str = ""

    @property
    def line(self) -> str:
        """One line of a list."""
        return f"{self.name:<36} {' | '.join(self.outcomes):<32} {self.label}"


def targets_of(file: DealFile, process: Process) -> dict[str, Target]:
    """Name everything that can be forced, the deal's own words first, then every event of the process."""
    events: dict[str, Hazard | Scheduled] = {h.id: h for h in process.hazards}
    events |= {s.id: s for s in process.scheduled}
    found: dict[str, Target] = {}
    for name, label, ids in _words(file, list(events)):
        there = tuple(i for i in ids if i in events)
        if there and name not in found:
            found[name] = Target(name, label, there, _common([events[i] for i in there]))
    named = {t.events for t in found.values()}
    for id_, event in events.items():
        if id_ not in found and (id_,) not in named:
            found[id_] = Target(id_, event.label, (id_,), _common([event]))
    return found


def find_target(name: str, outcome: str, known: Mapping[str, Target], done: str = "forced") -> Target:
    """Look a target and one of its outcomes up; `done` says what is done to it.

    Raises
    ------
    DealFileError
        With the closest name, and the outcomes that there are.
    """
    target = known.get(name)
    if target is None:  # an event may be called by its own name too, even where the deal has a word for it
        target = next((t for t in known.values() if t.events == (name,)), None)
    if target is None:
        near = get_close_matches(name, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise DealFileError(f"{name}: nothing that can be {done} is called so; {hint}")
    if outcome not in target.outcomes:
        raise DealFileError(f"{name}={outcome}: {name} comes out as one of {', '.join(target.outcomes)}")
    return target


def _words(file: DealFile, ids: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """(name, label, events) of what the deal's words name."""
    for i, p in file.parties.items():
        if p.signs:
            yield i, f"{p.name}: its decision in every round", [f"{i}_decides"]
    yield "talks_collapse", "Talks collapse", [e for e in ids if e.startswith("talks_collapse")]
    for i, e in file.elections.items():
        several = len(e.votes) > 1
        years = [v.date.year for v in e.votes]
        for n, vote in enumerate(e.votes, start=1):
            when = str(vote.date.year if years.count(vote.date.year) == 1 else vote.date)
            suffix = f"_{n}" if several else ""
            yield f"{i}.{when}", f"{e.office}: election of {vote.date}", [f"{i}_vote{suffix}"]
            arrivals = [f"{i}_takes_office{suffix}", f"{i}_returns{suffix}"]
            yield f"{i}.{when}.position", f"{e.office}: what a newcomer of {vote.takes_office} thinks of it", arrivals
    for i, x in file.leaders.items():
        yield f"{i}_exit", f"{x.name}: leaves office", [f"{i}_exit_regular", f"{i}_exit_irregular"]
        positions = [f"{i}_position_regular", f"{i}_position_irregular"]
        yield f"{i}_position", f"{x.name}: what the successor thinks of it", positions
    for i, o in {**file.clauses, **file.promises}.items():
        ends = ["_deadline"] if isinstance(o, Delivery) else ["_violation", "_reversal"]
        yield i, o.title, [i + end for end in ends]
    yield "verification", "Inspections are refused", ["verification_refusal"]
    for i, c in file.calendar.items():
        yield i, c.label, [i]


def _common(events: Sequence[Hazard | Scheduled]) -> tuple[str, ...]:
    """Outcomes that all of some events have."""
    lists = [_outcomes(e) for e in events]
    return tuple(o for o in lists[0] if all(o in other for other in lists))


def _outcomes(event: Hazard | Scheduled) -> list[str]:
    """Branches; an event without a choice may also not take place."""
    if isinstance(event, Scheduled):
        return [*(b.id for b in event.branches), *([NEVER] if len(event.branches) == 1 else [])]
    return [NEVER, AT_ONCE] if _happens_once(event) else [NEVER]


def _happens_once(hazard: Hazard) -> bool:
    """Whether a hazard switches itself off, so that it can be made to happen at once and not for ever."""
    effect: Effect = hazard.effect
    off = {*(f"not {f}" for f in effect.set), *effect.clear}
    return effect.end is not None or not off.isdisjoint(hazard.when.all)
