"""Random bits against published answers; elementary functions against the C library, in units in the last place."""

import math
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytest

from forecast.kernels import arith

KNOWN = [  # Random123, kat_vectors: philox4x32-10
    (
        (0, 0, 0, 0),
        (0, 0),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF,) * 4,
        (0xFFFFFFFF,) * 2,
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_philox_gives_the_published_answers(counter, key, answer):
    assert tuple(map(int, arith.philox(*map(arith.U, (*counter, *key))))) == answer


def test_every_word_of_the_counter_and_the_key_matters():
    base = (arith.U(0x1234_5678_9ABC_DEF0), 5, 6, arith.U(7), 8)
    seen = {arith.uniform(*base)}
    for place, other in ((0, arith.U(0x1234_5678_9ABC_DEF1)), (0, arith.U(0x1234_5679_9ABC_DEF0))):
        seen.add(arith.uniform(*base[:place], other, *base[place + 1 :]))
    for place, other in ((1, 9), (2, 9), (3, arith.U(9)), (4, 9)):
        seen.add(arith.uniform(*base[:place], other, *base[place + 1 :]))
    assert len(seen) == 7


def test_uniforms_stay_inside_the_open_interval_at_both_ends():
    u = getattr(arith.unit, "py_func", arith.unit)
    for word, wanted in ((0, 2.0**-53), (0xFFFFFFFF, 1.0 - 2.0**-53)):
        assert u(arith.U(word), arith.U(word)) == wanted


def test_uniforms_are_uniform():
    """Ten cells, 1e5 numbers: chi-square below its 1 − 1e-6 quantile at 9 degrees of freedom (45.1)."""
    n = 100_000
    x = [arith.uniform(arith.U(42), d, r, arith.U(99), 0) for d in range(100) for r in range(n // 100)]
    counts = np.histogram(x, bins=10, range=(0, 1))[0]
    assert ((counts - n / 10) ** 2 / (n / 10)).sum() < 45.1


def ulps(got: float, wanted: float) -> float:
    return abs(got - wanted) / math.ulp(wanted)


def test_log_is_right_to_two_units_in_the_last_place():
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.random(20_000), 10 ** rng.uniform(-300, 300, 20_000), 1 + rng.normal(0, 1e-6, 2_000)])
    x = [*x.tolist(), 2.0**-53, 1 - 2.0**-53, 0.5, math.sqrt(0.5), 2.0, 5e-324, 1.7e308]
    assert max(ulps(arith.log(v), math.log(v)) for v in x if v != 1.0) <= 2
    assert arith.log(1.0) == 0.0


def test_exp_is_right_to_two_units_in_the_last_place():
    rng = np.random.default_rng(2)
    x = [*rng.uniform(-700, 700, 20_000).tolist(), *rng.normal(0, 1, 20_000).tolist(), 0.0, -707.9, 709.5, -1e-320]
    assert max(ulps(arith.exp(v), math.exp(v)) for v in x) <= 2
    assert arith.exp(1000.0) == math.inf
    assert arith.exp(-1000.0) == 0.0
    assert arith.exp(-740.0) == pytest.approx(math.exp(-740.0), abs=1e-323)


def exact_ulps(got: float, wanted: Decimal) -> float:
    return float(abs(Decimal(got) - wanted) / Decimal(math.ulp(float(wanted))))


def test_the_tables_are_right_to_one_unit_in_the_last_place():
    """Against 40 digits: next to 1, at every edge of a row, over all exponents."""
    rng = np.random.default_rng(7)
    edges = (arith.LOWEST + (np.arange(arith.ROWS + 1) << arith.ROW_BITS)).view(np.float64)
    near = [1 + rng.normal(0, 10.0**-n, 100) for n in range(2, 15)]
    x = np.concatenate([edges, np.nextafter(edges, 0), *near, 10 ** rng.uniform(-307, 308, 500), rng.random(500)])
    y = np.concatenate([rng.uniform(-700, 700, 500), rng.normal(0, 1, 500), rng.normal(0, 1e-9, 100)])
    with localcontext() as context:
        context.prec = 40
        assert max(exact_ulps(arith.quick_log(v), Decimal(v).ln()) for v in x.tolist() if v != 1.0) <= 1
        assert max(exact_ulps(arith.quick_exp(v), Decimal(v).exp()) for v in y.tolist()) <= 1
    assert arith.quick_log(1.0) == 0.0
    assert arith.quick_exp(0.0) == 1.0
    assert arith.quick_exp(-740.0) == arith.exp(-740.0)
    assert arith.quick_exp(1000.0) == math.inf


def test_power_is_right_to_the_units_in_the_last_place_that_it_states():
    rng = np.random.default_rng(3)
    x = 10 ** rng.uniform(-12, 12, 40_000)
    c = 10 ** rng.uniform(-1.5, 1.3, 40_000)
    pairs = [(a, b) for a, b in zip(x.tolist(), c.tolist(), strict=True) if 1e-290 < a**b < 1e290]
    assert len(pairs) > 35_000
    assert max(ulps(arith.power(a, b), a**b) / (2 + 2 * abs(b * math.log(a))) for a, b in pairs) <= 1
    assert arith.power(0.0, 0.5) == 0.0
    assert arith.power(5e-324, 0.5) == pytest.approx(math.sqrt(5e-324), rel=1e-15)
    assert arith.power(1.0, 7.3) == 1.0
    assert arith.power(0.3, 1.0) == pytest.approx(0.3, rel=3e-16)


@pytest.mark.parametrize("function", [arith.log, arith.exp, lambda v: arith.power(v, 0.37)])
def test_functions_do_not_go_down(function):
    """A cumulative hazard that fell by a bit could make an age go backwards by more than rounding."""
    x = np.sort(np.random.default_rng(4).uniform(0.01, 5.0, 20_000)).tolist()
    y = [function(v) for v in x]
    assert all(b >= a - 2 * math.ulp(a) for a, b in pairwise(y))


@pytest.mark.skipif(not hasattr(arith.log, "py_func"), reason="the compiler is off")
def test_the_compiler_changes_no_bit():
    rng = np.random.default_rng(5)
    for v in rng.uniform(0.001, 30.0, 3000).tolist():
        assert arith.log(v) == arith.log.py_func(v)
        assert arith.exp(v) == arith.exp.py_func(v)
        assert arith.exp(-v) == arith.exp.py_func(-v)
        assert arith.power(v, 0.4) == arith.power.py_func(v, 0.4)
        assert arith.quick_log(v) == arith.quick_log.py_func(v)
        assert arith.quick_exp(v) == arith.quick_exp.py_func(v)
    for n in range(500):
        args = (arith.U(0x1234_5678_9ABC_DEF0 + n), n % 7, n, arith.U(3 * n), n % 5)
        assert arith.uniform(*args) == arith.uniform.py_func(*args)


def test_exp_of_an_array_is_exp_of_each():
    x = np.random.default_rng(6).normal(size=(3, 4))
    assert arith.exp_array(x).tolist() == [[arith.exp(v) for v in row] for row in x.tolist()]
