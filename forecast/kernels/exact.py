"""Kolmogorov's forward equations of a small process, for many draws at a time.

Uniformisation (Jensen 1953): with q no smaller than any rate of leaving a state, e^(Qt) is a Poisson(qt) mixture of
powers of the chain 1 + Q/q. Only positive terms are added, so that rare states keep their relative accuracy. A
piece of time of at most `MEAN` jumps has one set of terms, of each of which only what is read off the states
is kept; every time of the grid in the piece is another mixture of these. Where the grid has few times, pieces end at
them instead, and only the states at their ends are read. Integrals are mixtures too, with the weights

    I_n(s) = ∫₀ˢ e^(−δv) Poisson(n; qv) dv,    I_(n−1) = I_n (1 + δ/q) + e^(−δs) Poisson(n; qs) / q.

What is read off a path that has ended never changes again, so that its mass need not be moved any more: it is added
to what is read, by the rates of ending and the time spent in each state. Several draws go side by side, as lanes: the
last axis of every array of theirs, so that vector units work on them together. They share q, as they share the graph
and their rates are alike.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forecast.kernels.arith import exp
from forecast.kernels.jit import inner, kernel

U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Records = npt.NDArray[Any]

NEVER, ALWAYS = -1, -2  # instead of a place in what is read
MEAN = 64.0  # jumps a piece at most, on average
MOST = 160  # terms a piece at most: enough for a Poisson variable of mean `MEAN`
TAIL = 1e-13  # Poisson probabilities that are left out
SLOWEST = 1e-3  # least q a year, where nothing moves
FEW = 2  # times of the grid for each piece of `MEAN` jumps, at most, for which pieces end at them
STEADY = 10.0  # least q in units of the discount, so that the recursion of I_n stays tame


def _record(**fields: str) -> np.dtype[Any]:
    return np.dtype(list(fields.items()), align=True)


# From `start` to `end` (years) rates are constant; first, what happens at the start. grid: times in [start, end).
STRETCH = _record(start="f8", end="f8", graph="u4", grid="u4", grid_end="u4", happening="u4", happening_end="u4")
GRAPH = _record(
    active="u4", active_end="u4", fire="u4", fire_end="u4", lump="u4", lump_end="u4", outlet="u4", outlet_end="u4"
)
# A state of a graph; move: what comes into it; exit: rates at which it is left.
ACTIVE = _record(node="u4", move="u4", move_end="u4", exit="u4", exit_end="u4")
# Mass from state `source` of the graph at a rate: into a state; into what is read off the ended, at the sum of
# several rates (`exits`); as firings; as lump sums.
MOVE = _record(source="u4", rate="u4")
OUTLET = _record(source="u4", read="u4", exit="u4", exit_end="u4")
FIRE = _record(source="u4", rate="u4", firing="u4")
LUMP = _record(source="u4", rate="u4", meter="u4")
# An event at an instant, in the states `source` …, and what it hands over.
HAPPENING = _record(source="u4", source_end="u4", handover="u4", handover_end="u4")
# source: place among those of the happening; node: −1 if it ends the path; read: what is read off it then.
HANDOVER = _record(
    source="u4", node="i4", chance="u4", firing="u4", read="u4", read_end="u4", pay="u4", pay_end="u4"
)  # fmt: skip
# What is read off a state; flow: meters that run in it.
NODE = _record(read="u4", read_end="u4", flow="u4", flow_end="u4")
RECORDS = {
    "stretches": STRETCH,
    "graphs": GRAPH,
    "actives": ACTIVE,
    "moves": MOVE,
    "outlets": OUTLET,
    "fires": FIRE,
    "lumps": LUMP,
    "happenings": HAPPENING,
    "handovers": HANDOVER,
    "nodes": NODE,
}


class Plan(NamedTuple):
    """Where mass goes, the same for all draws."""

    stretches: Records
    graphs: Records
    actives: Records
    moves: Records
    exits: U32  # rates
    outlets: Records
    fires: Records
    lumps: Records
    happenings: Records
    sources: U32  # states
    handovers: Records
    nodes: Records
    reads: U32  # what is read
    meters: U32  # of `flow` and `pay`
    grid: F64  # (time,) years


class Scratch(NamedTuple):
    """Space of one thread; the last axis of most is the lane."""

    mass: F64  # (node, lane)
    x: F64  # (active, lane) a term of the graph at hand
    y: F64  # (active, lane) the next one
    end: F64  # (active, lane) at the end of the piece
    spent: F64  # (active, lane) mean years in each state
    stay: F64  # (active, lane) 1 − rate of leaving/q
    step: F64  # (rate, lane) rate/q
    leak: F64  # (outlet, lane) rate/q
    taken: F64  # (source, lane)
    seen: F64  # (term, read × lane)
    total: F64  # (1, read × lane)
    # (2, read × lane) read off the paths that have ended: by the term at hand, or by the start of the stretch where
    # pieces end at the times of the grid; at the end of the piece
    ended: F64
    rate: F64  # (term × meter, lane) of what accrues, a year
    worth: F64  # (meter, lane) accrued by the start of the piece, discounted to time 0
    amount: F64  # (meter, lane)
    fired: F64  # (firing, lane)
    lane: F64  # (3, lane)
    weight: F64  # (term,) Poisson probabilities
    later: F64  # (term,) those of more jumps, over q: mean years in the term


class Out(NamedTuple):
    """Where the results of the draws side by side go."""

    draw: I64  # (lane,)
    column: I64
    cause: I64
    shown: F64
    meter: F64


@inner
def poisson(mean, out):
    """Write Poisson probabilities into `out` until they no longer matter, so that they add up to 1; return how many."""
    w, n = exp(-mean), 0
    out[0] = total = w
    while (n < mean or w > TAIL) and n + 1 < out.size:
        n += 1
        w *= mean / n
        out[n] = w
        total += w
    for i in range(n + 1):
        out[i] /= total
    return n + 1


# ---- rows of lanes -------------------------------------------------------------------------------
# Their length is not fixed: the compiler would unroll a fixed one before it could put it into vectors.


@inner
def fill(table, value):
    """Set every entry."""
    for i in range(table.shape[0]):
        for z in range(table.shape[1]):
            table[i, z] = value


@inner
def clear(table, i):
    """Set a row to 0."""
    for z in range(table.shape[1]):
        table[i, z] = 0.0


@inner
def copy(table, i, other, j):
    """Copy a row."""
    for z in range(table.shape[1]):
        table[i, z] = other[j, z]


@inner
def add(table, i, other, j, factor):
    """Add a row times a number to a row."""
    for z in range(table.shape[1]):
        table[i, z] += factor * other[j, z]


@inner
def add_product(table, i, a, j, b, k):
    """Add the product of two rows to a row."""
    for z in range(table.shape[1]):
        table[i, z] += a[j, z] * b[k, z]


@inner
def add_products(table, i, a, j, k, b, m, n):
    """Add the products of rows j and m, and of rows k and n, of two tables to a row."""
    for z in range(table.shape[1]):
        table[i, z] += a[j, z] * b[m, z] + a[k, z] * b[n, z]


@inner
def add_twice(table, factor, other, part, x, i):
    """Add row i of x, times a number each, to that row of two tables."""
    for z in range(x.shape[1]):
        table[i, z] += factor * x[i, z]
        other[i, z] += part * x[i, z]


@inner
def add_part(table, i, part, a, j):
    """Add a row to part of a row that is as long as several."""
    first = np.int64(part) * a.shape[1]
    for z in range(a.shape[1]):
        table[i, first + z] += a[j, z]


@inner
def add_product_part(table, i, part, a, j, b, k):
    """Add the product of two rows to part of a row that is as long as several."""
    first = np.int64(part) * a.shape[1]
    for z in range(a.shape[1]):
        table[i, first + z] += a[j, z] * b[k, z]


# ---- at an instant -------------------------------------------------------------------------------


@inner
def happen(p, w, event, t, chance, discount):
    """Hand over the mass of the states in which an event happens at time t."""
    h = p.happenings[event]
    for i in range(h["source"], h["source_end"]):
        copy(w.taken, i - h["source"], w.mass, p.sources[i])
        clear(w.mass, p.sources[i])
    for j in range(h["handover"], h["handover_end"]):
        o = p.handovers[j]
        add_product(w.fired, o["firing"], w.taken, o["source"], chance, o["chance"])
        if o["node"] >= 0:
            add_product(w.mass, o["node"], w.taken, o["source"], chance, o["chance"])
        for n in range(o["read"], o["read_end"]):
            add_product_part(w.ended, 0, p.reads[n], w.taken, o["source"], chance, o["chance"])
        for n in range(o["pay"], o["pay_end"]):
            m = p.meters[n]
            for z in range(chance.shape[1]):
                now = w.taken[o["source"], z] * chance[o["chance"], z]
                w.worth[m, z] += exp(-discount[m, z] * t) * now


# ---- between instants ----------------------------------------------------------------------------


@inner
def add_exits(p, rate, first, last, table, i):
    """Add the rates `exits` first … last − 1."""
    for j in range(first, last):
        add(table, i, rate, p.exits[j], 1.0)


@inner
def prepare(p, w, g, rate, discount):
    """Write the chain 1 + Q/q of a graph; return q."""
    lanes = rate.shape[1]
    q = SLOWEST
    for m in range(discount.shape[0]):
        for z in range(lanes):
            q = max(q, STEADY * discount[m, z])
    for i in range(g["active"], g["active_end"]):
        a, at = p.actives[i], i - g["active"]
        clear(w.stay, at)
        add_exits(p, rate, a["exit"], a["exit_end"], w.stay, at)
        for z in range(lanes):
            q = max(q, w.stay[at, z])
    for i in range(g["active_end"] - g["active"]):
        for z in range(lanes):
            w.stay[i, z] = 1.0 - w.stay[i, z] / q
    for r in range(rate.shape[0]):
        for z in range(lanes):
            w.step[r, z] = rate[r, z] / q
    for i in range(g["outlet"], g["outlet_end"]):
        o, at = p.outlets[i], i - g["outlet"]
        clear(w.leak, at)
        add_exits(p, w.step, o["exit"], o["exit_end"], w.leak, at)
    return q


@inner
def add_states(p, g, x, table, n):
    """Add what is read off the states of a graph, x, to a row."""
    for i in range(g["active"], g["active_end"]):
        node = p.nodes[p.actives[i]["node"]]
        for j in range(node["read"], node["read_end"]):
            add_part(table, n, p.reads[j], x, i - g["active"])


@inner
def read(p, w, g, x, n):
    """Write what is read off the nth term, x, of a graph; then let end what the next step ends."""
    copy(w.seen, n, w.ended, 0)
    add_states(p, g, x, w.seen, n)
    add(w.ended, 1, w.ended, 0, w.weight[n])
    for i in range(g["outlet"], g["outlet_end"]):
        o = p.outlets[i]
        add_product_part(w.ended, 0, o["read"], w.leak, i - g["outlet"], x, o["source"])


@inner
def read_end(p, w, g, q, x):
    """Write into `total` what is read off the states, x, and off what has ended since the stretch began."""
    copy(w.total, 0, w.ended, 0)
    add_leaks(p, w, g, q, w.total)
    add_states(p, g, x, w.total, 0)


@inner
def add_leaks(p, w, g, q, table):
    """Add what has ended since the stretch began, by the time spent in each state."""
    lanes = w.spent.shape[1]
    for i in range(g["outlet"], g["outlet_end"]):
        o, at = p.outlets[i], i - g["outlet"]
        first = np.int64(o["read"]) * lanes
        for z in range(lanes):
            table[0, first + z] += q * w.leak[at, z] * w.spent[o["source"], z]


@inner
def accrue(p, w, g, q, x, n, n_meter):
    """Write what accrues a year in the nth term, x, of a graph."""
    for m in range(n_meter):
        clear(w.rate, n * n_meter + m)
    for i in range(g["active"], g["active_end"]):
        node = p.nodes[p.actives[i]["node"]]
        for j in range(node["flow"], node["flow_end"]):
            add(w.rate, n * n_meter + p.meters[j], x, i - g["active"], 1.0)
    for i in range(g["lump"], g["lump_end"]):
        o = p.lumps[i]
        for z in range(x.shape[1]):
            w.rate[n * n_meter + o["meter"], z] += q * w.step[o["rate"], z] * x[o["source"], z]


@inner
def advance(p, w, g, x, y):
    """Take one step of the chain, from x to y."""
    for i in range(g["active"], g["active_end"]):
        a, at = p.actives[i], i - g["active"]
        for z in range(x.shape[1]):
            y[at, z] = w.stay[at, z] * x[at, z]
        j, last = np.int64(a["move"]), np.int64(a["move_end"])
        while j + 1 < last:  # two at a time: half as often is y read and written
            m, n = p.moves[j], p.moves[j + 1]
            add_products(y, at, w.step, m["rate"], n["rate"], x, m["source"], n["source"])
            j += 2
        if j < last:
            add_product(y, at, w.step, p.moves[j]["rate"], x, p.moves[j]["source"])


@inner
def run_terms(p, w, g, q, length, n_meter, reading):
    """Make the terms of a piece, and read each; leave the mass at its end in `x`, add the time spent in each state.

    Returns the number of terms, whose weights are in `weight`.
    """
    n_active = np.int64(g["active_end"] - g["active"])
    n_terms = poisson(q * length, w.weight)
    later = 0.0
    for n in range(n_terms - 1, -1, -1):
        w.later[n] = later / q
        later += w.weight[n]
    fill(w.end, 0.0)
    clear(w.ended, 1)
    x, y = w.x, w.y
    for n in range(n_terms):
        if reading:
            read(p, w, g, x, n)
        accrue(p, w, g, q, x, n, n_meter)
        for i in range(n_active):
            add_twice(w.end, w.weight[n], w.spent, w.later[n], x, i)
        advance(p, w, g, x, y)
        x, y = y, x
    for i in range(n_active):
        copy(w.x, i, w.end, i)
    if reading:
        copy(w.ended, 0, w.ended, 1)
    return n_terms


@inner
def add_up(w, n_terms, q, s, t, discount):
    """Write what each meter accrues within a time s from the start t of the piece, discounted to time 0."""
    now, growth, paid = 0, 1, 2
    n_meter, lanes = discount.shape
    for m in range(n_meter):
        clear(w.amount, m)
        clear(w.lane, now)
        for z in range(lanes):
            w.lane[growth, z] = 1.0 + discount[m, z] / q
            w.lane[paid, z] = exp(-discount[m, z] * s) / q
        for n in range(n_terms - 1, 0, -1):
            for z in range(lanes):
                w.lane[now, z] = w.lane[now, z] * w.lane[growth, z] + w.lane[paid, z] * w.weight[n]
            add_product(w.amount, m, w.lane, now, w.rate, (n - 1) * n_meter + m)
        for z in range(lanes):
            w.amount[m, z] *= exp(-discount[m, z] * t)


@inner
def bank(w, n_terms, q, step, t, discount):
    """Add what each meter accrues in a whole piece, which starts at time t, to what it has accrued before."""
    add_up(w, n_terms, q, step, t, discount)
    for m in range(discount.shape[0]):
        add(w.worth, m, w.amount, m, 1.0)


@inner
def mix(w, s, q):
    """Write into `total` what is read a time s after the start of the piece; return the number of terms."""
    n_terms = poisson(q * s, w.weight)
    fill(w.total, 0.0)
    for n in range(n_terms):
        add(w.total, 0, w.seen, n, w.weight[n])
    return n_terms


@inner
def show(w, i, out):
    """Enter `total`, and what the meters have accrued, as the results of time i of the grid."""
    n_meter, lanes = w.worth.shape
    for z in range(lanes):
        d = out.draw[z]
        for f in range(out.column.size):
            c = out.column[f]
            x = w.total[0, c * lanes + z] if c >= 0 else 1.0 if c == ALWAYS else 0.0
            if i > 0 and out.cause[0] <= f < out.cause[1]:  # what has ended has ended: rounding may not let it fall
                x = max(x, out.shown[d, i - 1, f])
            out.shown[d, i, f] = x
        for m in range(n_meter):
            out.meter[d, i, m] = w.worth[m, z] + w.amount[m, z]


@inner
def pass_pieces(p, w, g, q, start, end, discount):
    """Carry the mass from `start` to `end` in as few pieces as will do."""
    pieces = np.int64(np.ceil(q * (end - start) / MEAN))
    for piece in range(pieces):
        step = (end - start) / pieces
        n_terms = run_terms(p, w, g, q, step, discount.shape[0], False)
        bank(w, n_terms, q, step, start + (end - start) * (piece / pieces), discount)


@inner
def flow_to_times(p, w, g, q, stretch, discount, out):
    """Carry the mass to each time of the grid, read it off there, and carry it to the end of a stretch."""
    t = stretch["start"]
    for i in range(stretch["grid"], stretch["grid_end"]):
        goal = min(max(p.grid[i], t), stretch["end"])
        pass_pieces(p, w, g, q, t, goal, discount)
        t = goal
        read_end(p, w, g, q, w.x)
        fill(w.amount, 0.0)
        show(w, i, out)
    pass_pieces(p, w, g, q, t, stretch["end"], discount)
    add_leaks(p, w, g, q, w.ended)


@inner
def flow_over_times(p, w, g, q, stretch, pieces, discount, out):
    """Carry the mass from the start of a stretch to its end, and read every term for the times of the grid."""
    start, length = stretch["start"], stretch["end"] - stretch["start"]
    step, at = length / pieces, np.int64(stretch["grid"])
    for piece in range(pieces):
        t = start + length * (piece / pieces)
        run_terms(p, w, g, q, step, discount.shape[0], True)
        while at < stretch["grid_end"] and (p.grid[at] < t + step or piece + 1 == pieces):
            s = min(max(p.grid[at] - t, 0.0), step)
            add_up(w, mix(w, s, q), q, s, t, discount)
            show(w, at, out)
            at += 1
        bank(w, poisson(q * step, w.weight), q, step, t, discount)


@inner
def flow(p, w, stretch, rate, discount, out):
    """Carry the mass from the start of a stretch to its end; write what is seen at the times of the grid."""
    g = p.graphs[stretch["graph"]]
    q = prepare(p, w, g, rate, discount)
    pieces = max(np.int64(np.ceil(q * (stretch["end"] - stretch["start"]) / MEAN)), 1)
    for i in range(g["active"], g["active_end"]):
        copy(w.x, i - g["active"], w.mass, p.actives[i]["node"])
    fill(w.spent, 0.0)
    if stretch["grid_end"] - stretch["grid"] <= FEW * pieces:
        flow_to_times(p, w, g, q, stretch, discount, out)
    else:
        flow_over_times(p, w, g, q, stretch, pieces, discount, out)
    for i in range(g["active"], g["active_end"]):
        copy(w.mass, p.actives[i]["node"], w.x, i - g["active"])
    for j in range(g["fire"], g["fire_end"]):
        o = p.fires[j]
        add_product(w.fired, o["firing"], w.spent, o["source"], rate, o["rate"])


@kernel
def solve(p, w, rate, chance, discount, draw, column, cause, shown, meter, fired):
    """Solve some draws.

    rate (block, rate, lane) 1/year, chance (block, chance, lane), discount (block, meter, lane) 1/year;
    draw (block, lane): row of the results, which may come twice; column (shown,): place in what is read, `NEVER` or
    `ALWAYS`; cause (2,): range of columns that never fall. Written: shown (draw, time, shown),
    meter (draw, time, meter), fired (draw, firing).
    """
    for b in range(rate.shape[0]):
        out = Out(draw[b], column, cause, shown, meter)
        fill(w.mass, 0.0)
        fill(w.ended, 0.0)
        fill(w.worth, 0.0)
        fill(w.fired, 0.0)
        for z in range(draw.shape[1]):
            w.mass[0, z] = 1.0
        for n in range(p.stretches.size):
            stretch = p.stretches[n]
            for event in range(stretch["happening"], stretch["happening_end"]):
                happen(p, w, event, stretch["start"], chance[b], discount[b])
            flow(p, w, stretch, rate[b], discount[b], out)
        for z in range(draw.shape[1]):
            for k in range(fired.shape[1]):
                fired[draw[b, z], k] = w.fired[k, z]


@kernel
def fastest(p, w, rate, out):
    """Write the largest rate of leaving any state: (block, lane), 1/year."""
    for b in range(rate.shape[0]):
        for i in range(p.actives.size):
            clear(w.lane, 0)
            add_exits(p, rate[b], p.actives[i]["exit"], p.actives[i]["exit_end"], w.lane, 0)
            for z in range(out.shape[1]):
                out[b, z] = max(out[b, z], w.lane[0, z])
