"""What a compiled program says, in the plain numbers that other simulators take."""

from typing import NamedTuple

from forecast.kernels.layout import CONSTANT
from forecast.process.compile import Program


class Mask(NamedTuple):
    """Flags that must be set and flags that must be clear."""

    want: int
    forbid: int


class Effect(NamedTuple):
    """Flags to set and clear (clearing wins), clocks to start and stop (starting wins), cause of the end or −1."""

    set: int
    clear: int
    start: int
    stop: int
    end: int


class Modifier(NamedTuple):
    """Where `mask` holds, the column of `values.factor` multiplies."""

    mask: Mask
    column: int


class Hazard(NamedTuple):
    """kind: as in the layout; clock: −1 where it has none; bins: columns of `values.bin_rate`."""

    name: str
    kind: int
    when: Mask
    clock: int
    edges: tuple[float, ...]
    bins: slice
    modifiers: tuple[Modifier, ...]
    effect: Effect


class Branch(NamedTuple):
    """One way that a scheduled event can go; its weight is a column of `values.weight`."""

    column: int
    modifiers: tuple[Modifier, ...]
    effect: Effect


class Event(NamedTuple):
    """A scheduled event; the last branch is the rest. logit: weights are e^logit, that of the rest is 1."""

    when: Mask
    logit: bool
    branches: tuple[Branch, ...]


class Reading(NamedTuple):
    """A process without alternatives in conditions, deadlines at an age, or consequences."""

    flags: int
    n_flag: int
    n_cause: int
    horizon: float
    clock0: tuple[float, ...]
    hazards: tuple[Hazard, ...]
    events: tuple[Event, ...]
    dates: tuple[tuple[float, int], ...]


def read(program: Program) -> Reading:
    """Read what the benchmark problems use of a program."""
    s = program.structure
    if len(s.groups) or len(s.aged) or len(s.meters):
        raise ValueError("the peers know no alternatives, deadlines or consequences")
    modifiers = [Modifier(Mask(int(m["want"]), int(m["forbid"])), n) for n, m in enumerate(s.modifiers)]
    effects = [Effect(*(int(e[f]) for f in Effect._fields)) for e in s.effects]
    hazards = []
    for k, h in enumerate(s.hazards):
        bins = slice(int(h["bin"]), int(h["bin_end"]))
        edges = tuple(s.bin_edge[bins].tolist())
        name = program.process.hazards[k].id
        mods = tuple(modifiers[h["mod"] : h["mod_end"]])
        hazards.append(
            Hazard(name, int(h["kind"]), _mask(program, h["cond"]), int(h["clock"]), edges, bins, mods, effects[k])
        )
    events = []
    for n in s.events:
        branches = [
            Branch(b, tuple(modifiers[s.branches[b]["mod"] : s.branches[b]["mod_end"]]), effects[len(hazards) + b])
            for b in range(int(n["branch"]), int(n["branch_end"]))
        ]
        events.append(Event(_mask(program, n["cond"]), bool(n["logit"]), tuple(branches)))
    dates = tuple((float(c["time"]), int(c["event"])) for c in s.calendar[:-1])
    whole = s.whole[0]
    return Reading(
        flags=int(whole["flags"]),
        n_flag=len(program.flags),
        n_cause=len(program.causes),
        horizon=float(whole["horizon"]),
        clock0=tuple(s.clock0.tolist()),
        hazards=tuple(hazards),
        events=tuple(events),
        dates=tuple(d for d in dates if d[0] <= float(whole["horizon"])),
    )


def _mask(program: Program, condition: int) -> Mask:
    c = program.structure.conditions[condition]
    return Mask(int(c["want"]), int(c["forbid"]))


class Jump(NamedTuple):
    """A hazard of the Markov problem in numbers: its rate, and the factors of the modifiers that hold."""

    name: str
    rate: float
    when: Mask
    factors: tuple[tuple[Mask, float], ...]
    set: int
    clear: int
    end: int

    def rate_in(self, flags: int) -> float:
        """Rate in a state."""
        rate = self.rate if holds(self.when, flags) else 0.0
        for mask, factor in self.factors:
            rate *= factor if holds(mask, flags) else 1.0
        return rate

    def after(self, flags: int) -> int:
        """Flags after it has fired."""
        return (flags | self.set) & ~self.clear


class Chain(NamedTuple):
    """The Markov problem for one draw; flags are numbered as in `names`."""

    names: tuple[str, ...]
    causes: tuple[str, ...]
    horizon: float
    first: int
    jumps: tuple[Jump, ...]

    def rates(self, flags: int) -> list[float]:
        """Rate of every jump in a state."""
        return [j.rate_in(flags) for j in self.jumps]


def changing(chain: Chain) -> list[int]:
    """Flags that some jump changes."""
    return [f for f in range(len(chain.names)) if any((j.set | j.clear) >> f & 1 for j in chain.jumps)]


def holds(mask: Mask, flags: int) -> bool:
    """Whether flags are as a mask wants them."""
    return flags & mask.want == mask.want and not flags & mask.forbid


def chain_of(program: Program, draw: int = 0) -> Chain:
    """Read a draw of a program that has constant hazards only."""
    p, v = read(program), program.values
    if p.dates or any(h.kind != CONSTANT or h.clock >= 0 for h in p.hazards):
        raise ValueError("not a Markov process")
    jumps = tuple(
        Jump(
            h.name,
            float(v.bin_rate[draw, h.bins.start]),
            h.when,
            tuple((m.mask, float(v.factor[draw, m.column])) for m in h.modifiers),
            h.effect.set,
            h.effect.clear,
            h.effect.end,
        )
        for h in p.hazards
    )
    return Chain(program.flags, program.causes, p.horizon, p.flags, jumps)
