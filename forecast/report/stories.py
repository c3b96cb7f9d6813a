"""Storylines and their families, as the report tells them."""

from dataclasses import dataclass
from typing import Any

import xarray as xr

from forecast.report.model import Estimate


@dataclass(frozen=True)
class Storyline:
    """A typical sequence of events: its steps with their median dates, and a path to replay."""

    steps: tuple[tuple[str, str], ...]
    cause: str
    estimate: Estimate
    example_path: int


@dataclass(frozen=True)
class Family(Storyline):
    """Storylines told as one: how many they are, and steps that a good part of them take besides."""

    variants: int
    also: tuple[str, ...]


def storylines(tree: xr.DataTree, top: int = 12) -> tuple[Storyline, ...]:
    """Read the most frequent storylines; their steps come with the median date of each."""
    if "storylines" not in tree.children:
        return ()
    group = tree.children["storylines"].to_dataset(inherit=False)
    rows = []
    for text, cause, frequency, mcse, dates, path in _stories(group, "")[:top]:
        steps, when = str(text).split(" → "), str(dates).split(" → ") if dates else []
        when += [""] * (len(steps) - len(when))
        share = Estimate(frequency, float("nan"), float("nan"), mcse)
        rows.append(Storyline(tuple(zip(steps, when, strict=False)), str(cause), share, int(path)))
    return tuple(rows)


def families(tree: xr.DataTree) -> tuple[Family, ...]:
    """Read the families of storylines; none of a run that was made before there were any."""
    if "storylines" not in tree.children:
        return ()
    group = tree.children["storylines"].to_dataset(inherit=False)
    if "family_text" not in group:
        return ()
    rows = []
    variants, also = (group[f"family_{n}"].to_numpy().tolist() for n in ("variants", "also"))
    for k, (text, cause, frequency, mcse, dates, path) in enumerate(_stories(group, "family_")):
        steps = tuple(zip(str(text).split(" → "), str(dates).split(" → "), strict=True))
        share = Estimate(frequency, float("nan"), float("nan"), mcse)
        further = tuple(str(also[k]).split(" → ")) if also[k] else ()
        rows.append(Family(steps, str(cause), share, int(path), int(variants[k]), further))
    return tuple(rows)


def _stories(group: xr.Dataset, prefix: str) -> list[tuple[Any, ...]]:
    names = ("text", "ended_by", "frequency", "frequency_mcse", "dates", "example_path")
    return list(zip(*(group[prefix + n].to_numpy().tolist() for n in names), strict=True))
