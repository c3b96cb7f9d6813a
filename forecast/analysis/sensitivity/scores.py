"""Draws on a scale on which heavy tails don't matter, and the part of each that the others don't tell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata

from forecast.types import F64

CLIP = 2.5  # scores beyond this, 1.2 % of the draws, count as this: no draw rules the fit of a tail
RIDGE = 1e-8  # on the diagonal of the correlation matrix, in case a number is determined by others
DETERMINED = 1e-3  # share of a score's variance below which the others are said to determine it


def normal_scores(x: F64) -> F64:
    """Replace each column by the normal quantiles of its ranks, Φ⁻¹((rank − ½) / n); ties share their mean rank.

    Any monotone transformation of a column gives the same scores, so a rate and its logarithm do.

    Parameters
    ----------
    x
        Shape (draw, number).

    Examples
    --------
    >>> normal_scores(np.array([[1.0], [1000.0], [10.0]])).round(2).ravel().tolist()
    [-0.97, 0.97, 0.0]
    """
    scores: F64 = ndtri((rankdata(x, axis=0) - 0.5) / len(x))
    return scores


@dataclass(frozen=True)
class Joint:
    """How scores go together: inverse (number, number) of their correlations Q; weighed (number, draw): Q z."""

    inverse: F64
    weighed: F64


def joint(scores: F64) -> Joint:
    """Prepare `innovations` for scores (draw, number), whose columns must not be constant."""
    standard = (scores - scores.mean(axis=0)) / scores.std(axis=0)
    correlation = standard.T @ standard / len(standard)
    inverse: F64 = np.linalg.inv(correlation + RIDGE * np.eye(len(correlation)))
    return Joint(inverse, inverse @ standard.T)


def innovations(together: Joint, members: Sequence[int]) -> F64 | None:
    r"""Take from some numbers what the other numbers tell about them, on the scale of normal scores.

    u_g = z_g − E[z_g | z_~g], with the expectation linear: exact where the joint distribution has a
    Gaussian copula. With Q the inverse correlation matrix, u_g = z Q[:, g] (Q[g, g])⁻¹.

    Parameters
    ----------
    together
        From `joint`.
    members
        Columns g.

    Returns
    -------
    array or None
        Shape (draw, member); None where the others determine the members.

    References
    ----------
    Mara & Tarantola 2012, Reliab. Eng. Syst. Saf. 107:115 (independent sensitivity indices).
    """
    at = list(members)
    left: F64 = np.linalg.solve(together.inverse[np.ix_(at, at)], together.weighed[at]).T
    kept = left.var(axis=0) >= DETERMINED
    return left[:, kept] if kept.any() else None
