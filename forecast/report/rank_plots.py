"""Rank pictures of simulation-based calibration: ECDF difference with its envelope over a histogram."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr

from forecast.calibrate.sbc.ranks import KEPT, below, envelope, grid
from forecast.calibrate.sbc.verdict import Row
from forecast.types import I64

COLUMNS, BINS = 5, 20
BAND = 0.05  # of each panel's grey envelope; what fails is judged by the threshold of the whole command
_STYLE = {"font.size": 8.0, "text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False}
_LINE, _FAIL, _GREY = "#4477aa", "#cc3311", "#d9dde2"


def draw_ranks(file: Path, title: str, study: xr.Dataset, rows: Sequence[Row], threshold: float) -> Path:
    """Draw one picture of a kind of model, one panel a number, and keep it as a PNG file."""
    import matplotlib.pyplot as plt  # noqa: PLC0415  # heavy

    n = study.sizes["dataset"]
    lines = -(-len(rows) // COLUMNS)
    with mpl.rc_context(_STYLE):
        figure = plt.figure(figsize=(13.0, 1.05 + 2.1 * lines), layout="constrained")
        outer = figure.add_gridspec(lines, COLUMNS)
        for k, row in enumerate(rows):
            upper, lower = outer[k // COLUMNS, k % COLUMNS].subgridspec(2, 1, height_ratios=(2, 1), hspace=0.08)
            ranks = study["rank"].sel(quantity=row.quantity).to_numpy()
            _difference(figure.add_subplot(upper), ranks, row, failed=row.smallest < threshold)
            _histogram(figure.add_subplot(lower), ranks)
        figure.suptitle(
            f"{title}: {n:,} simulated data sets\nAbove, share of ranks below z less z, with the envelope that uniform "
            f"ranks leave in {BAND:.0%} of panels; below, the ranks",
            fontsize=9.0,
        )
        figure.savefig(file, dpi=100, metadata={"Software": None})
        plt.close(figure)
    return file


def _difference(axes: Any, ranks: I64, row: Row, *, failed: bool) -> None:
    n, z = len(ranks), grid()
    low, high = envelope(n, BAND)
    axes.fill_between(z, low - z, high - z, color=_GREY, linewidth=0)
    axes.plot(z, below(ranks) / n - z, color=_FAIL if failed else _LINE, linewidth=1.2)
    axes.axhline(0.0, color="#5b6570", linewidth=0.6)
    label = row.quantity if len(row.quantity) <= 34 else f"{row.quantity[:33]}…"
    axes.set_title(f"{'FAILS: ' if failed else ''}{label}\np = {row.smallest:.2g}", fontsize=8.0)
    axes.set_xlim(0.0, 1.0)
    axes.set_xticks([])


def _histogram(axes: Any, ranks: I64) -> None:
    counts = np.bincount(ranks * BINS // (KEPT + 1), minlength=BINS)
    axes.bar((np.arange(BINS) + 0.5) / BINS, counts, width=1.0 / BINS, color=_LINE, edgecolor="white", linewidth=0.4)
    axes.axhline(len(ranks) / BINS, color="#5b6570", linewidth=0.6)
    axes.set_xlim(0.0, 1.0)
    axes.set_xticks([0.0, 0.5, 1.0])
    axes.set_yticks([])
