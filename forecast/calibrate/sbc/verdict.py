"""What the ranks say: one row a number, and a failure only where chance would seldom be so unkind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from forecast.calibrate.sbc.ranks import chi_squared, coverage, envelope_p
from forecast.calibrate.sbc.swap import LIKELIHOOD

FALSE_ALARM = 0.01  # P(a command fails although every model is right), all kinds and numbers together
TESTS = 2  # chi-squared and envelope
MOST_TROUBLED = 0.05  # share of data sets whose fit diverged, or gave too few draws, even at the last attempt


@dataclass(frozen=True)
class Row:
    """One ranked number of one kind of model.

    chi_squared, envelope: p-values of uniform ranks
    inside50, inside90: share of the central posterior intervals that hold the truth
    bias, rmse: of the posterior mean, in standard deviations of the truths
    spread: mean posterior sd, in the same unit: 1 where the data say nothing
    """

    kind: str
    quantity: str
    chi_squared: float
    envelope: float
    inside50: float
    inside90: float
    bias: float
    rmse: float
    spread: float

    @property
    def smallest(self) -> float:
        """The smaller of the two p-values."""
        return min(self.chi_squared, self.envelope)


@dataclass(frozen=True)
class Verdict:
    """All rows of a command, the threshold that each p-value is held against, and what fails."""

    rows: tuple[Row, ...]
    threshold: float
    problems: tuple[str, ...]


def judge_studies(studies: Mapping[str, xr.Dataset]) -> Verdict:
    """Judge the studies of all kinds together.

    A p-value fails below FALSE_ALARM / (number of p-values) (Bonferroni), so that a command over models
    that are all right fails once in a hundred.
    """
    rows = tuple(row for kind, study in studies.items() for row in rows_of(kind, study))
    threshold = FALSE_ALARM / max(TESTS * len(rows), 1)
    return Verdict(rows, threshold, (*_uneven(rows, threshold), *_troubled(studies)))


def rows_of(kind: str, study: xr.Dataset) -> Iterator[Row]:
    """Judge each number of one study."""
    for name in study["quantity"].to_numpy():
        one = study.sel(quantity=name)
        rank, truth, mean = (one[k].to_numpy() for k in ("rank", "truth", "posterior_mean"))
        sd = float(truth.std()) or 1.0
        yield Row(
            kind,
            str(name),
            chi_squared(rank),
            envelope_p(rank),
            coverage(rank, 0.5),
            coverage(rank, 0.9),
            float((mean - truth).mean()) / sd,
            float(np.sqrt(((mean - truth) ** 2).mean())) / sd,
            float(one["posterior_sd"].mean()) / sd,
        )


def _uneven(rows: tuple[Row, ...], threshold: float) -> Iterator[str]:
    for r in rows:
        if not r.smallest >= threshold:
            what = (
                "its density" if r.quantity == LIKELIHOOD else f"its prior, and how {r.quantity} enters the likelihood"
            )
            yield (
                f"{r.kind}: ranks of {r.quantity} are not uniform (p = {r.smallest:.2g}, threshold {threshold:.2g}; "
                f"{r.inside50:.0%} of the 50 % and {r.inside90:.0%} of the 90 % intervals hold the truth): the model "
                f"is not the one that made the data, or is not sampled well; look at {what}, and at the picture"
            )


def _troubled(studies: Mapping[str, xr.Dataset]) -> Iterator[str]:
    for kind, study in studies.items():
        n = study.sizes["dataset"]
        diverged = int((study["divergences"] > 0).sum())
        short = int((~study["enough_draws"]).sum())
        for count, what in ((diverged, "diverged"), (short, "gave too few independent draws")):
            if count > MOST_TROUBLED * n:
                yield (
                    f"{kind}: {count} of {n} fits {what} at the last attempt (at most {MOST_TROUBLED:.0%} may): their "
                    "ranks are counted, but say little; use firmer priors, or sample another parametrisation"
                )
