"""How a command line ends: with its result, or with one clear line an error and an exit code."""

import os
import sys
from typing import Any

import click

from forecast.errors import ForecastError


class Examples(click.Command):
    """A command whose help ends with an example."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example under the options."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Example"):
            for line in self.example.splitlines():
                formatter.write_text(line)


def run_app(app: click.Group, name: str) -> None:
    """Run a command line; an error of the input is its message and exit code 2, never a traceback."""
    try:
        app(standalone_mode=False)
    except click.ClickException as err:
        err.show()
        sys.exit(2)
    except click.exceptions.Abort:
        click.echo(f"{name}: interrupted; nothing was written", err=True)
        sys.exit(130)
    except OSError as err:
        click.echo(f"{name}: error: {err.filename or 'a file'}: {err.strerror or err}", err=True)
        sys.exit(2)
    except ForecastError as err:
        for line in str(err).splitlines():
            click.echo(f"{name}: error: {line}" if not line.startswith(" ") else line, err=True)
        sys.exit(getattr(err, "exit_code", 2))


def by_flow() -> None:
    """Hand over to the flow of the same name: the library knows neither Prefect nor Dask."""
    os.execv(sys.executable, [sys.executable, "-m", "flows", *sys.argv[1:]])  # noqa: S606  # our own module, no shell
