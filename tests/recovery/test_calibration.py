"""One joint fit of made-up classes of all five kinds, whose truth is known, gives the truth back.

The classes are written to files, read, cut, modelled and sampled as real ones are. Tolerances: each of
the 31 numbers within 4.5 posterior standard deviations on its link scale (a false alarm in about 4,000
seeds, and the seed is fixed), and at least 23 of the 90 % intervals cover (28 are expected; the
numbers of one class are correlated, hence the margin). Each posterior is also far narrower than its
prior, so that a model that ignores its table cannot pass.
"""

from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pytest

from forecast.calibrate.classfile import UNITS
from forecast.calibrate.reference import load_class
from forecast.deal.parameters import Contrast, Parameter, Reference

AS_OF = date(2020, 1, 1)

HEAD = """
id = "{id}"
title = "Made up for a test"
question = "Is the truth recovered?"
kind = "{kind}"
unit = "{unit}"
citation = ["none: simulated"]
licence = "none needed"
derived_by = "simulated from known numbers"
[table]
file = "table.csv"
known_on = "known_on"
key = ["row"]
"""
PRIOR = 'sd = 1.5\ncovariate_sd = 1.0\nage_sd = 1.0\nwhy = "wide, for a test"\n'

AGES = ("0-1", "1-3", "3+")
BASE, KIND_EFFECT = np.log(0.1), {"old": -0.6, "middle": 0.1, "new": 0.8}
SIGN_EFFECT, AGE_EFFECT = {"0": 0.3, "1": -0.3}, dict(zip(AGES, (0.5, 0.0, -0.9), strict=True))
SECOND = np.log(0.03)  # rate of the other event, the same everywhere
LOGIT = {"east": -1.2, "south": 0.4, "west": 1.1}
ODDS = {"a": (-0.5, -1.5), "b": (0.7, -0.2)}  # log-odds of late, never against on_time
SHARES = {"north": (0.5, 0.3, 0.15, 0.05), "mid": (0.25, 0.25, 0.25, 0.25), "far": (0.1, 0.2, 0.1, 0.6)}
SHAPE, SCALE = 1.5, {"calm": 12.0, "tense": 5.0}


def write(root, id_, kind, body, header, rows):
    folder = root / id_
    folder.mkdir()
    (folder / "class.toml").write_text(HEAD.format(id=id_, kind=kind, unit=UNITS[kind][0]) + body, encoding="utf-8")
    lines = [",".join(("row", "known_on", *header))]
    lines += [",".join(map(str, (n, "2015-06-30", *row))) for n, row in enumerate(rows)]
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def rates(root, rng):
    rows = []
    for kind, k in KIND_EFFECT.items():
        for sign, s in SIGN_EFFECT.items():
            for age, a in AGE_EFFECT.items():
                years = round(float(rng.uniform(150, 600)), 1)
                events = rng.poisson(years * np.exp([BASE + k + s + a, SECOND]))
                rows.append((kind, sign, age, *events, years))
    body = (
        '[covariates]\nkind = ["old", "middle", "new"]\nsign = ["0", "1"]\n'
        '[columns]\nevents = { main = "main", other = "other" }\nexposure = "years"\n'
        'age = { column = "age", bins = ["0-1", "1-3", "3+"] }\n'
        "[prior]\ncentre = { main = 0.05, other = 0.05 }\n" + PRIOR
    )
    write(root, "rates", "rates", body, ("kind", "sign", "age", "main", "other", "years"), rows)
    return rows


def binomial(root, rng):
    rows = [(place, 300, rng.binomial(300, 1 / (1 + np.exp(-x)))) for place, x in LOGIT.items()]
    body = (
        '[covariates]\nplace = ["east", "south", "west"]\n[columns]\nsuccesses = "won"\ntrials = "n"\n'
        "[prior]\ncentre = 0.5\n" + PRIOR
    )
    write(root, "binomial", "binomial", body, ("place", "n", "won"), rows)


def multinomial(root, rng):
    rows = []
    for side, (late, never) in ODDS.items():
        weight = np.exp([0.0, late, never])
        rows += [(side, *np.eye(3, dtype=int)[k]) for k in rng.choice(3, 400, p=weight / weight.sum())]
    body = (
        '[covariates]\nside = ["a", "b"]\n[columns]\n'
        'categories = { on_time = "on_time", late = "late", never = "never" }\n'
        "[prior]\ncentre = { on_time = 0.4, late = 0.3, never = 0.3 }\n" + PRIOR
    )
    write(root, "multinomial", "multinomial", body, ("side", "on_time", "late", "never"), rows)


def shares(root, rng):
    """Amounts of a window are shares drawn around the truth, as from `effective_n` independent choices."""
    sellers, rows = ("red", "green", "blue", "grey"), []
    for buyer, p in SHARES.items():
        amounts = 1000.0 * rng.multinomial(60, p) / 60.0
        rows += [(buyer, s, "2010-2014", a) for s, a in zip(sellers, amounts, strict=True)]
        rows += [(buyer, s, "2000-2004", 250.0) for s in sellers]  # an older window, which must not count
    body = (
        '[covariates]\nbuyer = ["north", "mid", "far"]\n[columns]\nentry = "seller"\n'
        'entries = ["red", "green", "blue", "grey"]\namount = "amount"\ngroup = "buyer"\nwindow = "window"\n'
        "lot = 1.0\neffective_n = 60.0\n[prior]\n" + PRIOR
    )
    write(root, "shares", "shares", body, ("buyer", "seller", "window", "amount"), rows)
    table = root / "shares" / "table.csv"  # the older windows were known earlier
    lines = table.read_text(encoding="utf-8").splitlines()
    fixed = [x.replace("2015-06-30", "2005-06-30") if "2000-2004" in x else x for x in lines]
    table.write_text("\n".join(fixed) + "\n", encoding="utf-8")


def survival(root, rng):
    """Weibull spells, entered up to 3 years late and followed to the as-of date or less."""
    rows = []
    for mood, scale in SCALE.items():
        while sum(r[0] == mood for r in rows) < 250:
            start = date(1995, 1, 1) + timedelta(days=int(rng.integers(0, 8000)))
            ends = start + timedelta(days=round(365.25 * scale * rng.weibull(SHAPE)))
            entry = start + timedelta(days=int(rng.integers(0, 1100)))
            followed = min(entry + timedelta(days=int(rng.integers(200, 6000))), AS_OF)
            if entry < min(ends, followed):  # those that ended before anyone watched are not on record
                rows.append((mood, start, entry, ends if ends <= followed else "", followed))
    body = (
        '[covariates]\nmood = ["calm", "tense"]\n[columns]\nstart = "start"\nevent = "ended"\n'
        'followed_to = "followed"\nentry = "entry"\nfamily = "weibull"\n[prior]\ncentre = 8.0\nshape_sd = 0.6\n' + PRIOR
    )
    write(root, "survival", "survival", body, ("mood", "start", "entry", "ended", "followed"), rows)


def asked(id_, class_, unit, where=None, **more):
    reference = Reference(**{"class": class_}, where=where or {}, transfer_sd=0.0, **more)
    return Parameter(id=id_, label=id_, unit=unit, reference=reference, rationale="made up for a test")


PARAMETERS = {
    p.id: p
    for p in (
        asked("main_new", "rates", "per year", {"kind": "new", "sign": "1"}, event="main"),
        asked("main_old", "rates", "per year", {"kind": "old", "sign": "0"}, event="main"),
        asked("main_crude", "rates", "per year", {"kind": "middle"}, event="main"),
        asked("other", "rates", "per year", {"kind": "old", "sign": "0"}, event="other"),
        asked(
            "new_to_old", "rates", "log ratio", event="main", contrast=Contrast(covariate="kind", base="old", to="new")
        ),
        asked("east", "binomial", "probability", {"place": "east"}),
        asked("west", "binomial", "logit", {"place": "west"}, link=True),
        asked("east_west", "binomial", "log ratio", contrast=Contrast(covariate="place", base="east", to="west")),
        asked("late_a", "multinomial", "logit", {"side": "a"}, category="late", link=True),
        asked("never_b", "multinomial", "probability", {"side": "b"}, category="never"),
        asked("side_b", "multinomial", "probability", {"side": "b"}),
        asked(
            "sides", "multinomial", "log ratio", category="late", contrast=Contrast(covariate="side", base="a", to="b")
        ),
        asked("north", "shares", "1", {"buyer": "north"}),
        asked("far_without_grey", "shares", "1", {"buyer": "far"}, exclude=("grey",)),
        asked("calm", "survival", "years", {"mood": "calm"}),
        asked("tense", "survival", "years", {"mood": "tense"}),
        asked("moods", "survival", "log ratio", contrast=Contrast(covariate="mood", base="calm", to="tense")),
    )
}


def truths():
    """The same numbers worked out by hand; mixtures of `main_crude` weigh signs and ages by exposure only."""
    age = np.array(list(AGE_EFFECT.values()))
    odds = np.exp([0.0, *ODDS["b"]])
    far = np.array(SHARES["far"][:3])
    return {
        "main_new": np.exp(BASE + KIND_EFFECT["new"] + SIGN_EFFECT["1"] + age),
        "main_old": np.exp(BASE + KIND_EFFECT["old"] + SIGN_EFFECT["0"] + age),
        "other": np.exp(np.full(3, SECOND)),
        "new_to_old": KIND_EFFECT["new"] - KIND_EFFECT["old"],
        "east": 1 / (1 + np.exp(-LOGIT["east"])),
        "west": LOGIT["west"],
        "east_west": LOGIT["west"] - LOGIT["east"],
        "late_a": ODDS["a"][0],
        "never_b": odds[2] / odds.sum(),
        "side_b": odds / odds.sum(),
        "sides": ODDS["b"][0] - ODDS["a"][0],
        "north": np.array(SHARES["north"]),
        "far_without_grey": far / far.sum(),
        "calm": np.array([SHAPE, SCALE["calm"]]),
        "tense": np.array([SHAPE, SCALE["tense"]]),
        "moods": SHAPE * np.log(SCALE["calm"] / SCALE["tense"]),
    }


LOG = {"main_new", "main_old", "main_crude", "other", "calm", "tense"}
LOGIT_SCALE = {"east", "never_b", "side_b", "north", "far_without_grey"}


def on_link(id_, x):
    x = np.asarray(x, float)
    return np.log(x) if id_ in LOG else np.log(x / (1 - x)) if id_ in LOGIT_SCALE else x


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    import nutpie

    from forecast.calibrate.models import build_model

    root = tmp_path_factory.mktemp("reference")
    rng = np.random.default_rng(20260314)
    table = rates(root, rng)
    for make in (binomial, multinomial, shares, survival):
        make(root, rng)
    classes = {c: load_class(root, c) for c in ("rates", "binomial", "multinomial", "shares", "survival")}
    model = build_model(PARAMETERS, (), classes, AS_OF)
    compiled = nutpie.compile_pymc_model(model)
    tree = nutpie.sample(
        compiled,
        draws=500,
        tune=700,
        chains=2,
        cores=2,
        seed=7,
        target_accept=0.95,
        progress_bar=False,
        save_warmup=False,
    )
    posterior = tree["posterior"].to_dataset()
    return SimpleNamespace(
        table=table,
        divergences=int(tree["sample_stats"]["diverging"].sum()),
        draws={k: posterior[k].to_numpy().reshape(1000, *posterior[k].shape[2:]) for k in PARAMETERS},
    )


def test_the_sampler_is_at_ease(fitted):
    assert fitted.divergences < 10  # 1 % of the draws; the gate allows none, after a longer tuning


@pytest.mark.parametrize("id_", list(truths()))
def test_truth_is_recovered(fitted, id_):
    draws, truth = on_link(id_, fitted.draws[id_]), on_link(id_, truths()[id_])
    z = (truth - draws.mean(axis=0)) / draws.std(axis=0)
    assert np.abs(z).max() < 4.5, z
    # The widest is a share of 5 % of 60 choices; the priors are wider than 1.2.
    assert draws.std(axis=0).max() < 0.75, draws.std(axis=0)


def test_intervals_cover(fitted):
    inside = []
    for id_, truth in truths().items():
        low, high = np.quantile(fitted.draws[id_], (0.05, 0.95), axis=0)
        inside += list(np.atleast_1d((low <= truth) & (truth <= high)))
    assert len(inside) == 31
    assert sum(inside) >= 23, inside


def test_a_covariate_left_out_gives_the_crude_rate(fitted):
    """The mean over ages of the mixture is what the rows of that level count: events over years."""
    rows = [r for r in fitted.table if r[0] == "middle"]
    years = np.array([sum(r[5] for r in rows if r[2] == age) for age in AGES])
    crude = sum(r[3] for r in rows) / years.sum()
    mean = fitted.draws["main_crude"].mean(axis=0) @ years / years.sum()
    sd = (fitted.draws["main_crude"] @ years / years.sum()).std()
    assert abs(mean - crude) < 3 * sd
    assert sd < 0.2 * crude


def test_parts_add_up(fitted):
    for id_ in ("side_b", "north", "far_without_grey"):
        np.testing.assert_allclose(fitted.draws[id_].sum(axis=-1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(fitted.draws["side_b"][:, 2], fitted.draws["never_b"], rtol=1e-12)


def test_one_draw_belongs_together(fitted):
    """A contrast is the difference of the levels in the same draw, not merely on average."""
    d = fitted.draws
    np.testing.assert_allclose(d["west"] - np.log(d["east"] / (1 - d["east"])), d["east_west"], rtol=1e-9)
    shape, scale = d["calm"].T
    np.testing.assert_allclose(shape * np.log(scale / d["tense"][:, 1]), d["moods"], rtol=1e-9, atol=1e-12)
