"""What is probable given that something so happens, from paths whose whole history is known."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forecast.analysis.base_rates import pooled, pooled_counts
from forecast.analysis.history import Masks, holds, initial_flags, walk
from forecast.deal.targets import NEVER, Target
from forecast.process.compile import Program
from forecast.process.draws import Draws
from forecast.refine import Wanted
from forecast.simulate import PathLog
from forecast.types import B8, F64, I64, U64, years_between

HAPPENS = "happens"
CLEAR = 4.0  # standard errors of a shift that is worth telling


@dataclass(frozen=True)
class Seen:
    """Paths: the draw of each (path,), whether all that is given happened (path,), and each figure (path, figure)."""

    draw: I64
    given: B8
    met: B8


@dataclass(frozen=True)
class Curves:
    """Paths counted over time: given (draw, time, thing) those on which it so happens; every (time, thing) all."""

    given: I64
    every: I64


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

    @property
    def clear(self) -> bool:
        """Whether it is worth telling."""
        return abs(self.shift) > CLEAR * self.error


def look(program: Program, log: PathLog, that: Sequence[tuple[Target, str]], wanted: Sequence[Wanted]) -> Seen:
    """Read off paths what happened on them. A path whose log is not complete is left out."""
    as_of = program.process.as_of
    times = sorted({years_between(as_of, w.day) for w in wanted})
    flags = flags_at(program, log, times)
    columns = []
    for w in wanted:
        k = times.index(years_between(as_of, w.day))
        columns.append(_met(program, log, w, times[k], flags[k]))
    whole = ~log.truncated
    return Seen(log.draw[whole], happened(program, log, that)[whole], np.stack(columns, axis=1)[whole])


def happened(program: Program, log: PathLog, that: Sequence[tuple[Target, str]]) -> B8:
    """Whether all that is given happened on a path: (path,)."""
    result = np.ones(len(log.n_step), np.bool_)
    for target, outcome in that:
        if target.cause:
            some = log.cause == program.causes.index(target.cause)
        else:
            some = np.isin(log.firing, _meant(program, target, outcome)).any(axis=1)
        result &= ~some if outcome == NEVER else some
    return result


def _meant(program: Program, target: Target, outcome: str) -> list[int]:
    """Firings by which a target comes out so."""
    own = [(i, f.branch) for i, f in enumerate(program.firings) if f.event in target.events]
    if not own:
        raise AssertionError(f"{target.name}: has no events in this process")
    return [i for i, branch in own if outcome in (HAPPENS, NEVER, branch)]


def flags_at(program: Program, log: PathLog, times: Sequence[float]) -> U64:
    """Flags of every path at some times, increasing: (time, path)."""
    flags = np.full((len(times), len(log.n_step)), initial_flags(program), np.uint64)
    for step in walk(program, log, Masks.of(program)):
        since = np.searchsorted(times, step.time)
        for k in range(int(since.min(initial=len(times))), len(times)):
            by_then = since <= k
            flags[k, step.row[by_then]] = step.after[by_then]
    return flags


def curves(
    program: Program, log: PathLog, that: Sequence[tuple[Target, str]], times: Sequence[float]
) -> dict[str, Curves]:
    """Count causes and outcome classes at some times, increasing; a path whose log is not complete is left out."""
    whole, given = ~log.truncated, happened(program, log, that)
    flags = flags_at(program, log, times)
    shape = (program.n_draw, len(times))
    found: dict[str, Curves] = {}
    for kind, names in (("cause", program.causes), ("outcome", program.outcomes)):
        mine, every = np.zeros((*shape, len(names)), np.int64), np.zeros((len(times), len(names)), np.int64)
        for k, t in enumerate(times):
            which = _ended(log, t) if kind == "cause" else _class(program, log, t, flags[k])
            there = whole & (which >= 0)
            every[k] = np.bincount(which[there], minlength=len(names))
            there &= given
            cell = log.draw[there] * len(names) + which[there]
            mine[:, k] = np.bincount(cell, minlength=program.n_draw * len(names)).reshape(program.n_draw, -1)
        found[kind] = Curves(mine, every)
    return found


def _ended(log: PathLog, time: float) -> I64:
    """Cause by which a path has ended by a time, −1 for none: (path,)."""
    return np.where((log.cause >= 0) & (log.end_time <= time), log.cause, -1)


def _class(program: Program, log: PathLog, time: float, flags: U64) -> I64:
    """Outcome class of a path at a time, the first one that fits: (path,)."""
    order = {name: n for n, name in enumerate(program.flags)}
    found, ended = np.full(len(log.n_step), -1, np.int64), _ended(log, time)
    for n, o in enumerate(program.process.outcomes):
        match = found < 0
        if not o.rest:
            causes = [program.causes.index(c) for c in o.causes]
            match &= np.isin(ended, causes) if causes else ended < 0
            if o.when is not None:
                match &= holds(o.when, flags, order)
        found[match] = n
    return found


def _met(program: Program, log: PathLog, w: Wanted, time: float, flags: U64) -> B8:
    """Whether a state, cause or outcome class is so at a time: (path,)."""
    if w.variable == "cumulative_incidence":
        met: B8 = _ended(log, time) == program.causes.index(w.name)
    elif w.variable == "state_probability":
        met = (flags >> np.uint64(program.flags.index(w.name)) & np.uint64(1)).astype(np.bool_)
    else:
        met = _class(program, log, time, flags) == program.outcomes.index(w.name)
    return met


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


def conditional_curves(counted: Curves, paths: I64, total: int) -> dict[str, F64]:
    """Compare curves on the paths on which it so happens with those of all paths, as `conditional` does.

    Parameters
    ----------
    counted
        From `curves`, added up.
    paths
        Shape (draw,): paths on which it happens.
    total
        All paths.

    Returns
    -------
    dict
        forecast, mean, lower, upper, mcse, difference_mcse: (time, thing) each.
    """
    n, m = int(paths.sum()), total - int(paths.sum())
    shape = counted.every.shape
    rows = np.array([pooled_counts(paths, counted.given[:, t, k]) for t, k in np.ndindex(shape)])
    mean, lower, upper, mcse = (column.reshape(shape) for column in rows.reshape(-1, 4).T)
    s = (counted.every - counted.given.sum(axis=0)) / m if m else mean
    noise = mean * (1.0 - mean) / n + (s * (1.0 - s) / m if m else 0.0)
    return {
        "forecast": counted.every / total,
        "mean": mean,
        "lower": lower,
        "upper": upper,
        "mcse": mcse,
        "difference_mcse": m / total * np.sqrt(noise),
    }


def paths_of(seen: Seen, n_draw: int) -> I64:
    """Paths of each draw on which it happens."""
    return np.bincount(seen.draw[seen.given], minlength=n_draw)


def effective_draws(seen: Seen, n_draw: int) -> float:
    """Count the draws that the paths on which it happens come from, (Σn)² / Σn²."""
    n = np.bincount(seen.draw[seen.given], minlength=n_draw).astype(np.float64)
    return float(n.sum() ** 2 / (n**2).sum())


def shifts(seen: Seen, draws: Draws) -> list[Shift]:
    """Say what it tells about each parameter: mean among the paths on which it happens less the mean of all draws."""
    n = np.bincount(seen.draw[seen.given], minlength=draws.n_draw).astype(np.float64)
    weight = n / n.sum() - 1.0 / draws.n_draw
    found = []
    for name, values in draws.values.items():
        for entry, x in _columns(name, values, draws):
            if (sd := float(x.std())) > 0.0:
                found.append(Shift(entry, float(weight @ x) / sd, float(1.0 / np.sqrt(n.sum()))))
    return sorted(found, key=lambda f: -abs(f.shift))


def _columns(name: str, values: F64, draws: Draws) -> list[tuple[str, F64]]:
    if values.ndim == 1:
        return [(name, values)]
    labels = draws.labels.get(name, tuple(str(k) for k in range(values.shape[1])))
    return [(f"{name}[{label}]", values[:, k]) for k, label in enumerate(labels)]
