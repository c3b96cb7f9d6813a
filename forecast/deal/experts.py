"""What experts were asked and what they answered: the rows of experts.csv."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from forecast.deal.spec import Frozen, Slug


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
