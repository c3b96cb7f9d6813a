"""What is so given that something happens, for a terminal and as CSV."""

import csv
import io
from collections.abc import Iterator, Sequence

from forecast.analysis.conditioning import Given, Shift
from forecast.ledger.cells import guarded
from forecast.report.whatif_rows import SMALL, error, move
from forecast.report.words import percent, percent_range

WHY = (
    "These are the paths of the forecast on which it so happens, so that it also tells about the parameters and about\n"
    "what came before: a path that had ended by then is not among them. What if we make it so: forecast whatif --force."
)


def lines(
    title: str, that: Sequence[str], figures: Sequence[Given], headlines: int, top: int, counts: tuple[int, int, float]
) -> Iterator[str]:
    """Yield the table: headlines, then the causes and outcomes that differ the most."""
    happens, paths, draws = counts
    share = f"{happens:,} of {paths:,} paths ({percent(happens / paths)})"
    yield f"{title}\ngiven {' and '.join(that)}: on {share}, from {draws:,.0f} effective draws"
    yield f"{WHY}\n"
    yield f"  {'':<52} {'forecast':>8} {'given it':>8} {'90 % interval':>13} {'difference':>10}  Monte Carlo"
    causes = {f.wanted.name for f in figures if f.wanted.variable == "cumulative_incidence"}
    rest = [f for f in figures[headlines:]
            if f.wanted.variable != "outcome_probability" or f.wanted.name not in causes]  # fmt: skip
    said = {(f.wanted.name, f.wanted.day) for f in figures[:headlines]}
    rest = [f for f in rest if (f.wanted.name, f.wanted.day) not in said]
    moved = sorted((f for f in rest if abs(f.difference) >= SMALL), key=lambda f: -abs(f.difference))
    for n, f in enumerate((*figures[:headlines], *moved[:top])):
        name = f.wanted.label if n < headlines else f"{f.wanted.label} ({f.wanted.day})"
        name = name if len(name) <= 52 else f"{name[:51]}…"
        yield (
            f"  {name:<52} {percent(f.plain):>8} {percent(f.mean):>8} {percent_range(f.lower, f.upper):>13} "
            f"{move(f.difference):>10}  {error(f.difference_mcse)}"
        )


def told(shifts: Sequence[Shift], labels: dict[str, str], most: int = 5) -> Iterator[str]:
    """Say what it tells about parameters."""
    if shifts:
        yield "\nIt tells about these parameters, in standard deviations of what is known without it:"
    for s in shifts[:most]:
        name, _, entry = s.parameter.partition("[")
        label = labels.get(name, name) + (f" [{entry}" if entry else "")
        yield f"  {label:<60} {s.shift:+.2f} ± {s.error:.2f}".replace("-", "−")


def table(figures: Sequence[Given]) -> str:
    """Return every figure as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("figure", "variable", "name", "date", "forecast", "given", "lower", "upper", "mcse", "difference",
                     "difference_mcse"))  # fmt: skip
    for f in figures:
        w = f.wanted
        numbers = (f.plain, f.mean, f.lower, f.upper, f.mcse, f.difference, f.difference_mcse)
        writer.writerow([guarded(w.label), w.variable, w.name, str(w.day), *(repr(float(x)) for x in numbers)])
    return out.getvalue()
