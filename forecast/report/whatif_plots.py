"""Pictures of scenarios: the difference from the deal as it is, over time, for each outcome class and cause."""

import textwrap
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from forecast.report import colours
from forecast.report.plots import NARROW, STYLE, WIDE, axes_at, blank, decimal_years, year_axis
from forecast.report.whatif_rows import Part, error, move, moved_things, shown_label

CELLS = 6
GAIN, LOSS = "#4477aa", "#cc6677"


def over_time(data: xr.Dataset, number: int, kind: str, *, narrow: bool = False) -> Figure | None:
    """Draw the difference in each cause or outcome over time with its 90 % band; None where nothing moves.

    One cell each, the most moved first, on one scale. The dark band is the Monte Carlo error, two standard errors
    each way.
    """
    shown = moved_things(data, number, kind, CELLS)
    if not shown:
        return None
    x = decimal_years([d.item() for d in data["time"].to_numpy().astype("datetime64[D]")])
    low, high = _limits(data, number, kind, shown)
    with mpl.rc_context(STYLE):
        drawn = cells([str(data[f"{kind}_label"].to_numpy()[k]) for k in shown], x, narrow=narrow)
        for axes, k in zip(drawn, shown, strict=True):
            _cell(axes, data, number, kind, k, x)
            axes.set_ylim(low, high)
            _points_axis(axes)
        return figure_of(drawn[0])


def cells(labels: Sequence[str], x: np.ndarray, *, narrow: bool) -> list[Axes]:
    """Make a cell for each label, with an axis of years: three in a row, or one on a narrow page."""
    columns = 1 if narrow else min(3, len(labels))
    rows = -(-len(labels) // columns)
    total, left, gap, head, plot, foot = NARROW if narrow else WIDE, 46.0, 52.0, 40.0, 150.0, 30.0
    width = (total - left - 24.0 - gap * (columns - 1)) / columns
    figure, made = blank(total, rows * (head + plot + foot)), []
    for n, label in enumerate(labels):
        row, column = divmod(n, columns)
        axes = axes_at(figure, left + column * (width + gap), row * (head + plot + foot) + head, width, plot)
        year_axis(axes, x, width)
        title = textwrap.wrap(label, int(width / 6.6), max_lines=2, placeholder=" …")
        for line, text in enumerate(reversed(title)):
            axes.annotate(text, (0.0, 1.0), (0, 6 + 15 * line), xycoords="axes fraction",
                          textcoords="offset points", fontsize=12, fontweight="bold")  # fmt: skip
        made.append(axes)
    return made


def figure_of(axes: Axes) -> Figure:
    """Return the figure that axes stand in."""
    figure = axes.get_figure(root=True)
    if figure is None:
        raise AssertionError("axes without a figure")
    return figure


def _cell(axes: Axes, data: xr.Dataset, number: int, kind: str, k: int, x: np.ndarray) -> None:
    mean, lower, upper, mcse = (
        data[f"{kind}_difference_{s}"].to_numpy()[number, :, k] for s in ("mean", "lower", "upper", "mcse")
    )
    colour = GAIN if mean[np.argmax(np.abs(mean))] > 0 else LOSS
    axes.fill_between(x, lower, upper, color=colour, alpha=0.18, lw=0)
    axes.fill_between(x, mean - 2 * mcse, mean + 2 * mcse, color=colour, alpha=0.5, lw=0)
    axes.plot(x, mean, color=colour, lw=1.8)
    axes.axhline(0.0, color=colours.INK, lw=0.8)


def _limits(data: xr.Dataset, number: int, kind: str, shown: Sequence[int]) -> tuple[float, float]:
    low = float(data[f"{kind}_difference_lower"].to_numpy()[number][:, shown].min())
    high = float(data[f"{kind}_difference_upper"].to_numpy()[number][:, shown].max())
    room = 0.06 * max(high - low, 1e-3)
    return min(low, 0.0) - room, max(high, 0.0) + room


def _points_axis(axes: Axes) -> None:
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:+.3g}".replace("-", "−") if v else "0"))


def bars(part: Part, top: int, *, narrow: bool = False) -> Figure:
    """Draw the difference of each figure with its 90 % interval over draws."""
    rows = part.shown(top)
    with mpl.rc_context(STYLE):
        axes = named_rows([shown_label(r) for r in rows], [r.difference for r in rows], narrow=narrow)
        for y, r in enumerate(rows):
            colour = GAIN if r.difference > 0 else LOSS
            axes.plot([r.lower, r.upper], [y, y], color=colour, lw=7, alpha=0.3, solid_capstyle="butt")
            axes.plot([r.difference], [y], "o", color=colour, ms=6)
        axes.axvline(0.0, color=colours.INK, lw=1.0)
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:+.3g}".replace("-", "−") if v else "0"))
        return figure_of(axes)


def named_rows(labels: Sequence[str], moves: Sequence[float], *, narrow: bool) -> Axes:
    """Make axes with a row for each label, its name on the left and its difference in points on the right."""
    left, right, pitch = (152.0, 60.0, 34.0) if narrow else (400.0, 90.0, 30.0)
    size, total = (9, NARROW) if narrow else (12, WIDE)
    axes = axes_at(
        blank(total, 10.0 + pitch * len(labels) + 34.0), left, 10.0, total - left - right, pitch * len(labels)
    )
    for y, (label, moved) in enumerate(zip(labels, moves, strict=True)):
        wrapped = textwrap.wrap(label, 24 if narrow else 58, max_lines=2, placeholder=" …")
        for k, text in enumerate(wrapped):  # a text each, so that a page's other font keeps it in place
            down = (k - (len(wrapped) - 1) / 2.0) * 1.15 * size
            axes.annotate(text, (0.0, y), (-8.0, -down), xycoords=axes.get_yaxis_transform(),
                          textcoords="offset points", ha="right", va="center", fontsize=size,
                          annotation_clip=False)  # fmt: skip
        axes.annotate(move(moved), (1.0, y), (8, 0), xycoords=axes.get_yaxis_transform(),
                      textcoords="offset points", va="center", fontsize=11, fontweight="bold")  # fmt: skip
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    return axes


def errors_in_words(part: Part, top: int) -> str:
    """Say how large the Monte Carlo errors of the figures shown are."""
    worst = max((r.mcse for r in part.shown(top)), default=0.0)
    return "computed exactly" if worst == 0.0 else f"Monte Carlo standard errors up to {error(worst)} points"
