"""From a matplotlib Figure to SVG that can stand in a page."""

import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure


def to_svg(figure: Figure, name: str) -> str:
    """Return `figure` as one <svg> element: real text in the page's font, ids prefixed with `name`.

    The same figure gives the same bytes. Text written by matplotlib is escaped by it.
    """
    settings = {"svg.fonttype": "none", "svg.hashsalt": name}
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    out = io.StringIO()
    with mpl.rc_context(settings):
        figure.savefig(out, format="svg", transparent=True, metadata=metadata)
    text = out.getvalue()
    text = text[text.index("<svg ") :]
    # Its one style rule would reach the whole page, which has the rule for its pictures instead.
    text = re.sub(r"<style.*?</style>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r' id="([^"]+)"', rf' id="{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    # One font for page and pictures; the layout was made with a wider one, so nothing can overlap.
    return re.sub(r"('DejaVu Sans'[^;\"]*)", "var(--sans)", text)
