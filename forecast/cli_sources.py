"""`forecast sources …`: how far each source pulled."""

from pathlib import Path

import click

from forecast.options import ARCHIVE, RUN
from forecast.shell import Examples


@click.command(cls=Examples, example="forecast sources latest --parameter fighting_resumes --out fighting.png")
@RUN
@ARCHIVE
@click.option("--parameter", multiple=True, metavar="ID", help="A parameter; all, if left out. May be repeated.")
@click.option("--headline", metavar="LABEL", help="The headline whose changes are shown; the first, if left out.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every figure as CSV instead of a table.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Also draw the forest plot, as PNG.")
def sources(
    run_id: str, archive: Path, parameter: tuple[str, ...], headline: str | None, as_csv: bool, out: Path | None
) -> None:
    """Say what each class and each expert of RUN says by itself, how much it weighs, and what it does.

    Each number of the deal as its prior has it, each class, each expert and all of them together, and how
    the headline would move if the number were where that source has it.
    """
    from forecast.pipeline import open_run
    from forecast.report import pull

    rows, label = pull.asked(open_run(run_id, archive).open(), parameter, headline)
    if as_csv:
        click.echo(pull.table(rows), nl=False)
    else:
        for line in pull.lines(rows, label):
            click.echo(line)
    if out is not None:
        chosen = list(dict.fromkeys(r.parameter for r in rows)) if parameter else pull.drawn(rows)
        pull.forest(rows, chosen, narrow=False).savefig(out, dpi=110.0, facecolor="white", metadata={"Software": None})
        click.echo(f"{out}: {len(chosen)} parameters", err=True)
