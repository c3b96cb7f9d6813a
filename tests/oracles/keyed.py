"""Keyed streams of random numbers, good and bad, and the orders in which to walk through them.

A keyed generator is a function of (seed, draw, replicate, event key, occurrence). It can be good along one axis and
bad along another, so that each of them has its turn as the one that moves fastest, alone and in short sweeps.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy import stats

from forecast.kernels.arith import uniform
from forecast.process.lower import event_key
from forecast.types import U64
from tests.oracles.randomness import BITS, TESTS, cross_correlation, duplicates, turned

LOW, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
FOR_EVER = 2**32


class Where(NamedTuple):
    """Coordinates of numbers, one array each."""

    seed: U64
    draw: U64
    replicate: U64
    key: U64
    occurrence: U64


type Generator = Callable[[Where], U64]


# ---- generators ------------------------------------------------------------------------------------


def _fill(seed, draw, replicate, key, occurrence, out):  # type: ignore[no-untyped-def]  # numba infers them
    for i in range(out.size):
        out[i] = np.uint64(uniform(seed[i], draw[i], replicate[i], key[i], occurrence[i]) * 2.0**BITS)


# Not cached: numba would not notice a change of `uniform`, which is in another file.
_compiled = njit(nogil=True)(_fill)


def simulators(at: Where) -> U64:
    """Numbers as the simulator gets them: the 52 bits of each uniform."""
    out = np.empty(len(at.seed), np.uint64)
    _compiled(*at, out)
    return out


def philox(rounds: int, counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """Philox 4×32 in whole numbers, written from the paper (Salmon et al. 2011, section 4.3), not from the kernel."""
    left0, right0, left1, right1 = counter
    k0, k1 = key
    for n in range(rounds):
        high0, low0 = divmod(0xD2511F53 * left0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * left1, 2**32)
        bump0, bump1 = (k0 + n * 0x9E3779B9) % 2**32, (k1 + n * 0xBB67AE85) % 2**32
        left0, right0, left1, right1 = high1 ^ right0 ^ bump0, low1, high0 ^ right1 ^ bump1, low0
    return left0, right0, left1, right1


def _philox(rounds: int, c: tuple[U64, U64, U64, U64], seed: U64) -> U64:
    """52 bits of Philox 4×32 with few rounds, for arrays."""
    c0, c1, c2, c3 = (x & LOW for x in c)
    k0, k1 = seed & LOW, seed >> S32
    for n in range(rounds):
        p0, p1 = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        b0, b1 = (k0 + np.uint64(n * 0x9E3779B9)) & LOW, (k1 + np.uint64(n * 0xBB67AE85)) & LOW
        c0, c1, c2, c3 = (p1 >> S32) ^ c1 ^ b0, p1 & LOW, (p0 >> S32) ^ c3 ^ b1, p0 & LOW
    return ((c0 >> np.uint64(6)) << np.uint64(26)) | (c1 >> np.uint64(6))


def few_rounds(rounds: int) -> Generator:
    """Philox with fewer than ten rounds."""
    return lambda at: _philox(rounds, (at.occurrence, at.key, at.replicate, at.draw), at.seed)


def congruential(at: Where) -> U64:
    """One step of Knuth's MMIX generator, of 64 bits, for each occurrence, begun where the coordinates say."""
    mixed = at.seed + (at.draw << S32) + (at.key << np.uint64(16)) + at.replicate
    state = mixed * np.uint64(6364136223846793005) + np.uint64(1442695040888963407) * (at.occurrence + np.uint64(1))
    return np.asarray(state >> np.uint64(64 - BITS), np.uint64)


def exclusive_or(at: Where) -> U64:
    """Good bits, but of the coordinates' exclusive or, which many have in common."""
    nothing = np.zeros_like(at.seed)
    return _philox(10, (at.occurrence ^ at.key ^ at.replicate ^ at.draw, nothing, nothing, nothing), at.seed)


def seed_in_counter(at: Where) -> U64:
    """Good bits, but the next seed is the same stream one number further on."""
    return _philox(10, (at.occurrence + at.seed, at.key, at.replicate, at.draw), np.zeros_like(at.seed))


def without(axis: str) -> Generator:
    """Good bits that do not depend on one coordinate."""

    def numbers(at: Where) -> U64:
        at = at._replace(**{axis: np.zeros_like(at.seed)})
        return _philox(10, (at.occurrence, at.key, at.replicate, at.draw), at.seed)

    return numbers


def blocks_reused(at: Where) -> U64:
    """Good bits, but occurrences 2n and 2n + 1 get the same words of one block."""
    return _philox(10, (at.occurrence >> np.uint64(1), at.key, at.replicate, at.draw), at.seed)


def half_swapped(at: Where) -> U64:
    """Good bits, but occurrences 2n and 2n + 1 get the same two words in another order."""
    k = blocks_reused(at)
    other = ((k << np.uint64(26)) | (k >> np.uint64(26))) & np.uint64(2**BITS - 1)
    return np.where(at.occurrence & np.uint64(1), other, k)


def word_shared(at: Where) -> U64:
    """Good bits, but occurrence 2n + 1 begins with the second word of occurrence 2n."""
    k, other = blocks_reused(at), few_rounds(10)(at)
    shared = ((k & np.uint64(2**26 - 1)) << np.uint64(26)) | (other & np.uint64(2**26 - 1))
    return np.where(at.occurrence & np.uint64(1), shared, k)


BAD: dict[str, Generator] = {
    "philox with 1 round": few_rounds(1),
    "philox with 2 rounds": few_rounds(2),
    "philox with 3 rounds": few_rounds(3),
    "congruential": congruential,
    "exclusive or of the coordinates": exclusive_or,
    "seed added to the counter": seed_in_counter,
    "draw left out": without("draw"),
    "replicate left out": without("replicate"),
    "key left out": without("key"),
    "seed left out": without("seed"),
    "occurrence left out": without("occurrence"),
    "one block for two occurrences": blocks_reused,
    "the words of a block swapped": half_swapped,
    "a word of a block used twice": word_shared,
}

# ---- walks -----------------------------------------------------------------------------------------

EVENTS = np.array([event_key(f"event_{n}") for n in range(1024)], dtype=np.uint64)
UPPER = {"high_seed": "seed", "other": "occurrence"}  # steps of 2^32
AXES = ("occurrence", "key", "replicate", "draw", "seed")


@dataclass(frozen=True)
class Walk:
    """An order: axes with the lengths of their sweeps, the fastest one first; powers of two.

    An axis is a coordinate that counts from 0, or `event` (keys of events, by hash), `high_seed` (the seed's upper
    half), `other` (occurrences from 2^32 on, which say what an event's exponential brings about) or `all` (every
    coordinate takes the same step).
    """

    name: str
    sweeps: tuple[tuple[str, int], ...]

    def at(self, first: int, n: int, seed: int) -> Where:
        """Coordinates of `n` numbers from the first one on; `seed` is where the seeds begin."""
        i = np.arange(first, first + n, dtype=np.uint64)
        zero = np.zeros(1, np.uint64)
        c = dict.fromkeys(Where._fields, zero)
        for axis, length in self.sweeps:
            step = i & np.uint64(length - 1)
            i = i >> np.uint64(length.bit_length() - 1)
            if axis == "event":
                c["key"] = EVENTS[step]
            elif axis in UPPER:
                c[UPPER[axis]] = c[UPPER[axis]] + (step << S32)
            else:
                for name in AXES if axis == "all" else (axis,):
                    c[name] = c[name] + step
        c["seed"] = c["seed"] + np.uint64(seed)
        # whole arrays, even of what stands still: each layout would be compiled anew
        return Where(*(np.array(np.broadcast_to(c[name], n), order="C") for name in Where._fields))


def _turn(first: int) -> Walk:
    axes = AXES[first:] + AXES[:first]
    lengths = (8, 8, 8, 8, FOR_EVER)
    return Walk(f"short sweeps, {axes[0]} first", tuple(zip(axes, lengths, strict=True)))


SIMULATORS = Walk(
    "the simulator's", (("occurrence", 4), ("other", 2), ("event", 32), ("replicate", 256), ("draw", FOR_EVER))
)
WALKS = (
    *(Walk(f"{axis} alone", ((axis, FOR_EVER),)) for axis in (*AXES, "high_seed")),
    *(_turn(n) for n in range(len(AXES))),
    Walk("events, then replicates", (("event", 1024), ("replicate", FOR_EVER))),
    SIMULATORS,
    Walk("all at once", (("all", FOR_EVER),)),
)

# Streams side by side: one axis is the number of the stream, another one runs along it.
CROSSINGS = tuple(
    Walk(f"{along} along, {axis} across", ((along, 4096), (axis, 64)))
    for axis in (*AXES, "event", "high_seed")
    for along in ("occurrence", "replicate")
    if along != axis
)
GRID = Walk("grid", (*((axis, 8) for axis in AXES), ("high_seed", 4), ("other", 2)))


# ---- examination -----------------------------------------------------------------------------------


class Finding(NamedTuple):
    """One p-value."""

    walk: str
    test: str
    p: float


def _start(stream: int) -> int:
    """Seed from which a test counts its own numbers, far from those of the others, so that they are independent."""
    return (stream + 1) * 0x9E3779B97F4A7C15 % 2**64


def along(generator: Generator, n: int, stream: int = 0, walks: Iterable[Walk] = WALKS) -> Iterator[Finding]:
    """Every test on n numbers in every order, with the bits as they are and turned round, by turns."""
    for w, walk in enumerate(walks):
        for t, test in enumerate(TESTS):
            number = (stream * 64 + w) * 64 + t
            k = generator(walk.at(0, n, _start(number)))
            back = (w + t + stream) % 2 == 1
            yield Finding(
                walk.name, test.__name__ + (", from the last bit" if back else ""), test(turned(k) if back else k)
            )


def across(generator: Generator, stream: int = 0) -> Iterator[Finding]:
    """Correlations between 64 streams, along each axis."""
    for w, walk in enumerate(CROSSINGS):
        k = generator(walk.at(0, 64 * 4096, _start(10**6 + stream * 64 + w)))
        yield Finding(walk.name, "cross_correlation", cross_correlation(k.reshape(64, 4096)))


def avalanche(generator: Generator, stream: int = 0, n: int = 512) -> Iterator[Finding]:
    """Each bit of a coordinate, turned over, turns over each bit of the number half of the time."""
    rng = np.random.default_rng([20250315, stream])
    for axis in Where._fields:
        bits = {"seed": 64, "occurrence": 33}.get(axis, 32)
        at = {f: rng.integers(0, 2 ** (64 if f == "seed" else 32), n, dtype=np.uint64) for f in Where._fields}
        before = np.tile(generator(Where(**at)), bits)
        other = {f: np.tile(x, bits) for f, x in at.items()}
        other[axis] = other[axis] ^ np.repeat(np.uint64(1) << np.arange(bits, dtype=np.uint64), n)
        changed = (before ^ generator(Where(**other))).reshape(bits, n)
        ones = np.array([((changed >> np.uint64(b)) & np.uint64(1)).sum(axis=1) for b in range(BITS)])
        z = (2.0 * ones - n) / np.sqrt(n)
        yield Finding(f"each bit of {axis}", "avalanche", float(stats.chi2.sf(np.square(z).sum(), z.size)))


def repeats(generator: Generator) -> int:
    """Equal numbers among 2^18 that differ in their coordinates, two to eight steps along each axis."""
    return duplicates(generator(GRID.at(0, 2**18, 1)))
