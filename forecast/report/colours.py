"""One colour a cause, everywhere; safe for the common kinds of colour blindness.

The causes take Paul Tol's qualitative scheme "muted" and then members of "light" (Tol 2021, Colour
Schemes, SRON/EPS/TN/09-002); states that are not an end take greys and pale blues, so that the eye goes
to the ways in which a deal fails.
"""

from collections.abc import Sequence

INK = "#1b1f24"
MUTED_INK = "#5b6570"
RULE = "#d5dae0"

_CAUSES = (
    "#ddcc77",
    "#332288",
    "#aa4499",
    "#88ccee",
    "#117733",
    "#44aa99",
    "#999933",
    "#882255",
    "#cc6677",
    "#ee8866",
    "#6f7a85",
    "#bbcc33",
    "#ffaabb",
)
_ALIVE = ("#7f9db9", "#b7c9d9", "#d9e3ec", "#9aa7b3", "#c9d0d7")
_REST = "#e9ecef"
_GAINS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#bbbbbb")
_LOSSES = ("#4a5560", "#7b8794", "#a9b2bb")


def cause_colours(causes: Sequence[str]) -> dict[str, str]:
    """Give each cause its colour, by its place in the deal file; they repeat after thirteen."""
    return {cause: _CAUSES[i % len(_CAUSES)] for i, cause in enumerate(causes)}


def outcome_colours(outcomes: Sequence[str], causes: Sequence[str]) -> dict[str, str]:
    """Give each outcome class the colour of the cause that its id names, or a quiet one.

    "breakdown/us_withdrawal" and "us_withdrawal" both name the cause us_withdrawal.
    """
    by_cause = cause_colours(causes)
    named = {outcome: outcome.rpartition("/")[2] for outcome in outcomes}
    alive = [outcome for outcome, cause in named.items() if cause not in by_cause]
    quiet = {outcome: _ALIVE[i % len(_ALIVE)] for i, outcome in enumerate(alive)}
    if len(alive) > 1:
        quiet[alive[-1]] = _REST
    return {outcome: by_cause.get(cause) or quiet[outcome] for outcome, cause in named.items()}


def consequence_colours(losers: Sequence[str], gainers: Sequence[str]) -> dict[str, str]:
    """Give those who lose greys and those who gain Tol's scheme "bright"."""
    greys = {c: _LOSSES[i % len(_LOSSES)] for i, c in enumerate(losers)}
    return greys | {c: _GAINS[i % len(_GAINS)] for i, c in enumerate(gainers)}
