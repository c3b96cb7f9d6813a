"""Whether a Dask cluster can be used: it is there, has workers, and they run the same code and see the same files."""

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flows.workers import workers_of
from forecast.blockstore import code_digest
from forecast.durable import make_writable
from forecast.errors import ForecastError

ANSWERS_IN = 10  # seconds in which a scheduler must answer
WORKERS_IN = 30  # seconds in which it must have a worker
PACKAGES = ("numpy", "numba", "scipy", "zarr", "dask", "distributed", "prefect")


def check_cluster(where: str, archive: Path) -> None:
    """Make sure that the cluster at an address can do the work, before there is any; a local one always can.

    Raises
    ------
    ForecastError
        Nothing answers there, it has no workers, or a worker has other versions or code, or does not see the archive.
    """
    if workers_of(where) is not None:
        return
    make_writable(archive)
    from dask.distributed import Client

    with _quiet():
        try:
            client: Any = Client(where, timeout=ANSWERS_IN, set_as_default=False)
        except (OSError, ValueError) as err:  # TimeoutError among them
            raise ForecastError(
                f"--dask {where}: no Dask scheduler answers there within {ANSWERS_IN} s; start one with "
                "`dask scheduler --host 127.0.0.1`"
            ) from err
        with client:
            _wait_for_workers(client, where)
            probe = archive.resolve() / f".tmp-{os.getpid()}-dask"
            probe.touch()
            try:
                found = client.run(fingerprint, str(probe), on_error="return")
            finally:
                probe.unlink()
    problems = [
        f"--dask {where}: {p}" for worker, told in sorted(found.items()) for p in departures(worker, told, archive)
    ]
    if problems:
        raise ForecastError("\n".join(problems[:10]))


def fingerprint(probe: str) -> dict[str, str]:
    """What a worker has: versions, the code of this package, and whether it sees a file of the archive."""
    versions = {name: version(name) for name in PACKAGES}
    python = ".".join(map(str, sys.version_info[:2]))
    return {"python": python, **versions, "code": code_digest(["."]), "archive": str(Path(probe).exists())}


def _wait_for_workers(client: Any, where: str) -> None:
    try:
        client.wait_for_workers(1, timeout=WORKERS_IN)
    except TimeoutError as err:
        raise ForecastError(
            f"--dask {where}: the scheduler has no workers, and none came within {WORKERS_IN} s; start some with "
            f"`dask worker {where} --nthreads 1`"
        ) from err


def departures(worker: str, told: Mapping[str, str] | BaseException, archive: Path) -> Iterator[str]:
    """Say how a worker differs from this process."""
    if isinstance(told, BaseException):
        yield f"the worker {worker} cannot run this package ({type(told).__name__}: {told}); install it there"
        return
    own = {**fingerprint(os.devnull), "archive": "True"}
    if told["archive"] != own["archive"]:
        yield f"the worker {worker} does not see {archive.resolve()}; give --archive a folder that all machines share"
    for name, value in own.items():
        if name == "code" and told[name] != value:
            yield f"the worker {worker} has other code of this package; install the same commit and restart it"
        elif name not in ("archive", "code") and told[name] != value:
            yield f"the worker {worker} has {name} {told[name]}, here it is {value}; install the same versions"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log of `distributed` from saying the same at length."""
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
