"""Weights for experts by Cooke's classical model: how well they did on questions whose answer is known.

References: R. M. Cooke, Experts in Uncertainty, Oxford 1991, chapters 12 and 15; A. R. Colson and R. M. Cooke,
Cross validation for the classical model of structured expert judgment, Reliability Engineering & System
Safety 163 (2017) 109–120.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from scipy.special import chdtrc

from forecast.calibrate.beliefs import beliefs, misfits, to_link
from forecast.deal.experts import Elicitation, ExpertRow, Seed
from forecast.deal.model import Deal
from forecast.types import F64

OVERSHOOT = 0.1  # the intrinsic range goes beyond what was said and seen by this share of it, on either side
FEW = 10  # seeds, below which scores are mostly luck


@dataclass(frozen=True)
class Score:
    """How one expert did on the seeds that count.

    hits: how many answers lay below the first quantile, between the first and the second, …
    calibration: P(a perfectly calibrated expert does as badly); information: mean relative information
    weight: calibration times information, 0 below the cut-off; those of all experts add up to 1
    """

    expert: str
    hits: tuple[int, ...]
    calibration: float
    information: float
    weight: float = 0.0


@dataclass(frozen=True)
class Panel:
    """The experts' scores, the seeds that counted and the quantiles that they were scored on.

    `weights` is empty where all weigh the same: there are no seeds, or nobody reaches the cut-off.
    """

    scores: tuple[Score, ...] = ()
    seeds: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()
    cutoff: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def weights(self) -> dict[str, float]:
        """Expert → weight."""
        return {s.expert: s.weight for s in self.scores if s.weight > 0}


def calibration_score(hits: Sequence[int], levels: Sequence[float]) -> float:
    """Score how well quantiles hit.

    With N realisations, shares s of them in the bins between quantiles, p the shares that there should be, and
    k bins,

        I(s, p) = sum_i s_i ln(s_i / p_i),   C = P(chi²_{k - 1} > 2 N I(s, p)).

    2 N I is asymptotically chi² if the expert is right (Cooke 1991, section 9.3).

    Examples
    --------
    >>> calibration_score([1, 9, 9, 1], [0.05, 0.5, 0.95])
    1.0
    >>> round(calibration_score([10, 0, 0, 10], [0.05, 0.5, 0.95]), 12)
    0.0
    """
    n, s, p = sum(hits), np.array(hits) / sum(hits), _shares(levels)
    some = s > 0
    divergence = float(np.sum(s[some] * np.log(s[some] / p[some])))
    return float(chdtrc(len(p) - 1, 2 * n * max(divergence, 0.0)))


def information_score(quantiles: F64, levels: Sequence[float], low: F64, high: F64) -> float:
    """Score how much quantiles say, against a uniform background on the intrinsic range [low, high].

    The mean over questions of ln(high - low) + sum_i p_i ln(p_i / (q_i - q_{i-1})), with q_0 = low and
    q_k = high: the relative information of the least informative density with these quantiles.

    Parameters
    ----------
    quantiles
        Shape (question, level), inside the range, on the link scale.
    low, high
        Shape (question,).

    Examples
    --------
    Quantiles of the background itself say nothing:

    >>> information_score(np.array([[0.05, 0.5, 0.95]]), [0.05, 0.5, 0.95], np.zeros(1), np.ones(1))
    0.0
    """
    p = _shares(levels)
    width = np.diff(np.column_stack([low, quantiles, high]), axis=1)
    return max(0.0, float(np.mean(np.log(high - low) + np.log(p / width) @ p)))


def panel(
    experts: Sequence[ExpertRow], seeds: Sequence[Seed], as_of: date, elicitation: Elicitation | None = None
) -> Panel:
    """Score the experts on the seeds whose answers were known by the as-of date, and weigh them.

    The background of the information score is uniform on the link scale (for positive quantities that is
    Cooke's log-uniform), over what experts and reality span, widened by a tenth on either side. An expert is
    scored if he has answered every seed that counts, on the quantiles that all of these answers have.
    """
    setting = elicitation or Elicitation()
    counted = [s for s in seeds if s.known_on <= as_of]
    if not counted:
        return Panel()
    answers = {(r.expert, r.question): r for r in experts if r.date <= as_of}
    names, notes = _who_answered_all(answers, [s.question for s in counted])
    levels = _common_levels([answers[n, s.question] for n in names for s in counted])
    if names and len(levels) < 3:
        notes += ("experts.csv: answers to the seeds have fewer than three quantiles in common; all weigh the same",)
        return Panel((), tuple(s.question for s in counted), levels, notes=notes)
    if not names:
        return Panel((), tuple(s.question for s in counted), notes=(*notes, "nobody is scored: all weigh the same"))
    quantiles = np.array([[_on_link(answers[n, s.question], levels) for s in counted] for n in names])
    scale = [answers[names[0], s.question].scale for s in counted]
    truth = np.array([float(to_link(k, np.array(s.answer))) for k, s in zip(scale, counted, strict=True)])
    board = _Board(quantiles, truth, levels)
    scores = [board.score(n, q) for n, q in zip(names, quantiles, strict=True)]
    cutoff = board.best_cutoff(scores) if setting.optimise else setting.cutoff
    weighed = _weigh(scores, cutoff)
    notes += _notes(weighed, cutoff, len(counted))
    return Panel(tuple(weighed), tuple(s.question for s in counted), levels, cutoff, notes)


@dataclass(frozen=True)
class _Board:
    """What was said, (expert, seed, level), and what was seen, (seed,), on the link scale."""

    quantiles: F64
    truth: F64
    levels: tuple[float, ...]

    @property
    def range(self) -> tuple[F64, F64]:
        """The intrinsic range of each seed."""
        low = np.minimum(self.quantiles.min(axis=(0, 2)), self.truth)
        high = np.maximum(self.quantiles.max(axis=(0, 2)), self.truth)
        return low - OVERSHOOT * (high - low), high + OVERSHOOT * (high - low)

    def score(self, name: str, quantiles: F64) -> Score:
        """Score quantiles (seed, level) of one expert, or of a combination of them."""
        bins = (self.truth[:, None] > quantiles).sum(axis=1)  # on the bound: the bin below, as Cooke has it
        hits = tuple(int(h) for h in np.bincount(bins, minlength=len(self.levels) + 1))
        information = information_score(quantiles, self.levels, *self.range)
        return Score(name, hits, calibration_score(hits, self.levels), information)

    def best_cutoff(self, scores: Sequence[Score]) -> float:
        """Choose the cut-off, among the experts' own scores, whose combination has the best weight of its own."""
        candidates = sorted({s.calibration for s in scores})
        worth = []
        for cutoff in candidates:
            made = self.score("combination", self.combined(_weigh(scores, cutoff)))
            worth.append(made.calibration * made.information)
        return candidates[int(np.argmax(worth))]

    def combined(self, scores: Sequence[Score]) -> F64:
        """Quantiles (seed, level) of the weighted mean of the experts' densities, each least informative."""
        low, high = self.range
        weight = np.array([s.weight for s in scores])
        if not weight.any():
            weight = np.ones(len(scores))
        at = np.array([0.0, *self.levels, 1.0])
        result = np.empty(self.quantiles.shape[1:])
        for j in range(len(self.truth)):
            corners = [np.array([low[j], *q, high[j]]) for q in self.quantiles[:, j]]
            x = np.unique(np.concatenate(corners))
            cdf = weight @ np.array([np.interp(x, c, at) for c in corners]) / weight.sum()
            result[j] = np.interp(self.levels, cdf, x)
        return result


def _shares(levels: Sequence[float]) -> F64:
    """Shares of realisations that should lie between quantiles."""
    return np.diff([0.0, *levels, 1.0])


def _weigh(scores: Sequence[Score], cutoff: float) -> list[Score]:
    raw = [s.calibration * s.information * (s.calibration >= cutoff) for s in scores]
    total = sum(raw)
    return [replace(s, weight=w / total if total > 0 else 0.0) for s, w in zip(scores, raw, strict=True)]


def _on_link(row: ExpertRow, levels: Sequence[float]) -> F64:
    given = dict(zip(row.levels, row.values, strict=True))
    return to_link(row.scale, np.array([given[level] for level in levels]))


def _common_levels(rows: Sequence[ExpertRow]) -> tuple[float, ...]:
    """Quantiles that every answer has."""
    return tuple(sorted(set.intersection(*(set(r.levels) for r in rows)))) if rows else ()


def _who_answered_all(
    answers: Mapping[tuple[str, str], ExpertRow], questions: Sequence[str]
) -> tuple[list[str], tuple[str, ...]]:
    """Experts who can be scored, in the order of their rows, and a note on each of the others."""
    names = list(dict.fromkeys(expert for expert, _ in answers))
    missing = {n: [q for q in questions if (n, q) not in answers] for n in names}
    notes = (
        f"{n}: no score and no weight, for {_few(m)} of the seeds {'is' if len(m) == 1 else 'are'} not answered"
        for n, m in missing.items()
        if m
    )
    return [n for n in names if not missing[n]], tuple(notes)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _notes(scores: Sequence[Score], cutoff: float, n: int) -> tuple[str, ...]:
    said = []
    if n < FEW:
        said.append(f"{n} seed question{'s' if n > 1 else ''}: with fewer than {FEW} scores are mostly luck")
    if not any(s.weight for s in scores):
        return (*said, f"no expert has a calibration of {cutoff:.3g} or more and says anything: all weigh the same")
    said += [
        f"{s.expert}: no weight, for a calibration of {s.calibration:.2g} is below the cut-off {cutoff:.3g}"
        for s in scores
        if s.calibration < cutoff
    ]
    return tuple(said)


def panel_of(deal: Deal) -> Panel:
    """Score and weigh the experts of a deal."""
    return panel(deal.experts, deal.seeds, deal.as_of, deal.file.elicitation)


def elicitation_notes(deal: Deal) -> tuple[str, ...]:
    """Say who has no weight and out of which pools he is left, and which answers are fitted badly."""
    found = panel_of(deal)
    asked = dict.fromkeys(p.experts for p in deal.file.parameters.values() if p.experts)
    notes = [*found.notes, *misfits(beliefs(deal.experts, deal.as_of, asked, found.weights))]
    for question in asked:
        names = [r.expert for r in deal.experts if r.question == question and r.date <= deal.as_of]
        out = [n for n in names if n not in found.weights]
        if out and len(out) < len(names):
            notes.append(f"question {question}: left out of the pool, having no weight: {', '.join(out)}")
    return tuple(notes)
