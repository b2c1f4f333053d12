"""A slide on clusters of 1, 2 and 4 real workers with a thread each: what the work costs there, held against `machines`, the simulation.

PYTHONPATH=tests/helpers python -m tests.benchmarks.workers [--side 16384] [--rounds 3] [--workers 1 2 4] [--scratch /dev/shm]

All is CPU seconds of whole processes, those of each worker with its children, so a busy machine disturbs it little and four workers can be
measured on two CPUs: on as many idle CPUs the run would take as long as the worker that has most to do. What a worker of Dask costs by
being there, for each second, is measured first and taken off: a busy machine makes the seconds many. The simulation gets what one run
costs here, and what a share costs beside its work; nothing of what a cluster does.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from distributed import Client, LocalCluster
from distributed.comm.tcp import TCP

from omezarr_proc.build.dataset import pyramid_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.plan.shares import weight_of
from omezarr_proc.tiff.describe.images import open_images
from tests.benchmarks import inputs
from tests.benchmarks.machines import Costs, on_cluster

SETTINGS = Settings(initial_downsample=1)
TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    """CPU seconds of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICK


def convert(source: Path, out: Path, *flags: str) -> float:
    """CPU seconds of a run in a process of its own."""
    shutil.rmtree(out, ignore_errors=True)
    words = ["--output-dir", str(out), "--initial-downsample", "1", "--quiet", *flags]
    process = subprocess.Popen([sys.executable, "-m", "omezarr_proc", str(source), *words])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"the run has failed ({status})")
    return usage.ru_utime + usage.ru_stime


def idle(seconds: float = 10.0) -> float:
    """CPU seconds that a worker which has nothing to do takes for each second."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        (pid,) = client.run(os.getpid).values()
        time.sleep(2)  # until it has begun
        before, began = cpu_of(pid), time.monotonic()
        time.sleep(seconds)
        return (cpu_of(pid) - before) / (time.monotonic() - began)


def on_workers(source: Path, out: Path, count: int, rest: float) -> tuple[list[float], float, Counter[str]]:
    """CPU seconds of each worker, without what it takes at `rest`, and of the main process; how many messages the scheduler has seen."""
    with LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=":0") as cluster, Client(cluster) as client:
        pids = list(client.run(os.getpid).values())
        before, began, messages = [cpu_of(pid) for pid in pids], time.monotonic(), Counter[str]()
        with counted(messages):
            main = convert(source, out, "--cluster", cluster.scheduler_address)
        resting = rest * (time.monotonic() - began)
        return [cpu_of(pid) - had - resting for pid, had in zip(pids, before, strict=True)], main, messages


@contextmanager
def counted(messages: Counter[str]) -> Iterator[None]:
    """Within, messages of this process, which has the scheduler, are counted: what is sent together is one."""
    read, write = TCP.read, TCP.write

    async def reads(comm, *arguments, **named):
        found = await read(comm, *arguments, **named)
        messages["got"] += 1
        return found

    async def writes(comm, *arguments, **named):
        messages["sent"] += 1
        return await write(comm, *arguments, **named)

    TCP.read, TCP.write = reads, writes
    try:
        yield
    finally:
        TCP.read, TCP.write = read, write


def main() -> None:
    """Print a line for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=16384, help="of the slide, in pixels")
    parser.add_argument("--rounds", type=int, default=3, help="of which the medians are taken")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--scratch", type=Path, help="where to work")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        case = replace(inputs._ALL[0], shape=(options.side, options.side, 3))
        source, out = inputs.make(case, 1, Path(scratch)), Path(scratch) / "out"
        (image,) = open_images(str(source))
        weight = weight_of(image, pyramid_of(image, SETTINGS))
        alone, of_workers, main_, messages = [], {n: [] for n in options.workers}, [], {n: [] for n in options.workers}
        rest = idle()
        for _ in range(options.rounds):
            alone.append(convert(source, out, "--max-workers", "1"))
            for count in options.workers:
                found, of_main, said = on_workers(source, out, count, rest)
                of_workers[count].append(found)
                main_.append(of_main)
                messages[count].append(said["got"] + said["sent"])
        one = statistics.median(alone)
        costs = replace(Costs(), cpus=1, latency=0.0)
        costs = replace(costs, rate=weight.work / (one - costs.start))
        print(f"one run without a cluster: {one:.1f} s of CPU; the main process of a cluster {statistics.median(main_):.1f} s;", end=" ")
        print(f"a worker of Dask that has nothing to do: {100 * rest:.1f} % of a CPU")
        print("| workers | all of them | the busiest | in the simulation | faster than one | messages |\n|---|---|---|---|---|---|")
        first = None
        for count in options.workers:
            total = statistics.median(map(sum, of_workers[count]))
            busiest = statistics.median(map(max, of_workers[count]))
            first = first or busiest
            wall = on_cluster([weight], count, costs).wall
            said = statistics.median(messages[count])
            print(f"| {count} | {total:.1f} s | {busiest:.1f} s | {wall:.1f} s | {first / busiest:.2f} x | {said:.0f} |")


if __name__ == "__main__":
    main()
