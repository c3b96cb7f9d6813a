"""Compile a model once and give it other data: hundreds of data sets at the price of one compilation.

A model holds its data as constants of its graph: counts, but also what follows from them, such as times at
risk or the moments of experts' answers. Models of the same shape built from other data differ in these
constants alone. So a few are built, the constants that differ become shared variables before nutpie
compiles one of them, and for each further data set a model is built (20 ms), not compiled, and read.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.replace import clone_replace
from pytensor.graph.traversal import toposort

from forecast.calibrate.compiled import compile_model
from forecast.calibrate.evaluate import PLAIN

LIKELIHOOD = "log_likelihood"  # of all data, as one more number to rank (Modrák et al. 2023)


class ShapeError(Exception):
    """Two data sets give models whose graphs are not alike, so that one cannot stand in for the other."""


@dataclass(frozen=True)
class Swappable:
    """A compiled model whose data can be exchanged.

    lifted: which constants are shared variables by now, by their place in the graph
    fixed: the other constants, which every data set must have alike
    likelihood: log-likelihood for values of the free variables and of the lifted constants
    """

    compiled: Any
    free: tuple[str, ...]
    lifted: tuple[int, ...]
    fixed: Mapping[int, Any]
    likelihood: Any

    def constants(self, model: pm.Model) -> dict[str, Any]:
        """Read the constants of a model of another data set."""
        places = _places(model)
        if len(places) != len(self.lifted) + len(self.fixed):
            raise ShapeError("the graph has another size")
        found = [_data(p) for p in places]
        for k, value in self.fixed.items():
            if not _same(found[k], value):
                raise ShapeError(f"constant {k} differs where it did not before")
        return {f"datum_{k}": found[k] for k in self.lifted}

    def with_data(self, data: Mapping[str, Any]) -> Any:
        """Return the compiled model with other data; what only other deterministics use is not in it."""
        used = {v.name for v in self.compiled.shared_var_keys}
        return self.compiled.with_data(**{k: x for k, x in data.items() if k in used})


def swappable(models: Sequence[pm.Model], names: Sequence[str]) -> Swappable:
    """Compile the first of several models of like shape; what differs between them can be exchanged.

    names: deterministics to keep besides the free variables
    """
    model = models[0]
    every = [[_data(p) for p in _places(m)] for m in models]
    if len({len(found) for found in every}) != 1:
        raise ShapeError("the models' graphs are not alike")
    differs = [k for k, first in enumerate(every[0]) if not all(_same(first, found[k]) for found in every[1:])]
    shared = _lift(model, differs)
    with model:
        observed = [pm.logp(v, model.rvs_to_values[v]).sum() for v in model.observed_RVs]
        total = pm.Deterministic(LIKELIHOOD, pt.add(*observed) if len(observed) > 1 else observed[0])
    free = [v.name for v in model.free_RVs]
    inputs = {x: x.type() for x in (*model.free_RVs, *shared)}
    (given,) = clone_replace([total], replace=inputs)
    likelihood = pytensor.function(list(inputs.values()), given, mode=PLAIN, on_unused_input="ignore")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba and of nutpie, about caches and attributes
        compiled = compile_model(model, [*names, LIKELIHOOD])
    fixed = {k: value for k, value in enumerate(every[0]) if k not in differs}
    return Swappable(compiled, tuple(free), tuple(differs), fixed, likelihood)


def _places(model: pm.Model) -> list[tuple[Apply[Any] | pm.Model, Any]]:
    """Every place of a model where a constant array stands: inputs of nodes in order, then observed values."""
    nodes = list(toposort([*model.basic_RVs, *model.deterministics]))
    inputs = [(node, i) for node in nodes for i, x in enumerate(node.inputs) if _is_array(x)]
    return [*inputs, *((model, v) for v in model.observed_RVs)]


def _is_array(x: Variable[Any, Any]) -> bool:
    return isinstance(x, Constant) and isinstance(x.data, np.ndarray)


def _constant(place: tuple[Any, Any]) -> Any:
    owner, where = place
    return owner.rvs_to_values[where] if isinstance(owner, pm.Model) else owner.inputs[where]


def _data(place: tuple[Any, Any]) -> Any:
    return _constant(place).data


def _same(a: Any, b: Any) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _lift(model: pm.Model, which: Sequence[int]) -> list[Any]:
    """Put shared variables of the same type in the places of constants."""
    places, shared = _places(model), []
    for k in which:
        owner, where = places[k]
        old = _constant(places[k])
        new = pytensor.shared(old.data, name=f"datum_{k}", shape=old.type.shape)
        if isinstance(owner, pm.Model):
            owner.rvs_to_values[where], owner.values_to_rvs[new] = new, where
        else:
            owner.inputs[where] = new
        shared.append(new)
    return shared
