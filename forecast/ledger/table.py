"""The table of inputs: what of a deal stands in which row, written out as CSV.

table, id, key, value      a key of a parameter, of a seed question, or of [elicitation]
expert … why               one expert's answer to the question `id`, as in experts.csv
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecast.deal.answers import EXPERT_COLUMNS, SEED_COLUMNS, Table, read_experts, read_seeds
from forecast.deal.experts import ExpertRow, Seed, level_of
from forecast.deal.loader import read_toml
from forecast.deal.sheet import sheet_line
from forecast.errors import DealFileError
from forecast.ledger.cells import guarded, written

KEYS = ("table", "id", "key", "value")
TABLES = ("parameter", "elicitation", "expert", "seed")
BOM = "\ufeff"


@dataclass(frozen=True)
class Files:
    """The files of a deal's folder as they are: deal.toml parsed, the others taken apart."""

    folder: Path
    toml: Mapping[str, Any]
    experts: Table[ExpertRow]
    seeds: Table[Seed]

    @property
    def quantiles(self) -> list[str]:
        """Quantile columns of experts.csv, in its order."""
        columns = self.experts.sheet.columns or EXPERT_COLUMNS
        return [c for c in columns if level_of(c) is not None]


def read_files(path: Path) -> Files:
    """Read the files that hold a deal's numbers.

    Raises
    ------
    DealFileError
        One of them cannot be read; `forecast check` says the rest.
    """
    folder = path.parent if path.suffix == ".toml" else path
    experts, seeds = read_experts(folder / "experts.csv"), read_seeds(folder / "seeds.csv")
    toml = read_toml(folder / "deal.toml")
    if problems := [*experts.problems, *seeds.problems]:
        raise DealFileError("\n".join(problems))
    if not isinstance(toml.get("parameters", {}), dict):
        raise DealFileError(f"{folder / 'deal.toml'}: parameters: must be a table")
    return Files(folder, toml, experts, seeds)


def expert_columns(quantiles: Sequence[str]) -> tuple[str, ...]:
    """Columns of an expert's row, but for the question, which is the `id`."""
    return ("expert", "date", "asked", "scale", "unit", *quantiles, "why")


def flattened(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Dotted key and value of everything in a table of the deal file.

    >>> list(flattened({"a": 1.0, "b": {"c": "x"}, "d": [{"e": 2.0}], "f": ["y"]}))
    [('a', 1.0), ('b.c', 'x'), ('d.0.e', 2.0), ('f', ['y'])]
    """
    if isinstance(value, dict):
        for k, v in value.items():
            yield from flattened(v, (*path, k))
    elif isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        for n, v in enumerate(value):
            yield from flattened(v, (*path, str(n)))
    else:
        yield ".".join(path), value


def table_text(files: Files) -> str:
    """Write the table: UTF-8 with a byte order mark, for spreadsheets take it for another code without."""
    columns = (*KEYS, *expert_columns(files.quantiles))
    rows = [dict(zip(columns, columns, strict=True))]
    for id_, parameter in files.toml.get("parameters", {}).items():
        rows += [{"table": "parameter", "id": id_, "key": k, "value": written(v)} for k, v in flattened(parameter)]
    for k, v in flattened(files.toml.get("elicitation", {})):
        rows.append({"table": "elicitation", "key": k, "value": written(v)})
    for row in files.experts.sheet.rows:
        cells = {k: x if level_of(k) is not None else guarded(x) for k, x in row.cells.items() if k != "question"}
        rows.append({"table": "expert", "id": row.cells["question"], **cells})
    for row in files.seeds.sheet.rows:
        for k in SEED_COLUMNS[1:]:
            value = row.cells[k] if k == "answer" else guarded(row.cells[k])
            rows.append({"table": "seed", "id": row.cells["question"], "key": k, "value": value})
    return BOM + "".join(sheet_line(row.get(c, "") for c in columns) for row in rows)
