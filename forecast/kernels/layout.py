"""The arrays of a program. `Structure` is the same for all draws; `Values` has a leading draw axis.

Index letters: f flag, c clock, k hazard, s scheduled event, b branch (over all scheduled events),
e effect, q condition, g group of alternatives, m modifier, o outcome class, x meter, n calendar entry.
Events are numbered hazards first; effect k belongs to hazard k, effect K + b to branch b.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

CONSTANT, PIECEWISE, WEIBULL = 0, 1, 2
NEVER = np.inf


class Structure(NamedTuple):
    """Integer arrays and times that every draw shares."""

    horizon: F64  # (1,) years
    flags0: U64  # (1,) flags at the as-of date
    clock0: F64  # (c,) start of each clock in years, inf where it is not running
    cond_want: U64  # (q,) flags that must be set
    cond_forbid: U64  # (q,) flags that must be clear
    cond_group: I64  # (q + 1,) groups of alternatives of each condition
    group_want: U64  # (g,) any of these set …
    group_forbid: U64  # (g,) … or any of these clear
    mod_want: U64  # (m,)
    mod_forbid: U64  # (m,)
    haz_kind: I64  # (k,)
    haz_cond: I64  # (k,)
    haz_clock: I64  # (k,) −1 where it has none
    haz_depends: U64  # (k,) flags that its condition or modifiers read
    haz_bin: I64  # (k + 1,) its age bins
    haz_mod: I64  # (k + 1,) its modifiers
    haz_key: U64  # (k,) event key
    bin_edge: F64  # (bins,) lower edge of each age bin, years
    sch_cond: I64  # (s,)
    sch_key: U64  # (s,)
    sch_logit: I64  # (s,) 1 where branches have logits
    sch_branch: I64  # (s + 1,)
    branch_mod: I64  # (b + 1,)
    cal_time: F64  # (n + 1,) calendar entries in order of time and file, inf at the end
    cal_event: I64  # (n + 1,)
    cal_entry: I64  # (n + 1,) number of the entry in its own series
    aged_event: I64  # (a,) scheduled events at an age of a clock, in file order
    aged_clock: I64  # (a,)
    aged_age: F64  # (a,) years
    eff_set: U64  # (e,)
    eff_clear: U64  # (e,)
    eff_start: U64  # (e,) bit per clock
    eff_stop: U64  # (e,)
    eff_end: I64  # (e,) cause, −1 where the path goes on
    eff_flag: I64  # (e + 1,) into flag_list: the flags that the effect touches
    flag_list: I64
    eff_haz: I64  # (e + 1,) into haz_list: the hazards that it may touch, itself included
    haz_list: I64
    out_cond: I64  # (o − 1,) the last class is the rest
    out_cause: U64  # (o − 1,) bit per cause; 0: paths that have not ended
    out_reads: U64  # (1,) flags that any class reads
    meter_cond: I64  # (x,) condition of a flow, −1 for a lump sum
    meter_first: I64  # (x,) first and …
    meter_last: I64  # (x,) … last + 1 of the events that fire a lump sum
    meter_reads: U64  # (1,) flags that any flow reads
    lumps: I64  # (1,) how many meters are lump sums


class Values(NamedTuple):
    """Numbers of each draw."""

    bin_rate: F64  # (draw, bins) per year
    shape: F64  # (draw, k)
    scale: F64  # (draw, k) years
    factor: F64  # (draw, m) e^parameter
    weight: F64  # (draw, b) probability, or e^logit
    discount: F64  # (draw, x) per year


class Tally(NamedTuple):
    """What one draw's paths add up to; filled by differences along time, one more slot behind the grid."""

    cause: npt.NDArray[np.int32]  # (time + 1, cause)
    outcome: npt.NDArray[np.int32]  # (time + 1, outcome)
    state: npt.NDArray[np.int32]  # (time + 1, flag)
    fired: I64  # (event,)
    meter_count: npt.NDArray[np.int32]  # (time + 1, meter)
    meter_offset: F64  # (time + 1, meter)
    meter_square: F64  # (meter,)


class Work(NamedTuple):
    """Scratch space of one thread, written anew for each path."""

    start: F64  # (c,)
    starts: I64  # (c,) times that the clock was started on this path
    left: F64  # (k,) unit exponential not yet consumed
    base: F64  # (k,) cumulative base hazard at the last refresh
    mult: F64  # (k,) multiplier in force, 0 where the hazard is off
    fire: F64  # (k,) time at which it fires
    drawn: I64  # (k,) occurrence, −1 before the first exponential is drawn
    due: F64  # (a,)
    meter_since: F64  # (x,) discounted time at which the flow began, −1 where it is off
    meter_total: F64  # (x,)


class Log(NamedTuple):
    """Event log of one path; empty arrays where none is kept."""

    time: F64  # (step,)
    event: npt.NDArray[np.int32]  # (step,)
