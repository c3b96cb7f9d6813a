"""The primitives: a generalised semi-Markov process in the words of docs/model.md.

A `Process` is what a deal file says once every deal word has been expanded. It knows names and
parameters, not numbers: `forecast.process.compile` joins it with posterior draws.
"""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict, StrictBool, model_validator

type Day = Annotated[date, Strict()]  # a date of the file, not a text that looks like one
type Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
# "signed" or "not signed"; an inner list of a condition is a list of literals of which any must hold.
type FlagLiteral = Annotated[str, Field(pattern=r"^(not )?[a-z][a-z0-9_]{0,63}$")]
# "rate_of_x", or one entry of a parameter that has several: "share_india[france]".
type ParameterRef = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}(\[[^\[\]]{1,64}\])?$")]


class Frozen(BaseModel):
    """Immutable and strict about keys: a misspelt field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Condition(Frozen):
    """True when every literal of `all` holds and, of each group in `any`, at least one. Empty is true.

    In a file it is a list, in which an inner list is a group: `["signed", ["late", "not verified"]]`.
    """

    all: tuple[FlagLiteral, ...] = ()
    any: tuple[tuple[FlagLiteral, ...], ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if not isinstance(value, list | tuple):
            return value
        return {
            "all": [x for x in value if not isinstance(x, list | tuple)],
            "any": [x for x in value if isinstance(x, list | tuple)],
        }


class Flag(Frozen):
    """A named boolean state, false at the as-of date unless `initially`."""

    id: Slug
    label: str
    initially: StrictBool = False


class Clock(Frozen):
    """A named age; `running_since` may lie before the as-of date, or after it (age is then negative)."""

    id: Slug
    label: str
    running_since: Day | None = None


class Modifier(Frozen):
    """Adds parameter `log_ratio` to the log hazard (or logit) while the literal holds; always, if None."""

    when: FlagLiteral | None = None
    log_ratio: ParameterRef


class Effect(Frozen):
    """What an event does: set and clear flags, start (or restart) and stop clocks, or end the path."""

    set: tuple[Slug, ...] = ()
    clear: tuple[Slug, ...] = ()
    start: tuple[Slug, ...] = ()
    stop: tuple[Slug, ...] = ()
    end: Slug | None = None


class Hazard(Frozen):
    """A competing risk: `rate` per year (constant, or by age bins of `clock`), or Weibull in that age."""

    id: Slug
    label: str
    when: Condition = Condition()
    clock: Slug | None = None
    rate: ParameterRef | None = None
    weibull_shape: ParameterRef | None = None
    weibull_scale: ParameterRef | None = None
    modifiers: tuple[Modifier, ...] = ()
    effect: Effect


class Branch(Frozen):
    """One outcome of a scheduled event.

    Exactly one of three: `probability` (a parameter in (0, 1)); `logit` (a parameter on the log-odds
    scale plus `modifiers`; several of them in one event make a softmax against the rest, whose
    logit is 0); or neither, which makes it the rest. Every event has exactly one rest.
    `probability` and `logit` are not mixed in one event.
    """

    id: Slug
    label: str
    probability: ParameterRef | None = None
    logit: ParameterRef | None = None
    modifiers: tuple[Modifier, ...] = ()
    effect: Effect = Effect()


class Recurrence(Frozen):
    """Every `every` years from `first` until `last` (both included)."""

    first: Day
    last: Day
    every: Annotated[float, Field(ge=1 / 365.25, le=100)]


class AtAge(Frozen):
    """Once, when `clock` reaches `age` years; cancelled if the clock stops or restarts first."""

    clock: Slug
    age: Annotated[float, Field(gt=0)]


class Scheduled(Frozen):
    """An event on known dates, in a recurrence or at an age of a clock; skipped where `when` is false."""

    id: Slug
    label: str
    when: Condition = Condition()
    dates: tuple[Day, ...] = ()
    every: Recurrence | None = None
    at_age: AtAge | None = None
    branches: Annotated[tuple[Branch, ...], Field(min_length=1)]


class Consequence(Frozen):
    """An amount per year while `when` holds, or a lump sum at each firing of `event` (and `branch`).

    The amount is `sign` times the product of the parameters in `amount`, in `unit` (per year for a flow).
    `discount` is a parameter, a continuous rate per year. Consequences that share a `conserved` group
    must add up to zero on every path: same condition, same discount, amounts that cancel.
    """

    id: Slug
    label: str
    unit: str
    amount: Annotated[tuple[ParameterRef, ...], Field(min_length=1)]
    sign: Literal[-1, 1] = 1
    when: Condition | None = None
    event: Slug | None = None
    branch: Slug | None = None
    discount: ParameterRef | None = None
    conserved: Slug | None = None


class OutcomeClass(Frozen):
    """One class of paths at a time t.

    It matches a path that was ended by one of `causes` and whose flags meet `when`;
    `causes` empty matches paths that have not ended. The last class of a process is the rest: it has neither.
    """

    id: Slug
    label: str
    causes: tuple[Slug, ...] = ()
    when: Condition | None = None
    rest: StrictBool = False


class Cause(Frozen):
    """A named way in which a path ends."""

    id: Slug
    label: str


class Term(Frozen):
    """`sign` times a product of parameters."""

    parameters: Annotated[tuple[ParameterRef, ...], Field(min_length=1)]
    sign: Literal[-1, 1] = 1


class Derived(Frozen):
    """A parameter computed in each draw: the sum of `terms`, divided by each parameter in `over`."""

    id: Slug
    label: str
    terms: Annotated[tuple[Term, ...], Field(min_length=1)]
    over: tuple[ParameterRef, ...] = ()


class Process(Frozen):
    """A whole process: everything that `compile` needs but the draws."""

    deal_id: Slug
    title: str
    as_of: Day
    horizon: Annotated[float, Field(gt=0, le=100)]
    flags: tuple[Flag, ...]
    exclusive: tuple[tuple[Slug, ...], ...] = ()
    clocks: tuple[Clock, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    scheduled: tuple[Scheduled, ...] = ()
    causes: tuple[Cause, ...] = ()
    outcomes: Annotated[tuple[OutcomeClass, ...], Field(min_length=1)]
    consequences: tuple[Consequence, ...] = ()
    derived: tuple[Derived, ...] = ()


class BaseRate(Frozen):
    """A published or counted base rate, to hold the model against.

    The model's figure is P(the path is ended by one of `causes`, or `flag` gets set, within `within`
    years of `since` being set | `since` is set at least `within` years before the horizon). Without
    `since` the as-of date counts. With `alone` it is what would happen if nothing else ended paths
    first: those that something else ends are followed up to then only (Kaplan–Meier).
    """

    mechanism: str
    causes: tuple[Slug, ...] = ()
    flag: Slug | None = None
    since: Slug | None = None
    within: Annotated[float, Field(gt=0, le=100)]
    alone: StrictBool = False
    value: Annotated[float, Field(ge=0, le=1)]
    lower: Annotated[float, Field(ge=0, le=1)]
    upper: Annotated[float, Field(ge=0, le=1)]
    source: str
    explanation: str | None = None
