"""Parameters that rest on several sources, and rates that drift from period to period."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import special, stats

from forecast.calibrate import evaluate
from forecast.calibrate.ages import common_ages
from forecast.calibrate.fit import fit
from forecast.calibrate.models import build_model
from forecast.calibrate.predictor import join
from forecast.calibrate.reference import check_parameters
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Contrast, Parameter, Reference
from forecast.errors import ReferenceClassError
from tests.unit.test_models import AS_OF, made

Z95 = 1.6448536269514722


def coin(id_, successes, trials, **prior):
    one = made("binomial", {"trials": [trials], "successes": [successes]}, **{"sd": 6.0, **prior})
    return replace(one, id=id_)


def aged(id_, edges, labels, exposure, events):
    one = made("rates", {"exposure": exposure, "war": events}, {}, {}, ("war",), np.arange(len(labels)), edges, labels)
    return replace(one, id=id_, prior=replace(one.prior, centres={"war": -2.0}, sd=3.0))


def ref(class_, sd=0.5, **more):
    return Reference(**{"class": class_}, transfer_sd=sd, **more)


def joined(*references, unit="probability", experts=None):
    several = {"references": references} if len(references) > 1 else {"reference": references[0]}
    return Parameter(id="p", label="p", unit=unit, rationale="made up for a test", experts=experts, **several)


def answer(mean, sd, scale="probability", question="q", expert="A"):
    back = {"probability": special.expit, "positive": np.exp, "real": float}[scale]
    p05, p50, p95 = (float(back(mean + z * sd)) for z in (-Z95, 0.0, Z95))
    row = {"question": question, "expert": expert, "date": date(2025, 1, 1), "asked": "How likely is it?"}
    more = {"scale": scale, "unit": "1", "p05": p05, "p50": p50, "p95": p95, "why": "made up for a test"}
    return ExpertRow.model_validate(row | more)


# ---- several classes -------------------------------------------------------------------------------


def test_sources_are_weighed_by_their_own_precision_and_their_transfer():
    """Classes of so many cases that they are all but normal: the pooled logit has a closed form.

    Class k says logit(s/n) with variance 1/s + 1/f; with its transfer sd_k² added these are the weights. Mean and sd
    within 4 standard errors by the ESS of the draws, and 1 % of the posterior sd for the normal approximation.
    """
    classes = {"few": coin("few", 12, 40), "many": coin("many", 3000, 6000)}
    sd = {"few": 0.3, "many": 0.6}
    tree = fit(build_model({"p": joined(ref("few", 0.3), ref("many", 0.6))}, (), classes, AS_OF), seed=5, draws=2000)
    counts = {"few": (12, 28), "many": (3000, 3000)}
    weight = {k: 1 / (1 / s + 1 / f + sd[k] ** 2) for k, (s, f) in counts.items()}
    mean = sum(weight[k] * np.log(s / f) for k, (s, f) in counts.items()) / sum(weight.values())
    wanted = stats.norm(mean, 1 / np.sqrt(sum(weight.values())))
    x = special.logit(tree["posterior"]["p"].to_numpy()).ravel()
    assert abs(x.mean() - wanted.mean()) < (4 / np.sqrt(2000) + 0.05) * wanted.std()  # 12 of 40 is a little skewed
    assert abs(x.std() / wanted.std() - 1) < 0.06


def test_a_class_with_a_wide_transfer_leaves_the_other_alone():
    classes = {"a": coin("a", 30, 100), "b": coin("b", 90, 100)}
    both = fit(build_model({"p": joined(ref("a", 0.2), ref("b", 3.0))}, (), classes, AS_OF), seed=2, draws=1500)
    alone = fit(build_model({"p": joined(ref("a", 0.2))}, (), classes, AS_OF), seed=2, draws=1500)
    x, y = (special.logit(t["posterior"]["p"].to_numpy()).ravel() for t in (both, alone))
    assert abs(x.mean() - y.mean()) < 0.35 * y.std()
    assert x.std() <= 1.05 * y.std()


def test_experts_count_as_one_more_source():
    """One expert of sd 0.4 and tau integrated out: the pooled mean lies between, by precision, given tau."""
    classes = {"a": coin("a", 3000, 6000)}
    rows = (answer(1.0, 0.4),)
    model = build_model({"p": joined(ref("a", 0.5), experts="q")}, rows, classes, AS_OF)
    free = evaluate.prior_draws(model, 50, seed=1)
    got = evaluate.deterministics(model, free)
    own = free["class__base"][:, 0]
    variance = 0.4**2 + free["elicited__disagreement"] ** 2
    share = 0.5**2 / (0.5**2 + variance)
    mean, sd = own + share * (1.0 - own), np.sqrt(share * variance)
    np.testing.assert_allclose(special.logit(got["p"]), mean + sd * free["class__transfer"][:, 0], rtol=1e-6)
    likelihood = evaluate.log_likelihoods(model, free)["sources__agreement"]
    np.testing.assert_allclose(likelihood[:, 0], stats.norm(0, np.sqrt(0.25 + variance)).logpdf(1.0 - own), rtol=1e-6)
    assert list(model.coords["sources__pair"]) == ["p: experts"]


def test_age_bins_of_several_classes_meet_at_every_edge():
    fine = aged("fine", [0, 1, 5, np.inf], ("0-1", "1-5", "5+"), [10, 20, 30], [1, 2, 3])
    coarse = aged("coarse", [0, 2, np.inf], ("0-2", "2+"), [10, 20], [1, 2])
    edges, labels = common_ages([fine, coarse])
    assert labels == ("0-1", "1-2", "2-5", "5+")
    assert edges.tolist() == [0, 1, 2, 5, np.inf]
    classes = {"fine": fine, "coarse": coarse}
    model = build_model({"p": joined(ref("fine", 0.5), ref("coarse", 0.5), unit="per year")}, (), classes, AS_OF)
    got = evaluate.deterministics(model, evaluate.prior_draws(model, 4, seed=3))
    says = got["p__sources"]  # (draw, source, bin)
    assert np.array_equal(says[:, 0, 1], says[:, 0, 2])  # 1-5 speaks of 1-2 and of 2-5
    assert np.array_equal(says[:, 1, 0], says[:, 1, 1])  # 0-2 of 0-1 and of 1-2
    assert np.array_equal(says[:, 1, 2], says[:, 1, 3])
    assert (says[:, 0, 0] != says[:, 0, 1]).all()


def test_shares_of_two_classes_meet_in_log_ratios():
    numbers = {"red": [6.0], "green": [3.0], "blue": [1.0]}
    one = made("shares", numbers, {"buyer": ("n",)}, {"buyer": ("n",)}, ("red", "green", "blue"), concentration=8.0)
    classes = {"shares": one, "other": replace(one, id="other")}
    p = joined(ref("shares", 0.2, exclude=("red",)), ref("other", 0.4, exclude=("red",)), unit="1")
    model = build_model({"p": p}, (), classes, AS_OF)
    free = evaluate.prior_draws(model, 5, seed=3)
    got = evaluate.deterministics(model, free)
    a, b = (np.log(got["p__sources"][:, k, 0] / got["p__sources"][:, k, 1]) for k in (0, 1))
    share, z = 0.04 / (0.04 + 0.16), free["class__transfer"][:, 0]
    # one log ratio of two parts, in a basis of length 1: sqrt(2) of it
    wanted = a + share * (b - a) + np.sqrt(2) * np.sqrt(share * 0.16) * z
    np.testing.assert_allclose(np.log(got["p"][:, 0] / got["p"][:, 1]), wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "unit", "experts", "message"),
    [
        (ref("a"), ref("rates", event="war"), "probability", None, "the unit of such a number is 'per year'"),
        (ref("a"), ref("b", link=True), "log ratio", None, "the unit of such a number is 'probability'"),
        (ref("rates", event="war"), ref("flat"), "per year", None, "gives rates by age, flat one rate"),
        (ref("survival"), ref("survival", where={"mood": "calm"}), "years", None, "shape and scale of a Weibull"),
        (ref("rates", event="war"), None, "per year", "q", "experts answer one number"),
    ],
)
def test_sources_that_speak_of_different_things_are_refused(first, second, unit, experts, message):
    from tests.unit.test_models import ALL

    flat = made("rates", {"exposure": [10], "war": [1]}, {}, {}, ("war",), centres={"war": -2.0})
    classes = {**ALL, "a": coin("a", 3, 9), "b": coin("b", 3, 9), "flat": replace(flat, id="flat")}
    p = joined(*[r for r in (first, second) if r], unit=unit, experts=experts)
    problems = check_parameters({"p": p}, (answer(0.0, 1.0),), classes, AS_OF)
    assert any(message in s for s in problems), problems
    assert all(s.startswith("parameters.p") for s in problems)


def test_a_question_that_is_joined_serves_one_parameter():
    one = joined(ref("a"), experts="q")
    other = Parameter(id="other", label="o", unit="probability", experts="q")
    problems = check_parameters({"p": one, "other": other}, (answer(0.0, 1.0),), {"a": coin("a", 3, 9)}, AS_OF)
    assert len(problems) == 1
    assert "serves other too" in problems[0]


@pytest.mark.parametrize(
    ("references", "message"),
    [
        ((ref("a"),), "a single one is written as reference"),
        ((ref("a"), ref("a", 0.9)), "the same class and levels twice"),
        ((ref("a"), ref("b", 0.0)), "needs a transfer_sd above 0"),
    ],
)
def test_references_that_make_no_sense_are_refused(references, message):
    with pytest.raises(ValidationError, match=message):
        Parameter(id="p", label="p", unit="probability", rationale="made up", references=references)


# ---- periods ---------------------------------------------------------------------------------------


def drifting(counts, periods=("to 2011", "2012 on"), **prior):
    """Counts (events, years) of one kind of event by period, the last one that of the as-of date."""
    events, years = zip(*counts, strict=True)
    levels = periods[: len(counts)]
    one = made("rates", {"exposure": years, "exit": events}, {"period": levels}, {"period": periods}, ("exit",))
    prior = {"centre": -3.0, "sd": 2.0, "centres": {"exit": -3.0}, "period_sd": 0.7} | prior
    return replace(one, id="rates", period="period", prior=replace(one.prior, **prior))


def rate_now(one, **where):
    p = joined(ref("rates", 0.0, where=where), unit="per year")
    tree = fit(build_model({"p": p}, (), {"rates": one}, AS_OF), seed=3, draws=1500)
    return tree["posterior"]["p"].to_numpy().ravel()


def test_a_rate_that_has_shifted_is_taken_as_it_is_now():
    """300 exits in 1,000 years until 2011, 2 in 100 since: pooled it would be 0.27 a year."""
    now = rate_now(drifting([(300, 1000), (2, 100)]))
    then = rate_now(drifting([(300, 1000), (2, 100)]), period="to 2011")
    assert 0.015 < np.median(now) < 0.06
    assert abs(np.median(then) - 0.3) < 0.02


def test_a_period_without_data_is_known_less_well_than_the_last_one():
    """The walk goes on: the same centre, a wider spread, by the size that steps have had."""
    last = np.log(rate_now(drifting([(30, 100), (30, 100)])))
    gone_on = np.log(rate_now(drifting([(30, 100), (30, 100)], ("to 2000", "2001-11", "2012 on"))))
    assert abs(np.median(gone_on) - np.median(last)) < 0.1
    assert gone_on.std() > 1.3 * last.std()


def test_the_walk_is_that_of_the_prior():
    """Steps of sd 0.7 times a half-normal: differences of neighbours, and of the first and third period."""
    one = drifting([(1, 10), (1, 10), (1, 10)], ("a", "b", "c"), sd=1.0)
    change = {
        name: Parameter(
            id=name,
            label=name,
            unit="log ratio",
            rationale="made up",
            reference=ref("rates", 0.0, contrast=Contrast(covariate="period", base=a, to=b)),
        )
        for name, a, b in (("step", "a", "b"), ("two", "a", "c"))
    }
    model = build_model(change, (), {"rates": one}, AS_OF)
    got = evaluate.deterministics(model, evaluate.prior_draws(model, 40_000, seed=8))
    # E spread² = 0.7²; the fourth moment of a normal times a half-normal is 9 sd⁴, so the se of a variance is sqrt(8/n)
    for name, steps in (("step", 1), ("two", 2)):
        assert abs(got[name].var() / (steps * 0.49) - 1) < 5 * np.sqrt(8 / 40_000), name
    assert join([one]).spread_sd.tolist() == [0.7]


def test_periods_that_had_not_begun_are_not_there(tmp_path):
    from forecast.calibrate.reference import load_class

    folder = tmp_path / "exits"
    folder.mkdir()
    (folder / "class.toml").write_text(CLASS, encoding="utf-8")
    rows = "2011,to 2011,3,40,2012-01-01\n2020,2012 on,9,30,2021-01-01\n"
    (folder / "table.csv").write_text("year,period,exits,years,known_on\n" + rows, encoding="utf-8")
    one = load_class(tmp_path, "exits")
    assert one.covariates == {"period": ("to 2011", "2012 on", "2022 on")}
    assert one.as_of(date(2012, 1, 1)).covariates["period"] == ("to 2011", "2012 on")
    assert one.as_of(date(2025, 1, 1)).covariates["period"] == ("to 2011", "2012 on", "2022 on")
    with pytest.raises(ReferenceClassError, match="nothing was known on 2011-12-31"):
        one.as_of(date(2011, 12, 31))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"2012 on" = 2012', '"2012 on" = 1900', "starts must rise from one period to the next"),
        ('column = "period"', 'column = "perod"', "did you mean 'period'"),
        ('"to 2011" = 1946', '"until 2011" = 1946', "'to 2011' is not a level that class.toml names"),
    ],
)
def test_mistakes_in_periods_are_told(tmp_path, old, new, message):
    from forecast.calibrate.reference import load_class

    folder = tmp_path / "exits"
    folder.mkdir()
    (folder / "class.toml").write_text(CLASS.replace(old, new), encoding="utf-8")
    rows = "2011,to 2011,3,40,2012-01-01\n"
    (folder / "table.csv").write_text("year,period,exits,years,known_on\n" + rows, encoding="utf-8")
    with pytest.raises(ReferenceClassError, match=message):
        load_class(tmp_path, "exits")


# ---- offers taken or refused -----------------------------------------------------------------------


OFFERS = {
    "offers": [12, 9, 7, 15, 20],
    "accepted": [3, 6, 1, 9, 12],
    "land": [0, 1, -0.5, 0.5, 1],
    "aid": [1, 1, 0, 0, 2],
}


def choice(**prior):
    mood = {"mood": ("calm", "tense", "calm", "tense", "calm")}
    one = made("choice", OFFERS, mood, {"mood": ("calm", "tense")}, ("land", "aid"), sd=1.2)
    values = {"values": {"land": 0.5, "aid": -0.2}, "value_sd": 0.8, "centres": {"acceptance": -0.4}}
    return replace(one, prior=replace(one.prior, **values, **prior))


def utility(id_, **more):
    return Parameter(id=id_, label=id_, unit="utility", rationale="made up", reference=ref("choice", 0.0, **more))


def test_offers_are_taken_by_a_quantal_response():
    """Accepted ~ Binomial(offers, logistic(utility - reservation)), term by term."""
    asked = [utility("land", value="land"), utility("aid", value="aid"), utility("calm", where={"mood": "calm"})]
    asked += [utility("tense", where={"mood": "tense"}), utility("both")]
    model = build_model({p.id: p for p in asked}, (), {"choice": choice()}, AS_OF)
    free = evaluate.prior_draws(model, 6, seed=2)
    got = evaluate.deterministics(model, free)
    held = np.array([OFFERS["land"], OFFERS["aid"]])
    reservation = np.stack([got["calm"], got["tense"]], axis=1)[:, [0, 1, 0, 1, 0]]
    p = special.expit(np.stack([got["land"], got["aid"]], axis=1) @ held - reservation)
    wanted = stats.binom(OFFERS["offers"], p).logpmf(OFFERS["accepted"])
    np.testing.assert_allclose(evaluate.log_likelihoods(model, free)["binomial__successes"], wanted, rtol=1e-9)
    weight = np.array([39, 24]) / 63
    np.testing.assert_allclose(got["both"], weight[0] * got["calm"] + weight[1] * got["tense"], rtol=1e-9)


def test_the_priors_of_utilities_are_those_of_the_class():
    model = build_model({"land": utility("land", value="land")}, (), {"choice": choice()}, AS_OF)
    assert list(model.coords["class__outcome"]) == ["choice: acceptance", "choice: land", "choice: aid"]
    x = evaluate.prior_draws(model, 40_000, seed=8)["class__base"]
    for k, (mean, sd) in enumerate([(-0.4, 1.2), (0.5, 0.8), (-0.2, 0.8)]):
        assert abs(x[:, k].mean() - mean) < 5 * sd / 200
        assert abs(x[:, k].std() / sd - 1) < 5 / np.sqrt(80_000)


def test_utilities_of_many_offers_are_found_again():
    """200 offers a row, drawn once with a fixed seed; each utility within 4 posterior sd of the one used."""
    rng, truth = np.random.default_rng(11), {"land": 1.4, "aid": -0.6}
    land, aid = rng.normal(size=40), rng.normal(size=40)
    p = special.expit(truth["land"] * land + truth["aid"] * aid - 0.3)
    numbers = {"offers": [200] * 40, "accepted": rng.binomial(200, p), "land": land, "aid": aid}
    one = made("choice", numbers, {}, {}, ("land", "aid"))
    one = replace(one, prior=replace(one.prior, values={"land": 0.0, "aid": 0.0}, centres={"acceptance": 0.0}))
    asked = {k: utility(k, value=k) for k in truth} | {"reservation": utility("reservation")}
    tree = fit(build_model(asked, (), {"choice": one}, AS_OF), seed=3)
    for name, true in (truth | {"reservation": 0.3}).items():
        x = tree["posterior"][name].to_numpy()
        assert abs(x.mean() - true) < 4 * x.std(), name
        assert x.std() < 0.1


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (utility("p", value="lnad"), "value: class 'choice' has no term 'lnad'; did you mean 'land'?"),
        (utility("p", value="land", where={"mood": "calm"}), "leave where and contrast out"),
        (utility("p", link=True), "a utility has no other scale"),
        (utility("p", value="land").model_copy(update={"unit": "1"}), "the unit of such a number is 'utility'"),
    ],
)
def test_what_offers_cannot_give_is_refused(p, message):
    assert any(message in s for s in check_parameters({"p": p}, (), {"choice": choice()}, AS_OF))


def test_a_class_of_offers_is_read_from_its_folder(tmp_path):
    from forecast.calibrate.reference import load_class

    folder = tmp_path / "exits"
    folder.mkdir()
    head, tail = CLASS.split("[period]", maxsplit=1)[0], CLASS.split("[prior]")[1]
    columns = '[columns]\naccepted = "taken"\noffers = "offers"\nterms = { land = "land" }\n\n'
    prior = "[prior]\nreservation = 0.3\nvalues = { land = 1.0 }\n" + tail.split("\n", 2)[2]
    text = (head + columns + prior).replace('kind = "rates"', 'kind = "choice"').replace("per year", "utility")
    (folder / "class.toml").write_text(text, encoding="utf-8")
    table = folder / "table.csv"
    table.write_text("year,taken,offers,land,known_on\n2011,1,3,-0.5,2012-01-01\n", encoding="utf-8")
    one = load_class(tmp_path, "exits")
    assert (one.kind, one.events, one.prior.values) == ("choice", ("land",), {"land": 1.0})
    assert one.prior.centres == {"acceptance": -0.3}
    table.write_text("year,taken,offers,land,known_on\n2011,4,3,much,2012-01-01\n", encoding="utf-8")
    with pytest.raises(ReferenceClassError, match=r"land = 'much' must be a number, finite\n.*4 is more than offers"):
        load_class(tmp_path, "exits")


CLASS = """
id = "exits"
title = "Exits"
question = "How often?"
kind = "rates"
unit = "per year"
citation = ["made up"]
licence = "own"
derived_by = "made up"

[table]
file = "table.csv"
key = ["year"]

[period]
column = "period"
starts = { "to 2011" = 1946, "2012 on" = 2012, "2022 on" = 2022 }

[columns]
events = { exit = "exits" }
exposure = "years"

[prior]
centre = { exit = 0.1 }
sd = 1.0
why = "made up for a test"
"""
