"""Every mistake in a deal file is one clear line: file, key, value and what would be right."""

from pathlib import Path

import pytest

from forecast.deal.loader import load_deal
from forecast.errors import DealFileError

TEACHING = Path("priors/teaching")


def write(folder: Path, *changes: tuple[str, str], extra: str = "") -> Path:
    """Copy the teaching deal with some text replaced; each text must be there."""
    text = (TEACHING / "deal.toml").read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    deal = folder / "broken"
    deal.mkdir()
    (deal / "deal.toml").write_text(text + extra, encoding="utf-8")
    (deal / "experts.csv").write_bytes((TEACHING / "experts.csv").read_bytes())
    return deal


MISTAKES = {
    "unknown key": (
        [('deadline = "12 months"', 'dedline = "12 months"\ndeadline = "12 months"')],
        r"clauses\.troops_leave\.dedline: unknown key; did you mean 'deadline'\?",
    ),
    "missing key": ([('grace = "6 months"\n', "")], r"clauses\.troops_leave\.grace: is required, but missing"),
    "wrong type": (
        [('horizon = "5 years"', "horizon = true")],
        r"deal\.horizon: a duration is written like .*\(got True\)",
    ),
    "missing unit": (
        [('deadline = "12 months"', "deadline = 12")],
        r"troops_leave\.deadline: a duration is written like",
    ),
    "not a number": ([("mu = 0.7", "mu = nan")], r"distribution\.mu: must be a finite number \(got nan\)"),
    "infinite": (
        [("constant = 1.0", "constant = inf")],
        r"parameters\.noise\.constant: must be a finite number \(got inf\)",
    ),
    "negative rate": (
        [('distribution = { family = "lognormal", mu = -1.6, sigma = 0.5 }', "constant = -0.2")],
        r"parameters\.talks_collapse\.constant: a rate cannot be negative \(got -0\.2\)",
    ),
    "negative sigma": ([("mu = 0.7, sigma = 0.3", "mu = 0.7, sigma = -0.3")], r"sigma: .*greater than 0 \(got -0\.3\)"),
    "probability of 1.2": (
        [('distribution = { family = "beta", alpha = 2.0, beta = 2.0 }', "constant = 1.2")],
        r"default_ends_deal\.constant: a probability must lie strictly between 0 and 1 \(got 1\.2\)",
    ),
    "two origins": (
        [("constant = 1.0", 'constant = 1.0\nexperts = "power_changes"')],
        r"parameters\.noise: give one of reference, references, experts, distribution, constant, or a class and experts",
    ),
    "no source": ([('source = "sets the unit of utility"\n', "")], r"parameters\.noise: a constant needs a source"),
    "unit that does not fit": (
        [('collapse = "talks_collapse"', 'collapse = "power_changes"')],
        r"negotiation\.collapse: needs a parameter with unit 'per year', but 'power_changes' has unit 'probability'",
    ),
    "unknown parameter": (
        [('noise = "noise"', 'noise = "noize"')],
        r"parties\.north\.noise: no parameter 'noize'; did you mean 'noise'\?",
    ),
    "unused parameter": (
        [('log_ratio = "default_raises_shooting"', 'log_ratio = "spare"')],
        r"parameters\.default_raises_shooting: nothing uses it",
    ),
    "unknown question": (
        [('experts = "power_changes"', 'experts = "power_change"')],
        r"did you mean 'power_changes'\?",
    ),
    "unknown party": (
        [('obliged = ["south"]', 'obliged = ["sooth"]')],
        r"obliged: no party 'sooth'; did you mean 'south'\?",
    ),
    "unknown clause": (
        [('values = { troops_leave = "north', 'values = { troops_live = "north')],
        r"values\.troops_live: no clause or promise 'troops_live'; did you mean 'troops_leave'\?",
    ),
    "unknown flag": (
        [('when = "troops_leave_defaulted"', 'when = "troops_leave_default"')],
        r"cascades\.0\.when: no such name 'troops_leave_default'; did you mean 'troops_leave_defaulted'\?",
    ),
    "date before the as-of date": (
        [("first = 2025-03-01", "first = 2024-03-01")],
        r"negotiation\.first: 2024-03-01 is before the as-of date 2025-01-01",
    ),
    "date after the horizon": (
        [("date = 2029-12-31", "date = 2039-12-31")],
        r"2039-12-31 is after the horizon 2030-01-01",
    ),
    "duplicate name": (
        [("[breakdowns.shooting]", "[breakdowns.troops_leave]"), ('on = ["shooting"]', 'on = ["troops_leave"]')],
        r"breakdowns\.troops_leave: 'troops_leave' is also the name of one of clauses",
    ),
    "bad name": ([("[parties.north]", '[parties."North East"]')], r"'North East' is not a name"),
    "headline of nothing": ([('state = "signed"\n', "")], r"headline\.0: give exactly one of state, outcome and cause"),
    "a switch in quotes": (
        [('name = "North"', 'name = "North"\nsigns = "no"')],
        r"parties\.north\.signs: must be true or false, without quotes \(got 'no'\)",
    ),
    "a date in quotes": (
        [("as_of = 2025-01-01", 'as_of = "2025-01-01"')],
        r"deal\.as_of: must be a date without quotes",
    ),
    "a number in quotes": (
        [("constant = 1.0", 'constant = "1.0"')],
        r"noise\.constant: must be a number, without quotes",
    ),
    "a number for a parameter": (
        [('collapse = "talks_collapse"', "collapse = 0.2")],
        r"negotiation\.collapse: must be a text in quotes \(got 0\.2\); numbers are declared under \[parameters\]",
    ),
    "a text for a list": (
        [('obliged = ["south"]', 'obliged = "south"')],
        r"obliged: must be a list, in \[ \] \(got 'south'\)",
    ),
    "an empty list": ([('obliged = ["south"]', "obliged = []")], r"troops_leave\.obliged: must not be empty"),
    "a year too far": ([("as_of = 2025-01-01", "as_of = 9999-12-31")], r"deal\.as_of: "),
    "a duration too long": (
        [('every = "3 months"', 'every = "999999 years"')],
        r"negotiation\.every: a duration may be from 1 day to",
    ),
    "a duration too short": (
        [('every = "3 months"', 'every = "0.000001 days"')],
        r"negotiation\.every: a duration may be from 1 day",
    ),
    "a control character": (
        [('title = "The bridge', 'title = "\\u001b[31mThe bridge')],
        r"deal\.title: contains a control character",
    ),
    "noise below zero": (
        [("constant = 1.0", "constant = -1.0")],
        r"parameters\.noise: the noise of decisions must be more than 0",
    ),
    "support beyond a probability": (
        [('family = "beta", alpha = 2.0, beta = 2.0', 'family = "uniform", lower = -1.0, upper = 2.0')],
        r"default_ends_deal\.distribution: a probability takes a beta, or a uniform between 0 and 1",
    ),
    "one cause, two labels": (
        [('cause = "bridge_default"', 'cause = "shooting"')],
        r"breakdowns\.shooting: cause 'shooting' is also that of clauses\.troops_leave, with another label",
    ),
    "votes out of order": (
        [("votes = [{", 'votes = [{ date = 2027-05-01, takes_office = 2027-06-15, change = "power_changes" }, {')],
        r"votes\.1\.date: 2027-06-01 is not after the one before took office",
    ),
    "a past in a deal not signed": (
        [('grace = "6 months"', 'grace = "6 months"\nso_far = "late"')],
        r"clauses\.troops_leave\.so_far: only a deal in force",
    ),
    "no such kind": (
        [('kind = "delivery"', 'kind = "delivry"')],
        r'clauses\.troops_leave: must have kind = "delivery" or kind = "standing" \(got .delivry.\)',
    ),
}


@pytest.mark.parametrize(("changes", "expected"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_clear_line(tmp_path, changes, expected):
    deal = write(tmp_path, *changes)
    with pytest.raises(DealFileError, match=expected) as caught:
        load_deal(deal)
    assert all(line.startswith(f"{deal}/") for line in str(caught.value).splitlines())


def test_all_problems_of_a_file_come_at_once(tmp_path):
    deal = write(tmp_path, ("constant = 1.0", "constant = inf"), ('horizon = "5 years"', 'horizon = "5"'))
    with pytest.raises(DealFileError) as caught:
        load_deal(deal)
    assert len(str(caught.value).splitlines()) == 2


def test_deadlines_in_a_circle_are_named(tmp_path):
    second = (
        '\n[clauses.bridge_opens]\nkind = "delivery"\ntitle = "The bridge opens"\nobliged = ["north"]\nfacts = "-"\n'
        'source = "invented"\ndeadline = "3 months"\nafter = "troops_leave"\ngrace = "3 months"\n'
        'default = "troops_default"\nlate = "troops_late"\ncause = "closed"\ncause_label = "The bridge stays closed"\n'
        'response = { after = "3 months", ends_deal = "default_ends_deal" }\n'
    )
    deal = write(tmp_path, ('deadline = "12 months"', 'deadline = "12 months"\nafter = "bridge_opens"'), extra=second)
    with pytest.raises(DealFileError, match="deadlines in a circle: troops_leave → bridge_opens → troops_leave"):
        load_deal(deal)


def test_more_than_64_flags_are_refused(tmp_path):
    extra = "\n[primitives]\nflags = [" + ", ".join(f'{{ id = "f{n}", label = "f" }}' for n in range(56)) + "]\n"
    deal = write(tmp_path, extra=extra)
    with pytest.raises(DealFileError, match="65 flags, but a process may have 64"):
        load_deal(deal)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[deal\n", "not valid TOML"),
        ("", "deal: is required, but missing"),
        ("[deal]\nid = 1\nid = 2\n", "not valid TOML: Cannot overwrite"),
    ],
)
def test_a_file_that_is_no_deal(tmp_path, text, expected):
    (tmp_path / "deal.toml").write_text(text)
    with pytest.raises(DealFileError, match=expected):
        load_deal(tmp_path)


def test_a_missing_deal_names_its_neighbours(tmp_path):
    write(tmp_path)
    with pytest.raises(DealFileError, match="no such deal file; deals here: broken"):
        load_deal(tmp_path / "ukrain")


def test_a_huge_or_binary_file_is_refused(tmp_path):
    (tmp_path / "deal.toml").write_bytes(b"#" * 4_000_001)
    with pytest.raises(DealFileError, match="4,000,001 bytes; 4,000,000 are read at most"):
        load_deal(tmp_path)
    (tmp_path / "deal.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(DealFileError, match="not UTF-8"):
        load_deal(tmp_path)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("0.48,0.30,0.65", r"line 2: .*p05 < p50 < p95 must hold"),
        ("0.30,0.48,1.2", r"line 2: .*strictly between 0 and 1"),
        ("0.30,nan,0.65", r"line 2: p50: must be a finite number"),
    ],
)
def test_a_bad_row_of_the_experts_is_named(tmp_path, row, expected):
    deal = write(tmp_path)
    file = deal / "experts.csv"
    file.write_text(file.read_text().replace("0.30,0.48,0.65", row, 1))
    with pytest.raises(DealFileError, match=expected):
        load_deal(deal)


def test_an_expert_answers_once(tmp_path):
    deal = write(tmp_path)
    file = deal / "experts.csv"
    file.write_text(file.read_text().replace("Example expert B", "Example expert A"))
    with pytest.raises(DealFileError, match="answers 'power_changes' twice"):
        load_deal(deal)


def test_an_override_of_nothing_names_the_closest(tmp_path):
    with pytest.raises(DealFileError, match=r"clauses\.troop_leave\.binding: .*did you mean 'troops_leave'"):
        load_deal(TEACHING, {"clauses.troop_leave.binding": False})


def test_a_passed_deadline_must_say_what_came_of_it(tmp_path):
    text = (TEACHING / "deal.toml").read_text(encoding="utf-8")
    start = text.index("[negotiation]")
    text = text[:start] + text[text.index("[clauses.troops_leave]") :]
    text = text.replace('horizon = "5 years"', 'horizon = "5 years"\nsigned_on = 2023-06-01')
    (tmp_path / "deal.toml").write_text(text, encoding="utf-8")
    (tmp_path / "experts.csv").write_bytes((TEACHING / "experts.csv").read_bytes())
    with pytest.raises(DealFileError, match=r"troops_leave\.deadline: has passed by 2025-01-01; say what came of it"):
        load_deal(tmp_path)


def test_what_is_no_ordinary_file_is_refused(tmp_path):
    (tmp_path / "deal.toml").mkdir()
    with pytest.raises(DealFileError, match="is not an ordinary file"):
        load_deal(tmp_path)
    deal = write(tmp_path)
    (deal / "experts.csv").unlink()
    (deal / "experts.csv").mkdir()
    with pytest.raises(DealFileError, match=r"experts\.csv: is not an ordinary file"):
        load_deal(deal)


def test_a_byte_order_mark_is_no_mistake(tmp_path):
    deal = write(tmp_path)
    for name in ("deal.toml", "experts.csv"):
        (deal / name).write_bytes(b"\xef\xbb\xbf" + (deal / name).read_bytes())
    assert load_deal(deal).id == "teaching"


def test_a_nested_monster_is_one_line(tmp_path):
    (tmp_path / "deal.toml").write_text("a = " + "[" * 20_000)
    with pytest.raises(DealFileError, match=r"nested too deeply|not valid TOML"):
        load_deal(tmp_path)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ('hazard = "shooting"', 'hazard = "shooting[99]"'),
            r"breakdowns\.shooting\.hazard: 'shooting' has no entry '99'",
        ),
        (
            (
                'withdraws_opposed = "opponent_withdraws"',
                'withdraws_opposed = "opponent_withdraws"\nwithdraws = "shooting[x]"',
            ),
            r"elections\.north_parliament\.withdraws: 'shooting' has no entry 'x'",
        ),
        (("transfer_sd = 0.5 }", 'transfer_sd = 0.5, event = "brawl" }'), r"brawl"),
        (('conflict_type = "interstate"', 'conflict_typ = "interstate"'), r"conflict_typ"),
        (('class = "agreement_breakdown"', 'class = "agreement_breakdwn"'), r"agreement_breakdown"),
    ],
)
def test_what_a_class_cannot_give_is_refused_before_a_fit(tmp_path, change, expected):
    from forecast.errors import ForecastError
    from forecast.inputs import load

    deal = write(tmp_path, change)
    (tmp_path / "reference").symlink_to(Path("priors/reference").resolve())
    with pytest.raises(ForecastError, match=expected):
        load(deal)
