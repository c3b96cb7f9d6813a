"""What the forecast says, in a few sentences: the text beside the headline figures."""

from collections.abc import Sequence
from datetime import date

from forecast.report.stories import Storyline
from forecast.report.tables import BaseRateRow, CauseRow, Curve, Refusals, TransferGroup
from forecast.report.words import ICD_203, chance, join, number, number_range, percent, percent_range, signed


def long_date(day: date) -> str:
    """Write a date out: "15 March 2025"."""
    return f"{day.day} {day:%B %Y}"


def short_date(day: date) -> str:
    """Write a date in little room: "15 Mar 2025"."""
    return f"{day.day} {day:%b %Y}"


def _sure(text: str) -> str:
    return text[:1].upper() + text[1:]


def on_outcomes(outcomes: Sequence[Curve], horizon: date) -> str:
    """Name the two most probable outcome classes at the horizon."""
    first, *rest = sorted(outcomes, key=lambda c: -c.at[-1].mean)
    e = first.at[-1]
    text = (
        f"On {long_date(horizon)} the most probable single state of affairs is “{first.label}”: "
        f"{percent(e.mean)} (90% interval {percent_range(e.lower, e.upper)}), {ICD_203.word(e.mean)}."
    )
    if rest and rest[0].at[-1].mean > 0.0:
        text += f" Next comes “{rest[0].label}” at {percent(rest[0].at[-1].mean)}."
    return text


def on_causes(causes: Sequence[CauseRow], horizon: date) -> str:
    """Say how probable any end is, and which causes lead."""
    seen = [c for c in causes if c.by_horizon.mean > 0.0]
    if not seen:
        return f"No path ended before {long_date(horizon)}."
    total = min(sum(c.by_horizon.mean for c in seen), 1.0)
    leaders = join([f"“{c.label}” ({percent(c.by_horizon.mean)})" for c in seen[:3]])
    return (
        f"By then it has ended in {percent(total)} of the possible futures, {chance(total)}; "
        f"the leading {'causes are' if len(seen) > 1 else 'cause is'} {leaders}."
    )


def on_storylines(rows: Sequence[Storyline]) -> str:
    """Quote the most frequent storyline."""
    steps = " → ".join(step for step, _ in rows[0].steps)
    return f"The most frequent storyline ({percent(rows[0].estimate.mean)} of the futures): {steps}."


def on_refusals(rows: Sequence[Refusals]) -> str:
    """Say who refuses most."""
    first = rows[0]
    return (
        f"{_sure(first.party)} refuses most often: {percent(first.share)} of all refusals, "
        f"{number(first.per_path.mean, 2)} a future on average."
    )


def on_transfers(group: TransferGroup) -> str:
    """Say who loses and who gains most."""
    loser = min(group.losers, key=lambda f: f.total.mean)
    gains = join([f"“{f.label}” ({signed(f.total.mean)})" for f in group.gainers[:3]])
    return (
        f"{group.title}, in {group.unit} by the horizon: “{loser.label}” {signed(loser.total.mean)} on average "
        f"({number_range(loser.total.lower, loser.total.upper)}); against it stand {gains}."
    )


def on_base_rates(rows: Sequence[BaseRateRow]) -> str:
    """Count the mechanisms on which model and base rate agree."""
    apart = [r.mechanism for r in rows if not r.agrees]
    if not apart:
        compared = f"all {len(rows)} mechanisms" if len(rows) > 1 else "the one mechanism"
        return f"The model agrees with the base rate on {compared} compared."
    names = join([f"“{a}”" for a in apart[:3]]) + (" and others" if len(apart) > 3 else "")
    return f"The model departs from the base rate on {len(apart)} of {len(rows)} mechanisms: {names}."
