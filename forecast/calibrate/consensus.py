"""The experts' consensus without a sampler: the one unknown that it hangs on is integrated on a grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from forecast.calibrate.beliefs import Belief, arrays
from forecast.types import F64

DISAGREEMENT = 0.3  # scale of the half-normal prior of tau: an expert is off by about a third of a logit
POINTS = 600  # of the grid over tau
HALVINGS = 60


@dataclass(frozen=True)
class Consensus:
    """Pooled answers: given each tau of a grid, every question's theta is normal on the link scale.

    tau, density: (tau,); the density adds up to 1
    mean, sd: (tau, question)
    """

    tau: F64
    density: F64
    mean: F64
    sd: F64

    def quantiles(self, levels: Sequence[float]) -> F64:
        """Quantiles (question, level) of theta on the link scale, by halving intervals of the mixed distribution."""
        wanted = np.array(levels)
        low = np.repeat((self.mean - 10 * self.sd).min(axis=0)[:, None], len(wanted), axis=1)
        high = np.repeat((self.mean + 10 * self.sd).max(axis=0)[:, None], len(wanted), axis=1)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            z = (middle[None] - self.mean[..., None]) / self.sd[..., None]
            below = np.tensordot(self.density, ndtr(z), axes=1) < wanted
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def tau_quantiles(self, levels: Sequence[float]) -> F64:
        """Quantiles (level,) of the disagreement."""
        return np.interp(levels, np.cumsum(self.density), self.tau)


def consensus(answers: Mapping[str, Sequence[Belief]]) -> Consensus:
    """Pool answers as `elicit.pool` does, theta | tau by hand and tau on a grid of midpoints.

    p(tau | answers) ∝ exp(-tau² / (2 · 0.3²)) · prod over questions and experts k of
    Normal(m_k | mean and variance of the consensus of the experts before k).
    """
    mean, variance, unit = arrays(answers)
    width = max(float(np.ptp(m[np.isfinite(v)] / u)) for m, v, u in zip(mean, variance, unit, strict=True))
    # Answers d apart pull tau to about sqrt(0.21 d); the prior ends near 6 · 0.3.
    end = 6 * DISAGREEMENT + 2 * np.sqrt(width)
    tau = (np.arange(POINTS) + 0.5) * end / POINTS
    log_density = -(tau**2) / (2 * DISAGREEMENT**2)
    precision = 1.0 / (variance[None] + (tau[:, None] * unit)[..., None] ** 2)  # (tau, question, expert)
    total, moment = precision[..., 0].copy(), precision[..., 0] * mean[:, 0]
    for k in range(1, mean.shape[1]):
        asked = np.isfinite(variance[:, k])
        spread = 1.0 / total[:, asked] + 1.0 / precision[:, asked, k]
        off = mean[asked, k] - moment[:, asked] / total[:, asked]
        log_density -= 0.5 * (off**2 / spread + np.log(spread)).sum(axis=1)
        total, moment = total + precision[..., k], moment + precision[..., k] * mean[:, k]
    density = np.exp(log_density - log_density.max())
    return Consensus(tau, density / density.sum(), moment / total, 1.0 / np.sqrt(total))


def spread(group: Sequence[Belief]) -> float:
    """Weighted standard deviation of the experts' means on the link scale: how far they lie apart."""
    mean, weight = np.array([b.mean for b in group]), np.array([b.weight for b in group])
    return float(np.sqrt(weight @ (mean - weight @ mean) ** 2))
