"""The pictures of the calibration's diagnosis, drawn by ArviZ and kept as PNG files."""

import base64
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.rcsetup import cycler

from forecast.calibrate.observations import Block, blocks
from forecast.report.check_plots import draw_cells, draw_p_values, draw_pit
from forecast.types import F64

A_PAGE, COLUMNS = 20, 4  # panels in one picture
_STYLE = {
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.parse_math": False,
    "savefig.facecolor": "white",
    # Paul Tol's scheme "bright": safe for colour blindness.
    "axes.prop_cycle": cycler(color=["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377"]),
}
_READINGS = {
    "energy": "The two distributions should look alike, and every chain's BFMI lie right of 0.3.",
    "rank": "Each line is a chain; lines that wander far from zero, or a small p, mean that chains disagree.",
    "trace": "Chains should overlap everywhere, without drifts or stays.",
    "prior_posterior": "How far the data moved each parameter. No move: the figure rests on the prior.",
    "posterior_predictive": "One panel a class: observed cells in black, fifty simulated repetitions in blue: black "
    "should run among the blue.",
    "p_values": "Every check of every class. A point left of the dashed line is worth a look, left of the solid line "
    "it holds the run (but for LOO-PIT, empty cells and scatter below twice what is predicted); "
    "with as many checks as these a few points below 0.05 are no more than chance.",
    "pit": "One panel a class: where each cell, left out in turn, falls in what the other data predict for it. The "
    "line should stay within the grey band. Left half above zero: predictions are too high; below: too low; an S that "
    "falls first: too wide; that rises first: too narrow.",
    "cells": "One panel a class, its cells from the largest prediction to the smallest: the bar is the 90% predictive "
    "interval, the mark what was observed; a red cross lies outside, as up to one in ten may.",
}


@dataclass(frozen=True)
class Plate:
    """One picture on disk, with its heading and the sentence that says how to read it."""

    kind: str
    title: str
    reading: str
    file: Path

    @property
    def uri(self) -> str:
        """The picture as a data URI, so that the page needs no other file."""
        return "data:image/png;base64," + base64.b64encode(self.file.read_bytes()).decode("ascii")


def checked(folder: Path, checks: xr.Dataset | None, found: Sequence[Block]) -> list[Plate]:
    """Draw the checks of a fit against its data: p-values, LOO-PIT values and cells, class by class."""
    with mpl.rc_context(_STYLE):
        drawn = {"Cells and their predictions": draw_cells(folder / "cells.png", found)}
        if checks is not None:
            pit = draw_pit(folder / "pit.png", checks)
            points = draw_p_values(folder / "p_values.png", checks)
            drawn = {"Checks against the data": points, "Left-out cells (LOO-PIT)": pit, **drawn}
    return [Plate(file.stem, title, _READINGS[file.stem], file) for title, file in drawn.items() if file is not None]


def by_class(tree: xr.DataTree) -> xr.DataTree:
    """Give each class with more than one cell a variable of its own: what is observed, and what is predicted."""
    found = [b for b in blocks(tree) if b.observed.size > 1]
    chains = tree["posterior_predictive"].sizes["chain"] if found else 1
    groups: dict[str, dict[str, Any]] = {"/observed_data": {}, "/posterior_predictive": {}}
    for b in found:
        cells = f"{b.id} cell"
        groups["/observed_data"][b.id] = ((cells,), b.observed.ravel())
        drawn = b.predicted.reshape(chains, -1, b.observed.size)
        groups["/posterior_predictive"][b.id] = (("chain", "draw", cells), drawn)
    return xr.DataTree.from_dict({name: xr.Dataset(variables) for name, variables in groups.items()})


def draw(folder: Path, tree: xr.DataTree, names: Sequence[str]) -> list[Plate]:
    """Draw every picture that the calibration `tree` has the data for, about the parameters `names`."""
    import arviz as az  # noqa: PLC0415  # two seconds, which a report does not need
    import matplotlib.pyplot as plt  # noqa: PLC0415

    def before_and_after(data: xr.DataTree, *, var_names: list[str], **options: Any) -> Any:
        drawn = az.plot_prior_posterior(data, var_names=var_names, **options)
        for name in var_names:
            drawn.viz["plot"][name].item().set_xlim(
                *window(data["prior"][name].to_numpy(), data["posterior"][name].to_numpy())
            )
        return drawn

    def trace(*args: Any, **options: Any) -> Any:
        return az.plot_trace(*args, visuals={"trace": {"alpha": 0.6, "width": 0.6}, "xlabel": False}, **options)

    flat = drawable(tree, names)
    before = plt.get_backend()
    plt.switch_backend("Agg")
    try:
        with mpl.rc_context(_STYLE), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "looks discrete": counts are, and are drawn as steps
            plates = []
            if "sample_stats" in tree.children and "energy" in tree["sample_stats"].data_vars:
                plates.append(_save(folder, "energy", "Energy", lambda: az.plot_energy(tree), 2.6))
            plates += _paged(folder, "rank", "Ranks", flat, _held(flat, "posterior"), az.plot_rank)
            plates += _paged(folder, "trace", "Traces", flat, _held(flat, "posterior"), trace)
            plates += _paged(
                folder, "prior_posterior", "Prior and posterior", flat, _held(flat, "prior"), before_and_after
            )
            own = by_class(tree)
            plates += _paged(
                folder,
                "posterior_predictive",
                "Posterior predictive",
                own,
                _held(own, "observed_data"),
                az.plot_ppc_dist,
            )
    finally:
        plt.close("all")
        plt.switch_backend(before)
    return plates


def _save(folder: Path, name: str, title: str, plot: Callable[[], Any], height: float) -> Plate:
    figure = plot().viz["figure"].item()
    figure.set_size_inches(12.5, height)
    figure.set_layout_engine("constrained")
    file = folder / f"{name}.png"
    figure.savefig(file, dpi=100, metadata={"Software": None})
    figure.clear()
    kind = name.rstrip("_0123456789")
    return Plate(kind, title, _READINGS[kind], file)


def _paged(
    folder: Path, kind: str, title: str, tree: xr.DataTree, names: Sequence[str], plot: Callable[..., Any]
) -> Iterator[Plate]:
    """Draw `names` on as many pictures as they need."""
    pages = [list(names[i : i + A_PAGE]) for i in range(0, len(names), A_PAGE)]
    for i, page in enumerate(pages, 1):
        where = f"{title} {i} of {len(pages)}" if len(pages) > 1 else title
        height = 0.6 + 1.75 * -(-len(page) // COLUMNS)

        def one(page: list[str] = page) -> Any:
            return plot(tree, var_names=page, backend="matplotlib", col_wrap=COLUMNS)

        yield _save(folder, f"{kind}_{i}", where, one, height)


def _held(tree: xr.DataTree, group: str) -> list[str]:
    return [str(n) for n in tree[group].data_vars] if group in tree.children else []


def window(prior: F64, posterior: F64) -> tuple[float, float]:
    """Range to show: nearly all of the posterior and the bulk of the prior, whose tails may be endless."""
    inner, outer = np.quantile(posterior, (0.001, 0.999)), np.quantile(prior, (0.05, 0.9))
    low, high = min(inner[0], outer[0]), max(inner[1], outer[1])
    return float(low - 0.03 * (high - low)), float(high + 0.03 * (high - low))


def drawable(tree: xr.DataTree, names: Sequence[str]) -> xr.DataTree:
    """Keep every number as a variable of its own, but for constants and those that are not finite."""
    kept: dict[str, dict[str, Any]] = {"posterior": {}, "prior": {}}
    for name in names:
        values = tree["posterior"][name].transpose("chain", "draw", ...)
        for key, index in _entries(values):
            at: Any = (..., *index)
            one = values.to_numpy()[at]
            if not np.isfinite(one).all() or one.std() == 0.0:
                continue
            kept["posterior"][key] = (("chain", "draw"), one)
            if "prior" in tree.children and name in tree["prior"].data_vars:
                before = tree["prior"][name].transpose("chain", "draw", ...).to_numpy()[at]
                if np.isfinite(before).all() and before.std() > 0.0:
                    kept["prior"][key] = (("chain", "draw"), before)
    groups = {
        f"/{group}": xr.Dataset(found, {d: np.arange(tree[group].sizes[d]) for d in ("chain", "draw")})
        for group, found in kept.items()
        if found
    }
    if "sample_stats" in tree.children:
        groups["/sample_stats"] = tree.children["sample_stats"].to_dataset(inherit=False)
    return xr.DataTree.from_dict(groups)


def _entries(values: xr.DataArray) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and index of each entry of a parameter with dims beyond chain and draw."""
    inner = values.dims[2:]
    for index in np.ndindex(*(values.sizes[d] for d in inner)):
        at = [str(values[d].to_numpy()[i]) for d, i in zip(inner, index, strict=True)]
        yield f"{values.name}[{', '.join(at)}]" if at else str(values.name), index
