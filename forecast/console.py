"""What the command line prints: plain tables on standard output, progress on standard error."""

import sys
import time
from collections.abc import Iterable
from datetime import date
from math import isnan
from textwrap import fill
from typing import TYPE_CHECKING

import click
import numpy as np
import xarray as xr

from forecast.archive import Run
from forecast.errors import ForecastError
from forecast.pipeline import RunResult, headline_rows
from forecast.report.tables import how_estimated

if TYPE_CHECKING:
    from forecast.verification import Verification


class Console:
    """Prints results; `progress` draws a bar on a terminal and a line a stage elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self._stage = ""
        self._started = 0.0

    def progress(self, stage: str, done: int, total: int) -> None:
        """Show how far a stage has come; called from the pipeline."""
        if self.quiet:
            return
        if stage != self._stage:
            self._stage, self._started = stage, time.monotonic()
        live, finished = sys.stderr.isatty(), done >= total
        elapsed = time.monotonic() - self._started
        if live:
            width = 28
            filled = width * done // max(total, 1)
            left = elapsed * (total - done) / done if done else 0.0
            rest = f"{elapsed:5.1f} s" if finished else f"{left:5.0f} s left"
            click.echo(f"\r{stage:<12} {'█' * filled}{'·' * (width - filled)} {rest}  ", err=True, nl=finished)
        elif finished:
            click.echo(f"{stage:<12} {elapsed:.1f} s", err=True)

    def print_run(self, result: RunResult) -> None:
        """Print the headline of a run, and where it is."""
        if self.quiet:
            click.echo(result.id)
            return
        click.echo(f"\n{result.title}\nas of {result.as_of}, to {result.horizon}; {result.paths:,} paths\n")
        self._headline(result.tree)
        if said := how_estimated(result.tree):
            click.echo("\n" + fill(said, 100))
        for note in result.notes:
            click.echo(note)
        click.echo(f"\nrun     {result.id}" + ("  (HELD: not published)" if result.held else ""))
        click.echo(f"report  {result.path / 'report.html'}")

    def print_runs(self, runs: Iterable[Run]) -> None:
        """Print one line a run."""
        rows = [
            (
                r.id,
                str(r.manifest["attrs"]["as_of"]),
                str(r.manifest["attrs"]["created"])[:19],
                str(r.manifest["attrs"]["status"]),
            )
            for r in runs
        ]
        if not rows:
            click.echo("no runs yet; make one with: forecast run priors/ukraine_2025")
            return
        width = max(len(r[0]) for r in rows)
        click.echo(f"{'run':<{width}}  {'as of':<10}  {'made (UTC)':<19}  status")
        for row in rows:
            click.echo(f"{row[0]:<{width}}  {row[1]:<10}  {row[2]:<19}  {row[3]}")

    def print_forecast(self, run: Run, at: date | None) -> None:
        """Print the outcomes and causes of a run at one date."""
        tree = run.open()
        summary = tree["summary"].to_dataset()
        times = tree["time"].to_numpy()
        day = np.datetime64(at) if at else times[-1]
        if not times[0] <= day <= times[-1]:
            raise ForecastError(f"--at {at}: outside the forecast, {str(times[0])[:10]} to {str(times[-1])[:10]}")
        index = int(np.searchsorted(times, day, side="right")) - 1
        click.echo(f"{tree.attrs['title']}\nas of {tree.attrs['as_of']}; {run.id}\n")
        self._headline(tree)
        for dim, title in (("outcome", "outcome"), ("cause", "ended by")):
            click.echo(f"\n{title} at {str(times[index])[:10]:<40}   chance   90 % interval   Monte Carlo")
            for k, id_ in enumerate(tree[dim].to_numpy()):
                row = [summary[f"{dim}_{q}"].to_numpy()[index, k] for q in ("mean", "lower", "upper", "mcse")]
                label = str(tree[f"{dim}_label"].to_numpy()[k])
                click.echo(_row(label if len(label) <= 52 else f"{label[:51]}…", *row) + f"   {id_}")

    def _headline(self, tree: xr.DataTree) -> None:
        click.echo(f"{'':<53} chance   90 % interval   Monte Carlo")
        for label, mean, lower, upper, mcse in headline_rows(tree):
            click.echo(_row(label, mean, lower, upper, mcse))

    def print_verification(self, done: "Verification") -> None:
        """Print one line a kind of model, and where ranks, pictures and the whole table are."""
        click.echo(
            f"\n{'kind':<14}{'data sets':>10}{'numbers':>9}{'smallest p':>12}{'50 %':>16}{'90 %':>16}{'diverged':>10}"
        )
        for kind, study in done.studies.items():
            own = [r for r in done.verdict.rows if r.kind == kind]
            spans = [f"{min(s):.1%}–{max(s):.1%}" for s in ([r.inside50 for r in own], [r.inside90 for r in own])]
            smallest, diverged = min(r.smallest for r in own), int((study["divergences"] > 0).sum())
            click.echo(
                f"{kind:<14}{study.sizes['dataset']:>10,}{len(own):>9}{smallest:>12.2g}"
                f"{spans[0]:>16}{spans[1]:>16}{diverged:>10}"
            )
        click.echo(f"\np-values below {done.verdict.threshold:.2g} fail; so chance fails one such command in a hundred")
        click.echo(f"table   {done.folder / 'table.md'}")


def _row(label: str, mean: float, lower: float, upper: float, mcse: float) -> str:
    if isnan(mean):
        return f"{label:<53} {'?':>6}   below {upper:.2g}; too few paths for a figure"
    error = "exact" if mcse == 0.0 else f"± {mcse:.2%}"
    return f"{label:<53} {mean:6.1%}   {lower:5.1%} – {upper:5.1%}   {error}"
