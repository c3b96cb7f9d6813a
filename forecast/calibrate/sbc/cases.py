"""Kinds of model that simulation-based calibration goes through: one class each, or experts; `registry` has all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pymc as pm

from forecast.calibrate.models import build_model
from forecast.calibrate.records import Record
from forecast.calibrate.sbc.worlds import (
    AS_OF,
    BACK,
    World,
    answer,
    by_id,
    class_file,
    filled,
    piecewise_end,
    record,
    spell,
    taken,
    watches,
    weibull_end,
)
from forecast.deal.parameters import Contrast, Parameter
from forecast.types import F64

type Truth = Mapping[str, F64]  # one value of each named variable of a model


@dataclass(frozen=True)
class Case:
    """One kind of model.

    simulate: data drawn from a truth; their shape must not depend on it
    build: the model of given data
    ranked: deterministics and free variables whose ranks are looked at
    entries: how many numbers each truth has that `simulate` reads; 0 where it is a number
    prior: (number, seed) -> truths, each (number, ...); the prior of the model, if None
    fixed_weights: whether what the class averages over (years, trials, cases) is the same for all data. If
        not, `class__base`, effects of levels and the likelihood of given free variables mean something else
        for each data set, as they are taken about the class's average, and have no ranks
    """

    title: str
    simulate: Callable[[Truth, np.random.Generator], Any]
    build: Callable[[Any], pm.Model]
    ranked: tuple[str, ...]
    entries: int = 0
    fixed_weights: bool = True
    prior: Callable[[int, int], Mapping[str, F64]] | None = None


def model_of(world: World) -> pm.Model:
    """Build the model of a made-up world, as a run does."""
    return build_model(world.parameters, world.experts, world.classes, AS_OF)


BASE, SPREAD = "class__base", "class__spread"
TIGHT = {"sd": 0.8, "covariate_sd": 0.4, "age_sd": 0.4}  # so that most truths give data like those of real classes

# ---- rates with age bins, two covariates and two kinds of event ---------------------------------------------

AGES, SIDES, SIGNS = ("0-1", "1-3", "3+"), ("a", "b", "c"), ("0", "1")
RATES = class_file(
    "rates",
    "rates",
    {"events": {"war": "war", "peace": "peace"}, "exposure": "years", "age": {"column": "age", "bins": AGES}},
    {"centre": {"war": 0.2, "peace": 0.1}, **TIGHT},
    covariates={"side": SIDES, "sign": SIGNS},
)
CELLS = tuple(product(SIDES, SIGNS))


def rates(truth: Truth, rng: np.random.Generator) -> World:
    """Events ~ Poisson(exposure times the rate of the cell)."""
    years = np.random.default_rng(11).uniform(10.0, 60.0, (len(CELLS), len(AGES))).round(1)
    records: list[Record] = []
    for n, (side, sign) in enumerate(CELLS):
        for k, age in enumerate(AGES):
            rate = {e: truth[f"{e}_{side}{sign}"][k] for e in ("war", "peace")}
            counts = {e: float(rng.poisson(years[n, k] * r)) for e, r in rate.items()}
            levels = {"side": side, "sign": sign, "age": age}
            records.append(record(len(records), levels, {"years": years[n, k], **counts}))
    cells = [
        taken(f"{e}_{side}{sign}", "rates", "per year", {"side": side, "sign": sign}, event=e)
        for e in ("war", "peace")
        for side, sign in CELLS
    ]
    mixed = taken("war_b", "rates", "per year", {"side": "b"}, event="war")
    change = taken("a_to_c", "rates", "log ratio", event="war", contrast=Contrast(covariate="side", base="a", to="c"))
    return World(by_id(*cells, mixed, change), filled(RATES, records))


# ---- spells: piecewise constant and Weibull -----------------------------------------------------------------

MOODS, EDGES = ("calm", "tense"), (0.0, 1.0, 3.0)
DATES = {"start": "start", "event": "ended", "followed_to": "followed", "entry": "entry"}
PIECEWISE = class_file(
    "spells",
    "survival",
    {**DATES, "family": "piecewise", "edges": EDGES},
    {"centre": 0.15, **TIGHT},
    covariates={"mood": MOODS},
)
WEIBULL = class_file(
    "times",
    "survival",
    {**DATES, "family": "weibull"},
    {"centre": 8.0, "shape_sd": 0.3, **TIGHT},
    covariates={"mood": MOODS},
)


def piecewise(truth: Truth, rng: np.random.Generator) -> World:
    """Spells entered late and censored, whose hazard is constant between ages."""
    records = [
        spell(n, w, piecewise_end(truth[w.mood], EDGES, w.entry, rng.exponential()))
        for n, w in enumerate(watches(MOODS, 45, 5.0, seed=12))
    ]
    moods = [taken(m, "spells", "per year", {"mood": m}) for m in MOODS]
    change = taken("change", "spells", "log ratio", contrast=Contrast(covariate="mood", base="calm", to="tense"))
    return World(by_id(*moods, change), filled(PIECEWISE, records))


def weibull(truth: Truth, rng: np.random.Generator) -> World:
    """Weibull spells entered late and censored."""
    records = [
        spell(n, w, weibull_end(truth[w.mood], w.entry, rng.exponential()))
        for n, w in enumerate(watches(MOODS, 40, 6.0, seed=13))
    ]
    moods = [taken(m, "times", "years", {"mood": m}) for m in MOODS]
    change = taken("change", "times", "log ratio", contrast=Contrast(covariate="mood", base="calm", to="tense"))
    return World(by_id(*moods, change), filled(WEIBULL, records))


# ---- outcomes: yes or no, several, shares -------------------------------------------------------------------

PLACES = ("east", "north", "south", "west")
BINOMIAL = class_file(
    "wins",
    "binomial",
    {"successes": "won", "trials": "n"},
    {"centre": 0.4, **TIGHT},
    covariates={"place": PLACES, "sign": SIGNS},
)
CATEGORIES = ("on_time", "late", "never")
MULTINOMIAL = class_file(
    "keeps",
    "multinomial",
    {"categories": {c: c for c in CATEGORIES}},
    {"centre": {"on_time": 0.5, "late": 0.3, "never": 0.2}, **TIGHT},
    covariates={"side": SIDES},
)
SELLERS, DECISIONS = ("red", "green", "blue", "grey"), 24
SHARES = class_file(
    "sales",
    "shares",
    {
        "entry": "seller",
        "entries": SELLERS,
        "amount": "amount",
        "group": "buyer",
        "window": "window",
        "lot": 1.0,
        "effective_n": float(DECISIONS),
    },
    TIGHT,
    covariates={"buyer": PLACES},
)


def binomial(truth: Truth, rng: np.random.Generator) -> World:
    """Successes ~ Binomial(trials, probability of the cell)."""
    records, asked = [], []
    for n, (place, sign) in enumerate(product(PLACES, SIGNS)):
        trials = 6 + 3 * n
        levels = {"place": place, "sign": sign}
        won = rng.binomial(trials, truth[f"{place}_{sign}"])
        records.append(record(n, levels, {"n": float(trials), "won": float(won)}))
        asked.append(taken(f"{place}_{sign}", "wins", "probability", levels))
    change = taken("east_west", "wins", "log ratio", contrast=Contrast(covariate="place", base="east", to="west"))
    mixed = taken("east", "wins", "probability", {"place": "east"})
    return World(by_id(*asked, change, mixed), filled(BINOMIAL, records))


def multinomial(truth: Truth, rng: np.random.Generator) -> World:
    """Counts ~ Multinomial(number of cases, probabilities of the side)."""
    records = []
    for n, side in enumerate(SIDES):
        counts = rng.multinomial(15 + 10 * n, truth[side] / truth[side].sum())
        records.append(record(n, {"side": side}, {c: float(x) for c, x in zip(CATEGORIES, counts, strict=True)}))
    sides = [taken(s, "keeps", "probability", {"side": s}) for s in SIDES]
    odds = taken("late_a", "keeps", "logit", {"side": "a"}, category="late", link=True)
    return World(by_id(*sides, odds), filled(MULTINOMIAL, records))


def shares(truth: Truth, rng: np.random.Generator) -> World:
    """Decisions ~ Multinomial(number, p), p ~ Dirichlet(concentration times the shares of the group)."""
    records: list[Record] = []
    concentration = float(np.ravel(truth["sales__concentration"])[0])
    for buyer in PLACES:
        weights = np.maximum(concentration * truth[buyer], 1e-300)
        counts = rng.multinomial(DECISIONS, rng.dirichlet(weights))
        for seller, x in zip(SELLERS, counts, strict=True):
            levels = {"buyer": buyer, "seller": seller, "window": "2010-2014"}
            records.append(record(len(records), levels, {"amount": float(x)}))
    buyers = [taken(b, "sales", "1", {"buyer": b}) for b in PLACES]
    without = taken("without_grey", "sales", "1", {"buyer": "east"}, exclude=("grey",))
    return World(by_id(*buyers, without), filled(SHARES, records))


# ---- experts ------------------------------------------------------------------------------------------------

QUESTIONS = {"chance": "probability", "risk": "probability", "size": "positive", "gain": "real"}
STATED = np.array([[0.5, 0.3, 0.8], [0.4, 0.9, 0.6], [0.3, 0.5, 0.4], [1.5, 0.8, 1.2]])  # (question, expert), link sd
CENTRES = np.array([-0.4, -2.0, 1.0, 3.0])
DISAGREEMENT = 0.3


def experts_prior(n: int, seed: int) -> dict[str, F64]:
    """Truths for the pooling of experts: the disagreement from its prior, the consensus anywhere.

    Its prior is flat, and the answers move with it: whatever it is, ranks are uniform if the posterior
    is right.
    """
    rng = np.random.default_rng(seed)
    tau = np.abs(rng.normal(0.0, DISAGREEMENT, n))
    theta = CENTRES + rng.normal(size=(n, len(QUESTIONS)))
    values = {q: BACK[scale](theta[:, k]) for k, (q, scale) in enumerate(QUESTIONS.items())}
    return {"elicited__disagreement": tau, **values, "theta": theta}


def experts(truth: Truth, rng: np.random.Generator) -> World:
    """Answers ~ Normal(consensus, sqrt(E stated² + (disagreement times the question's unit)²)) on the link scale."""
    unit = np.array([STATED[k].mean() if s == "real" else 1.0 for k, s in enumerate(QUESTIONS.values())])
    number = STATED.shape[1]
    sd = np.sqrt(number * STATED**2 + (truth["elicited__disagreement"] * unit[:, None]) ** 2)
    middle = truth["theta"][:, None] + sd * rng.normal(size=STATED.shape)
    rows = [
        answer(q, f"Expert {e}", scale, float(middle[k, e]), float(STATED[k, e]))
        for k, (q, scale) in enumerate(QUESTIONS.items())
        for e in range(number)
    ]
    return World(by_id(*(Parameter(id=q, label=q, unit="1", experts=q) for q in QUESTIONS)), {}, rows)


# ---- the registry -------------------------------------------------------------------------------------------

_case = partial(Case, build=model_of)
CASES: dict[str, Case] = {
    "rates": _case(
        "Rates: events over exposure, age bins as a random walk, two covariates",
        rates,
        ranked=(BASE, SPREAD, "rates__effect", "war_a0", "peace_c1", "war_b", "a_to_c"),
        entries=len(AGES),
    ),
    "piecewise": _case(
        "Piecewise survival: late entry, censoring, hazard by age",
        piecewise,
        ranked=(SPREAD, *MOODS, "change"),
        entries=len(EDGES),
        fixed_weights=False,  # the time at risk in a bin depends on when cases end
    ),
    "binomial": _case(
        "Binomial: hierarchical logistic, two covariates",
        binomial,
        ranked=(BASE, SPREAD, "wins__effect", "east_0", "west_1", "east_west", "east"),
    ),
    "multinomial": _case(
        "Multinomial: log-odds of three categories",
        multinomial,
        ranked=(BASE, SPREAD, "keeps__effect", *SIDES, "late_a"),
        entries=len(CATEGORIES),
    ),
    "shares": _case(
        "Shares: Dirichlet–multinomial, hierarchical over groups",
        shares,
        ranked=(BASE, SPREAD, "sales__concentration", "east", "west", "without_grey"),
        entries=len(SELLERS),
    ),
    "survival": _case(
        "Weibull survival: late entry, censoring, a covariate",
        weibull,
        ranked=(BASE, SPREAD, "survival__shape", "times__effect", *MOODS, "change"),
        entries=2,
    ),
    "experts": _case(
        "Experts: pooled answers, a disagreement shared by all questions",
        experts,
        ranked=("elicited__disagreement", *QUESTIONS),
        prior=experts_prior,
    ),
}
