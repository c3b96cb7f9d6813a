"""Experts' quantiles: put on a link scale, fitted by normals, pooled with a term for disagreement."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from forecast.deal.parameters import ExpertRow
from forecast.types import F64

Z95 = 1.6448536269514722  # standard normal quantile of 0.95
DISAGREEMENT = 0.3  # scale of the half-normal prior of tau: an expert is off by about a third of a logit
POORLY_FITTED = 0.5  # in stated standard deviations


@dataclass(frozen=True)
class Belief:
    """One expert's answer as a normal on the link scale.

    mean, sd: of the normal whose 5, 50 and 95% quantiles are closest, by least squares, to the answer
    misfit: largest distance of a quantile from the normal's, in units of sd (0: the answer is normal)
    """

    question: str
    expert: str
    scale: str
    mean: float
    sd: float
    misfit: float


def to_link(scale: str, x: F64) -> F64:
    """Map values to the link scale: logit of a probability, log of a positive number, else as it is."""
    if scale == "probability":
        return np.log(x) - np.log1p(-x)
    return np.log(x) if scale == "positive" else x


def belief(row: ExpertRow) -> Belief:
    """Fit a normal on the link scale to one answer.

    Quantiles q and standard normal z = (-1.645, 0, 1.645): least squares gives mean(q) and
    sum(z q) / sum(z²) = (q95 - q05) / 3.29.
    """
    q = to_link(row.scale, np.array([row.p05, row.p50, row.p95]))
    mean, sd = float(q.mean()), float(q[2] - q[0]) / (2 * Z95)
    misfit = float(np.max(np.abs(q - mean - sd * np.array([-Z95, 0.0, Z95])))) / sd
    return Belief(row.question, row.expert, row.scale, mean, sd, misfit)


def beliefs(experts: Iterable[ExpertRow], as_of: date, questions: Iterable[str]) -> dict[str, list[Belief]]:
    """Group the answers to `questions` that were given by the as-of date; the order of rows is kept."""
    found: dict[str, list[Belief]] = {q: [] for q in questions}
    for row in experts:
        if row.question in found and row.date <= as_of:
            found[row.question].append(belief(row))
    return found


def misfits(answers: Mapping[str, Sequence[Belief]]) -> list[str]:
    """Name the answers that no normal on their scale comes near to."""
    return [
        f"{b.question}, {b.expert}: the quantiles lie up to {b.misfit:.1f} standard deviations from those of "
        f"the normal fitted to them on the {b.scale} scale; is the median, or the scale, what was meant?"
        for group in answers.values()
        for b in group
        if b.misfit > POORLY_FITTED
    ]


def pool(answers: Mapping[str, Sequence[Belief]]) -> Any:
    """Add the pooled answers to the model in context; return the consensus (question,), link scale.

    For question q with E experts, expert e stating mean m and sd s on the link scale:

        m_e ~ Normal(theta + bias_e, sqrt(E) s_e),   bias_e ~ Normal(0, tau u),   theta flat

    The factor sqrt(E) says that experts read the same newspapers: those who agree exactly leave the
    consensus about as wide as each of them, not narrower. tau ~ HalfNormal(0.3) is the disagreement
    that answers hide, shared by all questions of a deal; u is 1 on the logit and log scales, and on the
    real scale, which has no natural unit, the question's mean stated sd. The biases and theta are
    integrated out by hand: theta given tau is normal, and what the answers say about tau is the product
    of Normal(m_k | consensus of the experts before k), which needs no prior for theta.
    """
    mean, variance, unit = _arrays(answers)
    pm.modelcontext(None).add_coords({"elicited__question": list(answers)})
    tau = pm.HalfNormal("elicited__disagreement", DISAGREEMENT)
    weight = 1.0 / (variance + pt.sqr(tau * unit)[:, None])  # (question, expert); 0 where there is none
    total, moment = weight[:, 0], weight[:, 0] * mean[:, 0]
    for k in range(1, mean.shape[1]):
        asked = np.flatnonzero(np.isfinite(variance[:, k]))
        before = total[asked]
        pm.Normal(
            f"elicited__answer_{k + 1}",
            moment[asked] / before,
            pt.sqrt(1.0 / before + 1.0 / weight[asked, k]),
            observed=mean[asked, k],
        )
        total, moment = total + weight[:, k], moment + weight[:, k] * mean[:, k]
    z = pm.Normal("elicited__z", dims="elicited__question")
    return moment / total + z / pt.sqrt(total)


def _arrays(answers: Mapping[str, Sequence[Belief]]) -> tuple[F64, F64, F64]:
    """Means and variances (question, expert), infinite where there is no answer, and units (question,)."""
    shape = len(answers), max(len(a) for a in answers.values())
    mean, variance, unit = np.zeros(shape), np.full(shape, np.inf), np.ones(len(answers))
    for i, group in enumerate(answers.values()):
        stated = np.array([b.sd for b in group])
        mean[i, : len(group)] = [b.mean for b in group]
        variance[i, : len(group)] = len(group) * stated**2
        if group[0].scale == "real":
            unit[i] = stated.mean()
    return mean, variance, unit
