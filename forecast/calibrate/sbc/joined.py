"""Simulation-based calibration of rates that drift, of offers, and of parameters that rest on several sources."""

from collections.abc import Mapping
from functools import partial
from itertools import product

import numpy as np

from forecast.calibrate.reference_class import ReferenceClass
from forecast.calibrate.sbc.cases import BASE, SPREAD, TIGHT, Case, Truth, model_of
from forecast.calibrate.sbc.worlds import World, answer, by_id, class_file, filled, record, taken
from forecast.deal.parameters import Parameter, Reference
from forecast.types import F64

# ---- rates that drift ---------------------------------------------------------------------------------------

PERIODS, SIDES = ("to 1999", "2000-2009", "2010 on"), ("a", "b")
DRIFT = class_file(
    "exits",
    "rates",
    {"events": {"exit": "exit"}, "exposure": "years"},
    {"centre": {"exit": 0.15}, "period_sd": 0.5, **TIGHT},
    covariates={"side": SIDES},
    period={"column": "period", "starts": dict(zip(PERIODS, (1980, 2000, 2010), strict=True))},
)


def drift(truth: Truth, rng: np.random.Generator) -> World:
    """Events ~ Poisson(exposure times the rate of the side and period); the last period has no exposure at side b."""
    records, asked = [], []
    for n, (side, period) in enumerate(product(SIDES, PERIODS)):
        name = f"{side}_{PERIODS.index(period)}"
        years = 0.0 if name == "b_2" else 30.0 + 15.0 * n
        count = float(rng.poisson(years * truth[name]))
        records.append(record(n, {"side": side, "period": period}, {"years": years, "exit": count}))
        asked.append(taken(name, "exits", "per year", {"side": side, "period": period}))
    now = taken("now_b", "exits", "per year", {"side": "b"})  # the as-of date's period: b_2 under another name
    return World(by_id(*asked, now), filled(DRIFT, records))


# ---- offers -------------------------------------------------------------------------------------------------

OFFERS = class_file(
    "offers",
    "choice",
    {"accepted": "taken", "offers": "made", "terms": {"land": "land", "aid": "aid"}},
    {"reservation": 0.3, "values": {"land": 0.8, "aid": 0.2}, "value_sd": 0.8, **TIGHT},
    covariates={"side": SIDES},
)


def offers(truth: Truth, rng: np.random.Generator) -> World:
    """Accepted ~ Binomial(offers, logistic(utility less the reservation of the side))."""
    held = np.random.default_rng(14).normal(size=(16, 2)).round(2)
    records = []
    for n, (land, aid) in enumerate(held):
        side = SIDES[n % 2]
        utility = truth["land"] * land + truth["aid"] * aid - truth[side]
        made = 4 + n % 5
        accepted = float(rng.binomial(made, 1.0 / (1.0 + np.exp(-utility))))
        numbers = {"made": float(made), "taken": accepted, "land": float(land), "aid": float(aid)}
        records.append(record(n, {"side": side}, numbers))
    values = [taken(k, "offers", "utility", value=k) for k in ("land", "aid")]
    sides = [taken(s, "offers", "utility", {"side": s}) for s in SIDES]
    return World(by_id(*values, *sides), filled(OFFERS, records))


# ---- several sources ----------------------------------------------------------------------------------------

CENTRE, SPREAD_OF_BASE = 0.4, 0.8
TRANSFER = {"coins": 0.3, "dice": 0.7}
TRIALS = {"coins": 18, "dice": 60}
MADE = {
    id_: class_file(
        id_, "binomial", {"successes": "won", "trials": "n"}, {"centre": CENTRE, **TIGHT | {"sd": SPREAD_OF_BASE}}
    )
    for id_ in TRANSFER
}
STATED_SD, TAU = 0.5, 0.3


def sources_prior(n: int, seed: int) -> dict[str, F64]:
    """Truths for two classes and an expert that speak of one number.

    That they agree is an observation, made already: given it, and given the disagreement tau of experts from
    its prior, the bases are normal, with the precision of their own priors and of their agreement. What the
    agreement says of tau and of the expert's answer is in the draw too: the answer is drawn from the bases.
    """
    rng = np.random.default_rng(seed)
    centre, v = np.log(CENTRE / (1 - CENTRE)), np.array(list(TRANSFER.values())) ** 2
    precision = np.eye(2) / SPREAD_OF_BASE**2 + np.array([[1.0, -1.0], [-1.0, 1.0]]) / v.sum()
    mean = np.linalg.solve(precision, np.full(2, centre / SPREAD_OF_BASE**2))
    base = rng.multivariate_normal(mean, np.linalg.inv(precision), size=n)
    tau = np.abs(rng.normal(0.0, TAU, n))
    pooled = (base / v).sum(axis=1) / (1 / v).sum()
    theta = pooled + rng.normal(size=n) / np.sqrt((1 / v).sum())
    answer = theta + np.sqrt(STATED_SD**2 + tau**2) * rng.normal(size=n)
    logit = 1.0 / (1.0 + np.exp(-theta))
    return {"class__base": base, "elicited__disagreement": tau, "p": logit, "answer": answer}


def sources(truth: Truth, rng: np.random.Generator) -> World:
    """Successes of each class at its own base, and the expert's answer."""
    classes: dict[str, ReferenceClass] = {}
    for k, (id_, file) in enumerate(MADE.items()):
        p = 1.0 / (1.0 + np.exp(-truth["class__base"][k]))
        won = float(rng.binomial(TRIALS[id_], p))
        classes |= filled(file, [record(0, {}, {"n": float(TRIALS[id_]), "won": won})])
    references = [Reference(**{"class": id_}, transfer_sd=sd) for id_, sd in TRANSFER.items()]
    p = Parameter(id="p", label="p", unit="probability", references=tuple(references), experts="p", rationale="made up")
    return World(by_id(p), classes, [answer("p", "Expert", "probability", float(truth["answer"]), STATED_SD)])


_case = partial(Case, build=model_of)
JOINED: Mapping[str, Case] = {
    "periods": _case(
        "Rates that drift: a random walk over periods, one of them without data",
        drift,
        ranked=(BASE, SPREAD, "exits__effect", "a_0", "a_2", "b_0", "now_b"),
    ),
    "choice": _case(
        "Offers: quantal response, utilities of terms and a reservation a side",
        offers,
        ranked=(BASE, SPREAD, "land", "aid", *SIDES),
    ),
    "sources": _case(
        "Several sources: two classes and an expert speak of one number",
        sources,
        ranked=(BASE, "elicited__disagreement", "p"),
        prior=sources_prior,
    ),
}
