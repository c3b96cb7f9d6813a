"""Sobol coordinates: which event of which variant of a deal has which, so that what is compared shares its luck."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program
from forecast.process.decided import SIGN, Quantity, parts_of

DIMS = 64  # Sobol coordinates; luck beyond them is plain

type Coordinate = tuple[str, int]  # an event, and which of its exponentials: 0 or 1


@dataclass(frozen=True)
class Coordinates:
    """Sobol coordinates that several programs share: an event has the same one in each, whatever others there are.

    dealt: flag at which the paths of a part end (`process.decided`), "" of the programs themselves, → what each
    coordinate stands for.
    """

    dealt: Mapping[str, tuple[Coordinate, ...]]


def coordinates_of(programs: Sequence[Program], names: Sequence[Sequence[Quantity]]) -> Coordinates:
    """Deal Sobol coordinates out to the events of all programs that are to be compared.

    Parameters
    ----------
    programs
        The one that the others are compared with first.
    names
        For each program the quantities that `estimate_each` is to be asked for.
    """
    luck: dict[str, list[Mapping[Coordinate, int]]] = {}
    for program, asked in zip(programs, names, strict=True):
        for part in parts_of(program, asked):
            luck.setdefault(flag_of(part.program), []).append(_luck(part.program))
    return Coordinates({flag: deal_out(parts) for flag, parts in luck.items()})


def deal_out(parts: Sequence[Iterable[Coordinate]]) -> tuple[Coordinate, ...]:
    """Deal the `DIMS` coordinates out, the most even first: who comes late may get none, and has plain luck.

    First exponentials come before second ones. Among them those of the first program come first, in its order, then
    those that the next ones have besides, in theirs: so a program has the coordinates that it would have by itself if
    the others add no events.

    Examples
    --------
    >>> deal_out([[("war", 0), ("war", 1)], [("flood", 0), ("war", 0)]])
    (('war', 0), ('flood', 0), ('war', 1))
    """
    everything = dict.fromkeys(c for part in parts for c in part)
    return tuple(sorted(everything, key=lambda c: c[1]))[:DIMS]


def flag_of(program: Program) -> str:
    """Flag at which the paths of a part end (`process.decided`); "" if they end nowhere before their time."""
    return next((c.removeprefix(SIGN) for c in program.causes if c.startswith(SIGN)), "")


def _luck(program: Program) -> dict[Coordinate, int]:
    """Exponentials that Sobol points may stand for, and their places; those that matter the most come first.

    These are the first exponential of each scheduled event with a choice and of each hazard that is sampled; then
    come the second ones.
    """
    s = program.structure
    n_haz, padded = len(s.hazards), len(s.key)
    ends = s.effects["end"][:n_haz] >= 0
    sampled = [k for k in range(n_haz) if not ends[k] or s.hazards["kind"][k] == WEIBULL]
    chance = [n_haz + n for n, e in enumerate(s.events) if e["branch_end"] - e["branch"] > 1]
    ids = [*(h.id for h in program.process.hazards), *(e.id for e in program.process.scheduled)]
    return {(ids[k], turn): turn * padded + k for turn in (0, 1) for k in (*chance, *sampled)}


def sobol_points(program: Program, n: int, dealt: Sequence[Coordinate] | None) -> tuple[np.ndarray, np.ndarray]:
    """Sobol points (n, dim), and the places (dim,) of the exponentials that they stand for.

    A coordinate that stands for nothing here is written where the next one overwrites it: so the others keep their
    columns, and the shifts of these.
    """
    luck = _luck(program)
    place = [luck.get(c, -1) for c in (deal_out([luck]) if dealt is None else dealt)] if n else []
    while place and place[-1] < 0:
        place.pop()
    for j in reversed(range(len(place) - 1)):
        place[j] = place[j] if place[j] >= 0 else place[j + 1]
    if not place:
        return np.zeros((0, 0), np.uint64), np.zeros(0, np.int64)
    from scipy.stats import qmc  # noqa: PLC0415  half a second that only an estimate needs

    table = qmc.Sobol(len(place), scramble=False, bits=52).random(n) * 2.0**52
    return np.ascontiguousarray(table.astype(np.uint64)), np.array(place, dtype=np.int64)
