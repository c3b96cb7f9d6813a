"""A sensitivity analysis for a terminal, and as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence
from math import isnan
from textwrap import fill

import xarray as xr

from forecast.ledger.cells import guarded
from forecast.report.sensitivity_rows import (
    Part,
    Row,
    decision_lines,
    how_simulated,
    in_unit,
    next_facts,
    over_headlines,
    paired_rows,
    parts,
    plus_minus,
    share,
)
from forecast.report.whatif_rows import move
from forecast.report.words import percent

WIDTH = 46
PAGE = 120
GROUPS = 10
READING = (
    "share     of the variance between draws that would go if the parameter were known, and what goes with it\n"
    "alone     the same for what the other parameters don't tell about it\n"
    "PAWN      how far knowing it moves the whole distribution; one without effect stays below the floor given\n"
    "at 5%, at 95%   the headline where the parameter has its 5% and its 95% quantile\n"
    "sd        how many points the standard deviation falls once it is known; ± standard error, in points\n"
    "≥         several parameters together: a lower bound, as a smooth surface misses bends and rare interactions\n"
    "Total-order indices are not given: they need draws that differ in one parameter alone, and those of a run differ\n"
    "in all, some of them dependently."
)


def lines(data: xr.Dataset, top: int) -> Iterator[str]:
    """Yield what the terminal shows."""
    found = parts(data)
    a = data.attrs
    simulated = how_simulated(data)
    yield f"{a['title']}\nas of {a['as_of']}; {a['run']}; {a['draws']:,} draws, nothing simulated" + (
        f" but the pairs\npairs: {simulated}\n" if simulated else "\n"
    )
    yield READING
    for part in found:
        yield from _part(part, top)
    if ranked := over_headlines(found, top):
        yield "\nWhich facts to find out next, over all headlines"
        yield from (_wrapped(f"{n}. {text}") for n, text in enumerate(ranked, 1))
    if decided := decision_lines(data, top):
        yield "\nFor the decision"
        yield from (_wrapped(text) for text in decided)


def _part(part: Part, top: int) -> Iterator[str]:
    yield f"\n{part.label}: {percent(part.mean)}"
    if part.trouble:
        yield f"  {part.trouble}"
        return
    yield (
        f"  standard deviation between draws {100 * part.sd:.1f} points; all parameters together explain at least "
        f"{share(part.everything.first, part.everything.first_error)} of the variance"
    )
    clear = [r for r in part.facts if r.clear]
    if not clear:
        yield "  no single parameter shows more than one without effect would"
    else:
        floor = next((r.pawn_floor for r in part.numbers if not isnan(r.pawn_floor)), float("nan"))
        yield (
            f"\n  {'parameter':<{WIDTH}} {'share':>12} {'alone':>12} {f'PAWN >{floor:.2f}':>13} {'at 5%':>12} "
            f"{'at 95%':>12} {'sd':>11}"
        )
        yield from (_row(r) for r in clear[:top])
        if len(clear) > top:
            yield f"  … and {len(clear) - top} more that show something (--top {len(clear)})"
    groups = [r for r in part.groups if r.clear][:GROUPS]
    if groups:
        yield "\n  together, by source, party, clause …: at least"
        yield from (_row(r) for r in groups)
    yield from _pairs(part, top)
    yield ""
    yield from (_wrapped(text) for text in part.boxes)
    if ranked := next_facts(part, 3):
        yield "  Find out next:"
        yield from (_wrapped(f"{n}. {text}") for n, text in enumerate(ranked, 1))


def _pairs(part: Part, top: int) -> Iterator[str]:
    """Yield the paired tornado: where one parameter is moved and nothing else."""
    shown = paired_rows(part)[:top]
    if shown:
        yield "\n  moved alone, everything else at its draws (paired)"
        yield f"  {'parameter':<{WIDTH}} {'5%':>16} {'95%':>16} {'at 5%':>12} {'at 95%':>12} {'difference':>14}"
    for r in shown:
        swing = f"{move(r.paired_high - r.paired_low)} {plus_minus(r.paired_swing_error)}"
        yield (
            f"  {_cut(r.label)} {in_unit(r.at_low, r.unit):>16} {in_unit(r.at_high, r.unit):>16} "
            f"{percent(r.paired_low):>12} {percent(r.paired_high):>12} {swing:>14}"
        )


def _cut(label: str) -> str:
    return f"{label if len(label) <= WIDTH else f'{label[: WIDTH - 1]}…':<{WIDTH}}"


def _row(r: Row) -> str:
    moved = "" if isnan(r.pawn) else f"{r.pawn:.2f} ± {r.pawn_error:.2f}"
    low, high = (
        "" if isnan(x) else f"{percent(x)} {plus_minus(e)}" for x, e in ((r.low, r.low_error), (r.high, r.high_error))
    )
    saved = f"{100 * r.saved:.2f} ± {100 * r.saved_error:.2f}"
    first, alone = share(r.first, r.first_error), share(r.alone, r.alone_error)
    if r.size > 1:
        first, alone = f"≥{first}", alone if isnan(r.alone) else f"≥{alone}"
    return f"  {_cut(r.label)} {first:>12} {alone:>12} {moved:>13} {low:>12} {high:>12} {saved:>11}"


def _wrapped(text: str) -> str:
    return fill(text, PAGE, initial_indent="  ", subsequent_indent="     ")


COLUMNS = (
    "headline", "factor", "label", "kind", "unit", "numbers", "source", "first_order", "first_order_error",
    "first_order_floor", "independent", "independent_error", "pawn", "pawn_error", "pawn_floor", "low", "high",
    "headline_at_low", "headline_at_low_error", "headline_at_high", "headline_at_high_error", "swing_error", "sd_saved",
    "sd_saved_error", "brier_gain", "log_gain_bits", "log_gain_bits_error", "paired_at_low", "paired_at_low_error",
    "paired_at_high", "paired_at_high_error", "paired_swing_error",
)  # fmt: skip


def table(data: xr.Dataset) -> str:
    """Return every figure of every factor as CSV, one line a headline and factor; an empty cell is no figure."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for part in parts(data):
        for r in (*part.facts, *(n for n in part.numbers if n.kind == "entry"), *part.groups, part.everything):
            writer.writerow(_cells(part.label, r))
    return out.getvalue()


def _cells(headline: str, r: Row) -> Sequence[str]:
    texts = [guarded(t) for t in (headline, r.id, r.label, r.kind, r.unit)]
    figures = (
        r.first, r.first_error, r.floor, r.alone, r.alone_error, r.pawn, r.pawn_error, r.pawn_floor, r.at_low,
        r.at_high, r.low, r.low_error, r.high, r.high_error, r.swing_error, r.saved, r.saved_error, r.brier, r.bits,
        r.bits_error, r.paired_low, r.paired_low_error, r.paired_high, r.paired_high_error, r.paired_swing_error,
    )  # fmt: skip
    return [*texts, str(r.size), guarded(r.source), *("" if isnan(x) else repr(x) for x in figures)]
