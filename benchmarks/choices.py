"""Why the constants of weighted paths are what they are: their neighbours."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmarks.results import Figure, Table
from benchmarks.scenarios import SHIPPED, benchmark, headlines, shipped
from benchmarks.variance import PLAIN, WEIGHED, Counted, Effort, middle, repeated, times_as_long
from forecast import coordinates, estimate
from forecast.types import F64

TRIED = {"GROUPS": (2, 4, 8), "DIMS": (16, 32, 48, 64), "CANDIDATES": (2.0, 4.0, 8.0, 16.0, 32.0)}
HOME = {"GROUPS": estimate, "DIMS": coordinates, "CANDIDATES": estimate}  # module of each constant


@dataclass(frozen=True)
class Chosen:
    """A problem with the constants as they are. better: variances of counts over those of weighted paths (figure,)."""

    base: Counted
    better: F64
    slower: float

    @classmethod
    def of(cls, base: Counted, effort: Effort) -> "Chosen":
        """Measure it."""
        runs = [lambda: base.problem.count(1), lambda: base.problem.weigh(1, WEIGHED)]
        return cls(base, _better(base, effort), times_as_long(runs, effort.repeats)[1] * PLAIN / WEIGHED)


def table(effort: Effort) -> Table:
    """Try neighbours, on both problems."""
    ours = Chosen.of(Counted.of(*benchmark(effort.draws)), effort)
    deal = Chosen.of(Counted.of(*headlines(*shipped(effort.draws, effort.archive))), effort)
    figures = [_figure(name, value, ours, deal, effort) for name, values in TRIED.items() for value in values]
    intro = (
        "Variance × time of counting over that of weighted paths, geometric mean over all figures of the deal-like "
        f"problem, and against that with the constants as they are; {WEIGHED} paths a draw, and as many more that end "
        "with the signature. More groups would tell the error of a single draw's figure; over all draws two tell it "
        f"well enough. The deal-like problem has 32 coordinates, {SHIPPED} has 54. Candidates matter to "
        "Weibull causes only."
    )
    return Table("The constants of weighted paths", intro, figures, "× chosen")


def _figure(name: str, value: float, ours: Chosen, deal: Chosen, effort: Effort) -> Figure:
    (better, slower), (better_deal, slower_deal) = (_with(c, {name: value}, effort) for c in (ours, deal))
    weibull = [a.label.startswith("withdrawal") for a in ours.base.asked]
    mark = " (chosen)" if value == getattr(HOME[name], name) else ""
    note = (
        f"Weibull cause {middle(better[weibull]) / (slower * ours.slower):.1f}; on the shipped deal "
        f"{middle(better_deal / deal.better) / slower_deal:.2f} of the chosen"
    )
    gain, against = middle(better) / (slower * ours.slower), middle(better / ours.better) / slower
    return Figure(f"{name} = {value:g}{mark}", gain, "× counting", against, note=note)


def _with(chosen: Chosen, values: dict[str, float], effort: Effort) -> tuple[F64, float]:
    """Variances with other constants, and the time over that with those chosen."""
    problem = chosen.base.problem

    def other() -> None:
        with _set(values):
            problem.weigh(1, WEIGHED)

    with _set(values):
        better = _better(chosen.base, effort)
    return better, times_as_long([lambda: problem.weigh(1, WEIGHED), other], effort.repeats)[1]


def _better(base: Counted, effort: Effort) -> F64:
    better = base.better(repeated(lambda s: base.problem.weigh(s, WEIGHED), range(effort.seeds)), WEIGHED)
    return np.array([better[a.time, a.quantity] for a in base.asked])


@contextmanager
def _set(values: dict[str, float]) -> Iterator[None]:
    """Set constants for a while."""
    before = {name: getattr(HOME[name], name) for name in values}
    for name, value in values.items():
        setattr(HOME[name], name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(HOME[name], name, value)
