"""Every variable of every output, declared once: dims, dtype, unit, meaning.

A variable that is not declared here cannot be built (`dataset`), does not pass `problems` and so
cannot be written to the archive. `markdown` prints this registry as the table of the docs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr

from forecast.schema_checks import CHECKS, RANKS
from forecast.schema_sources import SOURCES

SCHEMA = 1  # number of this layout; a reader refuses a larger one
CONVENTIONS = "CF-1.11"
PROBABILITY_DIMS: Mapping[str, str] = {
    "outcome_probability": "outcome",
    "cumulative_incidence": "cause",
    "state_probability": "state",
}
REQUIRED_ATTRS = (
    "deal_id", "title", "deal_digest", "as_of", "horizon", "seed", "draws", "replicates", "paths",
    "status", "held_reasons", "command", "git_commit", "versions", "inputs", "calibration_digest", "created",
    "schema",
)  # fmt: skip
STATUSES = ("published", "held")
# The attribute `method`: how the probabilities came about. Older runs lack it and were simulated.
EXACT, SIMULATED = "exact", "simulated"
METHODS = (EXACT, SIMULATED)


@dataclass(frozen=True)
class Variable:
    """One variable of one group.

    dims: names of its dims, in order; "*" stands for any others before the rest
    dtype: "f8", "i8", "i4", "bool", "U" (text) or "M8[ns]"
    units: UDUNITS; "1" is dimensionless, "" a text; `time` gets its unit from its CF encoding
    coord: a coordinate rather than data
    counted: a multiple of 1 / replicates, stored as an integer with that scale factor: no bit is lost; in an
        exact forecast a number that was computed, rounded to nine digits
    optional: may be absent
    """

    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str
    description: str
    coord: bool = False
    counted: bool = False
    optional: bool = False


def _ids(dim: str, what: str) -> dict[str, Variable]:
    return {
        dim: Variable((dim,), "U", "", what, f"name of the {dim} in the deal file or its process", coord=True),
        f"{dim}_label": Variable((dim,), "U", "", f"label: {what}", f"the {dim} in words, for people", coord=True),
    }


_ROOT: Mapping[str, Variable] = {
    "draw": Variable(
        ("draw",), "i8", "1", "posterior draw",
        "number of the joint posterior draw; path N belongs to draw N // replicates", coord=True,
    ),
    "time": Variable(
        ("time",), "M8[ns]", "", "date, midnight UTC",
        "encoded as days since the as-of date; a value holds after everything of that instant", coord=True,
    ),
    "lead": Variable(
        ("time",), "f8", "year", "lead: time from the as-of date", "years of 365.25 days since the as-of date",
        coord=True,
    ),
    **_ids("outcome", "class of paths at a time"),
    **_ids("cause", "named way to end"),
    **_ids("state", "flag of the process"),
    **_ids("consequence", "amount that a path accrues"),
    "consequence_unit": Variable(
        ("consequence",), "U", "", "unit of the consequence", "unit of `consequence_amount`", coord=True
    ),
    "consequence_conserved": Variable(
        ("consequence",), "U", "", "conservation group",
        "consequences of one group add up to zero on every path; empty where there is none", coord=True,
    ),
    **_ids("parameter", "parameter of the deal, one entry a number"),
    "parameter_unit": Variable(
        ("parameter",), "U", "", "unit of the parameter", "unit of `parameters`", coord=True
    ),
    **_ids("firing", "hazard, or branch of a scheduled event"),
    "outcome_probability": Variable(
        ("draw", "time", "outcome"), "f8", "1", "P(path in this class at the time), by draw",
        "share of a draw's paths in each outcome class at the time; the classes exclude each other and add up to 1",
        counted=True,
    ),
    "cumulative_incidence": Variable(
        ("draw", "time", "cause"), "f8", "1", "P(ended by this cause, by the time), by draw",
        "share of a draw's paths that this cause ended at or before the time, the other causes in force",
        counted=True,
    ),
    "state_probability": Variable(
        ("draw", "time", "state"), "f8", "1", "P(flag set at the time), by draw",
        "state occupancy: share of a draw's paths with the flag set; flags stay as they are after the end",
        counted=True,
    ),
    "consequence_amount": Variable(
        ("draw", "time", "consequence"), "f8", "see consequence_unit", "mean amount a path by the time, by draw",
        "amount accrued from the as-of date to the time, discounted where the deal says so, averaged over paths",
    ),
    "event_frequency": Variable(
        ("draw", "firing"), "f8", "1", "mean number of firings a path, by draw",
        "how often the hazard fired, or the scheduled event took this branch, within the horizon",
        counted=True,
    ),
    "parameters": Variable(
        ("draw", "parameter"), "f8", "see parameter_unit", "value of the parameter, by draw",
        "joint posterior draw that the paths of this draw used; every sensitivity can be had from it",
    ),
    **{
        f"{name}_mcse": Variable(
            ("time", dim), "f8", "1", f"Monte Carlo standard error of the mean of {name}",
            "simulation error only: what another seed with the same draws would change; where no path, or every "
            "path, is counted it is the one-sided 95% Wilson bound's distance divided by 1.645; 0 in an exact forecast",
        )
        for name, dim in PROBABILITY_DIMS.items()
    },
    "consequence_mcse": Variable(
        ("consequence",), "f8", "see consequence_unit", "Monte Carlo standard error of the mean at the horizon",
        "simulation error of the mean of `consequence_amount` over draws at the horizon; 0 in an exact forecast",
    ),
}  # fmt: skip

_INTERVAL = (
    "quantile over draws of the draws' probabilities, after the noise of a finite number of replicates is taken out: "
    "deviations from the mean are shrunk by sqrt(max(0, 1 - noise variance / total variance)); where no path, or "
    "every path, is counted it reaches at least to the one-sided 95% Wilson bound; in an exact forecast plainly the "
    "quantile"
)


def _summary(dim: str) -> dict[str, Variable]:
    what = {"outcome": "P(class at the time)", "cause": "P(ended by the cause, by the time)", "state": "P(flag set)"}
    root = {v: k for k, v in PROBABILITY_DIMS.items()}[dim]
    row = {
        "mean": ("mean of ", "mean over draws and replicates: the probability to report"),
        "lower": ("5% quantile of ", _INTERVAL),
        "upper": ("95% quantile of ", _INTERVAL),
        "mcse": ("Monte Carlo standard error of ", f"`{root}_mcse` of the root group again"),
    }
    return {f"{dim}_{k}": Variable(("time", dim), "f8", "1", a + what[dim], b) for k, (a, b) in row.items()}


_STORYLINES: Mapping[str, Variable] = {
    "text": Variable(
        ("storyline",), "U", "", "milestones in order",
        "labels joined by ' → ': the events that changed what the ending depends on, and the ending",
    ),
    "ended_by": Variable(
        ("storyline",), "U", "", "cause of the end", "empty where the path is open at the horizon",
    ),
    "frequency": Variable(
        ("storyline",), "f8", "1", "share of the sampled paths", "P(a path takes this course), over draws and chance"
    ),
    "frequency_mcse": Variable(
        ("storyline",), "f8", "1", "Monte Carlo standard error of the frequency",
        "binomial, from the number of sampled paths; an upper bound, as the sample is spread evenly over draws",
    ),
    "dates": Variable(
        ("storyline",), "U", "", "median date of each milestone", "months joined by ' → ', one a milestone"
    ),
    "example_path": Variable(
        ("storyline",), "i8", "1", "number of a typical path", "the path whose dates are nearest to the medians"
    ),
    **{
        f"family_{name}": Variable(("family",), dtype, units, text, what, optional=True)
        for name, dtype, units, text, what in (
            ("text", "U", "", "milestones of the family's storyline", "of the storyline that stands for the family"),
            ("ended_by", "U", "", "cause of the end", "empty where the path is open at the horizon"),
            ("frequency", "f8", "1", "share of the sampled paths", "that take a course of this family"),
            ("frequency_mcse", "f8", "1", "Monte Carlo standard error of the frequency", "binomial; an upper bound"),
            ("dates", "U", "", "median date of each milestone", "of the storyline that stands for the family"),
            ("example_path", "i8", "1", "number of a typical path", "of the storyline that stands for the family"),
            ("variants", "i8", "1", "distinct storylines in the family", "same ending, nearest to its storyline"),
            ("distance", "f8", "1", "mean distance of a path from it", "1 - 2 LCS / (length + length) of the steps"),
            ("also", "U", "", "further steps", "that a tenth of the family's paths or more take, with their share"),
        )
    },
}  # fmt: skip

_PATHS: Mapping[str, Variable] = {
    "number": Variable(
        ("path",), "i8", "1", "number of the path", "draw * replicates + replicate; replays the path", coord=True
    ),
    "ended_by": Variable(("path",), "i4", "1", "index of the cause of the end", "-1: open at the horizon"),
    "end_time": Variable(("path",), "f8", "year", "time of the end", "years since the as-of date; at most the horizon"),
    "event_time": Variable(
        ("path", "step"), "f8", "year", "time of the firing", "years since the as-of date; NaN behind the last step"
    ),
    "event": Variable(
        ("path", "step"), "i4", "1", "index of what fired", "position on the dim `firing`; -1 behind the last step"
    ),
    "truncated": Variable(
        ("path",), "bool", "1", "whether firings are missing", "true where the path had more firings than are kept"
    ),
}  # fmt: skip

_BASE_RATES: Mapping[str, Variable] = {
    "mechanism": Variable(("mechanism",), "U", "", "mechanism", "what is compared, in words", coord=True),
    **{
        f"model_{k}": Variable(("mechanism",), "f8", "1", f"the model's frequency: {text}", what)
        for k, text, what in (
            ("mean", "mean", "over sampled paths that meet the condition early enough; NaN where none does"),
            ("lower", "5% quantile over draws", "of a beta distribution with the variance between draws"),
            ("upper", "95% quantile over draws", "of a beta distribution with the variance between draws"),
            ("mcse", "Monte Carlo standard error", "of the mean, from the sampled paths"),
        )
    },
    "model_paths": Variable(("mechanism",), "i8", "1", "paths compared", "sampled paths that meet the condition"),
    "reference_value": Variable(("mechanism",), "f8", "1", "published or counted base rate", "from the deal file"),
    "reference_lower": Variable(("mechanism",), "f8", "1", "its lower bound", "from the deal file"),
    "reference_upper": Variable(("mechanism",), "f8", "1", "its upper bound", "from the deal file"),
    "source": Variable(("mechanism",), "U", "", "source of the base rate", "from the deal file"),
    "agrees": Variable(
        ("mechanism",), "bool", "1", "whether the two agree",
        "the model's mean lies in the reference interval, or the reference value in the model's",
    ),
    "explanation": Variable(("mechanism",), "U", "", "why they differ", "from the deal file; empty where it has none"),
}  # fmt: skip

_ESTIMATES: Mapping[str, Variable] = {
    **{
        f"estimate_{k}": Variable(("estimate",), dtype, "", text, what, coord=True)
        for k, dtype, text, what in (
            ("label", "U", "what is estimated", "headline, cause or outcome class, in words"),
            ("variable", "U", "probability that it refines", "name of a variable of the root group"),
            ("name", "U", "which one of it", "name on that variable's last dim"),
            ("date", "M8[ns]", "date", "the probability is that by, or at, this date"),
        )
    },
    "estimate_method": Variable(
        ("estimate",), "U", "", "how it was estimated",
        "weighted paths, importance sampling; or why there is no figure: too few paths, no path reached it",
    ),
    "estimate_probability": Variable(
        ("draw", "estimate"), "f8", "1", "probability, by draw", "from weighted paths: no multiple of 1 / replicates"
    ),
    "estimate_mean": Variable(
        ("estimate",), "f8", "1", "the probability to report", "mean over draws; NaN where it rests on too few paths"
    ),
    "estimate_lower": Variable(("estimate",), "f8", "1", "5% quantile over draws", "after their noise is taken out"),
    "estimate_upper": Variable(
        ("estimate",), "f8", "1", "95% quantile over draws",
        "after their noise is taken out; where there are too few paths the one-sided 95% bound",
    ),
    "estimate_mcse": Variable(
        ("estimate",), "f8", "1", "Monte Carlo standard error of the mean",
        "from the difference of two independent groups of paths of each draw",
    ),
    "estimate_ess": Variable(
        ("estimate",), "f8", "1", "effective number of paths",
        "(sum of x)^2 / sum of x^2 over the paths' contributions x; below 100 no figure is given",
    ),
}  # fmt: skip

GROUPS: Mapping[str, Mapping[str, Variable]] = {
    "/": _ROOT,
    "/summary": {**_summary("outcome"), **_summary("cause"), **_summary("state")},
    "/estimates": _ESTIMATES,
    "/storylines": _STORYLINES,
    "/paths": _PATHS,
    "/base_rates": _BASE_RATES,
    "/sources": {name: Variable(*declared) for name, declared in SOURCES.items()},
    "/checks": {name: Variable(*declared) for name, declared in CHECKS.items()},
}
_OPTIONAL_GROUPS = ("/estimates", "/storylines", "/paths", "/base_rates", "/sources", "/checks")

# What `forecast verify calibration` writes, one Dataset a kind of model.
CALIBRATION: Mapping[str, Variable] = {name: Variable(*declared) for name, declared in RANKS.items()}

# What `forecast sweep` writes: one Dataset whose leading dims are the swept names.
SWEEP: Mapping[str, Variable] = {
    "headline": Variable(("headline",), "U", "", "headline probability", "label from the deal file", coord=True),
    **{
        f"headline_{k}": Variable(("*", "headline"), "f8", "1", text, what)
        for k, text, what in (
            ("mean", "probability", "mean over draws and replicates, in each cell"),
            ("lower", "5% quantile over draws", "of the draws' probabilities"),
            ("upper", "95% quantile over draws", "of the draws' probabilities"),
            ("mcse", "Monte Carlo standard error of the probability", "simulation error only"),
            ("difference", "paired difference", "of a grid from its first cell, of a design from the deal as it is"),
            ("difference_mcse", "standard error of the paired difference", "over draws"),
        )
    },
}


def dataset(group: str, attrs: Mapping[str, Any] | None = None, /, **arrays: npt.ArrayLike) -> xr.Dataset:
    """Build the Dataset of a group from declared variables; units and meaning come from the registry.

    Raises
    ------
    ValueError
        An undeclared name, or an array with the wrong number of dims.
    """
    declared = CALIBRATION if group == "calibration" else GROUPS[group]
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, values in arrays.items():
        if name not in declared:
            raise ValueError(f"{group}: {_undeclared(name, declared)}")
        v = declared[name]
        array = np.asarray(values, dtype=None if v.dtype == "U" else v.dtype)
        if v.dtype == "U":
            array = array.astype(np.str_)
        if array.ndim != len(v.dims):
            raise ValueError(f"{group}: {name!r} has the dims {', '.join(v.dims)}; the array has shape {array.shape}")
        (coords if v.coord else data)[name] = (v.dims, array, attributes(v))
    return xr.Dataset(data, coords=coords, attrs=dict(attrs or {}))


def attributes(v: Variable) -> dict[str, str]:
    """Attributes that a variable carries; a text or a date has no unit of its own."""
    units = {"units": v.units} if v.units else {}
    return {**units, "long_name": v.long_name, "description": v.description}


def problems(tree: xr.DataTree) -> list[str]:
    """Say how a forecast departs from the registry; nothing if it doesn't."""
    found = [f"attrs: {a!r} is missing" for a in REQUIRED_ATTRS if a not in tree.attrs]
    if tree.attrs.get("status", "held") not in STATUSES:
        found.append(f"attrs: status is {tree.attrs['status']!r}; it may be {' or '.join(STATUSES)}")
    if tree.attrs.get("method", SIMULATED) not in METHODS:
        found.append(f"attrs: method is {tree.attrs['method']!r}; it may be {' or '.join(METHODS)}")
    nodes = {"/" + n.relative_to(tree).strip("./"): n for n in tree.subtree}
    for path, node in nodes.items():
        if path not in GROUPS:
            found.append(f"{path}: not a declared group ({', '.join(GROUPS)})")
            continue
        found += _group_problems(path, node.to_dataset(inherit=False), GROUPS[path])
    found += [f"{path}: the group is missing" for path in GROUPS if path not in nodes and path not in _OPTIONAL_GROUPS]
    return found


def described_sweep(data: xr.Dataset) -> xr.Dataset:
    """Give the declared variables of a sweep their units and meaning."""
    described = data.copy(deep=False)
    for name in described.variables:
        if str(name) in SWEEP:
            described[name].attrs.update(attributes(SWEEP[str(name)]))
    return described


def sweep_problems(data: xr.Dataset) -> list[str]:
    """Say how a sweep departs from the registry; its coordinates besides `headline` are the swept names."""
    return list(_group_problems("sweep", data.drop_vars(set(data.coords) - {"headline"}), SWEEP))


def _group_problems(group: str, data: xr.Dataset, declared: Mapping[str, Variable]) -> Iterator[str]:
    for key, array in data.variables.items():
        name = str(key)
        if name not in declared:
            yield f"{group}: {_undeclared(name, declared)}"
            continue
        v = declared[name]
        dims = v.dims if "*" not in v.dims else (*array.dims[: -len(v.dims) + 1], *v.dims[1:])
        if array.dims != dims:
            yield f"{group}: {name!r} has dims {array.dims}; declared are {v.dims}"
        if not _is_of(array.dtype, v.dtype):
            yield f"{group}: {name!r} has dtype {array.dtype}; declared is {v.dtype}"
        if not array.attrs.get("long_name"):
            yield f"{group}: {name!r} has no long_name"
    for name, v in declared.items():
        if name not in data.variables and not v.optional:
            yield f"{group}: {name!r} is missing"


def _is_of(dtype: Any, declared: str) -> bool:
    if declared == "U":
        return dtype.kind in "UT"
    return bool(np.dtype(dtype) == np.dtype(declared))


def _undeclared(name: str, declared: Mapping[str, Variable]) -> str:
    near = get_close_matches(name, declared, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "declare it in forecast/schema.py"
    return f"{name!r} is not a declared variable; {hint}"


def markdown() -> str:
    """Print the registry as Markdown tables, one a group."""
    lines: list[str] = []
    for group, declared in {**GROUPS, "sweep": SWEEP, "calibration": CALIBRATION}.items():
        titles = {"/": "The root group", "sweep": "A sweep", "calibration": "A study of `forecast verify calibration`"}
        title = titles.get(group) or f"Group `{group.strip('/')}`"
        lines += [f"## {title}", "", "| variable | dims | dtype | unit | meaning |", "|---|---|---|---|---|"]
        for name, v in declared.items():
            kind = " (coordinate)" if v.coord else ""
            dims = ", ".join(v.dims).replace("*", "…")
            lines.append(f"| `{name}`{kind} | {dims} | {v.dtype} | {v.units} | {v.long_name}; {v.description} |")
        lines.append("")
    return "\n".join(lines)
