"""Reference classes held out: what enters the fit, what is predicted, how it is scored."""

import csv
import json
import subprocess
import sys
from dataclasses import replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pymc as pm
import pytest
import xarray as xr
from click.testing import CliRunner
from scipy import integrate, special, stats

from forecast.analysis.holdout import dataset, hold_out_classes, read, save
from forecast.calibrate import evaluate
from forecast.calibrate.classfile import CLASS_FILE
from forecast.calibrate.fit import fit
from forecast.calibrate.holdout.predict import posterior_of, predict
from forecast.calibrate.holdout.score import baseline, coverage, scores, totals
from forecast.calibrate.holdout.split import later_cells, train_of
from forecast.calibrate.models import add_classes
from forecast.calibrate.predictor import join
from forecast.calibrate.records import Record
from forecast.calibrate.reference import build_class, load_class
from forecast.calibrate.tables import cells
from forecast.cli import app
from forecast.errors import ReferenceClassError
from forecast.report.holdout import as_csv, draw, lines, markdown

REFERENCE = Path(__file__).parents[2] / "priors" / "reference"
UNTIL = date(2012, 1, 1)
DAY = timedelta(days=1)
WORDS = ("title", "question", "licence", "derived_by")
UNITS = {"choice": "utility", "shares": "share", "survival": "years"}
BY_KIND = {
    "rates": "leader_exit_post_soviet",
    "binomial": "us_party_change",
    "choice": "offers",
    "multinomial": "commitment_fulfilment",
    "shares": "arms_substitution",
    "piecewise": "treaty_withdrawal",
    "weibull": "verification_refused",
}


def made(id_, kind, columns, prior, records, **more):
    """A class with records, as one read from files is."""
    file = CLASS_FILE.validate_python(
        {
            "id": id_,
            "kind": kind,
            **dict.fromkeys(WORDS, "made for a test"),
            "unit": UNITS[kind],
            "citation": ["none"],
            "table": {"file": "table.csv", "key": ["row"]},
            "columns": columns,
            "prior": {"sd": 1.5, "why": "made up", **prior},
            **more,
        }
    )
    return build_class(file, Path("made_up"), tuple(records))


def offers():
    rows = [
        Record(n, UNTIL + (n - 3) * 200 * DAY, {}, {"yes": y, "made": 10.0, "money": m}, {})
        for n, (y, m) in enumerate(((1.0, 0.0), (3.0, 0.0), (4.0, 1.0), (8.0, 2.0), (6.0, 1.0), (9.0, 2.0)))
    ]
    columns = {"accepted": "yes", "offers": "made", "terms": {"money": "money"}}
    return made("offers", "choice", columns, {"reservation": 1.0, "values": {"money": 1.0}}, rows)


def spells(rows, family="weibull", entry=None):
    """Single cases of (start, entry, event, followed to, known on)."""
    columns = {"start": "start", "event": "event", "followed_to": "followed", "family": family}
    if entry:
        columns["entry"] = entry
    records = [
        Record(n, known, {}, {}, {"start": a, **({entry: b} if entry else {}), "event": c, "followed": d})
        for n, (a, b, c, d, known) in enumerate(rows)
    ]
    return made("spells", "survival", columns, {"centre": 5.0}, records)


@cache
def loaded(kind):
    return offers() if kind == "choice" else load_class(REFERENCE, BY_KIND[kind])


# ---- nothing known later enters ----------------------------------------------------------------------


def planted(used):
    """The class with wild rows that became known on the day after, and sudden ends of what still went on."""
    later, by_day = UNTIL + DAY, sorted(used.records, key=lambda r: r.known_on)
    wild = [
        replace(r, known_on=later, numbers={k: v + 900.0 for k, v in r.numbers.items()})
        for r in (by_day[0], by_day[-1])
    ]
    records = used.records
    if used.file.kind == "survival":
        event = used.file.columns.event
        still = [r for r in records if r.days[event] is None and r.day(used.file.columns.followed_to) > later]
        assert still
        ended = {id(r): replace(r, days={**r.days, event: later}) for r in still}
        records = tuple(ended.get(id(r), r) for r in records)
    return build_class(used.file, used.folder, (*records, *wild))


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_planted_row_leaves_what_is_fitted_as_it_was(kind):
    used = loaded(kind)
    other = planted(used)
    assert other.content != used.content
    trains = [train_of(c, UNTIL) for c in (used, other)]
    assert trains[0].content == trains[1].content
    laid_out = [join([t]) for t in trains]
    for name in ("centre", "sd", "base_of", "spread_sd", "spread_of", "centred", "x", "term_of", "holds", "value_of"):
        a, b = (getattr(c, name) for c in laid_out)
        assert a.tobytes() == b.tobytes(), name
    assert laid_out[0].coords == laid_out[1].coords
    a, b = (c.parts[0].data for c in laid_out)
    assert all(getattr(a, k).tobytes() == getattr(b, k).tobytes() for k in ("weight", "count", "spell", "terms"))
    scored = [later_cells(c, UNTIL).count for c in (used, other)]
    assert not np.array_equal(*scored)  # there it is


def test_planted_rows_leave_every_byte_of_the_posterior_as_it_was():
    def sampled(classes):
        with pm.Model() as model:
            add_classes(join([train_of(c, UNTIL) for c in classes]))
        tree = fit(model, seed=5, draws=20, tune=20, chains=1)
        return {str(k): v.to_numpy().tobytes() for k, v in tree["posterior"].data_vars.items()}

    used = [loaded(kind) for kind in BY_KIND]
    first = sampled(used)
    assert len(first) >= 5
    assert sampled([planted(c) for c in used]) == first


# ---- what came later -----------------------------------------------------------------------------


def test_single_cases_enter_late_at_their_age_on_the_day():
    d = date(2000, 1, 1)
    rows = [
        (d, None, None, date(2010, 1, 1), d),  # over before
        (d, None, UNTIL, UNTIL, d),  # ended on the day, which was known
        (d, None, date(2014, 1, 1), date(2014, 1, 1), d),
        (d, None, None, date(2020, 1, 1), d),
        (date(2013, 1, 1), None, None, date(2015, 1, 1), date(2013, 1, 1)),
    ]
    new = later_cells(spells(rows), UNTIL)
    np.testing.assert_allclose(new.spell, [[12, 14], [12, 20], [0, 2]], atol=0.003)
    assert new.count[:, 0].tolist() == [1, 0, 0]
    late = [(d, date(2013, 1, 1), None, date(2020, 1, 1), d), (d, date(2001, 1, 1), None, date(2020, 1, 1), d)]
    new = later_cells(spells(late, entry="seen"), UNTIL)
    np.testing.assert_allclose(new.spell, [[13, 20], [12, 20]], atol=0.003)
    binned = later_cells(spells(rows, "piecewise"), UNTIL)
    np.testing.assert_allclose(binned.weight, [2 + 8 + 2], atol=0.005)


@pytest.mark.parametrize("kind", ["piecewise", "weibull"])
def test_time_at_risk_before_and_after_add_up(kind):
    """Time at risk and events of a class are those fitted and those scored, none twice and none left out."""
    used = loaded(kind)
    train, new, whole = cells(train_of(used, UNTIL)), later_cells(used, UNTIL), cells(used)

    def years(c):
        return np.diff(c.spell).sum() if kind == "weibull" else c.weight.sum()

    assert train.count.sum() + new.count.sum() == whole.count.sum()
    np.testing.assert_allclose(years(train) + years(new), years(whole), rtol=1e-3)


def test_windows_that_overlap_are_scored_once():
    columns = {"entry": "who", "entries": ["a", "b"], "amount": "sum", "group": "to", "window": "window"}
    windows = {"2007-2011": 2011, "2012-2016": 2016, "2015-2019": 2019, "2017-2021": 2021}
    rows = [
        Record(0, date(year, 12, 31), {"who": who, "to": "x", "window": w}, {"sum": 100.0 * (k + 1)}, {})
        for k, (w, year) in enumerate(windows.items())
        for who in ("a", "b")
    ]
    used = made("sales", "shares", {**columns, "lot": 10.0, "effective_n": 8.0}, {}, rows)
    new = later_cells(used, UNTIL)
    assert new.weight.tolist() == [8.0, 8.0]  # 2012-2016 and 2017-2021
    assert cells(train_of(used, UNTIL)).weight.tolist() == [8.0]
    assert later_cells(used, date(2016, 12, 31)).weight.tolist() == [8.0]


def test_a_period_still_to_come_is_one_more_step():
    used = loaded("piecewise")
    train = train_of(used, date(2001, 1, 1))
    assert train.covariates["period"] == ("before 2002", "2002-2011", "2012 on")
    assert set(train.table.columns["period"]) == {"before 2002"}
    assert later_cells(used, date(2001, 1, 1)).count.sum() > 10


# ---- predictions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BY_KIND)
def test_predictions_are_the_laws_of_the_model(kind):
    """Log densities of the cells that were fitted are those that the model itself has; data have its means.

    Means of 4,000 data sets from one draw within 5 standard errors, a false alarm in 1.7 million a number.
    """
    classes = join([train_of(loaded(kind), UNTIL)])
    (part,) = classes.parts
    with pm.Model() as model:
        add_classes(classes)
    free = evaluate.prior_draws(model, 6, seed=3)
    tree = xr.DataTree.from_dict({"posterior": evaluate.dataset(model, free, 2)})
    got = predict(part, part.data, posterior_of(tree, classes), seed=1)
    (wanted,) = evaluate.log_likelihoods(model, free).values()
    density = got.log_density.reshape(6, -1)
    if kind == "shares":  # the model leaves out what the data alone decide
        density = density - (special.gammaln(part.data.weight + 1) - special.gammaln(part.data.count + 1).sum(axis=1))
    np.testing.assert_allclose(density, wanted, rtol=1e-7, atol=1e-7)

    calm = {k: np.repeat(x[:1] * 0.3, 4000, axis=0) for k, x in free.items()}
    tree = xr.DataTree.from_dict({"posterior": evaluate.dataset(model, calm, 2)})
    got = predict(part, part.data, posterior_of(tree, classes), seed=2)
    error = got.drawn.std(axis=0) / np.sqrt(4000)
    assert np.all(np.abs(got.drawn.mean(axis=0) - got.expected[0]) <= 5 * error + 0.002)


# ---- scores ----------------------------------------------------------------------------------------


def test_baselines_are_the_conjugate_ones():
    for kind in ("rates", "binomial", "choice", "multinomial", "weibull"):
        train, new = cells(train_of(loaded(kind), UNTIL)), later_cells(loaded(kind), UNTIL)
        a, seen = train.count.sum(axis=0) + 0.5, train.weight.sum()
        if kind == "rates":
            law = stats.nbinom(a, seen / (seen + new.weight[:, None]))
            wanted = law.logpmf(new.count)
        elif kind in ("binomial", "choice"):
            wanted = stats.betabinom(new.weight[:, None], a, seen - a + 1.0).logpmf(new.count)
        elif kind == "multinomial":
            wanted = stats.dirichlet_multinomial(a, new.weight.astype(int)).logpmf(new.count.astype(int))[:, None]
        else:
            prior = stats.gamma(a[0], scale=1 / np.diff(train.spell).sum()).pdf
            wanted = [
                [np.log(integrate.quad(lambda r, t=t, e=e, p=prior: r**e * np.exp(-r * t) * p(r), 0, 2)[0])]
                for (t,), (e,) in zip(np.diff(new.spell), new.count, strict=True)
            ]
        got = baseline("survival" if kind == "weibull" else kind, train, new)
        np.testing.assert_allclose(got, wanted, rtol=1e-6, err_msg=kind)


def test_coverage_of_a_right_model_and_of_wrong_ones():
    """4,000 Poisson cells: within 5 standard errors of the nominal share; half or twice the mean must show."""
    rng = np.random.default_rng(4)
    mean = rng.uniform(0.05, 8.0, (4000, 1))
    drawn, observed = rng.poisson(mean, (1000, 4000, 1)), rng.poisson(mean)
    for share in (0.5, 0.9):
        assert abs(coverage(observed, drawn, share) - share) < 5 * np.sqrt(share * (1 - share) / 4000)
        for factor in (0.4, 2.5):
            assert coverage(rng.poisson(factor * mean), drawn, share) < share - 0.1
    assert coverage(np.array([[50.0]]), drawn[:, :1], 0.9) == 0.0
    never = np.zeros((1000, 1, 1))  # a cell in which nothing can happen says nothing
    assert coverage(np.zeros((1, 1)), never, 0.9) == pytest.approx(0.9)


def test_scores_add_up():
    """A single certain draw: the score is the Poisson density, totals are sums, ignorance is in bits."""
    used = loaded("rates")
    classes = join([train_of(used, UNTIL)])
    (part,) = classes.parts
    new = later_cells(used, UNTIL)
    with pm.Model() as model:
        add_classes(classes)
    free = {k: np.repeat(v[:1], 500, axis=0) for k, v in evaluate.prior_draws(model, 2, seed=1).items()}
    tree = xr.DataTree.from_dict({"posterior": evaluate.dataset(model, free, 1)})
    made_ = predict(part, new, posterior_of(tree, classes), seed=1)
    for k, s in enumerate(scores("rates", part.data, new, made_)):
        density = stats.poisson(made_.expected[0, :, k]).logpmf(new.count[:, k])
        assert s.log_score == pytest.approx(density.sum())
        assert s.bits == pytest.approx(-np.log2(np.exp(density)).mean())
        assert s.difference == pytest.approx(s.log_score - s.baseline)
        assert s.cells == len(new.weight)
    for k, t in enumerate(totals(new, made_)):
        assert t.observed == new.count[:, k].sum()
        assert t.predicted == pytest.approx(made_.expected[0, :, k].sum())
        assert t.lower90 <= t.lower50 <= t.predicted + 1 <= t.upper90 + 2
        assert t.ratio == pytest.approx(t.observed / t.predicted)


# ---- the whole -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result():
    return hold_out_classes(REFERENCE, ("alliance_honoured", "us_party_change"), UNTIL, seed=1, draws=250, chains=2)


def test_a_class_is_fitted_and_scored_and_one_without_later_rows_is_named(result):
    (scored,) = result.classes
    assert scored.id == "us_party_change"
    assert scored.totals[0].observed == 3  # 2016, 2020, 2024; not 2012
    assert scored.totals[0].weight == 4
    assert 1 < scored.totals[0].predicted < 3
    assert "no row known after 2012-01-01" in result.without["alliance_honoured"]
    text = "\n".join(lines(result))
    assert "us_party_change" in text
    assert "alliance_honoured: not scored: no row known after" in text
    head, row = csv.reader(as_csv(result).splitlines())
    assert dict(zip(head, row, strict=True))["observed"] == "3.0"


def test_what_is_saved_is_read(result, tmp_path):
    save(result, tmp_path)
    found = read(tmp_path / "holdout.json")
    assert markdown(found) == markdown(result)
    with xr.open_dataset(tmp_path / "holdout.nc", engine="scipy") as stored:
        assert stored["total_observed"].to_numpy().tolist() == [3.0]
        assert set(stored.data_vars) == set(dataset(result).data_vars)
    assert draw(result, tmp_path / "x.png").stat().st_size > 1000
    (tmp_path / "bad.json").write_text(json.dumps({"until": "2012-01-01"}))
    with pytest.raises(ReferenceClassError, match=r"bad\.json: not a result of `forecast verify holdout`"):
        read(tmp_path / "bad.json")


def test_mistakes_are_said(tmp_path):
    with pytest.raises(ReferenceClassError, match="did you mean 'leader_exit'"):
        hold_out_classes(REFERENCE, ("leader_exits",), UNTIL, seed=1)
    with pytest.raises(ReferenceClassError, match="no reference class there"):
        hold_out_classes(tmp_path, (), UNTIL, seed=1)
    early = hold_out_classes(REFERENCE, ("leader_exit",), date(1990, 1, 1), seed=1)
    assert "nothing was known on 1990-01-01" in early.without["leader_exit"]


def test_the_command(tmp_path):
    words = ["verify", "holdout", "--class", "alliance_honoured", "--classes", str(REFERENCE), "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert "alliance_honoured: not scored" in done.output
    assert read(tmp_path / "holdout.json").classes == ()


def test_the_manual_says_what_the_stored_result_says():
    done = subprocess.run([sys.executable, "docs/holdout.py", "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ids = {c.id for c in read(Path("docs/holdout.json")).classes} | set(read(Path("docs/holdout.json")).without)
    assert ids == {p.parent.name for p in REFERENCE.glob("*/class.toml")}
