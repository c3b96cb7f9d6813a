"""The house: one command runs every check, each with its own words where it fails."""

import ast
import doctest
import importlib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("forecast", "flows")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PUBLIC = {"https://pypi.org", "https://files.pythonhosted.org"}
# Declared for their versions alone. Prefect accepts versions of the first two that it does not work with; xarray
# accepts pandas 2, whose times have another resolution.
PINNED_ONLY = {"fastapi", "sqlalchemy", "pandas"}
# Asked for by name: PyMC imports it as its sampler.
BY_NAME = {"nutpie"}
# Named apart from the package that they belong to, and that always brings them.
PART_OF = {"pydantic-core": "pydantic", "markupsafe": "jinja2", "pytensor": "pymc", "arviz-stats": "arviz"}

CHECKS = {
    "ruff check": ["-m", "ruff", "check", "."],
    "ruff format": ["-m", "ruff", "format", "--check", "."],
    "mypy": ["-m", "mypy"],
    "import-linter": ["-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-logo"],
}


@pytest.mark.parametrize("name", CHECKS)
def test_check_passes(name: str) -> None:
    done = subprocess.run(
        [sys.executable, *CHECKS[name]],
        cwd=ROOT,
        env=os.environ | {"NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"{name} (exit code {done.returncode}):\n{done.stdout}{done.stderr}", pytrace=False)


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Every module of the packages: dotted name and syntax tree."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield name, ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_from_outside(tree: ast.Module) -> set[str]:
    """Top-level names of the packages that a module imports and that are neither ours nor Python's."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - set(PACKAGES)


def normal(distribution: str) -> str:
    """Name of a distribution as the index compares it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def test_imports_and_dependencies_are_the_same_set() -> None:
    owners = packages_distributions()
    names = {name for _, tree in sources() for name in imported_from_outside(tree)}
    distributions = {normal(owners[name][0]) if name in owners else name for name in names}
    imported = {PART_OF.get(name, name) for name in distributions}
    declared = {normal(re.split(r"[<>=!~\[ ;]", text)[0]) for text in PROJECT["project"]["dependencies"]}
    assert imported - declared == set(), "imported, but not in the dependencies of pyproject.toml"
    assert declared - imported - PINNED_ONLY - BY_NAME == set(), "in the dependencies, but never imported"


def test_kernels_import_numpy_and_numba_alone() -> None:
    found = {name: imported_from_outside(tree) for name, tree in sources() if name.startswith("forecast.kernels")}
    assert found
    assert {name: extra for name, seen in found.items() if (extra := seen - {"numpy", "numba"})} == {}


def test_examples_in_docstrings_are_true() -> None:
    with_examples = [name for name, tree in sources() if any(map(has_example, ast.walk(tree)))]
    for name in with_examples:
        options = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
        result = doctest.testmod(importlib.import_module(name), optionflags=options)
        assert result.attempted, f"{name}: has examples that doctest does not find"
        assert not result.failed, f"{name}: {result.failed} examples are not true; see the captured output"


def has_example(node: ast.AST) -> bool:
    """Tell whether a node has a docstring with an example."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return isinstance(node, documented) and ">>> " in (ast.get_docstring(node) or "")


def foreign_hosts(lock: str) -> set[str]:
    """Hosts, local indexes and paths in a lock file that are not the public index.

    They enter where an index of one's own is set while locking; `grep -c url` cannot tell.
    """
    hosts = set(re.findall(r"(?:https?|file|ssh|git\+\w+)://[^/\"]*", lock))
    local = set(re.findall(r"(?:registry|path|directory|url) = \"(?!https?://)[^\"]+\"", lock))
    return (hosts - PUBLIC) | local


def test_the_lock_file_names_no_host_but_the_public_index() -> None:
    assert foreign_hosts((ROOT / "uv.lock").read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "line",
    [
        'source = { registry = "/opt/index/simple" }',
        'source = { registry = "file:///opt/index/simple" }',
        '{ url = "https://mirror.example.org/packages/a.whl" }',
        '{ url = "https://files.pythonhosted.org.example.org/packages/a.whl" }',
        '{ url = "http://pypi.org/simple/a.whl" }',
        '{ path = "wheels/a-1.0-py3-none-any.whl" }',
        'source = { git = "ssh://git@example.org/a.git" }',
    ],
)
def test_a_foreign_host_would_be_seen(line: str) -> None:
    assert foreign_hosts(f'source = {{ registry = "https://pypi.org/simple" }}\n{line}\n')


def test_every_package_is_locked_with_digests() -> None:
    packages = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))["package"]
    outside = [p for p in packages if "registry" in p["source"]]
    assert len(outside) == len(packages) - 1  # all but the project itself
    for package in outside:
        files = [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        assert files, package["name"]
        assert all(file["hash"].startswith("sha256:") for file in files), package["name"]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", ".ci/run", ".github/workflows/ci.yml"])
def test_one_test_command_everywhere(name: str) -> None:
    line = re.compile(r"^\s*(?:\$ |- run: |exec )?python3 bootstrap\.py pytest(?:\s+#.*)?$", re.MULTILINE)
    assert line.search((ROOT / name).read_text(encoding="utf-8"))


def test_files_named_in_the_workflow_exist() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:tests|priors|flows|benchmarks)/[\w/.]*\w", text))
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []
