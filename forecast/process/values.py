"""Parameters → the numbers of each draw, and everything that can be wrong with them."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import reduce
from operator import add, mul

import numpy as np

from forecast.deal.spec import Hazard, Process
from forecast.kernels.arith import exp_array
from forecast.kernels.layout import Values
from forecast.process.draws import Draws
from forecast.process.lower import Meter, branches_of, modifiers_of, ordered
from forecast.types import F64

MAX_LOGIT = 300.0
SHAPES, SCALES = (0.01, 100.0), (1e-6, 1e6)  # of a Weibull hazard; years


class Numbers:
    """Looks parameters up, computes derived ones, and collects what is wrong with them."""

    def __init__(self, process: Process, draws: Draws, problems: list[str]) -> None:
        self.draws = draws
        self.problems = problems
        self.derived: dict[str, F64] = {}
        for name, value in draws.values.items():
            if value.ndim not in (1, 2) or len(value) != draws.n_draw:
                problems.append(f"parameter {name!r}: {value.shape} values, but there are {draws.n_draw} draws")
        problems.extend(
            f"parameter {name!r} is both sampled and derived; give one of them another name"
            for name in sorted({d.id for d in process.derived} & set(draws.values))
        )
        for d in process.derived:
            where = f"parameter {d.id!r}"
            # one after the other: numpy's own sums take another order, and other bits, for a single draw
            terms = [t.sign * reduce(mul, [self.scalar(where, p) for p in t.parameters]) for t in d.terms]
            with np.errstate(divide="ignore", invalid="ignore"):
                value = reduce(add, terms) / reduce(mul, [self.scalar(where, p) for p in d.over], 1.0)
            self.derived[d.id] = self._finite(where, d.id, value)

    def get(self, where: str, ref: str) -> F64:
        """Values of a reference: (draw,) or, for a parameter with age bins, (draw, bin)."""
        name, _, entry = ref.partition("[")
        known = {**self.draws.values, **self.derived}
        if name not in known:
            near = get_close_matches(name, known, n=1)
            self.problems.append(
                f"{where}: no parameter {name!r}" + (f"; did you mean {near[0]!r}?" if near else "; declare it")
            )
            return np.ones(self.draws.n_draw)
        value = known[name]
        if not entry:
            return value
        labels = self.draws.labels.get(name, ())
        if entry.rstrip("]") not in labels:
            has = ", ".join(get_close_matches(entry.rstrip("]"), labels, n=1) or labels or ("none",))
            self.problems.append(f"{where}: {name!r} has no entry {entry.rstrip(']')!r}; it has: {has}")
            return np.ones(self.draws.n_draw)
        return value[:, labels.index(entry.rstrip("]"))]

    def scalar(self, where: str, ref: str) -> F64:
        """Values of a reference that must be one number a draw."""
        value = self.get(where, ref)
        if value.ndim != 1:
            self.problems.append(f"{where}: {ref!r} has several entries; name one, as in {ref}[…]")
            return np.ones(self.draws.n_draw)
        return self._finite(where, ref, value)

    def checked(self, where: str, ref: str, good: Callable[[F64], np.ndarray], wanted: str) -> F64:
        """Values that must satisfy `good` in every draw."""
        value = self.scalar(where, ref)
        self._check(where, ref, value, good, wanted)
        return value

    def rate(self, where: str, ref: str) -> tuple[F64, F64]:
        """(lower edges, (draw, bin)) of a rate; a number has one bin from age 0."""
        value = self.get(where, ref)
        self._check(where, ref, value, lambda x: np.isfinite(x) & (x >= 0), "finite and not negative")
        if value.ndim == 1:
            return np.zeros(1), value[:, None]
        if ref not in self.draws.edges:
            self.problems.append(f"{where}: {ref!r} has several entries but no age bins; name one, as in {ref}[…]")
            return np.zeros(1), value[:, :1]
        edges = np.asarray(self.draws.edges[ref], dtype=np.float64)
        if len(edges) != value.shape[1] + 1 or edges[0] != 0.0 or edges[-1] != np.inf or not (np.diff(edges) > 0).all():
            self.problems.append(
                f"{where}: the {value.shape[1]} age bins of {ref!r} need as many edges and one more, "
                f"from 0 to inf and increasing (got {edges.tolist()})"
            )
            return np.zeros(1), value[:, :1]
        return edges[:-1], value

    def _finite(self, where: str, ref: str, value: F64) -> F64:
        self._check(where, ref, value, np.isfinite, "finite")
        return value

    def _check(self, where: str, ref: str, value: F64, good: Callable[[F64], np.ndarray], wanted: str) -> None:
        bad = ~np.asarray(good(value))
        if bad.any():
            first = value[bad][0]
            self.problems.append(
                f"{where}: {ref!r} must be {wanted}, but is {first:.6g} in {int(bad.sum())} of {bad.size} values"
            )


def amounts(process: Process, numbers: Numbers) -> F64:
    """(draw, consequence) signed amounts."""
    columns = []
    for c in process.consequences:
        where = f"consequence {c.id!r}"
        columns.append(c.sign * reduce(mul, [numbers.scalar(where, a) for a in c.amount]))
        if c.discount:
            numbers.checked(where, c.discount, lambda x: x >= 0, "not negative")
    return side_by_side(columns, numbers.draws.n_draw)


def rate_of(h: Hazard, numbers: Numbers) -> tuple[F64, F64]:
    """Lower edges of a hazard's age bins and (draw, bin) its rates; one bin, of rate 0, for a Weibull."""
    if not h.rate:
        return np.zeros(1), np.zeros((numbers.draws.n_draw, 1))
    where = f"hazard {h.id!r}"
    edges, rates = numbers.rate(where, h.rate)
    if len(edges) > 1 and not h.clock:
        numbers.problems.append(f"{where}: {h.rate!r} goes by age, so the hazard needs a clock")
    return edges, rates


def values_of(process: Process, numbers: Numbers, rates: Sequence[tuple[F64, F64]]) -> Values:
    """Numbers of each draw, but for the discounts of meters."""
    n = numbers.draws.n_draw
    factors = [_logarithm(numbers, where, m.log_ratio) for where, m in modifiers_of(process)]
    for h in process.hazards:
        _bounded(f"hazard {h.id!r}", [m.log_ratio for m in h.modifiers], numbers)
    for s, b in branches_of(process):
        refs = [*([b.logit] if b.logit else []), *(m.log_ratio for m in b.modifiers)]
        _bounded(f"event {s.id!r}, branch {b.id!r}", refs, numbers)
    return Values(
        bin_rate=_stack([r for _, r in rates], n),
        shape=side_by_side([_weibull(h, h.weibull_shape, numbers, *SHAPES) for h in process.hazards], n),
        scale=side_by_side([_weibull(h, h.weibull_scale, numbers, *SCALES) for h in process.hazards], n),
        factor=exp_array(side_by_side(factors, n)),
        weight=_weights(process, numbers),
        discount=np.zeros((n, 0)),
    )


def _bounded(where: str, refs: Sequence[str], numbers: Numbers) -> None:
    """Refuse terms that together leave the range of e^x."""
    if len(refs) < 2:
        return
    total = reduce(add, [np.abs(numbers.scalar(where, ref)) for ref in refs])
    if (total > MAX_LOGIT).any():
        numbers.problems.append(
            f"{where}: {', '.join(refs)} add up to {total.max():.4g} in some draw; the limit is ±{MAX_LOGIT:.0f}"
        )


def _logarithm(numbers: Numbers, where: str, ref: str) -> F64:
    return numbers.checked(where, ref, lambda x: np.abs(x) <= MAX_LOGIT, f"within ±{MAX_LOGIT:.0f}")


def _weibull(h: Hazard, ref: str | None, numbers: Numbers, low: float, high: float) -> F64:
    if ref is None:
        return np.ones(numbers.draws.n_draw)
    return numbers.checked(f"hazard {h.id!r}", ref, lambda x: (x >= low) & (x <= high), f"from {low:g} to {high:g}")


def discount_of(meter: Meter, numbers: Numbers) -> F64:
    """Discount rate of a meter, a year."""
    if meter.discount is None:
        return np.zeros(numbers.draws.n_draw)
    return numbers.checked("discount", meter.discount, lambda x: x >= 0, "not negative")


def _weights(process: Process, numbers: Numbers) -> F64:
    """Probabilities of branches, or e^logit; 1 for the rest."""
    n, columns = numbers.draws.n_draw, []
    for s in process.scheduled:
        where, total = f"event {s.id!r}", np.zeros(n)
        for b in ordered(s):
            if b.probability:
                p = numbers.checked(where, b.probability, lambda x: (x > 0) & (x < 1), "strictly between 0 and 1")
                total += p
                columns.append(p)
            elif b.logit:
                columns.append(exp_array(_logarithm(numbers, where, b.logit)))
            else:
                columns.append(np.ones(n))
        if (total > 1 + 1e-12).any():
            numbers.problems.append(f"{where}: the probabilities of its branches add up to more than 1 in some draw")
    return side_by_side(columns, n)


def side_by_side(columns: Sequence[F64], n: int) -> F64:
    """One column each: (draw, column)."""
    return np.ascontiguousarray(np.stack(columns, axis=1)) if columns else np.zeros((n, 0))


def _stack(blocks: Sequence[F64], n: int) -> F64:
    return np.ascontiguousarray(np.concatenate(blocks, axis=1)) if blocks else np.zeros((n, 0))
