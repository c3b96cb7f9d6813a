"""One class held out: fitted to what was known on a date, scored on what came later."""

from collections.abc import Callable
from datetime import date

import pymc as pm

from forecast.calibrate.fit import fit
from forecast.calibrate.gate import judge
from forecast.calibrate.holdout.predict import posterior_of, predict
from forecast.calibrate.holdout.score import HeldOut, scores, totals
from forecast.calibrate.holdout.split import later_cells, train_of
from forecast.calibrate.models import add_classes
from forecast.calibrate.predictor import join
from forecast.calibrate.reference import ReferenceClass
from forecast.errors import ReferenceClassError


def hold_out(
    used: ReferenceClass,
    until: date,
    *,
    seed: int,
    draws: int = 1000,
    chains: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> HeldOut | str:
    """Fit a class by itself to what was known on `until`, and score its predictions of what came later.

    Returns
    -------
    HeldOut or str
        Why there is nothing to score, where there is nothing.
    """
    new = later_cells(used, until)
    if new is None:
        last = max((r.known_on for r in used.records), default=until)
        return f"no row known after {until} (the last on {last})"
    try:
        classes = join([train_of(used, until)])
    except ReferenceClassError as err:
        return str(err)
    (part,) = classes.parts
    with pm.Model() as model:
        add_classes(classes)
    tree = fit(model, seed=seed, draws=draws, chains=chains, progress=progress)
    made = predict(part, new, posterior_of(tree, classes), seed + 3)
    return HeldOut(
        used.id,
        part.used.kind,
        used.title,
        tuple(scores(part.used.kind, part.data, new, made)),
        tuple(totals(new, made)),
        tuple(judge(tree, {}).problems),
    )
