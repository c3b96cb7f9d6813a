"""Reading what users wrote: ordinary files of limited size, and each problem as one sentence."""

import stat
import unicodedata
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeAliasType, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from forecast.deal.model import DealFile
from forecast.errors import DealFileError

MAX_BYTES = 4_000_000
TAGS = {"delivery", "standing", "rate", "weibull"}  # discriminators that pydantic puts into a location


def text_of(file: Path) -> str:
    """Read a file of the user's: an ordinary one, of limited size, in UTF-8."""
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise DealFileError(f"{file}: is not an ordinary file")
        if status.st_size > MAX_BYTES:
            raise DealFileError(f"{file}: {status.st_size:,} bytes; {MAX_BYTES:,} are read at most")
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise DealFileError(f"{file}: not UTF-8 text (byte {err.start}); save it as UTF-8") from None
    except FileNotFoundError:
        if file.name != "deal.toml":
            raise DealFileError(f"{file}: no such file") from None
        known = sorted(p.parent.name for p in file.parent.parent.glob("*/deal.toml"))
        near = f"; deals here: {', '.join(known)}" if known else ""
        raise DealFileError(f"{file}: no such deal file{near}") from None
    except OSError as err:
        raise DealFileError(f"{file}: cannot be read: {err.strerror}") from None


def control_characters(value: Any, key: str) -> Iterator[str]:
    """Texts end up in terminals and pages, so they may hold tabs and line ends, but nothing that steers."""
    if isinstance(value, str) and any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in value):
        yield f"{key}: contains a control character ({short(value)}); take it out"
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from control_characters(k, f"{key}.{k!r}".lstrip("."))
            yield from control_characters(v, f"{key}.{k}".lstrip("."))
    elif isinstance(value, list):
        for n, v in enumerate(value):
            yield from control_characters(v, f"{key}.{n}")


def sentence(error: ErrorDetails) -> str:
    """One problem in words: key, what is wrong, what would be right."""
    loc = tuple(x for x in error["loc"] if x not in TAGS)
    key = ".".join(str(x) for x in loc if x != "[key]") or "row"
    value = short(error["input"])
    if error["type"] == "extra_forbidden":
        known = keys_at(error["loc"][:-1])
        near = get_close_matches(str(loc[-1]), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}" if known else ""
        return f"{key}: unknown key{hint}"
    fixed = {
        "missing": "is required, but missing",
        "string_pattern_mismatch": f"{value} is not a name (lower case, digits and _, first a letter; at most 64)",
        "union_tag_not_found": 'needs kind = "delivery" or kind = "standing"',
        "union_tag_invalid": f'must have kind = "delivery" or kind = "standing" (got {short(_kind_of(error))})',
        "finite_number": f"must be a finite number (got {value})",
        "model_type": f"must be a table (got {value})",
        "dict_type": f"must be a table (got {value})",
        "tuple_type": f"must be a list, in [ ] (got {value})",
        "too_short": "must not be empty",
        "string_type": f"must be a text in quotes (got {value}); numbers are declared under [parameters]",
        "bool_type": f"must be true or false, without quotes (got {value})",
        "date_type": f"must be a date without quotes, such as 2025-03-15 (got {value})",
        "date_from_datetime_inexact": f"must be a date without a time (got {value})",
        "float_type": f"must be a number, without quotes (got {value})",
    }
    if error["type"] in fixed:
        return f"{key}: {fixed[error['type']]}"
    message = error["msg"].removeprefix("Value error, ")
    message = message.removeprefix("Input should be ").replace("a valid ", "a ")
    verb = "" if error["type"] == "value_error" else "must be "
    got = "" if isinstance(error["input"], dict) else f" (got {value})"
    return f"{key}: {verb}{message}{got}"


def _kind_of(error: ErrorDetails) -> object:
    value = error["input"]
    return value.get("kind") if isinstance(value, dict) else value


def short(value: object) -> str:
    """Write a value, cut to 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """Known keys of the table at a location of the deal file."""
    models = [m for m in kinds_at(loc) if isinstance(m, type) and issubclass(m, BaseModel)]
    return sorted({f.alias or name for m in models for name, f in m.model_fields.items()})


def kinds_at(loc: Iterable[int | str]) -> list[Any]:
    """Types that the deal file may have at a location: models, containers and plain types."""
    annotations: list[Any] = [DealFile]
    for step in (x for x in loc if x not in TAGS):
        annotations = [n for a in annotations for kind in _unwrap(a) for n in _step_into(kind, str(step))]
    return [kind for a in annotations for kind in _unwrap(a)]


def _unwrap(annotation: Any) -> list[Any]:
    """Models and containers behind aliases, metadata and unions."""
    if isinstance(annotation, TypeAliasType):
        return _unwrap(annotation.__value__)
    if get_origin(annotation) is Annotated:
        return _unwrap(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return [x for a in get_args(annotation) for x in _unwrap(a)]
    return [annotation]


def _step_into(kind: Any, step: str) -> list[Any]:
    """Annotations behind one key of a model, or behind any key or number of a container."""
    if get_origin(kind) is dict:
        return [get_args(kind)[1]]
    if get_origin(kind) is tuple:
        return [get_args(kind)[0]]
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [f.annotation for name, f in kind.model_fields.items() if step in (name, f.alias)]
    return []
