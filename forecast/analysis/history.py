"""Sampled paths as arrays of flags: what each firing changed, for all paths at once."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from forecast.deal.spec import Condition
from forecast.process.compile import Program
from forecast.simulate import PathLog
from forecast.types import B8, F64, I64, U64

ONE = np.uint64(1)


@dataclass(frozen=True)
class Masks:
    """What each firing does, as bits of flags and clocks: all (firing,)."""

    set: U64
    clear: U64
    start: U64
    stop: U64
    ends: B8

    @classmethod
    def of(cls, program: Program) -> "Masks":
        """Read the masks of a program."""
        flags = {name: n for n, name in enumerate(program.flags)}
        clocks = {c.id: n for n, c in enumerate(program.process.clocks)}
        return cls(
            set=np.array([bits(e.set, flags) for e in program.effects], np.uint64),
            clear=np.array([bits(e.clear, flags) for e in program.effects], np.uint64),
            start=np.array([bits(e.start, clocks) for e in program.effects], np.uint64),
            stop=np.array([bits(e.stop, clocks) for e in program.effects], np.uint64),
            ends=np.array([e.end is not None for e in program.effects], np.bool_),
        )


@dataclass(frozen=True)
class Step:
    """The firings of one step: `row` (n,) the paths that have one; the rest belongs to those paths, (n,)."""

    number: int
    row: I64
    firing: I64
    time: F64
    before: U64
    after: U64


def bits(names: tuple[str, ...], order: dict[str, int]) -> int:
    """Set one bit a name."""
    return sum(1 << order[n] for n in set(names))


def initial_flags(program: Program) -> int:
    """Flags at the as-of date."""
    return sum(1 << n for n, f in enumerate(program.process.flags) if f.initially)


def walk(program: Program, log: PathLog, masks: Masks) -> Iterator[Step]:
    """Step through all paths of a log side by side, keeping their flags."""
    flags = np.full(len(log.n_step), initial_flags(program), np.uint64)
    for j in range(int(log.n_step.max(initial=0))):
        row = np.flatnonzero(log.n_step > j)
        firing = log.firing[row, j].astype(np.int64)
        before = flags[row]
        after = (before | masks.set[firing]) & ~masks.clear[firing]
        flags[row] = after
        yield Step(j, row, firing, log.time[row, j], before, after)


def holds(condition: Condition, flags: U64, order: dict[str, int]) -> B8:
    """Whether a condition holds, for each entry of `flags`."""
    result = np.ones(flags.shape, np.bool_)
    for literal in condition.all:
        result &= _literal(literal, flags, order)
    for group in condition.any:
        result &= np.logical_or.reduce([_literal(x, flags, order) for x in group])
    return result


def _literal(literal: str, flags: U64, order: dict[str, int]) -> B8:
    is_set = (flags >> np.uint64(order[literal.removeprefix("not ")]) & ONE).astype(np.bool_)
    return ~is_set if literal.startswith("not ") else is_set
