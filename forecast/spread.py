"""A large run in blocks of draws that any process may count: the same bytes as in one, whoever counts them.

A block is a pure function of the folder of the run (`blockstore.Part`) and its number. Its counts go into a region of
one array that no other block has; a process that dies loses the block that it was in.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from forecast import blockstore
from forecast.blockstore import Blocks, Part
from forecast.deal.expand import expand
from forecast.deal.loader import load_deal
from forecast.inputs import Inputs
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.simulate import Counts, simulate
from forecast.types import F64

type Count = Callable[[Program, int, F64], Counts]  # program, replicates, grid

PATHS = 250_000  # a block, about, in whole draws: a second or two
CODE = ("kernels", "process", "deal", "simulate.py", "spread.py", "types.py")
DTYPES = {
    "cause": np.int32,
    "outcome": np.int32,
    "state": np.int32,
    "fired": np.int64,
    "consequence": np.float64,
    "consequence_square": np.float64,
}


@contextmanager
def spread(
    inputs: Inputs, draws: Draws, folder: Path, *, seed: int, blocks: Blocks, progress: Callable[[int, int], None]
) -> Iterator[Count]:
    """Count paths block by block, in what `blocks` has at its disposal; yields what takes the place of `simulate`.

    What is finished stays in `folder` if the process dies, however it does; the same run goes on with the others. It is
    removed when this ends without an exception, by when the run is in the archive.

    Parameters
    ----------
    inputs, draws
        The deal, and draws of its parameters.
    folder
        The archive's folder of runs, which all processes must see.
    seed
        As of `simulate`.
    blocks
        Computes blocks (`compute_block`).
    progress
        Called with (draws done, draws in all).
    """
    with ExitStack() as stack:
        begun: list[Part] = []

        def count(program: Program, replicates: int, grid: F64) -> Counts:
            spec = {
                **blockstore.entered(inputs, draws, CODE),
                "cells": program.n_draw,
                "how": {"seed": seed, "replicates": replicates, "grid": grid.tolist()},
            }
            part = Part(folder / f".part-{blockstore.key_of(spec)[:32]}")
            if not part.folder.is_dir():
                width = sum(prod(shape) for shape in _shapes(program, len(grid)).values())
                block = max(-(-PATHS // replicates), -(-program.n_draw // blockstore.BLOCKS))
                blockstore.create(part.folder, spec, inputs, draws, (1, width), block=block)
            stack.enter_context(blockstore.locked(part))
            begun.append(part)
            blockstore.compute(part, blocks, compute_block, progress)
            return _gathered(part, program, replicates, grid)

        yield count
        for part in begun:
            part.remove()


def compute_block(folder: Path, block: int, threads: int | None = None) -> int:
    """Count the paths of one block of the run in a folder, write the counts there, and return its number."""
    part, program = _opened(str(folder))
    how: dict[str, Any] = part.spec["how"]
    cells = part.cells_of(block)
    counts = simulate(
        program,
        seed=how["seed"],
        replicates=how["replicates"],
        grid=np.array(how["grid"]),
        threads=threads,
        draws=slice(cells.start, cells.stop),
    )
    # Whole numbers below 2^53 are the same as floating-point numbers.
    columns = [getattr(counts, name).reshape(len(cells), -1).astype(np.float64) for name in DTYPES]
    part.write(block, np.concatenate(columns, axis=1)[:, None])
    return block


@lru_cache(1)
def _opened(folder: str) -> tuple[Part, Program]:
    """Open the folder of a run; its name is a hash of all that it holds, so once a process is enough."""
    part = Part(Path(folder))
    deal = load_deal(part.folder / "inputs" / "deal", part.spec["overrides"])
    return part, compile_process(expand(deal), part.draws)


def _gathered(part: Part, program: Program, replicates: int, grid: F64) -> Counts:
    """Put the blocks end to end, one after the other."""
    shapes = _shapes(program, len(grid))
    arrays = {name: np.empty((program.n_draw, *shapes[name]), dtype) for name, dtype in DTYPES.items()}
    ends = np.cumsum([prod(shape) for shape in shapes.values()])[:-1]
    for cells, table in part.tables():
        for (name, array), columns in zip(arrays.items(), np.split(table[:, 0], ends, axis=1), strict=True):
            array[cells.start : cells.stop] = columns.reshape(len(cells), *shapes[name])
    return Counts(replicates=replicates, grid=grid, **arrays)


def _shapes(program: Program, n_time: int) -> dict[str, tuple[int, ...]]:
    """Shapes of the counts of one draw."""
    n_amount = len(program.consequence_meter)
    return {
        "cause": (n_time, len(program.causes)),
        "outcome": (n_time, len(program.outcomes)),
        "state": (n_time, len(program.flags)),
        "fired": (len(program.firings),),
        "consequence": (n_time, n_amount),
        "consequence_square": (n_amount,),
    }
