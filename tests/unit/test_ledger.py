"""The table of inputs: written, edited as people and spreadsheets do, read back."""

import csv
import io
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from forecast.errors import DealFileError
from forecast.inputs import load
from forecast.ledger.cells import guarded, same_text, unguarded, value_of, written
from forecast.ledger.edits import edited
from forecast.ledger.families import fitted_families
from forecast.ledger.importing import import_table
from forecast.ledger.show import ledger_csv, ledger_lines, ledger_of
from forecast.ledger.table import read_files, table_text

FILES = ("deal.toml", "experts.csv", "seeds.csv")
SEEDS = "question,answer,known_on,source\nbridges,120,2024-11-01,the register of bridges\n"
ANSWERS = """\
bridges,Example expert A,2024-10-01,How many bridges cross the border?,positive,bridges,60,100,160,made up for a test
bridges,Example expert B,2024-10-01,How many bridges cross the border?,positive,bridges,10,15,20,made up for a test
"""


@pytest.fixture
def deal(tmp_path):
    """The teaching deal with a seed question, its classes beside it."""
    folder = tmp_path / "priors" / "teaching"
    shutil.copytree("priors/teaching", folder)
    (tmp_path / "priors" / "reference").symlink_to(Path("priors/reference").resolve())
    with (folder / "experts.csv").open("a", encoding="utf-8") as file:
        file.write(ANSWERS)
    (folder / "seeds.csv").write_text(SEEDS, "utf-8")
    return folder


def texts(folder):
    return {n: (folder / n).read_bytes() for n in FILES if (folder / n).exists()}


def put(deal, edit=lambda text: text, **more):
    """Export, edit, import: the changes."""
    table = deal.parent.parent / "table.csv"
    before = table_text(read_files(deal))
    after = edit(before)
    table.write_text(after, encoding="utf-8", newline="")
    return import_table(deal, table, **more)


def swap(*pairs):
    def edit(text):
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new, 1)
        return text

    return edit


def refused(deal, *pairs):
    before = texts(deal)
    with pytest.raises(DealFileError) as caught:
        put(deal, swap(*pairs))
    assert texts(deal) == before
    assert [p.name for p in deal.parent.iterdir()] == ["teaching", "reference"] or not list(deal.parent.glob(".tmp-*"))
    return str(caught.value).replace(str(deal.parent.parent), "")


# ---- round trips -----------------------------------------------------------------------------------


def test_the_table_has_every_number_once(deal):
    rows = list(csv.DictReader(io.StringIO(table_text(read_files(deal)).removeprefix("\ufeff"))))
    tables = [r["table"] for r in rows]
    assert tables.count("expert") == 4
    assert tables.count("seed") == 3
    assert {r["id"] for r in rows if r["table"] == "parameter"} == set(load(deal).deal.file.parameters)
    noise = {r["key"]: r["value"] for r in rows if r["id"] == "noise"}
    expected = {
        "label": "Noise of decisions",
        "unit": "utility",
        "constant": "1.0",
        "source": "sets the unit of utility",
    }
    assert noise == expected


@pytest.mark.parametrize("name", ["teaching", "ukraine_2025", "usmca_review"])
def test_an_untouched_table_changes_nothing(tmp_path, name):
    shutil.copytree(Path("priors") / name, tmp_path / name)
    (tmp_path / "reference").symlink_to(Path("priors/reference").resolve())
    before = texts(tmp_path / name)
    assert put(tmp_path / name) == ()
    assert texts(tmp_path / name) == before


def test_what_a_spreadsheet_does_unasked_changes_nothing(deal):
    def saved(text):
        rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
        short = {"0.30": "0.3", "1.0": "1", "0.20": ".2"}
        rows = [[short.get(c, c) for c in r] for r in rows]
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=";", lineterminator="\r\n").writerows([*rows, [], ["", ""], [""] * len(rows[0])])
        return "\ufeff" + out.getvalue()

    assert put(deal, saved) == ()


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%y", "%d-%m-%Y", "%Y/%m/%d", "%d. %m. %Y", "%Y-%m-%d"])
def test_dates_that_a_spreadsheet_has_rewritten_are_the_same(deal, form):
    def saved(text):
        return re.sub(r"\d{4}-\d\d-\d\d", lambda m: date.fromisoformat(m[0]).strftime(form), text)

    assert put(deal, saved) == ()
    if form != "%Y-%m-%d":
        with pytest.raises(DealFileError, match=r"row 80, column date: must be a date such as 2025-03-15"):
            put(deal, lambda text: saved(text.replace("2024-12-10", "2024-12-09")))


def test_a_sorted_table_changes_nothing(deal):
    def by_value(text):
        head, *rows = text.splitlines(keepends=True)
        return head + "".join(sorted(rows, reverse=True))

    assert put(deal, by_value) == ()


def test_an_edit_changes_its_key_alone_and_keeps_comments(deal):
    before = texts(deal)
    changes = put(deal, swap(("noise,constant,1.0", "noise,constant,2"), ("transfer_sd,0.5", "transfer_sd,0.75")))
    assert changes == (
        "parameters.shooting.reference.transfer_sd: 0.5 → 0.75",
        "parameters.noise.constant: 1.0 → 2.0",
    )
    text = before["deal.toml"].decode()
    text = text.replace("transfer_sd = 0.5 }", "transfer_sd = 0.75 }").replace("constant = 1.0", "constant = 2.0")
    assert (deal / "deal.toml").read_text("utf-8") == text
    assert {n: b for n, b in texts(deal).items() if n != "deal.toml"} == {
        n: b for n, b in before.items() if n != "deal.toml"
    }


def test_a_parameter_may_come_from_elsewhere(deal):
    def edit(text):
        lines = [x for x in text.splitlines(keepends=True) if not x.startswith("parameter,talks_collapse,distribution")]
        return "".join(lines) + "parameter,talks_collapse,constant,0.2\n"

    put(deal, edit)
    found = load(deal).deal.file.parameters["talks_collapse"]
    assert (found.distribution, found.constant) == (None, 0.2)
    text = (deal / "deal.toml").read_text("utf-8")
    assert 'source = "invented: about one in five a year"\nconstant = 0.2\n\n[parameters.troops_default]' in text


def test_a_new_table_of_a_parameter_is_one_line(deal):
    def edit(text):
        text = text.replace("parameter,noise,constant,1.0", "parameter,noise,distribution.family,lognormal")
        return text + "parameter,noise,distribution.mu,0\nparameter,noise,distribution.sigma,0.1\n"

    put(deal, edit)
    text = (deal / "deal.toml").read_text("utf-8")
    assert 'distribution = {family = "lognormal", mu = 0.0, sigma = 0.1}\n' in text.replace("{ ", "{").replace(
        " }", "}"
    )


def test_an_expert_comes_and_another_goes(deal):
    def edit(text):
        lines = [x for x in text.splitlines(keepends=True) if "power_changes,,,Example expert A" not in x]
        new = "expert,power_changes,,,C,2024-12-20,,,,0.1,0.2,0.4,the third opinion\n"
        return "".join([*lines, new])

    before = (deal / "experts.csv").read_text("utf-8").splitlines()
    assert put(deal, edit) == (
        "experts.csv: power_changes, C: added",
        "experts.csv: power_changes, Example expert A: taken out",
    )
    head, _, second, *seeds = before
    third = (
        "power_changes,C,2024-12-20,What is the probability that the Northern opposition wins the election of June "
        "2027?,probability,probability,0.1,0.2,0.4,the third opinion"
    )
    assert (deal / "experts.csv").read_text("utf-8").splitlines() == [head, second, third, *seeds]


def test_a_new_quantile_gets_a_column_of_its_own(deal):
    def edit(text):
        rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
        place = rows[0].index("p50")
        for r in rows:
            r.insert(
                place,
                "p25" if r is rows[0] else "0.42" if r[4] == "Example expert A" and r[1] == "power_changes" else "",
            )
        out = io.StringIO(newline="")
        csv.writer(out).writerows(rows)
        return out.getvalue()

    assert put(deal, edit) == ("experts.csv: power_changes, Example expert A: p25: empty → 0.42",)
    assert (
        (deal / "experts.csv")
        .read_text("utf-8")
        .startswith("question,expert,date,asked,scale,unit,p05,p25,p50,p95,why\n")
    )
    assert load(deal).deal.experts[0].quantiles == {"p05": 0.3, "p25": 0.42, "p50": 0.48, "p95": 0.65}
    assert "p25" not in load(deal).deal.experts[1].quantiles


def test_seeds_are_edited_and_added(deal):
    def edit(text):
        text = text.replace("seed,bridges,answer,120", "seed,bridges,answer,130")
        text += (
            "expert,tunnels,,,Example expert A,2024-10-01,How many tunnels?,positive,tunnels,1,2,3,made up for a test\n"
        )
        text += "seed,tunnels,answer,2\nseed,tunnels,known_on,2024-12-01\nseed,tunnels,source,the register\n"
        return text

    changes = put(deal, edit)
    assert "seeds.csv: bridges: answer: 120 → 130" in changes
    assert "seeds.csv: tunnels: added" in changes
    assert [(s.question, s.answer) for s in load(deal).deal.seeds] == [("bridges", 130.0), ("tunnels", 2.0)]


def test_settings_of_the_elicitation_are_inputs_too(deal):
    put(deal, lambda text: text + "elicitation,,cutoff,0.01\n")
    assert load(deal).deal.file.elicitation.cutoff == 0.01
    assert (deal / "deal.toml").read_text("utf-8").endswith('about twice"\n\n[elicitation]\ncutoff = 0.01\n')
    assert "elicitation,,cutoff,0.01" in table_text(read_files(deal))
    assert put(deal, swap(("elicitation,,cutoff,0.01", "elicitation,,cutoff,0.02"))) == (
        "elicitation.cutoff: 0.01 → 0.02",
    )


def test_a_copy_leaves_the_deal_alone(deal):
    before = texts(deal)
    put(deal, swap(("noise,constant,1.0", "noise,constant,2.0")), target=deal.parent / "mine")
    assert texts(deal) == before
    assert load(deal.parent / "mine").deal.file.parameters["noise"].constant == 2.0
    with pytest.raises(DealFileError, match="mine: exists already"):
        put(deal, target=deal.parent / "mine")


def test_a_copy_needs_a_place_beside_the_classes(deal, tmp_path):
    with pytest.raises(DealFileError, match=r"there is no folder .*nowhere to write it into"):
        put(deal, target=tmp_path / "nowhere" / "mine")
    with pytest.raises(DealFileError, match="a deal lies beside the folder `reference`"):
        put(deal, target=tmp_path / "mine")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["priors", "table.csv"]


def test_a_dry_run_writes_nothing(deal):
    before = texts(deal)
    assert put(deal, swap(("noise,constant,1.0", "noise,constant,2.0")), dry_run=True) == (
        "parameters.noise.constant: 1.0 → 2.0",
    )
    assert texts(deal) == before
    put(deal, dry_run=True, target=deal.parent / "mine")
    assert not (deal.parent / "mine").exists()


def test_a_table_of_a_deal_with_other_line_ends_keeps_them(deal):
    for name in FILES:
        text = (deal / name).read_bytes().replace(b"\n", b"\r\n")
        (deal / name).write_bytes(b"\xef\xbb\xbf" + text)
    before = texts(deal)
    assert put(deal) == ()
    put(deal, swap(("noise,constant,1.0", "noise,constant,2.0"), ("0.30,0.48", "0.30,0.5")))
    after = texts(deal)
    assert after["deal.toml"] == before["deal.toml"].replace(b"constant = 1.0", b"constant = 2.0")
    assert after["experts.csv"] == before["experts.csv"].replace(b"0.30,0.48", b"0.30,0.5")


# ---- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "parameter,noise,label", "parameter,nois,label",
            "row 12, column id: no parameter 'nois'; did you mean 'noise'?",
        ),
        ("noise,constant", "noise,konstant", "row 14, column key: no key 'konstant'; did you mean 'constant'?"),
        (
            "noise,constant", "noise,reference",
            "'reference' is a table; give its keys in rows of their own: class, where",
        ),
        ("noise,constant", "noise,id", "row 14, column key: no key 'id'"),
        (
            "noise,constant,1.0", "noise,constant,1 000 %",
            "noise.constant must be a number (got '1 000 %'); write 10 for",
        ),
        ("noise,constant,1.0", 'noise,constant,"1,5"', "write 1.5, with a decimal point"),
        ("noise,constant,1.0", "noise,constant,inf", "row 14, column value: noise.constant must be a finite number"),
        ("noise,constant,1.0", "noise,label,again", "row 14: noise, label stands in row 12 already; keep one"),
        ("noise,constant,1.0", "noise,constant,", "parameters.noise: give "),
        ("noise,constant,1.0", "noise,constant,-1", "parameters.noise: the noise of decisions must be more than 0"),
        (
            "transfer_sd,0.5", "transfer_sd,9",
            "parameters.shooting.reference.transfer_sd: must be less than or equal to 3",
        ),
        ("experts,power_changes", "experts,power_change", "did you mean 'power_changes'? (/table.csv: row 10)"),
        ("0.30,0.48", "0.48,0.30", "row 80: p05 < p50 < p95 must hold (got 0.48, 0.3, 0.65)"),
        ("0.30,0.48", "30%,0.48", "row 80, column p05: must be a number (got '30%'); write 0.3 for 30%"),
        (
            "expert,power_changes,,,", "expert,power_changes,x,,",
            "row 80, column key: a row of table 'expert' has nothing here",
        ),
        ("2024-12-10", "11.12.24", "row 80, column date: must be a date such as 2025-03-15"),
        ("Example expert B", "Example expert A", "row 81: power_changes, Example expert A stands in row 80 already"),
        (
            "expert,power_changes", "exprt,power_changes",
            "row 80, column table: no table 'exprt'; did you mean 'expert'?",
        ),
        (
            "seed,bridges,answer", "seed,bridges,anser",
            "row 84, column key: no key 'anser'; a seed has answer, known_on, source",
        ),
        ("bridges,answer,120", "bridges,answer,many", "row 84: seed bridges: answer: must be a number"),
        ("table,id", "tables,id", "missing: table; unknown: 'tables' (did you mean 'table'?)"),
        ("noise,label,Noise", "noise,label,\x07Noise", "row 12: value: contains a control character"),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_with_its_row_and_nothing_is_written(deal, old, new, expected):
    assert expected in refused(deal, (old, new))


def test_all_problems_come_at_once(deal):
    found = refused(
        deal, ("noise,constant,1.0", "noise,constant,x"), ("0.30,0.48", "x,0.48"), ("answer,120", "answer,x")
    )
    assert [line.partition("row ")[2].split(",")[0].split(":")[0] for line in found.splitlines()] == ["14", "80", "84"]


def test_hundreds_of_problems_are_cut_short(deal):
    with pytest.raises(DealFileError, match=r"and 26 more like these") as caught:
        put(deal, lambda text: text + "".join(f"parameter,none_{n},constant,1\n" for n in range(76)))
    assert len(str(caught.value).splitlines()) == 51


def test_a_parameter_whose_rows_are_all_gone_is_not_taken_out(deal):
    def without(text):
        return "".join(x for x in text.splitlines(keepends=True) if not x.startswith("parameter,noise,"))

    before = texts(deal)
    with pytest.raises(DealFileError, match="parameter 'noise' has no row left; put its rows back"):
        put(deal, without)
    assert texts(deal) == before


def test_a_failure_while_replacing_puts_everything_back(deal, monkeypatch):
    import os

    before, real = texts(deal), os.replace

    def failing(source, target):
        if Path(target).name == "experts.csv":
            raise OSError(28, "No space left on device", str(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(Exception, match="the disk is full"):
        put(deal, swap(("noise,constant,1.0", "noise,constant,2.0"), ("0.30,0.48", "0.30,0.5")))
    assert texts(deal) == before
    assert not list(deal.parent.glob(".tmp-*"))


def test_a_file_changed_meanwhile_is_not_overwritten(deal, monkeypatch):
    from forecast.ledger import importing

    def meddling(path):
        (deal / "deal.toml").write_bytes((deal / "deal.toml").read_bytes() + b"# changed\n")
        return load(path)

    monkeypatch.setattr(importing, "load", meddling)
    with pytest.raises(DealFileError, match="was changed while it was being worked on"):
        put(deal, swap(("noise,constant,1.0", "noise,constant,2.0")))


# ---- formulas --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-x", "@SUM(A1)", "\t=1", "＝1", "'quoted'", "''", "'=1", "plain", "a=1", ""]
)
def test_no_text_is_a_formula_and_each_comes_back(text):
    cell = guarded(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "＝"))
    assert unguarded(cell) == text
    assert same_text(cell, text)


def test_a_text_like_a_formula_goes_round(deal):
    file = deal / "deal.toml"
    text = file.read_text("utf-8").replace('source = "sets the unit of utility"', 'source = "=HYPERLINK(1)"')
    file.write_text(text.replace('rationale = "The polls are close."', 'rationale = "\'tis close"'), "utf-8")
    with (deal / "experts.csv").open("a", encoding="utf-8") as out:
        out.write(
            "power_changes,@home,2024-12-10,=what is the probability?,probability,probability,0.1,0.2,0.3,"
            '"+1: agreed, as before"\n'
        )
    table = table_text(read_files(deal))
    cells = [c for r in csv.reader(io.StringIO(table.removeprefix("\ufeff"))) for c in r]
    assert not [c for c in cells if c.startswith(("=", "+", "@"))]
    before = texts(deal)
    assert put(deal) == ()
    assert (
        put(deal, lambda t: t.replace("'=HYPERLINK", "=HYPERLINK").replace("''tis", "'tis")) == ()
    )  # one that eats them
    assert texts(deal) == before


@pytest.mark.parametrize(
    ("value", "kinds", "cell"),
    [
        (True, [bool], "TRUE"),
        (0.5, [float], "5e-1"),
        (["a", "b,c"], [tuple[str, ...]], '["a", "b,c"]'),
        ("x", [str], " x "),
    ],
)
def test_values_of_their_types(value, kinds, cell):
    assert value_of(cell, kinds) == value
    assert value_of(written(value), kinds) == value


# ---- deal.toml -------------------------------------------------------------------------------------


def test_keys_of_lists_of_tables():
    text = '[p.x]\nrefs = [\n  { a = 1.0 },  # one\n  { a = 2.0, b = "y" },\n]\n'
    wanted = {"refs": {"0": {"a": 1.0}, "1": {"a": 3.0, "b": "y"}}}
    assert edited(text, {("p", "x"): wanted}) == text.replace("2.0", "3.0")
    fewer = edited(text, {("p", "x"): {"refs": {"1": {"a": 2.0, "b": "y"}}}})
    assert "y" in fewer
    assert "1.0" not in fewer
    more = edited(text, {("p", "x"): {"refs": {**wanted["refs"], "2": {"a": 4.0}}}})
    assert "a = 4.0" in more


def test_tables_that_are_not_together_are_kept():
    text = "[p.x]\na = 1.0\n\n[q]\nb = 2\n\n# about y\n[p.y]\na = 1.0 # why\n"
    assert edited(text, {("p", "y"): {"a": 2.0}}) == text.replace("1.0 # why", "2.0 # why")


# ---- show ------------------------------------------------------------------------------------------


def test_the_ledger_is_shown(deal):
    ledger = ledger_of(load(deal).deal)
    lines = list(ledger_lines(ledger))
    assert any(line.startswith("power_changes (probability): What is the probability") for line in lines)
    assert any("seed: the answer is" in line and "120" in line for line in lines)
    pooled = next(q for q in ledger.questions if q.id == "power_changes")
    assert 0.2 < pooled.pooled[0] < pooled.pooled[1] < pooled.pooled[2] < 0.7
    assert max(map(len, "\n".join(lines).splitlines())) <= 112


def test_the_csv_of_the_ledger_has_a_row_an_answer_and_one_pooled(deal):
    rows = list(csv.DictReader(io.StringIO(ledger_csv(ledger_of(load(deal).deal)))))
    assert [(r["question"], r["expert"]) for r in rows] == [
        ("power_changes", "Example expert A"),
        ("power_changes", "Example expert B"),
        ("power_changes", "pooled"),
        ("bridges", "Example expert A"),
        ("bridges", "Example expert B"),
        ("bridges", "pooled"),
    ]


def test_no_name_in_the_csv_of_the_ledger_is_a_formula(deal):
    file = deal / "experts.csv"
    file.write_text(file.read_text(encoding="utf-8").replace("Example expert A", "=1+1"), encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(ledger_csv(ledger_of(load(deal).deal)))))
    assert [r["expert"] for r in rows[:2]] == ["'=1+1", "Example expert B"]


def test_one_question_is_asked_for(deal):
    assert [q.id for q in ledger_of(load(deal).deal, ["power_changes"]).questions] == ["power_changes"]
    with pytest.raises(DealFileError, match="no question 'powers'; questions: power_changes, bridges"):
        ledger_of(load(deal).deal, ["powers"])


def test_a_deal_without_experts_has_an_empty_ledger(deal):
    def edit(text):
        return "".join(
            x.replace("parameter,power_changes,experts,power_changes", "parameter,power_changes,constant,0.4")
            for x in text.splitlines(keepends=True)
            if not x.startswith(("expert,", "seed,"))
        ) + "parameter,power_changes,source,invented\n"  # fmt: skip

    put(deal, edit)
    assert ledger_of(load(deal).deal).questions == ()


def test_preliz_finds_the_family_of_exact_quantiles(deal):
    from scipy import stats

    row = load(deal).deal.experts[0]
    beta = {f"p{int(100 * p):02d}": float(stats.beta(2, 8).ppf(p)) for p in (0.05, 0.25, 0.5, 0.75, 0.95)}
    best, *others = fitted_families(row.model_copy(update={"quantiles": beta}))
    assert best.family == "Beta"
    assert best.error < 1e-3
    assert {f.family for f in others} == {"LogitNormal", "Kumaraswamy"}


def test_a_look_at_families_changes_no_picture_of_others():
    code = (
        "import matplotlib as mpl; before = dict(mpl.rcParams); import forecast.ledger.families;"
        "print([k for k, v in before.items() if mpl.rcParams[k] != v])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
