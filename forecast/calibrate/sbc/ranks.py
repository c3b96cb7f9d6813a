"""Are ranks uniform? Chi-squared, an exact simultaneous envelope of the ECDF, coverage; numpy and scipy only."""

from functools import lru_cache

import numpy as np
from scipy import special, stats

from forecast.types import B8, F64, I64

KEPT = 99  # thinned posterior draws; a rank is one of 0..99
POINTS = 50  # at which the ECDF is compared, of the KEPT + 1 where the ranks are exact
MOST_BINS, PER_BIN = 20, 10  # of the chi-squared test; fewer bins where data sets are few


def ranks_of(truth: F64, draws: F64) -> I64:
    """Rank of each truth (...) among its draws (draw, ...): 0 if below all of them."""
    return (draws < truth).sum(axis=0)


def chi_squared(ranks: I64) -> float:
    """p-value of equal numbers of ranks in bins of equal width, ranks (data set,)."""
    fitting = [b for b in range(2, MOST_BINS + 1) if (KEPT + 1) % b == 0 and len(ranks) >= b * PER_BIN]
    bins = max(fitting, default=2)
    counts = np.bincount(ranks * bins // (KEPT + 1), minlength=bins)
    expected = len(ranks) / bins
    return float(stats.chi2.sf(((counts - expected) ** 2).sum() / expected, bins - 1))


def grid() -> F64:
    """Points z in (0, 1) at which P(rank / (KEPT + 1) < z) is exactly z for uniform ranks."""
    return np.arange(1, POINTS) / POINTS


def below(ranks: I64) -> I64:
    """How many ranks lie below each point of the grid."""
    return (ranks[:, None] < grid() * (KEPT + 1) - 1e-9).sum(axis=0)


def envelope_p(ranks: I64) -> float:
    """p-value of the simultaneous envelope of the ECDF (Säilynoja, Bürkner & Vehtari 2022).

    gamma = min_i 2 min(P(Bin(N, z_i) <= c_i), P(Bin(N, z_i) >= c_i)) over the points z_i, where c_i ranks
    lie below z_i. The p-value is P(gamma as small) under uniform ranks: exactly, by a recursion over the
    points in which c_{i+1} - c_i is binomial.
    """
    n = len(ranks)
    z, c = grid(), below(ranks)
    gamma = 2.0 * np.minimum(stats.binom.cdf(c, n, z), stats.binom.sf(c - 1, n, z))
    return p_of_gamma(n, float(f"{min(gamma.min(), 1.0):.3g}"))


@lru_cache(4096)
def p_of_gamma(n: int, gamma: float) -> float:
    """P(the ECDF of n uniform ranks leaves, somewhere, the pointwise intervals of level 1 - gamma)."""
    z = grid()
    log_factorial = special.gammaln(np.arange(n + 1) + 1.0)
    states, probability, last = np.array([0]), np.array([1.0]), 0.0
    for point in z:
        reached = np.arange(n + 1)[inside(n, point, gamma)]
        if not len(reached):
            return 1.0
        step = (point - last) / (1.0 - last)
        left, more = n - states, reached[:, None] - states
        fits = (more >= 0) & (more <= left)
        k = np.where(fits, more, 0)
        log_p = log_factorial[left] - log_factorial[k] - log_factorial[left - k]
        log_p += k * np.log(step) + (left - k) * np.log1p(-step)
        probability = np.where(fits, np.exp(log_p), 0.0) @ probability
        states, last = reached, point
    return float(np.clip(1.0 - probability.sum(), 0.0, 1.0))


def inside(n: int, point: float, gamma: float) -> B8:
    """Which counts 0..n lie in the pointwise interval of level 1 - gamma."""
    counts = np.arange(n + 1)
    tails = np.minimum(stats.binom.cdf(counts, n, point), stats.binom.sf(counts - 1, n, point))
    return np.asarray(2.0 * tails > gamma)


@lru_cache(64)
def envelope(n: int, alpha: float) -> tuple[F64, F64]:
    """Lower and upper bound of the ECDF at the grid that n uniform ranks leave with probability alpha at most."""
    low, high = np.log(alpha) - 12.0, np.log(alpha)
    for _ in range(30):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if p_of_gamma(n, float(np.exp(middle))) <= alpha else (low, middle)
    allowed = [np.flatnonzero(inside(n, z, float(np.exp(low)))) for z in grid()]
    return np.array([a[0] for a in allowed]) / n, np.array([a[-1] for a in allowed]) / n


def coverage(ranks: I64, level: float) -> float:
    """Share of central posterior intervals that hold the truth; `level` times (KEPT + 1) / 2 must be whole."""
    edge = round((KEPT + 1) * (1.0 - level) / 2.0)
    return float(np.mean((ranks >= edge) & (ranks < KEPT + 1 - edge)))
