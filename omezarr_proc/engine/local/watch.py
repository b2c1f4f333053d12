"""Workers that have stopped moving: stopped by a signal, or in a system call that storage does not answer.

A worker moves when it answers or uses the CPU, so a task that takes long is no stall. Time is counted by looks, not by the clock: a main
process that was itself stopped (a paused container, Lambda between two invocations) holds that against nobody.
"""

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

NOTICE_SECONDS = 30.0
_LOOKS = 6  # within the shortest time that counts


@dataclass(frozen=True)
class Still:
    """A worker that has not moved for so many seconds; `stuck`: for so long that it is given up."""

    pid: int
    seconds: float
    stuck: bool


@dataclass
class _Count:
    cpu: float
    seconds: float
    notice: float


class Watch:
    """Says which of the workers that have something to do do not move: after `notice_seconds`, then each time after twice as long."""

    def __init__(
        self,
        stall_seconds: float = 0.0,
        notice_seconds: float = NOTICE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        cpu_seconds: Callable[[int], float] | None = None,
    ) -> None:
        """`stall_seconds`: after which a worker is stuck; 0: never. `cpu_seconds`: what a process has used so far, by its id."""
        self.stall_seconds = stall_seconds
        self._notice = notice_seconds
        self._interval = min(notice_seconds, stall_seconds or notice_seconds) / _LOOKS
        self._clock, self._cpu = clock, cpu_seconds or _cpu_seconds
        self._looked = clock()
        self._counts: dict[int, _Count] = {}

    @property
    def due(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._looked + self._interval - self._clock())

    def moved(self, pid: int) -> None:
        """A worker has answered."""
        self._counts.pop(pid, None)

    def look(self, busy: Collection[int]) -> Iterator[Still]:
        """Look, if a look is due, at the workers that have something to do."""
        now = self._clock()
        passed = now - self._looked
        if passed < self._interval:
            return
        self._looked = now
        self._counts = {pid: count for pid, count in self._counts.items() if pid in busy}
        for pid in busy:
            cpu = self._cpu(pid)
            count = self._counts.get(pid)
            if count is None or count.cpu != cpu:
                self._counts[pid] = _Count(cpu, 0.0, self._notice)
                continue
            count.seconds += min(passed, 2 * self._interval)
            stuck = 0 < self.stall_seconds <= count.seconds
            if stuck or count.seconds >= count.notice:
                count.notice *= 2
                yield Still(pid, count.seconds, stuck)


def thread_states(pid: int) -> str:
    """The states of a process's threads, a letter each as proc(5) has them; empty where there is no such process, or no /proc."""
    states = ""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(OSError), open(f"/proc/{pid}/task/{thread}/stat", "rb") as stat:  # it may end meanwhile
                states += stat.read().rpartition(b")")[2].split()[0].decode()
    return states


def _cpu_seconds(pid: int) -> float:
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
