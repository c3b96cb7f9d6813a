"""The flow `sweep`: one deal in every cell of a grid."""

from collections.abc import Mapping, Sequence

from prefect import flow, task

from flows.common import call, is_transient, settings_of
from forecast.deal.overrides import as_of_override
from forecast.inputs import load
from forecast.pipeline import run_sweep


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
