"""Five competing risks with constant rates: a problem that needs no engine, to be honest about."""

from collections.abc import Callable
from datetime import date

import numpy as np
from numpy.typing import NDArray

from forecast.deal.spec import Process
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws

RATES = {"breakdown": 0.05, "withdrawal": 0.02, "nuclear_use": 1e-4, "superseded": 0.04, "collapse": 0.1}
HORIZON = 10.0
BATCH = 16_384


def competing_risks() -> Program:
    """Compile the problem for one draw."""
    causes = [{"id": c, "label": ""} for c in RATES]
    process = Process.model_validate({
        "deal_id": "trivial", "title": "Benchmark", "as_of": date(2025, 4, 1), "horizon": HORIZON,
        "flags": [],
        "hazards": [{"id": f"to_{c}", "label": "", "rate": c, "effect": {"end": c}} for c in RATES],
        "causes": causes,
        "outcomes": [*({**c, "causes": [c["id"]]} for c in causes), {"id": "none", "label": "", "rest": True}],
    })  # fmt: skip
    return compile_process(process, Draws({c: np.array([r]) for c, r in RATES.items()}, {}, {}, {}))


def in_numpy() -> Callable[[int, int], NDArray[np.int64]]:
    """Make a function of (paths, seed) that does the same in five lines of NumPy."""
    cumulative = np.cumsum(list(RATES.values()))

    def run(n: int, seed: int) -> NDArray[np.int64]:
        rng, out = np.random.Generator(np.random.SFC64(seed)), np.zeros(len(RATES), np.int64)
        for first in range(0, n, BATCH):
            inside = rng.standard_exponential(min(BATCH, n - first)) <= HORIZON * cumulative[-1]
            u = rng.random(np.count_nonzero(inside)) * cumulative[-1]
            out += np.bincount(cumulative.searchsorted(u, side="right"), minlength=len(RATES))
        return out

    return run
