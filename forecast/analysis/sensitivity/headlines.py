"""The probabilities of a stored run, draw by draw, with the Monte Carlo noise that is in them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

import numpy as np
import xarray as xr

from forecast import schema
from forecast.errors import ForecastError
from forecast.refine import TOO_FEW, UNREACHED
from forecast.types import F64


@dataclass(frozen=True)
class Headline:
    """A probability: y (draw,), and the Monte Carlo variance of one draw's y, averaged over draws.

    trouble: why nothing can be said of it; empty where there is nothing in the way
    """

    label: str
    y: F64
    noise: float
    trouble: str = ""


def headlines_of(tree: xr.DataTree, asked: Sequence[str] = ()) -> tuple[Headline, ...]:
    """Read the headlines of a run, or those asked for.

    Parameters
    ----------
    tree
        A stored run.
    asked
        Labels of headlines, causes or outcome classes (these at the horizon), a unique part of one, or an id; all
        headlines, if empty.

    Raises
    ------
    ForecastError
        One that isn't there (with the closest), or a run with one path a draw.
    """
    return tuple(_read(tree, row) for row in rows_of(tree, asked))


def rows_of(tree: xr.DataTree, asked: Sequence[str] = ()) -> tuple[tuple[str, str, str, str], ...]:
    """Label, variable, name and date of each headline, as `headlines_of` takes them."""
    known = _known(tree)
    first = [(str(label), str(variable), str(name), str(day)) for label, variable, name, day in _stored(tree)]
    if not asked:
        if not first:
            raise ForecastError("the run has no headline; name a cause or an outcome class: " + "; ".join(known))
        return tuple(first)
    return tuple(dict.fromkeys(known[_match(text, known)] for text in asked))


def _stored(tree: xr.DataTree) -> list[list[str]]:
    stored: list[list[str]] = json.loads(str(tree.attrs.get("headline", "[]")))
    return stored


def _known(tree: xr.DataTree) -> dict[str, tuple[str, str, str, str]]:
    """Everything that can be asked for: label → (label, variable, name, date); a headline's label comes first."""
    rows = [(str(a), str(b), str(c), str(d)) for a, b, c, d in _stored(tree)]
    horizon = str(tree.attrs["horizon"])
    for variable in ("cumulative_incidence", "outcome_probability"):
        dim = schema.PROBABILITY_DIMS[variable]
        for name, label in zip(tree[dim].to_numpy(), tree[f"{dim}_label"].to_numpy(), strict=True):
            when = f"{label}, {'by' if dim == 'cause' else 'at'} {horizon}"
            rows.append((when, variable, str(name), horizon))
    by_label: dict[str, tuple[str, str, str, str]] = {}
    for row in rows:
        if row[1:] not in {r[1:] for r in by_label.values()}:
            by_label.setdefault(row[0], row)
    return by_label


def _match(text: str, known: dict[str, tuple[str, str, str, str]]) -> str:
    wanted = text.strip().casefold()
    fits = (
        [label for label in known if label.casefold() == wanted]
        or [label for label, row in known.items() if row[2].casefold() == wanted]
        or [label for label in known if wanted and wanted in label.casefold()]
    )
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise ForecastError(f"--headline {text!r}: fits {len(fits)} of them; write more of it: " + "; ".join(fits))
    near = get_close_matches(text, [*known, *(row[2] for row in known.values())], n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ForecastError(f"--headline {text!r}: there is no such; {hint}there are: " + "; ".join(known))


def _read(tree: xr.DataTree, row: tuple[str, str, str, str]) -> Headline:
    label, variable, name, day = row
    if (better := _estimated(tree, row)) is not None:
        return better
    dim = schema.PROBABILITY_DIMS[variable]
    times = tree["time"].to_numpy().astype("datetime64[D]")
    at = max(int(np.searchsorted(times, np.datetime64(date.fromisoformat(day)), side="right")) - 1, 0)
    column = [str(i) for i in tree[dim].to_numpy()].index(name)
    y = np.asarray(tree[variable].isel({"time": at, dim: column}).to_numpy(), np.float64)
    return Headline(label, y, counting_noise(y, tree))


def counting_noise(y: F64, tree: xr.DataTree) -> float:
    """Monte Carlo variance of a counted share, averaged over draws: mean of p (1 − p) / (R − 1), without bias."""
    if tree.attrs.get("method") == schema.EXACT:
        return 0.0
    replicates = int(tree.attrs["replicates"])
    if replicates < 2:
        raise ForecastError(
            "the run has one path a draw, which cannot tell luck from parameters; run the deal with more paths"
        )
    return float((y * (1.0 - y)).mean() / (replicates - 1))


def _estimated(tree: xr.DataTree, row: tuple[str, str, str, str]) -> Headline | None:
    """Look a probability up among those that rest on weighted paths."""
    if "estimates" not in tree.children:
        return None
    label, variable, name, day = row
    group = tree.children["estimates"].to_dataset(inherit=False)
    same = (group["estimate_variable"] == variable) & (group["estimate_name"] == name)
    at = np.flatnonzero((same & (group["estimate_date"] == np.datetime64(day))).to_numpy())
    if not at.size:
        return None
    k = int(at[0])
    y = np.asarray(group["estimate_probability"][:, k].to_numpy(), np.float64)
    method = str(group["estimate_method"].to_numpy()[k])
    trouble = f"{method}: it is too rare for this run" if method in (TOO_FEW, UNREACHED) else ""
    return Headline(label, y, float(group["estimate_mcse"][k]) ** 2 * len(y), trouble)
