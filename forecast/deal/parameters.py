"""Where a parameter's number comes from: classes and experts, a distribution, a constant; each with its reason."""

from typing import Annotated, Literal, Self

from pydantic import Field, StrictBool, StrictFloat, model_validator

from forecast.deal.spec import Frozen, Slug


class Contrast(Frozen):
    """The difference that moving `covariate` from level `base` to level `to` makes, on the link scale."""

    covariate: str
    base: str
    to: str


class Reference(Frozen):
    """Taken from a reference class: the fitted value at the covariate levels in `where`.

    `event` picks one of several event kinds (rates) and `category` one of several outcomes (a
    multinomial; without it the parameter has one entry a category). A covariate that `where` leaves
    out is averaged over the class, but for the period, which is then the as-of date's. `contrast` asks
    for an effect (log ratio or log-odds ratio) instead of a level. `link = true` gives the level on the
    link scale (log rate, logit).
    `transfer_sd` is the standard deviation, on the link scale, of how far this deal may differ.
    Of a class of offers a parameter takes the utility of one term, `value`, or the reservation.
    `exclude` drops entries from shares, the others then add up to one.
    """

    reference: Annotated[Slug, Field(alias="class")]
    where: dict[str, str] = Field(default_factory=dict)
    event: str | None = None
    category: str | None = None
    value: str | None = None
    exclude: tuple[str, ...] = ()
    contrast: Contrast | None = None
    link: StrictBool = False
    transfer_sd: Annotated[StrictFloat, Field(ge=0, le=3)]


class Distribution(Frozen):
    """A named distribution, as PyMC parametrises it.

    normal: mu, sigma · lognormal: mu, sigma (of the log) · beta: alpha, beta · gamma: alpha, beta ·
    uniform: lower, upper · halfnormal: sigma.
    """

    family: Literal["normal", "lognormal", "beta", "gamma", "uniform", "halfnormal"]
    mu: StrictFloat | None = None
    sigma: Annotated[StrictFloat, Field(gt=0)] | None = None
    alpha: Annotated[StrictFloat, Field(gt=0)] | None = None
    beta: Annotated[StrictFloat, Field(gt=0)] | None = None
    lower: StrictFloat | None = None
    upper: StrictFloat | None = None

    @model_validator(mode="after")
    def _has_what_its_family_needs(self) -> Self:
        needs = {
            "normal": ("mu", "sigma"),
            "lognormal": ("mu", "sigma"),
            "beta": ("alpha", "beta"),
            "gamma": ("alpha", "beta"),
            "uniform": ("lower", "upper"),
            "halfnormal": ("sigma",),
        }[self.family]
        given = tuple(k for k in type(self).model_fields if k != "family" and getattr(self, k) is not None)
        if set(given) != set(needs):
            raise ValueError(
                f"a {self.family} distribution takes {', '.join(needs)} (got {', '.join(given) or 'none'})"
            )
        if self.lower is not None and self.upper is not None and not self.lower < self.upper:
            raise ValueError("lower must be below upper")
        return self


class Parameter(Frozen):
    """One uncertain number, sampled once a draw wherever it is used.

    `unit` is one of "probability", "per year", "log ratio" (log hazard ratio, log-odds ratio),
    "logit", "years", "1", "utility", or the unit of an amount such as "TIV million per year".

    `reference` is one class, `references` several; either may go together with `experts`. Each source is
    then weighed by how well it is known and by its transfer_sd.
    """

    id: Slug
    label: str
    unit: Annotated[str, Field(min_length=1, max_length=60)]
    reference: Reference | None = None
    references: Annotated[tuple[Reference, ...], Field(max_length=8)] = ()
    experts: Slug | None = None  # a question of experts.csv
    distribution: Distribution | None = None
    constant: StrictFloat | None = None
    source: str | None = None
    rationale: str | None = None

    @property
    def rests_on(self) -> tuple[Reference, ...]:
        """The reference classes behind the parameter, one or several; none if it comes from elsewhere."""
        return self.references or ((self.reference,) if self.reference else ())

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        origins = ("reference", "references", "experts", "distribution", "constant")
        given = [o for o in origins if getattr(self, o) not in (None, ())]
        if len(given) != 1 and given not in (["reference", "experts"], ["references", "experts"]):
            raise ValueError(
                "give one of reference, references, experts, distribution, constant, or a class and experts "
                f"(got {', '.join(given) or 'none'})"
            )
        if given[0] in ("distribution", "constant") and not self.source:
            raise ValueError(f"a {given[0]} needs a source")
        if self.rests_on and not self.rationale:
            raise ValueError("a reference class needs a rationale: why this class, and this transfer_sd")
        if len(self.references) == 1:
            raise ValueError("references holds at least two classes; a single one is written as reference")
        if len(given) > 1 or self.references:
            self._may_differ()
        return self

    def _may_differ(self) -> None:
        named = [r.model_dump_json(exclude={"transfer_sd"}) for r in self.rests_on]
        if len(set(named)) != len(named):
            raise ValueError("references names the same class and levels twice; leave one out")
        for r in self.rests_on:
            if r.transfer_sd == 0:
                raise ValueError(
                    f"{r.reference}: beside another source a class needs a transfer_sd above 0; 0 would leave "
                    "the other no weight"
                )
