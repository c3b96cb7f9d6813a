"""Constant sparse matrices times symbolic vectors: dense NumPy is the oracle."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from pytensor.graph.replace import vectorize_graph

from forecast.calibrate.evaluate import PLAIN
from forecast.calibrate.linear import padded, picks, product

RNG = np.random.default_rng(3)
A = RNG.normal(size=(7, 5)) * (RNG.random((7, 5)) < 0.5)
A[2], A[:, 4] = 0.0, 0.0  # a row and a column of nothing
X = RNG.normal(size=5)


@pytest.mark.parametrize("mode", [PLAIN, "NUMBA"], ids=["plain", "compiled"])
def test_a_product_and_its_gradient(mode):
    x, weight = pt.vector("x"), RNG.normal(size=7)
    y = product(A, x[::-1])  # a view, which lies in memory the other way round
    with pytensor.config.change_flags(numba__fastmath=False):
        values = pytensor.function([x], [y, pt.grad(pt.dot(weight, y), x)], mode=mode)(X)
    np.testing.assert_allclose(values[0], A @ X[::-1], rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(values[1], (A.T @ weight)[::-1], rtol=1e-14, atol=1e-14)


def test_many_vectors_at_once():
    x, many = pt.vector("x"), pt.matrix("many")
    xs = RNG.normal(size=(4, 5))
    y = vectorize_graph(product(A, x), {x: many})
    np.testing.assert_allclose(y.eval({many: xs}, mode=PLAIN), xs @ A.T, rtol=1e-14, atol=1e-14)


def test_a_matrix_without_columns_gives_zeros():
    y = product(np.zeros((3, 0)), np.zeros(0))
    assert y.type.shape == (3,)
    np.testing.assert_array_equal(y.eval(mode=PLAIN), np.zeros(3))


def test_picks_are_indices():
    index = [3, 0, 0]
    np.testing.assert_array_equal(picks(index, 5) @ X, X[index])


def test_padded_rows_are_sums_of_products():
    factor, place = np.array([[2.0, 3.0], [1.0, 0.0]]), np.array([[1, 4], [2, 2]])
    np.testing.assert_array_equal(padded(factor, place, 5) @ X, [2.0 * X[1] + 3.0 * X[4], X[2]])


def test_entries_may_be_exchanged_after_compiling():
    """Simulation-based calibration compiles a model once, with variables in the place of its data."""
    x, weight = pt.vector("x", shape=(5,)), RNG.normal(size=7)
    y = product(A, x)
    entries = pytensor.shared(y.owner.inputs[0].data, shape=y.owner.inputs[0].type.shape)
    y.owner.inputs[0] = entries
    slope = pytensor.function([x], [y, pt.grad(pt.dot(weight, y), x)], mode=PLAIN)
    entries.set_value(2.0 * entries.get_value())
    values = slope(X)
    np.testing.assert_allclose(values[0], 2.0 * A @ X, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(values[1], 2.0 * A.T @ weight, rtol=1e-14, atol=1e-14)
