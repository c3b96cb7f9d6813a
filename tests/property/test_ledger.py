"""Whatever a deal's texts and numbers are, its table goes round, and an edit changes its key alone."""

import csv
import io
import json
import shutil
import tomllib
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forecast.deal.sheet import read_sheet, sheet_line
from forecast.ledger.cells import guarded, same_text, unguarded
from forecast.ledger.edits import edited, nested
from forecast.ledger.importing import import_table
from forecast.ledger.table import flattened, read_files, table_text

# What a person may type: no control characters, which a deal file refuses.
TEXT = st.text(
    st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from("=+-@'\"\n,;"), min_size=10, max_size=40
)
SLOW = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "reference").symlink_to(Path("priors/reference").resolve())
    return tmp_path


def fresh(folder, **changes):
    """A teaching deal with other texts."""
    deal = folder / "deal"
    shutil.rmtree(deal, ignore_errors=True)
    shutil.copytree("priors/teaching", deal)
    for name, (old, new) in changes.items():
        file = deal / name.replace("_", ".")
        text = file.read_text("utf-8")
        assert old in text
        file.write_text(text.replace(old, new, 1), encoding="utf-8", newline="")
    return deal


def put(deal, text):
    table = deal.parent / "table.csv"
    table.write_text(text, encoding="utf-8", newline="")
    return import_table(deal, table)


@given(rationale=TEXT, why=TEXT.filter(lambda s: len(s.strip()) >= 10), delimiter=st.sampled_from(",;\t"))
@SLOW
def test_any_text_goes_round(folder, rationale, why, delimiter):
    written = json.dumps(rationale, ensure_ascii=False)
    answer = sheet_line([why]).removesuffix("\n")
    old = "Invented for teaching: the opposition leads by two points."
    deal = fresh(folder, deal_toml=('"The polls are close."', written), experts_csv=(old, answer))
    before = {f.name: f.read_bytes() for f in deal.iterdir()}
    rows = list(csv.reader(io.StringIO(table_text(read_files(deal)).removeprefix("\ufeff"), newline="")))
    assert not [c for r in rows for c in r if c.startswith(("=", "+", "@", "\t", "\r"))]
    assert put(deal, "\ufeff" + "".join(sheet_line(r, delimiter, "\r\n") for r in rows)) == ()
    assert {f.name: f.read_bytes() for f in deal.iterdir()} == before


def numbers(deal):
    """Every mean and spread of a distribution, where any value in reach is right."""
    raw = tomllib.loads((deal / "deal.toml").read_text("utf-8"))["parameters"]
    return [(i, k) for i, p in raw.items() for k, _ in flattened(p) if k in ("distribution.mu", "distribution.sigma")]


@given(data=st.data())
@SLOW
def test_an_edit_changes_its_key_alone(folder, data):
    deal = fresh(folder)
    text = (deal / "deal.toml").read_text("utf-8")
    id_, key = data.draw(st.sampled_from(numbers(deal)))
    value = data.draw(st.floats(0.01, 2.0))
    table = table_text(read_files(deal)).splitlines(keepends=True)
    n = next(n for n, line in enumerate(table) if line.startswith(f"parameter,{id_},{key},"))
    cells = table[n].split(",")
    table[n] = ",".join([*cells[:3], repr(value), *cells[4:]])
    put(deal, "".join(table))
    wanted = tomllib.loads(text)
    wanted["parameters"][id_]["distribution"][key.split(".")[1]] = value
    after = (deal / "deal.toml").read_text("utf-8")
    assert tomllib.loads(after) == wanted
    different = [(a, b) for a, b in zip(text.splitlines(), after.splitlines(), strict=True) if a != b]
    assert len(different) <= 1
    assert (deal / "experts.csv").read_bytes() == Path("priors/teaching/experts.csv").read_bytes()


VALUE = st.floats(-5, 5) | st.booleans() | TEXT | st.lists(st.sampled_from("abc"), min_size=1, max_size=3)
TABLE = st.recursive(
    st.dictionaries(st.sampled_from("abcd"), VALUE, min_size=1, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner | VALUE, min_size=1, max_size=3),
    max_leaves=6,
)


@given(old=TABLE, new=TABLE)
@settings(max_examples=150, deadline=None)
def test_any_table_becomes_any_other(old, new):
    import tomlkit

    inline = tomlkit.inline_table()
    inline.update(old)
    text = f"# before\n[p.x]\nfirst = 1 # kept\nt = {inline.as_string()}\n\n# after\n[p.y]\nz = 1\n"
    wanted = deepcopy(tomllib.loads(text))
    wanted["p"]["x"] = {"first": 1, "t": new}
    after = edited(text, {("p", "x"): nested({"first": 1, **{f"t.{k}": v for k, v in flattened(new)}})})
    assert tomllib.loads(after) == wanted
    assert after.startswith("# before\n[p.x]\nfirst = 1 # kept\nt = ")
    assert after.endswith("\n\n# after\n[p.y]\nz = 1\n")
    assert edited(after, {("p", "x"): nested(dict(flattened(wanted["p"]["x"])))}) == after


@given(st.text())
def test_a_guarded_text_is_the_text(text):
    assert unguarded(guarded(text)) == text
    assert same_text(guarded(text), text)


CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00\r"), max_size=8)


@given(st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=6), st.sampled_from(",;\t"))
def test_a_sheet_is_the_sum_of_its_rows(rows, delimiter):
    text = f"one{delimiter}two\n" + "".join(sheet_line(r, delimiter) for r in rows)
    sheet = read_sheet(text, lambda _: None)
    kept = [r for r in rows if any(c.strip() for c in r)]
    assert [list(r.cells.values()) for r in sheet.rows] == [[c.strip() for c in r] for r in kept]
    assert all(r.text in text for r in sheet.rows)
