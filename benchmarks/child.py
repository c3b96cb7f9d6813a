"""What has to be measured in a process of its own: `python -m benchmarks.child memory PATHS` and `… start`."""

import resource
import sys

import numpy as np

from benchmarks.measure import memory
from benchmarks.problem import HORIZON, MONTHS, N_DRAW, deal_like
from forecast.simulate import simulate


def peak() -> int:
    """Largest resident memory so far, bytes. `getrusage` would give the parent's, where that is larger."""
    return memory("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    match sys.argv[1:]:
        case ["memory", paths]:
            simulate(deal_like(), seed=1, replicates=int(paths) // N_DRAW, grid=MONTHS, threads=2)
            print(peak())
        case ["start"]:
            simulate(deal_like(4), seed=1, replicates=4, grid=np.array([HORIZON]), threads=1)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
