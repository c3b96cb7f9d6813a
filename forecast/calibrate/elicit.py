"""Experts' beliefs, pooled with a term for disagreement."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from forecast.calibrate.beliefs import Belief
from forecast.types import F64

DISAGREEMENT = 0.3  # scale of the half-normal prior of tau: an expert is off by about a third of a logit

type Tensor = Any  # a symbolic array: PyTensor has no types that mypy could follow


def pool(answers: Mapping[str, Sequence[Belief]]) -> tuple[Tensor, Tensor]:
    """Add what the answers say of the experts' disagreement to the model in context.

    For question q with experts e of weights w_e (which add up to 1), stating mean m and sd s on the link
    scale:

        m_e ~ Normal(theta + bias_e, s_e / sqrt(w_e)),   bias_e ~ Normal(0, tau u),   theta flat

    The factor says that experts read the same newspapers (E experts of equal weight: sqrt(E)): those who
    agree exactly leave the consensus about as wide as each of them, not narrower. tau ~ HalfNormal(0.3) is
    the disagreement that answers hide, shared by all questions of a deal; u is 1 on the logit and log
    scales, and on the real scale, which has no natural unit, the question's mean stated sd. The biases and
    theta are integrated out by hand: theta given tau is normal, and what the answers say about tau is the
    product of Normal(m_k | consensus of the experts before k), which needs no prior for theta.

    Returns
    -------
    mean, variance
        Of theta given tau, the consensus, on the link scale: tensors with dim `elicited__question`.
    """
    mean, variance, unit = _arrays(answers)
    pm.modelcontext(None).add_coords({"elicited__question": list(answers)})
    tau = pm.HalfNormal("elicited__disagreement", DISAGREEMENT)
    precision = 1.0 / (variance + pt.sqr(tau * unit)[:, None])  # (question, expert); 0 where there is none
    total, moment = precision[:, 0], precision[:, 0] * mean[:, 0]
    for k in range(1, mean.shape[1]):
        asked = np.flatnonzero(np.isfinite(variance[:, k]))
        before = total[asked]
        pm.Normal(
            f"elicited__answer_{k + 1}",
            moment[asked] / before,
            pt.sqrt(1.0 / before + 1.0 / precision[asked, k]),
            observed=mean[asked, k],
        )
        total, moment = total + precision[:, k], moment + precision[:, k] * mean[:, k]
    return moment / total, 1.0 / total


def _arrays(answers: Mapping[str, Sequence[Belief]]) -> tuple[F64, F64, F64]:
    """Means and variances (question, expert), infinite where there is no answer, and units (question,)."""
    shape = len(answers), max(len(a) for a in answers.values())
    mean, variance, unit = np.zeros(shape), np.full(shape, np.inf), np.ones(len(answers))
    for i, group in enumerate(answers.values()):
        stated = np.array([b.sd for b in group])
        mean[i, : len(group)] = [b.mean for b in group]
        variance[i, : len(group)] = stated**2 / [b.weight for b in group]
        if group[0].scale == "real":
            unit[i] = stated.mean()
    return mean, variance, unit
