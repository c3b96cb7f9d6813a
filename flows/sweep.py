"""The flow `sweep`: one deal in every cell of a grid or design; its blocks may be spread over Dask workers."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import xarray as xr
from prefect import flow, task

from flows.common import call, is_transient, settings_of
from flows.workers import one_server, task_runner, threads_of
from forecast.analysis.design import Design
from forecast.deal.overrides import as_of_override
from forecast.inputs import Inputs, load
from forecast.pipeline import Progress, RunSettings
from forecast.sweeping import Blocks, compute_block, run_sweep

AGAIN = 2  # times that a block is tried again after a disk or network fault
AHEAD = 64  # blocks that are handed out before the first of them must be back


@task(
    name="sweep-deal", task_run_name="{deal}", retries=2, retry_delay_seconds=[10, 60], retry_condition_fn=is_transient
)
def sweep_cells(
    deal: str, vary: Mapping[str, Sequence[object]], as_of: str | None, settings: dict[str, int | str]
) -> str:
    """Run a sweep; return the path of its store."""
    chosen = settings_of(settings, f"flow sweep {deal}")
    return str(run_sweep(load(deal, as_of_override(as_of)), vary, chosen).attrs["path"])


@flow(name="sweep", log_prints=True)
def sweep_deal(
    deal: str,
    vary: dict[str, list[float | bool | str]],
    as_of: str | None = None,
    paths: int = 100_000,
    draws: int = 4_000,
    seed: int = 1,
    archive: str = "outputs",
) -> str:
    """Forecast one deal in every cell of a grid, with the same luck in every cell."""
    return call(sweep_cells, deal, vary, as_of, {"paths": paths, "draws": draws, "seed": seed, "archive": archive})


@task(
    name="block", task_run_name="block-{block}", retries=AGAIN, retry_delay_seconds=1, retry_condition_fn=is_transient
)
def block_of(folder: str, block: int, threads: int) -> int:
    """Compute one block of a sweep, on whichever worker; it is a function of the folder and its number alone."""
    return compute_block(Path(folder), block, threads)


def _run(
    inputs: Inputs,
    design: Design,
    settings: RunSettings,
    progress: Progress,
    say: Callable[[str], None],
    blocks: Blocks | None = None,
) -> xr.Dataset:
    return run_sweep(inputs, design, settings, progress, say, blocks)


def sweep_as_flow(
    inputs: Inputs,
    design: Design,
    settings: RunSettings,
    where: str | None,
    progress: Progress,
    say: Callable[[str], None],
) -> xr.Dataset:
    """Run a sweep as a flow, on Dask with one task a block; the same bytes as without either.

    Parameters
    ----------
    inputs, design, settings, progress, say
        As of `run_sweep`.
    where
        `local`, `local:N` or `tcp://HOST:PORT`, whose workers must see the archive under the same path; in this
        process, if None.
    """
    if where is None:
        here: Any = flow(name="sweep", validate_parameters=False)(_run)
        return cast("xr.Dataset", here(inputs, design, settings, progress, say))
    threads = threads_of(where, settings.threads)

    def mapped(folder: Path, numbers: Sequence[int]) -> Iterator[int]:
        place = str(folder.resolve())
        waiting = deque[Any]()
        for n in numbers:
            waiting.append(block_of.submit(place, n, threads))
            if len(waiting) == AHEAD:  # in order: as_completed of Prefect never hears of what Dask has finished
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    on_dask: Any = flow(name="sweep", task_runner=task_runner(where), validate_parameters=False)(_run)
    with one_server():
        return cast("xr.Dataset", on_dask(inputs, design, settings, progress, say, mapped))
