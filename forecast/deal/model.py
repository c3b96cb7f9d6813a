"""The deal language: what an analyst writes in deal.toml. `expand` lowers it to the primitives.

Every class here is one table of the file, every field one key; docs/deal-file.md is generated
from these descriptions.
"""

import datetime as dt
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, StrictBool, Tag, WithJsonSchema, model_validator

from forecast.deal.experts import Elicitation, ExpertRow, Seed
from forecast.deal.parameters import Parameter
from forecast.deal.spec import (
    BaseRate,
    Clock,
    Consequence,
    Day,
    Derived,
    Flag,
    FlagLiteral,
    Frozen,
    Hazard,
    OutcomeClass,
    ParameterRef,
    Scheduled,
    Slug,
)
from forecast.types import horizon_date

DURATION = re.compile(r"^\s*([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*(day|week|month|year)s?\s*$")
YEARS_PER = {"day": 1 / 365.25, "week": 7 / 365.25, "month": 1 / 12, "year": 1.0}


def _duration(value: Any) -> float:
    match = DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a duration is written like "24 months", "10 years", "6 weeks" or "90 days"')
    years = float(match[1]) * YEARS_PER[match[2]]
    if not YEARS_PER["day"] <= years <= 100:
        raise ValueError("a duration may be from 1 day to 100 years")
    return years


type Duration = Annotated[
    float,
    BeforeValidator(_duration),
    WithJsonSchema({"type": "string", "examples": ["24 months", "10 years", "90 days"]}),
]
type Text = Annotated[str, Field(min_length=1, max_length=2000)]


class Header(Frozen):
    """Names the deal and the window of the forecast."""

    id: Annotated[Slug, Field(description="short name, used for the archive")]
    title: Annotated[Text, Field(description="one line for people")]
    summary: Annotated[Text, Field(description="a paragraph: what is being negotiated")]
    as_of: Annotated[
        Day,
        Field(description="last day whose information may be used", ge=dt.date(1800, 1, 1), le=dt.date(2200, 1, 1)),
    ]
    horizon: Annotated[Duration, Field(description="length of the forecast", le=100)]
    signed_on: Annotated[Day | None, Field(description="for a deal already in force, instead of a negotiation")] = None
    not_covered: Annotated[tuple[Text, ...], Field(description="what this model leaves out, one line each")] = ()
    sources: Annotated[dict[Slug, Text], Field(description="short name → full citation")] = {}  # noqa: RUF012


class WeibullRate(Frozen):
    """A hazard that rises (shape > 1) or falls (shape < 1) with age: (age/scale)^shape, cumulative."""

    shape: ParameterRef
    scale: Annotated[ParameterRef, Field(description="years")]


def _rate_or_weibull(value: Any) -> str:
    return "rate" if isinstance(value, str) else "weibull"


# A rate parameter (per year; by age where its class has age bins), or {shape, scale}.
type RiskRate = Annotated[
    Annotated[ParameterRef, Tag("rate")] | Annotated[WeibullRate, Tag("weibull")],
    Discriminator(_rate_or_weibull),
]


class Influence(Frozen):
    """While `when` holds (always, without it) the log-odds or log hazard moves by `log_ratio`."""

    when: FlagLiteral | None = None
    log_ratio: ParameterRef


class Party(Frozen):
    """Someone whose interests count; with `signs`, someone whose signature is needed.

    In each round it accepts with probability logistic((utility − reservation)/noise + influences),
    utility being the sum of its values of the clauses (a quantal response). The value of an oral
    promise is multiplied by negotiation.oral_worth, that of an unverified clause by
    negotiation.unverified_worth.
    """

    name: Text
    signs: Annotated[StrictBool, Field(description="is its signature needed?")] = True
    at_table: Annotated[StrictBool, Field(description="does it take part in the talks?")] = True
    wants: tuple[Text, ...] = ()
    fears: tuple[Text, ...] = ()
    values: Annotated[
        dict[Slug, ParameterRef],
        Field(description="clause or promise → its value to this party, in its own utility units"),
    ] = {}  # noqa: RUF012
    reservation: Annotated[ParameterRef | None, Field(description="utility of having no deal")] = None
    noise: Annotated[ParameterRef | None, Field(description="scale of the quantal response")] = None
    absent: Annotated[
        ParameterRef | None,
        Field(description="log-odds added to its acceptance while it is not at the table"),
    ] = None
    influences: Annotated[
        tuple[Influence, ...], Field(description="what moves its acceptance, on the log-odds scale")
    ] = ()
    refusal_cause: Annotated[
        Slug | None,
        Field(description="cause of talks that fail while this party alone refuses (else no_deal)"),
    ] = None
    refusal_label: Text | None = None


class Negotiation(Frozen):
    """Rounds of talks, in each of which every signing party accepts or refuses the whole package."""

    first: Annotated[Day, Field(description="date of the first round")]
    every: Annotated[Duration, Field(description="time between rounds")]
    last: Annotated[Day, Field(description="date of the last possible round; without a signature the talks end then")]
    collapse: Annotated[ParameterRef, Field(description="rate per year at which the talks collapse")]
    collapse_influences: tuple[Influence, ...] = ()
    no_deal_label: Text = "No deal: the talks end without a signature"
    oral_worth: Annotated[
        ParameterRef | None, Field(description="worth of an oral promise, as a fraction of a binding one")
    ] = None
    unverified_worth: Annotated[
        ParameterRef | None,
        Field(description="worth of an unverified clause, as a fraction of a verified one"),
    ] = None


class Response(Frozen):
    """What the other side does about a default: after a while it ends the deal, or lets it pass."""

    after: Annotated[Duration, Field(description="time until the other side has decided")]
    ends_deal: Annotated[ParameterRef, Field(description="probability that the default ends the deal")]


class Obligation(Frozen):
    """What clauses and promises have in common."""

    title: Text
    obliged: Annotated[tuple[Slug, ...], Field(min_length=1, description="parties that must keep it")]
    facts: Annotated[Text, Field(description="what is known about it")]
    source: Text
    included: Annotated[StrictBool, Field(description="false drops it from the package")] = True
    binding: Annotated[StrictBool, Field(description="written and ratified, or only said")] = True
    if_oral: Annotated[
        ParameterRef | None, Field(description="log ratio on its default risk while it is not binding")
    ] = None
    if_unverified: Annotated[
        ParameterRef | None, Field(description="log ratio on its default risk while nobody verifies it")
    ] = None
    response: Response
    cause: Annotated[Slug, Field(description="name of the breakdown that its default leads to")]
    cause_label: Text


class Delivery(Obligation):
    """A clause to be carried out by a deadline after signature: kept on time, late, or not at all.

    What comes of it shows at the deadline, not before: "on time" means on that day.
    """

    kind: Literal["delivery"]
    deadline: Annotated[Duration, Field(description="time allowed after signature, or after `after` was fulfilled")]
    after: Annotated[
        Slug | None,
        Field(description="delivery clause whose fulfilment starts the time, instead of the signature"),
    ] = None
    grace: Annotated[Duration, Field(description="by how much a late delivery is late")]
    so_far: Annotated[
        Literal["fulfilled", "late", "broken"] | None,
        Field(description="what has come of it already, in a deal that is in force at the as-of date"),
    ] = None
    default: Annotated[ParameterRef, Field(description="log-odds of default against delivery on time")]
    late: Annotated[ParameterRef, Field(description="log-odds of late against on-time delivery")]


class Standing(Obligation):
    """A limit to be kept for as long as the deal is in force."""

    kind: Literal["standing"]
    violation: Annotated[RiskRate, Field(description="hazard of an open violation, by time since signature")]


class Promise(Obligation):
    """A political promise: kept until somebody reverses it."""

    reversal: Annotated[RiskRate, Field(description="hazard of its reversal, by time since signature")]


class Vote(Frozen):
    """One election."""

    date: Day
    takes_office: Day
    change: Annotated[ParameterRef, Field(description="probability that power changes hands")]


class Election(Frozen):
    """Elections that can bring the other side to power, which may oppose the deal and withdraw from it."""

    office: Text
    party: Annotated[Slug, Field(description="the party whose government is elected")]
    votes: Annotated[tuple[Vote, ...], Field(min_length=1)]
    opposes: Annotated[
        ParameterRef, Field(description="probability that a newcomer from the other side opposes the deal")
    ]
    returning_opposes: Annotated[
        ParameterRef, Field(description="the same when the side that made the deal comes back")
    ]
    withdraws_opposed: Annotated[RiskRate, Field(description="hazard of withdrawal while an opponent is in office")]
    withdraws: Annotated[RiskRate | None, Field(description="hazard of withdrawal otherwise")] = None
    cause: Slug
    cause_label: Text


class Leader(Frozen):
    """A leader whose exit may bring in an opponent of the deal, who may repudiate it."""

    name: Text
    party: Slug
    in_office_since: Day
    exit_regular: Annotated[RiskRate, Field(description="hazard of a regular exit, by time in office")]
    exit_irregular: Annotated[RiskRate | None, Field(description="hazard of an irregular exit")] = None
    position_after: Annotated[Duration, Field(description="time until the successor's position is known")]
    opposes_regular: Annotated[ParameterRef, Field(description="probability that a regular successor opposes the deal")]
    opposes_irregular: Annotated[ParameterRef | None, Field(description="the same after an irregular exit")] = None
    repudiates: Annotated[RiskRate, Field(description="hazard of repudiation while an opponent is in office")]
    cause: Slug
    cause_label: Text


class Verification(Frozen):
    """Inspections of some clauses, which the inspected party may one day refuse."""

    inspected: Annotated[Slug, Field(description="the party that is inspected")]
    clauses: Annotated[tuple[Slug, ...], Field(min_length=1)]
    agreed: Annotated[StrictBool, Field(description="false leaves inspections out of the package")] = True
    refusal: Annotated[RiskRate, Field(description="hazard of refusal, by time since signature")]
    response: Response
    source: Text
    cause: Slug
    cause_label: Text


class Breakdown(Frozen):
    """Any other way in which the deal ends while in force, such as fighting that resumes."""

    cause_label: Text
    hazard: Annotated[RiskRate, Field(description="by time since signature")]
    source: Text


class CalendarEvent(Frozen):
    """A dated event outside the deal, which happens with some probability and sets a flag."""

    label: Text
    date: Day
    happens: Annotated[ParameterRef | None, Field(description="probability; certain, if left out")] = None
    unless: Annotated[FlagLiteral | None, Field(description="does not happen while this holds")] = None
    sets: Slug
    source: Text


class Cascade(Frozen):
    """One thing makes others likelier or less likely, by a log ratio on their hazard or odds.

    `when` is a flag, such as `<clause>_defaulted` or `<clause>_fulfilled` (`forecast explain` lists
    them). `on` names clauses, promises, breakdowns, elections or leaders (their withdrawal),
    `verification`, or `talks` (their collapse).
    """

    when: FlagLiteral
    on: Annotated[tuple[Slug, ...], Field(min_length=1)]
    log_ratio: ParameterRef


class Buyer(Frozen):
    """A client of the market: what it buys a year from the restrained supplier, and whom it turns to."""

    name: Text
    imports: Annotated[ParameterRef, Field(description="bought a year from the restrained supplier")]
    shares: Annotated[Slug, Field(description="parameter with one share a supplier")]


class Market(Frozen):
    """Trade that a clause takes from one supplier and moves to others, shares conserved."""

    title: Text
    unit: Annotated[Text, Field(description="unit of the amounts")]
    during: Annotated[Slug, Field(description="the clause that restrains the supplier while it is kept")]
    supplier: Annotated[Text, Field(description="who loses the trade")]
    cut: Annotated[ParameterRef, Field(description="fraction of its sales that the clause stops")]
    replaced: Annotated[
        ParameterRef | None, Field(description="fraction of the lost purchases that the buyers replace")
    ] = None
    discount: ParameterRef | None = None
    suppliers: Annotated[
        dict[Slug, tuple[Text, ...]],
        Field(min_length=1, description="who gains → entries of the shares that count as it"),
    ]
    buyers: Annotated[dict[Slug, Buyer], Field(min_length=1)]
    source: Text


class Amount(Frozen):
    """An amount per year while something holds, or a lump sum when an event happens."""

    label: Text
    unit: Text
    amount: Annotated[tuple[ParameterRef, ...], Field(min_length=1, description="multiplied with each other")]
    sign: Literal[-1, 1] = 1
    when: Annotated[tuple[FlagLiteral, ...] | None, Field(description="flags, for an amount per year")] = None
    event: Annotated[Slug | None, Field(description="event, for a lump sum")] = None
    branch: Slug | None = None
    discount: ParameterRef | None = None
    source: Text


class Headline(Frozen):
    """A probability to put on top of the report: exactly one of state, outcome and cause, at a date."""

    label: Text
    date: Day
    state: Slug | None = None
    outcome: Slug | None = None
    cause: Slug | None = None


class BaseRateEntry(BaseRate):
    """A base rate as a deal file gives it, with `within` as a duration."""

    within: Duration


class Primitives(Frozen):
    """Parts of the process said directly; they are added to what the words expand to."""

    flags: tuple[Flag, ...] = ()
    exclusive: tuple[tuple[Slug, ...], ...] = ()
    clocks: tuple[Clock, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    scheduled: tuple[Scheduled, ...] = ()
    causes: Annotated[dict[Slug, Text], Field(description="cause → label")] = {}  # noqa: RUF012
    outcomes: tuple[OutcomeClass, ...] = ()
    consequences: tuple[Consequence, ...] = ()
    derived: tuple[Derived, ...] = ()


type Clause = Annotated[Delivery | Standing, Field(discriminator="kind")]


class DealFile(Frozen):
    """The tables of deal.toml."""

    deal: Header
    parties: dict[Slug, Party] = {}  # noqa: RUF012
    negotiation: Negotiation | None = None
    clauses: dict[Slug, Clause] = {}  # noqa: RUF012
    promises: dict[Slug, Promise] = {}  # noqa: RUF012
    elections: dict[Slug, Election] = {}  # noqa: RUF012
    leaders: dict[Slug, Leader] = {}  # noqa: RUF012
    verification: Verification | None = None
    breakdowns: dict[Slug, Breakdown] = {}  # noqa: RUF012
    calendar: dict[Slug, CalendarEvent] = {}  # noqa: RUF012
    cascades: tuple[Cascade, ...] = ()
    markets: dict[Slug, Market] = {}  # noqa: RUF012
    consequences: dict[Slug, Amount] = {}  # noqa: RUF012
    headline: tuple[Headline, ...] = ()
    base_rates: tuple[BaseRateEntry, ...] = ()
    parameters: dict[Slug, Parameter] = {}  # noqa: RUF012
    elicitation: Elicitation = Elicitation()
    primitives: Primitives = Primitives()

    @model_validator(mode="before")
    @classmethod
    def _name_parameters(cls, raw: Any) -> Any:
        """Give each parameter the name of its table."""
        if not isinstance(raw, dict) or not isinstance(raw.get("parameters"), dict):
            return raw
        named = {k: {"id": k, **v} if isinstance(v, dict) else v for k, v in raw["parameters"].items()}
        return {**raw, "parameters": named}


class Deal(Frozen):
    """A deal file that has been read and checked, with the experts' answers and the seed questions beside it."""

    file: DealFile
    experts: tuple[ExpertRow, ...] = ()
    seeds: tuple[Seed, ...] = ()
    folder: Path = Path()
    overrides: dict[str, Any] = {}  # noqa: RUF012

    @property
    def id(self) -> str:
        """Short name of the deal."""
        return self.file.deal.id

    @property
    def horizon(self) -> dt.date:
        """Last day of the forecast."""
        return horizon_date(self.as_of, self.file.deal.horizon)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Files of the deal itself that exist."""
        files = (self.folder / name for name in ("deal.toml", "experts.csv", "seeds.csv"))
        return tuple(f for f in files if f.exists())

    @property
    def as_of(self) -> dt.date:
        """Last day whose information may be used."""
        return self.file.deal.as_of
