"""Identities that hold path by path, so that no tolerance for chance is needed."""

import os
from datetime import timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.deal.spec import Flag, Modifier, Process
from forecast.process.compile import compile_process
from forecast.process.draws import Draws
from forecast.simulate import PathLog, record_paths, simulate
from forecast.types import calendar_dates
from tests.reference.processes import random_process

numbers = st.integers(0, 400)
seeds = st.integers(0, 2**64 - 1)
FEW = settings(max_examples=4 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 40)


def paths(process: Process, draws: Draws, seed: int, n: int = 24) -> PathLog:
    program = compile_process(process, draws)
    return record_paths(program, seed=seed, paths=np.arange(program.n_draw * n), replicates=n, max_steps=200)


def close(a: PathLog, b: PathLog) -> None:
    np.testing.assert_array_equal(a.firing, b.firing)
    np.testing.assert_array_equal(a.cause, b.cause)
    np.testing.assert_allclose(a.time, b.time, rtol=1e-9, atol=1e-12)


@FEW
@given(number=numbers, seed=seeds, where=st.floats(0.1, 0.9))
def test_splitting_an_age_bin_changes_nothing(number, seed, where):
    process, draws = random_process(number)
    values, edges = dict(draws.values), dict(draws.edges)
    for name, e in draws.edges.items():
        cut = e[1] * where
        edges[name] = np.concatenate([[0.0, cut], e[1:]])
        values[name] = np.concatenate([values[name][:, :1], values[name]], axis=1)
    close(paths(process, draws, seed), paths(process, Draws(values, edges, draws.labels, {}), seed))


@FEW
@given(number=numbers, seed=seeds, days=st.integers(-4000, 4000))
def test_moving_every_date_changes_no_bit(number, seed, days):
    process, draws = random_process(number)
    shift = timedelta(days=days)

    def dated(s, by):
        days_ = calendar_dates(s.every.first, s.every.every, s.every.last) if s.every else s.dates
        return s.model_copy(update={"dates": tuple(d + by for d in days_), "every": None})

    here = process.model_copy(update={"scheduled": tuple(dated(s, timedelta()) for s in process.scheduled)})
    there = process.model_copy(
        update={
            "as_of": process.as_of + shift,
            "scheduled": tuple(dated(s, shift) for s in process.scheduled),
            "clocks": tuple(
                c.model_copy(update={"running_since": c.running_since and c.running_since + shift})
                for c in process.clocks
            ),
        }
    )
    a, b = paths(here, draws, seed), paths(there, draws, seed)
    assert a.time.tobytes() == b.time.tobytes()
    assert a.firing.tobytes() == b.firing.tobytes()


@FEW
@given(number=numbers, seed=seeds)
def test_an_influence_of_nothing_changes_nothing(number, seed):
    """A log ratio of 0 on every hazard: refreshed more often, moved by rounding at most."""
    process, draws = random_process(number)
    nothing = (Modifier(when="a", log_ratio="nothing"), Modifier(when="not b", log_ratio="nothing"))
    hazards = tuple(h.model_copy(update={"modifiers": (*h.modifiers, *nothing)}) for h in process.hazards)
    values = {**draws.values, "nothing": np.zeros(draws.n_draw)}
    wider = process.model_copy(update={"hazards": hazards})
    close(paths(process, draws, seed), paths(wider, Draws(values, draws.edges, draws.labels, {}), seed))


@FEW
@given(number=numbers, seed=seeds)
def test_the_order_of_flags_clocks_and_causes_changes_no_bit(number, seed):
    process, draws = random_process(number)
    idle = Flag(id="idle", label="", initially=True)
    turned = process.model_copy(
        update={
            "flags": (idle, *process.flags[::-1]),
            "clocks": process.clocks[::-1],
            "causes": process.causes[::-1],
        }
    )
    a, b = paths(process, draws, seed), paths(turned, draws, seed)
    assert a.time.tobytes() == b.time.tobytes()
    assert a.firing.tobytes() == b.firing.tobytes()


@FEW
@given(number=numbers, seed=seeds, factor=st.floats(1.0, 4.0))
def test_a_higher_rate_never_ends_a_path_later(number, seed, factor):
    """With ending hazards alone, each keeps its own luck, so that paths are ordered one by one."""
    process, draws = random_process(number)
    end = process.causes[0].id
    hazards = tuple(
        h.model_copy(update={"effect": h.effect.model_copy(update={"end": end, "start": (), "stop": ()})})
        for h in process.hazards
    )
    flags = tuple(f.model_copy(update={"initially": True}) for f in process.flags if f.id not in ("left", "right"))
    others = tuple(f for f in process.flags if f.id in ("left", "right"))
    first = hazards[0].model_copy(update={"modifiers": (*hazards[0].modifiers, Modifier(log_ratio="more"))})
    parts = {"scheduled": (), "consequences": (), "exclusive": (), "flags": (*flags, *others)}
    when = {"when": process.outcomes[-1].when or type(hazards[0].when)()}
    free = tuple(h.model_copy(update=when) for h in (first, *hazards[1:]))
    process = process.model_copy(update={**parts, "hazards": free})
    low = {**draws.values, "more": np.zeros(draws.n_draw)}
    high = {**draws.values, "more": np.full(draws.n_draw, np.log(factor))}
    a, b = (paths(process, Draws(v, draws.edges, draws.labels, {}), seed) for v in (low, high))
    assert (b.end_time <= a.end_time).all()


@FEW
@given(number=numbers, seed=seeds)
def test_counts_keep_their_laws(number, seed):
    process, draws = random_process(number)
    program = compile_process(process, draws)
    grid = np.linspace(0.0, program.horizon, 8)
    counts = simulate(program, seed=seed, replicates=30, grid=grid, threads=1)
    assert (counts.outcome.sum(axis=2) == 30).all()
    assert (np.diff(counts.cause, axis=1) >= 0).all()
    assert (counts.cause.sum(axis=2) <= 30).all()
    group = [program.flags.index(f) for f in process.exclusive[0]]
    assert (counts.state[:, :, group].sum(axis=2) <= 30).all()
    assert (counts.outcome >= 0).all()
    assert (counts.state >= 0).all()
    squares = counts.consequence[:, -1] ** 2 / 30
    assert (counts.consequence_square >= squares * (1 - 1e-9) - 1e-12).all()  # Cauchy–Schwarz
