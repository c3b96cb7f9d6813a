"""What deal words become, as it is put together."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from forecast.deal.model import Amount, DealFile, Obligation, RiskRate, WeibullRate
from forecast.deal.spec import (
    Clock,
    Condition,
    Consequence,
    Derived,
    Effect,
    Flag,
    Hazard,
    Modifier,
    Scheduled,
)

SIGNED = "signed"
SINCE_SIGNATURE = "since_signature"
VERIFICATION = "verification"


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
        self, id_: str, label: str, when: Sequence[object], rate: RiskRate, clock: str, risk: str, effect: Effect
    ) -> None:
        """Add a hazard, moved by whatever cascades act on `risk`."""
        weibull = rate if isinstance(rate, WeibullRate) else None
        self.hazards.append(
            Hazard(
                id=id_,
                label=label,
                when=Condition.model_validate(list(when)),
                clock=clock,
                rate=None if weibull else rate,
                weibull_shape=weibull and weibull.shape,
                weibull_scale=weibull and weibull.scale,
                modifiers=tuple(self.modifiers[risk]),
                effect=effect,
            )
        )


def included(file: DealFile) -> list[tuple[str, Obligation]]:
    """List the clauses and promises of the package by name."""
    both = [*file.clauses.items(), *file.promises.items()]
    return [(id_, o) for id_, o in both if o.included]


def names_of(id_: str) -> set[str]:
    """Flags and events that a clause, a promise or verification may have."""
    if id_ == VERIFICATION:
        return {f"{id_}_{x}" for x in ("refused", "refusal", "response")}
    own = ("defaulted", "fulfilled", "late", "deadline", "late_delivery", "violation", "reversal", "response")
    return {f"{id_}_{x}" for x in own}


def left_out(file: DealFile) -> frozenset[str]:
    """Name the flags and events of what isn't in the package, which never come about."""
    both = (*file.clauses.items(), *file.promises.items())
    gone = [i for i, o in both if not o.included and getattr(o, "so_far", None) is None]
    names = {name for i in gone for name in names_of(i)}
    v = file.verification
    if v is not None and (not v.agreed or not any(c in v.clauses for c, _ in included(file))):
        names |= names_of(VERIFICATION)
    return frozenset(names)


def kept_amounts(file: DealFile) -> dict[str, Amount]:
    """Those of the amounts stated one by one that the package can still lead to."""
    gone = left_out(file)
    return {i: a for i, a in file.consequences.items() if gone.isdisjoint((*(a.when or ()), a.event))}


def negated(literal: str) -> str:
    """Turn a literal into its opposite."""
    return literal.removeprefix("not ") if literal.startswith("not ") else f"not {literal}"


def is_verified(file: DealFile, id_: str) -> bool:
    """Whether the package has inspectors verify a clause or promise."""
    return file.verification is not None and file.verification.agreed and id_ in file.verification.clauses
