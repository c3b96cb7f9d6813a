"""Do several sources of one parameter speak of the same number? Quick to import."""

from collections.abc import Iterator, Mapping

from forecast.calibrate.reference_class import ReferenceClass
from forecast.deal.parameters import Parameter, Reference


def join_problems(
    p: Parameter, parameters: Mapping[str, Parameter], classes: Mapping[str, ReferenceClass]
) -> Iterator[str]:
    """Say why the sources of a parameter can't be joined; nothing where there is one, or they can."""
    if len(p.rests_on) + (p.experts is not None) < 2 or not p.rests_on:
        return
    forms = {r.reference: _form(r, classes[r.reference]) for r in p.rests_on}
    first, *others = forms.items()
    for name, form in others:
        if form != first[1]:
            yield f"{first[0]} gives {first[1]}, {name} {form}; join classes that give the same kind of number"
    if any("shape and scale" in form for form in forms.values()):
        yield "the shape and scale of a Weibull come from one class; leave the other sources out"
    if p.experts is None:
        return
    if not first[1].startswith("one "):
        yield f"{first[0]} gives {first[1]}, and experts answer one number; let them answer for another parameter"
    shared = [id_ for id_, other in parameters.items() if other.experts == p.experts and id_ != p.id]
    if shared:
        yield (
            f"experts: {p.experts!r} serves {', '.join(shared)} too; a question that is joined with a class "
            "serves one parameter"
        )


def _form(r: Reference, used: ReferenceClass) -> str:
    """What kind of number a class gives."""
    if r.contrast:
        return "one log ratio of rates" if used.kind == "rates" else "one log-odds ratio"
    logs = "log " if r.link else ""
    rates = f"{logs}rates by age" if used.age_edges is not None else f"one {logs}rate"
    fixed = {"choice": "one utility", "survival": "shape and scale of a Weibull", "rates": rates}
    if used.kind in fixed:
        return fixed[used.kind]
    if used.kind == "multinomial" and r.category and r.link:
        return f"one log-odds against {used.events[0]}"
    if used.kind == "binomial" or r.category:
        return "one log-odds" if r.link else "one probability"
    return f"parts named {', '.join(e for e in used.events if e not in r.exclude)}"
