"""Statistical tests of random numbers of 52 bits, and a verdict on what many of them say.

Each test takes numbers (uint64 below 2^52) and gives the probability that good ones look at least as bad; both
ends of it are suspect, because numbers may also be too even. Sizes are chosen so that the distribution in the
docstring is right to well within what the largest run (2^24 numbers a test) could see. Sources: Knuth, The Art of
Computer Programming 2, 3.3; Marsaglia & Tsang 2002, J. Stat. Softw. 7(3) (birthday spacings, ranks).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from forecast.types import F64, U64

BITS = 52
type Test = Callable[[U64], float]


def uniforms(k: U64) -> F64:
    """Middles of the 2^52 cells of (0, 1)."""
    return (k.astype(np.float64) + 0.5) * 2.0**-BITS


def top(k: U64, bits: int) -> U64:
    """Leading bits of each number."""
    return k >> np.uint64(BITS - bits)


def turned(k: U64) -> U64:
    """Numbers with their bits in the reverse order: most tests look at leading bits only."""
    k = k << np.uint64(64 - BITS)
    for shift, mask in ((1, 0x5555555555555555), (2, 0x3333333333333333), (4, 0x0F0F0F0F0F0F0F0F)):
        s, m = np.uint64(shift), np.uint64(mask)
        k = ((k >> s) & m) | ((k & m) << s)
    return k.byteswap()


def _chi_squared(seen: F64, expected: F64) -> float:
    """p-value of counts in cells whose probabilities are known."""
    return float(stats.chi2.sf(((seen - expected) ** 2 / expected).sum(), len(seen) - 1))


def _poisson(seen: int, mean: float) -> float:
    """Mid-p: whole numbers have no other p-value that is uniform enough."""
    return float(stats.poisson.sf(seen, mean) + 0.5 * stats.poisson.pmf(seen, mean))


def _kolmogorov(x: F64) -> float:
    """Kolmogorov–Smirnov against U(0, 1)."""
    return float(stats.kstest(x, "uniform", method="asymp").pvalue)


def each_bit(k: U64) -> float:
    """Ones in each of the 52 places: χ²(52) in all."""
    n = len(k)
    ones = np.array([int(((k >> np.uint64(b)) & np.uint64(1)).sum()) for b in range(BITS)])
    return float(stats.chi2.sf(((2.0 * ones - n) ** 2 / n).sum(), BITS))


def pairs(k: U64) -> float:
    """Successive pairs in 64 × 64 cells: χ²(4095)."""
    x = top(k, 6)
    seen = np.bincount((x[0::2] << np.uint64(6) | x[1::2]).astype(np.int64), minlength=4096)
    return _chi_squared(seen.astype(float), np.full(4096, len(k) / 2 / 4096))


def serial_correlation(k: U64) -> float:
    """Lags 1 to 32, each about N(0, 1): χ²(32)."""
    x = uniforms(k) - 0.5  # no `@` below: its threads wait for each other where the cores are busy
    z = [12.0 * (x[:-lag] * x[lag:]).sum() / np.sqrt(len(x) - lag) for lag in range(1, 33)]
    return float(stats.chi2.sf(np.square(z).sum(), 32))


def word_correlation(k: U64) -> float:
    """Lags 1 to 8 in the sequence of halves, 26 bits each: a word that is used twice hides from whole numbers."""
    x = np.stack([k >> np.uint64(26), k & np.uint64(2**26 - 1)], axis=1).ravel() * 2.0**-26 - 0.5
    z = [12.0 * (x[:-lag] * x[lag:]).sum() / np.sqrt(len(x) - lag) for lag in range(1, 9)]
    return float(stats.chi2.sf(np.square(z).sum(), 8))


# Inverse covariances and means of the numbers of runs of length 1, …, 5, and 6 or more (Knuth, 3.3.2 G).
RUN_A = np.array(
    [
        [4529.4, 9044.9, 13568, 18091, 22615, 27892],
        [9044.9, 18097, 27139, 36187, 45234, 55789],
        [13568, 27139, 40721, 54281, 67852, 83685],
        [18091, 36187, 54281, 72414, 90470, 111580],
        [22615, 45234, 67852, 90470, 113262, 139476],
        [27892, 55789, 83685, 111580, 139476, 172860],
    ]
)
RUN_B = np.array([1 / 6, 5 / 24, 11 / 120, 19 / 720, 29 / 5040, 1 / 840])


def runs_up(k: U64) -> float:
    """Lengths of rising runs: χ²(6) with Knuth's covariances."""
    ends = np.flatnonzero(k[1:] < k[:-1])
    lengths = np.diff(np.concatenate([[-1], ends, [len(k) - 1]]))
    off = np.bincount(np.minimum(lengths, 6), minlength=7)[1:] - len(k) * RUN_B
    return float(stats.chi2.sf(off @ RUN_A @ off / len(k), 6))


def gaps(k: U64) -> float:
    """Numbers between two visits to [0, 1/8): geometric, in 33 cells."""
    visits = np.flatnonzero(top(k, 3) == 0)
    seen = np.bincount(np.minimum(np.diff(visits) - 1, 32), minlength=33)
    p = np.append((7 / 8) ** np.arange(32) / 8, (7 / 8) ** 32)
    return _chi_squared(seen.astype(float), p * (len(visits) - 1))


def birthday_spacings(k: U64) -> float:
    """8192 birthdays in a year of 2^37 days: equal spacings are Poisson, one in each sample."""
    days = np.sort(top(k, 37).reshape(-1, 8192), axis=1)
    spacings = np.sort(np.diff(days, axis=1), axis=1)
    equal = int((np.diff(spacings, axis=1) == 0).sum())
    return _poisson(equal, float(len(days)))


def collisions(k: U64) -> float:
    """2^14 balls, two numbers each, into 2^24 urns: collisions are Poisson, nearly 8 in each sample."""
    urns = (top(k[0::2], 12) << np.uint64(12) | top(k[1::2], 12)).reshape(-1, 2**14)
    hit = int((np.diff(np.sort(urns, axis=1), axis=1) == 0).sum())
    balls, cells = 2.0**14, 2.0**24
    return _poisson(hit, len(urns) * (balls - cells * -np.expm1(balls * np.log1p(-1.0 / cells))))


def maximum_of_eight(k: U64) -> float:
    """The largest of eight, to the power of eight, is uniform."""
    return _kolmogorov(uniforms(k).reshape(-1, 8).max(axis=1) ** 8)


def ranks(m: U64) -> np.ndarray:
    """Ranks over GF(2) of matrices given by rows of 32 bits, shape (matrix, row)."""
    m = m.copy()
    rank = np.zeros(len(m), np.int64)
    each = np.arange(len(m))
    for bit in range(32):
        has = (m >> np.uint64(bit) & np.uint64(1)).astype(bool)
        found = has.any(axis=1)
        place = has.argmax(axis=1)
        pivot = np.where(found, m[each, place], 0).astype(np.uint64)
        m ^= np.where(has, pivot[:, None], np.uint64(0))  # clears the pivot's own row as well
        rank += found
    return rank


def _chance_of_rank(lost: int) -> float:
    """Chance that 32 × 32 random bits have rank 32 − lost."""
    f = 1.0 - 2.0 ** -np.arange(1.0, 33.0)
    return float(2.0 ** (-lost * lost) * np.prod(f[lost:]) ** 2 / np.prod(f[: 32 - lost]))


def matrix_rank(k: U64) -> float:
    """Ranks of 32 × 32 bits: ≤ 29, 30, 31, 32."""
    seen = np.bincount(np.maximum(ranks(top(k, 32).reshape(-1, 32)), 29) - 29, minlength=4)
    p = [_chance_of_rank(lost) for lost in (2, 1, 0)]
    return _chi_squared(seen.astype(float), np.array([1.0 - sum(p), *p]) * len(k) / 32)


def _spectrum(k: U64) -> F64:
    """Periodogram of pieces of 2^13 numbers, in units of its mean: exponential ordinates."""
    x = (uniforms(k) - 0.5).reshape(-1, 2**13)
    power = np.abs(np.fft.rfft(x, axis=1)[:, 1:-1]) ** 2
    return np.asarray(power * 12.0 / x.shape[1])


def spectrum(k: U64) -> float:
    """Kolmogorov–Smirnov of the ordinates."""
    return _kolmogorov(-np.expm1(-_spectrum(k).ravel()))


def spectral_line(k: U64) -> float:
    """The highest of the mean ordinates over all pieces, which are gamma: a period stands out."""
    power = _spectrum(k)
    tail = min(float(stats.gamma.sf(power.sum(axis=0).max(), len(power))), 1.0 - 2.0**-53)
    return float(-np.expm1(power.shape[1] * np.log1p(-tail)))


def hamming(k: U64) -> float:
    """Places in which neighbours differ: binomial(52, ½), its tails in one cell each."""
    differ = np.bitwise_count(k[0::2] ^ k[1::2]).astype(np.int64)
    low, high = 14, 38
    seen = np.bincount(np.clip(differ, low, high) - low, minlength=high - low + 1)
    edge = stats.binom.cdf(np.arange(low, high), BITS, 0.5)
    return _chi_squared(seen.astype(float), np.diff([0.0, *edge, 1.0]) * len(differ))


TESTS: tuple[Test, ...] = (
    each_bit,
    pairs,
    serial_correlation,
    word_correlation,
    runs_up,
    gaps,
    birthday_spacings,
    collisions,
    maximum_of_eight,
    matrix_rank,
    spectrum,
    spectral_line,
    hamming,
)


def cross_correlation(streams: U64) -> float:
    """Correlations of all pairs of streams, shape (stream, number): χ² in all, one degree of freedom a pair."""
    n = streams.shape[1]
    x = uniforms(streams) - 0.5
    r = (12.0 / n) * (x @ x.T)[np.triu_indices(len(x), 1)]
    return float(stats.chi2.sf(n * np.square(r).sum(), len(r)))


def duplicates(k: U64) -> int:
    """How many numbers have come before; of 2^18 good ones, any in one of 130,000 sets."""
    return len(k) - len(np.unique(k))


@dataclass(frozen=True)
class Verdict:
    """What many independent p-values say together.

    worst: the smallest distance to 0 or 1; bonferroni: chance that good numbers give one as bad (both ends, at
    most); kolmogorov: p-value of the p-values against the uniform distribution
    """

    n: int
    worst: float
    bonferroni: float
    kolmogorov: float

    def good(self, level: float) -> bool:
        """Whether neither speaks against the numbers at a level."""
        return min(self.bonferroni, self.kolmogorov) >= level


def verdict(p: Sequence[float]) -> Verdict:
    """Judge p-values."""
    x = np.asarray(p)
    worst = float(np.minimum(x, 1.0 - x).min())
    return Verdict(len(x), worst, min(1.0, 2.0 * len(x) * worst), float(stats.kstest(x, "uniform").pvalue))
