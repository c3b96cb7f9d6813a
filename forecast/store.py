"""Forecasts as Zarr v3 folders: checksummed, read without trust and without pickle."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from zarr.codecs import BloscCodec, Crc32cCodec

from forecast import schema
from forecast.errors import ArchiveError

DRAWS = 128  # that are packed together
CHUNK_BYTES = 16_000_000  # of the numbers as stored, before compression
MAX_METADATA = 4_000_000  # bytes of one zarr.json
MAX_NODES = 10_000  # arrays and groups in a store
MAX_ARRAY = 2**36  # bytes of one array, decoded
MAX_CHUNK = 2**31  # bytes of one chunk, decoded
CODECS = frozenset({"bytes", "vlen-utf8", "zstd", "gzip", "blosc", "crc32c", "transpose", "sharding_indexed"})
TYPES = frozenset({"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}) | frozenset(
    {"float32", "float64", "string", "fixed_length_utf32"}
)


def write_tree(path: Path, tree: xr.DataTree) -> None:
    """Write a forecast as a new Zarr v3 store; every chunk is compressed (zstd in blosc) and checksummed (crc32c).

    Counted variables become integers with scale factor 1 / replicates: exact, and small. In an exact forecast
    nothing was counted; they are stored as the numbers that they are.
    """
    stored = _stored(tree)
    encoding = {
        node.path: {str(n): _encoding(v, tree.attrs) for n, v in node.to_dataset(inherit=False).variables.items()}
        for node in stored.subtree
    }
    stored.to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding, write_empty_chunks=True)


def write_dataset(path: Path, data: xr.Dataset) -> None:
    """Write one Dataset in the same way."""
    encoding = {str(n): _encoding(v, data.attrs) for n, v in data.variables.items()}
    data.to_zarr(path, mode="w-", zarr_format=3, consolidated=False, encoding=encoding, write_empty_chunks=True)


def open_tree(path: Path) -> xr.DataTree:
    """Open a store lazily, after its metadata has been checked.

    Raises
    ------
    ArchiveError
        The store asks for more than the limits of this module, for a codec or a type that is not on
        its lists, or was made by a later version.
    """
    attrs = check_metadata(path)
    made_by = attrs.get("schema")
    if not isinstance(made_by, int) or made_by > schema.SCHEMA:
        raise ArchiveError(
            f"{path}: has schema {made_by!r}; this version reads up to {schema.SCHEMA}: update forecast to read it"
        )
    return xr.open_datatree(path, engine="zarr", zarr_format=3, consolidated=False, chunks=None)


def check_metadata(path: Path) -> dict[str, Any]:
    """Read every zarr.json of a store as untrusted text; return the attributes of its root."""
    attrs: dict[str, Any] = {}
    for n, file in enumerate(sorted(path.rglob("zarr.json"))):
        if n >= MAX_NODES:
            raise ArchiveError(f"{path}: holds more than {MAX_NODES:,} arrays")
        if file.stat().st_size > MAX_METADATA:
            raise ArchiveError(f"{file}: is larger than {MAX_METADATA:,} bytes")
        try:
            node = json.loads(file.read_text(encoding="utf-8"))
            if node["node_type"] == "array":
                _check_array(file, node)
            elif file.parent == path:
                attrs = dict(node.get("attributes", {}))
        except (ValueError, KeyError, TypeError, AttributeError) as err:
            raise ArchiveError(f"{file}: is damaged ({err!r}); `forecast verify` names every damaged file") from err
    if not attrs:
        raise ArchiveError(f"{path / 'zarr.json'}: is missing or holds no attributes")
    return attrs


def _check_array(file: Path, node: Mapping[str, Any]) -> None:
    kind = node["data_type"]
    name = kind["name"] if isinstance(kind, dict) else kind
    size = int(kind["configuration"]["length_bytes"]) if name == "fixed_length_utf32" else 8
    chunk = node["chunk_grid"]["configuration"]["chunk_shape"]
    if name not in TYPES:
        raise ArchiveError(f"{file}: data type {name!r} is not read here ({', '.join(sorted(TYPES))})")
    if unknown := sorted({*_codecs(node["codecs"])} - CODECS):
        raise ArchiveError(f"{file}: codec {unknown[0]!r} is not read here ({', '.join(sorted(CODECS))})")
    for what, shape, limit in (("array", node["shape"], MAX_ARRAY), ("chunk", chunk, MAX_CHUNK)):
        needed = size
        for n in shape:
            needed *= int(n)
        if needed > limit or any(int(n) < 0 for n in shape):
            raise ArchiveError(f"{file}: the {what} has {needed:,} bytes; at most {limit:,} are read")


def _codecs(codecs: Any) -> Iterator[str]:
    for c in codecs:
        yield str(c["name"])
        inner = c.get("configuration", {})
        yield from _codecs([*inner.get("codecs", []), *inner.get("index_codecs", [])])


def _stored(tree: xr.DataTree) -> xr.DataTree:
    """Turn counted variables into the integers that are stored; what a reader decodes is the same to the bit.

    xarray would do the same from an `encoding`, with several copies of the largest arrays.
    """
    replicates, exact = int(tree.attrs["replicates"]), tree.attrs.get("method") == schema.EXACT
    nodes = {}
    for node in tree.subtree:
        declared = schema.GROUPS["/" + node.path.strip("/")]
        data = node.to_dataset(inherit=False)
        counted = {str(n): v.variable for n, v in data.data_vars.items() if declared[str(n)].counted}
        nodes[node.path] = data.assign(
            {n: _as_is(v) if exact else _as_counts(v, replicates) for n, v in counted.items()}
        )
    return xr.DataTree.from_dict(nodes)


def _as_is(share: xr.Variable) -> xr.Variable:
    """Store numbers, so that a chunk that gets lost reads as NaN."""
    return xr.Variable(share.dims, share.data, share.attrs, {"fill_value": np.nan})


def _as_counts(share: xr.Variable, replicates: int) -> xr.Variable:
    counts = np.empty(share.shape, np.int64 if share.encoding.get("dtype") is None else share.encoding["dtype"])
    for first in range(0, len(counts), DRAWS):
        counts[first : first + DRAWS] = np.rint(share[first : first + DRAWS].to_numpy() * replicates)
    top = counts.max(initial=0)
    dtype = np.dtype(next(t for t in ("i2", "i4", "i8") if top <= np.iinfo(t).max))
    packing = {"scale_factor": 1.0 / replicates, "_FillValue": dtype.type(-1)}
    return xr.Variable(share.dims, counts.astype(dtype, copy=False), {**share.attrs, **packing}, {"fill_value": -1})


def _encoding(array: xr.Variable, attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Choose how a variable is stored: whole slices of the first dim in a chunk."""
    encoding: dict[str, Any] = {
        "compressors": (_blosc(array.dtype), Crc32cCodec()),
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "."}},  # one folder an array
    }
    if "fill_value" in array.encoding:  # a chunk that gets lost reads as NaN, not as a probability of 0
        encoding["fill_value"] = array.encoding["fill_value"]
    if array.dtype.kind == "M":
        encoding |= {"dtype": "int32", "units": f"days since {attrs['as_of']}", "calendar": "proleptic_gregorian"}
    if array.ndim > 0 and array.size > 0:
        row = max(array.nbytes // array.shape[0], 1)
        encoding["chunks"] = (min(max(CHUNK_BYTES // row, 1), array.shape[0]), *array.shape[1:])
    return encoding


def _blosc(dtype: np.dtype[Any]) -> BloscCodec:
    """Fast zstd over shuffled bytes; text has none to shuffle."""
    return BloscCodec(cname="zstd", clevel=1, shuffle="shuffle", typesize=dtype.itemsize if dtype.kind in "iuf" else 1)
