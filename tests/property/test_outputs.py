"""What must hold of outputs whatever the numbers are."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from forecast import schema, store
from forecast.analysis.base_rates import pooled
from forecast.analysis.history import holds
from forecast.archive import Archive, Run
from forecast.deal.spec import Condition
from forecast.estimands import forecast_invariants, summarise
from tests import outputs_data as made

counts = st.integers(1, 60).flatmap(
    lambda r: st.tuples(
        st.just(r),
        hnp.arrays(np.int32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=6), elements=st.integers(0, r)),
    )
)


@given(counts)
def test_summary_is_in_order_finite_and_inside_the_unit_interval(case: tuple[int, np.ndarray]) -> None:
    replicates, count = case
    s = summarise(count, replicates)
    for v in s.values():
        assert v.shape == count.shape[1:]
        assert np.isfinite(v).all()
        assert ((v >= 0.0) & (v <= 1.0)).all()
    assert (s["lower"] <= s["upper"] + 1e-15).all()
    np.testing.assert_allclose(s["mean"], count.mean(axis=0) / replicates, rtol=1e-13)
    unsure = (s["mean"] > 0) & (s["mean"] < 1)
    assert (s["mcse"][~unsure] > 0).all()


@given(counts, st.randoms(use_true_random=False))
def test_summary_does_not_depend_on_the_order_of_the_draws(case: tuple[int, np.ndarray], random: object) -> None:
    replicates, count = case
    order = list(range(len(count)))
    random.shuffle(order)  # type: ignore[attr-defined]
    one, other = summarise(count, replicates), summarise(np.ascontiguousarray(count[order]), replicates)
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12, atol=1e-15)


@given(counts)
def test_summary_of_the_complement_mirrors_it(case: tuple[int, np.ndarray]) -> None:
    replicates, count = case
    one, other = summarise(count, replicates), summarise((replicates - count).astype(np.int32), replicates)
    np.testing.assert_allclose(one["mean"], 1.0 - other["mean"], atol=1e-12)
    np.testing.assert_allclose(one["lower"], 1.0 - other["upper"], atol=1e-12)
    np.testing.assert_allclose(one["mcse"], other["mcse"], rtol=1e-6, atol=1e-9)


@given(counts)
def test_columns_are_summarised_apart(case: tuple[int, np.ndarray]) -> None:
    """One column alone gives what it gives among the others."""
    replicates, count = case
    whole = summarise(count, replicates)
    alone = summarise(np.ascontiguousarray(count[:, -1:, -1:]), replicates)
    for name in whole:
        np.testing.assert_allclose(whole[name][-1, -1], alone[name][0, 0], rtol=1e-13, atol=0)


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=80))
def test_pooled_frequency_lies_in_its_interval(cases: list[tuple[int, bool]]) -> None:
    draw, met = np.array([c[0] for c in cases]), np.array([c[1] for c in cases])
    mean, lower, upper, mcse = pooled(draw, met, 6)
    assert mean == pytest.approx(met.mean())
    assert 0.0 <= lower <= mean <= upper <= 1.0
    assert mcse >= 0.0


NAMES = ("a", "b", "c")
literals = st.builds(lambda n, neg: f"not {n}" if neg else n, st.sampled_from(NAMES), st.booleans())


@given(st.lists(literals, max_size=3), st.lists(st.lists(literals, min_size=1, max_size=3), max_size=2))
def test_conditions_mean_what_they_say(all_: list[str], any_: list[list[str]]) -> None:
    condition = Condition(all=tuple(all_), any=tuple(map(tuple, any_)))
    flags = np.arange(8, dtype=np.uint64)
    result = holds(condition, flags, {n: k for k, n in enumerate(NAMES)})
    for value, said in zip(range(8), result, strict=True):
        true = {n for k, n in enumerate(NAMES) if value >> k & 1}
        every = [*all_, *(x for g in any_ for x in g)]
        said_so = {x: (x.removeprefix("not ") in true) != x.startswith("not ") for x in every}
        assert said == (all(said_so[x] for x in all_) and all(any(said_so[x] for x in g) for g in any_))


@settings(max_examples=12)
@given(st.integers(4, 9), st.sampled_from([1, 7, 20, 49, 40_000]), st.integers(1, 61), st.integers(0, 2**16))
def test_any_forecast_keeps_its_rules_and_comes_back_to_the_bit(
    n: int, replicates: int, n_time: int, seed: int
) -> None:
    """Replicates such as 49, of which 49 · (1/49) is not 1, and such as need integers of 32 bits."""
    tree = made.forecast_tree(n, replicates, n_time, seed=seed)
    assert forecast_invariants(tree) == []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.zarr"
        store.write_tree(path, tree)
        assert store.open_tree(path).identical(tree)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("whole")
    return made.write(Archive(folder / "archive"), made.forecast_tree(), folder)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_bit_is_found_and_its_file_named(whole: Run, data: st.DataObject) -> None:
    archive = Archive(whole.path.parent.parent)
    name = data.draw(st.sampled_from([*sorted(whole.manifest["files"]), "manifest.json"]))
    file = whole.path / name
    content = file.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    damaged = bytearray(content)
    damaged[bit // 8] ^= 1 << bit % 8
    try:
        file.write_bytes(damaged)
        problems = archive.verify(whole)
    finally:
        file.write_bytes(content)
    # A bit of white space in the manifest changes nothing that it says.
    if name == "manifest.json" and not problems:
        assert chr(content[bit // 8]).isspace()
        assert chr(damaged[bit // 8]).isspace()
    else:
        assert len(problems) == 1
        assert str(file) in problems[0]


def read_all(root: Path) -> None:
    for group in schema.GROUPS:
        xr.open_zarr(root, group=group, consolidated=False, chunks=None).load()


def test_a_flipped_bit_in_any_chunk_never_reads_as_another_number(whole: Run) -> None:
    """Every data chunk of the store, one bit each: reading raises, it does not return other values."""
    root = whole.path / "forecast.zarr"
    chunks = [f for f in sorted(root.rglob("*")) if f.is_file() and f.name != "zarr.json"]
    assert len(chunks) > 50
    for k, chunk in enumerate(chunks):
        content = chunk.read_bytes()
        damaged = bytearray(content)
        damaged[(7 * k) % len(content)] ^= 1 << k % 8
        chunk.write_bytes(damaged)
        try:
            with pytest.raises(Exception, match=r"(?i)checksum|crc"):
                read_all(root)
        finally:
            chunk.write_bytes(content)
