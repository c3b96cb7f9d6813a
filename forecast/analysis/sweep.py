"""Sweeps: the same deal in every cell of a grid or design, with the same luck in every cell."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.design import GRID, Between, Design, Listed, Posterior, Span, points, size_problems
from forecast.calibrate.cooke import panel_of
from forecast.deal.check_numbers import held_problem
from forecast.deal.describe import describe
from forecast.deal.expand import expand
from forecast.deal.model import Deal
from forecast.errors import CompileError, DealFileError, ForecastError
from forecast.inputs import Inputs, load
from forecast.process.compile import compile_process
from forecast.process.draws import Draws
from forecast.refine import Figures, interval
from forecast.schema import SWEEP, described_sweep
from forecast.types import F64

CELL = "cell"  # the dim of a design
QUANTITIES = ("mean", "lower", "upper", "mcse", "difference", "difference_mcse")
EXACT_ROW = len(QUANTITIES)  # row of a cell's table that is 1 where the figure was computed, not simulated
MAX_LOADED = 1_000  # values of a key of the deal file, each of which is read and checked alone first
FEW = 8  # draws that a value is compiled with to see whether it may be


@dataclass(frozen=True)
class Cell:
    """One cell: what to change in the deal file, and which parameters to hold at a value."""

    values: tuple[Any, ...]
    overrides: Mapping[str, Any]
    fixed: Mapping[str, float]


@dataclass(frozen=True)
class Plan:
    """The cells of a sweep, made when they are asked for.

    values: of a grid those of each axis, of a design one a cell for each dimension. parameters: which of the names
    are parameters; the others are keys of the deal file.
    """

    kind: str
    names: tuple[str, ...]
    values: tuple[tuple[Any, ...], ...]
    parameters: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the dims."""
        return tuple(map(len, self.values)) if self.kind == GRID else (len(self.values[0]),)

    @property
    def size(self) -> int:
        """Number of cells."""
        return int(np.prod(self.shape))

    def cell(self, n: int) -> Cell:
        """Return cell n; the last axis of a grid is the fastest."""
        at = list(map(int, np.unravel_index(n, self.shape))) if self.kind == GRID else [n] * len(self.names)
        values = tuple(axis[k] for axis, k in zip(self.values, at, strict=True))
        return self.made(dict(zip(self.names, values, strict=True)))

    def made(self, named: Mapping[str, Any]) -> Cell:
        """Make a cell of some values."""
        fixed = {n: float(v) for n, v in named.items() if n in self.parameters}
        return Cell(tuple(named.values()), {n: v for n, v in named.items() if n not in fixed}, fixed)

    @property
    def reference(self) -> Cell:
        """What differences are taken from: the first cell of a grid; for a design the deal as it is."""
        return self.cell(0) if self.kind == GRID else Cell((), {}, {})


# ---- what can be refused -------------------------------------------------------------------------


def check(inputs: Inputs, design: Design) -> None:
    """Refuse what can be refused before there is a calibration; each value of a key is laid over the deal alone.

    Raises
    ------
    DealFileError
        One line for each problem: unknown names (with the closest), empty axes, values outside a parameter's
        support, values that the deal file does not allow, too many cells.
    """
    deal = inputs.deal
    problems = [p for name, span in design.spans.items() for p in _span_problems(deal, name, span)]
    if not (wrong_size := size_problems(design)):
        keys = {n: s for n, s in design.spans.items() if n not in deal.file.parameters and "." in n}
        problems += [p for n, s in keys.items() if n not in _KEPT for p in _key_problems(inputs, n, s)]
    if problems := [*wrong_size, *problems]:
        raise DealFileError("\n".join(dict.fromkeys(problems)))


def plan(deal: Deal, design: Design, draws: Draws, seed: int) -> Plan:
    """Fix the values of every cell, and make sure that each can be compiled alone.

    Raises
    ------
    DealFileError
        A parameter with several entries, or values that the process cannot have.
    """
    parameters = tuple(n for n in design.spans if n in deal.file.parameters)
    draws.held(dict.fromkeys(parameters, 0.0))  # refuses those that have several entries
    named: Mapping[str, Sequence[Any]] = {n: s.values for n, s in design.spans.items() if isinstance(s, Listed)}
    if design.kind != GRID:
        named = points(design, draws.values, seed)
    made = Plan(design.kind, tuple(named), tuple(map(tuple, named.values())), parameters)
    if problems := [p for n in parameters for v in _ends(named[n]) for p in _compiled(deal, draws, n, v)]:
        raise DealFileError("\n".join(problems))
    return made


_KEPT = ("deal.id", "deal.as_of")


def _span_problems(deal: Deal, name: str, span: Span) -> Iterator[str]:
    parameter = deal.file.parameters.get(name)
    if name in {"headline", CELL, *SWEEP}:
        yield f"{name}: is a name that the result of a sweep uses itself; rename the parameter"
    if name in _KEPT or name.startswith("parameters."):
        yield (
            f"{name}: what a sweep varies must leave the deal, its as-of date and what its parameters rest on as they "
            "are; name a parameter itself to hold it at a value"
        )
    elif parameter is None and "." not in name:
        near = get_close_matches(name, deal.file.parameters, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "a key of the deal file has dots, e.g. verification.agreed"
        yield f"{name}: no such parameter; {hint}"
    if isinstance(span, Posterior):
        if parameter is None:
            yield f"{name}: only a parameter has a posterior; give values or a range"
        elif parameter.constant is not None:
            yield f"{name}: is a constant, {parameter.constant:g}, without a posterior; give values or a range"
        return
    if isinstance(span, Listed) and not span.values:
        yield f"{name}: no values; write {name}=V1,V2"
    values = span.values if isinstance(span, Listed) else (span.low, span.high)
    if len({(type(v) is bool, str(v)) for v in values}) < len(values):
        yield f"{name}: a value is given twice"
    elif parameter is not None:
        found = (held_problem(deal.file, name, v) for v in values)
        yield from (f"{name}: {p}" for p in found if p)


def _key_problems(inputs: Inputs, key: str, span: Span) -> Iterator[str]:
    """Lay each value over the deal file, alone; of a range its ends and its middle."""
    if isinstance(span, Posterior):
        return
    values = span.at(np.array([0.0, 0.5, 1.0])) if isinstance(span, Between) else list(span.values)
    if len(values) > MAX_LOADED:
        yield f"{key}: {len(values):,} values; a key of the deal file may have {MAX_LOADED:,}, as each is checked first"
        return
    for v in values:
        try:
            variant = load(inputs.deal.folder, {**inputs.deal.overrides, key: v})
            expand(variant.deal)
        except ForecastError as err:
            yield from (f"{key}={shown(v)}: {line}" for line in str(err).splitlines())
            continue
        yield from (f"{key}={shown(v)}: {p}" for p in _kept_problems(inputs.deal, variant.deal))


def _kept_problems(deal: Deal, variant: Deal) -> Iterator[str]:
    """Name what a variant changes that one calibration, or one list of headlines, must share."""
    same_sources = deal.file.parameters == variant.file.parameters and deal.experts == variant.experts
    if not same_sources or panel_of(deal).weights != panel_of(variant).weights:
        yield "changes what the calibration rests on, which all cells share; run it by itself with --set"
    if labels_of(deal) != labels_of(variant):
        yield "changes the list of headlines, which all cells share"


def _ends(values: Sequence[float]) -> list[float]:
    return sorted({min(values), max(values)})


def _compiled(deal: Deal, draws: Draws, name: str, value: float) -> Iterator[str]:
    few = Draws({k: v[:FEW] for k, v in draws.values.items()}, draws.edges, draws.labels, draws.units)
    try:
        compile_process(expand(deal), few.held({name: value}))
    except CompileError as err:
        yield from (f"{name}={value:g}: {line}" for line in str(err).splitlines())


# ---- one cell, and all of them -------------------------------------------------------------------


def labels_of(deal: Deal) -> list[str]:
    """Labels of the headlines."""
    return [label for label, _, _, _ in describe(deal).headline]


def table_of(found: Figures, reference: F64) -> F64:
    """Sum a cell up: (quantity, headline), with a last row that is 1 where nothing was simulated.

    Differences are paired with `reference` (draw, headline), which has the same draws and the same luck.
    """
    difference = found.p - reference
    rows = (
        *interval(found),
        found.mcse,
        difference.mean(axis=0),
        difference.std(axis=0, ddof=1) / np.sqrt(len(difference)),
        np.full(found.p.shape[1], float(found.exact)),
    )
    return np.stack(rows)


def assemble(plan: Plan, labels: Sequence[str], tables: F64, attrs: Mapping[str, str | int]) -> xr.Dataset:
    """Put the cells into one Dataset: the dims of a grid are the swept names, of a design `cell`.

    Parameters
    ----------
    plan
        The cells.
    labels
        Headline labels.
    tables
        (cell, quantity, headline), from `table_of`.
    attrs
        Provenance.
    """
    dims = (*plan.names, "headline") if plan.kind == GRID else (CELL, "headline")
    coords: dict[str, Any] = {"headline": list(labels)}
    coords |= {
        n: (n if plan.kind == GRID else CELL, _coordinate(v)) for n, v in zip(plan.names, plan.values, strict=True)
    }
    if plan.kind != GRID:
        coords[CELL] = np.arange(plan.size)
    shape = (*plan.shape, len(labels))
    arrays = {f"headline_{q}": (dims, tables[:, k].reshape(shape)) for k, q in enumerate(QUANTITIES)}
    computed = int(tables[:, EXACT_ROW].all(axis=1).sum())
    found = {"axes": ",".join(plan.names), "design": plan.kind, "exact_cells": computed}
    return described_sweep(xr.Dataset(arrays, coords=coords, attrs={**attrs, **found}))


def shown(value: Any) -> str:
    """Write a value as a deal file has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _coordinate(values: Sequence[Any]) -> np.ndarray:
    """Numbers stay numbers, dates dates; everything else is text."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return np.array(values)
    if all(type(v) is date for v in values):
        return np.array(values, dtype="datetime64[ns]")
    return np.array([shown(v) for v in values])
