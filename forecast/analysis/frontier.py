"""The frontier of packages: those that no other beats both in being accepted and in lasting."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
import xarray as xr

from forecast.deal.scenario import Scenario
from forecast.errors import DealFileError
from forecast.schema import Variable
from forecast.types import B8, F64

KIND, FOLDER = "frontier", "frontiers"
MAX_PACKAGES = 5_000

_P = ("package",)
VARIABLES: Mapping[str, Variable] = {
    "package": Variable(_P, "U", "", "package in words", "what it leaves out and changes", coord=True),
    "accepted": Variable(_P, "f8", "1", "P(all accept)", "by the last round; mean over draws"),
    "accepted_lower": Variable(_P, "f8", "1", "its 5% quantile over draws", "Monte Carlo noise taken out"),
    "accepted_upper": Variable(_P, "f8", "1", "its 95% quantile over draws", "Monte Carlo noise taken out"),
    "accepted_mcse": Variable(_P, "f8", "1", "its Monte Carlo standard error", "0 where exact"),
    "lasts": Variable(_P, "f8", "1", "P(still in force, given that all accept)", "ratio of means over draws"),
    "lasts_lower": Variable(_P, "f8", "1", "its 5% quantile over draws", "noise of paths included"),
    "lasts_upper": Variable(_P, "f8", "1", "its 95% quantile over draws", "noise of paths included"),
    "lasts_mcse": Variable(_P, "f8", "1", "its Monte Carlo standard error", "delta method; 0 where exact"),
    "on_front": Variable(_P, "bool", "1", "whether no package beats it in both", "by the means"),
    "membership": Variable(_P, "f8", "1", "share of draws in which it is on the front", "noise of paths included"),
    "blocker": Variable(_P, "U", "", "party least likely to accept", "in a round, without what moves it meanwhile"),
    "blocker_accepts": Variable(_P, "f8", "1", "its mean probability of accepting", "in such a round"),
    "costs_it_most": Variable(
        _P, "U", "", "clause that is worth the least to it", "empty if none is worth less than 0"
    ),
}


@dataclass(frozen=True)
class Block:
    """Who is the least likely to accept a package, with what probability, and which clause costs it the most."""

    party: str
    accepts: float
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
    order = np.lexsort((-y, -x))
    best, kept = -np.inf, np.zeros(len(x), np.bool_)
    last = (np.nan, np.nan)
    for k in order:
        same = (x[k], y[k]) == last
        if y[k] > best or same:
            kept[k], best, last = True, max(best, float(y[k])), (x[k], y[k])
    return kept


def membership(x: F64, y: F64) -> F64:
    """Share of draws in which each package is on the front: from (draw, package) to (package,)."""
    result: F64 = np.mean([undominated(a, b) for a, b in zip(x, y, strict=True)], axis=0)
    return result


def dataset(columns: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.Dataset:
    """Put columns of declared variables together."""
    variables = {
        n: (v.dims, np.asarray(columns[n], dtype=str if v.dtype == "U" else v.dtype), _attributes(v))
        for n, v in VARIABLES.items()
    }
    return xr.Dataset(variables, attrs=dict(attrs)).set_coords("package")


def _attributes(v: Variable) -> dict[str, str]:
    return {"units": v.units, "long_name": v.long_name, "description": v.description}


def problems(data: xr.Dataset) -> list[str]:
    """Say how a frontier departs from what is declared; nothing if it doesn't."""
    missing = [f"{n!r} is missing" for n in VARIABLES if n not in data.variables]
    extra = [f"{n!r} is not a declared variable" for n in data.variables if str(n) not in VARIABLES]
    return [*missing, *extra]
