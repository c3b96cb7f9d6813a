"""Simulation-based calibration, in short: right models pass, wrong ones do not.

The short form fits 30 data sets of two kinds of model with the one seed written here, chosen before any
was run. All ranks are judged as `forecast verify calibration` judges them: a false alarm in 100 seeds. What it
can notice is coarse; `pytest -m slow` runs every kind, and the command 500 data sets of each
(docs/calibration-checks.md).
"""

from dataclasses import replace

import numpy as np
import pytest

from forecast.calibrate import evaluate
from forecast.calibrate.reference import build_class
from forecast.calibrate.sbc.cases import model_of
from forecast.calibrate.sbc.registry import CASES
from forecast.calibrate.sbc.study import model_prior, study
from forecast.calibrate.sbc.swap import LIKELIHOOD
from forecast.calibrate.sbc.verdict import judge_studies

SEED, SHORT = 20250315, 30


def judged(kind, case, n, seed=SEED):
    found = study(case, n, seed)
    assert found.sizes["dataset"] == n  # none is left out
    return judge_studies({kind: found})


@pytest.fixture(scope="module")
def spells():
    return study(CASES["survival"], SHORT, SEED)


def test_right_models_pass(spells):
    verdict = judge_studies({"survival": spells, "rates": study(CASES["rates"], SHORT, SEED)})
    assert verdict.problems == ()
    assert LIKELIHOOD in spells["quantity"]
    assert set(spells["rank"].to_numpy().ravel()) <= set(range(100))


@pytest.mark.slow
@pytest.mark.parametrize("kind", CASES)
def test_every_kind_passes(kind):
    verdict = judged(kind, CASES[kind], 100, seed=7)
    assert verdict.problems == ()


def without_entry(world):
    """The same spells as if each had been watched from its start: the mistake of ignoring truncation."""
    classes = {}
    for id_, used in world.classes.items():
        rows = [replace(r, days={**r.days, "entry": None}) for r in used.records]
        classes[id_] = build_class(used.file, used.folder, tuple(rows))
    return model_of(replace(world, classes=classes))


def test_a_likelihood_that_ignores_truncation_is_noticed():
    right = CASES["survival"]
    wrong = replace(right, build=without_entry, prior=lambda n, seed: model_prior(right, n, seed))
    verdict = judged("survival", wrong, 50)
    assert any("[scale]" in p or "class__base" in p for p in verdict.problems), verdict.problems


def narrowed(world):
    """The same tables with a prior of a quarter of the sd that made the truths."""
    classes = {
        id_: build_class(
            used.file.model_copy(update={"prior": used.file.prior.model_copy(update={"sd": used.file.prior.sd / 4})}),
            used.folder,
            used.records,
        )
        for id_, used in world.classes.items()
    }
    return model_of(replace(world, classes=classes))


def test_a_wrong_prior_sd_is_noticed():
    right = CASES["piecewise"]
    wrong = replace(right, build=narrowed, prior=lambda n, seed: model_prior(right, n, seed))
    verdict = judged("piecewise", wrong, 60)
    assert any("calm[" in p or "tense[" in p for p in verdict.problems), verdict.problems
    assert all("look at" in p for p in verdict.problems)


def test_swapped_data_give_the_log_likelihood_of_a_model_built_anew(spells):
    case = CASES["survival"]
    truths = model_prior(case, SHORT, SEED)
    for k in range(2):
        truth = {name: x[k] for name, x in truths.items()}
        model = case.build(case.simulate(truth, np.random.default_rng(np.random.SeedSequence((SEED, k)))))
        free = {v.name: truth[v.name][None] for v in model.free_RVs}
        exact = sum(float(x.sum()) for x in evaluate.log_likelihoods(model, free).values())
        assert spells["truth"].sel(quantity=LIKELIHOOD).to_numpy()[k] == pytest.approx(exact, rel=1e-9)
