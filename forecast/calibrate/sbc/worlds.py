"""Made-up reference classes, and data drawn from known numbers by plain numpy: no code is shared with the models."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from forecast.calibrate.classfile import CLASS_FILE, UNITS, ClassFile
from forecast.calibrate.records import Record
from forecast.calibrate.reference_class import ReferenceClass, build_class
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Parameter, Reference
from forecast.types import DAYS_PER_YEAR, F64

Z95 = 1.6448536269514722  # standard normal quantile of 0.95
BACK: Mapping[str, Callable[[F64], F64]] = {
    "probability": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "positive": np.exp,
    "real": lambda x: x,
}
AS_OF, KNOWN, START = date(2020, 1, 1), date(2019, 12, 31), date(1990, 1, 1)


@dataclass(frozen=True)
class World:
    """What `build_model` needs."""

    parameters: Mapping[str, Parameter]
    classes: Mapping[str, ReferenceClass] = field(default_factory=dict)
    experts: Sequence[ExpertRow] = ()


def class_file(id_: str, kind: str, columns: Mapping[str, Any], prior: Mapping[str, Any], **more: Any) -> ClassFile:
    """Describe a class, as class.toml would."""
    return CLASS_FILE.validate_python(
        {
            "id": id_,
            "title": "Made up",
            "question": "Is the truth recovered?",
            "kind": kind,
            "unit": UNITS[kind][0],
            "citation": ["none: simulated"],
            "licence": "none needed",
            "derived_by": "simulated from known numbers",
            "table": {"file": "table.csv", "key": ["row"]},
            "columns": dict(columns),
            "prior": {"why": "made up", **prior},
            **more,
        }
    )


def record(
    line: int,
    levels: Mapping[str, str],
    numbers: Mapping[str, float] | None = None,
    days: Mapping[str, date | None] | None = None,
) -> Record:
    """One row of a table."""
    return Record(line, KNOWN, dict(levels), dict(numbers or {}), dict(days or {}))


def filled(file: ClassFile, records: Sequence[Record]) -> dict[str, ReferenceClass]:
    """Put a class and its rows together, under its id."""
    return {file.id: build_class(file, Path("made_up"), tuple(records))}


def taken(id_: str, class_: str, unit: str, where: Mapping[str, str] | None = None, **more: Any) -> Parameter:
    """Ask for a parameter of a class, without a transfer term."""
    reference = Reference(**{"class": class_}, where=dict(where or {}), transfer_sd=0.0, **more)
    return Parameter(id=id_, label=id_, unit=unit, reference=reference, rationale="made up")


def by_id(*parameters: Parameter) -> dict[str, Parameter]:
    """Parameters by their ids."""
    return {p.id: p for p in parameters}


def answer(question: str, expert: str, scale: str, middle: float, sd: float) -> ExpertRow:
    """One expert's answer: the 5, 50 and 95% quantiles of a normal on the link scale."""
    quantiles = dict(zip(("p05", "p50", "p95"), BACK[scale](middle + sd * np.array([-Z95, 0.0, Z95])), strict=True))
    fields = {"question": question, "expert": expert, "date": date(2019, 6, 1), "asked": "What will it be?"}
    return ExpertRow.model_validate({**fields, **quantiles, "scale": scale, "unit": "1", "why": "made up for a check"})


# ---- spells: a case is watched from `entry` to `leave` (years) and ends at a time after its entry -----------


@dataclass(frozen=True)
class Watch:
    """Who was watched from when to when: level of the covariate, years at entry and at the end of follow-up."""

    mood: str
    entry: float
    leave: float


def watches(moods: Sequence[str], n: int, latest: float, seed: int) -> list[Watch]:
    """Lay out cases, a third of them watched from the start and the others from later on."""
    rng = np.random.default_rng(seed)
    found = []
    for mood in moods:
        entry = np.where(np.arange(n) % 3 == 0, 0.0, rng.uniform(0.1, latest, n))
        leave = entry + rng.uniform(1.0, 12.0, n)
        found += [Watch(mood, float(a), float(b)) for a, b in zip(entry, leave, strict=True)]
    return found


def spell(line: int, watch: Watch, end: float) -> Record:
    """Write one case as dates; an end after the follow-up is censored, none comes before the entry."""
    first, last = _day(watch.entry), _day(watch.leave)
    ended = max(_day(end), first) if end < watch.leave else None
    days = {"start": START, "entry": first, "ended": ended, "followed": last}
    return record(line, {"mood": watch.mood}, days=days)


def _day(years: float) -> date:
    return START + timedelta(days=round(years * DAYS_PER_YEAR))


def weibull_end(law: F64, entry: float, unit_exp: float) -> float:
    """Time T > entry with cumulative hazard H(T) = H(entry) + Exp(1), H(t) = (t / scale)^shape; law: shape, scale."""
    shape, scale = law
    return float(scale * ((entry / scale) ** shape + unit_exp) ** (1.0 / shape))


def piecewise_end(rate: F64, edges: Sequence[float], entry: float, unit_exp: float) -> float:
    """Time T > entry for a rate that is constant between the lower edges of its bins."""
    t, budget = entry, unit_exp
    for k, upper in enumerate([*edges[1:], np.inf]):
        if upper <= t:
            continue
        if budget <= rate[k] * (upper - t):
            return float(t + budget / rate[k])
        budget, t = budget - rate[k] * (upper - t), upper
    raise AssertionError("the last bin is open")
