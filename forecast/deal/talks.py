"""Negotiation rounds → primitives: each party decides, all accept or nobody signs, talks collapse or end."""

from datetime import date

from forecast.deal.model import DealFile, Delivery, Negotiation
from forecast.deal.parts import SIGNED, SINCE_SIGNATURE, Parts, included, is_verified, negated
from forecast.deal.spec import Branch, Condition, Derived, Effect, Hazard, Modifier, Scheduled, Term
from forecast.types import calendar_dates


def expand_negotiation(file: DealFile, n: Negotiation, parts: Parts) -> None:
    """Rounds, signature, collapse, and the end of the talks after the last round."""
    signers = [id_ for id_, p in file.parties.items() if p.signs]
    rounds = calendar_dates(n.first, n.every, n.last)
    open_ = Condition(all=(f"not {SIGNED}",))
    for id_ in signers:
        _decision(file, id_, rounds, parts)
    due = tuple(f"{id_}_due" for id_, o in included(file) if isinstance(o, Delivery) and o.after is None)
    # Whoever governs at the signature is from then on the side that made the deal.
    sides = tuple(f"{id_}_other_side" for id_, e in file.elections.items() if e.party in signers)
    sign = Effect(set=(SIGNED,), clear=sides, start=(SINCE_SIGNATURE, *due))
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
    nobody_alone = tuple(tuple(negated(x) for x in lits) for lits in alone.values())
    return [*result, ("no_deal", "", Condition(all=open_.all, any=nobody_alone))]


def _decision(file: DealFile, id_: str, rounds: tuple[date, ...], parts: Parts) -> None:
    """One party's quantal response to the package in each round."""
    party, n = file.parties[id_], file.negotiation
    refused = parts.flag(f"{id_}_refused", f"{party.name}: refused in the last round")
    terms = [Term(parameters=(str(party.reservation),), sign=-1)]
    for c, o in included(file):
        if c in party.values and n:
            factors = [party.values[c]]
            if not o.binding and n.oral_worth:
                factors.append(n.oral_worth)
            if o.if_unverified and not is_verified(file, c) and n.unverified_worth:
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
