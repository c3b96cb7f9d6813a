"""Frontiers: every package of a deal by how likely it is accepted and how likely it then lasts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.frontier import FOLDER, KIND, Block, dataset, membership, packages, problems, undominated
from forecast.analysis.paired import level
from forecast.archive import Archive
from forecast.deal.parts import included
from forecast.durable import make_writable
from forecast.errors import DealFileError, ForecastError
from forecast.estimate import estimate_each
from forecast.inputs import Inputs, load
from forecast.pipeline import Progress, RunSettings, calibrate_deal, provenance, silent, used_draws
from forecast.process.compile import Program
from forecast.process.draws import Draws
from forecast.process.forward import solve_plan
from forecast.process.small import small
from forecast.process.values import Numbers
from forecast.types import F64, years_between
from forecast.variants import Variant, variant_of

MORE = 8  # times as many paths near the front
NEAR = 3.0  # standard errors from the front that count as near


@dataclass(frozen=True)
class Frontier:
    """The packages, and where the figures are kept."""

    data: xr.Dataset
    path: Path


def frontier(
    inputs: Inputs,
    optional: Sequence[str] = (),
    terms: Mapping[str, Sequence[Any]] | None = None,
    *,
    years: float = 5.0,
    accept_by: date | None = None,
    settings: RunSettings | None = None,
    progress: Progress = silent,
) -> Frontier:
    """Compare packages of a deal: P(all accept) against P(in force `years` after the last round, given that).

    Parameters
    ----------
    inputs
        From `load`; a deal under negotiation.
    optional
        Clauses and promises that may be left out, or "verification".
    terms
        Key of the deal file, or parameter → values.
    years, accept_by
        How long it is to last, counted from the last round; the last round, if another than the deal's.
    settings
        `weighted` paths a draw at first (16 if None); packages near the front get eight times as many.

    Raises
    ------
    ForecastError
        With everything that is wrong with the packages; nothing is written.
    """
    settings = settings or RunSettings(draws=400)
    inputs = _until(inputs, accept_by)
    times = _times(inputs, years)
    variants = _read(inputs, optional, terms or {})
    make_writable(settings.archive)
    calibration, gate = calibrate_deal(inputs, settings, progress)
    if gate.problems:
        raise ForecastError("the calibration fails its checks, so nothing was compared:\n" + "\n".join(gate.problems))
    draws = used_draws(inputs, calibration, settings)
    found = _evaluated(variants, draws, times, settings, progress)
    attrs = {**provenance(inputs, settings, calibration, gate), "years": years, "last_round": str(_last(inputs))}
    data = assemble(variants, draws, found, attrs)
    path = Archive(settings.archive).write_dataset(data, KIND, folder=FOLDER, problems=problems)
    return Frontier(data, path)


def _last(inputs: Inputs) -> date:
    negotiation = inputs.deal.file.negotiation
    if negotiation is None:
        raise DealFileError("this deal is in force already: there is nothing to be accepted")
    return negotiation.last


def _until(inputs: Inputs, accept_by: date | None) -> Inputs:
    if accept_by is None or accept_by == _last(inputs):
        return inputs
    return load(inputs.deal.folder, {**inputs.deal.overrides, "negotiation.last": accept_by})


def _times(inputs: Inputs, years: float) -> tuple[float, float]:
    """Years to the last round, and to the day by which a deal is to have lasted."""
    last, horizon = _last(inputs), inputs.deal.horizon
    days = years * 365.25
    if not 0 < days < (horizon - last).days + 0.5:  # a NaN is refused here too, and what no calendar holds
        raise DealFileError(f"--years {years:g}: the end must lie between {last} and the horizon {horizon}")
    day = last + timedelta(days=round(days))
    return years_between(inputs.deal.as_of, last), years_between(inputs.deal.as_of, day)


def _read(inputs: Inputs, optional: Sequence[str], terms: Mapping[str, Sequence[Any]]) -> list[Variant]:
    """Read every package; what is wrong with any of them, once."""
    wrong: dict[str, None] = {}
    found = []
    for scenario in packages(optional, terms):
        try:
            found.append(variant_of(inputs, scenario))
        except ForecastError as err:
            wrong |= dict.fromkeys(str(err).splitlines())
    if wrong:
        raise DealFileError("\n".join(list(wrong)[:20]))
    return found


def _evaluated(
    variants: Sequence[Variant], draws: Draws, times: tuple[float, float], settings: RunSettings, progress: Progress
) -> list[F64]:
    """(draw, group, 2) of each package: accepted, and accepted and in force; more paths near the front."""
    few = settings.weighted or 16
    found = []
    for n, v in enumerate(variants):
        found.append(probabilities(v.program(draws), times, settings, few))
        progress("packages", n + 1, len(variants))
    close = near_front(found)
    for n, k in enumerate(close):
        found[k] = probabilities(variants[k].program(draws), times, settings, few * MORE)
        progress("near front", n + 1, len(close))
    return found


def probabilities(program: Program, times: tuple[float, float], settings: RunSettings, replicates: int) -> F64:
    """P(signed by the last round), and P(in force then): (draw, group, 2); one group where exact."""
    grid = np.array(times)
    if not settings.simulate and (planned := small(program, grid)) is not None:
        solved = solve_plan(program, planned, threads=settings.threads)
        signed = solved.state[:, 0, program.flags.index("signed")]
        return np.stack([signed, solved.outcome[:, 1, program.outcomes.index("in_force")]], axis=1)[:, None]
    names = [("state", "signed"), ("outcome", "in_force")]
    e = estimate_each(program, names, seed=settings.seed, times=grid, replicates=replicates, threads=settings.threads)
    return np.stack([e.group_mean[:, :, 0, 0], e.group_mean[:, :, 1, 1]], axis=-1)


def points(found: Sequence[F64]) -> tuple[F64, F64, F64, F64]:
    """Accepted, its error, lasts, its error (delta method): (package,) each."""
    rows = []
    for p in found:
        both = level(p)
        x, joint = (float(v) for v in both.mean)
        y = joint / x if x > 0 else 0.0
        rest = level(np.clip(p[..., 1:] - y * p[..., :1], -1.0, 1.0)).mcse[0] / x if x > 0 else 0.0
        rows.append((x, float(both.mcse[0]), y, float(rest)))
    a, b, c, d = np.array(rows).T
    return a, b, c, d


def near_front(found: Sequence[F64]) -> list[int]:
    """Packages that may be on the front, given the errors: those not beaten by more than `NEAR` of them."""
    x, ex, y, ey = points(found)
    if not (ex.any() or ey.any()):
        return []
    high_x, high_y = x + NEAR * ex, y + NEAR * ey
    low_x, low_y = x - NEAR * ex, y - NEAR * ey
    beaten = [bool(((low_x > high_x[k]) & (low_y > high_y[k])).any()) for k in range(len(x))]
    return [k for k, b in enumerate(beaten) if not b]


def blocks(variant: Variant, draws: Draws) -> Block:
    """Find who is the least likely to accept a package, and the clause that is worth the least to that party."""
    file = variant.inputs.deal.file
    numbers = Numbers(variant.process, draws, [])
    chance: dict[str, float] = {}
    for id_, party in file.parties.items():
        if party.signs:
            logit = numbers.get(id_, f"{id_}_acceptance")
            if not party.at_table and party.absent:
                logit = logit + numbers.get(id_, party.absent)
            chance[id_] = float((1.0 / (1.0 + np.exp(-logit))).mean())
    worst = min(chance, key=lambda k: chance[k])
    values = file.parties[worst].values
    worth = {c: float(numbers.get(c, values[c]).mean()) for c, _ in included(file) if c in values}
    least = min(worth, key=lambda c: worth[c], default="")
    return Block(worst, chance[worst], least if least and worth[least] < 0 else "")


def assemble(variants: Sequence[Variant], draws: Draws, found: Sequence[F64], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Put packages side by side."""
    x, ex, y, ey = points(found)
    by_draw = np.stack([p.mean(axis=1) for p in found], axis=1)  # (draw, package, 2)
    signed, joint = by_draw[..., 0], by_draw[..., 1]
    lasts = np.clip(np.divide(joint, signed, out=np.zeros_like(joint), where=signed > 0), 0.0, 1.0)
    levels = [level(p[..., :1]) for p in found]
    who = [blocks(v, draws) for v in variants]
    low, high = np.quantile(lasts, [0.05, 0.95], axis=0)
    columns = {
        "package": [v.scenario.title if v.scenario.changes else "the whole package" for v in variants],
        "accepted": x,
        "accepted_lower": [c.lower[0] for c in levels],
        "accepted_upper": [c.upper[0] for c in levels],
        "accepted_mcse": ex,
        "lasts": y,
        "lasts_lower": low,
        "lasts_upper": high,
        "lasts_mcse": ey,
        "on_front": undominated(x, y),
        "membership": membership(signed, lasts),
        "blocker": [b.party for b in who],
        "blocker_accepts": [b.accepts for b in who],
        "costs_it_most": [b.clause for b in who],
    }
    return dataset(columns, attrs)
