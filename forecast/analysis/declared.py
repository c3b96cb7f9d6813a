"""Datasets of declared variables: put together, and checked when they are read again."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from forecast import schema
from forecast.schema import Variable


def dataset(arrays: Mapping[str, Any], declared: Mapping[str, Variable], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Put arrays under their declared names, with units and meaning; those that are not declared are left out."""
    variables = {n: (v.dims, _cast(arrays[n], v.dtype), _attributes(v)) for n, v in declared.items()}
    return xr.Dataset(variables, attrs=dict(attrs)).set_coords([n for n, v in declared.items() if v.coord])


def departures(data: xr.Dataset, declared: Mapping[str, Variable], where: str) -> Iterator[str]:
    """Say what is missing, has other dims, or is not declared in the file `where`."""
    for name, v in declared.items():
        if name not in data.variables:
            if not v.optional:
                yield f"{name!r} is missing"
        elif data[name].dims != v.dims:
            yield f"{name!r} has dims {data[name].dims}; declared are {v.dims}"
    for extra in sorted({str(name) for name in data.variables} - set(declared)):
        yield f"{extra!r} is not a declared variable; declare it in {where}"


def _cast(values: Any, dtype: str) -> np.ndarray:
    return np.asarray(values, dtype=str if dtype == "U" else dtype)


def _attributes(v: Variable) -> dict[str, str]:
    """Leave out what is empty; xarray writes the units of dates itself."""
    kept = schema.attributes(v)
    return {k: text for k, text in kept.items() if text and not (k == "units" and v.dtype.startswith("datetime"))}
