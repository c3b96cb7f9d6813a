"""Sweeps: the same deal in every cell of a grid, with the same luck in every cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from forecast.deal.check_numbers import noises
from forecast.deal.model import Deal
from forecast.errors import DealFileError
from forecast.process.draws import Draws
from forecast.refine import Figures, interval
from forecast.schema import described_sweep

MAX_CELLS = 10_000


@dataclass(frozen=True)
class Cell:
    """One cell: what to change in the deal file, and which parameters to hold at a value."""

    values: tuple[Any, ...]
    overrides: Mapping[str, Any]
    fixed: Mapping[str, float]


def plan(deal: Deal, axes: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """List the cells of a grid, last axis fastest.

    An axis is a parameter's name (its draws are replaced by the value) or a dotted key of the deal
    file. Everything that can be refused is refused here, before anything runs.

    Raises
    ------
    DealFileError
        Unknown names (with the closest), empty axes, values outside a parameter's support, a grid
        that is too large.
    """
    problems = [p for name, values in axes.items() for p in _axis_problems(deal, name, values)]
    size = int(np.prod([len(v) for v in axes.values()], dtype=object))
    if size > MAX_CELLS:
        problems.append(f"{size:,} cells; a sweep may have {MAX_CELLS:,}: take fewer values an axis")
    if problems:
        raise DealFileError("\n".join(problems))
    cells = []
    for values in product(*axes.values()):
        named = dict(zip(axes, values, strict=True))
        fixed = {n: float(v) for n, v in named.items() if n in deal.file.parameters}
        cells.append(Cell(values, {n: v for n, v in named.items() if n not in fixed}, fixed))
    return cells


def _axis_problems(deal: Deal, name: str, values: Sequence[Any]) -> list[str]:
    if not values:
        return [f"{name}: no values; write {name}=V1,V2"]
    if any(v == w for i, v in enumerate(values) for w in values[:i]):
        return [f"{name}: a value is given twice"]
    parameter = deal.file.parameters.get(name)
    if parameter is None:
        if name in ("deal.id", "deal.as_of"):
            return [f"{name}: what a sweep varies must leave the deal and its as-of date as they are"]
        if "." in name:
            return []
        near = get_close_matches(name, deal.file.parameters, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "a key of the deal file has dots, e.g. verification.agreed"
        return [f"{name}: no such parameter; {hint}"]
    bad = []
    for v in values:
        if isinstance(v, bool) or not isinstance(v, int | float) or not np.isfinite(v):
            bad.append(f"{name}: {v!r} is not a finite number")
        elif parameter.unit == "probability" and not 0 < v < 1:
            bad.append(f"{name}: {v} is no probability strictly between 0 and 1")
        elif name in noises(deal.file) and v <= 0:
            bad.append(f"{name}: {v}: the noise of decisions must be more than 0")
        elif parameter.unit in ("per year", "years") and v < 0:
            bad.append(f"{name}: {v} is negative, but the unit is {parameter.unit!r}")
    return bad


def hold(draws: Draws, fixed: Mapping[str, float]) -> Draws:
    """Replace the draws of some parameters by one value each; one with several entries is refused."""
    values = dict(draws.values)
    for name, value in fixed.items():
        if values[name].ndim > 1:
            raise DealFileError(f"{name}: has several entries (age bins or shares) and cannot be held at one value")
        values[name] = np.full(draws.n_draw, value)
    return Draws(values, draws.edges, draws.labels, draws.units)


def assemble(
    axes: Mapping[str, Sequence[Any]], labels: Sequence[str], figures: Sequence[Figures], attrs: Mapping[str, str | int]
) -> xr.Dataset:
    """Put the cells of a sweep into one Dataset whose dims are the swept names.

    Parameters
    ----------
    axes
        Name → values, in the order of the cells (last axis fastest).
    labels
        Headline labels.
    figures
        For each cell the headlines, by weighted paths with the same draws and the same luck in every cell.
    attrs
        Provenance.
    """
    p = np.stack([f.p for f in figures])  # (cell, draw, headline)
    difference = p - p[0]
    mean, lower, upper = (np.stack(x) for x in zip(*(interval(f) for f in figures), strict=True))
    shape = tuple(len(v) for v in axes.values())
    dims = (*axes, "headline")
    arrays = {
        "headline_mean": mean,
        "headline_lower": lower,
        "headline_upper": upper,
        "headline_mcse": np.stack([f.mcse for f in figures]),
        "headline_difference": difference.mean(axis=1),
        "headline_difference_mcse": difference.std(axis=1, ddof=1) / np.sqrt(p.shape[1]),
    }
    coords: dict[str, Any] = {
        name: (name, [v if not isinstance(v, bool) else str(v).lower() for v in vs]) for name, vs in axes.items()
    }
    return described_sweep(
        xr.Dataset(
            {name: (dims, values.reshape(*shape, len(labels))) for name, values in arrays.items()},
            coords={**coords, "headline": list(labels)},
            attrs={**attrs, "axes": ",".join(axes)},
        )
    )
