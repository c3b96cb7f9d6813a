"""What scenarios change, as one Dataset: every variable declared once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.declared import dataset, departures
from forecast.analysis.paired import Change, level, paired
from forecast.schema import Variable
from forecast.types import F64

KIND, FOLDER = "whatif", "whatifs"
HEADLINE = "headline"

_S, _F, _SF = ("scenario",), ("figure",), ("scenario", "figure")
_COORDS: Mapping[str, Variable] = {
    "scenario": Variable(_S, "U", "", "name of the scenario", "", coord=True),
    "scenario_label": Variable(_S, "U", "", "the scenario in words", "its label, or what it changes", coord=True),
    "scenario_changes": Variable(_S, "U", "", "what it changes", "one a line", coord=True),
    "scenario_notes": Variable(_S, "U", "", "what goes with it", "one a line", coord=True),
    "figure": Variable(_F, "i8", "1", "number of the figure", "headlines, then causes and outcomes", coord=True),
    "figure_label": Variable(_F, "U", "", "what is probable", "label from the deal file", coord=True),
    "figure_kind": Variable(_F, "U", "", "kind of figure", "headline, cause or outcome", coord=True),
    "figure_name": Variable(_F, "U", "", "id of the state, outcome or cause", "", coord=True),
    "figure_date": Variable(_F, "datetime64[ns]", "", "date of the figure", "", coord=True),
    "time": Variable(("time",), "datetime64[ns]", "", "date of a curve", "monthly, and dates of headlines", coord=True),
    "cause": Variable(("cause",), "U", "", "way in which a path ends", "", coord=True),
    "cause_label": Variable(("cause",), "U", "", "label: cause", "", coord=True),
    "outcome": Variable(("outcome",), "U", "", "outcome class", "", coord=True),
    "outcome_label": Variable(("outcome",), "U", "", "label: outcome", "", coord=True),
}
_STATISTICS = {
    "mean": ("mean over draws", "1"),
    "lower": ("5% quantile over draws", "Monte Carlo noise taken out"),
    "upper": ("95% quantile over draws", "Monte Carlo noise taken out"),
    "mcse": ("Monte Carlo standard error of the mean", "0 where computed exactly"),
}
_FIGURES: Mapping[str, Variable] = {
    f"{what}_{k}": Variable(dims, "f8", "1", f"{text}: {name}", meaning)
    for what, dims, text in (
        ("baseline", _F, "probability in the deal as it is"),
        ("changed", _SF, "probability in the scenario"),
        ("difference", _SF, "scenario less baseline, paired"),
    )
    for k, (name, meaning) in _STATISTICS.items()
}
_CURVES: Mapping[str, Variable] = {
    f"{kind}_{what}{k}": Variable(dims, "f8", "1", f"{text}: {name}", meaning)
    for kind in ("cause", "outcome")
    for what, dims, text in (
        ("baseline_", ("time", kind), "probability by then in the deal as it is"),
        ("difference_", ("scenario", "time", kind), "scenario less baseline by then, paired"),
    )
    for k, (name, meaning) in _STATISTICS.items()
}
VARIABLES: Mapping[str, Variable] = {
    **_COORDS,
    **_FIGURES,
    **_CURVES,
    "difference_draw": Variable(
        ("scenario", "draw", "figure"), "f8", "1", "scenario less baseline in each draw", "with its Monte Carlo noise"
    ),
    "effective_paths": Variable(
        _SF, "f8", "1", "effective paths", "the smaller number of baseline and scenario; infinite where exact, or never"
    ),
}


@dataclass(frozen=True)
class Asked:
    """A probability that is compared."""

    kind: str  # headline, cause or outcome
    label: str
    variable: str  # as in the Forecast
    name: str
    day: date


@dataclass(frozen=True)
class Evaluated:
    """A variant of the deal, evaluated.

    figures (draw, group, figure) and ess (figure,); cause, outcome (draw, group, time, thing): group means of paths,
    with one group where they are exact.
    """

    figures: F64
    ess: F64
    cause: F64
    outcome: F64


@dataclass(frozen=True)
class Row:
    """A scenario in words, and its figures."""

    name: str
    label: str
    changes: Sequence[str]
    notes: Sequence[str]
    found: Evaluated


def assemble(
    asked: Sequence[Asked],
    days: Sequence[date],
    things: Mapping[str, Mapping[str, str]],
    baseline: Evaluated,
    rows: Sequence[Row],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Compare scenarios with the baseline.

    Parameters
    ----------
    asked, days
        Figures; dates of the curves.
    things
        "cause" and "outcome" → id → label.
    baseline, rows
        Of the same draws and luck.
    attrs
        Provenance.
    """
    arrays: dict[str, Any] = {
        "scenario": [r.name for r in rows],
        "scenario_label": [r.label for r in rows],
        "scenario_changes": ["\n".join(r.changes) for r in rows],
        "scenario_notes": ["\n".join(r.notes) for r in rows],
        "figure": np.arange(len(asked)),
        "figure_label": [a.label for a in asked],
        "figure_kind": [a.kind for a in asked],
        "figure_name": [a.name for a in asked],
        "figure_date": [np.datetime64(a.day, "ns") for a in asked],
        "time": [np.datetime64(d, "ns") for d in days],
        **_named("baseline", level(baseline.figures)),
        **_stacked("changed", [level(r.found.figures) for r in rows]),
        **_stacked("difference", [paired(baseline.figures, r.found.figures) for r in rows]),
        "difference_draw": np.stack([(r.found.figures - baseline.figures).mean(axis=1) for r in rows]),
        "effective_paths": np.stack([np.minimum(_effective(baseline), _effective(r.found)) for r in rows]),
    }
    for kind, labels in things.items():
        before = getattr(baseline, kind)
        arrays |= {kind: list(labels), f"{kind}_label": list(labels.values())}
        arrays |= _named(f"{kind}_baseline", level(before))
        arrays |= _stacked(f"{kind}_difference", [paired(before, getattr(r.found, kind)) for r in rows])
    return dataset(arrays, VARIABLES, attrs)


def _effective(found: Evaluated) -> F64:
    """Effective paths of the figures; what never comes about on any path lacks none."""
    never = ~found.figures.any(axis=(0, 1))
    return np.where(never, np.inf, found.ess)


def _named(what: str, c: Change) -> dict[str, F64]:
    return {f"{what}_{k}": getattr(c, k) for k in _STATISTICS}


def _stacked(what: str, changes: Sequence[Change]) -> dict[str, F64]:
    return {f"{what}_{k}": np.stack([getattr(c, k) for c in changes]) for k in _STATISTICS}


def problems(data: xr.Dataset) -> list[str]:
    """Say how a comparison departs from what is declared; nothing if it doesn't."""
    return list(_problems(data))


def _problems(data: xr.Dataset) -> Iterator[str]:
    yield from departures(data, VARIABLES, "forecast/analysis/scenarios.py")
    for name in ("difference_mean", "baseline_mean", "changed_mean"):
        if name in data.variables and not np.isfinite(data[name].to_numpy()).all():
            yield f"{name!r} holds numbers that are not finite"
