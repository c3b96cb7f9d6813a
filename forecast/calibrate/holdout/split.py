"""A reference class parted at a date: what was known on it, and what happened or became known after."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import date

import numpy as np

from forecast.calibrate.classfile import SharesClass, SurvivalClass
from forecast.calibrate.records import Record
from forecast.calibrate.reference import ReferenceClass, build_class
from forecast.calibrate.tables import Cells, cells
from forecast.errors import ReferenceClassError

WATCHED_FROM = "watched_from"  # column of entry, for classes of single cases that have none


def train_of(used: ReferenceClass, until: date) -> ReferenceClass:
    """Return the class as it was known on a date, with a level for each period that is to come.

    Periods are named in class.toml; those that had not begun have no row, and the random walk goes on to
    them step by step.

    Raises
    ------
    ReferenceClassError
        Nothing was known on that day.
    """
    train = used.as_of(until)
    if used.file is None or used.file.period is None:
        return train
    period = used.file.period
    return replace(train, covariates={**train.covariates, period.column: tuple(period.starts)})


def later_cells(used: ReferenceClass, until: date) -> Cells | None:
    """Return the cells of what came after a date, or None where nothing did.

    Rows known later; of single cases the time at risk after the date and the events in it (entered late, at
    the age on that day); of shares the windows known later.
    """
    found = []
    for test in _later(used, until):
        try:
            found.append(cells(test))
        except ReferenceClassError:  # rows without any weight: no time at risk, no trial
            continue
    return _end_to_end(found) if found else None


def _later(used: ReferenceClass, until: date) -> list[ReferenceClass]:
    file = used.file
    if file is None:  # made by hand, without records
        return []
    if isinstance(file, SurvivalClass):
        return _watched_after(used, file, until)
    later = tuple(r for r in used.records if r.known_on > until)
    if isinstance(file, SharesClass):
        return _windows(used, file, until)
    return [build_class(file, used.folder, later)] if later else []


def _watched_after(used: ReferenceClass, file: SurvivalClass, until: date) -> list[ReferenceClass]:
    """Cases that were still watched after the date, entered on it or when they began."""
    column = file.columns.entry or WATCHED_FROM
    late = file.model_copy(update={"columns": file.columns.model_copy(update={"entry": column})})
    after = []
    for r in used.records:
        end = r.days[file.columns.event] or r.day(file.columns.followed_to)
        if end > until:
            begin = r.days.get(column) or r.day(file.columns.start)
            after.append(replace(r, days={**r.days, column: max(begin, until)}))
    return [build_class(late, used.folder, tuple(after))] if after else []


def _windows(used: ReferenceClass, file: SharesClass, until: date) -> list[ReferenceClass]:
    """One class a window known later; a window that overlaps an earlier one says little that is new."""
    known: dict[str, date] = {}
    for r in used.records:
        window = r.levels[file.columns.window]
        known[window] = min(known.get(window, r.known_on), r.known_on)
    taken: list[str] = []
    result = []
    for window in sorted(known, key=lambda w: (known[w], w)):
        if known[window] <= until:
            taken.append(window)
        elif not any(_overlap(window, other) for other in taken):
            taken.append(window)
            rows = (r for r in used.records if r.levels[file.columns.window] == window)
            result.append(build_class(file, used.folder, _known_later(rows, until)))
    return result


def _known_later(rows: Iterable[Record], until: date) -> tuple[Record, ...]:
    return tuple(r for r in rows if r.known_on > until)


def _overlap(a: str, b: str) -> bool:
    """Whether two windows share a year; windows not written as 2012-2016 are taken to share none."""
    spans = [re.fullmatch(r"(\d{4})-(\d{4})", w) for w in (a, b)]
    if spans[0] is None or spans[1] is None:
        return False
    (first, last), (start, end) = ((int(s[1]), int(s[2])) for s in spans if s)
    return first <= end and start <= last


def _end_to_end(several: Sequence[Cells]) -> Cells:
    if len(several) == 1:
        return several[0]
    arrays = {
        f.name: np.concatenate([getattr(c, f.name) for c in several])
        for f in fields(Cells)
        if f.name not in ("outcomes", "labels")
    }
    return Cells(outcomes=several[0].outcomes, labels=[x for c in several for x in c.labels], **arrays)
