"""A process as the exact solver's plan: every state that any draw may reach, and what happens to them when.

Made once for all draws, from the rules alone. Between instants (something is due, or a rate jumps) the rates of a
draw are constant, and a graph says which of them move what; at an instant, masses are handed over. Numbers that
are 0 in some draws leave states there empty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from forecast.errors import SolverError
from forecast.kernels.exact import ACTIVE, FIRE, GRAPH, HANDOVER, HAPPENING, LUMP, MOVE, STRETCH, Plan, terms
from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program
from forecast.process.states import Node, Rules
from forecast.types import F64, I64


class Rate(NamedTuple):
    """Hazard's rate in some states: the base rate at a place, times the modifiers that hold."""

    bin: int
    modifiers: tuple[int, ...]


class Chance(NamedTuple):
    """Probability of branch number `branch` of an event in some states; per branch the modifiers that hold."""

    event: int
    branch: int
    modifiers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Planned:
    """A plan, and what its numbers stand for.

    most (states): largest number of states at one time.
    """

    plan: Plan
    rates: tuple[Rate, ...]
    chances: tuple[Chance, ...]
    most: int

    def rate(self, program: Program, draws: slice) -> F64:
        """Rates of some draws, 1/year: (rate, draw)."""
        v = program.values
        return _columns([v.bin_rate[draws, r.bin] * _product(v.factor[draws], r.modifiers) for r in self.rates], v, draws)

    def chance(self, program: Program, draws: slice) -> F64:
        """Probabilities of branches in some draws: (chance, draw)."""
        return _columns([_chance(program, c, draws) for c in self.chances], program.values, draws)
