"""Weighted paths: what holds to the bit or to rounding. What needs luck is in tests/statistical/test_estimate.py."""

import hashlib
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

import forecast.estimate
from forecast.deal.spec import Process
from forecast.errors import ForecastError
from forecast.estimate import Estimates, Sampling, difference, estimate, estimate_each, estimate_rare, plain_sampling
from forecast.kernels.layout import WEIBULL
from forecast.process.compile import Program, compile_process
from forecast.process.decided import parts_of
from forecast.process.draws import Draws
from forecast.process.exact import exact_forecast
from tests.generate import cases, generate
from tests.oracles.closed_forms import AS_OF, CASES, DAYS, GRID
from tests.reference.changes import impossible, prepared, wider
from tests.reference.processes import random_process

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
compiled_only = pytest.mark.skipif(INTERPRETED, reason="takes minutes without the compiler")
REPLICATES = 4 if INTERPRETED else 32
SEED = 0xFEDC_BA98_7654_3210
END = float(GRID[-1])
EVERYTHING = [("everything", s, r) for s in (0, 3000) for r in (False, True)]
RARE = "two_exponentials"


def small(n_draw: int = 1, edges: dict | None = None, values: dict | None = None, **parts) -> Program:
    """Compile a process from the parts that matter: causes x and y, a class for each and one for the rest."""
    flags = sorted({*parts.pop("flags", ()), "a", "b"})
    base = {
        "deal_id": "small",
        "title": "Small",
        "as_of": AS_OF,
        "horizon": END,
        "flags": [{"id": f, "label": ""} for f in flags],
        "causes": [{"id": "x", "label": ""}, {"id": "y", "label": ""}],
        "outcomes": [
            {"id": "x", "label": "", "causes": ["x"]},
            {"id": "y", "label": "", "causes": ["y"]},
            {"id": "open", "label": "", "rest": True},
        ],
    }
    numbers = {"unused": 0.0, **(values or {})}
    draws = {k: np.repeat(np.array([v], dtype=float), n_draw, axis=0) for k, v in numbers.items()}
    bins = {k: np.array(v, dtype=float) for k, v in (edges or {}).items()}
    return compile_process(Process.model_validate({**base, **parts}), Draws(draws, bins, {}, {}))


def hazard(id_: str, **parts) -> dict:
    return {"id": id_, "label": "", **parts}


def event(id_: str, *branches: dict, days: tuple[int, ...] = (), **parts) -> dict:
    dates = [AS_OF + timedelta(days=d) for d in days]
    return {"id": id_, "label": "", "dates": dates, "branches": list(branches), **parts}


def branch(id_: str, **parts) -> dict:
    return {"id": id_, "label": "", **parts}


def ends(cause: str) -> dict:
    return {"effect": {"end": cause}}


def bits(e: Estimates) -> bytes:
    return e.group_mean.tobytes() + e.ess.tobytes()


def column(e: Estimates, kind: str, name: str) -> np.ndarray:
    return e.mean[0, :, e.column(kind, name)]


def some_sampling(program: Program, seed: int = 1) -> Sampling:
    """Boosts and tilts between 0.3 and 3 wherever they are free."""
    plain, rng = plain_sampling(program), np.random.default_rng(seed)
    free = (plain.boost == 1.0) & (program.structure.hazards["kind"] != WEIBULL)
    boost = np.where(free, np.exp(rng.uniform(-1.2, 1.1, free.size)), plain.boost)
    return Sampling(boost, np.exp(rng.uniform(-1.2, 1.1, plain.tilt.size)))


# ---- what is refused -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_steps() -> Program:
    case = CASES["two_steps"]()
    return compile_process(case.process, case.draws)


@pytest.mark.parametrize(
    "times", [[], [1.0, 1.0], [2.0, 1.0], [-0.1, 1.0], [99.0], [np.nan], [0.5, np.inf], [END * (1 + 1e-9)]]
)
def test_refuses_times_that_are_none(two_steps, times):
    with pytest.raises(ForecastError, match=r"^times: must increase, from 0 or later to the horizon \(4 years\)"):
        estimate(two_steps, seed=1, times=times)


def test_refuses_a_flag_that_is_not_there(two_steps):
    with pytest.raises(ForecastError, match=r"^flags: 'c' is not one of a, b$"):
        estimate(two_steps, seed=1, times=[1.0], flags=["a", "c"])


def test_refuses_a_rare_cause_that_is_not_there(two_steps):
    with pytest.raises(ForecastError, match=r"^cause 'z': not one of x, y$"):
        estimate_rare(two_steps, "z", seed=1, time=1.0)
    with pytest.raises(ForecastError, match=r"^times: must increase"):
        estimate_rare(two_steps, "x", seed=1, time=99.0)


def test_refuses_the_difference_of_what_does_not_match(two_steps):
    a = estimate(two_steps, seed=1, times=[1.0], replicates=8)
    for other in (
        estimate(two_steps, seed=1, times=[1.0], replicates=16),
        estimate(two_steps, seed=1, times=[1.0, 2.0], replicates=8),
        estimate(two_steps, seed=1, times=[1.0], replicates=8, flags=["a"]),
    ):
        with pytest.raises(ForecastError, match=r"^difference: the two must have the same draws"):
            difference(a, other)


def test_the_error_of_an_estimate_and_of_a_difference_by_hand():
    """Two draws with two groups: a quarter of the squared distance of the groups is the variance of their mean.

    Shared luck cancels: the groups of the differences lie 0.02 and 0.04 apart, those of the estimates 0.2 and 0.4.
    """
    first = np.array([[0.3, 0.5], [0.2, 0.6]])[:, :, None, None]
    second = first + np.array([[0.10, 0.12], [0.20, 0.16]])[:, :, None, None]
    a, b = (Estimates(np.array([1.0]), (("cause", "x"),), p, np.array([[9.0]]), 8) for p in (first, second))
    assert a.noise[0, 0] == pytest.approx((0.2**2 + 0.4**2) / 4 / 2)
    assert a.mcse[0, 0] == pytest.approx(np.sqrt((0.2**2 + 0.4**2) / 4 / 2 / 2))
    change, mcse = difference(a, b)
    assert change[0, 0] == pytest.approx((0.11 + 0.18) / 2)
    assert mcse[0, 0] == pytest.approx(np.sqrt((0.02**2 + 0.04**2) / 4 / 2 / 2))


@compiled_only
def test_gives_up_a_path_without_an_end():
    program = small(2, values={"r": 1e12}, hazards=[hazard("h", rate="r", effect={"set": ["a"]})])
    with pytest.raises(ForecastError, match=r"^a path of draw 0 had no end and was given up"):
        estimate(program, seed=1, times=[1.0], replicates=2)


@pytest.mark.parametrize(("replicates", "paths"), [(1, 2), (2, 2), (3, 4), (64, 64), (65, 128), (128, 128), (129, 256)])
def test_paths_are_rounded_up_to_two_groups_of_a_power_of_two(two_steps, replicates, paths):
    assert estimate(two_steps, seed=1, times=[1.0], replicates=replicates).paths == paths


# ---- the same bits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "seed", "random_clocks"), EVERYTHING)
def test_threads_and_blocks_change_no_bit(monkeypatch, kind, seed, random_clocks):
    program = compile_process(*generate(kind, seed, random_clocks=random_clocks, n_draw=5))
    settings = {"seed": SEED, "times": [0.0, 2.0, program.horizon], "flags": program.flags, "replicates": REPLICATES}
    for more in ({}, {"sobol": False}, {"sampling": some_sampling(program)}):
        whole = bits(estimate(program, **settings, **more, threads=1))
        for block in (1, 2 * REPLICATES, 10**9):
            monkeypatch.setattr(forecast.estimate, "BLOCK", block)
            for threads in (1, 2, None):
                assert bits(estimate(program, **settings, **more, threads=threads)) == whole


def test_threads_change_no_bit_of_what_is_learnt():
    program = compile_process(*generate("everything", 0, n_draw=30 if INTERPRETED else 300))
    found = [estimate_rare(program, "c1", seed=SEED, time=3.0, replicates=4, threads=n, rounds=2) for n in (1, 2)]
    (a, how_a), (b, how_b) = found
    assert bits(a) == bits(b)
    assert how_a.boost.tobytes() == how_b.boost.tobytes()
    assert how_a.tilt.tobytes() == how_b.tilt.tobytes()


def test_a_draw_does_not_depend_on_those_beside_it():
    process, draws = random_process(3, 4)
    alone = Draws({k: v[:1] for k, v in draws.values.items()}, draws.edges, draws.labels, {})
    both = [
        estimate(compile_process(process, d), seed=SEED, times=[1.0], replicates=REPLICATES) for d in (draws, alone)
    ]
    assert both[0].group_mean[0].tobytes() == both[1].group_mean[0].tobytes()


def fingerprint() -> str:
    """Digest of small estimates of every kind."""
    digest = hashlib.sha256()
    some = [generate("everything", 3000, random_clocks=True), random_process(1), random_process(5)]
    for process, draws in some:
        program = compile_process(process, draws)
        settings = {"seed": SEED, "times": [0.0, 1.0, program.horizon], "flags": program.flags[:2], "replicates": 8}
        digest.update(bits(estimate(program, **settings)))
        digest.update(bits(estimate(program, **settings, sobol=False, sampling=some_sampling(program))))
        rare, how = estimate_rare(program, program.causes[0], seed=SEED, time=1.0, replicates=4, rounds=2)
        digest.update(bits(rare) + how.boost.tobytes() + how.tilt.tobytes())
    return digest.hexdigest()


def test_the_compiler_changes_no_bit():
    """Both ways in one test: compiled here, and interpreted in a process of its own (or the other way round)."""
    code = "from tests.unit.test_estimate import fingerprint; print(fingerprint())"
    env = os.environ | {"NUMBA_DISABLE_JIT": "0" if INTERPRETED else "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == fingerprint()


def test_seeds_draws_and_groups_share_no_luck():
    case = CASES["two_steps"]()
    program = compile_process(
        case.process, Draws({k: np.repeat(v, 2) for k, v in case.draws.values.items()}, {}, {}, {})
    )
    for sobol in (True, False):
        runs = [estimate(program, seed=s, times=[1.0], replicates=16, sobol=sobol) for s in (1, 2)]
        found = np.concatenate([e.group_mean[..., 0].ravel() for e in runs])
        assert len(set(found.tolist())) == 8


# ---- each by paths that suit it --------------------------------------------------------------------


@pytest.fixture(scope="module")
def signing() -> Program:
    """A flag that lasts and two causes, one of which can't come about once it is set."""
    turn = branch("turn", probability="p", effect={"set": ["b"]})
    return small(
        3,
        values={"r": 0.3, "s": 0.5, "p": 0.4},
        hazards=[
            hazard("x", rate="r", when=["not a"], **ends("x")),
            hazard("y", rate="p", when=["a"], **ends("y")),
            hazard("sign", rate="s", when=["b"], effect={"set": ["a"]}),
        ],
        scheduled=[event("vote", turn, branch("back", effect={"clear": ["b"]}), days=(0, 100, 400))],
    )


NAMES = [("cause", "y"), ("state", "a"), ("outcome", "open"), ("cause", "x"), ("state", "b"), ("outcome", "x")]


def test_each_quantity_comes_from_the_paths_that_suit_it(signing):
    settings = {"seed": SEED, "times": [0.0, 1.0, END], "replicates": REPLICATES}
    e = estimate_each(signing, NAMES, **settings)
    goes_on, ends_there = parts_of(signing, NAMES)
    assert set(ends_there.names) == {("state", "a"), ("cause", "x"), ("outcome", "x")}
    assert e.names == tuple(NAMES)
    for part in (goes_on, ends_there):
        other = estimate(part.program, flags=[n for k, n in part.names if k == "state"], **settings)
        for q in part.names:
            i, j = e.column(*q), other.column(*q)
            assert e.group_mean[..., i].tobytes() == other.group_mean[..., j].tobytes()
            assert e.ess[:, i].tolist() == other.ess[:, j].tolist()
    assert e.paths == other.paths
    np.testing.assert_array_equal(e.times, settings["times"])


@pytest.mark.parametrize("sobol", [True, False])
def test_threads_change_no_bit_of_what_is_decided(signing, sobol):
    settings = {"seed": SEED, "times": [1.0, END], "replicates": REPLICATES, "sobol": sobol}
    one, two, none = (estimate_each(signing, NAMES, **settings, threads=n) for n in (1, 2, None))
    assert bits(one) == bits(two) == bits(none)
    other = estimate_each(signing, NAMES, **{**settings, "seed": SEED + 1})
    assert (other.group_mean != one.group_mean).any(axis=(0, 1, 2)).all()


def test_a_quantity_may_be_asked_for_twice_and_alone(signing):
    settings = {"seed": SEED, "times": [1.0, END], "replicates": REPLICATES}
    alone = estimate_each(signing, [("state", "a")], **settings)
    twice = estimate_each(signing, [("state", "a"), ("cause", "y"), ("state", "a")], **settings)
    assert alone.group_mean[..., 0].tobytes() == twice.group_mean[..., 0].tobytes()
    assert twice.group_mean[..., 0].tobytes() == twice.group_mean[..., 2].tobytes()
    with pytest.raises(ForecastError, match=r"^flags: 'c' is not one of a, b$"):
        estimate_each(signing, [("state", "c")], **settings)


# ---- laws ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "seed"), cases(14 if INTERPRETED else 28))
def test_probabilities_add_up_and_incidence_never_falls(kind, seed):
    program = compile_process(*generate(kind, seed, random_clocks=seed % 2000 == 0))
    times = np.linspace(0.0, program.horizon, 5)
    e = estimate(program, seed=SEED, times=times, flags=program.flags, replicates=REPLICATES)
    n_cause, n_class = len(program.causes), len(program.outcomes)
    cause, outcome = e.group_mean[..., :n_cause], e.group_mean[..., n_cause : n_cause + n_class]
    np.testing.assert_allclose(outcome.sum(axis=3), 1.0, rtol=0, atol=1e-12)
    ended = [program.outcomes.index(x) for x in ("ended_c0_or_c1", "ended")]
    np.testing.assert_allclose(cause.sum(axis=3), outcome[..., ended].sum(axis=3), rtol=0, atol=1e-12)
    assert (np.diff(cause, axis=2) >= 0.0).all()
    assert e.group_mean.min() >= 0.0
    assert e.group_mean.max() <= 1.0 + 1e-12
    assert e.ess.max() <= e.paths * (1 + 1e-12)
    for sampling in (some_sampling(program),):
        weighted = estimate(program, seed=SEED, times=times, replicates=REPLICATES, sampling=sampling)
        assert (np.diff(weighted.group_mean[..., :n_cause], axis=2) >= 0.0).all()


@pytest.mark.parametrize(("kind", "seed"), cases(14))
def test_report_times_change_nothing_but_rounding(kind, seed):
    program = compile_process(*generate(kind, seed))
    settings = {"seed": SEED, "flags": program.flags, "replicates": REPLICATES}
    few = estimate(program, times=[program.horizon], **settings)
    many = estimate(program, times=np.linspace(0.0, program.horizon, 23), **settings)
    np.testing.assert_allclose(many.group_mean[:, :, -1:], few.group_mean, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("kind", "seed"), cases(14))
def test_flags_that_are_watched_change_nothing_but_rounding(kind, seed):
    program = compile_process(*generate(kind, seed))
    settings = {"seed": SEED, "times": [1.0, program.horizon], "replicates": REPLICATES}
    for sampling in (None, some_sampling(program)):
        bare = estimate(program, **settings, sampling=sampling)
        for flags in (program.flags[:1], program.flags):
            e = estimate(program, **settings, sampling=sampling, flags=flags)
            shared = e.group_mean[..., : len(bare.names)]
            np.testing.assert_allclose(shared, bare.group_mean, rtol=1e-11, atol=1e-14)


def test_boosts_and_tilts_of_one_change_no_bit():
    """What is neither boosted nor tilted is sampled as it happens, by the same luck."""
    program = compile_process(*generate("everything", 0))
    plain = plain_sampling(program)
    a, b = (
        estimate(program, seed=SEED, times=[1.0, 4.0], replicates=REPLICATES, sampling=s)
        for s in (None, Sampling(plain.boost.copy(), plain.tilt.copy()))
    )
    assert bits(a) == bits(b)


# ---- newcomers that cannot happen ------------------------------------------------------------------

NEWCOMERS = sorted(impossible(prepared(*random_process(0, 1))[0]))
NAMELESS = ("a flag", "a clock", "a cause", "a class", "a flow")  # they have no luck and no rate


@pytest.mark.parametrize("name", NEWCOMERS)
@pytest.mark.parametrize("number", [2, 5])
def test_what_cannot_happen_changes_nothing_but_rounding(name, number):
    """Without Sobol points; intervals may be cut at other places, hence the rounding."""
    process, draws = prepared(*random_process(number, 2))
    field, new = impossible(process)[name]
    for place in (0.0, 1.0):
        if field == "outcomes" and place == 1.0:  # behind the rest there is no place for a class
            continue
        a, b = (compile_process(p, draws) for p in (process, wider(process, field, place, new)))
        sobol = name in NAMELESS  # all else moves the coordinates of the points
        settings = {"seed": SEED, "times": [0.0, 0.4, 1.0], "replicates": REPLICATES, "sobol": sobol}
        x, y = (estimate(p, flags=a.flags, **settings) for p in (a, b))
        kept = [y.names.index(n) for n in x.names]
        np.testing.assert_allclose(y.group_mean[..., kept], x.group_mean, rtol=1e-11, atol=1e-15)
        if name in NAMELESS:
            assert y.group_mean[..., kept].tobytes() == x.group_mean.tobytes()


# ---- corners, against closed forms -----------------------------------------------------------------


def check(program: Program, times, wanted: dict, atol: float = 1e-15, **settings) -> Estimates:
    """Whatever is wanted is there exactly: (kind, name) → values at the times."""
    for sobol in (True, False):
        e = estimate(program, seed=SEED, times=times, flags=program.flags, replicates=4, sobol=sobol, **settings)
        for (kind, name), values in wanted.items():
            np.testing.assert_allclose(column(e, kind, name), values, rtol=1e-12, atol=atol, err_msg=f"{kind} {name}")
    return e


WITHOUT_LUCK = [
    "coins_at_ages",
    "an_age_already_past",
    "two_exponentials",
    "age_bins",
    "softmax_of_three",
]


@pytest.mark.parametrize("name", WITHOUT_LUCK)
def test_where_only_ends_take_luck_the_estimate_is_exact(name):
    """One path is enough, also at the very time of an event, which counts (times are dates of events)."""
    case = CASES[name]()
    program = compile_process(case.process, case.draws)
    check(program, GRID, {key: [f(t) for t in GRID] for key, f in case.wanted.items()})


def test_rare_ends_keep_their_digits():
    """1 − e^(−x) and 1 − p would lose them."""
    tiny = 1e-14
    program = small(
        values={"r": tiny, "p": tiny},
        hazards=[hazard("h", rate="r", **ends("x"))],
        scheduled=[event("s", branch("yes", probability="p", **ends("y")), branch("no"), days=(300, 600))],
    )
    check(program, [2.0], {("cause", "x"): [2 * tiny], ("cause", "y"): [2 * tiny]}, atol=0.0)


def test_a_rare_branch_that_is_tilted_keeps_its_digits():
    tiny = 1e-14
    yes = branch("yes", probability="p", effect={"set": ["a"]})
    program = small(1, values={"p": tiny}, scheduled=[event("s", yes, branch("no"), days=(300,))])
    how = Sampling(np.ones(0), np.array([1.0 / tiny, 1.0]))
    e = estimate(program, seed=SEED, times=[2.0], flags=["a"], replicates=2048, sampling=how, sobol=False)
    n = round(e.mean[0, 0, -1] * e.paths / (2 * tiny))  # each one is worth its weight of 2e-14
    np.testing.assert_allclose(e.mean[0, 0, -1] * e.paths, n * 2 * tiny, rtol=1e-12)
    assert abs(n - e.paths / 2) < 5 * e.paths**0.5 / 2


def test_nothing_at_all():
    """Neither hazards nor events nor causes: everything stays as it is."""
    for hazards in ([], [hazard("h", rate="r", when=["a"], effect={"set": ["b"]})]):
        program = small(
            values={"r": 1.0},
            flags=["a", "b"],
            causes=[],
            outcomes=[{"id": "all", "label": "", "rest": True}],
            hazards=hazards,
            scheduled=[event("s", branch("only", effect={"set": ["a"]}), days=(9999,))] if hazards else [],
        )
        e = check(program, [0.0, 1.0, END], {("outcome", "all"): [1.0] * 3, ("state", "b"): [0.0] * 3})
        assert e.names == (("outcome", "all"), ("state", "a"), ("state", "b"))
        np.testing.assert_array_equal(e.ess[:, 0], e.paths)
        np.testing.assert_array_equal(e.ess[:, 1:], 0.0)
        assert not e.enough[:, 1].any()


def test_a_hazard_that_all_but_empties_the_path():
    """Weights down to 0 in the very first instant; the sums stay what they are."""
    program = small(
        values={"fast": 1e5, "r": 1e-3, "s": 1.0},
        hazards=[
            hazard("h", rate="fast", **ends("x")),
            hazard("g", rate="r", **ends("y")),
            hazard("f", rate="s", effect={"set": ["a"]}),
        ],
    )
    x, y = 1e5 / (1e5 + 1e-3), 1e-3 / (1e5 + 1e-3)
    check(
        program,
        [0.0, 1.0, 2.0, END],
        {("cause", "x"): [0, x, x, x], ("cause", "y"): [0, y, y, y], ("outcome", "open"): [1, 0, 0, 0]},
    )


@pytest.mark.parametrize("day", [0, 200, DAYS[-1]])
def test_all_paths_end_at_once(day):
    """A branch without an alternative, at the as-of date, in between and at the horizon; what comes later is void."""
    t = day / 365.25
    program = small(
        values={"r": 0.4, "p": 0.5},
        hazards=[hazard("h", rate="r", **ends("y"))],
        scheduled=[
            event("end", branch("only", effect={"set": ["a"], "end": "x"}), days=(day,)),
            event("late", branch("only", effect={"set": ["b"], "end": "y"}), days=(day, day + 100)),
        ],
    )
    times = np.unique([0.0, 0.5 * t, t, 3.0, END])
    y = 1 - np.exp(-0.4 * np.minimum(times, t))
    x = np.exp(-0.4 * t) * (times >= t)
    wanted = {("cause", "x"): x, ("cause", "y"): y, ("outcome", "open"): 1 - x - y}
    check(program, times, {**wanted, ("state", "a"): x, ("state", "b"): 0 * x})


def test_a_rest_that_ends_and_alternatives_that_go_on():
    """The rest takes its share; what goes on is certain for the weight that is left, under several dates."""
    p = 0.3
    program = small(
        values={"p": p},
        scheduled=[
            event(
                "s",
                branch("rest", effect={"end": "x", "set": ["b"]}),
                branch("on", probability="p", effect={"set": ["a"]}),
                days=(100, 200, 300),
            )
        ],
    )
    times = np.array([0.0, 100, 150, 200, 299, 300, 1461]) / 365.25
    left = p ** np.array([0, 1, 1, 2, 2, 3, 3])
    check(
        program,
        times,
        {
            ("cause", "x"): 1 - left,
            ("state", "b"): 1 - left,
            ("outcome", "open"): left,
            ("state", "a"): p * (times >= 100 / 365.25),
        },
    )


def test_probabilities_of_one_leave_nothing_to_the_rest():
    """Branches that add up to 1: whether the rest ends or not, it never comes."""
    for rest in ({}, ends("y")):
        program = small(
            values={"p": 0.25, "q": 0.75},
            scheduled=[
                event(
                    "s",
                    branch("on", probability="p", effect={"set": ["a"]}),
                    branch("end", probability="q", **ends("x")),
                    branch("rest", **rest),
                    days=(100,),
                )
            ],
        )
        wanted = {("cause", "x"): [0.75], ("cause", "y"): [0.0], ("state", "a"): [0.25], ("outcome", "open"): [0.25]}
        check(program, [1.0], wanted)


def test_a_softmax_of_which_several_end():
    """Shares of e^u : e^v·m : e^w : 1; two end, and one of the others is the only way on that is watched."""
    u, v, m, w = 0.3, -0.4, 0.9, -1.1
    weights = np.exp([u, v + m, w, 0.0])
    share = weights / weights.sum()
    branches = [
        branch("one", logit="u", effect={"end": "x", "set": ["b"]}),
        branch("two", logit="v", modifiers=[{"when": "not a", "log_ratio": "m"}], **ends("y")),
        branch("rest", effect={"clear": ["a"]}),
        branch("three", logit="w", effect={"end": "x"}),
    ]
    program = small(values={"u": u, "v": v, "m": m, "w": w}, scheduled=[event("s", *branches, days=(500,))])
    check(
        program,
        [1.0, GRID[1], 2.0],
        {
            ("cause", "x"): np.array([0, 1, 1]) * (share[0] + share[2]),
            ("cause", "y"): np.array([0, 1, 1]) * share[1],
            ("state", "b"): np.array([0, 1, 1]) * share[0],
            ("outcome", "open"): [1.0, share[3], share[3]],
        },
    )


def test_deadlines_that_end():
    """A clock that has run for 100 days reaches 300; a hazard takes its share before, a coin at it, then all."""
    p, r = 0.6, 0.8
    program = small(
        values={"p": p, "r": r},
        clocks=[hazard("k", running_since=AS_OF - timedelta(days=100)), hazard("idle")],
        hazards=[hazard("h", rate="r", **ends("y"))],
        scheduled=[
            event(
                "ring",
                branch("yes", probability="p", **ends("x")),
                branch("no"),
                at_age={"clock": "k", "age": 300 / 365.25},
            ),
            event("never", branch("only", **ends("x")), at_age={"clock": "idle", "age": 0.1}),
            event("gone", branch("only", **ends("x")), at_age={"clock": "k", "age": 0.1}),
            event("last", branch("only", **ends("x")), at_age={"clock": "k", "age": 1000 / 365.25}),
        ],
    )
    at = np.array([200, 900]) / 365.25  # 300 and 1000 days less the 100
    alive = np.exp(-r * at)
    times = np.array([0.0, 0.5, 200 / 365.25, 1.0, 3.0])
    first, last = alive[0] * p, alive[1] * (1 - p)
    x = first * (times >= at[0] - 1e-12) + last * (times >= at[1])
    lived = np.minimum(times, at[1])
    y = 1 - np.exp(-r * np.minimum(lived, at[0])) + (1 - p) * np.maximum(0, alive[0] - np.exp(-r * lived))
    check(program, times, {("cause", "x"): x, ("cause", "y"): y})


def test_clocks_that_run_late_or_not_at_all():
    """Hazards by age: before age 0, and without a running clock, nothing happens; a date starts and stops clocks."""
    program = small(
        values={"r": [0.7, 0.0, 0.2], "s": 0.5},
        edges={"r": [0.0, 0.5, 1.0, np.inf]},
        clocks=[
            hazard("later", running_since=AS_OF + timedelta(days=400)),
            hazard("idle"),
            hazard("begun"),
        ],
        hazards=[
            hazard("h", rate="r", clock="later", **ends("x")),
            hazard("n", rate="s", clock="idle", **ends("x")),
            hazard("g", rate="s", clock="begun", **ends("y")),
        ],
        scheduled=[
            event("start", branch("only", effect={"start": ["begun"], "stop": ["later"]}), days=(1000,)),
            event("stop", branch("only", effect={"stop": ["begun"]}), days=(1200,)),
        ],
    )
    times = np.array([0.0, 400, 500, 700, 900, 1000, 1100, 1200, 1461]) / 365.25
    age = np.clip(np.minimum(times, 1000 / 365.25) - 400 / 365.25, 0, None)
    x = 1 - np.exp(-0.7 * np.minimum(age, 0.5) - 0.2 * np.clip(age - 1.0, 0, None))
    y = (1 - x) * (1 - np.exp(-0.5 * np.clip(times - 1000 / 365.25, 0, 200 / 365.25)))
    check(program, times, {("cause", "x"): x, ("cause", "y"): y})


def test_an_event_at_a_report_time_counts_at_it():
    """Dates and ages, one ulp before, at and after them; several events of one instant, in file order."""
    t = 500 / 365.25
    program = small(
        values={"p": 0.4, "q": 0.5},
        clocks=[hazard("k", running_since=AS_OF)],
        scheduled=[
            event("coin", branch("yes", probability="p", **ends("x")), branch("no"), days=(500,)),
            event(
                "ring",
                branch("yes", probability="q", effect={"end": "y", "set": ["a"]}),
                branch("no", effect={"set": ["b"]}),
                at_age={"clock": "k", "age": t},
            ),
        ],
    )
    times = [np.nextafter(t, 0.0), t, np.nextafter(t, 9.0)]
    check(
        program,
        times,
        {
            ("cause", "x"): [0, 0.4, 0.4],
            ("cause", "y"): [0, 0.3, 0.3],
            ("state", "a"): [0, 0.3, 0.3],
            ("state", "b"): [0, 0.3, 0.3],
        },
    )


def test_the_flags_of_an_end_are_those_of_its_moment():
    """A hazard ends paths throughout; what it leaves behind are the flags at that time, with its own effect."""
    r = 0.5
    program = small(
        values={"r": r},
        outcomes=[
            {"id": "with_a", "label": "", "causes": ["x"], "when": ["a"]},
            {"id": "without", "label": "", "causes": ["x"]},
            {"id": "open_with_a", "label": "", "when": ["a"]},
            {"id": "open", "label": "", "rest": True},
        ],
        hazards=[hazard("h", rate="r", effect={"end": "x", "set": ["b"]})],
        scheduled=[
            event("on", branch("only", effect={"set": ["a"]}), days=(200,)),
            event("off", branch("only", effect={"clear": ["a"]}), days=(500,)),
        ],
    )
    on, off = 200 / 365.25, 500 / 365.25
    times = np.array([0.0, 0.2, on, 1.0, off, 3.0])
    ended = 1 - np.exp(-r * times)
    with_a = np.exp(-r * on) - np.exp(-r * np.clip(times, on, off))
    is_on = (times >= on) & (times < off)
    check(
        program,
        times,
        {
            ("outcome", "with_a"): with_a,
            ("outcome", "without"): ended - with_a,
            ("outcome", "open_with_a"): (1 - ended) * is_on,
            ("state", "b"): ended,
            ("state", "a"): with_a + (1 - ended) * is_on,
        },
    )


def test_more_flags_than_are_remembered():
    """A hazard, an event and the classes that read eleven flags, which dated events turn one by one."""
    names = [f"f{n}" for n in range(11)]
    log_ratio, logit = 0.3, -1.0
    modifiers = [{"when": f, "log_ratio": "m"} for f in names]
    ways = [branch("yes", logit="u", modifiers=modifiers, **ends("y")), branch("no")]
    program = small(
        flags=names,
        values={"m": log_ratio, "u": logit, "r": 0.01, "z": 0.0},
        outcomes=[
            {"id": "ended_with_all", "label": "", "causes": ["x", "y"], "when": names},
            {"id": "open_with_two", "label": "", "when": [*names[:2], *(f"not {f}" for f in names[2:])]},
            {"id": "other", "label": "", "rest": True},
        ],
        hazards=[hazard("h", rate="r", modifiers=modifiers, **ends("x"))],
        scheduled=[
            *(event(f"s{n}", branch("only", effect={"set": [f]}), days=(100 * (n + 1),)) for n, f in enumerate(names)),
            event("vote", *ways, days=(250, 1150)),
        ],
    )
    one = vars(exact_forecast(program, 0, np.array([0.0, 0.6, 2.0, END])))
    check(
        program,
        [0.0, 0.6, 2.0, END],
        {
            **{("cause", c): one["cause"][:, n] for n, c in enumerate(program.causes)},
            **{("outcome", o): one["outcome"][:, n] for n, o in enumerate(program.outcomes)},
            **{("state", f): one["state"][:, n] for n, f in enumerate(program.flags)},
        },
    )
    assert program.structure.hazards["memo"][0] == 2**32 - 1, "the hazard has a memory: make it read more flags"
    assert program.structure.events["width"][-1] == 0
