"""`forecast run …`: calibrate, simulate, archive and report a deal."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from forecast.errors import HeldError
from forecast.options import ARCHIVE, AS_OF, DEAL, DRAWS, SEED, SET, SIMULATE, THREADS
from forecast.shell import Examples, by_flow

OPTIONS = [
    AS_OF,
    SET,
    SEED,
    ARCHIVE,
    click.option(
        "--paths",
        type=click.IntRange(1_000, 2_000_000_000),
        default=1_000_000,
        show_default=True,
        help="Simulated futures.",
    ),
    click.option(
        "--precision",
        type=float,
        default=None,
        help="Take as many draws and weighted paths as bring every headline to this standard error (0.002).",
    ),
    DRAWS,
    THREADS,
    SIMULATE,
    click.option(
        "--dask",
        metavar="local[:N]|tcp://…",
        help="Spread the paths over N processes of this machine, or over a Dask cluster, by Prefect.",
    ),
    click.option("--allow-held", is_flag=True, help="Exit with 0 even if the calibration fails its checks."),
    click.option("--quiet", is_flag=True, help="Print the run's id only."),
]


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `forecast run` and `forecast-flow run` share."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command(cls=Examples, example="forecast run priors/ukraine_2025 --paths 1000000")
@DEAL
@options
def run(dask: str | None, **given: Any) -> None:
    """Calibrate, simulate, archive and report a forecast of DEAL.

    With --dask a run that is killed goes on where it was when the same command is given again; the bytes are the same.
    """
    if dask is not None:
        by_flow()
    from forecast.pipeline import run_forecast

    forecast_and_print(run_forecast, "forecast", **given)


def forecast_and_print(
    forecast: Callable[..., Any],
    program: str,
    *,
    deal: Path,
    as_of: str | None,
    overrides: tuple[str, ...],
    quiet: bool,
    allow_held: bool,
    **settings: Any,
) -> None:
    """Make a run by `forecast` (inputs, settings, progress), and print it."""
    from forecast.console import Console
    from forecast.deal.overrides import parse_changes
    from forecast.inputs import load
    from forecast.pipeline import RunSettings

    console = Console(quiet=quiet)
    loaded = load(deal, parse_changes(overrides, as_of))
    chosen = RunSettings(command=" ".join([program, *sys.argv[1:]]), **settings)
    result = forecast(loaded, chosen, console.progress)
    console.print_run(result)
    if result.held and not allow_held:
        raise HeldError(f"{result.id}: held, not published:\n" + "\n".join(f"  {p}" for p in result.held))
