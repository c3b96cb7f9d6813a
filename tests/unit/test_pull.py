"""How far each source pulled: against closed forms, and as it is shown."""

import csv
import io

import numpy as np
import pytest
import xarray as xr
from scipy import special

from forecast import schema
from forecast.analysis.pull import pull_table, regression, weighted_quantiles
from forecast.calibrate.beliefs import beliefs
from forecast.calibrate.fit import fit
from forecast.calibrate.models import build_model
from forecast.deal.parameters import Parameter
from forecast.errors import ForecastError
from forecast.report import pull
from tests.unit.test_models import AS_OF
from tests.unit.test_sources import answer, coin, joined, ref

CLASSES = {"near": coin("near", 300, 600), "far": coin("far", 540, 600)}
ROWS = (answer(1.0, 0.4, question="q"), answer(-0.5, 0.8, question="q", expert="=B"))
SOLO = Parameter(id="solo", label="A number of <b>one</b> expert", unit="probability", experts="r")


@pytest.fixture(scope="module")
def parameters():
    p = joined(ref("near", 0.3), ref("far", 0.6), experts="q")
    return {"p": p, "solo": SOLO, "one": Parameter(id="one", label="one", unit="1", constant=1.0, source="made up")}


@pytest.fixture(scope="module")
def table(parameters):
    rows = (*ROWS, answer(0.2, 0.5, question="r"))
    tree = fit(build_model(parameters, rows, CLASSES, AS_OF), seed=4, draws=1500)
    x = special.logit(tree["posterior"]["p"].to_numpy()).ravel()
    rng = np.random.default_rng(5)
    headlines = {"rises": 0.4 + 0.05 * x + 0.01 * rng.normal(size=x.size), "does nothing": rng.random(x.size)}
    answers = beliefs(rows, AS_OF, ["q", "r"])
    kept = np.arange(0, x.size)
    return tree, pull_table(tree, parameters, answers, headlines, kept)


def of(table, parameter, kind, source=""):
    at = (table["statement_parameter"] == parameter) & (table["statement_kind"] == kind)
    at &= table["statement_source"] == source
    (k,) = np.flatnonzero(at.to_numpy())
    return table.isel(statement=k)


def test_every_source_is_there_in_order(table):
    _, t = table
    names = list(zip(t["statement_parameter"].values, t["statement_kind"].values, t["statement_source"].values))  # noqa: B905
    assert names == [
        ("p", "prior", ""),
        ("p", "class", "near"),
        ("p", "class", "far"),
        ("p", "expert", "A"),
        ("p", "expert", "=B"),
        ("p", "experts", ""),
        ("p", "posterior", ""),
        ("solo", "expert", "A"),
        ("solo", "experts", ""),
        ("solo", "posterior", ""),
    ]


def test_a_class_says_what_it_says_alone(table):
    """300 of 600 and 540 of 600: the others, far away, have no part in it. Beta quantiles, to 15 % of the sd."""
    _, t = table
    for name, s in (("near", 300), ("far", 540)):
        row, sd = of(t, "p", "class", name), np.sqrt(s * (600 - s) / 600**3)
        for q, level in (("lower", 0.05), ("median", 0.5), ("upper", 0.95)):
            wanted = special.betaincinv(s, 600 - s, level)
            assert abs(float(row[f"statement_{q}"]) - wanted) < 0.35 * sd, (name, q)


def test_weights_are_shares_of_precision(table):
    tree, t = table
    sd = tree["posterior"]["elicited__sd"].sel(elicited__question="q").to_numpy()
    precision = {
        "near": 1 / (1 / 300 + 1 / 300 + 0.09),
        "far": 1 / (1 / 540 + 1 / 60 + 0.36),
        "experts": float(1 / np.mean(sd**2)),
    }
    total = sum(precision.values())
    for name in ("near", "far"):
        assert float(of(t, "p", "class", name)["statement_weight"]) == pytest.approx(precision[name] / total, rel=0.02)
    together = float(of(t, "p", "experts")["statement_weight"])
    assert together == pytest.approx(precision["experts"] / total, rel=0.02)
    a, b = (float(of(t, "p", "expert", e)["statement_weight"]) for e in ("A", "=B"))
    assert a + b == pytest.approx(together, rel=1e-9)
    assert a / b == pytest.approx((0.8 / 0.4) ** 2, rel=1e-3)
    assert np.isnan(float(of(t, "p", "posterior")["statement_weight"]))
    assert np.isnan(float(of(t, "p", "prior")["statement_weight"]))


def test_effects_are_the_slope_times_the_distance(table):
    """The headline rises by 0.05 a unit of log-odds; errors within 4 of those given."""
    tree, t = table
    mean = special.logit(tree["posterior"]["p"].to_numpy()).mean()
    for kind, source, at in (("class", "near", 0.0), ("class", "far", np.log(9)), ("expert", "A", 1.0)):
        row = of(t, "p", kind, source)
        effect, error = (float(row[f"statement_{k}"].sel(headline_label="rises")) for k in ("effect", "effect_error"))
        assert abs(effect - 0.05 * (at - mean)) < 4 * error + 0.05 * 0.06, source  # 0.06: the class's own mean
        assert 0 < error < 0.002
        nothing = row.sel(headline_label="does nothing")
        assert abs(float(nothing["statement_effect"])) < 4 * float(nothing["statement_effect_error"])
    row = of(t, "p", "expert", "A").sel(headline_label="rises")
    assert float(row["statement_swing"]) == pytest.approx(0.05 * 2 * 1.645 * 0.4, rel=0.03)
    assert float(of(t, "p", "posterior").sel(headline_label="rises")["statement_effect"]) == pytest.approx(0, abs=1e-12)


def test_regression_gives_slopes_and_their_errors():
    """200 times the same design with fresh noise: the spread of the slopes is the error given, within 5 se."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    found = [regression(x, (x @ [0.3, -0.1] + rng.normal(size=300))[None, :]) for _ in range(200)]
    slopes = np.array([s[0] for s, _ in found])
    error = np.sqrt(np.mean([np.diagonal(c[0]) for _, c in found], axis=0))
    assert (np.abs(slopes.mean(axis=0) - [0.3, -0.1]) < 5 * error / np.sqrt(200)).all()
    assert (np.abs(slopes.std(axis=0) / error - 1) < 5 / np.sqrt(400)).all()


def test_a_direction_that_hardly_varies_has_no_slope():
    rng = np.random.default_rng(0)
    level = rng.normal(size=(500, 1))
    x = level + 0.01 * rng.normal(size=(500, 2))
    slope, _ = regression(x, level.T + 0.1 * rng.normal(size=(1, 500)))
    assert slope[0, 0] == pytest.approx(slope[0, 1], rel=0.02)


def test_weighted_quantiles_of_even_and_of_whole_weights():
    x = np.random.default_rng(3).normal(size=(4001, 1))
    even = weighted_quantiles(x, np.ones(4001))[:, 0]
    assert even == pytest.approx(np.quantile(x[:, 0], (0.05, 0.5, 0.95)), abs=0.01)
    twice = np.where(x[:, 0] > 0, 2.0, 1.0)
    repeated = np.repeat(x[:, 0], twice.astype(int))
    assert weighted_quantiles(x, twice)[:, 0] == pytest.approx(np.quantile(repeated, (0.05, 0.5, 0.95)), abs=0.01)


# ---- as it is shown --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(table):
    _, t = table
    names = ["p", "solo"]
    root = xr.Dataset(
        coords={
            "parameter": names,
            "parameter_label": ("parameter", ["Power <changes>", SOLO.label]),
            "parameter_unit": ("parameter", ["probability", "probability"]),
        }
    )
    return xr.DataTree.from_dict({"/": root, "/sources": t})


def test_the_group_is_as_declared(table):
    _, t = table
    assert not list(schema._group_problems("/sources", t, schema.GROUPS["/sources"]))


def test_the_table_tells_what_moves_the_headline(run):
    rows, label = pull.asked(run, (), None)
    assert label == "rises"
    text = "\n".join(pull.lines(rows, label))
    assert "p: Power <changes> (probability)" in text
    assert "near" in text
    assert {r.source for r in pull.strongest(pull.said(run))[:4]} >= {"near", "far", "A", "=B"}
    assert all(r.headline == "rises" for r in pull.strongest(pull.said(run))[:4])


def test_csv_has_every_statement_and_no_formula(run):
    found = list(csv.DictReader(io.StringIO(pull.table(pull.said(run, 0)))))
    assert len(found) == 10
    assert [r["source"] for r in found if r["kind"] == "expert"] == ["A", "'=B", "A"]
    assert float(found[1]["median"]) == pull.said(run, 0)[1].median


def test_what_is_not_there_is_said_with_the_closest(run):
    with pytest.raises(ForecastError, match=r"--parameter 'soIo'.*did you mean 'solo'"):
        pull.asked(run, ("soIo",), None)
    with pytest.raises(ForecastError, match=r"--headline 'rise'.*did you mean 'rises'"):
        pull.asked(run, (), "rise")
    with pytest.raises(ForecastError, match="made before sources were kept"):
        pull.asked(xr.DataTree(), (), None)


@pytest.mark.parametrize("narrow", [False, True])
def test_the_forest_has_a_line_for_each_source(run, narrow):
    rows = pull.said(run)
    assert pull.drawn(rows) == ["p"]  # what one expert alone says of a parameter is the parameter
    figure = pull.forest(rows, ["p"], narrow=narrow)
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()][-1] == "all together (posterior)"[: 19 if narrow else 99] + (
        "…" if narrow else ""
    )
    assert len(axes.get_yticks()) == 7
    for line, r in zip(axes.lines[::2], rows, strict=False):
        assert line.get_xdata().tolist() == [r.lower, r.upper]
