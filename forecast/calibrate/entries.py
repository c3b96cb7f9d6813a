"""Which parameters have several entries, and whether the deal takes them as it should."""

from collections.abc import Iterator, Mapping

from forecast.calibrate.ages import common_ages
from forecast.calibrate.reference import ReferenceClass
from forecast.deal.check_numbers import references
from forecast.deal.model import DealFile
from forecast.deal.parameters import Parameter
from forecast.deal.words import closest

# Fields that take a rate by age bins: each has a clock.
BY_AGE = frozenset(
    {"violation", "reversal", "refusal", "hazard", "repudiates", "withdraws", "withdraws_opposed"}
    | {"exit_regular", "exit_irregular", "rate"}
)


def entries_of(parameter: Parameter, classes: Mapping[str, ReferenceClass]) -> tuple[str, ...]:
    """Names of a parameter's entries: age bins, categories, shares, shape and scale; none if it is one number."""
    if not parameter.rests_on or parameter.rests_on[0].contrast:
        return ()
    r = parameter.rests_on[0]
    used = classes[r.reference]
    if used.kind == "survival":
        return ("shape", "scale")
    if used.kind == "rates" and used.age_edges is not None:
        return common_ages([classes[r.reference] for r in parameter.rests_on])[1]
    if used.kind == "shares" or (used.kind == "multinomial" and not r.category):
        return tuple(e for e in used.events if e not in r.exclude)
    return ()


def entry_problems(file: DealFile, classes: Mapping[str, ReferenceClass]) -> Iterator[str]:
    """Say where an entry is named that is not there, or none is named of several."""
    entries = {name: entries_of(p, classes) for name, p in file.parameters.items()}
    aged = {
        name
        for name, p in file.parameters.items()
        if entries[name] and classes[p.rests_on[0].reference].age_edges is not None
    }
    for key, ref, _ in references(file):
        name, _, entry = ref.rstrip("]").partition("[")
        known = entries.get(name, ())
        field = next(step for step in reversed(key.split(".")) if not step.isdigit())
        if entry and entry not in known:
            yield f"{key}: {name!r} has no entry {entry!r}; {closest(entry, known, 'entries')}"
        elif known and not entry and field != "shares" and not (name in aged and field in BY_AGE):
            yield f"{key}: {name!r} has several entries; name one, as in {name}[{known[0]}]"
    for n, h in enumerate(file.primitives.hazards):
        if h.rate in aged and h.clock is None:
            yield f"primitives.hazards.{n}: {h.rate!r} goes by age, so the hazard needs a clock"
    for id_, m in file.markets.items():
        for buyer_id, buyer in m.buyers.items():
            known = entries.get(buyer.shares, ())
            for supplier, wanted in m.suppliers.items():
                for entry in wanted:
                    if entry not in known:
                        near = f"{buyer.shares!r} ({buyer_id}) has no {entry!r}; {closest(entry, known, 'entries')}"
                        yield f"markets.{id_}.suppliers.{supplier}: {near}"
            named = {e for wanted in m.suppliers.values() for e in wanted}
            if left := [e for e in known if e not in named]:
                yield f"markets.{id_}.suppliers: nobody stands for {', '.join(left)} of {buyer.shares!r}; add them"
