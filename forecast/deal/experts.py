"""What experts were asked and what they answered (experts.csv), and questions whose answer is known (seeds.csv)."""

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StrictFloat, model_validator

from forecast.deal.spec import Frozen, Slug

Scale = Literal["probability", "positive", "real"]
_COLUMN = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")


def level_of(column: str) -> float | None:
    """Probability that a quantile column stands for (p05: 0.05, p2.5: 0.025); None if it is no such column.

    >>> level_of("p05"), level_of("p97.5"), level_of("price")
    (0.05, 0.975, None)
    """
    found = _COLUMN.fullmatch(column)
    percent = float(found[1]) if found else 0.0
    return round(percent / 100, 5) if 0 < percent < 100 else None


def outside(scale: str, value: float) -> str | None:
    """What is wrong with a value on its scale, if anything."""
    if scale == "probability" and not 0 < value < 1:
        percent = f"; if that is per cent, write {value / 100:g}" if 1 < value < 100 else ""
        return f"probabilities must lie strictly between 0 and 1 (got {value:g}{percent})"
    if scale == "positive" and not value > 0:
        return f"a positive quantity must be more than 0 (got {value:g})"
    return None


class ExpertRow(Frozen):
    """One row of experts.csv: one expert's answer to one question.

    The columns are question, expert, date, asked, scale, unit, p05, p50, p95, why. Further quantiles are
    further columns (p01, p10, p25, p75, p90, p99, p2.5, …); a cell may be empty, but each row needs the
    median and at least one quantile on either side of it. `scale` is "probability" (logit), "positive"
    (log) or "real".
    """

    question: Slug
    expert: Annotated[str, Field(min_length=1, max_length=120)]
    date: date
    asked: Annotated[str, Field(min_length=10)]
    scale: Scale
    unit: Annotated[str, Field(min_length=1, max_length=60)]
    quantiles: Annotated[
        dict[str, float], Field(description="columns p05, p50, p95 and any others, in ascending order")
    ]
    why: Annotated[str, Field(min_length=10)]

    @property
    def levels(self) -> tuple[float, ...]:
        """Probabilities of the quantiles that were given."""
        return tuple(level_of(c) or 0.0 for c in self.quantiles)

    @property
    def values(self) -> tuple[float, ...]:
        """The quantiles that were given."""
        return tuple(self.quantiles.values())

    @model_validator(mode="before")
    @classmethod
    def _gather_quantiles(cls, raw: Any) -> Any:
        """Columns that are named like quantiles become one mapping, by rising level; empty cells are left out."""
        if not isinstance(raw, dict):
            return raw
        found = {c: x for c, x in raw.items() if level_of(c) is not None}
        given = {c: found[c] for c in sorted(found, key=lambda c: level_of(c) or 0.0) if found[c] not in (None, "")}
        rest = {k: v for k, v in raw.items() if k not in found}
        return {**rest, "quantiles": given} if found else rest

    @model_validator(mode="after")
    def _quantiles_fit_the_scale(self) -> Self:
        levels, values = self.levels, self.values
        if 0.5 not in levels or not (levels[0] < 0.5 < levels[-1]):
            got = ", ".join(self.quantiles) or "none"
            raise ValueError(f"give the median, p50, and at least one quantile below and one above it (got {got})")
        if list(values) != sorted(set(values)):
            got = ", ".join(map(str, values))
            raise ValueError(f"{' < '.join(self.quantiles)} must hold (got {got})")
        if wrong := outside(self.scale, values[0]) or outside(self.scale, values[-1]):
            raise ValueError(wrong)
        return self


class Seed(Frozen):
    """One row of seeds.csv: a question that experts answered and whose answer has become known.

    The columns are question, answer, known_on, source. Experts' answers to it are rows of experts.csv like
    others; no parameter needs it. It counts towards the experts' weights if it was known by the as-of date.
    """

    question: Slug
    answer: float
    known_on: date
    source: Annotated[str, Field(min_length=10)]


class Elicitation(Frozen):
    """How experts' answers to seed questions become weights (Cooke's classical model).

    An expert whose calibration score lies below `cutoff` gets no weight. `optimise = true` chooses the
    cut-off whose weighted combination of experts itself scores best on the seeds.
    """

    cutoff: Annotated[StrictFloat, Field(ge=0, lt=1)] = 0.05
    optimise: StrictBool = False


def seed_problems(seeds: tuple[Seed, ...], experts: tuple[ExpertRow, ...]) -> Iterator[str]:
    """Say which seeds do not go together with the answers."""
    for seed in seeds:
        rows = [r for r in experts if r.question == seed.question]
        if not rows:
            yield f"seeds.csv: nobody answers {seed.question!r} in experts.csv; add the answers, or take the seed out"
        for what in ("scale", "unit"):
            if len(found := sorted({getattr(r, what) for r in rows})) > 1:
                got = ", ".join(found)
                yield f"experts.csv: answers to seed question {seed.question!r} must share one {what} (got {got})"
        if rows and (wrong := outside(rows[0].scale, seed.answer)):
            yield f"seeds.csv: {seed.question!r}: {wrong}; the scale is that of its answers in experts.csv"
