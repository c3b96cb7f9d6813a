"""How fast paths are simulated: microseconds a path, the gain of a second thread, the cost of recording.

    .venv/bin/python benchmarks/kernel.py [paths]

The process has 20 hazards (4 Weibull, 4 with age bins), 8 series of events, quarterly for two years, 4 deadlines
and 40 flags; it runs for ten years, with monthly curves. CPU time is the best of five. Compare figures of one run
only, machines and hours differ; nanoseconds an event are what carries over to other processes.
"""

import sys
import time
from collections.abc import Callable
from datetime import date

import numpy as np

from forecast.deal.spec import Process
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.simulate import record_paths, simulate

AS_OF, N_DRAW = date(2025, 1, 1), 400


def flag(n: int) -> str:
    return f"f{n % 40}"


def hazard(n: int) -> dict[str, object]:
    """One in five ends the path; the others move two flags and, some of them, a clock."""
    kind = {0: {"weibull_shape": "shape", "weibull_scale": "scale"}, 1: {"rate": "bins"}}.get(
        n % 5, {"rate": f"rate_{n}"}
    )
    effect: dict[str, object] = {"set": [flag(3 * n)], "clear": [flag(3 * n + 7)]}
    if n % 5 == 3:
        effect = {"end": f"cause_{n % 4}"}
    elif n % 5 == 4:
        effect["start"] = [f"clock_{n % 4}"]
    return {
        "id": f"hazard_{n}",
        "label": "",
        "when": [f"not {flag(n)}", [flag(n + 1), f"not {flag(n + 2)}"]],
        "clock": "clock_0" if n % 5 < 2 else None,
        **kind,
        "modifiers": [{"when": flag(n + k), "log_ratio": f"log_{k}"} for k in range(3, 7)],
        "effect": effect,
    }


def series(n: int) -> dict[str, object]:
    yes = {"id": "yes", "label": "", "effect": {"set": [flag(5 * n + 1)]}}
    no = {"id": "no", "label": "", "effect": {"clear": [flag(5 * n + 1)]}}
    how = (
        {"logit": "log_3", "modifiers": [{"when": flag(n), "log_ratio": "log_4"}]}
        if n % 2
        else {"probability": "chance"}
    )
    return {
        "id": f"series_{n}",
        "label": "",
        "when": [flag(4 * n)] if n % 2 else [],
        "every": {"first": date(2025, 2, 1), "last": date(2026, 12, 31), "every": 0.25},
        "branches": [{**yes, **how}, no],
    }


def deadline(n: int) -> dict[str, object]:
    rings = {"id": "rings", "label": "", "effect": {"set": [flag(7 * n)]}}
    return {"id": f"due_{n}", "label": "", "at_age": {"clock": f"clock_{n}", "age": 1.0 + n}, "branches": [rings]}


def build() -> Program:
    rng = np.random.default_rng(1)
    values = {f"rate_{n}": rng.lognormal(np.log(0.05 if n % 5 == 3 else 0.04), 0.3, N_DRAW) for n in range(20)}
    values |= {f"log_{k}": rng.normal(0.3, 0.3, N_DRAW) for k in range(3, 7)}
    values |= {
        "shape": rng.uniform(0.6, 1.4, N_DRAW),
        "scale": rng.uniform(4, 9, N_DRAW),
        "chance": np.full(N_DRAW, 0.4),
    }
    values["bins"] = rng.lognormal(-2, 0.5, (N_DRAW, 4))
    values["worth"] = rng.lognormal(0, 0.2, N_DRAW)
    process = Process.model_validate(
        {
            "deal_id": "benchmark",
            "title": "Benchmark",
            "as_of": AS_OF,
            "horizon": 10.0,
            "flags": [{"id": flag(n), "label": "", "initially": n % 4 < 2} for n in range(40)],
            "clocks": [{"id": f"clock_{n}", "label": "", "running_since": AS_OF} for n in range(4)],
            "hazards": [hazard(n) for n in range(20)],
            "scheduled": [*(series(n) for n in range(8)), *(deadline(n) for n in range(4))],
            "causes": [{"id": f"cause_{n}", "label": ""} for n in range(4)],
            "outcomes": [
                *({"id": f"cause_{n}", "label": "", "causes": [f"cause_{n}"]} for n in range(4)),
                {"id": "quiet", "label": "", "when": [flag(1), f"not {flag(2)}"]},
                {"id": "open", "label": "", "rest": True},
            ],
            "consequences": [{"id": "worth", "label": "", "unit": "1", "amount": ["worth"], "when": [flag(1)]}],
        }
    )
    edges = {"bins": np.array([0.0, 1.0, 3.0, 6.0, np.inf])}
    return compile_process(process, Draws(values, edges, {}, {}))


def best(work: Callable[[], object], clock: Callable[[], float], times: int = 5) -> float:
    seen = []
    for _ in range(times):
        start = clock()
        work()
        seen.append(clock() - start)
    return min(seen)


def main() -> None:
    replicates = max(1, int(sys.argv[1] if len(sys.argv) > 1 else 100_000) // N_DRAW)
    paths = replicates * N_DRAW
    program, grid = build(), np.linspace(0.0, 10.0, 121)
    start = time.process_time()
    counts = simulate(program, seed=1, replicates=1, grid=grid, threads=1)
    print(f"first call (compiled or from the cache)  {time.process_time() - start:8.2f} s CPU")

    def run(threads: int) -> Callable[[], object]:
        return lambda: simulate(program, seed=1, replicates=replicates, grid=grid, threads=threads)

    cpu = best(run(1), time.process_time) / paths * 1e6
    one, two = best(run(1), time.perf_counter), best(run(2), time.perf_counter)
    events = simulate(program, seed=1, replicates=replicates, grid=grid).fired.sum() / paths
    sample = np.arange(0, paths, max(1, paths // 20_000))
    record_paths(program, seed=1, paths=sample[:1], replicates=replicates)
    record = best(lambda: record_paths(program, seed=1, paths=sample, replicates=replicates), time.process_time)
    print(
        f"CPU time a path, 1 thread                {cpu:8.2f} µs, {events:.1f} events: {cpu / events * 1e3:.0f} ns each"
    )
    print(f"2 threads against 1 (wall clock)         {one / two:8.2f} ×")
    print(f"recording a history                      {record / len(sample) * 1e6:8.2f} µs")
    print(f"ended by the horizon                     {counts.cause[:, -1].sum() / N_DRAW:8.2f}")


if __name__ == "__main__":
    main()
