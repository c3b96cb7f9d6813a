"""From files to a `Deal`: every problem of every file at once, one line each."""

import csv
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeAliasType, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from forecast.deal.check import problems_of
from forecast.deal.model import Deal, DealFile
from forecast.deal.overrides import apply_overrides
from forecast.deal.parameters import ExpertRow
from forecast.errors import DealFileError

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
    file = path / "deal.toml" if path.is_dir() or path.suffix != ".toml" else path
    raw = apply_overrides(_read_toml(file), overrides or {}, str(file))
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


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        known = sorted(p.parent.name for p in file.parent.parent.glob("*/deal.toml"))
        near = f"; deals here: {', '.join(known)}" if known else ""
        raise DealFileError(f"{file}: no such deal file{near}") from None
    except OSError as err:
        raise DealFileError(f"{file}: cannot be read: {err.strerror}") from None
    if len(data) > MAX_BYTES:
        raise DealFileError(f"{file}: {len(data):,} bytes; a deal file may have {MAX_BYTES:,} at most")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as err:
        raise DealFileError(f"{file}: not UTF-8 text (byte {err.start})") from None
    except tomllib.TOMLDecodeError as err:
        raise DealFileError(f"{file}: not valid TOML: {err}") from None


def _read_experts(file: Path) -> tuple[tuple[ExpertRow, ...], list[str]]:
    """Read experts.csv, if there is one: the good rows, and a line for each problem."""
    if not file.exists():
        return (), []
    if file.stat().st_size > MAX_BYTES:
        return (), [f"{file}: {file.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read"]
    rows, problems, columns = [], [], list(ExpertRow.model_fields)
    with file.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle, strict=True)
        try:
            if reader.fieldnames is None or list(reader.fieldnames) != columns:
                return (), [f"{file}: the header must be {','.join(columns)} (got {','.join(reader.fieldnames or [])})"]
            for row in reader:
                try:
                    rows.append(ExpertRow.model_validate(row))
                except ValidationError as err:
                    problems += [f"{file}: line {reader.line_num}: {_sentence(e)}" for e in err.errors()]
        except (csv.Error, UnicodeDecodeError) as err:
            problems.append(f"{file}: line {reader.line_num}: not valid CSV in UTF-8: {err}")
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
    key = ".".join(str(x) for x in loc)
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
        "finite_number": f"must be a finite number (got {value})",
        "model_type": f"must be a table (got {value})",
    }
    if error["type"] in fixed:
        return f"{key}: {fixed[error['type']]}"
    message = error["msg"].removeprefix("Value error, ")
    message = message.removeprefix("Input should be ").replace("a valid ", "a ")
    verb = "" if error["type"] == "value_error" else "must be "
    got = "" if isinstance(error["input"], dict) else f" (got {value})"
    return f"{key}: {verb}{message}{got}"


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
