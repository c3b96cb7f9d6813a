"""Regression of a headline on one parameter or several: linear smoothers whose leave-one-out is exact.

A smoother is ŷ = H y with H made of the parameters alone. Leaving draw i out changes its own prediction
to (ŷ_i − h_ii y_i) / (1 − h_ii), without fitting anew. All headlines share H.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from math import comb

import numpy as np
from scipy.interpolate import BSpline

from forecast.analysis.sensitivity.scores import CLIP
from forecast.types import F64

KNOT_DF = 12  # degrees of freedom of a curve in one parameter
MAX_DEGREE = 10
SHARE = 20  # draws a basis function of a surface
PENALTIES = (1e-7, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.5, 2.0)
LINEAR, PER_DEGREE = 10.0, 0.2  # size of a term of degree 1, and how much smaller each further degree is
HIGHEST_LEVERAGE = 0.999


@dataclass(frozen=True)
class Smooth:
    """A fit of y (draw, output), less its mean.

    fitted, left_out (draw, output): prediction of each draw with, and without, itself
    df: trace of H less one; penalised: shrunk, so that it may miss some of what there is
    """

    fitted: F64
    left_out: F64
    df: float
    penalised: bool


@dataclass(frozen=True)
class Curve:
    """Basis of functions of one parameter: cubic B-splines of its score, orthonormal over the draws.

    orthonormal (draw, df); knots and turn: what makes it; mean (basis,): of the raw basis
    """

    orthonormal: F64
    knots: F64
    mean: F64
    turn: F64

    @property
    def df(self) -> int:
        """Number of functions, besides the constant."""
        return int(self.orthonormal.shape[1])

    def at(self, score: float) -> F64:
        """Weights (draw,) that make the fitted mean at a score out of the y of all draws."""
        row = _splines(np.array([score]), self.knots)[0] - self.mean
        weights: F64 = 1.0 / len(self.orthonormal) + self.orthonormal @ (row @ self.turn)
        return weights


def curve(score: F64, df: int = KNOT_DF) -> Curve:
    """Make the basis for one parameter: knots at equal shares of the draws; fewer where values repeat.

    Parameters
    ----------
    score
        Shape (draw,), from `normal_scores`, not constant.
    """
    inner = np.quantile(np.clip(score, -CLIP, CLIP), np.linspace(0.0, 1.0, df - 1))
    knots = np.unique(inner)
    if len(knots) < 2:  # nearly all draws have one value
        knots = np.array([score.min(), score.max()])
    raw = _splines(score, knots)
    mean = raw.mean(axis=0)
    raw -= mean
    square, turn = np.linalg.eigh(raw.T @ raw)
    kept = square > 1e-12 * square[-1]
    turn = turn[:, kept] / np.sqrt(square[kept])
    return Curve(raw @ turn, knots, mean, turn)


def _splines(score: F64, knots: F64) -> F64:
    full = np.concatenate([np.repeat(knots[0], 3), knots, np.repeat(knots[-1], 3)])
    basis: F64 = BSpline.design_matrix(np.clip(score, knots[0], knots[-1]), full, 3).toarray()
    return basis


def smooth_curve(basis: Curve, y: F64) -> Smooth:
    """Fit y (draw, output) by least squares on the basis of one parameter."""
    centred = y - y.mean(axis=0)
    q = basis.orthonormal
    fitted = q @ (q.T @ centred)
    return Smooth(fitted, _left_out(fitted, centred, (q**2).sum(axis=1)), float(basis.df), penalised=False)


def smooth_surface(scores: F64, y: F64) -> Smooth:
    r"""Fit y on several parameters: ridge regression on polynomial chaos.

    Basis functions are products of Hermite polynomials of the scores: up to a total degree where there
    are few parameters, else each alone and the products of pairs, the strongest first; in all one
    function for 20 draws, or three for each parameter. The penalty is the one with the smallest
    leave-one-out error, for each output by itself.

    Parameters
    ----------
    scores
        Shape (draw, number), from `normal_scores`.
    y
        Shape (draw, output).

    References
    ----------
    Sudret 2008, Reliab. Eng. Syst. Saf. 93:964; Blatman & Sudret 2010, Prob. Eng. Mech. 25:183.
    """
    centred = y - y.mean(axis=0)
    basis = chaos(scores, centred)
    n = len(basis)
    size, turn = np.linalg.eigh(basis.T @ basis / n)
    kept = size > 1e-9 * size[-1]
    size, rotated = size[kept], basis @ turn[:, kept]  # columns of squared length n * size
    along = rotated.T @ centred / n
    shrunk = 1.0 / (size[:, None] + np.array(PENALTIES))
    leverage = (rotated**2 @ shrunk) / n
    fitted, left_out = np.empty_like(y), np.empty_like(y)
    best, df = np.full(y.shape[1], np.inf), np.zeros(y.shape[1])
    for k in range(len(PENALTIES)):
        fit = rotated @ (shrunk[:, k, None] * along)
        out = _left_out(fit, centred, leverage[:, k])
        error = ((centred - out) ** 2).mean(axis=0)
        better = error < best
        fitted[:, better], left_out[:, better], best[better] = fit[:, better], out[:, better], error[better]
        df[better] = float(size @ shrunk[:, k])
    return Smooth(fitted, left_out, float(df.max(initial=0.0)), penalised=True)


def _left_out(fitted: F64, centred: F64, leverage: F64) -> F64:
    """Predict each draw from the others; the mean, too, is that of the others."""
    h = np.minimum(leverage + 1.0 / len(fitted), HIGHEST_LEVERAGE)[:, None]
    result: F64 = (fitted - h * centred) / (1.0 - h)
    return result


def chaos(scores: F64, y: F64) -> F64:
    """Make the basis of `smooth_surface`: (draw, term), each column with mean 0.

    The higher a term's degree, the smaller it is, and so the more a penalty holds it back.
    """
    n, p = scores.shape
    limit = max(3 * p, n // SHARE)
    hermite = _hermite(np.clip(scores, -CLIP, CLIP))
    strength = ((scores.T @ y / n) ** 2 / np.maximum(y.var(axis=0), 1e-300)).max(axis=1, initial=0.0)
    degree = max((d for d in range(1, MAX_DEGREE + 1) if comb(p + d, d) - 1 <= limit), default=1)
    terms = list(_total_degree(p, degree)) if degree > 2 else list(_strongest(strength, limit))
    columns = np.ones((n, len(terms)))
    for k, term in enumerate(terms):
        for number in set(term):
            columns[:, k] *= hermite[term.count(number)][:, number]
    columns -= columns.mean(axis=0)
    spread = columns.std(axis=0)
    kept = spread > 1e-9
    size = np.array([LINEAR * PER_DEGREE ** (len(term) - 1) for term in terms])
    basis: F64 = columns[:, kept] * (size[kept] / spread[kept])
    return basis


def _hermite(z: F64) -> list[F64]:
    """Probabilists' Hermite polynomials of the scores, degrees 0 to `MAX_DEGREE`, scaled to mean square 1."""
    found = [np.ones_like(z), z]
    for k in range(1, MAX_DEGREE):
        found.append((z * found[k] - np.sqrt(k) * found[k - 1]) / np.sqrt(k + 1))
    return found


def _total_degree(p: int, degree: int) -> Iterator[tuple[int, ...]]:
    for d in range(1, degree + 1):
        yield from combinations_with_replacement(range(p), d)


def _strongest(strength: F64, limit: int) -> Sequence[tuple[int, ...]]:
    """All numbers alone, then squares, pairs and cubes by the strength of their parts, to `limit` terms."""
    p = len(strength)
    weight = np.sqrt(strength + 1e-6)
    rows, columns = np.triu_indices(p)
    found: list[tuple[float, tuple[int, ...]]] = [
        (float(weight[i] * weight[j]), (int(i), int(j))) for i, j in zip(rows, columns, strict=True)
    ]
    found += [(float(weight[i]) ** 2 / 2.0, (i, i, i)) for i in range(p)]
    ordered = [term for _, term in sorted(found, key=lambda t: -t[0])]
    return [*((i,) for i in range(p)), *ordered[: max(limit - p, 0)]]
