"""The benchmark problems compile, and the NumPy version of the whole process gives the engine's probabilities."""

from importlib import import_module

import numpy as np
import pytest

from benchmarks import choices, compare, limit, results, trivial, write
from benchmarks.measure import apart
from benchmarks.peers import expm, numpy_deal, numpy_deal_plain, numpy_flags, numpy_flags_plain, numpy_table
from benchmarks.peers.reading import chain_of
from benchmarks.problem import MONTHS, deal_like, markov
from forecast.kernels.arith import pair
from forecast.process.exact import exact_forecast
from forecast.simulate import simulate

LIMIT = 4.0  # standard errors: a false alarm in 16,000 for one probability
END = np.array([10.0])


def test_deal_like_has_the_size_that_it_says() -> None:
    program, wide = deal_like(2), deal_like(2, extra_hazards=50)
    assert len(program.flags) == 24
    assert [len(p.structure.hazards) for p in (program, wide)] == [14, 64]
    assert len(deal_like(2, horizon=2.0).structure.calendar) < len(program.structure.calendar)


@pytest.mark.parametrize("peer", [numpy_deal, numpy_deal_plain])
def test_numpy_gives_the_probabilities_of_the_engine(peer) -> None:
    """20,480 paths; three times, so that a shift in time shows; about 80 probabilities that are not 0 or 1."""
    program, times = deal_like(80), [24, 60, 120]
    n = 80 * 256
    ours = simulate(program, seed=5, replicates=256, grid=MONTHS)
    numpy = peer.simulate(program, seed=5, replicates=256, grid=MONTHS, batch=8192)
    assert apart(ours.cause[:, times].sum(0), n, numpy.cause[:, times].sum(0), n) < LIMIT
    assert apart(ours.state[:, times].sum(0), n, numpy.state[:, times].sum(0), n) < LIMIT


@pytest.mark.parametrize("peer", [numpy_deal, numpy_deal_plain])
def test_numpy_gives_them_draw_by_draw(peer) -> None:
    """The first and the last of 40 draws, 4096 paths each: a draw index that is off by one would show."""
    program = deal_like(40)
    ours = simulate(program, seed=6, replicates=4096, grid=MONTHS)
    numpy = peer.simulate(program, seed=6, replicates=4096, grid=MONTHS)
    assert apart(ours.state[[0, -1], -1], 4096, numpy.state[[0, -1], -1], 4096) < LIMIT


@pytest.mark.parametrize("name", ["jax_loop", "jax_plain"])
def test_jax_gives_the_exact_probabilities(name: str) -> None:
    pytest.importorskip("jax", reason="not installed: uv sync --group bench")
    program, n = markov(), 131_072  # whole batches
    run = import_module(f"benchmarks.peers.{name}").build(chain_of(program))
    assert apart(run(n, 1), n, exact_forecast(program, 0, END).cause[0]) < LIMIT


@pytest.mark.parametrize("peer", [numpy_flags, numpy_flags_plain, numpy_table])
def test_peers_give_the_exact_probabilities(peer) -> None:
    program = markov()
    exact = exact_forecast(program, 0, END).cause[0]
    assert apart(peer.build(chain_of(program))(100_000, 1), 100_000, exact) < LIMIT


def test_matrix_exponential_and_exact_solver_agree() -> None:
    program = markov()
    np.testing.assert_allclose(expm.build(chain_of(program))(), exact_forecast(program, 0, END).cause[0], atol=1e-9)


def test_competing_risks_in_numpy() -> None:
    exact = exact_forecast(trivial.competing_risks(), 0, END).cause[0]
    assert apart(trivial.in_numpy()(100_000, 1), 100_000, exact) < LIMIT


def test_the_limit_makes_the_engines_own_random_numbers() -> None:
    """To the bit, for 20 replicates of one draw."""
    seed, even, odd = np.uint64(2**63 + 5), np.empty(20), np.empty(20)
    limit.fill(*(np.empty(20, np.uint32) for _ in range(4)), even, odd, 7, seed)
    expected = [pair(seed, 7, r, np.uint64(limit.KEY), 0) for r in range(20)]
    np.testing.assert_array_equal(np.stack([even, odd], axis=1), expected)


def test_apart_sees_a_difference() -> None:
    assert apart(np.array([500]), 1000, np.array([500]), 1000) == 0.0
    assert apart(np.array([600]), 1000, np.array([500]), 1000) > LIMIT
    assert apart(np.array([600]), 1000, np.array([0.5])) > LIMIT


def test_the_page_is_what_the_command_makes() -> None:
    assert write.PAGE.read_text(encoding="utf-8") == write.page(), "run `python -m benchmarks.write`"


def test_a_missed_target_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = results.Figure("speed", 1.0, "µs", 2.0, **results.at_least(2.0, 10))
    report = results.Report("command", {}, [results.Table("title", "intro", [figure])])
    monkeypatch.setattr(write, "recall", lambda name: report if name == "compare" else None)
    assert "| speed | 1.00 µs | 2.00 | ≥ 10 | **no** |" in write.page()
    assert "0 of 1 met; not met: speed" in write.page()


def test_constants_that_are_tried_are_the_engines() -> None:
    for name, values in choices.TRIED.items():
        chosen = getattr(choices.HOME[name], name)
        assert chosen in values
        with choices._set({name: values[0] + 1}):
            assert getattr(choices.HOME[name], name) == values[0] + 1
        assert getattr(choices.HOME[name], name) == chosen


def test_the_engine_solves_the_markov_problem() -> None:
    effort = compare.Effort.of(quick=True)
    assert compare.Engine.of(effort).paths == effort.draws * 256
