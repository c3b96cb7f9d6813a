"""From a forecast to the rows that the report prints: figures only, no layout.

Every function takes the DataTree of docs/forecast.md (a run as opened, or as just computed) and
returns frozen rows. Intervals are the 90% intervals over posterior draws that the forecast's
`summary` group holds, corrected there for the replicates' noise.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import xarray as xr

from forecast.errors import ArchiveError
from forecast.report.model import Estimate, Source
from forecast.report.words import never_bound
from forecast.schema import EXACT, PROBABILITY_DIMS
from forecast.types import F64

YEARS_SHOWN = (1, 2, 5)


@dataclass(frozen=True)
class Headline:
    """A probability on the first page: at grid date `day`, of `variable` at `id`."""

    label: str
    day: date
    estimate: Estimate
    variable: str
    id: str


@dataclass(frozen=True)
class Curve:
    """One class or cause at a few dates; `at[i]` belongs to the i-th date asked for."""

    id: str
    label: str
    at: tuple[Estimate, ...]


@dataclass(frozen=True)
class CauseRow:
    """One way to end: its probability by the horizon, its share of all ends, and when.

    `half_by` is the date by which half of that probability has accrued; None if it never happens.
    """

    id: str
    label: str
    by_horizon: Estimate
    share: float
    half_by: date | None


@dataclass(frozen=True)
class Refusals:
    """How often a party refuses: mean refusals a path, and its share of all refusals."""

    party: str
    per_path: Estimate
    share: float
    firings: tuple[str, ...]


@dataclass(frozen=True)
class Flow:
    """What one side of a market loses or gains by the horizon: with each counterpart, and in all.

    `cells` has one entry a column of the group, None where the side has no dealings with it. The
    Monte Carlo error of a total is the sum of those of its parts, which it cannot exceed.
    """

    label: str
    ids: tuple[str, ...]
    cells: tuple[Estimate | None, ...]
    total: Estimate


@dataclass(frozen=True)
class TransferGroup:
    """Losers and gainers of one market; `residual` is the largest |sum| over draws / largest loss."""

    title: str
    unit: str
    columns: tuple[str, ...]
    losers: tuple[Flow, ...]
    gainers: tuple[Flow, ...]
    residual: float


@dataclass(frozen=True)
class Amount:
    """A consequence that stands on its own: what accrues by the horizon."""

    label: str
    unit: str
    estimate: Estimate


@dataclass(frozen=True)
class BaseRateRow:
    """The model's figure for a mechanism beside the published or counted one."""

    mechanism: str
    model: Estimate
    reference: Estimate
    source: str
    agrees: bool
    explanation: str


@dataclass(frozen=True)
class ParameterRow:
    """One number that drives the forecast: median and 90% interval over draws, and its source."""

    id: str
    label: str
    unit: str
    origin: str
    source: str
    median: float
    lower: float
    upper: float


def day_at(tree: xr.DataTree, day: date) -> int:
    """Return the index of the last grid time at or before `day`; the first one if none is."""
    times = tree["time"].to_numpy().astype("datetime64[D]")
    return max(int(np.searchsorted(times, np.datetime64(day), side="right")) - 1, 0)


def grid_date(tree: xr.DataTree, index: int) -> date:
    """Return the date of one grid time."""
    day: date = tree["time"].to_numpy()[index].astype("datetime64[D]").item()
    return day


def labels(tree: xr.DataTree, dim: str) -> dict[str, str]:
    """Map the ids of a dim to their labels, in order; an id without a label stands for itself."""
    ids = [str(i) for i in tree[dim].to_numpy()]
    name = f"{dim}_label"
    texts = [str(t) for t in tree[name].to_numpy()] if name in tree.coords else ids
    return dict(zip(ids, texts, strict=True))


def estimate(tree: xr.DataTree, variable: str, name: str, day: date) -> Estimate:
    """Read one probability with both uncertainties at the grid time of `day`, as well estimated as the run has it."""
    dim = PROBABILITY_DIMS.get(variable)
    if dim is None:
        raise ArchiveError(
            f"headline: no probability {variable!r} in a forecast (there are: {', '.join(PROBABILITY_DIMS)})"
        )
    known = list(labels(tree, dim))
    if name not in known:
        raise ArchiveError(f"headline: {variable} has no {dim} {name!r} (there are: {', '.join(known)})")
    if (better := _better_estimate(tree, variable, name, grid_date(tree, day_at(tree, day)))) is not None:
        return better
    summary, i, k = tree["summary"], day_at(tree, day), known.index(name)
    mean, lower, upper, mcse = (
        float(summary[f"{dim}_{s}"].transpose("time", dim).to_numpy()[i, k]) for s in ("mean", "lower", "upper", "mcse")
    )
    found = Estimate(mean, lower, upper, mcse)
    return found if is_exact(tree) else bounded(found, int(tree.attrs["paths"]))


def is_exact(tree: xr.DataTree) -> bool:
    """Whether the probabilities of a run were computed rather than simulated."""
    return bool(tree.attrs.get("method") == EXACT)


def _better_estimate(tree: xr.DataTree, variable: str, name: str, day: date) -> Estimate | None:
    """Look a probability up among those that were estimated by more than counting."""
    if "estimates" not in tree.children:
        return None
    group = tree.children["estimates"].to_dataset(inherit=False)
    asked = (group["estimate_variable"] == variable) & (group["estimate_name"] == name)
    at = np.flatnonzero((asked & (group["estimate_date"] == np.datetime64(day))).to_numpy())
    if not at.size:
        return None
    return Estimate(*(float(group[f"estimate_{k}"][at[0]]) for k in ("mean", "lower", "upper", "mcse")))


def how_estimated(tree: xr.DataTree) -> str:
    """Say how headlines, causes and classes at the horizon were estimated; empty where by counting alone."""
    if is_exact(tree):
        return (
            "Exact: the process is small, so its probabilities, amounts and frequencies were computed, not simulated, "
            f"without a Monte Carlo error; {int(tree.attrs['paths']):,} paths were simulated for storylines and base "
            "rates."
        )
    if "estimates" not in tree.children:
        return ""
    group = tree.children["estimates"].to_dataset(inherit=False)
    by_method: dict[str, list[str]] = {}
    for label, method in zip(group["estimate_label"].to_numpy(), group["estimate_method"].to_numpy(), strict=True):
        by_method.setdefault(str(method), []).append(str(label))
    said = (
        f"Headlines, and causes and outcomes at the horizon, rest on {int(group.attrs['paths']):,} weighted paths, on "
        "which what would end a path takes its share of the path's weight instead"
    )
    others = {
        "importance sampling": "estimated again with what leads to them made likelier",
        "too few paths": "too rare for a figure",
    }
    parts = [f"{text}: {', '.join(dict.fromkeys(by_method[m]))}" for m, text in others.items() if m in by_method]
    return "; ".join([said, *parts]) + "."


def bounded(e: Estimate, paths: int) -> Estimate:
    """Widen an estimate of 0 or 1 to Wilson's bound from the number of paths that showed it."""
    if e.mean == 0.0:
        return Estimate(0.0, 0.0, max(e.upper, never_bound(paths)), e.mcse)
    if e.mean == 1.0:
        return Estimate(1.0, min(e.lower, 1.0 - never_bound(paths)), 1.0, e.mcse)
    return e


def headlines(tree: xr.DataTree, asked: Iterable[tuple[str, str, str, date | None]]) -> tuple[Headline, ...]:
    """Read the probabilities that the deal puts on the first page; no date means the horizon."""
    rows = []
    for label, variable, name, day in asked:
        at = grid_date(tree, -1 if day is None else day_at(tree, day))
        rows.append(Headline(label, at, estimate(tree, variable, name, at), variable, name))
    return tuple(rows)


def shown_dates(tree: xr.DataTree) -> tuple[date, ...]:
    """List the dates of the tables: one, two and five years ahead, as far as they go, and the horizon."""
    start, end = grid_date(tree, 0), grid_date(tree, -1)
    inside = [start + timedelta(days=365.25 * y) for y in YEARS_SHOWN]
    days = [grid_date(tree, day_at(tree, d + timedelta(days=1))) for d in inside if d < end]
    return (*dict.fromkeys(d for d in days if d < end), end)


def curves(tree: xr.DataTree, variable: str, days: Sequence[date]) -> tuple[Curve, ...]:
    """Read every class of a probability at the dates given."""
    named = labels(tree, PROBABILITY_DIMS[variable])
    return tuple(
        Curve(name, label, tuple(estimate(tree, variable, name, d) for d in days)) for name, label in named.items()
    )


def causes(tree: xr.DataTree) -> tuple[CauseRow, ...]:
    """Read the causes of an end, most probable first."""
    mean = tree["summary"]["cause_mean"].transpose("time", "cause").to_numpy()
    total, rows = float(mean[-1].sum()), []
    for k, curve in enumerate(curves(tree, "cumulative_incidence", [grid_date(tree, -1)])):
        at_end = float(mean[-1, k])
        half = grid_date(tree, int(np.argmax(mean[:, k] >= at_end / 2.0))) if at_end > 0.0 else None
        rows.append(CauseRow(curve.id, curve.label, curve.at[0], at_end / total if total else 0.0, half))
    return tuple(sorted(rows, key=lambda r: -r.by_horizon.mean))


def refusals(tree: xr.DataTree, parties: Mapping[str, str]) -> tuple[Refusals, ...]:
    """Add up the refusals of each party (`parties`: firing id -> party), most frequent first."""
    known = list(labels(tree, "firing"))
    by_party: dict[str, list[str]] = {}
    for firing, party in parties.items():
        if firing not in known:
            raise ArchiveError(f"refusals: the forecast has no firing {firing!r}")
        by_party.setdefault(party, []).append(firing)
    if not by_party:
        return ()
    frequency = tree["event_frequency"].transpose("draw", "firing").to_numpy()
    counts = {p: frequency[:, [known.index(f) for f in ids]].sum(axis=1) for p, ids in by_party.items()}
    total = sum(float(c.mean()) for c in counts.values())
    rows = [
        Refusals(p, spread(c), float(c.mean()) / total if total else 0.0, tuple(by_party[p])) for p, c in counts.items()
    ]
    return tuple(sorted(rows, key=lambda r: -r.per_path.mean))


def spread(values: F64, mcse: float = float("nan")) -> Estimate:
    """Mean and 90% interval over draws of `values` (draw,), less the replicates' noise if it is known.

    The noise variance of one draw is mcse^2 times the number of draws; deviations from the mean are
    shrunk by sqrt(max(0, 1 - noise variance / total variance)), as the `summary` group does.
    """
    mean, total = float(values.mean()), float(values.var())
    noise = 0.0 if np.isnan(mcse) else mcse**2 * len(values)
    keep = np.sqrt(max(0.0, 1.0 - noise / total)) if total > 0.0 else 0.0
    lower, upper = np.quantile(mean + keep * (values - mean), (0.05, 0.95))
    return Estimate(mean, float(lower), float(upper), mcse)


def sides(named: Mapping[str, str], ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """Group consequences by side: label of the side -> counterpart -> id.

    A label of the form "India: bought from France" names the counterpart before the colon, so that the
    same side is added up over all of them; any other label is a side of its own, without a counterpart.

    >>> sides({"a": "India: France", "b": "Egypt: France", "c": "Reserve"}, ["a", "b", "c"])
    {'France': {'India': 'a', 'Egypt': 'b'}, 'Reserve': {'': 'c'}}
    """
    found: dict[str, dict[str, str]] = {}
    for name in ids:
        if name not in named:
            raise ArchiveError(f"consequences: the forecast has no {name!r} (there are: {', '.join(named)})")
        counterpart, _, side = named[name].rpartition(": ")
        side = side[:1].upper() + side[1:]
        cells = found.setdefault(side, {})
        cells[counterpart if counterpart not in cells else name] = name
    return found


def transfers(
    tree: xr.DataTree, groups: Iterable[tuple[str, str, Sequence[str], Sequence[str]]]
) -> tuple[TransferGroup, ...]:
    """Read who loses and who gains by the horizon, and check that each group adds up to zero."""
    groups = tuple(groups)
    if not groups:
        return ()
    named = labels(tree, "consequence")
    order = {name: k for k, name in enumerate(named)}
    at_end = tree["consequence_amount"].isel(time=-1).transpose("draw", "consequence").to_numpy()
    errors = tree["consequence_mcse"].to_numpy()

    def over(ids: Sequence[str]) -> Estimate:
        at = [order[i] for i in ids]
        return spread(at_end[:, at].sum(axis=1), float(errors[at].sum()))

    def flows(found: dict[str, dict[str, str]], columns: Sequence[str]) -> Iterator[Flow]:
        for label, by in found.items():
            cells = tuple(over([by[c]]) if c in by else None for c in columns)
            yield Flow(label, tuple(by.values()), cells, over(list(by.values())))

    rows = []
    for title, unit, losers, gainers in groups:
        lost, gained = sides(named, losers), sides(named, gainers)
        columns = tuple(dict.fromkeys(c for side in (lost, gained) for by in side.values() for c in by))
        gains = sorted(flows(gained, columns), key=lambda f: -f.total.mean)
        largest = np.abs(at_end[:, [order[i] for i in losers]].sum(axis=1)).max(initial=0.0)
        net = np.abs(at_end[:, [order[i] for i in (*losers, *gainers)]].sum(axis=1)).max()
        residual = float(net / largest) if largest > 0.0 else float(net)
        rows.append(TransferGroup(title, unit, columns, tuple(flows(lost, columns)), tuple(gains), residual))
    return tuple(rows)


def amounts(tree: xr.DataTree, groups: Iterable[tuple[str, str, Sequence[str], Sequence[str]]]) -> tuple[Amount, ...]:
    """Read the consequences that belong to no market."""
    taken = {name for _, _, losers, gainers in groups for name in (*losers, *gainers)}
    own = {k: (name, label) for k, (name, label) in enumerate(labels(tree, "consequence").items()) if name not in taken}
    if not own:
        return ()
    at_end = tree["consequence_amount"].isel(time=-1).transpose("draw", "consequence").to_numpy()
    units, errors = tree["consequence_unit"].to_numpy(), tree["consequence_mcse"].to_numpy()
    return tuple(Amount(label, str(units[k]), spread(at_end[:, k], float(errors[k]))) for k, (_, label) in own.items())


def base_rates(tree: xr.DataTree) -> tuple[BaseRateRow, ...]:
    """Read the comparison of the model with published and counted base rates."""
    if "base_rates" not in tree.children:
        return ()
    group = tree.children["base_rates"].to_dataset(inherit=False)
    figures = [
        group[f"{who}_{what}"].to_numpy().tolist()
        for who, middle in (("model", "mean"), ("reference", "value"))
        for what in (middle, "lower", "upper")
    ]
    texts = [group[n].to_numpy().tolist() for n in ("mechanism", "source", "agrees", "explanation")]
    return tuple(
        BaseRateRow(str(name), Estimate(*f[:3]), Estimate(*f[3:]), str(source), bool(agrees), str(why or ""))
        for *f, name, source, agrees, why in zip(*figures, *texts, strict=True)
    )


def parameters(tree: xr.DataTree, sources: Iterable[Source]) -> tuple[ParameterRow, ...]:
    """Join the parameters used with their sources; "x[entry]" belongs to source x.

    A parameter without a source keeps its row: the gap shows.
    """
    by_id = {s.parameter: s for s in sources}
    named = labels(tree, "parameter")
    units = [str(u) for u in tree["parameter_unit"].to_numpy()]
    values = tree["parameters"].transpose("draw", "parameter").to_numpy()
    lower, median, upper = np.quantile(values, (0.05, 0.5, 0.95), axis=0)
    rows = []
    for k, (name, label) in enumerate(named.items()):
        base, _, entry = name.partition("[")
        s = by_id.get(name) or by_id.get(base) or Source(base, label, units[k], "not stated", "")
        text = f"{s.label}, {entry.removesuffix(']')}" if entry and s.parameter == base else s.label
        figures = (float(median[k]), float(lower[k]), float(upper[k]))
        rows.append(ParameterRow(name, text, units[k] or s.unit, s.origin, s.source, *figures))
    return tuple(rows)


def attribute_list(tree: xr.DataTree, name: str) -> tuple[str, ...]:
    """Read an attribute that holds several texts: a sequence, a JSON list, or one text a line."""
    value = tree.attrs.get(name, ())
    if isinstance(value, str):
        value = json.loads(value) if value.startswith("[") else value.splitlines()
    return tuple(str(v) for v in value)


def attribute_table(tree: xr.DataTree, name: str) -> dict[str, str]:
    """Read an attribute that holds a table of names and texts, as JSON or as a mapping."""
    value = tree.attrs.get(name, {})
    if isinstance(value, str):
        value = json.loads(value) if value else {}
    return {str(k): str(v) for k, v in dict(value).items()}
