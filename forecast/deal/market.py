"""Consequences in deal words → primitive consequences: amounts, and markets whose shares are conserved."""

from collections.abc import Mapping
from typing import Literal

from forecast.deal.model import Amount, Buyer, Market
from forecast.deal.spec import Condition, Consequence, Derived, Term


def expand_markets(markets: Mapping[str, Market], consequences: list[Consequence], derived: list[Derived]) -> None:
    """Add, for each market and buyer, what the restrained supplier loses and the others gain."""
    for id_, market in markets.items():
        for buyer_id, buyer in market.buyers.items():
            group = f"{id_}_{buyer_id}"
            for name, label, factors, sign in _flows(group, market, buyer, derived):
                consequences.append(
                    Consequence(
                        id=name,
                        label=label,
                        unit=market.unit,
                        amount=factors,
                        sign=sign,
                        when=Condition(all=("signed", f"not {market.during}_defaulted")),
                        discount=market.discount,
                        conserved=group,
                    )
                )


def _flows(
    group: str, market: Market, buyer: Buyer, derived: list[Derived]
) -> list[tuple[str, str, tuple[str, ...], Literal[-1, 1]]]:
    """(id, label, factors, sign) of one buyer's lost purchases and where they go."""
    lost: tuple[str, ...] = (buyer.imports, market.cut)
    flows: list[tuple[str, str, tuple[str, ...], Literal[-1, 1]]] = [
        (f"{group}_lost", f"{buyer.name}: no longer bought from {market.supplier}", lost, -1)
    ]
    moved = (*lost, market.replaced) if market.replaced else lost
    for supplier, entries in market.suppliers.items():
        share = f"{buyer.shares}[{entries[0]}]"
        if len(entries) > 1:
            share = f"{group}_{supplier}_share"
            terms = tuple(Term(parameters=(f"{buyer.shares}[{e}]",)) for e in entries)
            derived.append(Derived(id=share, label=f"{buyer.name}: share of {supplier}", terms=terms))
        name = supplier.replace("_", " ").title()
        flows.append((f"{group}_{supplier}", f"{buyer.name}: bought from {name} instead", (*moved, share), 1))
    if market.replaced:
        unmet = Derived(
            id=f"{group}_unmet_rate",
            label=f"{buyer.name}: purchases not replaced, a year",
            terms=(Term(parameters=lost), Term(parameters=moved, sign=-1)),
        )
        derived.append(unmet)
        flows.append((f"{group}_unmet", f"{buyer.name}: not replaced", (unmet.id,), 1))
    return flows


def expand_amounts(amounts: Mapping[str, Amount], consequences: list[Consequence]) -> None:
    """Add the amounts that the deal file states one by one."""
    for id_, a in amounts.items():
        consequences.append(
            Consequence(
                id=id_,
                label=a.label,
                unit=a.unit,
                amount=a.amount,
                sign=a.sign,
                when=None if a.when is None else Condition(all=a.when),
                event=a.event,
                branch=a.branch,
                discount=a.discount,
            )
        )
