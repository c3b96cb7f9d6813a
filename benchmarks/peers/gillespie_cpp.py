"""GillesPy2: its C++ direct method (SSACSolver), compiled for the problem before the clock starts.

How it was made fast: all paths in one run of the compiled program, which tells the state at 0 and at the horizon
alone; a flag is one species and rates are expressions that the C++ compiler sees. GillesPy2 hands the numbers over as
text and makes objects of them in Python: that is a part of its time and cannot be left out.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gillespy2 import Model, Reaction, Species, SSACSolver, TimeSpan
from numpy.typing import NDArray

from benchmarks.peers.reading import Chain, changing
from benchmarks.peers.rebop_core import reactions

BATCH = 10_000  # paths a run of the program: objects of more would only fill the memory

I64 = NDArray[np.int64]


def about() -> str:
    """Name its version."""
    return f"gillespy2 {version('gillespy2')}"


@contextmanager
def tools_of_this_environment() -> Iterator[None]:
    """Put the environment's own `scons` where GillesPy2 looks for it."""
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{path}"
    try:
        yield
    finally:
        os.environ["PATH"] = path


def build(chain: Chain) -> Callable[[int, int], I64]:
    """Make a function of (paths, seed) that gives the paths ended by each cause."""
    model = model_of(chain)
    with tools_of_this_environment():
        solver = SSACSolver(model=model)

    def run(n: int, seed: int) -> I64:
        out = np.zeros(len(chain.causes), np.int64)
        seeds = np.random.default_rng(seed)
        for first in range(0, n, BATCH):
            n_now = min(BATCH, n - first)
            results = solver.run(number_of_trajectories=n_now, seed=int(seeds.integers(1, 2**31)))
            for c, cause in enumerate(chain.causes):
                out[c] += sum(int(one[cause][-1]) for one in results)
        return out

    return run


def model_of(chain: Chain) -> Model:
    """Write the problem as a model of GillesPy2."""
    model = Model(name="deal")
    first = {"alive": 1} | {chain.names[f]: chain.first >> f & 1 for f in changing(chain)}
    first |= dict.fromkeys(chain.causes, 0)
    model.add_species([Species(name=x, initial_value=n, mode="discrete") for x, n in first.items()])
    for jump in chain.jumps:
        for n, (rate, before, after) in enumerate(reactions(chain, jump, mass_action=False)):
            model.add_reaction(
                Reaction(
                    name=f"{jump.name}_{n}",
                    reactants=dict.fromkeys(before, 1),
                    products=dict.fromkeys(after, 1),
                    propensity_function=rate,
                )
            )
    model.timespan(TimeSpan(np.array([0.0, chain.horizon])))
    return model
