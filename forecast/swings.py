"""A paired tornado: one parameter at its 5 % and its 95 % quantile, everything else at its draws, the same luck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import xarray as xr

from forecast.analysis.sensitivity.batches import batch_error
from forecast.analysis.sensitivity.headlines import rows_of
from forecast.analysis.sensitivity.registry import SENSITIVITY
from forecast.analysis.sensitivity.stored import Stored, analysed, kept
from forecast.archive import Run
from forecast.deal.expand import expand
from forecast.errors import ForecastError
from forecast.estimands import entries
from forecast.pipeline import Progress, RunSettings, silent, stored, used_draws
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.refine import Wanted, exact_figures, figures
from forecast.report.sensitivity_rows import CLEAR
from forecast.schema import EXACT, attributes
from forecast.types import F64

REPLICATES = 16  # weighted paths a draw: pairs share their luck, so that few are enough
SIDES = ("low", "high")


@dataclass(frozen=True)
class Pair:
    """One number moved alone: the factor's place, and its draws at the low and at the high value."""

    factor: int
    draws: tuple[Draws, Draws]


def paired_sensitivity(
    which: str,
    most: int,
    archive: Path = Path("outputs"),
    headline: Sequence[str] = (),
    decision: Path | None = None,
    progress: Progress = silent,
) -> Stored:
    """Analyse a stored run as `sensitivity` does, and simulate the numbers that count most in pairs besides.

    Parameters
    ----------
    which, archive, headline, decision
        As of `analysis.sensitivity.stored.sensitivity`.
    most
        Numbers moved: those with the largest share of the variance of any headline.

    Raises
    ------
    ForecastError
        As there; or nothing that can be moved alone shows anything.
    """
    run, data, notes = analysed(which, archive, headline, decision)
    inputs, calibration = stored(run, archive)
    attrs = run.manifest["attrs"]
    draws = used_draws(inputs, calibration, RunSettings(draws=int(attrs["draws"])))
    pairs, left_out = _pairs(data, draws, most)
    if not pairs:
        raise ForecastError("--paired: no parameter that can be moved alone shows more than one without effect would")
    wanted = [Wanted(label, v, name, date.fromisoformat(day)) for label, v, name, day in rows_of(run.open(), headline)]
    process = expand(inputs.deal)

    def values(d: Draws) -> F64:
        return _values(compile_process(process, d), wanted, run)

    base, moved = values(draws), []
    for n, pair in enumerate(pairs, 1):
        moved.append([values(d) for d in pair.draws])
        progress("pairs", n, len(pairs))
    data = _added(data, pairs, base, np.array(moved))
    exact = attrs.get("method") == EXACT
    data = data.assign_attrs(paired_numbers=len(pairs), paired_replicates=0 if exact else REPLICATES)
    return kept((run, data, (*notes, *left_out)), archive)


def _pairs(data: xr.Dataset, draws: Draws, most: int) -> tuple[list[Pair], tuple[str, ...]]:
    """Choose the numbers to move, and move them; say which can't be moved alone."""
    share = np.nan_to_num(data["first_order"].to_numpy(), nan=0.0)
    floor = np.maximum(data["first_order_floor"].to_numpy(), CLEAR * data["first_order_error"].to_numpy())
    single = (data["factor_size"] == 1).to_numpy() & np.isin(data["factor_kind"].to_numpy(), ("parameter", "entry"))
    best = np.where(single & (share > np.nan_to_num(floor, nan=np.inf)), share, 0.0).max(axis=0)
    pairs: list[Pair] = []
    notes: list[str] = []
    for k in np.argsort(-best, kind="stable"):
        if best[k] == 0.0 or len(pairs) == most:
            break
        id_ = str(data["factor"].to_numpy()[k])
        ends = [float(data[f"factor_{side}"].to_numpy()[k]) for side in SIDES]
        try:
            pairs.append(Pair(int(k), (held(draws, id_, ends[0]), held(draws, id_, ends[1]))))
        except ForecastError as err:
            notes.append(f"not moved alone: {err}")
    return pairs, tuple(notes)


def held(draws: Draws, number: str, value: float) -> Draws:
    """Hold one number at a value in every draw: a parameter, or an entry of one (`name[entry]`).

    Raises
    ------
    ForecastError
        Unknown; or one of several shares, which add up to 1.
    """
    name, bracket, entry = number.partition("[")
    x = draws.values.get(name)
    if x is None:
        raise ForecastError(f"{number}: no such parameter")
    if x.ndim == 1:
        return draws.held({name: value})
    if np.allclose(x.sum(axis=1), 1.0):
        raise ForecastError(f"{number}: is one of several shares that add up to 1")
    names = entries(draws, name)
    if not bracket or entry.removesuffix("]") not in names:
        raise ForecastError(f"{number}: no such entry of {name}")
    x = x.copy()
    x[:, names.index(entry.removesuffix("]"))] = value
    return replace(draws, values={**draws.values, name: x})


def _values(program: Program, wanted: Sequence[Wanted], run: Run) -> F64:
    """Probabilities (draw, thing), exactly where the run is exact."""
    attrs = run.manifest["attrs"]
    found = exact_figures(program, wanted) if attrs.get("method") == EXACT else None
    return (found or figures(program, wanted, seed=int(attrs["seed"]), replicates=REPLICATES)).p


def _added(data: xr.Dataset, pairs: Sequence[Pair], base: F64, moved: F64) -> xr.Dataset:
    """Put the pairs into the Dataset; moved (pair, side, draw, headline)."""
    change = moved - base
    mean = data["headline_mean"].to_numpy()
    shape = (data.sizes["headline"], data.sizes["factor"])
    arrays: Mapping[str, F64] = {
        f"paired_{k}": np.full(shape, np.nan) for k in ("low", "high", "low_error", "high_error", "swing_error")
    }
    known = np.where(data["headline_trouble"].to_numpy() == "", 1.0, np.nan)
    for n, pair in enumerate(pairs):
        for side, name in enumerate(SIDES):
            arrays[f"paired_{name}"][:, pair.factor] = (mean + change[n, side].mean(axis=0)) * known
            arrays[f"paired_{name}_error"][:, pair.factor] = batch_error(change[n, side]) * known
        arrays["paired_swing_error"][:, pair.factor] = batch_error(change[n, 1] - change[n, 0]) * known
    specs = {name: SENSITIVITY[name] for name in arrays}
    return data.assign({n: (v.dims, arrays[n], attributes(v)) for n, v in specs.items()})
