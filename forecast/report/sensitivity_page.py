"""A sensitivity analysis as one HTML page that works offline, with its pictures and figures as files beside it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import xarray as xr
from markupsafe import Markup
from matplotlib.figure import Figure

from forecast.report import sensitivity_plots as plots
from forecast.report.html import HERE, Picture, environment
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
from forecast.report.svg import to_svg

PIXELS = 144  # an inch of a PNG: two for a point


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
        css=Markup((HERE / "templates" / "report.css").read_text(encoding="utf-8")),  # noqa: S704  # ours
        attrs=data.attrs,
        sections=sections,
        overview=_picture(folder, "overview", lambda narrow: plots.overview(found, 2 * top, narrow=narrow))
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
        _picture(folder, f"shares-{n}", lambda narrow: plots.shares(facts, narrow=narrow)) if facts else None,
        _picture(folder, f"tornado-{n}", lambda narrow: plots.tornado(numbers, part.mean, narrow=narrow))
        if numbers
        else None,
    )


def _picture(folder: Path, name: str, draw: Callable[[bool], Figure]) -> Picture:
    """Draw a picture twice for the page, and write the wide one as files."""
    svgs = dict(_drawn(name, draw))
    (folder / f"{name}.svg").write_text(_alone(svgs[False]), encoding="utf-8")
    draw(False).savefig(folder / f"{name}.png", dpi=PIXELS, facecolor="white")
    return Picture(*(Markup(svgs[narrow]) for narrow in (False, True)))  # noqa: S704  # matplotlib escaped the text


def _drawn(name: str, draw: Callable[[bool], Figure]) -> Iterator[tuple[bool, str]]:
    for narrow in (False, True):
        yield narrow, to_svg(draw(narrow), f"{name}-{narrow:d}")


def _alone(svg: str) -> str:
    """Give a picture that stands in a file of its own the font that the page would give it."""
    return svg.replace("var(--sans)", "'Segoe UI','Helvetica Neue',Arial,sans-serif")
