"""A frontier of packages for a terminal, as CSV, and as one picture."""

import csv
import io
import textwrap
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from forecast.analysis.frontier import SURE
from forecast.ledger.cells import guarded
from forecast.report import colours
from forecast.report.plots import NARROW, STYLE, WIDE, axes_at, blank
from forecast.report.words import percent, percent_range, points
from forecast.types import F64

LABELS = 12
CROSSED = 60  # packages up to which all have their intervals in the picture
BLUE, RED = "#4477aa", "#cc6677"


def lines(data: xr.Dataset, top: int) -> Iterator[str]:
    """Yield the front, best accepted first; how sure it is; then who blocks how many packages."""
    a, n = data.attrs, data.sizes["package"]
    yield a["title"]
    yield f"{n:,} packages: signed by {a['last_round']}, and then in force {a['years']:g} years after the signature\n"
    yield f"  accepted {'90 %':>9} {'±':>5}  lasts {'90 %':>9} {'±':>5} on front {'±':>4}  least willing"
    front = data.isel(package=np.flatnonzero(data["on_front"].to_numpy()))
    front = front.sortby("accepted", ascending=False)
    for k in range(min(front.sizes["package"], top)):
        yield from _row({str(v): front[v].to_numpy()[k] for v in front.variables if front[v].dims == ("package",)})
    if front.sizes["package"] > top:
        yield f"  and {front.sizes['package'] - top:,} more on the front (--top)"
    yield ""
    for line in sureness(data):
        yield from textwrap.wrap(line, 116)
    yield "\nWho is the least willing, over all packages"
    who, count = np.unique(data["blocker"].to_numpy(), return_counts=True)
    for k in np.argsort(-count):
        yield f"  {who[k]}: {count[k]:,} of {n:,}"


def _row(r: dict[str, Any]) -> Iterator[str]:
    for_ = f", for {r['costs_it_most']}" if r["costs_it_most"] else ""
    yield (
        f"  {percent(r['accepted']):>8} {percent_range(r['accepted_lower'], r['accepted_upper']):>9} "
        f"{points(r['accepted_mcse']):>5} {percent(r['lasts']):>6} "
        f"{percent_range(r['lasts_lower'], r['lasts_upper']):>9} {points(r['lasts_mcse']):>5} "
        f"{percent(r['membership']):>8} {100 * r['membership_luck']:>4.0f}  "
        f"{r['blocker']} ({percent(r['blocker_accepts'])}){for_}"
    )
    yield textwrap.fill(str(r["package"]), 110, initial_indent="      ", subsequent_indent="      ")


def sureness(data: xr.Dataset) -> Iterator[str]:
    """Say what the front rests on, and how sure it is."""
    a, paths = data.attrs, data["paths"].to_numpy()
    chance, front = data["on_front_chance"].to_numpy(), data["on_front"].to_numpy()
    yield (
        "“90 %” is the interval over draws of the parameters, “on front” the share of draws in which the package is on "
        "the front; ± is what the luck of the paths leaves, in points."
    )
    if not paths.any():
        yield "Everything was computed, not simulated: the luck of paths has no part in it."
        return
    some = paths[front & (paths > 0)]
    rests = f"{some.min():,} to {some.max():,}" if some.size and some.min() < some.max() else f"{paths[front].max():,}"
    unsure = int(((chance > 1.0 - SURE) & (chance < SURE)).sum())
    also = int(((chance > 1.0 - SURE) & ~front).sum())
    verdict = {
        "stable": "stable: with other luck the same packages would be on it",
        "budget spent": f"not settled when the budget of {a['budget']:,} paths was spent (--budget)",
    }.get(str(a["stopped"]), "not settled with the most paths that a package may have")
    yield (
        f"The front is {verdict}. {a['rounds']} rounds; those on the front rest on {rests} weighted paths each, the "
        f"others on {paths.min():,} or more."
    )
    if unsure:
        yield f"{unsure} packages may be on the front or not by the luck of the paths; {also} of them are not shown."


def table(data: xr.Dataset) -> str:
    """Return every package as CSV: its clauses and terms, its figures, and each party's acceptance."""
    columns: dict[str, list[Any]] = {"package": data["package"].to_numpy().tolist()}
    for name, dim in (("included", "clause"), ("value", "term"), ("accepts", "party")):
        prefix = "accepts_" if name == "accepts" else ""
        columns |= {f"{prefix}{k}": data[name].to_numpy()[:, n].tolist() for n, k in enumerate(data[dim].to_numpy())}
    columns |= {str(v): data[v].to_numpy().tolist() for v in data.data_vars if data[v].dims == ("package",)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([guarded(name) for name in columns])
    for row in zip(*columns.values(), strict=True):
        writer.writerow([guarded(x) if isinstance(x, str) else x for x in row])
    return out.getvalue()


def picture(data: xr.Dataset, *, narrow: bool = False) -> Figure:
    """Draw every package, intervals over draws as faint crosses, and the front with numbers that a list explains.

    The list stands beside the picture, or under it if `narrow`, for a page 400 pixels wide.
    """
    x, y = data["accepted"].to_numpy(), data["lasts"].to_numpy()
    front = np.flatnonzero(data["on_front"].to_numpy())
    front = front[np.argsort(-x[front])]
    names = _listed([str(data["package"].to_numpy()[k]) for k in front], 50 if narrow else 54)
    listed = sum(LINE * len(t) + GAP for t in names)
    with mpl.rc_context(STYLE):
        plot, width = (300.0, NARROW - 72.0) if narrow else (max(420.0, listed), 560.0)
        figure = blank(NARROW if narrow else WIDE, plot + 64.0 + (listed + 10.0 if narrow else 0.0))
        axes = axes_at(figure, 58.0, 14.0, width, plot)
        strong = np.isin(np.arange(len(x)), front)
        _crosses(axes, data, x, y, strong if len(x) > CROSSED else np.ones(len(x), np.bool_))
        axes.plot(x[~strong], y[~strong], "o", ms=4, color="#9aa7b3", mec="none", alpha=0.8)
        axes.plot(x[front], y[front], "-o", color=RED, lw=1.6, ms=6)
        _percents(axes)
        axes.set_xlabel(f"signed by {data.attrs['last_round']}")
        axes.set_ylabel(f"in force {data.attrs['years']:g} years after, if signed")
        _numbers(axes, x[front[:LABELS]], y[front[:LABELS]])
        _list(figure, names, (10.0, plot + 66.0) if narrow else (650.0, 16.0), 10.0 if narrow else 10.5)
        return figure


LINE, GAP = 14.0, 7.0  # pixels of a line of the list, and between its entries


def _listed(packages: list[str], columns: int) -> list[list[str]]:
    """Wrap the packages that have a number; a last entry says how many more there are."""
    texts = [textwrap.wrap(t, columns, max_lines=6, placeholder=" …") for t in packages[:LABELS]]
    more = len(packages) - LABELS
    return [*texts, [f"and {more:,} more on the line"]] if more > 0 else texts


def _crosses(axes: Axes, data: xr.Dataset, x: F64, y: F64, shown: np.ndarray) -> None:
    faint: dict[str, Any] = {"fmt": "none", "ecolor": BLUE, "elinewidth": 0.7, "alpha": 0.18}
    axes.errorbar(x[shown], y[shown], xerr=_span(data, "accepted", x, shown), **faint)
    axes.errorbar(x[shown], y[shown], yerr=_span(data, "lasts", y, shown), **faint)


def _percents(axes: Axes) -> None:
    for axis, low in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        digits = 0 if low[1] > 0.03 else 1
        axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda v, _, d=digits: f"{100 * v:.{d}f}%"))
    axes.set_xlim(0.0, max(axes.get_xlim()[1], 1e-3))
    axes.set_ylim(0.0, max(axes.get_ylim()[1], 1e-3))


def _numbers(axes: Axes, x: F64, y: F64) -> None:
    """Write the number of each point beside it; one that would stand on another is left out, but not the first."""
    taken: list[np.ndarray] = []
    for n, at in enumerate(axes.transData.transform(np.column_stack([x, y])), 1):
        spots = [(7.0, 5.0), (-15.0, -13.0), (7.0, -13.0), (-15.0, 5.0)]
        free = [s for s in spots if all(np.abs(at + s - t).max() > 12.0 for t in taken)]
        if free:
            taken.append(at + free[0])
            axes.annotate(str(n), (x[n - 1], y[n - 1]), free[0], textcoords="offset points", fontsize=11, weight="bold")


def _list(figure: Figure, texts: list[list[str]], place: tuple[float, float], size: float) -> None:
    """Write the list of packages; its upper left corner is so many pixels from that of the figure."""
    w, h = figure.get_size_inches() * 72.0
    left, top = place
    for n, wrapped in enumerate(texts, 1):
        if n <= LABELS:
            figure.text(left / w, 1.0 - top / h, f"{n}", fontsize=11, fontweight="bold", va="top")
        for k, line in enumerate(wrapped):
            figure.text((left + 22.0) / w, 1.0 - (top + LINE * k) / h, line, fontsize=size, va="top", color=colours.INK)
        top += LINE * len(wrapped) + GAP


def _span(data: xr.Dataset, name: str, v: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """How far an interval reaches to either side of the points that are shown."""
    low, high = (data[f"{name}_{end}"].to_numpy()[shown] for end in ("lower", "upper"))
    return np.stack([np.maximum(v[shown] - low, 0.0), np.maximum(high - v[shown], 0.0)])
