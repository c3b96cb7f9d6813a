"""From a stored run to the Dataset of its sensitivities: every figure of every factor, with its error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from forecast import schema
from forecast.analysis.sensitivity import pawn, prim
from forecast.analysis.sensitivity.decision import Decision, payoffs
from forecast.analysis.sensitivity.factors import ALL, Factor, Numbers, factors_of, numbers_of
from forecast.analysis.sensitivity.headlines import Headline, headlines_of
from forecast.analysis.sensitivity.registry import SENSITIVITY
from forecast.analysis.sensitivity.scores import Joint, innovations, joint, normal_scores
from forecast.analysis.sensitivity.smooth import Curve, Smooth, curve, smooth_curve, smooth_surface
from forecast.analysis.sensitivity.tornado import HIGH, LOW, swing
from forecast.analysis.sensitivity.value import (
    Spread,
    decision_value,
    explained,
    floor,
    log_score,
    perfect_value,
    spread,
    spread_saved,
)
from forecast.deal.model import Deal
from forecast.errors import ForecastError
from forecast.types import F64

MIN_DRAWS = 200  # fewer leave no curve to fit
MIN_KEPT = 0.5  # with more parameters than half the draws nothing could be told apart
SIDES = ("low", "high")
SEED = 20251  # of shuffled dummies and bootstraps: the same run gives the same figures

type Columns = dict[str, F64]


@dataclass(frozen=True)
class Basis:
    """A factor on which everything is regressed: its scores, and its curve where it is one number."""

    scores: F64
    curve: Curve | None

    def fit(self, y: F64) -> Smooth:
        """Regress y (draw, output) on the factor."""
        return smooth_curve(self.curve, y) if self.curve is not None else smooth_surface(self.scores, y)


def basis_of(scores: F64) -> Basis:
    """Make the basis for some columns of scores (draw, number)."""
    return Basis(scores, curve(scores[:, 0]) if scores.shape[1] == 1 else None)


def analyse(
    tree: xr.DataTree, deal: Deal | None = None, headline: Sequence[str] = (), decision: Decision | None = None
) -> xr.Dataset:
    """Say what drives the headlines of a stored run; nothing is simulated.

    Parameters
    ----------
    tree
        A run, as opened from the archive.
    deal
        The deal that it was made from, for groups by source, party and clause; without it there are none.
    headline
        Which probabilities, as `headlines_of` takes them; all headlines, if empty.
    decision
        A choice for which the value of information is wanted too.

    Returns
    -------
    xr.Dataset
        What `registry.SENSITIVITY` declares, dims (headline, factor, side, rule).

    Raises
    ------
    ForecastError
        No uncertain parameter, too few draws, a headline or an outcome that isn't there.
    """
    numbers = numbers_of(tree)
    if len(numbers.values) < MIN_DRAWS:
        raise ForecastError(f"the run has {len(numbers.values)} draws; sensitivities take at least {MIN_DRAWS}")
    headlines = headlines_of(tree, headline)
    choice = payoffs(decision, tree) if decision else None
    factors = factors_of(numbers, deal)
    s = _spread(headlines)
    rng = np.random.default_rng(SEED)
    columns = _figures(factors, numbers, s, choice, rng)
    arrays = {**_described(factors, headlines, s), **columns, **_boxes(numbers, s)}
    return _dataset(arrays, _attrs(tree, decision, choice))


def _spread(headlines: Sequence[Headline]) -> Spread:
    s = spread(np.stack([h.y for h in headlines], axis=1), np.array([h.noise for h in headlines]))
    known = np.where([bool(h.trouble) for h in headlines], np.nan, s.known)
    return Spread(s.y, s.total, s.noise, known)


def _figures(
    factors: Sequence[Factor], numbers: Numbers, s: Spread, choice: F64 | None, rng: np.random.Generator
) -> Columns:
    """Figures of each factor, put side by side: (headline, factor) or (factor,)."""
    scores = normal_scores(numbers.values)
    together = joint(scores)
    move = _Pawn(s, rng)
    rows: list[Columns] = []
    for factor in factors:
        basis = basis_of(scores[:, factor.members])
        fit = basis.fit(s.y)
        row = _shares(s, fit)
        row |= _independent(s, together, factor)
        row |= move.of(factor, numbers) | _tornado(factor, numbers, basis, s, fit)
        if choice is not None:
            row |= _decided(choice, basis)
        rows.append(row)
    return {name: np.stack([row[name] for row in rows], axis=-1) for name in rows[0]}


def _shares(s: Spread, fit: Smooth) -> Columns:
    share, log = explained(s, fit), log_score(s, fit)
    saved, saved_error = spread_saved(s, share)
    return {
        "first_order": share.estimate,
        "first_order_error": share.error,
        "first_order_floor": floor(s, fit),
        "value_sd": saved,
        "value_sd_error": saved_error,
        "value_brier": share.estimate * s.total,
        "value_brier_error": share.error * s.total,
        "value_log": log.estimate,
        "value_log_error": log.error,
    }


def _independent(s: Spread, together: Joint, factor: Factor) -> Columns:
    """First-order index of what the other parameters don't tell; nothing is left of what they determine."""
    # What is regressed out of the draws takes (others / draws) of the rest with it.
    kept = 1.0 - (len(together.inverse) - len(factor.members)) / len(s.y)
    if factor.kind == ALL or kept < MIN_KEPT:
        return {name: np.full(len(s.total), np.nan) for name in ("independent", "independent_error")}
    left = innovations(together, factor.members)
    if left is None:
        return {"independent": 0.0 * s.known, "independent_error": 0.0 * s.known}
    share = explained(s, basis_of(normal_scores(left)).fit(s.y))
    return {"independent": share.estimate / kept, "independent_error": share.error / kept}


class _Pawn:
    """PAWN of single numbers: levels of the headlines are made once, dummies once a way of slicing."""

    def __init__(self, s: Spread, rng: np.random.Generator) -> None:
        self.levels = [pawn.levels(y) for y in s.y.T]
        self.known = s.known
        self.rng = rng
        self.dummies: dict[tuple[int, ...], pawn.Dummy] = {}

    def of(self, factor: Factor, numbers: Numbers) -> Columns:
        """Index, error and floor of one factor."""
        none = np.full(len(self.levels), np.nan)
        if not factor.single:
            return {"pawn": none, "pawn_error": none, "pawn_floor": np.array(np.nan)}
        at = pawn.slices(numbers.values[:, factor.members[0]])
        sizes = tuple(np.bincount(at).tolist())
        if sizes not in self.dummies:
            self.dummies[sizes] = pawn.dummies(at, self.rng)
        dummy = self.dummies[sizes]
        found = np.array([pawn.pawn(at, level, dummy, self.rng) for level in self.levels])
        return {
            "pawn": found[:, 0] * self.known,
            "pawn_error": found[:, 1] * self.known,
            "pawn_floor": np.array(dummy.floor),
        }


def _tornado(factor: Factor, numbers: Numbers, basis: Basis, s: Spread, fit: Smooth) -> Columns:
    names = ("low", "high", "low_error", "high_error", "swing_error")
    if basis.curve is None:
        none = np.full(len(s.total), np.nan)
        quantiles = {"factor_low": np.array(np.nan), "factor_high": np.array(np.nan)}
        return {**{f"tornado_{n}": none for n in names}, **quantiles}
    found = swing(basis.curve, s.y, fit)
    at = np.quantile(numbers.values[:, factor.members[0]], (LOW, HIGH))
    return {
        **{f"tornado_{n}": getattr(found, n) * s.known for n in names},
        "factor_low": at[0],
        "factor_high": at[1],
    }


def _decided(choice: F64, basis: Basis) -> Columns:
    value = decision_value(choice, basis.fit(choice))
    names = {"": value.estimate, "_error": value.error, "_lower": value.lower, "_upper": value.upper}
    return {f"decision_value{k}": v[0] for k, v in names.items()}


def _boxes(numbers: Numbers, s: Spread) -> dict[str, Any]:
    """The box on each side of each headline; NaN and no rules where there is none."""
    level = prim.rank_levels(numbers.values)
    shape = (s.y.shape[1], len(SIDES))
    names = ("share", "mean", "outside", "coverage")
    figures = {f"box_{n}{e}": np.full(shape, np.nan) for n in names for e in ("", "_error")}
    clear = np.zeros(shape, np.bool_)
    who = np.full((*shape, prim.MAX_RULES), "", dtype=object)
    lower, upper = np.full(who.shape, -np.inf), np.full(who.shape, np.inf)
    for h, side in np.ndindex(shape):
        found = prim.find_box(level, s.y[:, h], high=SIDES[side] == "high") if s.known[h] == 1.0 else None
        if found is None:
            continue
        for name, column in figures.items():
            column[h, side] = getattr(found, name.removeprefix("box_"))
        clear[h, side] = found.clear
        for r, (number, rule) in enumerate(found.box.rules.items()):
            who[h, side, r] = numbers.ids[number]
            lower[h, side, r], upper[h, side, r] = _bounds(numbers.values[:, number], level[:, number], rule)
    return {**figures, "box_clear": clear, "box_parameter": who, "box_lower": lower, "box_upper": upper}


def _bounds(x: F64, level: F64 | Any, rule: tuple[int, int]) -> tuple[float, float]:
    """Turn levels into values, halfway between the draws on both sides; infinite at an end that was not cut."""
    below, above = level < rule[0], level > rule[1]
    inside = x[~below & ~above]
    low = (x[below].max() + inside.min()) / 2.0 if below.any() else -np.inf
    high = (x[above].min() + inside.max()) / 2.0 if above.any() else np.inf
    return float(low), float(high)


def _described(factors: Sequence[Factor], headlines: Sequence[Headline], s: Spread) -> dict[str, Any]:
    flat = "it does not differ between draws by more than Monte Carlo noise: there is nothing to explain"
    trouble = [h.trouble or ("" if k == 1.0 else flat) for h, k in zip(headlines, s.known, strict=True)]
    variance = s.y.var(axis=0, ddof=1)
    return {
        "headline": [h.label for h in headlines],
        "factor": [f.id for f in factors],
        **{f"factor_{k}": [getattr(f, k) for f in factors] for k in ("label", "kind", "unit", "source")},
        "factor_size": [len(f.members) for f in factors],
        "side": list(SIDES),
        "rule": np.arange(1, prim.MAX_RULES + 1),
        "headline_mean": s.y.mean(axis=0),
        "headline_sd": np.sqrt(np.maximum(s.total, 0.0)),
        "headline_noise": np.divide(s.noise, variance, out=np.zeros_like(variance), where=variance > 0),
        "headline_trouble": trouble,
    }


def _attrs(tree: xr.DataTree, decision: Decision | None, choice: F64 | None) -> dict[str, str | int | float]:
    kept = ("deal_id", "title", "deal_digest", "as_of", "horizon", "seed", "draws", "paths", "calibration_digest")
    attrs: dict[str, str | int | float] = {k: tree.attrs[k] for k in kept if k in tree.attrs}
    if decision is not None and choice is not None:
        mean = choice.mean(axis=0)
        attrs |= {
            "decision": decision.title,
            "decision_unit": decision.unit,
            "decision_now": list(decision.actions.values())[int(np.argmax(mean))].label,
            "decision_payoff": float(mean.max()),
            "decision_perfect": perfect_value(choice),
        }
    return attrs


def _dataset(arrays: Mapping[str, Any], attrs: Mapping[str, str | int | float]) -> xr.Dataset:
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    for name, values in arrays.items():
        v = SENSITIVITY[name]
        array = np.asarray(values).astype(np.str_ if v.dtype == "U" else v.dtype)
        (coords if v.coord else data)[name] = (v.dims, array, schema.attributes(v))
    return xr.Dataset(data, coords=coords, attrs=dict(attrs))
