"""Scenarios: named changes of a deal, from words or from a TOML file, laid over the deal before it is read."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails

from forecast.deal.answers import EXPERT_COLUMNS, read_experts
from forecast.deal.experts import ExpertRow
from forecast.deal.loader import read_toml
from forecast.deal.model import Deal, DealFile, Delivery, Obligation, Text
from forecast.deal.overrides import apply_overrides, parse_value
from forecast.deal.parts import VERIFICATION, names_of
from forecast.deal.reading import sentence, text_of
from forecast.deal.spec import Frozen, Slug
from forecast.deal.words import closest
from forecast.errors import DealFileError

_SINGLE = {"promise": "promises", "clause": "clauses"}  # short words where the deal has just one


@dataclass(frozen=True)
class Scenario:
    """A named change: keys or parameters set, clauses dropped, tables added, events forced.

    set: key of the deal file, or parameter → value. drop: clauses, promises or "verification". add: TOML files whose
    tables are merged into the deal. force: event → how it comes out (`forecast whatif DEAL --list`).
    """

    name: str
    label: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    add: tuple[Path, ...] = ()
    force: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its label, or what it changes."""
        return self.label or "; ".join(self.changes) or "nothing is changed"

    @property
    def changes(self) -> tuple[str, ...]:
        """What it changes, in the words of the command line."""
        return (
            *(f"{k}={str(v).lower() if isinstance(v, bool) else v}" for k, v in self.set.items()),
            *(f"without {d}" for d in self.drop),
            *(f"with {a.name}" for a in self.add),
            *(f"{k} forced to {v}" for k, v in self.force.items()),
        )


class _Entry(Frozen):
    label: Text | None = None
    set: dict[str, Any] = Field(default_factory=dict)
    drop: tuple[str, ...] = ()
    add: Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)] = ()
    force: dict[str, Any] = Field(default_factory=dict)


class _File(Frozen):
    scenarios: Annotated[dict[Slug, _Entry], Field(min_length=1)]


def read_scenarios(file: Path) -> tuple[Scenario, ...]:
    """Read a TOML file of named scenarios: `[scenarios.NAME]` with label, set, drop, add and force.

    Raises
    ------
    DealFileError
        With one line for each problem.
    """
    try:
        raw = tomllib.loads(text_of(file))
    except tomllib.TOMLDecodeError as err:
        raise DealFileError(f"{file}: not valid TOML: {err}") from None
    try:
        entries = _File.model_validate(raw).scenarios
    except ValidationError as err:
        raise DealFileError("\n".join(f"{file}: {_said(e)}" for e in err.errors())) from None
    return tuple(
        Scenario(
            name=name,
            label=e.label or "",
            set=dict(_flat(e.set)),
            drop=e.drop,
            add=tuple(file.parent / a for a in e.add),
            force={k: str(v) for k, v in _flat(e.force)},
        )
        for name, e in entries.items()
    )


def _said(error: ErrorDetails) -> str:
    """Say what is wrong with a scenario file; an unknown key with those that there are."""
    if error["type"] != "extra_forbidden":
        return sentence(error)
    *where, key = (str(x) for x in error["loc"])
    known = _Entry.model_fields if where else _File.model_fields
    return f"{'.'.join((*where, key))}: unknown key; {closest(key, known, 'keys here are')}"


def words_to_scenario(
    name: str, sets: Sequence[str], drops: Sequence[str], adds: Sequence[Path], forces: Sequence[str]
) -> tuple[Scenario, list[str]]:
    """Make a scenario of those words of a command line that can be read; and say what is wrong with the others."""
    held, wrong = pairs_of("--set", sets, "verification.agreed=false")
    wished, bad = pairs_of("--force", forces, "fighting_resumes=never")
    twice = [f"--drop {d}: is given twice" for d in dict.fromkeys(drops) if list(drops).count(d) > 1]
    values = {k: parse_value(v) for k, v in held.items()}
    read = Scenario(name, set=values, drop=tuple(dict.fromkeys(drops)), add=tuple(adds), force=wished)
    return read, [*wrong, *bad, *twice]


def pairs_of(option: str, texts: Sequence[str], example: str) -> tuple[dict[str, str], list[str]]:
    """Read NAME=VALUE, several times; what can't be read is said."""
    pairs: dict[str, str] = {}
    problems: list[str] = []
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key or not value:
            problems.append(f"{option} {text!r}: write NAME=VALUE, e.g. {example}")
        elif key in pairs:
            problems.append(f"{option} {key}: is given twice")
        else:
            pairs[key] = value
    return pairs, problems


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


# ---- what a scenario lays over the deal file --------------------------------------------------------


@dataclass(frozen=True)
class Laid:
    """Keys to lay over the deal file, parameters to hold, and what goes with what was dropped or added.

    answers: rows of experts that come with added tables
    """

    overrides: Mapping[str, Any]
    named: Mapping[str, Any]
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    answers: tuple[ExpertRow, ...] = ()


def lay(deal: Deal, scenario: Scenario) -> Laid:
    """Turn a scenario's set, drop and add into keys of the deal file; `named` are parameters set by name."""
    problems: list[str] = []
    tables = _added(deal, scenario, problems)
    notes: list[str] = []
    answers = tuple(_answers(deal, scenario, problems, notes))
    known = {*deal.file.parameters, *tables.get("parameters", {})}
    keys = {_long(deal.file, k): v for k, v in scenario.set.items()}
    named = {k: v for k, v in keys.items() if k in known or "." not in k}
    keys = {k: v for k, v in keys.items() if k not in named}
    problems += [
        f"{k}: scenarios share the deal's window and name; use --as-of for another date"
        for k in keys
        if k in ("deal", "deal.id", "deal.as_of", "deal.horizon")
    ]
    dropped: dict[str, Any] = {}
    for text in scenario.drop:
        word = _long(deal.file, text).removeprefix("clauses.").removeprefix("promises.")
        key, why = _drop(deal.file, word, scenario.drop)
        if why:
            problems.append(f"{text}: {why}")
        else:
            dropped[key] = False
            notes += _goes_with(deal.file, word)
    problems += [f"{k}: is set and dropped at once" for k in dropped if k in keys]
    base = {k: v for k, v in deal.overrides.items() if k not in keys}
    changed = {**tables, **keys, **dropped}
    return Laid({**base, **changed} if changed else {}, named, tuple(notes), tuple(problems), answers)


def _long(file: DealFile, key: str) -> str:
    """`promise.binding` → `promises.<the only one>.binding`."""
    first, dot, rest = key.partition(".")
    table = _SINGLE.get(first)
    if table is None or first in file.parameters:
        return key
    names = list(getattr(file, table))
    return f"{table}.{names[0]}{dot}{rest}" if len(names) == 1 else key


def _drop(file: DealFile, name: str, all_dropped: Sequence[str]) -> tuple[str, str]:
    """Return the key that leaves something out of the package, or why that can't be."""
    if name == VERIFICATION:
        if file.verification is None or not file.verification.agreed:
            return "", "no inspections are agreed in this deal"
        return "verification.agreed", ""
    for table in ("clauses", "promises"):
        obligations = getattr(file, table)
        if name not in obligations:
            continue
        if not obligations[name].included:
            return "", "is not in the package as it is"
        waiting = [
            i
            for i, c in file.clauses.items()
            if isinstance(c, Delivery) and c.after == name and c.included and i not in all_dropped
        ]
        if waiting:
            then = waiting[0]
            return "", f"the time allowed for {then!r} starts with its fulfilment: drop {then!r} too"
        return f"{table}.{name}.included", ""
    return "", _why_not(file, name)


def _why_not(file: DealFile, name: str) -> str:
    droppable = [*file.clauses, *file.promises, VERIFICATION]
    year = file.elections[name].votes[0].date.year if name in file.elections else 0
    reasons = (
        (
            file.parties,
            f"a party is not part of the package; see what its consent does with --force {name}=accepts",
        ),
        (
            file.elections,
            f"an election is held whatever is agreed; say what comes of it: --force {name}.{year}=stays",
        ),
        (file.leaders, f"a leader is there whatever is agreed; keep it in office with --force {name}_exit=never"),
        (
            {**file.breakdowns, **file.calendar},
            f"it is not agreed on, it happens or does not; rule it out with --force {name}=never",
        ),
        (file.parameters, f"is a parameter; set it to a value with --set {name}=…"),
        ({**file.markets, **file.consequences}, "is a consequence, which changes no probability"),
    )
    found = next((why for table, why in reasons if name in table), "")
    return found or f"no clause or promise is called so; {closest(name, droppable, 'there are')}"


def _goes_with(file: DealFile, name: str) -> Iterator[str]:
    """Say what a dropped clause takes with it."""
    gone: list[str] = []
    own = names_of(name)
    if name == VERIFICATION:
        v = file.verification
        gone += [f"the inspection of {', '.join(v.clauses)}"] if v else []
        causes = {v.cause} if v else set()
    else:
        worth = [p.name for p in file.parties.values() if name in p.values]
        gone += [f"its worth to {', '.join(worth)}"] if worth else []
        gone += [f"the market {i}" for i, m in file.markets.items() if m.during == name]
        if file.verification and name in file.verification.clauses:
            gone.append("its inspection")
        obligations: list[tuple[str, Obligation]] = [*file.clauses.items(), *file.promises.items()]
        causes = {o.cause for i, o in obligations if i == name}
    amounts = [a.label for a in file.consequences.values() if not own.isdisjoint((*(a.when or ()), a.event))]
    gone += [f"the amount “{label}”" for label in amounts]
    moves = sum(c.when.removeprefix("not ") in own for c in file.cascades)
    moved = sum(name in c.on for c in file.cascades)
    gone += [f"what it sets off ({_counted(moves)})"] if moves else []
    gone += [f"what acts on it ({_counted(moved)})"] if moved else []
    others = _causes_of_others(file, name)
    gone += [f"the cause {c}, whose chance becomes 0" for c in sorted(causes - others)]
    gone += [f"the headline “{h.label}” with it" for h in file.headline if h.cause in causes - others or h.state in own]
    if gone:
        yield f"without {name} there is no more of: {'; '.join(gone)}"


def _counted(n: int) -> str:
    return "1 cascade" if n == 1 else f"{n} cascades"


def _causes_of_others(file: DealFile, name: str) -> set[str]:
    obligations: list[tuple[str, Obligation]] = [*file.clauses.items(), *file.promises.items()]
    causes = {o.cause for i, o in obligations if i != name and o.included}
    causes |= {e.cause for e in file.elections.values()} | {x.cause for x in file.leaders.values()}
    causes |= set(file.breakdowns)
    causes |= {p.refusal_cause for p in file.parties.values() if p.refusal_cause}
    if file.verification and file.verification.agreed and name != VERIFICATION:
        causes.add(file.verification.cause)
    return causes


def _added(deal: Deal, scenario: Scenario, problems: list[str]) -> dict[str, Any]:
    """Top-level tables of the deal file with those of a scenario's files merged in."""
    if not scenario.add:
        return {}
    file = deal.folder / "deal.toml"
    raw = apply_overrides(read_toml(file), deal.overrides, str(file))
    touched: dict[str, Any] = {}
    for path in scenario.add:
        try:
            extra = read_toml(path)
        except (DealFileError, OSError) as err:
            problems.append(str(err) if isinstance(err, DealFileError) else f"{path}: {err.strerror}")
            continue
        for name, value in extra.items():
            if name in ("deal", "elicitation"):
                problems.append(f"{path}: [{name}] belongs to the deal itself; change a key of it with --set")
                continue
            merged: dict[str, Any] = {name: touched.get(name, raw.get(name))} if name in {**raw, **touched} else {}
            problems += [f"{path}: {p}" for p in _merge(merged, {name: value}, "")]
            touched |= merged
    return touched


def _answers(deal: Deal, scenario: Scenario, problems: list[str], notes: list[str]) -> Iterator[ExpertRow]:
    """Yield the experts' answers that added parameters rest on, from the experts.csv beside each added file.

    The deal's own answers come first: a question that it has asked is not taken from elsewhere.
    """
    own = {r.question for r in deal.experts}
    taken: dict[tuple[str, str], ExpertRow] = {}
    for path in scenario.add:
        asked = _questions(path)
        beside = path.parent / "experts.csv"
        table = read_experts(beside) if asked else None
        rows = [r for r in table.rows if r.question in asked] if table else []
        if table and table.problems and not asked.keys() <= own:
            problems += table.problems
            continue
        there = own | {r.question for r in rows} | {q for q, _ in taken}
        problems += [
            f"{path}: parameters.{name}.experts: no question {question!r} in the deal's experts.csv, nor in {beside}; "
            f"put its answers there (columns {', '.join(EXPERT_COLUMNS)}), or give the parameter a constant"
            for question, name in asked.items()
            if question not in there
        ]
        new = {(r.question, r.expert): r for r in rows if r.question not in own and (r.question, r.expert) not in taken}
        taken |= new
        yield from new.values()
        if new:
            come = "comes 1 answer" if len(new) == 1 else f"come {len(new)} answers"
            whom = ", ".join(dict.fromkeys(r.expert for r in new.values()))
            notes.append(f"with {path.name} {come} of {whom} from the {beside.name} beside it")
        mine = [r for r in deal.experts if r.question in asked]
        if any(r.question in own and r not in mine for r in rows):
            kept = dict.fromkeys(r.question for r in rows if r.question in own and r not in mine)
            notes.append(f"the deal's own answers to {', '.join(kept)} are used, not those beside {path.name}")


def _questions(path: Path) -> dict[str, str]:
    """Questions that the parameters of an added file rest on, each with one of them; none where it can't be read."""
    try:
        named = read_toml(path).get("parameters", {})
    except (DealFileError, OSError):
        return {}  # which `_added` says
    entries = named.items() if isinstance(named, dict) else ()
    return {str(p["experts"]): name for name, p in entries if isinstance(p, dict) and "experts" in p}


def _merge(into: dict[str, Any], extra: Mapping[str, Any], before: str) -> Iterator[str]:
    """Merge tables, and put lists behind each other; yield what is there already."""
    for key, value in extra.items():
        there = into.get(key)
        if key not in into:
            into[key] = value
        elif isinstance(there, dict) and isinstance(value, dict):
            into[key] = dict(there)
            yield from _merge(into[key], value, f"{before}{key}.")
        elif isinstance(there, list) and isinstance(value, list):
            into[key] = [*there, *value]
        else:
            yield f"{before}{key}: the deal has it already; change it with --set"
