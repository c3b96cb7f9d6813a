"""A deal with its reference classes, read and checked together; quick to import."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecast.calibrate.entries import entry_problems
from forecast.calibrate.reference import ReferenceClass, check_parameters, load_class
from forecast.deal.experts import ExpertRow
from forecast.deal.loader import load_deal
from forecast.deal.model import Deal
from forecast.durable import sha256
from forecast.errors import DealFileError, ReferenceClassError


@dataclass(frozen=True)
class Inputs:
    """Everything that enters a forecast; the classes are cut at the as-of date."""

    deal: Deal
    classes: Mapping[str, ReferenceClass]

    @property
    def not_yet_known(self) -> tuple[str, ...]:
        """One sentence for each class of which some records became known only after the as-of date."""
        return tuple(
            f"{id_}: {c.left_out} of {c.left_out + len(c.records)} records were not yet known on {self.deal.as_of} "
            "and are left out"
            for id_, c in sorted(self.classes.items())
            if c.left_out
        )

    @property
    def hashes(self) -> dict[str, str]:
        """Name → sha256 of every input file."""
        return {name: sha256(f) for name, f in self.files.items()}

    @property
    def digest(self) -> str:
        """Hash of everything that enters: the files and what was laid over the deal."""
        overrides = {k: str(v) for k, v in sorted(self.deal.overrides.items())}
        return hashlib.sha256(json.dumps([self.hashes, overrides]).encode()).hexdigest()

    @property
    def files(self) -> dict[str, Path]:
        """Name under which the archive keeps it → every input file."""
        deal = {f"deal/{f.name}": f for f in self.deal.inputs}
        classes = {
            f"reference/{id_}/{f.name}": f
            for id_, c in sorted(self.classes.items())
            for f in (c.folder / "class.toml", c.folder / c.table_file)
        }
        return {**deal, **classes}


def load(path: Path | str, overrides: Mapping[str, Any] | None = None, answers: Sequence[ExpertRow] = ()) -> Inputs:
    """Read and check a deal and every reference class that it uses.

    Parameters
    ----------
    path
        A deal folder or its deal.toml; reference classes lie in the folder `reference` beside it.
    overrides
        Dotted key → value, laid over the deal file.
    answers
        Rows of experts beside those of the deal's own experts.csv.

    Raises
    ------
    DealFileError, ReferenceClassError
        With one line for each problem found.
    """
    deal = load_deal(Path(path), overrides, answers)
    file = deal.folder / "deal.toml"
    root = deal.folder.parent / "reference"
    wanted = dict.fromkeys(r.reference for p in deal.file.parameters.values() for r in p.rests_on)
    classes: dict[str, ReferenceClass] = {}
    problems: list[str] = []
    for id_ in wanted:
        try:
            classes[id_] = load_class(root, id_).as_of(deal.as_of)
        except ReferenceClassError as err:
            problems += str(err).splitlines()
    if not problems:
        problems = [f"{file}: {p}" for p in check_parameters(deal.file.parameters, deal.experts, classes, deal.as_of)]
    if not problems:
        problems = [f"{file}: {p}" for p in entry_problems(deal.file, classes)]
    if problems:
        raise DealFileError("\n".join(problems))
    return Inputs(deal, classes)
