"""The whole deal-like process in vectorised NumPy.

How it was made fast:

- Lockstep over the dates of the calendar, which all paths share: between two dates only the paths with something to
  do are touched (`tn`, the next candidate of each), at a date only those whose condition holds.
- The hazards' rates are products over flags, so two tables a draw (row: the pattern of half the flags; column:
  hazard) give all rates of a path by two row look-ups and one product; a matrix product with a triangle adds them
  up, and the next hazard is found by counting bits of a comparison. float32, so that a row is one cache line.
- Flags that never change are folded into the rates, flags that always change together are one.
- Ages by thinning: hazards run at their largest rate and a candidate is kept with what the rate is at its age. A
  Weibull one that is infinite at age 0 has an exact stream of candidates (by inversion) up to `YOUNG`.
- Paths are sorted by draw, so that the tables of one draw stay in the cache; those that have ended are dropped;
  tallies are made from a log of what has changed, by one count a batch.
"""

import itertools
from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.reading import Effect, Event, Hazard, Mask, Modifier, Reading, read
from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program
from forecast.types import F64

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
WIDTH = 16  # floats in a cache line; rows are made up to multiples of it
YOUNG = 0.05  # years up to which a Weibull hazard with a shape below 1 has its own candidates
BATCH = 65_536
GROUP = 6  # bits a table of rates
ENDED = 1 << 62  # in a path's word
DROP = 0.85  # paths that have ended are dropped when less than this share is left


@dataclass(frozen=True)
class Result:
    """cause (draw, time, cause), state (draw, time, flag): paths, as in `Counts`."""

    cause: I64
    state: I64


@dataclass(frozen=True)
class Bits:
    """The bits that a path's word has: groups of flags (and of clocks that run or not) that change together.

    first (bit): value at the as-of date; members: raw bits of each; constant: raw bits and their value for ever.
    """

    members: tuple[tuple[int, ...], ...]
    first: tuple[int, ...]
    constant: dict[int, int]

    def word(self, raw: int) -> int:
        """Bits of which any raw bit is in a mask."""
        return sum(1 << b for b, m in enumerate(self.members) if any(raw >> x & 1 for x in m))

    def test(self, mask: Mask) -> tuple[int, int] | None:
        """(mask, value) of a path's word under which raw flags match; None if they never can."""
        want, forbid = self.word(mask.want), self.word(mask.forbid)
        lost = any((mask.forbid if v else mask.want) >> x & 1 for x, v in self.constant.items())
        return None if lost or want & forbid else (want | forbid | ENDED, want)


def bits_of(p: Reading) -> Bits:
    """Find what changes, and what changes together. Clock c is raw bit n_flag + c: whether it runs."""
    effects = [h.effect for h in p.hazards] + [b.effect for e in p.events for b in e.branches]
    groups: dict[tuple[int, ...], list[int]] = {}
    constant = {}
    for raw in range(p.n_flag + len(p.clock0)):
        first = p.flags >> raw & 1 if raw < p.n_flag else int(p.clock0[raw - p.n_flag] < np.inf)
        does = tuple(_does(p, e, raw) for e in effects)
        if all(x in (first, 2) for x in does):
            constant[raw] = first
        else:
            groups.setdefault((first, *does), []).append(raw)
    return Bits(tuple(map(tuple, groups.values())), tuple(key[0] for key in groups), constant)


def _does(p: Reading, e: Effect, raw: int) -> int:
    """What an effect makes of a raw bit: 0, 1, or 2 for nothing."""
    if raw < p.n_flag:
        return 0 if e.clear >> raw & 1 else 1 if e.set >> raw & 1 else 2
    c = raw - p.n_flag
    return 1 if e.start >> c & 1 else 0 if e.stop >> c & 1 else 2


@dataclass
class Plan:
    """What all draws share."""

    p: Reading
    bits: Bits
    grid: F64
    groups: tuple[slice, ...]  # bits of each table of rates
    set: I64  # (hazard,) bits to set …
    keep: I64  # … and to keep
    end: I64  # (effect,) cause, or −1
    starts: I64  # (hazard,) clocks that it starts, of those whose age matters
    clock: I64  # (hazard or early hazard,) its clock if its age matters, or −1
    weibull: NDArray[np.bool_]  # (hazard,)
    edges: F64  # (bin boundary, hazard) inf where there is none
    triangle: F32
    early: tuple[int, ...]  # Weibull hazards with a shape below 1 in some draw
    started: tuple[int, ...]  # clocks that hazards start, of those
    happenings: tuple["Happening | None", ...]  # (event,)

    @property
    def width(self) -> int:
        """Columns of a row."""
        return len(self.triangle)


@dataclass
class Happening:
    """A scheduled event: the test of a path's word, the bits that its chances look at, and by branch what it does."""

    mask: int
    value: int
    looks_at: tuple[int, ...]
    set: I64
    keep: I64
    starts: tuple[int, ...]
    touches: tuple[int, ...]  # bits that it may change
    effect: int  # number of the first branch's effect
    ends: bool


def plan_of(program: Program, grid: F64) -> Plan:
    """Work out what all draws share."""
    p = read(program)
    bits, shape = bits_of(p), program.values.shape
    early = tuple(k for k, h in enumerate(p.hazards) if h.kind == WEIBULL and (shape[:, k] < 1.0).any())
    as_of = len(p.clock0)  # the clock of hazards without one
    clock = [(h.clock if h.clock >= 0 else as_of) if _is_aged(h) else -1 for h in p.hazards]
    edges = np.full((max(len(h.edges) for h in p.hazards) - 1, len(p.hazards)), np.inf)
    for k, h in enumerate(p.hazards):
        edges[: len(h.edges) - 1, k] = h.edges[1:]
    width = -(-len(p.hazards) // WIDTH) * WIDTH
    used = sum(1 << c for c in set(clock) - {-1})
    return Plan(
        p=p,
        bits=bits,
        grid=grid,
        groups=groups_of(len(bits.members)),
        set=np.array([_sets(p, bits, h.effect) for h in p.hazards]),
        keep=np.array([~_clears(p, bits, h.effect) for h in p.hazards]),
        end=np.array([h.effect.end for h in p.hazards] + [b.effect.end for e in p.events for b in e.branches]),
        starts=np.array([h.effect.start & used for h in p.hazards]),
        clock=np.array([*clock, *(-1 for _ in early)]),
        weibull=np.array([h.kind == WEIBULL for h in p.hazards]),
        edges=edges,
        triangle=np.triu(np.ones((width, width), np.float32)),
        early=early,
        started=tuple(c for c in range(len(p.clock0)) if any(h.effect.start & used & 1 << c for h in p.hazards)),
        happenings=tuple(happening_of(p, bits, e, used) for e in p.events),
    )


def groups_of(n_bit: int) -> tuple[slice, ...]:
    """Cut the bits of a word into groups of about `GROUP`."""
    ends = np.linspace(0, n_bit, max(1, -(-n_bit // GROUP)) + 1).astype(int).tolist()
    return tuple(slice(a, b) for a, b in itertools.pairwise(ends))


def _is_aged(h: Hazard) -> bool:
    return h.kind == WEIBULL or len(h.edges) > 1


def happening_of(p: Reading, bits: Bits, e: Event, used: int) -> Happening | None:
    """Prepare a scheduled event; None if it never can happen."""
    test = bits.test(e.when)
    raws = {_literal(m)[0] for b in e.branches for m in b.modifiers}
    effects = [b.effect for b in e.branches]
    touched = reduce(or_, (_sets(p, bits, x) | _clears(p, bits, x) for x in effects))
    return test and Happening(
        *test,
        looks_at=tuple(n for n, members in enumerate(bits.members) if raws & set(members)),
        set=np.array([_sets(p, bits, x) for x in effects]),
        keep=np.array([~_clears(p, bits, x) for x in effects]),
        starts=tuple(x.start & used for x in effects),
        touches=tuple(b for b in range(len(bits.members)) if touched >> b & 1),
        effect=len(p.hazards) + e.branches[0].column,
        ends=any(x.end >= 0 for x in effects),
    )


def _sets(p: Reading, bits: Bits, e: Effect) -> int:
    return bits.word((e.set & ~e.clear) | e.start << p.n_flag) | (ENDED if e.end >= 0 else 0)


def _clears(p: Reading, bits: Bits, e: Effect) -> int:
    return bits.word(e.clear | (e.stop & ~e.start) << p.n_flag)


# ---- tables of some draws ------------------------------------------------------------------------


@dataclass
class Tables:
    """What a batch of draws needs. rows: see the module; most: factor bound of each early hazard."""

    rates: list[F32]  # per group of bits: (draw · pattern, column)
    ratio: F32  # (draw · hazard · bin,) rate in a bin against the largest
    shape: F64  # (draw · hazard,)
    scale: F64
    reference: F64  # (draw · hazard,) age at which a Weibull hazard is largest, from `young` on
    young: F64  # (draw · hazard,)
    most: F64  # (draw · hazard,) largest factor that there could be …
    most_rate: F32  # … and rate, at the reference age
    chance: list[list[F64]]  # per event and branch but the last: (draw · pattern,) cumulative probability


def tables_of(plan: Plan, program: Program, draws: slice) -> Tables:
    """Make the tables of some draws."""
    p, v = plan.p, program.values
    factor, n_draw, n_haz = v.factor[draws], draws.stop - draws.start, len(p.hazards)
    base = np.zeros((n_draw, plan.width))
    ratio = np.ones((n_draw, n_haz, len(plan.edges) + 1), np.float32)
    reference, young = np.ones((n_draw, n_haz)), np.zeros((n_draw, n_haz))
    for k, h in enumerate(p.hazards):
        if h.kind == WEIBULL:
            shape, scale = v.shape[draws, k], v.scale[draws, k]
            young[:, k] = np.where(shape < 1.0, YOUNG, 0.0)
            oldest = p.horizon - min(0.0, p.clock0[h.clock] if h.clock >= 0 else 0.0)
            reference[:, k] = np.where(shape < 1.0, YOUNG, oldest)
            base[:, k] = shape / scale * (reference[:, k] / scale) ** (shape - 1.0)
        else:
            rate = v.bin_rate[draws, h.bins]
            base[:, k] = rate.max(axis=1)
            ratio[:, k, : rate.shape[1]] = rate / base[:, k, None]
    one, zero = factors_of(plan, factor)
    never = [plan.bits.test(_with_clock(p, h)) is None for h in p.hazards]
    base[:, :n_haz][:, never] = 0.0
    most = np.maximum(one, zero).prod(axis=1)[:, :n_haz] * constant_factor(plan, factor)
    most_rate = most * base[:, :n_haz]
    base[:, :n_haz] *= constant_factor(plan, factor)
    ones = np.ones_like(base)
    return Tables(
        rates=[rows(ones if n else base, zero[:, g], one[:, g]) for n, g in enumerate(plan.groups)],
        ratio=ratio.ravel(),
        shape=v.shape[draws].ravel(),
        scale=v.scale[draws].ravel(),
        reference=reference.ravel(),
        young=young.ravel(),
        most=most.ravel(),
        most_rate=most_rate.ravel().astype(np.float32),
        chance=[chances_of(plan, program, draws, n) for n in range(len(p.events))],
    )


def _with_clock(p: Reading, h: Hazard) -> Mask:
    """Condition of a hazard with that of its clock: it must run."""
    return h.when if h.clock < 0 else Mask(h.when.want | 1 << (p.n_flag + h.clock), h.when.forbid)


def _literal(m: Modifier) -> tuple[int, int]:
    """(raw bit, value) under which a modifier holds."""
    both = m.mask.want | m.mask.forbid
    if both.bit_count() != 1:
        raise ValueError("the NumPy version takes modifiers of one literal")
    return both.bit_length() - 1, int(m.mask.want != 0)


def factors_of(plan: Plan, factor: F64) -> tuple[F64, F64]:
    """Factors (draw, bit, column) of each hazard where a bit is set, and where it is clear."""
    shape = (len(factor), len(plan.bits.members), plan.width)
    one, zero = np.ones(shape), np.ones(shape)
    for k, h in enumerate(plan.p.hazards):
        when = _with_clock(plan.p, h)
        for b, members in enumerate(plan.bits.members):
            zero[:, b, k] *= not any(when.want >> x & 1 for x in members)
            one[:, b, k] *= not any(when.forbid >> x & 1 for x in members)
            for m in h.modifiers:
                raw, value = _literal(m)
                if raw in members:
                    (one if value else zero)[:, b, k] *= factor[:, m.column]
    return one, zero


def constant_factor(plan: Plan, factor: F64) -> F64:
    """Product (draw, hazard) of the modifiers that always hold."""
    out = np.ones((len(factor), len(plan.p.hazards)))
    for k, h in enumerate(plan.p.hazards):
        for m in h.modifiers:
            raw, value = _literal(m)
            if plan.bits.constant.get(raw) == value:
                out[:, k] *= factor[:, m.column]
    return out


def rows(base: F64, zero: F64, one: F64) -> F32:
    """Products for every pattern of some bits, by doubling: (draw · pattern, column)."""
    n_draw, n_bit, width = zero.shape
    out = np.empty((n_draw, 1 << n_bit, width), np.float32)
    out[:, 0] = base
    for b in range(n_bit):
        half = out[:, : 1 << b]
        np.multiply(half, one[:, b, None].astype(np.float32), out=out[:, 1 << b : 2 << b])
        half *= zero[:, b, None].astype(np.float32)
    return out.reshape(-1, width)


def chances_of(plan: Plan, program: Program, draws: slice, event: int) -> list[F64]:
    """Cumulative probabilities of the branches of an event, for each draw and pattern of the bits it looks at."""
    e, happening, v = plan.p.events[event], plan.happenings[event], program.values
    read_bits = happening.looks_at if happening else ()
    shape = (draws.stop - draws.start, 1 << len(read_bits))
    weights = []
    for branch in e.branches[:-1]:
        w = np.repeat(v.weight[draws, branch.column, None], shape[1], axis=1)
        for m in branch.modifiers:
            raw, value = _literal(m)
            for pattern in range(shape[1]):
                if _value(plan, read_bits, pattern, raw) == value:
                    w[:, pattern] *= v.factor[draws, m.column]
        weights.append(w)
    cumulative = np.cumsum(weights, axis=0)
    if e.logit:
        cumulative = cumulative / (1.0 + cumulative[-1])
    return [c.ravel() for c in cumulative]


def _value(plan: Plan, read_bits: tuple[int, ...], pattern: int, raw: int) -> int:
    for n, b in enumerate(read_bits):
        if raw in plan.bits.members[b]:
            return pattern >> n & 1
    return plan.bits.constant[raw]


# ---- a batch of paths ----------------------------------------------------------------------------


class Batch:
    """The paths of some draws under way; arrays by path, in order of draw.

    d: draw; word: state; tn, kn: time and hazard of the next candidate (n_haz + e: an early one); start (clock,
    path): years, with the as-of date behind; early (early hazard, path): time of its candidate
    """

    def __init__(self, plan: Plan, tables: Tables, n_draw: int, replicates: int, rng: np.random.Generator) -> None:
        self.plan, self.tables, self.rng, self.n_draw = plan, tables, rng, n_draw
        n, bits = n_draw * replicates, plan.bits
        self.d = np.repeat(np.arange(n_draw), replicates)
        self.word = np.full(n, sum(v << b for b, v in enumerate(bits.first)))
        self.tn, self.kn = np.zeros(n), np.zeros(n, np.int64)
        self.start = np.repeat(np.array([*plan.p.clock0, 0.0])[:, None], n, axis=1)
        self.early = np.full((len(plan.early), n), np.inf)
        self.per_year = (len(plan.grid) - 1) / plan.grid[-1]
        self.n_ended = 0
        self.moves = np.zeros((n_draw, len(plan.grid), len(bits.members)), np.int64)  # differences along time
        self.log: list[tuple[I64, I64, I64]] = []  # place in (draw, time), bits changed, word after
        self.ends: list[tuple[I64, I64]] = []  # place, cause

    def run(self) -> None:
        """Follow all paths to the horizon."""
        everyone = np.arange(len(self.d))
        for c in set(self.plan.clock[list(self.plan.early)].tolist()):
            self.start_early(c, everyone, 0.0)
        self.aim(everyone, 0.0)
        for t, event in self.plan.p.dates:
            self.hazards_until(t)
            self.happen(t, event)
            self.drop()
        self.hazards_until(self.plan.p.horizon)

    # ---- candidates ----

    def row(self, n: int, i: I64, word: I64) -> I64:
        """Rows of the paths in the table of group n."""
        g = self.plan.groups[n]
        bits = g.stop - g.start
        at = word >> g.start if g.start else word.copy()
        at &= (1 << bits) - 1
        at += self.d.take(i) << bits
        return at

    def aim(self, i: I64, t: float | F64) -> None:
        """Draw the next candidate of paths, whose rates have changed or are to be drawn anew at time t."""
        word, tables = self.word.take(i), self.tables.rates
        rates = tables[0].take(self.row(0, i, word), axis=0)
        for n in range(1, len(tables)):
            rates *= tables[n].take(self.row(n, i, word), axis=0)
        total = rates @ self.plan.triangle
        last = total[:, -1]
        mark = self.rng.random(len(i), np.float32)
        mark *= last
        below = np.less_equal(total, mark[:, None]).view(np.uint64)
        k = np.bitwise_count(below[:, 0])
        for j in range(1, below.shape[1]):
            k += np.bitwise_count(below[:, j])
        when = self.rng.standard_exponential(len(i))
        when /= last
        when += t
        for e, times in enumerate(self.early):
            other = times.take(i)
            sooner = (other < when).nonzero()[0]
            when[sooner] = other[sooner]
            k[sooner] = len(self.plan.p.hazards) + e
        self.tn[i] = when
        self.kn[i] = k

    def next_early(self, e: int, i: I64, age: float | F64) -> None:
        """Draw the next candidate of an early hazard whose clock is at an age: none from `YOUNG` on."""
        k, q = self.plan.early[e], self.tables
        at = self.d.take(i) * len(self.plan.p.hazards) + k
        shape, scale = q.shape.take(at), q.scale.take(at)
        used = self.rng.standard_exponential(len(i))
        used /= q.most.take(at)
        used += (age / scale) ** shape
        new = scale * used ** (1.0 / shape)
        self.early[e, i] = np.where(new < q.young.take(at), self.start[self.plan.clock[k]].take(i) + new, np.inf)

    def start_early(self, c: int, i: I64, age: float) -> None:
        """See to the early hazards of a clock that has been started."""
        for e, k in enumerate(self.plan.early):
            if self.plan.clock[k] == c:
                self.next_early(e, i, age)

    def thin(self, i: I64, t: F64, k: I64, keep: NDArray[np.bool_]) -> None:
        """Reject some candidates of hazards that depend on an age."""
        plan, q, n_haz = self.plan, self.tables, len(self.plan.p.hazards)
        clock = plan.clock.take(k)
        mine = (clock >= 0).nonzero()[0]
        im, km = i.take(mine), k.take(mine)
        age = t.take(mine)
        age -= self.start.reshape(-1).take(clock.take(mine) * len(self.d) + im)
        at = self.d.take(im) * n_haz + km
        place = at * (len(plan.edges) + 1)
        for edge in plan.edges:
            place += age >= edge.take(km)
        ratio = q.ratio.take(place)
        weibull = plan.weibull.take(km).nonzero()[0]
        aw, atw = age.take(weibull), at.take(weibull)
        r = (aw / q.reference.take(atw)) ** (q.shape.take(atw) - 1.0)
        r[aw < q.young.take(atw)] = 0.0
        ratio[weibull] = r
        keep[mine] = self.rng.random(len(mine), np.float32) < ratio

    def thin_early(self, i: I64, t: F64, k: I64, keep: NDArray[np.bool_]) -> None:
        """Reject some early candidates, give the others the number of their hazard, and draw the next ones."""
        plan, q, n_haz = self.plan, self.tables, len(self.plan.p.hazards)
        for e, hazard in enumerate(plan.early):
            mine = (k == n_haz + e).nonzero()[0]
            im = i[mine]
            d, word = self.d[im], self.word[im]
            chance = 1.0 / q.most_rate[d * n_haz + hazard]
            for g, table in enumerate(q.rates):
                chance *= table[self.row(g, im, word), hazard]
            keep[mine] = self.rng.random(len(mine), np.float32) < chance
            k[mine] = hazard
            self.next_early(e, im, t[mine] - self.start[plan.clock[hazard], im])

    def hazards_until(self, limit: float) -> None:
        """Let all hazards act up to a date."""
        i = (self.tn <= limit).nonzero()[0]
        while len(i):
            i = self.candidates(i)
            i = i[self.tn.take(i) <= limit]

    def candidates(self, i: I64) -> I64:
        """Try the next candidate of some paths; return those that go on."""
        plan, t, k = self.plan, self.tn.take(i), self.kn.take(i)
        keep = np.ones(len(i), bool)
        self.thin(i, t, k, keep)
        self.thin_early(i, t, k, keep)
        yes = keep.nonzero()[0]
        j, tj, kj = i.take(yes), t.take(yes), k.take(yes)
        old = self.word.take(j)
        new = old | plan.set.take(kj)
        new &= plan.keep.take(kj)
        self.word[j] = new
        place = self.d.take(j) * len(plan.grid)
        tj_slot = np.ceil(tj * self.per_year)
        place += tj_slot.astype(np.int64)
        old ^= new
        self.log.append((place, old, new))
        for c in plan.started:
            mine = (plan.starts.take(kj) >> c & 1).nonzero()[0]
            self.start[c, j[mine]] = tj[mine]
            self.start_early(c, j[mine], 0.0)
        if self.end(j, new, place, kj):
            go = (self.word.take(i) < ENDED).nonzero()[0]
            i, t = i.take(go), t.take(go)
        self.aim(i, t)
        return i

    def end(self, i: I64, word: I64, place: I64, effect: I64) -> bool:
        """See to the paths that have ended; tell whether there are any."""
        ended = (word >= ENDED).nonzero()[0]
        if not len(ended):
            return False
        self.ends.append((place[ended], self.plan.end[effect[ended]]))
        self.tn[i[ended]] = np.inf
        self.n_ended += len(ended)
        return True

    # ---- dates ----

    def happen(self, t: float, event: int) -> None:
        """Let a scheduled event happen on the paths whose condition holds."""
        h = self.plan.happenings[event]
        if h is None:
            return
        i = ((self.word & h.mask) == h.value).nonzero()[0]
        old, d = self.word.take(i), self.d.take(i)
        branch = self.choose(event, h, old, d)
        new = old | h.set.take(branch)
        new &= h.keep.take(branch)
        again = new != old
        for b, starts in enumerate(h.starts):
            for c in range(len(self.start)):
                if starts >> c & 1:
                    mine = branch == b
                    self.start[c, i[mine]] = t
                    self.start_early(c, i[mine], 0.0)
                    again |= mine
        changed = again.nonzero()[0]
        i, d, old, new = i.take(changed), d.take(changed), old.take(changed), new.take(changed)
        self.word[i] = new
        slot = int(np.searchsorted(self.plan.grid, t))
        self.count(h.touches, slot, d, old ^ new, new)
        if h.ends:
            self.end(i, new, d * len(self.plan.grid) + slot, h.effect + branch.take(changed))
            i = i[new < ENDED]
        self.aim(i, t)

    def choose(self, event: int, h: Happening, word: I64, d: I64) -> I64:
        """Choose the branch on each path."""
        at = d << len(h.looks_at)
        for n, bit in enumerate(h.looks_at):
            at |= (word >> (bit - n) & 1 << n) if bit >= n else (word & 1 << bit) << (n - bit)
        u = self.rng.random(len(word))
        branch = np.zeros(len(word), np.int64)
        for chance in self.tables.chance[event]:
            branch += u >= chance.take(at)
        return branch

    def drop(self) -> None:
        """Drop the paths that have ended, if it is worth it."""
        if len(self.d) - self.n_ended < DROP * len(self.d):
            left = (self.word < ENDED).nonzero()[0]
            self.d, self.word = self.d.take(left), self.word.take(left)
            self.tn, self.kn = self.tn.take(left), self.kn.take(left)
            self.start, self.early = self.start.take(left, axis=1), self.early.take(left, axis=1)
            self.n_ended = 0

    # ---- tallies ----

    def count(self, touched: tuple[int, ...], slot: int, d: I64, changed: I64, word: I64) -> None:
        """Enter the bits that have changed at one time of the grid."""
        for b in touched:
            moved = (changed >> b & 1).nonzero()[0]
            at = word.take(moved) >> b & 1
            at += 2 * d.take(moved)
            counts = np.bincount(at, minlength=2 * self.n_draw).reshape(-1, 2)
            self.moves[:, slot, b] += counts[:, 1] - counts[:, 0]

    def count_log(self) -> None:
        """Enter the bits that hazards have changed, the lowest of every change first."""
        n_bit = self.moves.shape[2]
        place, changed, word = (np.concatenate(x) for x in zip(*self.log, strict=True))
        while len(left := (changed & ENDED - 1).nonzero()[0]):
            place, changed, word = place.take(left), changed.take(left), word.take(left)
            lowest = changed & -changed
            at = place * n_bit
            at += np.bitwise_count(lowest - 1)
            at *= 2
            at += (word & lowest) != 0
            counts = np.bincount(at, minlength=2 * self.moves.size).reshape(*self.moves.shape, 2)
            self.moves += counts[..., 1]
            self.moves -= counts[..., 0]
            changed ^= lowest

    def causes(self) -> I64:
        """Paths (draw, time, cause) ended by then."""
        n_time, n_cause = len(self.plan.grid), self.plan.p.n_cause
        at = np.concatenate([place * n_cause + cause for place, cause in self.ends])
        counts = np.bincount(at, minlength=self.n_draw * n_time * n_cause)
        return counts.reshape(self.n_draw, n_time, n_cause).cumsum(axis=1)

    def states(self, replicates: int) -> I64:
        """Paths (draw, time, flag) with the flag set."""
        bits, n_flag = self.plan.bits, self.plan.p.n_flag
        self.count_log()
        self.moves[:, 0] += replicates * np.array(bits.first)
        by_bit = self.moves.cumsum(axis=1)
        out = np.empty((*by_bit.shape[:2], n_flag), np.int64)
        for b, members in enumerate(bits.members):
            for flag in (x for x in members if x < n_flag):
                out[:, :, flag] = by_bit[:, :, b]
        for flag in (x for x in bits.constant if x < n_flag):
            out[:, :, flag] = bits.constant[flag] * replicates
        return out


def simulate(program: Program, *, seed: int, replicates: int, grid: F64, batch: int = BATCH) -> Result:
    """Simulate `replicates` paths for each draw of a program; the times of the grid are equally spaced from 0."""
    plan = plan_of(program, grid)
    rng = np.random.Generator(np.random.SFC64(seed))
    per_batch = max(1, batch // replicates)
    cause, state = [], []
    with np.errstate(divide="ignore", invalid="ignore"):
        for first in range(0, program.n_draw, per_batch):
            draws = slice(first, min(first + per_batch, program.n_draw))
            some = Batch(plan, tables_of(plan, program, draws), draws.stop - first, replicates, rng)
            some.run()
            cause.append(some.causes())
            state.append(some.states(replicates))
    return Result(np.concatenate(cause), np.concatenate(state))
