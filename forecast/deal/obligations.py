"""Clauses, promises and verification → primitives."""

from forecast.deal.model import DealFile, Delivery, Obligation, Promise, Response, RiskRate, Standing
from forecast.deal.parts import SIGNED, SINCE_SIGNATURE, Parts, included, is_verified
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
    if obligation.if_unverified:
        when = "verification_refused" if is_verified(file, id_) else None
        result.append(Modifier(when=when, log_ratio=obligation.if_unverified))
    return result


def expand_verification(file: DealFile, parts: Parts) -> None:
    """Refusal of inspections, and what the other side does about it."""
    v = file.verification
    if v is None:
        return
    refused = parts.flag("verification_refused", "Inspections are refused")
    parts.causes[v.cause] = v.cause_label
    if not v.agreed or not any(c in v.clauses for c, _ in included(file)):
        return
    clock = parts.clock("verification_response", "Time since inspections were refused")
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
    """How one clause or promise is kept or broken, and what follows.

    One that is not in the package keeps its flags and its cause, which then never come about: whatever
    else names them still has something to name.
    """
    so_far = o.so_far if isinstance(o, Delivery) else None
    defaulted = parts.flag(f"{id_}_defaulted", f"{o.title}: broken", initially=so_far == "broken")
    parts.causes[o.cause] = o.cause_label
    if isinstance(o, Delivery):
        parts.flag(f"{id_}_fulfilled", f"{o.title}: fulfilled", initially=so_far == "fulfilled")
        parts.flag(f"{id_}_late", f"{o.title}: late", initially=so_far == "late")
    if not o.included or so_far in ("broken", "fulfilled"):
        return
    clock = parts.clock(f"{id_}_response", f"{o.title}: time since it was broken")
    broken = Effect(set=(defaulted,), start=(clock,))
    if isinstance(o, Delivery):
        _delivery(id_, o, broken, parts)
    elif isinstance(o, Standing):
        _ongoing(id_, f"{o.title}: violation", "violation", o.violation, broken, parts)
    elif isinstance(o, Promise):
        _ongoing(id_, f"{o.title}: reversal", "reversal", o.reversal, broken, parts)
    if so_far is None:
        _response(id_, o.title, o.response, clock, o.cause, parts)


def _ongoing(id_: str, label: str, what: str, rate: RiskRate, broken: Effect, parts: Parts) -> None:
    kept = [SIGNED, f"not {id_}_defaulted"]
    parts.hazard(f"{id_}_{what}", label, kept, rate, SINCE_SIGNATURE, id_, broken)


def _delivery(id_: str, o: Delivery, broken: Effect, parts: Parts) -> None:
    done = tuple(parts.starts[id_])
    if o.so_far is None:
        _deadline(id_, o, broken, done, parts)
    kept = Effect(set=(f"{id_}_fulfilled",), clear=(f"{id_}_late",), start=done)
    parts.scheduled.append(
        Scheduled(
            id=f"{id_}_late_delivery",
            label=f"{o.title}: late delivery",
            when=Condition(all=(f"{id_}_late",)),
            at_age=AtAge(clock=f"{id_}_due", age=o.deadline + o.grace),
            branches=(Branch(id="fulfilled", label=f"{o.title}: fulfilled late", effect=kept),),
        )
    )


def _deadline(id_: str, o: Delivery, broken: Effect, done: tuple[str, ...], parts: Parts) -> None:
    default = Branch(
        id="default",
        label=f"{o.title}: not fulfilled",
        logit=o.default,
        modifiers=tuple(parts.modifiers[id_]),
        effect=broken,
    )
    late = Branch(id="late", label=f"{o.title}: late", logit=o.late, effect=Effect(set=(f"{id_}_late",)))
    kept = Effect(set=(f"{id_}_fulfilled",), start=done)
    on_time = Branch(id="on_time", label=f"{o.title}: fulfilled on time", effect=kept)
    parts.scheduled.append(
        Scheduled(
            id=f"{id_}_deadline",
            label=f"{o.title}: deadline",
            at_age=AtAge(clock=f"{id_}_due", age=o.deadline),
            branches=(default, late, on_time),
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
