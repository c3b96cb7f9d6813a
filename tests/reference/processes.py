"""Processes made up at random, small enough to solve exactly and mixed enough to meet every rule.

The same number always makes the same process. `random_process(n, exact=True)` leaves out what the exact
solver cannot take: hazards that move clocks.
"""

from datetime import date, timedelta

import numpy as np

from forecast.deal.spec import (
    AtAge,
    Branch,
    Cause,
    Clock,
    Condition,
    Consequence,
    Derived,
    Effect,
    Flag,
    Hazard,
    Modifier,
    OutcomeClass,
    Process,
    Recurrence,
    Scheduled,
    Term,
)
from forecast.process.draws import Draws
from forecast.types import years_between

AS_OF = date(2025, 3, 15)
FLAGS = ("a", "b", "c", "left", "right", "middle")
GROUP = ("left", "right", "middle")  # exclusive


class _Maker:
    def __init__(self, number: int, n_draw: int, *, exact: bool) -> None:
        self.rng = np.random.default_rng([20250315, number, int(exact)])
        self.exact = exact
        self.n_draw = n_draw
        self.end = AS_OF + timedelta(days=int(self.rng.integers(500, 1500)))
        self.clocks = ("since_start", "since_change", "old")
        self.causes = ("collapse", "withdrawal")
        self.values: dict[str, np.ndarray] = {}
        self.edges: dict[str, np.ndarray] = {}
        self.labels: dict[str, tuple[str, ...]] = {}
        # dates that several events share, so that there are ties; the window's two ends are among them
        middle = [AS_OF + timedelta(days=int(x)) for x in self.rng.integers(1, (self.end - AS_OF).days, 4)]
        self.days = (AS_OF, *sorted(middle), self.end, AS_OF - timedelta(days=40), self.end + timedelta(days=5))

    def maybe(self, chance: float) -> bool:
        return bool(self.rng.random() < chance)

    def pick(self, options, size: int) -> list[str]:
        return list(self.rng.choice(options, size, replace=False))

    def parameter(self, kind: str) -> str:
        """Declare a parameter of a kind and return its name."""
        name, shape = f"p{len(self.values)}_{kind}", self.n_draw
        spread = np.exp(0.3 * self.rng.normal(size=shape))
        if kind == "rate":
            self.values[name] = self.rng.choice([0.0, 1e-5, 0.05, 0.4, 2.0], p=[0.1, 0.1, 0.2, 0.4, 0.2]) * spread
        elif kind == "bins":
            inner = np.sort(self.rng.uniform(0.05, 3.0, int(self.rng.integers(1, 4))))
            self.edges[name] = np.concatenate([[0.0], inner, [np.inf]])
            level = self.rng.choice([0.0, 0.1, 0.6, 2.5], len(inner) + 1)
            self.values[name] = level * spread[:, None]
        elif kind == "shape":
            self.values[name] = self.rng.choice([0.4, 0.7, 1.0, 1.6, 3.0]) * spread**0.2
        elif kind == "scale":
            self.values[name] = self.rng.choice([0.5, 2.0, 8.0]) * spread
        elif kind == "chance":
            self.values[name] = self.rng.choice([0.05, 0.2, 0.45]) * np.minimum(spread**0.2, 1.05)
        elif kind == "entries":
            self.values[name] = self.rng.dirichlet(np.ones(3), self.n_draw) * 0.9 + 0.01
            self.labels[name] = ("x", "y", "z")
        else:  # log ratios, logits, amounts
            self.values[name] = self.rng.normal(0.0, 0.8) + 0.2 * self.rng.normal(size=shape)
        return name

    def literal(self, flag: str) -> str:
        return f"not {flag}" if self.maybe(0.5) else flag

    def condition(self) -> Condition:
        flags = self.pick(FLAGS, int(self.rng.integers(0, 3)))
        groups = [[self.literal(f) for f in self.pick(FLAGS, 2)] for _ in range(int(self.maybe(0.25)))]
        return Condition.model_validate([*(self.literal(f) for f in flags), *groups])

    def modifiers(self) -> tuple[Modifier, ...]:
        flags = self.pick(FLAGS, int(self.rng.integers(0, 3)))
        always = [None] if self.maybe(0.15) else []
        return tuple(
            Modifier(when=f if f is None else self.literal(f), log_ratio=self.parameter("log"))
            for f in [*flags, *always]
        )

    def effect(self, *, clocks: bool, end: float) -> Effect:
        cause = self.pick(self.causes, 1)[0] if self.maybe(end) else None
        sets, clears = [], []
        for f in self.pick(("a", "b", "c"), int(self.rng.integers(0, 3))):
            (sets if self.maybe(0.6) else clears).append(f)
        if self.maybe(0.3):
            chosen = self.pick(GROUP, 1)[0]
            sets.append(chosen)
            clears += [g for g in GROUP if g != chosen]
        start = self.pick(self.clocks, 1) if clocks and self.maybe(0.4) else []
        stop = [c for c in self.pick(self.clocks, 1) if clocks and self.maybe(0.2)]
        return Effect(set=tuple(sets), clear=tuple(clears), start=tuple(start), stop=tuple(stop), end=cause)

    def hazard(self, n: int) -> Hazard:
        kind = self.pick(("constant", "aged", "bins", "weibull"), 1)[0]
        clock = None if kind == "constant" else self.pick(self.clocks, 1)[0]
        rate = {"constant": "rate", "aged": "rate", "bins": "bins"}.get(kind)
        return Hazard(
            id=f"hazard_{n}",
            label=f"Hazard {n}",
            when=self.condition(),
            clock=clock,
            rate=self.parameter(rate) if rate else None,
            weibull_shape=None if rate else self.parameter("shape"),
            weibull_scale=None if rate else self.parameter("scale"),
            modifiers=self.modifiers(),
            effect=self.effect(clocks=not self.exact, end=0.3),
        )

    def branches(self) -> tuple[Branch, ...]:
        kind = self.pick(("only", "chance", "entries", "logit"), 1)[0]
        n = {"only": 0, "entries": 2}.get(kind, int(self.rng.integers(1, 3)))
        entries = self.parameter("entries") if kind == "entries" else ""
        made = []
        for b in range(n):
            chance = f"{entries}[{'xz'[b]}]" if entries else self.parameter("chance") if kind == "chance" else None
            made.append(
                Branch(
                    id=f"way_{b}",
                    label=f"way {b}",
                    probability=chance,
                    logit=self.parameter("logit") if kind == "logit" else None,
                    modifiers=self.modifiers() if kind == "logit" else (),
                    effect=self.effect(clocks=True, end=0.15),
                )
            )
        rest = Branch(id="rest", label="rest", effect=self.effect(clocks=True, end=0.05))
        made.insert(int(self.rng.integers(0, n + 1)), rest)
        return tuple(made)

    def scheduled(self, n: int) -> Scheduled:
        kind = self.pick(("dates", "dates", "every", "age"), 1)[0]
        first = AS_OF + timedelta(days=int(self.rng.integers(-100, 200)))
        every = Recurrence(first=first, last=self.end, every=float(self.rng.choice([0.25, 0.37])))
        age = float(self.rng.choice([0.2, 0.5, 1.1]))
        days = sorted({self.days[int(i)] for i in self.rng.integers(0, len(self.days), int(self.rng.integers(1, 4)))})
        return Scheduled(
            id=f"event_{n}",
            label=f"Event {n}",
            when=self.condition(),
            dates=tuple(days) if kind == "dates" else (),
            every=every if kind == "every" else None,
            at_age=AtAge(clock=self.pick(self.clocks, 1)[0], age=age) if kind == "age" else None,
            branches=self.branches(),
        )

    def process(self) -> Process:
        hazards = tuple(self.hazard(n) for n in range(int(self.rng.integers(2, 6))))
        scheduled = tuple(self.scheduled(n) for n in range(int(self.rng.integers(1, 6))))
        group = self.pick(GROUP, 1)[0]
        base = self.parameter("amount")
        derived = Derived(
            id="twice", label="", terms=(Term(parameters=(base,)), Term(parameters=(base,), sign=1)), over=()
        )
        rate = self.parameter("discount")
        self.values[rate] = np.abs(self.values[rate]) * 0.05
        effects = [h.effect for h in hazards] + [b.effect for s in scheduled for b in s.branches]
        settable = {x for e in effects for x in e.set} | {group}
        flags = (Flag(id=f, label=f, initially=f == group or (f not in settable and f not in GROUP)) for f in FLAGS)
        process = Process(
            deal_id="made_up",
            title="Made up",
            as_of=AS_OF,
            horizon=years_between(AS_OF, self.end),
            flags=tuple(flags),
            exclusive=(GROUP,),
            clocks=(
                Clock(id="since_start", label="", running_since=AS_OF if self.maybe(0.7) else None),
                Clock(id="since_change", label=""),
                Clock(id="old", label="", running_since=AS_OF + timedelta(days=int(self.rng.integers(-900, 300)))),
            ),
            hazards=hazards,
            scheduled=scheduled,
            causes=tuple(Cause(id=c, label=c) for c in self.causes),
            outcomes=(
                OutcomeClass(id="collapsed_with_a", label="", causes=("collapse",), when=Condition(all=("a",))),
                OutcomeClass(id="ended", label="", causes=self.causes),
                OutcomeClass(id="b_or_c", label="", when=Condition(any=(("b", "c"),))),
                OutcomeClass(id="open", label="", rest=True),
            ),
            consequences=(
                Consequence(id="flow", label="", unit="1", amount=(base,), when=Condition(all=("a",)), discount=rate),
                Consequence(
                    id="counter", label="", unit="1", amount=("twice",), sign=-1, when=Condition(all=("not b",))
                ),
                Consequence(id="lump", label="", unit="1", amount=(base,), event=scheduled[0].id, discount=rate),
                Consequence(id="hit", label="", unit="1", amount=(base, "twice"), event=hazards[0].id),
            ),
            derived=(derived,),
        )
        return _possible(process, {f for f in FLAGS if f not in settable})


def _possible(process: Process, never: set[str]) -> Process:
    """Drop from conditions what nothing can ever set (the compiler refuses conditions that never hold)."""
    gone = never & set(GROUP)

    def clean(c: Condition) -> Condition:
        return c.model_copy(update={"all": tuple(x for x in c.all if x not in gone)})

    return process.model_copy(
        update={
            "hazards": tuple(h.model_copy(update={"when": clean(h.when)}) for h in process.hazards),
            "scheduled": tuple(s.model_copy(update={"when": clean(s.when)}) for s in process.scheduled),
        }
    )


def random_process(number: int, n_draw: int = 2, *, exact: bool = False) -> tuple[Process, Draws]:
    """Make process `number` and its draws."""
    maker = _Maker(number, n_draw, exact=exact)
    process = maker.process()
    return process, Draws(maker.values, maker.edges, maker.labels, {})
