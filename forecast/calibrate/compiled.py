"""A model compiled for NUTS, such that a seed gives the same draws whatever has been compiled before."""

from collections.abc import Sequence
from typing import Any

import nutpie
import pymc as pm
import pytensor


def compile_model(model: pm.Model, names: Sequence[str]) -> Any:
    """Compile a model whose draws are to hold the variables `names`.

    Without fast maths: that lets the compiler reorder sums, and it does so otherwise where parts come out of its
    cache than where all is compiled anew. NUTS makes other draws out of the last bit. And without checks
    of bounds, which no value on the unconstrained scale can break: what is not finite is refused anyway.
    """
    checked = model.check_bounds
    model.check_bounds = False
    try:
        with pytensor.config.change_flags(numba__fastmath=False):
            return nutpie.compile_pymc_model(model, var_names=list(names))
    finally:
        model.check_bounds = checked
