"""Pictures of a condition: probabilities with it and in the forecast, and outcomes and causes over time."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from forecast.report import colours
from forecast.report.given_rows import Row, moved_things
from forecast.report.plots import STYLE, decimal_years
from forecast.report.whatif_plots import CELLS, GAIN, LOSS, cells, figure_of, named_rows

PLAIN = "#8a949e"


def bars(rows: Sequence[Row], *, narrow: bool = False) -> Figure:
    """Draw each figure in the forecast (ring) and given that it so happens (dot, with its interval over draws)."""
    with mpl.rc_context(STYLE):
        axes = named_rows([r.shown_label for r in rows], [r.difference for r in rows], narrow=narrow)
        for y, r in enumerate(rows):
            colour = GAIN if r.difference > 0 else LOSS
            axes.plot([r.lower, r.upper], [y, y], color=colour, lw=7, alpha=0.3, solid_capstyle="butt")
            axes.plot([r.forecast, r.given], [y, y], color=PLAIN, lw=1.0, zorder=2)
            axes.plot([r.forecast], [y], "o", mfc="white", mec=colours.INK, ms=6, zorder=3, clip_on=False)
            axes.plot([r.given], [y], "o", color=colour, ms=6, zorder=3, clip_on=False)
        axes.set_xlim(0.0, max(0.05, *(max(r.upper, r.forecast) * 1.03 for r in rows)))
        axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.3g}%"))
        return figure_of(axes)


def over_time(data: xr.Dataset, kind: str, *, narrow: bool = False) -> Figure | None:
    """Draw each cause or outcome over time, with it and in the forecast; None where nothing differs."""
    shown = moved_things(data, kind, CELLS)
    if not shown:
        return None
    x = decimal_years([d.item() for d in data["time"].to_numpy().astype("datetime64[D]")])
    plain, mean, lower, upper = (
        data[f"{kind}_{n}"].to_numpy()[:, shown] for n in ("forecast", "given_mean", "given_lower", "given_upper")
    )
    labels = [str(data[f"{kind}_label"].to_numpy()[k]) for k in shown]
    with mpl.rc_context(STYLE):
        drawn = cells(labels, x, narrow=narrow)
        for n, axes in enumerate(drawn):
            _cell(axes, x, plain[:, n], mean[:, n], lower[:, n], upper[:, n])
            axes.set_ylim(0.0, 1.05 * max(float(upper.max()), float(plain.max()), 0.01))
        return figure_of(drawn[0])


def _cell(axes: Axes, x: np.ndarray, plain: np.ndarray, mean: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
    change = mean - plain
    colour = GAIN if change[np.argmax(np.abs(change))] > 0 else LOSS
    axes.fill_between(x, lower, upper, color=colour, alpha=0.18, lw=0)
    axes.plot(x, plain, color=PLAIN, lw=1.8)
    axes.plot(x, mean, color=colour, lw=1.8)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.3g}%"))
