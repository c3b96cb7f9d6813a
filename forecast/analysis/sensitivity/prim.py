"""PRIM: a box of few parameters in which a headline is unusually low, or high (patient rule induction)."""

from dataclasses import dataclass, field, replace

import numpy as np

from forecast.analysis.sensitivity.batches import batch_error
from forecast.types import B8, F64, I64

LEVELS = 50  # of each parameter's ranks at which a box may end
PEEL = 0.05  # share of the box that one step takes away
MIN_SHARE = 0.08  # of the draws, in a box
MAX_RULES = 3
FOLDS = 4
HELD_OUT = 3  # every so many-th run of draws is kept to judge the box by
RUNS = 60
CLEAR = 3.0  # standard errors, on held-out draws, by which a box must differ
WORTH = 0.05  # share of the quality below which a rule is dropped: it would only lengthen the sentence


@dataclass(frozen=True)
class Box:
    """Rules number → (first level, last level), both inside."""

    rules: dict[int, tuple[int, int]] = field(default_factory=dict)

    def inside(self, level: I64) -> B8:
        """Tell which draws are in the box: (draw,), from levels (draw, number)."""
        found: B8 = np.ones(len(level), dtype=np.bool_)
        for number, (first, last) in self.rules.items():
            found &= (level[:, number] >= first) & (level[:, number] <= last)
        return found


@dataclass(frozen=True)
class Found:
    """A box and what held-out draws say of it.

    share: of the draws; mean, outside: of y there and elsewhere; coverage: share of all that is sought
    (of 1 − y for a low box, of y for a high one) that lies in the box; each with its standard error
    clear: whether inside and outside differ by more than `CLEAR` standard errors
    """

    box: Box
    share: float
    share_error: float
    mean: float
    mean_error: float
    outside: float
    outside_error: float
    coverage: float
    coverage_error: float
    clear: bool


def rank_levels(x: F64) -> I64:
    """Number each draw's level of each number (draw, number): the same share of the draws in each, ties together."""
    cuts = np.quantile(x, np.arange(1, LEVELS) / LEVELS, axis=0)
    found = [np.searchsorted(np.unique(cuts[:, k]), x[:, k], side="right") for k in range(x.shape[1])]
    return np.stack(found, axis=1).astype(np.int64)


def find_box(level: I64, y: F64, *, high: bool) -> Found | None:
    r"""Look for the box in which y is unusually low (or `high`), with at most `MAX_RULES` parameters.

    Peeling takes away, again and again, the 5 % of the box at the end of one parameter that leaves the
    lowest mean. How often is chosen by cross-validation of √β (ȳ − ȳ_box), with β the share of the draws in
    the box: the difference in units of its standard error. Pasting gives back levels, and rules are
    dropped, where that costs nothing. A third of the draws, in runs of neighbours, has no part in all that; its
    figures are the ones returned.

    Parameters
    ----------
    level
        Shape (draw, number), from `rank_levels`.
    y
        Shape (draw,).

    Returns
    -------
    Found or None
        None where no box is better than all draws, or too few draws are left to judge it.

    References
    ----------
    Friedman & Fisher 1999, Stat. Comput. 9:123; Bryant & Lempert 2010, Technol. Forecast. Soc. Change 77:34.
    """
    value = -y if high else y
    run = np.arange(len(y)) * RUNS // len(y)
    kept = run % HELD_OUT == 1
    if kept.sum() < 60 or np.ptp(value) == 0.0 or not level.shape[1]:
        return None
    train, known = level[~kept], value[~kept]
    steps = _best_length(train, known, run[~kept] // HELD_OUT % FOLDS)
    if steps == 0:
        return None
    box = _pruned(_pasted(_peeled(train, known)[steps], train, known), train, known)
    return _judged(box, level[kept], y[kept], high=high) if box.rules else None


def quality(value: F64, inside: B8) -> float:
    """√β (mean of all − mean in the box); negative infinity for a box with too few draws."""
    share = float(inside.mean())
    if share < MIN_SHARE:
        return -np.inf
    return float(np.sqrt(share) * (value.mean() - value[inside].mean()))


def _best_length(level: I64, value: F64, fold: I64) -> int:
    """How many peels are best for draws that took no part in choosing them."""
    by_fold = []
    for f in range(FOLDS):
        boxes = _peeled(level[fold != f], value[fold != f])
        test, seen = level[fold == f], value[fold == f]
        by_fold.append([quality(seen, b.inside(test)) for b in boxes])
    length = min(len(q) for q in by_fold)
    mean = np.array([q[:length] for q in by_fold]).mean(axis=0)
    return int(np.argmax(mean))


def _peeled(level: I64, value: F64) -> list[Box]:
    """Boxes after 0, 1, 2, ... peels."""
    box, boxes, inside = Box(), [Box()], np.ones(len(level), dtype=np.bool_)
    while inside.mean() > MIN_SHARE:
        step = _best_peel(box, level[inside], value[inside])
        if step is None:
            break
        box = step
        inside = box.inside(level)
        boxes.append(box)
    return boxes


def _best_peel(box: Box, level: I64, value: F64) -> Box | None:
    """Cut off the end of one parameter that leaves the lowest mean."""
    allowed = np.array(sorted(box.rules) if len(box.rules) == MAX_RULES else range(level.shape[1]))
    count, total = _by_level(level[:, allowed], value)
    best, chosen = np.inf, None
    for upper in (False, True):
        c, t = (a[:, ::-1] if upper else a for a in (count, total))
        gone, lost = np.cumsum(c, axis=1), np.cumsum(t, axis=1)
        at = np.argmax(gone >= PEEL * len(value), axis=1)
        rows = np.arange(len(allowed))
        left = len(value) - gone[rows, at]
        rest = np.divide(value.sum() - lost[rows, at], left, out=np.full(len(rows), np.inf), where=left > 0)
        k = int(np.argmin(rest))
        if rest[k] < best:
            best, chosen = float(rest[k]), (int(allowed[k]), upper, int(at[k]))
    if chosen is None:
        return None
    number, upper, at_level = chosen
    first, last = box.rules.get(number, (0, LEVELS - 1))
    rule = (first, LEVELS - 2 - at_level) if upper else (at_level + 1, last)
    return Box({**box.rules, number: rule})


def _by_level(level: I64, value: F64) -> tuple[F64, F64]:
    """Draws, and sum of values, in each level of each number: (number, level) each."""
    p = level.shape[1]
    cell = (level + LEVELS * np.arange(p)).ravel()
    count = np.bincount(cell, minlength=p * LEVELS).reshape(p, LEVELS).astype(np.float64)
    total = np.bincount(cell, weights=np.repeat(value, p), minlength=p * LEVELS).reshape(p, LEVELS)
    return count, total


def _pasted(box: Box, level: I64, value: F64) -> Box:
    """Move one end by one level outwards, as long as that makes the box better."""
    best = quality(value, box.inside(level))
    while True:
        wider = []
        for number, (first, last) in box.rules.items():
            ends = [(first - 1, last)] * (first > 0) + [(first, last + 1)] * (last < LEVELS - 1)
            wider += [Box({**box.rules, number: rule}) for rule in ends]
        found = [(quality(value, b.inside(level)), b) for b in wider]
        top = max(found, key=lambda f: f[0], default=(-np.inf, box))
        if top[0] <= best:
            return box
        best, box = top


def _pruned(box: Box, level: I64, value: F64) -> Box:
    """Drop the rules that hardly matter."""
    while box.rules:
        now = quality(value, box.inside(level))
        without = [Box({k: r for k, r in box.rules.items() if k != number}) for number in box.rules]
        found = [(quality(value, b.inside(level)), b) for b in without]
        top = max(found, key=lambda f: f[0])
        if top[0] < (1.0 - WORTH) * now:
            return box
        box = top[1]
    return box


def _judged(box: Box, level: I64, y: F64, *, high: bool) -> Found | None:
    inside = box.inside(level)
    share = float(inside.mean())
    if inside.sum() < 20 or (~inside).sum() < 20:
        return None
    mean, outside = float(y[inside].mean()), float(y[~inside].mean())
    sought = y if high else 1.0 - y
    coverage = float(sought[inside].sum() / sought.sum()) if sought.sum() > 0.0 else 0.0
    in_error = np.where(inside, y - mean, 0.0) / share
    out_error = np.where(inside, 0.0, y - outside) / (1.0 - share)
    difference_error = float(batch_error(in_error - out_error))
    found = Found(
        box,
        share,
        float(batch_error(inside.astype(np.float64))),
        mean,
        float(batch_error(in_error)),
        outside,
        float(batch_error(out_error)),
        coverage,
        float(batch_error(np.asarray(sought * (inside - coverage) / max(float(sought.mean()), 1e-300)))),
        clear=False,
    )
    apart = mean - outside if high else outside - mean
    return replace(found, clear=apart > CLEAR * difference_error)
