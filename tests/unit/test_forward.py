"""The solver of all draws against the solver of one, closed forms and what must add up; and what counts as small."""

import os
import subprocess
import sys
from datetime import timedelta
from math import exp, expm1
from pathlib import Path

import numpy as np
import pytest

from benchmarks.problem import MONTHS, deal_like, markov
from forecast.deal.spec import Process
from forecast.errors import SolverError
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.process.exact import exact_forecast, exact_forecasts
from forecast.process.forward import MAX_STATES, ExactForecasts, solve_plan
from forecast.process.plan import plan_of
from forecast.process.small import small, work_of
from forecast.simulate import simulate
from tests.generate import cases, generate
from tests.oracles.closed_forms import AS_OF, CASES, DAYS, GRID
from tests.reference.processes import random_process

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
KINDS = ("cause", "outcome", "state")
SOLVED = [name for name in CASES if not name.startswith("weibull") and name != "restarted_clock"]
GENERATED = [(k, s) for k, s in cases(42) if not k.startswith("weibull") and k != "everything"]


def solved(program: Program, **settings: object) -> ExactForecasts:
    times = np.array([0.0, 0.3 * program.horizon, 700 / 365.25, 0.8 * program.horizon, program.horizon])
    return exact_forecasts(program, np.unique(np.minimum(times, program.horizon)), **settings)


def agrees_with_the_solver_of_one(program: Program, draws: range | list[int]) -> ExactForecasts:
    answer = solved(program)
    for d in draws:
        one = exact_forecast(program, d, answer.grid)
        for kind in KINDS:
            np.testing.assert_allclose(getattr(answer, kind)[d], getattr(one, kind), rtol=1e-9, atol=1e-12)
    return answer


def adds_up(program: Program, answer: ExactForecasts) -> None:
    np.testing.assert_allclose(answer.outcome.sum(axis=2), 1.0, rtol=1e-12)
    assert (np.diff(answer.cause, axis=1) >= 0).all()
    for kind in KINDS:
        assert (getattr(answer, kind) >= 0).all()
        assert (getattr(answer, kind) <= 1 + 1e-12).all()
    ends = np.array([e.end or "" for e in program.effects])
    for c, cause in enumerate(program.causes):  # each path that it ended had one firing that did
        np.testing.assert_allclose(
            answer.fired[:, ends == cause].sum(axis=1), answer.cause[:, -1, c], rtol=1e-11, atol=1e-14
        )


# ---- probabilities -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SOLVED)
def test_gives_the_closed_form(name):
    case = CASES[name]()
    program = compile_process(case.process, case.draws)
    answer = exact_forecasts(program, GRID)
    names = {"cause": program.causes, "outcome": program.outcomes, "state": program.flags}
    for (kind, id_), f in case.wanted.items():
        got = getattr(answer, kind)[0, :, names[kind].index(id_)]
        np.testing.assert_allclose(got, [f(t) for t in GRID], rtol=1e-11, atol=1e-15, err_msg=f"{kind} {id_}")


@pytest.mark.parametrize(("kind", "seed"), GENERATED)
def test_every_draw_is_as_the_solver_of_one_has_it(kind, seed):
    process, draws = generate(kind, seed, n_draw=3)
    program = compile_process(process, draws)
    adds_up(program, agrees_with_the_solver_of_one(program, range(3)))


@pytest.mark.parametrize("number", [0, 2, 4])
def test_random_processes_too(number):
    program = compile_process(*random_process(number, 3, exact=True))
    adds_up(program, agrees_with_the_solver_of_one(program, range(3)))


@pytest.mark.skipif(INTERPRETED, reason="takes minutes without the compiler")
def test_many_draws_keep_their_places():
    """Draws are solved in another order, many side by side, the last few short of a whole block."""
    program = markov(150)
    answer = agrees_with_the_solver_of_one(program, [0, 63, 64, 149])
    adds_up(program, answer)
    assert len(np.unique(answer.cause[:, -1, 0])) == 150


def test_a_number_that_is_0_in_some_draws_only():
    case = CASES["two_steps"]()
    draws = Draws({"r": np.array([0.0, 0.9]), "q": np.array([0.5, 0.0]), "m": np.array([0.6, -0.2])}, {}, {}, {})
    answer = agrees_with_the_solver_of_one(compile_process(case.process, draws), range(2))
    assert (answer.cause == 0.0).all()
    assert (answer.state[0] == 0.0).all()
    assert answer.state[1, -1, 0] > 0.5


def one_hazard(values: dict[str, float], hazards: list[dict[str, object]], **parts: object) -> Program:
    base = CASES["two_exponentials"]().process.model_dump()
    process = Process.model_validate({**base, "hazards": hazards, **parts})
    return compile_process(process, Draws({k: np.array([float(v)]) for k, v in values.items()}, {}, {}, {}))


def test_what_is_rare_keeps_its_digits():
    """P(x by t) = r/(r + q)·(1 − e^{−(r+q)t}), for r = 1e-14 a year."""
    hazards = [{"id": f"h{c}", "label": "", "rate": c, "effect": {"end": c}} for c in ("x", "y")]
    answer = exact_forecasts(one_hazard({"x": 1e-14, "y": 0.7}, hazards), GRID)
    np.testing.assert_allclose(answer.cause[0, :, 0], 1e-14 / 0.7 * -np.expm1(-0.7 * GRID), rtol=1e-10)


def test_a_state_that_comes_and_goes_a_thousand_times_a_year():
    """P(a at t) = r/(r + s)·(1 − e^{−(r+s)t}); it is set r·s/(r + s)·t + (r/(r + s))²·(1 − e^{−(r+s)t}) times."""
    r, s = 700.0, 1300.0
    program = one_hazard(
        {"r": r, "s": s},
        [
            {"id": "on", "label": "", "when": ["not a"], "rate": "r", "effect": {"set": ["a"]}},
            {"id": "off", "label": "", "when": ["a"], "rate": "s", "effect": {"clear": ["a"]}},
        ],
    )
    answer = exact_forecasts(program, np.array([1e-4, *GRID]))
    gone = -np.expm1(-(r + s) * answer.grid)
    np.testing.assert_allclose(answer.state[0, :, 0], r / (r + s) * gone, rtol=1e-10)
    times = r * s / (r + s) * GRID[-1] + (r / (r + s)) ** 2 * gone[-1]
    np.testing.assert_allclose(answer.fired[0, 0], times, rtol=1e-10)


# ---- amounts and firings -------------------------------------------------------------------------


@pytest.mark.parametrize(("r", "discount"), [(0.4, 0.05), (0.4, 0.0), (0.0, 0.07), (1e-9, 3.0), (40.0, 0.02)])
def test_amounts_have_their_closed_forms(r, discount):
    """While it lasts: ∫ e^{−(r+δ)u} du; at its end: r times that; on day 500: e^{−(r+δ)·500 days}."""
    coin = [{"id": "only", "label": ""}]
    program = one_hazard(
        {"r": r, "d": discount, "one": 1.0},
        [{"id": "hx", "label": "", "rate": "r", "effect": {"end": "x"}}],
        scheduled=[{"id": "vote", "label": "", "dates": [AS_OF + timedelta(days=DAYS[1])], "branches": coin}],
        consequences=[
            {"id": "flow", "label": "", "unit": "u", "amount": ["one"], "when": [], "discount": "d"},
            {"id": "end", "label": "", "unit": "u", "amount": ["one"], "event": "hx", "discount": "d"},
            {"id": "vote", "label": "", "unit": "u", "amount": ["one"], "event": "vote", "discount": "d"},
            {"id": "plain", "label": "", "unit": "u", "amount": ["one"], "when": []},
        ],
    )
    answer = exact_forecasts(program, GRID)

    def lasting(k: float) -> np.ndarray:
        return np.array([t if k == 0.0 else -expm1(-k * t) / k for t in GRID])

    flow, end, vote, plain = answer.consequence[0].T
    np.testing.assert_allclose(flow, lasting(r + discount), rtol=1e-10)
    np.testing.assert_allclose(end, r * lasting(r + discount), rtol=1e-10, atol=1e-300)
    np.testing.assert_allclose(vote, (GRID[1] <= GRID) * exp(-(r + discount) * GRID[1]), rtol=1e-10)
    np.testing.assert_allclose(plain, lasting(r), rtol=1e-10)


@pytest.mark.skipif(INTERPRETED, reason="takes minutes without the compiler")
@pytest.mark.parametrize(
    ("kind", "seed"), [("markov", 1000), ("restarts", 101000), ("softmax", 110000), ("late_clock", 123000)]
)
def test_amounts_and_firings_are_what_the_simulation_averages(kind, seed):
    """Tolerance: 4 standard errors, from 50 groups of 8,000 paths, for some 30 figures a case; the seed is fixed.

    A false alarm in a hundred seeds; a bias of 1 % in what happens to a third of the paths cannot pass.
    """
    process, draws = generate(kind, seed, n_draw=1)
    groups, replicates = 50, 8_000
    many = Draws({k: np.repeat(v, groups, axis=0) for k, v in draws.values.items()}, draws.edges, draws.labels, {})
    program = compile_process(process, many)
    answer = solved(program)
    counts = simulate(program, seed=8, replicates=replicates, grid=answer.grid)
    for got, want in ((counts.fired, answer.fired), (counts.consequence, answer.consequence)):
        each = got / replicates
        error = each.std(axis=0, ddof=1) / np.sqrt(groups)
        off = np.abs(each.mean(axis=0) - want[0])
        assert (off <= 4 * error + 2 / (groups * replicates)).all()


@pytest.mark.parametrize(
    ("kind", "seed"), [("markov", 1000), ("restarts", 101000), ("softmax", 110000), ("late_clock", 123000)]
)
def test_few_times_are_read_as_among_many(kind, seed):
    """Where the grid has few times the mass is carried to each of them; among many it is mixed from terms."""
    process, draws = generate(kind, seed, n_draw=3)
    program = compile_process(process, draws)
    many = np.linspace(0.0, program.horizon, 101)
    few = np.array([0, 37, 100])
    dense, sparse = exact_forecasts(program, many), exact_forecasts(program, many[few])
    for name in (*KINDS, "consequence"):
        np.testing.assert_allclose(getattr(sparse, name), getattr(dense, name)[:, few], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(sparse.fired, dense.fired, rtol=1e-10, atol=1e-13)


# ---- the same for everyone; and what is refused --------------------------------------------------


@pytest.mark.skipif(INTERPRETED, reason="takes minutes without the compiler")
def test_the_same_bits_whatever_the_threads():
    program, seen = markov(600), []
    first = exact_forecasts(program, MONTHS[::20], threads=1)
    second = exact_forecasts(program, MONTHS[::20], threads=3, progress=lambda *x: seen.append(x))
    for name in (*KINDS, "fired", "consequence"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert seen[-1] == (600, 600)


def test_the_same_without_the_compiler():
    program = "import numpy as np; from tests.generate import generate; from forecast.process.compile import *; "
    program += "from forecast.process.exact import *; p = compile_process(*generate('restarts', 100000)); "
    program += "a = exact_forecasts(p, np.array([0.0, 2.0, p.horizon])); "
    program += "print([getattr(a, k).sum().hex() for k in ('outcome', 'state', 'fired', 'consequence')])"
    root = Path(__file__).parents[2]
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "NUMBA_DISABLE_JIT": off, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for off in "01"
    ]
    one, other = ([float.fromhex(x.strip(" []'\n")) for x in text.split(",")] for text in said)
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_refuses_what_it_cannot_take():
    for name, said in (("weibull_rising", "'hx' is Weibull.*simulate"), ("two_steps", "more than 1 states")):
        case = CASES[name]()
        with pytest.raises(SolverError, match=said):
            exact_forecasts(compile_process(case.process, case.draws), GRID, max_states=1)


@pytest.mark.parametrize("grid", [[], [1.0, 1.0], [-0.1], [2.0, 1.0], [99.0], [np.nan]])
def test_refuses_a_grid_that_is_none(grid):
    case = CASES["two_steps"]()
    with pytest.raises(SolverError, match="grid: times must increase"):
        exact_forecasts(compile_process(case.process, case.draws), np.array(grid))


# ---- what counts as small ------------------------------------------------------------------------


def test_small_is_what_costs_no_more_than_paths():
    program = markov(8)
    planned = small(program, MONTHS)
    assert planned is not None
    assert planned.states == 32
    assert 50_000 < work_of(program, planned) < 300_000
    assert small(deal_like(8), MONTHS) is None  # it has Weibull hazards
    assert small(many_flags(9, rate=0.3), MONTHS) is None  # 512 states at each of many times
    assert small(many_flags(10, rate=0.3), MONTHS) is None  # more states than are taken
    assert small(many_flags(3, rate=0.3), MONTHS) is not None
    assert small(many_flags(3, rate=3e5), MONTHS) is None  # a million jumps


def many_flags(n: int, rate: float) -> Program:
    """Make n flags that come at one rate and go at another, independently."""
    names = [f"f{k}" for k in range(n)]
    hazards = [
        {"id": f"{f}_{to}", "label": "", "when": [f"not {f}" if to == "set" else f], "rate": to, "effect": {to: [f]}}
        for f in names
        for to in ("set", "clear")
    ]
    flags = [{"id": f, "label": ""} for f in names]
    return one_hazard({"set": rate, "clear": rate}, hazards, flags=flags, horizon=10.0)


def test_a_plan_may_be_used_again():
    program = markov(3)
    planned = plan_of(program, MONTHS[::40], MAX_STATES)
    again = [solve_plan(program, planned, threads=1).outcome for _ in range(2)]
    np.testing.assert_array_equal(*again)
