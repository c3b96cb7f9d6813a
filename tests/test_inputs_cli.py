"""`forecast inputs`, as an analyst uses it: each command in a process of its own."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_start_up import HEAVY

SEEDS = {"trucks": 180.0, "guards": 35.0, "days_closed": 12.0, "fines": 260.0}


def forecast(*words, code=0, cwd=None):
    command = [sys.executable, "-m", "forecast", "inputs", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=cwd)
    assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stderr if code else done.stdout


@pytest.fixture
def deal(tmp_path):
    """The teaching deal with four seed questions: A is right, B is sure and wrong."""
    folder = tmp_path / "priors" / "teaching"
    shutil.copytree("priors/teaching", folder)
    (tmp_path / "priors" / "reference").symlink_to(Path("priors/reference").resolve())
    rows = [
        [q, f"Example expert {e}", "2024-10-01", f"How many {q} in 2024?", "positive", "1", *quantiles, "a guess"]
        for q, truth in SEEDS.items()
        for e, quantiles in (
            ("A", [truth * f for f in (0.4, 1.1 if q > "g" else 0.9, 2.4)]),
            ("B", [truth * f for f in (2.0, 2.2, 2.5)]),
        )
    ]
    rows = [[*r[:-1], "made up for a test"] for r in rows]
    with (folder / "experts.csv").open("a", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
    lines = [f"{q},{x},2024-12-20,the register of the border\n" for q, x in SEEDS.items()]
    (folder / "seeds.csv").write_text("question,answer,known_on,source\n" + "".join(lines), "utf-8")
    return folder


def test_experts_are_weighed_by_their_seeds_and_shown(deal):
    shown = forecast("show", deal)
    assert "4 seed questions; cut-off of the calibration 0.05" in shown
    scores = {line.split()[2]: line.split()[3:] for line in shown.splitlines()[2:6] if "Example expert" in line}
    assert float(scores["A"][0]) > 0.5
    assert (scores["A"][2], scores["B"][2]) == ("100.0%", "0.0%")
    assert "note: Example expert B: no weight, for a calibration of" in shown
    earlier = forecast("show", deal, "--as-of", "2024-12-15")
    assert "No seed questions known by then: all experts weigh the same." in earlier


def test_the_table_of_one_question_as_csv(deal):
    rows = list(csv.DictReader(forecast("show", deal, "--question", "power_changes", "--csv").splitlines()))
    assert [r["expert"] for r in rows] == ["Example expert A", "Example expert B", "pooled"]
    assert [r["weight"] for r in rows] == ["1", "0", ""]


def test_out_into_a_spreadsheet_and_back_again(deal, tmp_path):
    table = tmp_path / "table.csv"
    before = {f.name: f.read_bytes() for f in deal.iterdir()}
    assert "forecast inputs import" in forecast("export", deal, table)
    assert table.read_bytes().startswith(b"\xef\xbb\xbftable,id,key,value")
    assert "exists already" in forecast("export", deal, table, code=2)
    assert forecast("import", deal, table) == f"{deal}: 0 changes, left as it is\n"
    old, new = "talks_collapse,distribution.mu,-1.6", "talks_collapse,distribution.mu,-1.2"
    table.write_text(table.read_text("utf-8").replace(old, new), "utf-8")
    dry = forecast("import", deal, table, "--dry-run")
    assert dry.splitlines() == [
        "parameters.talks_collapse.distribution.mu: -1.6 → -1.2",
        f"{deal}: 1 change, nothing is written (--dry-run)",
    ]
    assert {f.name: f.read_bytes() for f in deal.iterdir()} == before
    assert forecast("import", deal, table, "--as", deal.parent / "mine").endswith("mine: 1 change, written\n")
    assert forecast("import", deal, table).endswith("teaching: 1 change, written\n")
    after = before | {"deal.toml": before["deal.toml"].replace(b"mu = -1.6", b"mu = -1.2")}
    assert {f.name: f.read_bytes() for f in deal.iterdir()} == after
    assert {f.name: f.read_bytes() for f in (deal.parent / "mine").iterdir()} == after


def test_a_wrong_table_is_refused_in_lines_with_rows(deal, tmp_path):
    table = tmp_path / "table.csv"
    forecast("export", deal, table)
    text = table.read_text("utf-8").replace("noise,constant,1.0", "noise,constant,100 %")
    table.write_text(text.replace("0.30,0.48", '"0,3",0.48'), "utf-8")
    hint = "; write 1 for 100 %"
    assert forecast("import", deal, table, code=2).splitlines() == [
        f"forecast: error: {table}: row 14, column value: noise.constant must be a number (got '100 %')" + hint,
        f"forecast: error: {table}: row 80, column p05: must be a number (got '0,3'); write 0.3, with a decimal point",
    ]


def test_help_answers_without_heavy_libraries():
    code = "from forecast.cli import app\nimport sys\nprint(*{n.partition('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & (HEAVY | {"preliz", "tomlkit"})
    assert "export" in forecast("--help")


def test_the_manual_shows_what_is_printed():
    text = Path("docs/elicitation.md").read_text("utf-8")
    shown = text.partition("$ forecast inputs show priors/teaching\n")[2].partition("```")[0]
    assert forecast("show", "priors/teaching") == shown


def test_weights_enter_the_fit(deal, monkeypatch):
    from forecast import pipeline
    from forecast.inputs import load

    seen = {}

    def caught(*_, **settings):
        seen.update(settings)
        raise InterruptedError

    monkeypatch.setattr(pipeline, "calibrate", caught)
    with pytest.raises(InterruptedError):
        pipeline.calibrate_deal(load(deal), pipeline.RunSettings())
    assert seen["weights"] == {"Example expert A": 1.0}
