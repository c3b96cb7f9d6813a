"""From the records of a reference class to the table and the prior that its model is built from."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np

from forecast.calibrate.classfile import (
    BinomialClass,
    ChoiceClass,
    ClassFile,
    MultinomialClass,
    RatesClass,
    SharesClass,
    SurvivalClass,
)
from forecast.calibrate.records import Prior, Record, Table, content_of
from forecast.types import F64, years_between


def describe(file: ClassFile, records: tuple[Record, ...], day: date | None = None) -> dict[str, Any]:
    """Return the fields of a ReferenceClass that a model reads, as of `day`.

    Periods that had not begun by then are left out. A survival class with a piecewise hazard becomes
    rates, its event named after the event's column.
    """
    common: dict[str, Any] = {
        "kind": file.kind,
        "covariates": {name: tuple(sorted(levels)) for name, levels in file.covariates.items()} | _period(file, day),
        "period": file.period.column if file.period else None,
        "age_edges": None,
        "age_labels": (),
        "content": content_of(file, records),
    }
    match file:
        case RatesClass():
            return common | _rates(file, records)
        case BinomialClass():
            return common | _binomial(file, records)
        case ChoiceClass():
            return common | _choice(file, records)
        case MultinomialClass():
            return common | _multinomial(file, records)
        case SharesClass():
            return common | _shares(file, records)
        case SurvivalClass():
            return common | (_piecewise if file.columns.family == "piecewise" else _weibull)(file, records)


def _period(file: ClassFile, day: date | None) -> dict[str, tuple[str, ...]]:
    if file.period is None:
        return {}
    begun = [name for name, year in file.period.starts.items() if day is None or year <= day.year]
    return {file.period.column: tuple(begun or list(file.period.starts)[:1])}


def _prior(file: ClassFile, centres: Mapping[str, float], **more: Any) -> Prior:
    p = file.prior
    centre = float(np.mean(list(centres.values()))) if centres else 0.0
    return Prior(centre, p.sd, p.covariate_sd, p.age_sd, p.shape_sd, centres=centres, period_sd=p.period_sd, **more)


def _levels(file: ClassFile, records: Sequence[Record]) -> dict[str, tuple[str, ...]]:
    names = [*file.covariates, *([file.period.column] if file.period else [])]
    return {name: tuple(r.levels[name] for r in records) for name in names}


def _numbers(columns: Mapping[str, str], records: Sequence[Record]) -> dict[str, F64]:
    return {name: np.array([r.numbers[c] for r in records]) for name, c in columns.items()}


def _age(edges: tuple[float, ...], labels: tuple[str, ...]) -> dict[str, Any]:
    """One bin is no bin: the rate is then a number, not a vector."""
    if len(edges) < 2:
        return {}
    return {"age_edges": np.array([*edges, np.inf]), "age_labels": labels}


def _rates(file: RatesClass, records: tuple[Record, ...]) -> dict[str, Any]:
    c = file.columns
    numbers = {"exposure": c.exposure} | c.events
    age = c.age
    index = np.array([age.bins.index(r.levels[age.column]) for r in records], np.int64) if age else None
    return {
        "events": tuple(c.events),
        "prior": _prior(file, {e: float(np.log(file.prior.centre[e])) for e in c.events}),
        "table": Table(_levels(file, records), _numbers(numbers, records), index),
        **(_age(age.edges, age.bins) if age else {}),
    }


def _binomial(file: BinomialClass, records: tuple[Record, ...]) -> dict[str, Any]:
    c, p = file.columns, file.prior.centre
    numbers = {"successes": c.successes, "trials": c.trials}
    return {
        "events": (),
        "prior": _prior(file, {"success": float(np.log(p / (1 - p)))}),
        "table": Table(_levels(file, records), _numbers(numbers, records)),
    }


def _choice(file: ChoiceClass, records: tuple[Record, ...]) -> dict[str, Any]:
    """The base of its log-odds is what an empty offer has: minus the reservation."""
    c, p = file.columns, file.prior
    numbers = {"accepted": c.accepted, "offers": c.offers} | c.terms
    return {
        "events": tuple(c.terms),
        "prior": _prior(file, {"acceptance": -p.reservation}, values=p.values, value_sd=p.value_sd),
        "table": Table(_levels(file, records), _numbers(numbers, records)),
    }


def _multinomial(file: MultinomialClass, records: tuple[Record, ...]) -> dict[str, Any]:
    names, p = tuple(file.columns.categories), file.prior.centre
    return {
        "events": names,
        "prior": _prior(file, {k: float(np.log(p[k] / p[names[0]])) for k in names[1:]}),
        "table": Table(_levels(file, records), _numbers(file.columns.categories, records)),
    }


def _shares(file: SharesClass, records: tuple[Record, ...]) -> dict[str, Any]:
    """One row a group: its latest window, as shares times `effective_n`, or fewer where it is small.

    A group that bought less than `effective_n` lots counts as as many decisions as it bought lots.
    """
    c = file.columns
    latest: dict[str, str] = {}
    for r in records:
        latest[r.levels[c.group]] = max(latest.get(r.levels[c.group], ""), r.levels[c.window])
    amount = {group: dict.fromkeys(c.entries, 0.0) for group in sorted(latest)}
    for r in records:
        group = r.levels[c.group]
        if r.levels[c.window] == latest[group]:
            amount[group][r.levels[c.entry]] += r.numbers[c.amount]
    total = {group: sum(row.values()) for group, row in amount.items()}
    groups = [group for group in amount if total[group] > 0]
    worth = [min(c.effective_n, total[group] / c.lot) / total[group] for group in groups]
    columns = {c.group: tuple(groups), c.window: tuple(latest[group] for group in groups)}
    numbers = {e: np.array([w * amount[g][e] for g, w in zip(groups, worth, strict=True)]) for e in c.entries}
    return {
        "events": c.entries,
        "prior": _prior(file, {}, concentration=c.effective_n - 1.0),
        "table": Table(columns, numbers),
    }


def _spells(file: SurvivalClass, records: Sequence[Record]) -> tuple[F64, F64, F64]:
    """Years since start at entry and at exit, and whether the event came; each (case,)."""
    c, shortest = file.columns, file.columns.shortest
    entry, leaves, event = [], [], []
    for r in records:
        start: date = r.day(c.start)
        begin = r.days[c.entry] if c.entry else None
        entry.append(max(years_between(start, begin), 0.0) if begin else 0.0)
        end = r.days[c.event]
        leaves.append(max(years_between(start, end or r.day(c.followed_to)), entry[-1] + (shortest if end else 0.0)))
        event.append(float(end is not None))
    return np.array(entry), np.array(leaves), np.array(event)


def _weibull(file: SurvivalClass, records: tuple[Record, ...]) -> dict[str, Any]:
    """Cases without any time at risk bear on nothing and are left out."""
    entry, leaves, event = _spells(file, records)
    keep = leaves > entry
    kept = [r for r, k in zip(records, keep, strict=True) if k]
    numbers = {"entry": entry[keep], "exit": leaves[keep], "event": event[keep]}
    return {
        "events": (),
        "prior": _prior(file, {"scale": float(np.log(file.prior.centre))}),
        "table": Table(_levels(file, kept), numbers),
    }


def _piecewise(file: SurvivalClass, records: tuple[Record, ...]) -> dict[str, Any]:
    """Cut each case at the edges: a constant hazard in each bin is a rate with that much exposure."""
    entry, leaves, happened = _spells(file, records)
    lower, event = file.columns.edges, file.columns.event
    edges = np.array([*lower, np.inf])
    inside = np.clip(leaves[:, None], edges[:-1], edges[1:]) - np.clip(entry[:, None], edges[:-1], edges[1:])
    case, age = np.nonzero(inside > 0)
    last = np.searchsorted(edges, leaves, side="left") - 1
    numbers = {"exposure": inside[case, age], event: happened[case] * (age == last[case])}
    labels = (*(f"{a:g}-{b:g}" for a, b in pairwise(lower)), f"{lower[-1]:g}+")
    several = len(lower) > 1
    return {
        "kind": "rates",
        "events": (event,),
        "prior": _prior(file, {event: float(np.log(file.prior.centre))}),
        "table": Table(_levels(file, [records[i] for i in case]), numbers, age.astype(np.int64) if several else None),
        **_age(lower, labels),
    }
