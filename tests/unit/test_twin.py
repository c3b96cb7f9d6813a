"""The kernel and its plain-Python twin give the same paths, to the bit."""

import os

import numpy as np
import pytest

from forecast.process.compile import compile_process
from forecast.simulate import record_paths
from tests.generate import cases, generate
from tests.reference.gsmp import Twin
from tests.reference.processes import random_process

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
N_CASES, REPLICATES = (14, 4) if INTERPRETED else (56, 12)


@pytest.mark.parametrize("random_clocks", [False, True], ids=["known_clocks", "random_clocks"])
@pytest.mark.parametrize(("kind", "seed"), cases(N_CASES))
def test_kernel_and_twin_agree_path_by_path(kind, seed, random_clocks):
    process, draws = generate(kind, seed, random_clocks=random_clocks)
    compare(process, draws, 0x1234_5678_9ABC_DEF0 + seed)


@pytest.mark.parametrize("number", range(100, 106 if INTERPRETED else 140))
def test_kernel_and_twin_agree_on_mixed_processes(number):
    compare(*random_process(number), 0xFEDC_BA98_7654_3210 + number)


def compare(process, draws, key):
    program = compile_process(process, draws)
    log = record_paths(program, seed=key, paths=np.arange(2 * REPLICATES), replicates=REPLICATES, max_steps=5000)
    for i in range(2 * REPLICATES):
        history = Twin(process, draws, int(log.draw[i]), key).run(int(log.replicate[i]))
        n = int(log.n_step[i])
        firings = [program.firings[j] for j in log.firing[i, :n]]
        steps = [(float(t), f.event, f.branch) for t, f in zip(log.time[i, :n], firings, strict=True)]
        assert steps == history.steps
        assert (program.causes[log.cause[i]] if log.cause[i] >= 0 else None) == history.cause
        assert float(log.end_time[i]) == history.end
