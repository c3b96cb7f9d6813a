"""Pictures of a sensitivity analysis: shares of variance, tornado, and facts by headlines.

Each function takes the rows of `sensitivity_rows` and returns a matplotlib Figure, wide or for a narrow page.
"""

import textwrap
from collections.abc import Sequence
from math import isnan

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from forecast.report import colours
from forecast.report.plots import NARROW, STYLE, WIDE, axes_at, blank
from forecast.report.sensitivity_rows import Part, Row, in_unit
from forecast.report.words import percent

FULL, ALONE = "#4477aa", "#cc6677"
LOW, HIGH = "#88a9c6", "#cc6677"
LOW_PAIR, HIGH_PAIR = "#2f5f8f", "#8f2f45"  # moved alone
PITCH = 34.0


def shown_facts(part: Part, top: int) -> tuple[Row, ...]:
    """Parameters worth a bar: those that show something, at most `top`."""
    return tuple(r for r in part.facts if r.clear)[:top]


def shown_numbers(part: Part, top: int) -> tuple[Row, ...]:
    """Single numbers worth a bar of the tornado, the widest first."""
    shown = [r for r in part.numbers if r.clear and not isnan(r.low)]
    return tuple(sorted(shown, key=lambda r: -abs(r.swing))[:top])


def shares(rows: Sequence[Row], *, narrow: bool = False) -> Figure:
    """Draw the share of variance that each parameter explains, with standard errors; below it the independent part."""
    with mpl.rc_context(STYLE):
        figure, axes = _frame(len(rows), narrow, bottom=50.0, right=70.0)
        at = np.arange(len(rows))
        for offset, values, errors, colour in (
            (-0.18, [r.first for r in rows], [r.first_error for r in rows], FULL),
            (0.18, [r.alone for r in rows], [r.alone_error for r in rows], ALONE),
        ):
            axes.barh(at + offset, np.maximum(values, 0.0), 0.34, color=colour)
            axes.errorbar(values, at + offset, xerr=errors, fmt="none", ecolor=colours.INK, elinewidth=1.1, capsize=2.5)
        _names(axes, rows, narrow)
        for y, r in zip(at, rows, strict=True):
            end = max(r.first + r.first_error, r.alone + r.alone_error)
            axes.annotate(percent(max(r.first, 0.0)), (end, y - 0.18), (6, 0), textcoords="offset points", va="center",
                          fontsize=11, fontweight="bold")  # fmt: skip
        axes.set_xlim(0.0)
        _percent_ticks(axes, 4 if narrow else 7)
        _legend(axes, narrow, [FULL, ALONE], ["with what goes with it", "by itself"])
        return figure


def tornado(rows: Sequence[Row], mean: float, *, narrow: bool = False) -> Figure:
    """Draw the headline at each number's 5 % and 95 % quantile, with standard errors, around its mean.

    Where pairs were simulated, there is a second bar below: this number moved alone, everything else at its draws.
    """
    pairs = any(r.paired for r in rows)
    with mpl.rc_context(STYLE):
        figure, axes = _frame(len(rows), narrow, bottom=68.0 if pairs else 50.0, right=14.0 if narrow else 70.0)
        ends: list[float] = []
        for y, r in enumerate(rows):
            at, height = (y - 0.17, 0.3) if r.paired else (float(y), 0.56)
            ends += _swing(axes, at, height, mean, (r.low, r.high), (r.low_error, r.high_error), (LOW, HIGH))
            if not narrow:
                _values(axes, at, mean, r)
            if r.paired:
                errors = (r.paired_low_error, r.paired_high_error)
                ends += _swing(axes, y + 0.17, 0.3, mean, (r.paired_low, r.paired_high), errors, (LOW_PAIR, HIGH_PAIR))
        axes.axvline(mean, color=colours.INK, lw=1.0)
        _names(axes, rows, narrow)
        room = 0.04 if narrow else 0.24
        span = max(ends) - min(ends)
        axes.set_xlim(min(ends) - room * span, max(ends) + room * span)
        _percent_ticks(axes, 4 if narrow else 7)
        texts = ["at its 5% quantile", "at its 95% quantile"]
        alone = ["5%, moved alone", "95%, moved alone"]
        shades = [LOW, LOW_PAIR, HIGH, HIGH_PAIR] if pairs else [LOW, HIGH]
        _legend(axes, narrow, shades, [texts[0], alone[0], texts[1], alone[1]] if pairs else texts)
        return figure


def _swing(
    axes: Axes,
    y: float,
    height: float,
    mean: float,
    ends: tuple[float, float],
    errors: tuple[float, float],
    shades: tuple[str, str],
) -> list[float]:
    """Draw one bar with its errors; return what it reaches."""
    for end, error, shade in zip(ends, errors, shades, strict=True):
        axes.barh(y, end - mean, height, left=mean, color=shade)
        axes.errorbar(end, y, xerr=error, fmt="none", ecolor=colours.INK, elinewidth=1.1, capsize=2.5)
    return [end + side * error for end, error in zip(ends, errors, strict=True) for side in (-1, 1)]


def _values(axes: Axes, y: float, mean: float, r: Row) -> None:
    """Write the quantiles beside the ends of a bar; both on one side stand one behind the other."""
    tips = [(r.low, r.low_error, r.at_low), (r.high, r.high_error, r.at_high)]
    sides = [-1 if end < mean else 1 for end, _, _ in tips]
    if sides[0] == sides[1]:
        far = max(tips, key=lambda t: abs(t[0] - mean))
        tips, sides = [far], sides[:1]
    for (end, error, value), side in zip(tips, sides, strict=True):
        axes.annotate(in_unit(value, r.unit), (end + side * error, y), (6 * side, 0), textcoords="offset points",
                      va="center", ha="right" if side < 0 else "left", fontsize=10,
                      color=colours.MUTED_INK)  # fmt: skip


def overview(found: Sequence[Part], top: int, *, narrow: bool = False) -> Figure:
    """Draw which parameter counts for which headline: one cell each, darker for more of the variance."""
    with mpl.rc_context(STYLE):
        usable = [p for p in found if not p.trouble]
        by_id = {p.label: {r.id: r for r in p.facts} for p in usable}
        order = sorted(usable[0].facts, key=lambda r: -sum(max(by_id[p.label][r.id].first, 0.0) for p in usable))
        rows = [r for r in order if any(by_id[p.label][r.id].clear for p in usable)][:top]
        left, right = (150.0, 8.0) if narrow else (320.0, 16.0)
        width, head = (NARROW if narrow else WIDE) - left - right, 34.0 if narrow else 66.0
        pitch = PITCH if narrow else 30.0
        figure = blank(NARROW if narrow else WIDE, head + pitch * len(rows) + 8.0)
        axes = axes_at(figure, left, head, width, pitch * len(rows))
        cells = [[by_id[p.label][r.id] for p in usable] for r in rows]
        values = np.array([[c.first if c.clear else 0.0 for c in row] for row in cells])
        axes.imshow(values, cmap="Blues", aspect="auto", vmin=0.0, vmax=max(values.max(initial=0.0) * 1.3, 0.01))
        for (y, x), value in np.ndenumerate(values):
            strong = value > 0.8 * values.max()
            axes.text(x, y, percent(value) if cells[y][x].clear else "·", ha="center", va="center",
                      fontsize=9 if narrow else 11, color="white" if strong else colours.INK)  # fmt: skip
        room = int(width / len(usable) / 6.8)
        texts = [str(n) if narrow else textwrap.fill(p.label, room) for n, p in enumerate(usable, 1)]
        axes.set_xticks(range(len(usable)), texts, fontsize=11)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        _names(axes, rows, narrow, invert=False)
        return figure


def _frame(n: int, narrow: bool, *, bottom: float, right: float) -> tuple[Figure, Axes]:
    left = 150.0 if narrow else 320.0
    width = (NARROW if narrow else WIDE) - left - right
    figure = blank(NARROW if narrow else WIDE, 10.0 + PITCH * n + bottom)
    return figure, axes_at(figure, left, 10.0, width, PITCH * n)


def _names(axes: Axes, rows: Sequence[Row], narrow: bool, *, invert: bool = True) -> None:
    """Name the bars on their left; each line is a text of its own, so that a page's other font keeps it in place."""
    size = 10 if narrow else 12
    axes.set_yticks([])
    for y, row in enumerate(rows):
        texts = textwrap.wrap(row.label, 24 if narrow else 48, max_lines=2, placeholder=" …")
        for k, text in enumerate(texts):
            down = (k - (len(texts) - 1) / 2.0) * 1.1 * size
            axes.annotate(
                text, (0.0, y), (-6.0, -down), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
                ha="right", va="center", fontsize=size, annotation_clip=False,
            )  # fmt: skip
    if invert:
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)


def _percent_ticks(axes: Axes, most: int) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
    step = float(np.diff(axes.get_xticks()).min(initial=1.0))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.{0 if step >= 0.0099 else 1}f}%"))
    axes.xaxis.grid(True, color=colours.RULE, lw=0.6)
    axes.set_axisbelow(True)


def _legend(axes: Axes, narrow: bool, shades: Sequence[str], texts: Sequence[str]) -> None:
    """Say what the colours mean, at the lower edge of the picture, under the ticks."""
    figure = axes.figure
    left = 0.0 if narrow else axes.get_position().x0
    axes.legend(
        [Patch(color=c) for c in shades], texts, loc="lower left", bbox_to_anchor=(left, 0.0),
        bbox_transform=figure.transFigure, ncols=2, frameon=False, fontsize=11, handlelength=1.0, borderaxespad=0.0,
        borderpad=0.2, columnspacing=1.2,
    )  # fmt: skip
