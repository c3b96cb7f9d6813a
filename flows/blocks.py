"""Blocks of a sweep or a run as Prefect tasks, on Dask workers; each is a function of a folder and its number alone."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from prefect import flow, task

from flows.cluster import check_cluster
from flows.common import is_transient
from flows.workers import one_server, task_runner, threads_of
from forecast import spread, sweeping
from forecast.blockstore import Blocks, Part

type Kind = Literal["sweep", "run"]

AGAIN = 2  # times that a block is tried again after a disk or network fault
AHEAD = 64  # blocks that are handed out before the first of them must be back
COMPUTE: dict[Kind, Callable[[Path, int, int], int]] = {"sweep": sweeping.compute_block, "run": spread.compute_block}


@task(
    name="block", task_run_name="block-{block}", retries=AGAIN, retry_delay_seconds=1, retry_condition_fn=is_transient
)
def block_of(kind: Kind, folder: str, block: int, threads: int) -> int:
    """Compute one block, on whichever worker, unless one has finished it and died: a cluster then asks for it anew."""
    place = Path(folder)
    return block if Part(place).is_done(block) else COMPUTE[kind](place, block, threads)


def on_dask[R](kind: Kind, work: Callable[[Blocks], R], where: str, threads: int | None, archive: Path) -> R:
    """Do some work as a flow on Dask, one task a block.

    Parameters
    ----------
    kind
        Whose blocks they are.
    work
        Is given what computes blocks.
    where
        `local`, `local:N` or `tcp://HOST:PORT`.
    threads
        Of one block; as many as the cores allow, if None.
    archive
        Which the workers of a cluster must see under the same path.

    Raises
    ------
    ForecastError
        There is no such cluster, it has no workers, or they have other code.
    """
    many = threads_of(where, threads)
    check_cluster(where, archive)

    def mapped(folder: Path, numbers: Sequence[int]) -> Iterator[int]:
        place = str(folder.resolve())
        waiting = deque[Any]()
        for n in numbers:
            waiting.append(block_of.submit(kind, place, n, many))
            if len(waiting) == AHEAD:  # in order: as_completed of Prefect never hears of what Dask has finished
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def body() -> R:
        return work(mapped)

    on_cluster: Any = flow(name=kind, task_runner=task_runner(where))(body)
    with one_server():
        return cast("R", on_cluster())
