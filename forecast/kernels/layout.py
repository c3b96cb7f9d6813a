"""The arrays of a program. `Structure` is the same for all draws; `Values` has a leading draw axis.

Index letters: f flag, c clock, k hazard, s scheduled event, b branch (over all scheduled events),
e effect, q condition, g group of alternatives, m modifier, o outcome class, x meter, n calendar entry.
Events are numbered hazards first; effect k belongs to hazard k, effect K + b to branch b.

Things are records, so that one address serves all fields of a thing; fields that count something are
unsigned, which spares a test for negative indices. Pairs of fields x, x_end are ranges.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Records = npt.NDArray[Any]

CONSTANT, PIECEWISE, WEIBULL = 0, 1, 2
NEVER = np.inf
VECTOR = 8  # doubles in the widest vector registers; arrays that are worked on whole are made up to multiples of it


def whole_vectors(n: int) -> int:
    """Room for n doubles in whole vectors, one at least."""
    return max(-(-n // VECTOR), 1) * VECTOR


def _record(**fields: str) -> np.dtype[Any]:
    return np.dtype(list(fields.items()), align=True)


# Flags that must be set and clear, and groups of alternatives.
CONDITION = _record(want="u8", forbid="u8", group="u4", group_end="u4")
# Holds if any of these is set or any of those clear.
GROUP = _record(want="u8", forbid="u8")
MODIFIER = _record(want="u8", forbid="u8")
# key: in the random numbers; clock: −1 where it has none; memo: first place of its memory, 2³² − 1 without one;
# state: its own number of the flags that it reads, at the as-of date.
HAZARD = _record(
    key="u8", kind="u4", cond="u4", clock="i4", bin="u4", bin_end="u4", mod="u4", mod_end="u4", memo="u4", state="u4"
)
# logit: 1 where branches have logits; once: 1 where whatever is not its rest ends the path or switches it off;
# memo: first place; width: of an entry of its memory, 0 where it has one entry only, which is written anew each time;
# made: how many of its random numbers are made when a path begins; more: those from the third on are in places
# more + 1, more + 2, …, two in each.
EVENT = _record(
    key="u8",
    cond="u4",
    logit="u4",
    once="u4",
    branch="u4",
    branch_end="u4",
    memo="u4",
    width="u4",
    state="u4",
    made="u4",
    more="u4",
)
BRANCH = _record(mod="u4", mod_end="u4")
# In order of time (years) and file, with one at infinity behind.
CALENDAR = _record(time="f8", event="u4")
# Scheduled events at an age (years) of a clock, in file order.
AGED = _record(age="f8", event="u4", clock="u4")
# set, clear: flags; start, stop: clocks; end: cause or −1; then ranges of flag_list, of readers (those from
# `own` on need more care: Weibull, without memory, or their clock is touched, or what has just fired) and of
# event_readers; class_set, class_keep: bits to set and keep in the outcome classes' own number of the flags
# that they read.
EFFECT = _record(
    set="u8", clear="u8", start="u8", stop="u8", end="i4",
    flag="u4", flag_end="u4", reader="u4", own="u4", reader_end="u4", event="u4", event_end="u4",
    class_set="u4", class_keep="u4",
)  # fmt: skip
# A hazard or event that reads what an effect changes: the bits to set and keep in its own number of its flags;
# memo: first place of a hazard's memory; moved: 1 where its clock is started or stopped.
READER = _record(which="u4", set="u4", keep="u4", memo="u4", moved="u4")
# causes: those of the class, or 0 for paths that have not ended.
OUTCOME = _record(causes="u8", cond="u4")
# cond: of a flow, −1 for a lump sum; first, last: range of the events that fire a lump sum.
METER = _record(cond="i4", first="u4", last="u4")
# horizon: years; the flags at the as-of date; flags that any outcome class or any flow reads; number of lump
# sums; size of the memory; of the memory of outcome classes (0: none); the classes' own number of flags at first.
WHOLE = _record(
    horizon="f8", flags="u8", out_reads="u8", meter_reads="u8",
    lumps="u4", memo="u4", classes="u4", state="u4",
)  # fmt: skip


class Structure(NamedTuple):
    """Everything that every draw shares."""

    whole: Records  # (1,)
    clock0: F64  # (c,) start of each clock in years, inf where it is not running
    conditions: Records  # (q,)
    groups: Records  # (g,)
    modifiers: Records  # (m,)
    hazards: Records  # (k,)
    key: U64  # (pair,) in the random numbers that a path begins with: of hazards, of events, of more of events; padding
    block: U64  # (pair,) which pair of its key's
    weibull: U32  # the hazards that are Weibull
    bin_edge: F64  # (bins,) lower edge of each age bin, years
    events: Records  # (s,)
    branches: Records  # (b,)
    calendar: Records  # (n + 1,)
    aged: Records  # (a,)
    effects: Records  # (e,)
    flag_list: U32  # the flags that each effect touches
    readers: Records
    event_readers: Records
    outcomes: Records  # (o − 1,) the last class is the rest
    meters: Records  # (x,)


class Values(NamedTuple):
    """Numbers of each draw."""

    bin_rate: F64  # (draw, bins) per year
    shape: F64  # (draw, k)
    scale: F64  # (draw, k) years
    factor: F64  # (draw, m) e^parameter
    weight: F64  # (draw, b) probability, or e^logit
    discount: F64  # (draw, x) per year


class Draw(NamedTuple):
    """Numbers of one draw: a row of each of `Values`."""

    bin_rate: F64
    shape: F64
    scale: F64
    factor: F64
    weight: F64
    discount: F64


class Tally(NamedTuple):
    """What one draw's paths add up to; filled by differences along time, one more slot behind the grid."""

    cause: npt.NDArray[np.int32]  # (time + 1, cause)
    outcome: npt.NDArray[np.int32]  # (time + 1, outcome)
    state: npt.NDArray[np.int32]  # (time + 1, flag)
    fired: I64  # (event,)
    meter_count: npt.NDArray[np.int32]  # (time + 1, meter)
    meter_offset: F64  # (time + 1, meter)
    meter_square: F64  # (meter,)


class Grid(NamedTuple):
    """Where times fall on the grid of one simulation."""

    time: F64  # (time + 1,) inf at the end
    hint: U32  # (bucket,) first grid time that is not before the bucket
    per_year: F64  # (1,) buckets a year
    calendar: U32  # (n + 1,) grid place of each calendar entry


# A hazard on one path. used: time up to which its exponential has been used, of a Weibull its cumulative hazard
# then; mult: multiplier in force, 0 where it is off; rate: of the bin of age, of a Weibull 1, and 0 while the
# clock isn't running; bin: −1 before age 0; bin_end: time at which it ends; most: cumulative Weibull hazard at the
# horizon; left: of the exponential; drawn: occurrence; state: number of its flags.
RISK = _record(used="f8", mult="f8", rate="f8", bin_end="f8", most="f8", left="f8", bin="i4", drawn="u4", state="u8")


class Work(NamedTuple):
    """Scratch space of one thread."""

    start: F64  # (c,)
    risks: Records  # (k,)
    risk_words: F64  # the same memory as doubles
    risk_words0: F64  # the risks of the draw at the as-of date
    first: F64  # (2, pair) in one piece: the first exponential of each pair, then the second
    left: F64  # (pair,) the first of them
    spare: F64  # (pair,) the second of them; of a hazard that has fired, the next one after an even number
    next: F64  # (k + padding,) the time at which a hazard wants to be looked at
    next_bits: I64  # the same memory as integers
    event_state: U32  # (s,) number of the flags that an event reads
    event_left: F64  # (s,) what is left of its exponential, 0 where it needs another one
    event_drawn: U32  # (s,) number of that exponential
    memo: F64  # (memo,) multipliers and odds of this draw that have been worked out
    classes: npt.NDArray[np.int32]  # (classes,) outcome classes that have been worked out, −1 where not yet
    due: F64  # (a,)
    meter_since: F64  # (x,) discounted time at which the flow began, −1 where it is off
    meter_total: F64  # (x,)


# Replicates first … last − 1 of a draw, and the row of the tallies that they are added to.
JOB = _record(draw="u4", first="u4", last="u4", row="u4")
# How a path ended: number of events, cause (−1: none), time in years.
END = _record(events="i8", cause="i8", time="f8")


class Scoring(NamedTuple):
    """What weighted paths are asked for. Quantities: causes, outcome classes, then the flags that are watched."""

    times: F64  # (h,) report times, years
    watched: U32  # flags
    first_outcome: I64  # (1,) the number of causes
    first_state: I64  # (1,) the number of causes and outcome classes
    ending: U32  # the hazards that end paths and are not Weibull
    boosted: U32  # other hazards whose boost is not 1
    boost: F64  # (k,) how many times as often a hazard is sampled as it happens: 0 for those in `ending`
    tilt: F64  # (b,) how much likelier a branch is made
    tune: I64  # (1,) cause for which to learn boosts and tilts, −1 for none
    points: U64  # (replicate, dim) Sobol points, 52 bits
    place: I64  # (dim,) of each coordinate among `first`
    touches: npt.NDArray[np.bool_]  # (e,) whether an effect can change what the weight falls by, or what is reported
    fates: npt.NDArray[np.bool_]  # (e,) whether it can change what becomes of paths that end
    special: npt.NDArray[np.bool_]  # (s,) whether an event has branches that end the path or are tilted


class Score(NamedTuple):
    """Scratch space of weighted paths of one thread."""

    rate: F64  # (ending,) per year
    taken: F64  # (ending,) mass that it has taken under the flags as they are
    ended: F64  # (quantity,) mass of the path that has ended
    now: F64  # (quantity,)
    shift: U64  # (dim,)
    learns: npt.NDArray[np.bool_]  # (1,) whether boosts and tilts are to be learnt
    happened: F64  # (e,) times that it happened on this path
    exposure: F64  # (e,) times that it was to be expected
    with_events: F64  # (e,) the same over all paths, each with the mass that the tuned cause took
    with_exposure: F64  # (e,)


class Log(NamedTuple):
    """Event log of one path; empty arrays where none is kept."""

    time: F64  # (step,)
    event: npt.NDArray[np.int32]  # (step,)
