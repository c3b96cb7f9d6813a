"""One study: truths from the prior, data from the truths, a fit for each, and the ranks of the truths."""

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.base import array_stats

from forecast.calibrate import evaluate
from forecast.calibrate.sbc.cases import Case, Truth
from forecast.calibrate.sbc.ranks import KEPT, ranks_of
from forecast.calibrate.sbc.swap import LIKELIHOOD, ShapeError, Swappable, swappable
from forecast.schema import dataset
from forecast.types import F64, I64

CHAINS = 2
TRIED = 25  # data sets by which it is found out which constants of a model are data
MIN_ESS = 2.0 * KEPT  # so that draws thinned to KEPT are as good as independent
MAX_RHAT = 1.02
# (tuning steps, draws a chain, target acceptance), tried in turn until no draw diverges and enough are independent.
ATTEMPTS = ((500, 500, 0.95), (1000, 1500, 0.98), (2000, 6000, 0.995))


@dataclass(frozen=True)
class Fitted:
    """What one fit gives: ranks, posterior means and sds of all numbers, and how the sampler did."""

    rank: I64
    mean: F64
    sd: F64
    divergences: int
    attempts: int
    enough: bool


def study(case: Case, n: int, seed: int, progress: Callable[[int, int], None] | None = None) -> xr.Dataset:
    """Fit `n` simulated data sets of one kind of model; return ranks and figures, none left out.

    Returns
    -------
    xr.Dataset
        (dataset, quantity): rank, truth, mean, sd; (dataset,): divergences, attempts, enough.
    """
    truths = _truths(case, n, seed)
    worlds = [case.simulate(t, _stream(seed, k)) for k, t in enumerate(truths)]
    names = [k for k in case.ranked if k in truths[0]]
    engine = swappable([case.build(w) for w in worlds[:TRIED]], names)
    labels = _labels(case.build(worlds[0]), names, truths[0])
    ranked_likelihood = case.fixed_weights and all(k in truths[0] for k in engine.free)
    rows, values = [], []
    for k, (truth, world) in enumerate(zip(truths, worlds, strict=True)):
        model = case.build(world)
        try:
            data = engine.constants(model)
        except ShapeError:  # a constant that none of the first data sets changed
            engine = swappable([*(case.build(w) for w in worlds[:TRIED]), model], names)
            data = engine.constants(model)
        known = [np.atleast_1d(truth[name]).ravel() for name in names]
        if ranked_likelihood:
            known.append(np.atleast_1d(engine.likelihood(*(truth[f] for f in engine.free), *data.values())))
        values.append(np.concatenate(known))
        rows.append(_fit(engine, data, [*names, *([LIKELIHOOD] if ranked_likelihood else [])], values[-1], (seed, k)))
        if progress:
            progress(k + 1, n)
    return _dataset(rows, np.array(values), [*labels, *([LIKELIHOOD] if ranked_likelihood else [])])


def _stream(seed: int, k: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence((seed, k)))


def _truths(case: Case, n: int, seed: int) -> list[Truth]:
    if case.prior is not None:
        drawn: Mapping[str, F64] = case.prior(n, seed)
    else:
        drawn = model_prior(case, n, seed)
    return [{k: x[i] for k, x in drawn.items()} for i in range(n)]


def model_prior(case: Case, n: int, seed: int) -> dict[str, F64]:
    """Draws (number, ...) of all free variables of a kind of model, and of what follows from them."""
    model = case.build(case.simulate(_Anything(case.entries), _stream(seed, 0)))
    free = evaluate.prior_draws(model, n, seed)
    return {**free, **evaluate.deterministics(model, free)}


class _Anything(dict[str, F64]):
    """A truth for data of the right shape, whatever they are: each number is 0.1."""

    def __init__(self, entries: int) -> None:
        super().__init__()
        self.value = np.full(entries, 0.1) if entries else np.array(0.1)

    def __missing__(self, key: str) -> F64:
        return self.value


def _labels(model: Any, names: list[str], truth: Truth) -> Iterator[str]:
    for name in names:
        size = np.size(truth[name])
        dims = model.named_vars_to_dims.get(name, ())
        if np.ndim(truth[name]) == 0:
            yield name
            continue
        entries = [model.coords[d] for d in dims]
        texts = [", ".join(str(e[i]) for e, i in zip(entries, at, strict=True) if len(e) > 1)
                 for at in np.ndindex(*np.shape(truth[name]))]  # fmt: skip
        yield from (f"{name}[{t}]" if size > 1 else name for t in texts)


def _fit(engine: Swappable, data: Mapping[str, Any], names: list[str], truth: F64, key: tuple[int, int]) -> Fitted:
    """Sample one data set, longer where the first attempt gives too little; the truth plays no part in that."""
    import nutpie  # noqa: PLC0415  # seconds

    compiled = engine.with_data(data)
    for attempt, (tune, draws, target) in enumerate(ATTEMPTS, 1):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = nutpie.sample(
                compiled,
                draws=draws,
                tune=tune,
                chains=CHAINS,
                cores=min(CHAINS, os.cpu_count() or 1),
                seed=int(np.random.SeedSequence((*key, attempt)).generate_state(1)[0]),
                target_accept=target,
                save_warmup=False,
                progress_bar=False,
            )
        posterior = tree["posterior"].to_dataset()
        chains = np.concatenate(
            [posterior[k].to_numpy().reshape(CHAINS, draws, -1) for k in names], axis=2
        )  # (chain, draw, quantity)
        diverged = int(tree["sample_stats"]["diverging"].sum())
        enough = _enough(chains)
        if enough and not diverged:
            break
    flat = chains.reshape(CHAINS * draws, -1)
    kept = flat[np.linspace(0, len(flat) - 1, KEPT).round().astype(np.int64)]
    return Fitted(ranks_of(truth, kept), flat.mean(axis=0), flat.std(axis=0), diverged, attempt, enough)


def _enough(chains: F64) -> bool:
    """Whether every number mixes well enough; a number that never moves does not."""
    if not np.isfinite(chains).all() or (np.ptp(chains, axis=1) == 0).any():
        return False
    options = {"chain_axis": 0, "draw_axis": 1}
    return bool(
        np.min(array_stats.ess(chains, method="bulk", **options)) >= MIN_ESS
        and np.max(array_stats.rhat(chains, **options)) <= MAX_RHAT
    )


def _dataset(rows: list[Fitted], truth: F64, labels: list[str]) -> xr.Dataset:
    return dataset(
        "calibration",
        rank=np.array([r.rank for r in rows]),
        truth=truth,
        posterior_mean=np.array([r.mean for r in rows]),
        posterior_sd=np.array([r.sd for r in rows]),
        divergences=np.array([r.divergences for r in rows]),
        attempts=np.array([r.attempts for r in rows]),
        enough_draws=np.array([r.enough for r in rows]),
        quantity=np.array(labels, np.str_),
    )
