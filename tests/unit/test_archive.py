import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from forecast import manifest as manifests
from forecast import store
from forecast.analysis.sweep import Plan, assemble, table_of
from forecast.archive import Archive, Run
from forecast.durable import sha256
from forecast.errors import ArchiveError
from forecast.refine import Figures, Wanted
from tests import outputs_data as made


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return made.forecast_tree()


@pytest.fixture(scope="module")
def pristine(tree: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("pristine")
    return made.write(Archive(folder / "archive"), tree, folder)


@pytest.fixture
def run(pristine: Run, tmp_path: Path) -> Run:
    """Copy of a whole run, to be damaged."""
    root = tmp_path / "archive"
    shutil.copytree(pristine.path.parent.parent, root)
    return Archive(root).open(pristine.id)


def archive_of(run: Run) -> Archive:
    return Archive(run.path.parent.parent)


def reseal(run: Run, change: Callable[[dict[str, object]], None]) -> None:
    """Change a manifest as somebody could who computes its digest anew."""
    content = json.loads((run.path / "manifest.json").read_text())
    content.pop("digest")
    change(content)
    manifests.write_manifest(run.path, content)


# ---- what is written -----------------------------------------------------------------------------


def test_run_comes_back_as_it_was(tree: xr.DataTree, pristine: Run) -> None:
    opened = pristine.open()
    assert opened.identical(tree)
    assert set(opened.children) == {"summary", "storylines", "paths", "base_rates", "estimates"}


def test_plain_xarray_opens_a_run(tree: xr.DataTree, pristine: Run) -> None:
    path = pristine.path / "forecast.zarr"
    root = xr.open_zarr(path, consolidated=False, chunks=None)
    xr.testing.assert_equal(root.load(), tree.to_dataset())
    assert root["time"].encoding["units"].startswith("days since 2025-03-15")
    summary = xr.open_zarr(path, group="summary", consolidated=False, chunks=None)
    np.testing.assert_array_equal(summary["cause_mean"], tree["summary"]["cause_mean"])


def test_every_array_is_compressed_and_checksummed(pristine: Run) -> None:
    found = 0
    for file in (pristine.path / "forecast.zarr").rglob("zarr.json"):
        node = json.loads(file.read_text())
        if node["node_type"] == "array":
            names = [c["name"] for c in node["codecs"]]
            assert names[-1] == "crc32c", file
            assert {"zstd", "blosc"} & set(names), file
            found += 1
    assert found > 50


def test_manifest_names_every_file_with_its_digest(pristine: Run) -> None:
    files = {f.relative_to(pristine.path).as_posix() for f in pristine.path.rglob("*") if f.is_file()}
    assert files == {*pristine.manifest["files"], "manifest.json"}
    assert {"report.html", "inputs/deal/deal.toml", "inputs/deal/experts.csv"} < files
    for name, entry in pristine.manifest["files"].items():
        assert entry == {"bytes": (pristine.path / name).stat().st_size, "sha256": sha256(pristine.path / name)}
    assert pristine.manifest["attrs"]["deal_id"] == "small"


def test_a_run_is_never_overwritten(tree: xr.DataTree, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    first = made.write(archive, tree, tmp_path)
    before = {f: f.read_bytes() for f in first.path.rglob("*") if f.is_file()}
    second = made.write(archive, tree, tmp_path)
    assert (first.id, second.id) == ("small-2025-03-15-5f0c6a2f-0001", "small-2025-03-15-5f0c6a2f-0002")
    assert {f: f.read_bytes() for f in first.path.rglob("*") if f.is_file()} == before
    assert archive.verify(first) == archive.verify(second) == []


def test_a_gap_in_the_numbers_is_not_filled(tree: xr.DataTree, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    for _ in range(2):
        last = made.write(archive, tree, tmp_path)
    shutil.rmtree(archive.runs / "small-2025-03-15-5f0c6a2f-0001")
    assert made.write(archive, tree, tmp_path).id > last.id


def test_same_forecast_gives_the_same_bytes(tree: xr.DataTree, pristine: Run, tmp_path: Path) -> None:
    again = made.write(Archive(tmp_path / "archive"), tree, tmp_path)
    assert again.manifest["files"] == pristine.manifest["files"]


def test_undeclared_variable_is_not_written(tree: xr.DataTree, tmp_path: Path) -> None:
    other = tree.copy()
    other.dataset = tree.to_dataset().assign(guess=("draw", np.zeros(8)))  # type: ignore[assignment]
    with pytest.raises(ArchiveError, match="'guess' is not a declared variable"):
        made.write(Archive(tmp_path / "archive"), other, tmp_path)
    assert not (tmp_path / "archive").exists()


def test_input_that_changed_meanwhile_is_refused(tree: xr.DataTree, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    files = made.files(tmp_path)
    attrs = dict(tree.attrs) | {"inputs": json.dumps({"deal/deal.toml": "0" * 64})}
    with pytest.raises(ArchiveError, match=r"deal_deal.toml: was changed while the run was computed"):
        archive.write_run(tree, files, attrs)
    good = {name: sha256(path) for name, path in files.items()}
    assert archive.write_run(tree, files, attrs | {"inputs": json.dumps(good)}).id.endswith("-0001")


@pytest.mark.parametrize("name", ["../deal.toml", "/etc/deal.toml", "a/../../b", ""])
def test_input_name_outside_the_run_is_refused(tree: xr.DataTree, tmp_path: Path, name: str) -> None:
    file = next(iter(made.files(tmp_path).values()))
    with pytest.raises(ArchiveError, match="is no name of a file inside a run"):
        Archive(tmp_path / "archive").write_run(tree, {name: file}, dict(tree.attrs))
    assert list((tmp_path / "archive" / "runs").iterdir()) == []


def test_input_that_is_gone_is_named(tree: xr.DataTree, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"gone.toml: is gone"):
        Archive(tmp_path / "archive").write_run(tree, {"gone.toml": tmp_path / "gone.toml"}, dict(tree.attrs))


@pytest.mark.parametrize(
    "change", [{"deal_id": "../x"}, {"deal_id": "a-b"}, {"as_of": "March"}, {"deal_digest": "xyz"}, {"deal_digest": ""}]
)
def test_what_cannot_name_a_run_is_refused(tree: xr.DataTree, tmp_path: Path, change: dict[str, str]) -> None:
    with pytest.raises(ArchiveError, match="cannot name a run"):
        Archive(tmp_path / "archive").write_run(tree, {}, dict(tree.attrs) | change)


def test_report_that_fails_leaves_nothing(tree: xr.DataTree, tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise RuntimeError("the report broke")

    archive = Archive(tmp_path / "archive")
    with pytest.raises(RuntimeError, match="the report broke"):
        archive.write_run(tree, {}, dict(tree.attrs), fail)
    assert list(archive.runs.iterdir()) == []
    assert archive.list_runs() == []


def test_a_sweep_is_written_in_the_same_way(tmp_path: Path) -> None:
    """As `forecast.analysis.sweep` assembles one."""
    wanted, one = (Wanted("Signed", "state_probability", "signed", date(2026, 1, 1)),), np.full(1, 1e-4)
    figures = [
        Figures(wanted, np.random.default_rng(n).random((8, 1)), one, one, 1e6 * one, ("weighted paths",), 160)
        for n in range(4)
    ]
    plan = Plan("grid", ("oral_worth", "verification.agreed"), ((0.2, 0.5), (True, False)), ("oral_worth",))
    tables = np.stack([table_of(f, figures[0].p) for f in figures])
    data = assemble(plan, ["Signed"], tables, made.attrs(8, 20))
    archive = Archive(tmp_path / "archive")
    path = archive.write_dataset(data, kind="sweep")
    assert path == tmp_path / "archive/sweeps/small-2025-03-15-5f0c6a2f-0001/sweep.zarr"
    stored = xr.open_zarr(path, consolidated=False, chunks=None).load()
    xr.testing.assert_equal(stored, data)
    assert all(stored[n].attrs["long_name"] and stored[n].attrs["description"] for n in (*data.data_vars, "headline"))
    assert stored.attrs["deal_id"] == "small"
    assert manifests.all_problems(path.parent) == []
    with pytest.raises(ArchiveError, match=r"not a sweep: sweep: 'guess' is not a declared variable"):
        archive.write_dataset(data.assign(guess=("headline", [1.0])))


# ---- finding runs --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def several(tree: xr.DataTree, tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """Two runs of one deal, written after one of a later as-of date, and one of another deal."""
    folder = tmp_path_factory.mktemp("several")
    archive = Archive(folder / "archive")
    for change in ({"as_of": "2025-06-01"}, {}, {}, {"deal_id": "other"}):
        archive.write_run(tree, {}, dict(tree.attrs) | change)
    return archive


def test_runs_are_listed_oldest_first(several: Archive) -> None:
    assert [r.id for r in several.list_runs()] == [
        "small-2025-06-01-5f0c6a2f-0001",
        "small-2025-03-15-5f0c6a2f-0001",
        "small-2025-03-15-5f0c6a2f-0002",
        "other-2025-03-15-5f0c6a2f-0001",
    ]


@pytest.mark.parametrize(
    ("which", "found"),
    [
        ("latest", "other-2025-03-15-5f0c6a2f-0001"),
        ("small-2025-03-15-5f0c6a2f-0001", "small-2025-03-15-5f0c6a2f-0001"),
        ("small-2025-06", "small-2025-06-01-5f0c6a2f-0001"),
        ("o", "other-2025-03-15-5f0c6a2f-0001"),
        (("small", "2025-03-15"), "small-2025-03-15-5f0c6a2f-0002"),
        (("small", made.AS_OF), "small-2025-03-15-5f0c6a2f-0002"),
    ],
)
def test_a_run_is_found_in_every_way(several: Archive, which: str | tuple[str, str], found: str) -> None:
    assert several.open(which).id == found


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("small-2025-03", "is the start of 2 runs"),
        ("smal-2025-06-01-5f0c6a2f-0001", "did you mean 'small-2025-06-01-5f0c6a2f-0001'"),
        ("zzz", "`forecast list` shows what there is"),
        ("", "no run ''"),
        ("../runs/small-2025-06-01-5f0c6a2f-0001", "no run"),
        (("small", "2024-01-01"), "no run of 'small' as of 2024-01-01"),
    ],
)
def test_a_run_that_is_not_there_is_explained(several: Archive, which: str, said: str) -> None:
    with pytest.raises(ArchiveError, match=said):
        several.open(which)


def test_an_archive_without_runs_says_how_to_make_one(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "nothing")
    assert archive.list_runs() == []
    with pytest.raises(ArchiveError, match="holds no runs yet"):
        archive.open("latest")
    assert not archive.root.exists()


def test_what_has_no_manifest_is_no_run(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    archive = archive_of(run)
    (archive.runs / "small-2025-03-15-5f0c6a2f-0009").mkdir()
    (archive.runs / ".tmp-1-half").mkdir()
    (archive.runs / "notes.txt").write_text("mine")
    assert [r.id for r in archive.list_runs()] == [run.id]
    assert caplog.text == ""


def test_a_damaged_manifest_is_left_out_of_the_list_and_named(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    file = run.path / "manifest.json"
    file.write_text(file.read_text().replace("2025-03-15", "2025-03-16", 1))
    assert archive_of(run).list_runs() == []
    assert "manifest.json: is damaged" in caplog.text
    with pytest.raises(ArchiveError, match=r"manifest.json: is damaged"):
        archive_of(run).open(run.id)
    assert "manifest.json: is damaged" in archive_of(run).verify(run)[0]


# ---- damage --------------------------------------------------------------------------------------


def chunk_of(run: Run, variable: str) -> Path:
    return next(f for f in sorted((run.path / "forecast.zarr" / variable).iterdir()) if f.name != "zarr.json")


def test_whole_run_verifies(run: Run) -> None:
    assert archive_of(run).verify(run) == []


def test_flipped_bit_in_a_chunk_is_named_and_cannot_be_read(run: Run) -> None:
    chunk = chunk_of(run, "outcome_probability")
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 0x10
    chunk.write_bytes(content)
    problems = archive_of(run).verify(run)
    assert len(problems) == 1
    assert problems[0].startswith(f"{chunk}: is damaged")
    with pytest.raises(ValueError, match=r"(?i)checksum"):
        run.open()["outcome_probability"].load()


def test_deleted_chunk_is_named_and_not_opened(run: Run) -> None:
    chunk = chunk_of(run, "outcome_probability")
    chunk.unlink()
    assert archive_of(run).verify(run) == [f"{chunk}: is missing"]
    with pytest.raises(ArchiveError, match="is missing"):
        run.open()


def test_deleted_chunk_of_probabilities_is_nan_to_plain_xarray(run: Run) -> None:
    for name in ("outcome_probability", "cumulative_incidence", "state_probability", "consequence_amount"):
        chunk_of(run, name).unlink()
        data = xr.open_zarr(run.path / "forecast.zarr", consolidated=False, chunks=None)
        assert np.isnan(data[name].to_numpy()).any(), name


@pytest.mark.parametrize("name", ["report.html", "inputs/deal/deal.toml", "forecast.zarr/zarr.json"])
def test_every_kind_of_damage_to_a_file_is_named(run: Run, name: str) -> None:
    file, archive = run.path / name, archive_of(run)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"e", b"E", 1))
    assert archive.verify(run) == [f"{file}: is damaged: its bytes are not those that were written"]
    file.write_bytes(content[:-1])
    assert f"{file}: is damaged: it has {len(content) - 1:,} bytes" in archive.verify(run)[0]
    file.unlink()
    assert archive.verify(run) == [f"{file}: is missing"]
    file.symlink_to("/etc/hostname")
    assert f"{file}: is a link" in archive.verify(run)[0]


def test_added_files_are_named(run: Run) -> None:
    extra = run.path / "forecast.zarr" / "outcome_probability" / "c.9.0.0"
    extra.write_bytes(b"x")
    (run.path / "link").symlink_to("/etc")
    problems = archive_of(run).verify(run)
    assert f"{extra}: was not written with the run" in problems
    assert f"{run.path / 'link'}: was not written with the run" in problems
    assert len(problems) == 2


def test_run_that_was_removed_is_named(run: Run) -> None:
    shutil.rmtree(run.path)
    assert "no such run" in archive_of(run).verify(run)[0]


# ---- what is read without trust ------------------------------------------------------------------


def test_manifest_with_a_path_outside_is_refused(run: Run) -> None:
    reseal(run, lambda m: m["files"].update({"../../secret": {"bytes": 1, "sha256": ""}}))  # type: ignore[attr-defined]
    with pytest.raises(ArchiveError, match="names a file outside its run"):
        archive_of(run).open(run.id)


@pytest.mark.parametrize("content", ["", "[]", "{", '"x"', '{"schema": 1}', "null", "[" * 100_000])
def test_manifest_that_is_none_is_refused(run: Run, content: str) -> None:
    (run.path / "manifest.json").write_text(content)
    with pytest.raises(ArchiveError, match=r"manifest.json: is damaged"):
        archive_of(run).open(run.id)


def test_oversized_manifest_is_not_read(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_MANIFEST", 100)
    with pytest.raises(ArchiveError, match="is larger than 100 bytes"):
        archive_of(run).open(run.id)


def test_a_later_schema_is_refused(run: Run) -> None:
    reseal(run, lambda m: m.update(schema=2))
    with pytest.raises(ArchiveError, match="has schema 2; this version reads up to 1"):
        archive_of(run).open(run.id)


def edited(run: Run, change: Callable[[dict[str, object]], None]) -> Path:
    file = run.path / "forecast.zarr" / "parameters" / "zarr.json"
    node = json.loads(file.read_text())
    change(node)
    file.write_text(json.dumps(node))
    return run.path / "forecast.zarr"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda n: n.update(shape=[10**9, 10**9]), "the array has 8,000,000,000,000,000,000 bytes"),
        (lambda n: n["chunk_grid"]["configuration"].update(chunk_shape=[10**9, 9]), "the chunk has 72,000,000,000"),
        (lambda n: n.update(shape=[-1, 3]), "bytes; at most"),
        (lambda n: n["codecs"].append({"name": "numcodecs.pickle"}), "codec 'numcodecs.pickle' is not read here"),
        (
            lambda n: n["codecs"].insert(
                0, {"name": "sharding_indexed", "configuration": {"codecs": [{"name": "zlib"}]}}
            ),
            "codec 'zlib' is not read here",
        ),
        (lambda n: n.update(data_type="object"), "data type 'object' is not read here"),
        (lambda n: n.pop("shape"), "is damaged"),
        (lambda n: n.update(shape="big"), "is damaged"),
    ],
)
def test_metadata_that_asks_for_too_much_is_refused(
    run: Run, change: Callable[[dict[str, object]], None], said: str
) -> None:
    path = edited(run, change)
    with pytest.raises(ArchiveError, match=said):
        store.open_tree(path)


def test_zarr_version_2_with_its_pickle_filter_is_never_read(run: Run) -> None:
    """The metadata of version 2 lets a filter unpickle; the reader asks for version 3 only."""
    folder = run.path / "forecast.zarr" / "parameters"
    (folder / "zarr.json").unlink()
    (folder / ".zarray").write_text(
        json.dumps({"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "fill_value": None, "order": "C",
                    "compressor": None, "filters": [{"id": "pickle", "protocol": 5}]})
    )  # fmt: skip
    with pytest.warns(UserWarning, match="not recognized as a component"):
        assert "parameters" not in store.open_tree(run.path / "forecast.zarr").data_vars


# ---- temporary folders ---------------------------------------------------------------------------


def test_leftovers_of_the_dead_are_removed_and_the_living_spared(tree: xr.DataTree, tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive")
    archive.runs.mkdir(parents=True)
    dead = 2**22 + 1  # above the largest process number
    names = {
        "dead": f".tmp-{dead}-aa-x",
        "alive": f".tmp-{os.getppid()}-bb-x",
        "old": f".tmp-{os.getppid()}-cc-x",
        "held": f".tmp-{dead}-dd-x",  # by a writer in another container, whose process number is not ours to judge
    }
    for name in names.values():
        (archive.runs / name / "forecast.zarr").mkdir(parents=True)
    long_ago = time.time() - 7200
    os.utime(archive.runs / names["old"], (long_ago, long_ago))
    handle = os.open(archive.runs / names["held"], os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH)
        made.write(archive, tree, tmp_path)
    finally:
        os.close(handle)
    left = {p.name for p in archive.runs.iterdir()}
    assert left == {names["alive"], names["held"], "small-2025-03-15-5f0c6a2f-0001"}
