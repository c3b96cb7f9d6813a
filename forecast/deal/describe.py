"""A deal in plain sentences: as its words say it, and as the process that they become."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date

from forecast.deal.diagram import diagram_svg
from forecast.deal.expand import expand
from forecast.deal.model import Deal, DealFile, Delivery, Promise, RiskRate, Standing, WeibullRate
from forecast.deal.parts import kept_amounts
from forecast.deal.spec import Branch, Condition, Effect, Modifier, Process, Scheduled
from forecast.types import horizon_date


@dataclass(frozen=True)
class Description:
    """What a report says about the deal itself."""

    title: str
    summary: str
    as_of: date
    horizon: date
    parties: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = ()  # name, wants, fears
    clauses: tuple[tuple[str, str, str], ...] = ()  # title, obliged, facts
    sentences: tuple[str, ...] = ()
    diagram_svg: str = ""
    not_covered: tuple[str, ...] = ()
    calendar: tuple[tuple[date, str], ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)  # firing id → party
    consequence_groups: tuple[tuple[str, str, tuple[str, ...], tuple[str, ...]], ...] = ()
    headline: tuple[tuple[str, str, str, date], ...] = ()  # label, variable, id, date
    sources: tuple[tuple[str, str], ...] = ()


def describe(deal: Deal) -> Description:
    """Describe a deal for its report."""
    file, process = deal.file, expand(deal)
    end = horizon_date(deal.as_of, file.deal.horizon)
    return Description(
        title=file.deal.title,
        summary=file.deal.summary,
        as_of=deal.as_of,
        horizon=end,
        parties=tuple((p.name, p.wants, p.fears) for p in file.parties.values()),
        clauses=tuple(_clauses(file)),
        sentences=tuple(deal_sentences(file)),
        diagram_svg=diagram_svg(process),
        not_covered=file.deal.not_covered,
        calendar=tuple(_calendar(file)),
        refusals={f"{i}_decides/refuses": p.name for i, p in file.parties.items() if p.signs and file.negotiation},
        consequence_groups=tuple(_consequence_groups(file)),
        headline=tuple(_headline(file, process, end)),
        sources=tuple(file.deal.sources.items()),
    )


def _clauses(file: DealFile) -> Iterator[tuple[str, str, str]]:
    for o in (*file.clauses.values(), *file.promises.values()):
        if o.included:
            how = "binding" if o.binding else "oral"
            who = ", ".join(file.parties[p].name for p in o.obliged)
            yield f"{o.title} ({how})", who, f"{o.facts} [{o.source}]"


def _calendar(file: DealFile) -> Iterator[tuple[date, str]]:
    if file.negotiation:
        yield file.negotiation.first, "first round"
        yield file.negotiation.last, "last round"
    for e in file.elections.values():
        for vote in e.votes:
            yield vote.date, f"{e.office}: election"
            yield vote.takes_office, f"{e.office}: takes office"
    for event in file.calendar.values():
        yield event.date, event.label


def _consequence_groups(file: DealFile) -> Iterator[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    for id_, m in file.markets.items():
        lost = tuple(f"{id_}_{b}_lost" for b in m.buyers)
        names = [*m.suppliers, *(("unmet",) if m.replaced else ())]
        yield m.title, m.unit, lost, tuple(f"{id_}_{b}_{s}" for b in m.buyers for s in names)


def _headline(file: DealFile, process: Process, end: date) -> Iterator[tuple[str, str, str, date]]:
    for h in file.headline:
        for variable, name in (
            ("state_probability", h.state),
            ("outcome_probability", h.outcome),
            ("cumulative_incidence", h.cause),
        ):
            if name is not None:
                yield h.label, variable, name, h.date
    if not file.headline:
        known = {o.id: o for o in process.outcomes}
        first = known.get("in_force", process.outcomes[0])
        yield f"{first.label} at the horizon", "outcome_probability", first.id, end


# ---- the words ---------------------------------------------------------------------------------


def deal_sentences(file: DealFile) -> Iterator[str]:
    """Say every word of a deal file in a sentence; names in brackets are its parameters."""
    yield from _say_negotiation(file)
    for o in (*file.clauses.values(), *file.promises.values()):
        yield f"{o.title}: " + ("" if o.included else "(not in this package) ") + _say_obligation(file, o)
    if file.verification:
        v = file.verification
        names = ", ".join(({**file.clauses, **file.promises})[c].title for c in v.clauses)
        who = file.parties[v.inspected].name
        if v.agreed:
            yield (
                f"Inspectors verify {names}. {who} refuses them at {_rate(v.refusal)}; {_span(v.response.after)} later "
                f"the deal is ended over it with probability [{v.response.ends_deal}] ({v.cause_label})."
            )
        else:
            yield f"Nobody verifies {names}."
    yield from _say_politics(file)
    for b in file.breakdowns.values():
        yield f"{b.cause_label}: at {_rate(b.hazard)}, by time since signature, while the deal is in force."
    for c in file.cascades:
        on = ", ".join(_risk_title(file, r) for r in c.on)
        yield f"While {_flag_words(c.when)}, the risk of {on} is multiplied by exp[{c.log_ratio}]."
    for m in file.markets.values():
        buyers = ", ".join(b.name for b in m.buyers.values())
        yield (
            f"{m.title}: while {m.during} is kept, {m.supplier} loses [{m.cut}] of its sales to {buyers}, which turn "
            f"to {', '.join(m.suppliers)}; nothing is lost on the way."
        )
    for a in kept_amounts(file).values():
        yield f"{a.label}: [{' × '.join(a.amount)}] {a.unit}."


def _say_negotiation(file: DealFile) -> Iterator[str]:
    n = file.negotiation
    if n is None:
        yield f"The deal has been in force since {file.deal.signed_on}."
        return
    signers = [p.name for p in file.parties.values() if p.signs]
    yield (
        f"From {n.first} every {_span(n.every)} until {n.last}, {', '.join(signers)} each accept or refuse the whole "
        "package; it is signed in the first round in which all accept."
    )
    yield f"Until then the talks collapse at {_rate(n.collapse)}; without a signature they end on {n.last}."
    if n.oral_worth:
        yield f"An oral promise is worth [{n.oral_worth}] of a binding one to those who receive it."
    if n.unverified_worth:
        yield f"A clause that nobody verifies is worth [{n.unverified_worth}] of a verified one."
    for p in file.parties.values():
        if p.signs:
            worth = ", ".join(f"{c} [{v}]" for c, v in p.values.items()) or "nothing in it"
            away = "" if p.at_table else f" It is not at the table, which moves the log-odds by [{p.absent}]."
            yield (
                f"{p.name} weighs {worth} against no deal [{p.reservation}]; the noise of its decisions is "
                f"[{p.noise}].{away}"
            )


def _say_obligation(file: DealFile, o: Delivery | Standing | Promise) -> str:
    who = ", ".join(file.parties[p].name for p in o.obliged)
    form = "in writing" if o.binding else "by word of mouth only"
    if isinstance(o, Delivery):
        start = f"the fulfilment of {o.after}" if o.after else "signature"
        how = (
            f"within {_span(o.deadline)} of {start}; at the deadline it is broken with log-odds [{o.default}] or late "
            f"with [{o.late}] (then fulfilled {_span(o.grace)} later), against on time"
        )
    else:
        rate, verb = (o.violation, "violated") if isinstance(o, Standing) else (o.reversal, "reversed")
        how = f"for as long as the deal is in force; it is {verb} at {_rate(rate)}"
    return (
        f"{who} is bound {form}, {how}. Once broken, the other side ends the deal {_span(o.response.after)} later with "
        f"probability [{o.response.ends_deal}] ({o.cause_label}), or lets it pass."
    )


def _say_politics(file: DealFile) -> Iterator[str]:
    for e in file.elections.values():
        votes = "; ".join(
            f"{v.date} (in office {v.takes_office}), changes hands with probability [{v.change}]" for v in e.votes
        )
        friendly = f", otherwise at {_rate(e.withdraws)}" if e.withdraws else ""
        yield (
            f"{e.office}: elections on {votes}. A newcomer of the other side opposes the deal with probability "
            f"[{e.opposes}], the makers' side on its return with [{e.returning_opposes}]. While an opponent is in "
            f"office it withdraws at {_rate(e.withdraws_opposed)}{friendly} ({e.cause_label})."
        )
    for x in file.leaders.values():
        irregular = f", or irregularly at {_rate(x.exit_irregular)}" if x.exit_irregular else ""
        yield (
            f"{x.name}, in office since {x.in_office_since}, leaves at {_rate(x.exit_regular)}{irregular}. A successor "
            f"opposes the deal with probability [{x.opposes_regular}]"
            + (f" (irregular: [{x.opposes_irregular}])" if x.opposes_irregular else "")
            + f", and then repudiates it at {_rate(x.repudiates)} ({x.cause_label})."
        )
    for c in file.calendar.values():
        chance = f"with probability [{c.happens}]" if c.happens else "for certain"
        unless = f", unless {_flag_words(c.unless)}" if c.unless else ""
        yield f"On {c.date}, {chance}{unless}: {c.label}."


def _risk_title(file: DealFile, risk: str) -> str:
    tables = (file.clauses, file.promises)
    for table in tables:
        if risk in table:
            return f"“{table[risk].title}” being broken"
    if risk in file.breakdowns:
        return f"“{file.breakdowns[risk].cause_label}”"
    if risk in file.elections:
        return f"withdrawal ({file.elections[risk].office})"
    if risk in file.leaders:
        return f"repudiation ({file.leaders[risk].name})"
    return {"verification": "refused inspections", "talks": "collapsing talks"}[risk]


def _rate(rate: RiskRate) -> str:
    if isinstance(rate, WeibullRate):
        return f"a hazard that changes with age, Weibull([{rate.shape}], [{rate.scale}])"
    return f"[{rate}] per year"


def _span(years: float) -> str:
    """A duration in words."""
    for unit, per_year in (("year", 1.0), ("month", 12.0), ("day", 365.25)):
        n = years * per_year
        if abs(n - round(n)) < 1e-6 and (round(n) >= 1) and (unit != "year" or n == round(n)):
            return f"{round(n)} {unit}{'' if round(n) == 1 else 's'}"
    return f"{years * 365.25:.0f} days"


def _flag_words(literal: str) -> str:
    return literal.replace("_", " ")


# ---- the process -------------------------------------------------------------------------------


def process_sentences(process: Process) -> Iterator[str]:
    """Say every primitive of a process in a sentence."""
    names = ", ".join(f.id + ("*" if f.initially else "") for f in process.flags)
    yield f"{len(process.flags)} flags: {names} (* set at the start)."
    for c in process.clocks:
        yield f"Clock {c.id}: {c.label}" + (f", running since {c.running_since}." if c.running_since else ".")
    for h in process.hazards:
        rate = h.rate or f"Weibull({h.weibull_shape}, {h.weibull_scale})"
        age = f" by age of {h.clock}" if h.clock else ""
        yield f"Hazard {h.id}: {_when(h.when)}, at {rate}{age}{_moved(h.modifiers)}, it {_does(h.effect)}."
    for s in process.scheduled:
        yield f"Event {s.id}: {_times(s)}, {_when(s.when)}: " + "; or ".join(_branch(b) for b in s.branches) + "."
    for d in process.derived:
        terms = " ".join(("+" if t.sign > 0 else "−") + " × ".join(t.parameters) for t in d.terms)
        yield f"Parameter {d.id} = ({terms})" + (f" / ({' × '.join(d.over)})" if d.over else "") + "."
    for q in process.consequences:
        when = _when(q.when) if q.when is not None else f"at each {q.event}"
        yield f"Consequence {q.id}: {'−' if q.sign < 0 else ''}{' × '.join(q.amount)} {q.unit}, {when}."
    for o in process.outcomes:
        what = "everything else" if o.rest else f"ended by {', '.join(o.causes)}" if o.causes else "not ended"
        yield f"Outcome {o.id}: {what}" + (f", {_when(o.when)}." if o.when else ".")


def _when(c: Condition) -> str:
    parts = [*c.all, *("(" + " or ".join(group) + ")" for group in c.any)]
    return "while " + " and ".join(parts) if parts else "always"


def _moved(modifiers: tuple[Modifier, ...]) -> str:
    if not modifiers:
        return ""
    return ", times " + ", ".join(f"exp({m.log_ratio})" + (f" while {m.when}" if m.when else "") for m in modifiers)


def _times(s: Scheduled) -> str:
    if s.at_age:
        return f"when {s.at_age.clock} reaches {_span(s.at_age.age)}"
    if s.every:
        return f"every {_span(s.every.every)} from {s.every.first} to {s.every.last}"
    days = [str(d) for d in s.dates]
    return "on " + (", ".join(days) if len(days) <= 4 else f"{len(days)} dates from {days[0]} to {days[-1]}")


def _branch(b: Branch) -> str:
    chance = f"with probability {b.probability}" if b.probability else f"with log-odds {b.logit}" if b.logit else "else"
    return f"{chance}{_moved(b.modifiers)} {b.id} ({_does(b.effect)})"


def _does(e: Effect) -> str:
    parts = [f"sets {x}" for x in e.set] + [f"clears {x}" for x in e.clear]
    parts += [f"stops {x}" for x in e.stop] + [f"starts {x}" for x in e.start]
    return ", ".join([*parts, *([f"ends the path: {e.end}"] if e.end else [])]) or "changes nothing"
