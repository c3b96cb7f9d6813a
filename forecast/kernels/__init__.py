"""Compiled loops over arrays; nothing here knows a deal, a name or a file."""

import hashlib
import os
import tempfile
from pathlib import Path

import numba


def _cache_folder() -> Path:
    """Folder for compiled kernels, named after everything that they are compiled from.

    numba watches a kernel's own file only: an edited helper in another file would leave stale code.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    for folder in (base / "forecast", Path(tempfile.gettempdir()) / f"forecast-{os.getuid()}"):
        target = folder / "numba" / digest.hexdigest()[:16]
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(target, os.W_OK):
            return target
    return Path(tempfile.mkdtemp(prefix="forecast-numba-"))


if "NUMBA_CACHE_DIR" not in os.environ:
    numba.config.CACHE_DIR = str(_cache_folder())
