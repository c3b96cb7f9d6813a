"""Elections, leaders and dated events → primitives."""

from forecast.deal.model import DealFile, Election, Leader
from forecast.deal.parts import SIGNED, SINCE_SIGNATURE, Parts, negated
from forecast.deal.spec import AtAge, Branch, Condition, Effect, Scheduled


def expand_calendar(file: DealFile, parts: Parts) -> None:
    """Dated events outside the deal, each of which sets a flag."""
    for id_, event in file.calendar.items():
        flag = parts.flag(event.sets, event.label)
        effect = Effect(set=(flag,))
        happens = Branch(id="happens", label=event.label, probability=event.happens, effect=effect)
        rest = (Branch(id="does_not", label=f"{event.label}: does not happen"),) if event.happens else ()
        when = [negated(event.unless)] if event.unless else []
        parts.scheduled.append(
            Scheduled(
                id=id_,
                label=event.label,
                when=Condition.model_validate(when),
                dates=(event.date,),
                branches=(happens, *rest),
            )
        )


def expand_election(id_: str, e: Election, parts: Parts) -> None:
    """Votes, arrivals in office for or against the deal, and withdrawal."""
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


def expand_leader(id_: str, x: Leader, parts: Parts) -> None:
    """Exits by time in office, the successor's position, and repudiation."""
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
            Effect(clear=(opposed,), start=(tenure, came), stop=others),
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
