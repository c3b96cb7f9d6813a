"""Writes runs until it is killed, or so many: started by the tests of the archive as processes of their own.

python -m tests.archive_writer ARCHIVE write N       writes N runs, printing the id of each when it is there
python -m tests.archive_writer ARCHIVE killed N SEED  N times over, starts a writer and kills it with SIGKILL
python -m tests.archive_writer ARCHIVE limited BYTES  writes one run where no file may be larger than BYTES
"""

import os
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path

from forecast.archive import Archive
from forecast.errors import ArchiveError
from tests import outputs_data as made


def write(archive: Archive, n: int) -> None:
    tree = made.forecast_tree()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(n):
            print(made.write(archive, tree, Path(folder)).id, flush=True)


def killed(archive: Archive, n: int, seed: int) -> None:
    """Kill writers at moments spread over the time of a run and a half."""
    rng, tree = random.Random(seed), made.forecast_tree()  # noqa: S311
    inputs = Path(tempfile.mkdtemp())
    took = 0.0
    for k in range(n):
        ready, begun = os.pipe()
        pid = os.fork()
        if pid == 0:
            while True:
                os.write(begun, b".")
                print(made.write(archive, tree, inputs).id, flush=True)
        os.read(ready, 1)
        if k == 0:  # the first one shows how long a run takes on this machine
            start = time.monotonic()
            os.read(ready, 1)
            took = time.monotonic() - start
        time.sleep(rng.uniform(0.0, 1.6 * took))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(begun)


def limited(archive: Archive, size: int) -> None:
    tree = made.forecast_tree()
    with tempfile.TemporaryDirectory() as folder:
        files = made.files(Path(folder))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        try:
            print(archive.write_run(tree, files, dict(tree.attrs)).id)
        except ArchiveError as err:
            print(f"refused: {err}")


if __name__ == "__main__":
    where, what, *rest = sys.argv[1:]
    {"write": write, "killed": killed, "limited": limited}[what](Archive(Path(where)), *map(int, rest))
