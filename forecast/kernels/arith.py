"""Random bits and elementary functions whose every bit is fixed by IEEE arithmetic.

Nothing here calls the C library's log, exp or pow, whose last bit differs between machines, and
numba does not contract to FMA unless told to; so a path is the same on every machine, compiled or not.
"""

import math
from decimal import Decimal, localcontext

import numpy as np
import numpy.typing as npt

from forecast.kernels.jit import kernel

U = np.uint64
MASK = U(0xFFFFFFFF)
MUL0, MUL1 = U(0xD2511F53), U(0xCD9E8D57)
W0 = tuple(U((n * 0x9E3779B9) & 0xFFFFFFFF) for n in range(10))  # what is added to the key in each round
W1 = tuple(U((n * 0xBB67AE85) & 0xFFFFFFFF) for n in range(10))
S32, S6, S26, S52 = U(32), U(6), U(26), U(52)
# Bits of doubles: the fraction; the exponents of 0.5, 1 and 2^52.
FRACTION, HALF, ONE, TWO_52_BITS = (
    U(0x000FFFFFFFFFFFFF),
    U(0x3FE0000000000000),
    U(0x3FF0000000000000),
    U(0x4330000000000000),
)
BELOW_ONE = 1.0 - 2.0**-53

LN2_HI, LN2_LO, INV_LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.44269504088896338700
# Coefficients of log: fdlibm (Sun Microsystems, 1993), e_log.c; below 1 ulp. Of exp: its series.
LG1, LG2, LG3, LG4 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
)
LG5, LG6, LG7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01
T3, T4, T5, T6, T7, T8, T9, T10, T11, T12, T13 = (1.0 / math.factorial(n) for n in range(3, 14))
# What `quick_log` and `quick_exp` look up in 128 rows. The rows of logarithms lie between 11/16 and 11/8, evenly in the
# bits of doubles: the inverse of a number within, of 8 bits; minus its logarithm, to more bits than one double has,
# the first part of so few that k·LN2_HI can be added without rounding. The others hold 2^(n/128).
ROWS, ROW_BITS = 128, 45  # rows; bits of a double below the number of its row
LOWEST = 0x3FE6000000000000  # bits of 11/16
EXPONENT, UPPER = -(1 << 52), -(1 << 32)  # masks: sign and exponent; the upper half
LN2_ROW_HI, LN2_ROW_LO, INV_LN2_ROW = LN2_HI / ROWS, LN2_LO / ROWS, INV_LN2 * ROWS
THIRD, SIXTH, SEVENTH = 1.0 / 3.0, 1.0 / 6.0, 1.0 / 7.0
WHOLE = 6755399441055744.0  # 1.5·2^52: added and taken away again, it leaves a whole number


def _rows() -> tuple[np.ndarray, ...]:
    """Inverse, both parts of the logarithm, power of 2: each rounded once."""
    first = LOWEST + (np.arange(ROWS) << ROW_BITS)
    inverse = np.round(256.0 / (first + (1 << ROW_BITS - 1)).view(np.float64)) / 256.0
    one = int(np.searchsorted(first, int(ONE)))
    inverse[one - 1 : one + 1] = 1.0  # next to 1 nothing may be added that would cancel out
    with localcontext() as context:
        context.prec = 40
        logs = [-Decimal(x).ln() for x in inverse.tolist()]
        powers = [float((Decimal(2).ln() * n / ROWS).exp()) for n in range(ROWS)]
    high = np.array([round(x * 2**42) / 2.0**42 for x in logs])
    low = np.array([float(x - Decimal(h)) for x, h in zip(logs, high.tolist(), strict=True)])
    return inverse, high, low, np.array(powers)


INVERSE, LOG_HIGH, LOG_LOW, POWER_OF_2 = _rows()


@kernel
def philox_round(c0, c1, c2, c3, k0, k1):
    """Do one of the ten rounds."""
    p0, p1 = MUL0 * c0, MUL1 * c2
    return ((p1 >> S32) ^ c1 ^ k0) & MASK, p1 & MASK, ((p0 >> S32) ^ c3 ^ k1) & MASK, p0 & MASK


@kernel
def philox(c0, c1, c2, c3, k0, k1):
    """Philox 4×32-10 (Salmon et al. 2011): 4 counter words and 2 key words → 4 random words (uint64 < 2^32)."""
    # Written out: a loop in here would keep the compiler from doing several blocks at a time.
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, k0, k1)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, (k0 + W0[1]) & MASK, (k1 + W1[1]) & MASK)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, (k0 + W0[2]) & MASK, (k1 + W1[2]) & MASK)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, (k0 + W0[3]) & MASK, (k1 + W1[3]) & MASK)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, (k0 + W0[4]) & MASK, (k1 + W1[4]) & MASK)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, (k0 + W0[5]) & MASK, (k1 + W1[5]) & MASK)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, (k0 + W0[6]) & MASK, (k1 + W1[6]) & MASK)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, (k0 + W0[7]) & MASK, (k1 + W1[7]) & MASK)
    c0, c1, c2, c3 = philox_round(c0, c1, c2, c3, (k0 + W0[8]) & MASK, (k1 + W1[8]) & MASK)
    return philox_round(c0, c1, c2, c3, (k0 + W0[9]) & MASK, (k1 + W1[9]) & MASK)


@kernel
def unit(a, b):
    """U(0, 1), never 0 or 1, from two random words: 52 bits and a half."""
    return U(ONE | ((a >> S6) << S26) | (b >> S6)).view(np.float64) - BELOW_ONE


@kernel
def pair(seed, draw, replicate, key, block):
    """Two U(0, 1): occurrences 2·block and 2·block + 1 of one event on one path."""
    a, b, c, e = philox(U(block), key, U(replicate), U(draw), seed & MASK, seed >> S32)
    return unit(a, b), unit(c, e)


@kernel
def uniform(seed, draw, replicate, key, occurrence):
    """U(0, 1), never 0 or 1, for one occurrence of one event on one path."""
    even, odd = pair(seed, draw, replicate, key, occurrence >> 1)
    return odd if occurrence & 1 else even


@kernel
def split(x):
    """(m, e) with x = m·2^e and √½ ≤ m < √2, for a positive, finite x; e as a float."""
    shift = 0.0
    if x < 2.2250738585072014e-308:  # no leading one in its bits
        x *= 18014398509481984.0
        shift = 54.0
    bits = np.float64(x).view(np.uint64)
    # The exponent as a float by way of its bits, which vector units can do and a conversion they often can't.
    e = U((bits >> S52) | TWO_52_BITS).view(np.float64) - 4503599627370496.0 - 1022.0 - shift
    m = U((bits & FRACTION) | HALF).view(np.float64)
    small = m < 0.7071067811865476
    return (m * 2.0 if small else m), (e - 1.0 if small else e)


@kernel
def series(s):
    """log((1 + s)/(1 − s)) / s − 2, for s = f/(2 + f) and m = 1 + f in `split`'s range."""
    z = s * s
    w = z * z
    return z * (LG1 + w * (LG3 + w * (LG5 + w * LG7))) + w * (LG2 + w * (LG4 + w * LG6))


@kernel
def log(x):
    """Natural logarithm of a positive, finite x."""
    m, k = split(x)
    f = m - 1.0
    s = f / (2.0 + f)
    h = 0.5 * f * f
    return k * LN2_HI - ((h - (s * (h + series(s)) + k * LN2_LO)) - f)


@kernel
def exp(x):
    """e^x; 0 below −745 and infinite above 709.78."""
    if x > 709.782712893384:
        return np.inf
    if x < -745.1332191019411:
        return 0.0
    k = math.floor(x * INV_LN2 + 0.5)
    hi = x - k * LN2_HI
    lo = k * LN2_LO
    r = hi - lo
    # e^r − 1 − r as r²/2 + r³/6 + … + r¹³/13!, in an order that leaves several sums to be made at once.
    r2 = r * r
    r4 = r2 * r2
    low = (0.5 + r * T3) + r2 * (T4 + r * T5)
    high = (T6 + r * T7) + r2 * (T8 + r * T9) + r4 * ((T10 + r * T11) + r2 * (T12 + r * T13))
    y = 1.0 + (hi + (r2 * (low + r4 * high) - lo))
    if -1000.0 < k < 1000.0:
        return y * np.int64((np.int64(k) + 1023) << 52).view(np.float64)
    return math.ldexp(y, int(k))


@kernel
def quick_log(x):
    """`log` of a normal x by table (Tang 1990, ACM TOMS 16:378), to 1 unit in the last place.

    Twice as fast as the series for one number at a time, but not in vectors.
    """
    bits = np.float64(x).view(np.int64)
    above = np.int64(bits - LOWEST)
    k = np.float64(above >> 52)
    n = (above >> ROW_BITS) & (ROWS - 1)
    bits = np.int64(bits - (above & EXPONENT))
    z, top = bits.view(np.float64), np.int64(bits & UPPER).view(np.float64)
    r = (top * INVERSE[n] - 1.0) + (z - top) * INVERSE[n]  # the first product is exact
    high = k * LN2_HI + LOG_HIGH[n]
    near = high + r
    r2 = r * r
    tail = (THIRD - r * 0.25) + r2 * ((0.2 - r * SIXTH) + r2 * (SEVENTH - r * 0.125))
    return near + (((high - near) + r) + (k * LN2_LO + LOG_LOW[n]) + r2 * (r * tail - 0.5))


@kernel
def quick_exp(x):
    """`exp` by table, to 1 unit in the last place; for one number at a time."""
    if x < -700.0 or x > 700.0:
        return exp(x)
    k = (x * INV_LN2_ROW + WHOLE) - WHOLE
    r = (x - k * LN2_ROW_HI) - k * LN2_ROW_LO
    n = np.int64(k)
    r2 = r * r
    more = r + r2 * ((0.5 + r * T3) + r2 * (T4 + r * T5))
    two = POWER_OF_2[n & (ROWS - 1)]
    return (two + two * more) * np.int64(((n >> 7) + 1023) << 52).view(np.float64)


@kernel
def power(x, c):
    """x^c for x ≥ 0 and c > 0; its relative error is below (2 + 2·|c·log x|) units in the last place."""
    if x < 2.2250738585072014e-308:
        return exp(c * log(x)) if x > 0.0 else 0.0
    return quick_exp(c * quick_log(x))


@kernel
def exp_each(x, out):
    """Apply `exp` to every number."""
    for i in range(x.size):
        out[i] = exp(x[i])


def exp_array(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Apply `exp` to every entry of an array."""
    out = np.empty(x.size)
    exp_each(np.ascontiguousarray(x, dtype=np.float64).ravel(), out)
    return out.reshape(x.shape)
