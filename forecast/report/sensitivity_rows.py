"""From a sensitivity analysis to what is printed of it: rows and sentences, no layout."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from forecast.report.words import join, number, percent, quantity

PLAIN = ("probability", "share", "log ratio", "logit", "1", "")
CLEAR = 3.0  # standard errors


@dataclass(frozen=True)
class Row:
    """Figures of one factor for one headline; NaN where it has none."""

    id: str
    label: str
    kind: str
    unit: str
    size: int
    source: str
    first: float
    first_error: float
    floor: float
    alone: float
    alone_error: float
    pawn: float
    pawn_error: float
    pawn_floor: float
    low: float
    high: float
    low_error: float
    high_error: float
    swing_error: float
    at_low: float
    at_high: float
    saved: float
    saved_error: float
    brier: float
    bits: float
    bits_error: float
    paired_low: float = math.nan
    paired_high: float = math.nan
    paired_low_error: float = math.nan
    paired_high_error: float = math.nan
    paired_swing_error: float = math.nan

    @property
    def paired(self) -> bool:
        """Whether it was simulated at its quantiles with everything else at its draws."""
        return not math.isnan(self.paired_low)

    @property
    def clear(self) -> bool:
        """Whether it shows more than a parameter without effect would."""
        return self.first > max(self.floor, CLEAR * self.first_error)

    @property
    def swing(self) -> float:
        """Headline at the high value less that at the low one."""
        return self.high - self.low


@dataclass(frozen=True)
class Part:
    """All that is said of one headline. `trouble` says why there is nothing."""

    label: str
    mean: float
    sd: float
    noise: float
    trouble: str
    facts: tuple[Row, ...]
    numbers: tuple[Row, ...]
    groups: tuple[Row, ...]
    everything: Row
    boxes: tuple[str, ...]


_FIGURES = {
    "first": "first_order", "first_error": "first_order_error", "floor": "first_order_floor", "alone": "independent",
    "alone_error": "independent_error", "pawn": "pawn", "pawn_error": "pawn_error", "low": "tornado_low",
    "high": "tornado_high", "low_error": "tornado_low_error", "high_error": "tornado_high_error",
    "swing_error": "tornado_swing_error", "saved": "value_sd", "saved_error": "value_sd_error",
    "brier": "value_brier", "bits": "value_log", "bits_error": "value_log_error",
}  # fmt: skip


PAIRED = ("paired_low", "paired_high", "paired_low_error", "paired_high_error", "paired_swing_error")
_FIXED = {"pawn_floor": "pawn_floor", "at_low": "factor_low", "at_high": "factor_high"}


def parts(data: xr.Dataset) -> tuple[Part, ...]:
    """Read everything of each headline, the factors that count most first."""
    found = []
    for h in range(data.sizes["headline"]):
        rows = {r.id: r for r in _rows(data, h)}
        ranked = sorted(rows.values(), key=lambda r: -np.nan_to_num(r.first, nan=-1.0))
        label, mean, sd, noise, trouble = (
            data[name].to_numpy()[h]
            for name in ("headline", "headline_mean", "headline_sd", "headline_noise", "headline_trouble")
        )
        found.append(Part(
            str(label), float(mean), float(sd), float(noise), str(trouble),
            tuple(r for r in ranked if r.kind == "parameter"),
            tuple(r for r in ranked if r.size == 1 and r.kind in ("parameter", "entry")),
            tuple(r for r in ranked if r.kind not in ("parameter", "entry", "all")),
            next(r for r in ranked if r.kind == "all"),
            tuple(box_sentences(data, h, rows)) if not str(trouble) else (),
        ))  # fmt: skip
    return tuple(found)


def _rows(data: xr.Dataset, h: int) -> Iterator[Row]:
    """Every factor for one headline, in the order of the data."""
    texts = {k: data[f"factor_{k}"].to_numpy() for k in ("label", "kind", "unit", "source")}
    figures = {k: data[v].to_numpy()[h] for k, v in _FIGURES.items()}
    figures |= {k: data[v].to_numpy() for k, v in _FIXED.items()}
    figures |= {k: data[k].to_numpy()[h] for k in PAIRED if k in data}
    for k, (id_, size) in enumerate(zip(data["factor"].to_numpy(), data["factor_size"].to_numpy(), strict=True)):
        row: dict[str, Any] = {name: str(x[k]) for name, x in texts.items()}
        row |= {name: float(x[k]) for name, x in figures.items()}
        yield Row(id=str(id_), size=int(size), **row)


def paired_rows(part: Part) -> tuple[Row, ...]:
    """Numbers that were simulated in pairs, the widest first."""
    return tuple(sorted((r for r in part.numbers if r.paired), key=lambda r: -abs(r.paired_high - r.paired_low)))


def how_simulated(data: xr.Dataset) -> str:
    """Say what was simulated for the pairs; empty where nothing was."""
    a = data.attrs
    if "paired_numbers" not in a:
        return ""
    exact = int(a["paired_replicates"]) == 0
    how = "solved exactly" if exact else f"{a['paired_replicates']} weighted paths a draw and the same luck"
    count = "1 parameter" if a["paired_numbers"] == 1 else f"{a['paired_numbers']} parameters, each"
    return f"{count} held at its 5% and 95% quantile with every other one at its draws: {how}"


def plus_minus(error: float) -> str:
    """Write the standard error of a share or a probability in percentage points.

    >>> plus_minus(0.012), plus_minus(0.0004), plus_minus(float("nan"))
    ('± 1.2', '± 0.04', '')
    """
    if math.isnan(error):
        return ""
    return f"± {100 * error:.1f}" if error >= 0.00095 else f"± {100 * error:.2f}"


def share(value: float, error: float) -> str:
    """Write a share of the variance with its error; less than nothing is nothing.

    >>> share(0.238, 0.019), share(-0.001, 0.002)
    ('24% ± 1.9', '0% ± 0.2')
    """
    return "n/a" if math.isnan(value) else f"{percent(max(value, 0.0))} {plus_minus(error)}"


def in_unit(x: float, unit: str) -> str:
    """Write a value of a parameter with its unit.

    >>> in_unit(1.03, "utility"), in_unit(0.25, "probability"), in_unit(2.5, "years")
    ('1.03 utility', '25%', '2.50 years')
    """
    text = percent(x) if unit == "share" and 0.0 <= x <= 1.0 else quantity(x, unit)
    return text if unit in PLAIN else f"{text} {unit}"


def rule(row: Row, lower: float, upper: float) -> str:
    """Say one rule of a box."""
    name = f"“{row.label}”"
    if math.isinf(lower):
        return f"{name} is below {in_unit(upper, row.unit)}"
    if math.isinf(upper):
        return f"{name} is above {in_unit(lower, row.unit)}"
    return f"{name} is between {in_unit(lower, row.unit)} and {in_unit(upper, row.unit)}"


def box_sentences(data: xr.Dataset, h: int, rows: dict[str, Row]) -> Iterator[str]:
    """Say in words where a headline is unlikely, and where it is likely; that nothing was found, where so."""
    label, mean = str(data["headline"].to_numpy()[h]), float(data["headline_mean"].to_numpy()[h])
    for s, side in enumerate(data["side"].to_numpy()):
        low = str(side) == "low"
        at = {k: float(data[f"box_{k}"].to_numpy()[h, s]) for k in _BOX}
        names = [str(p) for p in data["box_parameter"].to_numpy()[h, s]]
        if not bool(data["box_clear"].to_numpy()[h, s]):
            how = "less" if low else "more"
            yield f"No region of at most three parameters was found in which “{label}” is clearly {how} likely."
            continue
        bounds = zip(names, data["box_lower"].to_numpy()[h, s], data["box_upper"].to_numpy()[h, s], strict=True)
        rules = join([rule(rows[n], float(a), float(b)) for n, a, b in bounds if n])
        sought = "of all the probability that it does not happen" if low else "of all the probability that it happens"
        yield (
            f"In {percent(at['share'])} ({plus_minus(at['share_error'])}) of the draws {rules}; there the chance of "
            f"“{label}” is {percent(at['mean'])} ({plus_minus(at['mean_error'])}), elsewhere {percent(at['outside'])} "
            f"({plus_minus(at['outside_error'])}), overall {percent(mean)}. These draws hold {percent(at['coverage'])} "
            f"({plus_minus(at['coverage_error'])}) {sought}."
        )


_BOX = tuple(f"{k}{e}" for k in ("share", "mean", "outside", "coverage") for e in ("", "_error"))


def next_facts(part: Part, top: int) -> list[str]:
    """Say which facts to find out next for one headline, the most useful first."""
    return [fact_sentence(part, r) for r in part.facts[:top] if r.clear]


def fact_sentence(part: Part, row: Row) -> str:
    """Say what knowing one parameter would be worth.

    The spread is between what may be true; chance would remain.
    """
    left = part.sd - row.saved
    source = f" [{row.source}]" if row.source else ""
    return (
        f"{row.label}{source}: knowing it would narrow the standard deviation from {100 * part.sd:.1f} to "
        f"{100 * left:.1f} points (by {100 * row.saved:.2f} ± {100 * row.saved_error:.2f})"
    )


def over_headlines(found: Sequence[Part], top: int) -> list[str]:
    """Rank facts over all headlines: by the mean of their shares of variance, each headline counting alike."""
    usable = [p for p in found if not p.trouble]
    if len(usable) < 2:
        return []
    total: dict[str, list[Row]] = {}
    for p in usable:
        for r in p.facts:
            total.setdefault(r.id, []).append(r)
    ranked = sorted(total.values(), key=lambda rows: -sum(r.first for r in rows))
    lines = []
    for rows in ranked[:top]:
        clear = sum(r.clear for r in rows)
        if not clear:
            break
        mean = sum(max(r.first, 0.0) for r in rows) / len(rows)
        best = max(zip(usable, rows, strict=True), key=lambda pair: pair[1].first)
        lines.append(
            f"{rows[0].label}: {percent(mean)} of the variance on average, clear for {clear} of {len(usable)} "
            f"headlines; most for “{best[0].label}” ({share(best[1].first, best[1].first_error)})"
        )
    return lines


def decision_lines(data: xr.Dataset, top: int) -> list[str]:
    """Say what the choice is now, and which facts are worth most to it."""
    if "decision_value" not in data:
        return []
    a, unit = data.attrs, str(data.attrs["decision_unit"])
    payoff, perfect = (number(float(a[f"decision_{k}"])) for k in ("payoff", "perfect"))
    first = (
        f"“{a['decision']}” By what is known now: “{a['decision_now']}”, worth {payoff} {unit} on average; knowing "
        f"every parameter would add {perfect} {unit}."
    )
    value, error, lower, upper = (data[f"decision_value{k}"].to_numpy() for k in ("", "_error", "_lower", "_upper"))
    kinds, names = data["factor_kind"].to_numpy(), data["factor_label"].to_numpy()
    useful = (kinds == "parameter") & (value > CLEAR * error) & (lower > 0.0)
    facts = [
        f"{names[k]}: worth {number(float(value[k]))} ± {number(float(error[k]), 2)} {unit} to know (a choice made by "
        f"it earned {number(float(lower[k]))} on draws that it had not seen; the plug-in figure is "
        f"{number(float(upper[k]))})"
        for k in np.argsort(-value)
        if useful[k]
    ]
    none = "No single parameter, once known, would change the choice often enough to be clearly worth something."
    return [first, *(facts[:top] or [none])]
