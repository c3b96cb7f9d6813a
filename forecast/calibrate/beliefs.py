"""Experts' quantiles on a link scale, fitted by normals: one belief an answer. NumPy alone, quick to import."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from statistics import NormalDist

import numpy as np

from forecast.deal.experts import ExpertRow
from forecast.types import F64

Z95 = 1.6448536269514722  # standard normal quantile of 0.95
POORLY_FITTED = 0.5  # in stated standard deviations


@dataclass(frozen=True)
class Belief:
    """One expert's answer as a normal on the link scale.

    mean, sd: of the normal whose quantiles are closest, by least squares, to the answer
    misfit: largest distance of a quantile from the normal's, in units of sd (0: the answer is normal)
    weight: share in the pool of its question; those of a question add up to 1
    """

    question: str
    expert: str
    scale: str
    mean: float
    sd: float
    misfit: float
    weight: float = 1.0


def to_link(scale: str, x: F64) -> F64:
    """Map values to the link scale: logit of a probability, log of a positive number, else as it is."""
    if scale == "probability":
        return np.log(x) - np.log1p(-x)
    return np.log(x) if scale == "positive" else x


def from_link(scale: str, x: F64) -> F64:
    """Map values back from the link scale."""
    if scale == "probability":
        return 1.0 / (1.0 + np.exp(-x))
    return np.exp(x) if scale == "positive" else x


def normal_quantiles(levels: Iterable[float]) -> F64:
    """Standard normal quantiles of probabilities."""
    return np.array([NormalDist().inv_cdf(level) for level in levels])


def belief(row: ExpertRow) -> Belief:
    """Fit a normal on the link scale to one answer.

    For quantiles q at levels p, and z the standard normal's quantiles at p, least squares of q on z gives

        sd = sum((z - mean(z)) q) / sum((z - mean(z))²),   mean = mean(q) - sd mean(z)

    so for 5, 50 and 95% mean(q) and (q95 - q05) / 3.29. sd is above 0, for q rises with z.
    """
    z, q = normal_quantiles(row.levels), to_link(row.scale, np.array(row.values))
    centred = z - z.mean()
    sd = float(centred @ q / (centred @ centred))
    mean = float(q.mean() - sd * z.mean())
    return Belief(row.question, row.expert, row.scale, mean, sd, float(np.max(np.abs(q - mean - sd * z))) / sd)


def beliefs(
    experts: Iterable[ExpertRow],
    as_of: date,
    questions: Iterable[str],
    weights: Mapping[str, float] | None = None,
) -> dict[str, list[Belief]]:
    """Group the answers to `questions` that were given by the as-of date; the order of rows is kept.

    `weights` are those of experts, of any sum. An expert of weight 0 (or without one) is left out where
    one of more answered the same question; where none has any, and without `weights`, all weigh the same.
    """
    found: dict[str, list[Belief]] = {q: [] for q in questions}
    for row in experts:
        if row.question in found and row.date <= as_of:
            found[row.question].append(belief(row))
    return {q: shared(group, weights or {}) for q, group in found.items()}


def shared(group: Sequence[Belief], weights: Mapping[str, float]) -> list[Belief]:
    """Give each answer to one question its share; those of weight 0 are left out, unless all are."""
    raw = [weights.get(b.expert, 0.0) for b in group]
    if not any(raw):
        raw = [1.0] * len(group)
    return [replace(b, weight=w / sum(raw)) for b, w in zip(group, raw, strict=True) if w > 0]


def arrays(answers: Mapping[str, Sequence[Belief]]) -> tuple[F64, F64, F64]:
    """Arrange beliefs for the pool.

    Returns
    -------
    mean, variance
        (question, expert), link scale. The variance is s² / w; infinite, and the mean 0, where there is no answer.
    unit
        (question,): what disagreement counts in, 1 or, on the real scale, the mean stated sd.
    """
    shape = len(answers), max(len(a) for a in answers.values())
    mean, variance, unit = np.zeros(shape), np.full(shape, np.inf), np.ones(len(answers))
    for i, group in enumerate(answers.values()):
        stated = np.array([b.sd for b in group])
        mean[i, : len(group)] = [b.mean for b in group]
        variance[i, : len(group)] = stated**2 / [b.weight for b in group]
        if group[0].scale == "real":
            unit[i] = stated.mean()
    return mean, variance, unit


def misfits(answers: Mapping[str, Sequence[Belief]]) -> list[str]:
    """Name the answers that no normal on their scale comes near to."""
    return [
        f"{b.question}, {b.expert}: the quantiles lie up to {b.misfit:.1f} standard deviations from those of "
        f"the normal fitted to them on the {b.scale} scale; is the median, or the scale, what was meant?"
        for group in answers.values()
        for b in group
        if b.misfit > POORLY_FITTED
    ]
