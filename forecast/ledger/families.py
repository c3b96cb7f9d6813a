"""Which family fits an expert's quantiles best: a check by PreliZ on the normal of the link scale that is pooled."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np

from forecast.deal.experts import ExpertRow
from forecast.types import F64

with mpl.rc_context():  # PreliZ changes how every picture of the process is saved; this puts it back
    import preliz as pz

# The first is what the pool fits: a normal on the link scale.
FAMILIES = {
    "probability": ("LogitNormal", "Beta", "Kumaraswamy"),
    "positive": ("LogNormal", "Gamma", "Weibull"),
    "real": ("Normal", "Gumbel", "SkewNormal"),
}
POINTS = 10_001  # so that every level up to four decimals is one of them


@dataclass(frozen=True)
class Fitted:
    """A family fitted to an answer; error: largest difference between its probabilities and the levels asked."""

    family: str
    parameters: str
    error: float


def fitted_families(row: ExpertRow) -> list[Fitted]:
    """Fit every family of the row's scale to its quantiles, the best one first."""
    sample, levels = _as_sample(row), np.array(row.levels)
    return sorted(_fits(row, sample, levels), key=lambda f: f.error)


def _fits(row: ExpertRow, sample: F64, levels: F64) -> Iterator[Fitted]:
    for family in FAMILIES[row.scale]:
        distribution = getattr(pz, family)()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the fit is not exact is what is being measured
            pz.match_quantiles(sample, distribution, quantiles=levels, plot=False)
        values = np.array([distribution.cdf(x) for x in row.values], np.float64)
        named = zip(distribution.param_names, distribution.params, strict=True)
        written = ", ".join(f"{name} {float(x):.3g}" for name, x in named)
        yield Fitted(family, written, float(np.max(np.abs(values - levels))))


def _as_sample(row: ExpertRow) -> F64:
    """A sample with exactly these quantiles, for PreliZ takes samples; beyond the outer ones it stays at them."""
    return np.interp(np.linspace(0, 1, POINTS), row.levels, row.values)
