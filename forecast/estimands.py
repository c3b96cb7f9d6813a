"""Counts, or exact answers → Forecast: probabilities with their interval over draws and their Monte Carlo error."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from forecast import schema
from forecast.errors import ForecastError
from forecast.process.compile import Program
from forecast.process.draws import Draws
from forecast.process.forward import ExactForecasts
from forecast.simulate import Counts, PathLog
from forecast.types import DAYS_PER_YEAR, F64, I32, I64, years_between

Z_ONE_SIDED = 1.6448536269514722  # 95% quantile of the standard normal
TOLERANCE = 1e-9  # of sums of probabilities, which are multiples of 1 / replicates or rounded
KEPT_BITS = 30  # of the 52 that an amount, or an exact probability, has
DRAWS = 128  # that are checked together
COLUMNS = 512  # of counts that are summarised together, so that they stay in the processor's cache
CONSERVED = 1e-6  # of the largest amount in a conservation group


def build_forecast(
    program: Program,
    counts: Counts | ExactForecasts,
    log: PathLog,
    draws: Draws,
    attrs: Mapping[str, Any],
    base_rates: xr.Dataset | None = None,
    storylines: xr.Dataset | None = None,
    estimates: xr.Dataset | None = None,
    *,
    labels: Mapping[str, str] | None = None,
) -> xr.DataTree:
    """Put a simulation, or an exact solution, into the layout that `forecast.schema` declares.

    Parameters
    ----------
    program, counts, log, draws
        From `compile_process`, `simulate` (or `exact_forecasts`), `record_paths` and the calibration; the grid
        of `counts` holds whole days since the as-of date and ends at the horizon.
    attrs
        Provenance: what `schema.REQUIRED_ATTRS` lists, but for the number of the schema.
    base_rates, storylines, estimates
        Groups from `forecast.analysis` and `forecast.refine`; None where there are none.
    labels
        Labels of parameters, where known; a parameter without one is called by its name.

    Returns
    -------
    xr.DataTree
        Probabilities are held as counts and become fractions when they are read, as in a stored run; exact ones
        are rounded to `KEPT_BITS` bits (nine digits). `forecast_invariants` checks it.
    """
    if abs(float(counts.grid[-1]) - program.horizon) > 1e-9:
        raise ForecastError(f"grid: must end at the horizon, {program.horizon:g} years (got {counts.grid[-1]:g})")
    found = _exact(counts) if isinstance(counts, ExactForecasts) else _counted(counts)
    summaries = {name: found.summaries[dim] for name, dim in schema.PROBABILITY_DIMS.items()}
    fixed = schema.dataset(
        "/",
        {**attrs, "Conventions": schema.CONVENTIONS, "schema": schema.SCHEMA},
        **_coordinates(program, counts.grid),
        **_parameters(draws, labels or {}),
        **{f"{name}_mcse": s["mcse"] for name, s in summaries.items()},
        consequence_amount=found.amount,
        consequence_mcse=found.amount_mcse,
    )
    summary = {f"{dim}_{k}": v for dim, s in found.summaries.items() for k, v in s.items()}
    groups = {
        "/": fixed.assign(found.shares),
        "/summary": schema.dataset("/summary", **summary),
        "/paths": _paths(log, int(attrs["replicates"])),
    }
    if estimates is not None:
        groups["/estimates"] = estimates
    if storylines is not None and storylines.sizes["storyline"]:
        groups["/storylines"] = storylines
    if base_rates is not None and base_rates.sizes["mechanism"]:
        groups["/base_rates"] = base_rates
    return xr.DataTree.from_dict(groups)


@dataclass(frozen=True)
class _Found:
    """What a forecast says: shares by name of the variable, summaries by dim, amounts and their error."""

    shares: dict[str, xr.Variable]
    summaries: dict[str, dict[str, F64]]
    amount: F64
    amount_mcse: F64


def _counted(counts: Counts) -> _Found:
    arrays = {name: getattr(counts, dim) for name, dim in schema.PROBABILITY_DIMS.items()}
    shares = {
        name: _share(name, c, counts.replicates) for name, c in (arrays | {"event_frequency": counts.fired}).items()
    }
    summaries = {dim: summarise(arrays[name], counts.replicates) for name, dim in schema.PROBABILITY_DIMS.items()}
    return _Found(shares, summaries, _rounded(counts.consequence / counts.replicates), consequence_mcse(counts))


def _exact(solved: ExactForecasts) -> _Found:
    arrays = {name: _rounded(getattr(solved, dim).copy()) for name, dim in schema.PROBABILITY_DIMS.items()}
    shares = {
        name: xr.Variable(schema.GROUPS["/"][name].dims, p, schema.attributes(schema.GROUPS["/"][name]))
        for name, p in (arrays | {"event_frequency": _rounded(solved.fired.copy())}).items()
    }
    summaries = {dim: summarise_exact(arrays[name]) for name, dim in schema.PROBABILITY_DIMS.items()}
    no_error = np.zeros(solved.consequence.shape[2])
    return _Found(shares, summaries, _rounded(solved.consequence.copy()), no_error)


def summarise_exact(p: F64) -> dict[str, F64]:
    """Mean and plain 5 % and 95 % quantiles over draws of exact probabilities; a Monte Carlo error of 0.

    Parameters
    ----------
    p
        Shape (draw, time, k).

    Returns
    -------
    dict
        `mean`, `lower`, `upper`, `mcse`: each (time, k).

    Examples
    --------
    >>> s = summarise_exact(np.linspace(0.2, 0.3, 101)[:, None, None])
    >>> [round(float(s[k][0, 0]), 3) for k in ("mean", "lower", "upper", "mcse")]
    [0.25, 0.205, 0.295, 0.0]
    """
    columns = p.reshape(len(p), -1)
    figures = np.zeros((4, columns.shape[1]))
    for k in range(0, columns.shape[1], COLUMNS):
        values = np.ascontiguousarray(columns[:, k : k + COLUMNS].T)
        values.sort(axis=1)
        figures[:3, k : k + COLUMNS] = values.mean(axis=1), _quantile(values, 0.05), _quantile(values, 0.95)
    return dict(zip(("mean", "lower", "upper", "mcse"), figures.reshape(4, *p.shape[1:]), strict=True))


def summarise(count: I32, replicates: int) -> dict[str, F64]:
    r"""Mean, interval and Monte Carlo error of probabilities that were counted draw by draw.

    With p_d = k_d / R the share of draw d's R paths, the mean is p = mean(p_d). The draws' own
    probabilities are not seen, only p_d, which chance has spread: its total variance is
    V = var(p_d), of which chance makes N = mean(p_d (1 - p_d) / (R - 1)), without bias. The interval
    is taken from p + (p_d - p) sqrt(max(0, 1 - N / V)), whose variance is that of the probabilities
    themselves. The Monte Carlo standard error of p, for these draws, is sqrt(N / D).

    With one replicate the two cannot be told apart: nothing is shrunk and the error is sqrt(V / D).
    Where no path (or every path) is counted, the interval reaches at least to Wilson's one-sided 95%
    bound z² / (n + z²), n = D R, and the error is that bound / z rather than 0.

    Parameters
    ----------
    count
        Shape (draw, time, k): paths of each draw.
    replicates
        R, paths a draw.

    Returns
    -------
    dict
        `mean`, `lower`, `upper` (5% and 95% quantiles), `mcse`: each (time, k).

    References
    ----------
    Wilson 1927, J. Am. Stat. Assoc. 22:209.

    Examples
    --------
    >>> s = summarise(np.array([[[0]], [[10]], [[20]], [[30]]], np.int32), 40)
    >>> float(s["mean"][0, 0]), [round(float(s[k][0, 0]), 3) for k in ("lower", "upper", "mcse")]
    (0.375, [0.044, 0.706, 0.032])
    """
    columns = count.reshape(len(count), -1)
    parts = [_summarise(columns[:, k : k + COLUMNS], replicates) for k in range(0, columns.shape[1], COLUMNS)]
    figures = np.concatenate([np.zeros((4, 0)), *parts], axis=1).reshape(4, *count.shape[1:])
    return dict(zip(("mean", "lower", "upper", "mcse"), figures, strict=True))


def _summarise(count: I32, replicates: int) -> F64:
    """Mean, lower, upper and error (4, column) of counts (draw, column)."""
    n_draw, paths = len(count), len(count) * replicates
    ordered = np.ascontiguousarray(count.T, dtype=np.uint16 if replicates < 2**16 else np.int32)
    ordered.sort(axis=1, kind="stable")  # of 16 bits: a radix sort
    values = ordered.astype(np.float64)
    hits, squares = values.sum(axis=1), np.einsum("kd,kd->k", values, values)
    mean = hits / paths
    spread = (squares - hits**2 / n_draw) / (max(n_draw - 1, 1) * replicates**2)
    if replicates > 1:
        noise = (replicates * hits - squares) / (replicates**2 * (replicates - 1.0) * n_draw)
        ratio = np.divide(noise, spread, out=np.ones_like(mean), where=spread > 0)
        keep = np.sqrt(np.clip(1.0 - ratio, 0.0, 1.0))
    else:
        noise, keep = mean * (1.0 - mean), np.ones_like(mean)
    low, high = (_quantile(values, q) / replicates for q in (0.05, 0.95))
    lower, upper = (np.clip(mean + keep * (q - mean), 0.0, 1.0) for q in (low, high))
    bound = Z_ONE_SIDED**2 / (paths + Z_ONE_SIDED**2)
    never, always = hits == 0, hits == paths
    lower = np.where(always, np.minimum(lower, 1.0 - bound), lower)
    upper = np.where(never, np.maximum(upper, bound), upper)
    mcse = np.where(never | always, bound / Z_ONE_SIDED, np.sqrt(noise / n_draw))
    return np.stack([mean, lower, upper, mcse])


def _quantile(ordered: F64, q: float) -> F64:
    """Quantile of rows in order, linear between neighbours as `numpy.quantile` has it."""
    at = q * (ordered.shape[1] - 1)
    below = int(at)
    above = min(below + 1, ordered.shape[1] - 1)
    result: F64 = ordered[:, below] + (at - below) * (ordered[:, above] - ordered[:, below])
    return result


def consequence_mcse(counts: Counts) -> F64:
    """Monte Carlo standard error of the mean amount at the horizon, for these draws: (consequence,).

    From the variance between the paths of a draw; with one replicate, between draws.
    """
    n_draw, r = len(counts.consequence), counts.replicates
    mean = counts.consequence[:, -1] / r
    if r == 1:
        between: F64 = mean.std(axis=0, ddof=min(1, n_draw - 1)) / np.sqrt(n_draw)
        return between
    variance = np.maximum(counts.consequence_square / r - mean**2, 0.0) * r / (r - 1)
    within: F64 = np.sqrt(variance.mean(axis=0) / (n_draw * r))
    return within


def _share(name: str, count: I32 | I64, replicates: int) -> xr.Variable:
    """Counts that are read as fractions of `replicates`."""
    declared = schema.GROUPS["/"][name]
    narrow = "i2" if count.max(initial=0) < 2**15 else "i4" if count.max(initial=0) < 2**31 else "i8"
    packing = {"scale_factor": 1.0 / replicates, "_FillValue": np.dtype(narrow).type(-1)}
    packed = xr.Variable(declared.dims, count.astype(narrow), {**schema.attributes(declared), **packing})
    return xr.decode_cf(xr.Dataset({name: packed})).variables[name]


def _rounded(amount: F64) -> F64:
    """Round to `KEPT_BITS` bits of mantissa, in place: nine digits, and a store that is a third smaller."""
    bits, dropped = amount.view(np.uint64), np.uint64(52 - KEPT_BITS)
    bits += np.uint64(1) << (dropped - np.uint64(1))
    bits &= ~((np.uint64(1) << dropped) - np.uint64(1))
    return amount


def _coordinates(program: Program, grid: F64) -> dict[str, Any]:
    process = program.process
    days = [process.as_of + timedelta(days=round(float(t) * DAYS_PER_YEAR)) for t in grid]
    off = [str(d) for d, t in zip(days, grid, strict=True) if abs(years_between(process.as_of, d) - t) > 1e-9]
    if off:
        raise ForecastError(f"grid: times must be whole days since {process.as_of} (not so near {', '.join(off[:3])})")
    named: dict[str, Sequence[Any]] = {
        "outcome": process.outcomes,
        "cause": process.causes,
        "state": process.flags,
        "consequence": process.consequences,
        "firing": program.firings,
    }
    return {
        "draw": np.arange(program.n_draw),
        "time": np.array(days, "datetime64[ns]"),
        "lead": grid,
        **{dim: [x.id for x in things] for dim, things in named.items()},
        **{f"{dim}_label": [x.label for x in things] for dim, things in named.items()},
        "consequence_unit": [c.unit for c in process.consequences],
        "consequence_conserved": [c.conserved or "" for c in process.consequences],
    }


def _parameters(draws: Draws, labels: Mapping[str, str]) -> dict[str, Any]:
    """Every number of every draw, one column each; an entry of a parameter is called name[entry]."""
    names, columns = [], []
    for name, values in draws.values.items():
        names += [(name, entry) for entry in entries(draws, name)]
        columns.append(values.reshape(draws.n_draw, -1))
    return {
        "parameter": [f"{name}[{e}]" if e else name for name, e in names],
        "parameter_label": [f"{labels.get(name, name)}, {e}" if e else labels.get(name, name) for name, e in names],
        "parameter_unit": [draws.units.get(name, "1") for name, _ in names],
        "parameters": np.concatenate(columns, axis=1),
    }


def entries(draws: Draws, name: str) -> list[str]:
    """Names of the entries of a parameter: age bins as 0-1, 1-5, 5+; one empty name for a single number."""
    values = draws.values[name]
    if values.ndim == 1:
        return [""]
    if name in draws.labels:
        return list(draws.labels[name])
    if name in draws.edges:
        edges = draws.edges[name]
        return [f"{a:g}-{b:g}" if np.isfinite(b) else f"{a:g}+" for a, b in pairwise(edges)]
    return [str(n) for n in range(values.shape[1])]


def _paths(log: PathLog, replicates: int) -> xr.Dataset:
    steps = max(int(log.n_step.max(initial=0)), 1)
    return schema.dataset(
        "/paths",
        number=log.draw * replicates + log.replicate,
        ended_by=log.cause,
        end_time=log.end_time,
        event_time=log.time[:, :steps],
        event=log.firing[:, :steps],
        truncated=log.truncated,
    )


# ---- what must hold of every forecast ------------------------------------------------------------


def forecast_invariants(tree: xr.DataTree) -> list[str]:
    """Say what a forecast breaks of its own rules; nothing if it breaks none.

    Declared variables only, no NaN or infinity, probabilities in [0, 1], outcome classes that add up to
    1, incidences that never fall and add up to 1 at most, ordered intervals, Monte Carlo errors
    present, conserved amounts that cancel, times from the as-of date to the horizon, sizes as stated.
    """
    if found := schema.problems(tree):
        return found
    root, summary = tree.to_dataset(), tree["summary"].to_dataset()
    return [
        *_finite(root, ""),
        *_finite(summary, "summary: "),
        *_probabilities(root),
        *_intervals(summary),
        *_conservation(root),
        *_attributes(root),
    ]


def _finite(data: xr.Dataset, where: str) -> Iterator[str]:
    for name, v in data.data_vars.items():
        if str(name) in schema.PROBABILITY_DIMS:
            continue  # `_probabilities` reads these large ones once
        values = v.to_numpy()
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            yield f"{where}{name}: {np.count_nonzero(~np.isfinite(values))} values are not finite numbers"
        if str(name).endswith("mcse") and (values < 0).any():
            yield f"{where}{name}: a Monte Carlo error is negative"


def _probabilities(root: xr.Dataset) -> Iterator[str]:
    """Look at the large arrays some draws at a time; one line a rule, for the worst draw."""
    for name in schema.PROBABILITY_DIMS:
        lowest, highest, falls = 0.0, 0.0, False
        least, most = np.inf, -np.inf  # of sums over the last dim
        for p in _blocks(root[name].variable):
            # np.minimum and np.maximum, unlike min and max, let a NaN through.
            lowest, highest = np.minimum(lowest, p.min(initial=0.0)), np.maximum(highest, p.max(initial=0.0))
            if name != "state_probability":
                total = p.sum(axis=2)
                least, most = np.minimum(least, total.min()), np.maximum(most, total.max())
                falls = falls or bool((p[:, 1:] < p[:, :-1]).any())
        if not (lowest >= 0.0 and highest <= 1.0 + TOLERANCE):
            yield f"{name}: lies between {lowest:g} and {highest:g}; probabilities lie between 0 and 1"
        if name == "outcome_probability" and not (abs(least - 1.0) <= TOLERANCE and abs(most - 1.0) <= TOLERANCE):
            yield f"{name}: classes add up to {least:g} … {most:g}; they must add up to 1"
        if name == "cumulative_incidence" and falls:
            yield f"{name}: falls over time"
        if name == "cumulative_incidence" and most > 1.0 + TOLERANCE:
            yield f"{name}: causes add up to {most:g}"


def _blocks(v: xr.Variable) -> Iterator[F64]:
    for first in range(0, v.shape[0], DRAWS):
        yield v[first : first + DRAWS].to_numpy()


def _intervals(summary: xr.Dataset) -> Iterator[str]:
    for dim in schema.PROBABILITY_DIMS.values():
        if (summary[f"{dim}_lower"] > summary[f"{dim}_upper"] + TOLERANCE).any():
            yield f"summary: {dim}_lower is above {dim}_upper"


def _conservation(root: xr.Dataset) -> Iterator[str]:
    group = root["consequence_conserved"].to_numpy()
    at_end = root["consequence_amount"].to_numpy()[:, -1]
    for name in sorted({str(g) for g in group} - {""}):
        part = at_end[:, group == name]
        largest, residual = np.abs(part).max(initial=0.0), np.abs(part.sum(axis=1)).max(initial=0.0)
        if residual > CONSERVED * largest:
            yield f"consequence_amount: group {name!r} must add up to zero; it is off by {residual:g} of {largest:g}"


def _attributes(root: xr.Dataset) -> Iterator[str]:
    a = root.attrs
    if a["draws"] != root.sizes["draw"] or a["paths"] != a["draws"] * a["replicates"]:
        size = root.sizes["draw"]
        yield f"attrs: draws {a['draws']}, replicates {a['replicates']}, paths {a['paths']}; the data have {size} draws"
    days = root["time"].to_numpy().astype("datetime64[D]")
    if (np.diff(days) <= np.timedelta64(0, "D")).any():
        yield "time: must increase"
    if days[0] < np.datetime64(a["as_of"]) or days[-1] != np.datetime64(a["horizon"]):
        yield f"time: runs from {days[0]} to {days[-1]}; as-of date and horizon are {a['as_of']} and {a['horizon']}"
