"""What sources say of a deal's parameters, on the link scale: all of them at once.

What a class says is mostly linear in the bases and effects of the classes, but for the link of an average
of such functions. Products with constant matrices (`linear`) serve all parameters; a graph of a few nodes each
took most of the time that a fit spent in the compiler.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytensor.tensor as pt
from scipy.linalg import block_diag

from forecast.calibrate.ages import common_ages
from forecast.calibrate.linear import product
from forecast.calibrate.predictor import Part
from forecast.calibrate.tables import contrast_row, rows_for, zero_sum
from forecast.deal.parameters import Reference
from forecast.types import F64

type Tensor = Any

ALIKE = 0.9  # correlation of the transfer terms of a rate's age bins: a deal differs more in level than in shape


@dataclass(frozen=True)
class Form:
    """How a parameter's numbers on the link scale become its value.

    entries: names of its entries; none for one number
    terms: names of the numbers on the link scale
    factor (term, term): L above
    back: from the numbers on the link scale (term,) to the value
    """

    entries: tuple[str, ...]
    terms: tuple[str, ...]
    factor: F64
    back: Callable[[Tensor], Tensor]


# ---- the forms of parameters ---------------------------------------------------------------------


def form_of(references: Sequence[Reference], parts: Sequence[Part]) -> Form:
    """Say what numbers a parameter has on the link scale, and how they become its value."""
    r, part = references[0], parts[0]
    kind = part.used.kind
    if r.contrast or kind == "choice" or (r.link and (kind != "rates" or part.used.age_edges is None)):
        return _number(lambda x: x[0])
    if kind == "survival":
        return Form(
            ("shape", "scale"),
            ("link",),
            np.eye(1),
            lambda x: pt.stack([part.shape, pt.exp(-part.base[0] - x[0] / part.shape)]),
        )
    if kind == "rates" and part.used.age_edges is not None:
        _, labels = common_ages([p.used for p in parts])
        n = len(labels)
        factor = np.linalg.cholesky(np.full((n, n), ALIKE) + (1.0 - ALIKE) * np.eye(n))
        return Form(labels, labels, factor, (lambda x: x) if r.link else pt.exp)
    if kind == "rates":
        return _number(lambda x: pt.exp(x[0]))
    if kind == "binomial" or r.category:
        return _number(lambda x: pt.sigmoid(x[0]))
    kept = _kept(r, part)
    basis = zero_sum(len(kept))
    names = tuple(f"log ratio {i}" for i in range(1, len(kept)))
    return Form(kept, names, np.eye(len(names)), lambda x: pt.special.softmax(pt.dot(basis, x), axis=-1))


def _number(back: Callable[[Tensor], Tensor]) -> Form:
    return Form((), ("link",), np.eye(1), back)


def _kept(r: Reference, part: Part) -> tuple[str, ...]:
    return tuple(name for name in part.data.outcomes if name not in r.exclude)


# ---- what one class says -------------------------------------------------------------------------


@dataclass(frozen=True)
class Linear:
    """What a class says, (term,), on the link scale: rows @ joint + link(weight @ mean(averaged @ joint)).

    joint: the bases, then the effects, of all classes
    rows (term, joint); averaged (row, joint) and weight (row,): no rows where nothing is averaged
    mean: name of the inverse of the link, in `MEANS`
    """

    rows: F64
    averaged: F64
    weight: F64
    mean: str


def _logit(p: Tensor) -> Tensor:
    return pt.log(p) - pt.log1p(-p)


MEANS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "exp": (pt.exp, pt.log),
    "sigmoid": (pt.sigmoid, _logit),
}  # inverse and link


def quote(r: Reference, part: Part, form: Form) -> Linear | Tensor:
    """What a class says of a parameter: mostly a `Linear`; a symbolic array (term,) of shares of categories."""
    kind = part.used.kind
    mean = "sigmoid" if kind == "binomial" else "exp"
    category = part.free.index(r.category) if r.contrast and r.category else None
    if kind in ("multinomial", "shares") and category is None:
        return _category(r, part)
    outcome = category if category is not None else part.free.index(r.event) if r.event else 0
    if r.contrast:
        row = contrast_row(r, part.used, part.layout)[None, :]
        return _plain(part.rows(row, outcome, with_base=False), mean)
    if r.value:
        return _plain(part.rows(np.zeros((1, part.layout.x.shape[1])), 1 + part.values.index(r.value)), mean)
    x, weight = rows_for(r, part.used, part.data, part.layout)
    # the scale of a Weibull is put together in its form
    averaged = part.rows(x, outcome, with_base=kind != "survival")
    if kind == "choice":  # the reservation: what an offer has to be worth
        return _plain(-(weight @ averaged)[None, :], mean)
    said = _plain(averaged, mean)
    if len(weight) > 1:
        said = Linear(np.zeros((1, averaged.shape[1])), averaged, weight, mean)
    if part.used.age_edges is None:
        return said
    aged = said.rows + part.rows(part.layout.age_x, outcome, with_base=False)
    bins = part.used.age_labels
    return replace(said, rows=aged if form.terms == bins else aged[_bins_of(part, form)])


def _plain(rows: F64, mean: str) -> Linear:
    return Linear(rows, rows[:0], np.zeros(0), mean)


def _bins_of(part: Part, form: Form) -> list[int]:
    """Index of the class's age bin in which each bin of the parameter lies."""
    starts = [float(label.rstrip("+").split("-")[0]) for label in form.terms]
    edges = part.used.age_edges
    if edges is None:
        raise ValueError("a class without age bins")
    return [int(np.searchsorted(edges, a, side="right")) - 1 for a in starts]


def _category(r: Reference, part: Part) -> Linear | Tensor:
    """Log-odds of a category against the first or against all others, or the log ratios of all that are kept.

    Log ratios of one row's shares are those of their logits, so linear; those of an average are not.
    """
    outcomes = part.data.outcomes
    x, weight = rows_for(r, part.used, part.data, part.layout)
    if len(weight) == 1 and (r.link or not r.category):
        each = np.concatenate([part.rows(x, k) for k in range(len(part.free))])
        return _plain(_ratios(r, part) @ part.to_logits @ each, "exp")
    p = pt.dot(weight, pt.special.softmax((part.base + x @ part.effect) @ part.to_logits.T, axis=-1))
    if r.category and not r.link:
        k = outcomes.index(r.category)
        others = [j for j in range(len(outcomes)) if j != k]
        return (pt.log(p[k]) - pt.log(pt.sum(p[others]))).reshape((1,))
    return pt.dot(_ratios(r, part), pt.log(p))


def _ratios(r: Reference, part: Part) -> F64:
    """Contrasts (term, category) of the logarithms of shares: a category's with the first, or those of all kept."""
    eye, outcomes = np.eye(len(part.data.outcomes)), part.data.outcomes
    if r.category:
        return eye[[outcomes.index(r.category)]] - eye[[0]]
    kept = [outcomes.index(name) for name in _kept(r, part)]
    return np.asarray(zero_sum(len(kept)).T @ eye[kept])


# ---- what all sources say ------------------------------------------------------------------------


@dataclass(frozen=True)
class Quotes:
    """What all sources of several parameters say, laid end to end.

    mean, variance (times K) (term of a source,): on the link scale
    at: places of the terms of each parameter's sources, by parameter, in the order in which they are pooled
    """

    mean: Tensor
    variance: Tensor
    at: Mapping[str, Sequence[slice]]

    @property
    def ids(self) -> tuple[str, ...]:
        """The parameters."""
        return tuple(self.at)


def gather(
    references: Mapping[str, Sequence[Reference]],
    parts: Mapping[str, Part],
    forms: Mapping[str, Form],
    elicited: Mapping[str, tuple[Tensor, Tensor]],
) -> Quotes:
    """Put together what the classes say of each parameter and, at last, the experts."""
    linear: list[tuple[str, int, Linear]] = []
    others: list[tuple[str, int, Tensor, Tensor]] = []
    for id_, rs in references.items():
        for k, r in enumerate(rs):
            said = quote(r, parts[r.reference], forms[id_])
            if isinstance(said, Linear):
                linear.append((id_, k, said))
            else:
                others.append((id_, k, said, np.full(len(forms[id_].terms), r.transfer_sd**2)))
        if id_ in elicited:
            mean, variance = elicited[id_]
            others.append((id_, len(rs), mean.reshape((1,)), variance.reshape((1,))))
    means, variances = [x[2] for x in others], [x[3] for x in others]
    if linear:
        means.insert(0, _evaluate([x[2] for x in linear], next(iter(parts.values())).times))
        sd = [references[id_][k].transfer_sd for id_, k, _ in linear]
        variances.insert(0, np.repeat(np.square(sd), [len(x[2].rows) for x in linear]))
    at: dict[str, dict[int, slice]] = {id_: {} for id_ in references}
    end = 0
    for id_, k in [x[:2] for x in linear] + [x[:2] for x in others]:
        at[id_][k] = slice(end, end + len(forms[id_].terms))
        end = at[id_][k].stop
    constant = all(isinstance(v, np.ndarray) for v in variances)
    return Quotes(
        mean=pt.concatenate(means),
        variance=np.concatenate(variances) if constant else pt.concatenate(variances),
        at={id_: [places[k] for k in sorted(places)] for id_, places in at.items()},
    )


def _evaluate(said: Sequence[Linear], times: Callable[[F64], Tensor]) -> Tensor:
    """Terms of all, end to end."""
    result = times(np.vstack([q.rows for q in said]))
    source = np.repeat(np.arange(len(said)), [len(q.rows) for q in said])
    for mean, (inverse, link) in MEANS.items():
        group = [k for k, q in enumerate(said) if len(q.weight) and q.mean == mean]
        if group:
            weights = block_diag(*(said[k].weight[None, :] for k in group))
            averages = link(product(weights, inverse(times(np.vstack([said[k].averaged for k in group])))))
            result = result + product((source[:, None] == group).astype(np.float64), averages)
    return result
