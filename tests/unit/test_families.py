"""Families of storylines: everything is gathered, alike with alike, endings apart."""

import itertools

import numpy as np
import pytest

from forecast.analysis.families import Family, distance, families
from forecast.analysis.storylines import Storyline


def story(path, count, cause="x"):
    steps = (*path, f"end {cause}")
    return Storyline(steps, cause, count, tuple(float(k) for k in range(len(steps))), 7)


def brief(found):
    return [("".join(f.medoid.steps[:-1]), f.medoid.cause, f.count, f.variants) for f in found]


def test_distances_are_those_of_the_longest_common_subsequence():
    def slow(a, b):
        best = 0
        for mask in range(2 ** len(a)):
            kept = [x for k, x in enumerate(a) if mask >> k & 1]
            rest = iter(b)
            if all(x in rest for x in kept):
                best = max(best, len(kept))
        return 1 - 2 * best / (len(a) + len(b))

    rng = np.random.default_rng(3)
    for _ in range(200):
        a, b = ("".join(rng.choice(list("abcd"), n)) for n in rng.integers(1, 7, 2))
        assert distance(a, b) == pytest.approx(slow(a, b), abs=1e-15)


def test_alike_is_gathered_with_alike():
    found = families([story("abc", 50), story("abxc", 20), story("pqr", 40), story("pq", 5), story("pqrs", 3)], most=2)
    assert brief(found) == [("abc", "x", 70, 2), ("pqr", "x", 48, 3)]
    assert found[0].distance == pytest.approx(20 / 70 / 7)
    assert found[0].also == (("x", 20 / 70),)
    assert found[1].also == ()  # s on 3 of 48 is too seldom to be told


def test_endings_keep_apart_and_none_is_left_out():
    rows = [story("abc", 9), story("abc", 1, "y"), story("abd", 4), story("", 30, "z")]
    found = families(rows, most=2)
    assert brief(found) == [("", "z", 30, 1), ("abc", "x", 13, 2), ("abc", "y", 1, 1)]
    assert sum(f.count for f in found) == 44


def test_more_families_never_lie_further_off():
    rng = np.random.default_rng(1)
    paths = {"".join(rng.choice(list("abcde"), rng.integers(1, 6))) for _ in range(60)}
    rows = sorted((story(p, int(rng.integers(1, 50))) for p in paths), key=lambda s: -s.count)

    def cost(most):
        return sum(f.distance * f.count for f in families(rows, most))

    costs = [cost(most) for most in range(1, 12)]
    assert all(a >= b for a, b in itertools.pairwise(costs))
    assert costs[-1] < 0.5 * costs[0]
    assert all(isinstance(f, Family) and f.count == sum(r.count for r in rows) for f in families(rows, 1))


def test_the_greedy_choice_is_near_the_best_of_all_pairs():
    """Of two medoids, against every pair: within 1 - 1/e of the best saving."""
    rng = np.random.default_rng(4)
    paths = sorted({"".join(rng.choice(list("abcd"), rng.integers(1, 5))) for _ in range(14)})
    rows = sorted((story(p, int(rng.integers(1, 30))) for p in paths), key=lambda s: -s.count)
    near = np.array([[distance(a.steps[:-1], b.steps[:-1]) for b in rows] for a in rows])
    count = np.array([r.count for r in rows])
    one = float(count @ near[:, 0])
    best = min(float(count @ np.minimum(near[:, 0], near[:, j])) for j in range(len(rows)))
    got = sum(f.distance * f.count for f in families(rows, 2))
    assert got == pytest.approx(best)
    assert got < one


def test_nothing_gives_nothing():
    assert families([]) == []
