"""Write the pages of docs/ that are made from the code: `python docs/generate.py`, or `--check` to compare."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeAliasType, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from forecast import schema
from forecast.deal import experts, model, parameters, spec

HERE = Path(__file__).parent
PLAIN = {
    "str": "text",
    "float": "number",
    "int": "whole number",
    "bool": "true or false",
    "date": "date",
    "NoneType": "",
}
NAMES = {
    "Duration": 'duration, such as "24 months"',
    "Slug": "name",
    "ParameterRef": "parameter",
    "FlagLiteral": 'flag, or "not flag"',
    "RiskRate": "parameter, or { shape, scale }",
    "Text": "text",
    "Clause": "[Delivery](#delivery) or [Standing](#standing)",
    "Condition": "list of flags; an inner list: any of them",
}
INTRO = """\
# The deal file

Made from the code by `python docs/generate.py`. A deal is a folder with a `deal.toml`, and an `experts.csv` where
parameters are elicited. [quick-start.md](quick-start.md) walks through a small one.

A **parameter** is named wherever a number is uncertain, and declared once under `[parameters.NAME]`; one entry of a
parameter that has several is written `NAME[entry]`. Unknown keys, missing units, names that do not exist and parameters
that nothing uses are errors.

## The names that words make

Conditions, cascades, influences, headlines and `[primitives]` may use these; `forecast explain DEAL --level process` lists
those of a deal.

| word | flags | clocks | events |
|---|---|---|---|
| the deal | `signed` | `since_signature` | `signing`, `talks_collapse`, `talks_end` |
| a party X that signs | `X_refused` | | `X_decides` |
| a delivery clause X | `X_defaulted`, `X_fulfilled`, `X_late` | `X_due`, `X_response` | `X_deadline`, `X_late_delivery`, `X_response` |
| a standing clause X | `X_defaulted` | `X_response` | `X_violation`, `X_response` |
| a promise X | `X_defaulted` | `X_response` | `X_reversal`, `X_response` |
| `[verification]` | `verification_refused` | `verification_response` | `verification_refusal`, `verification_response` |
| an election X | `X_change_coming`, `X_other_side`, `X_opposed` | `X_in_office` | `X_vote`, `X_takes_office`, `X_returns`, `X_withdrawal`, `X_withdrawal_opposed` |
| a leader X | `X_opposed` | `X_tenure`, `X_new` | `X_exit_regular`, `X_exit_irregular`, `X_position_…`, `X_repudiation` |
| a breakdown X | | | `X` |
| a calendar event X | what it `sets` | | `X` |

## What to know

* The clause that is not in the package (`included = false`), and the inspections that are not agreed, keep their flags and
  causes, which then never come about; a market that hangs on one is left out.
* One cause may be shared, under one label. `no_deal` is the cause of talks that fail.
* An opponent in office changes what a party signs only where its `influences` say so. `withdraws_opposed` and `repudiates` go by
  the time since the opponent came in; everything that says "by time since signature" by that.
* A clause needs verification if it has `if_unverified`; it is verified if `[verification]` lists it and is agreed.
* Rounds and the horizon are counted on the calendar, deadlines in years of 365.25 days: "12 months" after 1 March may be
  29 February.
* Durations are texts with a unit, except under `[primitives]`, where `age` and `every` are numbers of years.
* Outcome classes under `[primitives]` replace the ones that words make; everything else there is added.
"""

OUTPUTS = """\
# The variables of a run

Made from the code by `python docs/generate.py`. `forecast.zarr` of a run opens with plain xarray:
`xarray.open_datatree(path, engine="zarr", consolidated=False)`. Every probability comes per posterior draw; the group
`summary` holds means and 90 % intervals. The attribute `method` is `simulated`, or `exact` where the process is small: then
shares of paths are probabilities that were computed, and `paths` counts those that storylines and base rates come from.

"""


def type_name(annotation: Any) -> str:
    """Say a type in words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, TypeAliasType):
        return NAMES.get(annotation.__name__) or type_name(annotation.__value__)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return NAMES.get(annotation.__name__) or f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(t for a in args if (t := type_name(a))))
    if origin is Literal:
        return " or ".join(f"`{a!r}`".replace("'", '"') for a in args)
    containers = {Annotated: "{}", tuple: "list of {}", dict: "table: name → {}"}
    if origin in containers:
        return containers[origin].format(type_name(args[1 if origin is dict else 0]))
    return PLAIN.get(getattr(annotation, "__name__", "None"), str(annotation))


def row(name: str, field: FieldInfo) -> str:
    """One key as a row of a table."""
    need = "required" if field.is_required() else f"default {default(field)}"
    text = (field.description or "").replace("|", "\\|").replace("\n", " ")
    return f"| `{field.alias or name}` | {type_name(field.annotation)} | {need} | {text} |"


def default(field: FieldInfo) -> str:
    """A default in TOML's words."""
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`" if isinstance(value, str | int | float) else "empty"


def section(kind: type[BaseModel], title: str) -> Iterator[str]:
    """One table of the file."""
    yield f"## {title}\n"
    yield f"{(kind.__doc__ or '').strip().replace(chr(10) + '    ', chr(10))}\n"
    yield "| key | value | | meaning |\n|---|---|---|---|"
    yield from (row(n, f) for n, f in kind.model_fields.items())
    yield ""


def deal_file_page() -> str:
    """The page docs/deal-file.md."""
    words = [
        model.Header,
        model.Party,
        model.Influence,
        model.Negotiation,
        model.Delivery,
        model.Standing,
        model.Promise,
        model.Response,
        model.Verification,
        model.Election,
        model.Vote,
        model.Leader,
        model.Breakdown,
        model.CalendarEvent,
        model.Cascade,
        model.Market,
        model.Buyer,
        model.Amount,
        model.Headline,
        model.BaseRateEntry,
        parameters.Parameter,
        parameters.Reference,
        parameters.Contrast,
        parameters.Distribution,
        experts.ExpertRow,
        experts.Seed,
        experts.Elicitation,
        model.Primitives,
        spec.Flag,
        spec.Clock,
        spec.Hazard,
        spec.Modifier,
        spec.Scheduled,
        spec.Recurrence,
        spec.AtAge,
        spec.Branch,
        spec.Effect,
        spec.Consequence,
        spec.OutcomeClass,
        spec.Derived,
        spec.Term,
    ]
    lines = [INTRO, *section(model.DealFile, "Tables")]
    for kind in words:
        lines += section(kind, kind.__name__)
    return "\n".join(lines)


def outputs_page() -> str:
    """The page docs/outputs.md."""
    return OUTPUTS + schema.markdown().rstrip() + "\n"


PAGES = {"deal-file.md": deal_file_page, "outputs.md": outputs_page}


def main() -> int:
    """Write the pages, or say which are out of date."""
    stale = [
        name for name, page in PAGES.items() if not (HERE / name).exists() or (HERE / name).read_text("utf-8") != page()
    ]
    if "--check" in sys.argv:
        sys.stderr.writelines(f"docs/{name} is out of date: run python docs/generate.py\n" for name in stale)
        return len(stale)
    for name in stale:
        (HERE / name).write_text(PAGES[name](), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
