"""`forecast frontier …`: which packages are accepted, which last, and who blocks what."""

import sys
from pathlib import Path
from typing import Any

import click

from forecast.options import ARCHIVE, DEAL, SEED, THREADS
from forecast.shell import Examples


@click.command(
    cls=Examples,
    example="forecast frontier priors/ukraine_2025 --optional export_limits --optional transnistria "
    "--vary promises.neutral_status.binding=false,true --years 5 --out frontier.png",
)
@DEAL
@click.option("--optional", multiple=True, metavar="CLAUSE", help="A clause or promise that may be left out.")
@click.option("--vary", multiple=True, metavar="KEY=V1,V2", help="A term, or a parameter, and its values.")
@click.option("--years", type=float, default=5.0, show_default=True, help="In force so long after the last round.")
@click.option("--accept-by", metavar="DATE", help="Date of the last round, if another than the deal's.")
@click.option("--draws", type=click.IntRange(400, 40_000), default=400, show_default=True, help="Posterior draws.")
@SEED
@THREADS
@ARCHIVE
@click.option("--top", type=click.IntRange(1, 1000), default=20, show_default=True, help="Packages of the front shown.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every package as CSV instead of tables.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also draw it, as PNG or SVG.")
def frontier(
    deal: Path,
    optional: tuple[str, ...],
    vary: tuple[str, ...],
    years: float,
    accept_by: str | None,
    top: int,
    as_csv: bool,
    out: Path | None,
    **settings: Any,
) -> None:
    """Compare every package of DEAL by whether it is accepted, and whether it then lasts.

    Packages are all sets of the optional clauses, times all terms, 5,000 at most. All share draws and luck; those near
    the front get more paths.
    """
    from forecast.console import Console
    from forecast.deal.overrides import parse_date, parse_value
    from forecast.deal.scenario import pairs_of
    from forecast.frontiers import frontier as compare
    from forecast.inputs import load
    from forecast.pipeline import RunSettings
    from forecast.report.frontier_show import lines, picture, table

    if out is not None and out.suffix not in (".png", ".svg"):
        raise click.UsageError(f"--out {out}: write to a .png or an .svg file")
    pairs = pairs_of("--vary", vary, "promises.neutral_status.binding=false,true")
    terms = {k: [parse_value(x.strip()) for x in v.split(",")] for k, v in pairs.items()}
    day = parse_date(accept_by, "--accept-by") if accept_by else None
    command = " ".join(["forecast", *sys.argv[1:]])
    run, progress = RunSettings(command=command, **settings), Console(quiet=as_csv).progress
    found = compare(load(deal), optional, terms, years=years, accept_by=day, settings=run, progress=progress)
    if as_csv:
        click.echo(table(found.data), nl=False)
    else:
        for line in lines(found.data, top):
            click.echo(line)
        click.echo(f"\nkept    {found.path}")
    if out is not None:
        picture(found.data).savefig(out, dpi=144, facecolor="white")
        click.echo(f"picture {out}", err=as_csv)
