"""Compiled kernels are kept, but never stale ones, and a folder that cannot be written is no reason to fail."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORTH = (
    "import numpy as np, numba\n"
    "from forecast.kernels.gsmp import worth_each\n"
    "out = np.zeros((1, 1))\n"
    "worth_each(np.array([2.0]), np.array([0.5]), out)\n"
    "print(float(out[0, 0]), numba.config.CACHE_DIR)\n"
)


def run(root: Path, **environment: str) -> tuple[float, Path]:
    env = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "NUMBA_DISABLE_JIT")}
    env |= {"PYTHONPATH": str(root), **environment}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WORTH], cwd=root, env=env, capture_output=True, text=True, check=True
    )
    value, folder = done.stdout.split(maxsplit=1)
    return float(value), Path(folder.strip())


def compiled(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.nbc"))


def test_an_edit_of_another_file_is_never_answered_from_the_cache(tmp_path):
    """numba looks at a kernel's own file only, so the folder is named after all of them."""
    shutil.copytree(ROOT / "forecast" / "kernels", tmp_path / "forecast" / "kernels")
    (tmp_path / "forecast" / "__init__.py").touch()
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    value, folder = run(tmp_path, **cache)
    assert value == pytest.approx(1.2642411, rel=1e-6)
    files = compiled(folder)
    stamps = [f.stat().st_mtime_ns for f in files]
    assert files
    assert run(tmp_path, **cache) == (value, folder)
    assert [f.stat().st_mtime_ns for f in compiled(folder)] == stamps  # nothing was compiled again
    arith = tmp_path / "forecast" / "kernels" / "arith.py"
    arith.write_text(arith.read_text().replace("(two + two * more)", "(two + two + two * more)"))
    changed, other = run(tmp_path, **cache)
    assert other != folder
    assert changed != value


def test_a_cache_that_cannot_be_written_gives_way_to_another(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    _, folder = run(ROOT, XDG_CACHE_HOME=str(file), TMPDIR=str(tmp_path))
    assert folder.is_relative_to(tmp_path)
    assert compiled(folder)


def test_a_folder_that_the_user_names_is_taken(tmp_path):
    _, folder = run(ROOT, NUMBA_CACHE_DIR=str(tmp_path / "mine"))
    assert folder == tmp_path / "mine"
    assert compiled(folder)
