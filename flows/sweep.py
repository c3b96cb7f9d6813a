"""The flow `sweep`: one deal in every cell of a grid or design; its blocks may be spread over Dask workers."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import xarray as xr
from prefect import flow, task

from flows.blocks import on_dask
from flows.common import call, is_transient, settings_of
from forecast.analysis.design import Design
from forecast.blockstore import Blocks
from forecast.deal.overrides import as_of_override
from forecast.inputs import Inputs, load
from forecast.pipeline import Progress, RunSettings
from forecast.sweeping import run_sweep


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
    work = partial(_run, inputs, design, settings, progress, say)
    return on_dask("sweep", work, where, settings.threads, settings.archive)
