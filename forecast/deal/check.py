"""What the shape of a deal file cannot show: names that must exist, dates in order, units that fit."""

from collections.abc import Iterator, Mapping
from datetime import date
from difflib import get_close_matches

from forecast.deal.check_process import process_problems
from forecast.deal.expand import expand
from forecast.deal.model import Deal, DealFile, Delivery
from forecast.deal.parameters import ExpertRow, Parameter
from forecast.deal.spec import Frozen, Process
from forecast.types import horizon_date

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
RESERVED = ("talks", "verification", "signed", "signing", "no_deal", "in_force", "talks_open")


def problems_of(deal: Deal, *, strict: bool = True) -> list[str]:
    """One line a problem; none if the deal can be expanded and compiled.

    `strict` also refuses parameters and experts' answers that nothing uses. What-if changes leave
    some unused, and so switch it off.
    """
    file = deal.file
    found = [
        *_names(file),
        *_parties(file),
        *_markets_and_cascades(file),
        *_negotiation(file),
        *_dates(file),
        *_sequence(file),
    ]
    found += [*_parameters(deal), *(_unused(deal) if strict else ())]
    if found:
        return found
    process = expand(deal)
    return [*process_problems(process), *_flags(file, process)]


def _closest(name: str, known: list[str], what: str) -> str:
    near = get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"{what}: {', '.join(sorted(known)) or 'none'}"


def _names(file: DealFile) -> Iterator[str]:
    """Names of words become names of flags and events, so they must differ across tables."""
    tables = ("clauses", "promises", "elections", "leaders", "breakdowns", "calendar", "parties")
    seen: dict[str, str] = {}
    for table in tables:
        for id_ in getattr(file, table):
            if id_ in RESERVED:
                yield f"{table}.{id_}: {id_!r} is reserved; choose another name"
            if id_ in seen:
                yield f"{table}.{id_}: {id_!r} is also the name of one of {seen[id_]}; choose another name"
            seen[id_] = table


def _parties(file: DealFile) -> Iterator[str]:
    known = list(file.parties)
    obligations = {**file.clauses, **file.promises}
    uses = [
        (f"{t}.{i}.obliged", p) for t in ("clauses", "promises") for i, o in getattr(file, t).items() for p in o.obliged
    ]
    uses += [(f"elections.{i}.party", e.party) for i, e in file.elections.items()]
    uses += [(f"leaders.{i}.party", x.party) for i, x in file.leaders.items()]
    if file.verification:
        uses.append(("verification.inspected", file.verification.inspected))
        for c in file.verification.clauses:
            if c not in obligations:
                yield f"verification.clauses: no clause or promise {c!r}; {_closest(c, list(obligations), 'known')}"
    for key, party in uses:
        if party not in known:
            yield f"{key}: no party {party!r}; {_closest(party, known, 'parties')}"
    for id_, p in file.parties.items():
        for c in p.values:
            if c not in obligations:
                yield f"parties.{id_}.values.{c}: no clause or promise {c!r}; {_closest(c, list(obligations), 'known')}"


def _markets_and_cascades(file: DealFile) -> Iterator[str]:
    obligations = {**file.clauses, **file.promises}
    for id_, m in file.markets.items():
        if m.during not in obligations:
            yield f"markets.{id_}.during: no clause {m.during!r}; {_closest(m.during, list(obligations), 'known')}"
    risks = [*obligations, *file.breakdowns, *file.elections, *file.leaders, "verification", "talks"]
    for n, cascade in enumerate(file.cascades):
        for risk in cascade.on:
            if risk not in risks:
                yield f"cascades.{n}.on: nothing called {risk!r} can break; {_closest(risk, risks, 'known')}"


def _negotiation(file: DealFile) -> Iterator[str]:
    n, signers = file.negotiation, [i for i, p in file.parties.items() if p.signs]
    if (n is None) == (file.deal.signed_on is None):
        yield "negotiation: give either a [negotiation] or deal.signed_on (for a deal already in force)"
    if n is None:
        return
    if not signers:
        yield "parties: at least one party must have signs = true"
    for id_ in signers:
        party = file.parties[id_]
        for key in ("reservation", "noise"):
            if getattr(party, key) is None:
                yield f"parties.{id_}.{key}: is required for a party that signs"
        if not party.at_table and party.absent is None:
            yield f"parties.{id_}.absent: is required for a party that signs and is not at the table"
    oral = any(not o.binding for o in {**file.clauses, **file.promises}.values())
    if oral and n.oral_worth is None:
        yield "negotiation.oral_worth: is required where a clause or promise has binding = false"
    if file.verification and not file.verification.agreed and n.unverified_worth is None:
        yield "negotiation.unverified_worth: is required where verification.agreed = false"


def _dates(file: DealFile) -> Iterator[str]:
    start = file.deal.as_of
    end = horizon_date(start, file.deal.horizon)

    def within(key: str, day: date, first: date = start, what: str = "the as-of date") -> Iterator[str]:
        if day < first:
            yield f"{key}: {day} is before {what} {first}"
        elif day > end:
            yield f"{key}: {day} is after the horizon {end}"

    if file.negotiation:
        yield from within("negotiation.first", file.negotiation.first)
        yield from within("negotiation.last", file.negotiation.last, file.negotiation.first, "the first round")
    if file.deal.signed_on and file.deal.signed_on > start:
        yield f"deal.signed_on: {file.deal.signed_on} is after the as-of date {start}"
    for id_, e in file.elections.items():
        for n, vote in enumerate(e.votes):
            yield from within(f"elections.{id_}.votes.{n}.date", vote.date)
            yield from within(f"elections.{id_}.votes.{n}.takes_office", vote.takes_office, vote.date, "the vote")
    for id_, x in file.leaders.items():
        if x.in_office_since > start:
            yield f"leaders.{id_}.in_office_since: {x.in_office_since} is after the as-of date {start}"
    for id_, c in file.calendar.items():
        yield from within(f"calendar.{id_}.date", c.date)
    for n, h in enumerate(file.headline):
        yield from within(f"headline.{n}.date", h.date)


def _sequence(file: DealFile) -> Iterator[str]:
    """`after` must name delivery clauses, and not go round in a circle."""
    after = {i: c.after for i, c in file.clauses.items() if isinstance(c, Delivery) and c.after}
    deliveries = [i for i, c in file.clauses.items() if isinstance(c, Delivery)]
    for id_, before in after.items():
        if before not in deliveries:
            near = _closest(before, deliveries, "delivery clauses")
            yield f"clauses.{id_}.after: no delivery clause {before!r}; {near}"
    reported: set[str] = set()
    for id_ in after:
        chain = [id_]
        while (step := after.get(chain[-1])) and step not in chain:
            chain.append(step)
        if step == id_ and not reported & set(chain):
            reported |= set(chain)
            yield (
                f"clauses.{id_}.after: deadlines in a circle: {' → '.join([*chain, id_])}; "
                "let one of them run from the signature"
            )


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


def _parameters(deal: Deal) -> Iterator[str]:
    file = deal.file
    derived = {d.id for d in file.primitives.derived}
    known = [*file.parameters, *derived]
    for key, ref, unit in _uses(file, ""):
        name = ref.split("[")[0]
        parameter = file.parameters.get(name)
        if name not in known:
            yield f"{key}: no parameter {name!r}; {_closest(name, known, 'parameters')}"
        elif parameter and unit and "[" not in ref and parameter.unit != unit:
            yield f"{key}: needs a parameter with unit {unit!r}, but {name!r} has unit {parameter.unit!r}"
    rows = {r.question: r for r in deal.experts}
    for name, p in file.parameters.items():
        yield from _origin(name, p, rows)


def _origin(name: str, p: Parameter, rows: Mapping[str, ExpertRow]) -> Iterator[str]:
    key = f"parameters.{name}"
    if p.experts:
        row = rows.get(p.experts)
        scale = SCALE_OF_UNIT.get(p.unit, "positive")
        if row is None:
            near = _closest(p.experts, list(rows), "questions")
            yield f"{key}.experts: no question {p.experts!r} in experts.csv; {near}"
        elif row.scale != scale:
            yield f"{key}.experts: unit {p.unit!r} needs scale {scale!r} in experts.csv (got {row.scale!r})"
    if p.constant is not None:
        if p.unit == "probability" and not 0 < p.constant < 1:
            yield f"{key}.constant: a probability must lie strictly between 0 and 1 (got {p.constant})"
        if p.unit == "per year" and p.constant < 0:
            yield f"{key}.constant: a rate cannot be negative (got {p.constant})"
        if p.unit == "years" and p.constant <= 0:
            yield f"{key}.constant: must be more than 0 years (got {p.constant})"
    if p.distribution and p.unit == "probability" and p.distribution.family not in ("beta", "uniform"):
        yield f"{key}.distribution: a probability takes a beta or uniform distribution (got {p.distribution.family})"
    if p.distribution and p.unit == "per year" and p.distribution.family in ("normal",):
        yield f"{key}.distribution: a rate takes a lognormal or gamma distribution, not a normal one"


def _unused(deal: Deal) -> Iterator[str]:
    used = {ref.split("[")[0] for _, ref, _ in _uses(deal.file, "")}
    for name in deal.file.parameters:
        if name not in used:
            yield f"parameters.{name}: nothing uses it; use it or take it out"
    asked = {p.experts for p in deal.file.parameters.values() if p.experts}
    for question in dict.fromkeys(r.question for r in deal.experts):
        if question not in asked:
            yield f"experts.csv: no parameter takes its number from question {question!r}; use it or take it out"


def _flags(file: DealFile, process: Process) -> Iterator[str]:
    """Flags, causes and outcomes that the file names must exist in the process."""
    flags = [f.id for f in process.flags]
    causes = [c.id for c in process.causes]
    outcomes = [o.id for o in process.outcomes]
    uses = [(f"headline.{n}.state", h.state, flags) for n, h in enumerate(file.headline)]
    uses += [(f"headline.{n}.outcome", h.outcome, outcomes) for n, h in enumerate(file.headline)]
    uses += [(f"headline.{n}.cause", h.cause, causes) for n, h in enumerate(file.headline)]
    for n, b in enumerate(file.base_rates):
        uses += [(f"base_rates.{n}.flag", b.flag, flags), (f"base_rates.{n}.since", b.since, flags)]
        uses += [(f"base_rates.{n}.causes", c, causes) for c in b.causes]
        if not b.lower <= b.value <= b.upper:
            yield f"base_rates.{n}: lower ≤ value ≤ upper must hold (got {b.lower}, {b.value}, {b.upper})"
    for key, name, known in uses:
        if name is not None and name not in known:
            yield f"{key}: no such name {name!r}; {_closest(name, known, 'known')}"
    for n, h in enumerate(file.headline):
        if sum(x is not None for x in (h.state, h.outcome, h.cause)) != 1:
            yield f"headline.{n}: give exactly one of state, outcome and cause"
