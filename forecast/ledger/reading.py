"""An edited table of inputs, read back against the files that it came from: every problem at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from forecast.deal.answers import SEED_COLUMNS, cell_problems, experts_header
from forecast.deal.experts import ExpertRow, Seed, level_of
from forecast.deal.reading import control_characters, keys_at, kinds_at, short
from forecast.deal.sheet import Row, header_problem, read_sheet
from forecast.ledger.cells import flat, same_date, same_text, unguarded, value_of
from forecast.ledger.table import KEYS, TABLES, Files, expert_columns, flattened

TEXTS = tuple(c for c in expert_columns(()) if c != "expert")


@dataclass
class Read:
    """What a table wants: keys of parameters and of [elicitation], rows of experts and seeds, and the problems.

    `places` tells in which row of the table something stands, for problems that are found later.
    """

    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    elicitation: dict[str, Any] = field(default_factory=dict)
    experts: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict)
    seeds: dict[tuple[str, ...], dict[str, str]] = field(default_factory=dict)
    quantiles: tuple[str, ...] = ()
    places: dict[tuple[str, ...], int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def once(self, row: Row, *place: str) -> bool:
        """Note where something stands; a second time it is a problem."""
        first = self.places.setdefault(place, row.number)
        if first != row.number:
            self.say(row, "", f"{', '.join(place[1:])} stands in row {first} already; keep one")
        return first == row.number

    def say(self, row: Row, column: str, problem: str) -> None:
        """Add a problem of one cell, or of a row."""
        self.problems.append(
            f"row {row.number}, column {column}: {problem}" if column else f"row {row.number}: {problem}"
        )


def read_table(text: str, files: Files) -> Read:
    """Read an edited table."""
    sheet = read_sheet(text.removeprefix("\ufeff"), _header)
    read = Read(quantiles=tuple(c for c in sheet.columns if level_of(c) is not None))
    read.problems += sheet.problems
    if not sheet.columns or (sheet.problems and not sheet.rows):
        return read
    keys, answers = _Keys(read, files), _Answers(read, files)
    readers = {
        "parameter": keys.parameter,
        "elicitation": keys.elicitation,
        "expert": answers.expert,
        "seed": answers.seed,
    }
    for row in sheet.rows:
        read.problems += [f"row {row.number}: {p}" for p in control_characters(row.cells, "")]
        kind = row.cells["table"].lower()
        if kind not in TABLES:
            near = get_close_matches(kind, TABLES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"one of {', '.join(TABLES)}"
            read.say(row, "table", f"no table {row.cells['table']!r}; {hint}")
            continue
        foreign = [c for c, x in row.cells.items() if c and x and (c in ("key", "value")) == (kind == "expert")]
        for c in foreign:
            if c not in ("table", "id"):
                read.say(
                    row, c, f"a row of table {kind!r} has nothing here (got {short(row.cells[c])}); empty the cell"
                )
        readers[kind](row)
    read.problems += _missing(read, files)
    read.problems += _checked_rows(read)
    return read


def _header(columns: Sequence[str]) -> str | None:
    needed = (*KEYS, *expert_columns(()))
    if problem := header_problem(columns, needed, lambda c: not c or level_of(c) is not None):
        return problem
    return experts_header(["question" if c == "id" else c for c in columns if c and c not in ("table", "key", "value")])


class _Keys:
    """Rows that are keys of deal.toml."""

    def __init__(self, read: Read, files: Files) -> None:
        self.read = read
        self.current = {k: dict(flattened(v)) for k, v in files.toml.get("parameters", {}).items()}
        self.unknown: set[str] = set()  # named once is enough
        self.setting = dict(flattened(files.toml.get("elicitation", {})))

    def parameter(self, row: Row) -> None:
        """Take one key of a parameter."""
        id_, key = unguarded(row.cells["id"]), row.cells["key"]
        if id_ not in self.current and id_ in self.unknown:
            return
        if id_ not in self.current:
            self.unknown.add(id_)
            near = get_close_matches(id_, self.current, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "new parameters are written in deal.toml"
            self.read.say(row, "id", f"no parameter {id_!r}; {hint}")
        elif self.read.once(row, "parameter", id_, key):
            self._take(row, self.read.parameters.setdefault(id_, {}), self.current[id_], ("parameters", id_))

    def elicitation(self, row: Row) -> None:
        """Take one key of the table [elicitation]."""
        if self.read.once(row, "elicitation", row.cells["key"]):
            self._take(row, self.read.elicitation, self.setting, ("elicitation",))

    def _take(self, row: Row, into: dict[str, Any], current: Mapping[str, Any], at: tuple[str, ...]) -> None:
        key, cell = row.cells["key"], row.cells["value"]
        old = current.get(key)
        if isinstance(old, str) and same_text(cell, old):
            into[key] = old
        elif cell:  # an empty one takes the key out
            loc = (*at, *key.split("."))
            kinds = [] if key == "id" or not key else kinds_at(loc)
            if not kinds:
                known = [k for k in keys_at(loc[:-1]) if k != "id"]
                near = get_close_matches(loc[-1], known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'nothing'}"
                self.read.say(row, "key", f"no key {key!r}; {hint}")
            elif below := _below(kinds):
                self.read.say(row, "key", f"{key!r} is a table; give its keys in rows of their own: {below}")
            else:
                self._parse(row, into, key, kinds)

    def _parse(self, row: Row, into: dict[str, Any], key: str, kinds: Sequence[Any]) -> None:
        try:
            into[key] = value_of(row.cells["value"], kinds)
        except ValueError as err:
            self.read.say(row, "value", f"{row.cells['id'] or row.cells['table']}.{key} {err}")


def _below(kinds: Sequence[Any]) -> str:
    """Keys of a table that stands where a value is wanted; empty, if it is a value."""
    models = [k for k in kinds if isinstance(k, type) and issubclass(k, BaseModel)]
    return ", ".join(f.alias or n for m in models for n, f in m.model_fields.items())


class _Answers:
    """Rows of experts.csv and seeds.csv."""

    def __init__(self, read: Read, files: Files) -> None:
        self.read = read
        self.present = {(r.cells["question"], r.cells["expert"]): r.cells for r in files.experts.sheet.rows}
        self.asked = {r.cells["question"]: r.cells for r in reversed(files.experts.sheet.rows)}
        self.seeds = {r.cells["question"]: r.cells for r in files.seeds.sheet.rows}

    def expert(self, row: Row) -> None:
        """Take one answer; a new expert needs not repeat the question's text, scale and unit."""
        question, name = unguarded(row.cells["id"]), row.cells["expert"]
        name = name if (question, name) in self.present else unguarded(name)
        old = self.present.get((question, name), {})
        if self.read.once(row, "expert", question, name):
            texts = {c: _text(c, row.cells[c], old.get(c, "")) for c in TEXTS}
            if not old and (like := self.asked.get(question)):
                texts |= {c: texts[c] or like[c] for c in ("asked", "scale", "unit")}
            quantiles = {c: row.cells[c] for c in self.read.quantiles}
            self.read.experts[question, name] = {"question": question, "expert": name, **texts, **quantiles}

    def seed(self, row: Row) -> None:
        """Take one key of a seed question."""
        question, key = unguarded(row.cells["id"]), row.cells["key"]
        if key not in SEED_COLUMNS[1:]:
            self.read.say(row, "key", f"no key {key!r}; a seed has {', '.join(SEED_COLUMNS[1:])}")
        elif self.read.once(row, "seed", question, key):
            old = self.seeds.get(question, {}).get(key, "")
            cells = self.read.seeds.setdefault((question,), {"question": question})
            cells[key] = row.cells["value"] if key == "answer" else _text(key, row.cells["value"], old)


def _text(column: str, cell: str, old: str) -> str:
    same = same_date if column in ("date", "known_on") else same_text
    return old if old and same(cell, old) else flat(unguarded(cell))


def _missing(read: Read, files: Files) -> Iterator[str]:
    for id_ in files.toml.get("parameters", {}):
        if not any(place[:2] == ("parameter", id_) for place in read.places):
            yield f"parameter {id_!r} has no row left; put its rows back (a parameter is taken out in deal.toml)"


def _checked_rows(read: Read) -> Iterator[str]:
    """Problems of the answers and seeds themselves, by row and column."""
    for (question, name), cells in read.experts.items():
        yield from _problems(ExpertRow, cells, read.places["expert", question, name], "")
    for (question,), cells in read.seeds.items():
        number = min(n for place, n in read.places.items() if place[:2] == ("seed", question))
        yield from _problems(Seed, cells, number, f"seed {question}: ")


def _problems(kind: type[BaseModel], cells: Mapping[str, str], number: int, name: str) -> Iterator[str]:
    try:
        kind.model_validate(cells)
    except ValidationError as err:
        for problem in cell_problems(err, cells):
            column, _, what = problem.partition(": ")
            column = "id" if column == "question" else column
            where = "" if column == "row" or name else f", column {column}"
            yield f"row {number}{where}: {name}{what if where or column == 'row' else problem}"
