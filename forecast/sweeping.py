"""Sweeps from end to end: checked, calibrated once, computed block by block, published when whole.

A block of cells is a pure function of the folder of the sweep (`blockstore.Part`) and its number, so it does not matter
which process computes it, or how often: `run_sweep` is told how by its argument `blocks`.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from forecast import blockstore
from forecast.analysis.design import Design, grid
from forecast.analysis.sweep import EXACT_ROW, Cell, Plan, assemble, check, labels_of, plan, shown, table_of
from forecast.archive import Archive
from forecast.blockstore import Blocks, Part
from forecast.calibrate.fit import Calibration
from forecast.calibrate.gate import GateReport
from forecast.deal.describe import describe
from forecast.deal.expand import expand
from forecast.deal.loader import load_deal
from forecast.deal.model import Deal
from forecast.deal.spec import Process
from forecast.durable import make_writable
from forecast.errors import ArchiveError, ForecastError
from forecast.inputs import Inputs
from forecast.manifest import read_manifest, size_problems
from forecast.pipeline import Progress, RunSettings, calibrate_deal, provenance, silent, used_draws
from forecast.process.compile import compile_process
from forecast.process.draws import Draws
from forecast.refine import Figures, Wanted, exact_figures, figures
from forecast.report.words import in_words
from forecast.schema import EXACT, SIMULATED

type Say = Callable[[str], None]

SWEEPS, STORE = "sweeps", "sweep.zarr"
VARIANTS = 32  # of the deal that a process remembers, so that what varies slowly is read once
WORTH_TWO = 50  # cells from which on the pilot is timed again, when the kernels are loaded
# Two equal sweeps may differ in these, which therefore stand in the manifest and not in the data.
RECORD = ("command", "created", "git_commit", "versions")
CODE = ("kernels", "process", "deal", "estimate.py", "refine.py", "simulate.py", "types.py", "analysis/sweep.py")


def run_sweep(
    inputs: Inputs,
    design: Design | Mapping[str, Sequence[Any]],
    settings: RunSettings,
    progress: Progress = silent,
    say: Say | None = None,
    blocks: Blocks | None = None,
) -> xr.Dataset:
    """Forecast a deal in every cell of a grid or design: one calibration, and the same luck in every cell.

    Finished blocks are kept if the process ends, however it ends; the same call goes on with the others, and the result
    is the same to the bit. A sweep that is in the archive already is read from there.

    Parameters
    ----------
    inputs
        The deal.
    design
        From `forecast.analysis.design`, or name → values for a grid.
    settings
        `paths`, `draws` and `seed` as for a run; `threads` changes nothing but the time.
    progress
        Called with ("sweep", cells done, cells in all).
    say
        Called with a sentence on the size of the sweep, and how long it will take.
    blocks
        Has the blocks computed (`compute_block`); in this process, one after the other, if None.

    Raises
    ------
    DealFileError
        Whatever is wrong with the design, before anything runs.
    ForecastError
        The calibration fails its checks, or a combination of values is no deal.
    """
    design = design if isinstance(design, Design) else grid(design)
    say = say or (lambda _: None)
    check(inputs, design)
    make_writable(settings.archive)
    calibration, gate = calibrate_deal(inputs, settings, progress)
    if gate.problems:
        raise ForecastError("the calibration fails its checks, so nothing was swept:\n" + "\n".join(gate.problems))
    draws = used_draws(inputs, calibration, settings)
    cells = plan(inputs.deal, design, draws, settings.seed)
    spec = _spec(inputs, cells, draws, settings)
    key = blockstore.key_of(spec)
    archive = Archive(settings.archive)
    attrs = _attributes(inputs, settings, calibration, gate, key)
    if (whole := archive.keyed(SWEEPS, attrs, key)).is_dir():
        say(f"this sweep is in the archive already: {whole}")
        return _published(whole)
    part = _part(archive.root / SWEEPS / f".part-{key[:32]}", spec, inputs, cells, draws, settings, say)
    with blockstore.locked(part):
        blockstore.compute(part, blocks or _in_turn(settings.threads), compute_block, partial(progress, "sweep"))
        dataset = _whole(part, cells, inputs.deal, attrs)
        record = {k: v for k, v in provenance(inputs, settings, calibration, gate).items() if k in RECORD}
        path = archive.write_dataset(dataset, kind="sweep", key=key, record=record)
        part.remove()
    return dataset.assign_attrs(path=str(path))


def compute_block(folder: Path, block: int, threads: int | None = None) -> int:
    """Compute one block of the sweep in a folder, write it there, and return its number.

    Raises
    ------
    ForecastError
        A combination of values is no deal; the message names it.
    """
    part, cells, work = _opened(str(folder))
    tables = [table_of(work.figures(cells.cell(n), threads), part.reference) for n in part.cells_of(block)]
    part.write(block, np.stack(tables))
    return block


class Cells:
    """Computes cells; the deal is read anew only where a key of it varies, and `VARIANTS` are remembered."""

    def __init__(self, deal: Path, overrides: Mapping[str, Any], draws: Draws, how: Mapping[str, int | bool]) -> None:
        self.deal, self.overrides, self.draws, self.how = deal, overrides, draws, how
        self._variant = lru_cache(VARIANTS)(self._read)

    def figures(self, cell: Cell, threads: int | None) -> Figures:
        """Estimate the headlines of one cell.

        Raises
        ------
        ForecastError
            Its values, each of which is allowed alone, are no deal together.
        """
        try:
            process, wanted = self._variant(blockstore.plain(dict(cell.overrides)))
            return figures_of(process, wanted, self.draws.held(cell.fixed), self.how, threads)
        except ForecastError as err:
            named = ", ".join(f"{k}={shown(v)}" for k, v in {**cell.overrides, **cell.fixed}.items())
            lines = (f"{named}: {line}" if named else line for line in str(err).splitlines())
            raise ForecastError("\n".join(lines)) from err

    def _read(self, changed: str) -> tuple[Process, tuple[Wanted, ...]]:
        deal = load_deal(self.deal, {**self.overrides, **blockstore.unplain(changed)})
        return expand(deal), wanted_of(deal)


def wanted_of(deal: Deal) -> tuple[Wanted, ...]:
    """List the headlines."""
    return tuple(Wanted(*h) for h in describe(deal).headline)


def figures_of(
    process: Process, wanted: Sequence[Wanted], draws: Draws, how: Mapping[str, int | bool], threads: int | None
) -> Figures:
    """Estimate the headlines of one cell: exactly where the process is small, else by weighted paths."""
    program = compile_process(process, draws)
    if not how["simulate"] and (solved := exact_figures(program, wanted, threads=threads)):
        return solved
    return figures(program, wanted, seed=int(how["seed"]), replicates=int(how["replicates"]), threads=threads)


@lru_cache(2)
def _opened(folder: str) -> tuple[Part, Plan, Cells]:
    """Open the folder of a sweep; its name is a hash of all that it holds, so once a process is enough."""
    part = Part(Path(folder))
    spec = part.spec
    saved = spec["plan"]
    values = tuple(map(tuple, saved["values"]))
    cells = Plan(saved["kind"], tuple(saved["names"]), values, tuple(saved["parameters"]))
    return part, cells, Cells(part.folder / "inputs" / "deal", spec["overrides"], part.draws, spec["how"])


# ---- the parts of a sweep ------------------------------------------------------------------------


def _spec(inputs: Inputs, cells: Plan, draws: Draws, settings: RunSettings) -> dict[str, Any]:
    """Everything that enters: the same for equal sweeps only, wherever they are run."""
    return {
        **blockstore.entered(inputs, draws, CODE),
        "plan": asdict(cells),
        "cells": cells.size,
        "how": {
            "seed": settings.seed,
            "replicates": settings.weighted_replicates,
            "simulate": settings.simulate,
        },
    }


def _attributes(
    inputs: Inputs, settings: RunSettings, calibration: Calibration, gate: GateReport, key: str
) -> dict[str, str | int]:
    made = provenance(inputs, settings, calibration, gate)
    return {**{k: v for k, v in made.items() if k not in RECORD}, "weighted": settings.weighted_replicates, "key": key}


def _part(
    folder: Path, spec: Mapping[str, Any], inputs: Inputs, cells: Plan, draws: Draws, settings: RunSettings, say: Say
) -> Part:
    """Open the folder of a sweep that was begun before, or compute its reference, say what it will take, and begin."""
    part = Part(folder)
    paths = f"{draws.n_draw * settings.weighted_replicates:,} weighted paths a cell"
    if folder.is_dir():
        left = sum(len(part.cells_of(n)) for n in part.waiting())
        say(
            f"{cells.size:,} cells, {paths}; {cells.size - left:,} of them were finished before and are kept; the "
            f"others will take {in_words(left * float(part.spec['seconds']))}"
        )
        return part
    work = Cells(inputs.deal.folder, inputs.deal.overrides, draws, spec["how"])
    for _ in range(1 + (cells.size >= WORTH_TWO)):
        started = time.perf_counter()
        reference = work.figures(cells.reference, settings.threads)
        seconds = time.perf_counter() - started
    how = "computed, not simulated" if reference.exact else paths
    say(f"{cells.size:,} cells, {how}; one took {seconds:.2f} s, all will take {in_words(cells.size * seconds)}")
    shape = (EXACT_ROW + 1, reference.p.shape[1])
    return blockstore.create(folder, {**spec, "seconds": seconds}, inputs, draws, shape, reference.p)


def _in_turn(threads: int | None) -> Blocks:
    def compute(folder: Path, numbers: Sequence[int]) -> Iterator[int]:
        for n in numbers:
            yield compute_block(folder, n, threads)

    return compute


def _whole(part: Part, cells: Plan, deal: Deal, attrs: Mapping[str, str | int]) -> xr.Dataset:
    tables = np.concatenate([t for _, t in part.tables()])
    method = EXACT if bool(tables[:, EXACT_ROW].all()) else SIMULATED
    labels = json.dumps({n: deal.file.parameters[n].label for n in cells.parameters}, ensure_ascii=False)
    return assemble(cells, labels_of(deal), tables, {**attrs, "method": method, "labels": labels})


def _published(folder: Path) -> xr.Dataset:
    manifest = read_manifest(folder)
    if problems := list(size_problems(folder, manifest)):
        raise ArchiveError("\n".join(problems))
    data: xr.Dataset = xr.open_zarr(folder / STORE, consolidated=False, chunks=None).load()
    return data.assign_attrs(path=str(folder / STORE))
