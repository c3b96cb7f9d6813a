"""Process + draws → contiguous arrays. The last place that may refuse input: kernels trust what they get."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from forecast.deal.check_process import effects_of, process_problems
from forecast.deal.spec import Effect, Process
from forecast.errors import CompileError
from forecast.kernels.layout import Structure, Values
from forecast.process.draws import Draws
from forecast.process.lower import Firing, event_key, firings_of, meter_of, meters_of, structure_of
from forecast.process.values import Numbers, amounts, discount_of, rate_of, side_by_side, values_of
from forecast.types import F64, I64

MAX_BITS = 64
MIN_AGE = 1e-6  # years; shorter than this, start + age could round to start

__all__ = ["Firing", "Program", "compile_process"]


@dataclass(frozen=True)
class Program:
    """A process as arrays, with the names that its numbers stand for."""

    process: Process
    structure: Structure
    values: Values
    firings: tuple[Firing, ...]
    effects: tuple[Effect, ...]
    consequence_meter: I64  # (consequence,) its meter
    consequence_amount: F64  # (draw, consequence) signed amount a year, or a firing
    notes: tuple[str, ...]

    @property
    def n_draw(self) -> int:
        """Number of posterior draws."""
        return len(self.values.factor)

    @property
    def horizon(self) -> float:
        """Years."""
        return self.process.horizon

    @property
    def flags(self) -> tuple[str, ...]:
        """Names of the flags, by bit."""
        return tuple(f.id for f in self.process.flags)

    @property
    def causes(self) -> tuple[str, ...]:
        """Names of the causes."""
        return tuple(c.id for c in self.process.causes)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Names of the outcome classes."""
        return tuple(o.id for o in self.process.outcomes)

    @property
    def consequences(self) -> tuple[str, ...]:
        """Names of the consequences."""
        return tuple(c.id for c in self.process.consequences)

    def effect_of(self, firing: Firing) -> Effect:
        """Return what a firing does."""
        return self.effects[self.firings.index(firing)]


def compile_process(process: Process, draws: Draws) -> Program:
    """Lower a process and its draws to arrays.

    Raises
    ------
    CompileError
        One line for each problem: unknown names, impossible conditions, numbers outside their range
        in any draw, consequences that should cancel and do not.
    """
    problems = [*process_problems(process), *_limits(process)]
    numbers = Numbers(process, draws, problems)
    amount = amounts(process, numbers)
    rates = [rate_of(h, numbers) for h in process.hazards]
    values = values_of(process, numbers, rates)
    if problems:  # without names that mean something, the rest would only repeat them
        raise CompileError("\n".join(dict.fromkeys(problems)))
    structure, notes = structure_of(process, [edges for edges, _ in rates])
    meters = meters_of(process)
    meter = np.array([meters.index(meter_of(process, c.id)) for c in process.consequences], dtype=np.int64)
    values = values._replace(discount=side_by_side([discount_of(m, numbers) for m in meters], draws.n_draw))
    if problems := [*_hash_clashes(process), *_conservation(process, amount)]:
        raise CompileError("\n".join(dict.fromkeys(problems)))
    firings, effects = firings_of(process)
    return Program(process, structure, values, firings, effects, meter, amount, tuple(notes))


def _limits(process: Process) -> Iterator[str]:
    """Yield what the arrays have no room or no meaning for."""
    for kind, things in (("clocks", process.clocks), ("causes", process.causes)):
        if len(things) > MAX_BITS:
            yield f"{len(things)} {kind}, but a process may have {MAX_BITS}: drop or merge some"
    for where, e in effects_of(process):
        for flag in sorted({*e.set} & {*e.clear}):
            yield f"{where}: sets {flag!r} and clears it at once; name it once"
    for s in process.scheduled:
        if s.at_age and s.at_age.age < MIN_AGE:
            yield f"event {s.id!r}: at an age of {s.at_age.age:.3g} years; it must be at least {MIN_AGE:g} years"


def _hash_clashes(process: Process) -> Iterator[str]:
    seen: dict[int, str] = {}
    for id_ in [*(h.id for h in process.hazards), *(s.id for s in process.scheduled)]:
        if other := seen.get(event_key(id_)):
            yield f"events {other!r} and {id_!r} would share their random numbers; rename one of them"
        seen[event_key(id_)] = id_


def _conservation(process: Process, amount: F64) -> Iterator[str]:
    """Consequences of a conserved group must cancel on every path, hence in every draw."""
    groups = dict.fromkeys(c.conserved for c in process.consequences if c.conserved)
    for group in groups:
        members = [n for n, c in enumerate(process.consequences) if c.conserved == group]
        kinds = {meter_of(process, process.consequences[n].id) for n in members}
        if len(kinds) > 1:
            yield f"conserved group {group!r}: its members must share one condition and one discount"
        total, size = amount[:, members].sum(axis=1), np.abs(amount[:, members]).sum(axis=1)
        if (np.abs(total) > 1e-9 * np.maximum(size, 1e-300)).any():
            yield f"conserved group {group!r}: its amounts do not add up to zero (off by {np.abs(total).max():.3g})"
