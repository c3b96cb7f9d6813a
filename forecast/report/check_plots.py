"""Pictures of the checks, one panel a class: LOO-PIT values, cells beside their predictions, p-values."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from forecast.calibrate.observations import Block
from forecast.calibrate.sbc.ranks import envelope, grid
from forecast.report.checks import ClassRow, class_rows
from forecast.types import F64

COLUMNS, BAND, HIGH_K = 4, 0.05, 0.7
MOST_CELLS = 40  # of a class that are drawn
_BLUE, _RED, _GREY, _INK = "#4477aa", "#cc3311", "#d9dde2", "#5b6570"
# Shape and colour both tell checks apart; colours are of Paul Tol's scheme "bright".
_MARKS = {
    "total": ("o", "#4477aa"),
    "scatter": ("s", "#228833"),
    "furthest cell": ("^", "#aa3377"),
    "empty cells": ("D", "#997700"),
    "prior": ("P", "#ee6677"),
    "LOO-PIT": ("X", "#1b1f24"),
}


def _plain(x: float, _position: float) -> str:
    return f"{x:g}"


def draw_pit(file: Path, checks: xr.Dataset) -> Path | None:
    """LOO-PIT of each class: ECDF less the diagonal, with the envelope of uniform values; None without any."""
    owner, k = checks["pit_class"].to_numpy(), checks["pareto_k"].to_numpy()
    lower, upper = checks["pit_lower"].to_numpy(), checks["pit_upper"].to_numpy()
    classes = [r for r in class_rows(checks) if np.isfinite(r.pit_p)]
    if not classes:
        return None

    def one(axes: Any, row: ClassRow) -> None:
        own = (owner == row.id) & (k <= HIGH_K)
        z, n = grid(), int(own.sum())
        low, high = envelope(n, BAND)
        axes.fill_between(z, low - z, high - z, color=_GREY, linewidth=0)
        axes.axhline(0.0, color=_INK, linewidth=0.6)
        outside = row.verdict != "passes" and row.pit_p < 0.01
        axes.plot(z, _ecdf(lower[own], upper[own], z) - z, color=_RED if outside else _BLUE, linewidth=1.4)
        axes.set_xlim(0.0, 1.0)
        axes.set_title(f"{row.id}\n{n} of {len(own[owner == row.id])} values, p = {row.pit_p:.2g}", fontsize=9.0)

    return _panels(file, classes, one, 1.9)


def _ecdf(lower: F64, upper: F64, z: F64) -> F64:
    """ECDF (point,) of values spread evenly between their bounds (value,) (Czado et al. 2009)."""
    width = np.maximum(upper - lower, 1e-12)
    return np.asarray(np.clip((z[:, None] - lower) / width, 0.0, 1.0).mean(axis=1))


def draw_cells(file: Path, blocks: Sequence[Block]) -> Path | None:
    """Observed cells beside their 90 % predictive intervals, by class, the largest predictions first."""
    if not blocks:
        return None

    def one(axes: Any, block: Block) -> None:
        seen = block.observed.ravel()
        drawn = block.predicted.reshape(len(block.predicted), -1)
        order = np.argsort(-drawn.mean(axis=0), kind="stable")[:MOST_CELLS]
        low, high = np.quantile(drawn[:, order], (0.05, 0.95), axis=0)
        x, inside = np.arange(len(order)), (seen[order] >= low) & (seen[order] <= high)
        axes.vlines(x, low, high, color="#a9bed6", linewidth=3.0)
        axes.plot(x[inside], seen[order][inside], "o", color=_BLUE, markersize=3.2)
        axes.plot(x[~inside], seen[order][~inside], "X", color=_RED, markersize=5.5)
        top = max(float(high.max()), float(seen[order].max()))
        if block.discrete and top > 20:
            axes.set_yscale("symlog", linthresh=5.0)
            axes.yaxis.set_major_formatter(_plain)
        shown = "" if len(order) == seen.size else f"largest {len(order)} of "
        axes.set_title(f"{block.id}\n{shown}{seen.size} cells", fontsize=9.0)
        axes.set_xticks([])

    return _panels(file, sorted(blocks, key=lambda b: b.kind == "agreement"), one, 2.0)


def draw_p_values(file: Path, checks: xr.Dataset) -> Path | None:
    """Every p-value of every class on one logarithmic scale, with what holds a run and what is worth a look."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # heavy

    rows = class_rows(checks)[::-1]
    if not rows:
        return None
    figure = Figure(figsize=(12.5, 1.5 + 0.3 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    lowest = checks.attrs["hold_below"] / 30.0
    for y, row in enumerate(rows):
        axes.axhline(y, color=_GREY, linewidth=0.8, zorder=0)
        for name, p in row.p_values:
            mark, colour = _MARKS[name]
            axes.plot(max(p, lowest), y, mark, color=colour, markersize=6.5, alpha=0.9, clip_on=False)
    for level, words, style in (("hold_below", "holds", "-"), ("look_below", "worth a look", "--")):
        axes.axvline(checks.attrs[level], color=_RED, linewidth=1.0, linestyle=style)
        axes.annotate(
            words, (checks.attrs[level], len(rows) - 0.45), color=_RED, fontsize=8.5, ha="center", annotation_clip=False
        )
    for name, (mark, colour) in _MARKS.items():
        axes.plot([], [], mark, color=colour, label=name)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(_plain)
    axes.set_xlim(lowest, 1.15)
    axes.set_ylim(-0.6, len(rows) - 0.5)
    axes.set_yticks(range(len(rows)), [r.id for r in rows])
    axes.set_xlabel("p-value")
    figure.legend(loc="outside lower center", ncols=len(_MARKS), frameon=False, fontsize=9.0)
    figure.savefig(file, dpi=100, metadata={"Software": None})
    return file


def _panels[T](file: Path, things: Sequence[T], one: Callable[[Any, T], None], height: float) -> Path:
    from matplotlib.figure import Figure  # noqa: PLC0415  # heavy

    lines = -(-len(things) // COLUMNS)
    figure = Figure(figsize=(12.5, 0.4 + height * lines), layout="constrained")
    grid_ = figure.subplots(lines, COLUMNS, squeeze=False)
    for k, axes in enumerate(grid_.ravel()):
        if k < len(things):
            one(axes, things[k])
        else:
            axes.set_axis_off()
    figure.savefig(file, dpi=100, metadata={"Software": None})
    return file
