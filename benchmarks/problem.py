"""The two problems that every benchmark here runs, built of the same primitives as any deal.

`deal_like` is the size of the first deal: 14 hazards (2 Weibull, 4 with age bins), 6 modifiers each, 5 clocks, 6
series with 50 calendar entries, 24 flags, ten years. `markov` keeps what other simulators can express too: 14
constant hazards over 7 flags, five ways to end, no dates.
"""

from datetime import date
from typing import Any

import numpy as np

from forecast.deal.spec import Process
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.types import F64

AS_OF, HORIZON = date(2025, 4, 1), 10.0
N_DRAW, REPLICATES = 4000, 256
MONTHS = np.linspace(0.0, HORIZON, 121)

CAUSES = ("breakdown", "withdrawal", "nuclear_use", "superseded", "collapse")
STATES = (
    "signed", "ceasefire", "us_against", "ua_against", "ru_against", "verified", "minor_violation", "major_violation",
    "crisis", "aid_cut", "eased", "mobilised", "us_changed", "ua_changed", "monitors", "guarantee", "mediator",
    "energy_truce", "prisoners_home", "court_case", "ports_open", "funds_frozen", "reserve_called", "vote_due",
)  # fmt: skip


def deal_like(n_draw: int = N_DRAW, *, horizon: float = HORIZON, extra_hazards: int = 0, seed: int = 1) -> Program:
    """Compile the big problem; `extra_hazards` more of constant rate that set and clear the flags that nothing reads.

    The rates of the extra ones are so low that a path has about the same number of events.
    """
    rng = np.random.default_rng(seed)
    values: dict[str, F64] = {}
    turn = 0

    def about(name: str, middle: float, spread: float = 0.3) -> str:
        values[name] = rng.lognormal(np.log(middle), spread, n_draw)
        return name

    edges = {"breakdown_bins": [0.0, 0.5, 2.0, 5.0, np.inf], "superseded_bins": [0.0, 1.0, 3.0, np.inf]}
    edges |= {"minor_bins": [0.0, 0.5, 1.0, 3.0, np.inf], "crisis_bins": [0.0, 2.0, 4.0, 6.0, np.inf]}
    for name, middle in (("breakdown", 0.05), ("superseded", 0.05), ("minor", 0.35), ("crisis", 0.15)):
        width = len(edges[f"{name}_bins"]) - 1
        values[f"{name}_bins"] = middle * rng.lognormal(0.0, 0.3, (n_draw, width))
    for name, middle in (("log_up", 0.6), ("log_down", -0.4)):
        values[name] = rng.normal(middle, 0.15, n_draw)
    for name, middle in (("sign", -1.9), ("us", -0.2), ("ua", -0.4), ("verify", 0.4), ("aid", -0.8), ("ru", -1.5)):
        values[f"{name}_logit"] = rng.normal(middle, 0.3, n_draw)
    values["exit_shape"], values["withdrawal_shape"] = rng.uniform(1.1, 1.6, n_draw), rng.uniform(0.7, 1.3, n_draw)

    def weibull(clock: str, name: str, scale: float) -> dict[str, Any]:
        return {"clock": clock, "weibull_shape": f"{name}_shape", "weibull_scale": about(f"{name}_scale", scale)}

    def hazard(name: str, when: list[str], how: dict[str, Any], effect: dict[str, Any]) -> dict[str, Any]:
        nonlocal turn
        modifiers = [
            {"when": STATES[(turn + 5 * j) % 24], "log_ratio": "log_down" if j % 3 == 2 else "log_up"} for j in range(6)
        ]
        turn += 7  # so that each flag is read by three or four hazards
        return {"id": name, "label": "", "when": when, **how, "modifiers": modifiers, "effect": effect}

    since = {"clock": "since_signed"}
    hazards = [
        hazard("breakdown", ["signed"], {**since, "rate": "breakdown_bins"}, {"end": "breakdown"}),
        hazard("withdrawal", ["signed"], weibull("since_signed", "withdrawal", 25.0), {"end": "withdrawal"}),
        hazard("nuclear", ["not ceasefire"], {"rate": about("nuclear", 1e-5)}, {"end": "nuclear_use"}),
        hazard("supersede", ["signed"], {**since, "rate": "superseded_bins"}, {"end": "superseded"}),
        hazard("collapse", ["not signed"], {"rate": about("collapse", 0.04)}, {"end": "collapse"}),
        hazard("minor", ["signed", "not minor_violation"], {**since, "rate": "minor_bins"},
               {"set": ["minor_violation"], "start": ["since_violation"]}),
        hazard("repair", ["minor_violation"], {"rate": about("repair", 0.4)},
               {"clear": ["minor_violation", "major_violation"], "stop": ["since_violation"]}),
        hazard("major", ["minor_violation", "not major_violation"],
               {"clock": "since_violation", "rate": about("major", 0.25)},
               {"set": ["major_violation"], "clear": ["ceasefire"]}),
        hazard("slump", ["not crisis"], {"clock": "us_term", "rate": "crisis_bins"}, {"set": ["crisis"]}),
        hazard("recovery", ["crisis"], {"rate": about("recovery", 0.3)}, {"clear": ["crisis"]}),
        hazard("leader_exit", [], weibull("ua_tenure", "exit", 9.0),
               {"set": ["ua_against"], "start": ["ua_tenure"]}),
        hazard("mobilise", ["not mobilised"], {"rate": about("mobilise", 0.12)},
               {"set": ["mobilised", "reserve_called"]}),
        hazard("demobilise", ["mobilised"], {"rate": about("demobilise", 0.3)},
               {"clear": ["mobilised", "reserve_called"], "set": ["prisoners_home"]}),
        hazard("case", ["not court_case"], {"rate": about("case", 0.15)}, {"set": ["court_case", "funds_frozen"]}),
    ]  # fmt: skip
    for n in range(extra_hazards):
        flag = ("ports_open", "vote_due", "mediator", "energy_truce")[n % 4]
        extra = {"id": f"extra_{n}", "label": "", "rate": about(f"extra_{n}", 2e-3), "effect": {"set": [flag]}}
        hazards.append({**extra, "modifiers": hazards[-1]["modifiers"] if n == 0 else hazards[13]["modifiers"]})

    def series(name: str, when: list[str], dates: dict[str, Any], logit: str, yes: dict[str, Any], no: dict[str, Any],
               *modifiers: str) -> dict[str, Any]:  # fmt: skip
        shift = [{"when": flag, "log_ratio": "log_up"} for flag in modifiers]
        branches = [
            {"id": "yes", "label": "", "logit": f"{logit}_logit", "modifiers": shift, "effect": yes},
            {"id": "no", "label": "", "effect": no},
        ]
        return {"id": name, "label": "", "when": when, **dates, "branches": branches}

    def every(first: date, last: date, years: float) -> dict[str, Any]:
        return {"every": {"first": first, "last": last, "every": years}}

    scheduled = [
        series("talks", ["not signed", "not ua_against"], every(date(2025, 5, 1), date(2030, 5, 1), 0.25), "sign",
               {"set": ["signed", "ceasefire"], "start": ["since_signed"]}, {}, "monitors", "guarantee"),
        series("review", ["signed"], every(date(2026, 3, 1), date(2035, 3, 25), 1.0), "verify",
               {"set": ["verified", "monitors"]}, {"clear": ["verified"]}, "us_changed", "eased"),
        series("us_election", [], {"dates": [date(2028, 11, 7), date(2032, 11, 2)]}, "us",
               {"set": ["us_changed"]}, {"clear": ["us_changed"]}, "crisis", "aid_cut"),
        series("us_inauguration", ["us_changed"], {"dates": [date(2029, 1, 20), date(2033, 1, 20)]}, "ru",
               {"set": ["us_against"], "start": ["us_term"]}, {"clear": ["us_against"], "start": ["us_term"]},
               "major_violation"),
        series("ua_vote", [], every(date(2026, 1, 10), date(2035, 1, 1), 1.25), "ua",
               {"set": ["ua_changed"], "clear": ["ua_against"]}, {"set": ["guarantee"]}, "crisis", "mobilised"),
        series("aid_vote", [], every(date(2025, 10, 1), date(2033, 3, 1), 1.0), "aid",
               {"set": ["aid_cut"]}, {"clear": ["aid_cut"], "set": ["eased"]}, "us_against", "crisis"),
    ]  # fmt: skip
    running = {"us_term": date(2025, 1, 20), "ua_tenure": date(2019, 5, 20), "ru_tenure": date(2012, 5, 7)}
    process = Process.model_validate({
        "deal_id": "deal_like", "title": "Benchmark", "as_of": AS_OF, "horizon": horizon,
        "flags": [{"id": f, "label": "", "initially": f == "vote_due"} for f in STATES],
        "clocks": [{"id": c, "label": "", "running_since": running.get(c)}
                   for c in ("since_signed", "since_violation", "us_term", "ua_tenure", "ru_tenure")],
        "hazards": hazards,
        "scheduled": [s for s in scheduled if _within(s, horizon)],
        "causes": [{"id": c, "label": ""} for c in CAUSES],
        "outcomes": [
            *({"id": c, "label": "", "causes": [c]} for c in CAUSES),
            {"id": "in_force", "label": "", "when": ["signed"]},
            {"id": "talks_open", "label": "", "rest": True},
        ],
    })  # fmt: skip
    return compile_process(process, Draws(values, {k: np.array(e) for k, e in edges.items()}, {}, {}))


def _within(series: dict[str, Any], horizon: float) -> bool:
    """Whether a series begins before the horizon."""
    first = series["every"]["first"] if "every" in series else series["dates"][0]
    return (first - AS_OF).days / 365.25 < horizon


def markov(n_draw: int = 1, *, seed: int = 2) -> Program:
    """Compile the small problem: constant hazards only, so that every simulator can run it."""
    rng = np.random.default_rng(seed)
    values = {}

    def hazard(name: str, rate: float, when: list[str], effect: dict[str, Any], *modifiers: str) -> dict[str, Any]:
        values[name] = rate * (rng.lognormal(0.0, 0.3, n_draw) if n_draw > 1 else np.ones(1))
        raised = [{"when": flag, "log_ratio": "log_up"} for flag in modifiers]
        return {"id": name, "label": "", "rate": name, "when": when, "modifiers": raised, "effect": effect}

    values["log_up"] = np.full(n_draw, 0.7)
    hazards = [
        hazard("breakdown", 0.05, ["signed"], {"end": "breakdown"}, "major_violation", "us_against", "crisis"),
        hazard("withdrawal", 0.02, ["signed"], {"end": "withdrawal"}, "us_against", "minor_violation"),
        hazard("nuclear", 1e-4, ["mobilised"], {"end": "nuclear_use"}, "major_violation", "crisis"),
        hazard("supersede", 0.04, ["signed"], {"end": "superseded"}, "us_against"),
        hazard("collapse", 0.10, ["not signed"], {"end": "collapse"}, "crisis", "mobilised", "us_against"),
        hazard("sign", 0.5, ["not signed"], {"set": ["signed"]}, "crisis"),
        hazard("minor", 0.5, ["signed", "not minor_violation"], {"set": ["minor_violation"]}, "crisis", "mobilised"),
        hazard("repair", 0.7, ["minor_violation"], {"clear": ["minor_violation", "major_violation"]}),
        hazard("major", 0.3, ["minor_violation", "not major_violation"], {"set": ["major_violation"]}, "us_against"),
        hazard("slump", 0.3, ["not crisis"], {"set": ["crisis"]}, "mobilised"),
        hazard("recovery", 0.6, ["crisis"], {"clear": ["crisis"]}, "aid"),
        hazard("mobilise", 0.3, ["not mobilised"], {"set": ["mobilised"]}, "minor_violation", "crisis"),
        hazard("demobilise", 0.7, ["mobilised"], {"clear": ["mobilised"]}),
        hazard("change", 0.2, ["not us_against"], {"set": ["us_against"]}, "crisis"),
    ]
    flags = ("signed", "minor_violation", "major_violation", "crisis", "mobilised", "us_against", "aid")
    process = Process.model_validate({
        "deal_id": "markov", "title": "Benchmark", "as_of": AS_OF, "horizon": HORIZON,
        "flags": [{"id": f, "label": "", "initially": f == "aid"} for f in flags],
        "hazards": hazards,
        "causes": [{"id": c, "label": ""} for c in CAUSES],
        "outcomes": [
            *({"id": c, "label": "", "causes": [c]} for c in CAUSES),
            {"id": "in_force", "label": "", "when": ["signed"]},
            {"id": "talks_open", "label": "", "rest": True},
        ],
    })  # fmt: skip
    return compile_process(process, Draws(values, {}, {}, {}))
