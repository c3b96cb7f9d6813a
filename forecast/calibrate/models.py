"""One joint PyMC model of every parameter of a deal: reference classes, experts, distributions.

All classes share one vector of bases, one of spreads and one of effects (`class__base`, ...), with the
class in the coordinate: a graph of a dozen nodes compiles in seconds, one of ten nodes a class in minutes.
Each parameter of the deal, constants excepted, is a pm.Deterministic of its own name, with dim
`<parameter>__entry` where it has several entries; `<class>__effect` holds the effect of each level.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from scipy.sparse import eye_array, kron

from forecast.calibrate.beliefs import Belief, beliefs
from forecast.calibrate.elicit import pool
from forecast.calibrate.likelihoods import dirichlet_multinomial, weibull_spells
from forecast.calibrate.linear import padded, picks, product
from forecast.calibrate.predictor import Classes, Part, join
from forecast.calibrate.reference import ReferenceClass, check_parameters
from forecast.calibrate.values import add_values
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Distribution, Parameter
from forecast.errors import ReferenceClassError
from forecast.types import F64

type Tensor = Any  # a symbolic array: PyTensor has no types that mypy could follow


def build_model(
    parameters: Mapping[str, Parameter],
    experts: Sequence[ExpertRow],
    classes: Mapping[str, ReferenceClass],
    as_of: date,
    weights: Mapping[str, float] | None = None,
) -> pm.Model:
    """Build the joint model of all parameters but the constants.

    Parameters
    ----------
    parameters, experts
        Of the deal; answers given after `as_of` are left out.
    classes
        Those that the parameters name, by id; they are cut at `as_of` here, again if need be.
    weights
        Of experts, by name, as their answers to seed questions earn them; equal, if left out.

    Raises
    ------
    ReferenceClassError
        With one line for each parameter that asks for what its class or the experts cannot give.
    """
    if problems := check_parameters(parameters, experts, classes, as_of):
        raise ReferenceClassError("\n".join(problems))
    references = {k: p.rests_on for k, p in parameters.items() if p.rests_on}
    used = {r.reference: classes[r.reference].as_of(as_of) for several in references.values() for r in several}
    asked = {k: p.experts for k, p in parameters.items() if p.experts}
    with pm.Model() as model:
        said = add_elicited(asked, references, experts, as_of, weights) if asked else {}
        if used:
            add_values(references, add_classes(join(list(used.values()))), said)
        add_distributions({k: p.distribution for k, p in parameters.items() if p.distribution})
    return model


# ---- reference classes ---------------------------------------------------------------------------


def add_classes(classes: Classes) -> dict[str, Part]:
    """Add classes to the model in context, with what was observed; return their parts by id.

    The linear predictor of entry n of all tables is base[n's outcome] + sum_j x[n, j] * effect[k[n, j]],
    effect ~ Normal(0, the spread of its covariate), sampled as a multiple of spread^(1 - its `centred`).
    """
    pm.modelcontext(None).add_coords(classes.coords)
    base = pm.Normal("class__base", classes.centre, classes.sd, dims="class__outcome")
    effect: Tensor = np.zeros(0)
    levels: Tensor = np.zeros(len(classes.x))
    if len(classes.spread_of):
        spread = pm.HalfNormal("class__spread", classes.spread_sd, dims="class__covariate")
        each = product(picks(classes.spread_of, len(classes.spread_sd)), spread)
        scale = each**classes.centred
        z = pm.Normal("class__z", 0.0, scale, dims="class__term")
        effect = z * (each / scale)
        levels = product(padded(classes.x, classes.term_of, len(classes.spread_of)), effect)
    predictor = Predictor(classes, base, levels)
    parts = {p.used.id: p.with_values(base, effect) for p in classes.parts}
    _add_rates([p for p in parts.values() if p.used.kind == "rates"], predictor)
    _add_binomials([p for p in parts.values() if p.used.kind in ("binomial", "choice")], predictor)
    for part in parts.values():
        if part.used.kind in ("multinomial", "shares"):
            _add_categories(part, predictor)
    return {**parts, **_add_survival([p for p in parts.values() if p.used.kind == "survival"], predictor)}


@dataclass(frozen=True)
class Predictor:
    """Linear predictors of all tables, by entry: what comes of bases and of levels (both symbolic)."""

    classes: Classes
    base: Tensor
    level: Tensor

    def bases(self, parts: Sequence[Part]) -> Tensor:
        """Base of each entry of the tables of one kind (they follow one another), with the values of an offer."""
        at, c = _entries(parts), self.classes
        width = len(c.centre)
        return product(picks(c.base_of[at], width) + padded(c.holds[at], c.value_of[at], width), self.base)

    def effects(self, parts: Sequence[Part]) -> Tensor:
        """Sum of the effects of each entry."""
        of = self.classes.level_of[_entries(parts)]
        return product(padded(np.ones(of.shape), of, len(self.classes.x)), self.level)

    def __call__(self, parts: Sequence[Part]) -> Tensor:
        """Predictor of each entry."""
        return self.bases(parts) + self.effects(parts)


def _entries(parts: Sequence[Part]) -> slice:
    return slice(parts[0].entries.start, parts[-1].entries.stop)


def _add_dim(name: str, parts: Sequence[Part]) -> None:
    """Add a dim for the entries of the tables of one kind, end to end."""
    pm.modelcontext(None).add_coords({name: [f"{p.used.id}: {label}" for p in parts for label in p.entry_labels]})


def _add_rates(parts: Sequence[Part], predictor: Predictor) -> None:
    """Events ~ Poisson(exposure * exp(predictor)), years at risk as exposure."""
    if parts:
        exposure = np.concatenate([np.repeat(p.data.weight, p.data.count.shape[1]) for p in parts])
        events = np.concatenate([p.data.count.ravel() for p in parts]).astype(np.int64)
        _add_dim("rates__cell", parts)
        mean = exposure * pt.exp(predictor(parts))
        pm.Poisson("rates__events", mean, observed=events, dims="rates__cell")


def _add_binomials(parts: Sequence[Part], predictor: Predictor) -> None:
    """Successes ~ Binomial(trials, logistic(predictor)).

    An offer's predictor is its utility less the reservation, in units of the noise of one decision: the
    quantal response by which the parties of a deal decide, too (McKelvey & Palfrey 1995).
    """
    if parts:
        trials = np.concatenate([p.data.weight for p in parts]).astype(np.int64)
        successes = np.concatenate([p.data.count.ravel() for p in parts]).astype(np.int64)
        _add_dim("binomial__cell", parts)
        pm.Binomial(
            "binomial__successes", n=trials, logit_p=predictor(parts), observed=successes, dims="binomial__cell"
        )


def _add_categories(part: Part, predictor: Predictor) -> None:
    """Counts ~ Multinomial(softmax(logits)), or for shares a Dirichlet–multinomial about it.

    A multinomial has the log-odds of each category against the first; shares have log ratios in an
    orthonormal basis of the vectors that add up to 0, so that no entry is special.
    """
    id_, count = part.used.id, part.data.count
    pm.modelcontext(None).add_coords({f"{id_}__cell": part.data.labels, f"{id_}__category": part.data.outcomes})
    dims = (f"{id_}__cell", f"{id_}__category")
    logits = product(kron(eye_array(len(count)), part.to_logits), predictor([part]))
    weight = pt.exp(logits)  # their maximum is not taken off: no prior comes near the 700 of an overflow
    cell = picks(np.repeat(np.arange(len(count)), count.shape[1]), len(count))
    p = (weight / product(cell, product(cell.T, weight))).reshape(count.shape)
    if part.used.kind == "shares":
        concentration = pm.LogNormal(f"{id_}__concentration", np.log(part.used.prior.concentration), 1.0)
        dirichlet_multinomial(f"{id_}__counts", concentration, p, count, dims)
    else:
        n = part.data.weight.astype(np.int64)
        pm.Multinomial(f"{id_}__counts", n=n, p=p, observed=count.astype(np.int64), dims=dims)


def _add_survival(parts: Sequence[Part], predictor: Predictor) -> dict[str, Part]:
    """Weibull times, entered late or censored: cumulative hazard (t / scale)^shape * exp(effects).

    The base is the log of 1 / scale, so bases and effects enter apart.
    """
    if not parts:
        return {}
    ids = [p.used.id for p in parts]
    pm.modelcontext(None).add_coords({"survival__class": ids})
    sd = np.array([p.used.prior.shape_sd for p in parts])
    shape = pm.LogNormal("survival__shape", 0.0, sd, dims="survival__class")
    owner = np.repeat(np.arange(len(parts)), [len(p.data.weight) for p in parts])
    spell = np.concatenate([p.data.spell for p in parts])
    ended = np.concatenate([p.data.count[:, 0] for p in parts])
    _add_dim("survival__case", parts)
    each, log_rate, effect = product(picks(owner, len(parts)), shape), predictor.bases(parts), predictor.effects(parts)
    weibull_spells("survival__ended", each, log_rate, effect, spell, ended, "survival__case")
    return {p.used.id: p.with_shape(shape[i]) for i, p in enumerate(parts)}


# ---- experts and distributions -------------------------------------------------------------------


def add_elicited(
    asked: Mapping[str, str],
    joined: Container[str],
    experts: Sequence[ExpertRow],
    as_of: date,
    weights: Mapping[str, float] | None = None,
) -> dict[str, tuple[Tensor, Tensor]]:
    """Add the parameters that experts were asked about: parameter -> question.

    Of those in `joined`, which rest on classes too, mean and variance of the consensus on the link scale
    are returned instead. What experts say by themselves is named `elicited__mean` and `elicited__sd`.
    """
    answers = beliefs(experts, as_of, dict.fromkeys(asked.values()), weights)
    if silent := [q for q, group in answers.items() if not group]:
        raise ReferenceClassError("\n".join(f"experts.csv: no answer to {q!r} by {as_of}" for q in silent))
    mean, variance = pool(answers)
    pm.Deterministic("elicited__mean", mean, dims="elicited__question")
    pm.Deterministic("elicited__sd", pt.sqrt(variance), dims="elicited__question")
    place = {q: i for i, q in enumerate(answers)}
    said = {id_: (mean[place[q]], variance[place[q]]) for id_, q in asked.items() if id_ in joined}
    alone = {id_: q for id_, q in asked.items() if id_ not in joined}
    _add_alone(alone, {q: answers[q] for q in answers if q in alone.values()}, mean, variance, place)
    return said


def _add_alone(
    asked: Mapping[str, str],
    answers: Mapping[str, Sequence[Belief]],
    mean: Tensor,
    variance: Tensor,
    place: Mapping[str, int],
) -> None:
    """Add the parameters that rest on experts alone."""
    if not asked:
        return
    own = [place[q] for q in answers]
    pm.modelcontext(None).add_coords({"elicited__alone": list(answers)})
    theta = mean[own] + pt.sqrt(variance[own]) * pm.Normal("elicited__z", dims="elicited__alone")
    back: dict[str, Callable[[Tensor], Tensor]] = {
        "probability": pt.sigmoid,
        "positive": pt.exp,
        "real": lambda x: x,
    }
    for scale, inverse in back.items():
        questions = [q for q, group in answers.items() if group[0].scale == scale]
        if questions:
            values = inverse(theta[[list(answers).index(q) for q in questions]])
            for id_, question in asked.items():
                if question in questions:
                    pm.Deterministic(id_, values[questions.index(question)])


def add_distributions(given: Mapping[str, Distribution]) -> None:
    """Add the parameters that have a distribution, one vector a family."""
    families: dict[str, Callable[[str, Sequence[Distribution]], Tensor]] = {
        "normal": lambda n, d: _each(d, "mu") + _each(d, "sigma") * pm.Normal(f"{n}_z", dims=n),
        "lognormal": lambda n, d: pt.exp(_each(d, "mu") + _each(d, "sigma") * pm.Normal(f"{n}_z", dims=n)),
        "beta": lambda n, d: pm.Beta(f"{n}_x", _each(d, "alpha"), _each(d, "beta"), dims=n),
        "gamma": lambda n, d: pm.Gamma(f"{n}_x", _each(d, "alpha"), _each(d, "beta"), dims=n),
        "uniform": lambda n, d: pm.Uniform(f"{n}_x", _each(d, "lower"), _each(d, "upper"), dims=n),
        "halfnormal": lambda n, d: pm.HalfNormal(f"{n}_x", _each(d, "sigma"), dims=n),
    }
    for family, build in families.items():
        ids = [k for k, d in given.items() if d.family == family]
        if ids:
            name = f"given__{family}"
            pm.modelcontext(None).add_coords({name: ids})
            values = build(name, [given[k] for k in ids])
            for i, id_ in enumerate(ids):
                pm.Deterministic(id_, values[i])


def _each(rows: Sequence[Distribution], field: str) -> F64:
    return np.array([getattr(d, field) for d in rows], np.float64)
