"""The frontier of packages: those that no other beats both in being accepted and in lasting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.declared import departures
from forecast.analysis.paired import level
from forecast.deal.scenario import Scenario
from forecast.errors import DealFileError
from forecast.schema import Variable
from forecast.types import B8, F64

KIND, FOLDER = "frontier", "frontiers"
MAX_PACKAGES = 5_000
REPEATS = 1_000  # of the luck of the paths, by which it is told which packages it may have put on the front
SURE = 0.95  # share of the repeats in which a package is, or is not, on the front, from which that is settled
BLUR = 0.05  # error by the luck of paths that a membership may have

_P = ("package",)
_D = ("draw", "package")
_Q = ("package", "party")
VARIABLES: Mapping[str, Variable] = {
    "package": Variable(_P, "U", "", "package in words", "what it leaves out and changes", coord=True),
    "party": Variable(("party",), "U", "", "party that signs", "", coord=True),
    "clause": Variable(("clause",), "U", "", "clause or promise that may be left out", "", coord=True),
    "term": Variable(("term",), "U", "", "key or parameter that is varied", "", coord=True),
    "included": Variable(("package", "clause"), "bool", "1", "whether the package has the clause", ""),
    "value": Variable(("package", "term"), "U", "", "value of the term", "empty if its clause is left out"),
    "accepted": Variable(_P, "f8", "1", "P(all accept)", "signed by the last round; mean over draws"),
    "accepted_lower": Variable(_P, "f8", "1", "its 5% quantile over draws", "Monte Carlo noise taken out"),
    "accepted_upper": Variable(_P, "f8", "1", "its 95% quantile over draws", "Monte Carlo noise taken out"),
    "accepted_mcse": Variable(_P, "f8", "1", "its Monte Carlo standard error", "0 where exact"),
    "lasts": Variable(
        _P, "f8", "1", "P(in force so many years after its signature | signed)", "ratio of means over draws"
    ),
    "lasts_lower": Variable(_P, "f8", "1", "its 5% quantile over draws", "by P(signed); Monte Carlo noise taken out"),
    "lasts_upper": Variable(_P, "f8", "1", "its 95% quantile over draws", "by P(signed); Monte Carlo noise taken out"),
    "lasts_mcse": Variable(_P, "f8", "1", "its Monte Carlo standard error", "delta method; 0 where exact"),
    "on_front": Variable(_P, "bool", "1", "whether no package beats it in both", "by the means over draws"),
    "on_front_chance": Variable(
        _P,
        "f8",
        "1",
        "share of repeated luck of the paths that puts it on the front",
        "of the means; 0 or 1 where exact",
    ),
    "membership": Variable(_P, "f8", "1", "share of draws in which it is on the front", "noise of paths included"),
    "membership_luck": Variable(
        _P, "f8", "1", "error of the membership by the luck of the paths", "noise, and blur told from half the paths"
    ),
    "paths": Variable(_P, "i8", "1", "weighted paths that it rests on", "0 where exact"),
    "accepted_draw": Variable(_D, "f8", "1", "P(all accept) in a draw", "noise of paths included"),
    "lasts_draw": Variable(_D, "f8", "1", "P(in force so long after its signature | signed) in a draw", "likewise"),
    "accepts": Variable(
        _Q, "f8", "1", "mean probability that a party accepts in a round", "without what moves it meanwhile"
    ),
    "blocker": Variable(_P, "U", "", "party least likely to accept", "in such a round"),
    "blocker_accepts": Variable(_P, "f8", "1", "its mean probability of accepting", "in such a round"),
    "costs_it_most": Variable(
        _P, "U", "", "clause that is worth the least to it", "empty if none is worth less than 0"
    ),
}


@dataclass(frozen=True)
class Block:
    """How likely each party is to accept a package; who is the least likely, and which clause costs it the most."""

    accepts: Mapping[str, float]
    party: str
    clause: str


def packages(optional: Sequence[str], terms: Mapping[str, Sequence[Any]]) -> list[Scenario]:
    """List packages: each set of optional clauses left out, times the terms; the whole package comes first.

    Raises
    ------
    DealFileError
        Names or values given twice; more than `MAX_PACKAGES`.
    """
    size = 2 ** len(optional) * int(np.prod([len(v) for v in terms.values()], dtype=object))
    problems = [f"--optional {c}: is given twice" for c in sorted({c for c in optional if list(optional).count(c) > 1})]
    problems += [f"--vary {k}: a value is given twice" for k, v in terms.items() if len(set(map(str, v))) < len(v)]
    if size > MAX_PACKAGES:
        problems.append(f"{size:,} packages; at most {MAX_PACKAGES:,} are compared: fewer clauses or terms, please")
    if size == 1:
        problems.append("there is one package only: give --optional CLAUSE or --vary KEY=V1,V2")
    if problems:
        raise DealFileError("\n".join(problems))
    return list(_packages(optional, terms))


def _packages(optional: Sequence[str], terms: Mapping[str, Sequence[Any]]) -> Iterator[Scenario]:
    dropped = [d for n in range(len(optional) + 1) for d in combinations(optional, n)]
    made = 0
    for out, values in product(dropped, product(*terms.values())):
        # of a clause that is left out, other terms make no other package
        idle = [k for k in terms if any(k.startswith((f"clauses.{d}.", f"promises.{d}.")) for d in out)]
        named = dict(zip(terms, values, strict=True))
        if all(named[k] == terms[k][0] for k in idle):
            yield Scenario(f"package_{made}", set={k: v for k, v in named.items() if k not in idle}, drop=out)
            made += 1


def undominated(x: F64, y: F64) -> B8:
    """Which points no other beats: none is at least as good in both and better in one.

    Examples
    --------
    >>> undominated(np.array([0.1, 0.5, 0.5, 0.9]), np.array([0.9, 0.5, 0.4, 0.1])).tolist()
    [True, True, False, True]
    """
    if not len(x):
        return np.zeros(0, np.bool_)
    order = np.lexsort((-y, -x))
    a, b = x[order], y[order]
    best = np.maximum.accumulate(b)
    above = np.append(True, b[1:] > best[:-1])
    new = np.append(True, (a[1:] != a[:-1]) | (b[1:] != b[:-1]))  # of equal points all stand as the first of them
    kept = np.empty(len(x), np.bool_)
    kept[order] = above[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return kept


def membership(x: F64, y: F64) -> F64:
    """Share of draws in which each package is on the front: from (draw, package) to (package,)."""
    result: F64 = _on_front(x, y).mean(axis=0)
    return result


def _on_front(x: F64, y: F64) -> F64:
    return np.array([undominated(a, b) for a, b in zip(x, y, strict=True)], dtype=np.float64)


# ---- packages whose paths were simulated ---------------------------------------------------------
# `found` has for each package (draw, group, 2): P(signed), and P(signed, and in force so long after the signature).
# Groups of paths are independent of each other; what is exact has one.


def points(found: Sequence[F64]) -> tuple[F64, F64, F64, F64]:
    """Accepted, its error, lasts, its error (delta method): (package,) each."""
    rows = []
    for p in found:
        both = level(p)
        x, joint = (float(v) for v in both.mean)
        y = joint / x if x > 0 else 0.0
        rest = level(np.clip(p[..., 1:] - y * p[..., :1], -1.0, 1.0)).mcse[0] / x if x > 0 else 0.0
        rows.append((x, float(both.mcse[0]), y, float(rest)))
    a, b, c, d = np.array(rows).T
    return a, b, c, d


def by_draw(found: Sequence[F64], group: int | None = None) -> tuple[F64, F64]:
    """Accepted, and lasts: (draw, package) each; of all paths, or of one group (of all where there is but one)."""
    parts = [p.mean(axis=1) if group is None else p[:, min(group, p.shape[1] - 1)] for p in found]
    signed, joint = np.moveaxis(np.stack(parts, axis=1), -1, 0)
    return signed, _ratio(joint, signed)


def lasts_interval(p: F64) -> tuple[float, float]:
    """5 % and 95 % quantiles over draws of P(lasts | signed), with the noise of the paths taken out.

    Draws count by how likely they make a signature: given one, the parameters are distributed so. A draw in which there
    hardly ever is one says next to nothing of what would come after it, and what it says is mostly noise.
    """
    signed, joint = np.moveaxis(p.mean(axis=1), -1, 0)
    if not signed.sum() > 0:
        return 0.0, 0.0
    weight, mean = signed / signed.sum(), joint.sum() / signed.sum()
    y, groups, noise = _ratio(joint, signed), p.shape[1], 0.0
    if groups > 1:
        off = (p[..., 1] - y[:, None] * p[..., 0]).var(axis=1, ddof=1) / groups
        noise = float((weight * np.divide(off, signed**2, out=np.zeros_like(off), where=signed > 0)).sum())
    spread = float((weight * (y - mean) ** 2).sum())
    keep = np.sqrt(max(1.0 - noise / spread, 0.0)) if spread > 0 else 0.0
    low, high = np.quantile(y, [0.05, 0.95], weights=weight, method="inverted_cdf")
    lower, upper = np.clip(mean + keep * (np.array([low, high]) - mean), 0.0, 1.0)
    return float(lower), float(upper)


def front_chance(found: Sequence[F64], seed: int) -> F64:
    """Share of `REPEATS` of the luck of the paths that puts a package on the front of the means: (package,).

    Half the difference between the two groups of a draw has the variance of its mean, and the same dependence between
    packages that share their luck: a repeat adds it to each draw's mean with a sign by chance (the wild bootstrap).
    """
    mean = np.stack([p.mean(axis=1) for p in found], axis=1)  # (draw, package, 2)
    half = np.stack([(p[:, 0] - p[:, -1]) / 2.0 for p in found], axis=1)
    n_draw, n, _ = mean.shape
    signs = np.random.default_rng(seed).integers(0, 2, (REPEATS, n_draw)) * 2.0 - 1.0
    moved = mean.mean(axis=0) + (signs @ half.reshape(n_draw, -1) / n_draw).reshape(REPEATS, n, 2)
    return membership(moved[..., 0], _ratio(moved[..., 1], moved[..., 0]))


def membership_luck(found: Sequence[F64]) -> F64:
    """Error of each membership by the luck of the paths, root mean square: (package,); 0 where all is exact.

    Noise is told by how often the two groups of a draw disagree. Noise also blurs: it puts packages on and off the
    front that are near it. By how much, is told by what half the paths say, since that shift halves with twice as many.
    """
    if all(p.shape[1] == 1 for p in found):
        return np.zeros(len(found))
    a, b = (_on_front(*by_draw(found, group)) for group in (0, 1))
    noise = ((a - b) ** 2).mean(axis=0) / 2.0 / len(a)
    blur = (a.mean(axis=0) + b.mean(axis=0)) / 2.0 - membership(*by_draw(found))
    result: F64 = np.sqrt(noise + blur**2)
    return result


def open_packages(chance: F64, luck: F64) -> list[int]:
    """Packages of which the paths do not yet tell whether, or how often, they are on the front."""
    return np.flatnonzero(((chance > 1.0 - SURE) & (chance < SURE)) | (luck > BLUR)).tolist()


def _ratio(joint: F64, signed: F64) -> F64:
    shares = np.divide(joint, signed, out=np.zeros_like(joint), where=signed > 0)
    result: F64 = np.clip(shares, 0.0, 1.0)
    return result


def problems(data: xr.Dataset) -> list[str]:
    """Say how a frontier departs from what is declared; nothing if it doesn't."""
    return list(departures(data, VARIABLES, "forecast/analysis/frontier.py"))
