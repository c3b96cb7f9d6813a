"""How far did each source pull? Each number of a deal as its prior, its classes, its experts and all together have it.

A class's own statement is what it says in the joint fit with the agreement between the sources of that
parameter taken out again by importance weights, so that the others have no part in it. The effect of a
statement on a headline is linear: the slope of the draws' probabilities on the parameter, times how far
the statement lies from the posterior, both on the link scale. Its swing is the slope times the width of its
90% interval: how far the headline moves while the parameter goes from one end of it to the other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from forecast import schema
from forecast.calibrate.beliefs import Belief, from_link, normal_quantiles
from forecast.deal.parameters import Parameter
from forecast.types import F64, I64

QUANTILES = (0.05, 0.5, 0.95)
FEWEST = 100.0  # effective draws below which the weights are not used


@dataclass(frozen=True)
class Statement:
    """What one source says of a parameter.

    quantiles (3, entry): 5, 50 and 95%, in the unit of the parameter
    mean (entry,): on the link scale; precision: of one entry there, transfer term included, 0 for prior and posterior
    """

    kind: str
    source: str
    quantiles: F64
    mean: F64
    precision: float = 0.0


def pull_table(
    tree: xr.DataTree,
    parameters: Mapping[str, Parameter],
    answers: Mapping[str, Sequence[Belief]],
    headlines: Mapping[str, F64],
    kept: I64,
) -> xr.Dataset:
    """Collect what every source says of every parameter, and what that does to the headlines.

    Parameters
    ----------
    tree
        The calibration.
    answers
        Beliefs of experts by question, as they entered the fit.
    headlines
        Label → probability of each draw that was simulated (draw,).
    kept
        Which draws of the fit, chains end to end, those are.

    Returns
    -------
    xr.Dataset
        The group `/sources`.
    """
    fit = _Fit(tree)
    y = np.array(list(headlines.values()), np.float64).reshape(len(headlines), -1)
    columns: dict[str, list[object]] = {
        k: [] for k in ("parameter", "entry", "kind", "source", "lower", "median", "upper", "weight", "distance")
    }
    effects: list[tuple[F64, F64, F64]] = []
    for id_, p in parameters.items():
        if not (p.rests_on or p.experts):
            continue
        link = link_of(p, fit.draws("posterior", id_))
        said = list(statements(fit, id_, p, answers.get(p.experts or "", ()), link))
        x = link(fit.draws("posterior", id_))
        slope, covariance = regression(x[kept], y)
        total = sum(s.precision for s in said if s.kind in ("class", "experts"))
        spread = x.std(axis=0)
        for s in said:
            shift = s.mean - x.mean(axis=0)
            width = link(s.quantiles)[-1] - link(s.quantiles)[0]
            error = np.sqrt(np.einsum("i,hij,j->h", shift, covariance, shift))
            distance = float(np.sqrt(np.mean((shift / np.maximum(spread, 1e-300)) ** 2)))
            for k, entry in enumerate(fit.entries(id_)):
                lower, median, upper = s.quantiles[:, k]
                row = (id_, entry, s.kind, s.source, lower, median, upper, s.precision / total, distance)
                for name, value in zip(columns, row, strict=True):
                    columns[name].append(value)
                effects.append((slope @ shift, error, slope @ width))
    columns["weight"] = [w if w else np.nan for w in columns["weight"]]
    shape = (len(effects), 3, len(headlines))
    effect, error, swing = np.moveaxis(np.array(effects, np.float64).reshape(shape), 1, 0)
    return schema.dataset(
        "/sources",
        headline_label=np.array(list(headlines), np.str_),
        statement_effect=effect,
        statement_effect_error=error,
        statement_swing=swing,
        **{f"statement_{k}": np.array(v, None if v else np.str_) for k, v in columns.items()},
    )


def statements(
    fit: "_Fit",
    id_: str,
    p: Parameter,
    answers: Sequence[Belief],
    link: Callable[[F64], F64],
) -> Iterator[Statement]:
    """Prior, each class, each expert, the experts together, and the posterior of one parameter."""
    if p.rests_on:
        yield _statement("prior", "", fit.draws("prior", id_), link)
        weight = fit.apart(id_)
        for k, (r, name) in enumerate(zip(p.rests_on, fit.sources(id_), strict=True)):
            own = fit.said(id_, k)
            s = _statement("class", name, own, link, weight)
            variance = _moments(link(own), weight)[1].mean() + r.transfer_sd**2
            yield Statement(s.kind, s.source, s.quantiles, s.mean, 1.0 / max(variance, 1e-300))
    if answers:
        yield from _experts(answers, *fit.consensus(answers[0].question))
    yield _statement("posterior", "", fit.draws("posterior", id_), link)


def _experts(answers: Sequence[Belief], mean: F64, sd: F64) -> Iterator[Statement]:
    """Each expert, and what they say together: its precision is divided among them by their own."""
    scale, precision = answers[0].scale, float(1.0 / np.mean(sd**2))
    own = np.array([b.weight / b.sd**2 for b in answers])
    for b, part in zip(answers, own / own.sum(), strict=True):
        q = from_link(scale, b.mean + b.sd * normal_quantiles(QUANTILES))
        yield Statement("expert", b.expert, q[:, None], np.array([b.mean]), precision * part)
    z = np.random.default_rng(0).standard_normal(len(mean))
    q = np.quantile(from_link(scale, mean + sd * z)[:, None], QUANTILES, axis=0)
    yield Statement("experts", "", q, np.array([mean.mean()]), precision)


def _statement(kind: str, source: str, x: F64, link: Callable[[F64], F64], weight: F64 | None = None) -> Statement:
    q = np.quantile(x, QUANTILES, axis=0) if weight is None else weighted_quantiles(x, weight)
    return Statement(kind, source, q, _moments(link(x), weight)[0])


def _moments(x: F64, weight: F64 | None) -> tuple[F64, F64]:
    mean = np.average(x, axis=0, weights=weight)
    return mean, np.average((x - mean) ** 2, axis=0, weights=weight)


def weighted_quantiles(x: F64, weight: F64) -> F64:
    """5, 50 and 95% quantiles (3, entry) of draws x (draw, entry) with weights (draw,)."""
    found = np.empty((len(QUANTILES), x.shape[1]))
    for k in range(x.shape[1]):
        order = np.argsort(x[:, k], kind="stable")
        level = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
        found[:, k] = np.interp(QUANTILES, level, x[order, k])
    return found


def link_of(p: Parameter, values: F64) -> Callable[[F64], F64]:
    """The scale on which a parameter's sources meet: logit, log, log ratios of parts, or as it is."""
    if p.unit == "probability":
        return lambda x: np.log(x) - np.log1p(-x)
    if (values <= 0.0).any():
        return lambda x: x
    if values.shape[1] > 1 and np.allclose(values.sum(axis=1), 1.0):
        return lambda x: np.log(x) - np.log(x).mean(axis=1, keepdims=True)
    return np.log


def regression(x: F64, y: F64) -> tuple[F64, F64]:
    """Regress y (headline, draw) on x (draw, entry): slopes (headline, entry), covariances (headline, entry, entry).

    Least squares with an intercept. Directions in which x varies less than a twentieth as much as in its main one,
    the shape of a rate by age for one, have slope 0: what they do is lost in the noise of the others.
    """
    if x.shape[1] == 0 or y.shape[1] < x.shape[1] + 3:
        return np.zeros((len(y), x.shape[1])), np.zeros((len(y), x.shape[1], x.shape[1]))
    centred = x - x.mean(axis=0)
    inverse = np.linalg.pinv(centred.T @ centred, rcond=0.05, hermitian=True)
    slope = (y - y.mean(axis=1, keepdims=True)) @ centred @ inverse
    rest = y - y.mean(axis=1, keepdims=True) - slope @ centred.T
    variance = (rest**2).sum(axis=1) / (y.shape[1] - x.shape[1] - 1)
    return slope, variance[:, None, None] * inverse


class _Fit:
    """A calibration by parameter: everything as (draw, entry), chains end to end."""

    def __init__(self, tree: xr.DataTree) -> None:
        self.tree = tree
        self.posterior = tree["posterior"].to_dataset()
        self.prior = tree["prior"].to_dataset() if "prior" in tree.children else self.posterior

    def draws(self, group: str, id_: str) -> F64:
        """Draws (draw, entry) of a parameter."""
        return _flat((self.posterior if group == "posterior" else self.prior)[id_])

    def entries(self, id_: str) -> list[str]:
        """Names of a parameter's entries; one empty name for one number."""
        name = f"{id_}__entry"
        return [str(x) for x in self.posterior[name].to_numpy()] if name in self.posterior[id_].dims else [""]

    def sources(self, id_: str) -> list[str]:
        """Names of its classes."""
        return [str(x) for x in self.posterior[f"{id_}__source"].to_numpy()]

    def said(self, id_: str, source: int) -> F64:
        """What one of its classes says (draw, entry)."""
        return _flat(self.posterior[f"{id_}__sources"].isel({f"{id_}__source": source}))

    def consensus(self, question: str) -> tuple[F64, F64]:
        """Mean and sd (draw,) of what experts say together, on the link scale."""
        mean, sd = (self.posterior[f"elicited__{k}"].sel(elicited__question=question) for k in ("mean", "sd"))
        return mean.to_numpy().ravel(), sd.to_numpy().ravel()

    def apart(self, id_: str) -> F64:
        """Weights (draw,) that take the agreement of a parameter's sources out of the fit."""
        even = np.ones(self.posterior.sizes["chain"] * self.posterior.sizes["draw"])
        if "log_likelihood" not in self.tree.children:
            return even
        likelihood = self.tree["log_likelihood"].to_dataset()
        if "sources__agreement" not in likelihood:
            return even
        agreement = likelihood["sources__agreement"]
        own = [str(label).startswith(f"{id_}: ") for label in agreement["sources__pair"].to_numpy()]
        if not any(own):
            return even
        log = -_flat(agreement)[:, own].sum(axis=1)
        weight: F64 = np.exp(log - log.max())
        return weight if weight.sum() ** 2 / (weight**2).sum() >= FEWEST else even


def _flat(array: xr.DataArray) -> F64:
    values = array.transpose("chain", "draw", ...).to_numpy().astype(np.float64)
    return values.reshape(values.shape[0] * values.shape[1], -1)
