"""The flow `forecast`: every deal that it is given, one after the other, as of one date."""

from collections.abc import Sequence
from functools import partial

from prefect import flow, task
from prefect.context import FlowRunContext

from flows.blocks import on_dask
from flows.common import call, is_transient, settings_of
from forecast.deal.overrides import as_of_override
from forecast.errors import ForecastError, HeldError
from forecast.inputs import Inputs, load
from forecast.pipeline import Progress, RunResult, RunSettings, run_forecast, silent


@task(
    name="forecast-deal",
    task_run_name="{deal}",
    retries=2,
    retry_delay_seconds=[10, 60],
    retry_condition_fn=is_transient,
)
def forecast_deal(deal: str, as_of: str | None, settings: dict[str, int | str]) -> str:
    """Forecast one deal; return the id of its run. A held run is an error after it has been written."""
    chosen = settings_of(settings, f"flow forecast {deal}")
    result = run_forecast(load(deal, as_of_override(as_of)), chosen)
    if result.held:
        raise HeldError(f"{result.id}: held, not published: {'; '.join(result.held)}")
    return result.id


@flow(name="forecast", log_prints=True)
def forecast_deals(
    deals: Sequence[str],
    as_of: str | None = None,
    paths: int = 1_000_000,
    draws: int = 4_000,
    seed: int = 1,
    archive: str = "outputs",
) -> list[str]:
    """Forecast every deal; one that fails fails the flow, after the others are done."""
    settings: dict[str, int | str] = {"paths": paths, "draws": draws, "seed": seed, "archive": archive}
    runs, failures = [], []
    for deal in deals:
        try:
            runs.append(call(forecast_deal, deal, as_of, settings))
            if FlowRunContext.get() is not None:
                print(f"{deal}: {runs[-1]}")
        except ForecastError as err:
            failures.append(f"{deal}: {err}")
    if failures:
        raise ForecastError("\n".join(failures))
    return runs


def run_on_dask(where: str, inputs: Inputs, settings: RunSettings, progress: Progress = silent) -> RunResult:
    """Forecast one deal with its paths counted on Dask workers, one task a block of draws.

    The same bytes as `run_forecast` gives in this process.

    Parameters
    ----------
    where
        `local`, `local:N` or `tcp://HOST:PORT`, whose workers must see the archive under the same path.
    inputs, settings, progress
        As of `run_forecast`.
    """
    return on_dask("run", partial(run_forecast, inputs, settings, progress), where, settings.threads, settings.archive)
