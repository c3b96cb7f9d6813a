"""Reference classes: what is in them, what is refused, and that nothing later than the as-of date gets in."""

import csv
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from forecast.calibrate.reference import ReferenceClass, Table, check_parameters, class_ids, load_class
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Parameter
from forecast.errors import ReferenceClassError

ROOT = Path(__file__).parents[2] / "priors" / "reference"
TODAY = date(2025, 3, 15)

WANTED = {  # id -> kind, covariates, events
    "agreement_breakdown": ("rates", {"conflict_type", "any_full", "third_party", "period"}, {"breakdown"}),
    "fighting_resumes": ("rates", {"conflict_type", "how_ended", "war_intensity", "period"}, {"resumption"}),
    "ceasefire_failure": ("rates", {"ended_by", "peacekeepers_now"}, {"failure"}),
    "leader_exit": ("rates", {"conflict", "regime", "period"}, {"regular", "irregular", "death_or_health"}),
    "leader_exit_post_soviet": ("rates", {"group", "period"}, {"regular", "irregular", "death_or_health"}),
    "us_party_change": ("binomial", {"incumbent_runs", "terms_in_office", "era"}, set()),
    "us_midterm_succession": ("rates", {"period"}, {"left"}),
    "alliance_termination": ("rates", {"change", "where_change", "era"}, {"against_terms", "any"}),
    "negotiation_success": (
        "multinomial",
        {"violence", "mediation", "protracted", "period"},
        {"other", "formal_agreement", "semiformal_agreement"},
    ),
    "agreement_while_fighting": (
        "binomial",
        {"conflict_type", "issue", "war_intensity", "conflict_age", "period"},
        set(),
    ),
    "commitment_fulfilment": (
        "multinomial",
        {"by", "watched", "binding", "where", "leader_changed", "period"},
        {"on_time", "late", "not_fulfilled"},
    ),
    "treaty_withdrawal": ("rates", {"side", "form", "subject", "period", "other_side"}, {"exit"}),
    "verification_refused": ("survival", {"who", "kind"}, set()),
    "sanctions_lifted": ("rates", {"sender", "period"}, {"lifted"}),
    "alliance_honoured": ("binomial", {"era"}, set()),
}
SHARES = ("arms_shares", "arms_substitution")


def _sum(table: Table, name: str, **where: str) -> float:
    keep = np.ones(table.n_rows, bool)
    for column, level in where.items():
        keep &= np.array(table.columns[column]) == level
    return float(table.numbers[name][keep].sum())


# ---- the classes that come with the project --------------------------------------------------------


@pytest.mark.parametrize("id_", WANTED)
def test_class_has_its_kind_covariates_and_events(id_: str) -> None:
    used = load_class(ROOT, id_).as_of(TODAY)
    kind, covariates, events = WANTED[id_]
    assert (used.kind, set(used.covariates), set(used.events)) == (kind, covariates, events)
    for name, levels in used.covariates.items():
        assert list(levels) == sorted(levels) or name == used.period  # periods are in order of time
        assert set(used.table.columns[name]) == set(levels)  # every level has a row by now
    assert all(len(v) == used.table.n_rows for v in used.table.numbers.values())


@pytest.mark.parametrize("id_", [*WANTED, *SHARES])
def test_class_says_where_it_is_from_and_folder_holds_no_more(id_: str) -> None:
    used = load_class(ROOT, id_)
    assert used.citation
    assert len(used.licence) > 10
    assert used.file is not None
    assert len(used.file.derived_by) > 20
    assert len(used.file.prior.why) > 20
    assert {p.name for p in used.folder.iterdir()} == {"class.toml", used.table_file}


def test_no_class_is_left_untested() -> None:
    assert set(class_ids(ROOT)) == {*WANTED, *SHARES}


def test_all_classes_load_fast() -> None:
    best = np.inf
    for _ in range(5):
        start = time.perf_counter()
        for id_ in class_ids(ROOT):
            load_class(ROOT, id_).as_of(TODAY)
        best = min(best, time.perf_counter() - start)
    assert best < 0.5  # a tenth of a second when the machine is free


def test_import_is_light() -> None:
    code = (
        "import sys, forecast.calibrate.reference;"
        "print([m for m in ('pandas', 'pymc', 'arviz', 'xarray', 'numba', 'pytensor') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_treaty_withdrawal_to_2011_is_what_was_published() -> None:
    """Years and exits of each side by form, counted independently of these case rows."""
    table = load_class(ROOT, "treaty_withdrawal").as_of(date(2012, 1, 1)).table
    published = {
        ("Russia", "political"): (287.88, 1),
        ("Russia", "treaty"): (467.97, 1),
        ("Russia", "unratified"): (39.72, 1),
        ("US", "political"): (287.88, 0),
        ("US", "treaty"): (472.02, 1),
        ("US", "unratified"): (39.72, 1),
    }
    for (side, form), (years, exits) in published.items():
        assert _sum(table, "exposure", side=side, form=form) == pytest.approx(years, abs=0.01)
        assert _sum(table, "exit", side=side, form=form) == exits


def test_treaty_withdrawal_shows_that_rates_have_shifted() -> None:
    table = load_class(ROOT, "treaty_withdrawal").as_of(TODAY).table
    assert _sum(table, "exit", period="before 2002") == 1
    assert _sum(table, "exit", period="2002-2011") == 4
    assert _sum(table, "exit", period="2012 on") == 10
    years = {p: _sum(table, "exposure", period=p) for p in ("before 2002", "2002-2011", "2012 on")}
    assert years["2002-2011"] + years["2012 on"] == pytest.approx(1119.23, abs=0.01)
    assert years["before 2002"] == pytest.approx(1047.07, abs=0.01)
    assert _sum(table, "exit", side="US", other_side="in") == 4
    assert _sum(table, "exit", side="US", other_side="left") == 1  # the CFE Treaty in 2023


def test_commitments_to_2011_are_what_was_published() -> None:
    with (ROOT / "commitment_fulfilment" / "promises.csv").open(encoding="utf-8", newline="") as handle:
        rows = [r for r in csv.DictReader(handle) if r["deadline"] < "2012"]
    published = {
        ("Russia", "where", "disputed_post_soviet_land"): (4, 0, 4),
        ("Russia", "where", "elsewhere"): (16, 4, 0),
        ("Russia", "watched", "watched"): (19, 2, 1),
        ("Russia", "watched", "not_watched"): (1, 2, 3),
        ("Russia", "binding", "binding"): (14, 2, 1),
        ("Russia", "leader_changed", "1"): (5, 4, 2),
        ("US", "where", "elsewhere"): (8, 1, 1),
        ("US", "watched", "watched"): (6, 1, 0),
        ("US", "binding", "binding"): (6, 1, 0),
        ("US", "leader_changed", "0"): (5, 0, 0),
    }
    for (by, column, level), counts in published.items():
        mine = [r for r in rows if r["by"] == by and r[column] == level]
        assert tuple(sum(int(r[o]) for r in mine) for o in ("on_time", "late", "not_fulfilled")) == counts


@pytest.mark.parametrize(
    ("id_", "number", "where", "expected"),
    [
        ("us_party_change", "trials", {"era": "1948 on"}, 20),
        ("us_party_change", "successes", {"era": "1948 on", "incumbent_runs": "0"}, 7),
        ("us_midterm_succession", "left", {"period": "1865-1945"}, 4),
        ("us_midterm_succession", "left", {}, 9),
        ("agreement_breakdown", "breakdown", {"conflict_type": "interstate"}, 1),
        ("ceasefire_failure", "failure", {}, 78),
        ("verification_refused", "event", {"who": "others"}, 6),
        ("negotiation_success", "formal_agreement", {"mediation": "took_place"}, 66),
        ("alliance_termination", "exposure", {"change": "coalition_change"}, 2471),
        ("commitment_fulfilment", "not_fulfilled", {"where": "disputed_post_soviet_land"}, 7),
    ],
)
def test_counts(id_: str, number: str, where: dict[str, str], expected: float) -> None:
    assert _sum(load_class(ROOT, id_).as_of(TODAY).table, number, **where) == pytest.approx(expected)


def test_presidents_leave_no_gap() -> None:
    """There is always one president: time at risk is the time since 1789."""
    exposure = load_class(ROOT, "us_midterm_succession").as_of(date(2020, 1, 1)).table.numbers["exposure"]
    assert exposure.sum() == pytest.approx((date(2020, 1, 1) - date(1789, 4, 30)).days / 365.25)


def test_year_in_which_no_event_can_fall_is_no_time_at_risk() -> None:
    used = load_class(ROOT, "fighting_resumes").as_of(TODAY)
    assert used.age_labels == ("0-2", "2-5", "5-10", "10+")
    assert used.age_edges is not None
    assert used.age_edges.tolist() == [0, 2, 5, 10, np.inf]
    assert used.table.age is not None
    first = used.table.numbers["exposure"][used.table.age == 0].sum()
    assert 700 < first < 850  # one year a spell, not two


def test_shares_take_the_latest_window_known() -> None:
    used = load_class(ROOT, "arms_shares")
    windows = {
        date(2025, 3, 15): "2019-2023",
        date(2022, 6, 1): "2017-2021",
        date(2012, 1, 1): "2007-2011",
        date(2011, 12, 30): "2002-2006",
    }
    for day, window in windows.items():
        cut = used.as_of(day)
        assert cut.table.columns["window"][cut.table.columns["recipient"].index("India")] == window
    now = used.as_of(TODAY).table
    india = now.columns["recipient"].index("India")
    total = sum(v[india] for v in now.numbers.values())
    assert total == pytest.approx(12)
    assert now.numbers["Russia"][india] / total == pytest.approx(0.36, abs=0.01)
    assert {"India", "Algeria", "Egypt"} <= set(used.covariates["recipient"])


# ---- nothing later than the as-of date ---------------------------------------------------------------

WORDS = """
id = "made"
title = "Made for a test"
question = "How often?"
citation = ["A book of 2001"]
licence = "none needed"
derived_by = "made up"
"""
RATES = f"""{WORDS}
kind = "rates"
unit = "per year"
[table]
file = "made.csv"
key = ["group", "age"]
[covariates]
group = ["north", "south"]
[columns]
events = {{ war = "wars" }}
exposure = "years"
age = {{ column = "age", bins = ["0-1", "1+"] }}
[prior]
why = "a guess"
centre = {{ war = 0.1 }}
sd = 1.0
"""
RATES_ROWS = """group,age,wars,years,known_on
north,0-1,2,10.5,2001-01-01
north,1+,0,30,2001-01-01
south,0-1,1,4,2005-01-01
"""
CASES = f"""{WORDS}
kind = "survival"
unit = "years"
[table]
file = "made.csv"
key = ["name"]
[covariates]
side = ["a", "b"]
[columns]
start = "start"
entry = "entry"
event = "left"
followed_to = "followed_to"
family = "weibull"
[prior]
why = "a guess"
centre = 10.0
sd = 1.0
"""
CASES_ROWS = """name,side,start,entry,left,followed_to,known_on
one,a,2000-01-01,,2004-01-01,2004-01-01,2000-01-01
two,b,2001-01-01,2002-01-01,,2010-01-01,2002-01-01
three,a,2008-01-01,,2008-01-01,2008-01-01,2008-01-01
"""
PIECES = CASES.replace('"weibull"', '"piecewise"\nedges = [0.0, 1.0, 5.0]').replace("centre = 10.0", "centre = 0.1")


def _made(folder: Path, toml: str, rows: str) -> ReferenceClass:
    (folder / "made").mkdir(exist_ok=True)
    (folder / "made" / "class.toml").write_text(toml, encoding="utf-8")
    (folder / "made" / "made.csv").write_text(rows, encoding="utf-8")
    return load_class(folder, "made")


def _same(a: ReferenceClass, b: ReferenceClass) -> bool:
    return (
        a.content == b.content
        and a.covariates == b.covariates
        and a.table.columns == b.table.columns
        and all(np.array_equal(v, b.table.numbers[k]) for k, v in a.table.numbers.items())
        and np.array_equal(np.asarray(a.table.age), np.asarray(b.table.age))
    )


@pytest.mark.parametrize(
    ("toml", "rows", "later"),
    [
        (RATES, RATES_ROWS, "south,1+,9,1,2006-01-02\n"),
        (CASES, CASES_ROWS, "four,b,2006-01-02,,2007-01-01,2007-01-01,2006-01-02\n"),
        (PIECES, CASES_ROWS, "four,b,2006-01-02,,2007-01-01,2007-01-01,2006-01-02\n"),
        # found only later, though it began before
        (CASES, CASES_ROWS, "four,b,1999-01-01,,2001-01-01,2001-01-01,2006-01-02\n"),
    ],
)
def test_record_known_later_changes_nothing(tmp_path: Path, toml: str, rows: str, later: str) -> None:
    day = date(2006, 1, 1)
    plain, planted = _made(tmp_path, toml, rows).as_of(day), _made(tmp_path, toml, rows + later)
    assert _same(plain, planted.as_of(day))
    assert not _same(plain, planted.as_of(date(2006, 1, 2)))


def test_case_is_cut_exactly(tmp_path: Path) -> None:
    used = _made(tmp_path, CASES, CASES_ROWS)
    cut = used.as_of(date(2003, 12, 31)).table.numbers
    assert cut["event"].tolist() == [0, 0]  # the first left a day later
    assert cut["exit"] == pytest.approx([1460 / 365.25, 1094 / 365.25])
    assert cut["entry"] == pytest.approx([0, 1.0], abs=0.001)
    on_the_day = used.as_of(date(2004, 1, 1)).table.numbers
    assert on_the_day["event"].tolist() == [1, 0]
    assert used.as_of(date(2008, 1, 1)).table.numbers["exit"][2] == pytest.approx(1 / 365.25)  # a day, not none


def test_event_that_came_later_changes_nothing(tmp_path: Path) -> None:
    day = date(2003, 1, 1)
    never = CASES_ROWS.replace("2000-01-01,,2004-01-01,2004-01-01", "2000-01-01,,,2010-01-01")
    assert _same(_made(tmp_path, CASES, CASES_ROWS).as_of(day), _made(tmp_path, CASES, never).as_of(day))


def test_cutting_twice_is_cutting_at_the_earlier(tmp_path: Path) -> None:
    used = _made(tmp_path, CASES, CASES_ROWS)
    early, late = date(2003, 1, 1), date(2009, 1, 1)
    for a, b in ((early, late), (late, early)):
        assert _same(used.as_of(a).as_of(b), used.as_of(early))
        assert used.as_of(a).as_of(b).cut == early


def test_nothing_known_is_said(tmp_path: Path) -> None:
    used = _made(tmp_path, RATES, RATES_ROWS)
    with pytest.raises(
        ReferenceClassError, match=r"made\.csv: nothing was known on 2000-12-31 \(the first row on 2001"
    ):
        used.as_of(date(2000, 12, 31))


def test_piecewise_spreads_time_and_events_over_the_bins(tmp_path: Path) -> None:
    used = _made(tmp_path, PIECES, CASES_ROWS)
    table, year = used.table, 365.25
    assert used.kind == "rates"
    assert (used.events, used.age_labels) == (("left",), ("0-1", "1-5", "5+"))
    assert table.age is not None
    days = {
        (s, int(a)): x * year
        for s, a, x in zip(table.columns["side"], table.age, table.numbers["exposure"], strict=True)
    }
    assert table.numbers["exposure"].sum() * year == pytest.approx(1461 + 2922 + 1)
    assert days["b", 2] == pytest.approx(3287 - 5 * year)  # the second was watched from its first year on
    assert _sum(table, "left", side="b") == 0
    assert [_sum(table, "left"), table.numbers["left"][table.age == 1].sum()] == [2, 1]


def test_event_at_the_edge_of_a_bin_ends_the_bin_before(tmp_path: Path) -> None:
    """1,461 days are four years sharp: the time at risk lies in the first bin, and so must the event."""
    table = _made(tmp_path, PIECES.replace("1.0, 5.0", "4.0"), CASES_ROWS).table
    assert table.age is not None
    assert table.numbers["left"][table.age == 0].sum() == 2


def test_case_that_is_to_begin_later_is_left_out(tmp_path: Path) -> None:
    """Agreed and known, but not in force yet: nothing to observe."""
    day = date(2006, 1, 1)
    planned = CASES_ROWS + "four,b,2006-01-02,,2007-01-01,2007-01-01,2005-01-01\n"
    assert _same(_made(tmp_path, CASES, CASES_ROWS).as_of(day), _made(tmp_path, CASES, planned).as_of(day))


def test_content_is_what_a_fit_can_see(tmp_path: Path) -> None:
    used = _made(tmp_path, RATES, RATES_ROWS)
    assert _made(tmp_path, RATES.replace("Made for", "Named for"), RATES_ROWS).content == used.content
    for toml, rows in [
        (RATES, RATES_ROWS.replace("10.5", "10.6")),
        (RATES, RATES_ROWS.replace("north,0-1,2", "north,0-1,3")),
        (RATES.replace("sd = 1.0", "sd = 1.1"), RATES_ROWS),
        (RATES.replace('"north"', '"east", "north"'), RATES_ROWS),
    ]:
        assert _made(tmp_path, toml, rows).digest() != used.digest()


# ---- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("toml", "old", "new", "message"),
    [
        (RATES, "north,0-1,2,", "north,0-1,-2,", r"made\.csv: row 2: wars = '-2' must be a number, finite and not neg"),
        (RATES, "north,0-1,2,", "north,0-1,2.5,", r"row 2: wars = 2\.5 must be a whole number"),
        (RATES, "10.5", "inf", r"row 2: years = 'inf' must be a number, finite"),
        (RATES, "10.5", "ten", r"row 2: years = 'ten' must be a number"),
        (RATES, "10.5", "", r"row 2: years = '' must be a number"),
        (RATES, "10.5", "0", r"row 2: wars = 2 events without exposure \(years = 0\)"),
        (RATES, "south,", "soth,", r"row 4: group = 'soth' is not a level .*did you mean 'south'\?"),
        (RATES, "north,1+", "north,0-1", r"row 3: same group, age as row 2: north, 0-1; merge"),
        (RATES, "2005-01-01", "1 May 2005", r"row 4: known_on = '1 May 2005' must be a date"),
        (RATES, "2005-01-01", "", r"row 4: known_on = '' must be a date"),
        (RATES, "known_on\n", "known\n", r"no column 'known_on'; did you mean 'known'\?"),
        (RATES, "age,wars", "wars,wars", r"a column is named twice"),
        (RATES, "30,2001-01-01", "30", r"row 3: more or fewer fields"),
        (RATES, RATES_ROWS.partition("\n")[2], "", r"made\.csv: the table is empty"),
        (CASES, "2002-01-01,,2010", "2002-01-01,2011-01-01,2010", r"row 3: left = 2011-01-01 must lie between start"),
        (CASES, "2001-01-01,2002-01-01,,2010", "2001-01-01,,,1999", r"row 3: followed_to = 1999-01-01 is before start"),
        (CASES, "2001-01-01,2002-01-01", "2001-01-01,2000-01-01", r"row 3: entry = 2000-01-01 must lie between"),
        (CASES, "2001-01-01,2002-01-01", "2001-01-01,2010-01-02", r"row 3: entry = 2010-01-02 must lie between"),
    ],
)
def test_bad_table_is_refused(tmp_path: Path, toml: str, old: str, new: str, message: str) -> None:
    rows = RATES_ROWS if toml is RATES else CASES_ROWS
    assert old in rows
    with pytest.raises(ReferenceClassError, match=message):
        _made(tmp_path, toml, rows.replace(old, new, 1))


BINOMIAL = RATES.replace('"rates"', '"binomial"').replace('events = { war = "wars" }', 'successes = "wars"')
BINOMIAL = BINOMIAL.replace('exposure = "years"\nage = { column = "age", bins = ["0-1", "1+"] }', 'trials = "years"')
BINOMIAL = BINOMIAL.replace("centre = { war = 0.1 }", "centre = 0.1").replace("per year", "probability")


def test_more_successes_than_trials_is_refused(tmp_path: Path) -> None:
    good = RATES_ROWS.replace("10.5", "10")
    assert _made(tmp_path, BINOMIAL, good).table.numbers["trials"].tolist() == [10, 30, 4]
    with pytest.raises(ReferenceClassError, match=r"row 2: wars = 11 is more than years = 10"):
        _made(tmp_path, BINOMIAL, good.replace("north,0-1,2", "north,0-1,11"))


def test_all_problems_are_told_at_once_one_a_line(tmp_path: Path) -> None:
    rows = RATES_ROWS.replace("north,0-1,2", "nort,0-1,-2").replace("south,0-1,1,4", "south,0-2,1,0")
    with pytest.raises(ReferenceClassError) as caught:
        _made(tmp_path, RATES, rows)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert all(line.startswith(str(tmp_path / "made" / "made.csv")) for line in lines)


def test_problems_without_end_are_cut_short(tmp_path: Path) -> None:
    bad = "".join(f"west,0-1,{n},1,2001-01-01\n" for n in range(400))
    with pytest.raises(ReferenceClassError, match=r"and \d+ more$") as caught:
        _made(tmp_path, RATES, RATES_ROWS + bad)
    assert len(str(caught.value).splitlines()) == 51


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('licence = "none needed"\n', "", r"class\.toml: licence: Field required"),
        ('why = "a guess"\n', "", r"prior\.why: Field required"),
        ("sd = 1.0", "sd = 1.0\nspread = 2", r"prior\.spread: Extra inputs are not permitted"),
        ("sd = 1.0", "sd = 0", r"prior\.sd: Input should be greater than 0"),
        ('"1+"]', '"2+"]', r"age bin '2\+': bins run on from 0"),
        ('"made.csv"', '"../made.csv"', r"table\.file: String should match pattern"),
        ('id = "made"', 'id = "other"', r"id is 'other'; it must be the name of its folder, 'made'"),
        ("war = 0.1", "peace = 0.1", r"prior\.centre must name what columns\.events names: war \(got peace\)"),
        ('["north", "south"]', '["north", "north"]', r"covariates\.group: a level is named twice"),
        ('kind = "rates"', "kind = rates", r"not a TOML file"),
        ('unit = "per year"', 'unit = "per month"', r"unit is 'per month'; .* is in 'per year'"),
    ],
)
def test_bad_class_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in RATES
    with pytest.raises(ReferenceClassError, match=message):
        _made(tmp_path, RATES.replace(old, new, 1), RATES_ROWS)


def test_unknown_class_has_a_hint() -> None:
    with pytest.raises(ReferenceClassError, match=r"no reference class 'treaty_withdrawl'.*did you mean 'treaty_with"):
        load_class(ROOT, "treaty_withdrawl")


def test_table_that_is_missing_or_no_text(tmp_path: Path) -> None:
    _made(tmp_path, RATES, RATES_ROWS)
    (tmp_path / "made" / "made.csv").write_bytes(b"group\xff\n")
    with pytest.raises(ReferenceClassError, match="not a comma-separated table in UTF-8"):
        load_class(tmp_path, "made")
    (tmp_path / "made" / "made.csv").unlink()
    with pytest.raises(ReferenceClassError, match=r"no such file; class\.toml names it"):
        load_class(tmp_path, "made")


# ---- what a deal may ask for -----------------------------------------------------------------------------


def _ask(unit: str, class_: str, **more: object) -> list[str]:
    reference = {"class": class_, "transfer_sd": 0.3} | more
    parameter = Parameter.model_validate(
        {"id": "p", "label": "P", "unit": unit, "reference": reference, "rationale": "because"}
    )
    classes = {id_: load_class(ROOT, id_) for id_ in ("treaty_withdrawal", "leader_exit", "us_party_change")}
    classes |= {id_: load_class(ROOT, id_) for id_ in ("commitment_fulfilment", "arms_shares", "verification_refused")}
    return check_parameters({"p": parameter}, (), classes, TODAY)


BY = {"covariate": "by", "base": "Russia", "to": "US"}


@pytest.mark.parametrize(
    ("unit", "class_", "more"),
    [
        ("per year", "treaty_withdrawal", {"where": {"side": "US", "period": "2012 on"}}),
        ("per year", "treaty_withdrawal", {"event": "exit"}),
        ("per year", "leader_exit", {"event": "irregular", "where": {"regime": "personalist"}}),
        ("probability", "us_party_change", {"where": {"incumbent_runs": "0"}}),
        ("logit", "us_party_change", {"link": True}),
        ("log ratio", "us_party_change", {"contrast": {"covariate": "incumbent_runs", "base": "0", "to": "1"}}),
        ("probability", "commitment_fulfilment", {"category": "on_time"}),
        ("logit", "commitment_fulfilment", {"category": "late", "link": True}),
        ("probability", "commitment_fulfilment", {}),
        ("log ratio", "commitment_fulfilment", {"category": "late", "contrast": BY}),
        ("share", "arms_shares", {"where": {"recipient": "India"}, "exclude": ["Russia"]}),
        ("years", "verification_refused", {"where": {"who": "Russia"}}),
    ],
)
def test_what_a_class_can_give_is_given(unit: str, class_: str, more: dict[str, object]) -> None:
    assert _ask(unit, class_, **more) == []


@pytest.mark.parametrize(
    ("unit", "class_", "more", "message"),
    [
        (
            "per year",
            "treaty_withdrawl",
            {},
            "no reference class 'treaty_withdrawl'; did you mean 'treaty_withdrawal'?",
        ),
        ("per year", "treaty_withdrawal", {"where": {"sides": "US"}}, "no covariate 'sides'; did you mean 'side'?"),
        ("per year", "treaty_withdrawal", {"where": {"side": "Rusia"}}, "no level 'Rusia'; did you mean 'Russia'?"),
        ("per year", "leader_exit", {}, "say which: regular, irregular, death_or_health"),
        ("per year", "leader_exit", {"event": "iregular"}, "did you mean 'irregular'?"),
        ("probability", "us_party_change", {"event": "exit"}, "has no event 'exit'"),
        ("probability", "commitment_fulfilment", {"category": "ontime"}, "did you mean 'on_time'?"),
        ("logit", "commitment_fulfilment", {"link": True}, "log-odds need one, against 'on_time'"),
        ("logit", "commitment_fulfilment", {"category": "on_time", "link": True}, "taken against 'on_time' itself"),
        ("log ratio", "commitment_fulfilment", {"contrast": BY}, "log-odds need one"),
        ("share", "arms_shares", {"exclude": ["Rusia"]}, "no entry 'Rusia'; did you mean 'Russia'?"),
        ("share", "arms_shares", {"link": True}, "do not go with shares"),
        ("probability", "us_party_change", {"exclude": ["x"]}, "only shares have entries to leave out"),
        ("years", "verification_refused", {"link": True}, "no single number on the link scale"),
        ("probability", "treaty_withdrawal", {}, "is 'per year' (unit says 'probability')"),
        ("per year", "us_party_change", {}, "is 'probability' (unit says 'per year')"),
        ("log ratio", "us_party_change", {"contrast": BY}, "has no covariate 'by'"),
        (
            "log ratio",
            "us_party_change",
            {"contrast": {"covariate": "era", "base": "1948 on", "to": "1948 on"}},
            "a contrast needs two levels",
        ),
    ],
)
def test_what_a_class_cannot_give_is_told(unit: str, class_: str, more: dict[str, object], message: str) -> None:
    problems = _ask(unit, class_, **more)
    assert any(message in p for p in problems), problems
    assert all(p.startswith("parameters.p.reference.") and "\n" not in p for p in problems)


def test_class_of_which_nothing_was_known_is_told() -> None:
    parameter = Parameter.model_validate(
        {
            "id": "p",
            "label": "P",
            "unit": "per year",
            "reference": {"class": "agreement_breakdown", "transfer_sd": 0.3},
            "rationale": "because",
        }
    )
    classes = {"agreement_breakdown": load_class(ROOT, "agreement_breakdown")}
    (problem,) = check_parameters({"p": parameter}, (), classes, date(2011, 12, 31))
    assert "nothing was known on 2011-12-31" in problem


def _answer(question: str, day: date) -> ExpertRow:
    return ExpertRow(
        question=question,
        expert="A",
        date=day,
        asked="How likely is it?",
        scale="probability",
        unit="probability",
        p05=0.1,
        p50=0.2,
        p95=0.4,
        why="It has been so.",
    )


def test_question_nobody_answered_in_time_is_told() -> None:
    parameter = Parameter(id="p", label="P", unit="probability", experts="holds")
    in_time, later = _answer("holds", date(2025, 3, 1)), _answer("holds", date(2025, 4, 1))
    assert check_parameters({"p": parameter}, (in_time, later), {}, TODAY) == []  # a later one is left out
    (problem,) = check_parameters({"p": parameter}, (later,), {}, TODAY)
    assert "nobody had answered 'holds' by 2025-03-15 (first on 2025-04-01)" in problem
    (problem,) = check_parameters({"p": parameter}, (_answer("hold", TODAY),), {}, TODAY)
    assert problem == "parameters.p.experts: no question 'holds'; did you mean 'hold'?"
