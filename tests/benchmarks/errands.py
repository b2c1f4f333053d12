"""What errands cost the scheduler of a cluster: its CPU, its memory and its messages, with shares of 50 images that have no pixels.

PYTHONPATH=tests/helpers python -m tests.benchmarks.errands [--errands 10000] [--workers 2]

The scheduler is in this process, the workers and the client in their own. The client hands out as a run does, one errand a worker.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from distributed import LocalCluster

from omezarr_proc.app.cluster.errand import Errand
from omezarr_proc.app.cluster.workers import Workers
from omezarr_proc.app.inputs import Input
from omezarr_proc.app.shares import Owned
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.part import Part
from omezarr_proc.plan.shares import Piece, Shared
from tests.benchmarks.workers import counted

IMAGES = 50  # of an errand


def errand(number: int, of: int) -> Errand:
    """A share as a worker is given it."""
    mine = {}
    for image in range(IMAGES):
        name = f"{number:06}-{image:02}.ome.tif"
        target = Path("/data/pyramids") / name.replace(".tif", ".zarr")
        mine[Input(Path("/data/scans") / name, Path(name))] = Owned({target: Shared(None, (Piece(number, 0, 1),))})
    return Errand(Settings(part=Part(number, of)), mine, None)


def nothing(share: Errand) -> int:
    """What a worker does here."""
    return len(share.mine)


def hand_out(address: str, count: int) -> None:
    """The client: one errand a worker, the next when it has answered."""
    with Workers(address) as workers:
        free, asked, left = list(workers.first()), {}, count
        while left or asked:
            while free and left:
                worker = free.pop()
                asked[workers.ask(worker, nothing, errand(left, count))] = worker
                left -= 1
            if (answer := workers.answer(1.0)) is not None:
                assert answer[1] == IMAGES, answer
                free.append(asked.pop(answer[0]))


def main() -> None:
    """Print what it costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--errands", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--client", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.client:
        hand_out(options.client, options.errands)
        return
    with LocalCluster(n_workers=options.workers, threads_per_worker=1, dashboard_address=":0") as cluster:
        messages, before, began = Counter[str](), resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        page = os.sysconf("SC_PAGE_SIZE")
        had = int(Path("/proc/self/statm").read_text().split()[1]) * page
        with counted(messages):
            words = ["--client", cluster.scheduler_address, "--errands", str(options.errands)]
            subprocess.run([sys.executable, "-m", "tests.benchmarks.errands", *words], check=True)
        after, seconds = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - began
        has = int(Path("/proc/self/statm").read_text().split()[1]) * page
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    n = options.errands
    print(
        f"{n} errands on {options.workers} workers in {seconds:.0f} s: the scheduler took {1000 * cpu / n:.1f} ms of CPU for each,", end=" "
    )
    print(f"got {messages['got'] / n:.1f} messages and sent {messages['sent'] / n:.1f}; it grew by {(has - had) / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
