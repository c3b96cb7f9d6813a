"""A whole deal, from its words to its probabilities, against closed forms and the exact solver.

Tolerance: 4.5 standard errors at 400,000 paths, one false alarm in 150,000 for each figure; the seed is
fixed. A bias of 0.004 in a probability of 0.5 cannot pass.
"""

from pathlib import Path

import numpy as np
import pytest

from forecast.analysis.story import tell
from forecast.deal.expand import expand
from forecast.deal.loader import load_deal
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.process.exact import exact_forecast
from forecast.simulate import Counts, record_paths, simulate
from forecast.types import years_between

REPLICATES = 400_000
NUMBERS = {
    "power_changes": 0.4,
    "noise": 1.0,
    "north_reservation": 0.0,
    "south_reservation": 0.3,
    "north_values_troops": 1.0,
    "south_values_troops": -0.5,
    "talks_collapse": 0.3,
    "troops_default": -0.5,
    "troops_late": -1.0,
    "default_ends_deal": 0.5,
    "opposition_opposes": 0.6,
    "opponent_withdraws": 0.7,
    "default_raises_shooting": 0.7,
}


def teaching(n_draw: int, **changed: float) -> Program:
    """Compile the teaching deal with equal draws of its numbers, some of them changed."""
    values = {name: np.full(n_draw, x) for name, x in {**NUMBERS, **changed}.items()}
    values["shooting"] = np.tile([0.2, 0.1, 0.05], (n_draw, 1))
    edges = {"shooting": np.array([0.0, 1.0, 2.0, np.inf])}
    return compile_process(expand(load_deal(Path("priors/teaching"))), Draws(values, edges, {}, {}))


@pytest.fixture(scope="module")
def program() -> Program:
    return teaching(1)


@pytest.fixture(scope="module")
def grid(program) -> np.ndarray:
    return np.append(np.linspace(0.0, 4.9, 15), program.horizon)


@pytest.fixture(scope="module")
def counts(program, grid) -> Counts:
    return simulate(program, seed=11, replicates=REPLICATES, grid=grid)


def close(got, want):
    se = np.sqrt(np.maximum(want * (1.0 - want), 1e-9) / REPLICATES)
    return bool((np.abs(got - want) <= 4.5 * se + 1e-12).all())


def test_signature_has_its_closed_form(program, counts):
    """Each round both accept with probability q unless the talks have collapsed: sum of e^(−λt) q (1 − q)^k."""
    process = program.process
    q = 1.0 / (1.0 + np.exp(-1.0)) / (1.0 + np.exp(0.8))  # log-odds 1.0 − 0.0 and −0.5 − 0.3
    days = next(s for s in process.scheduled if s.id == "signing").dates
    times = np.array([years_between(process.as_of, d) for d in days])
    signed = float(np.sum(np.exp(-0.3 * times) * q * (1.0 - q) ** np.arange(len(times))))
    got = counts.state[0, -1, program.flags.index("signed")] / REPLICATES
    assert close(np.array(got), np.array(signed))
    no_deal = counts.cause[0, -1, program.causes.index("no_deal")] / REPLICATES
    assert close(np.array(no_deal), np.array(1.0 - signed))


def test_the_deal_agrees_with_the_exact_solver(program, counts, grid):
    exact = exact_forecast(program, 0, grid)
    assert exact.cause[-1].min() > 0.01, "every way to end must be put to the test"
    assert close(counts.cause[0] / REPLICATES, exact.cause)
    assert close(counts.outcome[0] / REPLICATES, exact.outcome)
    assert close(counts.state[0] / REPLICATES, exact.state)


def test_a_late_delivery_comes_after_its_grace_and_a_default_ends_half_of_the_deals(program, counts):
    fired = dict(zip([f.id for f in program.firings], counts.fired[0], strict=True))
    decided = fired["troops_leave_response/ends_deal"] + fired["troops_leave_response/lets_pass"]
    share = fired["troops_leave_response/ends_deal"] / decided
    assert abs(share - 0.5) < 4.5 * np.sqrt(0.25 / decided)
    at_deadline = sum(fired[f"troops_leave_deadline/{b}"] for b in ("default", "late", "on_time"))
    weights = np.exp([-0.5, -1.0, 0.0])
    for branch, p in zip(("default", "late", "on_time"), weights / weights.sum(), strict=True):
        got = fired[f"troops_leave_deadline/{branch}"] / at_deadline
        assert abs(got - p) < 4.5 * np.sqrt(p * (1 - p) / at_deadline)
    assert fired["troops_leave_late_delivery/fulfilled"] <= fired["troops_leave_deadline/late"]


@pytest.mark.parametrize(("name", "value"), [("south_reservation", 0.4), ("noise", 1.1)])
def test_what_a_party_decides_is_paired(program, name, value):
    """P(signed) under other odds of a vote that is held round after round: ten times less variance by shared luck.

    The ratio is 17; of two variances of 2,000 draws each its standard error is 0.5. A vote whose exponential were
    carried over the rounds would have 8.
    """
    signed = program.flags.index("signed")

    def count(seed: int, **changed: float) -> np.ndarray:
        found = simulate(teaching(2000, **changed), seed=seed, replicates=64, grid=np.array([program.horizon]))
        return found.state[:, 0, signed]

    base = count(1)
    shared, own = (count(seed, **{name: value}) - base for seed in (1, 2))
    assert own.var() > 13.0 * shared.var()


def test_a_story_says_what_each_event_has_changed(program):
    log = record_paths(program, seed=11, paths=np.arange(400), replicates=400)
    late = next(i for i, f in enumerate(program.firings) if f.id == "troops_leave_late_delivery/fulfilled")
    row = next(i for i in range(400) if late in log.firing[i])
    lines = list(tell(program, log, row))
    assert any(x.endswith("(+troops_leave_fulfilled, −troops_leave_late)") for x in lines)
    assert any(x.endswith("All accept: the deal is signed  (+signed)") for x in lines)
