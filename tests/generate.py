"""Random processes for the tests: every feature of the process, alone and mixed, from a seed."""

from datetime import date, timedelta

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
    Scheduled,
)
from forecast.process.draws import Draws

AS_OF = date(2025, 3, 15)
HORIZON_DAYS = 3653
KINDS = (
    "markov",
    "piecewise",
    "weibull_falling",
    "weibull_rising",
    "scheduled",
    "ties",
    "ends_of_window",
    "zero",
    "rare",
    "groups",
    "restarts",
    "softmax",
    "late_clock",
    "everything",
)


class Generator:
    """Builds one process; `random_clocks` lets hazards move clocks, which the exact solver refuses."""

    def __init__(self, seed: int, kind: str, *, random_clocks: bool = False, n_draw: int = 2) -> None:
        self.rng, self.kind, self.random_clocks, self.n_draw = np.random.default_rng(seed), kind, random_clocks, n_draw
        self.values: dict[str, np.ndarray] = {}
        self.edges: dict[str, np.ndarray] = {}
        self.flags = [f"f{n}" for n in range(int(self.rng.integers(3, 6)))]
        self.clocks = ["since_before", "restarted", "late"]
        self.causes = ["c0", "c1", "c2"]

    def has(self, *kinds: str) -> bool:
        return self.kind in kinds or self.kind == "everything"

    def number(self, low: float, high: float, size: int | None = None) -> str:
        name = f"p{len(self.values)}"
        shape = (self.n_draw,) if size is None else (self.n_draw, size)
        self.values[name] = self.rng.uniform(low, high, shape)
        return name

    def literal(self) -> str:
        return ("not " if self.rng.random() < 0.5 else "") + str(self.rng.choice(self.flags))

    def condition(self) -> Condition:
        chosen = self.rng.choice(self.flags, int(self.rng.integers(0, 3)), replace=False)
        literals = tuple(("not " if self.rng.random() < 0.5 else "") + str(f) for f in chosen)
        groups = ((self.literal(), self.literal()),) if self.has("groups") and self.rng.random() < 0.6 else ()
        return Condition(all=literals, any=groups)

    def effect(self, *, end: bool, scheduled: bool) -> Effect:
        chosen = self.rng.choice(self.flags, 2, replace=False)
        one = {"set": (str(chosen[0]),)} if self.rng.random() < 0.7 else {"clear": (str(chosen[0]),)}
        start: tuple[str, ...] = ()
        stop: tuple[str, ...] = ()
        if (scheduled and self.has("restarts")) or (self.random_clocks and self.rng.random() < 0.5):
            start = ("restarted",)
            stop = ("since_before",) if self.rng.random() < 0.2 else ()
        return Effect(**one, start=start, stop=stop, end=str(self.rng.choice(self.causes)) if end else None)

    def modifiers(self) -> tuple[Modifier, ...]:
        n = int(self.rng.integers(0, 3))
        whens = [self.literal() if self.rng.random() < 0.8 else None for _ in range(n)]
        return tuple(Modifier(when=w, log_ratio=self.number(-1.0, 1.0)) for w in whens)

    def hazard(self, n: int) -> Hazard:
        fields: dict[str, object] = {"rate": self.number(0.02, 0.6)}
        if self.has("piecewise") and n % 2 == 0:
            name = self.number(0.0, 0.6, 4)
            self.edges[name] = np.array([0.0, 0.7, 2.0, 5.5, np.inf])
            self.values[name][:, 1] = 0.0
            fields = {"rate": name, "clock": "since_before"}
        elif self.has("weibull_falling") and n % 3 == 0:
            fields = {"weibull_shape": self.number(0.4, 0.9), "weibull_scale": self.number(3, 9), "clock": "restarted"}
        elif self.has("weibull_rising") and n % 3 == 1:
            fields = {
                "weibull_shape": self.number(1.2, 2.5),
                "weibull_scale": self.number(3, 9),
                "clock": "since_before",
            }
        elif self.has("zero") and n % 2 == 0:
            fields = {"rate": self.number(0.0, 0.0)}
        elif self.has("rare") and n == 0:
            fields = {"rate": self.number(1e-6, 2e-6)}
        elif self.has("late_clock") and n % 2 == 1:
            fields = {"rate": self.number(0.05, 0.5), "clock": "late"}
        elif self.has("restarts") and n % 2 == 1:
            name = self.number(0.0, 0.6, 3)
            self.edges[name] = np.array([0.0, 0.5, 1.5, np.inf])
            fields = {"rate": name, "clock": "restarted"}
        end = n < 2
        condition = Condition() if n == 0 else self.condition()
        return Hazard(
            id=f"h{n}",
            label=f"hazard {n}",
            when=condition,
            modifiers=self.modifiers(),
            effect=self.effect(end=end, scheduled=False),
            **fields,
        )

    def branches(self, n: int) -> tuple[Branch, ...]:
        if self.has("softmax") and n % 2 == 0:
            chosen = [
                Branch(
                    id=f"b{i}",
                    label="b",
                    logit=self.number(-1.5, 1.0),
                    modifiers=self.modifiers(),
                    effect=self.effect(end=False, scheduled=True),
                )
                for i in range(2)
            ]
        else:
            p = self.number(0.1, 0.8)
            chosen = [Branch(id="b0", label="b", probability=p, effect=self.effect(end=n == 1, scheduled=True))]
        return (*chosen, Branch(id="rest", label="rest", effect=Effect()))

    def scheduled(self, n: int) -> Scheduled:
        days = sorted({int(d) for d in self.rng.integers(30, HORIZON_DAYS, 3)})
        if self.has("ties"):
            days = [700, 1400, 2100]
        if self.has("ends_of_window"):
            days = [-30, 0, HORIZON_DAYS, HORIZON_DAYS + 9]
        dates = tuple(AS_OF + timedelta(days=d) for d in days)
        return Scheduled(id=f"s{n}", label=f"event {n}", when=self.condition(), dates=dates, branches=self.branches(n))

    def at_age(self, n: int) -> Scheduled:
        clock = "restarted" if n % 2 else "since_before"
        return Scheduled(
            id=f"a{n}",
            label=f"at age {n}",
            when=self.condition(),
            at_age=AtAge(clock=clock, age=1.5 + n),
            branches=self.branches(n),
        )

    def build(self) -> tuple[Process, Draws]:
        calendar = self.has("scheduled", "ties", "ends_of_window", "restarts", "softmax", "groups", "weibull_falling")
        hazards = tuple(self.hazard(n) for n in range(int(self.rng.integers(4, 7))))
        scheduled = tuple(self.scheduled(n) for n in range(3)) if calendar else ()
        if self.has("scheduled", "restarts"):
            scheduled = (*scheduled[:1], self.at_age(0), *scheduled[1:], self.at_age(1))
        outcomes = (
            OutcomeClass(id="open_with_f0", label="", when=Condition(all=("f0",))),
            OutcomeClass(id="ended_c0_or_c1", label="", causes=("c0", "c1"), when=Condition(all=("not f1",))),
            OutcomeClass(id="ended", label="", causes=tuple(self.causes)),
            OutcomeClass(id="other", label="", rest=True),
        )
        first = hazards[0].id
        consequences = (
            Consequence(id="flow", label="", unit="u", amount=(self.number(1, 2),), when=Condition(all=("not f0",))),
            Consequence(
                id="lump", label="", unit="u", amount=(self.number(1, 2),), event=first, discount=self.number(0.03, 0.1)
            ),
        )
        process = Process(
            deal_id="generated",
            title="generated",
            as_of=AS_OF,
            horizon=HORIZON_DAYS / 365.25,
            flags=tuple(Flag(id=f, label=f, initially=n == 2) for n, f in enumerate(self.flags)),
            clocks=(
                Clock(id="since_before", label="", running_since=AS_OF - timedelta(days=200)),
                Clock(id="restarted", label="", running_since=AS_OF),
                Clock(id="late", label="", running_since=AS_OF + timedelta(days=900)),
            ),
            hazards=hazards,
            scheduled=scheduled,
            causes=tuple(Cause(id=c, label=c) for c in self.causes),
            outcomes=outcomes,
            consequences=consequences,
        )
        return process, Draws(self.values, self.edges, {}, {})


def sensible(process: Process) -> bool:
    """Whether no condition wants a flag that nothing ever sets (compile refuses those)."""
    from forecast.deal.check_process import process_problems

    return not process_problems(process)


def generate(kind: str, seed: int, *, random_clocks: bool = False, n_draw: int = 2) -> tuple[Process, Draws]:
    """Return the first sensible process at or after a seed."""
    for s in range(seed, seed + 200):
        process, draws = Generator(s, kind, random_clocks=random_clocks, n_draw=n_draw).build()
        if sensible(process):
            return process, draws
    raise AssertionError("no sensible process in 200 seeds")


def cases(n: int) -> list[tuple[str, int]]:
    """n (kind, seed) pairs, all kinds in turn."""
    return [(KINDS[i % len(KINDS)], 1000 * (i // len(KINDS)) + 10_000 * (i % len(KINDS))) for i in range(n)]
