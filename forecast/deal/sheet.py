"""CSV files that people and spreadsheets write: header, rows with their line and text, each problem in words."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

DELIMITERS = ",;\t"  # spreadsheets choose one by the language of their user
_NUMBER = re.compile(r"[+-]?(\d[\d\s.,'’]*)(%?)")


@dataclass(frozen=True)
class Row:
    """One row: its number in a spreadsheet, the line on which it starts, its cells by column, its text in the file."""

    number: int
    line: int
    cells: dict[str, str]
    text: str


@dataclass(frozen=True)
class Sheet:
    """A CSV file that has been taken apart; `head` is the text of the header."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    head: str = ""
    delimiter: str = ","
    problems: tuple[str, ...] = ()


def read_sheet(text: str, columns_problem: Callable[[Sequence[str]], str | None]) -> Sheet:
    r"""Take a CSV text apart: commas, semicolons or tabs, with any line ends; empty rows are passed over.

    Parameters
    ----------
    text
        Without a byte order mark.
    columns_problem
        Says what is wrong with a header, if anything.

    Examples
    --------
    >>> sheet = read_sheet("a;b\r\n1;2\r\n;\r\n", lambda columns: None)
    >>> sheet.columns, sheet.rows[0].cells, len(sheet.rows)
    (('a', 'b'), {'a': '1', 'b': '2'}, 1)
    """
    lines = list(io.StringIO(text, newline=""))
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[Row] = []
    problems: list[str] = []
    columns: tuple[str, ...] | None = None
    head, start = "", 0
    try:
        for number, cells in enumerate(reader, 1):
            line, written = start + 1, "".join(lines[start : reader.line_num])
            start = reader.line_num
            if not any(c.strip() for c in cells):
                continue
            if columns is None:
                columns, head = tuple(c.strip() for c in cells), written
                if problem := columns_problem(columns):
                    return Sheet(columns, (), head, delimiter, (f"line {line}: {problem}",))
            elif any(c.strip() for c in cells[len(columns) :]):
                problems.append(
                    f"line {line}: more cells than columns; put texts with a {delimiter!r} in double quotes"
                )
            else:
                filled = [c.strip() for c in cells[: len(columns)]] + [""] * (len(columns) - len(cells))
                rows.append(Row(number, line, dict(zip(columns, filled, strict=True)), written))
    except csv.Error as err:
        problems.append(f"line {max(reader.line_num, 1)}: not valid CSV: {err}")
    if columns is None and not problems:
        problems = [f"line 1: {columns_problem(()) or 'is empty'}"]
    return Sheet(columns or (), tuple(rows), head, delimiter, tuple(problems))


def header_problem(columns: Sequence[str], needed: Sequence[str], known: Callable[[str], bool]) -> str | None:
    """Say which columns are missing, unknown or there twice."""
    said = []
    if twice := sorted({c for c in columns if c and columns.count(c) > 1}):
        said.append(f"twice: {', '.join(twice)}")
    if missing := [c for c in needed if c not in columns]:
        said.append(f"missing: {', '.join(missing)}")
    for c in columns:
        if c not in needed and not known(c):
            near = get_close_matches(c, needed, n=1)
            said.append(f"unknown: {c[:40]!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return f"the header must be {','.join(needed)}; {'; '.join(said)}" if said else None


def number_hint(text: str) -> str | None:
    """Say how a number that a spreadsheet wrote in its user's language is to be written here.

    >>> number_hint("30 %"), number_hint("0,3"), number_hint("1.234,5"), number_hint("many")
    ('write 0.3 for 30 %', 'write 0.3, with a decimal point', 'write 1234.5, with a decimal point alone', None)
    """
    compact = re.sub(r"[\s\u00a0\u202f'’]", "", text).replace("−", "-")  # a minus sign that is no hyphen
    found = _NUMBER.fullmatch(compact)
    if not found:
        return None
    digits = compact.removesuffix("%")
    mark = max(digits.rfind("."), digits.rfind(","))
    whole, part = (digits[:mark], digits[mark + 1 :]) if mark >= 0 else (digits, "")
    try:
        value = float(f"{re.sub('[.,]', '', whole)}.{part or '0'}")
    except ValueError:
        return None
    if found[2]:
        return f"write {value / 100:.12g} for {text.strip()}"
    if "−" in text:
        return f"write {value:.12g}, with a hyphen for the minus sign"
    alone = " alone" if re.search("[.,]", whole) or compact != text.strip() else ""
    return f"write {value:.12g}, with a decimal point{alone}"


def sheet_line(cells: Iterable[str], delimiter: str = ",", end: str = "\n") -> str:
    """Write one row."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator=end).writerow(list(cells))
    return out.getvalue()
