"""`forecast-flow`: the flows from the command line, with a Prefect server if one is configured."""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from forecast import cli_run
from forecast.cli_sweep import Progress, design_of, options, say, show
from forecast.errors import ForecastError
from forecast.shell import run_app

NO_SERVER = """\
a schedule needs a Prefect server. In another terminal:
    prefect server start --host 127.0.0.1
  and here:
    export PREFECT_API_URL=http://127.0.0.1:4200/api"""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def app() -> None:
    """Run forecasts and sweeps as Prefect flows.

    Without PREFECT_API_URL the same work runs in this process, with no server and no socket.
    """


SETTINGS = [
    click.option("--as-of", metavar="DATE", help="Another as-of date than the deal's."),
    click.option("--draws", type=click.IntRange(400, 40_000), default=4_000, show_default=True),
    click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True),
    click.option("--archive", default="outputs", show_default=True),
]


def settings(command: Any) -> Any:
    """Add the options that all flows share."""
    for option in reversed(SETTINGS):
        command = option(command)
    return command


@app.command()
@click.argument("deals", nargs=-1, required=True)
@click.option("--paths", type=click.IntRange(1_000), default=1_000_000, show_default=True)
@settings
def forecast(deals: tuple[str, ...], **options: Any) -> None:
    """Forecast each of DEALS.

    Example: forecast-flow forecast priors/ukraine_2025
    """
    from flows.common import has_server
    from flows.forecast import forecast_deals

    run = forecast_deals if has_server() else forecast_deals.fn
    for id_ in run(deals=list(deals), **options):
        click.echo(id_)


@app.command()
@click.argument("deal", type=click.Path(path_type=Path))
@cli_run.options
def run(dask: str | None, **given: Any) -> None:
    """Forecast DEAL, its paths counted on Dask workers with --dask.

    Example: forecast-flow run priors/ukraine_2025 --paths 10000000 --dask local:2
    """
    if dask is None:
        from forecast.pipeline import run_forecast

        cli_run.forecast_and_print(run_forecast, "forecast-flow", **given)
        return
    from flows.forecast import run_on_dask

    cli_run.forecast_and_print(partial(run_on_dask, dask), "forecast-flow", **given)


@app.command()
@click.argument("deal", type=click.Path(path_type=Path))
@options
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Also write a page and pictures to it.")
@click.option("--dask", metavar="local[:N]|tcp://…", help="Spread the blocks over processes, or over a Dask cluster.")
def sweep(deal: Path, archive: Path, out: Path | None, dask: str | None, **given: Any) -> None:
    """Sweep DEAL over a grid or design.

    Example: forecast-flow sweep priors/teaching --vary noise=0.5,1,2 --dask local:2
    """
    from flows.common import has_server
    from forecast.deal.overrides import parse_changes
    from forecast.inputs import load
    from forecast.pipeline import RunSettings
    from forecast.sweeping import run_sweep

    design = design_of(given.pop("vary"), given.pop("design"), given.pop("cells"), given.pop("over"))
    loaded = load(deal, parse_changes(given.pop("overrides"), given.pop("as_of")))
    settings = RunSettings(archive=archive, command=" ".join(["forecast-flow", *sys.argv[1:]]), **given)
    if dask is None and not has_server():
        show(run_sweep(loaded, design, settings, progress=Progress(), say=say), out)
        return
    from flows.sweep import sweep_as_flow

    show(sweep_as_flow(loaded, design, settings, dask, Progress(), say), out)


@app.command()
@click.argument("deals", nargs=-1, required=True)
@click.option("--cron", default="0 6 * * *", show_default=True, help="When; five fields, in --timezone.")
@click.option("--timezone", default="UTC", show_default=True)
@click.option("--paths", type=click.IntRange(1_000), default=1_000_000, show_default=True)
@settings
def serve(deals: tuple[str, ...], cron: str, timezone: str, **options: Any) -> None:
    """Forecast each of DEALS on a schedule, until stopped.

    Example: forecast-flow serve priors/ukraine_2025
    """
    from flows.common import has_server

    if not has_server():
        raise ForecastError(NO_SERVER)
    from prefect.schedules import Cron

    from flows.forecast import forecast_deals

    forecast_deals.serve(
        name="scheduled", schedule=Cron(cron, timezone=timezone), parameters={"deals": list(deals), **options}
    )


def main() -> None:
    """Entry point."""
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
    # Its own server, where none is configured, may take longer to start than the 20 s that it is given.
    os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
    run_app(app, "forecast-flow")
