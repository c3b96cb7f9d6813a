"""What is probable given that something so happens, as one Dataset: every variable declared once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.conditioning import Given, Shift
from forecast.analysis.declared import dataset, departures
from forecast.schema import Variable
from forecast.types import F64

KIND, FOLDER = "given", "givens"

_F, _P = ("figure",), ("parameter",)
_MEANINGS: Mapping[str, tuple[str, str]] = {
    "forecast": ("probability on all paths looked at", ""),
    "given_mean": ("probability given that it so happens", "share of the paths on which it does"),
    "given_lower": ("5% quantile over draws", "each with the weight of its paths on which it happens"),
    "given_upper": ("95% quantile over draws", "each with the weight of its paths on which it happens"),
    "given_mcse": ("Monte Carlo standard error of given_mean", ""),
    "difference_mcse": ("Monte Carlo standard error of given_mean less forecast", ""),
}
_CURVES = {f"{kind}_{name}": ("time", kind) for kind in ("cause", "outcome") for name in _MEANINGS}
VARIABLES: Mapping[str, Variable] = {
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
    "parameter": Variable(_P, "U", "", "parameter, or an entry of one", "by the size of its shift", coord=True),
    "parameter_label": Variable(_P, "U", "", "label: parameter", "", coord=True),
    **{name: Variable(_F, "f8", "1", *said) for name, said in _MEANINGS.items()},
    **{name: Variable(dims, "f8", "1", *_MEANINGS[name.partition("_")[2]]) for name, dims in _CURVES.items()},
    "shift": Variable(
        _P, "f8", "1", "shift of the parameter's mean", "in standard deviations of what is known without the condition"
    ),
    "shift_error": Variable(_P, "f8", "1", "standard error of the shift", "of a parameter that nothing is said about"),
}


@dataclass(frozen=True)
class Parts:
    """What a Dataset is made of.

    kinds (figure,): headline, cause or outcome; things: "cause" and "outcome" → id → label; over_time: the same →
    name of a curve → (time, thing); labels: parameter → label
    """

    figures: Sequence[Given]
    kinds: Sequence[str]
    days: Sequence[date]
    things: Mapping[str, Mapping[str, str]]
    over_time: Mapping[str, Mapping[str, F64]]
    shifts: Sequence[Shift]
    labels: Mapping[str, str]


def assemble(parts: Parts, attrs: Mapping[str, Any]) -> xr.Dataset:
    """Put what was found under its declared names; `attrs` say where it comes from and what is given."""
    figures = parts.figures
    arrays: dict[str, Any] = {
        "figure": np.arange(len(figures)),
        "figure_label": [f.wanted.label for f in figures],
        "figure_kind": list(parts.kinds),
        "figure_name": [f.wanted.name for f in figures],
        "figure_date": [np.datetime64(f.wanted.day, "ns") for f in figures],
        "time": [np.datetime64(d, "ns") for d in parts.days],
        "parameter": [s.parameter for s in parts.shifts],
        "parameter_label": [_label(s.parameter, parts.labels) for s in parts.shifts],
        "forecast": [f.plain for f in figures],
        **{f"given_{k}": [getattr(f, k) for f in figures] for k in ("mean", "lower", "upper", "mcse")},
        "difference_mcse": [f.difference_mcse for f in figures],
        "shift": [s.shift for s in parts.shifts],
        "shift_error": [s.error for s in parts.shifts],
    }
    for kind, labels in parts.things.items():
        arrays |= {kind: list(labels), f"{kind}_label": list(labels.values())}
        for name, values in parts.over_time[kind].items():
            own = name if name in ("forecast", "difference_mcse") else f"given_{name}"
            arrays[f"{kind}_{own}"] = values
    return dataset(arrays, VARIABLES, attrs)


def _label(parameter: str, labels: Mapping[str, str]) -> str:
    name, _, entry = parameter.partition("[")
    return labels.get(name, name) + (f" [{entry}" if entry else "")


def problems(data: xr.Dataset) -> list[str]:
    """Say how a Dataset departs from what is declared; nothing if it doesn't."""
    return list(_problems(data))


def _problems(data: xr.Dataset) -> Iterator[str]:
    yield from departures(data, VARIABLES, "forecast/analysis/given.py")
    for name, v in VARIABLES.items():
        if name in data.variables and v.dtype == "f8" and not np.isfinite(data[name].to_numpy()).all():
            yield f"{name!r} holds numbers that are not finite"
