"""Power-scaling sensitivity: what a little more or less weight of a prior, or of data, does to a posterior."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from forecast.calibrate.observations import EXPERTS, Block
from forecast.deal.parameters import Parameter
from forecast.types import F64

ALPHAS = (0.99, 1.01)
MATTERS = 0.05  # sensitivity from which a component is said to matter (Kallioinen et al. 2024)
# Parts of the prior that hold a class together rather than say what is expected of it: a level's effect given
# the spread of all, and how far a deal differs from its class. Scaling them would scale the model itself.
NOT_A_PRIOR = ("class__z", "class__transfer", "elicited__z")
CONFLICT, WEAK = "prior-data conflict", "strong prior / weak likelihood"


@dataclass(frozen=True)
class Sensitivity:
    """How one number of the deal answers to the prior and to the data of one class it rests on.

    noise: what both would be if draws and weights had nothing to do with each other
    """

    number: str
    source: str
    prior: float
    likelihood: float
    noise: tuple[float, float] = (0.0, 0.0)

    @property
    def diagnosis(self) -> str:
        """What the two say together; nothing if the prior does not matter, or is an expert's own word."""
        prior, likelihood = (max(MATTERS, 2.0 * x) for x in self.noise)
        if not self.prior >= prior or self.source == EXPERTS:
            return ""
        return CONFLICT if self.likelihood >= likelihood else WEAK


def sensitivities(tree: xr.DataTree, parameters: Mapping[str, Parameter], found: list[Block]) -> list[Sensitivity]:
    """Sensitivity of every number of a deal to each class it rests on; none without a log prior.

    Kallioinen, Paananen, Bürkner & Vehtari 2024: draws are weighted by the class's prior (or likelihood)
    to the power alpha - 1, smoothed, and the derivative at alpha = 1 of the cumulative Jensen–Shannon
    distance between weighted and plain draws is taken.
    """
    if "log_prior" not in tree.children:
        return []
    posterior = tree["posterior"].to_dataset()
    wanted = {k: sources_of(p) for k, p in parameters.items() if k in posterior and sources_of(p)}
    rows = []
    for block in found:
        if not any(block.id in sources for sources in wanted.values()):
            continue
        scaled = [_weights(x) for x in (_log_prior(tree, block.id), block.log_likelihood.sum(axis=2))]
        for id_ in (k for k, sources in wanted.items() if block.id in sources):
            for name, draws in numbers(posterior, id_):
                prior, likelihood = (_sense(draws, w) for w in scaled)
                noise = [_noise(draws, w) for w in scaled] if prior >= MATTERS else [0.0, 0.0]
                rows.append(Sensitivity(name, block.id, prior, likelihood, (noise[0], noise[1])))
    return rows


def sources_of(parameter: Parameter) -> set[str]:
    """Ids of the classes, and of the experts, behind a parameter."""
    return {r.reference for r in parameter.rests_on} | ({EXPERTS} if parameter.experts else set())


def numbers(posterior: xr.Dataset, id_: str) -> list[tuple[str, F64]]:
    """(name, (chain, draw)) of each entry of a parameter."""
    array = posterior[id_].transpose("chain", "draw", ...)
    values = array.to_numpy()
    if values.ndim == 2:
        return [(id_, values)]
    labels = [str(x) for x in array[array.dims[2]].to_numpy()]
    return [(f"{id_}[{label}]", values[:, :, k]) for k, label in enumerate(labels)]


def _log_prior(tree: xr.DataTree, class_: str) -> F64:
    """Log density (chain, draw) of what is expected of a class: its bases, spreads, shape, concentration."""
    group = tree["log_prior"].to_dataset()
    sizes = group.sizes["chain"], group.sizes["draw"]
    result = np.zeros(sizes)
    for name, array in group.data_vars.items():
        values = array.transpose("chain", "draw", ...).to_numpy().astype(np.float64).reshape(*sizes, -1)
        own = _own(str(name), array, class_)
        if own is not None and str(name) not in NOT_A_PRIOR:
            result += values[:, :, own].sum(axis=2)
    return result


def _own(name: str, array: xr.DataArray, class_: str) -> list[int] | None:
    """Which entries of a free variable belong to a class; None if none does."""
    if name.startswith(f"{class_}__") or (class_ == EXPERTS and name.startswith("elicited__")):
        return list(range(int(np.prod(array.shape[2:]))))
    if array.ndim != 3 or array.dims[2] not in array.coords:
        return None
    labels = [str(x) for x in array[array.dims[2]].to_numpy()]
    own = [k for k, label in enumerate(labels) if label == class_ or label.startswith(f"{class_}: ")]
    return own or None


def _weights(log_density: F64) -> tuple[F64, F64] | None:
    """Normalised weights (chain, draw) for both powers; None where nothing is there to be scaled."""
    if not np.isfinite(log_density).all() or np.ptp(log_density) == 0.0:
        return None
    found = []
    for alpha in ALPHAS:
        weight = np.exp(array_stats.power_scale_lw(log_density, alpha=alpha, axis=(0, 1)))
        found.append(weight / weight.sum())
    return found[0], found[1]


def _sense(draws: F64, weights: tuple[F64, F64] | None) -> float:
    if weights is None:
        return 0.0
    if not np.isfinite(draws).all() or np.ptp(draws) == 0.0:
        return float("nan")
    lower, upper = weights
    return float(array_stats.power_scale_sense(draws, lower, upper, ALPHAS[0], ALPHAS[1], chain_axis=0, draw_axis=1))


def _noise(draws: F64, weights: tuple[F64, F64] | None) -> float:
    """Sensitivity of the same draws to the same weights in another order."""
    order = np.random.default_rng(57).permutation(draws.size)
    return _sense(draws.ravel()[order].reshape(draws.shape), weights)
