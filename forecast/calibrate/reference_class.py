"""A reference class in memory, and what remains of it at an as-of date."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from forecast.calibrate.classfile import ClassFile, SurvivalClass
from forecast.calibrate.longform import describe
from forecast.calibrate.records import Kind, Prior, Record, Table, cut_case
from forecast.errors import ReferenceClassError
from forecast.types import F64


@dataclass(frozen=True)
class ReferenceClass:
    """A reference class with those of its records that may be used.

    events: rates: names of events · choice: terms of an offer · multinomial: categories, the first is the
        base of the log-odds · shares: entries · else ()
    covariates: name -> its levels, sorted; a level without a row has its prior only
    period: that of the covariates whose levels are periods, in order of time, the last one that of the cut
    age_edges: rates with age bins: (bin + 1,) years, from 0 to infinity
    content: canonical bytes of all that a fit can see
    left_out: number of records that were not yet known
    """

    id: str
    folder: Path
    table_file: str
    title: str
    question: str
    kind: Kind
    unit: str
    citation: tuple[str, ...]
    licence: str
    events: tuple[str, ...]
    covariates: Mapping[str, tuple[str, ...]]
    age_edges: F64 | None
    age_labels: tuple[str, ...]
    prior: Prior
    table: Table
    content: bytes
    file: ClassFile | None = None
    records: tuple[Record, ...] = ()
    cut: date | None = None
    period: str | None = None
    left_out: int = 0

    def as_of(self, day: date) -> "ReferenceClass":
        """Return the class as it was known on `day`.

        Records known later are left out. Single cases are cut at `day`: an event after it becomes a
        case still followed on `day`, and a case that begins after it is left out.

        Raises
        ------
        ReferenceClassError
            Nothing was known on `day`.
        """
        if self.file is None:  # made by hand, without records: there is nothing to cut
            return replace(self, cut=day)
        known = tuple(r for r in self.records if r.known_on <= day)
        if isinstance(self.file, SurvivalClass):
            known = tuple(c for r in known if (c := cut_case(r, self.file, day)) is not None)
        cut = day if self.cut is None else min(day, self.cut)
        unknown = self.left_out + len(self.records) - len(known)
        if not known:
            first = min(r.known_on for r in self.records)
            raise ReferenceClassError(
                f"{self.folder / self.table_file}: nothing was known on {day} (the first row on {first}); "
                f"take another source for what {self.id} gives, or a later as-of date"
            )
        return replace(self, **describe(self.file, known, cut), records=known, cut=cut, left_out=unknown)

    def digest(self) -> str:
        """SHA-256 of `content`."""
        return hashlib.sha256(self.content).hexdigest()


def build_class(file: ClassFile, folder: Path, records: tuple[Record, ...]) -> ReferenceClass:
    """Put a checked class.toml and its checked records together."""
    return ReferenceClass(
        id=file.id,
        folder=folder,
        table_file=file.table.file,
        title=file.title,
        question=file.question,
        unit=file.unit,
        citation=file.citation,
        licence=file.licence,
        file=file,
        records=records,
        **describe(file, records),
    )
