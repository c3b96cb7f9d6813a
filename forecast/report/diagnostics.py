"""Pictures and a page by which an expert judges the calibration: ArviZ's summary and plots, kept offline."""

import csv
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr

from forecast.calibrate.criticism import criticise
from forecast.calibrate.gate import MAX_RHAT, MIN_ESS
from forecast.calibrate.observations import blocks
from forecast.deal.parameters import Parameter
from forecast.ledger.cells import guarded
from forecast.report.checks import class_rows, sense_rows
from forecast.report.diagnostic_plots import checked, draw
from forecast.report.html import environment, style
from forecast.report.words import number

FIGURES = ("mean", "sd", "eti90_lb", "eti90_ub", "ess_bulk", "ess_tail", "r_hat", "mcse_mean", "mcse_sd")


@dataclass(frozen=True)
class SummaryRow:
    """Figures of one number of the posterior, as ArviZ computes them; `fixed` ones have no spread."""

    id: str
    label: str
    unit: str
    figures: Mapping[str, float]
    fixed: bool
    trouble: tuple[str, ...]


@dataclass(frozen=True)
class Coverage:
    """How the posterior predictive covers what one class has observed.

    `inside` is the share of its cells within their 90% predictive interval, `total` the observed sum
    and `lower`, `upper` the predictive 90% interval of the sum.
    """

    variable: str
    cells: int
    inside: float
    total: float
    lower: float
    upper: float


def write_diagnostics(folder: Path, tree: xr.DataTree, parameters: Mapping[str, Parameter]) -> Path:
    """Write summary.csv, PNG pictures and index.html about a calibration; return the page's path.

    Parameters
    ----------
    folder
        Created if need be; files of these names in it are replaced.
    tree
        The calibration as PyMC leaves it: posterior, sample_stats, and prior, posterior_predictive and
        observed_data where there are any.
    parameters
        The deal's parameters by id; those that the posterior does not hold are left out.

    Returns
    -------
    Path
        index.html, which holds all pictures itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in parameters if name in tree["posterior"].data_vars]
    rows = summary(tree, names, parameters)
    _write_csv(folder / "summary.csv", rows)
    found = criticise(tree, parameters)
    plates = [*checked(folder, found.checks if found else None, blocks(tree)), *draw(folder, tree, names)]
    page = environment().get_template("diagnostics.html.j2")
    text = page.render(
        css=style(),
        rows=rows,
        plates=plates,
        coverage=coverage(tree),
        classes=class_rows(found.checks) if found else (),
        sensitivities=sense_rows(found.checks) if found else (),
        criticism=found,
        chains=tree["posterior"].sizes["chain"],
        draws=tree["posterior"].sizes["draw"],
        troubled=[r for r in rows if r.trouble],
        divergences=_divergences(tree),
    )
    index = folder / "index.html"
    index.write_text(text, encoding="utf-8")
    return index


def summary(tree: xr.DataTree, names: Sequence[str], parameters: Mapping[str, Parameter]) -> tuple[SummaryRow, ...]:
    """Summarise the posterior of the parameters `names`, one row a number, with what is wrong with it."""
    if not names:
        return ()
    import arviz as az  # noqa: PLC0415  # two seconds, which a report does not need

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # a constant or a NaN is reported in the row
        frame = az.summary(tree, var_names=list(names), ci_prob=0.9, ci_kind="eti", round_to="none")
    rows = []
    for id_, record in zip(frame.index, frame.to_dict("records"), strict=True):
        base, _, entry = str(id_).partition("[")
        parameter = parameters[base]
        figures = {name: float(record[name]) for name in FIGURES}
        fixed = figures["sd"] == 0.0 and parameter.constant is not None
        label = f"{parameter.label}, {entry.removesuffix(']')}" if entry else parameter.label
        rows.append(
            SummaryRow(str(id_), label, parameter.unit, figures, fixed, () if fixed else tuple(_trouble(figures)))
        )
    return tuple(rows)


def _trouble(figures: Mapping[str, float]) -> Iterator[str]:
    """Yield what the gate would say; comparisons are written so that a NaN fails."""
    if not np.isfinite(figures["mean"]):
        yield "not finite"
    if not figures["r_hat"] <= MAX_RHAT:
        yield f"R-hat {number(figures['r_hat'], 4)} (allowed {MAX_RHAT})"
    for name, words in (("ess_bulk", "bulk ESS"), ("ess_tail", "tail ESS")):
        if not figures[name] >= MIN_ESS:
            yield f"{words} {number(figures[name])} (at least {MIN_ESS:.0f})"


def coverage(tree: xr.DataTree) -> tuple[Coverage, ...]:
    """Compare what each class has observed with its posterior predictive."""
    rows = []
    for block in blocks(tree):
        seen = block.observed.ravel()
        drawn = block.predicted.reshape(len(block.predicted), -1)
        lower, upper = np.quantile(drawn, (0.05, 0.95), axis=0)
        low, high = np.quantile(drawn.sum(axis=1), (0.05, 0.95))
        inside = float(np.mean((seen >= lower) & (seen <= upper)))
        rows.append(Coverage(block.id, seen.size, inside, float(seen.sum()), float(low), float(high)))
    return tuple(rows)


def _divergences(tree: xr.DataTree) -> int | None:
    if "sample_stats" not in tree.children or "diverging" not in tree["sample_stats"].data_vars:
        return None
    return int(tree["sample_stats"]["diverging"].sum())


def _write_csv(path: Path, rows: Sequence[SummaryRow]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(("parameter", "label", "unit", *FIGURES, "trouble"))
        for r in rows:
            out.writerow(
                (r.id, guarded(r.label), guarded(r.unit), *(repr(r.figures[f]) for f in FIGURES), "; ".join(r.trouble))
            )
