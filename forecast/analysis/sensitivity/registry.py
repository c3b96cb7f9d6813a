"""Every variable of a sensitivity analysis, declared once."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.declared import departures
from forecast.schema import Variable

KIND, FOLDER = "sensitivity", "sensitivities"

_COORDS: Mapping[str, Variable] = {
    "headline": Variable(("headline",), "U", "", "probability explained", "label from the deal file", coord=True),
    "factor": Variable(
        ("factor",), "U", "", "one number or several together",
        "a parameter, an entry of one (name[entry]), or kind:name for a group", coord=True,
    ),
    "factor_label": Variable(("factor",), "U", "", "label: factor", "the factor in words, for people", coord=True),
    "factor_kind": Variable(
        ("factor",), "U", "", "kind of factor",
        "parameter (a whole one), entry (one number of several), class, experts, distribution, party, clause, …, all",
        coord=True,
    ),
    "factor_unit": Variable(("factor",), "U", "", "unit of the number", "empty where there are several", coord=True),
    "factor_size": Variable(("factor",), "i8", "1", "uncertain numbers in the factor", "without constants", coord=True),
    "factor_source": Variable(("factor",), "U", "", "where it comes from", "class or experts", coord=True),
    "side": Variable(("side",), "U", "", "which box", "low: where the headline is unlikely; high: likely", coord=True),
    "rule": Variable(("rule",), "i8", "1", "number of the rule", "a box has at most three", coord=True),
}  # fmt: skip

_SPREAD: Mapping[str, Variable] = {
    "headline_mean": Variable(("headline",), "f8", "1", "probability", "mean over draws"),
    "headline_sd": Variable(
        ("headline",), "f8", "1", "standard deviation between draws", "of the draws' probabilities, noise taken out"
    ),
    "headline_noise": Variable(
        ("headline",), "f8", "1", "share of noise", "Monte Carlo variance in the variance between the draws' estimates"
    ),
    "headline_trouble": Variable(
        ("headline",), "U", "", "why there are no figures", "empty where there are"
    ),
}  # fmt: skip

_ERROR = "from batches of neighbouring draws, so that it holds for chains"
_SHARES: Mapping[str, Variable] = {
    "first_order": Variable(
        ("headline", "factor"), "f8", "1", "first-order Sobol index, full",
        "Var(E[y | x]) / Var(y): share of the variance that would go, on average, if x were known, what x tells about "
        "parameters that go with it included; for several numbers on average too low",
    ),
    "first_order_error": Variable(("headline", "factor"), "f8", "1", "its standard error", _ERROR),
    "first_order_floor": Variable(
        ("headline", "factor"), "f8", "1", "what nothing shows",
        "index that a parameter without effect exceeds once in 1000"
    ),
    "independent": Variable(
        ("headline", "factor"), "f8", "1", "first-order Sobol index, independent part",
        "the same for what is left of x once the other parameters have told what they can about it; NaN for all "
        "parameters together, and where they are more than half as many as the draws",
    ),
    "independent_error": Variable(("headline", "factor"), "f8", "1", "its standard error", _ERROR),
    "pawn": Variable(
        ("headline", "factor"), "f8", "1", "PAWN index",
        "mean over ten slices of x of the largest gap between the headline's distribution there and overall; single "
        "numbers only",
    ),
    "pawn_error": Variable(("headline", "factor"), "f8", "1", "its standard error", "block bootstrap"),
    "pawn_floor": Variable(
        ("factor",), "f8", "1", "what nothing shows", "PAWN index that a shuffled parameter exceeds once in 1000"
    ),
}  # fmt: skip

_TORNADO: Mapping[str, Variable] = {
    "factor_low": Variable(("factor",), "f8", "see factor_unit", "5% quantile of the number", "single numbers only"),
    "factor_high": Variable(("factor",), "f8", "see factor_unit", "95% quantile of the number", "single numbers only"),
    **{
        f"tornado_{side}": Variable(
            ("headline", "factor"), "f8", "1", f"headline where the number is {side}",
            f"E[y | x at its {q} quantile], the others as they go with it; local regression on the draws",
        )
        for side, q in (("low", "5%"), ("high", "95%"))
    },
    "tornado_low_error": Variable(("headline", "factor"), "f8", "1", "its standard error", _ERROR),
    "tornado_high_error": Variable(("headline", "factor"), "f8", "1", "its standard error", _ERROR),
    "tornado_swing_error": Variable(("headline", "factor"), "f8", "1", "standard error of high less low", _ERROR),
}  # fmt: skip

_PAIRS: Mapping[str, Variable] = {
    **{
        f"paired_{side}": Variable(
            ("headline", "factor"), "f8", "1", f"headline with the number held at its {q} quantile",
            "every other parameter at its draws, the same luck; NaN where nothing was simulated", optional=True,
        )
        for side, q in (("low", "5%"), ("high", "95%"))
    },
    **{
        f"paired_{side}_error": Variable(
            ("headline", "factor"), "f8", "1", f"standard error of {what}",
            "from batches of draws, the paths' luck included; of the paired difference, not of the level",
            optional=True,
        )
        for side, what in (("low", "low less the mean"), ("high", "high less the mean"), ("swing", "high less low"))
    },
}  # fmt: skip

_VALUE: Mapping[str, Variable] = {
    "value_sd": Variable(
        ("headline", "factor"), "f8", "1", "fall of the standard deviation once x is known",
        "sd (1 - sqrt(1 - first_order)): what finding out is worth under quadratic loss",
    ),
    "value_sd_error": Variable(("headline", "factor"), "f8", "1", "its standard error", "delta method"),
    "value_brier": Variable(
        ("headline", "factor"), "f8", "1", "expected gain of the Brier score once x is known",
        "Var(E[y | x]): equal to the fall of the variance",
    ),
    "value_brier_error": Variable(("headline", "factor"), "f8", "1", "its standard error", _ERROR),
    "value_log": Variable(
        ("headline", "factor"), "f8", "bit", "expected gain of the log score once x is known",
        "mutual information of x and whether the event happens",
    ),
    "value_log_error": Variable(("headline", "factor"), "f8", "bit", "its standard error", _ERROR),
    **{
        f"decision_value{suffix}": Variable(
            ("factor",), "f8", "see decision_unit", text, what, optional=True
        )
        for suffix, text, what in (
            ("", "EVPPI: what knowing x is worth to the decision", "expected payoff gained by a choice with x known"),
            ("_error", "its standard error", _ERROR),
            ("_lower", "what a choice by other draws earns", "left-out estimate, on average too low"),
            ("_upper", "plug-in estimate", "on average too high"),
        )
    },
}  # fmt: skip

_BOXES: Mapping[str, Variable] = {
    **{
        f"box_{name}": Variable(("headline", "side"), dtype, "1", text, what)
        for name, dtype, text, what in (
            ("share", "f8", "share of the draws in the box", "of draws that took no part in finding it, as all below"),
            ("share_error", "f8", "its standard error", _ERROR),
            ("mean", "f8", "headline in the box", "density: mean probability there"),
            ("mean_error", "f8", "its standard error", _ERROR),
            ("outside", "f8", "headline elsewhere", "mean probability outside the box"),
            ("outside_error", "f8", "its standard error", _ERROR),
            ("coverage", "f8", "share of what is sought that lies in the box", "of 1 - y for low, of y for high"),
            ("coverage_error", "f8", "its standard error", _ERROR),
            ("clear", "bool", "whether there is such a box", "it and the rest differ by more than 3 standard errors"),
        )
    },
    "box_parameter": Variable(
        ("headline", "side", "rule"), "U", "", "parameter of the rule", "empty behind the last rule"
    ),
    "box_lower": Variable(("headline", "side", "rule"), "f8", "see factor_unit", "from", "-inf: no lower bound"),
    "box_upper": Variable(("headline", "side", "rule"), "f8", "see factor_unit", "to", "inf: no upper bound"),
}  # fmt: skip

SENSITIVITY: Mapping[str, Variable] = {**_COORDS, **_SPREAD, **_SHARES, **_TORNADO, **_PAIRS, **_VALUE, **_BOXES}


def problems(data: xr.Dataset) -> list[str]:
    """Say how a sensitivity analysis departs from what is declared; nothing if it doesn't."""
    return list(_problems(data))


def _problems(data: xr.Dataset) -> Iterator[str]:
    yield from departures(data, SENSITIVITY, "forecast/analysis/sensitivity/registry.py")
    for name, v in SENSITIVITY.items():
        if name in data.variables and not _is_of(data[name].dtype, v.dtype):
            yield f"{name!r} has dtype {data[name].dtype}; declared is {v.dtype}"


def _is_of(dtype: np.dtype[Any], declared: str) -> bool:
    return dtype.kind in "UT" if declared == "U" else bool(dtype == np.dtype(declared))


def markdown() -> str:
    """Print the registry as one Markdown table."""
    lines = ["| variable | dims | dtype | unit | meaning |", "|---|---|---|---|---|"]
    for name, v in SENSITIVITY.items():
        kind = " (coordinate)" if v.coord else ""
        lines.append(
            f"| `{name}`{kind} | {', '.join(v.dims)} | {v.dtype} | {v.units} | {v.long_name}; {v.description} |"
        )
    return "\n".join(lines)
