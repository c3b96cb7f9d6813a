"""What the report needs besides the forecast itself: how well the calibration went, and the sources."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Health:
    """How the calibration did, against the gate that decides whether a run is published.

    `problems` are the gate's own sentences, `seconds` the time that the fit took (not the time to
    read it back), `digest` the hash of all that entered it. A figure that does not exist is NaN, an
    unknown number of divergences -1. `warnings` are what is worth a look but holds nothing.
    """

    gate_passed: bool
    problems: tuple[str, ...]
    worst_rhat: float
    smallest_ess_bulk: float
    smallest_ess_tail: float
    divergences: int
    bfmi: float
    seconds: float
    from_cache: bool
    digest: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where one parameter's number comes from.

    `origin` names the kind ("reference class us_party_change", "3 experts", "constant"), `source` gives
    the citation or the reasoning. `parameter` is the id in the deal file; a parameter with several
    entries (age bins, shares) has one row.
    """

    parameter: str
    label: str
    unit: str
    origin: str
    source: str


@dataclass(frozen=True)
class Estimate:
    """A figure with its two uncertainties.

    `lower` and `upper` bound the 90% interval over posterior draws (what is not known), `mcse` is the
    Monte Carlo standard error of `mean` (what more paths would remove; NaN where there is none).
    """

    mean: float
    lower: float
    upper: float
    mcse: float = float("nan")
