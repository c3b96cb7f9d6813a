"""What the pages share that stand in a folder with their pictures beside them."""

from collections.abc import Callable
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from forecast.report.html import Picture
from forecast.report.svg import to_svg

PIXELS = 144  # an inch of a PNG: two for a point


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
