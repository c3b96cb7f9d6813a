"""The frontier of packages: one whose figures are known in closed form, and what is refused."""

import csv
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

import forecast as fc
from forecast import frontiers
from forecast.analysis.frontier import lasts_interval, membership, packages, undominated
from forecast.cli_frontier import frontier as command
from forecast.deal.expand import expand
from forecast.errors import DealFileError, ForecastError
from forecast.frontiers import timed
from forecast.inputs import load
from forecast.pipeline import RunSettings
from forecast.process.draws import Draws
from forecast.report.frontier_show import lines

DEAL = """
[deal]
id = "two"
title = "Two clauses"
summary = "Made up."
as_of = 2025-01-01
horizon = "4 years"
[parties.a]
name = "A"
reservation = "zero"
noise = "one"
values = { x = "x_to_a", y = "y_to_a" }
[negotiation]
first = 2025-01-01
every = "1 month"
last = 2025-01-01
collapse = "nil"
CLAUSES
[parameters]
"""
CLAUSE = """
[clauses.{0}]
kind = "standing"
title = "{0}"
obliged = ["a"]
facts = "invented"
source = "invented"
violation = "rate_{0}"
cause = "{0}_broken"
cause_label = "{0} broken"
response = {{ after = "1 day", ends_deal = "sure" }}
"""
NUMBERS = {"zero": 0.0, "one": 1.0, "nil": 0.0, "sure": 0.999999999, "x_to_a": 1.0, "y_to_a": -0.5, "rate_x": 0.3,
           "rate_y": 0.1}  # fmt: skip
UNITS = {"nil": "per year", "sure": "probability", "rate_x": "per year", "rate_y": "per year"}


@pytest.fixture
def deal(tmp_path, monkeypatch) -> Path:
    """One round, one party; each clause is broken at a rate of its own, which ends the deal a day later."""
    folder = tmp_path / "two"
    folder.mkdir()
    text = DEAL.replace("CLAUSES", "".join(CLAUSE.format(c) for c in "xy"))
    for name, value in NUMBERS.items():
        unit = UNITS.get(name, "utility")
        text += f'{name} = {{ label = "{name}", unit = "{unit}", constant = {value}, source = "invented" }}\n'
    (folder / "deal.toml").write_text(text)
    gate = SimpleNamespace(problems=[], warnings=[])
    monkeypatch.setattr(frontiers, "calibrate_deal", lambda *_: (SimpleNamespace(digest="made-up"), gate))
    draws = Draws({k: np.full(400, v) for k, v in NUMBERS.items()}, {}, {}, {})
    monkeypatch.setattr(frontiers, "used_draws", lambda *_: draws)
    return folder


UTILITY = {"the whole package": 0.5, "without x": -0.5, "without y": 1.0, "without x; without y": 0.0}
RATE = {"the whole package": 0.4, "without x": 0.1, "without y": 0.3, "without x; without y": 0.0}
LASTING = 2.0 - 1.0 / 365.25  # a breach ends the deal a day later


def compared(deal, tmp_path, **more):
    settings = RunSettings(draws=400, archive=tmp_path / "archive")
    return fc.frontier(load(deal), ["x", "y"], years=2.0, settings=settings, **more)


def test_the_frontier_is_that_of_the_closed_form(deal, tmp_path):
    said: list[str] = []
    data = compared(deal, tmp_path, say=said.append)
    assert said[0].startswith("4 packages, 6,400 weighted paths each; one took ")
    for k, name in enumerate(data["package"].to_numpy()):
        assert data["accepted"].to_numpy()[k] == pytest.approx(1 / (1 + np.exp(-UTILITY[name])), abs=1e-9)
        error = 4 * data["lasts_mcse"].to_numpy()[k] + 1e-6
        assert error < 0.05
        assert data["lasts"].to_numpy()[k] == pytest.approx(np.exp(-RATE[name] * LASTING), abs=error)
    on = dict(zip(data["package"].to_numpy(), data["on_front"].to_numpy(), strict=True))
    assert on == {"the whole package": False, "without x": False, "without y": True, "without x; without y": True}
    # all draws are the same, so that every membership is 0 or 1 but for the luck of the paths
    assert (np.abs(data["membership"] - data["on_front"]) <= 4 * data["membership_luck"] + 1e-9).all()
    assert data.attrs["stopped"] == "stable"
    assert (data["membership_luck"] <= 0.05).all()
    np.testing.assert_array_equal(data["on_front_chance"], data["on_front"])
    assert data["costs_it_most"].to_numpy()[0] == "y"
    assert (data["blocker"] == "a").all()
    assert data["accepts"].dims == ("package", "party")
    assert data["included"].to_numpy().tolist() == [[True, True], [False, True], [True, False], [False, False]]
    assert data["lasts_draw"].dims == ("draw", "package")
    assert all(v.attrs["long_name"] for v in data.variables.values())
    xr.testing.assert_identical(xr.open_zarr(data.attrs["path"], consolidated=False, chunks=None)["lasts"].load(),
                                data["lasts"])  # fmt: skip


def test_a_front_that_the_budget_does_not_settle_says_so(deal, tmp_path):
    data = compared(deal, tmp_path, budget=0)
    assert data.attrs["stopped"] == "budget spent"
    assert data.attrs["rounds"] == 1
    assert data["paths"].to_numpy().tolist() == [6_400, 6_400, 6_400, 0]  # without clauses it is computed
    text = "\n".join(lines(data, 20))
    assert "not settled when the budget of 0 paths was spent" in text


def test_years_count_from_the_signature_of_each_path(deal, tmp_path):
    """Two rounds a year apart: what lasts has the same chance in both, and is read long after the first has had it."""
    text = (deal / "deal.toml").read_text()
    text = text.replace('every = "1 month"\nlast = 2025-01-01', 'every = "12 months"\nlast = 2026-01-01')
    (deal / "deal.toml").write_text(text)
    data = compared(deal, tmp_path)
    once = 1 / (1 + np.exp(-UTILITY["without y"]))
    found = data.sel(package="without y")
    # nothing moves a party in between, but who has refused may accept in the second round
    assert float(found["accepted"]) == pytest.approx(1 - (1 - once) ** 2, abs=4 * float(found["accepted_mcse"]) + 1e-9)
    assert float(found["lasts"]) == pytest.approx(
        np.exp(-RATE["without y"] * LASTING), abs=4 * float(found["lasts_mcse"]) + 1e-6
    )


def test_what_lasts_is_computed_where_the_process_is_small(deal, tmp_path):
    process = timed(expand(load(deal).deal), 2.0)
    assert process.flags[-1].id == "lasts"
    again = timed(process, 1.0)
    assert (again.flags[-1].id, again.scheduled[-1].id) == ("lasts_", "lasts__so_long")


def test_the_command_prints_keeps_and_draws(deal, tmp_path):
    args = [str(deal), "--optional", "x", "--optional", "y", "--years", "2", "--archive", str(tmp_path / "archive")]
    result = CliRunner().invoke(command, [*args, "--out", str(tmp_path / "f.png")], catch_exceptions=False)
    assert "without x; without y" in result.output
    assert "in force 2 years after the signature" in result.output
    assert "The front is stable" in result.output
    assert (tmp_path / "f.png").stat().st_size > 5_000
    assert len(list((tmp_path / "archive" / "frontiers").iterdir())) == 1
    CliRunner().invoke(command, [*args, "--out", str(tmp_path / "page")], catch_exceptions=False)
    assert {f.name for f in (tmp_path / "page").iterdir()} == {"index.html", "frontier.csv", "frontier.png",
                                                               "frontier.svg"}  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "page" / "frontier.csv").read_text().splitlines()))
    assert [(r["x"], r["y"], r["accepts_a"][:5]) for r in rows][1] == ("False", "True", "0.377")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optional", "x", "--vary", "x_to_a=" + ",".join(map(str, range(3000)))], "6,000 packages; at most 5,000"),
        (["--optional", "z"], "z: .*clause"),
        (["--optional", "x", "--optional", "x"], "--optional x: is given twice"),
        (["--vary", "x_to_b=1,2"], "x_to_b: no such parameter; did you mean 'x_to_a'"),
        (["--vary", "x_to_a=1,much"], "x_to_a"),
        (["--vary", "x_to_a"], "x_to_a"),
        (["--optional", "x", "--accept-by", "2039-01-01"], "2039-01-01"),
        (["--optional", "x", "--accept-by", "soon"], "--accept-by"),
        (["--optional", "x", "--narrow"], "--narrow is for a picture alone"),
        ([], "there is one package only"),
        *((["--optional", "x", "--years", y], "at most 4$") for y in ("nan", "inf", "1e300", "0", "-1", "9")),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(deal, tmp_path, words, message):
    result = CliRunner().invoke(command, [str(deal), "--years", "2", *words, "--archive", str(tmp_path / "archive")])
    assert isinstance(result.exception, ForecastError | SystemExit), result.exception
    assert re.search(message, f"{result.output}{result.exception}"), (str(result.exception), result.output)
    assert not (tmp_path / "archive" / "frontiers").exists()


def test_terms_of_a_clause_that_is_left_out_make_no_package():
    found = packages(["x"], {"clauses.x.binding": [True, False], "p": [1, 2]})
    assert len(found) == 2 * 2 + 2
    with pytest.raises(DealFileError, match="one package only"):
        packages([], {})


def test_the_front_holds_what_nothing_beats():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 8, (2, 60)).astype(float)
    slow = [not any((a >= p and b >= q) and (a > p or b > q) for a, b in zip(x, y, strict=True))
            for p, q in zip(x, y, strict=True)]  # fmt: skip
    assert undominated(x, y).tolist() == slow
    assert membership(np.array([[0.1, 0.9], [0.9, 0.8]]), np.array([[0.5, 0.4], [0.5, 0.4]])).tolist() == [1.0, 0.5]


def test_the_interval_of_what_lasts_is_that_of_draws_that_sign():
    """Draws that hardly ever sign know nothing of what comes after; in them the noise of the paths is all there is."""
    rng = np.random.default_rng(8)
    n = 4000
    lasts, signed = rng.uniform(0.2, 0.6, n), np.where(rng.random(n) < 0.3, 1e-7, 0.5)
    p = np.stack([np.repeat(signed[:, None], 2, axis=1), lasts[:, None] * signed[:, None] * np.ones(2)], axis=-1)
    p[..., 1] += rng.normal(0.0, 1e-8, (n, 2))  # as large as what they sign
    np.testing.assert_allclose(lasts_interval(p), (0.22, 0.58), atol=0.01)  # 4 standard errors of a quantile
    assert lasts_interval(np.zeros((3, 2, 2))) == (0.0, 0.0)


def test_draws_that_sign_more_often_count_more_in_what_lasts():
    lasts = np.concatenate([np.linspace(0.2, 0.3, 1000), np.linspace(0.5, 0.6, 1000)])
    signed = np.repeat([0.1, 0.9], 1000)
    p = np.stack([signed, lasts * signed], axis=-1)[:, None]
    # a tenth of the weight lies evenly on 0.2 to 0.3, nine tenths on 0.5 to 0.6
    np.testing.assert_allclose(lasts_interval(p), (0.25, 0.5 + 0.1 * 0.85 / 0.9), atol=2e-4)
