"""Variants of a deal: read, checked, calibrated in one joint fit and compiled, so that they share draws and luck."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from forecast.deal.check_numbers import held_problem
from forecast.deal.expand import expand
from forecast.deal.experts import ExpertRow
from forecast.deal.parameters import Parameter
from forecast.deal.scenario import Scenario, lay
from forecast.deal.spec import Process
from forecast.deal.targets import Target, find_target, targets_of
from forecast.deal.words import closest
from forecast.errors import DealFileError, ForecastError
from forecast.inputs import Inputs, load
from forecast.process.compile import Program, compile_process
from forecast.process.draws import Draws
from forecast.process.force import forced, without
from forecast.refine import Wanted, wanted_of

MAX_SCENARIOS = 200


@dataclass(frozen=True)
class Variant:
    """A scenario of a deal, ready to be compiled once there are draws."""

    scenario: Scenario
    inputs: Inputs
    process: Process
    fixed: Mapping[str, float]  # parameters held at a value
    wishes: Mapping[str, str]  # event → how it comes out
    notes: tuple[str, ...]

    def program(self, draws: Draws) -> Program:
        """Compile it with draws of (at least) its parameters."""
        return forced(compile_process(without(self.process, self.wishes), draws.held(self.fixed)), self.wishes)


def targets(inputs: Inputs) -> dict[str, Target]:
    """Everything of a deal that can be forced."""
    return targets_of(inputs.deal.file, expand(inputs.deal))


def variants_of(inputs: Inputs, scenarios: Sequence[Scenario]) -> list[Variant]:
    """Read every scenario of a deal.

    Raises
    ------
    ForecastError
        With everything that is wrong with any of them, one line each, before anything runs.
    """
    problems = [] if scenarios else ["there is no scenario: give at least one change"]
    if len(scenarios) > MAX_SCENARIOS:
        problems.append(f"{len(scenarios)} scenarios; at most {MAX_SCENARIOS} are compared in one go")
    names = [s.name for s in scenarios]
    problems += [f"scenario {n!r}: the name is used twice" for n in dict.fromkeys(names) if names.count(n) > 1]
    found: list[Variant] = []
    for scenario in scenarios:
        try:
            found.append(variant_of(inputs, scenario))
        except ForecastError as err:
            where = f"scenario {scenario.name!r}: " if len(scenarios) > 1 else ""
            problems += [f"{where}{line}" for line in str(err).splitlines()]
    problems += _clashes(found)
    if problems:
        raise DealFileError("\n".join(dict.fromkeys(problems)))
    return found


def variant_of(inputs: Inputs, scenario: Scenario) -> Variant:
    """Read one scenario of a deal."""
    laid = lay(inputs.deal, scenario)
    problems = list(laid.problems)
    changed = inputs
    if laid.overrides and not problems:
        changed = load(inputs.deal.folder, laid.overrides, laid.answers)
    process = expand(changed.deal)
    wishes, wrong = _wishes(changed, process, scenario.force)
    redefined, refused = _redefined(inputs, changed)
    problems += [p for name, value in laid.named.items() for p in _value_problems(changed, name, value)]
    if problems := [*problems, *refused, *wrong]:
        raise DealFileError("\n".join(problems))
    fixed = {**redefined, **{k: float(v) for k, v in laid.named.items()}}
    return Variant(scenario, changed, process, fixed, wishes, laid.notes)


def _value_problems(inputs: Inputs, name: str, value: Any) -> list[str]:
    """Say why a parameter cannot be held at a value."""
    file = inputs.deal.file
    parameter = file.parameters.get(name)
    if parameter is None:
        near = closest(name, file.parameters, "a key of the deal file has dots; parameters")
        return [f"--set {name}: no such parameter; {near}"]
    found = held_problem(file, name, value)
    return [f"--set {name}: {found}"] if found else []


def _wishes(inputs: Inputs, process: Process, force: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Events and how they are to come out; what is wrong with that."""
    known = targets_of(inputs.deal.file, process)
    wishes: dict[str, str] = {}
    problems: list[str] = []
    for name, outcome in force.items():
        try:
            target = find_target(name, outcome, known)
        except DealFileError as err:
            problems += [f"--force {line}" for line in str(err).splitlines()]
            continue
        for event in target.events:
            if wishes.setdefault(event, outcome) != outcome:
                problems.append(f"--force {name}={outcome}: {event} is forced to {wishes[event]!r} already")
    return wishes, problems


def _redefined(inputs: Inputs, changed: Inputs) -> tuple[dict[str, float], list[str]]:
    """Parameters that a scenario gives another constant; another source would need a calibration of its own."""
    fixed: dict[str, float] = {}
    problems: list[str] = []
    for name, new in changed.deal.file.parameters.items():
        old = inputs.deal.file.parameters.get(name)
        if old is None or _source(old) == _source(new):
            continue
        if new.constant is None:
            problems.append(
                f"parameters.{name}: scenarios share one calibration, so its source can't change; hold it at a value "
                f"with {name}=VALUE, or forecast the two deals apart with `forecast run --set`"
            )
        else:
            fixed[name] = new.constant
    return fixed, problems


def _source(p: Parameter) -> dict[str, Any]:
    return p.model_dump(exclude={"label", "source", "rationale"})


def _clashes(variants: Sequence[Variant]) -> list[str]:
    """Parameters that two scenarios add with different sources."""
    seen: dict[str, Parameter] = {}
    problems = []
    for v in variants:
        for name, p in v.inputs.deal.file.parameters.items():
            if name not in v.fixed and _source(seen.setdefault(name, p)) != _source(p):
                problems.append(f"scenario {v.scenario.name!r}: parameters.{name}: another scenario adds it otherwise")
    answers: dict[tuple[str, str], ExpertRow] = {}
    for v in variants:
        problems += [
            f"scenario {v.scenario.name!r}: {r.expert!r} answers {r.question!r} otherwise than in another scenario"
            for r in v.inputs.deal.experts
            if answers.setdefault((r.question, r.expert), r) != r
        ]
    return problems


def joint(inputs: Inputs, variants: Sequence[Variant]) -> Inputs:
    """Return inputs with the parameters and answers of the deal and of every scenario: what one fit is made of."""
    parameters = dict(inputs.deal.file.parameters)
    classes = dict(inputs.classes)
    experts = {(r.question, r.expert): r for r in inputs.deal.experts}
    for v in variants:
        parameters = {**v.inputs.deal.file.parameters, **parameters}
        classes = {**v.inputs.classes, **classes}
        experts |= {(r.question, r.expert): r for r in v.inputs.deal.experts}
    if len(parameters) == len(inputs.deal.file.parameters):
        return inputs
    order = [*inputs.deal.file.parameters, *(k for k in parameters if k not in inputs.deal.file.parameters)]
    file = inputs.deal.file.model_copy(update={"parameters": {k: parameters[k] for k in order}})
    changes = {"file": file, "experts": tuple(experts.values())}
    return replace(inputs, deal=inputs.deal.model_copy(update=changes), classes=classes)


def programs_of(variants: Sequence[Variant], draws: Draws) -> list[Program]:
    """Compile every scenario; all that is wrong with any of them at once."""
    problems: list[str] = []
    programs: list[Program] = []
    for v in variants:
        try:
            programs.append(v.program(draws))
        except ForecastError as err:
            problems += [f"scenario {v.scenario.name!r}: {line}" for line in str(err).splitlines()]
    if problems:
        raise DealFileError("\n".join(problems))
    return programs


def headlines_first(
    programs: Sequence[Program], headline: Sequence[tuple[str, str, str, date]], horizon: date
) -> tuple[list[Wanted], int]:
    """List headlines, then causes and outcome classes of any program at the horizon; and how many are headlines."""
    heads = {(variable, name, day): Wanted(label, variable, name, day) for label, variable, name, day in headline}
    rows = [w for program in programs for w in wanted_of(program, headline, horizon)]
    found = dict(heads)
    for w in rows:
        found.setdefault((w.variable, w.name, w.day), w)
    return list(found.values()), len(heads)
