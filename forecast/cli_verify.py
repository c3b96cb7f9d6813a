"""`forecast verify`: the files of a run, and the calibration of every kind of model."""

from pathlib import Path
from typing import Any

import click

from forecast.options import ARCHIVE, RUN
from forecast.shell import Examples


class Verify(click.Group):
    """A group whose words may also be a run: `forecast verify latest` is `forecast verify run latest`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before what is no command of the group."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(name="verify", cls=Verify)
def verify() -> None:
    """Check the files of a run, or the calibration of every kind of model.

    `forecast verify RUN` checks the files of RUN (an id, the start of one, or `latest`).
    """


@verify.command(name="run", cls=Examples, example="forecast verify latest")
@RUN
@ARCHIVE
def files(run_id: str, archive: Path) -> None:
    """Check every file of RUN against its manifest."""
    from forecast.errors import ArchiveError
    from forecast.pipeline import open_run, verify_run

    found = open_run(run_id, archive)
    if problems := verify_run(found):
        raise ArchiveError("\n".join(problems))
    click.echo(f"{found.id}: every file is as it was written")


@verify.command(name="calibration", cls=Examples, example="forecast verify calibration --kind rates --datasets 500")
@click.option("--kind", "kinds", multiple=True, help="Kind of model; all of them, if left out. May be repeated.")
@click.option("--datasets", type=int, default=500, show_default=True, help="Simulated data sets a kind.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Same seed and code, same ranks."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("calibration-checks"),
    show_default=True,
    help="Folder for ranks, pictures and the table; what it holds already is not made again.",
)
def calibration(kinds: tuple[str, ...], **settings: Any) -> None:
    """Fit data whose truth is known, many times, and see whether posteriors are what they claim to be.

    Simulation-based calibration: parameters are drawn from the prior, data from the parameters, and the
    rank of each parameter among its posterior draws must be uniform. Exits with 1 where it is not.
    """
    from forecast.console import Console
    from forecast.errors import VerificationError
    from forecast.verification import verify_calibration

    console = Console()
    done = verify_calibration(kinds, progress=console.progress, **settings)
    console.print_verification(done)
    if done.verdict.problems:
        raise VerificationError("the calibration is not right:\n" + "\n".join(f"  {p}" for p in done.verdict.problems))


@verify.command(name="holdout", cls=Examples, example="forecast verify holdout --until 2012-01-01 --class leader_exit")
@click.option(
    "--until", metavar="DATE", default="2012-01-01", show_default=True, help="Last day whose information is fitted to."
)
@click.option("--class", "ids", multiple=True, metavar="ID", help="Reference class; all, if left out. May be repeated.")
@click.option(
    "--classes",
    "root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("priors/reference"),
    show_default=True,
    help="Folder of the reference classes.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Same seed and code, same scores."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("holdout"),
    show_default=True,
    help="Folder for the scores and the picture.",
)
@click.option("--csv", "as_table", is_flag=True, help="Print every figure as CSV instead of the table.")
def holdout(until: str, ids: tuple[str, ...], root: Path, seed: int, out: Path, as_table: bool) -> None:
    """Fit every reference class to what was known on a date, and score it on what came later.

    Rates, choices and times: later totals against predictive intervals, coverage over cells, and the log score
    against a constant rate. `python docs/holdout.py` puts the result into the manual.
    """
    from forecast.analysis.holdout import hold_out_classes, save
    from forecast.console import Console
    from forecast.deal.overrides import parse_date
    from forecast.report.holdout import as_csv, draw, lines

    progress = Console().progress
    result = hold_out_classes(root, ids, parse_date(until, "--until"), seed=seed, progress=progress)
    save(result, out)
    picture = draw(result, out / "holdout.png") if result.classes else None
    if as_table:
        click.echo(as_csv(result), nl=False)
        return
    for line in lines(result):
        click.echo(line)
    if picture:
        click.echo(f"\npicture {picture}\nscores  {out / 'holdout.json'}")
