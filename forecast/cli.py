"""The command line: one command a pipeline call, one clear line an error."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from forecast.cli_frontier import frontier
from forecast.cli_inputs import inputs
from forecast.cli_run import run
from forecast.cli_sensitivity import sensitivity
from forecast.cli_sources import sources
from forecast.cli_sweep import sweep
from forecast.cli_verify import verify
from forecast.cli_whatif import given, whatif
from forecast.options import ARCHIVE, AS_OF, DEAL, RUN, SET
from forecast.shell import Examples, run_app


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="forecast")
def app() -> None:
    """Forecasts of negotiated deals: how they are accepted, and how they break down.

    A deal is a folder with a deal.toml. Begin with: forecast run priors/ukraine_2025
    """


app.add_command(frontier)
app.add_command(inputs)
app.add_command(run)
app.add_command(sensitivity)
app.add_command(sources)
app.add_command(sweep)
app.add_command(verify)
app.add_command(given)
app.add_command(whatif)


def command(example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Register a command under the second word of its example."""
    return app.command(name=example.split()[1], cls=Examples, example=example)


@command("forecast check priors/ukraine_2025")
@DEAL
@SET
@AS_OF
def check(deal: Path, overrides: tuple[str, ...], as_of: str | None) -> None:
    """Read DEAL and say everything that is wrong with it."""
    from forecast.deal.expand import expand
    from forecast.deal.overrides import parse_changes
    from forecast.inputs import load

    read = load(deal, parse_changes(overrides, as_of))
    loaded = read.deal
    process = expand(loaded)
    counts = {
        "parameters": loaded.file.parameters,
        "flags": process.flags,
        "hazards": process.hazards,
        "scheduled events": process.scheduled,
        "causes": process.causes,
    }
    found = ", ".join(f"{len(things)} {name}" for name, things in counts.items())
    click.echo(f"{loaded.folder / 'deal.toml'}: no problems: {found}")
    for note in read.not_yet_known:
        click.echo(note)


@command("forecast explain priors/teaching --level process")
@DEAL
@SET
@AS_OF
@click.option(
    "--level",
    type=click.Choice(["deal", "process"]),
    default="deal",
    show_default=True,
    help="The deal's words, or the primitives that they become.",
)
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), help="Also write the state diagram to this file."
)
def explain(deal: Path, overrides: tuple[str, ...], as_of: str | None, level: str, svg: Path | None) -> None:
    """Say DEAL in plain sentences, with its state diagram."""
    from forecast.deal.describe import deal_sentences, process_sentences
    from forecast.deal.diagram import diagram_svg, diagram_text
    from forecast.deal.expand import expand
    from forecast.deal.overrides import parse_changes
    from forecast.inputs import load

    loaded = load(deal, parse_changes(overrides, as_of)).deal
    process = expand(loaded)
    click.echo(f"{loaded.file.deal.title}, as of {loaded.as_of}, to {loaded.horizon}\n")
    click.echo(diagram_text(process) + "\n")
    sentences = deal_sentences(loaded.file) if level == "deal" else process_sentences(process)
    for sentence in sentences:
        click.echo(f"• {sentence}")
    if svg:
        svg.write_text(diagram_svg(process), encoding="utf-8")
        click.echo(f"\ndiagram: {svg}")


@command("forecast list")
@ARCHIVE
def list_(archive: Path) -> None:
    """List the runs of the archive, newest last."""
    from forecast.console import Console
    from forecast.pipeline import list_runs

    Console().print_runs(list_runs(archive))


@command("forecast show latest --at 2030-03-15")
@RUN
@ARCHIVE
@click.option("--at", metavar="DATE", help="Date of the table; the horizon, if left out.")
def show(run_id: str, archive: Path, at: str | None) -> None:
    """Print the probabilities of RUN (an id, the start of one, or `latest`)."""
    from forecast.console import Console
    from forecast.deal.overrides import parse_date
    from forecast.pipeline import open_run

    Console().print_forecast(open_run(run_id, archive), parse_date(at, "--at") if at else None)


@command("forecast report latest --out ukraine.html")
@RUN
@ARCHIVE
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="File; report.html of the run, if left out."
)
def report(run_id: str, archive: Path, out: Path | None) -> None:
    """Say where the HTML report of RUN is, or write it to another file."""
    from forecast.pipeline import write_run_report

    click.echo(write_run_report(run_id, archive, out))


@command("forecast diagnose latest --out diagnostics")
@RUN
@ARCHIVE
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("diagnostics"),
    show_default=True,
    help="Folder for the pictures and the page.",
)
def diagnose(run_id: str, archive: Path, out: Path) -> None:
    """Write ArviZ diagnostics of the calibration behind RUN: pictures, a table and one HTML page."""
    from forecast.pipeline import diagnose_run

    click.echo(diagnose_run(run_id, archive, out))


@command("forecast replay latest --path 4812")
@RUN
@ARCHIVE
@click.option("--path", "number", type=click.IntRange(0), required=True, help="Number of the path, from 0.")
def replay(run_id: str, archive: Path, number: int) -> None:
    """Tell one simulated future of RUN as a dated story."""
    from forecast.pipeline import replay_path

    for line in replay_path(run_id, archive, number):
        click.echo(line)


def main() -> None:
    """Entry point."""
    run_app(app, "forecast")
