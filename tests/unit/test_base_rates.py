import dataclasses

import numpy as np
import pytest
from lifelines import KaplanMeierFitter

from forecast.analysis.base_rates import base_rate_table, occurrences, pooled, pooled_alone
from forecast.deal.spec import BaseRate
from forecast.process.compile import Program
from tests import outputs_data as made


@pytest.fixture(scope="module")
def program() -> Program:
    return made.program()


def rate(**changes: object) -> BaseRate:
    fields = {"mechanism": "War within 2 years of signature", "causes": ("war",), "since": "signed", "within": 2.0,
              "value": 0.3, "lower": 0.2, "upper": 0.4, "source": "counted"}  # fmt: skip
    return BaseRate.model_validate(fields | changes)


PATHS = [
    [(0.3, "signing/signed"), (2.2, "fighting")],  # within 2 years
    [(0.3, "signing/signed"), (2.4, "fighting")],  # later
    [(0.3, "signing/signed"), (1.0, "withdrawal")],  # ended by something else
    [(3.5, "signing/signed"), (4.0, "fighting")],  # cannot be followed for 2 years before the horizon at 5
    [(1.0, "collapse")],  # never signed
    [(0.3, "signing/signed")],  # still open
]


def test_who_is_asked_and_who_is_met(program: Program) -> None:
    asked, met, _ = occurrences(program, made.log_of(program, PATHS), rate())
    assert list(asked) == [True, True, True, False, False, True]
    assert list(met) == [True, False, False, False, False, False]


def test_without_since_the_as_of_date_counts(program: Program) -> None:
    asked, met, _ = occurrences(program, made.log_of(program, PATHS), rate(since=None, within=2.3))
    assert asked.all()
    assert list(met) == [True, False, False, False, False, False]


def test_a_span_of_the_whole_horizon_is_followed(program: Program) -> None:
    """The horizon, counted in days, is a fraction of a day short of 5 years."""
    assert program.horizon < 5.0
    asked, met, _ = occurrences(program, made.log_of(program, PATHS), rate(since=None, within=5.0))
    assert asked.all()
    assert met.sum() == 3


def test_a_flag_that_gets_set_counts_from_since_on(program: Program) -> None:
    paths = [
        [(0.3, "signing/signed"), (1.0, "rain")],
        [(0.1, "rain"), (0.3, "signing/signed")],  # before
        [(0.3, "rain"), (0.3, "signing/signed")],  # in the same instant
        [(0.3, "signing/signed"), (2.5, "rain")],  # too late
        [(0.3, "signing/signed"), (1.5, "rain"), (1.6, "rain")],  # twice
        [(0.3, "signing/signed"), (1.0, "fighting"), (1.0, "rain")][:2],  # ended first
    ]
    _, met, _ = occurrences(program, made.log_of(program, paths), rate(causes=(), flag="weather"))
    assert list(met) == [True, False, True, False, True, False]


def test_a_cause_or_a_flag_counts_whichever_comes(program: Program) -> None:
    paths = [
        [(0.3, "signing/signed"), (1.0, "fighting")],
        [(0.3, "signing/signed"), (1.0, "rain")],
        [(0.3, "signing/signed")],
    ]
    _, met, _ = occurrences(program, made.log_of(program, paths), rate(flag="weather"))
    assert list(met) == [True, True, False]


def test_a_log_that_is_not_complete_is_not_asked(program: Program) -> None:
    log = dataclasses.replace(made.log_of(program, PATHS), truncated=np.array([True] + [False] * 5))
    asked, *_ = occurrences(program, log, rate())
    assert not asked[0]


def test_pooled_recovers_mean_and_spread_between_draws() -> None:
    """Known truth: p_d ~ Beta(6, 9), 10 paths each of 4,000 draws, some with fewer.

    Quantiles: 4 standard errors, of the mean 0.0035 each and of the spread 2.5%, are below 0.02.
    """
    rng = np.random.default_rng(11)
    p = rng.beta(6, 9, 4000)
    draw = np.repeat(np.arange(4000), rng.integers(0, 20, 4000))
    met = rng.random(len(draw)) < p[draw]
    mean, lower, upper, mcse = pooled(draw, met, 4000)
    assert mean == pytest.approx(0.4, abs=4 * 0.0035)
    assert (lower, upper) == pytest.approx(tuple(np.quantile(p, [0.05, 0.95])), abs=0.02)
    assert mcse == pytest.approx(np.sqrt(0.24 / len(draw)), rel=0.02)


def test_draws_that_agree_leave_monte_carlo_error_alone() -> None:
    rng = np.random.default_rng(2)
    draw = np.repeat(np.arange(2000), 10)
    mean, lower, upper, mcse = pooled(draw, rng.random(20_000) < 0.4, 2000)
    assert upper - lower < 0.07  # 0.5 if chance were taken for a difference between draws
    assert upper - mean >= 1.645 * mcse - 1e-12
    assert mean - lower >= 1.645 * mcse - 1e-12


@pytest.mark.parametrize("met", [True, False])
def test_always_and_never_have_no_spread(met: bool) -> None:
    mean, lower, upper, mcse = pooled(np.arange(50) // 5, np.full(50, met), 10)
    assert (mean, lower, upper, mcse) == (float(met), float(met), float(met), 0.0)


def test_one_path_a_draw_is_no_spread() -> None:
    mean, lower, upper, mcse = pooled(np.arange(100), np.arange(100) < 30, 100)
    assert (lower, upper) == pytest.approx((mean - 1.645 * mcse, mean + 1.645 * mcse))


def test_table_compares_and_keeps_the_explanation(program: Program) -> None:
    log = made.log_of(program, PATHS)
    rows = [
        rate(),  # its interval holds the model's mean, 0.25
        rate(value=0.9, lower=0.85, upper=0.95, explanation="oral promises"),
        rate(value=0.45, lower=0.42, upper=0.5),  # of four paths, the model's interval reaches to 0.6
    ]
    table = base_rate_table(program, log, rows)
    assert table is not None
    np.testing.assert_allclose(table["model_mean"], 0.25)
    assert list(table["model_paths"]) == [4, 4, 4]
    assert list(table["agrees"]) == [True, False, True]
    assert list(table["explanation"].to_numpy()) == ["", "oral promises", ""]
    assert list(table["source"].to_numpy()) == ["counted"] * 3


def test_nobody_to_ask_gives_nan_and_does_not_agree(program: Program) -> None:
    table = base_rate_table(program, made.log_of(program, [[(1.0, "collapse")]]), [rate()])
    assert table is not None
    assert np.isnan(table["model_mean"].to_numpy()).all()
    assert not table["agrees"].any()


def test_no_base_rates_no_table(program: Program) -> None:
    assert base_rate_table(program, made.log_of(program, PATHS), []) is None


def test_alone_is_kaplan_meier() -> None:
    """Against lifelines, on times with ties between what happens and what is lost; Greenwood's error too."""
    rng = np.random.default_rng(4)
    after = np.ceil(rng.exponential(2.0, 400) * 4) / 4
    met = rng.random(400) < 0.5
    after, met = np.minimum(after, 3.0), met & (after <= 3.0)
    curve = KaplanMeierFitter().fit(after, met)
    mean, _, _, mcse = pooled_alone(np.arange(400) // 10, met, after, 40)
    assert mean == pytest.approx(1.0 - float(curve.predict(3.0)), abs=1e-12)
    table = curve.event_table.loc[:3.0]
    table = table[table["observed"] > 0]
    greenwood = (table["observed"] / (table["at_risk"] * (table["at_risk"] - table["observed"]))).sum()
    assert mcse == pytest.approx((1.0 - mean) * np.sqrt(greenwood), rel=1e-9)


def test_alone_without_other_endings_is_the_plain_share() -> None:
    met = np.array([True, False, False, True])
    mean, _, _, mcse = pooled_alone(np.array([0, 0, 1, 1]), met, np.array([1.0, 3.0, 3.0, 2.0]), 2)
    assert (mean, mcse) == pytest.approx((0.5, np.sqrt(0.25 / 4)))


@pytest.mark.parametrize("met", [True, False])
def test_alone_always_and_never(met: bool) -> None:
    assert pooled_alone(np.arange(6) // 2, np.full(6, met), np.ones(6), 3) == (float(met),) * 3 + (0.0,)


def test_an_election_alone_is_not_rarer_because_talks_collapsed(program: Program) -> None:
    """Nine of twelve paths end before the vote; of the three left one sees power change hands."""
    paths = [[(1.0, "collapse")]] * 9 + [[(3.65, "vote/change")]] + [[(3.65, "vote/stays")]] * 2
    log = made.log_of(program, paths)
    vote = {"causes": (), "flag": "opposed", "since": None, "within": 4.0}
    table = base_rate_table(program, log, [rate(**vote), rate(**vote, alone=True)])
    assert table is not None
    np.testing.assert_allclose(table["model_mean"], [1 / 12, 1 / 3])


def test_alone_recovers_hazard_and_spread_whatever_else_ends_the_paths() -> None:
    """Known truth: rate 0.3 z_d a year for 2 years, z_d gamma with variance 0.16; of others, from 0.1 to 4 a year.

    10 paths each of 4,000 draws. Standard errors: of the mean 0.006, of the quantiles about 0.03 (2.5 of them).
    """
    rng = np.random.default_rng(9)
    z, others = rng.gamma(6.25, 0.16, 4000), np.exp(rng.uniform(np.log(0.1), np.log(4.0), 4000))
    draw = np.repeat(np.arange(4000), 10)
    event, other = rng.exponential(1 / (0.3 * z[draw])), rng.exponential(1 / others[draw])
    after = np.minimum(np.minimum(event, other), 2.0)
    met = (event <= other) & (event <= 2.0)
    truth = -np.expm1(-0.6 * z)
    mean, lower, upper, mcse = pooled_alone(draw, met, after, 4000)
    assert mcse < 0.006
    assert mean == pytest.approx(truth.mean(), abs=4 * mcse)
    assert (lower, upper) == pytest.approx(tuple(np.quantile(truth, [0.05, 0.95])), abs=0.075)
    assert met.mean() < 0.75 * mean  # a plain share is far off


def test_alone_recovers_the_spread_of_an_election_among_survivors() -> None:
    """Known truth: p_d ~ Beta(10, 9) on one day, which between 5% and 90% of a draw's paths live to see."""
    rng = np.random.default_rng(3)
    p, alive = rng.beta(10, 9, 4000), rng.uniform(0.05, 0.9, 4000)
    draw = np.repeat(np.arange(4000), 10)
    lives = rng.random(40_000) < alive[draw]
    met = lives & (rng.random(40_000) < p[draw])
    after = np.where(met, 3.6, np.where(lives, 4.0, 1.0))
    mean, lower, upper, _ = pooled_alone(draw, met, after, 4000)
    assert mean == pytest.approx(10 / 19, abs=0.02)
    assert (lower, upper) == pytest.approx(tuple(np.quantile(p, [0.05, 0.95])), abs=0.04)
