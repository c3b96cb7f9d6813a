"""How a command line ends: with its result, or with one clear line an error and an exit code."""

import sys

import click

from forecast.errors import ForecastError


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
