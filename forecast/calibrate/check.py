"""Do the parameters of a deal ask for what their classes and experts can give? Quick to import."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from difflib import get_close_matches

from forecast.calibrate.check_joined import join_problems
from forecast.calibrate.reference_class import ReferenceClass
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Parameter, Reference
from forecast.errors import ReferenceClassError


def check_parameters(
    parameters: Mapping[str, Parameter],
    experts: Sequence[ExpertRow],
    classes: Mapping[str, ReferenceClass],
    as_of: date,
) -> list[str]:
    """List, one line each, what is wrong with where the parameters come from; empty if nothing is.

    `classes` are those that the parameters name, by id, whether or not cut at `as_of` already.
    """
    problems: list[str] = []
    for id_, p in parameters.items():
        key = f"parameters.{id_}"
        own: list[str] = []
        for n, r in enumerate(p.rests_on):
            place = f"references.{n}" if p.references else "reference"
            own += [f"{key}.{place}.{s}" for s in _reference(p, r, classes, as_of)]
        if p.experts is not None:
            own += [f"{key}.experts: {s}" for s in _answers(p.experts, experts, as_of)]
        problems += own or [f"{key}: {s}" for s in join_problems(p, parameters, classes)]
    return problems


def _answers(question: str, experts: Sequence[ExpertRow], as_of: date) -> Iterator[str]:
    """A question needs an answer given by the as-of date; later ones are left out of a fit."""
    given = [r.date for r in experts if r.question == question]
    if not given:
        yield f"no question {question!r}; {_closest(question, sorted({r.question for r in experts}), 'questions')}"
    elif min(given) > as_of:
        yield (
            f"nobody had answered {question!r} by {as_of} (first on {min(given)}); "
            "add an answer given by then, or move the as-of date"
        )


def _closest(name: str, names: Sequence[str] | Mapping[str, object], what: str) -> str:
    near = get_close_matches(name, list(names), n=1)
    return f"did you mean {near[0]!r}?" if near else f"{what}: {', '.join(names) or 'none'}"


def _reference(p: Parameter, ref: Reference, classes: Mapping[str, ReferenceClass], as_of: date) -> Iterator[str]:
    if ref.reference not in classes:
        yield f"class: no reference class {ref.reference!r}; {_closest(ref.reference, classes, 'classes')}"
        return
    used = classes[ref.reference]
    try:
        used.as_of(as_of)
    except ReferenceClassError as err:
        yield f"class: {err}"
    yield from _covariates(ref, used)
    yield from _event(ref, used)
    yield from _category(ref, used)
    yield from _shares(ref, used)
    yield from _value(ref, used)
    if used.kind == "survival" and ref.link:
        yield f"link: a Weibull has no single number on the link scale (class {used.id!r}); leave link out"
    yield from _unit(p, ref, used)


def _covariates(ref: Reference, used: ReferenceClass) -> Iterator[str]:
    wanted = [("where", name, level) for name, level in ref.where.items()]
    if ref.contrast:
        c = ref.contrast
        wanted += [("contrast", c.covariate, c.base), ("contrast", c.covariate, c.to)]
        if c.base == c.to:
            yield f"contrast: base and to are both {c.to!r}; a contrast needs two levels"
        if c.covariate in ref.where:
            yield f"contrast: {c.covariate!r} is fixed in where; leave it out there"
    for place, name, level in dict.fromkeys(wanted):
        if name not in used.covariates:
            hint = _closest(name, used.covariates, "covariates")
            yield f"{place}: class {used.id!r} has no covariate {name!r}; {hint}"
        elif level not in used.covariates[name]:
            hint = _closest(level, used.covariates[name], "levels")
            yield f"{place}.{name}: no level {level!r}; {hint}"


def _event(ref: Reference, used: ReferenceClass) -> Iterator[str]:
    events = used.events if used.kind == "rates" else ()
    if ref.event is not None and ref.event not in events:
        yield f"event: class {used.id!r} has no event {ref.event!r}; {_closest(ref.event, events, 'events')}"
    if ref.event is None and len(events) > 1:
        yield f"event: class {used.id!r} counts several; say which: {', '.join(events)}"


def _category(ref: Reference, used: ReferenceClass) -> Iterator[str]:
    categories = used.events if used.kind == "multinomial" else ()
    if ref.category is not None and ref.category not in categories:
        hint = _closest(ref.category, categories, "categories")
        yield f"category: class {used.id!r} has no category {ref.category!r}; {hint}"
    if categories and (ref.link or ref.contrast):
        first, others = categories[0], ", ".join(categories[1:])
        if ref.category is None:
            yield f"category: log-odds need one, against {first!r}: {others}"
        if ref.category == first:
            yield f"category: log-odds are taken against {first!r} itself; choose one of {others}"


def _value(ref: Reference, used: ReferenceClass) -> Iterator[str]:
    terms = used.events if used.kind == "choice" else ()
    if ref.value is not None and ref.value not in terms:
        yield f"value: class {used.id!r} has no term {ref.value!r}; {_closest(ref.value, terms, 'terms')}"
    if terms and ref.link:
        yield f"link: a utility has no other scale (class {used.id!r}); leave link out"
    if ref.value is not None and (ref.where or ref.contrast):
        yield "value: the utility of a term is the same at all levels; leave where and contrast out"


def _shares(ref: Reference, used: ReferenceClass) -> Iterator[str]:
    if used.kind != "shares":
        if ref.exclude:
            yield f"exclude: only shares have entries to leave out; class {used.id!r} is of kind {used.kind!r}"
        return
    for entry in ref.exclude:
        if entry not in used.events:
            yield f"exclude: no entry {entry!r}; {_closest(entry, used.events, 'entries')}"
    if len(set(used.events) - set(ref.exclude)) < 2:
        yield "exclude: at least two entries must remain"
    if ref.link or ref.contrast:
        yield f"link and contrast do not go with shares (class {used.id!r}); leave them out"


def _unit(p: Parameter, ref: Reference, used: ReferenceClass) -> Iterator[str]:
    """The unit has to be that of the number asked for."""
    odds = used.kind == "binomial" or (used.kind == "multinomial" and ref.category is not None)
    allowed: tuple[str, ...] = ()
    if ref.contrast:
        allowed = ("log ratio",)
    elif ref.link and used.kind == "rates":
        allowed = ("log rate", "log ratio")
    elif ref.link and odds:
        allowed = ("logit", "log ratio")
    elif used.kind == "rates":
        allowed = ("per year",)
    elif odds:
        allowed = ("probability",)
    elif used.kind == "choice":
        allowed = ("utility",)
    if allowed and p.unit not in allowed:
        yield f"class: the unit of such a number is {allowed[0]!r} (unit says {p.unit!r})"
