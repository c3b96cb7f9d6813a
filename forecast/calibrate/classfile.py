"""What a reference class says about itself: the words of class.toml, checked as soon as they are read."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, TypeAdapter, model_validator

from forecast.deal.spec import Frozen, Slug

type Text = Annotated[str, Field(min_length=3)]
type Levels = Annotated[tuple[str, ...], Field(min_length=1)]
type Positive = Annotated[float, Field(gt=0)]


class Table(Frozen):
    """The table beside class.toml: its file, the columns that identify a row, the column of dates."""

    file: Annotated[str, Field(pattern=r"^[a-z0-9_]+\.csv$")]
    known_on: str = "known_on"
    key: Annotated[tuple[str, ...], Field(min_length=1)]


class Age(Frozen):
    """Column of age bins and the bins in order: "0-1", "1-2", "2+" (years, the last one open)."""

    column: str
    bins: Levels

    @property
    def edges(self) -> tuple[float, ...]:
        """Lower edges of the bins, years, from 0."""
        return tuple(float(b.rstrip("+").split("-")[0]) for b in self.bins)

    @model_validator(mode="after")
    def _bins_follow_one_another(self) -> Self:
        upper = 0.0
        for n, text in enumerate(self.bins):
            last = n == len(self.bins) - 1
            parts = text.rstrip("+").split("-")
            try:
                numbers = [float(p) for p in parts]
            except ValueError:
                numbers = []
            if len(numbers) != (1 if last else 2) or text.endswith("+") != last or numbers[0] != upper:
                raise ValueError(f"age bin {text!r}: bins run on from 0 and the last is open, as in 0-1, 1-5, 5+")
            if not last and numbers[1] <= upper:
                raise ValueError(f"age bin {text!r} is empty")
            upper = numbers[-1]
        return self


class Period(Frozen):
    """Column of periods, and the calendar year in which each begins; rates may drift from one to the next."""

    column: Slug
    starts: Annotated[dict[str, Annotated[int, Field(ge=0, le=9999)]], Field(min_length=1)]

    @model_validator(mode="after")
    def _starts_are_in_order(self) -> Self:
        years = list(self.starts.values())
        if any(a >= b for a, b in pairwise(years)):
            raise ValueError(f"starts must rise from one period to the next (got {', '.join(map(str, years))})")
        return self


class RatesColumns(Frozen):
    """Events counted over exposure in years; `events` maps a kind of event to its column."""

    events: Annotated[dict[Slug, str], Field(min_length=1)]
    exposure: str
    age: Age | None = None


class BinomialColumns(Frozen):
    """Successes among trials."""

    successes: str
    trials: str


class ChoiceColumns(Frozen):
    """Offers made and accepted; `terms` maps what an offer may hold to the column that says how much of it.

    How much is a number in the term's own measure: 1 for a clause that is there and 0 for one that is not,
    or a part of it, or a negative number for its opposite.
    """

    accepted: str
    offers: str
    terms: Annotated[dict[Slug, str], Field(min_length=1)]


class MultinomialColumns(Frozen):
    """Counts by category; the first category is the one that log-odds are taken against."""

    categories: Annotated[dict[Slug, str], Field(min_length=2)]


class SharesColumns(Frozen):
    """Amounts by entry, within groups and windows of time; the latest window known of each group counts.

    A group counts as `effective_n` independent choices of a supplier, or, where it bought less than as
    many lots of `lot` units, as the number of its lots. A group that is no covariate of the class has no
    shares of its own to be known: groups are then draws from one Dirichlet distribution.
    """

    entry: str
    entries: Annotated[tuple[str, ...], Field(min_length=2)]
    amount: str
    group: Slug
    window: str
    lot: Positive
    effective_n: Positive


class SurvivalColumns(Frozen):
    """Dates of start, event (empty: none yet) and end of follow-up; `entry` where watching began late.

    `edges` are the lower edges, in years, of the bins of a piecewise hazard. Durations below
    `shortest` years are set to it: dates are no better than that.
    """

    start: str
    event: str
    followed_to: str
    entry: str | None = None
    family: Literal["weibull", "piecewise"]
    edges: tuple[float, ...] = (0.0,)
    shortest: Positive = 1 / 365.25


class Prior(Frozen):
    """The prior of one class, on the link scale but for the centres.

    sd: of the base (log rate, logit, log share, log scale) around its centre
    covariate_sd: scale of the half-normal from which each covariate takes the spread of its levels
    age_sd: the same for the steps of the random walk over age bins
    period_sd: the same for the steps of the random walk over periods
    shape_sd: of the log of a Weibull shape around 0
    why: where it comes from
    """

    why: Text
    sd: Positive
    covariate_sd: Positive = 0.5
    age_sd: Positive = 0.5
    period_sd: Positive = 0.5
    shape_sd: Positive = 0.4


class RatesPrior(Prior):
    """`centre`: rate a year of each event."""

    centre: dict[Slug, Positive]


class BinomialPrior(Prior):
    """`centre`: probability of success."""

    centre: Annotated[float, Field(gt=0, lt=1)]


class ChoicePrior(Prior):
    """`reservation`: utility that refusing is worth, `sd` around it; `values`: utility of each term, `value_sd`."""

    reservation: float
    values: dict[Slug, float]
    value_sd: Positive = 1.0


class MultinomialPrior(Prior):
    """`centre`: probability of each category."""

    centre: dict[Slug, Positive]


class SurvivalPrior(Prior):
    """`centre`: Weibull scale in years, or the rate a year of a piecewise hazard."""

    centre: Positive


# The unit of what a class of each kind gives; durations and exposure are in years throughout.
UNITS = {
    "rates": ("per year",),
    "binomial": ("probability",),
    "choice": ("utility",),
    "multinomial": ("probability",),
    "shares": ("share",),
    "survival": ("years", "per year"),
}


class _Class(Frozen):
    model_config = ConfigDict(title="class.toml")

    id: Slug
    title: Text
    question: Text
    unit: Annotated[str, Field(min_length=1)]
    citation: Annotated[tuple[Text, ...], Field(min_length=1)]
    licence: Text
    derived_by: Text
    notes: str = ""
    table: Table
    covariates: dict[Slug, Levels] = Field(default_factory=dict)
    period: Period | None = None

    @model_validator(mode="after")
    def _unit_is_that_of_the_kind(self) -> Self:
        allowed = UNITS[str(getattr(self, "kind", ""))]
        if self.unit not in allowed:
            raise ValueError(
                f"unit is {self.unit!r}; what a class of this kind gives is in {' or '.join(map(repr, allowed))} "
                "(times and exposure in years of 365.25 days): convert the table, or correct the unit"
            )
        return self

    @model_validator(mode="after")
    def _levels_are_distinct(self) -> Self:
        if self.period and self.period.column in self.covariates:
            raise ValueError(f"period.column: {self.period.column!r} is a covariate already; leave it out there")
        for name, levels in self.covariates.items():
            if len(set(levels)) != len(levels):
                raise ValueError(f"covariates.{name}: a level is named twice")
        return self


class RatesClass(_Class):
    """A class of events and exposure."""

    kind: Literal["rates"]
    columns: RatesColumns
    prior: RatesPrior

    @model_validator(mode="after")
    def _prior_has_each_event(self) -> Self:
        return _same_names(self, "prior.centre", self.prior.centre, "columns.events", self.columns.events)


class BinomialClass(_Class):
    """A class of yes-or-no outcomes."""

    kind: Literal["binomial"]
    columns: BinomialColumns
    prior: BinomialPrior


class ChoiceClass(_Class):
    """A class of offers taken or refused: the quantal response of one side, or of sides taken as one."""

    kind: Literal["choice"]
    columns: ChoiceColumns
    prior: ChoicePrior

    @model_validator(mode="after")
    def _prior_has_each_term(self) -> Self:
        return _same_names(self, "prior.values", self.prior.values, "columns.terms", self.columns.terms)


class MultinomialClass(_Class):
    """A class of outcomes of several kinds."""

    kind: Literal["multinomial"]
    columns: MultinomialColumns
    prior: MultinomialPrior

    @model_validator(mode="after")
    def _prior_has_each_category(self) -> Self:
        return _same_names(self, "prior.centre", self.prior.centre, "columns.categories", self.columns.categories)


class SharesClass(_Class):
    """A class of parts that add up to one."""

    kind: Literal["shares"]
    columns: SharesColumns
    prior: Prior

    @model_validator(mode="after")
    def _group_is_the_covariate(self) -> Self:
        if self.period:
            raise ValueError("shares have no period: the latest window of each group counts")
        if tuple(self.covariates) not in ((), (self.columns.group,)):
            raise ValueError(f"shares have at most one covariate, the group {self.columns.group!r}")
        if self.columns.effective_n <= 1:
            raise ValueError("columns.effective_n must be above 1")
        return self


class SurvivalClass(_Class):
    """A class of single cases with dates."""

    kind: Literal["survival"]
    columns: SurvivalColumns
    prior: SurvivalPrior

    @model_validator(mode="after")
    def _edges_rise(self) -> Self:
        edges = self.columns.edges
        if edges[:1] != (0.0,) or any(a >= b for a, b in pairwise(edges)):
            raise ValueError(f"columns.edges must rise from 0 (got {list(edges)})")
        if self.columns.family == "weibull" and edges != (0.0,):
            raise ValueError("columns.edges belong to a piecewise family")
        return self


type ClassFile = Annotated[
    RatesClass | BinomialClass | ChoiceClass | MultinomialClass | SharesClass | SurvivalClass,
    Field(discriminator="kind"),
]
CLASS_FILE: TypeAdapter[ClassFile] = TypeAdapter(ClassFile)


def _same_names[T](self: T, a: str, given: dict[str, float], b: str, wanted: dict[str, str]) -> T:
    if set(given) != set(wanted):
        raise ValueError(f"{a} must name what {b} names: {', '.join(wanted)} (got {', '.join(given)})")
    return self
