"""`forecast sweep …`: a deal in every cell of a grid or design."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forecast.options import ARCHIVE, AS_OF, DEAL, DRAWS, SEED, SIMULATE, THREADS
from forecast.shell import Examples, by_flow

if TYPE_CHECKING:
    from forecast.analysis.design import Design

EVERY = 30.0  # seconds between two lines of progress where there is no terminal

OPTIONS = [
    click.option(
        "--vary",
        multiple=True,
        metavar="NAME=V1,V2,…",
        help="A parameter, or a key of the deal file, and its values: a list, a range LOW..HIGH/COUNT, or "
        "LOW..HIGH/COUNTlog; several make a grid.",
    ),
    click.option("--design", type=click.Choice(["lhs", "sobol"]), help="Latin hypercube or Sobol points, not a grid."),
    click.option("--cells", type=click.IntRange(0), default=256, show_default=True, help="Cells of a design."),
    click.option(
        "--over",
        multiple=True,
        metavar="NAME=LOW..HIGH",
        help="A dimension of a design: a range, LOW..HIGH/log, a list, or NAME=posterior for the parameter's own "
        "posterior. May be repeated.",
    ),
    AS_OF,
    click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key in all cells."),
    click.option(
        "--paths",
        type=click.IntRange(1_000, 100_000_000),
        default=100_000,
        show_default=True,
        help="Simulated futures a cell.",
    ),
    DRAWS,
    SEED,
    ARCHIVE,
    THREADS,
    SIMULATE,
]


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `forecast sweep` and `forecast-flow sweep` share."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command(
    cls=Examples,
    example="forecast sweep priors/ukraine_2025 --vary oral_worth=0.2..0.8/4 --vary verification.agreed=true,false\n"
    "forecast sweep priors/teaching --design sobol --cells 64 --over noise=0.5..2/log --over power_changes=posterior",
)
@DEAL
@options
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Also write a page and pictures to it.")
@click.option(
    "--dask",
    metavar="local[:N]|tcp://…",
    help="Spread the blocks over N processes of this machine, or over a Dask cluster, by Prefect.",
)
def sweep(deal: Path, out: Path | None, dask: str | None, archive: Path, **given: Any) -> None:
    """Forecast DEAL once for every cell of a grid or design, with the same luck in every cell.

    It can be stopped at any time; the same command goes on where it was, and gives the same bytes.
    """
    if dask is not None:
        by_flow()
    from forecast.deal.overrides import parse_changes
    from forecast.inputs import load
    from forecast.pipeline import RunSettings
    from forecast.sweeping import run_sweep

    design = design_of(given.pop("vary"), given.pop("design"), given.pop("cells"), given.pop("over"))
    loaded = load(deal, parse_changes(given.pop("overrides"), given.pop("as_of")))
    settings = RunSettings(archive=archive, command=" ".join(["forecast", *sys.argv[1:]]), **given)
    show(run_sweep(loaded, design, settings, progress=Progress(), say=say), out)


def design_of(vary: tuple[str, ...], design: str | None, cells: int, over: tuple[str, ...]) -> "Design":
    """Read what is swept; a grid or a design, not both."""
    from forecast.analysis.design import parse_design, parse_grid

    if design is None and over:
        raise click.UsageError("--over is for designs: add --design lhs or --design sobol, or write --vary")
    if design is not None and vary:
        raise click.UsageError("--vary makes a grid; of a design write --over")
    if not vary and not over:
        raise click.UsageError(
            "nothing to sweep: --vary oral_worth=0.2,0.5,0.8, or --design sobol --over NAME=LOW..HIGH"
        )
    return parse_grid(vary) if design is None else parse_design(design, cells, over)


def say(text: str) -> None:
    """Say something about the work, beside the result."""
    click.echo(text, err=True)


def show(data: Any, out: Path | None) -> None:
    """Print the result, and write its page."""
    from forecast.report.sweep_text import lines

    for line in lines(data):
        click.echo(line)
    if out is not None:
        from forecast.report.sweep_page import write_page

        click.echo(f"page    {write_page(out, data)}")
    click.echo(f"\nsweep   {data.attrs['path']}")


class Progress:
    """Draws a bar with the time that is left on a terminal; elsewhere writes a line now and then."""

    def __init__(self) -> None:
        self.stage, self.first, self.started, self.said = "", 0, 0.0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage has come; what was done before it began tells nothing of its speed."""
        from forecast.report.words import in_words

        now = time.monotonic()
        if stage != self.stage:
            self.stage, self.first, self.started, self.said = stage, done, now, now
        elapsed, new = now - self.started, done - self.first
        left = in_words(elapsed * (total - done) / new) if new and done < total else ""
        text = f"{stage} {done:,} of {total:,}, {f'{left} left' if left else f'{elapsed:.1f} s'}"
        if sys.stderr.isatty():
            width = 28
            bar = "█" * (width * done // max(total, 1))
            click.echo(f"\r{bar:·<{width}} {text:<52}", err=True, nl=done >= total)
        elif done >= total or (new and now - self.said >= EVERY):
            self.said = now
            click.echo(text, err=True)
