"""What knowing some parameters is worth: variance explained, scores gained, decisions improved.

Each is E[h(g)] − h(E[g]) with g(x) = E[y | x] and h convex: g² for the variance, minus the entropy for the
log score, the payoff of the best action for a decision. The curve ĝ fitted to n draws gives two estimates:

* plug-in, mean h(ĝ_i): too high, by about half of E[h''(g) var ĝ];
* left-out, mean of h(ĝ₋ᵢ) + h'(ĝ₋ᵢ) (y_i − ĝ₋ᵢ), ĝ₋ᵢ fitted without draw i: too low by as much, as the
  tangent of a convex function lies below it.

For a least-squares curve the mean of the two is free of that bias. For a penalised surface, which also
misses some of what there is, the left-out estimate stands: it is, on average, too low. Both are linear in
y where it counts, so that the Monte Carlo noise of y, which is independent of x, does not enter.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import chi2

from forecast.analysis.sensitivity.batches import batch_error
from forecast.analysis.sensitivity.smooth import Smooth
from forecast.types import F64

FALSE_ALARM = 0.001  # of the floor: one parameter in so many that does nothing is above it


@dataclass(frozen=True)
class Value:
    """An estimate with its standard error, and the two figures that it lies between; all (output,)."""

    estimate: F64
    error: F64
    lower: F64
    upper: F64


@dataclass(frozen=True)
class Spread:
    """How a headline varies between draws: y (draw, output), and variances (output,).

    total: of the draws' own probabilities, noise taken out; `known` where that is above three of its
    standard errors, so that there is something to explain
    """

    y: F64
    total: F64
    noise: F64
    known: F64

    @cached_property
    def centred(self) -> F64:
        """Deviations from the mean."""
        result: F64 = self.y - self.y.mean(axis=0)
        return result


def spread(y: F64, noise: F64) -> Spread:
    """Split the variance between draws into the parameters' and the Monte Carlo noise's.

    Parameters
    ----------
    y
        Shape (draw, output): estimated probability of each draw.
    noise
        Shape (output,): Monte Carlo variance of one draw's estimate, on average over draws.
    """
    total = y.var(axis=0, ddof=1) - noise
    error = batch_error((y - y.mean(axis=0)) ** 2)
    known = np.where((total > 3.0 * error) & (total > 1e-14), 1.0, np.nan)
    return Spread(y, total, noise, known)


def explained(s: Spread, fit: Smooth) -> Value:
    r"""Share of the variance that some parameters explain: the first-order Sobol index Var(E[y | x]) / Var(y).

    The standard error is that of the influence function 2 ĝ y − ĝ² − S y², by batches, plus the part that
    is left where there is nothing to find, 2 df (1 − S)² / n².

    References
    ----------
    Sobol' 2001, Math. Comput. Simul. 55:271; Kline, Saggio & Sølvsten 2020, Econometrica 88:1859 (leave-out
    estimates of quadratic forms); Williamson et al. 2021, Biometrics 77:9 (influence function).
    """
    y, out = s.centred, fit.left_out
    n, total = len(y), s.total * s.known
    each = 2.0 * out * y - out**2
    lower, upper = each.mean(axis=0) / total, (fit.fitted**2).mean(axis=0) / total
    share = lower if fit.penalised else (lower + upper) / 2.0
    first = batch_error(each - share * y**2) / total
    null = 2.0 * fit.df * (y.var(axis=0) / total - share) ** 2 / n**2
    return Value(share, np.sqrt(first**2 + null), lower, upper)


def floor(s: Spread, fit: Smooth) -> F64:
    """Return the share that a parameter which does nothing exceeds once in 1000 times: (output,).

    n S is then close to χ²(df) − df, times the variance of y, noise included, over that of the parameters.
    """
    n = len(s.y)
    ratio: F64 = s.y.var(axis=0) / (s.total * s.known)
    beyond = float(chi2.isf(FALSE_ALARM, fit.df)) - fit.df
    return ratio * beyond / n


def spread_saved(s: Spread, share: Value) -> tuple[F64, F64]:
    """Fall of the standard deviation of a headline once the parameters are known, and its error: (output,) each.

    The variance left is (1 − S) Var(y) on average; the fall is that of its root, √V (1 − √(1 − S)).
    """
    sd = np.sqrt(np.maximum(s.total, 0.0)) * s.known
    left = np.sqrt(np.clip(1.0 - share.estimate, 0.0, None))
    saved = sd * (1.0 - left)
    return saved, sd * share.error / (2.0 * np.maximum(left, 0.05))


def log_score(s: Spread, fit: Smooth) -> Value:
    r"""Expected gain of the log score, in bits: what the parameters tell about whether the event will happen.

    E[h(g)] − h(E[g]) with h(p) = p log₂ p + (1 − p) log₂(1 − p): the mutual information of event and parameters.
    """
    n = len(s.y)
    edge = 0.5 / n
    mean = np.clip(s.y.mean(axis=0), edge, 1.0 - edge)

    def h(p: F64) -> F64:
        q = np.clip(p, edge, 1.0 - edge)
        result: F64 = q * np.log2(q) + (1.0 - q) * np.log2(1.0 - q)
        return result

    out = np.clip(mean + fit.left_out, edge, 1.0 - edge)
    slope = np.log2(out) - np.log2(1.0 - out)
    each = h(out) + slope * (s.y - out) - h(mean) - (np.log2(mean) - np.log2(1.0 - mean)) * (s.y - mean)
    lower, upper = each.mean(axis=0) * s.known, (h(mean + fit.fitted) - h(mean)).mean(axis=0) * s.known
    gain = lower if fit.penalised else (lower + upper) / 2.0
    null = np.sqrt(2.0 * fit.df) / (2.0 * n * np.log(2.0)) * s.y.var(axis=0) / (mean * (1.0 - mean))
    return Value(gain, np.hypot(batch_error(each), null) * s.known, lower, upper)


def decision_value(payoff: F64, fit: Smooth) -> Value:
    r"""Expected value of perfect parameter information for a choice among actions, in units of payoff.

    EVPPI = E[max_a E[payoff_a | x]] − max_a E[payoff_a]. The plug-in figure is that of Strong, Oakley &
    Brennan; the left-out one is what the choice by ĝ₋ᵢ in fact earns on draw i.

    Parameters
    ----------
    payoff
        Shape (draw, action): expected payoff of each action, given the draw's parameters.
    fit
        Of `payoff` on the parameters.

    References
    ----------
    Strong, Oakley & Brennan 2014, Med. Decis. Making 34:311.
    """
    mean = payoff.mean(axis=0)
    now = int(np.argmax(mean))
    upper = (mean + fit.fitted).max(axis=1).mean() - mean[now]
    chosen = np.argmax(mean + fit.left_out, axis=1)
    each = payoff[np.arange(len(payoff)), chosen] - payoff[:, now]
    lower = each.mean()
    estimate = lower if fit.penalised else (lower + upper) / 2.0
    one = [np.atleast_1d(np.float64(x)) for x in (estimate, float(batch_error(each)), lower, upper)]
    return Value(*one)


def perfect_value(payoff: F64) -> float:
    """EVPI of all parameters: mean over draws of the best action's payoff, less that of the best action now."""
    return float(payoff.max(axis=1).mean() - payoff.mean(axis=0).max())
