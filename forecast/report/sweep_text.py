"""A sweep in lines of text: every cell of a small one, the extremes of a large one."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

SHOWN = 40  # cells that are all printed; of more the lowest and highest


def lines(data: xr.Dataset) -> Iterator[str]:
    """Yield the headline probabilities of the cells, with the difference from what all are compared with."""
    names = axes_of(data)
    flat = flattened(data)
    against = "the first cell" if is_grid(data) else "the deal as it is"
    cells = [", ".join(f"{n}={_value(flat[n].to_numpy()[c])}" for n in names) for c in range(flat.sizes["cell"])]
    width = max([44, *(len(c) for c in cells)])
    for h in flat["headline"].to_numpy():
        one = flat.sel(headline=h)
        mean = one["headline_mean"].to_numpy()
        order = list(range(len(mean)))
        if len(mean) > SHOWN:
            ranked = np.argsort(mean, kind="stable")
            order = [int(ranked[-1]), int(ranked[len(mean) // 2]), int(ranked[0])]
        kind = "cell" if len(mean) <= SHOWN else f"highest, middle and lowest of {len(mean):,} cells"
        yield f"\n{h}\n  {kind:<{width}} chance   90 % interval   against {against}"
        for c in order:
            low, high, d, e = (
                float(one[f"headline_{q}"][c]) for q in ("lower", "upper", "difference", "difference_mcse")
            )
            moved = f"{d:+7.2%} ± {e:.2%}".replace("-", "−")
            yield f"  {cells[c]:<{width}} {mean[c]:6.1%}   {low:5.1%} – {high:5.1%}   {moved}"
    if exact := int(data.attrs["exact_cells"]):
        yield f"\nExact: {exact} of {len(cells)} cells were computed, not simulated: they are small."


def axes_of(data: xr.Dataset) -> list[str]:
    """Names that are swept, in their order."""
    return str(data.attrs["axes"]).split(",")


def is_grid(data: xr.Dataset) -> bool:
    """Whether the swept names are dims."""
    return str(data.attrs.get("design", "grid")) == "grid"


def flattened(data: xr.Dataset) -> xr.Dataset:
    """Lay the cells of a grid end to end along `cell`, as a design has them."""
    if not is_grid(data):
        return data
    names = axes_of(data)
    return data.stack(cell=names, create_index=False) if names else data


def _value(value: Any) -> str:
    if isinstance(value, np.datetime64):
        return str(value)[:10]
    return f"{value:.4g}" if isinstance(value, float | np.floating) else str(value)
