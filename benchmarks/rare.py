"""Causes whose way is rare, with probabilities known exactly: importance sampling against counting."""

from datetime import date
from typing import Any

import numpy as np

from benchmarks.peers import expm
from benchmarks.peers.reading import chain_of
from benchmarks.results import Figure, Table, at_least
from benchmarks.variance import LIMIT_Z, DifferError, Effort, repeated, times_as_long
from forecast.deal.spec import Process
from forecast.estimate import MIN_ESS, Estimates, estimate_rare
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.simulate import simulate

RATES = ((0.02, 0.015, 0.03), (0.005, 0.005, 0.02), (0.002, 0.002, 0.02))  # p about 1e-4, 6e-6 and 1e-6
HORIZON, DRAWS, PLAIN = 10.0, 100, 4096
COMMON = 5e-5  # a probability above it has a target


def ladder(rates: tuple[float, float, float], n_draw: int = DRAWS) -> Program:
    """Compile a process that reaches war by two rare steps, from which it mostly falls back, and a rare third."""
    values = dict(zip(("first", "second", "third"), rates, strict=True)) | {"back": 0.5, "other": 0.1}

    def hazard(name: str, rate: str, when: list[str], **effect: object) -> dict[str, object]:
        return {"id": name, "label": "", "rate": rate, "when": when, "effect": effect}

    process = Process.model_validate({
        "deal_id": "ladder", "title": "Rare", "as_of": date(2025, 4, 1), "horizon": HORIZON,
        "flags": [{"id": f, "label": ""} for f in ("tense", "armed")],
        "hazards": [
            hazard("tension", "first", ["not tense"], set=["tense"]),
            hazard("arming", "second", ["tense", "not armed"], set=["armed"]),
            hazard("calm", "back", ["tense"], clear=["tense", "armed"]),
            hazard("attack", "third", ["armed"], end="war"),
            hazard("settlement", "other", [], end="other"),
        ],
        "causes": [{"id": c, "label": ""} for c in ("war", "other")],
        "outcomes": [{"id": c, "label": "", "causes": [c]} for c in ("war", "other")]
        + [{"id": "open", "label": "", "rest": True}],
    })  # fmt: skip
    return compile_process(process, Draws({k: np.full(n_draw, v) for k, v in values.items()}, {}, {}, {}))


def exact(program: Program) -> float:
    """P(war by the horizon), by the matrix exponential."""
    return float(expm.build(chain_of(program))()[0])


def table(effort: Effort) -> Table:
    """Compare importance sampling with counting, for two numbers of paths."""
    figures = [_figure(rates, n, effort) for n in (256, 1024) for rates in RATES]
    intro = (
        "Two rare steps, each mostly undone, and a rare third; exact: SciPy's matrix exponential. "
        f"{DRAWS} draws, all the same, and {2 * effort.seeds} seeds; learning, with at most 4 × 20,000 paths, is in "
        "the time. The value is the relative standard error of one run; usable: error ≤ 5 %, at least "
        f"{MIN_ESS:g} effective paths, and |z| < {LIMIT_Z:g} against exact over all seeds."
    )
    return Table("Rare causes", intro, figures, "× counting")


def _figure(rates: tuple[float, float, float], replicates: int, effort: Effort) -> Figure:
    program, times = ladder(rates), np.array([HORIZON])
    p = exact(program)

    def run(seed: int) -> Estimates:
        # learning takes the seeds that follow
        return estimate_rare(program, "war", seed=1000 * seed, time=HORIZON, replicates=replicates, threads=1)[0]

    found, one = repeated(run, range(1, 1 + 2 * effort.seeds)), run(1)
    war = one.column("cause", "war")
    variance = float(found.spread[0, war]) / DRAWS
    error = float(np.sqrt(variance)) / p
    z = (float(found.mean[..., 0, war].mean()) / p - 1.0) / error * np.sqrt(len(found.mean))
    if not abs(z) < LIMIT_Z:
        raise DifferError(f"importance sampling at {p:.2g}: |z| = {abs(z):.1f} (limit {LIMIT_Z:g})")
    runs = [lambda: simulate(program, seed=1, replicates=PLAIN, grid=times, threads=1), lambda: run(1)]
    gain = p * (1.0 - p) / (PLAIN * DRAWS) / (variance * times_as_long(runs, effort.repeats)[1])
    ess = float(one.ess[0, war])
    usable: dict[str, Any] = {"target": "usable", "met": ess >= MIN_ESS and error <= 0.05}
    target = at_least(gain, 1000) if p > COMMON else usable
    note = f"z = {z:+.1f}; {ess:,.0f} effective paths; own error² / spread {found.honesty[0, war]:.2f}"
    return Figure(f"p = {p:.3g}, {one.paths:,} paths", 100.0 * error, "% of p", gain, **target, note=note)
