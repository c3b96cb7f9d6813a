"""Fitted hazards against Kaplan–Meier and Aalen–Johansen estimates (lifelines) of the same spells.

Both see the same data, so they differ by much less than either errs. Tolerances, at fixed times:

* piecewise exponential, at the edges of its bins: 0.75 of a Greenwood standard error. What is left is the bias of
  the bins (each takes its hazard as constant: up to 0.35 in the first year of leaders, whose ends are spread
  evenly over it) and the pull of the walk over ages. Within a bin 1.25, which is where the constant hazard
  shows. The posterior standard deviation is Greenwood's within a third.
* cumulative incidence of competing causes, by the exact engine from the rates fitted: the same 0.75 against
  Aalen–Johansen; what it is not, 1 - Kaplan–Meier of one cause, must be seen.
* Weibull where the hazard rises or falls steadily: 2.5 Greenwood standard errors at each of a dozen times. Of a
  right model the difference has a variance below Greenwood's, and neighbouring times go together.
* Weibull where it does not (presidents with fixed terms; fighting that by definition does not resume within a
  year): the same check must fail.

Leaders come with lifelines. Records of agreements and conflicts are read where they lie, beside the project
or in the folder that FORECAST_RECORDS names; without them their tests are skipped.
"""

import csv
import os
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from forecast.calibrate.classfile import CLASS_FILE
from forecast.calibrate.fit import draws_of, fit
from forecast.calibrate.models import build_model
from forecast.calibrate.records import Record
from forecast.calibrate.reference import build_class
from forecast.deal.parameters import Parameter, Reference
from forecast.deal.spec import Process
from forecast.process.compile import compile_process
from forecast.process.draws import Draws
from forecast.process.exact import exact_forecasts
from tests.oracles.nonparametric import Spells, aalen_johansen, kaplan_meier, leaders

AS_OF = date(2025, 1, 1)
RECORDS = Path(os.environ.get("FORECAST_RECORDS", Path(__file__).parents[3] / "shared" / "data" / "records"))
EDGE, INSIDE, WEIBULL = 0.75, 1.25, 2.5
LEADER_BINS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0)
TREATY_BINS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
FIGHT_BINS = (0.0, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)


def spell_class(id_, spells, edges=None, cause=None):
    """A class of single cases, as one read from files is; piecewise with edges, Weibull without."""
    columns = {"start": "start", "entry": "entry", "event": "event", "followed_to": "followed"}
    family = {"family": "piecewise", "edges": edges} if edges else {"family": "weibull"}
    words = ("title", "question", "licence", "derived_by")
    file = CLASS_FILE.validate_python(
        {
            "id": id_,
            "kind": "survival",
            **dict.fromkeys(words, "made for a test"),
            "unit": "per year" if edges else "years",
            "citation": ["none"],
            "table": {"file": "table.csv", "key": ["row"]},
            "columns": columns | family,
            "prior": {"centre": 0.2 if edges else 5.0, "sd": 3.0, "age_sd": 1.0, "shape_sd": 1.0, "why": "wide"},
        }
    )
    rows = tuple(
        Record(n, end, {}, {}, dict(zip(columns.values(), (start, entry, event, end), strict=True)))
        for n, (start, entry, event, end) in enumerate(spells.dates(cause))
    )
    return build_class(file, Path("made_up"), rows)


def posterior(classes):
    """Draws of the hazard of each class, from one fit of all of them."""
    by_id = {c.id: c for c in classes}
    asked = {
        id_: Parameter(
            id=id_,
            label=id_,
            unit="per year" if c.kind == "rates" else "years",
            reference=Reference(**{"class": id_}, transfer_sd=0.0, event="event" if c.kind == "rates" else None),
            rationale="made for a test",
        )
        for id_, c in by_id.items()
    }
    tree = fit(build_model(asked, (), by_id, AS_OF), seed=2, draws=500, tune=500, chains=2)
    assert int(tree["sample_stats"]["diverging"].sum()) == 0
    return draws_of(tree, asked, by_id)


def survival(draws, id_, years):
    """Mean and standard deviation of the fitted survival at `years`, over draws."""
    value, t = draws.values[id_], np.asarray(years)
    if id_ in draws.edges:
        edges = draws.edges[id_]
        inside = np.clip(t[:, None], edges[:-1], edges[1:]) - edges[:-1]
        s = np.exp(-value @ inside.T)
    else:
        s = np.exp(-((t / value[:, 1:]) ** value[:, :1]))
    return s.mean(axis=0), s.std(axis=0)


def incidence(draws, ids, years):
    """Cumulative incidence (draw, time, cause) when the fitted rates compete, by the exact engine."""
    process = Process.model_validate(
        {
            "deal_id": "spells",
            "title": "Spells",
            "as_of": AS_OF,
            "horizon": max(years),
            "flags": [],
            "causes": [{"id": k, "label": ""} for k in ids],
            "outcomes": [{"id": "open", "label": "", "rest": True}],
            "clocks": [{"id": "age", "label": "", "running_since": AS_OF}],
            "hazards": [{"id": k, "label": "", "clock": "age", "rate": k, "effect": {"end": k}} for k in ids],
        }
    )
    own = Draws({k: draws.values[k] for k in ids}, {k: draws.edges[k] for k in ids}, {}, {})
    return exact_forecasts(compile_process(process, own), np.asarray(years), threads=2).cause


def distance(draws, id_, spells, years):
    """Fitted less Kaplan–Meier survival, in Greenwood standard errors, and the ratio of standard deviations."""
    mean, sd = survival(draws, id_, years)
    wanted, error = kaplan_meier(spells, years)
    return np.abs(mean - wanted) / error, sd / error


# ---- leaders, always ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def governed():
    """(draws, spells by class) of one fit of all classes of leaders."""
    spells, regime = leaders()
    late = spells.entered_late(np.random.default_rng(5).uniform(0.0, 3.0, len(regime)))
    autocrats = spells[np.isin(regime, ("Military Dict", "Civilian Dict", "Monarchy"))]  # both causes are common
    found = {
        "everyone": (spells, LEADER_BINS, None),
        "latecomers": (late, LEADER_BINS, None),
        "same_regime": (autocrats, LEADER_BINS, 1),
        "new_regime": (autocrats, LEADER_BINS, 2),
        "soldiers": (spells[regime == "Military Dict"], None, None),
        "presidents": (spells[regime == "Presidential Dem"], None, None),
    }
    return posterior([spell_class(k, *x) for k, x in found.items()]), {k: x[0] for k, x in found.items()}


def test_fine_bins_follow_kaplan_meier(governed):
    draws, spells = governed
    z, ratio = distance(draws, "everyone", spells["everyone"], LEADER_BINS[1:])
    assert z.max() < EDGE, z
    assert np.all((ratio > 2 / 3) & (ratio < 4 / 3)), ratio
    z, _ = distance(draws, "everyone", spells["everyone"], (0.5, 1.5, 2.5, 3.5, 4.5, 7.0, 9.0, 12.0))
    assert z.max() < INSIDE, z


def test_late_entry_is_taken_into_account(governed):
    """Leaders seen only if they lasted until a day in their first three years; entry ignored fails by far."""
    draws, spells = governed
    late = spells["latecomers"]
    z, ratio = distance(draws, "latecomers", late, LEADER_BINS[1:])
    assert z.max() < EDGE, z
    assert np.all((ratio > 2 / 3) & (ratio < 4 / 3)), ratio
    ignored = Spells(np.zeros_like(late.entry), late.exit, late.cause)
    assert distance(draws, "latecomers", ignored, LEADER_BINS[1:])[0].max() > 10


def test_competing_causes_follow_aalen_johansen(governed):
    """Autocrats whose successors govern by the same regime, or by another; the exact engine lets the two compete."""
    draws, spells = governed
    years = LEADER_BINS[1:]
    curves = incidence(draws, ("same_regime", "new_regime"), years)
    estimates = [aalen_johansen(spells["same_regime"], k, years) for k in (1, 2)]
    for k, (wanted, error) in enumerate(estimates):
        fitted = curves[:, :, k]
        z, ratio = np.abs(fitted.mean(axis=0) - wanted) / error, fitted.std(axis=0) / error
        assert z.max() < EDGE, (k, z)
        assert np.all((ratio > 2 / 3) & (ratio < 4 / 3)), (k, ratio)
    alone = 1.0 - survival(draws, "new_regime", years)[0]  # as if nothing else ended spells
    assert ((alone - estimates[1][0]) / estimates[1][1]).max() > 5


YEARS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


def test_a_weibull_agrees_where_the_hazard_falls_steadily(governed):
    draws, spells = governed
    z, ratio = distance(draws, "soldiers", spells["soldiers"], (*YEARS, 10.0, 12.0, 15.0))
    assert z.max() < WEIBULL, z
    assert np.all(ratio < 1.1), ratio  # two numbers say more than the estimate without a shape
    assert np.quantile(draws.values["soldiers"][:, 0], 0.95) < 1


def test_the_check_notices_a_weibull_where_terms_are_fixed(governed):
    """Presidents leave after four or five years: no Weibull has that, and bins do."""
    draws, spells = governed
    assert distance(draws, "presidents", spells["presidents"], YEARS)[0].max() > 2 * WEIBULL


# ---- records, where they are ------------------------------------------------------------------------


def recorded(name, cause=lambda row: 1):
    """Spells of a file of records; `cause` says why one that ended did."""
    file = RECORDS / f"{name}.csv"
    if not file.is_file():
        pytest.skip(f"no {name}.csv: records are not part of the project; FORECAST_RECORDS may name their folder")
    with file.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    whys = [cause(r) if r["event"] == "1" else 0 for r in rows]
    return Spells.of_years([float(r["exit_years"]) for r in rows], whys, [float(r["entry_years"]) for r in rows])


@pytest.fixture(scope="module")
def on_record():
    """(draws, spells by class) of one fit of all classes of agreements and conflicts."""
    treaties = recorded("peace_agreements_ucdp", lambda row: 1 if row["end_kw_fighting"] == "1" else 2)
    processes = recorded("peace_processes_ucdp")
    quiet = recorded("conflict_recurrence_ucdp")
    found = {
        "treaties": (treaties, TREATY_BINS, None),
        "fought": (treaties, TREATY_BINS, 1),
        "lapsed": (treaties, TREATY_BINS, 2),
        "quiet": (quiet, FIGHT_BINS, None),
        "processes": (processes, None, None),
        "quiet_weibull": (quiet, None, None),
    }
    return posterior([spell_class(k, *x) for k, x in found.items()]), {k: x[0] for k, x in found.items()}


@pytest.mark.parametrize(("name", "bins"), [("treaties", TREATY_BINS), ("quiet", FIGHT_BINS[1:])])
def test_bins_follow_kaplan_meier_on_record(on_record, name, bins):
    draws, spells = on_record
    years = bins[1:]
    z, ratio = distance(draws, name, spells[name], years)
    assert z.max() < EDGE, z
    assert np.all((ratio > 2 / 3) & (ratio < 4 / 3)), ratio


def test_ways_in_which_agreements_end_follow_aalen_johansen(on_record):
    """Agreements that end in fighting, and those that end otherwise."""
    draws, spells = on_record
    years = TREATY_BINS[1:]
    curves = incidence(draws, ("fought", "lapsed"), years)
    for k in (1, 2):
        wanted, error = aalen_johansen(spells["treaties"], k, years)
        z = np.abs(curves[:, :, k - 1].mean(axis=0) - wanted) / error
        assert z.max() < EDGE, (k, z)


def test_weibulls_on_record(on_record):
    """Peace processes wear out ever more slowly; fighting does not resume in the first year by definition."""
    draws, spells = on_record
    years = (0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 15.0)
    z, _ = distance(draws, "processes", spells["processes"], years)
    assert z.max() < WEIBULL, z
    assert distance(draws, "quiet_weibull", spells["quiet"], (2.0, 3.0, 4.0, 5.0, 7.0, 10.0))[0].max() > 1.5 * WEIBULL
