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


def monthly_grid(as_of: date, horizon: date) -> tuple[date, ...]:
    """List the as-of date and the same day of each later month up to the horizon, inclusive.

    A day that a month lacks becomes its last day.
    """
    days = [as_of]
    for k in range(1, 12 * (horizon.year - as_of.year) + 13):
        year, month = divmod(as_of.year * 12 + as_of.month - 1 + k, 12)
        day = date(year, month + 1, min(as_of.day, monthrange(year, month + 1)[1]))
        if day >= horizon:
            break
        days.append(day)
    return (*days, horizon)
