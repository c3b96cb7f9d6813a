"""Reads a reference class from its folder and refuses what is wrong, all of it at once."""

import csv
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from forecast.calibrate.classfile import (
    CLASS_FILE,
    BinomialClass,
    ChoiceClass,
    ClassFile,
    MultinomialClass,
    RatesClass,
    SharesClass,
    SurvivalClass,
    SurvivalColumns,
)
from forecast.calibrate.records import Kind, Record
from forecast.calibrate.reference_class import ReferenceClass, build_class
from forecast.errors import ReferenceClassError

MAX_BYTES = 20_000_000  # a table larger than this is no table of sufficient statistics
KINDS = get_args(Kind.__value__)
MOST_PROBLEMS = 50  # of one table that are told at once


def class_ids(root: Path) -> tuple[str, ...]:
    """List the reference classes in the folder `root`, sorted."""
    return tuple(sorted(p.parent.name for p in root.glob("*/class.toml")))


def load_class(root: Path, id_: str) -> ReferenceClass:
    """Read and check the class `id_` in the folder `root`.

    Raises
    ------
    ReferenceClassError
        One line a problem, each with file, row or key, and what would be right.
    """
    folder = root / id_
    path = folder / "class.toml"
    if not path.is_file():
        names = class_ids(root)
        near = get_close_matches(id_, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"classes there: {', '.join(names) or 'none'}"
        raise ReferenceClassError(f"{root}: no reference class {id_!r} (looked for {path}); {hint}")
    file = _read_class_file(path)
    if file.id != id_:
        raise ReferenceClassError(f"{path}: id is {file.id!r}; it must be the name of its folder, {id_!r}")
    records = _read_table(folder / file.table.file, file)
    return build_class(file, folder, records)


def _read_class_file(path: Path) -> ClassFile:
    try:
        return CLASS_FILE.validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as err:
        raise ReferenceClassError(f"{path}: not a TOML file in UTF-8: {err}") from err
    except ValidationError as err:
        lines = []
        for e in err.errors(include_url=False):
            # pydantic puts the chosen kind first; the reader knows the file's own keys only
            where = ".".join(str(p) for p in e["loc"] if p not in KINDS)
            lines.append(f"{path}: {where or 'the file'}: {e['msg']}")
        raise ReferenceClassError("\n".join(lines)) from err


@dataclass(frozen=True)
class _Columns:
    """What each column of a table has to hold."""

    levels: Mapping[str, tuple[str, ...] | None]  # allowed texts, or None for any
    numbers: tuple[str, ...]
    days: tuple[str, ...]
    optional_days: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()  # numbers that may be negative

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.levels, *self.numbers, *self.days, *self.optional_days, *self.signed)


def _columns(file: ClassFile) -> _Columns:
    levels: dict[str, tuple[str, ...] | None] = dict(file.covariates)
    if file.period:
        levels[file.period.column] = tuple(file.period.starts)
    match file:
        case RatesClass(columns=c):
            if c.age:
                levels[c.age.column] = c.age.bins
            return _Columns(levels, (*c.events.values(), c.exposure), ())
        case BinomialClass(columns=c):
            return _Columns(levels, (c.successes, c.trials), ())
        case ChoiceClass(columns=c):
            return _Columns(levels, (c.accepted, c.offers), (), signed=tuple(c.terms.values()))
        case MultinomialClass(columns=c):
            return _Columns(levels, tuple(c.categories.values()), ())
        case SharesClass(columns=c):
            levels |= {c.entry: c.entries, c.window: None, c.group: levels.get(c.group)}
            return _Columns(levels, (c.amount,), ())
        case SurvivalClass(columns=c):
            entry = (c.entry,) if c.entry else ()
            return _Columns(levels, (), (c.start, c.followed_to), (c.event, *entry))


def _read_table(path: Path, file: ClassFile) -> tuple[Record, ...]:
    if not path.is_file():
        raise ReferenceClassError(f"{path}: no such file; class.toml names it as table.file")
    if path.stat().st_size > MAX_BYTES:
        raise ReferenceClassError(f"{path}: larger than {MAX_BYTES // 1_000_000} MB; give counts, not raw records")
    columns = _columns(file)
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            header = list(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error, OSError) as err:
        raise ReferenceClassError(f"{path}: not a comma-separated table in UTF-8: {err}") from err
    problems = list(_missing_columns(header, file, columns))
    records: list[Record] = []
    if not problems:
        if not rows:
            problems.append("the table is empty; a class needs at least one row")
        seen: dict[tuple[str, ...], int] = {}
        for line, row in rows:
            problems += [f"row {line}: {p}" for p in _row_problems(row, line, seen, file, columns)]
            if not problems:
                records.append(_record(row, line, file, columns))
    if problems:
        more = [f"and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
        raise ReferenceClassError("\n".join(f"{path}: {p}" for p in [*problems[:MOST_PROBLEMS], *more]))
    return tuple(records)


def _missing_columns(header: list[str], file: ClassFile, columns: _Columns) -> Iterator[str]:
    if len(set(header)) != len(header):
        yield "a column is named twice in the header"
    for name in dict.fromkeys((file.table.known_on, *file.table.key, *columns.all)):
        if name not in header:
            near = get_close_matches(name, header, n=1)
            yield f"no column {name!r}; " + (f"did you mean {near[0]!r}?" if near else f"columns: {', '.join(header)}")


def _row_problems(
    row: dict[str, Any], line: int, seen: dict[tuple[str, ...], int], file: ClassFile, columns: _Columns
) -> Iterator[str]:
    if None in row or None in row.values():
        yield "more or fewer fields than the header has columns"
        return
    key = tuple(row[k] for k in file.table.key)
    if key in seen:
        yield f"same {', '.join(file.table.key)} as row {seen[key]}: {', '.join(key)}; merge the two or tell them apart"
    seen.setdefault(key, line)
    for name, allowed in columns.levels.items():
        if allowed is not None and row[name] not in allowed:
            near = get_close_matches(row[name], allowed, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"levels: {', '.join(allowed)}"
            yield f"{name} = {row[name]!r} is not a level that class.toml names; {hint}"
    for name in columns.numbers:
        if (number := _number(row[name])) is None or number < 0:
            yield f"{name} = {row[name]!r} must be a number, finite and not negative"
    for name in columns.signed:
        if _number(row[name]) is None:
            yield f"{name} = {row[name]!r} must be a number, finite"
    for name in (file.table.known_on, *columns.days, *columns.optional_days):
        if not (row[name] == "" and name in columns.optional_days) and _day(row[name]) is None:
            yield f"{name} = {row[name]!r} must be a date, as in 2011-12-31"
    yield from _kind_problems(row, file)


def _kind_problems(row: dict[str, str], file: ClassFile) -> Iterator[str]:
    match file:
        case RatesClass(columns=c):
            exposure = _number(row[c.exposure]) or 0.0
            for column in c.events.values():
                events = _number(row[column]) or 0.0
                if events and exposure <= 0:
                    yield f"{column} = {row[column]} events without exposure ({c.exposure} = {row[c.exposure]})"
                yield from _whole(column, row)
        case BinomialClass(columns=c):
            yield from _part_of_whole(c.successes, c.trials, row)
        case ChoiceClass(columns=c):
            yield from _part_of_whole(c.accepted, c.offers, row)
        case MultinomialClass(columns=c):
            for column in c.categories.values():
                yield from _whole(column, row)
        case SurvivalClass(columns=c):
            yield from _order_of_days(c, row)
        case _:
            return


def _part_of_whole(part: str, whole: str, row: dict[str, str]) -> Iterator[str]:
    if (_number(row[part]) or 0) > (_number(row[whole]) or 0):
        yield f"{part} = {row[part]} is more than {whole} = {row[whole]}"
    yield from (*_whole(part, row), *_whole(whole, row))


def _order_of_days(c: SurvivalColumns, row: dict[str, str]) -> Iterator[str]:
    start, event, end = _day(row[c.start]), _day(row[c.event]), _day(row[c.followed_to])
    if start and end and end < start:
        yield f"{c.followed_to} = {end} is before {c.start} = {start}"
    if start and end and event and not start <= event <= end:
        yield f"{c.event} = {event} must lie between {c.start} = {start} and {c.followed_to} = {end}"
    if c.entry and (entry := _day(row[c.entry])) and start and end and not start <= entry <= end:
        yield f"{c.entry} = {entry} must lie between {c.start} = {start} and {c.followed_to} = {end}"


def _whole(column: str, row: dict[str, str]) -> Iterator[str]:
    number = _number(row[column])
    if number is not None and number != int(number):
        yield f"{column} = {row[column]} must be a whole number"


def _record(row: dict[str, str], line: int, file: ClassFile, columns: _Columns) -> Record:
    known_on = _day(row[file.table.known_on])
    if known_on is None:
        raise KeyError(file.table.known_on)
    return Record(
        line,
        known_on,
        {name: row[name] for name in columns.levels},
        {name: float(row[name]) for name in (*columns.numbers, *columns.signed)},
        {name: _day(row[name]) for name in (*columns.days, *columns.optional_days)},
    )


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


@lru_cache(4096)
def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
