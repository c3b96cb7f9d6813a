"""What the flows share: which failures are worth another try, and how to run without a server."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext

from forecast.pipeline import RunSettings


def is_transient(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Retry disk and network faults only: a bad deal file is still bad in ten seconds."""
    return isinstance(state.result(raise_on_failure=False), OSError)


def has_server() -> bool:
    """Whether a Prefect server is configured."""
    return bool(os.environ.get("PREFECT_API_URL"))


def call[**P, R](work: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a task as a task inside a flow run, and as the plain function that it wraps elsewhere."""
    function: Callable[P, R] = work if FlowRunContext.get() is not None else work.fn
    return function(*args, **kwargs)


def settings_of(given: Mapping[str, int | str], command: str) -> RunSettings:
    """Turn a task's parameters, which travel as plain values, into settings."""
    return RunSettings(
        paths=int(given["paths"]),
        draws=int(given["draws"]),
        seed=int(given["seed"]),
        archive=Path(str(given["archive"])),
        command=command,
    )
