"""What is so given that something happens, as rows: for the terminal, for CSV and for the page alike."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import xarray as xr

from forecast.analysis.conditioning import CLEAR
from forecast.ledger.cells import guarded
from forecast.report.whatif_rows import SMALL, error, move
from forecast.report.words import percent, percent_range

TOLD = 5  # parameters that are told of in a terminal
WHY = (
    "These are the paths of the forecast on which it so happens, so that it also tells about the parameters and about\n"
    "what came before: a path that had ended by then is not among them. What if we make it so: forecast whatif --force."
)


@dataclass(frozen=True)
class Row:
    """One figure; probabilities from 0 to 1."""

    kind: str
    label: str
    name: str
    day: date
    forecast: float
    given: float
    lower: float
    upper: float
    mcse: float
    difference_mcse: float

    @property
    def difference(self) -> float:
        """Given that it so happens, less the forecast."""
        return self.given - self.forecast

    @property
    def shown_label(self) -> str:
        """Label, with the date where it is no headline."""
        return self.label if self.kind == "headline" else f"{self.label} ({self.day})"


def rows(data: xr.Dataset) -> tuple[Row, ...]:
    """Read the figures."""
    days = data["figure_date"].to_numpy().astype("datetime64[D]")
    texts = [data[f"figure_{n}"].to_numpy() for n in ("kind", "label", "name")]
    names = ("forecast", "given_mean", "given_lower", "given_upper", "given_mcse", "difference_mcse")
    columns = [data[n].to_numpy() for n in names]
    kinds, labels, ids = ([str(x) for x in t] for t in texts)
    return tuple(
        Row(kinds[k], labels[k], ids[k], days[k].item(), *(float(c[k]) for c in columns)) for k in range(len(days))
    )


def shown(found: Sequence[Row], top: int) -> tuple[Row, ...]:
    """Headlines, then the `top` causes and outcomes that differ the most; a class that is its cause is left out."""
    heads = [r for r in found if r.kind == "headline"]
    causes = {r.name for r in found if r.kind == "cause"}
    said = {(r.name, r.day) for r in heads}
    rest = [r for r in found if r.kind == "cause" or (r.kind == "outcome" and r.name not in causes)]
    moved = [r for r in rest if (r.name, r.day) not in said and abs(r.difference) >= SMALL]
    return (*heads, *sorted(moved, key=lambda r: -abs(r.difference))[:top])


def that(data: xr.Dataset) -> str:
    """What is given, in words."""
    return " and ".join(json.loads(str(data.attrs["given"])))


def counts(data: xr.Dataset) -> str:
    """Say on how many paths it so happens, and what they are worth."""
    a = data.attrs
    share = percent(a["happens"] / a["looked_at"])
    return (
        f"on {a['happens']:,} of {a['looked_at']:,} paths ({share}), which count alike, "
        f"from {a['effective_draws']:,.0f} effective draws"
    )


def lines(data: xr.Dataset, top: int) -> Iterator[str]:
    """Yield what the terminal shows: figures, then what it tells about parameters."""
    yield f"{data.attrs['title']}\ngiven {that(data)}: {counts(data)}"
    yield f"{WHY}\n"
    yield f"  {'':<52} {'forecast':>8} {'given it':>8} {'90 % interval':>13} {'difference':>10}  Monte Carlo"
    for r in shown(rows(data), top):
        name = r.shown_label
        name = name if len(name) <= 52 else f"{name[:51]}…"
        yield (
            f"  {name:<52} {percent(r.forecast):>8} {percent(r.given):>8} {percent_range(r.lower, r.upper):>13} "
            f"{move(r.difference):>10}  {error(r.difference_mcse)}"
        )
    if found := told(data, TOLD):
        yield "\nIt tells about these parameters, in standard deviations of what is known without it:"
        yield from (f"  {label:<60} {text}" for label, text in found)


def told(data: xr.Dataset, most: int) -> list[tuple[str, str]]:
    """Parameters that it tells something about, the most moved first, and by how much."""
    columns = (data["parameter_label"].to_numpy(), data["shift"].to_numpy(), data["shift_error"].to_numpy())
    found = [
        (str(label), f"{shift:+.2f} ± {err:.2f}".replace("-", "−"))
        for label, shift, err in zip(*columns, strict=True)
        if abs(shift) > CLEAR * err
    ]
    return found[:most]


COLUMNS = ("given", "kind", "figure", "name", "date", "forecast", "given_it", "lower", "upper", "mcse", "difference",
           "difference_mcse")  # fmt: skip


def table(data: xr.Dataset) -> str:
    """Return every figure as CSV, every cause and outcome over time, and every parameter's shift (as difference)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    start = guarded(that(data))
    for r in rows(data):
        figures = (r.forecast, r.given, r.lower, r.upper, r.mcse, r.difference, r.difference_mcse)
        writer.writerow([start, r.kind, guarded(r.label), r.name, str(r.day), *(repr(x) for x in figures)])
    for kind in ("cause", "outcome"):
        writer.writerows(_over_time(data, kind, start))
    shifts = (data["parameter_label"], data["parameter"], data["shift"], data["shift_error"])
    for label, name, shift, err in zip(*(x.to_numpy() for x in shifts), strict=True):
        moved = ["", "", "", "", "", repr(float(shift)), repr(float(err))]
        writer.writerow([start, "parameter_shift", guarded(str(label)), str(name), "", *moved])
    return out.getvalue()


def _over_time(data: xr.Dataset, kind: str, start: str) -> Iterator[list[str]]:
    days = data["time"].to_numpy().astype("datetime64[D]")
    names = ("forecast", "given_mean", "given_lower", "given_upper", "given_mcse", "difference_mcse")
    columns = [data[f"{kind}_{n}"].to_numpy() for n in names]
    for k, name in enumerate(data[kind].to_numpy()):
        label = guarded(str(data[f"{kind}_label"].to_numpy()[k]))
        for t, day in enumerate(days):
            x = [float(c[t, k]) for c in columns]
            figures = [*x[:5], x[1] - x[0], x[5]]
            yield [start, f"{kind}_over_time", label, str(name), str(day), *(repr(f) for f in figures)]


def moved_things(data: xr.Dataset, kind: str, most: int) -> list[int]:
    """Which causes or outcomes differ at some time, the most first."""
    d = np.abs(data[f"{kind}_given_mean"].to_numpy() - data[f"{kind}_forecast"].to_numpy()).max(axis=0)
    order = np.argsort(-d, kind="stable")
    return [int(k) for k in order[:most] if d[k] >= SMALL]
