"""A sensitivity analysis as one HTML page that works offline, with its pictures and figures as files beside it."""

from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from forecast.report import sensitivity_plots as plots
from forecast.report.html import Picture, environment, style
from forecast.report.pages import picture
from forecast.report.sensitivity_rows import (
    Part,
    Row,
    decision_lines,
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
    (folder / "sensitivity.csv").write_text(table(data), encoding="utf-8", newline="")
    found = parts(data)
    sections = [_section(folder, n, part, top) for n, part in enumerate(found, 1)]
    usable = [p for p in found if not p.trouble]
    several = len(usable) > 1 and any(r.clear for p in usable for r in p.facts)
    page = environment()
    page.filters |= {"share": share, "plus_minus": plus_minus}
    text = page.get_template("sensitivity.html.j2").render(
        css=style(),
        attrs=data.attrs,
        sections=sections,
        overview=picture(folder, "overview", lambda narrow: plots.overview(found, 2 * top, narrow=narrow))
        if several
        else None,
        usable=usable,
        ranked=over_headlines(found, top),
        decided=decision_lines(data, top),
    )
    index = folder / "index.html"
    index.write_text(text, encoding="utf-8")
    return index


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
