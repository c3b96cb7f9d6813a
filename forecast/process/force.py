"""A program in which some events come out as one says: the same process, other numbers.

Everything keeps its place and its random numbers, so that a forced program and the one that it comes from share
their luck to the last bit.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import numpy as np

from forecast.deal.spec import Process
from forecast.deal.targets import AT_ONCE, NEVER
from forecast.errors import ForecastError
from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program
from forecast.process.lower import ordered

BEYOND = date(9999, 1, 1)
CERTAIN = 1e300  # weight against the rest's 1, where branches compete by weight
SOON = 24.0 * 365.25  # per year: once an hour
LATE = (100.0, 1e6)  # shape and scale of a Weibull hazard that never comes
# Of one that comes at once, within an hour but for e^-20: then it slows down, as weighted paths try it again and again.
EARLY = (0.2, 1.0 / SOON / 20.0**5)


def without(process: Process, wishes: Mapping[str, str]) -> Process:
    """Move scheduled events that are never to take place beyond any horizon; `forced` does the rest of forcing."""
    never = {"dates": (BEYOND,), "every": None, "at_age": None}
    scheduled = tuple(s.model_copy(update=never) if wishes.get(s.id) == NEVER else s for s in process.scheduled)
    return process.model_copy(update={"scheduled": scheduled})


def forced(program: Program, wishes: Mapping[str, str]) -> Program:
    """Make events come out as wished: event → a branch, `never` or `at_once`.

    A branch gets probability 1 in every draw, whatever its modifiers. A hazard that never comes has rate 0; one that
    comes at once has a mean of an hour, times its modifiers. Scheduled events that never take place are the business
    of `without`.

    Raises
    ------
    ForecastError
        The process has no such event or branch.
    """
    s, v, process = program.structure, program.values, program.process
    weight, factor, rate, shape, scale = (x.copy() for x in (v.weight, v.factor, v.bin_rate, v.shape, v.scale))
    hazards = {h.id: k for k, h in enumerate(process.hazards)}
    events = {e.id: n for n, e in enumerate(process.scheduled)}
    for id_, outcome in wishes.items():
        if id_ in hazards and outcome in (NEVER, AT_ONCE):
            k = hazards[id_]
            h, soon = s.hazards[k], outcome == AT_ONCE
            rate[:, h["bin"] : h["bin_end"]] = SOON if soon and h["kind"] != WEIBULL else 0.0
            if h["kind"] == WEIBULL:
                shape[:, k], scale[:, k] = EARLY if soon else LATE
        elif id_ in events and outcome != NEVER:
            _choose(program, events[id_], outcome, weight, factor)
        elif id_ not in events:
            raise ForecastError(f"{id_}={outcome}: the process has no such event")
    values = v._replace(weight=weight, factor=factor, bin_rate=rate, shape=shape, scale=scale)
    return replace(program, values=values)


def _choose(program: Program, n: int, outcome: str, weight: np.ndarray, factor: np.ndarray) -> None:
    """Give one branch of event n all the weight."""
    event = program.structure.events[n]
    names = [b.id for b in ordered(program.process.scheduled[n])]
    if outcome not in names:
        raise ForecastError(f"{program.process.scheduled[n].id}={outcome}: its branches are {', '.join(names)}")
    first, last = int(event["branch"]), int(event["branch_end"])
    chosen = first + names.index(outcome)
    for b in range(first, last):
        modifiers = program.structure.branches[b]
        factor[:, modifiers["mod"] : modifiers["mod_end"]] = 1.0
        is_rest = b == last - 1
        weight[:, b] = 1.0 if is_rest else 0.0
        if b == chosen and not is_rest:
            weight[:, b] = CERTAIN if event["logit"] else 1.0
