"""A headline where one parameter is low, and where it is high."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from forecast.analysis.sensitivity.batches import batch_error
from forecast.analysis.sensitivity.smooth import Curve, Smooth
from forecast.types import F64

LOW, HIGH = 0.05, 0.95


@dataclass(frozen=True)
class Swing:
    """Means of y at the low and at the high value, with errors, and the error of their difference: (output,) each."""

    low: F64
    high: F64
    low_error: F64
    high_error: F64
    swing_error: F64


def swing(basis: Curve, y: F64, fit: Smooth) -> Swing:
    r"""Estimate E[y | x at its 5 % quantile] and E[y | x at its 95 % quantile] by local regression.

    The curve is a regression spline, in which a draw counts by its nearness, ĝ(x) = Σ w_i(x) y_i. The other
    parameters keep the distribution that they have given x: this is what the draws say, not what a
    change of x alone would do. The error is that of Σ w_i r_i, with r_i the residual of draw i when left out.

    Parameters
    ----------
    basis
        From `curve`.
    y
        Shape (draw, output): probabilities.
    fit
        Of y on the basis.
    """
    low, high = (basis.at(float(ndtri(q))) for q in (LOW, HIGH))
    residual = y - y.mean(axis=0) - fit.left_out

    def error(weights: F64) -> F64:
        return batch_error(len(y) * weights[:, None] * residual)

    at_low, at_high = (np.clip(w @ y, 0.0, 1.0) for w in (low, high))
    return Swing(at_low, at_high, error(low), error(high), error(high - low))
