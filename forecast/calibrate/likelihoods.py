"""Two likelihoods that PyMC lacks: Dirichlet–multinomial of effective counts, Weibull spells."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from forecast.types import F64

type Tensor = Any


def dirichlet_multinomial(name: str, concentration: Tensor, p: Tensor, count: F64, dims: tuple[str, str]) -> Tensor:
    """Observe `count` (row, entry), which need not be whole, of a Dirichlet–multinomial with weights concentration * p.

    Each row of `p` adds up to 1. Effective counts (a share times the number of independent decisions behind it) are
    rarely whole, and rounding would do away with small shares; the density goes on between whole numbers by the
    gamma function, without the constant factor that only the data enter.
    """
    total = count.sum(axis=1)

    def logp(value: Tensor, a: Tensor, whole: Tensor, n: Tensor) -> Tensor:
        inner = pt.gammaln(value + a) - pt.gammaln(a)
        return pt.gammaln(whole) - pt.gammaln(n + whole) + inner.sum(axis=-1)

    def random(a: F64, _whole: F64, n: F64, rng: np.random.Generator, size: Any = None) -> F64:
        shape = a.shape if size is None else (*size, a.shape[-1])
        p = rng.standard_gamma(np.broadcast_to(np.maximum(a, 1e-12), shape))
        p /= np.maximum(p.sum(axis=-1, keepdims=True), 1e-300)
        return rng.multinomial(np.rint(np.broadcast_to(n, shape[:-1])).astype(np.int64), p).astype(np.float64)

    return pm.CustomDist(
        name,
        concentration * p,
        concentration * np.ones(len(count)),  # not a sum over p, which takes seconds to compile
        total,
        logp=logp,
        random=random,
        signature="(k),(),()->(k)",
        observed=count,
        dims=dims,
        dtype="float64",
    )


def weibull_spells(
    name: str, shape: Tensor, log_rate: Tensor, effect: Tensor, spell: F64, ended: F64, dim: str
) -> Tensor:
    """Observe which spells ended, given how long each was watched.

    Cumulative hazard H(t) = (t exp(log_rate))^shape exp(effect); a spell watched from `entry` to `exit`
    gives ended * log h(exit) - (H(exit) - H(entry)), which is the likelihood of left-truncated,
    right-censored times. What is observed is whether it ended (0 or 1); predictions are the number of
    events that the same watch would see, Poisson(H(exit) - H(entry)).

    spell (case, 2): years at entry and exit, exit > 0; ended (case,): 0 or 1; effect (case,)
    """
    entry, leave = spell[:, 0], spell[:, 1]
    log_entry = np.log(np.where(entry > 0, entry, 1.0))
    late = (entry > 0).astype(np.float64)

    def watched(shape: Tensor, log_rate: Tensor, effect: Tensor) -> Tensor:
        before = late * pt.exp(shape * (log_entry + log_rate))
        return pt.exp(effect) * (pt.exp(shape * (np.log(leave) + log_rate)) - before)

    hazard = watched(shape, log_rate, effect)
    log_hazard = effect + pt.log(shape) + shape * log_rate + (shape - 1.0) * np.log(leave)

    def logp(value: Tensor, hazard: Tensor, log_hazard: Tensor) -> Tensor:
        return value * log_hazard - hazard

    def random(hazard: F64, _log_hazard: F64, rng: np.random.Generator, size: Any = None) -> Any:
        return rng.poisson(np.minimum(hazard, 1e9), size).astype(np.float64)

    return pm.CustomDist(
        name,
        hazard,
        log_hazard,
        logp=logp,
        random=random,
        signature="(),()->()",
        observed=ended,
        dims=dim,
        dtype="float64",
    )
