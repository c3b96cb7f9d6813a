"""The exact solver against closed forms, and what it refuses."""

import numpy as np
import pytest

from forecast.errors import SolverError
from forecast.process.compile import compile_process
from forecast.process.exact import ExactForecast, exact_forecast
from tests.oracles.closed_forms import CASES, GRID, Case
from tests.reference.processes import random_process


def rows(case: Case, answer) -> list[tuple[str, np.ndarray, list[float]]]:
    """(name, answer's row, wanted row) of everything that the case knows."""
    program = compile_process(case.process, case.draws)
    names = {"cause": program.causes, "outcome": program.outcomes, "state": program.flags}
    return [
        (f"{kind} {id_}", getattr(answer, kind)[..., :, names[kind].index(id_)], [f(t) for t in GRID])
        for (kind, id_), f in case.wanted.items()
    ]


@pytest.mark.parametrize("name", CASES)
def test_solver_gives_the_closed_form(name):
    case = CASES[name]()
    program = compile_process(case.process, case.draws)
    for what, got, wanted in rows(case, exact_forecast(program, 0, GRID)):
        np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-12, err_msg=what)


@pytest.mark.parametrize("number", range(6))
def test_solution_does_not_depend_on_the_grid(number):
    process, draws = random_process(number, 1, exact=True)
    program = compile_process(process, draws)
    coarse = exact_forecast(program, 0, np.array([program.horizon]))
    fine = exact_forecast(program, 0, np.linspace(0.0, program.horizon, 23))
    for kind in ("cause", "outcome", "state"):
        np.testing.assert_allclose(getattr(fine, kind)[-1], getattr(coarse, kind)[-1], rtol=1e-7, atol=1e-11)
        assert (getattr(fine, kind) >= 0).all()
    np.testing.assert_allclose(fine.outcome.sum(axis=1), 1.0, rtol=1e-9)
    assert (np.diff(fine.cause, axis=0) >= -1e-12).all()


def test_refuses_a_hazard_that_starts_a_clock_whose_age_matters():
    case = CASES["restarted_clock"]()
    hazard = case.process.hazards[0]
    moved = hazard.model_copy(update={"effect": hazard.effect.model_copy(update={"start": ("k",), "end": None})})
    program = compile_process(case.process.model_copy(update={"hazards": (moved,)}), case.draws)
    with pytest.raises(SolverError, match=r"hazard 'hx' starts clock 'k' at a random time.*simulate"):
        exact_forecast(program, 0, GRID)


def test_takes_a_hazard_that_starts_a_clock_of_constant_rates():
    """Then it makes the second of two steps possible: hypo-exponential, as in `two_steps`."""
    case = CASES["two_steps"]()
    sets, ends = case.process.hazards
    clocks = ({"id": "c", "label": ""},)
    hazards = (
        sets.model_copy(update={"effect": sets.effect.model_copy(update={"start": ("c",)})}),
        ends.model_copy(update={"clock": "c"}),
    )
    process = type(case.process).model_validate(
        {**case.process.model_dump(), "clocks": clocks, "hazards": [h.model_dump() for h in hazards]}
    )
    answer: ExactForecast = exact_forecast(compile_process(process, case.draws), 0, GRID)
    for what, got, wanted in rows(case, answer):
        np.testing.assert_allclose(got, wanted, rtol=1e-8, err_msg=what)


def test_refuses_more_states_than_allowed():
    case = CASES["two_steps"]()
    with pytest.raises(SolverError, match="more than 2 states"):
        exact_forecast(compile_process(case.process, case.draws), 0, GRID, max_states=2)


@pytest.mark.parametrize("grid", [[], [1.0, 1.0], [-0.1], [2.0, 1.0], [99.0]])
def test_refuses_a_grid_that_is_none(grid):
    case = CASES["two_steps"]()
    with pytest.raises(SolverError, match="grid: times must increase"):
        exact_forecast(compile_process(case.process, case.draws), 0, np.array(grid))
