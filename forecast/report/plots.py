"""Pictures of a forecast: each function takes the DataTree and returns a matplotlib Figure.

They need no display and no pyplot: `outcomes_over_time(tree).savefig("outcomes.png")` works as it
stands. A `narrow` picture is drawn for a page 400 pixels wide. One point is one pixel on the page.
"""

import textwrap
from collections.abc import Sequence
from datetime import date
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from forecast.report import colours, tables
from forecast.report.words import number, percent, percent_range
from forecast.types import F64

type Marks = Sequence[tuple[date, str]]
type Group = tuple[str, str, Sequence[str], Sequence[str]]

WIDE, NARROW = 1000.0, 372.0
MARK_ROW = 16.0
STYLE = {
    "font.family": ["DejaVu Sans"],
    "text.parse_math": False,  # a label may hold a dollar sign
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": colours.MUTED_INK,
    "axes.linewidth": 0.8,
    "axes.labelcolor": colours.INK,
    "text.color": colours.INK,
    "xtick.color": colours.MUTED_INK,
    "ytick.color": colours.MUTED_INK,
    "xtick.major.width": 0.8,
    "ytick.major.width": 0.8,
    "font.size": 12.0,
    "xtick.labelsize": 11.0,
    "ytick.labelsize": 11.0,
}


def blank(width: float, height: float) -> Figure:
    """Make a figure of so many pixels, with nothing in it."""
    return Figure(figsize=(width / 72.0, height / 72.0), dpi=72.0)


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Place axes by pixels from the upper left corner of the figure."""
    w, h = figure.get_size_inches() * 72.0
    return figure.add_axes((left / w, 1.0 - (top + height) / h, width / w, height / h))


def _size(axes: Axes) -> tuple[float, float]:
    """Width and height of axes in pixels."""
    box = axes.get_window_extent()
    return float(box.width), float(box.height)


def decimal_years(days: Sequence[date]) -> F64:
    """Turn dates into calendar years with fractions (2025-07-02 is 2025.5)."""
    start = [date(d.year, 1, 1) for d in days]
    length = [(date(d.year + 1, 1, 1) - s).days for d, s in zip(days, start, strict=True)]
    return np.array([d.year + (d - s).days / n for d, s, n in zip(days, start, length, strict=True)])


def _times(tree: xr.DataTree) -> F64:
    return decimal_years([d.item() for d in tree["time"].to_numpy().astype("datetime64[D]")])


def year_axis(axes: Axes, x: F64, room: float) -> None:
    """Label whole years, as many as fit in `room` pixels."""
    axes.set_xlim(x[0], x[-1])
    step = next((s for s in (1, 2, 5, 10, 20) if (x[-1] - x[0]) / s * 35.0 <= room), 50)
    axes.xaxis.set_major_locator(MultipleLocator(step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f}"))


def _percent_axis(axes: Axes) -> None:
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f}%"))


def spread_out(wanted: F64, gap: F64, lower: float, upper: float) -> F64:
    """Move label positions (increasing) as little as needed so that neighbours keep their distance.

    wanted (label,): positions asked for; gap (label,): height of each label; all labels end up between
    `lower` and `upper` if there is room. Neighbours that touch are moved as one block to their mean.
    """
    blocks: list[list[float]] = []  # [sum of (wanted - offset), total height, number of labels]
    for position, height in zip(wanted, gap, strict=True):
        blocks.append([position - height / 2.0, height, 1])
        while True:
            total, size, n = blocks[-1]
            start = min(max(total / n, lower), max(upper - size, lower))
            if len(blocks) == 1:
                break
            before_total, before_size, before_n = blocks[-2]
            before = min(max(before_total / before_n, lower), max(upper - before_size, lower))
            if before + before_size <= start + 1e-12:
                break
            merged = [before_total + total - n * before_size, before_size + size, before_n + n]
            blocks[-2:] = [merged]
    placed, k = np.empty(len(wanted)), 0
    for total, size, n in blocks:
        at = min(max(total / n, lower), max(upper - size, lower))
        for height in gap[k : k + int(n)]:
            placed[k] = at + height / 2.0
            at, k = at + height, k + 1
    return placed


def _place_marks(x: F64, marks: Marks, width: float, room: float, narrow: bool) -> list[tuple[str, int]]:
    """Give each mark its text and the lowest row in which that clears the one to its left.

    x: positions in years; `width` pixels of axes and `room` more to their right. Only the number
    is written when narrow, or where labels would need more than four rows. 7 pixels a character.
    """
    span = (x[0], x[-1])
    pixels = (decimal_years([d for d, _ in marks]) - span[0]) / (span[1] - span[0]) * width
    numbers = [str(i + 1) for i in range(len(marks))]
    full = [f"{n}  {label}" for n, (_, label) in zip(numbers, marks, strict=True)]
    rows: list[int] = []
    for texts in (numbers,) if narrow else (full, numbers):
        ends: list[float] = []
        rows = []
        for position, text in zip(pixels, texts, strict=True):
            size = 7.0 * len(text) + 12.0
            row = next((r for r, end in enumerate(ends) if end <= position), len(ends))
            fits = position + size <= width + room
            ends[row : row + 1] = [position + size if fits else width + room + 1.0]
            rows.append(row)
        if max(rows, default=0) < 4:
            return list(zip(texts, rows, strict=True))
    return list(zip(numbers, rows, strict=True))


def _calendar_marks(axes: Axes, marks: Marks, placed: Sequence[tuple[str, int]]) -> None:
    """Draw a thin line at each date, with its text above the axes in the row chosen for it."""
    height = _size(axes)[1]
    for position, (text, row) in zip(decimal_years([d for d, _ in marks]), placed, strict=True):
        level = 1.0 + (7.0 + MARK_ROW * row) / height
        axes.plot(
            [position, position], [0.0, level], transform=axes.get_xaxis_transform(), clip_on=False,
            color=colours.INK, lw=0.7, alpha=0.55, dashes=(3, 2), zorder=5,
        )  # fmt: skip
        axes.annotate(
            text, (position, level), (3, 0), xycoords=axes.get_xaxis_transform(),
            textcoords="offset points", fontsize=12, va="center", ha="left", annotation_clip=False,
        )  # fmt: skip


def shown_marks(tree: xr.DataTree, calendar: Marks) -> list[tuple[date, str]]:
    """Keep the calendar entries inside the window, in order of date."""
    first, last = tables.grid_date(tree, 0), tables.grid_date(tree, -1)
    return sorted((d, label[:1].upper() + label[1:]) for d, label in calendar if first <= d <= last)


def outcomes_over_time(tree: xr.DataTree, calendar: Marks = (), *, narrow: bool = False) -> Figure:
    """Stack the probabilities of the outcome classes over time, first class at the bottom.

    At each date they add up to 100%. `calendar` gives dates to mark. When narrow, classes are not
    labelled in the picture: the table under it carries their colours.
    """
    with mpl.rc_context(STYLE):
        marks = shown_marks(tree, calendar)
        named = tables.labels(tree, "outcome")
        shade = colours.outcome_colours(list(named), list(tables.labels(tree, "cause")))
        x, mean = _times(tree), tree["summary"]["outcome_mean"].transpose("outcome", "time").to_numpy()
        right, plot = (12.0, 270.0) if narrow else (362.0, 400.0)
        width = (NARROW if narrow else WIDE) - 46.0 - right
        placed = _place_marks(x, marks, width, right, narrow)
        top = 10.0 + MARK_ROW * (1 + max((row for _, row in placed), default=-1))
        figure = blank(NARROW if narrow else WIDE, top + plot + 28.0)
        axes = axes_at(figure, 46.0, top, width, plot)
        axes.stackplot(x, mean, colors=list(shade.values()), ec="white", lw=0.7)
        axes.set_ylim(0.0, 1.0)
        year_axis(axes, x, width)
        _percent_axis(axes)
        if marks:
            _calendar_marks(axes, marks, placed)
        if not narrow:
            _outcome_labels(axes, mean[:, -1], list(named.values()), list(shade.values()))
        return figure


def _outcome_labels(axes: Axes, at_end: F64, texts: Sequence[str], shade: Sequence[str]) -> None:
    """Name each class at the right edge, its share at the horizon first, joined by a leader."""
    middle = np.cumsum(at_end) - at_end / 2.0
    wrapped = [textwrap.fill(t, 40) for t in texts]
    pixel = 1.0 / _size(axes)[1]
    gap = np.array([(5.0 + 14.5 * (1 + t.count("\n"))) * pixel for t in wrapped])
    placed = spread_out(middle, gap, 0.0, 1.0)
    to_axes = axes.get_yaxis_transform()
    for y, target, share, text, colour in zip(middle, placed, at_end, wrapped, shade, strict=True):
        axes.plot(
            [1.0, 1.016, 1.028], [y, target, target], transform=to_axes, clip_on=False,
            color=colour, lw=2.0, solid_capstyle="butt",
        )  # fmt: skip
        axes.text(1.085, target, percent(float(share)), transform=to_axes, va="center", ha="right",
                  fontsize=12, fontweight="bold")  # fmt: skip
        axes.text(1.095, target, text, transform=to_axes, va="center", fontsize=12, linespacing=1.15)


def incidence_by_cause(tree: xr.DataTree, *, narrow: bool = False) -> Figure:
    """Draw the cumulative incidence of each cause with its 90% band over draws, on one common scale.

    Most probable cause first. The band holds what is not known (draws), not what chance decides.
    """
    with mpl.rc_context(STYLE):
        named = tables.labels(tree, "cause")
        shade = colours.cause_colours(list(named))
        x, summary = _times(tree), tree["summary"]
        mean, lower, upper = (
            summary[f"cause_{s}"].transpose("cause", "time").to_numpy() for s in ("mean", "lower", "upper")
        )
        columns, cell, high = (2, 172.0, 96.0) if narrow else (3, 306.0, 118.0)
        rows = -(-len(named) // columns)
        titles = {
            name: textwrap.wrap(label, 25 if narrow else 45, max_lines=2, placeholder=" …")
            for name, label in named.items()
        }
        title_height = 26.0 + 15.0 * max(len(t) for t in titles.values())
        pitch = high + title_height + 26.0
        figure = blank(NARROW if narrow else WIDE, rows * pitch + 4.0)
        ceiling = max(float(upper.max()), 0.01) * 1.04
        for place, k in enumerate(np.argsort(-mean[:, -1], kind="stable")):
            row, column = divmod(place, columns)
            gutter = (figure.get_size_inches()[0] * 72.0 - columns * cell) / max(columns - 1, 1)
            left = column * (cell + gutter) + 36.0
            top = row * pitch + title_height
            axes = axes_at(figure, left, top, cell - 54.0, high)
            name = list(named)[k]
            colour = shade[name]
            axes.fill_between(x, lower[k], upper[k], color=colour, alpha=0.28, lw=0)
            axes.plot(x, mean[k], color=colour, lw=2.2, solid_capstyle="round")
            _common_scale(axes, x, ceiling, (cell - 54.0) * 0.8)
            figures = f"{percent(mean[k, -1])}  ({percent_range(lower[k, -1], upper[k, -1])})"
            if mean[k, -1] == 0.0:
                figures = "never" if tables.is_exact(tree) else f"not seen in {tree.attrs['paths']:,} paths"
            _cell_title(axes, titles[name], figures)
        return figure


def _common_scale(axes: Axes, x: F64, ceiling: float, room: float) -> None:
    """Give small axes the scale that all of them share."""
    axes.set_ylim(0.0, ceiling)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.grid(True, color=colours.RULE, lw=0.6)
    axes.set_axisbelow(True)
    year_axis(axes, x, room)
    _percent_axis(axes)


def _cell_title(axes: Axes, lines: Sequence[str], figures: str) -> None:
    """Write title and figures above small axes, starting left of the axis labels."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom", "fontsize": 12}
    axes.annotate("\n".join(lines), (0, 1), (-34, 20), fontweight="bold", linespacing=1.15, **place)
    axes.annotate(figures, (0, 1), (-34, 4), color=colours.MUTED_INK, **place)


def transfers_over_time(tree: xr.DataTree, group: Group, *, narrow: bool = False) -> Figure:
    """Stack what the gainers gain (above zero) and the losers lose (below), mean over all paths.

    `group` is (title, unit, ids of losers, ids of gainers); amounts add up from the as-of date.
    """
    with mpl.rc_context(STYLE):
        _, unit, *ids = group
        named = tables.labels(tree, "consequence")
        order = list(named)
        mean = tree["consequence_amount"].mean("draw").transpose("consequence", "time").to_numpy()
        x, stacks = _times(tree), []
        for side in ids:
            found = tables.sides(named, side)
            total = {s: sum(mean[order.index(i)] for i in by.values()) for s, by in found.items()}
            stacks.append(dict(sorted(total.items(), key=lambda item: -abs(item[1][-1]))))
        losses, gains = stacks
        shade = colours.consequence_colours(list(losses), list(gains))
        right, plot = (12.0, 230.0) if narrow else (250.0, 300.0)
        left = 66.0
        width = (NARROW if narrow else WIDE) - left - right
        figure = blank(NARROW if narrow else WIDE, plot + 54.0)
        axes = axes_at(figure, left, 26.0, width, plot)
        for curves in stacks:
            stack = np.array(list(curves.values())).reshape(-1, len(x))
            axes.stackplot(x, stack, colors=[shade[s] for s in curves], ec="white", lw=0.7)
        axes.autoscale(axis="y", tight=False)
        for curves in stacks if not narrow else ():
            at_end = np.array([c[-1] for c in curves.values()])
            _transfer_labels(axes, at_end, list(curves), [shade[s] for s in curves])
        axes.axhline(0.0, color=colours.INK, lw=0.9)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.grid(True, color=colours.RULE, lw=0.6)
        axes.set_axisbelow(True)
        axes.annotate(unit, (0, 1), (-left + 2, 10), xycoords="axes fraction", textcoords="offset points",
                      fontsize=12, color=colours.MUTED_INK)  # fmt: skip
        year_axis(axes, x, width)
        return figure


def _transfer_labels(axes: Axes, at_end: F64, texts: Sequence[str], shade: Sequence[str]) -> None:
    """Name each band at the right edge."""
    middle = np.cumsum(at_end) - at_end / 2.0
    order = np.argsort(middle)
    low, high = axes.get_ylim()
    gap = np.full(len(texts), 17.0 / _size(axes)[1] * (high - low))
    placed = spread_out(middle[order], gap, low, high)
    for target, k in zip(placed, order, strict=True):
        axes.plot([1.0, 1.016, 1.028], [middle[k], target, target], transform=axes.get_yaxis_transform(),
                  clip_on=False, color=shade[k], lw=2.0, solid_capstyle="butt")  # fmt: skip
        axes.text(1.036, target, texts[k], transform=axes.get_yaxis_transform(), va="center", fontsize=12)
