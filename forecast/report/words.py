"""Probabilities in words, on a declared scale, and numbers as a reader wants them.

Two scales are known. ICD 203 is the one of the United States intelligence community (Intelligence
Community Directive 203, Analytic Standards, 2015, section 6.e.2); IPCC is the likelihood scale of the
IPCC's assessment reports (Mastrandrea et al. 2010, Guidance Note on Uncertainties, table 1), made
exclusive: its overlapping classes are cut where the narrower one begins.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from forecast.report.model import Estimate

MINUS = "\N{MINUS SIGN}"
RANGE = "\N{EN DASH}"
# z of a one-sided bound at 95%, so that "none seen" has the same tail as a 90% interval.
Z_ONE_SIDED = 1.6448536269514722


@dataclass(frozen=True)
class Scale:
    """Words for probabilities: `terms[i]` holds from `cuts[i - 1]` up to, not including, `cuts[i]`."""

    name: str
    terms: tuple[str, ...]
    cuts: tuple[float, ...]

    def word(self, p: float) -> str:
        """Return the word for probability `p`; ValueError if it is not in [0, 1].

        >>> ICD_203.word(0.3), IPCC.word(0.3)
        ('unlikely', 'unlikely')
        """
        if not 0.0 <= p <= 1.0:
            raise ValueError(f"a probability lies in [0, 1] (got {p})")
        return self.terms[bisect_right(self.cuts, p)]

    def span(self, lower: float, upper: float) -> str:
        """Return the words that an interval spans.

        >>> ICD_203.span(0.3, 0.6)
        'unlikely to likely'
        """
        low, high = self.word(lower), self.word(upper)
        return low if low == high else f"{low} to {high}"

    def rows(self) -> tuple[tuple[str, str], ...]:
        """List each word with its range, for the reader.

        >>> ICD_203.rows()[1]
        ('very unlikely', '5–20%')
        """
        edges = (0.0, *self.cuts, 1.0)
        parts = [f"{100 * a:.0f}{RANGE}{100 * b:.0f}%" for a, b in pairwise(edges)]
        return tuple(zip(self.terms, parts, strict=True))


ICD_203 = Scale(
    "ICD 203",
    (
        "almost no chance",
        "very unlikely",
        "unlikely",
        "roughly even chance",
        "likely",
        "very likely",
        "almost certain",
    ),
    (0.05, 0.20, 0.45, 0.55, 0.80, 0.95),
)
IPCC = Scale(
    "IPCC",
    (
        "exceptionally unlikely",
        "very unlikely",
        "unlikely",
        "about as likely as not",
        "likely",
        "very likely",
        "virtually certain",
    ),
    (0.01, 0.10, 1 / 3, 2 / 3, 0.90, 0.99),
)


def percent(p: float) -> str:
    """Write a probability as a percentage with the digits that matter.

    >>> percent(0.347), percent(0.043), percent(0.0004), percent(0.9996), percent(1.0)
    ('35%', '4.3%', '<0.1%', '>99.9%', '100%')
    """
    if math.isnan(p):
        return "n/a"
    if p in (0.0, 1.0):
        return f"{p:.0%}"
    if p < 0.001:
        return "<0.1%"
    if p > 0.999:
        return ">99.9%"
    return f"{p:.0%}" if 0.0995 <= p < 0.9895 else f"{p:.1%}"


def percent_range(lower: float, upper: float) -> str:
    """Write an interval of probabilities.

    >>> percent_range(0.223, 0.468), percent_range(0.0, 0.052), percent_range(0.0, 0.0002)
    ('22–47%', '0–5.2%', '<0.1%')
    """
    low, high = percent(lower), percent(upper)
    if low == high or upper < 0.001:
        return high
    if lower > 0.999:
        return low
    return f"{low.removesuffix('%')}{RANGE}{high}"


def points(error: float) -> str:
    """Write a Monte Carlo standard error of a probability in percentage points.

    >>> points(0.00053), points(0.000002), points(0.0)
    ('±0.05 points', '±<0.01 points', 'none')
    """
    if error == 0.0:
        return "none"
    if math.isnan(error):
        return "n/a"
    if 0.0 < error < 5e-5:
        return "±<0.01 points"
    return f"±{100 * error:.2f} points"


def chance(p: float) -> str:
    """Write a probability as a natural frequency.

    >>> chance(0.34), chance(0.043), chance(0.93), chance(0.078), chance(0.00004)
    ('about 1 in 3', 'about 1 in 25', 'all but 1 in 14', 'about 1 in 13', 'fewer than 1 in 10,000')
    """
    for extreme, text in ((0.0, "never seen"), (1.0, "always seen")):
        if p == extreme:
            return text
    if p > 0.905:
        return "more than 9,999 in 10,000" if p > 0.9999 else f"all but {_one_in(1 - p)}"
    if p >= 0.095:
        fractions = [(n, k) for k in (2, 3, 4, 5, 10) for n in range(1, k)]
        fractions += [(n, k) for k in (6, 7, 8) for n in (1, k - 1)]
        n, k = min(fractions, key=lambda f: (round(abs(f[0] / f[1] - p), 6), f[1]))
        return f"about {n} in {k}"
    return "fewer than 1 in 10,000" if p < 1e-4 else f"about {_one_in(p)}"


def _one_in(p: float) -> str:
    """Round 1 / p to a number that one would say."""
    one_in = 1 / p
    unit = 1 if one_in < 20 else 10 ** math.floor(math.log10(one_in)) / 2
    return f"1 in {round(one_in / unit) * unit:,.0f}"


def never_bound(paths: int) -> float:
    """Return the upper 95% bound (Wilson) on a probability of which `paths` paths showed no instance.

    z^2 / (n + z^2), for Wilson's interval at zero successes (Wilson 1927, JASA 22:209).

    >>> round(never_bound(1_000_000) * 1e6, 2)
    2.71
    """
    z2 = Z_ONE_SIDED**2
    return z2 / (paths + z2)


def number(x: float, digits: int = 3) -> str:
    """Write a number with `digits` significant figures, thousands separated, a true minus sign.

    >>> number(-12345.6), number(0.02345), number(0.0), number(1240.0)
    ('−12,300', '0.0234', '0', '1,240')
    """
    if math.isnan(x):
        return "n/a"
    if math.isinf(x):
        return f"{MINUS if x < 0 else ''}infinite"
    if x == 0.0:
        return "0"
    size = abs(x)
    place = digits - 1 - math.floor(math.log10(size))
    if size < 1e-4 or size >= 1e9:
        text = f"{size:.{digits - 1}e}"
    else:
        text = f"{round(size, place):,.{max(place, 0)}f}"
    return f"{MINUS if x < 0 else ''}{text}"


def p_value(p: float) -> str:
    """Write a p-value with two figures.

    >>> p_value(0.0314), p_value(0.00002), p_value(float("nan"))
    ('0.031', '< 0.0001', '–')
    """
    if math.isnan(p):
        return RANGE
    return "< 0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def number_range(lower: float, upper: float) -> str:
    """Write an interval of numbers; "to" where a minus sign would make a dash hard to read.

    >>> number_range(0.25, 0.5), number_range(-2.0, 3.0)
    ('0.250–0.500', '−2.00 to 3.00')
    """
    if math.isnan(lower) or math.isnan(upper):
        return "n/a"
    low, high = number(lower), number(upper)
    return f"{low} to {high}" if lower < 0 or upper < 0 else f"{low}{RANGE}{high}"


def quantity(x: float, unit: str) -> str:
    """Write a parameter's value the way its unit asks for.

    >>> quantity(0.47, "probability"), quantity(0.69, "log ratio"), quantity(0.0, "logit")
    ('47%', '0.690 (×1.99)', '0 (50%)')
    """
    if unit == "probability" and 0.0 <= x <= 1.0:
        return percent(x)
    if unit == "log ratio" and abs(x) < 20:
        return f"{number(x)} (×{number(math.exp(x))})"
    if unit == "logit" and abs(x) < 300:
        return f"{number(x)} ({percent(1.0 / (1.0 + math.exp(-x)))})"
    return number(x)


def quantity_range(lower: float, upper: float, unit: str) -> str:
    """Write a parameter's interval the way its unit asks for."""
    if unit == "probability" and lower >= 0.0 and upper <= 1.0:
        return percent_range(lower, upper)
    return number_range(lower, upper)


def signed(x: float, digits: int = 3) -> str:
    """Write a change with its sign.

    >>> signed(1234.5), signed(-20.0), signed(0.0)
    ('+1,230', '−20.0', '0')
    """
    return f"+{number(x, digits)}" if x > 0 else number(x, digits)


def sentence(estimate: Estimate, scale: Scale = ICD_203) -> str:
    """Say one probability in words, with both uncertainties.

    >>> sentence(Estimate(0.34, 0.22, 0.47, 0.0005))
    'unlikely (34%; 90% interval 22–47%; Monte Carlo error ±0.05 points)'
    """
    interval = percent_range(estimate.lower, estimate.upper)
    return (
        f"{scale.word(estimate.mean)} ({percent(estimate.mean)}; 90% interval {interval}; "
        f"Monte Carlo error {points(estimate.mcse)})"
    )


def join(parts: list[str]) -> str:
    """Join words as a sentence does.

    >>> join(["a"]), join(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def in_words(seconds: float) -> str:
    """Say how long something takes: "about 4 min"."""
    for size, unit in ((86_400.0, "days"), (3_600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"about {seconds / size:,.{int(seconds < 10 * size)}f} {unit}"
    return f"about {max(seconds, 1.0):.0f} s"
