"""From a calibration and the deal's parameters to what the report says about them."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from forecast.calibrate.fit import Calibration
from forecast.calibrate.gate import GateReport
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Distribution, Parameter, Reference
from forecast.inputs import Inputs
from forecast.report.brief import long_date
from forecast.report.model import Health, Source
from forecast.report.words import join, number, percent
from forecast.types import F64


def health_of(calibration: Calibration, gate: GateReport) -> Health:
    """Boil a calibration and its gate's findings down to the report's figures; one NaN makes a worst NaN."""
    rhat, bulk, tail = np.array([row[1:] for row in gate.table], dtype=np.float64).reshape(-1, 3).T
    return Health(
        gate_passed=gate.passed,
        problems=gate.problems,
        worst_rhat=_worst(np.max, rhat),
        smallest_ess_bulk=_worst(np.min, bulk),
        smallest_ess_tail=_worst(np.min, tail),
        divergences=gate.divergences,
        bfmi=gate.bfmi,
        seconds=calibration.seconds,
        from_cache=calibration.from_cache,
        digest=calibration.digest,
        warnings=gate.warnings,
    )


def _worst(pick: Callable[[F64], np.float64], figures: F64) -> float:
    """Pick the worst; NaN where there is none, or where one could not be computed."""
    return float(pick(figures)) if figures.size else float("nan")


def sources_of(inputs: Inputs) -> tuple[Source, ...]:
    """Say for each parameter of a deal where its number comes from, in the order of the deal file.

    The publications behind a reference class are named with the first parameter that uses it.
    """
    rows, cited = [], set[str]()
    for p in inputs.deal.file.parameters.values():
        origin, reasons = _origin(p, inputs)
        used = dict.fromkeys(r.reference for r in p.rests_on)
        if used:
            new = [c for id_ in used if id_ not in cited for c in inputs.classes[id_].citation]
            reasons.append("Data: " + ("; ".join(dict.fromkeys(new)) or "as above"))
            cited.update(used)
        rows.append(Source(p.id, p.label, p.unit, origin, " ".join(_stopped(r) for r in reasons)))
    return tuple(rows)


def _stopped(text: str) -> str:
    """End a sentence with a full stop, and begin it with a capital."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "”")) else ".")


def _origin(parameter: Parameter, inputs: Inputs) -> tuple[str, list[str]]:
    """Return the kind of origin and the reasons."""
    reasons = [r for r in (parameter.rationale, parameter.source) if r]
    rows = [r for r in inputs.deal.experts if r.question == parameter.experts]
    asked = f"Elicited: {join([r.expert for r in rows])}" if rows else ""
    if parameter.rests_on:
        titles = [f"“{inputs.classes[r.reference].title}”" for r in parameter.rests_on]
        origin = f"Reference class{'es' if len(titles) > 1 else ''} {join(titles)}"
        for r, title in zip(parameter.rests_on, titles, strict=True):
            reasons += [f"{title}: {s}" if len(titles) > 1 else s for s in _use(r)]
        return (f"{origin}; {asked}" if rows else origin), [*reasons, *_asked(rows)]
    if parameter.experts is not None:
        return asked, [*reasons, *_asked(rows)]
    if parameter.distribution is not None:
        return f"Distribution {_written(parameter.distribution)}", reasons
    return "Constant", reasons


def _use(reference: Reference) -> Iterator[str]:
    """Say what of a class is used, and how far the deal may differ from it."""
    if reference.contrast is not None:
        c = reference.contrast
        yield f"Effect of {c.covariate}: {c.to} against {c.base}"
    picked = [f"{k} = {v}" for k, v in reference.where.items()]
    picked += [v for v in (reference.event, reference.category) if v]
    if picked:
        yield f"Taken at {join(picked)}"
    if reference.exclude:
        yield f"Without {join(list(reference.exclude))}"
    yield f"Transfer to this deal: sd {number(reference.transfer_sd, 2)} on the link scale"


def _asked(rows: Sequence[ExpertRow]) -> Iterator[str]:
    """Quote the question, then each expert's quantiles and reason."""
    if rows:
        yield f"Asked: “{rows[0].asked}”"
    for r in rows:
        form = percent if r.scale == "probability" else number
        figures = ", ".join(form(x) for x in r.values)
        asked = join([f"{level * 100:g}" for level in r.levels])
        yield f"{r.expert} on {long_date(r.date)} ({asked}%: {figures}): {r.why}"


def _written(d: Distribution) -> str:
    given = {k: v for k, v in d.model_dump(exclude={"family"}).items() if v is not None}
    return f"{d.family}({', '.join(f'{k} {number(v)}' for k, v in given.items())})"
