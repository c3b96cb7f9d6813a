"""Cooke's classical model against a case worked by hand, a slow version in plain Python, and its known properties."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from forecast.calibrate.beliefs import Z95
from forecast.calibrate.cooke import calibration_score, information_score, panel
from forecast.deal.experts import Elicitation, ExpertRow, Seed

AS_OF = date(2025, 3, 15)
THREE = (0.05, 0.5, 0.95)


def answer(expert, question, quantiles, scale="real", day=date(2025, 1, 1), columns=("p05", "p50", "p95")):
    given_ = dict(zip(columns, map(float, quantiles), strict=True))
    return ExpertRow(
        question=question,
        expert=expert,
        date=day,
        asked="What is the number?",
        scale=scale,
        unit="1",
        why="made up for a test",
        **given_,
    )


def seed(question, value, known=date(2025, 1, 2)):
    return Seed(question=question, answer=value, known_on=known, source="made up for a test")


def chi2_3(x):
    """P(chi² with 3 degrees of freedom > x), in closed form."""
    return math.erfc(math.sqrt(x / 2)) + math.sqrt(2 * x / math.pi) * math.exp(-x / 2)


# ---- by hand ---------------------------------------------------------------------------------------


def test_one_seed_by_hand():
    """A says 2, 4, 6 and B 0, 5, 10; it is 5. Both: I = ln(1 / 0.45) = 0.798508, C = 0.660.

    The range is 0 to 10, and a tenth more on either side: -1 to 11, 12 wide.
    A: ln 12 + 0.05 ln(0.05 / 3) + 0.9 ln(0.45 / 2) + 0.05 ln(0.05 / 5)
       = 2.484907 - 0.204717 - 1.342489 - 0.230259 = 0.707442
    B: ln 12 + 0.1 ln(0.05 / 1) + 0.9 ln(0.45 / 5) = 2.484907 - 0.299573 - 2.167151 = 0.018183
    """
    rows = [answer("A", "q", (2, 4, 6)), answer("B", "q", (0, 5, 10))]
    found = panel(rows, [seed("q", 5.0)], AS_OF)
    a, b = found.scores
    assert (a.hits, b.hits) == ((0, 0, 1, 0), (0, 1, 0, 0))  # on the bound: the bin below
    assert a.calibration == pytest.approx(chi2_3(2 * math.log(1 / 0.45)), rel=1e-12)
    assert b.calibration == pytest.approx(0.660, abs=5e-4)
    assert (a.information, b.information) == pytest.approx((0.707442, 0.018183), abs=1e-6)
    assert found.weights == pytest.approx({"A": 0.974942, "B": 0.025058}, abs=1e-6)


def test_the_best_score_of_ten_seeds_is_the_one_in_the_literature():
    """With ten seeds and three quantiles nobody can do better than 1, 4, 4, 1: 0.83."""
    assert calibration_score((1, 4, 4, 1), THREE) == pytest.approx(0.8283, abs=5e-5)
    every = [(a, b, c, 10 - a - b - c) for a in range(11) for b in range(11 - a) for c in range(11 - a - b)]
    assert max(every, key=lambda h: calibration_score(h, THREE)) == (1, 4, 4, 1)


# ---- by a slow version -----------------------------------------------------------------------------


def slow_information(quantiles, levels, low, high):
    """Relative information of the piecewise uniform density, as the integral that defines it."""
    bounds, shares = [low, *quantiles, high], np.diff([0.0, *levels, 1.0])
    total = 0.0
    for i, p in enumerate(shares):
        density = p / (bounds[i + 1] - bounds[i])
        total += integrate.quad(lambda _, d=density: d * math.log(d * (high - low)), bounds[i], bounds[i + 1])[0]
    return total


def slow_weights(said, truth, link):
    """Weights of experts (name → quantiles a question) in plain Python."""
    raw = {}
    for name, answers in said.items():
        hits, information = [0, 0, 0, 0], []
        for question, values in answers.items():
            x, real = [link(v) for v in values], link(truth[question])
            hits[sum(real > v for v in x)] += 1
            everything = [link(v) for a in said.values() for v in a[question]] + [real]
            width = max(everything) - min(everything)
            low, high = min(everything) - 0.1 * width, max(everything) + 0.1 * width
            information.append(slow_information(x, THREE, low, high))
        n, p = sum(hits), (0.05, 0.45, 0.45, 0.05)
        divergence = sum(h / n * math.log(h / n / q) for h, q in zip(hits, p, strict=True) if h)
        calibration = stats.chi2(3).sf(2 * n * divergence)
        raw[name] = calibration * sum(information) / n
    return {k: v / sum(raw.values()) for k, v in raw.items()}


@pytest.mark.parametrize(("scale", "link"), [("real", float), ("positive", math.log)])
def test_weights_are_those_of_a_slow_version(scale, link):
    rng = np.random.default_rng(3)
    truth = {f"q{n}": float(np.exp(rng.normal())) for n in range(12)}
    said = {}
    for name, wide in (("A", 1.0), ("B", 0.6), ("C", 2.0)):
        said[name] = {}
        for q, real in truth.items():
            middle = math.log(real) + rng.normal() * 0.8
            said[name][q] = [math.exp(middle + wide * z) for z in (-Z95, 0.0, Z95)]
    rows = [answer(n, q, v, scale) for n, a in said.items() for q, v in a.items()]
    found = panel(rows, [seed(q, v) for q, v in truth.items()], AS_OF, Elicitation(cutoff=0.0))
    assert found.weights == pytest.approx(slow_weights(said, truth, link), rel=1e-9)


def slow_combination(quantiles, weights, low, high):
    """Quantiles of a mixture of piecewise uniform densities, by root finding."""
    from scipy.optimize import brentq

    def cdf(x):
        parts = [np.interp(x, [low, *q, high], [0.0, *THREE, 1.0]) for q in quantiles]
        return float(np.dot(weights, parts))

    return [brentq(lambda x, p=p: cdf(x) - p, low, high, xtol=1e-13) for p in THREE]


def test_the_best_cutoff_is_that_whose_combination_scores_best():
    rng = np.random.default_rng(8)
    truth = rng.normal(size=20)
    quantiles = {n: truth[:, None] + rng.normal(size=(20, 1)) * off + wide * np.array([-Z95, 0.0, Z95])
                 for n, off, wide in (("A", 1.0, 1.0), ("B", 1.0, 0.5), ("C", 0.8, 2.0))}  # fmt: skip
    rows = [answer(n, f"q{j}", q[j]) for n, q in quantiles.items() for j in range(20)]
    seeds = [seed(f"q{j}", float(truth[j])) for j in range(20)]
    found = panel(rows, seeds, AS_OF, Elicitation(optimise=True))
    every = np.array(list(quantiles.values()))
    low = np.minimum(every.min(axis=(0, 2)), truth)
    high = np.maximum(every.max(axis=(0, 2)), truth)
    low, high = low - 0.1 * (high - low), high + 0.1 * (high - low)
    worth = {}
    for cutoff in sorted(s.calibration for s in found.scores):
        w = np.array([s.calibration * s.information * (s.calibration >= cutoff) for s in found.scores])
        made = np.array([slow_combination(every[:, j], w / w.sum(), low[j], high[j]) for j in range(20)])
        hits = np.bincount((truth[:, None] > made).sum(axis=1), minlength=4)
        information = np.mean([slow_information(made[j], THREE, low[j], high[j]) for j in range(20)])
        worth[cutoff] = calibration_score(hits, THREE) * information
    assert found.cutoff == max(worth, key=worth.__getitem__)
    assert len({round(x, 9) for x in worth.values()}) > 1  # there was something to choose


# ---- properties ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hits", "levels"), [((1, 9, 9, 1), THREE), ((2, 3, 5, 5, 3, 2), (0.1, 0.25, 0.5, 0.75, 0.9))])
def test_whose_hits_are_as_they_should_be_scores_one(hits, levels):
    assert calibration_score(hits, levels) == pytest.approx(1.0, abs=1e-12)


@given(st.lists(st.integers(0, 50), min_size=4, max_size=4).filter(any))
def test_a_calibration_is_a_probability_and_falls_with_more_of_the_same(hits):
    score = calibration_score(hits, THREE)
    assert 0.0 <= score <= 1.0
    assert calibration_score([2 * h for h in hits], THREE) <= score + 1e-12


@given(st.lists(st.floats(0.01, 1.0), min_size=4, max_size=4), st.floats(-50, 50), st.floats(0.1, 10))
@settings(max_examples=50)
def test_information_knows_neither_place_nor_unit_and_is_never_negative(widths, shift, unit):
    bounds = np.cumsum([0.0, *widths])
    at = [np.array([bounds[1:4] * u + s]) for s, u in ((0.0, 1.0), (shift, unit))]
    ends = [(np.array([s]), np.array([bounds[4] * u + s])) for s, u in ((0.0, 1.0), (shift, unit))]
    first, second = (information_score(q, THREE, *e) for q, e in zip(at, ends, strict=True))
    assert first >= 0.0
    assert second == pytest.approx(first, rel=1e-6, abs=1e-9)


def test_a_calibrated_expert_scores_uniformly_in_many_seeds():
    """Under the expert's own distribution 2 N I is chi² in the limit: 1000 sets of 400 seeds, Kolmogorov–Smirnov.

    At 1 in 10 000 the test sees a distance of 0.07; the scores are discrete, which at 400 seeds costs 0.03.
    """
    rng = np.random.default_rng(11)
    hits = rng.multinomial(400, [0.05, 0.45, 0.45, 0.05], size=1000)
    scores = [calibration_score(h, THREE) for h in hits]
    assert stats.kstest(scores, "uniform").statistic < 0.07


def test_the_narrower_of_two_calibrated_experts_weighs_more():
    truth = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    rows = [answer("wide", f"q{j}", (-Z95, 0.0, Z95)) for j in range(20)]
    rows += [answer("narrow", f"q{j}", truth[j] + np.array([-Z95, 0.01, Z95]) / 3) for j in range(20)]
    found = panel(rows, [seed(f"q{j}", float(x)) for j, x in enumerate(truth)], AS_OF, Elicitation(cutoff=0.0))
    wide, narrow = found.scores
    assert wide.calibration == pytest.approx(1.0)
    assert narrow.information > wide.information


# ---- who counts ------------------------------------------------------------------------------------


def test_without_seeds_nobody_is_weighed():
    found = panel([answer("A", "q", (0, 1, 2))], [], AS_OF)
    assert (found.weights, found.notes) == ({}, ())


def test_only_seeds_known_by_the_as_of_date_count():
    rows = [answer("A", q, (0, 1, 2)) for q in ("q", "r")]
    seeds = [seed("q", 1.0), seed("r", 1.5, known=date(2025, 3, 16))]
    assert panel(rows, seeds, AS_OF).seeds == ("q",)
    assert panel(rows, seeds, date(2025, 3, 16)).seeds == ("q", "r")
    assert panel(rows, seeds, date(2025, 1, 1)).weights == {}


def test_who_leaves_a_seed_out_has_no_score_and_is_told():
    rows = [answer("A", q, (0, 1, 2)) for q in ("q", "r")] + [answer("B", "q", (0, 1, 3))]
    found = panel(rows, [seed("q", 1.0), seed("r", 1.5)], AS_OF)
    assert found.weights == {"A": 1.0}
    assert "B: no score and no weight, for r of the seeds is not answered" in found.notes


def test_who_falls_below_the_cutoff_has_no_weight_and_is_told():
    rows = [answer("A", f"q{n}", (-1, 0, 1)) for n in range(10)]
    rows += [answer("B", f"q{n}", (7, 8, 9)) for n in range(10)]
    found = panel(rows, [seed(f"q{n}", (n - 4.5) / 5) for n in range(10)], AS_OF)
    assert found.weights == {"A": 1.0}
    assert any(n.startswith("B: no weight, for a calibration of") for n in found.notes)


def test_where_nobody_reaches_the_cutoff_all_weigh_the_same():
    rows = [answer(e, f"q{n}", (7, 8, 9)) for e in "AB" for n in range(10)]
    found = panel(rows, [seed(f"q{n}", 0.0) for n in range(10)], AS_OF)
    assert found.weights == {}
    assert any("all weigh the same" in n for n in found.notes)


def test_experts_are_scored_on_the_quantiles_that_all_answers_have():
    five = ("p05", "p25", "p50", "p75", "p95")
    rows = [answer("A", "q", (0, 1, 2, 3, 4), columns=five), answer("B", "q", (0, 2, 5))]
    assert panel(rows, [seed("q", 1.5)], AS_OF).levels == THREE
    assert panel(rows[:1], [seed("q", 1.5)], AS_OF).levels == (0.05, 0.25, 0.5, 0.75, 0.95)


def test_answers_with_nothing_but_the_median_in_common_are_not_scored():
    rows = [answer("A", "q", (0, 1, 2), columns=("p10", "p50", "p90")), answer("B", "q", (0, 2, 5))]
    found = panel(rows, [seed("q", 1.5)], AS_OF)
    assert found.weights == {}
    assert "fewer than three quantiles in common" in found.notes[0]
