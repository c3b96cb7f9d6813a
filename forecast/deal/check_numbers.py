"""Where a deal's numbers come from: names that exist, units that fit, values that their unit allows."""

import math
from collections.abc import Iterator, Mapping

from forecast.deal.experts import ExpertRow
from forecast.deal.model import Deal, DealFile
from forecast.deal.parameters import Parameter
from forecast.deal.spec import Frozen
from forecast.deal.words import closest

# Field that names a parameter → the unit that the parameter must have (None: any).
REFERENCES: dict[str, str | None] = {
    "absent": "log ratio",
    "amount": None,
    "change": "probability",
    "collapse": "per year",
    "cut": "probability",
    "default": "logit",
    "discount": "per year",
    "ends_deal": "probability",
    "exit_irregular": "per year",
    "exit_regular": "per year",
    "happens": "probability",
    "hazard": "per year",
    "if_oral": "log ratio",
    "if_unverified": "log ratio",
    "imports": None,
    "late": "logit",
    "log_ratio": "log ratio",
    "logit": "logit",
    "noise": "utility",
    "opposes": "probability",
    "opposes_irregular": "probability",
    "opposes_regular": "probability",
    "oral_worth": "probability",
    "over": None,
    "parameters": None,
    "probability": "probability",
    "rate": "per year",
    "refusal": "per year",
    "replaced": "probability",
    "repudiates": "per year",
    "reservation": "utility",
    "returning_opposes": "probability",
    "reversal": "per year",
    "scale": "years",
    "shape": "1",
    "shares": None,
    "unverified_worth": "probability",
    "values": "utility",
    "violation": "per year",
    "weibull_scale": "years",
    "weibull_shape": "1",
    "withdraws": "per year",
    "withdraws_opposed": "per year",
}
SCALE_OF_UNIT = {"probability": "probability", "log ratio": "real", "logit": "real", "utility": "real"}


def held_problem(file: DealFile, name: str, value: object) -> str | None:
    """Say why a parameter of the deal cannot be held at a value; None if it can."""
    unit = file.parameters[name].unit
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return f"{value!r} is not a finite number"
    if unit == "probability" and not 0 < value < 1:
        return f"{value} is no probability strictly between 0 and 1"
    if name in noises(file) and value <= 0:
        return f"{value}: the noise of decisions must be more than 0"
    if unit in ("per year", "years") and value < 0:
        return f"{value} is negative, but the unit is {unit!r}"
    return None


def references(file: DealFile) -> Iterator[tuple[str, str, str | None]]:
    """(key, parameter reference, unit wanted) everywhere in a file."""
    return _uses(file, "")


def _uses(value: object, key: str) -> Iterator[tuple[str, str, str | None]]:
    """(key, parameter reference, unit wanted) everywhere in the file."""
    if not isinstance(value, Frozen):
        return
    for name in type(value).model_fields:
        if isinstance(value, DealFile) and name == "parameters":
            continue
        yield from _uses_in(getattr(value, name), f"{key}.{name}" if key else name, name)


def _uses_in(value: object, key: str, name: str) -> Iterator[tuple[str, str, str | None]]:
    if isinstance(value, str) and name in REFERENCES:
        yield key, value, REFERENCES[name]
    elif isinstance(value, dict):
        for k, v in value.items():
            yield from _uses_in(v, f"{key}.{k}", name)
    elif isinstance(value, tuple):
        for n, v in enumerate(value):
            yield from _uses_in(v, f"{key}.{n}", name)
    else:
        yield from _uses(value, key)


def parameter_problems(deal: Deal) -> Iterator[str]:
    """Say what is wrong with parameters, and with the places that name them."""
    file = deal.file
    derived = {d.id for d in file.primitives.derived}
    known = [*file.parameters, *derived]
    for key, ref, unit in references(file):
        name = ref.split("[")[0]
        parameter = file.parameters.get(name)
        if name not in known:
            yield f"{key}: no parameter {name!r}; {closest(name, known, 'parameters')}"
        elif parameter and unit and "[" not in ref and parameter.unit != unit:
            yield f"{key}: needs a parameter with unit {unit!r}, but {name!r} has unit {parameter.unit!r}"
    rows: dict[str, list[ExpertRow]] = {}
    for r in deal.experts:
        rows.setdefault(r.question, []).append(r)
    for name, p in file.parameters.items():
        yield from _origin(file, name, p, rows)


def noises(file: DealFile) -> set[str]:
    """Parameters that stand for the noise of decisions."""
    return {p.noise for p in file.parties.values() if p.noise}


def _origin(file: DealFile, name: str, p: Parameter, rows: Mapping[str, list[ExpertRow]]) -> Iterator[str]:
    key = f"parameters.{name}"
    if p.experts:
        answers = rows.get(p.experts, [])
        scale = SCALE_OF_UNIT.get(p.unit, "positive")
        if not answers:
            near = closest(p.experts, list(rows), "questions")
            yield f"{key}.experts: no question {p.experts!r} in experts.csv; {near}"
        for row in answers:
            if row.scale != scale:
                yield f"{key}.experts: unit {p.unit!r} needs scale {scale!r} in experts.csv (got {row.scale!r})"
            if row.unit != p.unit:
                yield f"{key}.experts: experts.csv has unit {row.unit!r} ({row.expert}), the parameter {p.unit!r}"
    family = p.distribution.family if p.distribution else ""
    positive = family in ("lognormal", "gamma", "halfnormal") or (p.constant or 0) > 0
    if name in noises(file) and not positive:
        yield f"{key}: the noise of decisions must be more than 0: a positive constant, or a lognormal or gamma"
    if p.constant is not None:
        if p.unit == "probability" and not 0 < p.constant < 1:
            yield f"{key}.constant: a probability must lie strictly between 0 and 1 (got {p.constant})"
        if p.unit == "per year" and p.constant < 0:
            yield f"{key}.constant: a rate cannot be negative (got {p.constant})"
        if p.unit == "years" and p.constant <= 0:
            yield f"{key}.constant: must be more than 0 years (got {p.constant})"
    if p.distribution:
        yield from _support(key, p)


def _support(key: str, p: Parameter) -> Iterator[str]:
    """A distribution must not reach values that its unit rules out."""
    d = p.distribution
    if d is None:
        return
    low, high = (d.lower, d.upper) if d.lower is not None and d.upper is not None else (None, None)
    if p.unit == "probability" and (
        d.family not in ("beta", "uniform") or (low is not None and low < 0) or (high or 0) > 1
    ):
        yield f"{key}.distribution: a probability takes a beta, or a uniform between 0 and 1 (got {d.family})"
    if p.unit in ("per year", "years") and (d.family == "normal" or (low is not None and low < 0)):
        yield f"{key}.distribution: {p.unit!r} takes a lognormal or gamma, or a uniform from 0 up (got {d.family})"


def unused(deal: Deal) -> Iterator[str]:
    """Name parameters and questions that nothing uses."""
    used = {ref.split("[")[0] for _, ref, _ in references(deal.file)}
    for name in deal.file.parameters:
        if name not in used:
            yield f"parameters.{name}: nothing uses it; use it or take it out"
    asked = {p.experts for p in deal.file.parameters.values() if p.experts} | {s.question for s in deal.seeds}
    for question in dict.fromkeys(r.question for r in deal.experts):
        if question not in asked:
            yield f"experts.csv: no parameter takes its number from {question!r}, nor is it a seed: take it out"
