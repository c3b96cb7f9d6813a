"""From the table of a reference class to the cells and the design matrix of its model; numpy only."""

from dataclasses import dataclass

import numpy as np

from forecast.calibrate.reference import ReferenceClass
from forecast.deal.parameters import Reference
from forecast.errors import ReferenceClassError
from forecast.types import F64, I64


@dataclass(frozen=True)
class Cells:
    """The sufficient statistics of a class; a cell is one combination of covariate levels and age bin.

    outcomes: events, categories or entries; ("success",) for a binomial,
        ("acceptance",) for a choice, ("event",) for survival
    levels (cell, covariate): index of the level of each covariate
    age (cell,): index of the age bin, 0 where there are none
    weight (cell,): years of exposure, trials, cases, or effective counts (shares)
    count (cell, outcome): events, successes, cases, effective counts; of a survival case, 1 if it ended
    terms (cell, term): how much of each term an offer holds; empty for other kinds
    spell (cell, 2): years at entry and exit of each survival case; empty for other kinds
    labels: a name for each cell
    """

    outcomes: tuple[str, ...]
    levels: I64
    age: I64
    weight: F64
    count: F64
    spell: F64
    labels: list[str]
    terms: F64


def cells(used: ReferenceClass) -> Cells:
    """Add up the rows of a class; survival cases, offers and the rows of shares stay apart.

    Raises
    ------
    ReferenceClassError
        Nothing that bears on anything is left (say, nothing was known by the as-of date).
    """
    levels, numbers = _levels(used), used.table.numbers
    outcomes, weight, count = _counts(used)
    spell, terms = np.empty((0, 2)), np.empty((0, 0))
    age = np.zeros(len(weight), np.int64) if used.table.age is None else np.asarray(used.table.age, np.int64)
    if used.kind == "survival":
        spell = np.column_stack([numbers["entry"], numbers["exit"]]).astype(np.float64)
    elif used.kind == "choice":
        terms = np.stack([numbers[t] for t in used.events], axis=1).astype(np.float64)
    elif used.kind == "shares":
        keep = weight > 0
        levels, age, weight, count = levels[keep], age[keep], weight[keep], count[keep]
    else:
        levels, age, weight, count = _added_up(levels, age, weight, count)
    if not weight.sum() > 0:
        raise ReferenceClassError(
            f"{used.folder / used.table_file}: no row is left that bears on anything (none known by the as-of "
            f"date?); take another source for what {used.id!r} gives"
        )
    return Cells(outcomes, levels, age, weight, count, spell, _labels(used, levels, age), terms)


def _counts(used: ReferenceClass) -> tuple[tuple[str, ...], F64, F64]:
    """Outcomes, weight (row,) and count (row, outcome) of a table."""
    numbers = {k: np.asarray(v, np.float64) for k, v in used.table.numbers.items()}
    if used.kind == "rates":
        return used.events, numbers["exposure"], np.stack([numbers[e] for e in used.events], axis=1)
    if used.kind == "binomial":
        return ("success",), numbers["trials"], numbers["successes"][:, None]
    if used.kind == "choice":
        return ("acceptance",), numbers["offers"], numbers["accepted"][:, None]
    if used.kind == "survival":
        return ("event",), np.ones(len(numbers["event"])), numbers["event"][:, None]
    count = np.stack([numbers[e] for e in used.events], axis=1)
    return used.events, count.sum(axis=1), count


def _levels(used: ReferenceClass) -> I64:
    columns = [[levels.index(v) for v in used.table.columns[name]] for name, levels in used.covariates.items()]
    n_row = len(next(iter(used.table.numbers.values())))
    return np.array(columns, np.int64).reshape(len(columns), n_row).T


def _added_up(levels: I64, age: I64, weight: F64, count: F64) -> tuple[I64, I64, F64, F64]:
    """Add up the rows of the same levels and age bin; rows without weight bear on nothing."""
    keep = weight > 0
    key, inverse = np.unique(np.column_stack([levels, age])[keep], axis=0, return_inverse=True)
    inverse = inverse.ravel()
    total = np.bincount(inverse, weight[keep], len(key))
    counts = np.stack([np.bincount(inverse, c, len(key)) for c in count[keep].T], axis=1)
    return key[:, :-1], key[:, -1], total, counts


def _labels(used: ReferenceClass, levels: I64, age: I64) -> list[str]:
    names = list(used.covariates.values())
    texts = []
    for row, a in zip(levels, age, strict=True):
        parts = [n[k] for n, k in zip(names, row, strict=True)]
        if used.age_edges is not None:
            parts.append(used.age_labels[a])
        texts.append(", ".join(parts) or "all")
    return texts if len(set(texts)) == len(texts) else [f"{i}: {t}" for i, t in enumerate(texts)]


@dataclass(frozen=True)
class Design:
    """The linear predictor of a class: link = base + x @ (spread[group] * z), z standard normal.

    Each covariate of L levels has L - 1 columns, an orthonormal basis of the vectors that add up to 0:
    levels are exchangeable, Normal(0, spread²), less their mean. Age bins follow a random walk, and so do
    periods; one that no cell bears on is as far from the last as steps usually are. Columns are centred by
    weight, so that `base` is the link of the average cell, which the data inform well.

    x (cell, column); group (column,): which spread a column takes; groups: a name for each spread
    level_x: covariate -> (level, column), age_x (bin, column): centred too, 0 in the columns of others
    """

    x: F64
    group: I64
    groups: tuple[str, ...]
    level_x: dict[str, F64]
    age_x: F64


AGE = "age"  # group of the columns of the random walk


def design(used: ReferenceClass, data: Cells) -> Design:
    """Lay out the columns of a class: those of its covariates, then those of its age bins."""
    blocks: dict[str, F64] = {
        n: _walk(len(v)) if n == used.period else zero_sum(len(v)) for n, v in used.covariates.items() if len(v) > 1
    }
    n_bin = 1 if used.age_edges is None else len(used.age_edges) - 1
    if n_bin > 1:
        blocks[AGE if AGE not in used.covariates else "age_bin"] = _walk(n_bin)
    width = sum(b.shape[1] for b in blocks.values())
    x, level_x, age_x = np.zeros((len(data.weight), width)), {}, np.zeros((n_bin, width))
    start = 0
    for k, (name, block) in enumerate(blocks.items()):
        columns = slice(start, start + block.shape[1])
        start = columns.stop
        is_age = n_bin > 1 and k == len(blocks) - 1
        index = data.age if is_age else data.levels[:, list(used.covariates).index(name)]
        centred = block - data.weight @ block[index] / data.weight.sum()
        x[:, columns] = centred[index]
        wide = np.zeros((len(block), width))
        wide[:, columns] = centred
        if is_age:
            age_x = wide
        else:
            level_x[name] = wide
    for name, levels in used.covariates.items():
        level_x.setdefault(name, np.zeros((len(levels), width)))
    group = np.repeat(np.arange(len(blocks)), [b.shape[1] for b in blocks.values()])
    return Design(x, group.astype(np.int64), tuple(blocks), level_x, age_x)


def _walk(n: int) -> F64:
    """Sums (n, n - 1) of the steps of a random walk."""
    return np.tri(n, n - 1, -1)


def zero_sum(n: int) -> F64:
    """Orthonormal basis (n, n - 1) of the vectors that add up to 0 (Helmert contrasts)."""
    basis = np.zeros((n, n - 1))
    for k in range(1, n):
        basis[:k, k - 1], basis[k, k - 1] = 1.0, -k
    return basis / np.linalg.norm(basis, axis=0)


def rows_for(reference: Reference, used: ReferenceClass, data: Cells, layout: Design) -> tuple[F64, F64]:
    """Rows of x (row, column) and weights (row,) whose average a parameter is.

    Covariates that `where` fixes are the same in all rows, and so is the period: that of the as-of date, unless
    `where` names another. The others run through the combinations
    found in the cells that match `where`, by their weight there. So the average comes near the crude
    rate of those cells, and no combination is made up that cannot be. Where no cell matches, the
    combinations and weights of the whole class are taken.
    """
    names = list(used.covariates)
    where = ({used.period: used.covariates[used.period][-1]} if used.period else {}) | reference.where
    fixed = {names.index(n): used.covariates[n].index(level) for n, level in where.items()}
    match = np.all([data.levels[:, k] == level for k, level in fixed.items()] or [data.weight > 0], axis=0)
    if not match.any():
        match = data.weight > 0
    free = [k for k in range(len(names)) if k not in fixed]
    combinations, inverse = np.unique(data.levels[match][:, free], axis=0, return_inverse=True)
    weight = np.bincount(inverse.ravel(), data.weight[match], len(combinations))
    x = np.zeros((len(combinations), layout.x.shape[1]))
    for k, level in fixed.items():
        x += layout.level_x[names[k]][level]
    for j, k in enumerate(free):
        x += layout.level_x[names[k]][combinations[:, j]]
    return x, weight / weight.sum()


def contrast_row(reference: Reference, used: ReferenceClass, layout: Design) -> F64:
    """Row (column,) of x whose product with the coefficients is the effect asked for."""
    c = reference.contrast
    if c is None:
        raise ValueError("not a contrast")
    levels, x = used.covariates[c.covariate], layout.level_x[c.covariate]
    row: F64 = x[levels.index(c.to)] - x[levels.index(c.base)]
    return row
