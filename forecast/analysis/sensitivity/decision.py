"""A choice between actions whose payoffs hang on an outcome, from a small TOML file."""

import tomllib
from collections.abc import Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Self

import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError, model_validator

from forecast.analysis.sensitivity.headlines import counting_noise, headlines_of
from forecast.errors import ForecastError
from forecast.types import F64

type Number = StrictFloat | StrictInt


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Action(_Frozen):
    """Something that one may do: its payoff if the headline comes true or not, or in each outcome class."""

    label: Annotated[str, Field(min_length=1, max_length=200)]
    if_true: Number | None = None
    if_false: Number | None = None
    payoff: dict[str, Number] = {}


class Decision(_Frozen):
    """Two or more actions, with payoffs by one headline, or by the outcome class at a date."""

    title: Annotated[str, Field(min_length=1, max_length=200)]
    unit: Annotated[str, Field(min_length=1, max_length=60)]
    headline: str | None = None
    at: date | None = None
    actions: dict[str, Action]

    @model_validator(mode="after")
    def _says_everything(self) -> Self:
        if len(self.actions) < 2:
            raise ValueError(f"actions: a choice takes at least two (got {len(self.actions)})")
        if (self.headline is None) == (self.at is None):
            raise ValueError("give either headline (payoffs if_true and if_false) or at (a date, payoffs by outcome)")
        for id_, a in self.actions.items():
            by_headline = a.if_true is not None and a.if_false is not None and not a.payoff
            by_outcome = a.if_true is None and a.if_false is None and bool(a.payoff)
            if self.headline is not None and not by_headline:
                raise ValueError(f"actions.{id_}: with a headline, give if_true and if_false, and nothing else")
            if self.at is not None and not by_outcome:
                raise ValueError(f"actions.{id_}: with a date, give payoff = {{ outcome = … }}, and nothing else")
        return self


def load_decision(path: Path) -> Decision:
    """Read a decision file; ForecastError lists every problem at once."""
    try:
        with path.open("rb") as file:
            return Decision.model_validate(tomllib.load(file))
    except FileNotFoundError:
        raise ForecastError(f"{path}: no such decision file; docs/sensitivity.md shows one") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ForecastError(f"{path}: not valid TOML: {err}") from err
    except ValidationError as err:
        problems = (
            f"{path}: {'.'.join(map(str, e['loc'])) or 'decision'}: {e['msg'].removeprefix('Value error, ')}"
            for e in err.errors()
        )
        raise ForecastError("\n".join(problems)) from None


def payoffs(decision: Decision, tree: xr.DataTree) -> F64:
    """Expected payoff of each action, given the parameters of each draw: (draw, action).

    The noise of probabilities is taken out as elsewhere: deviations from the mean are shrunk, by what the payoff
    that varies most asks for.
    """
    if decision.headline is not None:
        found = headlines_of(tree, [decision.headline])[0]
        if found.trouble:
            raise ForecastError(f"headline {decision.headline!r}: {found.trouble}")
        true, false = (np.array([float(getattr(a, k) or 0.0) for a in decision.actions.values()])
                       for k in ("if_true", "if_false"))  # fmt: skip
        y = quiet(found.y, found.noise)
        by_headline: F64 = y[:, None] * true + (1.0 - y[:, None]) * false
        return by_headline
    return _by_outcome(decision, tree)


def quiet(y: F64, noise: float) -> F64:
    """Shrink the deviations of y (draw,) from their mean by as much as Monte Carlo noise has widened them."""
    total = float(y.var(ddof=1))
    keep = np.sqrt(max(0.0, 1.0 - noise / total)) if total > 0.0 else 0.0
    mean = float(y.mean())
    shrunk: F64 = mean + keep * (y - mean)
    return shrunk


def _by_outcome(decision: Decision, tree: xr.DataTree) -> F64:
    known = [str(i) for i in tree["outcome"].to_numpy()]
    _check_outcomes(decision.actions, known)
    times = tree["time"].to_numpy().astype("datetime64[D]")
    day = np.datetime64(decision.at) if decision.at else times[-1]
    if not times[0] <= day <= times[-1]:
        raise ForecastError(f"at = {decision.at}: outside the forecast, {times[0]} to {times[-1]}")
    at = int(np.searchsorted(times, day, side="right")) - 1
    p = np.asarray(tree["outcome_probability"].isel(time=at).transpose("draw", "outcome").to_numpy(), np.float64)
    p = np.stack([quiet(p[:, k], counting_noise(p[:, k], tree)) for k in range(p.shape[1])], axis=1)
    table = np.array([[float(a.payoff[o]) for o in known] for a in decision.actions.values()])
    result: F64 = p @ table.T
    return result


def _check_outcomes(actions: Mapping[str, Action], known: list[str]) -> None:
    problems = []
    for id_, a in actions.items():
        for name in a.payoff:
            if name not in known:
                near = get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"
                problems.append(f"actions.{id_}.payoff: no outcome class {name!r}; {hint}")
        if missing := [o for o in known if o not in a.payoff]:
            problems.append(f"actions.{id_}.payoff: gives nothing for {', '.join(missing)}")
    if problems:
        raise ForecastError("\n".join(problems))
