"""Putting an edited table of inputs into a deal: checked as a whole before anything is replaced."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecast.deal.answers import EXPERT_COLUMNS, SEED_COLUMNS
from forecast.deal.expand import expand
from forecast.deal.experts import level_of
from forecast.deal.reading import text_of
from forecast.durable import building, explained, publish, sync
from forecast.errors import DealFileError
from forecast.inputs import load
from forecast.ledger.edits import differences, edited, nested
from forecast.ledger.reading import Read, read_table
from forecast.ledger.rows import rewritten
from forecast.ledger.table import BOM, Files, flattened, read_files

SHOWN = 50  # problems; a spreadsheet with decimal commas has hundreds


@dataclass(frozen=True)
class Plan:
    """New texts of the files that change, and a line for each change."""

    texts: Mapping[str, str]
    changes: tuple[str, ...]


def import_table(deal: Path, table: Path, target: Path | None = None, *, dry_run: bool = False) -> tuple[str, ...]:
    """Put an edited table of inputs into a deal, or into a copy of it; say what is changed.

    Parameters
    ----------
    deal
        The folder that the table was written from, or its deal.toml.
    table
        The edited CSV.
    target
        A new folder for the changed deal; the deal itself, if left out.
    dry_run
        Check everything and write nothing.

    Raises
    ------
    DealFileError
        With one line for each problem, by row and column; nothing is written.
    """
    if target:
        _can_be_made(target)
    files = read_files(deal)
    before = {name: (files.folder / name).read_bytes() for name in _existing(files)}
    read = read_table(text_of(table), files)
    if read.problems:
        more = [f"and {len(read.problems) - SHOWN} more like these"] if len(read.problems) > SHOWN else []
        raise DealFileError("\n".join(f"{table}: {p}" for p in [*read.problems[:SHOWN], *more]))
    plan = _plan(files, read, table)
    final = target or files.folder
    if plan.texts or target:
        with building(final.resolve().parent, final.resolve().name) as tmp, explained(final):
            shutil.copytree(files.folder, tmp, dirs_exist_ok=True)
            for name, text in plan.texts.items():
                bom = BOM if before.get(name, b"").startswith(BOM.encode()) else ""
                (tmp / name).write_text(bom + text, encoding="utf-8", newline="")
            _check(tmp, final, table, read)
            if dry_run:
                shutil.rmtree(tmp)
            elif target is None:
                _replace(tmp, files.folder, plan, before)
                shutil.rmtree(tmp, ignore_errors=True)
            elif not publish(tmp, target):
                _can_be_made(target)
    return plan.changes


def _can_be_made(target: Path) -> None:
    """Refuse a new folder that is there already, or that has no place to be in."""
    if os.path.lexists(target):
        raise DealFileError(f"{target}: exists already; nothing is overwritten, so choose another --as")
    if not target.absolute().parent.is_dir():
        raise DealFileError(f"{target}: there is no folder {target.parent} to write it into")


def _existing(files: Files) -> list[str]:
    return [n for n in ("deal.toml", "experts.csv", "seeds.csv") if (files.folder / n).exists()]


def _plan(files: Files, read: Read, table: Path) -> Plan:
    """Work out the new text of each file that changes."""
    texts: dict[str, str] = {}
    changes: list[str] = []
    old = files.toml.get("parameters", {})
    tables: dict[tuple[str, ...], dict[str, Any]] = {}
    for id_, wanted in read.parameters.items():
        if said := list(differences(dict(flattened(old[id_])), wanted, f"parameters.{id_}")):
            changes += said
            tables["parameters", id_] = wanted
    if said := list(differences(dict(flattened(files.toml.get("elicitation", {}))), read.elicitation, "elicitation")):
        changes += said
        tables |= {("elicitation",): read.elicitation}
    if tables:
        try:
            wanted_tables = {path: nested(flat) for path, flat in tables.items()}
        except ValueError as err:
            raise DealFileError(f"{table}: {err}") from None
        texts["deal.toml"] = edited(text_of(files.folder / "deal.toml"), wanted_tables)
    quantiles = [c for c in read.quantiles if c in files.quantiles or any(r[c] for r in read.experts.values())]
    columns = [*(c for c in EXPERT_COLUMNS[:-1] if level_of(c) is None), *quantiles, EXPERT_COLUMNS[-1]]
    for name, new in (
        ("experts.csv", rewritten(files.experts.sheet, read.experts, columns, _expert_key)),
        ("seeds.csv", rewritten(files.seeds.sheet, read.seeds, SEED_COLUMNS, _seed_key)),
    ):
        changes += [f"{name}: {c}" for c in new.changes]
        if new.text is not None:
            texts[name] = new.text
    return Plan(texts, tuple(changes))


def _expert_key(cells: Mapping[str, str]) -> tuple[str, ...]:
    return cells["question"], cells["expert"]


def _seed_key(cells: Mapping[str, str]) -> tuple[str, ...]:
    return (cells["question"],)


def _check(tmp: Path, final: Path, table: Path, read: Read) -> None:
    """Check the changed deal as `forecast check` does; problems name the row that they come from."""
    try:
        expand(load(tmp).deal)
    except DealFileError as err:
        real, shown = tmp.resolve(), str(final)
        lines = [line.replace(str(real), shown).replace(str(tmp), shown) for line in str(err).splitlines()]
        if not (final.absolute().parent / "reference").is_dir():
            lines.append(f"{final}: a deal lies beside the folder `reference` with its classes; choose --as there")
        raise DealFileError("\n".join(f"{line}{''.join(_row_of(line, table, read))}" for line in lines)) from None


def _row_of(line: str, table: Path, read: Read) -> Iterator[str]:
    """The row of the table that a problem of the changed deal comes from."""
    found = re.search(r"parameters\.(\w+)(?:\.([\w.]+))?: ", line)
    if found:
        key = found[2] or ""
        places = {p[2]: n for p, n in read.places.items() if p[:2] == ("parameter", found[1])}
        near = [n for k, n in places.items() if key and (k == key or k.startswith(f"{key}."))]
        number = min(near or places.values(), default=0)
        if number:
            yield f" ({table}: row {number})"


def _replace(tmp: Path, folder: Path, plan: Plan, before: Mapping[str, bytes]) -> None:
    """Rename each changed file into its place; if one cannot be, those before it are put back."""
    sync(tmp)
    for name in plan.texts:
        file = folder / name
        if (file.read_bytes() if file.exists() else None) != before.get(name):
            raise DealFileError(f"{file}: was changed while it was being worked on; nothing was written, try again")
    done: list[str] = []
    try:
        for name in plan.texts:
            os.replace(tmp / name, (folder / name).resolve())  # noqa: PTH105  # a link stays one
            done.append(name)
    except OSError:
        for name in done:
            if name in before:
                (folder / name).write_bytes(before[name])
            else:
                (folder / name).unlink()
        raise
    sync(folder)
