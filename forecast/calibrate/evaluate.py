"""What follows from given values of a model's free variables, for all draws at once and without a compiler.

PyMC compiles one function each for deterministics, predictions and log-likelihoods and calls it draw by
draw. Here their graphs get a leading dim of draws and run as numpy: seconds instead of minutes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr
from pytensor.compile.mode import Mode
from pytensor.graph.replace import vectorize_graph
from pytensor.tensor.type_other import NoneConst

from forecast.types import F64

type Arrays = dict[str, Any]

BLOCK = 250  # draws at a time, so that memory does not grow with their number
PLAIN = Mode(linker="py", optimizer="fast_compile")  # no compiler, and no lock on its cache
AS_WRITTEN = Mode(linker="py", optimizer=None)  # where no rewriting is needed against overflow: less than half the time
NO_COMPILER = {"cxx": ""}  # else C, compiled for the purpose, folds the constants of a graph: 12 s the first time


def prior_draws(model: pm.Model, n: int, seed: int) -> dict[str, F64]:
    """Draw the free variables of a model from their prior, (draw, ...)."""
    free = model.free_RVs
    with pytensor.config.change_flags(**NO_COMPILER):
        values = pm.draw(free, draws=n, random_seed=seed, mode=PLAIN)
    return {v.name: np.asarray(x) for v, x in zip(free, values, strict=True)}


def deterministics(model: pm.Model, free: Mapping[str, F64]) -> Arrays:
    """Every pm.Deterministic for given free variables (draw, ...)."""
    names = [d.name for d in model.deterministics]
    return _run(model, free, names, list(model.deterministics), seed=0, mode=AS_WRITTEN)


def predictions(model: pm.Model, free: Mapping[str, F64], seed: int) -> Arrays:
    """New data for given free variables, one set a draw."""
    graphs = []
    for v in model.observed_RVs:  # without its fixed size, which leaves no room for the dim of draws
        rng, _, *parameters = v.owner.inputs
        graphs.append(v.owner.op.make_node(rng, NoneConst, *parameters).outputs[1])
    return _run(model, free, [v.name for v in model.observed_RVs], graphs, seed, AS_WRITTEN)


def log_likelihoods(model: pm.Model, free: Mapping[str, F64]) -> Arrays:
    """Log-likelihood of each datum for given free variables."""
    observed = model.observed_RVs
    data = [model.rvs_to_values[v].data for v in observed]
    graphs = [pm.logp(v, pt.constant(x)) for v, x in zip(observed, data, strict=True)]
    return _run(model, free, [v.name for v in observed], graphs, seed=0)


def log_priors(model: pm.Model, free: Mapping[str, F64]) -> Arrays:
    """Log prior density of each entry of the free variables, given those that it depends on."""
    graphs = [pm.logp(v, v) for v in model.free_RVs]
    return _run(model, free, [v.name for v in model.free_RVs], graphs, seed=0)


def _run(
    model: pm.Model,
    free: Mapping[str, F64],
    names: Sequence[str],
    graphs: Sequence[Any],
    seed: int,
    mode: Mode = PLAIN,
) -> Arrays:
    if not graphs:
        return {}
    inputs = {v: pt.tensor(f"{v.name}_draws", dtype=v.dtype, shape=(None, *v.type.shape)) for v in model.free_RVs}
    batched = vectorize_graph(list(graphs), replace=inputs)
    with pytensor.config.change_flags(**NO_COMPILER):
        function = pm.compile(list(inputs.values()), batched, mode=mode, random_seed=seed, on_unused_input="ignore")
    values = [np.asarray(free[v.name]) for v in inputs]
    n = len(values[0])
    blocks = [function(*(x[i : i + BLOCK] for x in values)) for i in range(0, n, BLOCK)]
    return {name: np.concatenate([b[k] for b in blocks]) for k, name in enumerate(names)}


def dataset(model: pm.Model, values: Mapping[str, Any], chains: int) -> xr.Dataset:
    """Label arrays (chain times draw, ...) with the dims and coords of the model."""
    variables, coords = {}, {"chain": np.arange(chains)}
    for name, x in values.items():
        dims = model.named_vars_to_dims.get(name) or tuple(f"{name}_dim_{k}" for k in range(np.ndim(x) - 1))
        split = np.reshape(x, (chains, -1, *np.shape(x)[1:]))
        variables[name] = (("chain", "draw", *dims[: split.ndim - 2]), split)
        coords["draw"] = np.arange(split.shape[1])
        coords |= {d: np.array(model.coords[d]) for d in dims if model.coords.get(d) is not None}
    return xr.Dataset(variables, coords)


def observed(model: pm.Model) -> xr.Dataset:
    """What was observed, labelled; no chains and draws."""
    one = {v.name: np.asarray(model.rvs_to_values[v].data)[None] for v in model.observed_RVs}
    return dataset(model, one, 1).isel(chain=0, draw=0, drop=True)
