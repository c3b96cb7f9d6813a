"""Changes of a process that should not matter: newcomers that cannot happen, other names, other units of time."""

from datetime import timedelta

import numpy as np

from forecast.deal.spec import (
    AtAge,
    Branch,
    Cause,
    Clock,
    Condition,
    Consequence,
    Effect,
    Flag,
    Hazard,
    Modifier,
    OutcomeClass,
    Process,
    Recurrence,
    Scheduled,
)
from forecast.process.draws import Draws
from forecast.types import years_between


def wider(process: Process, field: str, place: float, *new: object) -> Process:
    """Put something into a list of the process, at a place between its start (0) and its end (1)."""
    old = getattr(process, field)
    n = round(place * len(old))
    return process.model_copy(update={field: (*old[:n], *new, *old[n:])})


DEADLY = Effect(set=("extra",), end="doom")
COIN = (Branch(id="x", label="", probability="half", effect=DEADLY), Branch(id="y", label="", effect=DEADLY))


def closed(flag: str) -> Condition:
    """Return what can never hold, though no single literal says so."""
    return Condition(all=(flag,), any=((f"not {flag}", f"not {flag}"),))


def impossible(process: Process) -> dict[str, tuple[str, object]]:
    """Everything that is there and cannot happen: the list that it belongs to, and itself."""
    never, flag = closed(process.flags[0].id), process.flags[-1].id
    days = tuple(process.as_of + timedelta(days=d) for d in (0, 1, 400))
    every = Recurrence(first=process.as_of, last=process.as_of + timedelta(days=900), every=0.25)

    def hazard(**parts: object) -> tuple[str, object]:
        return "hazards", Hazard(**{"id": "new", "label": "", "effect": DEADLY, **parts})

    def event(**parts: object) -> tuple[str, object]:
        return "scheduled", Scheduled(**{"id": "new", "label": "", "branches": COIN, **parts})

    return {
        "a hazard that is never on": hazard(rate="one", when=never, modifiers=(Modifier(when=flag, log_ratio="half"),)),
        "a Weibull hazard that is never on": hazard(weibull_shape="one", weibull_scale="one", when=never, clock="here"),
        "a hazard of rate 0": hazard(rate="zero", modifiers=(Modifier(when=flag, log_ratio="half"),)),
        "a hazard of rate 0 at every age": hazard(rate="zeros", clock="here"),
        "a hazard whose clock never runs": hazard(rate="one", clock="nowhere"),
        "a hazard whose clock starts behind the horizon": hazard(rate="one", clock="beyond"),
        "a hazard that is on for nobody": hazard(rate="one", when=Condition(any=(("extra", "other"),))),
        "an event on dates that is never on": event(dates=days, when=never),
        "an event again and again that is never on": event(every=every, when=never),
        "an event at an age that is never on": event(at_age=AtAge(clock="here", age=0.5), when=never),
        "an event at an age of a clock that never runs": event(at_age=AtAge(clock="nowhere", age=0.5)),
        "an event before the as-of date": event(dates=(process.as_of - timedelta(days=1),)),
        "an event behind the horizon": event(dates=(process.as_of + timedelta(days=40_000),)),
        "a flag": ("flags", Flag(id="new", label="", initially=True)),
        "a clock": ("clocks", Clock(id="new", label="", running_since=process.as_of)),
        "a cause": ("causes", Cause(id="new", label="")),
        "a class": ("outcomes", OutcomeClass(id="new", label="", causes=("doom",))),
        "a flow": ("consequences", Consequence(id="new", label="", unit="1", amount=("one",), when=never)),
    }


def prepared(process: Process, draws: Draws) -> tuple[Process, Draws]:
    """With names for newcomers to refer to; two flags that something might set, were it ever to happen."""
    for flag in ("extra", "other"):
        process = wider(process, "flags", 1.0, Flag(id=flag, label=""))
    far = process.as_of + timedelta(days=40_000)
    for id_, since in (("here", process.as_of), ("nowhere", None), ("beyond", far)):
        process = wider(process, "clocks", 1.0, Clock(id=id_, label="", running_since=since))
    process = wider(process, "causes", 1.0, Cause(id="doom", label=""))
    n = draws.n_draw
    numbers = {"zero": np.zeros(n), "one": np.ones(n), "half": np.full(n, 0.5), "zeros": np.zeros((n, 2))}
    return process, Draws(
        {**draws.values, **numbers}, {**draws.edges, "zeros": np.array([0.0, 1.0, np.inf])}, draws.labels, {}
    )


# Where the names of flags, clocks, causes and classes stand.
NAMED = ("when", "set", "clear", "start", "stop", "end", "exclusive", "clock", "causes", "flags", "clocks", "outcomes")


def renamed(value: object, new: dict[str, str], *, named: bool = False) -> object:
    if isinstance(value, dict):
        return {
            k: renamed(v, new, named=(named and k == "id") or k in NAMED or (named and k in {"all", "any"}))
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return tuple(renamed(v, new, named=named) for v in value)
    if isinstance(value, str) and named:
        return f"not {new[value[4:]]}" if value.startswith("not ") else new.get(value, value)
    return value


def undated(process: Process) -> Process:
    """With ages of clocks in place of dates, and clocks that run from the as-of date or not at all."""

    def aged(n: int, s: Scheduled) -> Scheduled:
        days = [d for d in s.dates if d > process.as_of]
        age = years_between(process.as_of, days[0]) if days else 0.375 * (n + 1)
        at = s.at_age or AtAge(clock=process.clocks[0].id, age=age)
        return s.model_copy(update={"dates": (), "every": None, "at_age": at})

    def since(c: Clock) -> Clock:
        return c.model_copy(update={"running_since": c.running_since and process.as_of})

    return process.model_copy(
        update={
            "scheduled": tuple(aged(n, s) for n, s in enumerate(process.scheduled)),
            "clocks": tuple(since(c) for c in process.clocks),
        }
    )


def rescaled(process: Process, draws: Draws, c: float) -> tuple[Process, Draws]:
    """In a unit of time that is c years: times / c, rates × c."""
    times = {h.weibull_scale for h in process.hazards}
    rates = {h.rate for h in process.hazards} | {x.discount for x in process.consequences}
    assert not times & rates - {None}
    values = {k: v / c if k in times else v * c if k in rates else v for k, v in draws.values.items()}
    scheduled = tuple(
        s.model_copy(update={"at_age": s.at_age and AtAge(clock=s.at_age.clock, age=s.at_age.age / c)})
        for s in process.scheduled
    )
    process = process.model_copy(update={"scheduled": scheduled, "horizon": process.horizon / c})
    return process, Draws(values, {k: e / c for k, e in draws.edges.items()}, draws.labels, {})
