"""The checks of a fit against its data, as rows for the report and for the diagnostics page."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

STATISTICS = {
    "total": "total",
    "chi_squared": "scatter",
    "largest_residual": "furthest cell",
    "zeros": "empty cells",
}
WHAT = {
    "rates": "events",
    "binomial": "successes",
    "categories": "in the first category",
    "survival": "events",
    "experts": "sum of squares",
    "agreement": "sum of squares",
}


@dataclass(frozen=True)
class ClassRow:
    """One class: what was observed, predicted and expected before the data, and what the checks say.

    p_values: (check, p) of those that say something, prior and LOO-PIT included
    """

    id: str
    kind: str
    cells: int
    what: str
    observed: float
    predicted: tuple[float, float]
    expected: tuple[float, float] | None
    p_values: tuple[tuple[str, float], ...]
    prior_p: float
    pit_p: float
    high_k: int
    elpd: float
    p_loo: float
    verdict: str

    @property
    def worst(self) -> tuple[str, float]:
        """The posterior predictive check with the smallest p-value."""
        own = [(k, p) for k, p in self.p_values if k in STATISTICS.values()]
        return min(own, key=lambda row: row[1]) if own else ("", float("nan"))


@dataclass(frozen=True)
class SenseRow:
    """One number whose posterior answers to the prior of its class."""

    number: str
    source: str
    prior: float
    likelihood: float
    diagnosis: str


def class_rows(checks: xr.Dataset) -> tuple[ClassRow, ...]:
    """One row a class: those that need a look first, the agreement of sources last."""
    data = checks.load()
    rows = [_row(data.isel(reference_class=k)) for k in range(data.sizes["reference_class"])]
    order = {"fails": 0, "look": 1, "passes": 2}
    return tuple(sorted(rows, key=lambda r: (order.get(r.verdict, 0), r.kind == "agreement")))


def _row(one: xr.Dataset) -> ClassRow:
    kind = str(one["kind"].item())
    p = [(words, float(one["posterior_p"].sel(statistic=k))) for k, words in STATISTICS.items()]
    p += [("prior", float(one["prior_p"])), ("LOO-PIT", float(one["pit_p"]))]
    expected = float(one["expected_lower"]), float(one["expected_upper"])
    return ClassRow(
        id=str(one["reference_class"].item()),
        kind=kind,
        cells=int(one["cells"]),
        what=WHAT.get(kind, ""),
        observed=float(one["observed"]),
        predicted=(float(one["predicted_lower"]), float(one["predicted_upper"])),
        expected=expected if np.isfinite(expected).all() else None,
        p_values=tuple((k, x) for k, x in p if np.isfinite(x)),
        prior_p=float(one["prior_p"]),
        pit_p=float(one["pit_p"]),
        high_k=int(one["high_pareto_k"]),
        elpd=float(one["elpd_loo"]),
        p_loo=float(one["p_loo"]),
        verdict=str(one["verdict"].item()),
    )


def sense_rows(checks: xr.Dataset) -> tuple[SenseRow, ...]:
    """Numbers with a diagnosis, the strongest sensitivity to a prior first."""
    return tuple(sorted(_senses(checks.load()), key=lambda r: -r.prior))


def _senses(data: xr.Dataset) -> Iterator[SenseRow]:
    names = ("sensitivity_parameter", "sensitivity_class", "prior_sensitivity", "likelihood_sensitivity", "diagnosis")
    for number, source, prior, likelihood, diagnosis in zip(*(data[n].to_numpy() for n in names), strict=True):
        if diagnosis:
            yield SenseRow(str(number), str(source), float(prior), float(likelihood), str(diagnosis))
