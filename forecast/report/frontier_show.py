"""A frontier of packages for a terminal, as CSV, and as one picture."""

import csv
import io
import textwrap
from collections.abc import Iterator
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from forecast.ledger.cells import guarded
from forecast.report import colours
from forecast.report.plots import STYLE, WIDE, axes_at, blank
from forecast.report.words import percent, percent_range

LABELS = 12


def lines(data: xr.Dataset, top: int) -> Iterator[str]:
    """Yield the front, best accepted first; then who blocks how many packages."""
    a, n = data.attrs, data.sizes["package"]
    yield a["title"]
    yield f"{n:,} packages; accepted by all by {a['last_round']}, then in force {a['years']:g} years later\n"
    yield f"  {'accepted':>8} {'90 %':>9} {'lasts':>6} {'90 %':>9} {'on front':>8}  least willing, over what"
    front = data.isel(package=np.flatnonzero(data["on_front"].to_numpy()))
    front = front.sortby("accepted", ascending=False).isel(package=slice(0, top))
    for k in range(front.sizes["package"]):
        r = {str(v): front[v].to_numpy()[k] for v in front.variables}
        for_ = f", for {r['costs_it_most']}" if r["costs_it_most"] else ""
        yield (
            f"  {percent(r['accepted']):>8} {percent_range(r['accepted_lower'], r['accepted_upper']):>9} "
            f"{percent(r['lasts']):>6} {percent_range(r['lasts_lower'], r['lasts_upper']):>9} "
            f"{percent(r['membership']):>8}  {r['blocker']} ({percent(r['blocker_accepts'])}){for_}"
        )
        yield textwrap.fill(str(r["package"]), 110, initial_indent="      ", subsequent_indent="      ")
    yield "\nWho is the least willing, over all packages"
    who, count = np.unique(data["blocker"].to_numpy(), return_counts=True)
    for k in np.argsort(-count):
        yield f"  {who[k]}: {count[k]:,} of {n:,}"


def table(data: xr.Dataset) -> str:
    """Return every package as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [str(v) for v in data.variables]
    writer.writerow(names)
    for row in zip(*(data[v].to_numpy().tolist() for v in names), strict=True):
        writer.writerow([guarded(x) if isinstance(x, str) else x for x in row])
    return out.getvalue()


def picture(data: xr.Dataset) -> Figure:
    """Draw every package, intervals over draws as faint crosses, and the front with numbers that a list explains."""
    x, y = data["accepted"].to_numpy(), data["lasts"].to_numpy()
    front = np.flatnonzero(data["on_front"].to_numpy())
    front = front[np.argsort(-x[front])]
    with mpl.rc_context(STYLE):
        texts = [textwrap.wrap(str(data["package"].to_numpy()[k]), 52) for k in front[:LABELS]]
        height = max(420.0, 30.0 + sum(15.0 * len(t) + 7.0 for t in texts))
        figure = blank(WIDE, height + 60.0)
        axes = axes_at(figure, 60.0, 14.0, 530.0, height)
        strong = np.isin(np.arange(len(x)), front)
        crosses = strong if len(x) > 60 else np.ones(len(x), np.bool_)
        faint: dict[str, Any] = {"fmt": "none", "ecolor": "#4477aa", "elinewidth": 0.7, "alpha": 0.18}
        at = x[crosses], y[crosses]
        axes.errorbar(*at, xerr=_span(data, "accepted", x, crosses), **faint)
        axes.errorbar(*at, yerr=_span(data, "lasts", y, crosses), **faint)
        axes.plot(x, y, "o", ms=4, color="#9aa7b3", mec="none")
        axes.plot(x[front], y[front], "-o", color="#cc6677", lw=1.6, ms=6)
        place = 1.0
        for n, (k, wrapped) in enumerate(zip(front[:LABELS], texts, strict=True), 1):
            axes.annotate(str(n), (x[k], y[k]), (6, 5), textcoords="offset points", fontsize=11, fontweight="bold")
            axes.text(1.05, place, f"{n}", transform=axes.transAxes, fontsize=11, fontweight="bold", va="top")
            axes.text(1.09, place, "\n".join(wrapped), transform=axes.transAxes, fontsize=10.5, va="top",
                      color=colours.INK)  # fmt: skip
            place -= (15.0 * len(wrapped) + 7.0) / height
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f}%"))
        axes.set_xlim(0.0)
        axes.set_ylim(0.0)
        axes.set_xlabel(f"accepted by all by {data.attrs['last_round']}")
        axes.set_ylabel(f"in force {data.attrs['years']:g} years later, given that")
        return figure


def _span(data: xr.Dataset, name: str, v: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """How far an interval reaches to either side of the points that are shown."""
    low, high = (data[f"{name}_{end}"].to_numpy()[shown] for end in ("lower", "upper"))
    return np.stack([np.maximum(v[shown] - low, 0.0), np.maximum(high - v[shown], 0.0)])
