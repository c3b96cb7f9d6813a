"""A sweep as one HTML page that works offline, with its pictures and figures as files beside it."""

import csv
import io
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from forecast.ledger.cells import guarded
from forecast.report import sweep_plots as plots
from forecast.report.html import Picture, environment, style
from forecast.report.pages import picture
from forecast.report.sweep_text import axes_of, flattened, is_grid, lines

QUANTITIES = ("mean", "lower", "upper", "mcse", "difference", "difference_mcse")


@dataclass(frozen=True)
class Section:
    """One headline of the page."""

    label: str
    low: float
    high: float
    picture: Picture


def write_page(folder: Path, data: xr.Dataset) -> Path:
    """Write index.html, sweep.csv and each picture as PNG and SVG; return the page.

    Parameters
    ----------
    folder
        Created if need be; files of these names in it are replaced.
    data
        From `run_sweep`, or a sweep's store.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sweep.csv").write_text(table(data), encoding="utf-8", newline="")
    names = {n: json.loads(data.attrs.get("labels", "{}")).get(n, n) for n in axes_of(data)}
    sections = []
    for n, label in enumerate(data["headline"].to_numpy(), 1):
        one = data.sel(headline=label)
        mean = one["headline_mean"]
        drawn = picture(folder, f"headline-{n}", partial(_drawn, one, names))
        sections.append(Section(str(label), float(mean.min()), float(mean.max()), drawn))
    shape = plots.shape_of(data)
    text = (
        environment()
        .get_template("sweep.html.j2")
        .render(
            css=style(),
            attrs=data.attrs,
            sections=sections,
            names=[f"{label} ({n})" if label != n else n for n, label in names.items()],
            cells=flattened(data).sizes["cell"],
            design={"grid": "grid", "lhs": "Latin hypercube", "sobol": "set of Sobol points"}[
                str(data.attrs.get("design", "grid"))
            ],
            grid=is_grid(data),
            shape=shape,
            listing="\n".join(lines(data)),
        )
    )
    index = folder / "index.html"
    index.write_text(text, encoding="utf-8")
    return index


def _drawn(one: xr.Dataset, names: dict[str, str], narrow: bool) -> Figure:
    return plots.picture(one, names, narrow=narrow)


def table(data: xr.Dataset) -> str:
    """Every figure of every cell as CSV."""
    flat, names = flattened(data), axes_of(data)
    columns = [[guarded(x) if isinstance(x, str) else x for x in flat[n].to_numpy()] for n in names]
    figures = {q: flat[f"headline_{q}"].transpose("cell", "headline").to_numpy() for q in QUANTITIES}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*names, "headline", *QUANTITIES])
    for c in range(flat.sizes["cell"]):
        for h, label in enumerate(flat["headline"].to_numpy()):
            writer.writerow([*(x[c] for x in columns), guarded(str(label)), *(figures[q][c, h] for q in QUANTITIES)])
    return out.getvalue()
