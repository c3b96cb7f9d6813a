"""Pictures of a sweep: lines for one swept name, heat maps for two, small multiples for more, scatter for a design.

Each function takes one headline of a sweep and returns a matplotlib Figure, wide or for a narrow page.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from forecast.report import colours
from forecast.report.plots import NARROW, STYLE, WIDE, axes_at, blank
from forecast.report.sweep_text import axes_of, is_grid
from forecast.report.words import percent
from forecast.types import F64

BLUE = "#4477aa"


@dataclass(frozen=True)
class Shape:
    """What kind of picture a sweep has, and how to read it."""

    title: str
    text: str


PANELS = 16  # small multiples, and dimensions of a design, that are drawn; the data have all
BAR = 42.0  # pixels under the maps for the scale of colours
WRITTEN = 120  # cells of a heat map in which the figure stands
BINS = 8  # of the line through the cells of a design


def shape_of(data: xr.Dataset) -> Shape:
    """Say which picture `picture` draws, in words."""
    n = sum(data.sizes.get(name, 2) > 1 for name in axes_of(data))
    if not is_grid(data):
        return Shape(
            "Points",
            "One a cell, against each swept value in turn, while the other swept values differ too; the grey line goes "
            "from the 5% to the 95% quantile over draws. The red line joins means of neighbouring cells.",
        )
    if n <= 1:
        return Shape("Line and band", "Mean over draws, and from their 5% to their 95% quantile.")
    shared = "" if n == 2 else " One map for each combination of the other swept values, all with the same colours."
    return Shape("Map", "The mean over draws, darker for more; the intervals are among the figures." + shared)


def picture(one: xr.Dataset, names: dict[str, str], *, narrow: bool = False) -> Figure:
    """Draw one headline of a sweep in the way that its shape asks for.

    Parameters
    ----------
    one
        The sweep at one headline.
    names
        Swept name → label.
    narrow
        For a page 400 pixels wide.
    """
    with mpl.rc_context(STYLE):
        axes = axes_of(one)
        varied = [n for n in axes if one.sizes.get(n, 2) > 1] or axes[:1]
        if not is_grid(one):
            return _scatter(one, axes[:PANELS], names, narrow)
        one = one.isel({n: 0 for n in axes if n not in varied})
        if len(varied) == 1:
            return _lines(one, varied[0], names, narrow)
        by_size = sorted(varied, key=lambda n: -one.sizes[n])
        return _maps(one, by_size[0], by_size[1], [n for n in varied if n not in by_size[:2]], names, narrow)


def _lines(one: xr.Dataset, name: str, names: dict[str, str], narrow: bool) -> Figure:
    """Mean by the swept value, in the band from the 5 % to the 95 % quantile over draws."""
    width = NARROW if narrow else WIDE
    figure = blank(width, 300.0)
    axes = axes_at(figure, 52.0, 14.0, width - 72.0, 226.0)
    x, texts = _places(one[name].to_numpy())
    mean, low, high = (one[f"headline_{q}"].to_numpy() for q in ("mean", "lower", "upper"))
    if texts:
        axes.errorbar(x, mean, yerr=(mean - low, high - mean), fmt="o", color=BLUE, ecolor="#a8c0d8", elinewidth=6.0)
        axes.set_xlim(-0.5, len(x) - 0.5)
    else:
        axes.fill_between(x, low, high, color=BLUE, alpha=0.16, lw=0.0)
        axes.plot(x, mean, color=BLUE, lw=2.0, marker="o" if len(x) <= 40 else None, ms=4.5)
        _scale(axes, x)
    _ticks(axes, x, texts, narrow)
    _percents(axes)
    axes.set_xlabel(names[name])
    return figure


def _maps(one: xr.Dataset, x: str, y: str, rest: list[str], names: dict[str, str], narrow: bool) -> Figure:
    """Heat maps with one scale of colour: one, or one for each combination of the other names."""
    combos = list(product(*(range(one.sizes[n]) for n in rest)))[:PANELS]
    columns = 1 if narrow or len(combos) == 1 else min(3, len(combos))
    rows = -(-len(combos) // columns)
    width = NARROW if narrow else WIDE
    left, head, foot = 84.0, 26.0 if rest else 10.0, 56.0
    each = (width - 10.0) / columns - left - 8.0
    tall = float(np.clip(one.sizes[y] * 30.0, 90.0, 320.0))
    figure = blank(width, rows * (head + tall + foot) + BAR)
    limits = float(one["headline_mean"].min()), float(one["headline_mean"].max())
    for n, combo in enumerate(combos):
        r, c = divmod(n, columns)
        axes = axes_at(figure, left + c * (each + left + 8.0), head + r * (head + tall + foot), each, tall)
        panel = one.isel(dict(zip(rest, combo, strict=True)))
        _map(axes, panel, x, y, names, limits, narrow or columns > 1)
        if rest:
            title = "\n".join(f"{names[k]}: {_text(one[k].to_numpy()[i])}" for k, i in zip(rest, combo, strict=True))
            axes.set_title(title if len(rest) == 1 else title.replace("\n", ", "), fontsize=10, loc="left", pad=5.0)
    _bar(axes_at(figure, left, rows * (head + tall + foot) + 4.0, min(320.0, each), 12.0), *limits)
    return figure


def _bar(axes: Axes, low: float, high: float) -> None:
    """Say which colour is how much."""
    levels = np.linspace(low, max(high, low + 1e-9), 128)
    span = levels[-1] - low
    axes.imshow(
        levels[None], cmap="Blues", aspect="auto", vmin=low - 0.15 * span, vmax=high + 0.25 * span,
        extent=(levels[0], levels[-1], 0.0, 1.0),
    )  # fmt: skip
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    digits = 0 if span > 0.03 else 1 if span > 0.003 else 2
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.{digits}f}%"))
    axes.spines[:].set_visible(False)


def _map(
    axes: Axes, panel: xr.Dataset, x: str, y: str, names: dict[str, str], limits: tuple[float, float], small: bool
) -> None:
    values = panel["headline_mean"].transpose(y, x).to_numpy()
    low, high = limits
    span = max(high - low, 1e-9)
    axes.imshow(values, cmap="Blues", aspect="auto", origin="lower", vmin=low - 0.15 * span, vmax=high + 0.25 * span)
    for name, axis, most in ((x, axes.xaxis, 4 if small else 10), (y, axes.yaxis, 8)):
        texts = [_text(v) for v in panel[name].to_numpy()]
        step = -(-len(texts) // most)
        axis.set_ticks(range(0, len(texts), step), texts[::step])
        axis.set_label_text(names[name], fontsize=10 if small else 12)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    room = axes.get_window_extent().width / values.shape[1]
    if values.size <= WRITTEN and room >= 34.0:
        for (j, i), value in np.ndenumerate(values):
            dark = (value - low) / span > 0.62
            axes.text(
                i, j, percent(value), ha="center", va="center", fontsize=10, color="white" if dark else colours.INK
            )


def _scatter(one: xr.Dataset, shown: list[str], names: dict[str, str], narrow: bool) -> Figure:
    """Each cell of a design against each swept name, its interval in grey; the line joins means of neighbours."""
    columns = 1 if narrow else min(3, len(shown))
    rows = -(-len(shown) // columns)
    width, left, tall, foot = NARROW if narrow else WIDE, 52.0, 200.0, 62.0
    each = (width - 8.0) / columns - left - 10.0
    figure = blank(width, 10.0 + rows * (tall + foot))
    mean, low, high = (one[f"headline_{q}"].to_numpy() for q in ("mean", "lower", "upper"))
    for n, name in enumerate(shown):
        r, c = divmod(n, columns)
        axes = axes_at(figure, left + c * (each + left + 10.0), 10.0 + r * (tall + foot), each, tall)
        x, texts = _places(one[name].to_numpy())
        axes.vlines(x, low, high, color=colours.RULE, lw=1.0 if len(x) <= 200 else 0.4)
        axes.plot(x, mean, "o", color=BLUE, ms=3.6 if len(x) <= 200 else 2.0, alpha=0.75, mew=0.0)
        axes.plot(*_trend(x, mean, bool(texts)), color="#cc6677", lw=2.0, marker="D" if texts else None)
        if texts:
            axes.set_xlim(-0.5, len(texts) - 0.5)
        else:
            _scale(axes, x)
        _ticks(axes, x, texts, narrow or columns > 1)
        _percents(axes)
        axes.set_xlabel(names[name], fontsize=11)
    return figure


def _trend(x: F64, y: F64, kinds: bool) -> tuple[F64, F64]:
    """Means of neighbouring cells, or of those of one kind: (bin,) each."""
    if kinds:
        at = np.unique(x)
        return at, np.array([y[x == a].mean() for a in at])
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, min(BINS, len(x)))
    return np.array([x[p].mean() for p in parts]), np.array([y[p].mean() for p in parts])


def _places(values: np.ndarray) -> tuple[F64, list[str]]:
    """Where values stand on an axis: numbers where they are, anything else side by side with its text."""
    if values.dtype.kind in "iuf":
        return values.astype(np.float64), []
    texts = [_text(v) for v in values]
    kinds = list(dict.fromkeys(texts)) if len(set(texts)) == len(texts) else sorted(set(texts))  # an axis has its order
    return np.array([float(kinds.index(t)) for t in texts]), kinds


def _scale(axes: Axes, x: F64) -> None:
    """Log scale where values are spread as on one: the middle is nearer to the geometric than to the usual mean."""
    low, high = x.min(), x.max()
    if (
        low > 0
        and high / low >= 10
        and abs(np.log(np.median(x) / np.sqrt(low * high))) < 0.5 * np.log((low + high) / 2 / np.sqrt(low * high))
    ):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1e3 else (1.0,)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())


def _ticks(axes: Axes, x: F64, texts: list[str], small: bool) -> None:
    if texts:
        axes.set_xticks(range(len(texts)), texts)
    elif axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(4 if small else 8, integer=bool((x == np.round(x)).all())))


def _percents(axes: Axes) -> None:
    axes.set_ylim(max(axes.get_ylim()[0], 0.0), min(axes.get_ylim()[1], 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    step = float(np.diff(axes.get_yticks()).min(initial=1.0))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.{0 if step >= 0.0099 else 1}f}%"))
    axes.yaxis.grid(True, color=colours.RULE, lw=0.6)
    axes.set_axisbelow(True)


def _text(value: Any) -> str:
    if isinstance(value, np.datetime64):
        return str(value)[:10]
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)
