"""What is so given that something happens as one HTML page that works offline, with pictures and figures beside it."""

from pathlib import Path

import xarray as xr

from forecast.report import given_plots as plots
from forecast.report.given_rows import counts, rows, shown, table, that, told
from forecast.report.html import Picture
from forecast.report.pages import kept, picture
from forecast.report.pages import write_page as page
from forecast.report.whatif_rows import error, move

PARAMETERS = 12  # told of on the page


def write_page(folder: Path, data: xr.Dataset, top: int) -> Path:
    """Write index.html, given.csv and each picture as PNG and SVG; return the page.

    Parameters
    ----------
    folder
        Created if need be; files of these names in it are replaced.
    data
        From `forecast.conditions.given`.
    top
        Causes and outcomes shown beside the headlines.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = shown(rows(data), top)
    context = {
        "attrs": data.attrs,
        "that": that(data),
        "counts": counts(data),
        "rows": found,
        "bars": picture(folder, "given", lambda narrow: plots.bars(found, narrow=narrow)) if found else None,
        "outcomes": _curve(folder, data, "outcome"),
        "causes": _curve(folder, data, "cause"),
        "told": told(data, PARAMETERS),
    }
    return page(folder, "given", table(data), context, {"move": move, "error": error})


def _curve(folder: Path, data: xr.Dataset, kind: str) -> Picture | None:
    wide, narrow = (plots.over_time(data, kind, narrow=n) for n in (False, True))
    return None if wide is None or narrow is None else kept(folder, f"{kind}s", wide, narrow)
