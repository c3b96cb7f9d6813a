"""The archive: an append-only folder of runs, each there whole or not at all.

    <root>/runs/<deal>-<as-of date>-<digest>-<number>/
        forecast.zarr/      the Forecast (`forecast.schema`), for plain xarray
        inputs/             copies of every input file
        report.html         and whatever else was written about it
        manifest.json       attributes, and size and SHA-256 of every other file
    <root>/sweeps/<...>/sweep.zarr and manifest.json; sensitivities in the same way
    <root>/calibrations/    fitted posteriors, by the digest of what entered

A run is built in a temporary folder beside the others, flushed to the disk and renamed, so that a
reader never sees half of one; folders without a manifest are nobody's runs. No two runs share a name,
and none is ever overwritten.
"""

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import xarray as xr

from forecast import durable, schema, store
from forecast.errors import ArchiveError
from forecast.manifest import MANIFEST, all_problems, is_inside, listing, read_manifest, size_problems, write_manifest

FORECAST = "forecast.zarr"
INPUTS = "inputs"
LATEST = "latest"
KEY = 16  # letters of a key that a name has
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}-\d{4}-\d{2}-\d{2}-[0-9a-f]{8}-\d{4,}")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A whole run: its folder, and what its manifest says."""

    id: str
    path: Path
    manifest: Mapping[str, Any]

    def open(self) -> xr.DataTree:
        """Open the forecast; values are read from the disk when they are used.

        Raises
        ------
        ArchiveError
            A file of the store is missing or has another size (Zarr itself would read a missing chunk
            as if it had been written so), or the metadata asks for more than is read here.
        """
        if problems := list(size_problems(self.path, self.manifest, FORECAST)):
            raise ArchiveError("\n".join(problems))
        return store.open_tree(self.path / FORECAST)


@dataclass(frozen=True)
class Archive:
    """The archive in the folder `root`; making one touches nothing, the folder is made by the first run."""

    root: Path

    @property
    def runs(self) -> Path:
        """Folder of the runs."""
        return self.root / "runs"

    @property
    def calibrations(self) -> Path:
        """Folder of the fitted posteriors."""
        return self.root / "calibrations"

    # ---- writing ---------------------------------------------------------------------------------

    def write_run(
        self,
        tree: xr.DataTree,
        files: Mapping[str, Path],
        attrs: Mapping[str, Any],
        extra: Callable[[Path], None] | None = None,
    ) -> Run:
        """Write a run, whole or not at all.

        Parameters
        ----------
        tree
            From `build_forecast`.
        files
            Input files: name in the folder `inputs` → file, which must be what `attrs["inputs"]` (JSON,
            name → SHA-256) says where that names it.
        attrs
            Provenance; `deal_id`, `as_of` and `deal_digest` make the name.
        extra
            Writes more (a report) into the folder of the run, before it is sealed.

        Raises
        ------
        ArchiveError
            Undeclared variables, an input that changed meanwhile, a full disk; nothing is left behind.
        """
        if problems := schema.problems(tree):
            raise ArchiveError("\n".join(f"not a forecast: {p}" for p in problems))

        def fill(tmp: Path) -> None:
            store.write_tree(tmp / FORECAST, tree)
            _copy_inputs(tmp / INPUTS, files, json.loads(str(attrs.get("inputs", "{}"))))
            if extra:
                extra(tmp)

        return self._write(self.runs, "run", attrs, fill)

    def write_dataset(
        self,
        data: xr.Dataset,
        kind: str = "sweep",
        *,
        folder: str = "",
        problems: Callable[[xr.Dataset], list[str]] = schema.sweep_problems,
        key: str = "",
        record: Mapping[str, Any] | None = None,
    ) -> Path:
        """Write a sweep, or another `kind` of Dataset, with the same guarantees; return the Zarr store.

        `folder` is its place in the archive (the plural of `kind`, if empty); `problems` says how the data depart from
        what is declared for this kind. `key`, a hash of all that entered, takes the place of a number: what has the
        same key is written once. `record` goes into the manifest beside the attributes of the data.
        """
        data = schema.described_sweep(data)
        if found := problems(data):
            raise ArchiveError("\n".join(f"not a {kind}: {p}" for p in found))
        name, place = f"{kind}.zarr", self.root / (folder or f"{kind}s")
        attrs = {**data.attrs, **(record or {})}
        run = self._write(place, kind, attrs, lambda tmp: store.write_dataset(tmp / name, data), key)
        return run.path / name

    def keyed(self, folder: str, attrs: Mapping[str, Any], key: str) -> Path:
        """Where something with a key lies, once it has been written."""
        return self.root / folder / _keyed(attrs, key)

    def _write(
        self, folder: Path, kind: str, attrs: Mapping[str, Any], fill: Callable[[Path], None], key: str = ""
    ) -> Run:
        stem = _stem(attrs)
        with durable.building(folder, stem) as tmp:
            fill(tmp)
            manifest: dict[str, Any] = {
                "schema": schema.SCHEMA,
                "kind": kind,
                "id": "",
                "written": datetime.now(UTC).isoformat(timespec="microseconds"),
                "attrs": dict(attrs),
                "files": listing(tmp),
            }
            number = _next_number(folder, stem)
            while True:
                manifest["id"] = _keyed(attrs, key) if key else f"{stem}-{number:04d}"
                write_manifest(tmp, manifest)
                if durable.publish(tmp, folder / manifest["id"]):
                    return Run(manifest["id"], folder / manifest["id"], manifest)
                if key:  # another writer was first with the same
                    shutil.rmtree(tmp)
                    return _run(folder / manifest["id"])
                number += 1  # another writer was first

    # ---- reading ---------------------------------------------------------------------------------

    def list_runs(self) -> list[Run]:
        """List the whole runs, oldest first; a run whose manifest is damaged is left out with a warning."""
        runs = []
        for path in self._folders():
            try:
                runs.append(_run(path))
            except ArchiveError as err:
                _LOG.warning("left out: %s", err)
        return sorted(runs, key=lambda r: (str(r.manifest["written"]), r.id))

    def open(self, which: str | tuple[str, date | str]) -> Run:
        """Find a run: by its id, the start of one, (deal, as-of date), or "latest".

        The newest is taken of several of one deal and as-of date.

        Raises
        ------
        ArchiveError
            There is none such, several, or its manifest is damaged.
        """
        if isinstance(which, tuple):
            deal, day = which[0], str(which[1])
            found = [r for r in self.list_runs() if (r.manifest["attrs"]["deal_id"], _day(r)) == (deal, day)]
            if not found:
                raise ArchiveError(f"{self.root}: no run of {deal!r} as of {day}; `forecast list` shows what there is")
            return found[-1]
        if which == LATEST:
            if runs := self.list_runs():
                return runs[-1]
            raise ArchiveError(f"{self.root}: holds no runs yet; make one with `forecast run priors/<deal>`")
        names = [p.name for p in self._folders()]
        matches = [n for n in names if n == which] or [n for n in names if which and n.startswith(which)]
        if len(matches) == 1:
            return _run(self.runs / matches[0])
        raise ArchiveError(f"{self.root}: {_no_match(which, names, matches)}")

    def verify(self, run: Run) -> list[str]:
        """Name every file of a run that is missing, changed, or not of it; nothing if all are as they were written."""
        return all_problems(run.path)

    def _folders(self) -> list[Path]:
        if not self.runs.is_dir():
            return []
        return sorted(p for p in self.runs.iterdir() if _NAME.fullmatch(p.name) and (p / MANIFEST).is_file())


def _stem(attrs: Mapping[str, Any]) -> str:
    stem = f"{attrs.get('deal_id')}-{attrs.get('as_of')}-{str(attrs.get('deal_digest'))[:8]}"
    if not _NAME.fullmatch(f"{stem}-0001"):
        raise ArchiveError(
            f"attrs: cannot name a run {stem!r}: it takes deal_id (a-z, 0-9, _), as_of (YYYY-MM-DD) "
            "and deal_digest (hexadecimal)"
        )
    return stem


def _keyed(attrs: Mapping[str, Any], key: str) -> str:
    return f"{attrs['deal_id']}-{attrs['as_of']}-{key[:KEY]}"


def _next_number(folder: Path, stem: str) -> int:
    taken = [p.name.removeprefix(f"{stem}-") for p in folder.glob(f"{stem}-*")]
    return 1 + max((int(t) for t in taken if t.isdigit()), default=0)


def _copy_inputs(folder: Path, files: Mapping[str, Path], hashes: Mapping[str, str]) -> None:
    folder.mkdir()
    for name, source in files.items():
        if not is_inside(name):
            raise ArchiveError(f"inputs: {name!r} is no name of a file inside a run")
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError:
            raise ArchiveError(f"{source}: is gone: it was an input of this run") from None
        if name in hashes and durable.sha256(target) != hashes[name]:
            raise ArchiveError(f"{source}: was changed while the run was computed; run it again")


def _run(path: Path) -> Run:
    return Run(path.name, path, read_manifest(path))


def _day(run: Run) -> str:
    return str(run.manifest["attrs"]["as_of"])


def _no_match(which: str, names: Iterable[str], matches: list[str]) -> str:
    if matches:
        return f"{which!r} is the start of {len(matches)} runs ({', '.join(matches[:5])} …); write more of it"
    near = get_close_matches(which, list(names), n=1, cutoff=0.4)
    return f"no run {which!r}; " + (f"did you mean {near[0]!r}?" if near else "`forecast list` shows what there is")
