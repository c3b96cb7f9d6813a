"""Changes of a process that must not change its forecast, and laws that every forecast obeys.

Everybody's luck hangs on his own name, so that most of these hold to the bit, path by path; where a sum is taken in
another order, histories are the same and times differ by rounding. What tests/property/test_engine.py and
tests/unit/test_simulate.py have already is not repeated here.
"""

import os
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.deal.spec import (
    Clock,
    Condition,
    Process,
)
from forecast.process.compile import compile_process
from forecast.process.draws import Draws
from forecast.simulate import record_paths, simulate
from tests.generate import KINDS, generate
from tests.reference.changes import impossible, prepared, renamed, rescaled, undated, wider
from tests.reference.processes import random_process

INTERPRETED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
FEW = settings(max_examples=3 if INTERPRETED else 30)
REPLICATES = 4 if INTERPRETED else 30
N_DRAW = 3

seeds = st.integers(0, 2**64 - 1)
generated = st.tuples(st.sampled_from(KINDS), st.integers(0, 5000), st.booleans()).map(
    lambda x: generate(x[0], x[1], random_clocks=x[2], n_draw=N_DRAW)
)
mixed = st.integers(0, 400).map(lambda n: random_process(n, N_DRAW))
made = st.one_of(generated, mixed)


class Run:
    """Everything that can be seen of a simulated process, under names, to the bit."""

    def __init__(
        self, process: Process, draws: Draws, seed: int, *, grid: np.ndarray | None = None, replicates: int = REPLICATES
    ) -> None:
        self.program = p = compile_process(process, draws)
        self.grid = np.linspace(0.0, p.horizon, 9) if grid is None else grid
        self.counts = c = simulate(p, seed=seed, replicates=replicates, grid=self.grid, threads=1)
        self.log = log = record_paths(
            p, seed=seed, paths=np.arange(p.n_draw * replicates), replicates=replicates, max_steps=2000
        )
        firings = [f.id for f in p.firings]
        tables = (
            ("cause", p.causes, c.cause),
            ("outcome", p.outcomes, c.outcome),
            ("state", p.flags, c.state),
            ("fired", firings, c.fired),
            ("consequence", p.consequences, c.consequence),
            ("square", p.consequences, c.consequence_square),
        )
        self.columns = {(kind, id_): a[..., n].tobytes() for kind, ids, a in tables for n, id_ in enumerate(ids)}
        self.times = [log.time[i, : log.n_step[i]] for i in range(len(log.n_step))]
        self.events = [
            (
                [firings[j] for j in log.firing[i, : log.n_step[i]]],
                p.causes[log.cause[i]] if log.cause[i] >= 0 else None,
            )
            for i in range(len(log.n_step))
        ]

    def bits(self) -> list[bytes]:
        """Times of all paths."""
        return [t.tobytes() for t in self.times]


def same(a: Run, b: Run) -> None:
    """Whatever `a` has is in `b`, to the bit; `b` may have more."""
    assert a.columns.items() <= b.columns.items()
    assert a.events == b.events
    assert a.bits() == b.bits()
    assert a.log.end_time.tobytes() == b.log.end_time.tobytes()


def alike(a: Run, b: Run, *, scale: float = 1.0, rtol: float = 1e-12) -> None:
    """Histories of `a` are those of `b`; times, in units that are `scale` times as long, but for rounding."""
    assert a.events == b.events
    for x, y in zip(a.times, b.times, strict=True):
        np.testing.assert_allclose(y * scale, x, rtol=rtol, atol=1e-12)


# ---- laws ------------------------------------------------------------------------------------------


@FEW
@given(case=made, seed=seeds)
def test_probabilities_add_up_and_incidence_never_falls(case, seed):
    run = Run(*case, seed)
    c, process = run.counts, case[0]
    assert (c.outcome.sum(axis=2) == REPLICATES).all()
    assert min(c.outcome.min(), c.state.min(), c.cause.min(), c.fired.min()) >= 0
    assert c.state.max() <= REPLICATES
    assert (np.diff(c.cause, axis=1) >= 0).all()
    ended = c.cause.sum(axis=2)
    assert ended.max() <= REPLICATES
    # classes that want a cause hold ended paths only, classes that want none hold the others only
    with_cause = [n for n, o in enumerate(process.outcomes) if o.causes]
    without = [n for n, o in enumerate(process.outcomes[:-1]) if not o.causes]
    assert (c.outcome[:, :, with_cause].sum(axis=2) <= ended).all()
    assert (c.outcome[:, :, without].sum(axis=2) <= REPLICATES - ended).all()


@FEW
@given(case=made, seed=seeds)
def test_what_fires_accounts_for_ends_and_flags(case, seed):
    """A path ends as often as something that ends it fires; a flag that nothing clears is only ever gained."""
    run = Run(*case, seed)
    c, program = run.counts, run.program
    for n, cause in enumerate(program.causes):
        ending = [j for j, e in enumerate(program.effects) if e.end == cause]
        np.testing.assert_array_equal(c.fired[:, ending].sum(axis=1), c.cause[:, -1, n])
    for n, flag in enumerate(program.flags):
        change = np.diff(c.state[:, :, n], axis=1)
        setting = [j for j, e in enumerate(program.effects) if flag in e.set]
        if not any(flag in e.clear for e in program.effects):
            assert (change >= 0).all()
        gained = c.state[:, -1, n] - c.state[:, 0, n]
        assert (gained <= c.fired[:, setting].sum(axis=1)).all()


# ---- newcomers to whom nothing can happen ----------------------------------------------------------


@pytest.mark.parametrize("what", impossible(random_process(0)[0]))
@settings(max_examples=2 if INTERPRETED else 10)
@given(case=made, seed=seeds, place=st.floats(0.0, 1.0))
def test_a_newcomer_to_whom_nothing_can_happen_changes_no_bit(what, case, seed, place):
    process, draws = prepared(*case)
    field, new = impossible(process)[what]
    # the last class catches what is left, and file order decides between classes, so that a new one goes first
    place = 0.0 if field == "outcomes" else place
    a, b = Run(process, draws, seed), Run(wider(process, field, place, new), draws, seed)
    same(a, b)
    extra = {key: value for key, value in b.columns.items() if key not in a.columns and key[0] != "state"}
    assert not any(any(value) for value in extra.values())


@FEW
@given(case=made, seed=seeds, which=st.permutations(sorted(impossible(random_process(0)[0]))))
def test_many_such_newcomers_change_no_bit_either(case, seed, which):
    process, draws = prepared(*case)
    wide, parts = process, impossible(process)
    for n, what in enumerate(which[:8]):
        field, new = parts[what]
        new = new.model_copy(update={"id": f"new_{n}"})
        wide = wider(wide, field, 0.0 if field == "outcomes" else n / 8, new)
    same(Run(process, draws, seed), Run(wide, draws, seed))


# ---- another way to say the same -------------------------------------------------------------------


@FEW
@given(case=made, seed=seeds, data=st.data())
def test_the_order_of_hazards_changes_no_bit(case, seed, data):
    process, draws = case
    turned = process.model_copy(update={"hazards": tuple(data.draw(st.permutations(process.hazards)))})
    same(Run(process, draws, seed), Run(turned, draws, seed))


@FEW
@given(case=made, seed=seeds, data=st.data())
def test_the_order_of_literals_and_consequences_changes_no_bit(case, seed, data):
    process, draws = case

    def mixed_up(c: Condition) -> Condition:
        groups = tuple(tuple(data.draw(st.permutations(g))) for g in c.any)
        return Condition(all=tuple(data.draw(st.permutations(c.all))), any=tuple(data.draw(st.permutations(groups))))

    changes = {
        "hazards": tuple(h.model_copy(update={"when": mixed_up(h.when)}) for h in process.hazards),
        "scheduled": tuple(s.model_copy(update={"when": mixed_up(s.when)}) for s in process.scheduled),
        "consequences": tuple(data.draw(st.permutations(process.consequences))),
    }
    same(Run(process, draws, seed), Run(process.model_copy(update=changes), draws, seed))


@FEW
@given(case=made, seed=seeds)
def test_other_names_of_flags_clocks_causes_and_classes_change_no_bit(case, seed):
    """In reverse alphabetical order, should anything sort by name. Events keep theirs: their luck hangs on it."""
    process, draws = case
    old = [x.id for x in (*process.flags, *process.clocks, *process.causes, *process.outcomes)]
    new = {id_: f"z{len(old) - n:03}_renamed" for n, id_ in enumerate(sorted(old))}
    other = Process.model_validate(renamed(process.model_dump(), new))
    a, b = Run(process, draws, seed), Run(other, draws, seed)
    assert len(new) == len(old)
    kept = ("fired", "consequence", "square")
    columns = {(kind, id_ if kind in kept else new[id_]): x for (kind, id_), x in a.columns.items()}
    assert columns == b.columns
    assert a.bits() == b.bits()
    assert [(e, c and new[c]) for e, c in a.events] == b.events


@FEW
@given(case=generated, seed=seeds, days=st.integers(-20_000, 20_000))
def test_moving_every_date_changes_no_bit_of_the_counts(case, seed, days):
    process, draws = case
    by = timedelta(days=days)
    moved = process.model_copy(
        update={
            "as_of": process.as_of + by,
            "scheduled": tuple(
                s.model_copy(update={"dates": tuple(d + by for d in s.dates)}) for s in process.scheduled
            ),
            "clocks": tuple(
                c.model_copy(update={"running_since": c.running_since and c.running_since + by}) for c in process.clocks
            ),
        }
    )
    same(Run(process, draws, seed), Run(moved, draws, seed))


@FEW
@given(case=made, seed=seeds, where=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=4), data=st.data())
def test_cutting_age_bins_changes_no_history(case, seed, where, data):
    """Any bins, the open one included, into up to five parts."""
    process, draws = case
    values, edges = dict(draws.values), dict(draws.edges)
    for name, e in draws.edges.items():
        n = data.draw(st.integers(0, len(e) - 2))
        high = e[n + 1] if np.isfinite(e[n + 1]) else e[n] + 5.0
        cuts = np.unique(e[n] + (high - e[n]) * np.array(where))
        edges[name] = np.concatenate([e[: n + 1], cuts, e[n + 1 :]])
        values[name] = np.repeat(values[name], [1 + len(cuts) * (i == n) for i in range(len(e) - 1)], axis=1)
    alike(Run(process, draws, seed), Run(process, Draws(values, edges, draws.labels, {}), seed))


@FEW
@given(case=made, seed=seeds, cut=st.floats(0.05, 3.0))
def test_a_constant_rate_may_as_well_go_by_age(case, seed, cut):
    """A hazard without a clock is one of the path's own age; in two bins, it is the same one."""
    process, draws = case
    values, edges, hazards = dict(draws.values), dict(draws.edges), []
    for h in process.hazards:
        if h.rate and not h.clock:
            edges[f"{h.id}_bins"] = np.array([0.0, cut, np.inf])
            values[f"{h.id}_bins"] = np.repeat(draws.values[h.rate][:, None], 2, axis=1)
            h = h.model_copy(update={"rate": f"{h.id}_bins", "clock": "own"})  # noqa: PLW2901
        hazards.append(h)
    aged = wider(process, "clocks", 0.0, Clock(id="own", label="", running_since=process.as_of))
    aged = aged.model_copy(update={"hazards": tuple(hazards)})
    alike(Run(process, draws, seed), Run(aged, Draws(values, edges, draws.labels, {}), seed))


@FEW
@given(case=made, seed=seeds, share=st.floats(0.2, 0.95))
def test_a_shorter_window_sees_the_same_beginning(case, seed, share):
    process, draws = case
    short = process.horizon * share
    grid = np.linspace(0.0, short, 7)
    a = Run(process.model_copy(update={"horizon": short}), draws, seed, grid=grid)
    b = Run(process, draws, seed, grid=grid)
    for key, value in a.columns.items():
        if key[0] in ("cause", "outcome", "state", "consequence"):
            assert b.columns[key] == value, key
    for x, y in zip(a.times, b.times, strict=True):
        assert x.tobytes() == y[y <= short].tobytes()


# ---- units of time ---------------------------------------------------------------------------------


@FEW
@given(case=made, seed=seeds, power=st.integers(-3, 6))
def test_a_unit_of_time_twice_as_long_changes_no_bit(case, seed, power):
    """Powers of two leave every digit as it is, through all of the arithmetic; but amounts a year are per unit."""
    process, draws = undated(case[0]), case[1]
    c = 2.0**power
    a, b = Run(process, draws, seed), Run(*rescaled(process, draws, c), seed)
    assert a.events == b.events
    assert a.bits() == [(t * c).tobytes() for t in b.times]
    for key, value in a.columns.items():
        if key[0] not in ("consequence", "square"):
            assert b.columns[key] == value, key
    flow = np.array([c if x.when is not None else 1.0 for x in process.consequences])
    assert (b.counts.consequence * flow).tobytes() == a.counts.consequence.tobytes()
    assert (b.counts.consequence_square * flow**2).tobytes() == a.counts.consequence_square.tobytes()


@FEW
@given(case=made, seed=seeds, c=st.floats(0.1, 30.0))
def test_any_other_unit_of_time_changes_no_history(case, seed, c):
    process, draws = undated(case[0]), case[1]
    a, b = Run(process, draws, seed), Run(*rescaled(process, draws, c), seed)
    alike(a, b, scale=c, rtol=1e-9)
    for key, value in a.columns.items():
        if key[0] == "fired":
            assert b.columns[key] == value, key


# ---- however the work is cut -----------------------------------------------------------------------


@FEW
@given(case=made, seed=seeds, data=st.data())
def test_paths_are_the_same_in_any_order_and_company(case, seed, data):
    """Nothing that one path leaves behind, in scratch space or in what is remembered of a draw, reaches another."""
    program = compile_process(*case)
    whole = np.arange(program.n_draw * REPLICATES)
    straight = record_paths(program, seed=seed, paths=whole, replicates=REPLICATES, max_steps=500)
    chosen = np.array(data.draw(st.lists(st.sampled_from(whole.tolist()), min_size=1, max_size=40)))
    other = record_paths(program, seed=seed, paths=chosen, replicates=REPLICATES, max_steps=500)
    for field in ("time", "firing", "cause", "end_time", "n_step"):
        assert getattr(other, field).tobytes() == getattr(straight, field)[chosen].tobytes(), field


@FEW
@given(case=made, seed=seeds, threads=st.integers(1, 2), size=st.integers(1, 3))
def test_threads_and_uneven_blocks_change_no_bit(case, seed, threads, size):
    program = compile_process(*case)
    settings_ = {"seed": seed, "replicates": REPLICATES, "grid": np.linspace(0.0, program.horizon, 6)}
    whole = simulate(program, **settings_, threads=threads)
    cuts = [slice(d, d + size) for d in range(0, N_DRAW, size)]
    parts = [simulate(program, **settings_, draws=s) for s in reversed(cuts)][::-1]
    for x in ("cause", "outcome", "state", "fired", "consequence", "consequence_square"):
        assert getattr(whole, x).tobytes() == np.concatenate([getattr(b, x) for b in parts]).tobytes(), x


@FEW
@given(case=made, seed=seeds, n=st.integers(1, 40))
def test_one_more_replicate_adds_one_path(case, seed, n):
    """Whatever is worked out for several replicates at once must not know how many there are."""
    program = compile_process(*case)
    grid = np.array([program.horizon])
    few, many = (simulate(program, seed=seed, replicates=r, grid=grid, threads=1) for r in (n, n + 1))
    last = np.arange(program.n_draw) * (n + 1) + n
    log = record_paths(program, seed=seed, paths=last, replicates=n + 1, max_steps=2000)
    for d in range(program.n_draw):
        fired = np.bincount(log.firing[d, : log.n_step[d]], minlength=len(program.firings))
        np.testing.assert_array_equal(many.fired[d] - few.fired[d], fired)
        ended = np.arange(len(program.causes)) == log.cause[d]
        np.testing.assert_array_equal((many.cause - few.cause)[d, 0], ended)
    assert ((many.outcome - few.outcome).sum(axis=2) == 1).all()
