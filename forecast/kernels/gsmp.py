"""The exact simulation of a generalised semi-Markov process, one path at a time.

Modified next-reaction method (Anderson 2007, J. Chem. Phys. 127, 214107): each hazard has its own
unit exponential, consumed by its integrated hazard; only hazards that an event touches are refreshed.
Nothing is stepped and nothing is thinned: constant, piecewise-constant and Weibull cumulative hazards
are inverted in closed form. Inputs are trusted (`process.compile` checked them).
"""

import numpy as np

from forecast.kernels.arith import exp, log, power, uniform
from forecast.kernels.jit import inlined, inner, kernel
from forecast.kernels.layout import WEIBULL, Log, Tally

U = np.uint64
ZERO, ONE = U(0), U(1)
MAX_STEPS = 1_000_000  # events on one path


@inner
def holds(s, q, flags):
    """Whether condition q holds."""
    if (flags & s.cond_want[q]) != s.cond_want[q] or (flags & s.cond_forbid[q]) != ZERO:
        return False
    for g in range(s.cond_group[q], s.cond_group[q + 1]):
        if (flags & s.group_want[g]) == ZERO and (~flags & s.group_forbid[g]) == ZERO:
            return False
    return True


@inner
def factor(s, v, d, first, last, flags):
    """Product of the modifiers first … last − 1 that hold."""
    result = 1.0
    for m in range(first, last):
        if (flags & s.mod_want[m]) == s.mod_want[m] and (flags & s.mod_forbid[m]) == ZERO:
            result *= v.factor[d, m]
    return result


@inner
def cumulative(s, v, d, k, age):
    """Base hazard k integrated from age 0 to `age`; 0 for negative ages."""
    if age <= 0.0:
        return 0.0
    if s.haz_kind[k] == WEIBULL:
        return power(age / v.scale[d, k], v.shape[d, k])
    first, last = s.haz_bin[k], s.haz_bin[k + 1]
    total = 0.0
    for i in range(first, last):
        if i + 1 == last or age <= s.bin_edge[i + 1]:
            return total + v.bin_rate[d, i] * (age - s.bin_edge[i])
        total += v.bin_rate[d, i] * (s.bin_edge[i + 1] - s.bin_edge[i])
    return total


@inner
def inverse(s, v, d, k, target):
    """Age at which the cumulative base hazard k reaches `target` > 0; infinite if never."""
    if s.haz_kind[k] == WEIBULL:
        return v.scale[d, k] * power(target, 1.0 / v.shape[d, k])
    first, last = s.haz_bin[k], s.haz_bin[k + 1]
    total = 0.0
    for i in range(first, last):
        rate = v.bin_rate[d, i]
        if i + 1 == last:
            return s.bin_edge[i] + (target - total) / rate if rate > 0.0 else np.inf
        inside = rate * (s.bin_edge[i + 1] - s.bin_edge[i])
        if rate > 0.0 and total + inside >= target:
            return s.bin_edge[i] + (target - total) / rate
        total += inside
    return np.inf


@inner
def age_of(s, w, k, t):
    """Age that hazard k reads at time t: of its clock, or of the path where it has none."""
    c = s.haz_clock[k]
    return t if c < 0 else t - w.start[c]


@inner
def settle(s, v, w, d, k, t):
    """Consume what hazard k has used of its exponential up to time t, with the clock as it still stands."""
    if w.mult[k] > 0.0:
        now = cumulative(s, v, d, k, age_of(s, w, k, t))
        w.left[k] = max(w.left[k] - w.mult[k] * (now - w.base[k]), 0.0)
        w.base[k] = now


@inner
def arm(s, v, w, d, r, k, t, flags, seed, settled):
    """Set hazard k going from time t under the flags and clocks as they are now; `settled`: its base is that of t."""
    c = s.haz_clock[k]
    w.mult[k], w.fire[k] = 0.0, np.inf
    if (c >= 0 and w.start[c] == np.inf) or not holds(s, s.haz_cond[k], flags):
        return
    if w.drawn[k] < 0:
        w.drawn[k] = 0
        w.left[k] = -log(uniform(seed, d, r, s.haz_key[k], 0))
    m = factor(s, v, d, s.haz_mod[k], s.haz_mod[k + 1], flags)
    start = 0.0 if c < 0 else w.start[c]
    w.mult[k] = m
    if not settled:
        w.base[k] = cumulative(s, v, d, k, t - start)
    w.fire[k] = max(start + inverse(s, v, d, k, w.base[k] + w.left[k] / m), t)


@inner
def weight_of(s, v, d, b, flags):
    """Weight of branch b: its probability, or e^logit times the modifiers that hold."""
    return v.weight[d, b] * factor(s, v, d, s.branch_mod[b], s.branch_mod[b + 1], flags)


@inner
def choose(s, v, d, r, event, entry, flags, seed):
    """Branch of a scheduled event: its number over all branches; the rest is its last one."""
    first, last = s.sch_branch[event], s.sch_branch[event + 1] - 1
    if last == first:
        return first
    u = uniform(seed, d, r, s.sch_key[event], entry)
    if s.sch_logit[event] != 0:
        total = 1.0
        for b in range(first, last):
            total += weight_of(s, v, d, b, flags)
        u *= total
    reached = 0.0
    for b in range(first, last):
        reached += weight_of(s, v, d, b, flags)
        if u < reached:
            return b
    return last


@inner
def slot(grid, t):
    """Index of the first grid time at or after t; len(grid) if there is none."""
    n = grid.size
    if t > grid[n - 1]:
        return n
    i = int(t / grid[n - 1] * (n - 1)) if grid[n - 1] > 0.0 else 0
    while i > 0 and grid[i - 1] >= t:
        i -= 1
    while grid[i] < t:
        i += 1
    return i


@inner
def outcome_of(s, flags, cause):
    """First outcome class that matches; the last one catches the rest."""
    bit = ZERO if cause < 0 else ONE << U(cause)
    n = s.out_cond.size
    for o in range(n):
        ended = s.out_cause[o]
        if ((ended == ZERO and cause < 0) or (ended & bit) != ZERO) and holds(s, s.out_cond[o], flags):
            return o
    return n


@inner
def worth(t, rate):
    """Discounted time: the integral of e^(−rate·u) from 0 to t."""
    x = rate * t
    if x < 1e-3:  # the series; 1 − e^(−x) would lose digits
        return t * (1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0 * (1.0 - x / 5.0))))
    return (1.0 - exp(-x)) / rate


@kernel
def worth_each(time, rate, out):
    """Discounted time of every time (row) and rate (column)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = worth(time[i], rate[j])


@inner
def meter(s, v, w, tally, d, t, i, flags, ended):
    """Start and stop the flows whose condition has changed at time t."""
    for x in range(s.meter_cond.size):
        q = s.meter_cond[x]
        if q < 0:
            continue
        on = not ended and holds(s, q, flags)
        if on and w.meter_since[x] < 0.0:
            w.meter_since[x] = worth(t, v.discount[d, x])
            tally.meter_count[i, x] += 1
            tally.meter_offset[i, x] -= w.meter_since[x]
        elif not on and w.meter_since[x] >= 0.0:
            now = worth(t, v.discount[d, x])
            tally.meter_count[i, x] -= 1
            tally.meter_offset[i, x] += now
            w.meter_total[x] += now - w.meter_since[x]
            w.meter_since[x] = -1.0


@inner
def lump(s, v, w, tally, d, t, i, event):
    """Pay the lump sums of one event."""
    for x in range(s.meter_cond.size):
        if s.meter_cond[x] < 0 and s.meter_first[x] <= event < s.meter_last[x]:
            now = exp(-v.discount[d, x] * t)
            tally.meter_offset[i, x] += now
            w.meter_total[x] += now


@inlined
def begin(s, v, w, d, r, seed):
    """Put the scratch space into the state at the as-of date."""
    for c in range(w.start.size):
        w.start[c], w.starts[c] = s.clock0[c], 0
    for k in range(w.fire.size):
        w.drawn[k], w.left[k], w.base[k] = -1, 0.0, 0.0
        arm(s, v, w, d, r, k, 0.0, s.flags0[0], seed, False)
    for a in range(w.due.size):
        due = w.start[s.aged_clock[a]] + s.aged_age[a]
        w.due[a] = due if due >= 0.0 else np.inf
    for x in range(w.meter_total.size):
        w.meter_since[x], w.meter_total[x] = -1.0, 0.0


@inner
def move_clocks(s, w, e, t):
    """Stop and start the clocks of effect e, and reschedule what is due at an age of them."""
    touched = s.eff_stop[e] | s.eff_start[e]
    for c in range(w.start.size):
        bit = ONE << U(c)
        if (touched & bit) != ZERO:
            started = (s.eff_start[e] & bit) != ZERO
            w.start[c] = t if started else np.inf
            w.starts[c] += 1 if started else 0
    for a in range(w.due.size):
        if (touched & (ONE << U(s.aged_clock[a]))) != ZERO:
            w.due[a] = w.start[s.aged_clock[a]] + s.aged_age[a]


@inlined
def apply(s, v, w, d, r, e, t, flags, seed):
    """Apply effect e (of hazard e, if it is one) at time t to the clocks and hazards; return the new flags."""
    new = (flags | s.eff_set[e]) & ~s.eff_clear[e]
    changed = new ^ flags
    touched = s.eff_stop[e] | s.eff_start[e]
    first, last = s.eff_haz[e], s.eff_haz[e + 1]
    for j in range(first, last):  # hazards that the effect may touch
        k, c = s.haz_list[j], s.haz_clock[s.haz_list[j]]
        if (s.haz_depends[k] & changed) != ZERO or (c >= 0 and (touched & (ONE << U(c))) != ZERO):
            settle(s, v, w, d, k, t)
            w.fire[k] = -1.0
    if touched != ZERO:
        move_clocks(s, w, e, t)
    for j in range(first, last):
        k, c = s.haz_list[j], s.haz_clock[s.haz_list[j]]
        if w.fire[k] < 0.0 or k == e:
            moved = c >= 0 and (touched & (ONE << U(c))) != ZERO
            arm(s, v, w, d, r, k, t, new, seed, w.mult[k] > 0.0 and not moved)
    return new


@inner
def count_state(s, tally, e, i, changed, new):
    """Enter the flags that effect e has changed into the tally."""
    for j in range(s.eff_flag[e], s.eff_flag[e + 1]):
        bit = ONE << U(s.flag_list[j])
        if (changed & bit) != ZERO:
            tally.state[i, s.flag_list[j]] += 1 if (new & bit) != ZERO else -1


@inner
def first_of(times):
    """Place and value of the smallest; (−1, inf) if there is none."""
    k, t = -1, np.inf
    for j in range(times.size):
        if times[j] < t:
            k, t = j, times[j]
    return k, t


@inner
def next_scheduled(s, w, p, limit, flags):
    """Skip what is not enabled; return the first entry that is, if it is due by `limit`.

    Gives (time, event, occurrence, next calendar entry); the event is −1 where a hazard or the horizon
    comes first. Nothing else can change between two entries, so no hazard is looked at again.
    """
    a, t_aged = first_of(w.due)
    while True:
        t, event = s.cal_time[p], s.cal_event[p]
        if a >= 0 and (t_aged < t or (t_aged == t and s.aged_event[a] < event)):
            if t_aged > limit:
                return t_aged, -1, 0, p
            t, event, entry = t_aged, s.aged_event[a], w.starts[s.aged_clock[a]]
            w.due[a] = np.inf
            a, t_aged = first_of(w.due)
        else:
            if t > limit:
                return t, -1, 0, p
            entry = s.cal_entry[p]
            p += 1
        if holds(s, s.sch_cond[event], flags):
            return t, event, entry, p


@inner
def run_path(s, v, w, tally, path_log, grid, d, r, seed):
    """Simulate path (d, r) and add it to the tally; return (events, cause or −1, time of the end).

    A path that never comes to an end, because a rate is beyond all measure, is given up with the time −1.
    """
    horizon, flags, cause, t = s.horizon[0], s.flags0[0], -1, 0.0
    n_haz, steps, p = w.fire.size, 0, 0
    begin(s, v, w, d, r, seed)
    outcome = outcome_of(s, flags, -1)
    tally.outcome[0, outcome] += 1
    meter(s, v, w, tally, d, 0.0, 0, flags, False)
    while cause < 0:
        k, t_haz = first_of(w.fire)
        t, event, entry, p = next_scheduled(s, w, p, min(t_haz, horizon), flags)
        if event >= 0:
            e = n_haz + choose(s, v, d, r, event, entry, flags, seed)
        elif t_haz <= horizon:
            t, e = t_haz, k
            w.drawn[k] += 1
            w.left[k] = -log(uniform(seed, d, r, s.haz_key[k], w.drawn[k]))
            w.base[k] = cumulative(s, v, d, k, age_of(s, w, k, t))
        else:
            break
        if steps < path_log.time.size:
            path_log.time[steps], path_log.event[steps] = t, e
        steps += 1
        if steps > MAX_STEPS:
            return steps, -1, -1.0
        i = slot(grid, t)
        tally.fired[e] += 1
        cause = s.eff_end[e]
        before = flags
        if cause < 0:
            flags = apply(s, v, w, d, r, e, t, flags, seed)
        else:
            flags = (flags | s.eff_set[e]) & ~s.eff_clear[e]
            tally.cause[i, cause] += 1
        changed = flags ^ before
        if changed != ZERO:
            count_state(s, tally, e, i, changed, flags)
        if s.lumps[0] != 0:
            lump(s, v, w, tally, d, t, i, e)
        if cause >= 0 or (changed & s.meter_reads[0]) != ZERO:
            meter(s, v, w, tally, d, t, i, flags, cause >= 0)
        if cause >= 0 or (changed & s.out_reads[0]) != ZERO:
            now = outcome_of(s, flags, cause)
            if now != outcome:
                tally.outcome[i, outcome] -= 1
                tally.outcome[i, now] += 1
                outcome = now
    if cause < 0:
        t = horizon
        meter(s, v, w, tally, d, t, grid.size, flags, True)
    for x in range(w.meter_total.size):
        tally.meter_square[x] += w.meter_total[x] * w.meter_total[x]
    return steps, cause, t


@kernel
def run_draws(
    s, v, w, path_log, grid, first, last, replicates, seed, cause, outcome, state, fired, count, offset, square
):
    """Simulate all paths of draws first … last − 1 into their own rows of the tallies.

    Returns −1, or the draw in which a path had no end.
    """
    from_start = s.flags0[0]
    for d in range(first, last):
        tally = Tally(cause[d], outcome[d], state[d], fired[d], count[d], offset[d], square[d])
        for f in range(state.shape[2]):
            if (from_start & (ONE << U(f))) != ZERO:
                state[d, 0, f] += replicates
        for r in range(replicates):
            if run_path(s, v, w, tally, path_log, grid, d, r, seed)[2] < 0.0:
                return d
        for i in range(1, cause.shape[1]):
            for j in range(cause.shape[2]):
                cause[d, i, j] += cause[d, i - 1, j]
            for j in range(outcome.shape[2]):
                outcome[d, i, j] += outcome[d, i - 1, j]
            for j in range(state.shape[2]):
                state[d, i, j] += state[d, i - 1, j]
            for j in range(count.shape[2]):
                count[d, i, j] += count[d, i - 1, j]
                offset[d, i, j] += offset[d, i - 1, j]
    return -1


@kernel
def run_numbers(s, v, w, tally, grid, draw, replicate, seed, time, event, steps, cause, end):
    """Simulate the paths (draw[i], replicate[i]) and write each one's history into row i.

    Returns −1, or the row of a path that had no end.
    """
    for i in range(draw.size):
        log_i = Log(time[i], event[i])
        steps[i], cause[i], end[i] = run_path(s, v, w, tally, log_i, grid, draw[i], replicate[i], seed)
        if end[i] < 0.0:
            return i
    return -1
