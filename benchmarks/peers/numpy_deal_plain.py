"""The whole deal-like process in vectorised NumPy, as one writes it in a day; `numpy_deal` is what tuning made of it.

All paths go from one date of the calendar to the next together. In between, every path has a next candidate event,
which stays valid until the path's flags change, so that a step touches only the paths whose candidate falls before the
date. Each path carries the multipliers of its hazards; a flag that changes multiplies them by a row of a table of
e^±beta. Hazards with age bins run at their largest rate and are thinned; Weibull ones have a time of their own, by
inversion of the cumulative hazard, which is drawn anew where their multiplier or their clock has changed.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.numpy_deal import Result
from benchmarks.peers.reading import Effect, Event, Mask, Modifier, Reading, holds, read
from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program
from forecast.types import F64

I64 = NDArray[np.int64]
BATCH = 65_536  # paths at a time, by trial
DROP = 0.8  # paths that have ended are dropped when less than this share is left


class Plan:
    """The process as arrays. Flags are bits of an integer, and so is whether each clock runs and a path is over."""

    def __init__(self, p: Reading) -> None:
        self.p, n_haz, n_clock = p, len(p.hazards), len(p.clock0)
        self.n_bit, self.ended = p.n_flag + n_clock, 1 << p.n_flag + n_clock
        self.first = p.flags | sum(1 << p.n_flag + c for c, start in enumerate(p.clock0) if start < np.inf)
        conditions = [
            Mask(h.when.want | (1 << p.n_flag + h.clock if h.clock >= 0 else 0), h.when.forbid) for h in p.hazards
        ]
        self.want = np.array([m.want for m in conditions])
        self.mask = np.array([m.want | m.forbid for m in conditions])
        self.weibull = [k for k, h in enumerate(p.hazards) if h.kind == WEIBULL]
        self.clock = np.array([h.clock for h in p.hazards])  # −1 is the last column of a path's starts: the as-of date
        self.edges = np.full((n_haz, max(len(h.edges) for h in p.hazards) - 1), np.inf)
        for k, h in enumerate(p.hazards):
            self.edges[k, : len(h.edges) - 1] = h.edges[1:]
        effects = [h.effect for h in p.hazards] + [b.effect for e in p.events for b in e.branches]
        self.set, self.keep = (np.array(x) for x in zip(*map(self.bits, effects), strict=True))
        self.end = np.array([e.end for e in effects])
        self.starts = np.array([[e.start >> c & 1 for c in range(n_clock)] for e in effects], bool)

    def bits(self, e: Effect) -> tuple[int, int]:
        """Bits that an effect sets and bits that it keeps: clearing a flag wins, and so does starting a clock."""
        to_set = (e.set & ~e.clear) | e.start << self.p.n_flag | (self.ended if e.end >= 0 else 0)
        return to_set, ~(e.clear | (e.stop & ~e.start) << self.p.n_flag)


class Tables:
    """The numbers of some draws."""

    def __init__(self, plan: Plan, program: Program, draws: slice) -> None:
        p, v, n_haz = plan.p, program.values, len(plan.p.hazards)
        self.n_draw = draws.stop - draws.start
        self.shape, self.scale = v.shape[draws], v.scale[draws]
        self.factor, self.weight = v.factor[draws], v.weight[draws]
        self.rate = np.ones((self.n_draw, n_haz))  # largest over ages, with the modifiers of the first flags
        self.thin = np.ones((self.n_draw, n_haz, plan.edges.shape[1] + 1))  # rate at an age against the largest
        self.change = np.ones((self.n_draw, p.n_flag, 2, n_haz))  # factor when a flag is cleared or set
        for k, h in enumerate(p.hazards):
            if h.kind != WEIBULL:
                rate = v.bin_rate[draws, h.bins]
                self.rate[:, k] = rate.max(axis=1)
                self.thin[:, k, : rate.shape[1]] = rate / self.rate[:, k, None]
            for m in h.modifiers:
                flag, value = literal(m)
                self.change[:, flag, value, k] *= self.factor[:, m.column]
                self.change[:, flag, 1 - value, k] /= self.factor[:, m.column]
                if holds(m.mask, p.flags):
                    self.rate[:, k] *= self.factor[:, m.column]


def literal(m: Modifier) -> tuple[int, int]:
    """(flag, value) under which a modifier holds."""
    both = m.mask.want | m.mask.forbid
    if both.bit_count() != 1:
        raise ValueError("the NumPy version takes modifiers of one literal")
    return both.bit_length() - 1, int(m.mask.want != 0)


class Batch:
    """The paths of some draws under way; the last axis is the path. when, which: time and number of the next hazard."""

    def __init__(self, plan: Plan, tables: Tables, replicates: int, grid: F64, rng: np.random.Generator) -> None:
        self.plan, self.tables, self.grid, self.rng = plan, tables, grid, rng
        n_draw, n = tables.n_draw, tables.n_draw * replicates
        self.cause = np.zeros((n_draw, len(grid), plan.p.n_cause), np.int64)  # differences along time
        self.state = np.zeros((n_draw, len(grid), plan.p.n_flag), np.int64)
        self.state[:, 0] = replicates * (plan.first >> np.arange(plan.p.n_flag) & 1)
        self.draw = np.repeat(np.arange(n_draw), replicates)
        self.flags = np.full(n, plan.first)
        self.rate = tables.rate.T[:, self.draw]
        self.start = np.repeat(np.array([*plan.p.clock0, 0.0])[:, None], n, axis=1)
        self.own_rate = np.full((len(plan.weibull), n), np.nan)  # multiplier for which `own_time` was drawn
        self.own_time = np.full((len(plan.weibull), n), np.inf)
        self.when, self.which = np.empty(n), np.empty(n, np.int64)

    def run(self) -> Result:
        """Follow all paths to the horizon."""
        self.draw_next(np.arange(len(self.draw)), np.zeros(len(self.draw)))
        for t, event in self.plan.p.dates:
            self.hazards_until(t)
            self.scheduled(t, event)
            self.drop_ended()
        self.hazards_until(self.plan.p.horizon)
        return Result(self.cause.cumsum(axis=1), self.state.cumsum(axis=1))

    def hazards_until(self, limit: float) -> None:
        """Let the hazards act up to a date."""
        i = np.flatnonzero(self.when <= limit)
        while len(i):
            t, k, d = self.when[i], self.which[i], self.draw[i]
            age = t - self.start[self.plan.clock[k], i]
            age_bin = (age[:, None] >= self.plan.edges[k]).sum(axis=1)
            accepted = self.rng.random(len(i)) < self.tables.thin[d, k, age_bin]
            self.apply(i[accepted], t[accepted], k[accepted])
            going = self.flags[i] < self.plan.ended
            i, t = i[going], t[going]
            self.draw_next(i, t)
            i = i[self.when[i] <= limit]

    def draw_next(self, i: I64, t: F64) -> None:
        """Draw the next hazard of paths after time t, the rates being what they are now."""
        plan, tables, d = self.plan, self.tables, self.draw[i]
        rate = np.where(self.flags[i] & plan.mask[:, None] == plan.want[:, None], self.rate[:, i], 0.0)
        own_rate, rate[plan.weibull] = rate[plan.weibull], 0.0
        for k in range(1, len(rate)):
            rate[k] += rate[k - 1]
        total = rate[-1]
        which = (rate <= self.rng.random(len(i)) * total).sum(axis=0)
        when = t + self.rng.standard_exponential(len(i)) / total
        for w, k in enumerate(plan.weibull):
            anew = np.flatnonzero(own_rate[w] != self.own_rate[w, i])
            j, rate_j, shape, scale = i[anew], own_rate[w, anew], tables.shape[d[anew], k], tables.scale[d[anew], k]
            start = self.start[plan.clock[k], j]
            used = ((t[anew] - start) / scale) ** shape + self.rng.standard_exponential(len(j)) / rate_j
            self.own_time[w, j] = np.where(rate_j > 0.0, start + scale * used ** (1.0 / shape), np.inf)
            self.own_rate[w, j] = rate_j
            own_time = self.own_time[w, i]
            which[own_time < when] = k
            when = np.minimum(when, own_time)
        self.when[i], self.which[i] = when, which

    def scheduled(self, t: float, number: int) -> None:
        """Let a scheduled event happen on the paths whose condition holds, on each by one of its branches."""
        event = self.plan.p.events[number]
        mask = event.when.want | event.when.forbid | self.plan.ended
        i = np.flatnonzero(self.flags & mask == event.when.want)
        u, branch = self.rng.random(len(i)), np.zeros(len(i), np.int64)
        for cumulative in self.chances(event, i):
            branch += u >= cumulative
        effect = len(self.plan.p.hazards) + event.branches[0].column + branch
        before = self.flags[i]
        self.apply(i, np.full(len(i), t), effect)
        after = self.flags[i]
        changed = ((before != after) | self.plan.starts[effect].any(axis=1)) & (after < self.plan.ended)
        self.draw_next(i[changed], np.full(np.count_nonzero(changed), t))

    def chances(self, event: Event, i: I64) -> Iterable[F64]:
        """Cumulative probabilities of all branches of an event but the last, on some paths."""
        weights = np.empty((len(event.branches) - 1, len(i)))
        for row, branch in zip(weights, event.branches, strict=False):
            row[:] = self.tables.weight[self.draw[i], branch.column]
            for m in branch.modifiers:
                held = self.flags[i] & (m.mask.want | m.mask.forbid) == m.mask.want
                row[:] *= np.where(held, self.tables.factor[self.draw[i], m.column], 1.0)
        cumulative = weights.cumsum(axis=0)
        return cumulative / (1.0 + cumulative[-1]) if event.logit else cumulative

    def apply(self, i: I64, t: F64, effect: I64) -> None:
        """Change flags, clocks, rates and counts of paths on which something has happened at time t."""
        plan, d, slot = self.plan, self.draw[i], np.searchsorted(self.grid, t)
        old = self.flags[i]
        new = self.flags[i] = (old | plan.set[effect]) & plan.keep[effect]
        changed = old ^ new
        for f in range(plan.p.n_flag):
            mine = np.flatnonzero(changed >> f & 1)
            if len(mine):
                value = new[mine] >> f & 1
                self.rate[:, i[mine]] *= self.tables.change[d[mine], f, value].T
                np.add.at(self.state, (d[mine], slot[mine], f), 2 * value - 1)
        for c in np.flatnonzero(plan.starts.any(axis=0)):
            mine = np.flatnonzero(plan.starts[effect, c])
            self.start[c, i[mine]] = t[mine]
            for w, k in enumerate(plan.weibull):
                if plan.clock[k] == c:
                    self.own_rate[w, i[mine]] = np.nan
        over = np.flatnonzero(new >= plan.ended)
        np.add.at(self.cause, (d[over], slot[over], plan.end[effect[over]]), 1)
        self.when[i[over]] = np.inf

    def drop_ended(self) -> None:
        """Drop the paths that have ended, if there are many."""
        left = np.flatnonzero(self.flags < self.plan.ended)
        if len(left) < DROP * len(self.flags):
            for name in ("draw", "flags", "rate", "start", "own_rate", "own_time", "when", "which"):
                setattr(self, name, getattr(self, name)[..., left])


def simulate(program: Program, *, seed: int, replicates: int, grid: F64, batch: int = BATCH) -> Result:
    """Simulate `replicates` paths for each draw of a program."""
    plan, rng, per_batch = Plan(read(program)), np.random.default_rng(seed), max(1, batch // replicates)
    results = []
    with np.errstate(divide="ignore", invalid="ignore"):
        for first in range(0, program.n_draw, per_batch):
            tables = Tables(plan, program, slice(first, min(first + per_batch, program.n_draw)))
            results.append(Batch(plan, tables, replicates, grid, rng).run())
    return Result(np.concatenate([r.cause for r in results]), np.concatenate([r.state for r in results]))
