"""Deal words → primitives. One function a word; docs/deal-file.md shows what each becomes."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta

from forecast.deal.market import expand_amounts, expand_markets
from forecast.deal.model import (
    Deal,
    DealFile,
    Delivery,
    Duration,
    Election,
    Leader,
    Negotiation,
    Obligation,
    Promise,
    Response,
    RiskRate,
    Standing,
    WeibullRate,
)
from forecast.deal.spec import (
    AtAge,
    Branch,
    Cause,
    Clock,
    Condition,
    Consequence,
    Derived,
    Effect,
    Flag,
    Hazard,
    Modifier,
    OutcomeClass,
    Process,
    Scheduled,
    Term,
)
from forecast.types import add_months, horizon_date, years_between

SIGNED = "signed"
SINCE_SIGNATURE = "since_signature"


@dataclass
class Parts:
    """What the words have become so far."""

    flags: list[Flag] = field(default_factory=list)
    clocks: list[Clock] = field(default_factory=list)
    hazards: list[Hazard] = field(default_factory=list)
    scheduled: list[Scheduled] = field(default_factory=list)
    causes: dict[str, str] = field(default_factory=dict)
    consequences: list[Consequence] = field(default_factory=list)
    derived: list[Derived] = field(default_factory=list)
    # risk name of a cascade → what moves it
    modifiers: dict[str, list[Modifier]] = field(default_factory=lambda: defaultdict(list))
    # delivery clause → clocks that its fulfilment starts
    starts: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def flag(self, id_: str, label: str, *, initially: bool = False) -> str:
        """Declare a flag and return its name."""
        self.flags.append(Flag(id=id_, label=label, initially=initially))
        return id_

    def clock(self, id_: str, label: str, running_since: date | None = None) -> str:
        """Declare a clock and return its name."""
        self.clocks.append(Clock(id=id_, label=label, running_since=running_since))
        return id_

    def hazard(
        self, id_: str, label: str, when: list[object], rate: RiskRate, clock: str, risk: str, effect: Effect
    ) -> None:
        """Add a hazard, moved by whatever cascades act on `risk`."""
        weibull = rate if isinstance(rate, WeibullRate) else None
        self.hazards.append(
            Hazard(
                id=id_,
                label=label,
                when=Condition.model_validate(when),
                clock=clock,
                rate=None if weibull else rate,
                weibull_shape=weibull and weibull.shape,
                weibull_scale=weibull and weibull.scale,
                modifiers=tuple(self.modifiers[risk]),
                effect=effect,
            )
        )


def expand(deal: Deal) -> Process:
    """Lower a deal to its process.

    Scheduled events of one day run in the order of this function: calendar, elections, leaders,
    negotiation, deadlines, responses, then those of the file's own primitives.
    """
    file, parts = deal.file, Parts()
    _signature(file, parts)
    for cascade in file.cascades:
        for risk in cascade.on:
            parts.modifiers[risk].append(Modifier(when=cascade.when, log_ratio=cascade.log_ratio))
    for id_, obligation in _obligations(file):
        parts.modifiers[id_] += _own_influences(file, id_, obligation)
    _calendar(file, parts)
    for id_, election in file.elections.items():
        _election(id_, election, parts)
    for id_, leader in file.leaders.items():
        _leader(id_, leader, parts)
    if file.negotiation:
        _negotiation(file, file.negotiation, parts)
    _verification(file, parts)
    for id_, obligation in _obligations(file):
        _obligation(id_, obligation, parts)
    for id_, breakdown in file.breakdowns.items():
        parts.causes[id_] = breakdown.cause_label
        parts.hazard(id_, breakdown.cause_label, [SIGNED], breakdown.hazard, SINCE_SIGNATURE, id_, Effect(end=id_))
    expand_markets(file.markets, parts.consequences, parts.derived)
    expand_amounts(file.consequences, parts.consequences)
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


def calendar_dates(first: date, every: Duration, last: date) -> tuple[date, ...]:
    """Dates of a recurrence: same day of the month where `every` is whole months, else every so many days."""
    months, k = round(every * 12), 0
    dates: list[date] = []
    whole = months > 0 and abs(every * 12 - months) < 1e-9
    while True:
        day = add_months(first, k * months) if whole else first + timedelta(days=round(k * every * 365.25))
        if day > last:
            return tuple(dates)
        dates.append(day)
        k += 1


def _obligations(file: DealFile) -> list[tuple[str, Obligation]]:
    both = [*file.clauses.items(), *file.promises.items()]
    return [(id_, o) for id_, o in both if o.included]


def _own_influences(file: DealFile, id_: str, obligation: Obligation) -> list[Modifier]:
    """What follows for a default from being oral, and from being or becoming unverified."""
    result = []
    if not obligation.binding and obligation.if_oral:
        result.append(Modifier(log_ratio=obligation.if_oral))
    needs_verification = file.verification is not None and id_ in file.verification.clauses
    if needs_verification and obligation.if_unverified:
        agreed = file.verification is not None and file.verification.agreed
        when = "verification_refused" if agreed else None
        result.append(Modifier(when=when, log_ratio=obligation.if_unverified))
    return result


def _signature(file: DealFile, parts: Parts) -> None:
    signed = file.deal.signed_on
    parts.flag(SIGNED, "The deal has been signed", initially=signed is not None)
    parts.clock(SINCE_SIGNATURE, "Time since signature", running_since=signed)
    for id_, o in _obligations(file):
        if isinstance(o, Delivery):
            waits = o.after is not None
            clock = parts.clock(f"{id_}_due", f"{o.title}: time allowed", None if waits else signed)
            if o.after is not None:
                parts.starts[o.after].append(clock)


def _calendar(file: DealFile, parts: Parts) -> None:
    for id_, event in file.calendar.items():
        flag = parts.flag(event.sets, event.label)
        effect = Effect(set=(flag,))
        happens = Branch(id="happens", label=event.label, probability=event.happens, effect=effect)
        rest = (Branch(id="does_not", label=f"{event.label}: does not happen"),) if event.happens else ()
        when = [_negated(event.unless)] if event.unless else []
        parts.scheduled.append(
            Scheduled(
                id=id_,
                label=event.label,
                when=Condition.model_validate(when),
                dates=(event.date,),
                branches=(happens, *rest),
            )
        )


def _negated(literal: str) -> str:
    return literal.removeprefix("not ") if literal.startswith("not ") else f"not {literal}"


def _election(id_: str, e: Election, parts: Parts) -> None:
    coming = parts.flag(f"{id_}_change_coming", f"{e.office}: a change of power is on its way")
    other = parts.flag(f"{id_}_other_side", f"{e.office}: held by the other side")
    opposed = parts.flag(f"{id_}_opposed", f"{e.office}: held by an opponent of the deal")
    since = parts.clock(f"{id_}_in_office", f"{e.office}: time since the last change")
    for n, vote in enumerate(e.votes, start=1):
        suffix = f"_{n}" if len(e.votes) > 1 else ""
        change = Branch(
            id="change",
            label=f"{e.office}: power changes hands",
            probability=vote.change,
            effect=Effect(set=(coming,)),
        )
        stays = Branch(id="stays", label=f"{e.office}: the same side stays")
        parts.scheduled.append(
            Scheduled(
                id=f"{id_}_vote{suffix}",
                label=f"{e.office}: election",
                dates=(vote.date,),
                branches=(change, stays),
            )
        )
        for name, when, arrives, probability in (
            ("takes_office", [coming, f"not {other}"], {"set": (other,)}, e.opposes),
            ("returns", [coming, other], {"clear": (other,)}, e.returning_opposes),
        ):
            sets, clears = arrives.get("set", ()), (coming, *arrives.get("clear", ()))
            against = Effect(set=(*sets, opposed), clear=clears, start=(since,))
            in_favour = Effect(set=sets, clear=(*clears, opposed), start=(since,))
            who = "the other side takes office" if name == "takes_office" else "the side that made the deal returns"
            parts.scheduled.append(
                Scheduled(
                    id=f"{id_}_{name}{suffix}",
                    label=f"{e.office}: {who}",
                    when=Condition.model_validate(when),
                    dates=(vote.takes_office,),
                    branches=(
                        Branch(
                            id="opposed",
                            label=f"{e.office}: {who}, against the deal",
                            probability=probability,
                            effect=against,
                        ),
                        Branch(id="in_favour", label=f"{e.office}: {who}, for the deal", effect=in_favour),
                    ),
                )
            )
    parts.causes[e.cause] = e.cause_label
    end = Effect(end=e.cause)
    label = f"{e.cause_label}, by an opponent in office"
    parts.hazard(f"{id_}_withdrawal_opposed", label, [SIGNED, opposed], e.withdraws_opposed, since, id_, end)
    if e.withdraws:
        label = f"{e.cause_label}, by the government that made the deal or a friendly one"
        parts.hazard(f"{id_}_withdrawal", label, [SIGNED, f"not {opposed}"], e.withdraws, SINCE_SIGNATURE, id_, end)


def _leader(id_: str, x: Leader, parts: Parts) -> None:
    opposed = parts.flag(f"{id_}_opposed", f"{x.name}: an opponent of the deal holds the office")
    tenure = parts.clock(f"{id_}_tenure", f"{x.name}: time in office", x.in_office_since)
    position = parts.clock(f"{id_}_new", f"{x.name}: time since an opponent took over")
    exits = [("regular", x.exit_regular, x.opposes_regular)]
    if x.exit_irregular and x.opposes_irregular:
        exits.append(("irregular", x.exit_irregular, x.opposes_irregular))
    for manner, rate, opposes in exits:
        came = parts.clock(f"{id_}_{manner}_successor", f"{x.name}: time since a {manner} succession")
        others = tuple(f"{id_}_{m}_successor" for m, _, _ in exits if m != manner)
        parts.hazard(
            f"{id_}_exit_{manner}",
            f"{x.name}: {manner} exit from office",
            [],
            rate,
            tenure,
            f"{id_}_exit_{manner}",
            Effect(start=(tenure, came), stop=others),
        )
        parts.scheduled.append(
            Scheduled(
                id=f"{id_}_position_{manner}",
                label=f"{x.name}: the successor's position becomes known",
                at_age=AtAge(clock=came, age=x.position_after),
                branches=(
                    Branch(
                        id="opposed",
                        label=f"{x.name}: the successor is against the deal",
                        probability=opposes,
                        effect=Effect(set=(opposed,), start=(position,)),
                    ),
                    Branch(
                        id="in_favour",
                        label=f"{x.name}: the successor stands by the deal",
                        effect=Effect(clear=(opposed,)),
                    ),
                ),
            )
        )
    parts.causes[x.cause] = x.cause_label
    parts.hazard(
        f"{id_}_repudiation",
        x.cause_label,
        [SIGNED, opposed],
        x.repudiates,
        position,
        id_,
        Effect(end=x.cause),
    )


def _negotiation(file: DealFile, n: Negotiation, parts: Parts) -> None:
    signers = [id_ for id_, p in file.parties.items() if p.signs]
    rounds = calendar_dates(n.first, n.every, n.last)
    open_ = Condition(all=(f"not {SIGNED}",))
    for id_ in signers:
        _decision(file, id_, rounds, parts)
    due = tuple(f"{id_}_due" for id_, o in _obligations(file) if isinstance(o, Delivery) and o.after is None)
    sign = Effect(set=(SIGNED,), start=(SINCE_SIGNATURE, *due))
    everyone = Condition(all=(f"not {SIGNED}", *(f"not {id_}_refused" for id_ in signers)))
    signing = Branch(id="signed", label="All accept: the deal is signed", effect=sign)
    parts.scheduled.append(Scheduled(id="signing", label="Signature", when=everyone, dates=rounds, branches=(signing,)))
    parts.causes["no_deal"] = n.no_deal_label
    influences = tuple(Modifier(when=i.when, log_ratio=i.log_ratio) for i in n.collapse_influences)
    for cause, suffix, when in _talks_fail(file, signers, open_):
        label = "Talks collapse" + (f" over the refusal of {file.parties[suffix].name}" if suffix else "")
        tail = f"_{suffix}" if suffix else ""
        parts.hazards.append(
            Hazard(
                id=f"talks_collapse{tail}",
                label=label,
                when=when,
                rate=n.collapse,
                modifiers=(*parts.modifiers["talks"], *influences),
                effect=Effect(end=cause),
            )
        )
        last = Branch(id="no_signature", label="Talks end without a signature", effect=Effect(end=cause))
        parts.scheduled.append(
            Scheduled(
                id=f"talks_end{tail}",
                label="Last round has passed",
                when=when,
                dates=(n.last,),
                branches=(last,),
            )
        )
        if suffix:
            parts.causes[cause] = file.parties[suffix].refusal_label or f"{file.parties[suffix].name} refuses"


def _talks_fail(file: DealFile, signers: list[str], open_: Condition) -> list[tuple[str, str, Condition]]:
    """(cause, party or "", condition) of failing talks: one a party that alone refuses, then the rest."""
    alone: dict[str, tuple[str, ...]] = {
        p: (f"{p}_refused", *(f"not {q}_refused" for q in signers if q != p))
        for p in signers
        if file.parties[p].refusal_cause
    }
    result = [(str(file.parties[p].refusal_cause), p, Condition(all=(*open_.all, *lits))) for p, lits in alone.items()]
    nobody_alone = tuple(tuple(_negated(x) for x in lits) for lits in alone.values())
    return [*result, ("no_deal", "", Condition(all=open_.all, any=nobody_alone))]


def _decision(file: DealFile, id_: str, rounds: tuple[date, ...], parts: Parts) -> None:
    """One party's quantal response to the package in each round."""
    party, n = file.parties[id_], file.negotiation
    refused = parts.flag(f"{id_}_refused", f"{party.name}: refused in the last round")
    terms = [Term(parameters=(str(party.reservation),), sign=-1)]
    for c, o in _obligations(file):
        if c in party.values and n:
            factors = [party.values[c]]
            if not o.binding and n.oral_worth:
                factors.append(n.oral_worth)
            if (
                file.verification
                and not file.verification.agreed
                and c in file.verification.clauses
                and n.unverified_worth
            ):
                factors.append(n.unverified_worth)
            terms.append(Term(parameters=tuple(factors)))
    logit = Derived(
        id=f"{id_}_acceptance",
        label=f"{party.name}: log-odds of accepting",
        terms=tuple(terms),
        over=(str(party.noise),),
    )
    parts.derived.append(logit)
    influences = [Modifier(when=i.when, log_ratio=i.log_ratio) for i in party.influences]
    if not party.at_table and party.absent:
        influences.append(Modifier(log_ratio=party.absent))
    parts.scheduled.append(
        Scheduled(
            id=f"{id_}_decides",
            label=f"{party.name}: decides on the package",
            when=Condition(all=(f"not {SIGNED}",)),
            dates=rounds,
            branches=(
                Branch(
                    id="accepts",
                    label=f"{party.name} accepts",
                    logit=logit.id,
                    modifiers=tuple(influences),
                    effect=Effect(clear=(refused,)),
                ),
                Branch(id="refuses", label=f"{party.name} refuses", effect=Effect(set=(refused,))),
            ),
        )
    )


def _verification(file: DealFile, parts: Parts) -> None:
    v = file.verification
    covered = v and [c for c, o in _obligations(file) if c in v.clauses]
    if v is None or not v.agreed or not covered:
        return
    refused = parts.flag("verification_refused", "Inspections are refused")
    clock = parts.clock("verification_response", "Time since inspections were refused")
    parts.causes[v.cause] = v.cause_label
    parts.hazard(
        "verification_refusal",
        f"{file.parties[v.inspected].name} refuses inspections",
        [SIGNED, f"not {refused}"],
        v.refusal,
        SINCE_SIGNATURE,
        "verification",
        Effect(set=(refused,), start=(clock,)),
    )
    _response("verification", "Refused inspections", v.response, clock, v.cause, parts)


def _obligation(id_: str, o: Obligation, parts: Parts) -> None:
    defaulted = parts.flag(f"{id_}_defaulted", f"{o.title}: broken")
    clock = parts.clock(f"{id_}_response", f"{o.title}: time since it was broken")
    parts.causes[o.cause] = o.cause_label
    broken = Effect(set=(defaulted,), start=(clock,))
    if isinstance(o, Delivery):
        _delivery(id_, o, broken, parts)
    else:
        rate = o.violation if isinstance(o, Standing) else o.reversal if isinstance(o, Promise) else None
        what = "violation" if isinstance(o, Standing) else "reversal"
        if rate is not None:
            parts.hazard(
                f"{id_}_{what}",
                f"{o.title}: {what}",
                [SIGNED, f"not {defaulted}"],
                rate,
                SINCE_SIGNATURE,
                id_,
                broken,
            )
    _response(id_, o.title, o.response, clock, o.cause, parts)


def _delivery(id_: str, o: Delivery, broken: Effect, parts: Parts) -> None:
    fulfilled = parts.flag(f"{id_}_fulfilled", f"{o.title}: fulfilled")
    late = parts.flag(f"{id_}_late", f"{o.title}: late")
    done = tuple(parts.starts[id_])
    parts.scheduled.append(
        Scheduled(
            id=f"{id_}_deadline",
            label=f"{o.title}: deadline",
            at_age=AtAge(clock=f"{id_}_due", age=o.deadline),
            branches=(
                Branch(
                    id="default",
                    label=f"{o.title}: not fulfilled",
                    logit=o.default,
                    modifiers=tuple(parts.modifiers[id_]),
                    effect=broken,
                ),
                Branch(id="late", label=f"{o.title}: late", logit=o.late, effect=Effect(set=(late,))),
                Branch(
                    id="on_time",
                    label=f"{o.title}: fulfilled on time",
                    effect=Effect(set=(fulfilled,), start=done),
                ),
            ),
        )
    )
    kept = Effect(set=(fulfilled,), clear=(late,), start=done)
    parts.scheduled.append(
        Scheduled(
            id=f"{id_}_late_delivery",
            label=f"{o.title}: late delivery",
            when=Condition(all=(late,)),
            at_age=AtAge(clock=f"{id_}_due", age=o.deadline + o.grace),
            branches=(Branch(id="fulfilled", label=f"{o.title}: fulfilled late", effect=kept),),
        )
    )


def _response(id_: str, title: str, response: Response, clock: str, cause: str, parts: Parts) -> None:
    parts.scheduled.append(
        Scheduled(
            id=f"{id_}_response",
            label=f"{title}: the other side decides what follows",
            at_age=AtAge(clock=clock, age=response.after),
            branches=(
                Branch(
                    id="ends_deal",
                    label=f"{title}: the deal is ended over it",
                    probability=response.ends_deal,
                    effect=Effect(end=cause),
                ),
                Branch(id="lets_pass", label=f"{title}: the other side lets it pass"),
            ),
        )
    )
