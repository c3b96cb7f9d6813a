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
    with mpl.rc_context(STYLE):
        columns = 1 if narrow else min(3, len(shown))
        rows = -(-len(shown) // columns)
        total, left, gap, head, plot, foot = NARROW if narrow else WIDE, 46.0, 52.0, 40.0, 150.0, 30.0
        width = (total - left - 24.0 - gap * (columns - 1)) / columns
        figure = blank(total, rows * (head + plot + foot))
        x = decimal_years([d.item() for d in data["time"].to_numpy().astype("datetime64[D]")])
        low, high = _limits(data, number, kind, shown)
        for n, k in enumerate(shown):
            row, column = divmod(n, columns)
            top = row * (head + plot + foot) + head
            axes = axes_at(figure, left + column * (width + gap), top, width, plot)
            _cell(axes, data, number, kind, k, x)
            axes.set_ylim(low, high)
            year_axis(axes, x, width)
            _points_axis(axes)
            label = str(data[f"{kind}_label"].to_numpy()[k])
            title = textwrap.wrap(label, int(width / 6.6), max_lines=2, placeholder=" …")
            for line, text in enumerate(reversed(title)):
                axes.annotate(text, (0.0, 1.0), (0, 6 + 15 * line), xycoords="axes fraction",
                              textcoords="offset points", fontsize=12, fontweight="bold")  # fmt: skip
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
        left, right, pitch = (152.0, 60.0, 34.0) if narrow else (400.0, 90.0, 30.0)
        total = NARROW if narrow else WIDE
        figure = blank(total, 10.0 + pitch * len(rows) + 34.0)
        axes = axes_at(figure, left, 10.0, total - left - right, pitch * len(rows))
        for y, r in enumerate(rows):
            colour = GAIN if r.difference > 0 else LOSS
            axes.plot([r.lower, r.upper], [y, y], color=colour, lw=7, alpha=0.3, solid_capstyle="butt")
            axes.plot([r.difference], [y], "o", color=colour, ms=6)
            wrapped = textwrap.wrap(shown_label(r), 24 if narrow else 58, max_lines=2, placeholder=" …")
            axes.annotate("\n".join(wrapped), (0.0, y), (-8, 0), xycoords=axes.get_yaxis_transform(),
                          textcoords="offset points", ha="right", va="center",
                          fontsize=9 if narrow else 12)  # fmt: skip
            axes.annotate(move(r.difference), (1.0, y), (8, 0), xycoords=axes.get_yaxis_transform(),
                          textcoords="offset points", va="center", fontsize=11, fontweight="bold")  # fmt: skip
        axes.axvline(0.0, color=colours.INK, lw=1.0)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:+.3g}".replace("-", "−") if v else "0"))
        return figure


def errors_in_words(part: Part, top: int) -> str:
    """Say how large the Monte Carlo errors of the figures shown are."""
    worst = max((r.mcse for r in part.shown(top)), default=0.0)
    return "computed exactly" if worst == 0.0 else f"Monte Carlo standard errors up to {error(worst)} points"
