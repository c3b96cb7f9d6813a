import doctest
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.report import words
from forecast.report.model import Estimate
from forecast.report.words import ICD_203, IPCC

probabilities = st.floats(0.0, 1.0)


def test_examples_in_the_docstrings_are_true():
    result = doctest.testmod(words)
    assert result.attempted > 10
    assert result.failed == 0


@pytest.mark.parametrize(
    ("p", "word"),
    [
        (0.0, "almost no chance"),
        (0.0499, "almost no chance"),
        (0.05, "very unlikely"),
        (0.1999, "very unlikely"),
        (0.20, "unlikely"),
        (0.45, "roughly even chance"),
        (0.55, "likely"),
        (0.80, "very likely"),
        (0.95, "almost certain"),
        (1.0, "almost certain"),
    ],
)
def test_icd_203_words_change_at_the_published_limits(p, word):
    assert ICD_203.word(p) == word


@pytest.mark.parametrize("p", [-0.01, 1.01, math.nan])
def test_a_word_for_what_is_no_probability_is_refused(p):
    with pytest.raises(ValueError, match=r"lies in \[0, 1\]"):
        ICD_203.word(p)


@pytest.mark.parametrize("scale", [ICD_203, IPCC])
@given(p=probabilities, q=probabilities)
def test_a_higher_probability_never_gets_a_lower_word(scale, p, q):
    low, high = sorted((p, q))
    assert scale.terms.index(scale.word(low)) <= scale.terms.index(scale.word(high))


@pytest.mark.parametrize("scale", [ICD_203, IPCC])
def test_a_scale_has_one_word_more_than_cuts_and_says_its_ranges(scale):
    assert len(scale.rows()) == len(scale.terms) == len(scale.cuts) + 1
    assert scale.rows()[0][1].startswith("0–")
    assert scale.rows()[-1][1].endswith("100%")


@given(p=probabilities)
def test_a_percentage_is_never_off_by_more_than_half_its_last_digit(p):
    text = words.percent(p)
    if text[0] in "<>":
        assert (p < 0.001) if text[0] == "<" else (p > 0.999)
        return
    half = 0.0005 if "." in text else 0.005
    assert abs(float(text.removesuffix("%")) / 100 - p) <= half + 1e-12


@given(p=probabilities)
def test_only_certainties_print_as_0_and_100_per_cent(p):
    assert (words.percent(p) in ("0%", "100%")) == (p in (0.0, 1.0))


@given(p=st.floats(1e-4, 0.9999))
def test_a_chance_in_words_is_near_the_probability(p):
    """A quarter of the distance to certainty at worst: 2 in 5 and 1 in 2 have nothing between them."""
    text = words.chance(p)
    assert text.startswith(("about ", "all but "))
    n, k = (float(x.replace(",", "")) for x in text.removeprefix("all but ").removeprefix("about ").split(" in "))
    said = 1 - n / k if text.startswith("all but") else n / k
    assert abs(said - p) <= 0.26 * min(p, 1 - p)


def test_chances_at_the_ends_claim_no_more_than_was_seen():
    assert words.chance(0.0) == "never seen"
    assert words.chance(1.0) == "always seen"
    assert words.chance(1e-6) == "fewer than 1 in 10,000"
    assert words.chance(1 - 1e-6) == "more than 9,999 in 10,000"


def test_the_bound_for_a_cause_never_seen_is_the_wilson_limit():
    """At zero of n, Wilson's upper limit solves p / sqrt(p (1 - p) / n) = z."""
    n = 4096
    p = words.never_bound(n)
    assert p / math.sqrt(p * (1 - p) / n) == pytest.approx(words.Z_ONE_SIDED)


@given(x=st.floats(-1e8, 1e8))
def test_numbers_keep_three_significant_figures(x):
    text = words.number(x)
    back = float(text.replace(",", "").replace(words.MINUS, "-"))
    assert back == pytest.approx(x, rel=5.01e-3)
    assert "-" not in text.replace("e-", "")


def test_numbers_that_are_none_say_so():
    assert words.number(math.nan) == words.percent(math.nan) == words.points(math.nan) == "n/a"
    assert words.number_range(math.nan, 1.0) == "n/a"
    assert words.number(-math.inf) == "−infinite"


def test_quantities_follow_their_unit():
    assert words.quantity(0.25, "probability") == "25%"
    assert words.quantity(math.log(2), "log ratio") == "0.693 (×2.00)"
    assert words.quantity(1240.0, "TIV million per year") == "1,240"
    assert words.quantity_range(0.2, 0.4, "probability") == "20–40%"
    assert words.quantity_range(-1.0, 0.5, "log ratio") == "−1.00 to 0.500"


def test_a_sentence_holds_the_word_the_figure_and_both_uncertainties():
    text = words.sentence(Estimate(0.62, 0.4, 0.8, 0.0011))
    assert text == "likely (62%; 90% interval 40–80%; Monte Carlo error ±0.11 points)"
