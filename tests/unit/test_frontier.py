"""The frontier of packages: one whose figures are known in closed form, and what is refused."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from forecast import frontiers
from forecast.analysis.frontier import membership, packages, undominated
from forecast.cli_frontier import frontier as command
from forecast.errors import DealFileError
from forecast.process.draws import Draws

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


def test_the_frontier_is_that_of_the_closed_form(deal, tmp_path):
    from forecast.inputs import load
    from forecast.pipeline import RunSettings

    settings = RunSettings(draws=400, archive=tmp_path / "archive")
    data = frontiers.frontier(load(deal), ["x", "y"], years=2.0, settings=settings).data
    utility = {"the whole package": 0.5, "without x": -0.5, "without y": 1.0, "without x; without y": 0.0}
    rate = {"the whole package": 0.4, "without x": 0.1, "without y": 0.3, "without x; without y": 0.0}
    for k, name in enumerate(data["package"].to_numpy()):
        assert data["accepted"].to_numpy()[k] == pytest.approx(1 / (1 + np.exp(-utility[name])), abs=1e-9)
        lasting = 729 / 365.25  # 730 days, but a breach ends the deal a day later
        error = 4 * data["lasts_mcse"].to_numpy()[k] + 1e-6
        assert error < 0.03
        assert data["lasts"].to_numpy()[k] == pytest.approx(np.exp(-rate[name] * lasting), abs=error)
    on = dict(zip(data["package"].to_numpy(), data["on_front"].to_numpy(), strict=True))
    assert on == {"the whole package": False, "without x": False, "without y": True, "without x; without y": True}
    # few paths: by their noise the whole package, 0.62 and 0.45, beats "without y", 0.73 and 0.55, in some draws
    np.testing.assert_allclose(data["membership"], data["on_front"], atol=0.3)
    assert data["costs_it_most"].to_numpy()[0] == "y"
    assert (data["blocker"] == "a").all()


def test_the_command_prints_keeps_and_draws(deal, tmp_path):
    args = [str(deal), "--optional", "x", "--optional", "y", "--years", "2", "--archive", str(tmp_path / "archive"),
            "--out", str(tmp_path / "f.png")]  # fmt: skip
    result = CliRunner().invoke(command, args, catch_exceptions=False)
    assert "without x; without y" in result.output
    assert (tmp_path / "f.png").stat().st_size > 5_000
    assert len(list((tmp_path / "archive" / "frontiers").iterdir())) == 1
    many = [str(deal), "--years", "2", "--optional", "x", "--vary", "x_to_a=" + ",".join(map(str, range(3000)))]
    assert "6,000 packages; at most 5,000" in str(CliRunner().invoke(command, many).exception)
    assert "must lie between" in str(CliRunner().invoke(command, [*args[:5], "--years", "9"]).exception)
    for years in ("nan", "inf", "1e300", "0", "-1"):
        assert "must lie between" in str(CliRunner().invoke(command, [*args[:5], "--years", years]).exception), years


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
