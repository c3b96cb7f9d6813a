"""`forecast whatif …` and `forecast given …`: what if we make it so, and what if it so happens."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forecast.options import ARCHIVE, AS_OF, DEAL, DRAWS, SEED, THREADS
from forecast.shell import Examples

if TYPE_CHECKING:
    from xarray import Dataset

    from forecast.conditions import Conditioned
    from forecast.deal.scenario import Scenario
    from forecast.inputs import Inputs
    from forecast.scenarios import WhatIf

_TOML = click.Path(path_type=Path, dir_okay=False)


@click.command(
    cls=Examples,
    example="forecast whatif priors/ukraine_2025 --set promise.binding=true --drop verification "
    "--force us_presidency.2028=change",
)
@DEAL
@AS_OF
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="A key of the deal file, or a parameter.")
@click.option("--drop", "drops", multiple=True, metavar="CLAUSE", help="Leave out a clause, a promise, verification.")
@click.option("--add", "adds", multiple=True, type=_TOML, metavar="FILE.toml", help="Merge tables into the deal.")
@click.option("--force", "forces", multiple=True, metavar="EVENT=OUTCOME", help="Make an event come out so.")
@click.option("--scenarios", "file", type=_TOML, help="A TOML file of named scenarios, each compared with the deal.")
@click.option("--list", "listing", is_flag=True, help="List what can be forced, and how, and stop.")
@click.option(
    "--paths",
    type=click.IntRange(1_000, 100_000_000),
    default=200_000,
    show_default=True,
    help="Simulated futures of each scenario.",
)
@DRAWS
@SEED
@THREADS
@click.option("--simulate", is_flag=True, help="Simulate also where the process is small enough to be solved exactly.")
@ARCHIVE
@click.option("--top", type=click.IntRange(0, 200), default=6, show_default=True, help="Causes and outcomes shown.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every figure as CSV instead of tables.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Also write a page, pictures and CSV.")
def whatif(
    deal: Path,
    as_of: str | None,
    sets: tuple[str, ...],
    drops: tuple[str, ...],
    adds: tuple[Path, ...],
    forces: tuple[str, ...],
    file: Path | None,
    listing: bool,
    top: int,
    as_csv: bool,
    out: Path | None,
    **settings: Any,
) -> None:
    """Say what scenarios of DEAL would change: what if we make it so.

    --set, --drop, --add and --force together make one scenario, --scenarios FILE any number more. Each is compared
    with the deal as it is: one calibration, the same draws and the same luck.
    """
    from forecast.console import Console
    from forecast.deal.overrides import as_of_override
    from forecast.inputs import load

    loaded = load(deal, as_of_override(as_of))
    if listing:
        from forecast.variants import targets

        for target in targets(loaded).values():
            click.echo(target.line)
        return
    if not (sets or drops or adds or forces or file):
        raise click.UsageError("nothing to change: give --set, --drop, --add, --force or --scenarios FILE")
    scenarios = _asked(loaded, file, (sets, drops, adds, forces))
    from forecast.pipeline import RunSettings
    from forecast.scenarios import whatif as compare

    command = " ".join(["forecast", *sys.argv[1:]])
    found = compare(loaded, scenarios, RunSettings(command=command, **settings), Console(quiet=as_csv).progress)
    from forecast.report.whatif_rows import lines, table

    _print(found, lines, table, top, as_csv=as_csv)
    if out is not None:
        from forecast.report.whatif_page import write_page

        click.echo(f"page    {write_page(out, found.data, top)}", err=as_csv)


def _print(
    found: "WhatIf | Conditioned",
    lines: "Callable[[Dataset, int], Iterable[str]]",
    table: "Callable[[Dataset], str]",
    top: int,
    *,
    as_csv: bool,
) -> None:
    """Print what was found as CSV; or in lines, and where it is kept."""
    if as_csv:
        click.echo(table(found.data), nl=False)
        return
    for line in lines(found.data, top):
        click.echo(line)
    click.echo(f"\nkept    {found.path}")


def _asked(
    inputs: "Inputs",
    file: Path | None,
    words: tuple[tuple[str, ...], tuple[str, ...], tuple[Path, ...], tuple[str, ...]],
) -> "list[Scenario]":
    """Read the scenarios of the words and of the file; all that is wrong with any of them at once."""
    from forecast.deal.scenario import read_scenarios, words_to_scenario
    from forecast.errors import DealFileError
    from forecast.variants import variants_of

    found: list[Scenario] = []
    problems: list[str] = []
    if any(words):
        scenario, problems = words_to_scenario("scenario", *words)
        found.append(scenario)
    if file:
        try:
            found += read_scenarios(file)
        except DealFileError as err:
            problems += str(err).splitlines()
    if problems and found:  # what could be read is checked too; the rest is said by the comparison
        try:
            variants_of(inputs, found)
        except DealFileError as err:
            problems += str(err).splitlines()
    if problems:
        raise DealFileError("\n".join(problems))
    return found


@click.command(cls=Examples, example="forecast given latest --that us_presidency.2028=change --out given")
@click.argument("which", metavar="DEAL_OR_RUN")
@AS_OF
@click.option("--that", multiple=True, metavar="EVENT=OUTCOME", help="What so happens. May be repeated: all of it.")
@click.option("--list", "listing", is_flag=True, help="List what can be asked about, and how, and stop.")
@click.option(
    "--paths",
    type=click.IntRange(1_000, 5_000_000),
    default=200_000,
    show_default=True,
    help="Paths looked at; of a run, those that it has at most.",
)
@DRAWS
@SEED
@ARCHIVE
@click.option("--top", type=click.IntRange(0, 200), default=6, show_default=True, help="Causes and outcomes shown.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every figure as CSV instead of tables.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Also write a page, pictures and CSV.")
@click.pass_context
def given(
    context: click.Context,
    /,
    which: str,
    as_of: str | None,
    that: tuple[str, ...],
    listing: bool,
    top: int,
    as_csv: bool,
    out: Path | None,
    **settings: Any,
) -> None:
    """Say what is probable given that something so happens.

    Nothing is changed: of the paths of DEAL_OR_RUN those on which it happens are compared with all. That also tells
    about the parameters and about what came before. What if we make it so is another question: forecast whatif.
    """
    from forecast.conditions import given as condition
    from forecast.console import Console
    from forecast.pipeline import RunSettings

    source = _deal_or_run(context, which, as_of)
    if listing:
        for line in _listed(source, settings["archive"]):
            click.echo(line)
        return
    if not that:
        raise click.UsageError("nothing is given: say what so happens with --that EVENT=OUTCOME; see --list")
    asked = _that(source, that, settings["archive"])
    command = " ".join(["forecast", *sys.argv[1:]])
    found = condition(source, asked, RunSettings(command=command, **settings), Console(quiet=as_csv).progress)
    from forecast.report.given_rows import lines, table

    _print(found, lines, table, top, as_csv=as_csv)
    if out is not None:
        from forecast.report.given_page import write_page

        click.echo(f"page    {write_page(out, found.data, top)}", err=as_csv)


def _deal_or_run(context: click.Context, which: str, as_of: str | None) -> "Inputs | str":
    """Read a deal; of a run, which has its own, no date, draws or seed may be asked for."""
    from forecast.conditions import is_deal
    from forecast.deal.overrides import as_of_override
    from forecast.inputs import load

    if is_deal(which):
        return load(Path(which), as_of_override(as_of))
    from click.core import ParameterSource

    said = [f"--{n.replace('_', '-')}" for n in ("as_of", "draws", "seed")
            if context.get_parameter_source(n) is ParameterSource.COMMANDLINE]  # fmt: skip
    if said:
        raise click.UsageError(f"{which}: a run has its own date, draws and seed; leave out {', '.join(said)}")
    return which


def _that(source: "Inputs | str", that: tuple[str, ...], archive: Path) -> dict[str, str]:
    """Read what so happens; of words that can't be read, what is wrong with the others is said too."""
    from forecast.conditions import asked_of, inputs_of
    from forecast.deal.scenario import pairs_of
    from forecast.errors import DealFileError

    asked, problems = pairs_of("--that", that, "us_presidency.2028=change")
    if problems:
        try:
            if asked:
                asked_of(inputs_of(source, archive), asked)
        except DealFileError as err:
            problems += str(err).splitlines()
        raise DealFileError("\n".join(problems))
    return asked


def _listed(source: "Inputs | str", archive: Path) -> list[str]:
    from forecast.conditions import askable, inputs_of

    return [
        f"{t.name:<36} {' | '.join(t.outcomes):<44} {t.label}" for t in askable(inputs_of(source, archive)).values()
    ]
