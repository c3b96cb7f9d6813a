"""Scenarios as one HTML page that works offline, with its pictures and figures as files beside it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import xarray as xr
from markupsafe import Markup
from matplotlib.figure import Figure

from forecast.report import whatif_plots as plots
from forecast.report.html import HERE, Picture, environment
from forecast.report.sensitivity_page import PIXELS, _alone
from forecast.report.svg import to_svg
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
    (folder / "whatif.csv").write_text(table(data), encoding="utf-8", newline="")
    page = environment()
    page.filters |= {"move": move, "error": error}
    page.globals |= {"between": between, "shown_label": shown_label}
    text = page.get_template("whatif.html.j2").render(
        css=Markup((HERE / "templates" / "report.css").read_text(encoding="utf-8")),  # noqa: S704  # ours
        attrs=data.attrs,
        sections=[_section(folder, data, part, top) for part in parts(data)],
        top=top,
    )
    index = folder / "index.html"
    index.write_text(text, encoding="utf-8")
    return index


def _section(folder: Path, data: xr.Dataset, part: Part, top: int) -> Section:
    n = part.number + 1
    curves = [
        picture(folder, f"{kind}s-{n}", partial(_curve, data, part.number, kind)) for kind in ("outcome", "cause")
    ]
    drawn = picture(folder, f"difference-{n}", lambda narrow: plots.bars(part, top, narrow=narrow))
    if drawn is None:
        raise AssertionError("bars are always drawn")
    return Section(part, plots.errors_in_words(part, top), drawn, *curves)


def _curve(data: xr.Dataset, number: int, kind: str, narrow: bool) -> Figure | None:
    return plots.over_time(data, number, kind, narrow=narrow)


def picture(folder: Path, name: str, draw: Callable[[bool], Figure | None]) -> Picture | None:
    """Draw a picture twice for a page, and write the wide one as files; None where there is nothing to draw."""
    svgs = []
    for narrow in (False, True):
        figure = draw(narrow)
        if figure is None:
            return None
        svgs.append(to_svg(figure, f"{name}-{narrow:d}"))
        if not narrow:
            figure.savefig(folder / f"{name}.png", dpi=PIXELS, facecolor="white")
    (folder / f"{name}.svg").write_text(_alone(svgs[0]), encoding="utf-8")
    return Picture(*map(Markup, svgs))  # matplotlib escaped the text
