"""The fit of a small deal: what it holds, that it repeats to the bit, and that its cache can be trusted."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import nutpie
import pymc as pm
import pytest
import xarray as xr

from forecast.calibrate.fit import GROUPS, _write, calibrate, digest_of, draws_of, fit, read_fit
from forecast.calibrate.gate import judge
from forecast.calibrate.reference import build_class, load_class
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Contrast, Distribution, Parameter, Reference

AS_OF = date(2025, 3, 15)
REFERENCE = Path(__file__).parents[2] / "priors" / "reference"
SEED, DRAWS, CHAINS = 5, 1000, 4


def parameter(id_, unit="1", **origin):
    if "reference" in origin:
        origin["rationale"] = "made up for a test"
    elif "experts" not in origin:
        origin["source"] = "made up for a test"
    return Parameter(id=id_, label=id_, unit=unit, **origin)


def reference(class_, **more):
    return Reference(**{"class": class_, "transfer_sd": 0.3, **more})


CHANGE = Contrast(covariate="incumbent_runs", base="0", to="1")
PARAMETERS = {
    p.id: p
    for p in (
        parameter("breakdown", "per year", reference=reference("agreement_breakdown")),
        parameter("party", "probability", reference=reference("us_party_change", where={"incumbent_runs": "1"})),
        parameter("incumbent", "log ratio", reference=reference("us_party_change", contrast=CHANGE)),
        parameter("asked", "probability", experts="asked"),
        parameter("given", distribution=Distribution(family="gamma", alpha=2.0, beta=1.0)),
        parameter("one", constant=1.0),
    )
}
EXPERTS = [
    ExpertRow(
        question="asked",
        expert=name,
        date=date(2025, 1, 1),
        asked="What is the probability?",
        scale="probability",
        unit="probability",
        p05=0.1,
        p50=middle,
        p95=0.7,
        why="made up for a test",
    )
    for name, middle in (("A", 0.3), ("B", 0.4))
]


@pytest.fixture(scope="module")
def classes():
    return {c: load_class(REFERENCE, c) for c in ("agreement_breakdown", "us_party_change")}


def fitted(classes, cache, **changes):
    given = {"seed": SEED, "cache": cache, "draws": DRAWS, "chains": CHAINS, **changes}
    return calibrate(PARAMETERS, EXPERTS, classes, AS_OF, **given)


@pytest.fixture(scope="module")
def first(classes, tmp_path_factory):
    """(cache, calibration, calls of progress) of the first fit; no test may change the cache."""
    cache = tmp_path_factory.mktemp("calibrations")
    calls = []
    return cache, fitted(classes, cache, progress=lambda done, total: calls.append((done, total))), calls


@pytest.fixture
def store(first, tmp_path):
    """A copy of the cached fit, to be damaged."""
    cache, calibration, _ = first
    return Path(shutil.copytree(cache / f"{calibration.digest}.zarr", tmp_path / f"{calibration.digest}.zarr"))


def files(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_progress_runs_up_to_its_total(first):
    _, _, calls = first
    assert calls[0] == (0, 1)
    assert calls[-1] == (1, 1)
    assert all(0 <= done < total for done, total in calls[:-1])  # it ends once, whatever was sampled again


def test_the_tree_holds_what_arviz_expects(first):
    import arviz as az

    tree = first[1].tree
    assert set(tree.children) == set(GROUPS)
    assert set(PARAMETERS) - {"one"} <= set(tree["posterior"].data_vars)
    assert set(PARAMETERS) - {"one"} <= set(tree["prior"].data_vars)
    for name, seen in tree["observed_data"].data_vars.items():
        assert tree["posterior_predictive"][name].shape[2:] == seen.shape
        assert tree["prior_predictive"][name].dtype == seen.dtype
        assert list(tree["log_likelihood"][name].dims[2:]) == list(seen.dims)[: tree["log_likelihood"][name].ndim - 2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some cells bear on the fit more than importance weights can follow
        loo = az.loo(tree, var_name="rates__events")
    assert np.isfinite(loo.elpd)


def test_predictions_come_near_what_was_seen(first):
    """A sum over a table that was fitted: within its 99 % predictive interval (false alarm 1 %, fixed seed)."""
    tree = first[1].tree
    for name in ("rates__events", "binomial__successes"):
        total = tree["posterior_predictive"][name].sum(tree["observed_data"][name].dims)
        low, high = np.quantile(total, (0.005, 0.995))
        assert low <= float(tree["observed_data"][name].sum()) <= high


def test_the_fit_passes_the_gate(first):
    report = judge(first[1].tree, PARAMETERS)
    assert report.passed, report.problems
    judged = {name.split("[")[0] for name, *_ in report.table}
    assert {"breakdown", "asked", "class__spread", "elicited__disagreement"} <= judged
    assert not judged & {"one", "agreement_breakdown__effect"}


def test_the_second_time_it_is_read(first, classes):
    cache, calibration, _ = first
    again = fitted(classes, cache)
    assert (calibration.from_cache, again.from_cache) == (False, True)
    assert again.digest == calibration.digest
    for group in GROUPS:
        xr.testing.assert_identical(
            again.tree[group].to_dataset().load(), read_fit(cache / f"{again.digest}.zarr")[group].to_dataset().load()
        )
        for name, x in calibration.tree[group].data_vars.items():
            np.testing.assert_array_equal(again.tree[group][name], x)
    assert [p.name for p in cache.iterdir()] == [f"{again.digest}.zarr"]  # and no leftovers


def test_the_same_seed_gives_the_same_bytes(first, classes, tmp_path):
    cache, calibration, _ = first
    again = fitted(classes, tmp_path)
    one, other = files(cache / f"{calibration.digest}.zarr"), files(tmp_path / f"{again.digest}.zarr")
    root = "zarr.json"  # says how many seconds it took
    assert one.pop(root) != b""
    assert other.pop(root) != b""
    assert one == other


def test_what_has_been_compiled_before_changes_no_draw(tmp_path):
    """Twice the same fit, in processes of their own: all is compiled, then parts come out of the compilers' caches."""
    code = f"""
import hashlib
from datetime import date
from pathlib import Path
import pymc as pm
from forecast.calibrate.fit import fit
from forecast.calibrate.models import add_classes
from forecast.calibrate.predictor import join
from forecast.calibrate.reference import load_class
with pm.Model() as model:
    add_classes(join([load_class(Path({str(REFERENCE)!r}), "us_party_change").as_of(date(2025, 1, 1))]))
tree = fit(model, seed=1, draws=50, tune=100, chains=1)
print(hashlib.sha256(tree["posterior"]["class__base"].to_numpy().tobytes()).hexdigest())
"""
    caches = {"PYTENSOR_FLAGS": f"base_compiledir={tmp_path / 'pytensor'}", "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    cold, warm = (
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, **caches}, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    )
    assert len(cold.strip()) == 64
    assert cold == warm


def test_draws_come_chain_after_chain(first, classes):
    tree = first[1].tree
    draws = draws_of(tree, PARAMETERS, classes)
    assert list(draws.values) == list(PARAMETERS)
    assert draws.n_draw == CHAINS * DRAWS
    np.testing.assert_array_equal(draws.values["asked"][DRAWS : 2 * DRAWS], tree["posterior"]["asked"].to_numpy()[1])
    np.testing.assert_array_equal(draws.values["breakdown"][7], tree["posterior"]["breakdown"].to_numpy()[0, 7])
    assert np.all(draws.values["one"] == 1.0)
    assert draws.edges["breakdown"].tolist() == [0, 1, 2, 5, 10, np.inf]
    assert draws.labels == {"breakdown": ("0-1", "1-2", "2-5", "5-10", "10+")}
    assert draws.units["party"] == "probability"


# ---- the cache -----------------------------------------------------------------------------------


def a_chunk(store):
    return next(
        f for f in sorted((store / "posterior" / "breakdown").rglob("*")) if f.is_file() and f.name != "zarr.json"
    )


def test_a_whole_store_is_read(store):
    assert read_fit(store) is not None


def test_a_flipped_bit_is_noticed(store):
    chunk = a_chunk(store)
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 4
    chunk.write_bytes(data)
    assert read_fit(store) is None


def test_a_lost_chunk_is_noticed(store):
    a_chunk(store).unlink()
    assert read_fit(store) is None


def test_a_lost_chunk_with_another_file_in_its_place_is_noticed(store):
    a_chunk(store).rename(store / "posterior" / "stray")
    assert read_fit(store) is None


def test_a_lost_group_is_noticed(store):
    shutil.rmtree(store / "log_likelihood")
    assert read_fit(store) is None


def test_a_store_whose_last_step_was_never_written_is_noticed(store):
    root = json.loads((store / "zarr.json").read_text())
    del root["attributes"]["files"]
    (store / "zarr.json").write_text(json.dumps(root))
    assert read_fit(store) is None


def test_no_store_is_no_fit(tmp_path):
    assert read_fit(tmp_path / "none.zarr") is None


def test_a_damaged_fit_is_made_again(store, classes, first):
    a_chunk(store).write_bytes(b"rubbish")
    again = fitted(classes, store.parent)
    assert not again.from_cache
    np.testing.assert_array_equal(again.tree["posterior"]["breakdown"], first[1].tree["posterior"]["breakdown"])
    assert [p.name for p in store.parent.iterdir()] == [store.name]
    assert read_fit(store) is not None


# ---- the digest ----------------------------------------------------------------------------------


def test_a_second_writer_leaves_a_whole_fit_where_it_is(store):
    """Another process may be reading it, and reads lazily."""
    before, tree = store.stat().st_ino, read_fit(store)
    _write(read_fit(store).load(), store)
    assert store.stat().st_ino == before
    assert np.isfinite(tree["posterior"]["breakdown"].to_numpy()).all()
    assert [p.name for p in store.parent.iterdir()] == [store.name]


def digest(parameters=PARAMETERS, experts=EXPERTS, classes=None, as_of=AS_OF, sampler=(1, 2, 3)):
    return digest_of(parameters, experts, classes, as_of, sampler)


def planted(used, **changes):
    record = replace(used.records[0], line=9999, **changes)
    return build_class(used.file, used.folder, (*used.records, record))


def test_what_cannot_enter_a_fit_changes_no_digest(classes):
    base = digest(classes=classes)
    worded = PARAMETERS["given"].model_copy(update={"label": "other words", "source": "another book"})
    late = EXPERTS[0].model_copy(
        update={"date": AS_OF + timedelta(days=1), "quantiles": {"p05": 0.1, "p50": 0.5, "p95": 0.7}}
    )
    other = EXPERTS[0].model_copy(update={"question": "not_asked"})
    future = planted(classes["us_party_change"], known_on=AS_OF + timedelta(days=1))
    assert digest({**PARAMETERS, "given": worded}, classes=classes) == base
    assert digest(experts=[*EXPERTS, late, other], classes=classes) == base
    assert digest(classes={**classes, "us_party_change": future}) == base
    assert digest(classes={k: c.as_of(AS_OF) for k, c in classes.items()}) == base


def test_whatever_enters_a_fit_changes_the_digest(classes):
    past = planted(classes["us_party_change"], known_on=AS_OF)
    moved = PARAMETERS["given"].model_copy(update={"distribution": Distribution(family="gamma", alpha=2.1, beta=1.0)})
    changed = {
        digest(classes=classes),
        digest({**PARAMETERS, "given": moved}, classes=classes),
        digest(experts=EXPERTS[:1], classes=classes),
        digest(classes={**classes, "us_party_change": past}),
        digest(classes=classes, as_of=AS_OF - timedelta(days=4000)),
        digest(classes=classes, sampler=(2, 2, 3)),
    }
    assert len(changed) == 6


def test_a_deal_of_constants_needs_no_sampler(tmp_path):
    constants = {"one": PARAMETERS["one"]}
    done = calibrate(constants, [], {}, AS_OF, seed=1, cache=tmp_path, draws=10, chains=4)
    assert draws_of(done.tree, constants, {}).values["one"].tolist() == [1.0] * 40
    assert judge(done.tree, constants).passed
    again = calibrate(constants, [], {}, AS_OF, seed=1, cache=tmp_path, draws=10, chains=4)
    assert again.from_cache


@pytest.fixture
def sampled(monkeypatch):
    """Targets, tuning and draws of each sampling; the first `bad` of them get a divergence."""
    made, real = [], nutpie.sample

    def sample(compiled, **settings):
        made.append(tuple(settings[k] for k in ("target_accept", "tune", "draws")))
        tree = real(compiled, **settings)
        tree["sample_stats"]["diverging"][0, 0] = len(made) <= sample.bad
        return tree

    sample.made, sample.bad = made, 0
    monkeypatch.setattr(nutpie, "sample", sample)
    return sample


@pytest.mark.parametrize("draws", [30, 500])
def test_what_diverges_is_sampled_again_and_at_last_with_smaller_steps(sampled, draws):
    sampled.bad = 2
    with pm.Model() as model:
        pm.Normal("x")
    tree = fit(model, seed=1, draws=draws, tune=300, chains=4)
    assert sampled.made == [(0.9, 300, draws), (0.9, 600, 2 * draws), (0.97, 600, 2 * draws)]
    assert tree["posterior"].sizes["draw"] == 2 * draws
    assert not tree["sample_stats"]["diverging"].any()


def test_a_fit_that_always_diverges_is_given_up_and_the_gate_refuses_it(sampled):
    sampled.bad = 99
    with pm.Model() as model:
        pm.Normal("x")
    tree = fit(model, seed=1, draws=500, tune=300, chains=4)
    assert len(sampled.made) == 4
    assert not judge(tree, {}).passed


def test_a_short_fit_is_not_sampled_again_for_being_short(sampled):
    with pm.Model() as model:
        pm.Normal("x")
    assert not judge(fit(model, seed=1, draws=30, tune=300, chains=4), {}).passed
    assert len(sampled.made) == 1
