"""Experts' beliefs, pooled with a term for disagreement."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from forecast.calibrate.beliefs import Belief, arrays
from forecast.calibrate.consensus import DISAGREEMENT

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
    mean, variance, unit = arrays(answers)
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
