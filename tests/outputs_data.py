"""A small process with everything that outputs must cope with, its draws, and hand-made counts of it."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from forecast.analysis.base_rates import base_rate_table
from forecast.analysis.storylines import storyline_table, storylines
from forecast.archive import Archive, Run
from forecast.deal.spec import (
    BaseRate,
    Branch,
    Cause,
    Clock,
    Condition,
    Consequence,
    Effect,
    Flag,
    Hazard,
    Modifier,
    OutcomeClass,
    Process,
    Scheduled,
)
from forecast.estimands import build_forecast
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.refine import Figures, Wanted, estimates_dataset
from forecast.simulate import Counts, PathLog
from forecast.types import F64, date_after, monthly_grid, years_between

AS_OF, HORIZON = date(2025, 3, 15), date(2030, 3, 15)
N_DRAW = 40


def process() -> Process:
    """Talks in rounds, a signature, an election, a withdrawal, and fighting that may resume."""
    rounds = tuple(d for d in monthly_grid(AS_OF, date(2027, 3, 15))[1::3])
    refused = Effect(set=("refused",))
    return Process(
        deal_id="small",
        title="A small settlement",
        as_of=AS_OF,
        horizon=years_between(AS_OF, HORIZON),
        flags=(
            Flag(id="signed", label="Signed"),
            Flag(id="refused", label="The North refused in the last round"),
            Flag(id="opposed", label="An opponent holds the office"),
            Flag(id="weather", label="It rained"),
        ),
        clocks=(Clock(id="since", label="Time since signature"), Clock(id="office", label="Time in office")),
        hazards=(
            Hazard(id="collapse", label="Talks collapse", when=Condition(all=("not signed",)), rate="collapse",
                   effect=Effect(end="no_deal")),
            Hazard(id="fighting", label="Fighting resumes", when=Condition(all=("signed",)), clock="since",
                   rate="fighting", modifiers=(Modifier(when="opposed", log_ratio="tension"),),
                   effect=Effect(end="war")),
            Hazard(id="withdrawal", label="The opponent withdraws", when=Condition(all=("signed", "opposed")),
                   clock="office", rate="withdrawal", effect=Effect(end="exit")),
            Hazard(id="rain", label="It rains", rate="rain", effect=Effect(set=("weather",))),
        ),
        scheduled=(
            Scheduled(id="vote", label="Election", dates=(date(2028, 11, 7),), branches=(
                Branch(id="change", label="Power changes hands", probability="change",
                       effect=Effect(set=("opposed",), start=("office",))),
                Branch(id="stays", label="The same side stays"))),
            Scheduled(id="north", label="The North decides", when=Condition(all=("not signed",)), dates=rounds,
                      branches=(Branch(id="accepts", label="The North accepts", probability="accepts",
                                       effect=Effect(clear=("refused",))),
                                Branch(id="refuses", label="The North refuses", effect=refused))),
            Scheduled(id="signing", label="Signature", when=Condition(all=("not signed", "not refused")), dates=rounds,
                      branches=(Branch(id="signed", label="The deal is signed",
                                       effect=Effect(set=("signed",), start=("since",))),)),
        ),
        causes=(Cause(id="no_deal", label="No deal"), Cause(id="war", label="Fighting resumes"),
                Cause(id="exit", label="The North withdraws"), Cause(id="comet", label="Never seen")),
        outcomes=(
            OutcomeClass(id="in_force", label="Signed and in force", when=Condition(all=("signed",))),
            OutcomeClass(id="failed", label="Broken down", causes=("war", "exit", "comet")),
            OutcomeClass(id="no_deal", label="No deal", causes=("no_deal",)),
            OutcomeClass(id="open", label="Talks still open", rest=True),
        ),
        consequences=(
            Consequence(id="lost", label="Exports lost", unit="TIV million", amount=("exports",), sign=-1,
                        when=Condition(all=("signed",)), conserved="market"),
            Consequence(id="gained", label="Exports gained", unit="TIV million", amount=("exports",),
                        when=Condition(all=("signed",)), conserved="market"),
            Consequence(id="cost", label="Cost of a war", unit="EUR billion", amount=("cost",), event="fighting"),
        ),
    )  # fmt: skip


def draws(n: int = N_DRAW, seed: int = 5) -> Draws:
    """Draws that differ widely, an age-binned rate among them."""
    rng = np.random.default_rng(seed)
    logistic = 1 / (1 + np.exp(-rng.normal(0, 0.7, n)))
    values = {
        "collapse": rng.lognormal(-1.5, 0.5, n),
        "fighting": rng.lognormal(-1.2, 0.6, (n, 1)) * np.array([1.5, 1.0, 0.6]),
        "tension": rng.normal(0.5, 0.2, n),
        "withdrawal": rng.lognormal(-0.5, 0.4, n),
        "rain": np.full(n, 3.0),
        "change": logistic,
        "accepts": rng.beta(4, 6, n),
        "exports": rng.lognormal(3.0, 0.3, n),
        "cost": rng.lognormal(2.0, 0.2, n),
        "share": rng.dirichlet([3, 2], n),
    }
    return Draws(
        values,
        {"fighting": np.array([0.0, 1.0, 5.0, np.inf])},
        {"share": ("france", "turkey")},
        {"fighting": "per year", "exports": "TIV million per year"},
    )


def program(n: int = N_DRAW) -> Program:
    """Compile the small process."""
    return compile_process(process(), draws(n))


def grid() -> F64:
    """Monthly, from the as-of date to the horizon."""
    return np.array([years_between(AS_OF, d) for d in monthly_grid(AS_OF, HORIZON)])


def made_counts(p: Program, replicates: int, seed: int = 1, n_time: int | None = None) -> Counts:
    """Counts that a simulation could have given: chance at every step, no cause `comet`."""
    rng = np.random.default_rng(seed)
    times = grid() if n_time is None else grid()[-n_time:]
    d, t, k = p.n_draw, len(times), len(p.causes)
    ended = np.zeros((d, t, k), np.int32)
    left = np.full(d, replicates)
    for i in range(t):
        for c in range(k - 1):
            new = rng.binomial(left, rng.beta(1, 60, d))
            ended[:, i, c] = new
            left = left - new
    ended = np.cumsum(ended, axis=1, dtype=np.int32)
    alive = (replicates - ended.sum(axis=2)).astype(np.int32)
    in_force = rng.binomial(alive, 0.6).astype(np.int32)
    outcome = np.stack([in_force, ended[:, :, 1:].sum(2), ended[:, :, 0], alive - in_force], axis=2).astype(np.int32)
    state = rng.binomial(replicates, 0.3, (d, t, len(p.flags))).astype(np.int32)
    amount = in_force.cumsum(axis=1)[:, :, None] * np.array([-1.0, 1.0, 0.2])
    return Counts(
        replicates=replicates,
        grid=times,
        cause=ended,
        outcome=outcome,
        state=state,
        fired=rng.integers(0, 3 * replicates, (d, len(p.firings))),
        consequence=amount,
        consequence_square=(amount[:, -1] / replicates) ** 2 * replicates * 1.5,
    )


def log_of(p: Program, paths: list[list[tuple[float, str]]], draw: list[int] | None = None) -> PathLog:
    """Make a log by hand: for each path its firings, as (time, firing id); what ends it ends the path."""
    ids = [f.id for f in p.firings]
    n, steps = len(paths), max(map(len, paths)) + 2
    time, firing = np.full((n, steps), np.nan), np.full((n, steps), -1, np.int32)
    cause, end = np.full(n, -1, np.int64), np.full(n, p.horizon)
    for i, path in enumerate(paths):
        for j, (t, name) in enumerate(path):
            time[i, j], firing[i, j] = t, ids.index(name)
            if ends := p.effects[ids.index(name)].end:
                cause[i], end[i] = p.causes.index(ends), t
    draws_ = np.arange(n) if draw is None else np.array(draw)
    steps_ = np.array([len(x) for x in paths])
    none = np.zeros(n, np.int64)
    return PathLog(draws_, none, steps_, cause, end, none.astype(np.bool_), time, firing)


def attrs(n_draw: int, replicates: int, **changes: Any) -> dict[str, Any]:
    """Provenance of a run."""
    return {
        "deal_id": "small",
        "title": "A small settlement",
        "deal_digest": "5f0c6a2f9b1d4a7e8c3b2a1908f7e6d5",
        "as_of": AS_OF.isoformat(),
        "horizon": HORIZON.isoformat(),
        "seed": 1,
        "draws": n_draw,
        "replicates": replicates,
        "paths": n_draw * replicates,
        "status": "published",
        "held_reasons": "[]",
        "headline": json.dumps([["Signed", "state_probability", "signed", "2027-03-15"]]),
        "command": "forecast run priors/small",
        "git_commit": "",
        "versions": json.dumps({"forecast": "0.1.0"}),
        "inputs": "{}",
        "calibration_digest": "9d" * 32,
        "created": "2026-11-24T12:00:00+00:00",
        **changes,
    }


def files(folder: Path, contents: Mapping[str, str] | None = None) -> dict[str, Path]:
    """Input files in `folder`: name in the archive → file."""
    made = {}
    for name, text in (contents or {"deal/deal.toml": "[deal]\n", "deal/experts.csv": "question\n"}).items():
        made[name] = folder / name.replace("/", "_")
        made[name].write_text(text, encoding="utf-8")
    return made


def forecast_tree(n_draw: int = 8, replicates: int = 20, n_time: int = 4, **changes: Any) -> xr.DataTree:
    """Build a whole forecast, every group included, from hand-made counts."""
    p = program(n_draw)
    paths = [[(0.3, "signing/signed"), (2.0, "fighting")], [(1.0, "collapse")], [(0.3, "signing/signed")], []]
    log = log_of(p, paths, draw=[k % n_draw for k in range(len(paths))])
    rate = BaseRate(
        mechanism="War within 2 years of signature", causes=("war",), since="signed", within=2.0,
        value=0.3, lower=0.2, upper=0.4, source="counted",
    )  # fmt: skip
    return build_forecast(
        p,
        made_counts(p, replicates, n_time=n_time),
        log,
        draws(n_draw),
        attrs(n_draw, replicates, **changes),
        base_rate_table(p, log, [rate]),
        storyline_table(p, log, storylines(p, log, replicates)),
        made_estimates(p),
    )


def made_estimates(p: Program) -> xr.Dataset:
    """Figures of each kind: weighted, boosted, too few, none."""
    horizon = date_after(p.process.as_of, p.horizon).date()
    wanted = [Wanted(o.label, "outcome_probability", o.id, horizon) for o in p.process.outcomes]
    n = len(wanted)
    chance = np.random.default_rng(3).dirichlet(np.ones(n), p.n_draw)
    methods = ("weighted paths", "importance sampling", "too few paths", "no path reached it")
    found = Figures(
        tuple(wanted), chance, np.full(n, 1e-5), np.full(n, 1e-3), np.full(n, 500.0),
        tuple(methods[k % 4] for k in range(n)), 1000,
    )  # fmt: skip
    return estimates_dataset(found)


def write(archive: Archive, tree: xr.DataTree, folder: Path) -> Run:
    """Write a run with two input files and a report."""

    def report(run: Path) -> None:
        (run / "report.html").write_text("<html>a report</html>", encoding="utf-8")

    return archive.write_run(tree, files(folder), dict(tree.attrs), report)
