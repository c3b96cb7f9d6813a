"""What a deal takes from its classes: each parameter as a function of the classes' bases and effects.

A parameter may rest on several classes, and on experts besides. On the link scale source k says q_k, and
its transfer term says how far the deal may differ from it:

    q_k ~ Normal(theta, sd_k² K),   theta flat,   K = L L' (one number: 1)

theta is integrated out: given the sources it is normal about their mean, each weighed by 1 / sd_k²; and that
the sources speak of the same thing is an observation, q_k - (mean of those before) = 0 with the variance of
both. So a class that is itself poorly known gives way to one that is well known, as in a random-effects
meta-analysis; with one source this is q_1 plus its transfer term.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy.linalg import block_diag

from forecast.calibrate.linear import picks, product
from forecast.calibrate.predictor import Part
from forecast.calibrate.quotes import Form, Quotes, form_of, gather
from forecast.deal.parameters import Reference
from forecast.types import F64, I64

type Tensor = Any


def add_values(
    references: Mapping[str, Sequence[Reference]],
    parts: Mapping[str, Part],
    elicited: Mapping[str, tuple[Tensor, Tensor]],
) -> None:
    """Name every parameter that comes from classes, and the effect of every level of the classes.

    `elicited` gives mean and variance of the experts' consensus for those that rest on experts too.
    Parameters of one source and of several are computed apart: only the latter bear on the posterior of the
    classes, so that NUTS has less to compute.
    """
    for part in parts.values():
        _name_effects(part)
    forms = {id_: form_of(rs, [parts[r.reference] for r in rs]) for id_, rs in references.items()}
    several = [id_ for id_, rs in references.items() if len(rs) + (id_ in elicited) > 1]
    free = [id_ for id_, rs in references.items() if id_ in several or rs[0].transfer_sd > 0]
    terms = [f"{id_}: {term}" for id_ in free for term in forms[id_].terms]
    z: Tensor = np.zeros(0)
    if terms:
        pm.modelcontext(None).add_coords({"class__transfer_term": terms})
        z = pm.Normal("class__transfer", dims="class__transfer_term")
    names = {
        id_: [*(_source(r, rs) for r in rs), *(["experts"] if id_ in elicited else [])]
        for id_, rs in references.items()
    }
    links: dict[str, Tensor] = {}
    said: dict[str, list[Tensor]] = {}
    for ids in (several, [id_ for id_ in references if id_ not in several]):
        if ids:
            quotes = gather({id_: references[id_] for id_ in ids}, parts, forms, elicited)
            mean, variance = _pool(quotes, forms, names)
            link = mean + pt.sqrt(variance) * product(_factors(quotes.ids, free, forms), z) if terms else mean
            links |= {id_: link[at] for id_, at in _places(quotes.ids, forms).items()}
            said |= {id_: [quotes.mean[at] for at in quotes.at[id_]] for id_ in ids}
    for id_, rs in references.items():
        _name(id_, forms[id_], links[id_])
        _name_sources(id_, forms[id_], names[id_][: len(rs)], said[id_][: len(rs)])


# ---- pooling -------------------------------------------------------------------------------------


def _source(r: Reference, among: Sequence[Reference]) -> str:
    """Name of a source: its class, and what it takes from it where that class is named twice."""
    if sum(r.reference == other.reference for other in among) == 1:
        return r.reference
    picked = [*(f"{k}={v}" for k, v in r.where.items()), *(x for x in (r.event, r.category) if x)]
    return f"{r.reference} ({', '.join(picked) or 'all'})"


def _places(ids: Sequence[str], forms: Mapping[str, Form]) -> dict[str, slice]:
    """Place of each parameter's terms when those of all are laid end to end."""
    ends = np.cumsum([len(forms[id_].terms) for id_ in ids]).tolist()
    return {id_: slice(end - len(forms[id_].terms), end) for id_, end in zip(ids, ends, strict=True)}


def _factors(ids: Sequence[str], free: Sequence[str], forms: Mapping[str, Form]) -> F64:
    """Factors L of the parameters `ids`, (their terms, terms of those that are `free`); 0 where one is not."""
    rows, columns = _places(ids, forms), _places(free, forms)
    factors = np.zeros((max(at.stop for at in rows.values()), max(at.stop for at in columns.values())))
    for id_ in set(ids) & set(free):
        factors[rows[id_], columns[id_]] = forms[id_].factor
    return factors


def _joined(places: Iterable[slice]) -> I64:
    return np.concatenate([np.arange(at.start, at.stop) for at in places])


def _pool(quotes: Quotes, forms: Mapping[str, Form], names: Mapping[str, Sequence[str]]) -> tuple[Tensor, Tensor]:
    """Take the sources one after another, each against the mean of those before; observe that they agree.

    Returns mean and variance of theta given its sources, (term of all parameters,): all at once, those
    that have no further source left as they are.
    """
    first = _joined(quotes.at[id_][0] for id_ in quotes.ids)
    width = max(at.stop for several in quotes.at.values() for at in several)
    mean, variance = product(picks(first, width), quotes.mean), quotes.variance[first]
    places, rounds = _places(quotes.ids, forms), max(len(quotes.at[id_]) for id_ in quotes.ids)
    found: list[tuple[list[str], Tensor, Tensor]] = []
    for k in range(1, rounds):
        more = [id_ for id_ in quotes.ids if len(quotes.at[id_]) > k]
        here = _joined(places[id_] for id_ in more)
        following = first.copy()
        following[here] = _joined(quotes.at[id_][k] for id_ in more)
        has = np.zeros(len(first))
        has[here] = 1.0
        total = variance + quotes.variance[following] * has + (1.0 - has)
        share = has * variance / total
        difference = product(picks(following, width), quotes.mean) - mean
        found.append((more, product(picks(here, len(first)), difference), pt.sqrt(total)[here]))
        mean, variance = mean + share * difference, variance * (1.0 - share)
    if found:
        _observe_agreement(names, forms, found)
    return mean, variance


def _observe_agreement(
    names: Mapping[str, Sequence[str]], forms: Mapping[str, Form], found: Sequence[tuple[list[str], Tensor, Tensor]]
) -> None:
    """Observe that differences are none, once whitened.

    found: by round, the parameters that have a further source, its differences and their sd, end to end
    """
    pairs = [(id_, k) for k, (more, _, _) in enumerate(found, 1) for id_ in more]
    ends = np.cumsum([len(forms[id_].terms) for id_, _ in pairs]).tolist()
    labels: list[str] = []
    order: list[int] = []
    blocks = []
    for id_, k in sorted(pairs, key=lambda pair: (list(names).index(pair[0]), pair[1])):
        form, end = forms[id_], ends[pairs.index((id_, k))]
        order += range(end - len(form.terms), end)
        blocks.append(np.linalg.inv(form.factor))
        pair = f"{id_}: {names[id_][k]}"
        labels += [f"{pair}, {term}" for term in form.terms] if len(form.terms) > 1 else [pair]
    pm.modelcontext(None).add_coords({"sources__pair": labels})
    whiten = block_diag(*blocks)[:, np.argsort(order)]
    edges = np.cumsum([0, *(sum(len(forms[id_].terms) for id_ in more) for more, _, _ in found)])
    white = [product(whiten[:, a:b], x) for (_, x, _), a, b in zip(found, edges[:-1], edges[1:], strict=True)]
    pm.Normal(
        "sources__agreement",
        sum(white[1:], white[0]),
        pt.concatenate([sd for _, _, sd in found])[order],
        observed=np.zeros(len(labels)),
        dims="sources__pair",
    )


# ---- names ---------------------------------------------------------------------------------------


def _name(id_: str, form: Form, link: Tensor) -> None:
    if form.entries:
        pm.modelcontext(None).add_coords({f"{id_}__entry": list(form.entries)})
        pm.Deterministic(id_, form.back(link), dims=f"{id_}__entry")
    else:
        pm.Deterministic(id_, form.back(link))


def _name_sources(id_: str, form: Form, classes: Sequence[str], said: Sequence[Tensor]) -> None:
    """Name what each class says by itself, before the deal's difference from it: `<parameter>__sources`."""
    pm.modelcontext(None).add_coords({f"{id_}__source": list(classes)})
    dims = (f"{id_}__source", *([f"{id_}__entry"] if form.entries else []))
    pm.Deterministic(f"{id_}__sources", pt.stack([form.back(x) for x in said]), dims=dims)


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
