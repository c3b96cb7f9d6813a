"""From files to a `Deal`: every problem of every file at once, one line each."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from forecast.deal.answers import read_experts, read_seeds
from forecast.deal.check import problems_of
from forecast.deal.experts import ExpertRow, seed_problems
from forecast.deal.model import Deal, DealFile, Duration
from forecast.deal.overrides import apply_overrides
from forecast.deal.reading import control_characters, sentence, text_of
from forecast.errors import DealFileError
from forecast.types import horizon_date


def load_deal(path: Path, overrides: Mapping[str, Any] | None = None, answers: Sequence[ExpertRow] = ()) -> Deal:
    """Read and check `deal.toml` (or the folder that holds it) and the `experts.csv` and `seeds.csv` beside it.

    Parameters
    ----------
    path
        A deal folder or its deal.toml.
    overrides
        Dotted key → value, laid over the file before it is checked, such as
        `{"promises.neutral_status.binding": True}`.
    answers
        Rows of experts beside those of the deal's own experts.csv.

    Raises
    ------
    DealFileError
        With one line for each problem found: file, key, what is wrong, what would be right.
    """
    file = path if path.suffix == ".toml" else path / "deal.toml"
    if file.name != "deal.toml":
        raise DealFileError(f"{file}: a deal file is named deal.toml, in a folder of its own")
    original = read_toml(file)
    raw = apply_overrides(original, overrides or {}, str(file))
    if "deal.as_of" in (overrides or {}) and "deal.horizon" not in (overrides or {}):
        _keep_the_end(original, raw)
    experts, seeds = read_experts(file.parent / "experts.csv"), read_seeds(file.parent / "seeds.csv")
    beside = [*experts.problems, *seeds.problems]
    try:
        deal = Deal(
            file=DealFile.model_validate(raw),
            experts=(*experts.rows, *answers),
            seeds=seeds.rows,
            folder=file.parent,
            overrides=dict(overrides or {}),
        )
    except ValidationError as err:
        lines = [f"{file}: {sentence(e)}" for e in err.errors() if _is_root_problem(e, err)]
        raise DealFileError("\n".join([*lines, *beside])) from None
    problems = [f"{file}: {p}" for p in problems_of(deal, strict=not overrides)]
    if experts.problems:  # a row that could not be read is missed elsewhere, which says nothing new
        problems = [p for p in problems if "experts.csv" not in p]
    else:
        problems += [f"{file.parent / p}" for p in seed_problems(deal.seeds, deal.experts)]
    if problems := [*problems, *beside]:
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


def read_toml(file: Path) -> dict[str, Any]:
    """Read a deal file without checking what it says."""
    text = text_of(file)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise DealFileError(f"{file}: not valid TOML: {err}") from None
    except (RecursionError, ValueError) as err:
        raise DealFileError(f"{file}: nested too deeply, or with a number too long: {str(err)[:80]}") from None
    if problems := list(control_characters(raw, "")):
        raise DealFileError("\n".join(f"{file}: {p}" for p in problems))
    return raw


def _is_root_problem(error: ErrorDetails, all_errors: ValidationError) -> bool:
    """Leave out what only follows from another error in the same place."""
    return error["type"] != "value_error" or all(
        e is error or e["loc"][: len(error["loc"])] != error["loc"] or e["type"] == "value_error"
        for e in all_errors.errors()
    )
