"""The joint model against densities and values worked out by hand; no sampling but in the last test."""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from scipy import special, stats

from forecast.calibrate import evaluate
from forecast.calibrate.fit import fit
from forecast.calibrate.models import build_model
from forecast.calibrate.predictor import join
from forecast.calibrate.reference import Prior, ReferenceClass, Table, build_class, load_class
from forecast.deal.parameters import Contrast, Distribution, Parameter, Reference
from forecast.errors import ReferenceClassError

AS_OF = date(2025, 3, 15)
REFERENCE = Path(__file__).parents[2] / "priors" / "reference"
UNITS = {"rates": "per year", "binomial": "probability", "multinomial": "probability"}


def made(kind, numbers, columns=None, covariates=None, events=(), age=None, edges=None, labels=(), **prior):
    """A class made by hand, named after its kind."""
    return ReferenceClass(
        id=kind,
        folder=Path("made_up"),
        table_file="table.csv",
        title="made up",
        question="made up?",
        kind=kind,
        unit="1",
        citation=("none",),
        licence="none",
        events=events,
        covariates=covariates or {},
        age_edges=None if edges is None else np.array(edges),
        age_labels=labels,
        prior=Prior(**{"centre": 0.0, "sd": 1.5, **prior}),
        table=Table(columns or {}, {k: np.array(v, float) for k, v in numbers.items()}, age),
        content=b"made up",
    )


def rates():
    side, age = ("a", "b", "a", "b", "a"), np.array([0, 0, 1, 1, 0])
    return made(
        "rates",
        {"exposure": [10, 20, 30, 5, 7], "war": [1, 5, 0, 2, 3], "peace": [0, 1, 4, 0, 0]},
        {"side": side},
        {"side": ("a", "b")},
        ("war", "peace"),
        age,
        [0, 1, np.inf],
        ("0-1", "1+"),
        centre=-2.0,
        centres={"war": -2.0, "peace": -3.0},
    )


def binomial():
    return made(
        "binomial",
        {"trials": [8, 4, 10, 6], "successes": [2, 0, 9, 3]},
        {"x": ("p", "q", "r", "q"), "y": ("1", "1", "2", "2")},
        {"x": ("p", "q", "r"), "y": ("1", "2")},
    )


def multinomial():
    return made(
        "multinomial",
        {"on_time": [3, 1], "late": [2, 2], "never": [0, 4]},
        {"by": ("us", "them")},
        {"by": ("us", "them")},
        ("on_time", "late", "never"),
    )


def shares():
    return made(
        "shares",
        {"red": [6.0, 2.0, 0.0], "green": [3.0, 1.0, 5.0], "blue": [1.0, 7.0, 2.0]},
        {"buyer": ("n", "s", "s")},
        {"buyer": ("n", "s")},
        ("red", "green", "blue"),
        concentration=8.0,
    )


def survival():
    return made(
        "survival",
        {"entry": [0.0, 0.5, 0.0, 2.0], "exit": [1.5, 2.0, 4.0, 6.0], "event": [1, 0, 1, 1]},
        {"mood": ("calm", "calm", "tense", "tense")},
        {"mood": ("calm", "tense")},
        centre=1.0,
    )


ALL = {c.id: c for c in (rates(), binomial(), multinomial(), shares(), survival())}


def asked(id_, class_, unit=None, where=None, transfer_sd=0.0, **more):
    contrast = "contrast" in more
    unit = unit or ("log ratio" if contrast else UNITS.get(class_, "1"))
    reference = Reference(**{"class": class_}, where=where or {}, transfer_sd=transfer_sd, **more)
    return Parameter(id=id_, label=id_, unit=unit, reference=reference, rationale="made up for a test")


def values(*parameters, n=3, classes=ALL):
    """(free variables, value of each parameter) of `n` prior draws, and the parts of the model."""
    model = build_model({p.id: p for p in parameters}, (), classes, AS_OF)
    free = evaluate.prior_draws(model, n, seed=4)
    used = [classes[k] for k in {p.reference.reference: 0 for p in parameters if p.reference}]
    return model, free, evaluate.deterministics(model, free), join(used) if used else None


def predictors(free, classes):
    """Linear predictors (draw, entry) of all tables, by a route of their own: one entry at a time."""
    scale = free["class__spread"][:, classes.spread_of]
    effect = free["class__z"] * scale ** (1.0 - classes.centred)
    eta = free["class__base"][:, classes.base_of]
    for p in classes.parts:
        for (cell, column), x in np.ndenumerate(p.layout.x):
            for k in range(len(p.free)):
                n = p.entries.start + cell * len(p.free) + k
                eta[:, n] += x * effect[:, p.terms.start + column * len(p.free) + k]
    return eta, effect


# ---- likelihoods ---------------------------------------------------------------------------------


def one_of_each():
    return (
        asked("r", "rates", where={"side": "a"}, event="war"),
        asked("b", "binomial"),
        asked("m", "multinomial"),
        asked("s", "shares"),
        asked("w", "survival", "years"),
    )


def test_likelihoods_are_those_of_scipy():
    """Poisson, binomial, multinomial and Dirichlet–multinomial, term by term; Weibull by its hazard and survival."""
    model, free, _, classes = values(*one_of_each())
    eta, _ = predictors(free, classes)
    got = evaluate.log_likelihoods(model, free)
    at = {p.used.id: (p, eta[:, p.entries]) for p in classes.parts}

    part, link = at["rates"]
    assert part.data.weight.tolist() == [17, 30, 20, 5]  # two rows of one cell are added up
    mean = np.exp(link) * np.repeat(part.data.weight, 2)
    np.testing.assert_allclose(got["rates__events"], stats.poisson(mean).logpmf([4, 0, 0, 4, 5, 1, 2, 0]), rtol=1e-9)

    part, link = at["binomial"]
    wanted = stats.binom(part.data.weight, special.expit(link)).logpmf(part.data.count[:, 0])
    np.testing.assert_allclose(got["binomial__successes"], wanted, rtol=1e-9)

    part, link = at["multinomial"]
    logits = np.concatenate([np.zeros((3, 2, 1)), link.reshape(3, 2, 2)], axis=2)
    wanted = stats.multinomial(part.data.weight, special.softmax(logits, axis=2)).logpmf(part.data.count)
    np.testing.assert_allclose(got["multinomial__counts"], wanted, rtol=1e-9)

    part, link = at["shares"]
    p = special.softmax(link.reshape(3, 3, 2) @ part.to_logits.T, axis=2)
    a = free["shares__concentration"][:, None, None] * p
    n = part.data.weight.astype(int)
    wanted = stats.dirichlet_multinomial(a, n).logpmf(part.data.count.astype(int))
    constant = special.gammaln(n + 1) - special.gammaln(part.data.count + 1).sum(axis=1)
    np.testing.assert_allclose(got["shares__counts"], wanted - constant, rtol=1e-8)

    part, link = at["survival"]
    shape, log_rate = free["survival__shape"], free["class__base"][:, -1:]
    scale = np.exp(-log_rate - (link - log_rate) / shape)  # proportional hazards, as a scale of each case
    weibull = stats.weibull_min(shape, scale=scale)
    spell, ended = part.data.spell, part.data.count[:, 0]
    wanted = np.where(ended == 1, weibull.logpdf(spell[:, 1]), weibull.logsf(spell[:, 1])) - weibull.logsf(spell[:, 0])
    np.testing.assert_allclose(got["survival__ended"], wanted, rtol=1e-8)


def test_predictions_have_the_mean_of_the_model():
    """One set of data a draw; tolerance 5 standard errors of 20 000 draws, a false alarm in 1.7 million a cell."""
    model, free, _, classes = values(*one_of_each())
    free = {k: np.repeat(x[:1], 20_000, axis=0) for k, x in free.items()}
    eta, _ = predictors({k: x[:1] for k, x in free.items()}, classes)
    new = evaluate.predictions(model, free, seed=9)
    rate = np.repeat(classes.parts[0].data.weight, 2) * np.exp(eta[0, classes.parts[0].entries])
    part = classes.parts[1]
    won = part.data.weight * special.expit(eta[0, part.entries])
    for name, mean in (("rates__events", rate), ("binomial__successes", won)):
        error = new[name].std(axis=0) / np.sqrt(20_000)
        assert np.all(np.abs(new[name].mean(axis=0) - mean) < 5 * error + 1e-9), name
    assert np.all(new["multinomial__counts"].sum(axis=2) == [5, 7])
    assert np.all(new["shares__counts"].sum(axis=2) == [10, 10, 7])


def test_the_prior_predictive_is_not_the_same_draw_over_and_over():
    model, free, _, _ = values(*one_of_each(), n=600)
    events = evaluate.predictions(model, free, seed=1)["rates__events"][:, 0]
    assert len(np.unique(events[:250])) > 5
    assert not np.array_equal(events[:250], events[250:500])  # blocks draw on


# ---- values --------------------------------------------------------------------------------------


def test_levels_and_contrasts_of_rates():
    _, free, got, classes = values(
        asked("bins", "rates", where={"side": "b"}, event="peace"),
        asked("logs", "rates", "log rate", where={"side": "b"}, event="peace", link=True),
        asked("change", "rates", event="peace", contrast=Contrast(covariate="side", base="a", to="b")),
        asked("open", "rates", event="war"),
    )
    eta, _ = predictors(free, classes)
    cell = eta.reshape(3, 4, 2)  # a 0-1, a 1+, b 0-1, b 1+ (cells are sorted)
    np.testing.assert_allclose(got["bins"], np.exp(cell[:, 2:, 1]), rtol=1e-12)
    np.testing.assert_allclose(got["logs"], cell[:, 2:, 1], rtol=1e-12)
    np.testing.assert_allclose(got["change"], cell[:, 2, 1] - cell[:, 0, 1], rtol=1e-9)
    weight = np.array([17 + 30, 20 + 5]) / 72  # sides by all their exposure, whatever the age
    wanted = np.stack([np.exp(cell[:, [k, 2 + k], 0]) @ weight for k in range(2)], axis=1)
    np.testing.assert_allclose(got["open"], wanted, rtol=1e-12)


def test_levels_of_a_binomial_average_over_cells_that_match():
    _, free, got, classes = values(
        asked("one", "binomial", where={"x": "q", "y": "2"}),
        asked("all_q", "binomial", where={"x": "q"}),
        asked("logit", "binomial", "logit", where={"x": "p"}, link=True),
        asked("change", "binomial", contrast=Contrast(covariate="x", base="p", to="r")),
    )
    eta, effect = predictors(free, classes)
    p = special.expit(eta)  # cells: p1, q1, q2, r2
    np.testing.assert_allclose(got["one"], p[:, 2], rtol=1e-12)
    np.testing.assert_allclose(got["all_q"], 0.4 * p[:, 1] + 0.6 * p[:, 2], rtol=1e-12)
    np.testing.assert_allclose(got["logit"], eta[:, 0], rtol=1e-12)  # p occurs with y = 1 alone
    assert effect.shape == (3, 3)
    np.testing.assert_allclose(got["change"], eta[:, 3] - eta[:, 0] - (eta[:, 2] - eta[:, 1]), rtol=1e-9)


def test_a_combination_without_rows_takes_the_mix_of_the_class():
    """Nobody of x = r at y = 1; the number asked for is still the model's."""
    _, free, got, classes = values(asked("never_seen", "binomial", where={"x": "r", "y": "1"}))
    eta, _ = predictors(free, classes)
    np.testing.assert_allclose(got["never_seen"], special.expit(eta[:, 3] - eta[:, 2] + eta[:, 1]), rtol=1e-9)


def test_categories_and_shares():
    _, free, got, classes = values(
        asked("never", "multinomial", where={"by": "us"}, category="never"),
        asked("odds", "multinomial", "logit", where={"by": "us"}, category="late", link=True),
        asked("every", "multinomial"),
        asked("change", "multinomial", category="late", contrast=Contrast(covariate="by", base="us", to="them")),
        asked("red_out", "shares", where={"buyer": "s"}, exclude=("red",)),
    )
    eta, _ = predictors(free, classes)
    link = eta[:, :4].reshape(3, 2, 2)  # us, them
    p = special.softmax(np.concatenate([np.zeros((3, 2, 1)), link], axis=2), axis=2)
    us, them = 0, 1
    np.testing.assert_allclose(got["never"], p[:, us, 2], rtol=1e-12)
    np.testing.assert_allclose(got["odds"], link[:, us, 0], rtol=1e-9)
    np.testing.assert_allclose(got["every"], (5 * p[:, us] + 7 * p[:, them]) / 12, rtol=1e-12)
    np.testing.assert_allclose(got["change"], link[:, them, 0] - link[:, us, 0], rtol=1e-9)
    south = special.softmax(eta[:, 4:].reshape(3, 3, 2)[:, 1] @ classes.parts[1].to_logits.T, axis=1)
    np.testing.assert_allclose(got["red_out"], south[:, 1:] / south[:, 1:].sum(axis=1, keepdims=True), rtol=1e-9)


def test_a_weibull_takes_its_covariates_into_the_scale():
    _, free, got, classes = values(
        asked("calm", "survival", "years", where={"mood": "calm"}),
        asked("tense", "survival", "years", where={"mood": "tense"}),
        asked("moods", "survival", contrast=Contrast(covariate="mood", base="calm", to="tense")),
    )
    eta, _ = predictors(free, classes)
    base, shape = free["class__base"][:, 0], free["survival__shape"][:, 0]
    np.testing.assert_allclose(got["calm"][:, 0], shape, rtol=1e-12)
    np.testing.assert_allclose(got["calm"][:, 1], np.exp(-base - (eta[:, 0] - base) / shape), rtol=1e-12)
    np.testing.assert_allclose(got["moods"], shape * np.log(got["calm"][:, 1] / got["tense"][:, 1]), rtol=1e-9)


def test_transfer_moves_the_link_and_each_parameter_by_its_own():
    where = {"side": "a"}
    _, free, got, _ = values(
        asked("near", "rates", where=where, event="war"),
        asked("far", "rates", where=where, event="war", transfer_sd=0.7),
        asked("farther", "rates", where=where, event="war", transfer_sd=0.7),
        asked("p", "binomial", where={"x": "p"}),
        asked("p_far", "binomial", where={"x": "p"}, transfer_sd=0.5),
        asked("odds", "multinomial", "logit", category="never", link=True),
        asked("odds_far", "multinomial", "logit", category="never", link=True, transfer_sd=0.2),
        asked("mix", "shares"),
        asked("mix_far", "shares", transfer_sd=0.4),
    )
    z = free["class__transfer"]
    assert z.shape == (3, 8)  # none for those without; two bins of a rate, two log ratios for the shares
    factor = np.array([[1.0, 0.0], [0.9, np.sqrt(1 - 0.9**2)]])  # bins differ alike: correlation 0.9
    np.testing.assert_allclose(got["far"], got["near"] * np.exp(0.7 * z[:, :2] @ factor.T), rtol=1e-12)
    np.testing.assert_allclose(got["farther"], got["near"] * np.exp(0.7 * z[:, 2:4] @ factor.T), rtol=1e-12)
    np.testing.assert_allclose(special.logit(got["p_far"]), special.logit(got["p"]) + 0.5 * z[:, 4], rtol=1e-9)
    np.testing.assert_allclose(got["odds_far"], got["odds"] + 0.2 * z[:, 5], rtol=1e-9)
    basis = join([shares()]).parts[0].to_logits
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-12)
    wanted = special.softmax(np.log(got["mix"]) + 0.4 * z[:, 6:] @ basis.T, axis=1)
    np.testing.assert_allclose(got["mix_far"], wanted, rtol=1e-9)


def test_level_effects_add_up_to_nothing_and_make_the_contrasts():
    _, _, got, classes = values(
        asked("change", "binomial", contrast=Contrast(covariate="x", base="p", to="r")), asked("b", "binomial")
    )
    effect = got["binomial__effect"][..., 0]  # x: p, q, r; y: 1, 2
    np.testing.assert_allclose(effect[:, 2] - effect[:, 0], got["change"], rtol=1e-9)
    layout = classes.parts[0].layout
    raw = layout.level_x["x"] - layout.level_x["x"].mean(axis=0)
    np.testing.assert_allclose(raw[:, :2].T @ raw[:, :2], np.eye(2), atol=1e-12)  # levels are exchangeable


def test_a_class_without_covariates_and_a_single_level():
    plain = made("binomial", {"trials": [9], "successes": [3]}, {"x": ("only",)}, {"x": ("only",)})
    model, free, got, _ = values(asked("p", "binomial", where={"x": "only"}), classes={"binomial": plain})
    assert [v.name for v in model.free_RVs] == ["class__base"]
    np.testing.assert_allclose(got["p"], special.expit(free["class__base"][:, 0]), rtol=1e-12)


# ---- priors ------------------------------------------------------------------------------------------


def near(x, mean, sd, n=40_000):
    """Mean and sd of normal draws within 5 standard errors (false alarm in 1.7 million each)."""
    return abs(x.mean() - mean) < 5 * sd / np.sqrt(n) and abs(x.std() / sd - 1) < 5 / np.sqrt(2 * n)


def test_priors_are_those_that_the_class_states():
    priors = {"rates": {"effect_sd": 0.4, "age_sd": 0.9}, "survival": {"shape_sd": 0.2}}
    classes = {k: replace(c, prior=replace(c.prior, **priors.get(k, {}))) for k, c in ALL.items()}
    model = build_model({p.id: p for p in one_of_each()}, (), classes, AS_OF)
    free = evaluate.prior_draws(model, 40_000, seed=8)
    base = dict(zip(model.coords["class__outcome"], free["class__base"].T, strict=True))
    assert near(base["rates: war"], -2.0, 1.5)
    assert near(base["rates: peace"], -3.0, 1.5)
    assert near(base["multinomial: late"], 0.0, 1.5)
    assert near(base["survival: event"], -1.0, 1.5)  # the centre is the log of the scale in years
    spread = dict(zip(model.coords["class__covariate"], free["class__spread"].T, strict=True))
    for name, sd in {"rates: side": 0.4, "rates: age": 0.9, "binomial: x": 0.5}.items():
        assert near(spread[name] * np.where(np.arange(40_000) % 2, 1, -1), 0.0, sd), name  # half-normal
    assert near(np.log(free["survival__shape"][:, 0]), 0.0, 0.2)
    assert near(np.log(free["shares__concentration"]), np.log(8.0), 1.0)


def test_clear_differences_are_centred_as_far_as_data_bear_on_them_and_the_prior_stays_the_same():
    levels = tuple("abcdefghij")
    few = {"trials": [400] * 9 + [4], "successes": [5, 390, 40, 350, 10, 200, 395, 20, 100, 3]}
    lots = {"trials": [400] * 10, "successes": [5, 390, 40, 350, 10, 200, 395, 20, 100, 300]}
    clear = {"binomial": made("binomial", lots, {"x": levels}, {"x": levels})}
    even = {"binomial": made("binomial", {**lots, "successes": [200] * 10}, {"x": levels}, {"x": levels})}
    change = asked("change", "binomial", contrast=Contrast(covariate="x", base="a", to="b"))
    lopsided = {"binomial": made("binomial", few, {"x": levels}, {"x": levels})}
    assert (join(list(clear.values())).centred > 0.85).all()
    assert not join(list(even.values())).centred.any()
    degree = join(list(lopsided.values())).centred
    assert degree[:-1].min() > 0.85
    assert 0.1 < degree[-1] < 0.6
    for classes in (clear, even, lopsided):
        model = build_model({"change": change}, (), classes, AS_OF)
        # the spread is independent of the effects but for their scale, so prior draws are exact either way
        free = evaluate.prior_draws(model, 40_000, seed=6)
        x = evaluate.deterministics(model, free)["change"]
        # sd of the difference of two levels: sqrt(2) * sqrt(E spread²) = sqrt(2) * 0.5; a normal of random scale
        assert abs(x.std() / np.sqrt(0.5) - 1) < 0.05
        assert abs(x.mean()) < 5 * x.std() / 200


# ---- the rest ------------------------------------------------------------------------------------


def test_distributions_have_their_moments():
    """Mean of 40 000 draws within 5 standard errors (false alarm in 1.7 million each)."""
    families = {
        "normal": (Distribution(family="normal", mu=1.0, sigma=2.0), stats.norm(1, 2)),
        "lognormal": (Distribution(family="lognormal", mu=0.3, sigma=0.4), stats.lognorm(0.4, scale=np.exp(0.3))),
        "beta": (Distribution(family="beta", alpha=2.0, beta=5.0), stats.beta(2, 5)),
        "gamma": (Distribution(family="gamma", alpha=2.0, beta=5.0), stats.gamma(2, scale=1 / 5)),
        "uniform": (Distribution(family="uniform", lower=-1.0, upper=3.0), stats.uniform(-1, 4)),
        "halfnormal": (Distribution(family="halfnormal", sigma=2.0), stats.halfnorm(scale=2)),
    }
    parameters = {
        k: Parameter(id=k, label=k, unit="1", distribution=d, source="made up") for k, (d, _) in families.items()
    }
    parameters["one"] = Parameter(id="one", label="one", unit="1", constant=1.0, source="made up")
    model = build_model(parameters, (), {}, AS_OF)
    got = evaluate.deterministics(model, evaluate.prior_draws(model, 40_000, seed=2))
    assert set(got) == set(families)  # a constant is no variable
    for name, (_, exact) in families.items():
        for power in (1, 2):
            x = got[name] ** power
            assert abs(x.mean() - exact.moment(power)) < 5 * x.std() / 200, (name, power)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (asked("p", "binomal"), "binomial"),
        (asked("p", "binomial", where={"z": "p"}), "no covariate 'z'"),
        (asked("p", "binomial", where={"x": "s"}), "no level 's'"),
        (asked("p", "rates"), "say which: war, peace"),
        (asked("p", "rates", event="wars"), "did you mean 'war'"),
        (asked("p", "multinomial", category="nevr"), "did you mean 'never'"),
        (asked("p", "multinomial", "logit", category="on_time", link=True), "'on_time' itself"),
        (asked("p", "shares", exclude=("rde",)), "did you mean 'red'"),
    ],
)
def test_what_a_class_cannot_give_is_refused(parameter, message):
    with pytest.raises(ReferenceClassError, match=message):
        build_model({"p": parameter}, (), ALL, AS_OF)


def test_a_class_of_which_nothing_bears_on_anything_is_refused():
    empty = made("binomial", {"trials": [0], "successes": [0]})
    with pytest.raises(ReferenceClassError, match="no row is left"):
        build_model({"p": asked("p", "binomial")}, (), {"binomial": empty}, AS_OF)


def test_posteriors_are_the_conjugate_ones():
    """Flat priors: Gamma(events, exposure), Beta(successes, failures), Dirichlet(counts).

    On the link scale a prior of sd 6 around the estimate changes a posterior sd by a part in 1000. Mean and
    5, 50 and 95 % quantiles within 5 Monte Carlo standard errors of 4000 draws of effective size above 2000, computed
    from the exact density at the quantile; 20 numbers, a false alarm in 80 000.
    """
    flat = {"sd": 6.0}
    classes = {
        "rates": made("rates", {"exposure": [130.0], "war": [23]}, events=("war",), centre=np.log(23 / 130), **flat),
        "binomial": made("binomial", {"trials": [60], "successes": [14]}, centre=np.log(14 / 46), **flat),
        "multinomial": made("multinomial", {"a": [30], "b": [12], "c": [25]}, events=("a", "b", "c"), **flat),
    }
    parameters = {p.id: p for p in (asked("r", "rates"), asked("b", "binomial"), asked("m", "multinomial"))}
    tree = fit(build_model(parameters, (), classes, AS_OF), seed=3, draws=2000, tune=500, chains=2)
    assert int(tree["sample_stats"]["diverging"].sum()) == 0
    drawn = {k: tree["posterior"][k].to_numpy().reshape(4000, -1) for k in parameters}
    exact = [
        (drawn["r"][:, 0], stats.gamma(23, scale=1 / 130)),
        (drawn["b"][:, 0], stats.beta(14, 46)),
        *((drawn["m"][:, k], stats.beta(n, 67 - n)) for k, n in enumerate((30, 12, 25))),
    ]
    for x, law in exact:
        assert abs(x.mean() - law.mean()) < 5 * law.std() / np.sqrt(2000)
        for q in (0.05, 0.5, 0.95):
            error = np.sqrt(q * (1 - q) / 2000) / law.pdf(law.ppf(q))
            assert abs(np.quantile(x, q) - law.ppf(q)) < 5 * error, q


def test_a_planted_record_of_the_future_changes_nothing():
    """A thousand breakdowns that only become known after the as-of date, put into a real class."""
    real = load_class(REFERENCE, "agreement_breakdown")
    first = real.records[0]
    numbers = dict.fromkeys(first.numbers, 1000.0)
    planted = build_class(
        real.file, real.folder, (*real.records, replace(first, known_on=AS_OF + timedelta(days=1), numbers=numbers))
    )
    parameter = asked("p", "agreement_breakdown", "per year")

    def tables(used):
        model = build_model({"p": parameter}, (), {"agreement_breakdown": used}, AS_OF)
        return {k: v.to_numpy().tolist() for k, v in evaluate.observed(model).data_vars.items()}

    assert tables(planted) == tables(real)
    later = build_model({"p": parameter}, (), {"agreement_breakdown": planted}, AS_OF + timedelta(days=1))
    assert evaluate.observed(later)["rates__events"].sum() > 1000  # so the record would have counted
