"""`forecast frontier …`: which packages are accepted, which last, and who blocks what."""

import sys
from pathlib import Path
from typing import Any

import click

from forecast.options import ARCHIVE, DEAL, SEED, THREADS
from forecast.shell import Examples

PICTURES = (".png", ".svg")


@click.command(
    cls=Examples,
    example="forecast frontier priors/ukraine_2025 --optional export_limits --optional transnistria "
    "--vary promises.neutral_status.binding=false,true --years 5 --out frontier.png",
)
@DEAL
@click.option("--optional", multiple=True, metavar="CLAUSE", help="A clause or promise that may be left out.")
@click.option("--vary", multiple=True, metavar="KEY=V1,V2", help="A term, or a parameter, and its values.")
@click.option("--years", type=float, default=5.0, show_default=True, help="In force so long after the signature.")
@click.option("--accept-by", metavar="DATE", help="Date of the last round, if another than the deal's.")
@click.option("--draws", type=click.IntRange(400, 40_000), default=400, show_default=True, help="Posterior draws.")
@click.option(
    "--budget",
    type=click.IntRange(0, 100_000_000_000),
    default=4_000_000,
    show_default=True,
    help="Weighted paths, in all, that may go into telling which packages are on the front.",
)
@SEED
@THREADS
@ARCHIVE
@click.option("--top", type=click.IntRange(1, 1000), default=20, show_default=True, help="Packages of the front shown.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every package as CSV instead of tables.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER|FILE.png|FILE.svg",
    help="Also write a page with the picture and CSV, or the picture alone.",
)
@click.option("--narrow", is_flag=True, help="Draw the picture for a narrow page.")
def frontier(
    deal: Path,
    optional: tuple[str, ...],
    vary: tuple[str, ...],
    years: float,
    accept_by: str | None,
    budget: int,
    top: int,
    as_csv: bool,
    out: Path | None,
    narrow: bool,
    **settings: Any,
) -> None:
    """Compare every package of DEAL by whether it is accepted, and whether it then lasts.

    Packages are all sets of the optional clauses, times all terms, 5,000 at most. All share draws and luck; those that
    may be on the front get more paths until it is settled which are, or the budget is spent.
    """
    from forecast.console import Console
    from forecast.deal.overrides import parse_date, parse_value
    from forecast.deal.scenario import pairs_of
    from forecast.errors import DealFileError
    from forecast.frontiers import frontier as compare
    from forecast.inputs import load
    from forecast.pipeline import RunSettings
    from forecast.report.frontier_show import lines, picture, table

    if narrow and (out is None or out.suffix not in PICTURES):
        raise click.UsageError("--narrow is for a picture alone: --out FILE.png or FILE.svg; a page has both")
    pairs, wrong = pairs_of("--vary", vary, "promises.neutral_status.binding=false,true")
    if wrong:
        raise DealFileError("\n".join(wrong))
    terms = {k: [parse_value(x.strip()) for x in v.split(",")] for k, v in pairs.items()}
    day = parse_date(accept_by, "--accept-by") if accept_by else None
    command = " ".join(["forecast", *sys.argv[1:]])
    run, progress = RunSettings(command=command, **settings), Console(quiet=as_csv).progress
    asked: dict[str, Any] = {"years": years, "accept_by": day, "budget": budget}
    data = compare(load(deal), optional, terms, **asked, settings=run, progress=progress, say=_say)
    if as_csv:
        click.echo(table(data), nl=False)
    else:
        for line in lines(data, top):
            click.echo(line)
        click.echo(f"\nkept    {data.attrs['path']}")
    if out is not None and out.suffix in PICTURES:
        picture(data, narrow=narrow).savefig(out, dpi=144, facecolor="white")
        click.echo(f"picture {out}", err=as_csv)
    elif out is not None:
        from forecast.report.frontier_page import write_page

        click.echo(f"page    {write_page(out, data, top)}", err=as_csv)


def _say(text: str) -> None:
    click.echo(text, err=True)
