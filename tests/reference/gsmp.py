"""The process in slow plain Python: an executable specification of docs/model.md.

Works on names, straight from a `Process` and one draw's numbers, and knows nothing of the compiled
arrays. It is fed the same variates as the kernel, so the paths must be identical, not merely similar.
"""

import hashlib
import math
from dataclasses import dataclass, field
from itertools import accumulate

from forecast.deal.spec import Branch, Condition, Effect, Hazard, Process, Scheduled
from forecast.kernels import arith
from forecast.kernels.gsmp import hazard_of
from forecast.process.draws import Draws
from forecast.types import calendar_dates, years_between


def plain(kernel):
    """Return the Python function behind a kernel."""
    return getattr(kernel, "py_func", kernel)


class Numbers:
    """Parameters of one draw, derived ones included."""

    def __init__(self, process: Process, draws: Draws, d: int) -> None:
        self.draws, self.d = draws, d
        self.derived: dict[str, float] = {}
        for item in process.derived:
            total = sum(t.sign * math.prod(self[p] for p in t.parameters) for t in item.terms)
            self.derived[item.id] = total / math.prod(self[p] for p in item.over)

    def __getitem__(self, ref: str):
        name, _, entry = ref.rstrip("]").partition("[")
        if name in self.derived:
            return self.derived[name]
        value = self.draws.values[name][self.d]
        if entry:
            return float(value[self.draws.labels[name].index(entry)])
        return [float(x) for x in value] if getattr(value, "ndim", 0) else float(value)


TINY = 1e-300  # of the kernel: what is left of an exponential is never 0
MEMO_BITS = 8  # of the kernel: hazards that read more flags are settled only when their multiplier changes


@dataclass
class Risk:
    """A hazard's own luck and how much of it is used."""

    count: int = 0
    left: float = 0.0
    used: float = 0.0  # up to which time; of a Weibull, up to which cumulative hazard
    mult: float = 0.0
    rate: float = 0.0
    bin: int = -1
    bin_end: float = math.inf
    most: float = 0.0
    fire: float = math.inf

    @property
    def next(self) -> float:
        return min(self.fire, self.bin_end)


@dataclass
class History:
    """What happened on one path."""

    steps: list[tuple[float, str, str]] = field(default_factory=list)
    cause: str | None = None
    end: float = 0.0
    flags: set[str] = field(default_factory=set)


class Twin:
    """Simulates one path at a time."""

    def __init__(self, process: Process, draws: Draws, d: int, seed: int) -> None:
        self.process, self.numbers, self.d, self.seed = process, Numbers(process, draws, d), d, seed
        self.edges = {k: [float(x) for x in v] for k, v in draws.edges.items()}

    def uniform(self, event: str, occurrence: int) -> float:
        key = int.from_bytes(hashlib.blake2b(event.encode(), digest_size=4).digest(), "little")
        words = (occurrence // 2, key, self.r, self.d, self.seed & 0xFFFFFFFF, self.seed >> 32)
        random = plain(arith.philox)(*(arith.U(w) for w in words))
        a, b = random[2:] if occurrence % 2 else random[:2]
        return (float((int(a) >> 6) << 26 | int(b) >> 6) + 0.5) / 2.0**52

    def exponential(self, event: str, occurrence: int) -> float:
        return -plain(arith.log)(self.uniform(event, occurrence))

    def holds(self, condition: Condition) -> bool:
        def literal(x: str) -> bool:
            return x.removeprefix("not ") not in self.flags if x.startswith("not ") else x in self.flags

        return all(map(literal, condition.all)) and all(any(map(literal, g)) for g in condition.any)

    def factor(self, modifiers) -> float:
        result = 1.0
        for m in modifiers:
            if m.when is None or self.holds(Condition(all=(m.when,))):
                result *= plain(arith.exp)(self.numbers[m.log_ratio])
        return result

    # ---- hazards: cumulative base hazard, its inverse, and the modified next-reaction bookkeeping

    def bins(self, h: Hazard) -> list[tuple[float, float]]:
        rate = self.numbers[h.rate]
        return list(zip(self.edges[h.rate], rate, strict=False)) if isinstance(rate, list) else [(0.0, rate)]

    def weibull(self, h: Hazard, t: float) -> float:
        """Cumulative hazard at time t."""
        age = t - self.start_of(h)
        if age <= 0.0:
            return 0.0
        return plain(arith.power)(age / self.numbers[h.weibull_scale], self.numbers[h.weibull_shape])

    def start_of(self, h: Hazard) -> float:
        return self.clocks[h.clock] if h.clock else 0.0

    def enter_bin(self, h: Hazard, n: int) -> None:
        risk, bins, start = self.risks[h.id], self.bins(h), self.start_of(h)
        risk.bin, risk.rate = n, bins[n][1] if n >= 0 else 0.0
        risk.bin_end = start + bins[n + 1][0] if n + 1 < len(bins) else math.inf

    def look_up_age(self, h: Hazard) -> None:
        """Where a hazard stands whose clock has just been started, stopped or first read."""
        risk, start = self.risks[h.id], self.start_of(h)
        if h.weibull_shape:
            risk.rate = 1.0 if start < math.inf else 0.0
            risk.used, risk.most = self.weibull(h, self.t), self.weibull(h, self.process.horizon)
            return
        risk.used = self.t
        if start == math.inf:
            risk.bin, risk.rate, risk.bin_end = -1, 0.0, math.inf
        else:
            self.enter_bin(h, sum(start + low <= self.t for low, _ in self.bins(h)) - 1)

    def settle(self, h: Hazard) -> None:
        risk = self.risks[h.id]
        if h.weibull_shape:
            now = self.weibull(h, self.t) if risk.rate > 0.0 else 0.0
            used = risk.mult * (now - risk.used)
        else:
            now = self.t
            used = risk.mult * risk.rate * (now - risk.used)
        risk.left, risk.used = max(risk.left - used, TINY), now

    def multiplier(self, h: Hazard) -> float:
        return self.factor(h.modifiers) if self.holds(h.when) else 0.0

    def aim(self, h: Hazard) -> None:
        risk = self.risks[h.id]
        rate = risk.mult * risk.rate
        risk.fire = math.inf
        if rate > 0.0 and not h.weibull_shape:
            risk.fire = self.t + risk.left / rate
        elif rate > 0.0 and risk.used + risk.left / rate <= risk.most:
            power = plain(arith.power)(risk.used + risk.left / rate, 1.0 / self.numbers[h.weibull_shape])
            risk.fire = max(self.start_of(h) + self.numbers[h.weibull_scale] * power, self.t)

    def end_bin(self, h: Hazard) -> None:
        self.settle(h)
        self.enter_bin(h, self.risks[h.id].bin + 1)
        self.aim(h)

    def reads(self, h: Hazard) -> set[str]:
        literals = [*h.when.all, *(x for g in h.when.any for x in g), *(m.when for m in h.modifiers if m.when)]
        return {x.removeprefix("not ") for x in literals}

    # ---- events

    def apply(self, effect: Effect, fired: Hazard | None) -> None:
        new = (self.flags | set(effect.set)) - set(effect.clear)
        changed, touched = new ^ self.flags, {*effect.start, *effect.stop}
        self.flags = new
        if effect.end is not None:
            return
        reading = [h for h in self.process.hazards if self.reads(h) & {*effect.set, *effect.clear}]
        moved = [h for h in self.process.hazards if h.clock in touched]
        special = [h for h in reading if h.weibull_shape or len(self.reads(h)) > MEMO_BITS]
        plain = [h for h in reading if changed and h not in (*moved, *special, fired)]
        for h in (*plain, *moved):
            self.settle(h)
        for c in effect.stop:
            self.clocks[c] = math.inf
        for c in effect.start:
            self.clocks[c] = self.t
        for s in self.process.scheduled:
            if s.at_age and s.at_age.clock in touched:
                self.due[s.id] = self.clocks[s.at_age.clock] + s.at_age.age
        for h in self.process.hazards:
            if h in (*plain, *moved, *special, fired):
                self.turn(h, moved=h in moved, settled=h in plain or h is fired)

    def turn(self, h: Hazard, *, moved: bool, settled: bool) -> None:
        """Give a hazard its new multiplier, under the flags and clocks as they are now."""
        m, risk = self.multiplier(h), self.risks[h.id]
        if moved:
            self.look_up_age(h)
        elif not settled:
            if m == risk.mult:
                return
            self.settle(h)
        risk.mult = m
        self.aim(h)

    def choose(self, s: Scheduled) -> Branch:
        """Each date uses −log P(rest) of an exponential, and what uses it up is another branch.

        An event that no other branch leaves on has one exponential for all its dates, another event one a date.
        """
        branches = sorted(s.branches, key=lambda b: b.probability is None and b.logit is None)
        if branches[0].probability:
            weights = [self.numbers[b.probability] for b in branches[:-1]]
        else:
            weights = [
                plain(arith.exp)(self.numbers[b.logit]) * self.factor(b.modifiers) if b.logit else 0.0
                for b in branches[:-1]
            ]
        reached = list(accumulate(weights, initial=0.0))
        total, luck = reached[-1], self.luck[s.id]
        if luck.left == 0.0:
            luck.count += 1
            luck.left = self.exponential(s.id, luck.count)
        used = plain(hazard_of)(total / (1.0 + total) if branches[0].logit else total)
        if luck.left > used:
            luck.left = luck.left - used if all(self.switches_off(s, b.effect) for b in branches[:-1]) else 0.0
            return branches[-1]
        u = self.uniform(s.id, 2**32 + luck.count)
        luck.left = 0.0
        return next(
            b for b, top in zip(branches, [x / total for x in reached[1:-1]] + [math.inf], strict=False) if u < top
        )

    def switches_off(self, s: Scheduled, effect: Effect) -> bool:
        """Whether an effect ends the path, or makes a literal of the event's condition false."""
        made_false = {f"not {f}" for f in effect.set} | set(effect.clear)
        return effect.end is not None or any(literal in made_false for literal in s.when.all)

    def calendar(self) -> list[tuple[float, int, int]]:
        entries = []
        for n, s in enumerate(self.process.scheduled):
            days = calendar_dates(s.every.first, s.every.every, s.every.last) if s.every else sorted(s.dates)
            times = [years_between(self.process.as_of, d) for d in days]
            entries += [(t, n, k) for k, t in enumerate(times) if 0.0 <= t <= self.process.horizon]
        return sorted(entries)

    def run(self, replicate: int) -> History:
        """Simulate one path."""
        process = self.process
        self.r, self.t = replicate, 0.0
        self.flags = {f.id for f in process.flags if f.initially}
        self.clocks = {
            c.id: years_between(process.as_of, c.running_since) if c.running_since else math.inf for c in process.clocks
        }
        self.luck = {s.id: Risk(left=self.exponential(s.id, 0)) for s in process.scheduled}
        self.risks = {h.id: Risk() for h in process.hazards}
        self.due = {s.id: self.clocks[s.at_age.clock] + s.at_age.age for s in process.scheduled if s.at_age}
        self.due = {k: t if t >= 0.0 else math.inf for k, t in self.due.items()}
        for h in process.hazards:
            self.risks[h.id].left = self.exponential(h.id, 0)
            self.look_up_age(h)
            self.risks[h.id].mult = self.multiplier(h)
            self.aim(h)
        history, calendar = History(), self.calendar()
        order = {s.id: n for n, s in enumerate(process.scheduled)}
        while history.cause is None:
            hazard = min(process.hazards, key=lambda h: self.risks[h.id].next, default=None)
            t_hazard = self.risks[hazard.id].next if hazard else math.inf
            aged = min(((t, order[id_]) for id_, t in self.due.items()), default=(math.inf, 0))
            t_next, n_next = min(aged, calendar[0][:2] if calendar else (math.inf, 0))
            if t_hazard < t_next and t_hazard <= process.horizon:
                self.t, risk = t_hazard, self.risks[hazard.id]
                if risk.bin_end == t_hazard:
                    self.end_bin(hazard)
                    continue
                self.settle(hazard)
                risk.count += 1
                risk.left = self.exponential(hazard.id, risk.count)
                event, branch, effect = hazard.id, "", hazard.effect
            elif t_next <= process.horizon:
                self.t, s = t_next, process.scheduled[n_next]
                if s.at_age:
                    self.due[s.id] = math.inf
                else:
                    calendar.pop(0)
                if not self.holds(s.when):
                    continue
                chosen = self.choose(s)
                hazard, event, branch, effect = None, s.id, chosen.id, chosen.effect
            else:
                break
            self.apply(effect, hazard)
            history.steps.append((self.t, event, branch))
            history.cause = effect.end
        history.end = self.t if history.cause else process.horizon
        history.flags = self.flags
        return history
