"""The few calls that a person, the command line or a flow makes; each a composition of pure stages."""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.base_rates import base_rate_table
from forecast.analysis.families import story_table
from forecast.analysis.pull import pull_table
from forecast.analysis.sensitivity.headlines import headlines_of
from forecast.analysis.story import tell
from forecast.archive import Archive, Run
from forecast.blockstore import Blocks
from forecast.calibrate.beliefs import beliefs
from forecast.calibrate.cooke import elicitation_notes, panel_of
from forecast.calibrate.fit import Calibration, calibrate, draws_of, read_fit
from forecast.calibrate.gate import GateReport, judge_run
from forecast.deal.describe import Description, describe
from forecast.deal.expand import expand
from forecast.deal.overrides import parse_value
from forecast.durable import make_writable
from forecast.errors import ArchiveError, ForecastError
from forecast.estimands import build_forecast, forecast_invariants
from forecast.inputs import Inputs, load
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.process.forward import ExactForecasts, solve_plan
from forecast.process.small import small
from forecast.refine import PATHS, Wanted, estimates_dataset, exact_figures, figures, refined, wanted_of
from forecast.report.tables import headlines
from forecast.schema import EXACT, SIMULATED
from forecast.simulate import Counts, record_paths, simulate
from forecast.spread import Count, spread
from forecast.types import F64, I64, monthly_grid, years_between

type Progress = Callable[[str, int, int], None]

SAMPLE_PATHS = 40_000  # paths whose whole history is kept, for storylines and conditional frequencies
CHAINS = 4
PILOT = 32  # weighted paths a draw of the run that tells how many are needed
DRAW_COST = 1000.0  # weighted paths that take as long as drawing one more set of parameters
MAX_DRAWS, MAX_REPLICATES = 40_000, 65_536
FIT_DRAWS = 1000  # draws a chain of every fit: fewer would fail the gate; a forecast may use fewer of them


def silent(_stage: str, _done: int, _total: int) -> None:
    """Tell nobody of progress."""


@dataclass(frozen=True)
class RunSettings:
    """How a forecast is computed; none of it changes what is forecast, `threads` not even a bit of it."""

    paths: int = 1_000_000
    draws: int = 4_000
    seed: int = 1
    threads: int | None = None
    archive: Path = Path("outputs")
    precision: float | None = None  # standard error wanted of each headline, of draws and paths together
    simulate: bool = False  # simulate also where the process is small enough to be solved exactly
    weighted: int | None = None  # weighted paths a draw; as many as take about as long as `paths`, if None
    command: str = "forecast.run_forecast(...)"

    @property
    def replicates(self) -> int:
        """Paths a draw, rounded up."""
        return max(1, -(-self.paths // self.n_draw))

    @property
    def weighted_replicates(self) -> int:
        """Weighted paths a draw, a power of two."""
        return self.weighted or _power(min(self.paths, PATHS) / self.n_draw)

    @property
    def n_draw(self) -> int:
        """Draws, rounded up to the same number a chain."""
        return -(-self.draws // CHAINS) * CHAINS


@dataclass(frozen=True)
class RunResult:
    """A run that is in the archive."""

    id: str
    path: Path
    title: str
    as_of: date
    horizon: date
    paths: int
    tree: xr.DataTree
    held: tuple[str, ...]
    notes: tuple[str, ...]


def calibrate_deal(
    inputs: Inputs, settings: RunSettings, progress: Progress = silent
) -> tuple[Calibration, GateReport]:
    """Fit every parameter of a deal in one joint model (or read the fit from the archive) and judge it."""
    deal = inputs.deal
    calibration = calibrate(
        deal.file.parameters,
        deal.experts,
        inputs.classes,
        deal.as_of,
        seed=settings.seed,
        cache=settings.archive / "calibrations",
        weights=panel_of(deal).weights,
        draws=max(settings.n_draw // CHAINS, FIT_DRAWS),
        chains=CHAINS,
        progress=lambda done, total: progress("calibrate", done, total),
    )
    return calibration, judge_run(calibration.tree, deal.file.parameters)


def simulate_deal(
    inputs: Inputs,
    draws: Draws,
    settings: RunSettings,
    attrs: Mapping[str, Any],
    progress: Progress = silent,
    count: Count | None = None,
) -> tuple[Program, xr.DataTree]:
    """Simulate a deal for given draws of its parameters; return its program and its Forecast.

    Where the process is small, its probabilities are computed instead, and only the paths that are kept are simulated.
    `count` counts the paths elsewhere than in this process (`spread.spread`).
    """
    program = compile_process(expand(inputs.deal), draws)
    grid, seed, threads = _grid(inputs), settings.seed, settings.threads
    planned = None if settings.simulate else small(program, grid)
    if planned is not None:
        settings = replace(settings, paths=min(settings.paths, SAMPLE_PATHS))
    replicates = settings.replicates
    counts: Counts | ExactForecasts
    if planned is not None:
        counts = solve_plan(program, planned, threads=threads, progress=partial(progress, "solve"))
    elif count is not None:
        counts = count(program, replicates, grid)
    else:
        counts = simulate(
            program,
            seed=seed,
            replicates=replicates,
            grid=grid,
            threads=threads,
            progress=partial(progress, "simulate"),
        )
    total = program.n_draw * replicates
    sample = np.unique(np.linspace(0, total - 1, min(SAMPLE_PATHS, total)).astype(np.int64))
    log = record_paths(program, seed=seed, paths=sample, replicates=replicates)
    rates = base_rate_table(program, log, inputs.deal.file.base_rates)
    stories = story_table(program, log, replicates)
    labels = {id_: p.label for id_, p in inputs.deal.file.parameters.items()}
    estimates = None if planned is not None else _estimates(inputs, program, settings, progress)
    method = {"method": SIMULATED if planned is None else EXACT, "replicates": replicates, "paths": total}
    tree = build_forecast(program, counts, log, draws, {**attrs, **method}, rates, stories, estimates, labels=labels)
    if problems := forecast_invariants(tree):
        raise AssertionError("a forecast broke its own rules: " + "; ".join(problems))
    return program, tree


def _estimates(inputs: Inputs, program: Program, settings: RunSettings, progress: Progress) -> xr.Dataset:
    """Headlines, causes and outcome classes by the estimator that suits each."""
    progress("estimate", 0, 1)
    wanted = wanted_of(program, describe(inputs.deal).headline, inputs.deal.horizon)
    seed, replicates, threads = settings.seed, settings.weighted_replicates, settings.threads
    found = figures(program, wanted, seed=seed, replicates=replicates, threads=threads)
    better = refined(found, program, seed=seed, replicates=replicates, threads=threads)
    progress("estimate", 1, 1)
    return estimates_dataset(better)


def used_draws(inputs: Inputs, calibration: Calibration, settings: RunSettings) -> Draws:
    """Return as many of a fit's draws as the settings ask for, evenly spaced over its chains."""
    draws = draws_of(calibration.tree, inputs.deal.file.parameters, inputs.classes)
    kept = kept_draws(calibration, min(settings.n_draw, draws.n_draw))
    if len(kept) == draws.n_draw:
        return draws
    return replace(draws, values={k: np.ascontiguousarray(v[kept]) for k, v in draws.values.items()})


def kept_draws(calibration: Calibration, n: int) -> I64:
    """Which `n` draws of a fit, chains end to end, a forecast uses."""
    sizes = calibration.tree["posterior"].sizes
    return np.linspace(0, sizes["chain"] * sizes["draw"] - 1, n).round().astype(np.int64)


def run_forecast(
    inputs: Inputs,
    settings: RunSettings | None = None,
    progress: Progress = silent,
    blocks: Blocks | None = None,
) -> RunResult:
    """Calibrate, simulate, archive and report one deal.

    A run whose calibration fails the gate is written and marked held; `held` says why. With `blocks`, paths are counted
    in blocks of draws (`spread.compute_block`) that it has computed wherever it likes; the result is the same bytes.
    """
    settings = settings or RunSettings()
    deal = inputs.deal
    archive = Archive(settings.archive)
    make_writable(settings.archive)
    calibration, gate = calibrate_deal(inputs, settings, progress)
    draws = used_draws(inputs, calibration, settings)
    notes: tuple[str, ...] = ()
    if settings.precision is not None:
        settings, notes = precise(inputs, draws, settings)
        if settings.n_draw > draws.n_draw:
            calibration, gate = calibrate_deal(inputs, settings, progress)
            draws = used_draws(inputs, calibration, settings)
    attrs = provenance(inputs, settings, calibration, gate)
    with _counting(inputs, draws, settings, progress, blocks) as count:
        program, tree = simulate_deal(inputs, draws, settings, attrs, progress, count)
        tree["sources"] = xr.DataTree(_sources(inputs, calibration, draws, tree))
        if gate.checks is not None:
            tree["checks"] = xr.DataTree(gate.checks)
        run = _archived(archive, tree, inputs, calibration, gate)
    progress("write", 1, 1)
    return RunResult(
        id=run.id,
        path=run.path,
        title=deal.file.deal.title,
        as_of=deal.as_of,
        horizon=deal.horizon,
        paths=int(tree.attrs["paths"]),
        tree=tree,
        held=gate.problems,
        notes=(*notes, *inputs.not_yet_known, *program.notes, *elicitation_notes(deal), *gate.notes),
    )


def _counting(
    inputs: Inputs, draws: Draws, settings: RunSettings, progress: Progress, blocks: Blocks | None
) -> AbstractContextManager[Count | None]:
    """What counts paths: blocks of draws wherever they are computed, or (None) this process."""
    if blocks is None:
        return nullcontext()
    folder, told = Archive(settings.archive).runs, partial(progress, "simulate")
    return spread(inputs, draws, folder, seed=settings.seed, blocks=blocks, progress=told)


def _archived(archive: Archive, tree: xr.DataTree, inputs: Inputs, calibration: Calibration, gate: GateReport) -> Run:
    """Write a run with its report."""
    description = describe(inputs.deal)

    def add_report(folder: Path) -> None:
        _write_report(folder / "report.html", tree, description, inputs, calibration, gate)

    return archive.write_run(tree, inputs.files, {str(k): v for k, v in tree.attrs.items()}, add_report)


def _sources(inputs: Inputs, calibration: Calibration, draws: Draws, tree: xr.DataTree) -> xr.Dataset:
    """What each source says of each parameter, and what that does to the headlines."""
    deal = inputs.deal
    asked = dict.fromkeys(p.experts for p in deal.file.parameters.values() if p.experts)
    answers = beliefs(deal.experts, deal.as_of, asked, panel_of(deal).weights)
    luck = tree.attrs["method"] != EXACT and int(tree.attrs["replicates"]) < 2  # then draws' probabilities are 0 or 1
    shown = () if luck or tree.attrs["headline"] == "[]" else headlines_of(tree)
    headlines = {h.label: h.y for h in shown if not h.trouble}
    return pull_table(calibration.tree, deal.file.parameters, answers, headlines, kept_draws(calibration, draws.n_draw))


def precise(inputs: Inputs, draws: Draws, settings: RunSettings) -> tuple[RunSettings, tuple[str, ...]]:
    """Choose draws and weighted paths a draw for the precision asked for; return the settings, and that in words.

    A pilot gives, for each headline, the variance b between the draws' probabilities (times the autocorrelation of
    the draws) and the variance w of one path. D draws with R paths each leave b/D + w/(D·R). With the draws that
    there are, R makes up for the rest. Where they alone leave more than is asked for, more are drawn: then
    R = sqrt(w/b · cost of a draw/cost of a path) makes the same error cheapest, and D follows.
    """
    target = settings.precision or 0.0
    if not 1e-6 <= target < 0.5:
        raise ForecastError(f"--precision {target}: must be from 0.000001 to less than 0.5")
    program = compile_process(expand(inputs.deal), draws)
    wanted = [Wanted(*h) for h in describe(inputs.deal).headline]
    exact = not settings.simulate and small(program, _grid(inputs)) is not None  # as the run will decide
    solved = exact_figures(program, wanted, threads=settings.threads) if exact else None
    found = solved or figures(program, wanted, seed=settings.seed, replicates=PILOT, threads=settings.threads)
    path = found.noise * PILOT
    slow = np.array([_autocorrelation(p) for p in found.p.T])
    draw = np.maximum(found.p.var(axis=0, ddof=1) - found.noise, 0.0) * slow
    plans = [_split(d, w, draws.n_draw, target) for d, w in zip(draw, path, strict=True)]
    n_draw, replicates = (max(plan[k] for plan in plans) for k in (0, 1))
    if n_draw > MAX_DRAWS or replicates > MAX_REPLICATES:
        least = float(np.sqrt(draw.max(initial=0.0) / MAX_DRAWS + path.max(initial=0.0) / (MAX_DRAWS * MAX_REPLICATES)))
        raise ForecastError(
            f"--precision {target}: would take {n_draw:,} draws of the parameters with {replicates:,} paths each; at "
            f"most {MAX_DRAWS:,} and {MAX_REPLICATES:,} are run, which gives about {least:.1g}"
        )
    hardest = int(np.argmax(draw / n_draw + path / (n_draw * replicates)))
    parts = [float(np.sqrt(v)) for v in (draw[hardest] / n_draw, path[hardest] / (n_draw * replicates))]
    if solved:
        note = (
            f"precision {target:g}: nothing needs to be simulated for it, as the process is small enough to be solved; "
            f"{n_draw:,} draws leave ± {parts[0]:.2g} of “{wanted[hardest].label}”, which needs the most"
        )
        return replace(settings, draws=n_draw), (note,)
    note = (
        f"precision {target:g}: {n_draw:,} draws with {replicates:,} weighted paths each; of "
        f"“{wanted[hardest].label}”, which needs the most, the draws leave ± {parts[0]:.2g}, the paths ± {parts[1]:.2g}"
    )
    return replace(settings, draws=n_draw, weighted=replicates), (note,)


def _split(draw: float, path: float, n_draw: int, target: float) -> tuple[int, int]:
    """Draws, and paths a draw, for one headline with these variances of a draw and of a path."""
    left = target**2 - draw / n_draw
    if left > 0.0:
        replicates = path / (n_draw * left)
        if replicates <= 16.0 * np.sqrt(max(path, 1e-300) / max(draw, 1e-300) * DRAW_COST) or draw == 0.0:
            return n_draw, _power(replicates)
    replicates = _power(float(np.sqrt(path / draw * DRAW_COST)))
    needed = (draw + path / replicates) / target**2
    return max(n_draw, int(np.ceil(needed / CHAINS)) * CHAINS), replicates


def _power(replicates: float) -> int:
    """Paths a draw that `estimate` can run: 2 or more, a power of two."""
    return 1 << max(1, int(np.ceil(np.log2(max(replicates, 2.0)))))


def _autocorrelation(p: F64) -> float:
    """How many draws of a chain are worth one independent draw, for probabilities in the order of the chains."""
    from arviz_stats.base import array_stats

    n = len(p) // CHAINS
    if n < 4 or p.std() == 0.0:
        return 1.0
    ess = float(array_stats.ess(p[: n * CHAINS].reshape(CHAINS, n), chain_axis=0, draw_axis=1, method="mean"))
    return max(1.0, len(p) / ess) if np.isfinite(ess) and ess > 0.0 else 1.0


# ---- runs in the archive -------------------------------------------------------------------------


def list_runs(archive: Path = Path("outputs")) -> list[Run]:
    """List the whole runs of an archive, oldest first."""
    return Archive(archive).list_runs()


def open_run(run_id: str, archive: Path = Path("outputs")) -> Run:
    """Open a run by its id, the unique start of one, or "latest"."""
    return Archive(archive).open(run_id)


def verify_run(run: Run) -> list[str]:
    """Name every file of a run that is not as it was written."""
    return Archive(run.path.parent.parent).verify(run)


def write_run_report(run_id: str, archive: Path = Path("outputs"), out: Path | None = None) -> Path:
    """Write the report of a run to a file; without `out`, return the one that lies in the run and never changes."""
    run = open_run(run_id, archive)
    if out is None:
        return run.path / "report.html"
    inputs, calibration = stored(run, archive)
    gate = judge_run(calibration.tree, inputs.deal.file.parameters)
    _write_report(out, run.open(), describe(inputs.deal), inputs, calibration, gate)
    return out


def diagnose_run(run_id: str, archive: Path = Path("outputs"), out: Path = Path("diagnostics")) -> Path:
    """Write the ArviZ diagnostics of the calibration behind a run; return the page."""
    from forecast.report.diagnostics import write_diagnostics

    inputs, calibration = stored(open_run(run_id, archive), archive)
    return write_diagnostics(out, calibration.tree, inputs.deal.file.parameters)


def replay_path(run_id: str, archive: Path, number: int) -> Iterator[str]:
    """Tell one path of a run as a dated story, from the stored deal, calibration and seed."""
    run = open_run(run_id, archive)
    attrs = run.manifest["attrs"]
    total = int(attrs["paths"])
    if not 0 <= number < total:
        raise ForecastError(f"--path {number}: the run has paths 0 to {total - 1}")
    inputs, calibration = stored(run, archive)
    draws = used_draws(inputs, calibration, RunSettings(draws=int(attrs["draws"])))
    program = compile_process(expand(inputs.deal), draws)
    log = record_paths(program, seed=int(attrs["seed"]), paths=np.array([number]), replicates=int(attrs["replicates"]))
    yield f"{attrs['title']}: path {number} of {total:,} (run {run.id})"
    yield from tell(program, log)


def headline_rows(tree: xr.DataTree) -> list[tuple[str, float, float, float, float]]:
    """(label, mean, lower, upper, mcse) of each headline probability of a stored forecast."""
    asked = [
        (label, variable, name, date.fromisoformat(day))
        for label, variable, name, day in json.loads(tree.attrs["headline"])
    ]
    found = [(h.label, h.estimate) for h in headlines(tree, asked)]
    return [(label, e.mean, e.lower, e.upper, e.mcse) for label, e in found]


def stored(run: Run, archive: Path) -> tuple[Inputs, Calibration]:
    """Read the inputs that a run keeps, and the very calibration that it was made with.

    A fit made anew would not do: with other code or libraries its draws, and so the run's paths, are others.
    """
    laid = json.loads(run.manifest["attrs"]["overrides"])
    overrides = {k: parse_value(v) if isinstance(v, str) else v for k, v in laid.items()}
    inputs = load(run.path / "inputs" / "deal", overrides)
    digest = str(run.manifest["attrs"]["calibration_digest"])
    tree = read_fit(archive / "calibrations" / f"{digest}.zarr")
    if tree is None:
        raise ArchiveError(f"{run.id}: its calibration {digest}.zarr is not in {archive / 'calibrations'}")
    return inputs, Calibration(tree, digest, from_cache=True, seconds=float(tree.attrs["seconds"]))


def _grid(inputs: Inputs) -> F64:
    deal = inputs.deal
    days = sorted({*monthly_grid(deal.as_of, deal.horizon), *(d for _, _, _, d in describe(deal).headline)})
    return np.array([years_between(deal.as_of, d) for d in days])


def provenance(
    inputs: Inputs, settings: RunSettings, calibration: Calibration, gate: GateReport
) -> dict[str, str | int]:
    """Attributes that say where a result comes from: the deal, the fit, the settings, versions and hashes."""
    deal = inputs.deal
    packages = ("forecast", "numpy", "numba", "pymc", "pytensor", "nutpie", "xarray", "zarr")
    return {
        "Conventions": "CF-1.11",
        "deal_id": deal.id,
        "title": deal.file.deal.title,
        "deal_digest": inputs.digest,
        "as_of": str(deal.as_of),
        "horizon": str(deal.horizon),
        "seed": settings.seed,
        "draws": settings.n_draw,
        "replicates": settings.replicates,
        "paths": settings.n_draw * settings.replicates,
        "status": "held" if gate.problems else "published",
        "held_reasons": json.dumps(gate.problems),
        "check_warnings": json.dumps(gate.warnings, ensure_ascii=False),
        "headline": json.dumps([[a, b, c, str(d)] for a, b, c, d in describe(deal).headline], ensure_ascii=False),
        "overrides": json.dumps({k: str(v) if isinstance(v, date) else v for k, v in deal.overrides.items()}),
        "command": settings.command,
        "git_commit": _git_commit(),
        "versions": json.dumps({"python": platform.python_version(), **{p: version(p) for p in packages}}),
        "inputs": json.dumps(inputs.hashes),
        "calibration_digest": calibration.digest,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _git_commit() -> str:
    """Commit of the code that runs, with a + where it has been changed since; empty outside a checkout."""
    here = Path(__file__).parent
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}

    def git(*words: str) -> str:
        command = ["git", "-C", str(here), *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True, env=environment)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", str(here)) else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _write_report(
    path: Path, tree: xr.DataTree, description: Description, inputs: Inputs, calibration: Calibration, gate: GateReport
) -> None:
    from forecast.report.health import health_of, sources_of
    from forecast.report.html import write_report

    write_report(path, tree, description, health_of(calibration, gate), sources_of(inputs))
