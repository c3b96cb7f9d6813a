"""Kaplan–Meier and Aalen–Johansen estimates by lifelines, with standard errors, and spells to feed them with."""

import warnings
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from lifelines import AalenJohansenFitter, KaplanMeierFitter
from lifelines.datasets import load_dd

START = date(1900, 1, 1)


@dataclass(frozen=True)
class Spells:
    """Spells in whole days since each began: entered at `entry`, left at `exit` by `cause`, 0 if censored."""

    entry: np.ndarray
    exit: np.ndarray
    cause: np.ndarray

    @classmethod
    def of_years(cls, leaves, cause, entry=None):
        """Round years to days; nobody leaves on the day on which he came."""
        began = np.zeros(len(leaves), int) if entry is None else np.rint(365.25 * np.asarray(entry)).astype(int)
        days = np.maximum(np.rint(365.25 * np.asarray(leaves)).astype(int), began + 1)
        return cls(began, days, np.asarray(cause, int))

    def __getitem__(self, which):
        return Spells(self.entry[which], self.exit[which], self.cause[which])

    def entered_late(self, entry_years):
        """Watch each spell from a later day on; those that were over by then are not on record."""
        entry = np.rint(365.25 * np.asarray(entry_years)).astype(int)
        kept = self.exit > entry
        return Spells(entry[kept], self.exit[kept], self.cause[kept])

    def dates(self, cause=None):
        """Rows (start, entry, event or None, followed to); with `cause`, other ends are the end of watching."""
        for entry, leaves, why in zip(self.entry.tolist(), self.exit.tolist(), self.cause.tolist(), strict=True):
            end = START + timedelta(days=leaves)
            ended = why == cause if cause else why > 0
            yield START, START + timedelta(days=entry), end if ended else None, end


def kaplan_meier(spells, years):
    """Survival and Greenwood's standard error at `years`, (time,) each."""
    entry = spells.entry / 365.25
    fitted = KaplanMeierFitter().fit(spells.exit / 365.25, spells.cause > 0, entry=entry if entry.any() else None)
    table = fitted.event_table
    died, risk = table["observed"].to_numpy(), table["at_risk"].to_numpy() + 0.0
    term = np.where(died > 0, died / np.maximum(risk * (risk - died), 1e-12), 0.0)
    past = table.index.to_numpy()[None, :] <= np.asarray(years)[:, None] + 1e-9
    survival = fitted.survival_function_at_times(np.asarray(years) + 1e-9).to_numpy()
    return survival, survival * np.sqrt((past * term).sum(axis=1))


def aalen_johansen(spells, cause, years):
    """Cumulative incidence of one cause and its standard error at `years`, (time,) each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Tied event times")  # broken by a hundred-thousandth of a year
        fitted = AalenJohansenFitter(jitter_level=1e-5, seed=1).fit(spells.exit / 365.25, spells.cause, cause)
    times = fitted.cumulative_density_.index.to_numpy()
    place = np.searchsorted(times, np.asarray(years) + 1e-3, side="right") - 1
    return fitted.cumulative_density_.to_numpy()[place, 0], np.sqrt(fitted.variance_.to_numpy().ravel()[place])


def leaders():
    """Spells of leaders 1946-2008, as lifelines ships them: (spells, regime of each).

    Durations are whole years; those that share one are spread evenly over the year before it. Cause 1: the next
    leader of the country governs by the same regime; 2: by another one.
    Cheibub, Gandhi & Vreeland 2010, Public Choice 143.
    """
    table = load_dd().reset_index(drop=True)
    rng = np.random.default_rng(7)
    years = table["duration"].to_numpy(float)
    spread = years.copy()
    for whole in np.unique(years):
        same = np.flatnonzero(years == whole)
        spread[same] = whole - 1.0 + (rng.permutation(len(same)) + 0.5) / len(same)
    ordered = table.sort_values(["ctryname", "start_year"], kind="stable")
    followed = ordered.groupby("ctryname")["regime"].shift(-1).reindex(table.index)
    same_regime = (followed == table["regime"]) | followed.isna()
    cause = np.where(table["observed"] == 1, np.where(same_regime, 1, 2), 0)
    return Spells.of_years(spread, cause), table["regime"].to_numpy(str)
