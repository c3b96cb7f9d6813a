"""What experts said, how well it is fitted, what it weighs, and what comes out: for people, question by question."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from textwrap import fill

from forecast.calibrate.beliefs import POORLY_FITTED, Belief, belief, beliefs, from_link, normal_quantiles
from forecast.calibrate.consensus import Consensus, consensus, spread
from forecast.calibrate.cooke import Panel, panel_of
from forecast.deal.experts import ExpertRow, Seed
from forecast.deal.model import Deal
from forecast.errors import DealFileError
from forecast.ledger.cells import guarded

LEVELS = (0.05, 0.5, 0.95)
WIDTH = 100


@dataclass(frozen=True)
class Answer:
    """One expert's answer: as given, as fitted (5, 50, 95 %), its weight in the pool and its misfit."""

    row: ExpertRow
    fitted: tuple[float, ...]
    weight: float
    misfit: float


@dataclass(frozen=True)
class Question:
    """One question: the answers that count, the pooled 5, 50 and 95 %, and how far the experts lie apart.

    `spread` is the weighted standard deviation of the experts' means on the link scale. `seed` is set
    where the answer is known.
    """

    id: str
    asked: str
    scale: str
    unit: str
    answers: tuple[Answer, ...]
    pooled: tuple[float, ...]
    spread: float
    seed: Seed | None = None


@dataclass(frozen=True)
class Ledger:
    """All questions of a deal, the experts' scores, and the disagreement (5, 50, 95 %) that the answers leave."""

    title: str
    as_of: date
    questions: tuple[Question, ...]
    panel: Panel
    disagreement: tuple[float, ...]


def ledger_of(deal: Deal, only: Sequence[str] = ()) -> Ledger:
    """Fit, weigh and pool the answers of a deal.

    Parameters
    ----------
    only
        Questions, or parameters that rest on them; all, if empty.
    """
    panel = panel_of(deal)
    asked = {k: p.experts for k, p in deal.file.parameters.items() if p.experts}
    known = {r.question for r in deal.experts if r.date <= deal.as_of}
    pooled = {q: g for q, g in beliefs(deal.experts, deal.as_of, asked.values(), panel.weights).items() if g}
    seeds = {s.question: s for s in deal.seeds if s.question in known}
    chosen = [asked.get(name, name) for name in only]
    if wrong := [name for name in chosen if name not in pooled and name not in seeds]:
        known_here = ", ".join([*pooled, *seeds]) or "none"
        raise DealFileError("\n".join(f"no question {name!r}; questions: {known_here}" for name in wrong))
    # Seeds are pooled apart: their answers say nothing of the disagreement that the model has.
    joint = consensus(pooled) if pooled else None
    beside = beliefs(deal.experts, deal.as_of, [q for q in seeds if q not in pooled], panel.weights)
    questions = [*_questions(deal, pooled, joint, seeds), *_questions(deal, beside, None, seeds)]
    kept = tuple(q for q in questions if not chosen or q.id in chosen)
    tau = tuple(float(x) for x in joint.tau_quantiles(LEVELS)) if joint else ()
    return Ledger(deal.file.deal.title, deal.as_of, kept, panel, tau)


def _questions(
    deal: Deal, groups: dict[str, list[Belief]], joint: Consensus | None, seeds: dict[str, Seed]
) -> Iterator[Question]:
    if not groups:
        return
    quantiles = (joint or consensus(groups)).quantiles(LEVELS)
    for n, (id_, group) in enumerate(groups.items()):
        rows = [r for r in deal.experts if r.question == id_ and r.date <= deal.as_of]
        weight = {b.expert: b.weight for b in group}
        scale = rows[0].scale
        yield Question(
            id_,
            rows[0].asked,
            scale,
            rows[0].unit,
            tuple(_answer(r, weight.get(r.expert, 0.0)) for r in rows),
            tuple(float(x) for x in from_link(scale, quantiles[n])),
            spread(group),
            seeds.get(id_),
        )


def _answer(row: ExpertRow, weight: float) -> Answer:
    b = belief(row)
    fitted = from_link(row.scale, b.mean + b.sd * normal_quantiles(LEVELS))
    return Answer(row, tuple(float(x) for x in fitted), weight, b.misfit)


# ---- for the terminal ------------------------------------------------------------------------------


def ledger_lines(ledger: Ledger) -> Iterator[str]:
    """Say the ledger as tables for a terminal."""
    yield f"{ledger.title}, as of {ledger.as_of}"
    yield from _score_lines(ledger.panel)
    for q in ledger.questions:
        yield ""
        yield fill(f"{q.id} ({q.unit}): {q.asked}", WIDTH, subsequent_indent="  ")
        yield f"  {'':<36} {'5 %':>9} {'50 %':>9} {'95 %':>9}  weight  misfit"
        for a in q.answers:
            yield f"  {_cut(a.row.expert, 36)} {_numbers(a.fitted)}  {a.weight:6.1%}  {_misfit(a)}"
        several = sum(a.weight > 0 for a in q.answers) > 1
        apart = f"experts lie {q.spread:.2g} apart{_on(q.scale)}" if several else "one expert"
        yield f"  {'pooled':<36} {_numbers(q.pooled)}          {apart}"
        if q.seed:
            yield f"  {'seed: the answer is':<36} {'':9} {q.seed.answer:>9.4g}            known on {q.seed.known_on}"
    if ledger.disagreement:
        low, middle, high = ledger.disagreement
        yield ""
        yield fill(
            f"Disagreement that answers hide, shared by all questions: {middle:.2g} ({low:.2g} to {high:.2g}), on the "
            "logit or log scale, or in stated standard deviations where the scale is real. Misfit: how far, in "
            f"standard deviations, a quantile lies from the fitted one; those above {POORLY_FITTED} are marked !.",
            WIDTH,
        )


def _score_lines(panel: Panel) -> Iterator[str]:
    if panel.scores:
        yield ""
        several = "s" if len(panel.seeds) > 1 else ""
        yield f"{len(panel.seeds)} seed question{several}; cut-off of the calibration {panel.cutoff:.3g}"
        between = " | ".join(f"{100 * level:g}" for level in panel.levels)
        yield f"  {'':<36} calibration  information  weight  answers in bins of {between} %"
        for s in panel.scores:
            hits = " ".join(map(str, s.hits))
            yield f"  {_cut(s.expert, 36)} {s.calibration:11.3g}  {s.information:11.3g}  {s.weight:6.1%}  {hits}"
    elif not panel.seeds:
        yield "No seed questions known by then: all experts weigh the same."
    for note in panel.notes:
        yield fill(f"note: {note}", WIDTH, subsequent_indent="  ")


def _on(scale: str) -> str:
    return {"probability": " in log-odds", "positive": " in logs"}.get(scale, "")


def _misfit(answer: Answer) -> str:
    if answer.misfit <= POORLY_FITTED:
        return f"{answer.misfit:6.2f}"
    given = ", ".join(f"{x:.3g}" for x in answer.row.values)
    return f"{answer.misfit:6.2f} !  given {given}"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{v:>9.3g}" for v in values)


def _cut(text: str, width: int) -> str:
    return f"{text:<{width}}" if len(text) <= width else f"{text[: width - 1]}…"


# ---- for other programs ----------------------------------------------------------------------------

COLUMNS = ("question", "expert", "date", "scale", "unit", "given", "p05", "p50", "p95", "weight", "misfit", "spread")


def ledger_csv(ledger: Ledger) -> str:
    """Write the ledger as CSV: one row an answer, and one a question for what is pooled (expert `pooled`)."""
    out = io.StringIO(newline="")
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    for q in ledger.questions:
        for a in q.answers:
            given = " ".join(f"{c}={x!r}" for c, x in a.row.quantiles.items())
            numbers = [f"{x:.6g}" for x in (*a.fitted, a.weight, a.misfit)]
            rows.writerow([q.id, guarded(a.row.expert), a.row.date, q.scale, guarded(q.unit), given, *numbers, ""])
        rows.writerow(
            [
                q.id,
                "pooled",
                "",
                q.scale,
                guarded(q.unit),
                "",
                *(f"{x:.6g}" for x in q.pooled),
                "",
                "",
                f"{q.spread:.6g}",
            ]
        )
    return out.getvalue()
