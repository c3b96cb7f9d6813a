"""The state diagram of a process: talks, in force, and the ways out of each, as one small SVG or as text."""

from collections import defaultdict
from html import escape

from forecast.deal.spec import Process

WIDTH, ROW, BOX_H, CAUSE_W = 960, 52, 38, 330
INK, LINE, TALKS, FORCE, END = "#1f2933", "#7b8794", "#e8eef5", "#e3f1ea", "#f7ece6"


def ways_out(process: Process) -> dict[str, dict[str, list[str]]]:
    """Return stage ("talks", "in force", "any") → cause → labels of the events that lead there."""
    result: dict[str, dict[str, list[str]]] = {"talks": defaultdict(list), "in force": defaultdict(list)}
    events = [(h.label, h.when.all, h.effect.end) for h in process.hazards]
    events += [(s.label, s.when.all, b.effect.end) for s in process.scheduled for b in s.branches]
    for label, literals, cause in events:
        if cause is not None:
            stage = "talks" if "not signed" in literals else "in force"
            if label not in result[stage][cause]:
                result[stage][cause].append(label)
    return result


def diagram_text(process: Process) -> str:
    """Draw the diagram with characters, for a terminal."""
    out, labels = ways_out(process), {c.id: c.label for c in process.causes}
    lines = []
    for stage, title in (("talks", "TALKS OPEN"), ("in force", "SIGNED AND IN FORCE")):
        if not out[stage] and stage == "talks":
            continue
        lines.append(f"[{title}]")
        if stage == "talks":
            lines.append("   ├── all accept ──▶ [SIGNED AND IN FORCE]")
        causes = list(out[stage])
        for n, cause in enumerate(causes):
            lines.append(f"   {'└' if n == len(causes) - 1 else '├'}──▶ ({cause}) {labels[cause]}")
        lines.append("")
    return "\n".join(lines).rstrip()


def diagram_svg(process: Process) -> str:
    """Draw the diagram as an SVG that needs nothing else."""
    out, labels = ways_out(process), {c.id: c.label for c in process.causes}
    causes = [*out["talks"], *(c for c in out["in force"] if c not in out["talks"])]
    height = max(3, len(causes)) * ROW + 24
    n_talks = max(len(out["talks"]), 1)
    talks_y, force_y = 12 + n_talks * ROW / 2, 12 + (n_talks + len(causes)) * ROW / 2
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="State diagram" font-family="inherit" font-size="13">'
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>'
    )
    parts = [head, tip]
    x_end = WIDTH - CAUSE_W - 6
    stages = (("talks", 10, talks_y, "Talks open", TALKS), ("in force", 270, force_y, "In force", FORCE))
    for n, cause in enumerate(causes):
        y = 12 + n * ROW + ROW / 2
        for stage, x, y0, _, _ in stages:
            if cause in out[stage]:
                parts.append(_arrow(x + 150, y0, x_end, y))
        parts.append(_box(x_end, y, CAUSE_W, labels[cause], END))
    if out["talks"]:
        parts.append(_arrow(85, talks_y + BOX_H / 2, 270, force_y))
        parts.append(f'<text x="92" y="{(talks_y + force_y) / 2 + 14:.0f}" fill="{INK}">all accept</text>')
    for stage, x, y, title, colour in stages:
        if stage == "in force" or out["talks"]:
            parts.append(_box(x, y, 150, title, colour))
    return "".join([*parts, "</svg>"])


def _box(x: float, y: float, width: float, text: str, fill: str) -> str:
    short = text if len(text) <= 48 else text[:47] + "…"
    return (
        f"<g><title>{escape(text)}</title>"
        f'<rect x="{x:.0f}" y="{y - BOX_H / 2:.0f}" width="{width}" height="{BOX_H}" rx="6" '
        f'fill="{fill}" stroke="{LINE}"/><text x="{x + width / 2:.0f}" y="{y + 5:.0f}" text-anchor="middle" '
        f'fill="{INK}">{escape(short)}</text></g>'
    )


def _arrow(x0: float, y0: float, x1: float, y1: float) -> str:
    mid = (x0 + x1) / 2
    return (
        f'<path d="M{x0:.0f} {y0:.0f}C{mid:.0f} {y0:.0f} {mid:.0f} {y1:.0f} {x1 - 2:.0f} {y1:.0f}" fill="none" '
        f'stroke="{LINE}" stroke-width="1.3" marker-end="url(#tip)"/>'
    )
