"""What each worker does when: load, write (with the fold) of each level, whole bands, counting; and how long it waits.

python -m tests.benchmarks.timeline PLOT.png FLAG... INPUT: converts INPUT, draws the timeline and prints the sums. A task begins, as far as
the main process can tell, when it is sent or when its worker has answered the one before.
"""

import sys
import time
from collections import defaultdict
from typing import Any

from omezarr_proc import cli
from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.engine.local.process import Worker
from omezarr_proc.work.replies import Stored
from omezarr_proc.work.tasks import Task, Write

COLOURS = {"load": "tab:blue", "whole": "tab:purple", "count": "tab:green", "spool": "tab:cyan"}
BEGAN = time.monotonic()


class Recorder:
    """Notes when tasks are sent and answered."""

    def __init__(self) -> None:
        self.sent: dict[int, list[float]] = defaultdict(list)
        self.bars: list[tuple[int, str, float, float]] = []  # worker, kind, begin, end
        self._free: dict[int, float] = {}
        self._submit, self._wait = Pool.submit, Pool.wait

    def submit(self, pool: Pool, worker: Worker, task: Task) -> None:
        """Note the time, then submit."""
        self.sent[worker.pid].append(time.monotonic() - BEGAN)
        self._submit(pool, worker, task)

    def wait(self, pool: Pool, *arguments: Any) -> Any:
        """Wait, then note what was answered."""
        before = {worker.pid: list(worker.tasks) for worker in pool.workers}
        answers = self._wait(pool, *arguments)
        now = time.monotonic() - BEGAN
        for task, reply in answers:
            if not isinstance(reply, Stored):
                pid = next(pid for pid, tasks in before.items() if any(task is other for other in tasks))
                begin = max(self.sent[pid].pop(0), self._free.get(pid, 0.0))
                kind = type(task).__name__.lower() + (f" {task.pass_.first + task.step}" if isinstance(task, Write) else "")
                self.bars.append((pid, kind, begin, now))
                self._free[pid] = now
        return answers


def draw(recorder: Recorder, path: str) -> None:
    """One row for each worker."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    pids = list(dict.fromkeys(bar[0] for bar in recorder.bars))
    shown = set()
    for pid, kind, begin, end in recorder.bars:
        level = int(kind.split()[-1]) if kind.startswith("write") else 0
        colour = COLOURS.get(kind, (1.0, max(0.1, 0.75 - 0.15 * level), 0.1))
        axes.barh(
            pids.index(pid), end - begin, left=begin, color=colour, edgecolor="white", linewidth=0.2, label=None if kind in shown else kind
        )
        shown.add(kind)
    axes.set_yticks(range(len(pids)), [f"worker {pid}" for pid in pids])
    axes.set_xlabel("seconds")
    axes.legend(ncols=8, loc="upper left", bbox_to_anchor=(0, 1.25))
    figure.savefig(path, dpi=120)


def main(arguments: list[str]) -> None:
    """Convert, draw, print."""
    recorder = Recorder()
    Pool.submit = lambda pool, worker, task: recorder.submit(pool, worker, task)  # type: ignore[assignment,method-assign]
    Pool.wait = lambda pool, *rest: recorder.wait(pool, *rest)  # type: ignore[method-assign]
    status = cli.main(["--quiet", "--existing", "force", *arguments[1:]])
    ended = time.monotonic() - BEGAN
    totals: dict[str, float] = defaultdict(float)
    for _, kind, begin, end in recorder.bars:
        totals[kind] += end - begin
    first, last = min(bar[2] for bar in recorder.bars), max(bar[3] for bar in recorder.bars)
    workers = len({bar[0] for bar in recorder.bars})
    for kind, seconds in sorted(totals.items()):
        print(f"{kind:10} {seconds:7.2f} s")
    print(f"{'idle':10} {workers * (last - first) - sum(totals.values()):7.2f} s of {workers} x {last - first:.2f} s")
    print(f"before the first task {first:.2f} s, after the last {ended - last:.2f} s; exit status {status}")
    draw(recorder, arguments[0])


if __name__ == "__main__":
    main(sys.argv[1:])
