"""docs/performance.md from the last runs that were kept: `python -m benchmarks.write`. It measures nothing itself."""

import sys
from collections.abc import Iterator

from benchmarks.measure import ROOT
from benchmarks.results import Figure, Report, Table, digits, recall

PAGE = ROOT / "docs" / "performance.md"
PARTS = ("compare", "accuracy", "scaling", "sweep")  # files of benchmarks/results, in the order of the page

HEAD = """# Performance

Made by `python -m benchmarks.write` from the runs named below; not edited by hand. To measure anew:

```console
$ uv sync --group bench                        # other simulators; without them they are left out
$ .venv/bin/python -m benchmarks.compare --full
$ .venv/bin/python -m benchmarks.scaling
$ .venv/bin/python -m benchmarks.accuracy
$ .venv/bin/python -m benchmarks.sweep
$ .venv/bin/python -m benchmarks.write
```

Machines and hours differ: ratios within one run carry over, absolute times do not. Every comparison starts with a check
that all simulators give the same probabilities (|z| < 4), and times nothing otherwise. The peers in NumPy and JAX come
twice: as a good engineer writes them in a day, which is what the targets mean, and tuned as far as we could take them
(tables of states, float32, lanes refilled under way; benchmarks/peers/ says how, one file each). All do less than this
engine: no streams of random numbers of their own for each event of a path (which make scenarios comparable and results
independent of threads and of the batch), no outcome classes, no consequences, no count of what fired.
"""


def page() -> str:
    """Compose the page."""
    reports = [r for name in PARTS if (r := recall(name))]
    if not reports:
        sys.exit("nothing kept in benchmarks/results: run `python -m benchmarks.compare` first")
    return "\n".join([HEAD, *(line for report in reports for line in _report(report))]).rstrip() + "\n"


def _report(report: Report) -> Iterator[str]:
    yield f"## `{report.command}`\n"
    yield from (f"* {key}: {value}" for key, value in report.machine.items())
    figures = [f for t in report.tables for f in t.figures if f.met is not None]
    if figures:
        missed = [f.what for f in figures if not f.met]
        yield f"* targets: {len(figures) - len(missed)} of {len(figures)} met" + (
            f"; not met: {'; '.join(missed)}" if missed else ""
        )
    yield ""
    for table in report.tables:
        yield from _table(table)


def _table(table: Table) -> Iterator[str]:
    """Set a table, leaving out columns that would be empty."""
    columns = {
        "": [f.what for f in table.figures],
        "value": [f"{digits(f.value)} {f.unit}" if f.value is not None else "–" for f in table.figures],
        table.ratio_of: ["" if f.ratio is None else digits(f.ratio) for f in table.figures],
        "target": [f.target for f in table.figures],
        "met": [_met(f) for f in table.figures],
        "note": [f.note for f in table.figures],
    }
    shown = {name: cells for name, cells in columns.items() if not name or any(cells)}
    yield f"### {table.title}\n\n{table.intro}\n"
    yield f"| {' | '.join(shown)} |"
    yield "|" + "---|" * len(shown)
    for row in zip(*shown.values(), strict=True):
        yield "| " + " | ".join(cell.replace("|z|", "&#124;z&#124;") for cell in row) + " |"
    yield ""


def _met(figure: Figure) -> str:
    return "" if figure.met is None else "yes" if figure.met else "**no**"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
