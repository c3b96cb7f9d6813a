"""Paths that carry a probability instead of ending: conditional Monte Carlo for what ends them.

A hazard that ends the path is never let happen. Between two events its rate is known, so the probability that it
happens is an integral in closed form; the path goes on with the probability that is left, its weight
(Rao–Blackwell: the expectation given everything else, Casella & Robert 1996, Biometrika 83:81). A scheduled branch
that ends the path takes its share of the weight. A Weibull hazard that ends the path is sampled as if it were
`boost` times as frequent, and takes 1 / `boost` of the weight each time: a Poisson process of candidates whose
product of survivals has the right mean whatever the rates do in between.

Other hazards and branches may be made more or less likely (importance sampling): the weight then carries the
likelihood ratio too, which between events is one more exponential.
"""

import numpy as np

from forecast.kernels.arith import log, pair, quick_exp, uniform
from forecast.kernels.gsmp import (
    ONE,
    OTHER,
    TINY,
    aim,
    choose,
    copy,
    draw_again,
    draw_all,
    end_bin,
    event_again,
    exponentials,
    first_due,
    first_hazard,
    odds_now,
    outcome_of,
    pass_date,
    prepare,
    put_back,
    restart,
    row_of,
    settle,
    spread,
)
from forecast.kernels.jit import inlined, inner, kernel
from forecast.kernels.layout import WEIBULL

U = np.uint64
ZERO = U(0)
SHIFT_SEED = U(0x9E3779B97F4A7C15)  # the shifts of the Sobol points have a seed of their own
MAX_STEPS = 1_000_000
TWO_52 = 4503599627370496.0


@inner
def fall(rate, dt):
    """Integral of e^(−rate·u) for u from 0 to dt, and e^(−rate·dt); the rate may be negative."""
    x = rate * dt
    if -0.03 < x < 0.03:  # the series, to 1e-17; 1 − e^(−x) would lose digits, and an exponential takes longer
        s = 1.0 - x / 6.0 * (1.0 - x / 7.0)
        span = dt * (1.0 - x / 2.0 * (1.0 - x / 3.0 * (1.0 - x / 4.0 * (1.0 - x / 5.0 * s))))
        return span, 1.0 - rate * span
    left = quick_exp(-x)
    return (1.0 - left) / rate, left


@inner
def after(s, e, flags):
    """Flags after effect e."""
    return (flags | s.effects[e]["set"]) & ~s.effects[e]["clear"]


@inner
def give(z, y, mass, cause, outcome, flags):
    """Add a mass that has ended to its cause, its outcome class and the flags that are watched."""
    y.ended[cause] += mass
    y.ended[z.first_outcome[0] + outcome] += mass
    for j in range(z.watched.size):
        if ((flags >> U(z.watched[j])) & ONE) != ZERO:
            y.ended[z.first_state[0] + j] += mass
    if z.tune[0] == cause:
        learn(y, mass)


@inner
def learn(y, mass):
    """Note under which luck the cause that is being tuned for has taken its mass."""
    for k in range(y.happened.size):
        y.with_events[k] += mass * y.happened[k]
        y.with_exposure[k] += mass * y.exposure[k]


@inner
def look(w, z, y):
    """Update the rates of the hazards that end paths; return the rate at which the weight falls."""
    rate = 0.0
    for j in range(z.ending.size):
        risk = w.risks[z.ending[j]]
        y.rate[j] = risk["mult"] * risk["rate"]
        rate += y.rate[j]
    for j in range(z.boosted.size):
        k = z.boosted[j]
        rate += (1.0 - z.boost[k]) * w.risks[k]["mult"] * w.risks[k]["rate"]
    return rate


@inner
def pass_time(w, y, weight, rate, dt):
    """Let the hazards that end paths take their share of dt years; return the weight that is left."""
    if dt <= 0.0:
        return weight
    span, left = fall(rate, dt)
    span *= weight
    for j in range(y.rate.size):
        y.taken[j] += span * y.rate[j]
    for k in range(y.exposure.size if y.learns[0] else 0):
        if k < w.risks.size:
            y.exposure[k] += w.risks[k]["mult"] * w.risks[k]["rate"] * dt
    return weight * left


@inner
def hand_out(s, z, y, flags):
    """Enter what hazards have taken, all under the same flags, with its cause, outcome class and flags."""
    for j in range(z.ending.size):
        if y.taken[j] > 0.0:
            k = z.ending[j]
            end, cause = after(s, k, flags), s.effects[k]["end"]
            give(z, y, y.taken[j], cause, outcome_of(s, end, cause), end)
            y.taken[j] = 0.0


@inner
def report(s, z, y, weight, flags, total, square):
    """Add what has ended, and the weight that is still going, to the sums of a report time."""
    copy(y.now, y.ended)
    if weight > 0.0:
        y.now[z.first_outcome[0] + outcome_of(s, flags, -1)] += weight
        for j in range(z.watched.size):
            if ((flags >> U(z.watched[j])) & ONE) != ZERO:
                y.now[z.first_state[0] + j] += weight
    for j in range(y.now.size):
        total[j] += y.now[j]
        square[j] += y.now[j] * y.now[j]


@inner
def draw_points(z, first, shift, r):
    """Put the coordinates of Sobol point r, shifted, in the place of the uniforms that they stand for."""
    for j in range(z.place.size):
        first[z.place[j]] = (np.float64(z.points[r, j] ^ shift[j]) + 0.5) / TWO_52


@inner
def draw_shift(shift, d, group, seed):
    """Draw the shifts of the Sobol points of one group of one draw."""
    for j in range(shift.size):
        u, _ = pair(seed + SHIFT_SEED, d, group, U(j), 0)
        shift[j] = U(np.int64(u * TWO_52))


@inlined
def begin_weighted(s, x, w, z, y, d, number, r, seed):
    """`gsmp.begin`, with Sobol points and boosts; path `number` of the draw takes point r."""
    draw_all(s.key, s.block, w.left, w.spare, d, number, seed)
    draw_points(z, w.first, y.shift, r)
    exponentials(w.first)
    put_back(s, w)
    for k in range(s.hazards.size):
        risk = w.risks[k]
        left = w.left[k] / z.boost[k]  # infinite for what is never let happen
        risk["left"] = left
        w.next[k] = min(left / (risk["mult"] * risk["rate"]), risk["bin_end"])
    for j in range(s.weibull.size):
        aim(s, x, w, s.weibull[j], 0.0)
    for j in range(y.ended.size):
        y.ended[j] = 0.0
    for j in range(y.taken.size):
        y.taken[j] = 0.0
    if y.learns[0]:
        for k in range(y.happened.size):
            y.happened[k], y.exposure[k] = 0.0, 0.0


@inner
def chance(s, w, event, at, b):
    """Probability of branch b, from the odds that are remembered."""
    first, last = s.events[event]["branch"], s.events[event]["branch_end"] - 1
    others, rest = fall(1.0, w.memo[at])  # 1 − e^(−x) would lose the digits of what is rare
    if b == last:
        return rest
    below = w.memo[at + b - first] if b > first else 0.0
    above = w.memo[at + 1 + b - first] if b + 1 < last else 1.0
    return others * (above - below)


@inlined
def take_branches(s, w, z, y, d, number, event, at, seed, weight, flags):
    """`gsmp.choose` where branches end the path or are tilted; return (a branch that goes on or −1, the weight left).

    Branches that end the path take their share of the weight. Of the others each is taken with a probability in
    proportion to its own times its tilt, and the weight makes up for it.
    """
    first, last = np.int64(s.events[event]["branch"]), np.int64(s.events[event]["branch_end"]) - 1
    n_haz, going, others, rest = s.hazards.size, 0.0, 0.0, 0.0
    for b in range(first, last + 1):
        p = chance(s, w, event, at, b)
        cause = s.effects[n_haz + b]["end"]
        if cause < 0:
            going += p
            others += p * z.tilt[b] if b < last else 0.0
            rest = p * z.tilt[b] if b == last else rest
        elif p > 0.0:
            end = after(s, n_haz + b, flags)
            give(z, y, weight * p, cause, outcome_of(s, end, cause), end)
    if others + rest <= 0.0:
        return -1, 0.0
    used = log((others + rest) / rest) if rest > 0.0 else np.inf
    chosen = last
    if w.event_left[event] == 0.0:
        event_again(s, w, d, number, event, seed)
    if w.event_left[event] > used:
        pass_date(s, w, event, used)
    else:
        u = uniform(seed, d, number, s.events[event]["key"], OTHER + np.int64(w.event_drawn[event])) * others
        reached = 0.0
        for b in range(first, last):
            if s.effects[n_haz + b]["end"] < 0:
                if reached <= u or chosen == last:
                    chosen = b
                reached += chance(s, w, event, at, b) * z.tilt[b]
        w.event_left[event] = 0.0
    if y.learns[0]:
        for b in range(first, last + 1):
            if s.effects[n_haz + b]["end"] < 0:
                y.exposure[n_haz + b] += chance(s, w, event, at, b) / going
        y.happened[n_haz + chosen] += 1.0
    return chosen, weight * (others + rest) / z.tilt[chosen]


@inlined
def weigh_path(s, x, w, z, y, d, number, r, seed, total, square):
    """Follow path `number` of a draw, and add what it says to the sums (report time, quantity).

    Returns its number of events, −1 if it has no end.
    """
    flags = s.whole[0]["flags"]
    begin_weighted(s, x, w, z, y, d, number, r, seed)
    n_haz, steps, p, h = s.hazards.size, 0, 0, 0
    weight, since = 1.0, 0.0
    rate = look(w, z, y)
    k, t_haz = first_hazard(w.next, w.next_bits)
    a, t_aged = first_due(w.due)
    while h < z.times.size:
        limit = min(t_haz, z.times[h])
        t, event, at = s.calendar[p]["time"], s.calendar[p]["event"], -1
        if t_aged <= limit and (t_aged < t or (t_aged == t and s.aged[a]["event"] < event)):
            t, event = t_aged, s.aged[a]["event"]
            w.due[a] = np.inf
            a, t_aged = first_due(w.due)
            at = odds_now(s, x, w, event, flags)
            if at < 0:
                continue
        elif t <= limit:
            p += 1
            at = odds_now(s, x, w, event, flags)
            if at < 0:
                continue
        elif t_haz > z.times[h]:  # a report
            weight = pass_time(w, y, weight, rate, z.times[h] - since)
            since = z.times[h]
            hand_out(s, z, y, flags)
            report(s, z, y, weight, flags, total[h], square[h])
            h += 1
            continue
        elif t_haz == w.risks[k]["bin_end"]:
            if z.boost[k] != 1.0 or y.learns[0]:
                weight = pass_time(w, y, weight, rate, t_haz - since)
                since = t_haz
                end_bin(s, x, w, k)
                rate = look(w, z, y)
            else:
                end_bin(s, x, w, k)
            k, t_haz = first_hazard(w.next, w.next_bits)
            continue
        else:
            t = t_haz
        steps += 1
        if steps > MAX_STEPS:
            return -1
        if at >= 0 and not z.special[event]:
            e = n_haz + choose(s, w, d, number, event, at, seed)
        elif at >= 0:
            weight = pass_time(w, y, weight, rate, t - since)
            since = t
            b, weight = take_branches(s, w, z, y, d, number, event, at, seed, weight, flags)
            if b < 0:
                break
            e = n_haz + b
        else:
            e = k
            if s.hazards[k]["kind"] == WEIBULL:
                settle(s, x, w, k, t)
            else:
                w.risks[k]["used"] = t
            draw_again(s, w, d, number, k, seed)
            if z.boost[k] != 1.0:
                weight = pass_time(w, y, weight, rate, t - since)
                since = t
                w.risks[k]["left"] = max(w.risks[k]["left"] / z.boost[k], TINY)
                if s.effects[k]["end"] >= 0:  # a candidate of a Weibull hazard
                    end = after(s, k, flags)
                    give(z, y, weight / z.boost[k], s.effects[k]["end"], outcome_of(s, end, s.effects[k]["end"]), end)
                    weight *= 1.0 - 1.0 / z.boost[k]
                    aim(s, x, w, k, t)
                    k, t_haz = first_hazard(w.next, w.next_bits)
                    continue
                weight /= z.boost[k]
            if y.learns[0]:
                y.happened[k] += 1.0
        if weight == 0.0:
            break
        effect = s.effects[e]
        changed = after(s, e, flags) ^ flags
        careful = effect["own"] < effect["reader_end"] or (effect["stop"] | effect["start"]) != ZERO
        told = z.touches[e] and (changed != ZERO or careful)
        if told or y.learns[0]:
            weight = pass_time(w, y, weight, rate, t - since)
            since = t
            if z.fates[e] or y.learns[0]:
                hand_out(s, z, y, flags)
        flags ^= changed
        if changed != ZERO:
            spread(s, x, w, e, t, flags)
        if careful:
            restart(s, x, w, e, t, flags)
            if (effect["stop"] | effect["start"]) != ZERO:
                a, t_aged = first_due(w.due)
        if told:
            rate = look(w, z, y)
        if careful or changed != ZERO:
            k, t_haz = first_hazard(w.next, w.next_bits)
    hand_out(s, z, y, flags)
    while h < z.times.size:
        report(s, z, y, 0.0, flags, total[h], square[h])
        h += 1
    return steps


@kernel
def weigh_draws(s, v, w, z, y, seed, first, last, groups, replicates, total, square):
    """Follow `groups` × `replicates` paths of each draw; each group has Sobol points with shifts of its own.

    Adds to total (draw, group, time, quantity) and square (draw, time, quantity). Returns −1, or a draw in which a
    path had no end.
    """
    for d in range(first, last):
        x = row_of(v, d)
        prepare(s, x, w)
        for g in range(groups):
            draw_shift(y.shift, d, g, seed)
            for r in range(replicates):
                if weigh_path(s, x, w, z, y, d, g * replicates + r, r, seed, total[d, g], square[d]) < 0:
                    return d
    return -1
