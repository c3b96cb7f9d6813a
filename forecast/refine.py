"""Headlines, and every cause and class at the horizon, by the estimator that suits each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import xarray as xr

from forecast import schema
from forecast.errors import ForecastError
from forecast.estimands import Z_ONE_SIDED
from forecast.estimate import MIN_ESS, Estimates, estimate_each, estimate_rare
from forecast.process.compile import Program
from forecast.process.forward import solve_plan
from forecast.process.small import small
from forecast.types import F64, years_between

PATHS = 512_000  # weighted paths of a run: as many seconds as a million counted ones
KINDS = {"cumulative_incidence": "cause", "outcome_probability": "outcome", "state_probability": "state"}
WEIGHTED = "weighted paths"
BOOSTED = "importance sampling"
UNREACHED = "no path reached it"
TOO_FEW = "too few paths"


@dataclass(frozen=True)
class Wanted:
    """A probability that is to be estimated well: `variable` and `name` as in the Forecast."""

    label: str
    variable: str
    name: str
    day: date


@dataclass(frozen=True)
class Figures:
    """Probabilities of some things: p (draw, thing); noise, mcse, ess (thing,); method (thing,)."""

    wanted: tuple[Wanted, ...]
    p: F64
    noise: F64
    mcse: F64
    ess: F64
    method: tuple[str, ...]
    paths: int

    @property
    def exact(self) -> bool:
        """Whether nothing was simulated for them."""
        return all(m == schema.EXACT for m in self.method)


def wanted_of(program: Program, headline: Sequence[tuple[str, str, str, date]], horizon: date) -> tuple[Wanted, ...]:
    """List the headlines, then every cause and every outcome class at the horizon that is not among them."""
    process = program.process
    rows = [Wanted(*h) for h in headline]
    rows += [Wanted(c.label, "cumulative_incidence", c.id, horizon) for c in process.causes]
    rows += [Wanted(o.label, "outcome_probability", o.id, horizon) for o in process.outcomes]
    return tuple({(w.variable, w.name, w.day): w for w in reversed(rows)}.values())[::-1]


def figures(
    program: Program, wanted: Sequence[Wanted], *, seed: int, replicates: int, threads: int | None = None
) -> Figures:
    """Estimate what is wanted by weighted paths; nothing rare gets special treatment.

    What is decided by a signature, or by another flag that nothing clears, comes from paths that end there.

    Parameters
    ----------
    program
        From `compile_process`.
    wanted
        Things that the process has, at days from the as-of date to the horizon.
    seed
        Another seed gives independent paths; the same one shares its luck between variants of a deal.
    replicates
        Paths a draw.
    """
    estimates = _estimate(program, wanted, seed, replicates, threads)
    at = [_place(program, estimates, w) for w in wanted]
    t, j = np.array([i for i, _ in at], dtype=int), np.array([k for _, k in at], dtype=int)
    ess = estimates.ess[t, j]
    method = tuple(WEIGHTED if e >= MIN_ESS else UNREACHED if e == 0.0 else TOO_FEW for e in ess)
    columns = (estimates.mean[:, t, j], estimates.noise[t, j], estimates.mcse[t, j], ess)
    return Figures(tuple(wanted), *columns, method, estimates.paths)


def refined(found: Figures, program: Program, *, seed: int, replicates: int, threads: int | None = None) -> Figures:
    """Estimate anew, by importance sampling, the causes that too few of the paths have seen."""
    rare = [n for n, w in enumerate(found.wanted) if _cause(program, w) and found.ess[n] < MIN_ESS]
    p, noise, mcse, ess, method = (
        found.p.copy(),
        found.noise.copy(),
        found.mcse.copy(),
        found.ess.copy(),
        list(found.method),
    )
    for n in rare:
        w = found.wanted[n]
        time = years_between(program.process.as_of, w.day)
        if time <= 0.0:
            continue
        better, _ = estimate_rare(
            program, _cause(program, w), seed=seed, time=time, replicates=replicates, threads=threads
        )
        k = better.column("cause", _cause(program, w))
        if better.ess[0, k] > ess[n]:
            p[:, n], noise[n], mcse[n], ess[n] = (
                better.mean[:, 0, k],
                better.noise[0, k],
                better.mcse[0, k],
                better.ess[0, k],
            )
            method[n] = BOOSTED if ess[n] >= MIN_ESS else TOO_FEW
    return replace(found, p=p, noise=noise, mcse=mcse, ess=ess, method=tuple(method))


def exact_figures(program: Program, wanted: Sequence[Wanted], threads: int | None = None) -> Figures | None:
    """Compute what is wanted exactly, if the process is small; None if it is not."""
    as_of = program.process.as_of
    times = np.array(sorted({years_between(as_of, w.day) for w in wanted}))
    if (planned := small(program, times)) is None:
        return None
    solved = solve_plan(program, planned, threads=threads)
    names = {"cause": program.causes, "outcome": program.outcomes, "state": program.flags}
    columns = [
        getattr(solved, kind)[:, np.searchsorted(times, years_between(as_of, w.day)), names[kind].index(w.name)]
        for w, kind in ((w, KINDS[w.variable]) for w in wanted)
    ]
    none = np.zeros(len(columns))
    return Figures(
        tuple(wanted),
        np.stack(columns, axis=1),
        none,
        none,
        np.full(len(columns), np.inf),
        (schema.EXACT,) * len(columns),
        0,
    )


def estimates_dataset(found: Figures) -> xr.Dataset:
    """Put figures into the layout that `forecast.schema` declares for the group `/estimates`.

    The interval is that of the draws' probabilities, with their Monte Carlo noise taken out as `summarise` does
    it. A figure that rests on too few paths is NaN, with its interval from 0 to an upper bound.
    """
    mean, lower, upper = interval(found)
    few = np.array([m in (TOO_FEW, UNREACHED) for m in found.method], dtype=np.bool_)
    bound = found.p.mean(axis=0) + Z_ONE_SIDED * found.mcse + Z_ONE_SIDED**2 / (found.paths + Z_ONE_SIDED**2)
    unreached = np.array([m == UNREACHED for m in found.method], dtype=np.bool_)
    return schema.dataset(
        "/estimates",
        {"paths": found.paths},
        estimate_label=[w.label for w in found.wanted],
        estimate_variable=[w.variable for w in found.wanted],
        estimate_name=[w.name for w in found.wanted],
        estimate_date=[np.datetime64(w.day, "ns") for w in found.wanted],
        estimate_method=list(found.method),
        estimate_probability=found.p,
        estimate_mean=np.where(few & ~unreached, np.nan, mean),
        estimate_lower=np.where(few, 0.0, lower),
        estimate_upper=np.where(few, np.minimum(bound, 1.0), upper),
        estimate_mcse=np.where(unreached, bound / Z_ONE_SIDED, found.mcse),
        estimate_ess=found.ess,
    )


def interval(found: Figures) -> tuple[F64, F64, F64]:
    """Mean, and 5 % and 95 % quantiles over draws of the probabilities without their noise: (thing,) each."""
    mean = found.p.mean(axis=0)
    spread = found.p.var(axis=0, ddof=1) if len(found.p) > 1 else np.zeros_like(mean)
    ratio = np.divide(found.noise, spread, out=np.ones_like(mean), where=spread > 0)
    keep = np.sqrt(np.clip(1.0 - ratio, 0.0, 1.0))
    low, high = np.quantile(found.p, [0.05, 0.95], axis=0)
    lower, upper = (np.clip(mean + keep * (q - mean), 0.0, 1.0) for q in (low, high))
    return mean, lower, upper


def _estimate(program: Program, wanted: Sequence[Wanted], seed: int, replicates: int, threads: int | None) -> Estimates:
    if not wanted:
        raise ForecastError("there is nothing to estimate: name at least one probability")
    as_of = program.process.as_of
    times = sorted({years_between(as_of, w.day) for w in wanted})
    names = sorted({(KINDS[w.variable], w.name) for w in wanted})
    return estimate_each(program, names, seed=seed, times=times, replicates=replicates, threads=threads)


def _place(program: Program, estimates: Estimates, w: Wanted) -> tuple[int, int]:
    time = years_between(program.process.as_of, w.day)
    return int(np.searchsorted(estimates.times, time)), estimates.column(KINDS[w.variable], w.name)


def _cause(program: Program, w: Wanted) -> str:
    """Name the cause that a thing is: itself, or the only one of an outcome class without a condition; or ""."""
    if w.variable == "cumulative_incidence":
        return w.name
    if w.variable == "outcome_probability":
        o = next(o for o in program.process.outcomes if o.id == w.name)
        first = next(x for x in program.process.outcomes if set(x.causes) & set(o.causes) or x is o)
        if len(o.causes) == 1 and o.when is None and first is o:
            return o.causes[0]
    return ""
