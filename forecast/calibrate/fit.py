"""Fit the joint model once, keep it by the hash of all that entered, and hand out draws."""

import hashlib
import json
import logging
import os
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from zarr.codecs import Crc32cCodec, ZstdCodec

from forecast.calibrate.ages import common_ages
from forecast.calibrate.gate import judge
from forecast.calibrate.reference import ReferenceClass
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Parameter
from forecast.durable import building, publish
from forecast.process.draws import Draws
from forecast.types import F64

if TYPE_CHECKING:
    import pymc as pm

GROUPS = (
    "posterior",
    "prior",
    "prior_predictive",
    "posterior_predictive",
    "log_likelihood",
    "log_prior",
    "sample_stats",
    "observed_data",
)
PREDICTIVE_DRAWS = 1000
# Target acceptance, and tuning and draws (in multiples), tried in turn until the gate has nothing to say against the
# draws. Most that it has is that chains mix slowly, which more draws mend; smaller steps mend what diverges.
ATTEMPTS = ((0.9, 1, 1), (0.9, 2, 2), (0.97, 2, 2), (0.995, 3, 2))
ENOUGH = 1600  # draws; of fewer the gate asks for more than a longer start could give, so only divergences count
KEPT_STATS = ("diverging", "energy", "logp", "n_steps", "step_size", "step_size_bar", "depth", "maxdepth_reached")
NO_PART = (
    "__init__.py",
    "check.py",
    "criticism.py",
    "entries.py",
    "leave_one_out.py",
    "observations.py",
    "power_scaling.py",
    "predictive.py",
)  # code that no fit depends on
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """A fitted posterior. `seconds` is what the fit took, `digest` the hash of all that entered it."""

    tree: xr.DataTree
    digest: str
    from_cache: bool
    seconds: float


def calibrate(
    parameters: Mapping[str, Parameter],
    experts: Sequence[ExpertRow],
    classes: Mapping[str, ReferenceClass],
    as_of: date,
    *,
    seed: int,
    cache: Path,
    weights: Mapping[str, float] | None = None,
    draws: int = 1000,
    chains: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Fit every parameter of a deal in one joint model, or read the fit if it has been made before.

    Parameters
    ----------
    parameters, experts, classes, as_of
        What enters the model; classes are cut at the as-of date.
    seed, draws, chains
        Of the sampler; the same seed gives the same draws to the bit.
    weights
        Of experts, by name; equal, if left out.
    cache
        Folder of fitted posteriors; a damaged one is fitted again.
    progress
        Called with (draws done, draws in all) while it samples; with equal numbers at the end.
    """
    digest = digest_of(parameters, experts, classes, as_of, (seed, draws, chains), weights)
    report = progress or (lambda _done, _total: None)
    store = cache / f"{digest}.zarr"
    found = read_fit(store)
    if found is not None:
        report(1, 1)
        return Calibration(found, digest, from_cache=True, seconds=float(found.attrs["seconds"]))
    from forecast.calibrate.models import build_model  # noqa: PLC0415  # PyMC takes seconds to import

    begin = time.monotonic()
    report(0, 1)
    model = build_model(parameters, experts, classes, as_of, weights)
    tree = fit(model, seed=seed, draws=draws, chains=chains, progress=progress)
    seconds = time.monotonic() - begin
    tree.attrs = {"digest": digest, "seconds": round(seconds, 1), "as_of": str(as_of), "seed": seed}
    _write(tree, store)
    report(1, 1)
    return Calibration(tree, digest, from_cache=False, seconds=seconds)


def digest_of(
    parameters: Mapping[str, Parameter],
    experts: Sequence[ExpertRow],
    classes: Mapping[str, ReferenceClass],
    as_of: date,
    sampler: tuple[int, ...],
    weights: Mapping[str, float] | None = None,
) -> str:
    """Hash everything that a fit depends on: inputs, model code, library versions, sampler settings."""
    code = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.name not in NO_PART:
            code.update(file.read_bytes())
    asked = {p.experts for p in parameters.values() if p.experts}
    used = sorted({r.reference for p in parameters.values() for r in p.rests_on} & set(classes))
    content = {
        "parameters": {
            k: p.model_dump(mode="json", exclude={"label", "source", "rationale"}) for k, p in parameters.items()
        },
        "experts": [r.model_dump(mode="json") for r in experts if r.question in asked and r.date <= as_of],
        "classes": {k: hashlib.sha256(classes[k].as_of(as_of).content).hexdigest() for k in used},
        "weights": weights or {},
        "as_of": str(as_of),
        "sampler": sampler,
        "code": code.hexdigest(),
        "versions": {p: version(p) for p in ("pymc", "pytensor", "nutpie", "numpy", "numba")},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def fit(
    model: "pm.Model",
    *,
    seed: int,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> xr.DataTree:
    """Sample a model: posterior (NUTS by nutpie), prior, both predictives and the pointwise log-likelihood.

    The same seed gives the same bytes. What the gate would refuse is sampled again, thrice at most, with
    a longer start, twice the draws, and in the end smaller steps (`ATTEMPTS`); what it refuses even so, it
    will refuse. Only the free variables go through the compiler; what follows from them is computed
    afterwards, for all draws at once (`evaluate`).

    Parameters
    ----------
    draws
        A chain; twice as many are returned if these were not enough.
    progress
        Called with (draws done, draws in all), tuning included, about twice a second; never with equal numbers.

    Returns
    -------
    xr.DataTree
        The groups that ArviZ expects; a model without data has no predictives and no log-likelihood.
        Predictives hold at most about 1000 draws, thinned evenly.
    """
    from forecast.calibrate import evaluate  # noqa: PLC0415  # PyMC takes seconds to import

    if not model.free_RVs:  # nothing is uncertain
        certain = xr.Dataset(coords={"chain": np.arange(chains), "draw": np.arange(draws)})
        return xr.DataTree.from_dict({"posterior": certain.assign_attrs(free_variables=[])})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numba and of nutpie, about caches and attributes
        sampled = _sample(model, (seed, draws, tune, chains), progress)
    posterior = {v.name: sampled["posterior"][v.name].to_numpy() for v in model.free_RVs}
    free = {k: x.reshape(-1, *x.shape[2:]) for k, x in posterior.items()}
    stats = sampled["sample_stats"].to_dataset().drop_attrs()
    labelled = evaluate.dataset(model, {**free, **evaluate.deterministics(model, free)}, chains)
    groups = {
        "posterior": labelled.assign_attrs(free_variables=list(posterior)),
        "sample_stats": stats.drop_vars([v for v in stats.variables if v not in ("chain", "draw", *KEPT_STATS)]),
        **_prior(model, seed + 1),
    }
    if model.observed_RVs:
        every = max(1, sampled["posterior"].sizes["draw"] * chains // PREDICTIVE_DRAWS)
        thin = {k: x[:, ::every].reshape(-1, *x.shape[2:]) for k, x in posterior.items()}
        likelihood = {k: x.astype(np.float32) for k, x in evaluate.log_likelihoods(model, free).items()}
        log_prior = {k: x.astype(np.float32) for k, x in evaluate.log_priors(model, free).items()}
        groups |= {
            "posterior_predictive": evaluate.dataset(model, evaluate.predictions(model, thin, seed + 2), chains),
            "log_likelihood": evaluate.dataset(model, likelihood, chains),
            "log_prior": evaluate.dataset(model, log_prior, chains),
            "observed_data": evaluate.observed(model),
        }
    return xr.DataTree.from_dict({g: groups[g] for g in GROUPS if g in groups})


def _prior(model: "pm.Model", seed: int) -> dict[str, xr.Dataset]:
    """Draws of the prior, and of data from it."""
    from forecast.calibrate import evaluate  # noqa: PLC0415  # PyMC takes seconds to import

    free = evaluate.prior_draws(model, PREDICTIVE_DRAWS, seed)
    groups = {"prior": evaluate.dataset(model, {**free, **evaluate.deterministics(model, free)}, 1)}
    if model.observed_RVs:
        try:
            groups["prior_predictive"] = evaluate.dataset(model, evaluate.predictions(model, free, seed), 1)
        except ValueError as err:  # numpy draws no counts beyond 10^18
            _LOG.warning("no prior predictive: the priors are too wide to draw from (%s)", str(err).splitlines()[0])
    return groups


def _sample(
    model: "pm.Model", settings: tuple[int, int, int, int], progress: Callable[[int, int], None] | None
) -> xr.DataTree:
    import nutpie  # noqa: PLC0415  # seconds

    from forecast.calibrate.compiled import compile_model  # noqa: PLC0415  # as nutpie

    seed, draws, tune, chains = settings
    total = chains * (draws + tune)

    def report(states: Sequence[Any]) -> None:
        if progress:
            progress(min(sum(s.finished_draws for s in states), total - 1), total)  # there may be another attempt

    compiled = compile_model(model, [v.name for v in model.free_RVs])
    for target, longer, more in ATTEMPTS:
        tree: xr.DataTree = nutpie.sample(
            compiled,
            draws=draws * more,
            tune=tune * longer,
            chains=chains,
            cores=min(chains, os.cpu_count() or 1),
            seed=seed,
            target_accept=target,
            save_warmup=False,
            progress_bar=False,
            progress_callback=report,
            progress_rate=500,
        )
        found = judge(tree, {})
        if found.passed or (draws * chains < ENOUGH and not found.divergences):
            break
        _LOG.info("at a target acceptance of %s: %s", target, "; ".join(found.problems))
    return tree


def draws_of(tree: xr.DataTree, parameters: Mapping[str, Parameter], classes: Mapping[str, ReferenceClass]) -> Draws:
    """Take the draws of every parameter out of a fit: chains end to end, constants repeated."""
    posterior = tree["posterior"].to_dataset()
    n = posterior.sizes["chain"] * posterior.sizes["draw"]
    posterior = posterior[[k for k, p in parameters.items() if p.constant is None]].load()
    values: dict[str, F64] = {}
    labels: dict[str, tuple[str, ...]] = {}
    edges: dict[str, F64] = {}
    for id_, p in parameters.items():
        if p.constant is not None:
            values[id_] = np.full(n, p.constant)
            continue
        array = posterior[id_]
        values[id_] = np.ascontiguousarray(array.to_numpy().reshape(n, *array.shape[2:]), dtype=np.float64)
        if array.ndim > 2:
            labels[id_] = tuple(str(x) for x in array[f"{id_}__entry"].to_numpy())
            aged = [classes[r.reference] for r in p.rests_on if classes[r.reference].age_edges is not None]
            if aged:
                edges[id_] = common_ages(aged)[0]
    return Draws(values, edges, labels, {k: p.unit for k, p in parameters.items()})


def read_fit(store: Path) -> xr.DataTree | None:
    """Open a stored fit lazily; None where there is none, or where it cannot be trusted."""
    if not store.is_dir():
        return None
    try:
        tree = xr.open_datatree(store, engine="zarr", consolidated=False)
        whole = int(tree.attrs["files"]) == _count(store)
        posterior = tree["posterior"].to_dataset()
        finite = all(bool(np.isfinite(v.to_numpy()).all()) for v in posterior.data_vars.values() if v.dtype.kind == "f")
    except Exception:  # Zarr raises many kinds for a damaged store; each means: fit again
        _LOG.warning("%s: damaged; the fit is made again", store)
        return None
    return tree if whole and finite else None


def _count(store: Path) -> int:
    return sum(1 for p in store.rglob("*") if p.is_file())


def _write(tree: xr.DataTree, store: Path) -> None:
    """Write a fit whole or not at all; a damaged one in its place is moved out of the way first."""
    with building(store.parent, store.stem[:8]) as tmp:
        inner = tmp / "fit.zarr"
        _encoded(tree).to_zarr(inner, mode="w-", zarr_format=3, consolidated=False, encoding=_encoding(tree))
        tree.attrs["files"] = _count(inner)
        xr.DataTree(xr.Dataset(attrs=tree.attrs)).to_zarr(inner, mode="a", zarr_format=3, consolidated=False)
        if store.exists() and read_fit(store) is None:  # a whole one may be in use beside us
            store.rename(tmp / "damaged.zarr")
        publish(inner, store)  # if another process was quicker, its fit stands: it is the same
        shutil.rmtree(tmp, ignore_errors=True)


def _encoded(tree: xr.DataTree) -> xr.DataTree:
    return xr.DataTree.from_dict(
        {"/": xr.Dataset(attrs=tree.attrs), **{g: n.to_dataset() for g, n in tree.children.items()}}
    )


def _encoding(tree: xr.DataTree) -> dict[str, dict[str, Any]]:
    """Checksummed and compressed; a chunk that gets lost reads as NaN, not as a number."""
    result: dict[str, dict[str, Any]] = {}
    for group, node in tree.children.items():
        result[f"/{group}"] = {
            str(n): {
                "compressors": (ZstdCodec(level=1), Crc32cCodec()),
                **({"chunks": v.shape} if v.size else {}),
                **({"fill_value": float("nan")} if v.dtype.kind == "f" else {}),
            }
            for n, v in node.to_dataset().variables.items()
        }
    return result
