"""The likelihood of a history against expressions written out by hand, and the histories that it refuses.

The expressions are PyTensor's, as the calibration's are: one term after the other from the words of
docs/model.md, with every interval cut by hand. Nothing of the kernels enters them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from forecast.deal.spec import Process
from forecast.errors import ForecastError
from forecast.likelihood import History, log_likelihood
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.simulate import record_paths
from tests.generate import KINDS, generate
from tests.reference.processes import random_process

AS_OF = date(2025, 1, 1)
N_DRAW = 5
HORIZON = 1461 / 365.25


def year(days: int) -> float:
    return days / 365.25


def on(*days: int) -> list[date]:
    return [AS_OF + timedelta(days=d) for d in days]


def program_of(values: dict, edges: dict | None = None, **parts) -> Program:
    """Compile a process with flags a, b, c and causes x, y."""
    base = {
        "deal_id": "seen",
        "title": "Seen",
        "as_of": AS_OF,
        "horizon": HORIZON,
        "flags": [{"id": f, "label": ""} for f in "abc"],
        "causes": [{"id": "x", "label": ""}, {"id": "y", "label": ""}],
        "outcomes": [{"id": "any", "label": "", "rest": True}],
    }
    draws = Draws(
        {k: np.asarray(v, dtype=float) for k, v in values.items()},
        {k: np.array(v, dtype=float) for k, v in (edges or {}).items()},
        {},
        {},
    )
    return compile_process(Process.model_validate({**base, **parts}), draws)


def hazard(id_: str, rate: str | None, when: tuple = (), **more) -> dict:
    """Build a hazard; what is neither `clock`, `modifiers` nor Weibull is its effect."""
    own = {k: more.pop(k) for k in ("clock", "modifiers", "weibull_shape", "weibull_scale") if k in more}
    return {"id": id_, "label": "", "rate": rate, "when": list(when), "effect": more, **own}


def event(id_: str, branches: list[dict], when: tuple = (), **dated) -> dict:
    return {"id": id_, "label": "", "when": list(when), "branches": [{"label": "", **b} for b in branches], **dated}


@dataclass(frozen=True)
class Case:
    """A process, a history by names, and its log-likelihood in PyTensor; `vectors` go in by name."""

    parts: dict
    vectors: dict[str, tuple[float, float]]  # parameter: range of its values
    events: list[tuple[float, str]]
    end: float
    wanted: Callable
    bins: dict[str, list[float]] | None = None


def constant() -> Case:
    """Three risks; a is set, cleared and set again; watched on after the path has ended."""

    def wanted(r, q, u):
        risk_a = q * (0.4 + (1.7 - 0.9))
        risk_not_a = u * ((0.9 - 0.4) + (2.5 - 1.7))
        return 2 * pt.log(q) + pt.log(u) + pt.log(r) - r * 2.5 - risk_a - risk_not_a

    hazards = [
        hazard("ends", "r", end="x"),
        hazard("sets", "q", ("not a",), set=["a"]),
        hazard("clears", "u", ("a",), clear=["a"]),
    ]
    events = [(0.4, "sets"), (0.9, "clears"), (1.7, "sets"), (2.5, "ends")]
    return Case({"hazards": hazards}, {"r": (0.1, 2), "q": (0.1, 2), "u": (0.1, 2)}, events, 3.5, wanted)


def piecewise() -> Case:
    """Bins 0–0.5–1.25–; the clock is 100 days old and starts again at 1.0; three modifiers, one of them always on."""
    lower, upper = 0.5 - year(100), 1.25 - year(100)

    def wanted(r0, r1, r2, m, n, o, q, w):
        before = r0 * lower + r1 * (0.3 - lower)
        with_a = r1 * (upper - 0.3) + r2 * (1.0 - upper)
        again = r0 * 0.5 + r1 * 0.75 + r2 * (3.1 - 2.25)
        spent = before * pt.exp(n + o) + with_a * pt.exp(m + n + o) + again * pt.exp(m + o)
        fired = pt.log(r1) + (m + n + o) + pt.log(r0) + (m + o)
        return fired - spent + pt.log(q) - 0.3 * q + pt.log(w) - 1.0 * w

    modifiers = [
        {"when": "a", "log_ratio": "m"},
        {"when": "not b", "log_ratio": "n"},
        {"when": None, "log_ratio": "o"},
    ]
    parts = {
        "clocks": [{"id": "k", "label": "", "running_since": AS_OF - timedelta(days=100)}],
        "hazards": [
            hazard("hits", "bins", clock="k", modifiers=modifiers, set=["c"]),
            hazard("sets_a", "q", ("not a",), set=["a"]),
            hazard("sets_b", "w", ("not b",), set=["b"], start=["k"]),
        ],
    }
    events = [(0.3, "sets_a"), (0.7, "hits"), (1.0, "sets_b"), (1.3, "hits")]
    ranges = dict.fromkeys(("r0", "r1", "r2", "q", "w"), (0.2, 2))
    return Case(
        parts, {**ranges, "m": (-1, 1), "n": (-1, 1), "o": (-1, 1)}, events, 3.1, wanted, {"bins": [0, 0.5, 1.25]}
    )


def weibull() -> Case:
    """Three Weibull clocks: 548 days old; started, and started again, on the path; starting after 300 days."""
    old, late = year(548), year(300)

    def wanted(c, s, m, g, h, q):
        def spent(age):
            return (age / s) ** c

        def spent_y(age):
            return (age / h) ** g

        x = spent(old + 0.8) - spent(old) + pt.exp(m) * (spent(old + 2.2) - spent(old + 0.8))
        y = spent_y(0.3) + spent_y(2.2 - 1.1)
        z = spent(1.9 - late) * pt.exp(m) + (spent(2.2 - late) - spent(1.9 - late)) * pt.exp(m)
        x_fired = m + pt.log(c) - c * pt.log(s) + (c - 1) * pt.log(old + 2.2)
        y_fired = pt.log(g) - g * pt.log(h) + (g - 1) * pt.log(0.3)
        z_fired = m + pt.log(c) - c * pt.log(s) + (c - 1) * pt.log(1.9 - late)
        return x_fired + y_fired + z_fired - x - y - z + pt.log(q) - 0.8 * q

    modifiers = [{"when": "a", "log_ratio": "m"}]
    of_c = {"weibull_shape": "c", "weibull_scale": "s", "modifiers": modifiers}
    parts = {
        "clocks": [
            {"id": "old", "label": "", "running_since": AS_OF - timedelta(days=548)},
            {"id": "young", "label": ""},
            {"id": "late", "label": "", "running_since": AS_OF + timedelta(days=300)},
        ],
        "hazards": [
            hazard("x", None, clock="old", end="x", **of_c),
            hazard("y", None, clock="young", weibull_shape="g", weibull_scale="h", start=["young"]),
            hazard("z", None, ("a",), clock="late", set=["c"], **of_c),
            hazard("sets", "q", ("not a",), set=["a"], start=["young"]),
        ],
    }
    events = [(0.8, "sets"), (1.1, "y"), (1.9, "z"), (2.2, "x")]
    ranges = {"c": (0.5, 2.5), "s": (1, 6), "m": (-1, 1), "g": (0.5, 2.5), "h": (0.5, 4), "q": (0.1, 1)}
    return Case(parts, ranges, events, 2.2, wanted)


def scheduled() -> Case:
    """Votes on one day in file order, at both ends of the window; shares, a logit, a softmax of three."""

    def wanted(p, p2, u, v, m, w, r):
        def choice(a):
            return pt.log(1 + pt.exp(u) + pt.exp(v + m * a))

        shares = pt.log(p2) + pt.log(1 - p - p2)
        votes = -choice(0) + (v + m - choice(1)) + (u - choice(1))
        logits = -pt.log1p(pt.exp(w)) + w - pt.log1p(pt.exp(w))
        return shares + votes + logits - r * year(200)

    shares = [
        {"id": "no", "effect": {}},
        {"id": "yes", "probability": "p", "effect": {"set": ["b"]}},
        {"id": "maybe", "probability": "p2", "effect": {"set": ["a"]}},
    ]
    softmax = [
        {"id": "first", "logit": "u"},
        {"id": "second", "logit": "v", "modifiers": [{"when": "a", "log_ratio": "m"}]},
        {"id": "third"},
    ]
    parts = {
        "hazards": [hazard("early", "r", ("not a",), end="x")],
        "scheduled": [
            event("shares", shares, dates=on(200, 900)),
            event("softmax", softmax, dates=on(0, 200, 500)),
            event("never", [{"id": "only", "effect": {"end": "y"}}], ("b",), dates=on(200, 500)),
            event("logit", [{"id": "yes", "logit": "w"}, {"id": "no"}], ("a",), dates=on(0, 500, 1461)),
        ],
    }
    events = [
        (0.0, "softmax/third"),
        (year(200), "shares/maybe"),
        (year(200), "softmax/second"),
        (year(500), "softmax/first"),
        (year(500), "logit/no"),
        (year(900), "shares/no"),
        (HORIZON, "logit/yes"),
    ]
    ranges = {"p": (0.1, 0.4), "p2": (0.1, 0.4), "u": (-1, 1), "v": (-1, 1), "m": (-1, 1), "w": (-1, 1), "r": (0.1, 1)}
    return Case(parts, ranges, events, HORIZON, wanted)


def deadline() -> Case:
    """A deadline a year after signing, put off by signing again; one at an age that a clock had before."""
    review = 2.0 - year(200)

    def wanted(r, q, p, z):
        return pt.log(r) - 0.3 * r + pt.log(q) - (1.9 - 0.3) * q + pt.log(z) + pt.log1p(-p)

    parts = {
        "clocks": [
            {"id": "signed", "label": ""},
            {"id": "old", "label": "", "running_since": AS_OF - timedelta(days=200)},
        ],
        "hazards": [
            hazard("signs", "r", ("not a",), set=["a"], start=["signed"]),
            hazard("signs_again", "q", ("a", "not b"), start=["signed"]),
        ],
        "scheduled": [
            event(
                "deadline",
                [{"id": "missed", "probability": "p", "effect": {"end": "x"}}, {"id": "met", "effect": {"set": ["b"]}}],
                ("a",),
                at_age={"clock": "signed", "age": 1.0},
            ),
            event("review", [{"id": "good", "probability": "z"}, {"id": "bad"}], at_age={"clock": "old", "age": 2.0}),
            event("past", [{"id": "only"}], at_age={"clock": "old", "age": 0.5}),
        ],
    }
    events = [(0.3, "signs"), (0.9, "signs_again"), (review, "review/good"), (1.9, "deadline/met")]
    return Case(parts, {"r": (0.2, 2), "q": (0.2, 2), "p": (0.1, 0.9), "z": (0.1, 0.9)}, events, 2.5, wanted)


CASES = {f.__name__: f for f in (constant, piecewise, weibull, scheduled, deadline)}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_expression_written_out(name):
    case = CASES[name]()
    rng = np.random.default_rng(20_250_101)
    numbers = {k: rng.uniform(low, high, N_DRAW) for k, (low, high) in case.vectors.items()}
    variables = {k: pt.dvector(k) for k in numbers}
    expression = pytensor.function([*variables.values()], case.wanted(**variables), mode="FAST_COMPILE")
    values, edges = dict(numbers), {}
    for bins, lower in (case.bins or {}).items():
        values[bins] = np.stack([numbers[f"r{i}"] for i in range(len(lower))], axis=1)
        edges[bins] = [*lower, np.inf]
    program = program_of(values, edges, **case.parts)
    got = log_likelihood(program, History.named(program, case.events, case.end))
    assert np.ptp(got) > 0.1  # the draws differ
    np.testing.assert_allclose(got, expression(*numbers.values()), rtol=1e-10)


# ---- histories of the simulator ------------------------------------------------------------------


def recorded(number: int) -> tuple[Program, list[History]]:
    """Compile a made-up process and record some of its paths."""
    if number < len(KINDS):
        process, draws = generate(KINDS[number], 0, random_clocks=True)
    else:
        process, draws = random_process(number)
    program = compile_process(process, draws)
    log = record_paths(program, seed=number, paths=np.arange(40), replicates=20, max_steps=2000)
    return program, [History.of(log, i) for i in range(40)]


@pytest.mark.parametrize("number", range(len(KINDS) + 16))
def test_what_the_simulator_makes_is_possible_and_less_or_more_is_not(number):
    program, histories = recorded(number)
    scheduled = np.array([bool(f.branch) for f in program.firings])
    for i, h in enumerate(histories):
        own = log_likelihood(program, h)[i // 20]
        assert np.isfinite(own)
        for j in np.flatnonzero(scheduled[h.firing])[:3]:  # one scheduled event too few, or on another day
            with pytest.raises(ForecastError, match="was due and enabled, but has no branch"):
                log_likelihood(program, History(np.delete(h.time, j), np.delete(h.firing, j), h.end))
            moved = h.time.copy()
            moved[j] = 0.5 * (moved[j] + (moved[j - 1] if j else 0.0)) - 1e-6
            with pytest.raises(ForecastError, match=r"no date then|reaches an age|before the as-of date"):
                log_likelihood(program, History(moved, h.firing, h.end))
        for j in range(min(len(h.time) - 1, 3)):
            swap = np.arange(len(h.time))
            swap[[j, j + 1]] = j + 1, j
            if h.time[j] < h.time[j + 1]:
                with pytest.raises(ForecastError, match="put them in order of time"):
                    log_likelihood(program, History(h.time[swap], h.firing[swap], h.end))
            elif scheduled[h.firing[j]] and scheduled[h.firing[j + 1]]:
                with pytest.raises(ForecastError, match="in the order of the file"):
                    log_likelihood(program, History(h.time[swap], h.firing[swap], h.end))


def test_a_longer_watch_without_events_is_never_likelier():
    program, histories = recorded(KINDS.index("everything"))
    for h in histories:
        seen = []
        for end in np.linspace(0.0, h.end, 9):
            n = int(np.searchsorted(h.time, end, side="right"))
            seen.append((n, log_likelihood(program, History(h.time[:n], h.firing[:n], float(end)))))
        for (n0, before), (n1, after) in pairwise(seen):
            assert n1 > n0 or (after <= before + 1e-12).all()


def test_deadlines_and_dates_of_one_instant_come_in_file_order():
    """0 years and 100/365.25 are the date and the deadline to the bit."""
    only = [{"id": "only"}]
    at_age = {"at_age": {"clock": "k", "age": year(100)}}
    program = program_of(
        {"unused": [0.0]},
        clocks=[{"id": "k", "label": "", "running_since": AS_OF}],
        scheduled=[
            event("e0", only, **at_age),
            event("e1", only, dates=on(100)),
            event("e2", only, **at_age),
            event("e3", only, dates=on(100)),
        ],
    )
    log = record_paths(program, seed=1, paths=np.arange(1), replicates=1)
    assert [program.firings[f].event for f in log.firing[0, : log.n_step[0]]] == ["e0", "e1", "e2", "e3"]
    h = History.of(log, 0)
    np.testing.assert_array_equal(log_likelihood(program, h), 0.0)
    for i, j in ((0, 1), (1, 2), (0, 2), (2, 3)):
        swapped = h.firing.copy()
        swapped[[i, j]] = swapped[[j, i]]
        with pytest.raises(ForecastError, match=f"event 'e{i}/only' at .* must come before event 'e{j}/only'"):
            log_likelihood(program, History(h.time, swapped, h.end))


def test_refuses_a_path_that_was_not_recorded_whole():
    program = compile_process(*generate("scheduled", 0))
    log = record_paths(program, seed=1, paths=np.arange(30), replicates=30, max_steps=1)
    cut = int(np.flatnonzero(log.truncated)[0])
    with pytest.raises(ForecastError, match=f"path {cut} of the log: only its first 1 events were kept.*max_steps"):
        History.of(log, cut)


# ---- the edges of the numbers ----------------------------------------------------------------------


def test_a_draw_that_cannot_make_the_history_gives_minus_infinity():
    """Draws: a rate of 0; a rate, and a bin of rate 0 from age 1 to 2; a rate beyond all measure."""
    program = program_of(
        {"r": [0.0, 0.5, 1e308], "m": [0.0, 0.0, 300.0], "bins": [[1, 1, 1], [1, 0, 1], [1, 1, 1]]},
        {"bins": [0, 1, 2, np.inf]},
        clocks=[{"id": "k", "label": "", "running_since": AS_OF}],
        hazards=[
            hazard("h", "r", modifiers=[{"log_ratio": "m"}], set=["a"]),
            hazard("g", "bins", clock="k", set=["b"]),
        ],
    )
    for events, end, wanted in (
        ([], 1.0, [-1.0, -1.5, -np.inf]),
        ([(0.5, "h")], 1.0, [-np.inf, np.log(0.5) - 1.5, -np.inf]),
        ([(1.5, "g")], 2.0, [-2.0, -np.inf, -np.inf]),
        ([(1.0, "g")], 1.0, [-1.0, -np.inf, -np.inf]),  # an age on an edge belongs to the upper bin
        ([(2.0, "g")], 2.0, [-2.0, -2.0, -np.inf]),
    ):
        np.testing.assert_allclose(log_likelihood(program, History.named(program, events, end)), wanted)


def test_nobody_survives_a_weibull_beyond_all_measure():
    """(2/1e-6)^100 is infinite before the as-of date already, and inf − inf is no number."""
    program = program_of(
        {"c": [100.0, 1.0], "s": [1e-6, 2.0]},
        clocks=[{"id": "k", "label": "", "running_since": AS_OF - timedelta(days=700)}],
        hazards=[hazard("h", None, clock="k", weibull_shape="c", weibull_scale="s", set=["a"])],
    )
    got = log_likelihood(program, History.named(program, [(0.5, "h")], 1.0))
    np.testing.assert_allclose(got, [-np.inf, np.log(0.5) - 0.5])


def test_shares_that_add_up_to_one_leave_nothing_for_the_rest():
    branches = [{"id": "one", "probability": "p"}, {"id": "two", "probability": "q"}, {"id": "rest"}]
    program = program_of({"p": [0.5, 0.25], "q": [0.5, 0.25]}, scheduled=[event("e", branches, dates=on(10))])
    for branch, wanted in (("one", [0.5, 0.25]), ("two", [0.5, 0.25]), ("rest", [0.0, 0.5])):
        got = log_likelihood(program, History.named(program, [(year(10), f"e/{branch}")], 1.0))
        np.testing.assert_allclose(np.exp(got), wanted)


def test_an_empty_history_of_no_time_is_certain():
    program = mixed()
    np.testing.assert_array_equal(log_likelihood(program, History(np.zeros(0), np.zeros(0), 0.0)), [0.0, 0.0])


def test_a_scheduled_firing_may_be_off_by_rounding_and_is_taken_to_be_on_its_date():
    program = mixed()
    for rounding in (-5e-10, 5e-10):
        got, wanted = (
            log_likelihood(program, History.named(program, [(t, "vote/yes"), VOTES[1], (year(100), "signs")], 0.5))
            for t in (year(100) + rounding, year(100))
        )
        np.testing.assert_array_equal(got, wanted)


# ---- histories that are refused --------------------------------------------------------------------


def mixed() -> Program:
    """A bit of everything that a history can get wrong."""
    yes_no = [{"id": "yes", "probability": "p"}, {"id": "no"}]
    return program_of(
        {"r": [0.5, 0.7], "p": [0.3, 0.4], "c": [0.6, 2.0], "s": [2.0, 3.0]},
        clocks=[
            {"id": "signed", "label": ""},
            {"id": "late", "label": "", "running_since": AS_OF + timedelta(days=300)},
        ],
        hazards=[
            hazard("signs", "r", ("not a",), set=["a"], start=["signed"]),
            hazard("breaks", "r", ("a", ["b", "not c"]), end="x"),
            hazard("lapses", None, clock="signed", weibull_shape="c", weibull_scale="s", clear=["a"], stop=["signed"]),
            hazard("tires", "r", clock="late", set=["c"]),
            hazard("leaves", "r", end="y"),
        ],
        scheduled=[
            event("vote", yes_no, dates=on(100, 400)),
            event("count", [{**yes_no[0], "effect": {"set": ["b"]}}, yes_no[1]], dates=on(100)),
            event("rerun", yes_no, ("b",), dates=on(200)),
            event("last", [{"id": "only", "effect": {"end": "y"}}], ("b",), at_age={"clock": "signed", "age": 0.5}),
            event("over", yes_no, dates=on(-10)),
        ],
    )


VOTES = [(year(100), "vote/no"), (year(100), "count/no")]
D100, D400 = "0.273785078713 years (2025-04-11)", "1.09514031485 years (2026-02-05)"
REFUSED = {
    "flag": (
        [(0.1, "breaks")],
        "hazard 'breaks' at 0.1 years (2025-02-06): could not fire, as it needs 'a'; ",
        "put what made it so before it, or drop it",
    ),
    "any": (
        [(0.1, "signs"), *VOTES, (0.9, "tires"), (1.0, "breaks")],
        "as it needs one of 'b', 'not c'; put what made it so",
    ),
    "no_clock": ([(0.1, "lapses")], "as its clock 'signed' was not running; put what starts it before it"),
    "negative_age": (
        [(0.1, "tires")],
        "as its clock 'late' starts only at 0.82135523614 years (2025-10-28); give a later time",
    ),
    "weibull_at_age_0": (
        [(0.1, "signs"), (0.1, "lapses")],
        "hazard 'lapses' at 0.1 years (2025-02-06): could not fire, as its clock 'signed' starts at that very time",
    ),
    "no_such_date": (
        [*VOTES, (1.0, "vote/yes")],
        f"event 'vote/yes' at 1 years (2026-01-01): has no date then; the nearest is {D400}",
    ),
    "never_dated": ([(0.1, "over/yes")], "event 'over/yes' at 0.1 years (2025-02-06): has no date inside the forecast"),
    "twice": ([*VOTES, VOTES[1]], f"event 'count/no' at {D100}: had its branch taken at that time already; keep one"),
    "not_enabled": (
        [*VOTES, (year(200), "rerun/no")],
        "event 'rerun/no' at 0.547570157426 years (2025-07-20): was not enabled, as it needs 'b'; drop it",
    ),
    "left_out": (
        [VOTES[1]],
        f"event 'vote' at {D100}: was due and enabled, but has no branch in the history; ",
        "add the one that was taken (vote/yes, vote/no)",
    ),
    "left_out_at_the_end": ([], f"event 'count' at {D100}: was due and enabled, but has no branch in the history"),
    "file_order": (
        [VOTES[1], VOTES[0]],
        f"event 'vote/no' at {D100}: must come before event 'count/no' at {D100}; at one instant scheduled events ",
        "come first, in the order of the file",
    ),
    "hazard_first": (
        [(year(100), "signs"), *VOTES],
        f"event 'vote/no' at {D100}: must come before hazard 'signs' at {D100}; at one instant scheduled events",
    ),
    "deadline_off": (
        [(0.1, "signs"), *VOTES, (0.7, "last/only")],
        "event 'last/only' at 0.7 years (2025-09-13): is due when clock 'signed' reaches an age of 0.5 years, ",
        "which lies not ahead of it then",
    ),
    "deadline_early": (
        [(0.1, "signs"), *VOTES, (0.5, "last/only")],
        "is due when clock 'signed' reaches an age of 0.5 years, at 0.6 years (2025-08-08)",
    ),
    "deadline_cancelled": (
        [(0.1, "signs"), (0.2, "lapses"), *VOTES, (0.6, "last/only")],
        "event 'last/only' at 0.6 years (2025-08-08): is due when clock 'signed' reaches an age of 0.5 years, ",
        "which lies not ahead",
    ),
    "out_of_order": (
        [*VOTES, (0.9, "tires"), (0.5, "signs")],
        "hazard 'signs' at 0.5 years (2025-07-02): comes after hazard 'tires' at 0.9 years (2025-11-25); ",
        "put them in order of time",
    ),
    "after_the_end": (
        [(0.1, "leaves"), (year(100), "vote/no"), (0.5, "signs")],
        "hazard 'signs' at 0.5 years (2025-07-02): the path had ended by hazard 'leaves' at 0.1 years (2025-02-06); ",
        "drop it",
    ),
    "before_the_as_of_date": (
        [(-0.1, "signs"), *VOTES],
        "hazard 'signs' at -0.1 years (2024-11-25): its time must not be before the as-of date, 2025-01-01",
    ),
    "no_time": ([(np.nan, "signs"), *VOTES], "hazard 'signs' at nan years: its time must not be before the as-of date"),
    "past_the_horizon": (
        [*VOTES, (4.5, "signs")],
        "hazard 'signs' at 4.5 years (2029-07-02): is past the horizon, 4 years (2029-01-01); drop it",
    ),
    "past_the_watch": (
        [*VOTES, (2.5, "signs")],
        "hazard 'signs' at 2.5 years (2027-07-03): is past the end of the history, 1 years (2026-01-01); ",
        "drop it or set a later end",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name):
    events, *message = REFUSED[name]
    program = mixed()
    with pytest.raises(ForecastError, match=re.escape("".join(message))) as caught:
        log_likelihood(program, History.named(program, events, 1.0))
    assert all(line.startswith("history: ") for line in str(caught.value).splitlines())


@pytest.mark.parametrize("end", [-0.1, 4.5, np.nan, np.inf])
def test_refuses_an_end_that_is_none(end):
    program = mixed()
    with pytest.raises(ForecastError, match=r"history: its end, .*, must lie between 0 and the horizon, 4 years"):
        log_likelihood(program, History.named(program, VOTES, end))


def test_tells_all_problems_at_once():
    program = mixed()
    events = [(0.1, "breaks"), (0.05, "lapses"), (4.2, "signs")]
    with pytest.raises(ForecastError) as caught:
        log_likelihood(program, History.named(program, events, 0.2))
    assert [re.sub(r" at .*?: ", ": ", line).partition(": ")[2][:42] for line in str(caught.value).splitlines()] == [
        "hazard 'signs': is past the horizon, 4 yea",
        "hazard 'lapses': comes after hazard 'break",
        "hazard 'lapses': could not fire, as its cl",
        "hazard 'breaks': could not fire, as it nee",
    ]


def test_refuses_names_and_numbers_that_are_none():
    program = mixed()
    with pytest.raises(ForecastError, match=r"no firing 'vote'; it must be a hazard or event/branch, such as vote/"):
        History.named(program, [(0.1, "vote"), (0.2, "sings")], 1.0)
    with pytest.raises(ForecastError, match="entry 1: no firing 99; they have the numbers 0 to 13"):
        log_likelihood(program, History(np.array([0.1, 0.2]), np.array([0, 99]), 0.2))
    for time, firing in (([0.1], [0, 1]), ([[0.1]], [[0]]), ([0.1], [0.5])):
        with pytest.raises(ForecastError, match="time and firing must be arrays of one length"):
            log_likelihood(program, History(np.array(time), np.array(firing), 0.2))
