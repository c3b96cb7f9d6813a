"""A sensitivity analysis as one HTML page that works offline, with its pictures and figures as files beside it."""

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from forecast.report import sensitivity_plots as plots
from forecast.report.html import Picture
from forecast.report.pages import picture
from forecast.report.pages import write_page as page
from forecast.report.sensitivity_rows import (
    Part,
    Row,
    decision_lines,
    how_simulated,
    next_facts,
    over_headlines,
    parts,
    plus_minus,
    share,
)
from forecast.report.sensitivity_text import table


@dataclass(frozen=True)
class Section:
    """One headline of the page: its rows and sentences, and its pictures where there is anything to draw."""

    part: Part
    rows: tuple[Row, ...]
    groups: tuple[Row, ...]
    facts: tuple[str, ...]
    shares: Picture | None
    tornado: Picture | None


def write_page(folder: Path, data: xr.Dataset, top: int) -> Path:
    """Write index.html, sensitivity.csv and each picture as PNG and SVG; return the page.

    Parameters
    ----------
    folder
        Created if need be; files of these names in it are replaced.
    data
        From `forecast.analysis.sensitivity`.
    top
        Parameters shown for each headline.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = parts(data)
    usable = [p for p in found if not p.trouble]
    several = len(usable) > 1 and any(r.clear for p in usable for r in p.facts)
    context = {
        "attrs": data.attrs,
        "simulated": how_simulated(data),
        "sections": [_section(folder, n, part, top) for n, part in enumerate(found, 1)],
        "overview": picture(folder, "overview", lambda narrow: plots.overview(found, 2 * top, narrow=narrow))
        if several
        else None,
        "usable": usable,
        "ranked": over_headlines(found, top),
        "decided": decision_lines(data, top),
    }
    return page(folder, "sensitivity", table(data), context, {"share": share, "plus_minus": plus_minus})


def _section(folder: Path, n: int, part: Part, top: int) -> Section:
    facts, numbers = plots.shown_facts(part, top), plots.shown_numbers(part, top)
    return Section(
        part,
        facts,
        tuple(r for r in part.groups if r.clear),
        tuple(next_facts(part, 3)),
        picture(folder, f"shares-{n}", lambda narrow: plots.shares(facts, narrow=narrow)) if facts else None,
        picture(folder, f"tornado-{n}", lambda narrow: plots.tornado(numbers, part.mean, narrow=narrow))
        if numbers
        else None,
    )
