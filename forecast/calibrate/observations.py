"""The data of a fit, class by class, beside what the model predicts for them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import xarray as xr

from forecast.types import F64

EXPERTS, SOURCES = "experts", "sources of "
KINDS = {"rates__events": "rates", "binomial__successes": "binomial", "survival__ended": "survival"}


@dataclass(frozen=True)
class Block:
    """What one reference class (or the experts, or the sources of one parameter) has observed.

    labels: a name for each cell
    observed (cell, ...); predicted, expected (draw, cell, ...): of the posterior and of the prior, the latter
        None where its draws would be too large to be drawn
    log_likelihood (chain, draw, cell); 0 where the fit does not keep it
    every: of how many posterior draws of a chain one is in `predicted`
    """

    id: str
    kind: str
    labels: tuple[str, ...]
    observed: F64
    predicted: F64
    expected: F64 | None
    log_likelihood: F64
    every: int

    @property
    def discrete(self) -> bool:
        """Whether the data are counts."""
        return self.kind not in ("experts", "agreement")


def blocks(tree: xr.DataTree) -> list[Block]:
    """Cut the observed variables of a fit into classes, sorted by kind and name; none without data.

    Classes of kinds that share a variable are told apart by its labels, "<class>: <cell>".
    """
    if "observed_data" not in tree.children or "posterior_predictive" not in tree.children:
        return []
    found: dict[str, list[Block]] = {}
    for name in sorted(str(k) for k in tree["observed_data"].data_vars):
        for block in _of_variable(tree, name):
            found.setdefault(block.id, []).append(block)
    return sorted((_joined(several) for several in found.values()), key=lambda b: (b.kind, b.id))


def _of_variable(tree: xr.DataTree, name: str) -> Iterator[Block]:
    observed = tree["observed_data"].to_dataset()[name]
    labels = _labels(observed, name)
    predicted = tree["posterior_predictive"].to_dataset()[name].transpose("chain", "draw", ...)
    expected = None
    if "prior_predictive" in tree.children and name in tree["prior_predictive"]:
        expected = _flat(tree["prior_predictive"].to_dataset()[name])
    log_likelihood = np.zeros((predicted.sizes["chain"], predicted.sizes["draw"], len(labels)))
    if "log_likelihood" in tree.children:
        log_likelihood = tree["log_likelihood"][name].transpose("chain", "draw", ...).to_numpy().astype(np.float64)
    every = -(-log_likelihood.shape[1] // predicted.sizes["draw"])
    flat = _flat(predicted)
    owners = (
        [_owner(name, label) for label in labels] if _known(name, observed) else [(name, "rates", x) for x in labels]
    )
    for id_, kind in dict.fromkeys(o[:2] for o in owners):
        cells = [k for k, o in enumerate(owners) if o[0] == id_]
        yield Block(
            id_,
            kind,
            tuple(owners[k][2] for k in cells),
            observed.to_numpy().astype(np.float64)[cells],
            flat[:, cells],
            None if expected is None else expected[:, cells],
            log_likelihood.reshape(*log_likelihood.shape[:2], -1)[:, :, cells],
            every,
        )


def _labels(observed: xr.DataArray, name: str) -> list[str]:
    dim = observed.dims[0]
    if dim in observed.coords and observed[dim].dtype.kind in "UTO":
        return [str(x) for x in observed[dim].to_numpy()]
    return [f"{name.rpartition('__')[2].replace('_', ' ')}, {k + 1}" for k in range(observed.sizes[dim])]


def _known(name: str, observed: xr.DataArray) -> bool:
    """Whether a variable is one of those that a model of the project observes."""
    return name in KINDS or name.endswith("__counts") or observed.dtype.kind == "f"


def _owner(name: str, label: str) -> tuple[str, str, str]:
    """Return the class, its kind, and the name of a cell within it."""
    if name.endswith("__counts"):
        return name.removesuffix("__counts"), "categories", label
    if name.startswith("elicited__"):
        return EXPERTS, "experts", label
    prefix, _, cell = label.partition(": ")
    if name in KINDS:
        return prefix, KINDS[name], cell
    return f"{SOURCES}{prefix}", "agreement", cell


def _flat(x: xr.DataArray) -> F64:
    values = x.transpose("chain", "draw", ...).to_numpy().astype(np.float64)
    return values.reshape(-1, *values.shape[2:])


def _joined(several: list[Block]) -> Block:
    """Put variables of one owner (the experts' answers) end to end."""
    if len(several) == 1:
        return several[0]
    first = several[0]
    expected = [b.expected for b in several if b.expected is not None]
    return Block(
        first.id,
        first.kind,
        tuple(label for b in several for label in b.labels),
        np.concatenate([b.observed for b in several]),
        np.concatenate([b.predicted for b in several], axis=1),
        np.concatenate(expected, axis=1) if len(expected) == len(several) else None,
        np.concatenate([b.log_likelihood for b in several], axis=2),
        first.every,
    )
