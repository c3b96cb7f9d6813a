"""Scenarios as one HTML page that works offline, with its pictures and figures as files beside it."""

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from forecast.report import whatif_plots as plots
from forecast.report.html import Picture
from forecast.report.pages import kept, picture
from forecast.report.pages import write_page as page
from forecast.report.whatif_rows import Part, between, error, move, parts, shown_label, table


@dataclass(frozen=True)
class Section:
    """One scenario of the page, with its pictures where anything moves."""

    part: Part
    errors: str
    bars: Picture
    outcomes: Picture | None
    causes: Picture | None


def write_page(folder: Path, data: xr.Dataset, top: int) -> Path:
    """Write index.html, whatif.csv and each picture as PNG and SVG; return the page.

    Parameters
    ----------
    folder
        Created if need be; files of these names in it are replaced.
    data
        From `forecast.scenarios.whatif`.
    top
        Causes and outcomes shown for each scenario beside the headlines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = {
        "attrs": data.attrs,
        "sections": [_section(folder, data, part, top) for part in parts(data)],
        "top": top,
        "between": between,
        "shown_label": shown_label,
    }
    return page(folder, "whatif", table(data), context, {"move": move, "error": error})


def _section(folder: Path, data: xr.Dataset, part: Part, top: int) -> Section:
    n = part.number + 1
    bars = picture(folder, f"difference-{n}", lambda narrow: plots.bars(part, top, narrow=narrow))
    outcomes, causes = (_curve(folder, data, part.number, kind) for kind in ("outcome", "cause"))
    return Section(part, plots.errors_in_words(part, top), bars, outcomes, causes)


def _curve(folder: Path, data: xr.Dataset, number: int, kind: str) -> Picture | None:
    wide, narrow = (plots.over_time(data, number, kind, narrow=n) for n in (False, True))
    return None if wide is None or narrow is None else kept(folder, f"{kind}s-{number + 1}", wide, narrow)
