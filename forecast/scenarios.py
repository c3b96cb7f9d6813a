"""What if: scenarios of a deal against the deal as it is, with one calibration and the same luck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.scenarios import FOLDER, HEADLINE, KIND, Asked, Evaluated, Row, assemble, problems
from forecast.archive import Archive
from forecast.coordinates import Coordinates, coordinates_of
from forecast.deal.describe import describe
from forecast.deal.expand import expand
from forecast.deal.scenario import Scenario
from forecast.durable import make_writable
from forecast.errors import ForecastError
from forecast.estimate import GROUPS, estimate_each
from forecast.inputs import Inputs
from forecast.pipeline import Progress, RunSettings, calibrate_deal, provenance, silent, used_draws
from forecast.process.compile import Program, compile_process
from forecast.process.decided import Quantity
from forecast.process.forward import solve_plan
from forecast.process.plan import Planned
from forecast.process.small import small
from forecast.refine import KINDS
from forecast.schema import EXACT, SIMULATED
from forecast.simulate import simulate
from forecast.types import F64, monthly_grid, years_between
from forecast.variants import headlines_first, joint, programs_of, variants_of

SECOND = 0x5851F42D4C957F2D  # the seed of the second group of counted paths

__all__ = ["Scenario", "WhatIf", "whatif"]


@dataclass(frozen=True)
class WhatIf:
    """Scenarios compared: the figures, and where they are kept."""

    data: xr.Dataset
    path: Path


@dataclass(frozen=True)
class _Window:
    """What is evaluated, of every program alike."""

    asked: tuple[Asked, ...]
    grid: F64
    things: Mapping[str, Mapping[str, str]]


def whatif(
    inputs: Inputs, scenarios: Sequence[Scenario], settings: RunSettings | None = None, progress: Progress = silent
) -> WhatIf:
    """Compare scenarios of a deal with the deal as it is.

    One calibration, the same draws and the same luck for all, so that the differences are paired: draw by draw for
    the interval, path by path for the Monte Carlo error.

    Parameters
    ----------
    inputs
        From `load`.
    scenarios
        What each changes; see `Scenario`.
    settings
        Draws, paths and seed; `paths` are those of each scenario.

    Raises
    ------
    ForecastError
        With everything that is wrong with the scenarios; nothing is written.
    """
    settings = settings or RunSettings(paths=200_000, command="forecast.whatif(...)")
    variants = variants_of(inputs, scenarios)
    make_writable(settings.archive)
    whole = joint(inputs, variants)
    calibration, gate = calibrate_deal(whole, settings, progress)
    if gate.problems:
        raise ForecastError("the calibration fails its checks, so nothing was compared:\n" + "\n".join(gate.problems))
    draws = used_draws(whole, calibration, settings)
    programs = [compile_process(expand(inputs.deal), draws), *programs_of(variants, draws)]
    window = _window(inputs, programs)
    found = evaluate(programs, window, settings, progress)
    rows = [
        Row(v.scenario.name, v.scenario.title, v.scenario.changes, v.notes, e)
        for v, e in zip(variants, found[1:], strict=True)
    ]
    exact = found[0].figures.shape[1] == 1
    attrs: dict[str, Any] = {
        **provenance(whole, settings, calibration, gate),
        "method": EXACT if exact else SIMULATED,
        "weighted_replicates": 0 if exact else settings.weighted_replicates,
    }
    days = [d for d, _ in _days(inputs)]
    data = assemble(window.asked, days, window.things, found[0], rows, attrs)
    path = Archive(settings.archive).write_dataset(data, KIND, folder=FOLDER, problems=problems)
    progress("write", 1, 1)
    return WhatIf(data, path)


def _days(inputs: Inputs) -> list[tuple[Any, float]]:
    """Dates of the curves, with their time in years."""
    deal = inputs.deal
    days = sorted({*monthly_grid(deal.as_of, deal.horizon), *(d for _, _, _, d in describe(deal).headline)})
    return [(d, years_between(deal.as_of, d)) for d in days]


def _window(inputs: Inputs, programs: Sequence[Program]) -> _Window:
    """List what any of the programs has: headlines of the deal as it is, causes and outcomes of all."""
    wanted, heads = headlines_first(programs, describe(inputs.deal).headline, inputs.deal.horizon)
    asked = tuple(
        Asked(HEADLINE if n < heads else KINDS[w.variable], w.label, w.variable, w.name, w.day)
        for n, w in enumerate(wanted)
    )
    things = {
        "cause": {c.id: c.label for p in programs for c in p.process.causes},
        "outcome": {o.id: o.label for p in programs for o in p.process.outcomes},
    }
    grid = np.array([t for _, t in _days(inputs)])
    return _Window(asked, grid, things)


def evaluate(
    programs: Sequence[Program], window: _Window, settings: RunSettings, progress: Progress = silent
) -> list[Evaluated]:
    """Evaluate programs alike: exactly where all of them are small, else by weighted and by counted paths."""
    planned = [None if settings.simulate else small(p, window.grid) for p in programs]
    solvable = [p for p in planned if p is not None]
    coordinates = coordinates_of(programs, [_names(p, window) for p in programs])
    found: list[Evaluated] = []
    for n, program in enumerate(programs):
        if len(solvable) == len(programs):
            found.append(_solved(program, solvable[n], window, settings))
        else:
            found.append(_simulated(program, window, settings, coordinates))
        progress("compare", n + 1, len(programs))
    return found


def _solved(program: Program, planned: Planned, window: _Window, settings: RunSettings) -> Evaluated:
    solved = solve_plan(program, planned, threads=settings.threads)
    by_kind = {"cause": (solved.cause, program.causes), "outcome": (solved.outcome, program.outcomes),
               "state": (solved.state, program.flags)}  # fmt: skip
    figures = np.zeros((program.n_draw, 1, len(window.asked)))
    for n, a in enumerate(window.asked):
        values, names = by_kind[KINDS[a.variable]]
        if a.name in names:
            at = int(np.searchsorted(window.grid, years_between(program.process.as_of, a.day)))
            figures[:, 0, n] = values[:, at, names.index(a.name)]
    curves = [_spread(by_kind[k][0][:, None], by_kind[k][1], window.things[k]) for k in ("cause", "outcome")]
    return Evaluated(figures, np.full(len(window.asked), np.inf), *curves)


def _simulated(program: Program, window: _Window, settings: RunSettings, coordinates: Coordinates) -> Evaluated:
    figures, ess = _weighted(program, window, settings, coordinates)
    each = max(1, settings.replicates // GROUPS)
    count = partial(simulate, program, replicates=each, grid=window.grid, threads=settings.threads)
    counts = [count(seed=s) for s in (settings.seed, settings.seed ^ SECOND)]
    curves = [
        _spread(np.stack([getattr(c, kind) for c in counts], axis=1) / each, names, window.things[kind])
        for kind, names in (("cause", program.causes), ("outcome", program.outcomes))
    ]
    return Evaluated(figures, ess, *curves)


def _key(a: Asked) -> Quantity:
    return KINDS[a.variable], a.name


def _names(program: Program, window: _Window) -> list[Quantity]:
    """What is asked for and this program has."""
    there = {"cause": program.causes, "outcome": program.outcomes, "state": program.flags}
    return sorted({(kind, name) for kind, name in map(_key, window.asked) if name in there[kind]})


def _weighted(program: Program, window: _Window, settings: RunSettings, coordinates: Coordinates) -> tuple[F64, F64]:
    """Figures by weighted paths: group means (draw, group, figure) and effective paths (figure,)."""
    keys, names = [_key(a) for a in window.asked], _names(program, window)
    times = sorted({years_between(program.process.as_of, a.day) for a in window.asked})
    found = estimate_each(
        program,
        names,
        seed=settings.seed,
        times=times,
        replicates=settings.weighted_replicates,
        threads=settings.threads,
        coordinates=coordinates,
    )
    figures, ess = np.zeros((program.n_draw, GROUPS, len(keys))), np.zeros(len(keys))
    for n, (key, a) in enumerate(zip(keys, window.asked, strict=True)):
        if key in names:
            at, j = times.index(years_between(program.process.as_of, a.day)), found.column(*key)
            figures[..., n], ess[n] = found.group_mean[:, :, at, j], found.ess[at, j]
    return figures, ess


def _spread(values: F64, names: Sequence[str], wanted: Mapping[str, str]) -> F64:
    """Columns in the order of all things; one that this program lacks never comes about."""
    if list(names) == list(wanted):
        return values
    result = np.zeros((*values.shape[:-1], len(wanted)))
    for j, name in enumerate(wanted):
        if name in names:
            result[..., j] = values[..., names.index(name)]
    return result
