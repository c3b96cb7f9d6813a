"""Sensitivities of a run in the archive: find it, analyse it, and keep the figures beside it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from forecast.analysis.sensitivity.analyse import analyse
from forecast.analysis.sensitivity.decision import load_decision
from forecast.analysis.sensitivity.registry import FOLDER, KIND, problems
from forecast.archive import Archive, Run
from forecast.deal.model import Deal
from forecast.deal.overrides import parse_value
from forecast.errors import ArchiveError, ForecastError
from forecast.inputs import load


@dataclass(frozen=True)
class Stored:
    """A sensitivity analysis, where it is kept, and what to know about it."""

    run: Run
    data: xr.Dataset
    path: Path
    notes: tuple[str, ...]


def sensitivity(
    which: str, archive: Path = Path("outputs"), headline: Sequence[str] = (), decision: Path | None = None
) -> Stored:
    """Analyse a stored run and write the figures to the archive; nothing is simulated.

    Parameters
    ----------
    which
        A run (its id, the start of one, "latest"), or a deal (its folder or file), of which the newest run is taken.
    archive
        Folder of the archive.
    headline
        Which probabilities; all headlines, if empty.
    decision
        A decision file, for the value of information for that choice.

    Raises
    ------
    ForecastError
        No such run, headline or decision file; nothing uncertain.
    """
    return kept(analysed(which, archive, headline, decision), archive)


def analysed(
    which: str, archive: Path, headline: Sequence[str] = (), decision: Path | None = None
) -> tuple[Run, xr.Dataset, tuple[str, ...]]:
    """Find a run and analyse it: the run, the figures, and what to know about them."""
    run, notes = find_run(which, Archive(archive))
    chosen = load_decision(decision) if decision else None
    deal, trouble = stored_deal(run)
    data = analyse(run.open(), deal, headline, chosen).assign_attrs(run=run.id)
    held = ("the run is held: its calibration fails its checks",) if run.manifest["attrs"]["status"] == "held" else ()
    return run, data, (*held, *notes, *trouble)


def kept(found: tuple[Run, xr.Dataset, tuple[str, ...]], archive: Path) -> Stored:
    """Write the figures of an analysis to the archive."""
    run, data, notes = found
    path = Archive(archive).write_dataset(data, KIND, folder=FOLDER, problems=problems)
    return Stored(run, data, path, notes)


def find_run(which: str, archive: Archive) -> tuple[Run, tuple[str, ...]]:
    """Find a run by its id, or the newest one of a deal; a note where the deal has changed since."""
    path = Path(which)
    folder = path.parent if path.name == "deal.toml" else path
    if not (folder / "deal.toml").is_file():
        try:
            return archive.open(which), ()
        except ArchiveError:
            if newest := [r for r in archive.list_runs() if r.manifest["attrs"]["deal_id"] == which]:
                return newest[-1], ()
            if len(path.parts) > 1:
                raise ForecastError(f"{which}: no folder with a deal.toml, and no run; {_known(archive)}") from None
            raise
    inputs = load(folder)
    runs = [r for r in archive.list_runs() if r.manifest["attrs"]["deal_id"] == inputs.deal.id]
    if not runs:
        raise ForecastError(
            f"{archive.root}: no run of {inputs.deal.id!r} to analyse; make one with: forecast run {which}"
        )
    same = [r for r in runs if r.manifest["attrs"]["deal_digest"] == inputs.digest]
    if same:
        return same[-1], ()
    note = f"{which} has changed since {runs[-1].id}, its newest run; the figures are of that run"
    return runs[-1], (note,)


def _known(archive: Archive) -> str:
    names = sorted({str(r.manifest["attrs"]["deal_id"]) for r in archive.list_runs()})
    return f"{archive.root} has runs of: {', '.join(names) or 'nothing yet'}"


def stored_deal(run: Run) -> tuple[Deal | None, tuple[str, ...]]:
    """Read the deal that a run keeps; none, with a note, where today's code no longer reads it."""
    kept = json.loads(str(run.manifest["attrs"].get("overrides", "{}")))
    overrides = {k: parse_value(v) if isinstance(v, str) else v for k, v in kept.items()}
    try:
        return load(run.path / "inputs" / "deal", overrides).deal, ()
    except ForecastError as err:
        first = str(err).splitlines()[0]
        return None, (f"no groups by source, party or clause: the run's own deal file is not readable ({first})",)
