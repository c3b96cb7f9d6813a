"""`forecast verify calibration`: every kind of model against data whose truth is known."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import xarray as xr

from forecast.calibrate.sbc.ranks import KEPT
from forecast.calibrate.sbc.registry import CASES
from forecast.calibrate.sbc.study import study
from forecast.calibrate.sbc.verdict import FALSE_ALARM, Row, Verdict, judge_studies
from forecast.errors import ForecastError
from forecast.report.rank_plots import draw_ranks

FEWEST = 20  # data sets, below which no test could tell anything


@dataclass(frozen=True)
class Verification:
    """The studies of a command and what they say; `folder` holds a store and a picture a kind."""

    studies: Mapping[str, xr.Dataset]
    verdict: Verdict
    folder: Path


def verify_calibration(
    kinds: Sequence[str], *, datasets: int, seed: int, out: Path, progress: Callable[[str, int, int], None]
) -> Verification:
    """Simulate, fit and rank for each kind of model; write ranks, pictures and a table into a folder.

    A kind whose study lies in the folder already, of the same code, versions, seed and number, is read
    and not made again, so that a command that was interrupted goes on with the next kind.

    Parameters
    ----------
    kinds
        Names in `CASES`; all of them, if empty.
    datasets, seed
        Simulated data sets a kind, and the seed of all that is drawn.
    out
        Folder; created if need be.
    """
    chosen = list(dict.fromkeys(kinds)) or list(CASES)
    if unknown := [k for k in chosen if k not in CASES]:
        raise ForecastError(f"--kind {unknown[0]}: no such kind of model; there are {', '.join(CASES)}")
    if datasets < FEWEST:
        raise ForecastError(f"--datasets {datasets}: at least {FEWEST} are needed, and 500 for a verdict that counts")
    out.mkdir(parents=True, exist_ok=True)
    studies = {}
    for kind in chosen:
        store, key = out / f"{kind}.zarr", _key(kind, datasets, seed)
        found = _read(store, key)
        if found is None:
            found = study(CASES[kind], datasets, seed, partial(progress, kind)).assign_attrs(key)
            _write(found, store)
        studies[kind] = found
    verdict = judge_studies(studies)
    for kind, found in studies.items():
        own = [r for r in verdict.rows if r.kind == kind]
        draw_ranks(out / f"{kind}.png", CASES[kind].title, found, own, verdict.threshold)
    (out / "table.md").write_text("\n".join(table(studies, verdict)) + "\n", encoding="utf-8")
    return Verification(studies, verdict, out)


def _key(kind: str, datasets: int, seed: int) -> dict[str, str | int]:
    """Everything that a study depends on."""
    code = hashlib.sha256()
    for file in sorted((Path(__file__).parent / "calibrate").rglob("*.py")):
        code.update(file.read_bytes())
    packages = ("pymc", "pytensor", "nutpie", "numpy", "numba")
    versions = json.dumps({p: version(p) for p in packages})
    return {"kind": kind, "datasets": datasets, "seed": seed, "code": code.hexdigest(), "versions": versions}


def _read(store: Path, key: Mapping[str, str | int]) -> xr.Dataset | None:
    if not store.is_dir():
        return None
    try:
        found = xr.open_zarr(store, consolidated=False).load()
    except Exception:  # Zarr raises many kinds for a damaged store; each means: make it again
        return None
    return found if all(found.attrs.get(k) == v for k, v in key.items()) else None


def _write(found: xr.Dataset, store: Path) -> None:
    building = store.with_suffix(".tmp")
    shutil.rmtree(building, ignore_errors=True)
    found.to_zarr(building, mode="w", zarr_format=3, consolidated=False)
    shutil.rmtree(store, ignore_errors=True)
    building.rename(store)


def table(studies: Mapping[str, xr.Dataset], verdict: Verdict) -> Iterator[str]:
    """Write the result as Markdown: a summary a kind, then every number."""
    yield (
        f"P-values below {verdict.threshold:.2g} fail: {FALSE_ALARM} divided by the {2 * len(verdict.rows)} tests "
        f"(Bonferroni), so a command over right models fails once in {1 / FALSE_ALARM:.0f}. Ranks are of 0 to {KEPT}."
    )
    columns = ["kind", "data sets", "numbers", "smallest p", "holds 50 %", "holds 90 %"]
    columns += ["diverged", "more than one attempt", "too few draws", "verdict"]
    yield from ("", _line(*columns), "|" + "---|" * len(columns))
    for kind, study_ in studies.items():
        own = [r for r in verdict.rows if r.kind == kind]
        failed = any(p.startswith(f"{kind}: ") for p in verdict.problems)
        yield _line(
            kind,
            study_.sizes["dataset"],
            len(own),
            f"{min(r.smallest for r in own):.2g}",
            _range([r.inside50 for r in own]),
            _range([r.inside90 for r in own]),
            int((study_["divergences"] > 0).sum()),
            int((study_["attempts"] > 1).sum()),
            int((~study_["enough_draws"]).sum()),
            "**fails**" if failed else "passes",
        )
    yield from (
        "",
        "| kind | number | chi² p | envelope p | holds 50 % | holds 90 % | bias | RMSE | posterior sd |",
        "|---|---|---|---|---|---|---|---|---|",
    )
    yield from (_row(r) for r in verdict.rows)
    yield from ("", "Bias, RMSE and posterior sd are in standard deviations of the truths.")


def _row(r: Row) -> str:
    shares = (f"{r.inside50:.1%}", f"{r.inside90:.1%}")
    return _line(
        r.kind,
        f"`{r.quantity}`",
        f"{r.chi_squared:.3f}",
        f"{r.envelope:.3f}",
        *shares,
        f"{r.bias:+.3f}",
        f"{r.rmse:.2f}",
        f"{r.spread:.2f}",
    )


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _range(shares: Sequence[float]) -> str:
    return f"{min(shares):.1%} – {max(shares):.1%}"
