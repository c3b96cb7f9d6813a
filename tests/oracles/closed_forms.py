"""Small processes whose probabilities are known in closed form, each with its derivation."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from math import exp, gamma

import numpy as np
from scipy.special import gammainc

from forecast.deal.spec import Process
from forecast.process.draws import Draws
from forecast.types import years_between

AS_OF = date(2025, 1, 1)
DAYS = (200, 500, 900, 1461)  # the last one is the horizon
GRID = np.array([d / 365.25 for d in DAYS])


@dataclass(frozen=True)
class Case:
    """A process, its draw, and some probabilities: (kind, id) → function of time."""

    process: Process
    draws: Draws
    wanted: dict[tuple[str, str], Callable[[float], float]]


def _case(values: dict, wanted: dict, edges: dict | None = None, **parts) -> Case:
    base = {
        "deal_id": "oracle",
        "title": "Oracle",
        "as_of": AS_OF,
        "horizon": years_between(AS_OF, AS_OF + timedelta(days=DAYS[-1])),
        "flags": [{"id": "a", "label": ""}, {"id": "b", "label": ""}],
        "causes": [{"id": "x", "label": ""}, {"id": "y", "label": ""}],
        "outcomes": [
            {"id": "x", "label": "", "causes": ["x"]},
            {"id": "y", "label": "", "causes": ["y"]},
            {"id": "open", "label": "", "rest": True},
        ],
    }
    process = Process.model_validate({**base, **parts})
    values = {**values, "unused": 0.0}  # so that there is always a draw
    draws = Draws(
        {k: np.array([v], dtype=float) for k, v in values.items()},
        {k: np.array(v, dtype=float) for k, v in (edges or {}).items()},
        {},
        {},
    )
    return Case(process, draws, wanted)


def _ends(id_: str, rate: str, cause: str, **more) -> dict:
    return {"id": id_, "label": "", "rate": rate, "effect": {"end": cause}, **more}


def _on(days: int) -> list[date]:
    return [AS_OF + timedelta(days=days)]


def two_exponentials() -> Case:
    """P(x by t) = r/(r + q)·(1 − e^{−(r+q)t}); one of the two is very rare."""
    r, q = 2e-5, 0.7
    return _case(
        {"r": r, "q": q},
        {
            ("cause", "x"): lambda t: r / (r + q) * (1 - exp(-(r + q) * t)),
            ("cause", "y"): lambda t: q / (r + q) * (1 - exp(-(r + q) * t)),
        },
        hazards=[_ends("hx", "r", "x"), _ends("hy", "q", "y")],
    )


def age_bins() -> Case:
    """Bins 0–0.5, 0.5–1.25, 1.25–: rates 0.8, 0, 0.3; the clock has run for 100 days already."""
    rates, edges, age0 = [0.8, 0.0, 0.3], [0.0, 0.5, 1.25, np.inf], 100 / 365.25

    def cumulative(age: float) -> float:
        return sum(r * max(0.0, min(age, hi) - lo) for r, lo, hi in zip(rates, edges, edges[1:], strict=False))

    return _case(
        {"r": rates},
        {("cause", "x"): lambda t: 1 - exp(-(cumulative(age0 + t) - cumulative(age0)))},
        {"r": edges},
        clocks=[{"id": "c", "label": "", "running_since": AS_OF - timedelta(days=100)}],
        hazards=[_ends("hx", "r", "x", clock="c")],
    )


def weibull(shape: float, days: int) -> Case:
    """S(t) = exp(−((age/s)^c − (age0/s)^c)); `days` before (or, negative, after) the as-of date it began."""
    scale, age0 = 3.0, days / 365.25

    def wanted(t: float) -> float:
        return 1 - exp((max(age0, 0.0) / scale) ** shape - (max(age0 + t, 0.0) / scale) ** shape)

    return _case(
        {"c": shape, "s": scale},
        {("cause", "x"): wanted},
        clocks=[{"id": "k", "label": "", "running_since": AS_OF - timedelta(days=days)}],
        hazards=[
            {"id": "hx", "label": "", "clock": "k", "weibull_shape": "c", "weibull_scale": "s", "effect": {"end": "x"}}
        ],
    )


def weibull_against_exponential() -> Case:
    """Shape 1/2 from age 0 against a constant rate: ∫ e^{−qt} (c/s)(t/s)^{c−1} e^{−(t/s)^c} dt, by its series in q.

    With x = √(t/s): P(x by t) = ∫_0^{√(t/s)} e^{−q s x² − x} dx = Σ (−qs)^n/n! γ(2n + 1, √(t/s)).
    """
    q, s = 0.2, 2.0

    def wanted(t: float) -> float:
        total, term = 0.0, 1.0
        for n in range(60):
            total += term * gamma(2 * n + 1) * gammainc(2 * n + 1, (t / s) ** 0.5)
            term *= -q * s / (n + 1)
        return total

    return _case(
        {"c": 0.5, "s": s, "q": q},
        {("cause", "x"): wanted},
        clocks=[{"id": "k", "label": "", "running_since": AS_OF}],
        hazards=[
            {"id": "hx", "label": "", "clock": "k", "weibull_shape": "c", "weibull_scale": "s", "effect": {"end": "x"}},
            _ends("hy", "q", "y"),
        ],
    )


def two_steps() -> Case:
    """a is set at rate r, then the path ends at rate q·e^m: P(x by t) of a hypo-exponential."""
    r, q, m = 0.9, 0.5, 0.6
    k = q * exp(m)

    def wanted(t: float) -> float:
        return 1 - (k * exp(-r * t) - r * exp(-k * t)) / (k - r)

    return _case(
        {"r": r, "q": q, "m": m},
        {("cause", "x"): wanted, ("state", "a"): lambda t: 1 - exp(-r * t)},
        hazards=[
            {"id": "sets", "label": "", "when": ["not a"], "rate": "r", "effect": {"set": ["a"]}},
            _ends("hx", "q", "x", when=["a"], modifiers=[{"when": "a", "log_ratio": "m"}]),
        ],
    )


def coins_at_once() -> Case:
    """Three events on one day, in file order: a coin sets a; only then b may be set; b with a ends the path.

    The same at the as-of date and at the horizon, for the two ends of the window.
    """
    p, q = 0.4, 0.7
    coin = {"id": "yes", "label": "", "probability": "p", "effect": {"set": ["a"]}}
    second = {"id": "yes", "label": "", "probability": "q", "effect": {"set": ["b"]}}
    no = {"id": "no", "label": ""}
    days = [*_on(0), *_on(DAYS[-1])]
    ends = [{"id": "only", "label": "", "effect": {"end": "x"}}]

    def wanted(t: float) -> float:  # each round: a stays set; then b with chance q
        first = p * q
        if t < GRID[-1]:
            return first
        return first + p * (1 - q) * q + (1 - p) * p * q

    return _case(
        {"p": p, "q": q},
        {("cause", "x"): wanted, ("outcome", "x"): wanted},
        scheduled=[
            {"id": "e1", "label": "", "dates": days, "branches": [coin, no]},
            {"id": "e2", "label": "", "when": ["a"], "dates": days, "branches": [no, second]},
            {"id": "e3", "label": "", "when": ["a", "b"], "dates": days, "branches": ends},
        ],
    )


def votes_that_turn() -> Case:
    """A vote on three days that sets a or clears it, each with luck of its own; the second yes ends the path."""
    p, q = 0.4, 0.3
    days = [*_on(DAYS[0]), *_on(DAYS[1]), *_on(DAYS[2])]
    branches = [
        {"id": "yes", "label": "", "probability": "p", "effect": {"set": ["a"]}},
        {"id": "hung", "label": "", "probability": "q"},
        {"id": "no", "label": "", "effect": {"clear": ["a"]}},
    ]
    second = {"id": "only", "label": "", "effect": {"end": "x"}}
    first = {"id": "only", "label": "", "effect": {"set": ["b"], "clear": ["a"]}}

    def wanted(t: float) -> float:  # the number of yes up to now is binomial
        n = sum(t >= years_between(AS_OF, d) for d in days)
        return 1.0 - (1.0 - p) ** n - n * p * (1.0 - p) ** max(n - 1, 0)

    return _case(
        {"p": p, "q": q},
        {("cause", "x"): wanted},
        scheduled=[
            {"id": "vote", "label": "", "dates": days, "branches": branches},
            {"id": "second", "label": "", "when": ["a", "b"], "dates": days, "branches": [second]},
            {"id": "first", "label": "", "when": ["a", "not b"], "dates": days, "branches": [first]},
        ],
    )


def softmax_of_three() -> Case:
    """One vote: weights e^0.3, e^(−0.2 + m), 1, in any order of the file."""
    weights = np.array([exp(0.3), exp(-0.2 + 0.9), 1.0])
    share = weights / weights.sum()
    branches = [
        {"id": "first", "label": "", "logit": "u", "effect": {"end": "x"}},
        {"id": "rest", "label": "", "effect": {"set": ["b"]}},
        {
            "id": "second",
            "label": "",
            "logit": "v",
            "modifiers": [{"when": "not a", "log_ratio": "m"}],
            "effect": {"end": "y"},
        },
    ]
    return _case(
        {"u": 0.3, "v": -0.2, "m": 0.9},
        {
            ("cause", "x"): lambda t: share[0] * (t >= GRID[1]),
            ("cause", "y"): lambda t: share[1] * (t >= GRID[1]),
            ("state", "b"): lambda t: share[2] * (t >= GRID[1]),
        },
        scheduled=[{"id": "vote", "label": "", "dates": _on(DAYS[1]), "branches": branches}],
    )


def deadline() -> Case:
    """A clock started by a coin on day 200 rings 300 days later unless a hazard, on since then, comes first."""
    p, r, age = 0.6, 0.8, 300 / 365.25
    start = [{"id": "yes", "label": "", "probability": "p", "effect": {"start": ["c"]}}, {"id": "no", "label": ""}]
    ring = [{"id": "only", "label": "", "effect": {"end": "y"}}]
    begun = DAYS[0] / 365.25

    def by_hazard(t: float) -> float:
        return p * (1 - exp(-r * min(max(t - begun, 0.0), age)))

    return _case(
        {"p": p, "r": r},
        {("cause", "x"): by_hazard, ("cause", "y"): lambda t: p * exp(-r * age) * (t >= begun + age)},
        clocks=[{"id": "c", "label": ""}],
        hazards=[_ends("hx", "r", "x", clock="c")],
        scheduled=[
            {"id": "begin", "label": "", "dates": _on(DAYS[0]), "branches": start},
            {"id": "ring", "label": "", "at_age": {"clock": "c", "age": age}, "branches": ring},
        ],
    )


def restarted_clock() -> Case:
    """A Weibull clock that day 500 starts again: the age before is forgotten, what was survived is not."""
    shape, scale, turn = 2.0, 2.5, DAYS[1] / 365.25

    def wanted(t: float) -> float:
        return 1 - exp(-((min(t, turn) / scale) ** shape) - (max(t - turn, 0.0) / scale) ** shape)

    return _case(
        {"c": shape, "s": scale},
        {("cause", "x"): wanted},
        clocks=[{"id": "k", "label": "", "running_since": AS_OF}],
        hazards=[
            {"id": "hx", "label": "", "clock": "k", "weibull_shape": "c", "weibull_scale": "s", "effect": {"end": "x"}}
        ],
        scheduled=[
            {
                "id": "again",
                "label": "",
                "dates": _on(DAYS[1]),
                "branches": [{"id": "only", "label": "", "effect": {"start": ["k"]}}],
            }
        ],
    )


def coins_at_ages() -> Case:
    """A clock that days 200 and 500 start; 100 days later a fresh coin: 1 − (1 − p)^n after n of them."""
    p, age = 0.35, 100 / 365.25
    coin = [{"id": "yes", "label": "", "probability": "p", "effect": {"end": "x"}}, {"id": "no", "label": ""}]
    start = [{"id": "only", "label": "", "effect": {"start": ["c"]}}]

    def wanted(t: float) -> float:
        return 1 - (1 - p) ** sum(t >= d / 365.25 + age for d in (DAYS[0], DAYS[1]))

    return _case(
        {"p": p},
        {("cause", "x"): wanted},
        clocks=[{"id": "c", "label": ""}],
        scheduled=[
            {"id": "begin", "label": "", "dates": [*_on(DAYS[0]), *_on(DAYS[1])], "branches": start},
            {"id": "ring", "label": "", "at_age": {"clock": "c", "age": age}, "branches": coin},
        ],
    )


def ties(*, dated_first: bool) -> Case:
    """A dated coin and two events at an age fall on day 500; only what comes later in the file sees the coin."""
    p, age = 0.35, DAYS[1] / 365.25
    coin = [{"id": "yes", "label": "", "probability": "p", "effect": {"set": ["a"]}}, {"id": "no", "label": ""}]
    dated = {"id": "coin", "label": "", "dates": _on(DAYS[1]), "branches": coin}
    ring = [{"id": "only", "label": "", "effect": {"set": ["b"]}}]
    end = [{"id": "only", "label": "", "effect": {"end": "x"}}]
    aged = [
        {"id": "ring", "label": "", "when": ["a"], "at_age": {"clock": "c", "age": age}, "branches": ring},
        {"id": "end", "label": "", "when": ["b"], "at_age": {"clock": "c", "age": age}, "branches": end},
    ]
    seen = p if dated_first else 0.0
    return _case(
        {"p": p},
        {
            ("cause", "x"): lambda t: seen * (t >= age),
            ("state", "b"): lambda t: seen * (t >= age),
            ("state", "a"): lambda t: p * (t >= age),
        },
        clocks=[{"id": "c", "label": "", "running_since": AS_OF}],
        scheduled=[dated, *aged] if dated_first else [*aged, dated],
    )


def an_age_already_past() -> Case:
    """An age reached before the as-of date never rings; one reached on that very day does."""
    ring = [{"id": "only", "label": "", "effect": {"set": ["a"]}}]
    end = [{"id": "only", "label": "", "effect": {"end": "x"}}]
    return _case(
        {},
        {("cause", "x"): lambda _: 0.0, ("state", "a"): lambda _: 1.0},
        clocks=[{"id": "c", "label": "", "running_since": AS_OF - timedelta(days=100)}],
        scheduled=[
            {"id": "gone", "label": "", "at_age": {"clock": "c", "age": 90 / 365.25}, "branches": end},
            {"id": "today", "label": "", "at_age": {"clock": "c", "age": 100 / 365.25}, "branches": ring},
        ],
    )


CASES: dict[str, Callable[[], Case]] = {
    "coins_at_ages": coins_at_ages,
    "ties_of_a_date_before_ages": lambda: ties(dated_first=True),
    "ties_of_ages_before_a_date": lambda: ties(dated_first=False),
    "an_age_already_past": an_age_already_past,
    "two_exponentials": two_exponentials,
    "age_bins": age_bins,
    "weibull_falling_from_age_0": lambda: weibull(0.35, 0),
    "weibull_falling_from_age_2": lambda: weibull(0.6, 730),
    "weibull_rising": lambda: weibull(2.6, 100),
    "weibull_that_begins_later": lambda: weibull(0.7, -300),
    "weibull_against_exponential": weibull_against_exponential,
    "two_steps": two_steps,
    "coins_at_once": coins_at_once,
    "votes_that_turn": votes_that_turn,
    "softmax_of_three": softmax_of_three,
    "deadline": deadline,
    "restarted_clock": restarted_clock,
}
