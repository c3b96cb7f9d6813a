"""`forecast verify`: both of its commands, and what the one on calibration writes; no model is fitted here."""

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner
from PIL import Image

from forecast import verification
from forecast.calibrate.sbc.verdict import judge_studies
from forecast.cli_verify import verify
from forecast.errors import ForecastError, VerificationError
from forecast.schema import CALIBRATION, _group_problems, dataset


def made_up(n=100, shift=0.0, diverged=0):
    """A study of two numbers of which the first has ranks that lean upwards by `shift`."""
    rng = np.random.default_rng(2)
    u = np.stack([rng.random(n) ** (1.0 / (1.0 + shift)), rng.random(n)], axis=1)
    truth = rng.normal(size=(n, 2))
    return dataset(
        "calibration",
        quantity=["base", "spread"],
        rank=(u * 100).astype(np.int64),
        truth=truth,
        posterior_mean=truth,
        posterior_sd=np.ones((n, 2)),
        divergences=(np.arange(n) < diverged).astype(np.int64),
        attempts=np.ones(n, np.int64),
        enough_draws=np.ones(n, bool),
    )


@pytest.fixture
def studies(monkeypatch):
    """Have studies made up, and count how many are asked for."""
    asked = []

    def fake(case, n, seed, progress):
        asked.append(case.title)
        progress(n, n)
        return made_up(n, shift=2.0 if "Binomial" in case.title else 0.0)

    monkeypatch.setattr(verification, "study", fake)
    return asked


def run(*words):
    return CliRunner().invoke(verify, [str(w) for w in words])


def test_a_word_that_is_no_command_is_a_run(tmp_path):
    for words in (
        ("latest", "--archive", tmp_path),
        ("--archive", tmp_path, "latest"),
        ("run", "latest", "--archive", tmp_path),
    ):
        done = run(*words)
        assert isinstance(done.exception, ForecastError), words
    assert "calibration" in run("--help").output


def test_ranks_pictures_and_a_table_are_written_and_not_made_twice(tmp_path, studies):
    done = run("calibration", "--kind", "rates", "--kind", "shares", "--datasets", 60, "--out", tmp_path)
    assert done.exception is None, done.output
    assert "rates" in done.output
    for kind in ("rates", "shares"):
        stored = xr.open_zarr(tmp_path / f"{kind}.zarr", consolidated=False)
        assert list(_group_problems(kind, stored.load(), CALIBRATION)) == []
        with Image.open(tmp_path / f"{kind}.png") as picture:
            assert picture.size[0] == 1300
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert text.count("| passes |") == 2
    assert "`spread`" in text
    assert len(studies) == 2
    run("calibration", "--kind", "rates", "--kind", "piecewise", "--datasets", 60, "--out", tmp_path)
    assert len(studies) == 3  # rates were read
    run("calibration", "--kind", "rates", "--datasets", 60, "--seed", 2, "--out", tmp_path)
    assert len(studies) == 4  # another seed is another study


def test_uneven_ranks_fail_with_exit_code_1_and_say_what_to_do(tmp_path, studies):
    done = run("calibration", "--kind", "binomial", "--datasets", 60, "--out", tmp_path)
    assert isinstance(done.exception, VerificationError)
    assert done.exception.exit_code == 1
    assert "ranks of base are not uniform" in str(done.exception)
    assert "look at" in str(done.exception)
    assert "**fails**" in (tmp_path / "table.md").read_text(encoding="utf-8")


def test_divergences_are_counted_and_too_many_fail():
    assert judge_studies({"rates": made_up(diverged=5)}).problems == ()
    (problem,) = judge_studies({"rates": made_up(diverged=6)}).problems
    assert "6 of 100 fits diverged" in problem


@pytest.mark.parametrize(
    ("words", "message"),
    [(("--kind", "rate"), "no such kind.*rates, piecewise"), (("--datasets", 5), "at least 20")],
)
def test_what_cannot_be_asked_is_refused(tmp_path, words, message):
    done = run("calibration", *words, "--out", tmp_path)
    with pytest.raises(ForecastError, match=message):
        raise done.exception
