"""The linear predictor of all classes at once: which base and which effects each entry of a table takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from forecast.calibrate.linear import product
from forecast.calibrate.reference import ReferenceClass
from forecast.calibrate.tables import Cells, Design, cells, design, zero_sum
from forecast.types import F64, I64

type Tensor = Any

KINDS = ("rates", "binomial", "choice", "multinomial", "shares", "survival")  # tables of one kind follow one another
FEWEST_CENTRED, CLEAR = 8, 6.0  # terms of a covariate, and mean measure, from which they are centred
EACH_CLEAR = 100.0  # or the measure of each term, however few


@dataclass(frozen=True)
class Part:
    """One class within the joint model.

    free: names of its linear predictors: outcomes, or log ratios between categories
    to_logits (category, free): from log ratios to logits; empty for kinds without categories
    entries: its place among the entries of all tables (cell by cell, within it predictor by predictor)
    values: names of the terms of an offer, whose utilities follow the bases
    base (free + value,), effect (term, free), shape: symbolic, once the model has them
    joint: symbolic, the bases (n_base,) and the effects (n_term,) of all classes
    """

    used: ReferenceClass
    data: Cells
    layout: Design
    free: tuple[str, ...]
    to_logits: F64
    entries: slice
    terms: slice
    bases: slice
    values: tuple[str, ...] = ()
    base: Tensor = None
    effect: Tensor = None
    shape: Tensor = None
    joint: tuple[Tensor, Tensor] = (None, None)
    n_base: int = 0
    n_term: int = 0

    @property
    def entry_labels(self) -> list[str]:
        """A name for each entry: its cell and, where there are several, its predictor."""
        if len(self.free) == 1:
            return self.data.labels
        return [f"{cell}: {name}" for cell in self.data.labels for name in self.free]

    def with_values(self, base: Tensor, effect: Tensor) -> "Part":
        """Cut this class's bases and effects out of those of all classes."""
        shape = (self.layout.x.shape[1], len(self.free))
        own = effect[self.terms].reshape(shape) if shape[0] else np.zeros(shape)
        return replace(self, base=base[self.bases], effect=own, joint=(base, effect))

    def rows(self, x: F64, outcome: int, *, with_base: bool = True) -> F64:
        """Rows (row, n_base + n_term) whose `times` are the predictors of an outcome, base + x @ effect."""
        rows = np.zeros((len(x), self.n_base + self.n_term))
        if with_base:
            rows[:, self.bases.start + outcome] = 1.0
        first, step = self.n_base + self.terms.start + outcome, len(self.free)
        rows[:, first : first + x.shape[1] * step : step] = x
        return rows

    def times(self, rows: F64) -> Tensor:
        """Products (row,) of such rows with the bases and effects of all classes."""
        base, effect = self.joint
        return product(rows[:, : self.n_base], base) + product(rows[:, self.n_base :], effect)

    def with_shape(self, shape: Tensor) -> "Part":
        """Add the shape of its Weibull."""
        return replace(self, shape=shape)


@dataclass(frozen=True)
class Classes:
    """All classes laid end to end; an entry is one cell and predictor, a term one column and predictor.

    centre, sd (base,): prior of the bases; base_of (entry,)
    spread_sd (spread,): half-normal scale; spread_of (term,)
    centred (term,): how far it is sampled as it is (1), and not as a multiple of its spread (0)
    x, term_of (level, most terms of a level): terms of each level of a covariate, and their factors, filled up with 0;
        the last level is none
    level_of (entry, most covariates of an entry): its levels, filled up with the last
    holds, value_of (entry, most values of an entry): the same of what an offer holds and of its utilities, which
        are among the bases
    """

    parts: tuple[Part, ...]
    centre: F64
    sd: F64
    base_of: I64
    spread_sd: F64
    spread_of: I64
    centred: F64
    x: F64
    term_of: I64
    level_of: I64
    holds: F64
    value_of: I64
    coords: dict[str, list[str]]


def join(used: Sequence[ReferenceClass]) -> Classes:
    """Lay out the tables, terms and bases of classes, already cut at the as-of date."""
    parts = _parts(sorted(used, key=lambda c: (KINDS.index(c.kind), c.id)))
    n = parts[-1].entries.stop if parts else 0
    base_of = np.zeros(n, np.int64)
    most_values = max((len(p.values) for p in parts), default=0)
    holds, value_of = np.zeros((n, most_values)), np.zeros((n, most_values), np.int64)
    spread_of, spread_sd, n_spread = [], [], 0
    coords: dict[str, list[str]] = {"class__outcome": [], "class__covariate": [], "class__term": []}
    for p in parts:
        free, id_ = len(p.free), p.used.id
        base_of[p.entries] = np.tile(np.arange(p.bases.start, p.bases.start + free), len(p.data.weight))
        if p.values:
            holds[p.entries, : len(p.values)] = p.data.terms
            value_of[p.entries, : len(p.values)] = np.arange(p.bases.start + free, p.bases.stop)
        spread_of.append(n_spread + np.repeat(p.layout.group, free))
        spread_sd += [_spread_sd(p.used, g) for g in p.layout.groups]
        n_spread += len(p.layout.groups)
        coords["class__outcome"] += [f"{id_}: {name}" for name in (*p.free, *p.values)]
        coords["class__covariate"] += [f"{id_}: {g}" for g in p.layout.groups]
        columns = [f"{p.layout.groups[g]} {k + 1}" for k, g in enumerate(p.layout.group)]
        coords["class__term"] += [f"{id_}: {column}: {name}" for column in columns for name in p.free]
    x, term_of, level_of = _levels(parts)
    return Classes(
        parts=tuple(parts),
        centre=np.concatenate([_centres(p) for p in parts]),
        sd=np.concatenate([_sds(p) for p in parts]),
        base_of=base_of,
        spread_sd=np.array(spread_sd, np.float64),
        spread_of=np.concatenate(spread_of).astype(np.int64),
        centred=np.concatenate([_centred(p) for p in parts]),
        x=x,
        term_of=term_of,
        level_of=level_of,
        holds=holds,
        value_of=value_of,
        coords=coords,
    )


def _levels(parts: Sequence[Part]) -> tuple[F64, I64, I64]:
    """x, term_of and level_of of `Classes`: far fewer products than with the row of each entry."""
    rows: list[F64] = []
    terms: list[I64] = []
    most = max((len(p.layout.groups) for p in parts), default=0)
    level_of = np.full((parts[-1].entries.stop if parts else 0, most), -1, np.int64)
    for p in parts:
        free = len(p.free)
        for g in range(len(p.layout.groups)):
            columns = np.flatnonzero(p.layout.group == g)
            levels, index = np.unique(p.layout.x[:, columns], axis=0, return_inverse=True)
            for k in range(free):
                level_of[p.entries.start + k : p.entries.stop : free, g] = len(rows) + index.ravel()
                rows += list(levels)
                terms += [p.terms.start + columns * free + k] * len(levels)
    level_of[level_of < 0] = len(rows)
    width = max((len(row) for row in rows), default=0)
    x, term_of = np.zeros((len(rows) + 1, width)), np.zeros((len(rows) + 1, width), np.int64)
    for i, (row, own) in enumerate(zip(rows, terms, strict=True)):
        x[i, : len(row)], term_of[i, : len(row)] = row, own
    return x, term_of, level_of


def _spread_sd(used: ReferenceClass, group: str) -> float:
    if group == used.period:
        return used.prior.period_sd
    return used.prior.effect_sd if group in used.covariates else used.prior.age_sd


def _parts(used: Sequence[ReferenceClass]) -> list[Part]:
    parts: list[Part] = []
    entry = term = base = 0
    for one in used:
        data = cells(one)
        layout = design(one, data)
        free, to_logits = data.outcomes, np.zeros((0, 0))
        if one.kind == "multinomial":
            free, to_logits = data.outcomes[1:], np.eye(len(data.outcomes))[:, 1:]
        elif one.kind == "shares":
            free = tuple(f"log ratio {i}" for i in range(1, len(data.outcomes)))
            to_logits = zero_sum(len(data.outcomes))
        n_entry, n_term = len(data.weight) * len(free), layout.x.shape[1] * len(free)
        values = one.events if one.kind == "choice" else ()
        n_base = len(free) + len(values)
        place = slice(entry, entry + n_entry), slice(term, term + n_term), slice(base, base + n_base)
        entry, term, base = entry + n_entry, term + n_term, base + n_base
        parts.append(Part(one, data, layout, free, to_logits, *place, values))
    return [replace(p, n_base=base, n_term=term) for p in parts]


def _sds(part: Part) -> F64:
    prior = part.used.prior
    return np.repeat([prior.sd, prior.value_sd], [len(part.free), len(part.values)])


def _centres(part: Part) -> F64:
    """Prior centres of the bases on the link scale; the base of a survival time is the log of 1 / scale."""
    used, free = part.used, part.free
    if used.kind == "shares":
        return np.zeros(len(free))
    if used.kind == "survival":
        return np.full(1, -used.prior.centre)
    own = [used.prior.centres.get(name, used.prior.centre) for name in free]
    return np.array([*own, *(used.prior.values[name] for name in part.values)])


def _centred(part: Part) -> F64:
    """Degree of centring (term,) of covariates whose levels differ so clearly that their spread cannot be 0.

    There sampling the effects themselves mixes several times better than multiples of the spread, if each
    is well informed; a term with little information is better in between. The degree is the share of the
    posterior precision of an effect that comes from data, information * spread² / (1 + information *
    spread²), with the spread by its moments (Papaspiliopoulos, Roberts and Sköld 2007, section 3). Where the
    spread may be 0, any centring makes a funnel, and divergences: the degree is 0. The measure of what is
    clear is the score of each term at no effect, squared, over its information: 1 on average if there
    is none. It steers only how the model is sampled, not what it says.
    """
    data, layout = part.data, part.layout
    free = len(part.free)
    degree = np.zeros((layout.x.shape[1], free))
    if part.used.kind in ("rates", "binomial", "multinomial"):
        count = data.count[:, -free:]
        mean = (count.sum(axis=0) + 0.5) / (data.weight.sum() + 0.5)
        variance = mean if part.used.kind == "rates" else mean * np.maximum(1.0 - mean, 0.05)
        score = layout.x.T @ (count - np.outer(data.weight, mean))
        information = np.outer(data.weight @ layout.x**2, variance)  # 0 of a step to a period without cells
        measure = score**2 / np.maximum(information, 1e-12)
        for k, group in enumerate(layout.groups):
            own = layout.group == k
            many = own.sum() * free >= FEWEST_CENTRED and measure[own].mean() >= CLEAR
            if many or measure[own].min() >= EACH_CLEAR:
                moment = (measure[own] - 1.0).sum() / information[own].sum()
                known = information[own] * min(moment, _spread_sd(part.used, group) ** 2)
                degree[own] = known / (1.0 + known)
    return degree.ravel()
