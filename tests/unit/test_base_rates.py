import dataclasses

import numpy as np
import pytest

from forecast.analysis.base_rates import base_rate_table, occurrences, pooled
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
    asked, met = occurrences(program, made.log_of(program, PATHS), rate())
    assert list(asked) == [True, True, True, False, False, True]
    assert list(met) == [True, False, False, False, False, False]


def test_without_since_the_as_of_date_counts(program: Program) -> None:
    asked, met = occurrences(program, made.log_of(program, PATHS), rate(since=None, within=2.3))
    assert asked.all()
    assert list(met) == [True, False, False, False, False, False]


def test_a_span_of_the_whole_horizon_is_followed(program: Program) -> None:
    """The horizon, counted in days, is a fraction of a day short of 5 years."""
    assert program.horizon < 5.0
    asked, met = occurrences(program, made.log_of(program, PATHS), rate(since=None, within=5.0))
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
    _, met = occurrences(program, made.log_of(program, paths), rate(causes=(), flag="weather"))
    assert list(met) == [True, False, True, False, True, False]


def test_a_cause_or_a_flag_counts_whichever_comes(program: Program) -> None:
    paths = [
        [(0.3, "signing/signed"), (1.0, "fighting")],
        [(0.3, "signing/signed"), (1.0, "rain")],
        [(0.3, "signing/signed")],
    ]
    _, met = occurrences(program, made.log_of(program, paths), rate(flag="weather"))
    assert list(met) == [True, True, False]


def test_a_log_that_is_not_complete_is_not_asked(program: Program) -> None:
    log = dataclasses.replace(made.log_of(program, PATHS), truncated=np.array([True] + [False] * 5))
    asked, _ = occurrences(program, log, rate())
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
