"""A comparison of scenarios as rows: for the terminal, for CSV and for the page alike."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import xarray as xr

from forecast.estimate import MIN_ESS
from forecast.ledger.cells import guarded
from forecast.report.words import percent

SMALL = 5e-4  # a difference below this is left out of the short table, unless it is a headline's


@dataclass(frozen=True)
class Row:
    """One figure of one scenario; probabilities from 0 to 1."""

    kind: str
    label: str
    name: str
    day: date
    baseline: float
    changed: float
    difference: float
    lower: float
    upper: float
    mcse: float
    effective: float

    @property
    def few(self) -> bool:
        """Whether it rests on fewer paths than a figure should."""
        return self.effective < MIN_ESS and not (self.baseline == 0.0 and self.changed == 0.0)


@dataclass(frozen=True)
class Part:
    """One scenario."""

    number: int
    name: str
    label: str
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]

    def shown(self, top: int) -> tuple[Row, ...]:
        """Headlines, then the `top` causes and outcomes that move the most; a class that is its cause is left out."""
        heads = [r for r in self.rows if r.kind == "headline"]
        causes = {r.name for r in self.rows if r.kind == "cause"}
        said = {(r.name, r.day) for r in heads}
        rest = [r for r in self.rows if r.kind == "cause" or (r.kind == "outcome" and r.name not in causes)]
        rest = [r for r in rest if (r.name, r.day) not in said]
        moved = sorted((r for r in rest if abs(r.difference) >= SMALL), key=lambda r: -abs(r.difference))
        return (*heads, *moved[:top])


def parts(data: xr.Dataset) -> list[Part]:
    """Read the scenarios of a comparison."""
    return [_part(data.isel(scenario=n), n) for n in range(data.sizes["scenario"])]


def _part(one: xr.Dataset, number: int) -> Part:
    days = one["figure_date"].to_numpy().astype("datetime64[D]")
    columns = [one[n].to_numpy() for n in (
        "baseline_mean", "changed_mean", "difference_mean", "difference_lower", "difference_upper", "difference_mcse",
        "effective_paths")]  # fmt: skip
    texts = [one[n].to_numpy() for n in ("figure_kind", "figure_label", "figure_name")]
    kinds, labels, names = ([str(x) for x in t] for t in texts)
    rows = tuple(
        Row(kinds[k], labels[k], names[k], days[k].item(), *(float(c[k]) for c in columns)) for k in range(len(days))
    )
    changes, notes = (tuple(filter(None, str(one[f"scenario_{n}"].item()).split("\n"))) for n in ("changes", "notes"))
    return Part(number, str(one["scenario"].item()), str(one["scenario_label"].item()), changes, notes, rows)


def move(x: float) -> str:
    """Write a difference of probabilities in points, with its sign.

    >>> move(0.1234), move(-0.0007), move(0.0), move(-0.0123)
    ('+12.3', '−0.07', '0', '−1.2')
    """
    if x == 0.0:
        return "0"
    digits = 1 if abs(x) >= 0.00995 else 2 if abs(x) >= 0.00005 else 4
    return f"{100.0 * x:+.{digits}f}".replace("-", "−")


def between(lower: float, upper: float) -> str:
    """Write an interval of differences.

    >>> between(-0.01, 0.2), between(0.0, 0.0)
    ('−1.0 to +20.0', '0')
    """
    return "0" if lower == upper == 0.0 else f"{move(lower)} to {move(upper)}"


def error(x: float) -> str:
    """Write a Monte Carlo standard error in points.

    >>> error(0.0), error(0.00042), error(0.000004)
    ('none', '±0.04', '±<0.01')
    """
    if x == 0.0:
        return "none"
    return "±<0.01" if x < 5e-5 else f"±{100.0 * x:.2f}"


def shown_label(row: Row) -> str:
    """Label of a figure, with its date where it is no headline."""
    return row.label if row.kind == "headline" else f"{row.label} ({row.day})"


def lines(data: xr.Dataset, top: int) -> Iterator[str]:
    """Yield what the terminal shows."""
    a = data.attrs
    how = "solved exactly" if a["method"] == "exact" else (
        f"{a['draws']:,} draws with {a['weighted_replicates']} weighted and {a['replicates']} counted paths each"
    )  # fmt: skip
    yield f"{a['title']}\nas of {a['as_of']}, to {a['horizon']}; {how}, and the same luck in every scenario"
    for part in parts(data):
        yield f"\n{part.name}: {part.label}" if part.label != part.name else f"\n{part.name}"
        if part.changes and "; ".join(part.changes) != part.label:
            yield f"  {'; '.join(part.changes)}"
        yield from (f"  note: {n}" for n in part.notes)
        yield f"\n  {'':<52} {'baseline':>8} {'changed':>8} {'difference':>10}   {'90 % interval':<17} Monte Carlo"
        shown = part.shown(top)
        yield from (_line(r) for r in shown)
        if any(r.few for r in shown):
            yield f"  * rests on fewer than {MIN_ESS:.0f} effective paths"


def _line(r: Row) -> str:
    name = shown_label(r)
    name = name if len(name) <= 52 else f"{name[:51]}…"
    return (
        f"  {name:<52} {percent(r.baseline):>8} {percent(r.changed):>8} {move(r.difference):>10}   "
        f"{between(r.lower, r.upper):<17} {error(r.mcse)}{' *' if r.few else ''}"
    )


COLUMNS = ("scenario", "label", "kind", "figure", "name", "date", "baseline", "changed", "difference", "lower", "upper",
           "mcse", "effective_paths")  # fmt: skip


def table(data: xr.Dataset) -> str:
    """Return every figure of every scenario as CSV: headlines, causes and outcomes at their dates, and over time."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for part in parts(data):
        start = (guarded(part.name), guarded(part.label))
        for r in part.rows:
            figures = (r.baseline, r.changed, r.difference, r.lower, r.upper, r.mcse, r.effective)
            texts = (r.kind, guarded(r.label), r.name, str(r.day))
            writer.writerow([*start, *texts, *(repr(float(x)) for x in figures)])
        for kind in ("cause", "outcome"):
            writer.writerows(_over_time(data, part, kind, start))
    return out.getvalue()


def _over_time(data: xr.Dataset, part: Part, kind: str, start: Sequence[str]) -> Iterator[list[str]]:
    days = data["time"].to_numpy().astype("datetime64[D]")
    before = data[f"{kind}_baseline_mean"].to_numpy()
    d = [data[f"{kind}_difference_{k}"].to_numpy()[part.number] for k in ("mean", "lower", "upper", "mcse")]
    for k, name in enumerate(data[kind].to_numpy()):
        label = guarded(str(data[f"{kind}_label"].to_numpy()[k]))
        for t, day in enumerate(days):
            b, change = float(before[t, k]), [float(x[t, k]) for x in d]
            figures = [b, b + change[0], *change]
            yield [*start, f"{kind}_over_time", label, str(name), str(day), *(repr(x) for x in figures), ""]


def moved_things(data: xr.Dataset, number: int, kind: str, most: int) -> list[int]:
    """Which causes or outcomes move at some time, the most moved first."""
    d = np.abs(data[f"{kind}_difference_mean"].to_numpy()[number]).max(axis=0)
    order = np.argsort(-d, kind="stable")
    return [int(k) for k in order[:most] if d[k] >= SMALL]
