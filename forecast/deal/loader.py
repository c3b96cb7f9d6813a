"""From files to a `Deal`: every problem of every file at once, one line each."""

import csv
import io
import os
import stat
import tomllib
import unicodedata
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeAliasType, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from forecast.deal.check import problems_of
from forecast.deal.experts import ExpertRow
from forecast.deal.model import Deal, DealFile, Duration
from forecast.deal.overrides import apply_overrides
from forecast.errors import DealFileError
from forecast.types import horizon_date

MAX_BYTES = 4_000_000
TAGS = {"delivery", "standing", "rate", "weibull"}  # discriminators that pydantic puts into a location


def load_deal(path: Path, overrides: Mapping[str, Any] | None = None) -> Deal:
    """Read and check `deal.toml` (or the folder that holds it) and the `experts.csv` beside it.

    Parameters
    ----------
    path
        A deal folder or its deal.toml.
    overrides
        Dotted key → value, laid over the file before it is checked, such as
        `{"promises.neutral_status.binding": True}`.

    Raises
    ------
    DealFileError
        With one line for each problem found: file, key, what is wrong, what would be right.
    """
    file = path if path.suffix == ".toml" else path / "deal.toml"
    if file.name != "deal.toml":
        raise DealFileError(f"{file}: a deal file is named deal.toml, in a folder of its own")
    original = _read_toml(file)
    raw = apply_overrides(original, overrides or {}, str(file))
    if "deal.as_of" in (overrides or {}) and "deal.horizon" not in (overrides or {}):
        _keep_the_end(original, raw)
    experts, problems = _read_experts(file.parent / "experts.csv")
    try:
        deal = Deal(
            file=DealFile.model_validate(raw), experts=experts, folder=file.parent, overrides=dict(overrides or {})
        )
    except ValidationError as err:
        lines = [f"{file}: {_sentence(e)}" for e in err.errors() if _is_root_problem(e, err)]
        raise DealFileError("\n".join([*lines, *problems])) from None
    problems = [*(f"{file}: {p}" for p in problems_of(deal, strict=not overrides)), *problems]
    if problems:
        raise DealFileError("\n".join(problems))
    return deal


def _keep_the_end(original: dict[str, Any], raw: dict[str, Any]) -> None:
    """Moving the as-of date leaves the last day of the forecast where it was."""
    try:
        start, horizon = original["deal"]["as_of"], TypeAdapter(Duration).validate_python(original["deal"]["horizon"])
        days = (horizon_date(start, horizon) - raw["deal"]["as_of"]).days
    except (KeyError, TypeError, ValidationError):
        return  # the file is wrong, and will be told so
    if days > 0:
        raw["deal"]["horizon"] = f"{days} days"


def _text_of(file: Path) -> str:
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
        known = sorted(p.parent.name for p in file.parent.parent.glob("*/deal.toml"))
        near = f"; deals here: {', '.join(known)}" if known else ""
        raise DealFileError(f"{file}: no such deal file{near}") from None
    except OSError as err:
        raise DealFileError(f"{file}: cannot be read: {err.strerror}") from None


def _read_toml(file: Path) -> dict[str, Any]:
    text = _text_of(file)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise DealFileError(f"{file}: not valid TOML: {err}") from None
    except (RecursionError, ValueError) as err:
        raise DealFileError(f"{file}: nested too deeply, or with a number too long: {str(err)[:80]}") from None
    if problems := list(_control_characters(raw, "")):
        raise DealFileError("\n".join(f"{file}: {p}" for p in problems))
    return raw


def _control_characters(value: Any, key: str) -> Iterator[str]:
    """Texts end up in terminals and pages, so they may hold tabs and line ends, but nothing that steers."""
    if isinstance(value, str) and any(unicodedata.category(c) == "Cc" and c not in "\t\n\r" for c in value):
        yield f"{key}: contains a control character ({_short(value)}); take it out"
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from _control_characters(k, f"{key}.{k!r}".lstrip("."))
            yield from _control_characters(v, f"{key}.{k}".lstrip("."))
    elif isinstance(value, list):
        for n, v in enumerate(value):
            yield from _control_characters(v, f"{key}.{n}")


def _read_experts(file: Path) -> tuple[tuple[ExpertRow, ...], list[str]]:
    """Read experts.csv, if there is one: the good rows, and a line for each problem."""
    if not os.path.lexists(file):
        return (), []
    try:
        lines = io.StringIO(_text_of(file), newline="")
    except DealFileError as err:
        return (), [str(err)]
    rows: list[ExpertRow] = []
    problems: list[str] = []
    columns = list(ExpertRow.model_fields)
    reader = csv.DictReader(lines, strict=True)
    try:
        got = list(reader.fieldnames or [])
        if got != columns:
            return (), [f"{file}: the header must be {','.join(columns)} (got {','.join(map(str, got))[:200]!r})"]
        for row in reader:
            where = f"{file}: line {reader.line_num}"
            problems += [f"{where}: {p}" for p in _control_characters({str(k): v for k, v in row.items()}, "")]
            if None in row:
                problems.append(f"{where}: more cells than columns; put texts with commas in double quotes")
                continue
            try:
                rows.append(ExpertRow.model_validate({k: v.strip() if v else v for k, v in row.items()}))
            except ValidationError as err:
                problems += [f"{where}: {_sentence(e)}" for e in err.errors()]
    except csv.Error as err:
        problems.append(f"{file}: line {reader.line_num}: not valid CSV: {err}")
    seen: set[tuple[str, str]] = set()
    for r in rows:
        if (r.question, r.expert) in seen:
            problems.append(f"{file}: {r.expert!r} answers {r.question!r} twice; keep one row")
        seen.add((r.question, r.expert))
    return tuple(rows), problems


def _is_root_problem(error: ErrorDetails, all_errors: ValidationError) -> bool:
    """Leave out what only follows from another error in the same place."""
    return error["type"] != "value_error" or all(
        e is error or e["loc"][: len(error["loc"])] != error["loc"] or e["type"] == "value_error"
        for e in all_errors.errors()
    )


def _sentence(error: ErrorDetails) -> str:
    """One problem in words: key, what is wrong, what would be right."""
    loc = tuple(x for x in error["loc"] if x not in TAGS)
    key = ".".join(str(x) for x in loc if x != "[key]") or "row"
    value = _short(error["input"])
    if error["type"] == "extra_forbidden":
        known = _keys_at(error["loc"][:-1])
        near = get_close_matches(str(loc[-1]), known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known keys: {', '.join(known)}" if known else ""
        return f"{key}: unknown key{hint}"
    fixed = {
        "missing": "is required, but missing",
        "string_pattern_mismatch": f"{value} is not a name (lower case, digits and _, first a letter; at most 64)",
        "union_tag_not_found": 'needs kind = "delivery" or kind = "standing"',
        "union_tag_invalid": f'must have kind = "delivery" or kind = "standing" (got {_short(_kind_of(error))})',
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


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    """Known keys of the table at a location of the deal file."""
    annotations: list[Any] = [DealFile]
    for step in (x for x in loc if x not in TAGS):
        annotations = [n for a in annotations for kind in _unwrap(a) for n in _step_into(kind, str(step))]
    models = [m for a in annotations for m in _unwrap(a) if isinstance(m, type) and issubclass(m, BaseModel)]
    return sorted({f.alias or name for m in models for name, f in m.model_fields.items()})


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
