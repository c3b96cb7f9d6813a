"""Reading experts.csv and seeds.csv: the good rows, and a line for each problem."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import BaseModel, ValidationError

from forecast.deal.experts import ExpertRow, Seed, level_of
from forecast.deal.reading import control_characters, sentence, text_of
from forecast.deal.sheet import Row, Sheet, header_problem, number_hint, read_sheet
from forecast.errors import DealFileError

EXPERT_COLUMNS = ("question", "expert", "date", "asked", "scale", "unit", "p05", "p50", "p95", "why")
SEED_COLUMNS = ("question", "answer", "known_on", "source")
_TEXTS = tuple(c for c in EXPERT_COLUMNS if level_of(c) is None)


@dataclass(frozen=True)
class Table[T: BaseModel]:
    """What a file says: its sheet, its good rows (line → row) and a line for each problem."""

    sheet: Sheet
    found: Mapping[int, T]
    problems: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[T, ...]:
        """The good rows, in the order of the file."""
        return tuple(self.found.values())


def read_experts(file: Path) -> Table[ExpertRow]:
    """Read experts.csv, if there is one."""
    return _read(file, experts_of)


def read_seeds(file: Path) -> Table[Seed]:
    """Read seeds.csv, if there is one."""
    return _read(file, seeds_of)


def experts_of(text: str) -> Table[ExpertRow]:
    """Take the text of an experts.csv apart."""
    table = _table(text, ExpertRow, experts_header)
    return _unique(table, lambda r: (r.question, r.expert), lambda r: f"{r.expert!r} answers {r.question!r} twice")


def seeds_of(text: str) -> Table[Seed]:
    """Take the text of a seeds.csv apart."""
    table = _table(text, Seed, lambda columns: header_problem(columns, SEED_COLUMNS, lambda _: False))
    return _unique(table, lambda r: r.question, lambda r: f"{r.question!r} has two answers")


def experts_header(columns: Sequence[str]) -> str | None:
    """Say what is wrong with the header of experts.csv: any order, and any quantiles about the median."""
    quantiles = [c for c in columns if level_of(c) is not None]
    levels = [level_of(c) for c in quantiles]
    if same := [c for c, level in zip(quantiles, levels, strict=True) if levels.count(level) > 1]:
        return f"columns {', '.join(same)} are the same quantile; keep one"
    if "p50" not in columns and len(quantiles) > 1:
        return f"a column p50, the median, is missing (quantiles here: {', '.join(quantiles)})"
    return header_problem(columns, EXPERT_COLUMNS if len(quantiles) < 3 else _TEXTS, lambda c: level_of(c) is not None)


def cell_problems(err: ValidationError, cells: Mapping[str, str]) -> Iterator[str]:
    """Each problem of a row in words; numbers in the user's language are told how to be written here."""
    for error in err.errors():
        loc = error["loc"][1:] if error["loc"][:1] == ("quantiles",) else error["loc"]
        hint = number_hint(cells.get(str(loc[0]), "")) if loc and error["type"] == "float_parsing" else None
        if hint:
            yield f"{loc[0]}: must be a number (got {cells[str(loc[0])]!r}); {hint}"
        elif loc and error["type"].startswith("date_"):
            yield f"{loc[0]}: must be a date such as 2025-03-15: year, month, day (got {cells.get(str(loc[0]), '')!r})"
        elif loc == ("scale",):
            near = get_close_matches(cells.get("scale", ""), ("probability", "positive", "real"), n=1)
            mean = f"; did you mean {near[0]!r}?" if near else ""
            yield f"scale: must be 'probability', 'positive' or 'real' (got {cells.get('scale', '')!r}){mean}"
        else:
            yield sentence({**error, "loc": loc})


def _read[T: BaseModel](file: Path, parse: Callable[[str], Table[T]]) -> Table[T]:
    if not os.path.lexists(file):
        return Table(Sheet((), ()), {})
    try:
        table = parse(text_of(file))
    except DealFileError as err:
        return Table(Sheet((), ()), {}, (str(err),))
    return Table(table.sheet, table.found, tuple(f"{file}: {p}" for p in table.problems))


def _table[T: BaseModel](text: str, kind: type[T], header: Callable[[Sequence[str]], str | None]) -> Table[T]:
    sheet = read_sheet(text, header)
    found: dict[int, T] = {}
    problems = list(sheet.problems)
    for row in sheet.rows:
        problems += [f"line {row.line}: {p}" for p in control_characters(row.cells, "")]
        try:
            found[row.line] = kind.model_validate(_given(row))
        except ValidationError as err:
            problems += [f"line {row.line}: {p}" for p in cell_problems(err, row.cells)]
    return Table(sheet, found, tuple(problems))


def _given(row: Row) -> dict[str, str]:
    """Cells of named columns; an empty quantile was not asked."""
    return {k: v for k, v in row.cells.items() if k}


def _unique[T: BaseModel](table: Table[T], key: Callable[[T], object], said: Callable[[T], str]) -> Table[T]:
    seen: set[object] = set()
    problems = list(table.problems)
    for line, row in table.found.items():
        if key(row) in seen:
            problems.append(f"line {line}: {said(row)}; keep one row")
        seen.add(key(row))
    return Table(table.sheet, table.found, tuple(problems))
