"""What the shape of a deal file cannot show: names that must exist, dates in order, units that fit."""

from collections.abc import Iterator
from datetime import date

from forecast.deal.check_numbers import parameter_problems, unused
from forecast.deal.check_process import process_problems
from forecast.deal.expand import expand
from forecast.deal.model import Deal, DealFile, Delivery
from forecast.deal.parts import is_verified
from forecast.deal.spec import Process
from forecast.deal.words import closest
from forecast.types import horizon_date, years_between

RESERVED = ("talks", "verification", "signed", "signing", "no_deal", "in_force", "talks_open")


def problems_of(deal: Deal, *, strict: bool = True) -> list[str]:
    """One line a problem; none if the deal can be expanded and compiled.

    `strict` also refuses parameters and experts' answers that nothing uses. What-if changes leave
    some unused, and so switch it off.
    """
    file = deal.file
    found = [*_names(file), *_causes(file), *_parties(file), *_markets_and_cascades(file), *_negotiation(file)]
    found += [
        *_dates(file),
        *_sequence(file),
        *_politics(file),
        *parameter_problems(deal),
        *(unused(deal) if strict else ()),
    ]
    if found:
        return found
    process = expand(deal)
    return [*_flags(file, process)] or process_problems(process)


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


def _causes(file: DealFile) -> Iterator[str]:
    """A cause may be shared, but then it has one label."""
    named = [(f"clauses.{i}", o.cause, o.cause_label) for i, o in file.clauses.items()]
    named += [(f"promises.{i}", o.cause, o.cause_label) for i, o in file.promises.items()]
    named += [(f"elections.{i}", e.cause, e.cause_label) for i, e in file.elections.items()]
    named += [(f"leaders.{i}", x.cause, x.cause_label) for i, x in file.leaders.items()]
    named += [(f"breakdowns.{i}", i, b.cause_label) for i, b in file.breakdowns.items()]
    named += [(f"primitives.causes.{i}", i, label) for i, label in file.primitives.causes.items()]
    for i, p in file.parties.items():
        if p.refusal_cause:
            named.append((f"parties.{i}", p.refusal_cause, p.refusal_label or f"{p.name} refuses"))
    if file.verification:
        named.append(("verification", file.verification.cause, file.verification.cause_label))
    first: dict[str, tuple[str, str]] = {"no_deal": ("negotiation", "")} if file.negotiation else {}
    for key, cause, label in named:
        other, known = first.setdefault(cause, (key, label))
        if label != known:
            yield f"{key}: cause {cause!r} is also that of {other}, with another label; use one label, or two causes"


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
                yield f"verification.clauses: no clause or promise {c!r}; {closest(c, list(obligations), 'known')}"
    for key, party in uses:
        if party not in known:
            yield f"{key}: no party {party!r}; {closest(party, known, 'parties')}"
    for id_, p in file.parties.items():
        for c in p.values:
            if c not in obligations:
                yield f"parties.{id_}.values.{c}: no clause or promise {c!r}; {closest(c, list(obligations), 'known')}"


def _markets_and_cascades(file: DealFile) -> Iterator[str]:
    obligations = {**file.clauses, **file.promises}
    for id_, m in file.markets.items():
        if m.during not in obligations:
            yield f"markets.{id_}.during: no clause {m.during!r}; {closest(m.during, list(obligations), 'known')}"
    risks = [*obligations, *file.breakdowns, *file.elections, *file.leaders, "verification", "talks"]
    for n, cascade in enumerate(file.cascades):
        for risk in cascade.on:
            if risk not in risks:
                yield f"cascades.{n}.on: nothing called {risk!r} can break; {closest(risk, risks, 'known')}"


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
    kept = {i: o for i, o in {**file.clauses, **file.promises}.items() if o.included}
    oral = any(not o.binding for o in kept.values())
    if oral and n.oral_worth is None:
        yield "negotiation.oral_worth: is required where a clause or promise has binding = false"
    unverified = [i for i, o in kept.items() if o.if_unverified and not is_verified(file, i)]
    if unverified and n.unverified_worth is None:
        yield f"negotiation.unverified_worth: is required, since nobody verifies {', '.join(unverified)}"


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
            if n and vote.date <= e.votes[n - 1].takes_office:
                yield f"elections.{id_}.votes.{n}.date: {vote.date} is not after the one before took office"
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
            near = closest(before, deliveries, "delivery clauses")
            yield f"clauses.{id_}.after: no delivery clause {before!r}; {near}"
    for id_, before in after.items():
        first = file.clauses.get(before)
        if isinstance(first, Delivery) and file.clauses[id_].included and (not first.included or first.so_far):
            why = f"so_far = {first.so_far!r}" if first.so_far else "included = false"
            yield f"clauses.{id_}.after: {before!r} has {why}, so this would never begin; take `after` out"
    yield from _passed(file)
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


def _passed(file: DealFile) -> Iterator[str]:
    """Deadlines that lie before the as-of date must say what came of them."""
    signed, as_of = file.deal.signed_on, file.deal.as_of
    for id_, c in file.clauses.items():
        if not isinstance(c, Delivery) or not c.included:
            continue
        if signed is None and c.so_far:
            yield f"clauses.{id_}.so_far: only a deal in force (deal.signed_on) has clauses with a past"
        if signed is None or c.after or c.so_far in ("fulfilled", "broken"):
            continue
        age = years_between(signed, as_of)
        if c.so_far is None and age >= c.deadline:
            yield f"clauses.{id_}.deadline: has passed by {as_of}; say what came of it with so_far"
        elif c.so_far == "late" and age >= c.deadline + c.grace:
            yield f'clauses.{id_}.grace: has passed by {as_of}; so_far must be "fulfilled" or "broken"'


def _politics(file: DealFile) -> Iterator[str]:
    for id_, x in file.leaders.items():
        if (x.exit_irregular is None) != (x.opposes_irregular is None):
            yield f"leaders.{id_}: exit_irregular and opposes_irregular go together; give both or neither"
    for n, b in enumerate(file.base_rates):
        if not b.causes and b.flag is None:
            yield f"base_rates.{n}: give `causes` or `flag`: what is it that happens?"
        if b.within > file.deal.horizon:
            yield f"base_rates.{n}.within: is longer than the horizon, so no path can show it"


def _flags(file: DealFile, process: Process) -> Iterator[str]:
    """Flags, causes and outcomes that the file names must exist in the process."""
    flags = [f.id for f in process.flags]
    causes = [c.id for c in process.causes]
    outcomes = [o.id for o in process.outcomes]
    uses: list[tuple[str, str | None, list[str]]] = [
        (key, literal.removeprefix("not "), flags) for key, literal in _literals(file)
    ]
    uses += [(f"headline.{n}.state", h.state, flags) for n, h in enumerate(file.headline)]
    uses += [(f"headline.{n}.outcome", h.outcome, outcomes) for n, h in enumerate(file.headline)]
    uses += [(f"headline.{n}.cause", h.cause, causes) for n, h in enumerate(file.headline)]
    for n, b in enumerate(file.base_rates):
        uses += [(f"base_rates.{n}.flag", b.flag, flags), (f"base_rates.{n}.since", b.since, flags)]
        uses += [(f"base_rates.{n}.causes", c, causes) for c in b.causes]
        if not b.lower <= b.value <= b.upper:
            yield f"base_rates.{n}: lower ≤ value ≤ upper must hold (got {b.lower}, {b.value}, {b.upper})"
    for key, name, known in uses:
        if name is not None and name not in known:
            yield f"{key}: no such name {name!r}; {closest(name, known, 'known')}"
    for n, h in enumerate(file.headline):
        if sum(x is not None for x in (h.state, h.outcome, h.cause)) != 1:
            yield f"headline.{n}: give exactly one of state, outcome and cause"


def _literals(file: DealFile) -> Iterator[tuple[str, str]]:
    """(key, literal) wherever a deal word names a flag."""
    yield from ((f"cascades.{n}.when", c.when) for n, c in enumerate(file.cascades))
    yield from ((f"calendar.{i}.unless", c.unless) for i, c in file.calendar.items() if c.unless)
    groups = {f"parties.{i}.influences": p.influences for i, p in file.parties.items()}
    if file.negotiation:
        groups["negotiation.collapse_influences"] = file.negotiation.collapse_influences
    for key, influences in groups.items():
        yield from ((f"{key}.{n}.when", i.when) for n, i in enumerate(influences) if i.when)
    for i, a in file.consequences.items():
        yield from ((f"consequences.{i}.when", x) for x in a.when or ())
