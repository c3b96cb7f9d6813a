"""The manifest of a run: what it is, and size and SHA-256 of each of its files."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from forecast import durable, schema
from forecast.errors import ArchiveError

MANIFEST = "manifest.json"
MAX_MANIFEST = 32_000_000  # bytes


def listing(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and digest of every file below `folder`, by its name there."""
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": durable.sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file != folder / MANIFEST
    }


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest with the digest of its own content."""
    sealed = {**manifest, "digest": _digest(manifest)}
    text = json.dumps(sealed, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a manifest as untrusted text.

    Raises
    ------
    ArchiveError
        It is missing, too large, not as it was written, or of a later version.
    """
    file = folder / MANIFEST
    try:
        if file.stat().st_size > MAX_MANIFEST:
            raise ArchiveError(f"{file}: is larger than {MAX_MANIFEST:,} bytes")
        manifest = dict(json.loads(file.read_text(encoding="utf-8")))
        if _digest({k: v for k, v in manifest.items() if k != "digest"}) != manifest["digest"]:
            raise ArchiveError(f"{file}: is damaged: it is not as it was written")
        if manifest["schema"] > schema.SCHEMA:
            raise ArchiveError(f"{file}: has schema {manifest['schema']}; this version reads up to {schema.SCHEMA}")
        if bad := [n for n in manifest["files"] if not is_inside(n)]:
            raise ArchiveError(f"{file}: names a file outside its run: {bad[0]!r}")
        # What every reader relies on.
        str(manifest["written"]), manifest["attrs"]["deal_id"], manifest["attrs"]["as_of"]
    except FileNotFoundError:
        raise ArchiveError(f"{folder}: no such run: it has no {MANIFEST}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as err:
        raise ArchiveError(f"{file}: is damaged ({err!r:.120})") from err
    return manifest


def size_problems(folder: Path, manifest: Mapping[str, Any], below: str = "") -> Iterator[str]:
    """Name the files of a manifest (below the folder `below`) that are missing, links, or of another size."""
    for name, entry in manifest["files"].items():
        file = folder / name
        if below and not name.startswith(f"{below}/"):
            continue
        if file.is_symlink():
            yield f"{file}: is a link; a run holds its files itself"
        elif not file.is_file():
            yield f"{file}: is missing"
        elif file.stat().st_size != entry["bytes"]:
            yield f"{file}: is damaged: it has {file.stat().st_size:,} bytes, {entry['bytes']:,} were written"


def all_problems(folder: Path) -> list[str]:
    """Name every file of a run that is missing, changed, or not of it."""
    try:
        manifest = read_manifest(folder)
    except ArchiveError as err:
        return [str(err)]
    problems = list(size_problems(folder, manifest))
    damaged = {p.split(": ", 1)[0] for p in problems}
    for name, entry in manifest["files"].items():
        file = folder / name
        if str(file) not in damaged and durable.sha256(file) != entry["sha256"]:
            problems.append(f"{file}: is damaged: its bytes are not those that were written")
    known = {*manifest["files"], MANIFEST}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if (file.is_symlink() or not file.is_dir()) and name not in known:
            problems.append(f"{file}: was not written with the run")
    return problems


def is_inside(name: str) -> bool:
    """Whether a name stays inside the folder that it is used in."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name and "\0" not in name


def _digest(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
