"""What a sweep varies: lists, ranges and posteriors, as a grid, a Latin hypercube or Sobol points."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecast.deal.overrides import parse_axis, parse_value
from forecast.errors import DealFileError
from forecast.types import F64

GRID, LHS, SOBOL = "grid", "lhs", "sobol"
DESIGNS = (LHS, SOBOL)
MAX_CELLS = 100_000
RANGE = re.compile(
    r"(?P<low>[^\s.,/]+(?:\.\d+)?(?:e[+-]?\d+)?)\.\.(?P<high>[^\s,/]+?)(?:/(?P<count>\d*)(?P<log>log)?)?"
)
EXAMPLES = "0.2,0.5,0.8 or 0.1..0.9/9 or 0.01..1/9log"


@dataclass(frozen=True)
class Listed:
    """Some values; a design takes each equally often."""

    values: tuple[Any, ...]

    def at(self, u: F64) -> list[Any]:
        """Values at levels from 0 to 1."""
        return [self.values[k] for k in np.minimum((u * len(self.values)).astype(int), len(self.values) - 1)]


@dataclass(frozen=True)
class Between:
    """All numbers from `low` to `high`, spread evenly, or evenly on a log scale; `whole` where they are counts."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def at(self, u: F64) -> list[Any]:
        """Values at levels from 0 to 1, rounded to twelve digits, so that 0.3 is 0.3; both ends are themselves."""
        x = self.low * (self.high / self.low) ** u if self.log else self.low + (self.high - self.low) * u
        inside = np.clip([float(f"{v:.12g}") for v in x], self.low, self.high).tolist()
        return [round(v) for v in inside] if self.whole else inside


@dataclass(frozen=True)
class Posterior:
    """A parameter over its own posterior: levels from 0 to 1 are quantiles of its draws."""


type Span = Listed | Between | Posterior


@dataclass(frozen=True)
class Design:
    """What is swept: a grid of listed values, or `cells` points of a Latin hypercube or Sobol sequence."""

    spans: Mapping[str, Span]
    kind: str = GRID
    cells: int = 0

    @property
    def size(self) -> int:
        """Number of cells, however large."""
        if self.kind != GRID:
            return self.cells
        return int(np.prod([len(s.values) for s in self.spans.values() if isinstance(s, Listed)], dtype=object))


def grid(axes: Mapping[str, Sequence[Any]]) -> Design:
    """Every combination of some values."""
    return Design({name: Listed(tuple(values)) for name, values in axes.items()})


def parse_grid(texts: Sequence[str]) -> Design:
    """Read `NAME=V1,V2,…`, `NAME=LOW..HIGH/COUNT` and `NAME=LOW..HIGH/COUNTlog`, one an axis.

    Raises
    ------
    DealFileError
        All that cannot be read, or is too large to be written out, one line each.
    """
    spans: dict[str, Span] = {}
    problems: list[str] = []
    for name, text in _named(texts, "--vary", EXAMPLES, problems):
        try:
            spans[name] = _listed(name, text)
        except DealFileError as err:
            problems.append(str(err))
    if problems:
        raise DealFileError("\n".join(problems))
    return Design(spans)


def parse_design(kind: str, cells: int, texts: Sequence[str]) -> Design:
    """Read `NAME=LOW..HIGH`, `NAME=LOW..HIGH/log`, `NAME=posterior` and `NAME=V1,V2,…`, one a dimension.

    Raises
    ------
    DealFileError
        All that cannot be read, one line each.
    """
    spans: dict[str, Span] = {}
    problems: list[str] = []
    for name, text in _named(texts, "--over", "0.1..0.9 or 0.01..1/log or posterior or true,false", problems):
        try:
            spans[name] = _span(name, text)
        except DealFileError as err:
            problems.append(str(err))
    if problems:
        raise DealFileError("\n".join(problems))
    return Design(spans, kind, cells)


def points(design: Design, posterior: Mapping[str, F64], seed: int) -> dict[str, list[Any]]:
    """Values of each dimension of a Latin hypercube or Sobol design: name → (cell,).

    Latin hypercube: each dimension has one cell in each of `cells` slices of equal probability. Sobol: scrambled
    points (Owen), a power of two of them. The same seed gives the same cells.
    """
    from scipy.stats import qmc  # noqa: PLC0415  half a second that only a design needs

    d = len(design.spans)
    sampler = qmc.Sobol(d, rng=seed) if design.kind == SOBOL else qmc.LatinHypercube(d, rng=seed)
    levels = sampler.random(design.cells)
    return {
        name: np.quantile(posterior[name], u).tolist() if isinstance(span, Posterior) else span.at(u)
        for (name, span), u in zip(design.spans.items(), levels.T, strict=True)
    }


def size_problems(design: Design) -> list[str]:
    """Say what is wrong with the number of cells."""
    if not design.spans:
        return [f"nothing to sweep: name at least one parameter or key, e.g. oral_worth={EXAMPLES}"]
    if design.size > MAX_CELLS:
        less = "take fewer values an axis, or a design: --design sobol" if design.kind == GRID else "take fewer"
        return [f"{design.size:,} cells; a sweep may have {MAX_CELLS:,}: {less}"]
    if design.kind == GRID:
        return []
    if design.cells < 2:
        return [f"--cells {design.cells}: a design has at least 2 cells"]
    if design.kind == SOBOL and design.cells & (design.cells - 1):
        below = 1 << (design.cells.bit_length() - 1)
        return [f"--cells {design.cells}: Sobol points are even for powers of two: take {below:,} or {2 * below:,}"]
    return []


def _named(texts: Sequence[str], option: str, example: str, problems: list[str]) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, rest = (part.strip() for part in text.partition("="))
        if not equals or not name or not rest:
            problems.append(f"{option} {text!r}: write NAME=VALUES, e.g. oral_worth={example}")
        elif name in found:
            problems.append(f"{name}: is given twice; put all of its values in one {option}")
        else:
            found[name] = rest
    return list(found.items())


def _listed(name: str, text: str) -> Listed:
    found = RANGE.fullmatch(text)
    if found is None:
        return Listed(tuple(parse_axis(f"{name}={text}")[1]))
    if not found["count"]:
        raise DealFileError(f"{name}: {text!r} does not say how many values: {text.partition('/')[0]}/9")
    count = int(found["count"][:12])
    if not 2 <= count <= MAX_CELLS:
        what = "a range has at least both its ends" if count < 2 else f"a sweep may have {MAX_CELLS:,} cells"
        raise DealFileError(f"{name}: {count:,} values: {what}; write {name}={found['low']}..{found['high']}/9")
    ends = _ends(name, found)
    whole = ends.whole and (ends.high - ends.low) % (count - 1) == 0 and not ends.log
    return Listed(tuple(Between(ends.low, ends.high, ends.log, whole).at(np.linspace(0.0, 1.0, count))))


def _span(name: str, text: str) -> Span:
    if text == "posterior":
        return Posterior()
    found = RANGE.fullmatch(text)
    if found is None:
        return Listed(tuple(parse_axis(f"{name}={text}")[1]))
    if found["count"]:
        raise DealFileError(f"{name}: {text!r}: a design chooses its values itself; write {text.partition('/')[0]}")
    return _ends(name, found)


def _ends(name: str, found: re.Match[str]) -> Between:
    low, high = (parse_value(found[end]) for end in ("low", "high"))
    for end in (low, high):
        if isinstance(end, bool) or not isinstance(end, int | float) or not np.isfinite(end):
            raise DealFileError(f"{name}: {end!r} is no finite number; a range goes from number to number, 0.1..0.9/9")
    if not low < high:
        raise DealFileError(f"{name}: the range {low}..{high} is empty: its first end must be below its second")
    if found["log"] and low <= 0:
        raise DealFileError(f"{name}: {low} has no logarithm; a range with log starts above 0")
    whole = "." in name and isinstance(low, int) and isinstance(high, int)  # a key may want counts, a parameter never
    return Between(low, high, bool(found["log"]), whole)
