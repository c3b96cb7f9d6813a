"""Scores of predictions of cells: totals against intervals, coverage, and log score against a constant rate."""

from dataclasses import dataclass

import numpy as np
from scipy import special

from forecast.calibrate.holdout.predict import Predictive, dirichlet_multinomial
from forecast.calibrate.records import Kind
from forecast.calibrate.tables import Cells
from forecast.types import F64

JEFFREYS = 0.5
TOGETHER = "all"  # stands where the name of an outcome does when outcomes are scored together


@dataclass(frozen=True)
class Score:
    """How well the cells of a class, or of one of its events, were predicted.

    covered50, covered90: expected share of randomised PIT values in the middle 50 and 90 %; their standard
        errors are those of as many independent cells of a model that is right
    log_score, baseline: sum over cells of the log predictive density, of the model and of a constant rate
    difference_se: standard error of log_score - baseline over cells; NaN for a single one
    bits, baseline_bits: ignorance, mean of -log2 of the density
    """

    outcome: str
    cells: int
    covered50: float
    covered50_se: float
    covered90: float
    covered90_se: float
    log_score: float
    baseline: float
    difference: float
    difference_se: float
    bits: float
    baseline_bits: float


@dataclass(frozen=True)
class Total:
    """What was observed of an outcome in all cells together, and what was predicted.

    predicted: expected count, median over draws (the mean of a rate that may drift is far out)
    lower, upper: ends of the middle 50 and 90 % of data drawn
    ratio: observed to predicted
    """

    outcome: str
    weight: float
    observed: float
    predicted: float
    lower90: float
    lower50: float
    upper50: float
    upper90: float
    ratio: float


@dataclass(frozen=True)
class HeldOut:
    """A class scored on what it had not seen; `problems` are what the gate has to say of its fit."""

    id: str
    kind: str
    title: str
    scores: tuple[Score, ...]
    totals: tuple[Total, ...]
    problems: tuple[str, ...]


def totals(new: Cells, made: Predictive) -> list[Total]:
    """Compare the total of each outcome with its predictive distribution."""
    result = []
    for k, outcome in enumerate(new.outcomes):
        observed, predicted = float(new.count[:, k].sum()), float(np.median(made.expected[:, :, k].sum(axis=1)))
        low90, low50, high50, high90 = np.quantile(made.drawn[:, :, k].sum(axis=1), (0.05, 0.25, 0.75, 0.95)).tolist()
        weight = float(np.diff(new.spell).sum()) if len(new.spell) else float(new.weight.sum())
        result.append(Total(outcome, weight, observed, predicted, low90, low50, high50, high90, observed / predicted))
    return result


def scores(kind: Kind, train: Cells, new: Cells, made: Predictive) -> list[Score]:
    """Score each event of a class, or its categories together."""
    base = baseline(kind, train, new)
    density = special.logsumexp(made.log_density, axis=0) - np.log(len(made.log_density))
    together = kind in ("multinomial", "shares")
    result = []
    for k in range(density.shape[1]):
        own = slice(None) if together else slice(k, k + 1)
        half, most = (coverage(new.count[:, own], made.drawn[:, :, own], c) for c in (0.5, 0.9))
        n = len(density)
        difference = density[:, k] - base[:, k]
        result.append(
            Score(
                TOGETHER if together else new.outcomes[k],
                n,
                half,
                _error(0.5, new.count[:, own].size),
                most,
                _error(0.9, new.count[:, own].size),
                float(density[:, k].sum()),
                float(base[:, k].sum()),
                float(difference.sum()),
                float(np.sqrt(n * difference.var(ddof=1))) if n > 1 else float("nan"),
                float(-density[:, k].mean() / np.log(2.0)),
                float(-base[:, k].mean() / np.log(2.0)),
            )
        )
    return result


def _error(share: float, n: int) -> float:
    return float(np.sqrt(share * (1.0 - share) / n))


def coverage(observed: F64, drawn: F64, share: float) -> float:
    """Share of randomised PIT values in the middle `share`, in expectation over what is random in them.

    The randomised PIT of a count y is uniform between P(Y < y) and P(Y <= y) (Czado, Gneiting & Held 2009,
    Biometrics 65); of a right model it is uniform. So a cell counts by the part of that stretch that lies in
    the middle. Of counts never drawn the stretch is taken as one draw in as many again.

    observed (cell, outcome); drawn (draw, cell, outcome)
    """
    n = len(drawn)
    y = np.floor(observed + 0.5)
    whole = np.floor(drawn + 0.5)
    below, same = (whole < y).sum(axis=0), (whole == y).sum(axis=0)
    low = below / (n + 1.0)
    high = (below + same + 1.0) / (n + 1.0)
    edge = (1.0 - share) / 2.0
    inside = np.clip(np.minimum(high, 1.0 - edge) - np.maximum(low, edge), 0.0, None)
    return float((inside / (high - low)).mean())


def baseline(kind: Kind, train: Cells, new: Cells) -> F64:
    """Log predictive density (cell, scored) of one constant rate, by the conjugate prior of Jeffreys.

    Gamma–Poisson, beta–binomial, Dirichlet–multinomial; for single cases an exponential with a gamma prior; for
    shares the shares of all groups added up.
    """
    if kind in ("multinomial", "shares"):
        return dirichlet_multinomial(new, train.count.sum(axis=0) + JEFFREYS)[:, None]
    events, seen, weight = train.count.sum(axis=0), float(train.weight.sum()), new.weight[:, None]
    a = events + JEFFREYS
    if kind in ("binomial", "choice"):
        b, y = seen - events + JEFFREYS, new.count
        choose = special.gammaln(weight + 1.0) - special.gammaln(y + 1.0) - special.gammaln(weight - y + 1.0)
        return np.asarray(choose + special.betaln(y + a, weight - y + b) - special.betaln(a, b))
    if kind == "survival":
        seen, t = float(np.diff(train.spell).sum()), np.diff(new.spell)
        return np.asarray(a * np.log(seen / (seen + t)) + new.count * np.log(a / (seen + t)))
    order = special.gammaln(a + new.count) - special.gammaln(a) - special.gammaln(new.count + 1.0)
    return np.asarray(order + a * np.log(seen / (seen + weight)) + new.count * np.log(weight / (seen + weight)))
