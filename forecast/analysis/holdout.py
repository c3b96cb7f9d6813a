"""Every reference class fitted to what was known on a date, and scored on what came later."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from forecast.calibrate.holdout.score import HeldOut, Score, Total
from forecast.calibrate.reference import class_ids, load_class
from forecast.deal.words import closest
from forecast.errors import ReferenceClassError


@dataclass(frozen=True)
class Holdout:
    """All classes; `without` says of those that could not be scored why not."""

    until: date
    seed: int
    draws: int
    classes: tuple[HeldOut, ...]
    without: Mapping[str, str]


def hold_out_classes(
    root: Path,
    ids: Sequence[str],
    until: date,
    *,
    seed: int,
    draws: int = 1000,
    chains: int = 4,
    progress: Callable[[str, int, int], None] | None = None,
) -> Holdout:
    """Fit the classes in a folder, each by itself, to what was known on a date, and score what came later.

    Parameters
    ----------
    root, ids
        Folder of reference classes, and which of them; all, if empty.
    until
        Last day whose information may enter the fits.
    seed, draws, chains
        Of the sampler; the same seed gives the same result to the bit.
    progress
        Called with (class, steps done, steps in all).

    Raises
    ------
    ReferenceClassError
        No such class, or none at all.
    """
    known = class_ids(root)
    if not known:
        raise ReferenceClassError(f"{root}: no reference class there (a folder each, with a class.toml)")
    if unknown := [i for i in ids if i not in known]:
        raise ReferenceClassError(f"--class {unknown[0]}: no such class; {closest(unknown[0], known, 'classes')}")
    loaded = [load_class(root, id_) for id_ in dict.fromkeys(ids or known)]
    from forecast.calibrate.holdout.study import hold_out  # noqa: PLC0415  # PyMC takes seconds to import

    results, without = [], {}
    for used in loaded:
        report = (lambda a, b, id_=used.id: progress(id_, a, b)) if progress else None
        found = hold_out(used, until, seed=seed, draws=draws, chains=chains, progress=report)
        if isinstance(found, str):
            without[used.id] = found
        else:
            results.append(found)
    return Holdout(until, seed, draws * chains, tuple(results), without)


# ---- files ---------------------------------------------------------------------------------------


def save(result: Holdout, folder: Path) -> None:
    """Write holdout.json, which `read` reads, and holdout.nc, which xarray opens."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(_plain(asdict(result)), indent=1, ensure_ascii=False)
    (folder / "holdout.json").write_text(content + "\n", encoding="utf-8")
    dataset(result).to_netcdf(folder / "holdout.nc", engine="scipy")


def read(file: Path) -> Holdout:
    """Read what `save` has written.

    Raises
    ------
    ReferenceClassError
        The file is not one of those.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        classes = tuple(
            HeldOut(
                c["id"],
                c["kind"],
                c["title"],
                tuple(Score(**_numbers(s)) for s in c["scores"]),
                tuple(Total(**_numbers(t)) for t in c["totals"]),
                tuple(c["problems"]),
            )
            for c in found["classes"]
        )
        return Holdout(date.fromisoformat(found["until"]), found["seed"], found["draws"], classes, found["without"])
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ReferenceClassError(f"{file}: not a result of `forecast verify holdout` ({err}); make it again") from err


def dataset(result: Holdout) -> xr.Dataset:
    """Scores and totals as a Dataset: one entry of `score` an event scored, one of `total` an outcome."""
    tables: dict[str, list[dict[str, Any]]] = {"score": [], "total": []}
    for c in result.classes:
        tables["score"] += [{"class": c.id, "kind": c.kind, **asdict(s)} for s in c.scores]
        tables["total"] += [{"class": c.id, "kind": c.kind, **asdict(t)} for t in c.totals]
    variables = {
        f"{dim}_{name}": (dim, np.array([row[name] for row in rows]))
        for dim, rows in tables.items()
        for name in (rows[0] if rows else {})
    }
    return xr.Dataset(variables, attrs={"until": str(result.until), "seed": result.seed, "draws": result.draws})


def _plain(x: Any) -> Any:
    """What JSON can hold: numbers to six digits, dates as text, null where there is no number."""
    if isinstance(x, Mapping):
        return {k: _plain(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_plain(v) for v in x]
    if isinstance(x, float):
        return None if isnan(x) else float(f"{x:.6g}")
    return str(x) if isinstance(x, date) else x


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: float("nan") if v is None else v for k, v in row.items()}
