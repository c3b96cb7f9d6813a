"""Where Dask runs what a flow maps: processes of this machine, or a cluster that is there already."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flows.common import has_server
from forecast.errors import ForecastError

if TYPE_CHECKING:
    from prefect_dask import DaskTaskRunner

LOOPBACK = "127.0.0.1"
STARTS_IN = 180  # seconds, at most, in which a Prefect server starts
_WHERE = re.compile(r"local(:(?P<n>\d{1,3}))?|(tcp|tls)://(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]+):(?P<port>\d{1,5})")


def workers_of(where: str) -> int | None:
    """Read `local`, `local:N` or `tcp://HOST:PORT`; return how many processes to start, None for a cluster.

    Raises
    ------
    ForecastError
        It is none of these.
    """
    found = _WHERE.fullmatch(where)
    if found is None or (found["n"] and not int(found["n"])) or not 0 < int(found["port"] or 1) < 65_536:
        raise ForecastError(f"--dask {where!r}: write local, local:N (N processes of this machine) or tcp://HOST:PORT")
    if not where.startswith("local"):
        return None
    return int(found["n"] or _cores())


def threads_of(where: str, wanted: int | None) -> int:
    """Threads of one block: so many that the workers of this machine do not have more than it has cores."""
    workers = workers_of(where)
    return wanted or (max(1, _cores() // workers) if workers else 1)


def task_runner(where: str) -> "DaskTaskRunner[Any]":
    """Make Prefect's task runner. A cluster that it starts listens on the loopback interface alone, dashboards too."""
    import dask
    from prefect_dask import DaskTaskRunner

    logging.getLogger("distributed").setLevel(logging.WARNING)
    workers = workers_of(where)
    if workers is None:
        return DaskTaskRunner(address=where)
    # numba and linear algebra have as many threads as a block is told to take, not as many as there are cores
    single = dict.fromkeys(("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    dask.config.set({"distributed.nanny.pre-spawn-environ": single, "distributed.scheduler.allowed-failures": 5})
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": workers,
            "threads_per_worker": 1,
            "processes": True,
            "host": LOOPBACK,
            "dashboard_address": f"{LOOPBACK}:0",
            "worker_dashboard_address": f"{LOOPBACK}:0",
            "memory_limit": 0,
            "silence_logs": logging.ERROR,
        }
    )


@contextmanager
def one_server() -> Iterator[None]:
    """Use the configured Prefect server, or one of our own on the loopback interface while this lasts.

    Left to itself, Prefect would start another one in each worker.
    """
    if has_server():
        yield
        return
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import PREFECT_API_URL, temporary_settings

    server = SubprocessASGIServer()
    server.start(timeout=STARTS_IN)
    try:
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            yield
    finally:
        server.stop()


def _cores() -> int:
    return getattr(os, "process_cpu_count", os.cpu_count)() or 1
