"""What a reference class is made of: records, a prior, a table in long form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

from forecast.calibrate.classfile import ClassFile, SurvivalClass
from forecast.types import F64, I64

type Kind = Literal["rates", "binomial", "choice", "multinomial", "shares", "survival"]


@dataclass(frozen=True)
class Record:
    """One row of a table: `line` in the file, the date it was known, and its fields by column.

    levels: covariate (or the columns of age, entry and window) -> its text
    numbers: column -> a finite number, not negative
    days: column -> date, or None where the field is empty
    """

    line: int
    known_on: date
    levels: Mapping[str, str]
    numbers: Mapping[str, float]
    days: Mapping[str, date | None]

    def day(self, column: str) -> date:
        """Return a date that the loader has made sure of."""
        value = self.days[column]
        if value is None:
            raise KeyError(column)
        return value


@dataclass(frozen=True)
class Prior:
    """The prior of a class on its link scale (log rate per year, logit, log-odds, log years, log share).

    centre: of the base; with several events or categories the mean of `centres`
    centres: event, category but the first, or () -> its own centre; empty for shares
    sd: of the base around its centre
    effect_sd: scale of the half-normal from which the spread of a covariate's levels comes
    age_sd: the same for the steps of the random walk over age bins
    period_sd: the same for the steps of the random walk over periods
    values, value_sd: centre and sd of the utility of each term of an offer (choice only)
    shape_sd: of the log of a Weibull shape around 0
    concentration: of the Dirichlet from which a group's shares come (shares only)
    """

    centre: float
    sd: float
    effect_sd: float = 0.5
    age_sd: float = 0.5
    shape_sd: float = 0.4
    concentration: float = 10.0
    period_sd: float = 0.5
    values: Mapping[str, float] = field(default_factory=dict)
    value_sd: float = 1.0
    centres: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """What a model is fitted to, in long form: every array has one entry a row.

    columns: covariate -> the row's level (shares: also the window)
    numbers: rates: "exposure" (years) and a count per event name · binomial: "successes", "trials" ·
        choice: "accepted", "offers" and a column per term · multinomial: a count per category ·
        shares: a column per entry, the group's share times its effective number of decisions ·
        survival: "entry" and "exit" (years since start), "event" (0, 1)
    age: rates with age bins: index into `age_labels`; else None
    """

    columns: Mapping[str, tuple[str, ...]]
    numbers: Mapping[str, F64]
    age: I64 | None = None

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.numbers.values())))


def cut_case(record: Record, file: SurvivalClass, day: date) -> Record | None:
    """Return what was known of a case on `day`, or None if it had not begun."""
    columns = file.columns
    entry = record.days[columns.entry] if columns.entry else None
    if max(entry or record.day(columns.start), record.day(columns.start)) > day:
        return None
    event = record.days[columns.event]
    days = dict(record.days)
    days[columns.event] = event if event is not None and event <= day else None
    days[columns.followed_to] = min(record.day(columns.followed_to), day)
    return replace(record, days=days)


def content_of(file: ClassFile, records: tuple[Record, ...]) -> bytes:
    """Write all that a fit can see in one canonical form; words for people and line numbers are left out."""
    words = {"title", "question", "unit", "citation", "licence", "derived_by", "notes"}
    head = json.dumps(file.model_dump(mode="json", exclude=words), sort_keys=True)
    rows = [
        "|".join([*r.levels.values(), *map(repr, r.numbers.values()), *(str(d or "") for d in r.days.values())])
        for r in records
    ]
    return "\n".join([head, *rows]).encode()
