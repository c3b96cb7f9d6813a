"""`forecast sensitivity …`: what drives a forecast, from the stored run."""

import os
from pathlib import Path

import click

from forecast.options import ARCHIVE
from forecast.shell import Examples


@click.command(
    cls=Examples,
    example="forecast sensitivity latest --headline 'Signed by the end of 2026' --top 5 --out sensitivity",
)
@click.argument("which", metavar="RUN_OR_DEAL")
@ARCHIVE
@click.option(
    "--headline",
    multiple=True,
    metavar="LABEL",
    help="A headline, a cause or an outcome class: its label, a part of it, or its id; all headlines, if left out. "
    "May be repeated.",
)
@click.option("--top", type=click.IntRange(1, 1000), default=8, show_default=True, help="Parameters shown a headline.")
@click.option(
    "--decision",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A TOML file with actions and payoffs: what is each fact worth to that choice?",
)
@click.option(
    "--paired",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Also simulate the N parameters that count most, each at its 5% and 95% quantile, all else at its draws.",
)
@click.option("--csv", "as_csv", is_flag=True, help="Print every figure as CSV instead of tables.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write a page, pictures and CSV to it.",
)
def sensitivity(
    which: str,
    archive: Path,
    headline: tuple[str, ...],
    top: int,
    decision: Path | None,
    paired: int | None,
    as_csv: bool,
    out: Path | None,
) -> None:
    """Say which parameters drive the headlines of RUN_OR_DEAL, and which facts to find out next.

    Everything comes from the draws that the run holds; nothing is simulated, but with --paired. Of a deal (its folder
    or its id) the newest run is taken. The figures are kept in the archive, beside the runs.
    """
    # The matrices are small: threads of the linear algebra wait for each other longer than they compute.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from forecast.analysis.sensitivity.stored import sensitivity as analyse_run
    from forecast.report.sensitivity_text import lines, table

    if paired is None:
        found = analyse_run(which, archive, headline, decision)
    else:
        from forecast.console import Console
        from forecast.swings import paired_sensitivity

        found = paired_sensitivity(which, paired, archive, headline, decision, Console(quiet=as_csv).progress)
    if as_csv:
        click.echo(table(found.data), nl=False)
    else:
        for line in lines(found.data, top):
            click.echo(line)
        for note in found.notes:
            click.echo(f"\nnote    {note}")
        click.echo(f"\nkept    {found.path}")
    if out is not None:
        from forecast.report.sensitivity_page import write_page

        page = write_page(out, found.data, top)
        click.echo(f"page    {page}", err=as_csv)
