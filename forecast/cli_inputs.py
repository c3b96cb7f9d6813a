"""`forecast inputs …`: the numbers that enter a deal, shown, written to one table and read back."""

from pathlib import Path

import click

from forecast.options import AS_OF, DEAL
from forecast.shell import Examples


@click.group()
def inputs() -> None:
    """Show, export and import every number that enters a deal: parameters, experts' answers, seeds."""


@inputs.command(cls=Examples, example="forecast inputs show priors/teaching --question power_changes")
@DEAL
@AS_OF
@click.option("--question", "only", multiple=True, metavar="NAME", help="A question or a parameter. May be repeated.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV instead of tables.")
@click.option("--families", is_flag=True, help="Also fit other families to each answer (slow), the best one first.")
def show(deal: Path, as_of: str | None, only: tuple[str, ...], as_csv: bool, families: bool) -> None:
    """Show what experts said of DEAL, how well it is fitted, what it weighs and what is pooled from it."""
    from forecast.deal.overrides import as_of_override
    from forecast.inputs import load
    from forecast.ledger.show import ledger_csv, ledger_lines, ledger_of

    if as_csv and families:
        raise click.UsageError("--csv and --families do not go together")
    ledger = ledger_of(load(deal, as_of_override(as_of)).deal, only)
    if as_csv:
        click.echo(ledger_csv(ledger), nl=False)
        return
    for line in ledger_lines(ledger):
        click.echo(line)
    if families:
        from forecast.ledger.families import fitted_families

        click.echo(
            "\nFamilies, by the largest difference from the probabilities asked. The pool takes the normal of the"
        )
        click.echo("link scale: LogitNormal, LogNormal or Normal.")
        for answer in (a for q in ledger.questions for a in q.answers):
            click.echo(f"  {answer.row.question}, {answer.row.expert}")
            for f in fitted_families(answer.row):
                click.echo(f"    {f.family:<12} {f.error:6.3f}  {f.parameters}")


@inputs.command(cls=Examples, example="forecast inputs export priors/teaching teaching.csv")
@DEAL
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace OUT if it exists.")
def export(deal: Path, out: Path, force: bool) -> None:
    """Write every number that enters DEAL to OUT, one CSV that a spreadsheet can edit."""
    from forecast.inputs import load
    from forecast.ledger.table import read_files, table_text

    load(deal)
    if out.exists() and not force:
        raise click.UsageError(f"{out}: exists already; choose another name, or replace it with --force")
    text = table_text(read_files(deal))
    out.write_text(text, encoding="utf-8", newline="")
    click.echo(f"{out}: {text.count(chr(10)) - 1} lines; put it back with: forecast inputs import {deal} {out}")


@inputs.command("import", cls=Examples, example="forecast inputs import priors/teaching teaching.csv --as priors/mine")
@DEAL
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--as", "target", type=click.Path(path_type=Path), help="Write a new deal folder; DEAL itself, if left out."
)
@click.option("--dry-run", is_flag=True, help="Say what would change, and write nothing.")
def import_(deal: Path, table: Path, target: Path | None, dry_run: bool) -> None:
    """Read an edited TABLE back into DEAL, if all of it is right and the deal that it makes is."""
    from forecast.ledger.importing import import_table

    changes = import_table(deal, table, target, dry_run=dry_run)
    for line in changes:
        click.echo(line)
    where = target or deal
    done = "nothing is written (--dry-run)" if dry_run else "written" if changes or target else "left as it is"
    click.echo(f"{where}: {len(changes)} change{'' if len(changes) == 1 else 's'}, {done}")
