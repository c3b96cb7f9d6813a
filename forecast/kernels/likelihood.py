"""The exact log-likelihood of one observed path under every draw of a program.

Andersen, Borgan, Gill & Keiding 1993, Statistical Models Based on Counting Processes, section II.7: a path's
density is the product of the intensities of its events and of e^(−integrated intensity), times the
probability of each branch. Flags and clocks follow from the history alone, so they are followed once and each
term is added to all draws. Inputs are trusted (`forecast.likelihood` checked them).
"""

import numpy as np

from forecast.kernels.arith import log
from forecast.kernels.gsmp import cumulative, factor, holds, row_of, weight_of
from forecast.kernels.jit import inner, kernel
from forecast.kernels.layout import WEIBULL

U = np.uint64
ZERO, ONE = U(0), U(1)


@inner
def log_rate(s, x, k, age):
    """Logarithm of the base rate of hazard k (1/year) at an age (years); −inf where the rate is 0.

    An age on the edge of two bins belongs to the upper one. A Weibull rate needs a positive age.
    """
    h = s.hazards[k]
    if h["kind"] == WEIBULL:
        return log(x.shape[k] / x.scale[k]) + (x.shape[k] - 1.0) * log(age / x.scale[k])
    rate = x.bin_rate[h["bin"]]
    for i in range(h["bin"], h["bin_end"]):
        if age >= s.bin_edge[i]:
            rate = x.bin_rate[i]
    return log(rate) if rate > 0.0 else -np.inf


@inner
def add_intensity(s, v, clock, k, t, flags, out):
    """Add log λ_k(t) to every draw: hazard k has fired at t, seeing `flags`."""
    h = s.hazards[k]
    age = t if h["clock"] < 0 else t - clock[h["clock"]]
    for d in range(out.size):
        x = row_of(v, d)
        # the sum of two logarithms: the product of rate and modifiers may leave the range of a double
        out[d] += log_rate(s, x, k, age) + log(factor(s, x, h["mod"], h["mod_end"], flags))


@inner
def take_exposure(s, v, clock, k, since, t, flags, out):
    """Take ∫ λ_k from `since` to t off every draw; flags and clocks were the same all along."""
    h = s.hazards[k]
    start = 0.0 if h["clock"] < 0 else clock[h["clock"]]
    if since >= t or start == np.inf or not holds(s, h["cond"], flags):
        return
    for d in range(out.size):
        x = row_of(v, d)
        spent = cumulative(s, x, k, t - start) - cumulative(s, x, k, since - start)
        spent *= factor(s, x, h["mod"], h["mod_end"], flags)
        # inf − inf: beyond all measure before the as-of date and after it; nobody survives that
        out[d] -= spent if spent < np.inf else np.inf


@inner
def log_chance(s, x, event, b, flags):
    """Log-probability that a scheduled event takes branch b; `flags` as the event found them."""
    e = s.events[event]
    first, last = e["branch"], e["branch_end"] - 1
    total, before = 0.0, 0.0
    for j in range(first, last):
        if j == b:
            before = total
        total += weight_of(s, x, j, flags)
    if e["logit"] != 0:
        return (0.0 if b == last else log(weight_of(s, x, b, flags))) - log(1.0 + total)
    # as a uniform number in [0, 1) falls: what lies beyond 1 is never drawn
    chance = 1.0 - total if b == last else min(weight_of(s, x, b, flags), 1.0 - before)
    return log(chance) if chance > 0.0 else -np.inf


@inner
def add_choice(s, v, b, flags, out):
    """Add the log-probability of branch b, over all scheduled events, to every draw."""
    event = 0
    while s.events[event]["branch_end"] <= b:
        event += 1
    for d in range(out.size):
        out[d] += log_chance(s, row_of(v, d), event, b, flags)


@inner
def changes(s, k, old, new, moved):
    """Whether the intensity of hazard k is another one once the flags have gone from old to new and clocks moved."""
    h = s.hazards[k]
    if h["clock"] >= 0 and (moved & (ONE << U(h["clock"]))) != ZERO:
        return True
    if holds(s, h["cond"], old) != holds(s, h["cond"], new):
        return True
    for m in range(h["mod"], h["mod_end"]):
        read = s.modifiers[m]["want"] | s.modifiers[m]["forbid"]  # one flag, or none
        if ((old ^ new) & read) != ZERO:
            return True
    return False


@kernel
def path_log_likelihood(s, v, clock, since, time, firing, end, out):
    """Write the log-likelihood of one history into `out`, one number a draw.

    Σ log λ_k(t) over the hazards that fired − ∫ Σ_k λ_k(u) du + Σ log P(branch) over the scheduled events,
    from 0 to `end` or to the event that ended the path.

    s, v: `Structure` and `Values`; clock (c,), since (k,): scratch space, written anew
    time (event,): years since the as-of date, in order; firing (event,): number of the hazard, or K + branch
    end: years; out (draw,)
    """
    flags, n_haz = s.whole[0]["flags"], since.size
    out[:] = 0.0
    since[:] = 0.0
    for c in range(clock.size):  # a copy by slices would allocate
        clock[c] = s.clock0[c]
    for i in range(time.size):
        t, e = time[i], s.effects[firing[i]]
        if firing[i] < n_haz:
            add_intensity(s, v, clock, firing[i], t, flags, out)
        else:
            add_choice(s, v, firing[i] - n_haz, flags, out)
        if e["end"] >= 0:
            end = t
            break
        new = (flags | e["set"]) & ~e["clear"]
        moved = e["start"] | e["stop"]
        for k in range(n_haz):
            if changes(s, k, flags, new, moved):
                take_exposure(s, v, clock, k, since[k], t, flags, out)
                since[k] = t
        for c in range(clock.size):
            if (moved & (ONE << U(c))) != ZERO:
                clock[c] = t if (e["start"] & (ONE << U(c))) != ZERO else np.inf
        flags = new
    for k in range(n_haz):
        take_exposure(s, v, clock, k, since[k], end, flags, out)
