"""Classes held out: as lines for a terminal, as CSV, as a table in Markdown, and as a picture."""

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, fields
from math import isnan
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from forecast.analysis.holdout import Holdout
from forecast.calibrate.holdout.score import TOGETHER, HeldOut, Score, Total
from forecast.report import colours

HEAD = (
    "class",
    "event",
    "cells",
    "observed",
    "predicted",
    "50 %",
    "90 %",
    "obs. / pred.",
    "cells in 50 %",
    "in 90 %",
    "log score less baseline's",
    "bits a cell",
    "baseline",
)
_STYLE = {
    "font.size": 9.0,
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
}
_IN, _OUT, _LINE = "#4477aa", "#cc3311", "#9db6cf"
WIDEST = 6.0  # times what was predicted, where the picture ends


def rows(result: Holdout) -> Iterator[tuple[str, ...]]:
    """Yield one row an event; categories that are scored together follow a row of their scores."""
    for c in result.classes:
        if c.scores[0].outcome == TOGETHER:
            (score,) = c.scores
            yield (c.id, "together", str(score.cells), *[""] * 5, *_scored(score))
            yield from ((c.id, t.outcome, "", *_counted(t), *[""] * 5) for t in c.totals)
        else:
            for score, total in zip(c.scores, c.totals, strict=True):
                yield (c.id, score.outcome, str(score.cells), *_counted(total), *_scored(score))


def _counted(t: Total) -> tuple[str, ...]:
    middle, most = (f"{a:.4g}–{b:.4g}" for a, b in ((t.lower50, t.upper50), (t.lower90, t.upper90)))
    inside = t.lower90 <= t.observed <= t.upper90
    return f"{t.observed:.4g}", f"{t.predicted:.4g}", middle, most, f"{t.ratio:.2f}" + ("" if inside else " *")


def _scored(s: Score) -> tuple[str, ...]:
    difference = f"{s.difference:+.1f}" + ("" if isnan(s.difference_se) else f" ± {s.difference_se:.1f}")
    covered = [f"{a:.0%} ± {b:.0%}" for a, b in ((s.covered50, s.covered50_se), (s.covered90, s.covered90_se))]
    return *covered, difference, f"{s.bits:.2f}", f"{s.baseline_bits:.2f}"


def footnotes(result: Holdout) -> Iterator[str]:
    """Say what a star means, whose fits the gate would not let pass, and which classes had nothing to score."""
    yield "* the total observed lies outside the 90 % interval of the prediction"
    for c in result.classes:
        if c.problems:
            yield f"{c.id}: the fit does not pass the gate: {'; '.join(c.problems)}"
    for id_, why in result.without.items():
        yield f"{id_}: not scored: {why}"


def lines(result: Holdout) -> Iterator[str]:
    """Yield what the terminal shows."""
    table = [HEAD, *rows(result)]
    widths = [max(len(row[k]) for row in table) for k in range(len(HEAD))]
    yield f"Fitted to what was known on {result.until}, scored on what came later; {result.draws:,} draws\n"
    for row in table:
        cells = (x.ljust(w) if k < 2 else x.rjust(w) for k, (x, w) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(cells).rstrip()
    yield ""
    yield from footnotes(result)


def as_csv(result: Holdout) -> str:
    """Write every figure as CSV, a line an event; of categories scored together their scores, then a line each."""
    names = [f.name for kind in (Score, Total) for f in fields(kind) if f.name != "outcome"]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["class", "kind", "outcome", *names], lineterminator="\n")
    writer.writeheader()
    for c in result.classes:
        written: dict[str, dict[str, object]] = {}
        found: tuple[Score | Total, ...] = (*c.scores, *c.totals)
        for row in found:
            written.setdefault(row.outcome, {"class": c.id, "kind": c.kind}).update(asdict(row))
        writer.writerows(written.values())
    return text.getvalue()


def markdown(result: Holdout) -> str:
    """Write the table for a page of the manual."""
    out = [
        f"Fitted to what was known on {result.until}; {result.draws:,} draws, seed {result.seed}.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|---|---|" + "--:|" * (len(HEAD) - 2),
        *("| " + " | ".join((f"`{row[0]}`", row[1].replace("_", " "), *row[2:])) + " |" for row in rows(result)),
        "",
        *(f"* {note.replace('* ', '\\*: ')}" for note in footnotes(result)),
    ]
    return "\n".join(out) + "\n"


# ---- the picture ---------------------------------------------------------------------------------


def draw(result: Holdout, file: Path) -> Path:
    """Draw intervals against what was observed, each in units of what was predicted, as a PNG or SVG file."""
    shown = [(c, t) for c in result.classes for t in c.totals]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10.0, 1.4 + 0.21 * len(shown)), layout="constrained")
        axes = figure.add_subplot()
        for y, (_, t) in enumerate(shown):
            _interval(axes, y, t)
        axes.axvline(1.0, color=colours.MUTED_INK, linewidth=0.7, zorder=0)
        axes.set_xscale("function", functions=(lambda x: abs(x) ** 0.5, lambda x: x**2))
        axes.set_xlim(0.0, WIDEST)
        axes.set_xticks([0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 5, 6])
        axes.set_yticks(range(len(shown)), [f"{_short(c)}: {t.outcome.replace('_', ' ')}" for c, t in shown])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlabel(f"count after {result.until}, as a multiple of what was predicted (square-root scale)")
        axes.set_title(
            "Point: observed, red outside the 90 % interval. Thick line: 50 % interval; thin: 90 %",
            fontsize=9.0,
            loc="left",
        )
        axes.text(1.12, 1.004, "observed, predicted", transform=axes.transAxes, ha="right", va="bottom", fontsize=8.0)
        figure.savefig(file, dpi=110, metadata={"Software": None} if file.suffix == ".png" else None)
    return file


def _interval(axes: Any, y: int, t: Total) -> None:
    inside = t.lower90 <= t.observed <= t.upper90
    for low, high, width in ((t.lower90, t.upper90, 1.6), (t.lower50, t.upper50, 5.0)):
        axes.plot([low / t.predicted, high / t.predicted], [y, y], color=_LINE, linewidth=width, solid_capstyle="butt")
    x = min(t.ratio, WIDEST)
    axes.plot([x], [y], "o", color=_IN if inside else _OUT, markersize=4.5, clip_on=False)
    right = {"transform": axes.get_yaxis_transform(), "va": "center", "ha": "right", "fontsize": 8.0}
    axes.text(1.06, y, f"{t.observed:.3g}", **right)
    axes.text(1.12, y, f"{t.predicted:.3g}", **right, color=colours.MUTED_INK)


def _short(c: HeldOut) -> str:
    return c.id.replace("_", " ")
