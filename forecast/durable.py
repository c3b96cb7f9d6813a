"""Folders that are there whole or not at all: temporary folder, fsync, rename."""

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from forecast.errors import ArchiveError

PREFIX = ".tmp-"
STALE_SECONDS = 3600
# What a person must mend; everything else (a network share that hiccups) may be worth another try.
_REMEDIES = {
    errno.ENOSPC: "the disk is full; free some space and run it again",
    errno.EDQUOT: "the disk quota is used up; free some space and run it again",
    errno.EFBIG: "a file grew beyond what this account may write (see `ulimit -f`)",
    errno.EROFS: "the disk is mounted read-only; choose another folder",
    errno.EACCES: "no permission to write there; choose another folder or change its owner",
    errno.EPERM: "no permission to write there; choose another folder or change its owner",
    errno.ENOTDIR: "a part of this path is a file; choose another folder",
    errno.EEXIST: "a part of this path is a file; choose another folder",
}


@contextmanager
def building(folder: Path, name: str) -> Iterator[Path]:
    """Make a temporary folder inside `folder`, for `publish` to rename; if anything fails, it is removed.

    While it is being filled it is locked (the kernel drops the lock when its process dies, however it
    dies), so that nobody takes it for a dead one.

    Raises
    ------
    ArchiveError
        The disk is full, read-only or not ours: the message says what to do. Nothing is left behind.
    """
    with explained(folder):
        make_folders(folder)
        remove_stale(folder)
        tmp = folder / f"{PREFIX}{os.getpid()}-{os.urandom(4).hex()}-{name}"
        tmp.mkdir()
    handle = os.open(tmp, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _lock(handle, fcntl.LOCK_SH)
        with explained(folder):
            yield tmp
    except BaseException:
        _remove(tmp)
        raise
    finally:
        os.close(handle)


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn the operating system's errors that a person must mend into an `ArchiveError`."""
    try:
        yield
    except OSError as err:
        remedy = _REMEDIES.get(err.errno or 0)
        if remedy is None:
            raise
        raise ArchiveError(f"{err.filename or folder}: nothing was written: {remedy}") from err


def publish(tmp: Path, target: Path) -> bool:
    """Make everything in `tmp` durable and rename it to `target`; False if `target` exists already."""
    sync(tmp)
    try:
        os.rename(tmp, target)  # noqa: PTH104  # never replaces a folder that has something in it
    except OSError as err:
        if err.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            return False
        raise
    _sync_one(target.parent)
    return True


def sync(folder: Path) -> None:
    """Flush every file and folder below `folder`, and itself, to the disk: files first, inner folders before outer.

    Many at once, for a disk writes what several ask for together: eight times faster than one by one.
    """
    places = [(Path(path), [Path(path) / name for name in files]) for path, _, files in os.walk(folder, topdown=False)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(_sync_one, [file for _, files in places for file in files]))
    for place, _ in places:
        _sync_one(place)


def make_folders(folder: Path) -> None:
    """Create a folder and those above it, durably."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        _sync_one(path.parent)


def make_writable(folder: Path) -> None:
    """Create a folder if need be, and make sure that it can be written to, before hours of work depend on it.

    Raises
    ------
    ArchiveError
        It cannot be.
    """
    try:
        make_folders(folder)
        probe = folder / f"{PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
        probe.mkdir()
        probe.rmdir()
    except OSError as err:
        raise ArchiveError(f"{folder}: cannot be written to ({err.strerror}); choose another --archive") from err


def remove_stale(folder: Path) -> None:
    """Remove what writers that are no longer alive have left behind.

    A writer is dead if nobody holds its lock and its process is gone. Process numbers come round again
    (in a container, at every start): after an hour the free lock is proof enough.
    """
    for path in folder.glob(f"{PREFIX}*"):
        try:
            old = time.time() - path.stat().st_mtime > STALE_SECONDS
        except FileNotFoundError:
            continue
        if _is_free(path) and (old or not _is_alive(path.name)):
            shutil.rmtree(path, ignore_errors=True)


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(folder: Path) -> None:
    """Remove a folder for good: threads that were writing beside the one that failed may make it anew."""
    for pause in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4):
        time.sleep(pause)
        shutil.rmtree(folder, ignore_errors=True)


def _sync_one(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_alive(name: str) -> bool:
    pid = name.removeprefix(PREFIX).split("-")[0]
    if not pid.isdigit() or int(pid) <= 0:
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _is_free(path: Path) -> bool:
    """Whether no writer holds the folder, in this container or another; false where that can't be told."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        return _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def _lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except OSError:  # held by another, or a file system that has no locks
        return False
    return True
