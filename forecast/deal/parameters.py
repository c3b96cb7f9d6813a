"""Where a parameter's number comes from: exactly one of four, each with its reason."""

from datetime import date
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
    out is averaged over the class. `contrast` asks for an effect (log ratio or log-odds ratio)
    instead of a level. `link = true` gives the level on the link scale (log rate, logit).
    `transfer_sd` is the standard deviation, on the link scale, of how far this deal may differ.
    `exclude` drops entries from shares, the others then add up to one.
    """

    reference: Annotated[Slug, Field(alias="class")]
    where: dict[str, str] = Field(default_factory=dict)
    event: str | None = None
    category: str | None = None
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
    """

    id: Slug
    label: str
    unit: Annotated[str, Field(min_length=1, max_length=60)]
    reference: Reference | None = None
    experts: Slug | None = None  # a question of experts.csv
    distribution: Distribution | None = None
    constant: StrictFloat | None = None
    source: str | None = None
    rationale: str | None = None

    @model_validator(mode="after")
    def _comes_from_one_place(self) -> Self:
        origins = ("reference", "experts", "distribution", "constant")
        given = [o for o in origins if getattr(self, o) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(origins)} (got {', '.join(given) or 'none'})")
        if given[0] in ("distribution", "constant") and not self.source:
            raise ValueError(f"a {given[0]} needs a source")
        if given[0] == "reference" and not self.rationale:
            raise ValueError("a reference class needs a rationale: why this class, and this transfer_sd")
        return self


class ExpertRow(Frozen):
    """One row of experts.csv: one expert's answer to one question.

    The columns are question, expert, date, asked, scale, unit, p05, p50, p95, why. `scale` is
    "probability" (logit), "positive" (log) or "real".
    """

    question: Slug
    expert: Annotated[str, Field(min_length=1, max_length=120)]
    date: date
    asked: Annotated[str, Field(min_length=10)]
    scale: Literal["probability", "positive", "real"]
    unit: Annotated[str, Field(min_length=1, max_length=60)]
    p05: float
    p50: float
    p95: float
    why: Annotated[str, Field(min_length=10)]

    @model_validator(mode="after")
    def _quantiles_fit_the_scale(self) -> Self:
        if not self.p05 < self.p50 < self.p95:
            raise ValueError(f"p05 < p50 < p95 must hold (got {self.p05}, {self.p50}, {self.p95})")
        if self.scale == "probability" and not (self.p05 > 0 and self.p95 < 1):
            raise ValueError("probabilities must lie strictly between 0 and 1")
        if self.scale == "positive" and not self.p05 > 0:
            raise ValueError("a positive quantity needs p05 > 0")
        return self
