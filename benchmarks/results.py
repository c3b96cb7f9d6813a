"""What a run of a benchmark says: figures with their targets, printed and kept as JSON."""

import json
import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT

FOLDER = ROOT / "benchmarks" / "results"
PACKAGES = ("numpy", "numba", "scipy", "jax", "rebop", "gillespy2", "simpy")


@dataclass(frozen=True)
class Figure:
    """One line. ratio: against what the table says; target: in words; met: None where there is none."""

    what: str
    value: float | None
    unit: str
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Some figures under one title."""

    title: str
    intro: str
    figures: list[Figure] = field(default_factory=list)
    ratio_of: str = "ratio"


@dataclass(frozen=True)
class Report:
    """Everything that one command measured."""

    command: str
    machine: dict[str, str]
    tables: list[Table]


def at_least(value: float, goal: float, stretch: float | None = None) -> dict[str, Any]:
    """Target and whether it is met, for what should be large."""
    also = "" if stretch is None else f" (stretch {stretch:g})"
    return {"target": f"≥ {goal:g}{also}", "met": value >= goal}


def at_most(value: float, goal: float, stretch: float | None = None, unit: str = "") -> dict[str, Any]:
    """Target and whether it is met, for what should be small."""
    also = "" if stretch is None else f" (stretch {stretch:g})"
    return {"target": f"≤ {goal:g}{unit}{also}", "met": value <= goal}


def machine() -> dict[str, str]:
    """What the figures depend on."""
    info = Path("/proc/cpuinfo")
    models = [x.partition(":")[2].strip() for x in info.read_text().splitlines() if x.startswith("model name")]
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "processor": models[0] if models else platform.machine(),
        "processors": str(os.process_cpu_count()),
        "load": f"{load} (over 1, 5 and 15 minutes, at the end of the run)",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "packages": ", ".join(f"{p} {v}" for p in PACKAGES if (v := installed(p))),
        "commit": commit(),
    }


def installed(package: str) -> str:
    """Version of a package; empty if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def commit() -> str:
    """Commit that the code is at, and whether it has been changed since."""
    git = shutil.which("git")
    if git is None:
        return "unknown"

    def ask(*what: str) -> str:
        return subprocess.run([git, *what], cwd=ROOT, capture_output=True, text=True, check=False).stdout  # noqa: S603

    changed = " and changes" if ask("status", "--porcelain", "forecast", "benchmarks/problem.py") else ""
    return (ask("rev-parse", "--short", "HEAD").strip() or "unknown") + changed


def show(table: Table) -> None:
    """Print a table."""
    print(f"\n{table.title}\n{table.intro}")
    print(f"  {'':<52} {'':>12} {'':<10} {table.ratio_of:>9}  {'target':<18} met")
    for f in table.figures:
        value = "–" if f.value is None else digits(f.value)
        against = "" if f.ratio is None else digits(f.ratio)
        met = "" if f.met is None else ("yes" if f.met else "NO")
        print(f"  {f.what:<52} {value:>12} {f.unit:<10} {against:>9}  {f.target:<18} {met:<4}{f.note}", flush=True)


def digits(x: float) -> str:
    """Write a number with three digits that count."""
    if x == 0.0:
        return "0"
    if abs(x) >= 100.0:
        return f"{x:,.0f}"
    return f"{x:.1f}" if abs(x) >= 10.0 else f"{x:.2f}" if abs(x) >= 0.1 else f"{x:.2g}"


def keep(name: str, report: Report) -> Path:
    """Write a report as JSON."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def recall(name: str) -> Report | None:
    """Read a report; None if there is none."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return None
    raw = json.loads(path.read_text(encoding="utf-8"))
    tables = [Table(t["title"], t["intro"], [Figure(**f) for f in t["figures"]], t["ratio_of"]) for t in raw["tables"]]
    return Report(raw["command"], raw["machine"], tables)
