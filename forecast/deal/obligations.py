"""Clauses, promises and verification → primitives."""

from forecast.deal.model import DealFile, Delivery, Obligation, Promise, Response, Standing
from forecast.deal.parts import SIGNED, SINCE_SIGNATURE, Parts, included
from forecast.deal.spec import AtAge, Branch, Condition, Effect, Modifier, Scheduled


def expand_signature(file: DealFile, parts: Parts) -> None:
    """The flag and the clocks that everything else reads."""
    signed = file.deal.signed_on
    parts.flag(SIGNED, "The deal has been signed", initially=signed is not None)
    parts.clock(SINCE_SIGNATURE, "Time since signature", running_since=signed)
    for id_, o in included(file):
        if isinstance(o, Delivery):
            waits = o.after is not None
            clock = parts.clock(f"{id_}_due", f"{o.title}: time allowed", None if waits else signed)
            if o.after is not None:
                parts.starts[o.after].append(clock)


def own_influences(file: DealFile, id_: str, obligation: Obligation) -> list[Modifier]:
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


def expand_verification(file: DealFile, parts: Parts) -> None:
    """Refusal of inspections, and what the other side does about it."""
    v = file.verification
    covered = v and [c for c, o in included(file) if c in v.clauses]
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


def expand_obligation(id_: str, o: Obligation, parts: Parts) -> None:
    """How one clause or promise is kept or broken, and what follows."""
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
