"""Cells of the table of inputs: texts that no spreadsheet takes for formulas, and values of their types.

A spreadsheet runs what begins with = + - or @ (and tab, carriage return and their wide forms); such a text is
written with an apostrophe before it, and so is one that begins with an apostrophe. Numbers are left alone.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from forecast.deal.reading import short
from forecast.deal.sheet import number_hint

RUNS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠", "'")

_DATE = re.compile(r"(\d{1,4})[./\- ]{1,2}(\d{1,2})[./\- ]{1,2}(\d{1,4})\.?(?: 0?0:00(?::00)?)?")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")


def written(value: Any) -> str:
    """Write a value of a deal file as a cell.

    >>> written(-0.7), written("-0.7"), written(True), written(["a", "b"])
    ('-0.7', "'-0.7", 'true', '["a", "b"]')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return guarded(value)
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return repr(value) if isinstance(value, int | float) else str(value)


def guarded(text: str) -> str:
    """Keep a text from being taken for a formula."""
    return f"'{text}" if text.startswith(RUNS) else text


def same_text(cell: str, text: str) -> bool:
    """Whether a cell says a text, however a spreadsheet has treated its apostrophe, line ends and outer spaces."""
    return flat(text) in (flat(cell), flat(unguarded(cell)))


def same_date(cell: str, text: str) -> bool:
    """Whether a cell may be a date as a spreadsheet writes it: it turns 2024-12-10 into 10.12.24 or 12/10/2024.

    Which is day and which is month nobody can tell, but if one reading is the date that was there, it stayed.

    >>> same_date("12/10/2024", "2024-12-10"), same_date("10.12.24", "2024-12-10"), same_date("1/2/2024", "2024-12-10")
    (True, True, False)
    """
    found = _DATE.fullmatch(cell.strip())
    if not found or not _ISO.fullmatch(text):
        return cell.strip() == text
    year, month, day = map(int, text.split("-"))
    a, b, c = map(int, found.groups())
    return ((b, c) == (month, day) and a == year) or (
        c in (year, year % 100) and sorted((a, b)) == sorted((day, month))
    )


def unguarded(cell: str) -> str:
    """Take the apostrophe off that `guarded` put there."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(RUNS) else cell


def flat(text: str) -> str:
    """Texts that differ in line ends or outer spaces alone are the same."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


def value_of(cell: str, kinds: Iterable[Any]) -> Any:
    """Read a cell as a value of the type that the deal file has there.

    Raises
    ------
    ValueError
        With what is wrong and what would be right.
    """
    wanted = set(kinds) - {type(None)}
    if float in wanted or int in wanted:
        return _number(cell)
    if bool in wanted:
        if cell.lower() not in ("true", "false"):
            raise ValueError(f"must be true or false (got {short(cell)})")
        return cell.lower() == "true"
    if any(getattr(k, "__origin__", None) is tuple for k in wanted):
        return _names(cell)
    return flat(unguarded(cell))


def _number(cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        hint = number_hint(cell)
        raise ValueError(f"must be a number (got {short(cell)})" + (f"; {hint}" if hint else "")) from None
    if not math.isfinite(number) or "_" in cell:
        raise ValueError(f"must be a finite number (got {short(cell)})")
    return number


def _names(cell: str) -> list[str]:
    try:
        found = json.loads(cell)
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(x, str) for x in found):
        raise ValueError(f'must be a list of names, such as ["one", "two"] (got {short(cell)})')
    return found
