"""How far each source pulled, for readers: rows of a table, text for a terminal, and a forest plot."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from forecast.errors import ForecastError
from forecast.ledger.cells import guarded
from forecast.report import colours
from forecast.report.plots import axes_at, blank
from forecast.report.words import number, percent, quantity, quantity_range

EFFECTS = ("effect", "effect_error", "swing")
ROWS, PARAMETERS = 14, 9  # shown in the report: statements in the table, parameters in the picture
_MARKS = {"prior": "D", "class": "s", "expert": "^", "experts": "v", "posterior": "o"}
_WORDS = {"prior": "prior", "experts": "experts together", "posterior": "all together (posterior)"}


@dataclass(frozen=True)
class Said:
    """One statement: `weight` is NaN where it means nothing, `effect` and `swing` are on `headline`."""

    parameter: str
    label: str
    unit: str
    entry: str
    kind: str
    source: str
    lower: float
    median: float
    upper: float
    weight: float
    headline: str
    effect: float
    effect_error: float
    swing: float
    distance: float

    @property
    def name(self) -> str:
        """Who says so."""
        return self.source or _WORDS[self.kind]

    @property
    def value(self) -> str:
        """Median and 90% interval, as the unit asks for."""
        return f"{quantity(self.median, self.unit)} ({quantity_range(self.lower, self.upper, self.unit)})"


def said(tree: xr.DataTree, headline: int | None = None) -> list[Said]:
    """Read every statement of a run, with its effect on one of the headlines: that which it moves most, if None."""
    if "sources" not in tree.children:
        return []
    data = tree.children["sources"].to_dataset(inherit=False).load()
    names = [str(x) for x in tree["parameter"].to_numpy()]
    labels = dict(zip(names, (str(x) for x in tree["parameter_label"].to_numpy()), strict=True))
    units = dict(zip(names, (str(x) for x in tree["parameter_unit"].to_numpy()), strict=True))
    columns = {str(k).removeprefix("statement_"): v.to_numpy().tolist() for k, v in data.data_vars.items()}
    n = data.sizes.get("statement", 0)
    columns |= _of_headline(data, headline, n)
    rows = []
    for k in range(n):
        c = {name: column[k] for name, column in columns.items()}
        full = f"{c['parameter']}[{c['entry']}]" if c["entry"] else c["parameter"]
        rows.append(Said(label=labels.get(full, c["parameter"]), unit=units.get(full, "1"), **c))
    return rows


def _of_headline(data: xr.Dataset, headline: int | None, n: int) -> dict[str, list[Any]]:
    """Effects on one headline (statement,), and its label."""
    labels = data["headline_label"].to_numpy()
    if not len(labels):
        return {"headline": [""] * n} | {name: [float("nan")] * n for name in EFFECTS}
    moved = np.maximum(np.abs(data["statement_effect"].to_numpy()), np.abs(data["statement_swing"].to_numpy()))
    at = moved.argmax(axis=1) if headline is None else np.full(n, headline)
    figures = {name: data[f"statement_{name}"].to_numpy()[np.arange(n), at].tolist() for name in EFFECTS}
    return {"headline": [str(x) for x in labels[at]], **figures}


def asked(tree: xr.DataTree, parameters: Sequence[str], headline: str | None) -> tuple[list[Said], str]:
    """Read what is asked for: statements, and the label of the headline whose changes they carry.

    Raises
    ------
    ForecastError
        A run without this table, or a name that it does not have (with the closest).
    """
    if "sources" not in tree.children:
        raise ForecastError("the run was made before sources were kept; run the deal again")
    labels = [str(x) for x in tree["sources"]["headline_label"].to_numpy()]
    at = 0 if headline is None else labels.index(_closest("--headline", headline, labels))
    rows = said(tree, at)
    known = list(dict.fromkeys(r.parameter for r in rows))
    wanted = {_closest("--parameter", p, known) for p in parameters} or set(known)
    return [r for r in rows if r.parameter in wanted], labels[at] if labels else ""


def _closest(option: str, name: str, known: Sequence[str]) -> str:
    if name in known:
        return name
    near = get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known) or 'none'}"
    raise ForecastError(f"{option} {name!r}: there is no such that rests on a class or on experts; {hint}")


def strongest(rows: Sequence[Said], n: int = ROWS) -> list[Said]:
    """Statements of classes and experts that move their headline most, one entry a parameter."""
    first = {(r.parameter, r.kind, r.source): r for r in reversed(rows)}  # an entry stands for all of its parameter
    own = [r for r in first.values() if r.kind in ("class", "expert") and np.isfinite(r.effect)]
    return sorted(own, key=lambda r: -max(abs(r.effect), abs(r.swing)))[:n]


def swing_in_points(swing: float) -> str:
    """Write a swing in percentage points, with its sign."""
    return (
        "n/a" if not np.isfinite(swing) else f"{'+' if swing > 0 else '−' if swing < 0 else ''}{100 * abs(swing):.1f}"
    )


def effect_in_points(effect: float, error: float) -> str:
    """Write an effect in percentage points with its standard error."""
    if not np.isfinite(effect):
        return "n/a"
    sign = "+" if effect > 0 else "−" if effect < 0 else ""
    return f"{sign}{100 * abs(effect):.2f} ± {100 * error:.2f}"


def lines(rows: Sequence[Said], headline: str) -> Iterator[str]:
    """Table for a terminal, parameter by parameter."""
    if headline:
        yield f"“{headline}”, percentage points. Effect: were the parameter where the source has it."
        yield "Swing: while it goes from the low end of the source's 90% interval to the high end."
    last = ""
    for r in rows:
        if r.parameter != last:
            yield ""
            yield f"{r.parameter}: {r.label.partition(',')[0] if r.entry else r.label} ({r.unit})"
            last = r.parameter
        entry = f"{r.entry:<8.8} " if r.entry else ""
        weight = "" if np.isnan(r.weight) else f"{100 * r.weight:.0f}%"
        effect = "" if r.kind == "posterior" else effect_in_points(r.effect, r.effect_error)
        interval = f"{number(r.median):>8} ({number(r.lower)} to {number(r.upper)})"
        swing = swing_in_points(r.swing)
        yield f"  {entry}{r.name:<32.32} {interval:<32} {weight:>5} {effect:>16} {swing:>7}".rstrip()


def table(rows: Sequence[Said]) -> str:
    """Write all statements as CSV; a text that a spreadsheet would take for a formula gets an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    figures = ("lower", "median", "upper", "weight", *EFFECTS, "distance")
    writer.writerow(("parameter", "entry", "unit", "kind", "source", "headline", *figures))
    for r in rows:
        texts = (r.parameter, r.entry, r.unit, r.kind, r.source, r.headline)
        writer.writerow((*map(guarded, texts), *(repr(getattr(r, f)) for f in figures)))
    return out.getvalue()


# ---- the picture ---------------------------------------------------------------------------------


def forest(rows: Sequence[Said], chosen: Sequence[str], *, narrow: bool) -> Figure:
    """Draw what each source says of the parameters `chosen`: median and 90% interval, a panel a parameter.

    Of a parameter with several entries the first is drawn.
    """
    groups = {id_: _of(rows, id_) for id_ in chosen}
    width, left, line = (372.0, 128.0, 15.0) if narrow else (860.0, 300.0, 17.0)
    heights = [line * len(g) + 58.0 for g in groups.values()]
    figure = blank(width, sum(heights) + 8.0)
    top = 4.0
    for group, height in zip(groups.values(), heights, strict=True):
        _panel(figure, group, (left, top, width - left - 24.0, height), line, narrow=narrow)
        top += height
    return figure


def _of(rows: Sequence[Said], id_: str) -> list[Said]:
    own = [r for r in rows if r.parameter == id_]
    return [r for r in own if r.entry == own[0].entry]


def _panel(
    figure: Figure, rows: Sequence[Said], box: tuple[float, float, float, float], line: float, *, narrow: bool
) -> None:
    left, top, width, _ = box
    w, h = figure.get_size_inches() * 72.0
    axes = axes_at(figure, left, top + 22.0, width, line * len(rows))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    unit = rows[0].unit
    low, high = min(r.lower for r in rows), max(r.upper for r in rows)
    if unit not in ("probability", "log ratio", "logit", "utility") and low > 0 and high / low > 20:
        axes.set_xscale("log")
    shades = _shades(rows)
    for k, r in enumerate(rows):
        colour = shades[r.name]
        wide = 2.6 if r.kind == "posterior" else 1.3
        axes.plot([r.lower, r.upper], [k, k], color=colour, linewidth=wide, solid_capstyle="butt")
        axes.plot([r.median], [k], _MARKS[r.kind], color=colour, markersize=5.0, fillstyle="full")
    axes.set_ylim(len(rows) - 0.4, -0.6)
    names = [r.name if not narrow else _short(r.name) for r in rows]
    axes.set_yticks(range(len(rows)), [n + _weight(r) for n, r in zip(names, rows, strict=True)], fontsize=10.0)
    axes.tick_params(axis="y", length=0, colors=colours.INK)
    axes.tick_params(axis="x", labelsize=10.0, colors=colours.MUTED_INK)
    if axes.get_xscale() == "log":
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if narrow else (1.0, 2.0, 5.0)))
    axes.minorticks_off()
    if unit == "probability":
        axes.xaxis.set_major_formatter(lambda x, _: percent(float(x)) if 0 <= x <= 1 else "")
    elif axes.get_xscale() == "log":
        axes.xaxis.set_major_formatter(lambda x, _: number(float(x)))
    title = rows[0].label + ("" if unit in ("probability", "1") else f", {unit}")
    figure.text(8.0 / w, 1.0 - (top + 12.0) / h, title, fontsize=11.0, fontweight="bold", va="center", parse_math=False)


def _weight(r: Said) -> str:
    return "" if np.isnan(r.weight) or r.weight > 0.995 else f" · {100 * r.weight:.0f}%"


def _short(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"


def _shades(rows: Sequence[Said]) -> dict[str, str]:
    """Greys for the prior and all together, a colour a source."""
    fixed = {r.name: colours.INK if r.kind == "posterior" else colours.MUTED_INK for r in rows}
    sources = [r.name for r in rows if r.kind not in ("prior", "posterior")]
    return fixed | colours.consequence_colours([], sources)


def drawn(rows: Sequence[Said], n: int = PARAMETERS) -> list[str]:
    """Parameters worth a picture: those with several sources, then those of classes, by how they move the headline.

    What one expert alone says of a parameter is the parameter.
    """
    sources: Mapping[str, set[str]] = {r.parameter: set() for r in rows}
    for r in rows:
        if r.kind in ("class", "expert"):
            sources[r.parameter].add(r.source)
    strong = [r.parameter for r in strongest(rows, len(rows))]
    order = list(dict.fromkeys(strong or sources))
    several = [id_ for id_ in order if len(sources[id_]) > 1]
    classes = {r.parameter for r in rows if r.kind == "class"}
    ordered = list(dict.fromkeys([*several, *(id_ for id_ in order if id_ in classes)]))
    return [id_ for id_ in ordered if not _parts(rows, id_)][:n]


def _parts(rows: Sequence[Said], id_: str) -> bool:
    """Whether a parameter is a set of parts, of which no single one says much."""
    return next(r.unit for r in rows if r.parameter == id_) == "share"
