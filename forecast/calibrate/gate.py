"""Is a fit fit for use? The gate fails closed: what cannot be computed has failed."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from forecast.deal.parameters import Parameter
from forecast.types import F64

MAX_RHAT = 1.01
MIN_ESS = 400.0
MIN_BFMI = 0.3
MIN_CHAINS = 2
SHOWN = 5  # problems of one kind that are named


@dataclass(frozen=True)
class GateReport:
    """What the gate found.

    problems: one sentence each; none if the fit may be used
    table: (name, R-hat, bulk ESS, tail ESS) of everything judged, the worst R-hat first
    warnings: what is worth a look, but holds nothing
    checks: the group `/checks` of a forecast; None where a fit has no data, or was judged as a sampler only
    """

    problems: tuple[str, ...]
    table: tuple[tuple[str, float, float, float], ...]
    divergences: int
    bfmi: float
    warnings: tuple[str, ...] = ()
    checks: xr.Dataset | None = None

    @property
    def passed(self) -> bool:
        """Whether the fit may be used."""
        return not self.problems

    @property
    def notes(self) -> tuple[str, ...]:
        """One line for the terminal if anything is worth a look."""
        if not self.warnings:
            return ()
        about = dict.fromkeys(w.partition(" (")[0].partition(":")[0] for w in self.warnings)
        return (f"Worth a look in the report's section on the calibration ({len(self.warnings)}): {', '.join(about)}",)


def judge_run(tree: xr.DataTree, parameters: Mapping[str, Parameter]) -> GateReport:
    """Judge a fit as a sampler's work (`judge`), and against its data and priors (`criticism`)."""
    from forecast.calibrate.criticism import criticise  # noqa: PLC0415  # heavy

    report = judge(tree, parameters)
    found = criticise(tree, parameters)
    if found is None:
        return report
    return replace(report, problems=(*report.problems, *found.problems), warnings=found.warnings, checks=found.checks)


def judge(tree: xr.DataTree, parameters: Mapping[str, Parameter]) -> GateReport:
    """Judge every parameter of a deal, and every free variable behind them.

    `fit` says which variables are free; of a posterior that does not say, all are judged.

    R-hat and effective sample sizes: Vehtari et al. 2021 (rank-normalised), by ArviZ. A NaN, an
    infinity or a chain that never moves is a failure whatever the diagnostics say of it.
    """
    posterior = tree["posterior"].to_dataset()
    wanted = [k for k, p in parameters.items() if p.constant is None]
    missing = [f"{k}: is not in the posterior" for k in wanted if k not in posterior]
    free = posterior.attrs.get("free_variables", list(posterior.data_vars))
    kept = [str(k) for k in posterior.data_vars if k in wanted or k in free]
    missing += [f"{k}: is not in the posterior" for k in free if k not in posterior]
    if not kept and not missing:  # nothing is uncertain
        return GateReport((), (), 0, float("nan"))
    table, bad = _diagnose(posterior[kept])
    divergences, bfmi = _energy(tree)
    problems = [*missing, *bad]
    if posterior.sizes.get("chain", 0) < MIN_CHAINS:
        problems.append(f"{posterior.sizes.get('chain', 0)} chain; at least {MIN_CHAINS} are needed")
    if divergences != 0:
        problems.append(f"{divergences} divergences (allowed 0): raise the target acceptance or use firmer priors")
    if not bfmi > MIN_BFMI:
        problems.append(f"energy BFMI is {bfmi:.2f} (must be above {MIN_BFMI})")
    return GateReport(tuple(problems), table, divergences, bfmi)


def _diagnose(posterior: xr.Dataset) -> tuple[tuple[tuple[str, float, float, float], ...], list[str]]:
    from arviz_stats.base.array import array_stats  # noqa: PLC0415  # heavy

    rows = []
    for name, chains in _scalars(posterior):
        if not np.isfinite(chains).all() or (np.ptp(chains, axis=1) == 0).any():
            rows.append((name, np.nan, np.nan, np.nan))
            continue
        rhat = float(array_stats.rhat(chains, chain_axis=0, draw_axis=1))
        bulk = float(array_stats.ess(chains, chain_axis=0, draw_axis=1, method="bulk"))
        tail = float(array_stats.ess(chains, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)))
        rows.append((name, rhat, bulk, tail))
    rows.sort(key=lambda r: -np.inf if np.isnan(r[1]) else -r[1])
    return tuple(rows), [
        *_named([r[0] for r in rows if np.isnan(r[1])], "has a NaN, an infinity or a chain that never moves"),
        *_named(
            [f"{r[0]} ({r[1]:.3f})" for r in rows if not np.isnan(r[1]) and not r[1] <= MAX_RHAT],
            f"R-hat above {MAX_RHAT}: run longer, or look at its prior and its class",
        ),
        *_named(
            [f"{r[0]} ({min(r[2:]):.0f})" for r in rows if not np.isnan(r[1]) and not min(r[2:]) >= MIN_ESS],
            f"effective sample size below {MIN_ESS:.0f}: take more draws",
        ),
    ]


def _named(names: Iterable[str], what: str) -> Iterator[str]:
    found = list(names)
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield f"{', '.join(found[:SHOWN])}{more}: {what}"


def _scalars(posterior: xr.Dataset) -> Iterator[tuple[str, F64]]:
    """(name, (chain, draw)) of every scalar that is sampled or computed."""
    for name, array in posterior.data_vars.items():
        if array.dtype.kind != "f":
            continue
        values = array.transpose("chain", "draw", ...).to_numpy()
        flat = values.reshape(*values.shape[:2], -1)
        labels = [str(x) for x in array.coords[array.dims[2]].to_numpy()] if array.ndim == 3 else []
        for i in range(flat.shape[2]):
            entry = f"[{labels[i]}]" if labels else f"[{i}]" if flat.shape[2] > 1 else ""
            yield f"{name}{entry}", flat[:, :, i]


def _energy(tree: xr.DataTree) -> tuple[int, float]:
    """(divergences, smallest BFMI of the chains); −1 and NaN where the sampler did not say."""
    if "sample_stats" not in tree.children:
        return -1, float("nan")
    stats = tree["sample_stats"].to_dataset()
    divergences = int(stats["diverging"].sum()) if "diverging" in stats else -1
    if "energy" not in stats:
        return divergences, float("nan")
    energy = stats["energy"].transpose("chain", "draw").to_numpy()
    with np.errstate(invalid="ignore", divide="ignore"):  # a constant energy gives NaN, which fails
        bfmi = np.square(np.diff(energy, axis=1)).mean(axis=1) / energy.var(axis=1)
    return divergences, float(bfmi.min())
