"""The exact simulation of a generalised semi-Markov process, one path at a time.

Modified next-reaction method (Anderson 2007, J. Chem. Phys. 127, 214107): each hazard has its own unit
exponential, used up by its integrated hazard. Nothing is stepped and nothing is thinned. A hazard whose rate
is constant within age bins is looked at again where a bin ends; a Weibull one is inverted in closed form.

What makes it fast: the random numbers of a path are made many at a time; each effect has the list of what
reads its flags, with the bits to set and clear in the reader's own number of those flags, under which its
multiplier (or the probabilities of its branches) is remembered for as long as the draw lasts; nothing that an
event has left as it was is touched. Inputs are trusted (`process.compile` checked them).
"""

import numpy as np

from forecast.kernels.arith import log, pair, power, quick_exp, uniform
from forecast.kernels.jit import inlined, inner, kernel
from forecast.kernels.layout import VECTOR, WEIBULL, Draw, Log, Tally

U = np.uint64
ZERO, ONE = U(0), U(1)
MAX_STEPS = 1_000_000  # events on one path
TINY = 1e-300  # what is left of an exponential is never 0, so that at rate 0 it lasts for ever
OTHER = 1 << 32  # occurrences from here on choose between several branches
UNKNOWN, OFF = -1.0, -2.0  # in what is remembered of a draw
NONE = np.uint32(0xFFFFFFFF)  # for the place of a memory


# ---- what the arrays say -------------------------------------------------------------------------


@inner
def above(x):
    """TINY where that is larger; numba's min and max see to NaN too, which takes longer."""
    return x if x > TINY else TINY


@inner
def earlier(a, b):
    """Smaller of two times."""
    return a if a < b else b


@inner
def row_of(v, d):
    """Numbers of draw d."""
    return Draw(v.bin_rate[d], v.shape[d], v.scale[d], v.factor[d], v.weight[d], v.discount[d])


@inner
def holds(s, q, flags):
    """Whether condition q holds."""
    c = s.conditions[q]
    if (flags & c["want"]) != c["want"] or (flags & c["forbid"]) != ZERO:
        return False
    for g in range(c["group"], c["group_end"]):
        if (flags & s.groups[g]["want"]) == ZERO and (~flags & s.groups[g]["forbid"]) == ZERO:
            return False
    return True


@inner
def factor(s, x, first, last, flags):
    """Product of the modifiers first … last − 1 that hold."""
    result = 1.0
    for m in range(first, last):
        if (flags & s.modifiers[m]["want"]) == s.modifiers[m]["want"] and (flags & s.modifiers[m]["forbid"]) == ZERO:
            result *= x.factor[m]
    return result


@inner
def cumulative(s, x, k, age):
    """Base hazard k integrated from age 0 to `age`; 0 for negative ages."""
    if age <= 0.0:
        return 0.0
    if s.hazards[k]["kind"] == WEIBULL:
        return power(age / x.scale[k], x.shape[k])
    first, last = s.hazards[k]["bin"], s.hazards[k]["bin_end"]
    total = 0.0
    for i in range(first, last):
        if i + 1 == last or age <= s.bin_edge[i + 1]:
            return total + x.bin_rate[i] * (age - s.bin_edge[i])
        total += x.bin_rate[i] * (s.bin_edge[i + 1] - s.bin_edge[i])
    return total


@inner
def multiplier(s, x, k, flags):
    """Product of the modifiers of hazard k that hold; 0 where its condition doesn't."""
    h = s.hazards[k]
    return factor(s, x, h["mod"], h["mod_end"], flags) if holds(s, h["cond"], flags) else 0.0


@inner
def weight_of(s, x, b, flags):
    """Weight of branch b: its probability, or e^logit times the modifiers that hold."""
    return x.weight[b] * factor(s, x, s.branches[b]["mod"], s.branches[b]["mod_end"], flags)


@inner
def hazard_of(p):
    """−log(1 − p): the unit exponentials that are shorter than this have probability p."""
    if p < 1e-3:
        return p * (1.0 + p * (0.5 + p * (1.0 / 3.0 + p * (0.25 + p * 0.2))))
    return -log(1.0 - p) if p < 1.0 else np.inf


@inner
def odds(s, x, event, flags, out, at):
    """Write the odds of a scheduled event: −log P(its rest), then the shares of the others, added up; or OFF."""
    n = s.events[event]
    if not holds(s, n["cond"], flags):
        out[at] = OFF
        return
    first, last = n["branch"], n["branch_end"]
    total = 0.0
    for b in range(first, last - 1):
        total += weight_of(s, x, b, flags)
        out[at + 1 + b - first] = total
    for b in range(first, last - 1):
        out[at + 1 + b - first] = out[at + 1 + b - first] / total if b + 2 < last else np.inf
    out[at] = hazard_of(total / (1.0 + total) if n["logit"] != 0 else total)


@inner
def outcome_of(s, flags, cause):
    """First outcome class that matches; the last one catches the rest."""
    bit = ZERO if cause < 0 else ONE << U(cause)
    for o in range(s.outcomes.size):
        ended = s.outcomes[o]["causes"]
        if ((ended == ZERO and cause < 0) or (ended & bit) != ZERO) and holds(s, s.outcomes[o]["cond"], flags):
            return o
    return s.outcomes.size


# ---- what is remembered of a draw ----------------------------------------------------------------


@inner
def remembered(s, x, w, k, at, flags):
    """`multiplier` of hazard k, remembered at place `at`."""
    m = w.memo[at]
    if m < 0.0:
        m = multiplier(s, x, k, flags)
        w.memo[at] = m
    return m


@inner
def multiplier_now(s, x, w, k, memo, state, flags):
    """`multiplier`, remembered under the hazard's own number of the flags that it reads, if it has a memory."""
    return multiplier(s, x, k, flags) if memo == NONE else remembered(s, x, w, k, memo + state, flags)


@inner
def odds_now(s, x, w, event, flags):
    """Where the cumulative probabilities of a scheduled event are now; −1 if it is off."""
    n = s.events[event]
    at = np.int64(n["memo"] + w.event_state[event] * n["width"])
    if w.memo[at] == UNKNOWN or n["width"] == 0:
        odds(s, x, event, flags, w.memo, at)
    return -1 if w.memo[at] == OFF else at


@inner
def class_now(s, w, flags, state):
    """`outcome_of` a path that has not ended, remembered under the classes' own number of their flags."""
    if w.classes.size == 0:
        return np.int32(outcome_of(s, flags, -1))
    o = w.classes[state]
    if o < 0:
        o = np.int32(outcome_of(s, flags, -1))
        w.classes[state] = o
    return o


# ---- consequences --------------------------------------------------------------------------------


@inner
def worth(t, rate):
    """Discounted time: the integral of e^(−rate·u) from 0 to t."""
    x = rate * t
    if x < 1e-3:  # the series; 1 − e^(−x) would lose digits
        return t * (1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0 * (1.0 - x / 5.0))))
    return (1.0 - quick_exp(-x)) / rate


@kernel
def worth_each(time, rate, out):
    """Discounted time of every time (row) and rate (column)."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = worth(time[i], rate[j])


@inner
def meter(s, x, w, tally, t, i, flags, ended):
    """Start and stop the flows whose condition has changed at time t."""
    for m in range(s.meters.size):
        q = s.meters[m]["cond"]
        if q < 0:
            continue
        on = not ended and holds(s, q, flags)
        if on and w.meter_since[m] < 0.0:
            w.meter_since[m] = worth(t, x.discount[m])
            tally.meter_count[i, m] += 1
            tally.meter_offset[i, m] -= w.meter_since[m]
        elif not on and w.meter_since[m] >= 0.0:
            now = worth(t, x.discount[m])
            tally.meter_count[i, m] -= 1
            tally.meter_offset[i, m] += now
            w.meter_total[m] += now - w.meter_since[m]
            w.meter_since[m] = -1.0


@inner
def lump(s, x, w, tally, t, i, event):
    """Pay the lump sums of one event."""
    for m in range(s.meters.size):
        if s.meters[m]["cond"] < 0 and s.meters[m]["first"] <= event < s.meters[m]["last"]:
            now = quick_exp(-x.discount[m] * t)
            tally.meter_offset[i, m] += now
            w.meter_total[m] += now


# ---- hazards -------------------------------------------------------------------------------------


@inner
def start_of(s, w, k):
    """Time from which hazard k counts its age: of its clock, or the as-of date."""
    c = s.hazards[k]["clock"]
    return 0.0 if c < 0 else w.start[c]


@inner
def set_bin(s, x, w, k, n, start):
    """Put hazard k, whose clock started at `start`, into bin n of its ages; −1 is before age 0."""
    at = np.int64(s.hazards[k]["bin"]) + n
    risk = w.risks[k]
    risk["bin"] = n
    risk["rate"] = x.bin_rate[at] if n >= 0 else 0.0
    risk["bin_end"] = start + s.bin_edge[at + 1] if at + 1 < s.hazards[k]["bin_end"] else np.inf


@inner
def set_age(s, x, w, k, t):
    """Look up where hazard k stands, whose clock has been started, stopped or first read at time t."""
    start, risk = start_of(s, w, k), w.risks[k]
    if s.hazards[k]["kind"] == WEIBULL:
        risk["rate"] = 1.0 if start < np.inf else 0.0
        risk["used"] = cumulative(s, x, k, t - start)
        risk["most"] = cumulative(s, x, k, s.whole[0]["horizon"] - start)
        risk["bin_end"] = np.inf
        return
    risk["used"] = t
    if start == np.inf:
        risk["bin"], risk["rate"], risk["bin_end"] = -1, 0.0, np.inf
        return
    n, first = -1, np.int64(s.hazards[k]["bin"])
    while first + n + 1 < s.hazards[k]["bin_end"] and start + s.bin_edge[first + n + 1] <= t:
        n += 1
    set_bin(s, x, w, k, n, start)


@inner
def settle(s, x, w, k, t):
    """Take from hazard k's exponential what it has used up to time t, with its clock as it still stands."""
    risk = w.risks[k]
    if s.hazards[k]["kind"] == WEIBULL:
        now = cumulative(s, x, k, t - start_of(s, w, k)) if risk["rate"] > 0.0 else 0.0
        risk["left"] = above(risk["left"] - risk["mult"] * (now - risk["used"]))
        risk["used"] = now
    else:
        risk["left"] = above(risk["left"] - risk["mult"] * risk["rate"] * (t - risk["used"]))
        risk["used"] = t


@inner
def aim(s, x, w, k, t):
    """Work out when hazard k, settled at time t, fires as things stand."""
    risk = w.risks[k]
    if s.hazards[k]["kind"] == WEIBULL:
        rate = risk["mult"] * risk["rate"]
        target = risk["used"] + risk["left"] / rate
        fire = np.inf
        if rate > 0.0 and target <= risk["most"]:  # otherwise it doesn't within the horizon
            age = x.scale[k] * power(target, 1.0 / x.shape[k])
            fire = start_of(s, w, k) + age
            fire = fire if fire > t else t
        w.next[k] = fire
    else:
        fire = t + risk["left"] / (risk["mult"] * risk["rate"])  # infinite at rate 0, as what is left never is 0
        w.next[k] = earlier(fire, risk["bin_end"])


@inner
def copy(target, source):
    """Copy an array."""
    for j in range(source.size):
        target[j] = source[j]


@inlined
def prepare(s, x, w):
    """Work out what all paths of a draw begin with, and forget what was remembered of another draw."""
    for j in range(w.memo.size):
        w.memo[j] = UNKNOWN
    copy(w.start, s.clock0)
    for k in range(s.hazards.size):
        risk = w.risks[k]
        set_age(s, x, w, k, 0.0)
        risk["state"] = s.hazards[k]["state"]
        risk["drawn"] = 0
        risk["mult"] = multiplier_now(s, x, w, k, s.hazards[k]["memo"], risk["state"], s.whole[0]["flags"])
    copy(w.risk_words0, w.risk_words)


@inner
def draw_some(key, block, left, spare, first, last, d, r, seed):
    """Make the pairs of uniforms first … last − 1 that a path begins with."""
    for k in range(U(first), U(last)):  # unsigned: a test for negative places would scatter what vectors can store
        left[k], spare[k] = pair(seed, d, r, key[k], block[k])


@inner
def draw_all(key, block, left, spare, d, r, seed):
    """Make the uniforms that a path begins with: two of every hazard, and as many as an event is likely to use.

    In two calls: of one alone the compiler makes a part of its caller, where it fails to make vector code of it.
    """
    half = key.size // (2 * VECTOR) * VECTOR
    draw_some(key, block, left, spare, 0, half, d, r, seed)
    draw_some(key, block, left, spare, half, key.size, d, r, seed)


@inner
def exponentials(left):
    """Turn uniforms into unit exponentials."""
    for k in range(left.size):
        left[k] = -log(left[k])


@inner
def draw_again(s, w, d, r, k, seed):
    """Make a new exponential for hazard k, which has fired."""
    risk = w.risks[k]
    n = risk["drawn"] + 1
    risk["drawn"] = n
    if n & 1 == 0:
        even, odd = pair(seed, d, r, s.hazards[k]["key"], n >> 1)
        risk["left"], w.spare[k] = -log(even), -log(odd)
    else:
        risk["left"] = w.spare[k]


@inner
def event_again(s, w, d, r, event, seed):
    """Make a new exponential for a scheduled event, which has no use for the last one."""
    n, place = w.event_drawn[event] + 1, s.hazards.size + event
    w.event_drawn[event] = n
    if 1 < n < s.events[event]["made"]:
        place = np.int64(s.events[event]["more"]) + (n >> 1)
    elif n & 1 == 0:
        even, odd = pair(seed, d, r, s.events[event]["key"], n >> 1)
        w.left[place], w.spare[place] = -log(even), -log(odd)
    w.event_left[event] = w.left[place] if n & 1 == 0 else w.spare[place]


@inner
def pass_date(s, w, event, used):
    """Take what a date that gave the rest has used from a scheduled event's exponential, or all of it."""
    w.event_left[event] = w.event_left[event] - used if s.events[event]["once"] != 0 else 0.0


@inner
def choose(s, w, d, r, event, at, seed):
    """Branch of a scheduled event: its number over all branches; the rest is its last one.

    A date whose −log P(rest) is less than an exponential gives the rest. An event that can turn out otherwise only
    once has one exponential, of which each of its dates uses that much: a series of talks is thus one number, whose
    order is kept when the odds change. One that goes on whatever comes about has an exponential for each date:
    carried over, what is left would depend on all dates before, and on every change of their odds.
    """
    last = s.events[event]["branch_end"] - 1
    if w.event_left[event] == 0.0:
        event_again(s, w, d, r, event, seed)
    if w.event_left[event] > w.memo[at]:
        pass_date(s, w, event, w.memo[at])
        return last
    b = s.events[event]["branch"]
    if b + 1 < last:
        u = uniform(seed, d, r, s.events[event]["key"], OTHER + np.int64(w.event_drawn[event]))
        while u >= w.memo[at + 1 + b - s.events[event]["branch"]]:
            b += 1
    w.event_left[event] = 0.0
    return b


@inlined
def put_back(s, w):
    """Put clocks, events and what is due at ages into the state at the as-of date, and hazards but for their luck."""
    copy(w.risk_words, w.risk_words0)
    for c in range(w.start.size):
        w.start[c] = s.clock0[c]
    for n in range(w.event_state.size):
        w.event_state[n], w.event_drawn[n] = s.events[n]["state"], 0
        w.event_left[n] = w.left[s.hazards.size + n]
    for a in range(w.due.size):
        due = w.start[s.aged[a]["clock"]] + s.aged[a]["age"]
        w.due[a] = due if due >= 0.0 else np.inf


@inlined
def begin(s, x, w, d, r, seed):
    """Put the scratch space into the state at the as-of date."""
    draw_all(s.key, s.block, w.left, w.spare, d, r, seed)
    exponentials(w.left)
    exponentials(w.spare)
    put_back(s, w)
    for k in range(s.hazards.size):
        risk = w.risks[k]
        left = w.left[k]
        fire = left / (risk["mult"] * risk["rate"])
        risk["left"] = left
        w.next[k] = earlier(fire, risk["bin_end"])
    for j in range(s.weibull.size):
        aim(s, x, w, s.weibull[j], 0.0)
    for m in range(w.meter_total.size):
        w.meter_since[m], w.meter_total[m] = -1.0, 0.0


@inner
def end_bin(s, x, w, k):
    """Take hazard k into its next bin of age."""
    t = w.risks[k]["bin_end"]
    settle(s, x, w, k, t)
    set_bin(s, x, w, k, w.risks[k]["bin"] + 1, start_of(s, w, k))
    aim(s, x, w, k, t)


# ---- effects -------------------------------------------------------------------------------------


@inner
def move_clocks(s, w, e, t):
    """Stop and start the clocks of effect e, and reschedule what is due at an age of them."""
    touched = s.effects[e]["stop"] | s.effects[e]["start"]
    for c in range(w.start.size):
        bit = ONE << U(c)
        if (touched & bit) != ZERO:
            w.start[c] = t if (s.effects[e]["start"] & bit) != ZERO else np.inf
    for a in range(w.due.size):
        if (touched & (ONE << U(s.aged[a]["clock"]))) != ZERO:
            w.due[a] = w.start[s.aged[a]["clock"]] + s.aged[a]["age"]


@inlined
def spread(s, x, w, e, t, flags):
    """Tell the readers of flags that effect e has changed, but for those that `restart` sees to."""
    for j in range(s.effects[e]["event"], s.effects[e]["event_end"]):
        reader = s.event_readers[j]
        n = reader["which"]
        w.event_state[n] = (w.event_state[n] | reader["set"]) & reader["keep"]
    for j in range(s.effects[e]["reader"], s.effects[e]["own"]):
        reader = s.readers[j]
        k = reader["which"]
        risk = w.risks[k]
        state = (risk["state"] | reader["set"]) & reader["keep"]
        m = remembered(s, x, w, k, reader["memo"] + state, flags)
        rate = risk["rate"]
        left = above(risk["left"] - risk["mult"] * rate * (t - risk["used"]))
        fire = t + left / (m * rate)
        w.next[k] = earlier(fire, risk["bin_end"])
        risk["state"], risk["mult"], risk["used"], risk["left"] = state, m, t, left


@inlined
def restart(s, x, w, e, t, flags):
    """See to the clocks of effect e, the hazards that read them, the Weibull ones, and the one that has fired."""
    effect = s.effects[e]
    first, last = effect["own"], effect["reader_end"]
    if (effect["stop"] | effect["start"]) != ZERO:
        for j in range(first, last):
            if s.readers[j]["moved"] != 0:
                settle(s, x, w, s.readers[j]["which"], t)
        move_clocks(s, w, e, t)
    for j in range(first, last):
        reader = s.readers[j]
        k = reader["which"]
        risk = w.risks[k]
        state = (risk["state"] | reader["set"]) & reader["keep"]
        m = multiplier_now(s, x, w, k, reader["memo"], state, flags)
        risk["state"] = state
        if reader["moved"] != 0:
            set_age(s, x, w, k, t)
        elif k != e:
            if m == risk["mult"]:
                continue
            settle(s, x, w, k, t)
        risk["mult"] = m
        aim(s, x, w, k, t)


@inner
def count_state(s, tally, e, i, before, after):
    """Enter the flags that effect e has changed into the tally."""
    for j in range(s.effects[e]["flag"], s.effects[e]["flag_end"]):
        f = s.flag_list[j]
        tally.state[i, f] += np.int32((after >> U(f)) & ONE) - np.int32((before >> U(f)) & ONE)


@inner
def first_due(times):
    """Place and value of the smallest; (−1, inf) if there is none."""
    k, t = -1, np.inf
    for j in range(times.size):
        if times[j] < t:
            k, t = j, times[j]
    return k, t


@inner
def first_hazard(times, bits):
    """Place and value of the smallest of times ≥ 0, found by their bits, which order alike.

    In four chains: vector units would only delay it, as their loads wait for what has just been stored one by one.
    """
    a, b, c, e = bits[0], bits[1], bits[2], bits[3]
    i, j, m, n = 0, 1, 2, 3
    for k in range(4, bits.size, 4):
        u = bits[k]
        i = k if u < a else i
        a = min(a, u)
        u = bits[k + 1]
        j = k + 1 if u < b else j
        b = min(b, u)
        u = bits[k + 2]
        m = k + 2 if u < c else m
        c = min(c, u)
        u = bits[k + 3]
        n = k + 3 if u < e else n
        e = min(e, u)
    i = j if b < a else i
    a = min(a, b)
    m = n if e < c else m
    c = min(c, e)
    i = m if c < a else i
    return i, times[i]


@inner
def slot(g, t):
    """Index of the first grid time at or after t; the number of times if there is none."""
    i = np.int64(g.hint[int(t * g.per_year[0])])
    while g.time[i] < t:
        i += 1
    return i


@inlined
def run_path(s, x, w, g, tally, path_log, d, r, seed):
    """Simulate path (d, r) and add it to the tally; return (events, cause or −1, time of the end).

    A path that never comes to an end, because a rate is beyond all measure, is given up with the time −1.
    """
    whole = s.whole[0]
    horizon, flags, classes = whole["horizon"], whole["flags"], whole["state"]
    cause, t, n_haz, steps, p = -1, 0.0, s.hazards.size, 0, 0
    begin(s, x, w, d, r, seed)
    outcome = np.int64(class_now(s, w, flags, classes))
    tally.outcome[0, outcome] += 1
    meter(s, x, w, tally, 0.0, 0, flags, False)
    a, t_aged = first_due(w.due)
    k, t_haz, moved = 0, 0.0, True
    while cause < 0:
        if moved:
            k, t_haz = first_hazard(w.next, w.next_bits)
        limit = earlier(t_haz, horizon)
        entry = s.calendar[p]
        t, event, i = entry["time"], np.int64(entry["event"]), np.int64(-1)
        if t_aged <= limit and (t_aged < t or (t_aged == t and s.aged[a]["event"] < event)):  # at an age of a clock
            t, event = t_aged, np.int64(s.aged[a]["event"])
            w.due[a] = np.inf
            a, t_aged = first_due(w.due)
        elif t <= limit:  # on a date
            i = np.int64(g.calendar[p])
            p += 1
        elif t_haz > horizon:
            break
        elif t_haz == w.risks[k]["bin_end"]:
            end_bin(s, x, w, k)
            moved = True
            continue
        else:
            t, event = t_haz, np.int64(-1)
        if event >= 0:
            at = odds_now(s, x, w, event, flags)
            if at < 0:
                moved = False
                continue
            e = n_haz + choose(s, w, d, r, event, at, seed)
        else:
            e = k
            if s.hazards[k]["kind"] == WEIBULL:
                settle(s, x, w, k, t)
            else:
                w.risks[k]["used"] = t
            draw_again(s, w, d, r, k, seed)
        if i < 0:
            i = slot(g, t)
        if steps < path_log.time.size:
            path_log.time[steps], path_log.event[steps] = t, e
        steps += 1
        if steps > MAX_STEPS:
            return steps, -1, -1.0
        tally.fired[e] += 1
        effect = s.effects[e]
        cause = np.int64(effect["end"])
        before = flags
        flags = (flags | effect["set"]) & ~effect["clear"]
        changed = flags ^ before
        moved = changed != ZERO
        if cause >= 0:
            tally.cause[i, cause] += 1
        else:
            if changed != ZERO:
                spread(s, x, w, e, t, flags)
                classes = (classes | effect["class_set"]) & effect["class_keep"]
            if effect["own"] < effect["reader_end"] or (effect["stop"] | effect["start"]) != ZERO:
                restart(s, x, w, e, t, flags)
                moved = True
                if (effect["stop"] | effect["start"]) != ZERO:
                    a, t_aged = first_due(w.due)
        if changed != ZERO:
            count_state(s, tally, e, i, before, flags)
        if whole["lumps"] != 0:
            lump(s, x, w, tally, t, i, e)
        if cause >= 0 or (changed & whole["meter_reads"]) != ZERO:
            meter(s, x, w, tally, t, i, flags, cause >= 0)
        if cause >= 0 or (changed & whole["out_reads"]) != ZERO:
            now = np.int64(class_now(s, w, flags, classes)) if cause < 0 else np.int64(outcome_of(s, flags, cause))
            if now != outcome:
                tally.outcome[i, outcome] -= 1
                tally.outcome[i, now] += 1
                outcome = now
    if cause < 0:
        t = horizon
        meter(s, x, w, tally, t, g.time.size - 1, flags, True)
    for m in range(w.meter_total.size):
        tally.meter_square[m] += w.meter_total[m] * w.meter_total[m]
    return steps, cause, t


@inner
def add_up(table):
    """Turn differences along time (rows) into values."""
    for i in range(1, table.shape[0]):
        for j in range(table.shape[1]):
            table[i, j] += table[i - 1, j]


@kernel
def run_jobs(
    s, v, w, g, seed, jobs, log_time, log_event, ends, cause, outcome, state, fired, count, offset, square, complete
):
    """Simulate the replicates `first` … `last` − 1 of the draw of each job, and add them to a row of the tallies.

    Where histories are wanted each job is one path with a row of the log for it; otherwise the log is one row
    of no length. `ends` keeps how the last path of each job ended. `complete`: turn the differences along time
    into values.

    Returns −1, or the job in which a path had no end.
    """
    for j in range(jobs.size):
        d, row = np.int64(jobs[j]["draw"]), np.int64(jobs[j]["row"])
        first, last = np.int64(jobs[j]["first"]), np.int64(jobs[j]["last"])
        tally = Tally(cause[row], outcome[row], state[row], fired[row], count[row], offset[row], square[row])
        logged = min(j, log_time.shape[0] - 1)
        path_log = Log(log_time[logged], log_event[logged])
        for f in range(state.shape[2]):
            if (s.whole[0]["flags"] & (ONE << U(f))) != ZERO:
                state[row, 0, f] += last - first
        x = row_of(v, d)
        if j == 0 or jobs[j - 1]["draw"] != jobs[j]["draw"]:
            prepare(s, x, w)
        for r in range(first, last):
            n, which, end = run_path(s, x, w, g, tally, path_log, d, r, seed)
            ends[j]["events"], ends[j]["cause"], ends[j]["time"] = n, which, end
            if end < 0.0:
                return j
        if complete:
            add_up(tally.cause)
            add_up(tally.outcome)
            add_up(tally.state)
            add_up(tally.meter_count)
            add_up(tally.meter_offset)
    return -1
