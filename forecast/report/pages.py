"""What the pages share that stand in a folder with their pictures beside them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from forecast.report.html import Picture, environment, style
from forecast.report.svg import to_svg

PIXELS = 144  # an inch of a PNG: two for a point


def write_page(
    folder: Path, name: str, table: str, context: Mapping[str, Any], filters: Mapping[str, Callable[..., str]]
) -> Path:
    """Write index.html and `name`.csv into a folder that is there; return the page.

    Parameters
    ----------
    folder
        Files of these names in it are replaced.
    name
        Of the template (`name`.html.j2) and of the CSV.
    table
        Text of the CSV.
    context, filters
        What the template asks for, beside the style sheet.
    """
    (folder / f"{name}.csv").write_text(table, encoding="utf-8", newline="")
    page = environment()
    page.filters |= dict(filters)
    text = page.get_template(f"{name}.html.j2").render(css=style(), **context)
    index = folder / "index.html"
    index.write_text(text, encoding="utf-8")
    return index


def picture(folder: Path, name: str, draw: Callable[[bool], Figure]) -> Picture:
    """Draw a picture for a page, wide and narrow, and write the wide one as PNG and SVG."""
    return kept(folder, name, draw(False), draw(True))


def kept(folder: Path, name: str, wide: Figure, narrow: Figure) -> Picture:
    """Take two drawings of one picture into a page, and write the wide one as PNG and SVG."""
    svgs = [to_svg(figure, f"{name}-{n:d}") for n, figure in enumerate((wide, narrow))]
    (folder / f"{name}.svg").write_text(_alone(svgs[0]), encoding="utf-8")
    wide.savefig(folder / f"{name}.png", dpi=PIXELS, facecolor="white")
    return Picture(*map(Markup, svgs))  # matplotlib escaped the text


def _alone(svg: str) -> str:
    """Give a picture that stands in a file of its own the font that the page would give it."""
    return svg.replace("var(--sans)", "'Segoe UI','Helvetica Neue',Arial,sans-serif")
