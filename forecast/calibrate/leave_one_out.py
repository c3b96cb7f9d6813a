"""Leave-one-out checks of one class by Pareto-smoothed importance sampling."""

from dataclasses import dataclass

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import logsumexp

from forecast.calibrate.observations import Block
from forecast.types import F64

HIGH_K = 0.7  # Pareto k above which a cell's leave-one-out figures are not reliable (Vehtari et al. 2024)
FEWEST = 5  # reliable values for a test of uniformity
RANDOMISED = 20  # times that the PIT values of counts are spread over their steps


@dataclass(frozen=True)
class LeaveOneOut:
    """Figures of one class; `k`, `lower` and `upper` are by cell (and category).

    elpd, effective: expected log predictive density and effective number of parameters, sums over cells
    lower, upper: between them lies the PIT value, P(prediction < data) and P(prediction <= data)
    pit_p: p-value of their uniformity; NaN with fewer than `FEWEST` reliable values
    """

    elpd: float
    effective: float
    k: F64
    labels: tuple[str, ...]
    lower: F64
    upper: F64
    cell_k: F64

    @property
    def pit_p(self) -> float:
        """Uniformity of the reliable PIT values."""
        reliable = self.cell_k <= HIGH_K
        return pit_p(self.lower[reliable], self.upper[reliable])


def leave_one_out(block: Block) -> LeaveOneOut:
    """PSIS-LOO and LOO-PIT of a class (Vehtari, Gelman & Gabry 2017; Vehtari et al. 2024).

    Counts have a PIT value between P(y' < y) and P(y' <= y). Of a survival case, watched from entry to
    exit, it is P(ended by the exit | not before the entry) = P(the predicted number of events is not 0),
    and lies above that if the case is censored (Cox & Snell 1968).
    """
    chains, draws, cells = block.log_likelihood.shape
    flat = block.log_likelihood.reshape(chains * draws, cells).T
    usable = np.isfinite(flat).all(axis=1) & (np.ptp(flat, axis=1) > 0.0)
    log_weight, k = np.full(flat.shape, -np.log(chains * draws)), np.full(cells, np.inf)
    k[np.ptp(np.nan_to_num(flat), axis=1) == 0.0] = 0.0  # all draws say the same of it
    if usable.any():
        log_weight[usable], k[usable] = array_stats.psislw(flat[usable], r_eff=_efficiency(block), axis=-1)
    elpd = logsumexp(log_weight + flat, axis=1)
    in_sample = logsumexp(flat, axis=1) - np.log(chains * draws)
    weight = np.exp(log_weight).reshape(cells, chains, draws)[:, :, :: block.every].reshape(cells, -1)
    lower, upper = _pit(block, weight / weight.sum(axis=1, keepdims=True))
    inner = lower.shape[1] if lower.ndim > 1 else 1
    labels = [f"{label}, {i + 1}" if inner > 1 else label for label in block.labels for i in range(inner)]
    return LeaveOneOut(
        float(elpd.sum()),
        float((in_sample - elpd).sum()),
        k,
        tuple(labels),
        lower.ravel(),
        upper.ravel(),
        np.repeat(np.nan_to_num(k, nan=np.inf), inner),
    )


def _efficiency(block: Block) -> float:
    """Relative effective sample size of the class's likelihood, for the number of draws in the tail."""
    joint = block.log_likelihood.sum(axis=2)
    if not np.isfinite(joint).all() or np.ptp(joint) == 0.0:
        return 1.0
    ess = float(array_stats.ess(joint, chain_axis=0, draw_axis=1, method="mean"))
    return min(1.0, ess / joint.size) if np.isfinite(ess) and ess > 0.0 else 1.0


def _pit(block: Block, weight: F64) -> tuple[F64, F64]:
    """Bounds (cell, ...) of the PIT values for weights (cell, draw) of the predictions."""
    seen, drawn = block.observed, block.predicted
    if block.kind == "survival":
        ended_by = (weight * (drawn > 0.5).T).sum(axis=1)
        return ended_by, np.where(seen > 0.5, ended_by, 1.0)
    below = np.einsum("cd,dc...->c...", weight, (drawn < seen).astype(np.float64))
    equal = np.einsum("cd,dc...->c...", weight, (drawn == seen).astype(np.float64))
    return below, below + equal


def pit_p(lower: F64, upper: F64) -> float:
    """p-value of uniform PIT values, each known to lie between two bounds.

    Values are spread over their steps at random, tested by the order statistics' beta laws, combined by
    Cauchy's rule, which allows for dependence (POT-C of ArviZ); twice the mean over `RANDOMISED`
    repetitions is a p-value whatever their dependence (Rüschendorf 1982; Vovk & Wang 2020).
    """
    if len(lower) < FEWEST:
        return float("nan")
    rng = np.random.default_rng(20221)  # the spread is no part of the run's luck
    found = []
    for _ in range(RANDOMISED):
        u = lower + (upper - lower) * rng.random(len(lower))
        p, _, _ = array_stats.uniformity_test(np.clip(u, 5e-4, 1.0 - 5e-4), method="pot_c")
        found.append(float(p))
    return min(1.0, 2.0 * float(np.mean(found)))
