"""Cells of the table of inputs: texts that no spreadsheet takes for formulas, and values of their types.

A spreadsheet runs what begins with = + - or @ (and tab, carriage return and their wide forms); such a text is
written with an apostrophe before it, and so is one that begins with an apostrophe. Numbers are left alone.
"""

import json
import math
from collections.abc import Iterable
from typing import Any

from forecast.deal.reading import short
from forecast.deal.sheet import number_hint

RUNS = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠", "'")


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
