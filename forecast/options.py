"""Arguments and options that several commands have, each said once."""

from pathlib import Path

import click

ARCHIVE = click.option(
    "--archive",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("outputs"),
    show_default=True,
    help="Folder of the archive.",
)
SET = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change one key of the deal file, e.g. promises.neutral_status.binding=true. May be repeated.",
)
AS_OF = click.option("--as-of", metavar="DATE", help="Another as-of date than the deal's; nothing known later enters.")
SEED = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=1, show_default=True, help="Same seed and inputs, same bytes."
)
DRAWS = click.option(
    "--draws",
    type=click.IntRange(400, 40_000),
    default=4_000,
    show_default=True,
    help="Posterior draws; paths are spread over them evenly.",
)
THREADS = click.option("--threads", type=click.IntRange(1, 1024), default=None, help="Threads; all cores, if left out.")
SIMULATE = click.option(
    "--simulate", is_flag=True, help="Simulate also where the process is small enough to be solved exactly."
)
DEAL = click.argument("deal", type=click.Path(path_type=Path))
RUN = click.argument("run_id", metavar="RUN")
