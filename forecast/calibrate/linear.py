"""Constant sparse matrices times symbolic vectors, by one compiled loop for all of them, gradients included.

PyTensor compiles each pair of layouts that are multiplied, each indexing and each way back from it anew, at up
to 1.5 s apiece; what a model takes from its tables are dozens of such maps, of few entries a row.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytensor.tensor as pt
from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Constant
from pytensor.graph.op import Op
from pytensor.graph.replace import _vectorize_node
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_default_op_cache_key
from scipy.sparse import csr_array

from forecast.types import F64, I64

type Tensor = Any  # a symbolic array: PyTensor has no types that mypy could follow


def product(matrix: csr_array | F64, x: Tensor) -> Tensor:
    """Multiply: matrix (row, column) @ x (column,)."""
    rows = csr_array(matrix)
    rows.eliminate_zeros()
    # unsigned, so that no index has to be checked for counting from the end
    columns, starts = (pt.constant(v.astype(np.uint32)) for v in (rows.indices, rows.indptr))
    return Product()(pt.constant(rows.data.astype(np.float64)), columns, starts, pt.constant(rows.shape[1]), x)


def picks(index: npt.ArrayLike, width: int) -> csr_array:
    """Matrix (row, width) whose product with x is x[index]."""
    index = np.asarray(index, np.int64)
    return csr_array((np.ones(len(index)), index, np.arange(len(index) + 1)), shape=(len(index), width))


def padded(factor: F64, place: I64, width: int) -> csr_array:
    """Matrix (row, width) whose product with x is sum_j factor[row, j] * x[place[row, j]]."""
    row = np.repeat(np.arange(len(place)), place.shape[1])
    return csr_array((factor.ravel(), (row, place.ravel())), shape=(len(place), width))


class Product(Op):  # type: ignore[misc]
    """A @ x, or A' @ x if transposed, along the last axis of x.

    A is given, as constants, by its entries row by row, the column of each, where each row begins (the end comes
    last), and how many columns there are. Nothing is taken from their values while the graph is built: what compiles
    once for many data sets (`sbc.swap`) puts variables in their places.
    """

    __props__ = ("transposed",)

    def __init__(self, *, transposed: bool = False) -> None:
        self.transposed = transposed

    def make_node(self, *inputs: Tensor) -> Apply:
        """Declare the output: as many numbers as A has rows, or columns if transposed."""
        *matrix, x = [pt.as_tensor_variable(v) for v in inputs]
        width = int(matrix[3].data) if isinstance(matrix[3], Constant) else None
        size = width if self.transposed else matrix[2].type.shape[0] - 1
        return Apply(self, [*matrix, x], [pt.tensor(dtype="float64", shape=(*x.type.shape[:-1], size))])

    def perform(self, _node: Apply, inputs: Sequence[Any], outputs: list[list[Any]]) -> None:
        """Compute without a compiler, for any number of vectors."""
        entries, columns, starts, width, x = inputs
        shape = (len(starts) - 1, int(width))
        matrix = csr_array((entries, columns.astype(np.int64), starts.astype(np.int64)), shape)
        rows = matrix.T if self.transposed else matrix
        flat = rows @ x.reshape(math.prod(x.shape[:-1]), x.shape[-1]).T
        outputs[0][0] = np.ascontiguousarray(flat.T).reshape(*x.shape[:-1], rows.shape[0])

    def infer_shape(self, node: Apply, shapes: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """As `make_node`."""
        return [(*shapes[-1][:-1], node.inputs[3] if self.transposed else shapes[2][0] - 1)]

    def connection_pattern(self, _node: Apply) -> list[list[bool]]:
        """No gradient for the matrix."""
        return [[False]] * 4 + [[True]]

    def pullback(self, inputs: Sequence[Tensor], _outputs: Sequence[Tensor], cotangents: Sequence[Tensor]) -> Any:
        """Gradient for x: A' times that of the product."""
        back = Product(transposed=not self.transposed)(*inputs[:4], cotangents[0])
        return [disconnected_type() for _ in range(4)] + [back]


@_vectorize_node.register(Product)  # type: ignore[untyped-decorator]
def _for_many(op: Product, _node: Apply, *inputs: Tensor) -> Apply:
    return op.make_node(*inputs)


@register_funcify_default_op_cache_key(Product)  # type: ignore[untyped-decorator]
def _compiled(op: Product, **_: Any) -> Any:
    @numba_njit  # type: ignore[untyped-decorator]
    def product(entries: F64, columns: Any, starts: Any, _width: Any, x: F64) -> F64:
        result = np.empty(len(starts) - 1)
        for i in range(len(result)):
            total = 0.0
            for k in range(starts[i], starts[i + 1]):
                total += entries[k] * x[columns[k]]
            result[i] = total
        return result

    @numba_njit  # type: ignore[untyped-decorator]
    def transposed(entries: F64, columns: Any, starts: Any, width: Any, x: F64) -> F64:
        result = np.zeros(width.item())
        for i in range(len(starts) - 1):
            for k in range(starts[i], starts[i + 1]):
                result[columns[k]] += entries[k] * x[i]
        return result

    return transposed if op.transposed else product
