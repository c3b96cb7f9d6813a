"""A frontier as one HTML page that works offline, with its picture and figures as files beside it."""

from pathlib import Path

import numpy as np
import xarray as xr

from forecast.report import pages
from forecast.report.frontier_show import lines, picture, table


def write_page(folder: Path, data: xr.Dataset, top: int) -> Path:
    """Write index.html, frontier.csv and the picture as PNG and SVG; return the page.

    Parameters
    ----------
    folder
        Created if need be; files of these names in it are replaced.
    data
        From `forecast.frontiers.frontier`.
    top
        Packages of the front that are listed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    context = {
        "attrs": data.attrs,
        "packages": data.sizes["package"],
        "on_front": int(np.count_nonzero(data["on_front"])),
        "picture": pages.picture(folder, "frontier", lambda narrow: picture(data, narrow=narrow)),
        "listing": "\n".join(lines(data, top)),
    }
    return pages.write_page(folder, "frontier", table(data), context, {})
