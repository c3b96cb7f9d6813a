"""The keyed stream of random numbers: published answers, independence along every axis, what the simulator takes.

`benchmarks/stream.py` is the long form. Seeds are fixed. Of about 200 p-values none may be closer than 1e-6 to 0 or
1, which good numbers would do once in 2,500 seeds, and together they must look uniform at a level of 1e-4. That the
tests can see something is tested too, on generators that are bad in the ways in which keyed ones go wrong.
"""

import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial

import numpy as np
import pytest
from scipy import stats

from forecast.deal.spec import Branch, Effect, Flag, Hazard, OutcomeClass, Process, Scheduled
from forecast.kernels import arith
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.process.lower import event_key
from forecast.simulate import record_paths
from tests.generate import AS_OF
from tests.oracles import keyed
from tests.oracles.randomness import BITS, TESTS, turned, verdict

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
compiled_only = pytest.mark.skipif(INTERPRETED, reason="millions of numbers take minutes without the compiler")
CLOSEST = 1e-6

PUBLISHED = [  # Random123, kat_vectors: rounds, counter, key, answer; three each for 7 and 10 rounds, and no more
    (7, "00000000 00000000 00000000 00000000", "00000000 00000000", "5f6fb709 0d893f64 4f121f81 4f730a48"),
    (7, "ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "5207ddc2 45165e59 4d8ee751 8c52f662"),
    (7, "243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "4dfccaba 190a87f0 c47362ba b6b5242a"),
    (10, "00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    (10, "ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (10, "243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> tuple[int, ...]:
    return tuple(int(x, 16) for x in text.split())


@pytest.mark.parametrize(("rounds", "counter", "key", "answer"), PUBLISHED)
def test_philox_written_a_second_time_gives_the_published_answers(rounds, counter, key, answer):
    assert keyed.philox(rounds, words(counter), words(key)) == words(answer)


def test_the_kernel_agrees_with_philox_written_a_second_time():
    rng = np.random.default_rng(1)
    for row in rng.integers(0, 2**32, (300, 6)).tolist():
        got = arith.philox(*map(arith.U, row))
        assert tuple(map(int, got)) == keyed.philox(10, tuple(row[:4]), tuple(row[4:]))


# ---- what the simulator takes ----------------------------------------------------------------------


def branches(*names: str, share: str) -> tuple[Branch, ...]:
    return (*(Branch(id=n, label="", probability=share) for n in names), Branch(id="rest", label=""))


def games(n_draw: int) -> Program:
    """A hazard that fires again and again at rate 1, and three series of events.

    One has two ways to go; one switches itself off with its heads, and is switched on again before its next date.
    """
    dates = tuple(AS_OF + timedelta(days=90 * n) for n in range(24))
    coin, wheel = branches("heads", share="half"), branches("red", "black", share="quarter")
    heads = coin[0].model_copy(update={"effect": Effect(set=("off",))})
    on = Branch(id="only", label="", effect=Effect(clear=("off",)))
    process = Process(
        deal_id="games",
        title="",
        as_of=AS_OF,
        horizon=6.0,
        flags=(Flag(id="f", label=""), Flag(id="off", label="")),
        hazards=(Hazard(id="tick", label="", rate="one", effect=Effect(set=("f",))),),
        scheduled=(
            Scheduled(id="coin", label="", branches=coin, dates=dates),
            Scheduled(id="wheel", label="", branches=wheel, dates=dates),
            Scheduled(id="switch", label="", when=["not off"], branches=(heads, coin[1]), dates=dates),
            Scheduled(id="on", label="", branches=(on,), dates=dates),
        ),
        outcomes=(OutcomeClass(id="any", label="", rest=True),),
    )
    values = {"one": np.ones(n_draw), "half": np.full(n_draw, 0.5), "quarter": np.full(n_draw, 0.25)}
    return compile_process(process, Draws(values, {}, {}, {}))


def series(number: Callable[[int], float], names: tuple[str, ...], *, once: bool) -> list[str]:
    """24 dates on which the rest has a chance of a half: what takes more than log 2 of an exponential.

    The others share alike. An event that they switch off (once) uses up an exponential date by date.
    """
    seen, count, left = [], 0, -np.log(number(0))
    for _ in range(24):
        rest = left > np.log(2.0)
        left -= np.log(2.0)
        seen.append("rest" if rest else names[int(number(2**32 + count) * len(names)) if len(names) > 1 else 0])
        if not rest or not once:
            count += 1
            left = -np.log(number(count))
    return seen


@pytest.mark.parametrize("seed", [0, 1, 0xFEDC_BA98_7654_3210])
def test_the_simulator_takes_the_numbers_that_are_tested_here(seed):
    """Occurrence n of a hazard or an event is its n-th exponential; n + 2^32 says what that brings about."""
    program = games(3)
    log = record_paths(program, seed=seed, paths=np.arange(3 * 5), replicates=5, max_steps=300)
    for row, (d, r) in enumerate(zip(log.draw.tolist(), log.replicate.tolist(), strict=True)):
        fired = [program.firings[f] for f in log.firing[row, : log.n_step[row]]]
        numbers = {id_: partial(_uniform, seed, d, r, id_) for id_ in ("tick", "coin", "wheel", "switch")}
        times = [t for t, f in zip(log.time[row], fired, strict=False) if f.event == "tick"]
        waits = [-np.log(numbers["tick"](n)) for n in range(len(times))]
        np.testing.assert_allclose(np.diff(times, prepend=0.0), waits, rtol=1e-12, atol=1e-14)
        for event, names in (("coin", ("heads",)), ("wheel", ("red", "black")), ("switch", ("heads",))):
            wanted = series(numbers[event], names, once=event == "switch")
            assert [f.branch for f in fired if f.event == event] == wanted


def _uniform(seed: int, draw: int, replicate: int, event: str, occurrence: int) -> float:
    at = (seed, draw, replicate, event_key(event), occurrence)
    return float(arith.uniform(*map(arith.U, at)))


# ---- independence ----------------------------------------------------------------------------------


def findings(generator: keyed.Generator, n: int) -> list[keyed.Finding]:
    return [*keyed.along(generator, n), *keyed.across(generator), *keyed.avalanche(generator)]


def suspicious(found: list[keyed.Finding]) -> list[keyed.Finding]:
    return [f for f in found if not CLOSEST <= f.p <= 1.0 - CLOSEST]


@compiled_only
def test_the_stream_is_good_along_every_axis():
    found = findings(keyed.simulators, 2**17)
    assert suspicious(found) == []
    assert verdict([f.p for f in found]).kolmogorov > 1e-4


@compiled_only
def test_no_number_comes_twice():
    """Two to eight steps along each axis: two equal ones in one of 130,000 seeds."""
    assert keyed.repeats(keyed.simulators) == 0


# ---- the tests can fail, and do not cry wolf -------------------------------------------------------


@compiled_only
@pytest.mark.parametrize("name", keyed.BAD)
def test_a_bad_stream_is_found_out(name):
    assert any(suspicious([f]) for f in keyed.along(keyed.BAD[name], 2**15))


@pytest.mark.parametrize("axis", ["draw", "replicate", "key", "seed", "occurrence"])
def test_a_coordinate_left_out_makes_numbers_come_twice(axis):
    assert keyed.repeats(keyed.without(axis)) >= 2**18 * 7 // 8


@pytest.mark.parametrize("test", TESTS, ids=lambda t: t.__name__)
def test_every_test_finds_out_one_round_of_philox(test):
    k = keyed.BAD["philox with 1 round"](keyed.WALKS[0].at(0, 2**15, 1))
    assert not CLOSEST <= test(k) <= 1.0 - CLOSEST


@pytest.mark.parametrize("test", TESTS, ids=lambda t: t.__name__)
def test_every_test_is_uniform_on_the_numbers_of_numpy(test):
    """30 sets of PCG64, a level of 1e-4 each."""
    k = np.random.default_rng(7).integers(0, 2**BITS, (30, 2**16), dtype=np.uint64)
    p = [test(x if n % 2 else turned(x)) for n, x in enumerate(k)]
    assert stats.kstest(p, "uniform").pvalue > 1e-4
