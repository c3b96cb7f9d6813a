"""Array aliases, dimension names and the one time scale of the project."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt

type F64 = npt.NDArray[np.float64]
type I64 = npt.NDArray[np.int64]
type I32 = npt.NDArray[np.int32]
type U64 = npt.NDArray[np.uint64]
type U32 = npt.NDArray[np.uint32]
type B8 = npt.NDArray[np.bool_]

DAYS_PER_YEAR = 365.25


def years_between(start: date, end: date) -> float:
    """Years of 365.25 days from `start` to `end`, both UTC midnight; negative if `end` is earlier."""
    return (end - start).days / DAYS_PER_YEAR


def date_after(start: date, years: float) -> datetime:
    """Return the instant `years` years of 365.25 days after midnight (UTC) of `start`."""
    return datetime(start.year, start.month, start.day, tzinfo=UTC) + timedelta(days=years * DAYS_PER_YEAR)


def add_months(day: date, months: int) -> date:
    """Return the same day `months` later; a day that the month lacks becomes its last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def horizon_date(as_of: date, horizon: float) -> date:
    """Calendar date of the horizon: whole months are counted on the calendar, the rest in days."""
    months = round(horizon * 12)
    if abs(horizon * 12 - months) < 1e-9:
        return add_months(as_of, months)
    return as_of + timedelta(days=round(horizon * 365.25))


def calendar_dates(first: date, every: float, last: date) -> tuple[date, ...]:
    """Dates of a recurrence: same day of the month where `every` is whole months, else every so many days."""
    months, k = round(every * 12), 0
    dates: list[date] = []
    whole = months > 0 and abs(every * 12 - months) < 1e-9
    while True:
        day = add_months(first, k * months) if whole else first + timedelta(days=round(k * every * 365.25))
        if day > last:
            return tuple(dates)
        dates.append(day)
        k += 1


def monthly_grid(as_of: date, horizon: date) -> tuple[date, ...]:
    """List the as-of date and the same day of each later month up to the horizon, inclusive."""
    months = 12 * (horizon.year - as_of.year) + 13
    later = (add_months(as_of, k) for k in range(1, months))
    return (as_of, *(day for day in later if day < horizon), horizon)
