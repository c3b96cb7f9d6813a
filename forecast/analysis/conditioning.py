"""What is probable given that something so happens, from paths whose whole history is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecast.analysis.base_rates import pooled
from forecast.analysis.history import Masks, holds, initial_flags, walk
from forecast.deal.targets import NEVER, Target
from forecast.process.compile import Program
from forecast.process.draws import Draws
from forecast.refine import Wanted
from forecast.simulate import PathLog
from forecast.types import B8, F64, I64, years_between

HAPPENS = "happens"
CLEAR = 4.0  # standard errors of a shift that is worth telling


@dataclass(frozen=True)
class Seen:
    """Paths: the draw of each (path,), whether all that is given happened (path,), and each figure (path, figure)."""

    draw: I64
    given: B8
    met: B8


@dataclass(frozen=True)
class Given:
    """A probability with and without what is given, and their difference; intervals over draws."""

    wanted: Wanted
    plain: float
    mean: float
    lower: float
    upper: float
    mcse: float
    difference: float
    difference_mcse: float


@dataclass(frozen=True)
class Shift:
    """By how many posterior standard deviations what is given moves a parameter, with a standard error."""

    parameter: str
    shift: float
    error: float


def look(program: Program, log: PathLog, that: Sequence[tuple[Target, str]], wanted: Sequence[Wanted]) -> Seen:
    """Read off paths what happened on them. A path whose log is not complete is left out."""
    happened = np.ones(len(log.n_step), np.bool_)
    for target, outcome in that:
        ids = [f.event for f in program.firings]
        meant = [i for i, f in enumerate(program.firings) if f.event in target.events
                 and outcome in (HAPPENS, NEVER, f.branch)]  # fmt: skip
        if not set(target.events) & set(ids):
            raise AssertionError(f"{target.name}: has no events in this process")
        some = np.isin(log.firing, meant).any(axis=1)
        happened &= ~some if outcome == NEVER else some
    as_of = program.process.as_of
    times = sorted({years_between(as_of, w.day) for w in wanted})
    flags = np.full((len(times), len(log.n_step)), initial_flags(program), np.uint64)
    for step in walk(program, log, Masks.of(program)):
        for k, t in enumerate(times):
            by_then = step.time <= t
            flags[k, step.row[by_then]] = step.after[by_then]
    columns = []
    for w in wanted:
        k = times.index(years_between(as_of, w.day))
        columns.append(_met(program, log, w, times[k], flags[k]))
    whole = ~log.truncated
    return Seen(log.draw[whole], happened[whole], np.stack(columns, axis=1)[whole])


def _met(program: Program, log: PathLog, w: Wanted, time: float, flags: np.ndarray) -> B8:
    """Whether a state, cause or outcome class is so at a time: (path,)."""
    ended = (log.cause >= 0) & (log.end_time <= time)
    if w.variable == "cumulative_incidence":
        result: B8 = ended & (log.cause == program.causes.index(w.name))
        return result
    order = {name: n for n, name in enumerate(program.flags)}
    if w.variable == "state_probability":
        return (flags >> np.uint64(order[w.name]) & np.uint64(1)).astype(np.bool_)
    free = np.ones(len(ended), np.bool_)
    for o in program.process.outcomes:
        match = free.copy()
        if not o.rest:
            causes = [program.causes.index(c) for c in o.causes]
            match &= ended & np.isin(log.cause, causes) if causes else ~ended
            if o.when is not None:
                match &= holds(o.when, flags, order)
        if o.id == w.name:
            return match
        free &= ~match
    raise AssertionError(f"no outcome class {w.name}")


def joined(parts: Sequence[Seen]) -> Seen:
    """Put blocks of paths behind each other."""
    return Seen(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("draw", "given", "met")))


def conditional(seen: Seen, wanted: Sequence[Wanted], n_draw: int) -> list[Given]:
    r"""Compare the paths on which it so happens with all paths.

    With r the share among the n paths on which it happens, s that among the m others, and q = n / (n + m), the
    difference from all paths is (1 − q)(r − s), whose Monte Carlo error is (1 − q) sqrt(r(1 − r)/n + s(1 − s)/m). The
    interval is that over draws, each with the weight of its paths on which it happens (`base_rates.pooled`).
    """
    n, m = int(seen.given.sum()), int((~seen.given).sum())
    others = m / (n + m)
    found = []
    for k, w in enumerate(wanted):
        met = seen.met[:, k]
        mean, lower, upper, mcse = pooled(seen.draw[seen.given], met[seen.given], n_draw)
        s = float(met[~seen.given].mean()) if m else mean
        noise = mean * (1.0 - mean) / n + (s * (1.0 - s) / m if m else 0.0)
        plain = float(met.mean())
        found.append(Given(w, plain, mean, lower, upper, mcse, mean - plain, others * float(np.sqrt(noise))))
    return found


def effective_draws(seen: Seen, n_draw: int) -> float:
    """Count the draws that the paths on which it happens come from, (Σn)² / Σn²."""
    n = np.bincount(seen.draw[seen.given], minlength=n_draw).astype(np.float64)
    return float(n.sum() ** 2 / (n**2).sum())


def shifts(seen: Seen, draws: Draws) -> list[Shift]:
    """Say which parameters it tells about: mean among the paths on which it happens less the mean of all draws."""
    n = np.bincount(seen.draw[seen.given], minlength=draws.n_draw).astype(np.float64)
    weight = n / n.sum() - 1.0 / draws.n_draw
    found = []
    for name, values in draws.values.items():
        for entry, x in _columns(name, values, draws):
            if (sd := float(x.std())) > 0.0:
                found.append(Shift(entry, float(weight @ x) / sd, float(1.0 / np.sqrt(n.sum()))))
    clear = [f for f in found if abs(f.shift) > CLEAR * f.error]
    return sorted(clear, key=lambda f: -abs(f.shift))


def _columns(name: str, values: F64, draws: Draws) -> list[tuple[str, F64]]:
    if values.ndim == 1:
        return [(name, values)]
    labels = draws.labels.get(name, tuple(str(k) for k in range(values.shape[1])))
    return [(f"{name}[{label}]", values[:, k]) for k, label in enumerate(labels)]
