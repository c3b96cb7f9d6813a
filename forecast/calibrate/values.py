"""What a deal takes from its classes: each parameter as a function of the classes' bases and effects.

A parameter may rest on several classes, and on experts besides. On the link scale source k says q_k, and
its transfer term says how far the deal may differ from it:

    q_k ~ Normal(theta, sd_k² K),   theta flat,   K = L L' (one number: 1)

theta is integrated out: given the sources it is normal about their mean, each weighed by 1 / sd_k²; and that
the sources speak of the same thing is an observation, q_k - (mean of those before) = 0 with the variance of
both. So a class that is itself poorly known gives way to one that is well known, as in a random-effects
meta-analysis; with one source this is q_1 plus its transfer term.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from forecast.calibrate.ages import common_ages
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


@dataclass(frozen=True)
class Quote:
    """What one source says of a parameter: mean (term,) and variance (times K) on the link scale."""

    source: str
    mean: Tensor
    variance: Tensor


def add_values(
    references: Mapping[str, Sequence[Reference]],
    parts: Mapping[str, Part],
    elicited: Mapping[str, tuple[Tensor, Tensor]],
) -> None:
    """Name every parameter that comes from classes, and the effect of every level of the classes.

    `elicited` gives mean and variance of the experts' consensus for those that rest on experts too.
    """
    for part in parts.values():
        _name_effects(part)
    forms = {id_: form_of(rs, [parts[r.reference] for r in rs]) for id_, rs in references.items()}
    quotes = {id_: _quotes(rs, parts, forms[id_], elicited.get(id_)) for id_, rs in references.items()}
    pooled = {id_: _pool(forms[id_], quotes[id_]) for id_ in references}
    free = [id_ for id_, rs in references.items() if len(quotes[id_]) > 1 or rs[0].transfer_sd > 0]
    terms = [f"{id_}: {term}" for id_ in free for term in forms[id_].terms]
    z: Tensor = None
    if terms:
        pm.modelcontext(None).add_coords({"class__transfer_term": terms})
        z = pm.Normal("class__transfer", dims="class__transfer_term")
    _observe_agreement({id_: pooled[id_].agreement for id_ in references}, forms)
    first = 0
    for id_ in references:
        form, link = forms[id_], pooled[id_].mean
        if id_ in free:
            n = len(form.terms)
            link = link + pt.sqrt(pooled[id_].variance) * pt.dot(form.factor, z[first : first + n])
            first += n
        _name(id_, form, link)
        _name_sources(id_, form, quotes[id_])


# ---- pooling -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Agreement:
    """One source against those before it: whitened difference (term,) and its standard deviation."""

    source: str
    difference: Tensor
    sd: Tensor


@dataclass(frozen=True)
class Pooled:
    """Mean (term,) and variance of theta given its sources, and how well these agree."""

    mean: Tensor
    variance: Tensor
    agreement: tuple[Agreement, ...]


def _quotes(
    references: Sequence[Reference],
    parts: Mapping[str, Part],
    form: Form,
    experts: tuple[Tensor, Tensor] | None,
) -> list[Quote]:
    found = [Quote(_source(r, references), quote(r, parts[r.reference], form), r.transfer_sd**2) for r in references]
    if experts is not None:
        found.append(Quote("experts", experts[0].reshape((1,)), experts[1]))
    return found


def _source(r: Reference, among: Sequence[Reference]) -> str:
    """Name of a source: its class, and what it takes from it where that class is named twice."""
    if sum(r.reference == other.reference for other in among) == 1:
        return r.reference
    picked = [*(f"{k}={v}" for k, v in r.where.items()), *(x for x in (r.event, r.category) if x)]
    return f"{r.reference} ({', '.join(picked) or 'all'})"


def _pool(form: Form, quotes: Sequence[Quote]) -> Pooled:
    """Take the sources one after another, each against the mean of those before."""
    mean, variance = quotes[0].mean, quotes[0].variance
    whiten = np.linalg.inv(form.factor)
    agreement = []
    for q in quotes[1:]:
        agreement.append(Agreement(q.source, pt.dot(whiten, q.mean - mean), pt.sqrt(variance + q.variance)))
        share = variance / (variance + q.variance)
        mean, variance = mean + share * (q.mean - mean), share * q.variance
    return Pooled(mean, variance, tuple(agreement))


def _observe_agreement(agreements: Mapping[str, Sequence[Agreement]], forms: Mapping[str, Form]) -> None:
    found = [(id_, a) for id_, several in agreements.items() for a in several]
    if not found:
        return
    labels = [
        f"{id_}: {a.source}" + (f", {term}" if len(forms[id_].terms) > 1 else "")
        for id_, a in found
        for term in forms[id_].terms
    ]
    pm.modelcontext(None).add_coords({"sources__pair": labels})
    sd = pt.concatenate([pt.ones(len(forms[id_].terms)) * a.sd for id_, a in found])
    difference = pt.concatenate([a.difference for _, a in found])
    pm.Normal("sources__agreement", difference, sd, observed=np.zeros(len(labels)), dims="sources__pair")


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


def quote(r: Reference, part: Part, form: Form) -> Tensor:
    """What a class says of a parameter, (term,), on the link scale."""
    kind = part.used.kind
    if kind in ("multinomial", "shares"):
        return _category(r, part)
    outcome = part.free.index(r.event) if r.event else 0
    effect = part.effect[:, outcome]
    if r.contrast:
        return _one(pt.dot(contrast_row(r, part.used, part.layout), effect))
    if r.value:
        return _one(part.base[1 + part.values.index(r.value)])
    to_mean, to_link = {"binomial": (pt.sigmoid, _logit), "choice": (_same, _same)}.get(kind, (pt.exp, pt.log))
    base = 0.0 if kind == "survival" else part.base[outcome]  # the scale of a Weibull is put together in its form
    link = _average(r, part, base, effect, to_mean, to_link)
    if kind == "choice":
        return _one(-link)  # the reservation: what an offer has to be worth
    if part.used.age_edges is None:
        return _one(link)
    own = link + (part.layout.age_x @ effect if len(part.layout.groups) else np.zeros(1))
    bins = part.used.age_labels
    return own if form.terms == bins else own[_bins_of(part, form)]


def _bins_of(part: Part, form: Form) -> list[int]:
    """Index of the class's age bin in which each bin of the parameter lies."""
    starts = [float(label.rstrip("+").split("-")[0]) for label in form.terms]
    edges = part.used.age_edges
    if edges is None:
        raise ValueError("a class without age bins")
    return [int(np.searchsorted(edges, a, side="right")) - 1 for a in starts]


def _one(x: Tensor) -> Tensor:
    return pt.as_tensor_variable(x).reshape((1,))


def _average(r: Reference, part: Part, base: Tensor, effect: Tensor, to_mean: Any, to_link: Any) -> Tensor:
    """Link of the mean over the covariates that `where` leaves out; the mean is taken of rates, not logs."""
    x, weight = rows_for(r, part.used, part.data, part.layout)
    link = base + x @ effect
    return link[0] if len(weight) == 1 else to_link(pt.dot(weight, to_mean(link)))


def _same(x: Tensor) -> Tensor:
    return x


def _logit(p: Tensor) -> Tensor:
    return pt.log(p) - pt.log1p(-p)


def _category(r: Reference, part: Part) -> Tensor:
    """Log-odds of a category against the first or against all others, or the log ratios of all that are kept."""
    outcomes = part.data.outcomes
    if r.contrast and r.category:
        effect = part.effect[:, part.free.index(r.category)]
        return _one(pt.dot(contrast_row(r, part.used, part.layout), effect))
    x, weight = rows_for(r, part.used, part.data, part.layout)
    p = pt.dot(weight, pt.special.softmax((part.base + x @ part.effect) @ part.to_logits.T, axis=-1))
    if r.category and r.link:
        return _one(pt.log(p[outcomes.index(r.category)]) - pt.log(p[0]))
    if r.category:
        k = outcomes.index(r.category)
        others = [j for j in range(len(outcomes)) if j != k]
        return _one(pt.log(p[k]) - pt.log(pt.sum(p[others])))
    kept = [outcomes.index(name) for name in _kept(r, part)]
    return pt.dot(zero_sum(len(kept)).T, pt.log(p[kept]))


# ---- names ---------------------------------------------------------------------------------------


def _name(id_: str, form: Form, link: Tensor) -> None:
    if form.entries:
        pm.modelcontext(None).add_coords({f"{id_}__entry": list(form.entries)})
        pm.Deterministic(id_, form.back(link), dims=f"{id_}__entry")
    else:
        pm.Deterministic(id_, form.back(link))


def _name_sources(id_: str, form: Form, quotes: Sequence[Quote]) -> None:
    """Name what each class says by itself, before the deal's difference from it: `<parameter>__sources`."""
    classes = [q for q in quotes if q.source != "experts"]
    pm.modelcontext(None).add_coords({f"{id_}__source": [q.source for q in classes]})
    dims = (f"{id_}__source", *([f"{id_}__entry"] if form.entries else []))
    pm.Deterministic(f"{id_}__sources", pt.stack([form.back(q.mean) for q in classes]), dims=dims)


def _name_effects(part: Part) -> None:
    """Name the effect of each level against the average level, (level, outcome), link scale."""
    levels = {
        f"{n}: {v}": part.layout.level_x[n][i]
        for n, vs in part.used.covariates.items()
        if len(vs) > 1
        for i, v in enumerate(vs)
    }
    if levels:
        id_ = part.used.id
        names = {f"{id_}__level": list(levels), f"{id_}__outcome": list(part.free)}
        pm.modelcontext(None).add_coords(names)
        pm.Deterministic(f"{id_}__effect", np.stack(list(levels.values())) @ part.effect, dims=tuple(names))
