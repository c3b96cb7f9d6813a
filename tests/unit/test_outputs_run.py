"""From a process through the engine to a run in the archive and back: every part is the real one."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from forecast.analysis.base_rates import base_rate_table
from forecast.analysis.storylines import storyline_table, storylines
from forecast.archive import Archive, Run
from forecast.deal.spec import BaseRate
from forecast.estimands import build_forecast, forecast_invariants
from forecast.process.compile import Program
from forecast.simulate import Counts, PathLog, record_paths, simulate
from tests import outputs_data as made

R, SEED = 50, 20250315


@pytest.fixture(scope="module")
def program() -> Program:
    return made.program()


@pytest.fixture(scope="module")
def counts(program: Program) -> Counts:
    return simulate(program, seed=SEED, replicates=R, grid=made.grid(), threads=1)


@pytest.fixture(scope="module")
def log(program: Program) -> PathLog:
    """All paths, so that what is read off the log must equal what was counted."""
    return record_paths(program, seed=SEED, paths=np.arange(program.n_draw * R), replicates=R)


RATES = [
    BaseRate(mechanism="War within 2 years of signature", causes=("war",), since="signed", within=2.0, value=0.5,
             lower=0.4, upper=0.6, source="counted"),
    BaseRate(mechanism="Ended by war by the horizon", causes=("war",), within=5.0, value=0.5, lower=0.4, upper=0.6,
             source="counted"),
    BaseRate(mechanism="Signed within a year", flag="signed", within=1.0, value=0.5, lower=0.4, upper=0.6,
             source="counted"),
]  # fmt: skip


@pytest.fixture(scope="module")
def tree(program: Program, counts: Counts, log: PathLog) -> xr.DataTree:
    return build_forecast(
        program,
        counts,
        log,
        made.draws(),
        made.attrs(program.n_draw, R, seed=SEED),
        base_rate_table(program, log, RATES),
        storyline_table(program, log, storylines(program, log, R)),
    )


@pytest.fixture(scope="module")
def run(tree: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    return made.write(Archive(folder / "archive"), tree, folder)


def test_a_simulated_forecast_keeps_its_rules(tree: xr.DataTree) -> None:
    assert forecast_invariants(tree) == []


def test_it_comes_back_from_the_archive_as_it_was(tree: xr.DataTree, run: Run) -> None:
    archive = Archive(run.path.parent.parent)
    found = archive.open("latest")
    assert archive.verify(found) == []
    assert found.open().identical(tree)
    assert forecast_invariants(found.open()) == []


def test_the_stored_paths_agree_with_the_stored_counts(run: Run) -> None:
    """Every path was recorded, so that this is exact: shares of endings by the horizon, draw by draw."""
    stored = run.open()
    paths = stored["paths"].to_dataset(inherit=False)
    ended, draw = paths["ended_by"].to_numpy(), paths["number"].to_numpy() // R
    for k in range(stored.sizes["cause"]):
        share = np.bincount(draw[ended == k], minlength=stored.sizes["draw"]) / R
        np.testing.assert_allclose(stored["cumulative_incidence"].to_numpy()[:, -1, k], share, atol=1e-12)
    event = paths["event"].to_numpy()
    for k in range(stored.sizes["firing"]):
        mean = np.bincount(draw, weights=(event == k).sum(axis=1), minlength=stored.sizes["draw"]) / R
        np.testing.assert_allclose(stored["event_frequency"].to_numpy()[:, k], mean, atol=1e-12)


def test_storylines_add_up_to_the_endings(program: Program, counts: Counts, log: PathLog) -> None:
    lines = storylines(program, log, R)
    assert sum(line.count for line in lines) == program.n_draw * R
    for k, cause in enumerate(program.causes):
        assert sum(x.count for x in lines if x.cause == cause) == counts.cause[:, -1, k].sum()
    still = sum(x.count for x in lines if x.steps[-1] == "At the horizon: Signed and in force")
    assert still == counts.outcome[:, -1, program.outcomes.index("in_force")].sum()


def test_base_rates_are_those_of_the_counts(program: Program, counts: Counts, log: PathLog) -> None:
    table = base_rate_table(program, log, RATES)
    assert table is not None
    n = program.n_draw * R
    war, signed = program.causes.index("war"), program.flags.index("signed")
    assert float(table["model_mean"][1]) == pytest.approx(counts.cause[:, -1, war].sum() / n)
    # The grid has a point one year of 365 days ahead; `within` is a year of 365.25 days, with no round between.
    assert float(table["model_mean"][2]) == pytest.approx(counts.state[:, 12, signed].sum() / n)


def test_the_example_of_a_storyline_takes_that_course(program: Program, log: PathLog) -> None:
    """Replaying its number gives a path that ends as the storyline says."""
    for line in storylines(program, log, R)[:5]:
        again = record_paths(program, seed=SEED, paths=np.array([line.example]), replicates=R)
        told = storylines(program, again, R)[0]
        assert (told.steps, told.cause, told.count) == (line.steps, line.cause, 1)
        assert told.example == line.example


def test_same_seed_same_bytes(program: Program, run: Run, tmp_path: Path, log: PathLog) -> None:
    again = build_forecast(
        program,
        simulate(program, seed=SEED, replicates=R, grid=made.grid(), threads=2),
        log,
        made.draws(),
        made.attrs(program.n_draw, R, seed=SEED),
        base_rate_table(program, log, RATES),
        storyline_table(program, log, storylines(program, log, R)),
    )
    other = made.write(Archive(tmp_path / "archive"), again, tmp_path)
    assert other.manifest["files"] == run.manifest["files"]
