"""Does a fit agree with its data, and its priors with them? Class by class, in each run.

Every p-value of a run belongs to one family. A run is held if one lies below `HOLD` / (their number), a
false alarm in at most one run in 1000 (Bonferroni; posterior predictive p-values are conservative besides,
as they use the data twice); below `LOOK` / (their number) it is worth a look, which a fault-free run is
in at most one run in 20. In a large table any model is found out; so the scatter of its cells holds a run
only if it is also `SCATTER` times what the model predicts, when intervals are too narrow by a third. The
number of empty cells, LOO-PIT values (which rest on shared draws and are uniform only nearly) and
power-scaling (a matter of degree) never hold a run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from forecast.calibrate.leave_one_out import HIGH_K, LeaveOneOut, leave_one_out
from forecast.calibrate.observations import SOURCES, Block, blocks
from forecast.calibrate.power_scaling import CONFLICT, Sensitivity, sensitivities, sources_of
from forecast.calibrate.predictive import STATISTICS, posterior_p, prior_p, reported, residuals, scatter
from forecast.deal.parameters import Parameter
from forecast.schema import dataset
from forecast.types import F64

HOLD, LOOK = 0.001, 0.05  # P(false alarm) of a whole run
SCATTER = 2.0  # times the scatter that is predicted
PASSES, LOOKED_AT, FAILS = "passes", "look", "fails"
SHOWN = 4  # parameters that a message names
WORDS = {
    "total": "total",
    "chi_squared": "scatter of the cells (chi-squared)",
    "largest_residual": "cell furthest from its prediction",
    "zeros": "number of cells without an event",
}


@dataclass(frozen=True)
class Criticism:
    """What a fit has to answer for.

    checks: the group `/checks` of a forecast
    problems, warnings: sentences; a problem holds the run
    """

    checks: xr.Dataset
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Judged:
    """One class with its p-values."""

    block: Block
    posterior: dict[str, float]
    prior: float
    left_out: LeaveOneOut


def criticise(tree: xr.DataTree, parameters: Mapping[str, Parameter]) -> Criticism | None:
    """Check a fit against its data, class by class; None if it has no data, or draws that are not finite."""
    found = blocks(tree)
    if not found or "log_likelihood" not in tree.children or not _finite(tree):
        return None
    judged = [
        _Judged(
            b,
            posterior_p(b.kind, b.observed, b.predicted),
            float("nan") if b.expected is None else prior_p(b.kind, b.observed, b.expected),
            leave_one_out(b),
        )
        for b in found
    ]
    felt = sensitivities(tree, parameters, found)
    tests = sum(int(np.isfinite(p)) for j in judged for p in (*j.posterior.values(), j.prior, j.left_out.pit_p))
    levels = HOLD / max(tests, 1), LOOK / max(tests, 1)
    using = {b.id: _users(b.id, parameters) for b in found}
    problems = {j.block.id: tuple(_problems(j, using[j.block.id], levels[0])) for j in judged}
    looks = {j.block.id: tuple(_looks(j, using[j.block.id], levels)) for j in judged}
    verdicts = [FAILS if problems[b.id] else LOOKED_AT if looks[b.id] else PASSES for b in found]
    warnings = [*(s for several in looks.values() for s in several), *_felt(felt)]
    return Criticism(
        _checks(judged, felt, verdicts, levels),
        tuple(s for several in problems.values() for s in several),
        tuple(warnings),
    )


def _finite(tree: xr.DataTree) -> bool:
    posterior = tree["posterior"].to_dataset()
    return all(bool(np.isfinite(v.to_numpy()).all()) for v in posterior.data_vars.values() if v.dtype.kind == "f")


def _users(class_: str, parameters: Mapping[str, Parameter]) -> str:
    """Name the parameters that rest on a class, for a message."""
    if class_.startswith(SOURCES):
        return class_.removeprefix(SOURCES)
    names = [k for k, p in parameters.items() if class_ in sources_of(p)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "no parameter") + more


# ---- what is said ----------------------------------------------------------------------------------------


def _problems(j: _Judged, users: str, level: float) -> Iterator[str]:
    if not np.isfinite(j.block.predicted).all():
        yield f"{_head(j, users)}: its predictions are not finite; use a firmer prior"
    if named := {k: p for k, p in j.posterior.items() if p < level and _holds(j, k)}:
        yield f"{_head(j, users)}: {_misfit(j, named)}; {_remedy(j)}"
    if j.prior < level:
        yield f"{_head(j, users)}: {_conflict(j)}"


def _holds(j: _Judged, statistic: str) -> bool:
    """Whether a discrepancy may hold a run, however small its p-value."""
    if statistic == "chi_squared":
        return scatter(j.block.kind, j.block.observed, j.block.predicted) >= SCATTER
    return statistic != "zeros"


def _looks(j: _Judged, users: str, levels: tuple[float, float]) -> Iterator[str]:
    hold, look = levels
    named = {k: p for k, p in j.posterior.items() if p < look and not (p < hold and _holds(j, k))}
    if named:
        yield f"{_head(j, users)}: {_misfit(j, named)}; {_remedy(j)}"
    if hold <= j.prior < look:
        yield f"{_head(j, users)}: {_conflict(j)}"
    if j.left_out.pit_p < look:
        yield (
            f"{_head(j, users)}: LOO-PIT values are not uniform (p = {j.left_out.pit_p:.1g}), "
            f"{_shape(j.left_out)}; see the picture of the class on the diagnostics page"
        )


def _head(j: _Judged, users: str) -> str:
    return f"{j.block.id} (behind {users})"


def _misfit(j: _Judged, named: Mapping[str, float]) -> str:
    parts = [f"{WORDS[k]}, p = {p:.1g}" for k, p in named.items()]
    cell = ""
    if "chi_squared" in named:
        parts.append(f"{scatter(j.block.kind, j.block.observed, j.block.predicted):.1f} times what is predicted")
    if {"chi_squared", "largest_residual"} & set(named):
        residual = _residuals(j.block)
        worst = int(np.argmax(np.abs(residual)))
        cell = f"; furthest off is “{j.block.labels[worst]}”, {residual[worst]:+.1f} predictive sd"
    return f"the model does not reproduce its data ({'; '.join(parts)}{cell})"


def _residuals(block: Block) -> F64:
    """Standardised residual (cell,) of each cell; of a cell with categories the largest."""
    z = residuals(block.kind, block.observed, block.predicted).reshape(len(block.labels), -1)
    return np.asarray(z[np.arange(len(z)), np.abs(z).argmax(axis=1)])


def _remedy(j: _Judged) -> str:
    if j.block.kind == "agreement":
        return "its sources contradict each other: raise their transfer_sd, or leave one out"
    if j.block.kind == "experts":
        return "look at the answers that stand apart, and at what was asked"
    return "check the table's rows, add a covariate that tells those cells apart, or take a wider transfer_sd"


def _conflict(j: _Judged) -> str:
    expected = j.block.expected
    if j.block.kind == "experts" or expected is None:
        return (
            f"prior-data conflict: experts differ by more than their stated quantiles and the prior of their "
            f"disagreement allow (p = {j.prior:.1g}); look at the answers that stand apart"
        )
    seen, drawn = reported(j.block.kind, j.block.observed, expected)
    low, high = np.quantile(drawn, (0.05, 0.95))
    return (
        f"prior-data conflict: {seen:.4g} observed where the prior expects {low:.4g} to {high:.4g} "
        f"(p = {j.prior:.1g}); check the units of the table against class.toml, then [prior] centre and sd"
    )


def _shape(left_out: LeaveOneOut) -> str:
    """Say in words which way PIT values depart from uniform."""
    reliable = left_out.cell_k <= HIGH_K
    lower, upper = left_out.lower[reliable], left_out.upper[reliable]
    mean = float((lower + upper).mean()) / 2.0
    if abs(mean - 0.5) > 3.0 / np.sqrt(12.0 * len(lower)):
        return "predictions are too high" if mean < 0.5 else "predictions are too low"
    below = [np.clip((z - lower) / np.maximum(upper - lower, 1e-12), 0.0, 1.0).mean() for z in (0.1, 0.9)]
    return "predictions are too narrow" if below[0] + 1.0 - below[1] > 0.2 else "predictions are too wide"


def _felt(felt: list[Sensitivity]) -> Iterator[str]:
    """One sentence for each class whose prior and data pull a number different ways; the strongest is named."""
    by_class: dict[str, list[Sensitivity]] = {}
    for s in felt:
        if s.diagnosis:
            by_class.setdefault(s.source, []).append(s)
    for source, several in by_class.items():
        worst = max(several, key=lambda s: s.prior)
        others = f" and {len(several) - 1} more" if len(several) > 1 else ""
        what = (
            "both the prior and the data of the class matter to it"
            if worst.diagnosis == CONFLICT
            else "it answers to the prior of the class, hardly to its data"
        )
        yield (
            f"{source}: {worst.diagnosis} for {worst.number}{others}: {what} (power-scaling {worst.prior:.2f} and "
            f"{worst.likelihood:.2f}); give [prior] in its class.toml a better reason, or the class more data"
        )


# ---- what is stored --------------------------------------------------------------------------------------


def _checks(
    judged: list[_Judged], felt: list[Sensitivity], verdicts: list[str], levels: tuple[float, float]
) -> xr.Dataset:
    seen = [reported(j.block.kind, j.block.observed, j.block.predicted) for j in judged]
    expected = [
        np.full(2, np.nan)
        if j.block.expected is None
        else np.quantile(reported(j.block.kind, j.block.observed, j.block.expected)[1], (0.05, 0.95))
        for j in judged
    ]
    out = [j.left_out for j in judged]
    return dataset(
        "/checks",
        {"hold_below": levels[0], "look_below": levels[1], "hold_alarm": HOLD, "look_alarm": LOOK},
        reference_class=[j.block.id for j in judged],
        statistic=list(STATISTICS),
        kind=[j.block.kind for j in judged],
        cells=[len(j.block.labels) for j in judged],
        observed=[s for s, _ in seen],
        predicted_lower=[np.quantile(d, 0.05) for _, d in seen],
        predicted_upper=[np.quantile(d, 0.95) for _, d in seen],
        expected_lower=[e[0] for e in expected],
        expected_upper=[e[1] for e in expected],
        posterior_p=[[j.posterior[s] for s in STATISTICS] for j in judged],
        prior_p=[j.prior for j in judged],
        elpd_loo=[o.elpd for o in out],
        p_loo=[o.effective for o in out],
        high_pareto_k=[int((o.k > HIGH_K).sum()) for o in out],
        pit_p=[o.pit_p for o in out],
        verdict=verdicts,
        pit_class=[j.block.id for j in judged for _ in j.left_out.labels],
        pit_cell=[label for o in out for label in o.labels],
        pit_lower=np.concatenate([o.lower for o in out]),
        pit_upper=np.concatenate([o.upper for o in out]),
        pareto_k=np.concatenate([o.cell_k for o in out]),
        sensitivity_parameter=[s.number for s in felt],
        sensitivity_class=[s.source for s in felt],
        prior_sensitivity=[s.prior for s in felt],
        likelihood_sensitivity=[s.likelihood for s in felt],
        diagnosis=[s.diagnosis for s in felt],
    )
