"""Weighted paths against the exact solver, against counting, and against what they say of their own error.

A process has one draw of numbers, which `DRAWS` draws share: their groups of paths are independent, so that the
standard error of the mean has as many degrees of freedom, and 4.5 of them are a false alarm in 60,000 for each figure.
The seeds are fixed: a test passes for ever or fails for ever. No error is taken to be less than 1 path's weight, as
paths say nothing of what none of them has met, and on fewer than 100 effective paths than 2 (the Poisson tail of a
count). What can't happen, or is certain, has to be so.

FORECAST_TEST_PATHS sets the number of paths of a process (16,384; the slow form takes ten times as many).
"""

import os
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from forecast.deal.expand import expand
from forecast.deal.loader import load_deal
from forecast.deal.spec import Process
from forecast.errors import SolverError
from forecast.estimate import Estimates, Sampling, difference, estimate, estimate_rare, plain_sampling
from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.process.exact import exact_forecast
from forecast.simulate import simulate
from tests.generate import AS_OF, cases, generate
from tests.reference.processes import random_process
from tests.statistical.test_deal import NUMBERS

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
PATHS = int(os.environ.get("FORECAST_TEST_PATHS", "512" if INTERPRETED else "16384"))
DRAWS = 16 if INTERPRETED else 128
LIMIT = 6.1 if INTERPRETED else 4.5  # equally rare, with 16 and with 128 degrees of freedom
TIMES = np.array([0.0, 0.25, 0.6, 1.0])  # of the horizon
MADE_UP = "made_up"
FEW = [*cases(14 if INTERPRETED else 42), *((MADE_UP, n) for n in range(6 if INTERPRETED else 24))]
MANY = [*cases(140), *((MADE_UP, n) for n in range(120))]
compiled_only = pytest.mark.skipif(INTERPRETED, reason="takes too many paths for Python")


def tiled(draws: Draws, n: int) -> Draws:
    """The first draw n times over."""
    return replace(draws, values={k: np.repeat(v[:1], n, axis=0) for k, v in draws.values.items()})


@cache
def case(kind: str, seed: int) -> tuple[Program, np.ndarray, np.ndarray]:
    """A program of many equal draws, times, and the exact probabilities (time, quantity), all flags among them."""
    process, draws = random_process(seed, 1, exact=True) if kind == MADE_UP else generate(kind, seed, n_draw=1)
    one, many = (compile_process(process, tiled(draws, n)) for n in (1, DRAWS))
    times = TIMES * process.horizon
    exact = exact_forecast(one, 0, times)
    return many, times, np.clip(np.concatenate([exact.cause, exact.outcome, exact.state], axis=1), 0.0, 1.0)


def some_sampling(program: Program, seed: int) -> Sampling:
    """Boosts and tilts between 0.3 and 3, at random, wherever they are free."""
    plain, rng = plain_sampling(program), np.random.default_rng(seed)
    free = (plain.boost == 1.0) & (program.structure.hazards["kind"] != WEIBULL)
    low, high = np.log(0.3), np.log(3.0)
    boost = np.where(free, np.exp(rng.uniform(low, high, free.size)), plain.boost)
    return Sampling(boost, np.exp(rng.uniform(low, high, plain.tilt.size)))


def distance(e: Estimates, wanted: np.ndarray, error: np.ndarray | float = 0.0) -> np.ndarray:
    """z of every figure; `error`: what `wanted` has by itself."""
    floor = np.where(e.ess < 100.0, 2.0, 1.0) / e.paths
    return (e.mean.mean(axis=0) - wanted) / np.sqrt(np.maximum(e.mcse, floor) ** 2 + np.asarray(error) ** 2)


def worst(kind: str, seed: int, paths: int, *, sobol: bool) -> float:
    program, times, wanted = case(kind, seed)
    e = estimate(program, seed=700 + seed, times=times, flags=program.flags, replicates=paths // DRAWS, sobol=sobol)
    sure = (wanted < 1e-13) | (wanted > 1.0 - 1e-13)
    assert (np.abs(e.mean.mean(axis=0) - wanted)[sure] < 1e-9).all()
    return float(np.abs(distance(e, wanted)).max())


@pytest.mark.parametrize(("kind", "seed"), FEW)
def test_estimates_agree_with_the_exact_solver(kind, seed):
    """66 processes, about 16 independent figures each, twice: a false alarm in 1 of 30 seeds."""
    assert worst(kind, seed, PATHS, sobol=True) < LIMIT
    assert worst(kind, seed, PATHS, sobol=False) < LIMIT


@pytest.mark.slow
@pytest.mark.parametrize("sobol", [True, False])
def test_estimates_agree_with_the_exact_solver_at_ten_times_as_many_paths(sobol):
    """260 processes: none beyond 5.2 standard errors (1 in 50 seeds), at most 4 beyond 4 (chance: about 0.4)."""
    distances = np.array([worst(*c, 10 * PATHS, sobol=sobol) for c in MANY])
    assert distances.max() < 5.2
    assert (distances > 4.0).sum() <= 4


def boosted(kind: str, seed: int, paths: int, *, sobol: bool) -> tuple[np.ndarray, np.ndarray]:
    """z, and whether it is to be judged: weights have long tails, so a figure needs 1 path in 20, effectively."""
    program, times, wanted = case(kind, seed)
    e = estimate(
        program,
        seed=900 + seed,
        times=times,
        flags=program.flags,
        replicates=paths // DRAWS,
        sampling=some_sampling(program, seed),
        sobol=sobol,
    )
    judged = (e.ess > 0.05 * e.paths) & (e.mcse > 0.0)
    assert (e.mean.mean(axis=0)[wanted == 0.0] == 0.0).all()
    return np.where(judged, (e.mean.mean(axis=0) - wanted) / np.maximum(e.mcse, 1.0 / e.paths), 0.0), judged


@pytest.mark.parametrize("sobol", [True, False])
def test_boosts_and_tilts_leave_the_mean_alone(sobol):
    """Any boosts and tilts: 33 processes each, none beyond 4.5; four figures in five that vary can be judged."""
    judged = varying = 0
    for kind, seed in FEW[sobol::2]:
        z, good = boosted(kind, seed, PATHS, sobol=sobol)
        assert np.abs(z).max() < LIMIT, (kind, seed)
        wanted = case(kind, seed)[2]
        judged, varying = (
            judged + good[(wanted > 1e-3) & (wanted < 1 - 1e-3)].sum(),
            varying + ((wanted > 1e-3) & (wanted < 1 - 1e-3)).sum(),
        )
    assert judged > (0.6 if INTERPRETED else 0.8) * varying


@pytest.mark.slow
@pytest.mark.parametrize("sobol", [True, False])
def test_boosts_and_tilts_leave_the_mean_alone_at_ten_times_as_many_paths(sobol):
    distances = np.array([np.abs(boosted(*c, 10 * PATHS, sobol=sobol)[0]).max() for c in MANY])
    assert distances.max() < 5.2
    assert (distances > 4.0).sum() <= 4


def test_a_whole_deal_agrees_with_the_exact_solver():
    """Rounds of talks, deliveries with deadlines, elections: the teaching deal, at seven times, with all its flags."""
    values = {name: np.array([x]) for name, x in NUMBERS.items()} | {"shooting": np.array([[0.2, 0.1, 0.05]])}
    draws = Draws(values, {"shooting": np.array([0.0, 1.0, 2.0, np.inf])}, {}, {})
    process = expand(load_deal(Path("priors/teaching")))
    one, many = (compile_process(process, tiled(draws, n)) for n in (1, DRAWS))
    times = np.linspace(0.0, one.horizon, 7)
    exact = exact_forecast(one, 0, times)
    wanted = np.concatenate([exact.cause, exact.outcome, exact.state], axis=1)
    for sobol in (True, False):
        e = estimate(many, seed=3, times=times, flags=many.flags, replicates=PATHS // DRAWS, sobol=sobol)
        assert np.abs(distance(e, wanted)).max() < LIMIT


# ---- against counting, where the exact solver refuses -----------------------------------------------

REFUSED = [
    *(("restarts", 1000 * n) for n in range(4)),
    *(("everything", 1000 * n) for n in range(4)),
    ("weibull_falling", 2000),
    ("weibull_rising", 3000),
    *((MADE_UP, n) for n in (0, 4, 7, 9, 16, 18, 21, 29)),
]


def against_counting(kind: str, seed: int, paths: int, counted: int) -> tuple[float, bool]:
    """Largest z of three ways to weigh against counts; and whether the exact solver refuses the process."""
    process, draws = random_process(seed, 1) if kind == MADE_UP else generate(kind, seed, random_clocks=True, n_draw=1)
    one, many = (compile_process(process, tiled(draws, n)) for n in (1, DRAWS))
    times = TIMES * process.horizon
    c = simulate(one, seed=seed, replicates=counted, grid=times)
    p = np.concatenate([c.cause[0], c.outcome[0], c.state[0]], axis=1) / counted
    error = np.sqrt(p * (1 - p) / counted + (1.0 / counted) ** 2)
    settings = {"seed": seed + 5, "times": times, "flags": many.flags, "replicates": paths // DRAWS}
    found = [distance(estimate(many, **settings, sobol=s), p, error) for s in (True, False)]
    e = estimate(many, **settings, sampling=some_sampling(many, seed), sobol=False)
    found.append(np.where(e.ess > 0.05 * e.paths, distance(e, p, error), 0.0))
    try:
        exact_forecast(one, 0, times[:2])
    except SolverError:
        return float(np.abs(found).max()), True
    return float(np.abs(found).max()), False


@pytest.mark.parametrize(("kind", "seed"), REFUSED)
def test_estimates_agree_with_counting(kind, seed):
    """18 processes with clocks that hazards start, about 16 figures, thrice: a false alarm in 1 of 70 seeds."""
    assert against_counting(kind, seed, PATHS, 4 * PATHS)[0] < LIMIT


def test_most_of_those_processes_are_ones_that_the_exact_solver_refuses():
    assert sum(against_counting(*c, DRAWS, 10)[1] for c in REFUSED) >= 12


@pytest.mark.slow
def test_estimates_agree_with_counting_at_ten_times_as_many_paths():
    some = [*((k, 1000 * n) for k in ("restarts", "everything", "softmax") for n in range(8))]
    some += [(MADE_UP, n) for n in range(60)]
    distances = np.array([against_counting(*c, 10 * PATHS, 1_000_000)[0] for c in some])
    assert distances.max() < 5.2
    assert (distances > 4.0).sum() <= 3


# ---- the error that is reported ---------------------------------------------------------------------


def scores(kind: str, seed: int, runs: int, *, sobol: bool, sampling: Sampling | None = None) -> np.ndarray:
    """z of the class that is least certain at the horizon, over independent runs."""
    program, times, wanted = case(kind, seed)
    n_cause, n_class = len(program.causes), len(program.outcomes)
    j = n_cause + int(np.argmin(np.abs(wanted[-1, n_cause : n_cause + n_class] - 0.5)))
    z = []
    for run in range(runs):
        e = estimate(program, seed=10_000 * run + seed, times=times[-1:], replicates=16, sobol=sobol, sampling=sampling)
        if e.mcse[0, j] > 1e-9 and e.ess[0, j] > 0.05 * e.paths:
            z.append((e.mean[:, 0, j].mean() - wanted[-1, j]) / e.mcse[0, j])
    return np.array(z)


@compiled_only
@pytest.mark.parametrize("way", ["sobol", "independent", "boosted"])
def test_the_reported_error_is_the_error_that_is_made(way):
    """About 250 z-scores of 128 degrees of freedom: standard deviation 1 ± 0.045, so 4.5 times that; mean 0 ± 0.063."""
    z = []
    for kind, seed in FEW:
        sampling = some_sampling(case(kind, seed)[0], seed) if way == "boosted" else None
        z.append(scores(kind, seed, 5, sobol=way == "sobol", sampling=sampling))
    z = np.concatenate(z)
    assert len(z) > 220
    assert 0.8 < z.std() < 1.2
    assert abs(z.mean()) < 4.5 / len(z) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize("sobol", [True, False])
def test_the_reported_error_is_the_error_that_is_made_over_many_runs(sobol):
    """About 10,000 z-scores: standard deviation 1.008 ± 0.007; skewness makes it a little less than normal."""
    z = np.concatenate([scores(*c, 50, sobol=sobol) for c in MANY])
    assert 0.96 < z.std() < 1.05
    assert abs(z.mean()) < 4.5 / len(z) ** 0.5
    assert (np.abs(z) > 3.0).mean() < 0.006  # 0.0032 with 128 degrees of freedom


# ---- rare causes -----------------------------------------------------------------------------------

YEARS = 10.0


def made(n_draw: int, values: dict, edges: dict | None = None, **parts) -> Program:
    """Compile a process that a hazard may end by `rare`, and another one by `common`."""
    base = {
        "deal_id": "rare",
        "title": "Rare",
        "as_of": AS_OF,
        "horizon": YEARS,
        "causes": [{"id": "rare", "label": ""}, {"id": "common", "label": ""}],
        "outcomes": [
            {"id": "rare", "label": "", "causes": ["rare"]},
            {"id": "ended", "label": "", "causes": ["common"]},
            {"id": "open", "label": "", "rest": True},
        ],
    }
    hazards = [*parts.pop("hazards"), hazard("com", "c", (), end="common")]
    numbers = {"c": 0.1, "e": 0.5, **values}
    draws = {k: np.repeat(np.array([v], dtype=float), n_draw, axis=0) for k, v in numbers.items()}
    bins = {k: np.array(v) for k, v in (edges or {}).items()}
    return compile_process(Process.model_validate({**base, "hazards": hazards, **parts}), Draws(draws, bins, {}, {}))


def flags(*names: str) -> list[dict]:
    return [{"id": f, "label": ""} for f in names]


def hazard(id_: str, rate: str, when=(), modifiers=(), clock: str | None = None, **effect) -> dict:
    return {
        "id": id_,
        "label": "",
        "rate": rate,
        "when": list(when),
        "modifiers": list(modifiers),
        "clock": clock,
        "effect": {k: v if k == "end" else [v] for k, v in effect.items()},
    }


def event(id_: str, years: tuple[float, ...], when=(), **branches: dict) -> dict:
    dates = [AS_OF + timedelta(days=int(365.25 * y)) for y in years]
    ways = [{"id": b, "label": "", **parts} for b, parts in branches.items()]
    return {"id": id_, "label": "", "dates": dates, "when": list(when), "branches": ways}


def chain(steps: int, rate: float, n: int = DRAWS) -> Program:
    """`steps` rare steps, one after the other, then an end."""
    names = [f"f{i}" for i in range(steps)]
    steps_ = [hazard(f"s{i}", "r", [f"not {f}", *names[max(0, i - 1) : i]], set=f) for i, f in enumerate(names)]
    return made(n, {"r": rate}, flags=flags(*names), hazards=[*steps_, hazard("end", "e", names[-1:], end="rare")])


def branches(n: int) -> Program:
    """Two rare branches of votes, then an end."""
    yes = {"probability": "p", "effect": {"set": ["a"]}}
    also = {"probability": "p", "effect": {"set": ["b"]}}
    votes = [event("v1", (1, 2), ["not a"], yes=yes, no={}), event("v2", (3, 4), ["a"], yes=also, no={})]
    return made(n, {"p": 1e-2}, flags=flags("a", "b"), hazards=[hazard("end", "e", ["b"], end="rare")], scheduled=votes)


def one_in_a_hundred_thousand(n: int) -> Program:
    """A branch that no path of the first round would take, of three, one of which ends the path."""
    way = {
        "yes": {"logit": "u", "effect": {"set": ["a"]}},
        "stop": {"logit": "v", "effect": {"end": "common"}},
        "no": {},
    }
    vote = event("v", (1, 2, 3), ["not a"], **way)
    numbers = {"u": float(np.log(1e-5)), "v": -1.0}
    return made(n, numbers, flags=flags("a"), hazards=[hazard("end", "e", ["a"], end="rare")], scheduled=[vote])


def excited(log_ratio: float, guard: tuple[str, ...]):
    """A tiny rate that a flag multiplies: the way over the flag is far likelier than the one at the tiny rate."""

    def build(n: int) -> Program:
        faster = [{"when": "a", "log_ratio": "m"}]
        steps = [
            hazard("on", "r", ["not a"], set="a"),
            hazard("off", "r", ["a"], clear="a"),
            hazard("step", "t", guard, faster, set="b"),
            hazard("end", "d", ["b"], end="rare"),
        ]
        return made(n, {"r": 0.3, "t": 1e-6, "m": log_ratio, "d": 1e-4}, flags=flags("a", "b"), hazards=steps)

    return build


def two_ways(n: int) -> Program:
    """Two ways, each of two steps, of rates that differ a hundredfold."""
    steps = [
        hazard("a1", "r1", ["not a"], set="a"),
        hazard("a2", "r2", ["a", "not b"], set="b"),
        hazard("d1", "r3", ["not c"], set="c"),
        hazard("d2", "r4", ["c", "not d"], set="d"),
        hazard("end", "e", [["b", "d"]], end="rare"),
    ]
    rates = {"r1": 1e-4, "r2": 1e-2, "r3": 3e-3, "r4": 3e-4}
    return made(n, rates, flags=flags("a", "b", "c", "d"), hazards=steps)


def by_age(n: int) -> Program:
    """Rates that are 0 at most ages."""
    steps = [
        hazard("s1", "r1", ["not a"], clock="k", set="a"),
        hazard("s2", "r2", ["a", "not b"], clock="k", set="b"),
        hazard("end", "e", ["b"], end="rare"),
    ]
    return made(
        n,
        {"r1": [0.0, 1e-3, 0.0], "r2": [1e-4, 1e-2, 0.0]},
        {"r1": [0.0, 1.0, 3.0, np.inf], "r2": [0.0, 2.0, 5.0, np.inf]},
        flags=flags("a", "b"),
        clocks=[{"id": "k", "label": "", "running_since": AS_OF}],
        hazards=steps,
    )


def against_the_stream(n: int) -> Program:
    """Four steps up, each of which is undone 25 times as fast."""
    names, steps = [f"l{i}" for i in range(4)], []
    for i, f in enumerate(names):
        steps.append(hazard(f"up{i}", "u", [f"not {f}", *names[max(0, i - 1) : i]], set=f))
        steps.append(hazard(f"down{i}", "d", [f, *(f"not {g}" for g in names[i + 1 : i + 2])], clear=f))
    steps.append(hazard("end", "v", names[-1:], end="rare"))
    return made(n, {"u": 0.2, "d": 5.0, "v": 2.0}, flags=flags(*names), hazards=steps)


# name: process, least share of the paths that the figure rests on effectively
RARE = {
    "chain_of_1": (lambda n: chain(1, 2e-4, n), 0.5),
    "chain_of_2": (lambda n: chain(2, 1e-3, n), 0.5),
    "chain_of_3": (lambda n: chain(3, 1e-2, n), 0.5),
    "chain_of_3_rarer": (lambda n: chain(3, 3e-3, n), 0.5),
    "chain_of_4": (lambda n: chain(4, 1e-2, n), 0.4),
    "branches": (branches, 0.3),
    "a_branch_of_1e-5": (one_in_a_hundred_thousand, 0.3),
    "excited": (excited(6.0, ("not b",)), 0.3),
    "excited_much": (excited(12.0, ("not b",)), 0.3),
    "excited_again_and_again": (excited(12.0, ()), 0.3),
    "two_ways": (two_ways, 0.3),
    "by_age": (by_age, 0.3),
    "against_the_stream": (against_the_stream, 0.3),
}


def rare(name: str, seed: int) -> tuple[float, float, float, float]:
    """z, relative error, share of effective paths, and variance of counting over that of the estimate."""
    build = RARE[name][0]
    exact = float(exact_forecast(build(1), 0, np.array([YEARS])).cause[0, 0])
    e, _ = estimate_rare(build(DRAWS), "rare", seed=seed, time=YEARS, replicates=128)
    mean, mcse = float(e.mean[:, 0, 0].mean()), float(e.mcse[0, 0])
    assert e.enough[0, 0]
    return (mean - exact) / mcse, mcse / exact, float(e.ess[0, 0]) / e.paths, exact * (1 - exact) / e.paths / mcse**2


@compiled_only
@pytest.mark.parametrize("name", RARE)
def test_rare_causes_have_their_probability(name):
    """From 1e-3 down to 4e-7, on 16,384 paths: to 2 %, and 13 × 2 figures within 4.5: a false alarm in 2,000 seeds."""
    found = np.array([rare(name, seed) for seed in (1, 2)])
    assert np.abs(found[:, 0]).max() < LIMIT
    assert found[:, 1].max() < 0.02
    assert found[:, 2].min() > RARE[name][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", RARE)
def test_rare_causes_have_their_probability_over_many_seeds(name):
    """100 seeds: the mean z within 4.5 / 10 of 0, its standard deviation within 4 of its own (0.07) of 1."""
    z = np.array([rare(name, 1000 + seed)[0] for seed in range(100)])
    assert np.abs(z).max() < 5.0
    assert abs(z.mean()) < 0.45
    assert 0.72 < z.std() < 1.3


@compiled_only
def test_a_probability_of_1e_4_is_a_thousand_times_cheaper_than_by_counting():
    """Variance × paths, against p(1 − p); and the plain weighted paths are no match either."""
    program, exact = chain(2, 2.4e-3), float(exact_forecast(chain(2, 2.4e-3, 1), 0, np.array([YEARS])).cause[0, 0])
    assert 0.9e-4 < exact < 1.1e-4
    e, _ = estimate_rare(program, "rare", seed=1, time=YEARS, replicates=128)
    plain = estimate(program, seed=1, times=[YEARS], replicates=128, sobol=False)
    assert exact * (1 - exact) / e.paths > 1000 * e.mcse[0, 0] ** 2
    assert plain.mcse[0, 0] > 10 * e.mcse[0, 0]


@compiled_only
def test_rare_causes_of_draws_that_differ():
    """Probabilities over two orders of magnitude from draw to draw, all by the same boosts: mean and spread."""
    n, rng = 256, np.random.default_rng(1)
    rates = 3e-3 * np.exp(rng.normal(0.0, 0.6, n))
    draws = Draws({"r": rates, "c": np.full(n, 0.1), "e": np.full(n, 0.5)}, {}, {}, {})
    program = compile_process(chain(2, 1.0, 1).process, draws)
    exact = np.array([exact_forecast(program, d, np.array([YEARS])).cause[0, 0] for d in range(n)])
    e, _ = estimate_rare(program, "rare", seed=1, time=YEARS, replicates=128)
    found = e.mean[:, 0, 0]
    assert abs(found.mean() - exact.mean()) < LIMIT * e.mcse[0, 0] < 0.2 * exact.mean()
    assert np.median(np.abs(found - exact) / exact) < 0.2
    assert abs(found.var(ddof=1) - e.noise[0, 0] - exact.var(ddof=1)) < 0.5 * exact.var(ddof=1)


@compiled_only
def test_what_cannot_be_found_is_not_said():
    """A rare cause that no path meets, as it hangs on something that hardly ever fails to happen in time."""
    way = event("v", (9.5,), ["not a"], only={"effect": {"end": "rare"}})
    program = made(DRAWS, {"r": 3.0}, flags=flags("a"), hazards=[hazard("h", "r", ["not a"], set="a")], scheduled=[way])
    e, _ = estimate_rare(program, "rare", seed=1, time=YEARS, replicates=32)
    assert e.mean[:, 0, 0].mean() < 1e-3
    assert not e.enough[0, 0]


# ---- differences -----------------------------------------------------------------------------------


def varied(kind: str, seed: int, name: str, by: float) -> Program:
    process, draws = random_process(seed, 1, exact=True) if kind == MADE_UP else generate(kind, seed, n_draw=1)
    values = {k: v + by if k == name else v for k, v in draws.values.items()}
    return compile_process(process, tiled(replace(draws, values=values), DRAWS))


def touched(process: Process, *, ending: bool) -> list[str]:
    """Log ratios on hazards that end paths, or on others."""
    return [m.log_ratio for h in process.hazards if (h.effect.end is not None) == ending for m in h.modifiers]


def changes(kind: str, seed: int, *, ending: bool) -> tuple[float, float]:
    """Largest z of a difference; and the variance of counting over that of the difference, of what changes most."""
    program, times, wanted = case(kind, seed)
    names = touched(program.process, ending=ending)
    if not names:
        return 0.0, np.nan
    other = varied(kind, seed, names[0], 0.3)
    exact = exact_forecast(other, 0, times)
    true = np.concatenate([exact.cause, exact.outcome, exact.state], axis=1) - wanted
    settings = {"seed": seed + 3, "times": times, "flags": program.flags, "replicates": PATHS // DRAWS}
    a, b = (estimate(p, **settings) for p in (program, other))
    change, mcse = difference(a, b)
    z = (change - true) / np.maximum(mcse, 1.0 / a.paths)
    i, j = np.unravel_index(np.argmax(np.abs(true)), true.shape)
    if abs(true[i, j]) < 1e-3:
        return float(np.abs(z).max()), np.nan
    counting = 2 * wanted[i, j] * (1 - wanted[i, j]) / a.paths
    return float(np.abs(z).max()), float(counting / max(mcse[i, j], 1e-9) ** 2)


CHANGED = {
    True: [(k, 1000 + 10_000 * n) for k, n in (("weibull_falling", 2), ("weibull_rising", 3), ("scheduled", 4))]
    + [("ties", 51_000), ("restarts", 101_000), ("softmax", 111_000), ("everything", 130_000), (MADE_UP, 7)],
    False: [(k, 10_000 * n) for k, n in (("scheduled", 4), ("rare", 8), ("groups", 9), ("restarts", 10))]
    + [("late_clock", 120_000), ("everything", 130_000), ("weibull_falling", 21_000), ("ties", 51_000)],
}


@compiled_only
@pytest.mark.parametrize(("ending", "median"), [(True, 3000.0), (False, 100.0)], ids=["direct", "indirect"])
def test_differences_are_those_of_the_exact_solver(ending, median):
    """A log ratio 0.3 higher: on a hazard that ends paths, or on one that changes the rates of others.

    Of what changes most, the variance is less than that of counting without shared luck, in the median by 30,000
    (direct) and by 500 (indirect).
    """
    found = np.array([changes(*c, ending=ending) for c in CHANGED[ending]])
    assert found[:, 0].max() < LIMIT
    assert not np.isnan(found).any()
    assert np.median(found[:, 1]) > median
