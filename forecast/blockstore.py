"""The folder of a sweep or a large run that is being computed: what enters it, and every finished block.

`<archive>/<sweeps or runs>/.part-<key>/` appears whole, with all that a block needs, so that any process that sees the
folder can compute any block:

    spec.json       the settings, and the plan of a sweep
    inputs/deal     the deal's own files
    draws.npz       the posterior draws
    reference.npy   what differences are taken from (draw, headline); of a run empty
    cells.zarr      one array (cell, row, column), one chunk a block; a run has a draw for each cell
    done/00012.json the journal: block 12 is finished, and its chunk has this digest
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec

from forecast import durable
from forecast.errors import ArchiveError, ForecastError
from forecast.inputs import Inputs
from forecast.process.draws import Draws
from forecast.types import F64

# Computes the blocks with these numbers of the work in this folder, anywhere and in any order, and yields the number of
# each that is finished.
type Blocks = Callable[[Path, Sequence[int]], Iterable[int]]

BLOCKS = 500  # at most; a process that is killed loses one
MAX_SPEC = 512_000_000  # bytes


@dataclass(frozen=True)
class Part:
    """Work that is not finished; `folder` is all that a worker is told."""

    folder: Path

    @cached_property
    def spec(self) -> Mapping[str, Any]:
        """What enters, as plain values."""
        file = self.folder / "spec.json"
        try:
            if file.stat().st_size > MAX_SPEC:
                raise ArchiveError(f"{file}: is larger than {MAX_SPEC:,} bytes")
            return dict(unplain(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as err:
            raise self._damaged(file, err) from err

    @cached_property
    def draws(self) -> Draws:
        """The posterior draws."""
        with np.load(self._checked("draws.npz"), allow_pickle=False) as file:
            values = {k.removeprefix("value/"): file[k] for k in file.files if k.startswith("value/")}
            edges = {k.removeprefix("edges/"): file[k] for k in file.files if k.startswith("edges/")}
        labels = {k: tuple(v) for k, v in self.spec["labels"].items()}
        return Draws(values, edges, labels, self.spec["units"])

    @cached_property
    def reference(self) -> F64:
        """What differences are taken from: (draw, headline)."""
        result: F64 = np.load(self._checked("reference.npy"), allow_pickle=False)
        return result

    @property
    def block_cells(self) -> int:
        """Cells a block."""
        return int(self.spec["block_cells"])

    @property
    def n_block(self) -> int:
        """Number of blocks."""
        return -(-int(self.spec["cells"]) // self.block_cells)

    def cells_of(self, block: int) -> range:
        """Cells of a block."""
        first = block * self.block_cells
        return range(first, min(first + self.block_cells, int(self.spec["cells"])))

    # ---- blocks ----------------------------------------------------------------------------------

    def write(self, block: int, tables: F64) -> None:
        """Write a block's region of the array, which is one chunk, and then enter it in the journal.

        Regions of two blocks share no chunk, so that any number of processes may write at once. The chunk is
        replaced in one step and is on the disk before the journal says so.
        """
        cells = self.cells_of(block)
        array = zarr.open_array(self.folder / "cells.zarr", mode="r+")
        if array.chunks[0] != self.block_cells or tables.shape != (len(cells), *array.shape[1:]):
            raise ForecastError(f"block {block}: {tables.shape} is no whole chunk of {array.shape}: a mistake of ours")
        with durable.explained(self.folder):
            array[cells.start : cells.stop] = tables
            chunk = self._chunk(block)
            _sync(chunk)
            _sync(chunk.parent)
            _write_atomically(self._entry(block), json.dumps({"block": block, "sha256": durable.sha256(chunk)}))

    def is_done(self, block: int) -> bool:
        """Whether the journal has the block, and its chunk is as it was written."""
        try:
            entry = json.loads(self._entry(block).read_text(encoding="utf-8"))
            return bool(entry["block"] == block and entry["sha256"] == durable.sha256(self._chunk(block)))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def waiting(self) -> list[int]:
        """Blocks that are still to be computed."""
        return [n for n in range(self.n_block) if not self.is_done(n)]

    def tables(self) -> Iterator[tuple[range, F64]]:
        """Yield the cells of each block, and their tables (cell, row, column); only once nothing is waiting."""
        if missing := self.waiting():
            raise ArchiveError(f"{self.folder}: {len(missing)} blocks are not finished; start it again")
        array = zarr.open_array(self.folder / "cells.zarr", mode="r")
        for n in range(self.n_block):
            cells = self.cells_of(n)
            yield cells, np.asarray(array[cells.start : cells.stop])

    def remove(self) -> None:
        """Remove the folder, once the result is published."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _chunk(self, block: int) -> Path:
        return self.folder / "cells.zarr" / f"c.{block}.0.0"

    def _entry(self, block: int) -> Path:
        return self.folder / "done" / f"{block:05d}.json"

    def _checked(self, name: str) -> Path:
        file = self.folder / name
        try:
            if durable.sha256(file) == self.spec["digests"][name]:
                return file
        except (OSError, KeyError) as err:
            raise self._damaged(file, err) from err
        raise self._damaged(file, ValueError("its bytes are not those that were written"))

    def _damaged(self, file: Path, err: Exception) -> ArchiveError:
        return ArchiveError(f"{file}: is damaged ({err!s:.120}); delete the folder {self.folder} and start again")


def entered(inputs: Inputs, draws: Draws, code: Sequence[str]) -> dict[str, Any]:
    """Everything that enters any work on a deal: equal for equal work, wherever it is done.

    `code` names the files and folders of this package that stand between draws and figures.
    """
    return {
        "digest": inputs.digest,
        "hashes": {n: h for n, h in inputs.hashes.items() if n.startswith("deal/")},
        "overrides": dict(inputs.deal.overrides),
        "draws": draws_digest(draws),
        "code": code_digest(code),
        "versions": {p: version(p) for p in ("numpy", "numba", "scipy")},
    }


def create(
    folder: Path,
    spec: Mapping[str, Any],
    inputs: Inputs,
    draws: Draws,
    shape: tuple[int, int],
    reference: F64 | None = None,
    block: int | None = None,
) -> Part:
    """Make the folder of some work, whole or not at all; if another process was quicker, its folder stands.

    Parameters
    ----------
    folder
        `.part-<key>` in a folder of the archive.
    spec
        Plain values, those of `entered` among them; `cells` is the number of cells.
    inputs, draws, reference
        What blocks read; of the inputs the deal's own files.
    shape
        Rows and columns of a cell's table.
    block
        Cells a block; so many that there are at most `BLOCKS`, if None.
    """
    with durable.building(folder.parent, folder.name.lstrip(".")) as tmp:
        arrays = {f"value/{k}": v for k, v in draws.values.items()} | {f"edges/{k}": v for k, v in draws.edges.items()}
        np.savez(tmp / "draws.npz", allow_pickle=False, **arrays)
        np.save(tmp / "reference.npy", np.zeros((0, 0)) if reference is None else reference, allow_pickle=False)
        _copy(inputs, tmp / "inputs", spec["hashes"])
        (tmp / "done").mkdir()
        (tmp / "lock").touch()
        size = int(spec["cells"])
        block = block or -(-size // BLOCKS)
        _template(tmp / "cells.zarr", (size, *shape), block)
        content = {
            **spec,
            "block_cells": block,
            "labels": dict(draws.labels),
            "units": dict(draws.units),
            "digests": {name: durable.sha256(tmp / name) for name in ("draws.npz", "reference.npy")},
        }
        (tmp / "spec.json").write_text(json.dumps(content, default=_plain), encoding="utf-8")
        if not durable.publish(tmp, folder):
            shutil.rmtree(tmp)
    return Part(folder)


def _copy(inputs: Inputs, target: Path, hashes: Mapping[str, str]) -> None:
    for name, source in inputs.files.items():
        if not name.startswith("deal/"):
            continue
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
        if durable.sha256(copy) != hashes[name]:
            raise ArchiveError(f"{source}: was changed meanwhile; run it again")


@contextmanager
def locked(part: Part) -> Iterator[None]:
    """Keep a second process off the same work; the lock goes with the process, however it ends.

    Raises
    ------
    ArchiveError
        Another process computes it.
    """
    with durable.explained(part.folder), (part.folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ArchiveError(f"{part.folder}: the very same is being computed by another process") from None
        yield


def key_of(spec: Mapping[str, Any]) -> str:
    """Hash of everything that enters."""
    return sha256(plain(spec).encode()).hexdigest()


def code_digest(names: Sequence[str]) -> str:
    """Digest of files and folders of this package."""
    here, digest = Path(__file__).parent, sha256()
    for name in names:
        for file in sorted((here / name).rglob("*.py")) if (here / name).is_dir() else [here / name]:
            digest.update(f"{file.relative_to(here)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def compute(part: Part, blocks: Blocks, here: Callable[[Path, int], int], progress: Callable[[int, int], None]) -> None:
    """Let `blocks` compute what is waiting, and `here` what has been damaged meanwhile.

    `progress` is called with (cells done, cells in all).
    """
    waiting, total = part.waiting(), int(part.spec["cells"])
    done = total - sum(len(part.cells_of(n)) for n in waiting)
    progress(done, total)
    for n in blocks(part.folder, waiting):
        done += len(part.cells_of(n))
        progress(done, total)
    for n in part.waiting():
        here(part.folder, n)


def plain(value: Any) -> str:
    """Write values, dates among them, as JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, default=_plain)


def unplain(text: str) -> Any:
    """Read what `plain` wrote."""
    return json.loads(text, object_hook=_date)


def draws_digest(draws: Draws) -> str:
    """Hash of the posterior draws themselves."""
    digest = sha256(plain([dict(draws.labels), dict(draws.units)]).encode())
    for kind in (draws.values, draws.edges):
        for name in sorted(kind):
            array = np.ascontiguousarray(kind[name])
            digest.update(f"{name}{array.shape}{array.dtype.str}".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _template(path: Path, shape: tuple[int, ...], block: int) -> None:
    zarr.create_array(
        path,
        shape=shape,
        chunks=(block, *shape[1:]),
        dtype="f8",
        fill_value=np.nan,
        compressors=(ZstdCodec(level=1), Crc32cCodec()),
        chunk_key_encoding={"name": "default", "separator": "."},
    )


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return {"$date": value.isoformat()}
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} is no plain value")


def _date(found: dict[str, Any]) -> Any:
    return date.fromisoformat(found["$date"]) if found.keys() == {"$date"} else found


def _write_atomically(file: Path, text: str) -> None:
    tmp = file.with_name(f"{durable.PREFIX}{os.getpid()}-{os.urandom(4).hex()}")
    tmp.write_text(text, encoding="utf-8")
    _sync(tmp)
    tmp.replace(file)
    _sync(file.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
