"""What a fitted class says of cells that it has not seen."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import special

from forecast.calibrate.predictor import Classes, Part
from forecast.calibrate.tables import Cells
from forecast.types import F64


@dataclass(frozen=True)
class Posterior:
    """Draws of one class's numbers on the link scale.

    base (draw, free), value (draw, term of an offer), effect (draw, column, free)
    shape (draw,): of a Weibull; concentration (draw,): of shares; empty for other kinds
    """

    base: F64
    value: F64
    effect: F64
    shape: F64
    concentration: F64


@dataclass(frozen=True)
class Predictive:
    """The law of each new cell, one a draw: `mean` parameters, log densities, and data drawn from it.

    expected (draw, cell, outcome): expected counts
    log_density (draw, cell, scored): of what was observed; outcomes are scored one by one where they are
        independent (rates), else the whole cell
    drawn (draw, cell, outcome): one data set a draw
    """

    expected: F64
    log_density: F64
    drawn: F64


def posterior_of(tree: xr.DataTree, classes: Classes) -> Posterior:
    """Take the numbers of a class, fitted by itself, out of its fit; chains end to end."""
    (part,) = classes.parts
    free = {str(k): _flat(v) for k, v in tree["posterior"].data_vars.items()}
    base = free["class__base"]
    n, width = len(base), part.layout.x.shape[1]
    effect = np.zeros((n, 0, len(part.free)))
    if width:
        spread = free["class__spread"][:, classes.spread_of]
        effect = (free["class__z"] * spread ** (1.0 - classes.centred)).reshape(n, width, len(part.free))
    none = np.zeros(0)
    shape = free["survival__shape"][:, 0] if part.used.kind == "survival" else none
    concentration = free.get(f"{part.used.id}__concentration", none)
    return Posterior(base[:, : len(part.free)], base[:, len(part.free) :], effect, shape, concentration)


def _flat(x: xr.DataArray) -> F64:
    values = x.transpose("chain", "draw", ...).to_numpy().astype(np.float64)
    return values.reshape(-1, *values.shape[2:])


def predict(part: Part, new: Cells, posterior: Posterior, seed: int) -> Predictive:
    """Predict new cells of the class, whose levels and ages are those of its design.

    link = base + x @ effect, with x from the design of the class as it was fitted. Counts are conditional on
    the exposure, trials or time at risk of each cell, which are taken as they turned out.
    """
    effect = np.einsum("cj,djf->dcf", _rows(part, new), posterior.effect)
    rng = np.random.default_rng(seed)
    if part.used.kind == "survival":
        return _spells(new, posterior, effect[:, :, 0], rng)
    link = posterior.base[:, None, :] + effect
    if part.used.kind == "rates":
        return _rates(new, link, rng)
    if part.used.kind in ("binomial", "choice"):
        if part.values:
            link = link + (posterior.value @ new.terms.T)[:, :, None]
        return _trials(new, link, rng)
    p = special.softmax(link @ part.to_logits.T, axis=2)
    return _shares(new, p, posterior.concentration, rng) if part.used.kind == "shares" else _categories(new, p, rng)


def _rows(part: Part, new: Cells) -> F64:
    """Rows (cell, column) of the design."""
    x = part.layout.age_x[new.age]
    for k, name in enumerate(part.used.covariates):
        x = x + part.layout.level_x[name][new.levels[:, k]]
    return np.asarray(x)


def _rates(new: Cells, link: F64, rng: np.random.Generator) -> Predictive:
    mean = new.weight[:, None] * np.exp(link)
    density = new.count * np.log(mean) - mean - special.gammaln(new.count + 1.0)
    return Predictive(mean, density, rng.poisson(np.minimum(mean, 1e9)).astype(np.float64))


def _trials(new: Cells, link: F64, rng: np.random.Generator) -> Predictive:
    n, y = new.weight[:, None], new.count
    choose = special.gammaln(n + 1.0) - special.gammaln(y + 1.0) - special.gammaln(n - y + 1.0)
    density = choose + y * special.log_expit(link) + (n - y) * special.log_expit(-link)
    p = special.expit(link)
    return Predictive(n * p, density, rng.binomial(n.astype(np.int64), p).astype(np.float64))


def _categories(new: Cells, p: F64, rng: np.random.Generator) -> Predictive:
    density = _arrangements(new) + special.xlogy(new.count, p).sum(axis=2)
    drawn = rng.multinomial(new.weight.astype(np.int64), p).astype(np.float64)
    return Predictive(new.weight[:, None] * p, density[:, :, None], drawn)


def _shares(new: Cells, p: F64, concentration: F64, rng: np.random.Generator) -> Predictive:
    """Dirichlet–multinomial; effective counts are drawn whole and brought to the size of the cell."""
    a = concentration[:, None, None] * p
    share = rng.standard_gamma(np.maximum(a, 1e-12))
    share /= np.maximum(share.sum(axis=2, keepdims=True), 1e-300)
    whole = np.maximum(np.rint(new.weight), 1.0)
    drawn = rng.multinomial(whole.astype(np.int64), share) * (new.weight / whole)[:, None]
    return Predictive(new.weight[:, None] * p, dirichlet_multinomial(new, a)[:, :, None], drawn)


def _spells(new: Cells, posterior: Posterior, effect: F64, rng: np.random.Generator) -> Predictive:
    """Weibull: density of the end given the age at entry; events drawn as Poisson(H(exit) - H(entry))."""
    entry, leave = new.spell[:, 0], new.spell[:, 1]
    shape, log_rate = posterior.shape[:, None], posterior.base
    cumulative = [(np.exp(log_rate) * t) ** shape * np.exp(effect) for t in (entry, leave)]
    hazard = cumulative[1] - cumulative[0]
    log_hazard = effect + np.log(shape) + shape * log_rate + (shape - 1.0) * np.log(leave)
    density = new.count[:, 0] * log_hazard - hazard
    drawn = rng.poisson(np.minimum(hazard, 1e9)).astype(np.float64)
    return Predictive(hazard[:, :, None], density[:, :, None], drawn[:, :, None])


def dirichlet_multinomial(new: Cells, a: F64) -> F64:
    """Log probability (..., cell) of counts under weights a (..., cell, category); counts need not be whole."""
    whole = a.sum(axis=-1)
    inner = special.gammaln(new.count + a) - special.gammaln(a)
    return np.asarray(
        _arrangements(new) + special.gammaln(whole) - special.gammaln(new.weight + whole) + inner.sum(axis=-1)
    )


def _arrangements(new: Cells) -> F64:
    """Log of the multinomial coefficient, (cell,)."""
    return np.asarray(special.gammaln(new.weight + 1.0) - special.gammaln(new.count + 1.0).sum(axis=1))
