"""rebop: stochastic simulation of reactions in Rust, by the direct method.

How it was made fast: one call of its Rust core a path (the public `run` wraps every path into xarray, which costs 100
times as much) with the final counts of the causes alone; a flag is one species, rates are expressions, or mass action
where no flag has to be clear and none changes the rate. All mass action (a flag is two species, a hazard one reaction
for each pattern of what it reads) was slower: a call copies all reactions, and most of its time is that copying.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from rebop import _lib

from benchmarks.peers.reading import Chain, Jump, changing

I64 = NDArray[np.int64]
type Reaction = tuple[float | str, list[str], list[str]]


def about() -> str:
    """Name its version."""
    return f"rebop {version('rebop')}"


def build(chain: Chain) -> Callable[[int, int], I64]:
    """Make a function of (paths, seed) that gives the paths ended by each cause."""
    core = _lib.Gillespie()
    for jump in chain.jumps:
        for rate, before, after in reactions(chain, jump, mass_action=True):
            core.add_reaction(rate, before, after, None)
    core.set_init({"alive": 1} | {chain.names[f]: 1 for f in changing(chain) if chain.first >> f & 1})

    def run(n: int, seed: int) -> I64:
        rng = np.random.default_rng(seed)
        ended: dict[str, int] = dict.fromkeys(chain.causes, 0)
        for one in rng.integers(2**63, size=n).tolist():
            _, at = core.run(chain.horizon, 1, params={}, seed=one, sparse=None, var_names=chain.causes)
            for cause, counts in at.items():
                ended[cause] += counts[1]
        return np.array([int(ended[c]) for c in chain.causes])

    return run


def reactions(chain: Chain, jump: Jump, *, mass_action: bool) -> Iterator[Reaction]:
    """Rate, species used up and species made; one reaction for each way in which flags that it changes may be."""
    flags, names = changing(chain), chain.names
    when = [(f, jump.when.want >> f & 1) for f in flags if (jump.when.want | jump.when.forbid) >> f & 1]
    known = dict(when)
    open_bits = [f for f in flags if (jump.set | jump.clear) >> f & 1 and f not in known]
    rate, factors = jump.rate, []
    for mask, factor in jump.factors:
        (flag,) = [f for f in range(len(names)) if mask.want >> f & 1]
        if flag in flags:
            factors.append(f"(1 + {factor - 1.0!r} * {names[flag]})")
        elif chain.first >> flag & 1:
            rate *= factor
    for values in itertools.product((0, 1), repeat=len(open_bits)):
        state = known | dict(zip(open_bits, values, strict=True))
        set_now = [names[f] for f, v in state.items() if v]
        after = [names[f] for f, v in state.items() if _after(jump, f, v)]
        ending = "alive" if jump.end < 0 else chain.causes[jump.end]
        if factors or not all(state.values()) or not mass_action:
            terms = [names[f] if v else f"(1 - {names[f]})" for f, v in state.items()]
            expression = " * ".join([repr(rate), *terms, "alive", *factors])
            yield expression, *_without_common([*set_now, "alive"], [*after, ending])
        else:
            yield rate, [*set_now, "alive"], [*after, ending]


def _after(jump: Jump, flag: int, value: int) -> int:
    return 0 if jump.clear >> flag & 1 else 1 if jump.set >> flag & 1 else value


def _without_common(before: Sequence[str], after: Sequence[str]) -> tuple[list[str], list[str]]:
    """Leave out what is neither used up nor made: an expression needs no catalysts."""
    return [x for x in before if x not in after], [x for x in after if x not in before]
