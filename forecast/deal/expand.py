"""Deal words → primitives; docs/deal-file.md says what each word means."""

from forecast.deal.market import expand_amounts, expand_markets
from forecast.deal.model import Deal, DealFile
from forecast.deal.obligations import expand_obligation, expand_signature, expand_verification, own_influences
from forecast.deal.parts import SIGNED, SINCE_SIGNATURE, Parts, included, kept_amounts
from forecast.deal.politics import expand_calendar, expand_election, expand_leader
from forecast.deal.spec import Cause, Condition, Effect, Modifier, OutcomeClass, Process
from forecast.deal.talks import expand_negotiation
from forecast.types import horizon_date, years_between


def expand(deal: Deal) -> Process:
    """Lower a deal to its process.

    Scheduled events of one day run in the order of this function: calendar, elections, leaders,
    negotiation, deadlines, responses, then those of the file's own primitives.
    """
    file, parts = deal.file, Parts()
    expand_signature(file, parts)
    for cascade in file.cascades:
        for risk in cascade.on:
            parts.modifiers[risk].append(Modifier(when=cascade.when, log_ratio=cascade.log_ratio))
    for id_, obligation in included(file):
        parts.modifiers[id_] += own_influences(file, id_, obligation)
    expand_calendar(file, parts)
    for id_, election in file.elections.items():
        expand_election(id_, election, parts)
    for id_, leader in file.leaders.items():
        expand_leader(id_, leader, parts)
    if file.negotiation:
        expand_negotiation(file, file.negotiation, parts)
    expand_verification(file, parts)
    for id_, obligation in (*file.clauses.items(), *file.promises.items()):
        expand_obligation(id_, obligation, parts)
    for id_, breakdown in file.breakdowns.items():
        parts.causes[id_] = breakdown.cause_label
        parts.hazard(id_, breakdown.cause_label, [SIGNED], breakdown.hazard, SINCE_SIGNATURE, id_, Effect(end=id_))
    kept = {id_ for id_, _ in included(file)}
    markets = {id_: m for id_, m in file.markets.items() if m.during in kept}
    expand_markets(markets, parts.consequences, parts.derived)
    expand_amounts(kept_amounts(file), parts.consequences)
    return _process(file, parts)


def _process(file: DealFile, parts: Parts) -> Process:
    own, header = file.primitives, file.deal
    causes = {**parts.causes, **own.causes}
    ended = tuple(OutcomeClass(id=c, label=label, causes=(c,)) for c, label in causes.items())
    in_force = OutcomeClass(id="in_force", label="Signed and in force", when=Condition(all=(SIGNED,)))
    talks_open = OutcomeClass(id="talks_open", label="Talks still open", rest=True)
    if header.signed_on:
        words = (*ended, OutcomeClass(id="in_force", label=in_force.label, rest=True))
    else:
        words = (in_force, *ended, talks_open)
    return Process(
        deal_id=header.id,
        title=header.title,
        as_of=header.as_of,
        horizon=years_between(header.as_of, horizon_date(header.as_of, header.horizon)),
        flags=(*parts.flags, *own.flags),
        exclusive=own.exclusive,
        clocks=(*parts.clocks, *own.clocks),
        hazards=(*parts.hazards, *own.hazards),
        scheduled=(*parts.scheduled, *own.scheduled),
        causes=tuple(Cause(id=c, label=label) for c, label in causes.items()),
        outcomes=own.outcomes or words,
        consequences=(*parts.consequences, *own.consequences),
        derived=(*parts.derived, *own.derived),
    )
