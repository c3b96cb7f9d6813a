"""A forecast as of a date knows nothing later: end to end, by the commands that a user types."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from forecast.cli import app
from forecast.pipeline import open_run

REFERENCE = Path(__file__).parents[1] / "priors" / "reference"
DEAL = """
[deal]
id = "truce"
title = "A truce"
summary = "Two sides stopped fighting at the end of 2013."
as_of = 2025-03-15
horizon = "5 years"
signed_on = 2013-11-01

[parties.north]
name = "North"
[parties.south]
name = "South"

[breakdowns.shooting]
cause_label = "Shooting resumes"
source = "made up"
hazard = "shooting"

[[headline]]
label = "Shooting by the end of 2029"
cause = "shooting"
date = 2029-12-31

[parameters.shooting]
label = "Shooting resumes"
unit = "per year"
reference = { class = "agreement_breakdown", transfer_sd = 0.3 }
rationale = "made up for a test"
"""
PLANTED = {  # a collapse a year, known in 2021
    "cohort": "planted",
    "period": "2012 on",
    "conflict_type": "intrastate",
    "any_full": "0",
    "third_party": "1",
    "years_since_start": "0-1",
    "n_at_risk": "500",
    "events": "400",
    "exposure_years": "400",
    "known_on": "2021-12-31",
}


@pytest.fixture(scope="module")
def priors(tmp_path_factory):
    """Two folders of inputs that differ by one record, known in 2021."""
    roots = []
    for name in ("plain", "planted"):
        root = tmp_path_factory.mktemp(name)
        (root / "truce").mkdir()
        (root / "truce" / "deal.toml").write_text(DEAL, encoding="utf-8")
        shutil.copytree(REFERENCE / "agreement_breakdown", root / "reference" / "agreement_breakdown")
        roots.append(root)
    table = roots[1] / "reference" / "agreement_breakdown" / "peace_processes.csv"
    with table.open("a", encoding="utf-8", newline="") as file:
        csv.DictWriter(file, list(PLANTED), lineterminator="\n").writerow(PLANTED)
    return roots


def run(root, as_of, archive):
    command = ["run", str(root / "truce"), "--as-of", as_of, "--archive", str(archive), "--paths", "40000"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    return open_run("latest", archive).open(), result.output


@pytest.mark.parametrize("as_of", ["2014-01-01", "2025-03-15"])
def test_a_record_that_became_known_later_changes_no_number(priors, tmp_path, as_of):
    (plain, said), (planted, _) = (run(r, as_of, tmp_path / r.name) for r in priors)
    names = ("parameters", "outcome_probability")
    same = all(np.array_equal(plain[n].to_numpy(), planted[n].to_numpy()) for n in names)
    assert same == (as_of < "2021-12-31")
    rows = f"agreement_breakdown: 39 of 74 records were not yet known on {as_of} and are left out"
    assert (rows in " ".join(said.split())) == (as_of < "2021-12-31")


def test_check_says_what_is_left_out(priors):
    result = CliRunner().invoke(app, ["check", str(priors[0] / "truce"), "--as-of", "2014-01-01"])
    assert "agreement_breakdown: 39 of 74 records were not yet known on 2014-01-01" in result.output
    result = CliRunner().invoke(app, ["check", str(priors[0] / "truce")])
    assert "not yet known" not in result.output
