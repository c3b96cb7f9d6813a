"""Changes laid over a deal file before it is checked: what scenarios and sweeps vary."""

import tomllib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import date
from difflib import get_close_matches
from typing import Any

from forecast.errors import DealFileError


def apply_overrides(raw: dict[str, Any], overrides: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return a copy of a parsed deal file with each dotted key set to its new value.

    The tables on the way must exist; the last key may be new (the deal model checks it afterwards).
    """
    result = deepcopy(raw)
    problems = [p for key, value in overrides.items() if (p := _set(result, key, value))]
    if problems:
        raise DealFileError("\n".join(f"{file}: {p}" for p in problems))
    return result


def _set(raw: dict[str, Any], key: str, value: Any) -> str | None:
    *path, last = key.split(".")
    if len(path) > 8:
        return f"{key[:60]}…: more dots than a deal file has levels"
    here: Any = raw
    for depth, step in enumerate(path):
        if isinstance(here, list) and step.isascii() and step.isdigit() and int(step[:6]) < len(here):
            here = here[int(step)]
        elif isinstance(here, dict) and isinstance(here.get(step), dict | list):
            here = here[step]
        else:
            known = [k for k, v in here.items() if isinstance(v, dict | list)] if isinstance(here, dict) else []
            near = get_close_matches(step, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known) or 'nothing to go into'}"
            return f"{key}: there is no table {'.'.join(path[: depth + 1])!r}; {hint}"
    if isinstance(here, list):
        return f"{key}: a list is changed entry by entry, such as {'.'.join(path)}.0.NAME; or give the whole list"
    here[last] = value
    return None


def parse_value(text: str) -> Any:
    """Read a value as TOML would (true, 0.3, "24 months", 2028-11-07); a bare word is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    except (RecursionError, ValueError):
        raise DealFileError(f"{text[:60]!r}: nested too deeply, or a number too long") from None


def parse_axis(text: str) -> tuple[str, list[Any]]:
    """Read one axis of a sweep, `NAME=V1,V2,…`; a value with a comma in it is written as in TOML."""
    name, equals, values = text.partition("=")
    if not equals or not name.strip() or not values.strip():
        raise DealFileError(f"--vary {text!r}: write NAME=V1,V2,…, e.g. oral_worth=0.2,0.5,0.8")
    whole = parse_value(f"[{values}]")
    return name.strip(), whole if isinstance(whole, list) else [parse_value(v.strip()) for v in values.split(",")]


def parse_date(text: str, option: str) -> date:
    """Read a date such as 2025-03-15."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise DealFileError(f"{option} {text!r}: a date is written like 2025-03-15") from None


def as_of_override(as_of: str | None) -> dict[str, Any]:
    """Return the override that moves the as-of date; none, if it is not given."""
    return {} if as_of is None else {"deal.as_of": parse_date(as_of, "--as-of")}


def parse_changes(pairs: Sequence[str], as_of: str | None = None) -> dict[str, Any]:
    """Read `KEY=VALUE` texts, and an as-of date, into what is laid over a deal file."""
    result: dict[str, Any] = {}
    for text in pairs:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise DealFileError(f"--set {text!r}: write KEY=VALUE, e.g. verification.agreed=false")
        result[key.strip()] = parse_value(value.strip())
    return {**result, **as_of_override(as_of)}
