"""The report: one HTML file that needs nothing else, for a screen, a telephone or paper."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

import xarray as xr
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from forecast.calibrate.gate import MAX_RHAT, MIN_BFMI, MIN_ESS
from forecast.deal.describe import Description
from forecast.report import brief, colours, plots, pull, stories, tables, words
from forecast.report.checks import ClassRow, class_rows
from forecast.report.model import Health, Source
from forecast.report.svg import to_svg

HERE = Path(__file__).parent
MAX_STORYLINES = 12


@dataclass(frozen=True)
class Picture:
    """A figure drawn twice, for a wide and for a narrow page."""

    wide: Markup
    narrow: Markup


@dataclass(frozen=True)
class Check:
    """One line of the calibration's health: what was measured, what is allowed, whether it holds."""

    name: str
    value: str
    allowed: str
    passed: bool


def write_report(
    path: Path, tree: xr.DataTree, description: Description, health: Health, sources: Sequence[Source] = ()
) -> None:
    """Write the report of a forecast to `path`, as UTF-8.

    Parameters
    ----------
    path
        The file, e.g. report.html; its folder exists.
    tree
        A forecast as opened from the archive or as just computed (docs/forecast.md).
    description
        What the deal is, in words.
    health, sources
        How the calibration went, and where each parameter's number comes from.
    """
    path.write_text(render(tree, description, health, sources), encoding="utf-8")


def render(tree: xr.DataTree, description: Description, health: Health, sources: Sequence[Source] = ()) -> str:
    """Return the report as HTML text. The same input gives the same bytes."""
    template = environment().get_template("report.html.j2")
    tree = _needed(tree)
    return template.render(_context(tree, description, health, sources))


def _needed(tree: xr.DataTree) -> xr.DataTree:
    """Read what the report shows, once: a stored run is opened lazily, and its curves by draw are large."""
    root = tree.to_dataset()
    shown = ["consequence_amount", "consequence_mcse", "event_frequency", "parameters"]
    groups = {"/": root[[name for name in shown if name in root]].assign_coords(root.coords)}
    for name in ("summary", "estimates", "storylines", "base_rates", "checks", "sources"):
        if name in tree.children:
            group = tree.children[name].to_dataset(inherit=False)
            groups[f"/{name}"] = group.drop_vars("estimate_probability", errors="ignore")
    return xr.DataTree.from_dict({name: group.load() for name, group in groups.items()})


def style() -> Markup:
    """The style sheet that all pages have."""
    return Markup((HERE / "templates" / "report.css").read_text(encoding="utf-8"))  # noqa: S704  # ours


def environment() -> Environment:
    """Everything is escaped, and a name that the template misspells is an error."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    formats = (
        words.percent,
        words.percent_range,
        words.points,
        words.chance,
        words.number,
        words.number_range,
        words.p_value,
        words.quantity,
        words.quantity_range,
        words.signed,
        pull.effect_in_points,
        pull.swing_in_points,
        brief.long_date,
        brief.short_date,
    )
    environment.filters |= {f.__name__: f for f in formats}
    environment.filters["word"] = words.ICD_203.word
    environment.filters["span"] = words.ICD_203.span
    return environment


def _context(tree: xr.DataTree, description: Description, health: Health, sources: Sequence[Source]) -> dict[str, Any]:
    """Collect what the template prints; it does layout only."""
    days = tables.shown_dates(tree)
    rows = pull.said(tree)
    shown: dict[str, Any] = {
        "headlines": tables.headlines(tree, description.headline),
        "outcomes": tables.curves(tree, "outcome_probability", days),
        "causes": tables.causes(tree),
        "storylines": stories.storylines(tree, MAX_STORYLINES),
        "families": stories.families(tree),
        "refusals": tables.refusals(tree, description.refusals),
        "transfers": tables.transfers(tree, description.consequence_groups),
        "amounts": tables.amounts(tree, description.consequence_groups),
        "base_rates": tables.base_rates(tree),
        "parameters": tables.parameters(tree, sources),
    }
    return (
        shown
        | _shades(tree, shown["transfers"])
        | {
            "css": style(),
            "deal": description,
            "diagram": _as_image(description.diagram_svg),
            "attrs": tree.attrs,
            "held": tree.attrs["status"] == "held",
            "held_reasons": tables.attribute_list(tree, "held_reasons"),
            "days": days,
            "how_estimated": tables.how_estimated(tree),
            "exact": tables.is_exact(tree),
            "start": tables.grid_date(tree, 0),
            "horizon": tables.grid_date(tree, -1),
            "marks": plots.shown_marks(tree, description.calendar),
            "says": list(_says(shown, days[-1])),
            "health": health,
            "checks": checks(health),
            "against_data": _against_data(tree),
            "pulls": pull.strongest(rows),
            "scale": words.ICD_203,
            "pictures": _pictures(tree, description) | _forest(rows),
            "inputs": tables.attribute_table(tree, "inputs"),
            "versions": tables.attribute_table(tree, "versions"),
        }
    )


def _shades(tree: xr.DataTree, groups: Sequence[tables.TransferGroup]) -> dict[str, Any]:
    """Choose the colours of causes, outcomes and the sides of each market, the same as in the pictures."""
    causes = list(tables.labels(tree, "cause"))
    return {
        "cause_colours": colours.cause_colours(causes),
        "outcome_colours": colours.outcome_colours(list(tables.labels(tree, "outcome")), causes),
        "transfer_colours": [
            colours.consequence_colours([f.label for f in _by_size(g.losers)], [f.label for f in g.gainers])
            for g in groups
        ],
    }


def _by_size(flows: Sequence[tables.Flow]) -> list[tables.Flow]:
    return sorted(flows, key=lambda f: -abs(f.total.mean))


def _says(shown: dict[str, Any], horizon: Any) -> Iterator[str]:
    """Yield the sentences of the first page."""
    yield brief.on_outcomes(shown["outcomes"], horizon)
    yield brief.on_causes(shown["causes"], horizon)
    if shown["storylines"]:
        yield brief.on_storylines(shown["storylines"])
    if shown["refusals"]:
        yield brief.on_refusals(shown["refusals"])
    for group in shown["transfers"]:
        if group.losers and group.gainers:
            yield brief.on_transfers(group)
    if shown["base_rates"]:
        yield brief.on_base_rates(shown["base_rates"])


def _forest(rows: Sequence[pull.Said]) -> dict[str, Any]:
    chosen = pull.drawn(rows)
    if not chosen:
        return {"forest": None}
    drawn = (to_svg(pull.forest(rows, chosen, narrow=n), f"forest-{n:d}") for n in (False, True))
    return {"forest": Picture(*(Markup(svg) for svg in drawn))}  # noqa: S704  # matplotlib escaped the text


def _pictures(tree: xr.DataTree, description: Description) -> dict[str, Any]:
    def both(name: str, draw: Any) -> Picture:
        drawn = (to_svg(draw(narrow=n), f"{name}-{n:d}") for n in (False, True))
        return Picture(*(Markup(svg) for svg in drawn))  # noqa: S704  # matplotlib escaped the text

    return {
        "outcomes": both(
            "outcomes", lambda narrow: plots.outcomes_over_time(tree, description.calendar, narrow=narrow)
        ),
        "causes": both("causes", lambda narrow: plots.incidence_by_cause(tree, narrow=narrow)),
        "transfers": [
            both(f"transfers{i}", lambda narrow, g=g: plots.transfers_over_time(tree, g, narrow=narrow))
            for i, g in enumerate(description.consequence_groups)
        ],
    }


def _against_data(tree: xr.DataTree) -> tuple[ClassRow, ...]:
    found = tree.children.get("checks")
    return class_rows(found.to_dataset(inherit=False)) if found is not None else ()


def checks(health: Health) -> tuple[Check, ...]:
    """Hold the calibration's figures against the gate's limits; what is not known fails."""
    unknown = float("nan")
    divergences = float(health.divergences) if health.divergences >= 0 else unknown
    rows = (
        ("Worst R-hat", health.worst_rhat, ".3f", f"at most {MAX_RHAT}", health.worst_rhat <= MAX_RHAT),
        ("Smallest bulk effective sample size", health.smallest_ess_bulk, ",.0f", f"at least {MIN_ESS:.0f}",
         health.smallest_ess_bulk >= MIN_ESS),
        ("Smallest tail effective sample size", health.smallest_ess_tail, ",.0f", f"at least {MIN_ESS:.0f}",
         health.smallest_ess_tail >= MIN_ESS),
        ("Divergences", divergences, ",.0f", "none", divergences == 0),
        ("Smallest energy BFMI", health.bfmi, ".2f", f"above {MIN_BFMI}", health.bfmi > MIN_BFMI),
    )  # fmt: skip
    return tuple(Check(name, "n/a" if isnan(x) else format(x, form), limit, ok) for name, x, form, limit, ok in rows)


def _as_image(svg: str) -> str:
    """Return a drawing made elsewhere as a data URI: as an image it can neither run nor load anything."""
    if not svg:
        return ""
    # An image does not see the page's font.
    svg = svg.replace('font-family="inherit"', 'font-family="Segoe UI, Helvetica Neue, Arial, sans-serif"')
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode("ascii")
