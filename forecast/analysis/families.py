"""Families of storylines: hundreds of courses of events, told as a dozen.

Storylines with the same ending are alike by the steps that they share in the same order: distance
1 − 2 LCS / (length + length), with the longest common subsequence of their steps before the ending. A
family is the storylines nearest to one of them, its medoid. Medoids are chosen greedily, each the one that
takes most off the mean distance of a path to its medoid (k-medians as a facility location problem; the
greedy choice comes within a factor 1 − 1/e of the best: Nemhauser, Wolsey & Fisher 1978).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from forecast import schema
from forecast.analysis.storylines import ARROW, Storyline, months, storyline_table, storylines
from forecast.process.compile import Program
from forecast.simulate import PathLog
from forecast.types import F64, I64

MOST = 20  # families that are told
CANDIDATES = 30  # most frequent storylines of an ending that may stand for a family
OFTEN = 0.1  # share of a family's paths from which a step that its medoid has not is told


@dataclass(frozen=True)
class Family:
    """Storylines told as one of them.

    medoid: the storyline that stands for all
    count: sampled paths; variants: distinct storylines
    also: steps that others of the family have and the medoid has not, with their share of the family's paths
    distance: mean distance of its paths from the medoid, 0 if all take the medoid's course
    """

    medoid: Storyline
    count: int
    variants: int
    also: tuple[tuple[str, float], ...]
    distance: float


def story_table(program: Program, log: PathLog, replicates: int) -> xr.Dataset:
    """Tabulate the storylines of sampled paths and their families: the group `storylines` of a forecast.

    Frequencies are shares of all sampled paths, those with a log that is not complete included.
    """
    found = storylines(program, log, replicates)
    told, n, as_of = families(found), max(len(log.n_step), 1), program.process.as_of
    share = np.array([f.count for f in told], np.float64) / n
    columns = schema.dataset(
        "/storylines",
        family_text=[ARROW.join(f.medoid.steps) for f in told],
        family_ended_by=[f.medoid.cause for f in told],
        family_frequency=share,
        family_frequency_mcse=np.sqrt(share * (1.0 - share) / n),
        family_dates=[months(as_of, f.medoid.dates) for f in told],
        family_example_path=np.array([f.medoid.example for f in told], np.int64),
        family_variants=np.array([f.variants for f in told], np.int64),
        family_distance=np.array([f.distance for f in told], np.float64),
        family_also=[ARROW.join(f"{step} ({100 * part:.0f}%)" for step, part in f.also) for f in told],
    )
    return storyline_table(program, log, found).assign(columns.data_vars)


def families(found: Sequence[Storyline], most: int = MOST) -> list[Family]:
    """Gather storylines into at most `most` families, most frequent first; every storyline belongs to one.

    Endings keep apart; where there are more endings than `most`, each has one family.
    """
    endings: dict[tuple[str, str], list[Storyline]] = {}
    for s in found:
        endings.setdefault((s.cause, s.steps[-1]), []).append(s)
    near = {e: _distances(rows) for e, rows in endings.items()}
    chosen = {e: [0] for e in endings}  # the most frequent of each ending to begin with
    while sum(map(len, chosen.values())) < most:
        gains = {e: _gains(endings[e], near[e], chosen[e]) for e in endings}
        best = max(gains, key=lambda e: float(gains[e].max(initial=0.0)), default=None)
        if best is None or gains[best].max(initial=0.0) <= 0.0:
            break
        chosen[best].append(int(gains[best].argmax()))
    told = [f for e, rows in endings.items() for f in _gathered(rows, near[e], chosen[e])]
    return sorted(told, key=lambda f: (-f.count, f.medoid.steps))


def _distances(rows: Sequence[Storyline]) -> F64:
    """Distance of each storyline of one ending from each candidate (storyline, candidate)."""
    steps = [r.steps[:-1] for r in rows]
    return np.array([[distance(a, b) for b in steps[:CANDIDATES]] for a in steps])


def distance(a: Sequence[str], b: Sequence[str]) -> float:
    """1 − 2 LCS / (length + length): 0 for the same steps, 1 where none is shared; 0 if both have none.

    >>> distance("abc", "abxc"), distance("ab", "ba"), distance("", "")
    (0.1428571428571429, 0.5, 0.0)
    """
    if not a and not b:
        return 0.0
    row = [0] * (len(b) + 1)
    for x in a:
        before = row[:]
        for k, y in enumerate(b, start=1):
            row[k] = before[k - 1] + 1 if x == y else max(before[k], row[k - 1])
    return 1.0 - 2.0 * row[-1] / (len(a) + len(b))


def _gains(rows: Sequence[Storyline], near: F64, chosen: Sequence[int]) -> F64:
    """What each candidate would take off the summed distance of paths (candidate,)."""
    count = np.array([r.count for r in rows], np.float64)
    gain: F64 = count @ np.maximum(near[:, chosen].min(axis=1)[:, None] - near, 0.0)
    return gain


def _gathered(rows: Sequence[Storyline], near: F64, chosen: Sequence[int]) -> list[Family]:
    order = sorted(int(k) for k in chosen)
    owner: I64 = near[:, order].argmin(axis=1)
    result = []
    for k, medoid in enumerate(order):
        members = [int(i) for i in np.flatnonzero(owner == k)]
        count = np.array([rows[i].count for i in members])
        apart = float(count @ near[members, medoid] / count.sum())
        also = _also(rows[medoid], [rows[i] for i in members])
        result.append(Family(rows[medoid], int(count.sum()), len(members), also, apart))
    return result


def _also(medoid: Storyline, members: Sequence[Storyline]) -> tuple[tuple[str, float], ...]:
    """Steps beyond the medoid's that a good part of the family's paths take, most frequent first."""
    total = sum(m.count for m in members)
    share: Counter[str] = Counter()
    for m in members:
        for step in set(m.steps) - set(medoid.steps):
            share[step] += m.count
    often = [(step, n / total) for step, n in share.items() if n >= OFTEN * total]
    return tuple(sorted(often, key=lambda x: (-x[1], x[0])))
