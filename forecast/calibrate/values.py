"""What a deal takes from its classes: each parameter as a function of the classes' bases and effects."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from forecast.calibrate.predictor import Part
from forecast.calibrate.tables import contrast_row, rows_for
from forecast.deal.parameters import Reference

type Tensor = Any


def add_values(references: Mapping[str, Reference], parts: Mapping[str, Part]) -> None:
    """Name every parameter that comes from a class, and the effect of every level of the classes."""
    for part in parts.values():
        _name_effects(part)
    wanted = {id_: transfers(r, parts[r.reference]) for id_, r in references.items()}
    terms = [f"{id_}: {name}" for id_, names in wanted.items() for name in names]
    z: Tensor = None
    if terms:
        pm.modelcontext(None).add_coords({"class__transfer_term": terms})
        z = pm.Normal("class__transfer", dims="class__transfer_term")
    first = 0
    for id_, r in references.items():
        n = len(wanted[id_])
        shift = r.transfer_sd * z[first : first + n] if n else np.zeros(max(len(parts[r.reference].free), 1))
        first += n
        _name(id_, r, parts[r.reference], shift)


def transfers(r: Reference, part: Part) -> tuple[str, ...]:
    """Name the standard normals of a parameter's transfer term: one, or one a log ratio of all categories."""
    if r.transfer_sd == 0:
        return ()
    if part.used.kind == "shares" or (part.used.kind == "multinomial" and not (r.link or r.contrast)):
        return part.free
    return ("link",)


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


def _vector(id_: str, value: Tensor, labels: tuple[str, ...]) -> None:
    pm.modelcontext(None).add_coords({f"{id_}__entry": list(labels)})
    pm.Deterministic(id_, value, dims=f"{id_}__entry")


def _name(id_: str, r: Reference, part: Part, shift: Tensor) -> None:
    if part.used.kind in ("multinomial", "shares"):
        _name_category(id_, r, part, shift)
        return
    outcome = part.free.index(r.event) if r.event else 0
    effect = part.effect[:, outcome]
    if r.contrast:
        pm.Deterministic(id_, pt.dot(contrast_row(r, part.used, part.layout), effect) + shift[0])
        return
    if part.used.kind == "survival":
        log_ratio = _average(r, part, 0.0, effect, pt.exp, pt.log) + shift[0]
        scale = pt.exp(-part.base[0] - log_ratio / part.shape)
        _vector(id_, pt.stack([part.shape, scale]), ("shape", "scale"))
        return
    to_mean, to_link = (pt.exp, pt.log) if part.used.kind == "rates" else (pt.sigmoid, _logit)
    link = _average(r, part, part.base[outcome], effect, to_mean, to_link) + shift[0]
    if part.used.age_edges is not None:
        link = link + (part.layout.age_x @ effect if len(part.layout.groups) else np.zeros(1))
        _vector(id_, link if r.link else to_mean(link), part.used.age_labels)
    else:
        pm.Deterministic(id_, link if r.link else to_mean(link))


def _average(r: Reference, part: Part, base: Tensor, effect: Tensor, to_mean: Any, to_link: Any) -> Tensor:
    """Link of the mean over the covariates that `where` leaves out; the mean is taken of rates, not logs."""
    x, weight = rows_for(r, part.used, part.data, part.layout)
    link = base + x @ effect
    return link[0] if len(weight) == 1 else to_link(pt.dot(weight, to_mean(link)))


def _logit(p: Tensor) -> Tensor:
    return pt.log(p) - pt.log1p(-p)


def _name_category(id_: str, r: Reference, part: Part, shift: Tensor) -> None:
    outcomes = part.data.outcomes
    if r.contrast and r.category:
        effect = part.effect[:, part.free.index(r.category)]
        pm.Deterministic(id_, pt.dot(contrast_row(r, part.used, part.layout), effect) + shift[0])
        return
    x, weight = rows_for(r, part.used, part.data, part.layout)
    p = pt.special.softmax((part.base + x @ part.effect) @ part.to_logits.T, axis=-1)
    logits = pt.log(pt.dot(weight, p))
    if r.category and r.link:
        pm.Deterministic(id_, logits[outcomes.index(r.category)] - logits[0] + shift[0])
        return
    logits = logits + part.to_logits @ shift
    if r.category:
        pm.Deterministic(id_, pt.special.softmax(logits, axis=-1)[outcomes.index(r.category)])
    else:
        kept = [k for k, name in enumerate(outcomes) if name not in r.exclude]
        _vector(id_, pt.special.softmax(logits[kept], axis=-1), tuple(outcomes[k] for k in kept))
