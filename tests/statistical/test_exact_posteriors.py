"""Posteriors under priors that matter, against quadrature on a grid.

tests/unit/test_models.py holds flat priors against the conjugate laws (Gamma, Beta, Dirichlet). Here the
priors are those of a class, which have no conjugate form: log-normal rates, logit-normal probabilities,
Weibull spells that are entered late and censored (two dimensions), Dirichlet–multinomial shares with their
concentration (two dimensions). Quantiles of 4000 draws of effective size above 1600 within 5 Monte Carlo
standard errors, from the exact density at the quantile: 18 numbers, a false alarm in 90 000.
"""

import numpy as np
import pytest
from scipy import special, stats

from forecast.calibrate.fit import fit
from forecast.calibrate.sbc.cases import model_of
from forecast.calibrate.sbc.worlds import Watch, World, by_id, class_file, filled, record, spell, taken

LEVELS, EFFECTIVE = (0.05, 0.5, 0.95), 1600
RATES = class_file("r", "rates", {"events": {"e": "e"}, "exposure": "y"}, {"centre": {"e": 0.5}, "sd": 0.4})
WINS = class_file("b", "binomial", {"successes": "won", "trials": "n"}, {"centre": 0.7, "sd": 0.5})
DATES = {"start": "start", "event": "ended", "followed_to": "followed", "entry": "entry", "family": "weibull"}
TIMES = class_file("w", "survival", DATES, {"centre": 4.0, "sd": 0.5, "shape_sd": 0.3}, covariates={"mood": ["all"]})
SALES = class_file(
    "s",
    "shares",
    {
        "entry": "seller",
        "entries": ["red", "blue"],
        "amount": "amount",
        "group": "buyer",
        "window": "window",
        "lot": 1.0,
        "effective_n": 30.0,
    },
    {"sd": 0.7},
    covariates={"buyer": ["one"]},
)
SPELLS = [(0.0, 6.0, 2.5), (1.0, 9.0, 4.0), (2.0, 5.0, 99.0), (0.0, 8.0, 99.0), (0.5, 10.0, 7.5), (3.0, 12.0, 3.5)]
DAYS = 365.25


@pytest.fixture(scope="module")
def posterior():
    classes = {
        **filled(RATES, [record(0, {}, {"e": 3.0, "y": 20.0})]),
        **filled(WINS, [record(0, {}, {"won": 2.0, "n": 9.0})]),
        **filled(TIMES, [spell(k, Watch("all", a, b), end) for k, (a, b, end) in enumerate(SPELLS)]),
        **filled(
            SALES,
            [
                record(k, {"buyer": "one", "seller": s, "window": "2010-2014"}, {"amount": x})
                for k, (s, x) in enumerate((("red", 22.0), ("blue", 8.0)))
            ],
        ),
    }
    asked = by_id(
        taken("rate", "r", "per year"),
        taken("p", "b", "probability"),
        taken("times", "w", "years"),
        taken("shares", "s", "1"),
    )
    tree = fit(model_of(World(asked, classes)), seed=11, draws=2000, tune=1000, chains=2)
    assert int(tree["sample_stats"]["diverging"].sum()) == 0
    return tree["posterior"].to_dataset()


def agrees(draws, x, density):
    """Quantiles of draws against a density (not normalised) on a grid."""
    weight = density / np.trapezoid(density, x)
    cumulative = np.concatenate([[0.0], np.cumsum(np.diff(x) * (weight[1:] + weight[:-1]) / 2.0)])
    for q in LEVELS:
        exact = np.interp(q, cumulative, x)
        error = np.sqrt(q * (1 - q) / EFFECTIVE) / np.interp(exact, x, weight)
        assert abs(np.quantile(draws, q) - exact) < 5 * error, q


def test_a_rate(posterior):
    x = np.linspace(-5.0, 2.0, 4001)
    log_p = stats.norm(np.log(0.5), 0.4).logpdf(x) + stats.poisson.logpmf(3, 20.0 * np.exp(x))
    agrees(np.log(posterior["rate"].to_numpy().ravel()), x, np.exp(log_p - log_p.max()))


def test_a_probability(posterior):
    x = np.linspace(-5.0, 4.0, 4001)
    log_p = stats.norm(special.logit(0.7), 0.5).logpdf(x) + stats.binom.logpmf(2, 9, special.expit(x))
    agrees(special.logit(posterior["p"].to_numpy().ravel()), x, np.exp(log_p - log_p.max()))


def test_a_weibull_entered_late(posterior):
    """Shape and scale, each integrated over the other; times are whole days, as in a table."""
    log_shape, log_scale = np.linspace(-1.5, 1.5, 601), np.linspace(-0.5, 4.0, 801)
    a, s = np.exp(log_shape)[:, None], np.exp(log_scale)[None, :]
    log_p = stats.norm(0.0, 0.3).logpdf(log_shape)[:, None] + stats.norm(np.log(4.0), 0.5).logpdf(log_scale)[None, :]
    for entry, leave, end in SPELLS:
        e, t = (round(v * DAYS) / DAYS for v in (entry, min(leave, end)))
        log_p = log_p - (t / s) ** a + (e / s) ** a
        if end < leave:
            log_p = log_p + np.log(a / s) + (a - 1.0) * np.log(t / s)
    p = np.exp(log_p - log_p.max())
    draws = np.log(posterior["times"].to_numpy().reshape(-1, 2))
    agrees(draws[:, 0], log_shape, p.sum(axis=1))
    agrees(draws[:, 1], log_scale, p.sum(axis=0))


def test_shares(posterior):
    """Two entries: beta-binomial with mean logistic(sqrt(2) ratio) of the first, ratio ~ Normal(0, 0.7)."""
    ratio, log_c = np.linspace(-4.0, 4.0, 1601), np.linspace(np.log(29.0) - 6.0, np.log(29.0) + 6.0, 801)
    mean, c = special.expit(np.sqrt(2.0) * ratio)[:, None], np.exp(log_c)[None, :]
    log_p = stats.norm(0.0, 0.7).logpdf(ratio)[:, None] + stats.norm(np.log(29.0), 1.0).logpdf(log_c)[None, :]
    log_p = log_p + special.betaln(22.0 + c * mean, 8.0 + c * (1.0 - mean)) - special.betaln(c * mean, c * (1.0 - mean))
    p = np.exp(log_p - log_p.max())
    red = special.logit(posterior["shares"].to_numpy().reshape(-1, 2)[:, 0]) / np.sqrt(2.0)
    agrees(red, ratio, p.sum(axis=1))
    agrees(np.log(posterior["s__concentration"].to_numpy().ravel()), log_c, p.sum(axis=0))
