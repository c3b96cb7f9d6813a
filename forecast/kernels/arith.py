"""Random bits and elementary functions whose every bit is fixed by IEEE arithmetic.

Nothing here calls the C library's log, exp or pow, whose last bit differs between machines, and
numba does not contract to FMA unless told to; so a path is the same on every machine, compiled or not.
"""

import math

import numpy as np

from forecast.kernels.jit import allocating_kernel, kernel

U = np.uint64
MASK = U(0xFFFFFFFF)
MUL0, MUL1 = U(0xD2511F53), U(0xCD9E8D57)
KEY0, KEY1 = U(0x9E3779B9), U(0xBB67AE85)
S32, S6, S26 = U(32), U(6), U(26)
FRACTION, HALF = 0x000FFFFFFFFFFFFF, 0x3FE0000000000000  # bits of a double: its fraction; the exponent of 0.5
SPLITTER = 134217729.0  # 2^27 + 1
TWO_52 = 1.0 / 4503599627370496.0

LN2_HI, LN2_LO, INV_LN2 = 6.93147180369123816490e-01, 1.90821492927058770002e-10, 1.44269504088896338700
# Coefficients of log and exp: fdlibm (Sun Microsystems, 1993), e_log.c and e_exp.c; below 1 ulp.
LG1, LG2, LG3, LG4 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
)
LG5, LG6, LG7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01
P1, P2, P3 = 1.66666666666666019037e-01, -2.77777777770155933842e-03, 6.61375632143793436117e-05
P4, P5 = -1.65339022054652515390e-06, 4.13813679705723846039e-08


@kernel
def philox(c0, c1, c2, c3, k0, k1):
    """Philox 4×32-10 (Salmon et al. 2011): 4 counter words and 2 key words → 4 random words (uint64 < 2^32)."""
    for _ in range(10):
        p0 = MUL0 * c0
        p1 = MUL1 * c2
        c0, c1, c2, c3 = ((p1 >> S32) ^ c1 ^ k0) & MASK, p1 & MASK, ((p0 >> S32) ^ c3 ^ k1) & MASK, p0 & MASK
        k0 = (k0 + KEY0) & MASK
        k1 = (k1 + KEY1) & MASK
    return c0, c1, c2, c3


@kernel
def uniform(seed, draw, replicate, key, occurrence):
    """U(0, 1), never 0 or 1: 52 random bits and a half, for one occurrence of one event on one path."""
    a, b, _, _ = philox(U(occurrence), key, U(replicate), U(draw), seed & MASK, seed >> S32)
    return (np.float64(((a >> S6) << S26) | (b >> S6)) + 0.5) * TWO_52


@kernel
def split(x):
    """(m, e) with x = m·2^e and √½ ≤ m < √2, for a positive, finite x."""
    shift = 0
    if x < 2.2250738585072014e-308:  # no leading one in its bits
        x *= 18014398509481984.0
        shift = 54
    bits = np.float64(x).view(np.int64)
    e = (bits >> 52) - 1022 - shift
    m = np.int64((bits & FRACTION) | HALF).view(np.float64)
    if m < 0.7071067811865476:
        m *= 2.0
        e -= 1
    return m, e


@kernel
def series(s):
    """log((1 + s)/(1 − s)) / s − 2, for s = f/(2 + f) and m = 1 + f in `split`'s range."""
    z = s * s
    w = z * z
    return z * (LG1 + w * (LG3 + w * (LG5 + w * LG7))) + w * (LG2 + w * (LG4 + w * LG6))


@kernel
def log(x):
    """Natural logarithm of a positive, finite x."""
    m, e = split(x)
    k = np.float64(e)
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
    t = r * r
    c = r - t * (P1 + t * (P2 + t * (P3 + t * (P4 + t * P5))))
    y = 1.0 - ((lo - (r * c) / (2.0 - c)) - hi)
    if -1000.0 < k < 1000.0:
        return y * np.int64((np.int64(k) + 1023) << 52).view(np.float64)
    return math.ldexp(y, int(k))


@kernel
def product(a, b):
    """(a·b, what rounding took from it): Dekker's product, exact without FMA."""
    p = a * b
    t = SPLITTER * a
    a_hi = t - (t - a)
    t = SPLITTER * b
    b_hi = t - (t - b)
    a_lo, b_lo = a - a_hi, b - b_hi
    return p, ((a_hi * b_hi - p) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo


@kernel
def power(x, c):
    """x^c for x ≥ 0 and 0 < c < 10^6, below 2 ulp: c·log x in two doubles, so that e^… keeps its digits."""
    if x <= 0.0:
        return 0.0
    m, e = split(x)
    k, f = np.float64(e), m - 1.0
    d = 2.0 + f
    s = f / d
    p, lost = product(s, d)
    s_lo = ((f - p) - lost - s * (f - (d - 2.0))) / d
    hi, big = 2.0 * s, k * LN2_HI
    total = big + hi  # if k is not 0, big is the larger one
    lo = (hi - (total - big)) if e != 0 else 0.0
    lo += 2.0 * s_lo + s * series(s) + k * LN2_LO
    p, lost = product(c, total)
    lost += c * lo
    whole = p + lost
    return exp(whole) * (1.0 + (lost - (whole - p)))


@allocating_kernel
def exp_array(x):
    """Apply `exp` to every entry of an array."""
    out = np.empty(x.size)
    flat = x.ravel()
    for i in range(flat.size):
        out[i] = exp(flat[i])
    return out.reshape(x.shape)
