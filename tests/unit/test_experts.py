"""Rows of experts.csv and seeds.csv: any quantiles, any spreadsheet, each mistake in words."""

import shutil
from datetime import date
from pathlib import Path

import pytest

from forecast.deal.answers import experts_of, seeds_of
from forecast.deal.experts import level_of
from forecast.deal.loader import load_deal
from forecast.deal.sheet import number_hint, read_sheet
from forecast.errors import DealFileError

TEACHING = Path("priors/teaching")
HEAD = "question,expert,date,asked,scale,unit,p05,p25,p50,p95,why\n"
ROW = "q,A,2025-01-01,What is the number?,real,1,0.1,,0.3,0.9,made up for a test\n"


def problems(text, of=experts_of):
    return list(of(text).problems)


def test_an_empty_quantile_was_not_asked():
    (row,) = experts_of(HEAD + ROW).rows
    assert row.quantiles == {"p05": 0.1, "p50": 0.3, "p95": 0.9}
    assert (row.levels, row.values) == ((0.05, 0.5, 0.95), (0.1, 0.3, 0.9))


def test_columns_may_stand_in_any_order_and_hold_other_quantiles():
    text = "why,p97.5,p50,p2.5,unit,scale,asked,date,expert,question\n"
    text += "made up for a test,9,5,1,1,positive,What is the number?,2025-01-01,A,q\n"
    (row,) = experts_of(text).rows
    assert row.quantiles == {"p2.5": 1.0, "p50": 5.0, "p97.5": 9.0}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("0.3,0.9", "0.95,0.9", "line 2: row: p05 < p50 < p95 must hold (got 0.1, 0.95, 0.9)"),
        ("0.3,0.9", "0.3,0.3", "line 2: row: p05 < p50 < p95 must hold (got 0.1, 0.3, 0.3)"),
        (
            "0.1,,0.3",
            "0.1,0.3,",
            "line 2: row: give the median, p50, and at least one quantile below and one above it (got p05, p25, p95)",
        ),
        (
            "0.1,,", ",,",
            "line 2: row: give the median, p50, and at least one quantile below and one above it (got p50, p95)",
        ),
        ("0.3", "30 %", "line 2: p50: must be a number (got '30 %'); write 0.3 for 30 %"),
        ("0.3", '"0,3"', "line 2: p50: must be a number (got '0,3'); write 0.3, with a decimal point"),
        (
            "real", "reel",
            "line 2: scale: must be 'probability', 'positive' or 'real' (got 'reel'); did you mean 'real'?",
        ),
        (
            "2025-01-01", "1/1/2025",
            "line 2: date: must be a date such as 2025-03-15: year, month, day (got '1/1/2025')",
        ),
        (
            "real,1,0.1,,0.3,0.9",
            "probability,1,10,,30,90",
            "line 2: row: probabilities must lie strictly between 0 and 1 (got 10; if that is per cent, write 0.1)",
        ),
        ("real,1,0.1", "positive,1,-0.1", "line 2: row: a positive quantity must be more than 0 (got -0.1)"),
        ("test\n", "test,,,x\n", "line 2: more cells than columns; put texts with a ',' in double quotes"),
        ("p25", "p250", "unknown: 'p250'"),
        ("p25", "p5", "columns p05, p5 are the same quantile; keep one"),
        ("p50", "p51", "a column p50, the median, is missing (quantiles here: p05, p25, p51, p95)"),
        ("unit", "units", "missing: unit; unknown: 'units' (did you mean 'unit'?)"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_its_remedy(old, new, expected):
    (found,) = problems((HEAD + ROW).replace(old, new, 1))
    assert found.endswith(expected)


def test_a_second_answer_names_its_line():
    assert problems(HEAD + ROW + ROW) == ["line 3: 'A' answers 'q' twice; keep one row"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_write_is_read(delimiter, end):
    text = (HEAD + ROW).replace(",", delimiter).replace("\n", end) + end + delimiter * 10 + end
    assert experts_of(text).rows == experts_of(HEAD + ROW).rows


@pytest.mark.parametrize("column", ["p0", "p00", "p100", "p5.", "price", "P05", "p-5", ""])
def test_what_is_no_quantile(column):
    assert level_of(column) is None


def test_a_minus_sign_that_is_no_hyphen():
    assert number_hint("−0,5") == "write -0.5, with a hyphen for the minus sign"


@pytest.mark.parametrize("text", ["", "n/a", "1e5", "12.Mar", "%", "--3"])
def test_what_is_no_number_has_no_hint(text):
    assert number_hint(text) is None


def test_lines_and_rows_of_texts_with_line_ends():
    sheet = read_sheet('a,b\n1,"x\ny"\n\n2,z', lambda _: None)
    assert [(r.number, r.line, r.text) for r in sheet.rows] == [(2, 2, '1,"x\ny"\n'), (4, 5, "2,z")]


# ---- seeds -----------------------------------------------------------------------------------------


def deal_with(tmp_path, seeds, answers=""):
    folder = tmp_path / "teaching"
    shutil.copytree(TEACHING, folder)
    (folder / "experts.csv").write_text((folder / "experts.csv").read_text("utf-8") + answers, "utf-8")
    (folder / "seeds.csv").write_text("question,answer,known_on,source\n" + seeds, "utf-8")
    return folder


SEED = "rain,0.3,2024-11-01,the weather station\n"
ANSWER = "rain,{},2024-10-01,What is the chance of rain?,{},probability,0.1,0.2,0.6,made up for a test\n"


def test_a_seed_needs_no_parameter(tmp_path):
    deal = load_deal(deal_with(tmp_path, SEED, ANSWER.format("A", "probability")))
    assert [(s.question, s.answer, s.known_on) for s in deal.seeds] == [("rain", 0.3, date(2024, 11, 1))]
    assert [f.name for f in deal.inputs] == ["deal.toml", "experts.csv", "seeds.csv"]


@pytest.mark.parametrize(
    ("seeds", "answers", "expected"),
    [
        (SEED, "", "seeds.csv: nobody answers 'rain' in experts.csv; add the answers, or take the seed out"),
        ("", ANSWER.format("A", "probability"), "no parameter takes its number from 'rain', nor is it a seed"),
        (
            SEED,
            ANSWER.format("A", "probability") + ANSWER.format("B", "real"),
            "must share one scale (got probability, real)",
        ),
        (
            SEED.replace("0.3", "30"),
            ANSWER.format("A", "probability"),
            "'rain': probabilities must lie strictly between 0 and 1 (got 30; if that is per cent, write 0.3)",
        ),
        (SEED + SEED, ANSWER.format("A", "probability"), "seeds.csv: line 3: 'rain' has two answers; keep one row"),
        (SEED.replace("2024-11-01", "soon"), ANSWER.format("A", "probability"), "known_on: must be a date such as"),
    ],
)
def test_a_wrong_seed_is_told(tmp_path, seeds, answers, expected):
    with pytest.raises(DealFileError) as caught:
        load_deal(deal_with(tmp_path, seeds, answers))
    assert expected in str(caught.value)


def test_a_header_of_seeds_is_told():
    (found,) = problems("question,answers,known_on,source\n", seeds_of)
    assert found.endswith("missing: answer; unknown: 'answers' (did you mean 'answer'?)")


def test_an_answer_that_cannot_be_read_is_told_once(tmp_path):
    folder = deal_with(tmp_path, "")
    file = folder / "experts.csv"
    file.write_text(file.read_text("utf-8").replace("0.48", "many").replace("0.35", "few"), "utf-8")
    with pytest.raises(DealFileError) as caught:
        load_deal(folder)
    assert len(str(caught.value).splitlines()) == 2


def test_the_cut_off_is_a_setting_of_the_deal(tmp_path):
    folder = deal_with(tmp_path, "")
    file = folder / "deal.toml"
    text = file.read_text("utf-8")
    file.write_text(text + "\n[elicitation]\ncutoff = 0.01\noptimise = true\n", "utf-8")
    found = load_deal(folder).file.elicitation
    assert (found.cutoff, found.optimise) == (0.01, True)
    file.write_text(text + "\n[elicitation]\ncutof = 0.01\n", "utf-8")
    with pytest.raises(DealFileError, match=r"elicitation\.cutof: unknown key; did you mean 'cutoff'"):
        load_deal(folder)
