"""How much memory all processes of a run take together, sampled while they work."""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType

INTERVAL_SECONDS = 0.25
# Of a core, at most: to tell what a process shares the system goes through all its pages.
_SHARE = 0.01


def proportional_bytes(pid: int) -> int:
    """A process's memory with what it shares divided by its sharers (PSS), so that it can be added up; 0 where the system cannot tell."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as rollup:
            return next((int(line.split()[1]) * 1024 for line in rollup if line.startswith(b"Pss:")), 0)
    except OSError:
        return 0


class PeakMemory:
    """Samples this process and `others` from a thread, from `__enter__` to `__exit__`; one for a run, since a sample takes milliseconds.

    peak  the largest sum seen since `begin`, at least the last one before; 0 where nothing is sampled
    """

    def __init__(self, others: Callable[[], Iterable[int]]) -> None:
        """`others`: process ids, asked for at each sample."""
        self.peak = self._last = 0
        self._others = others
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)

    def __enter__(self) -> "PeakMemory":
        with contextlib.suppress(RuntimeError):  # no thread is allowed: nothing is measured, which stops nobody
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._done.set()
        if self._thread.ident is None:  # was not started
            return
        self._thread.join(0.1)  # no longer: what the system tells of a process that is stuck in storage can be stuck too

    def begin(self) -> None:
        """Forget what was seen before."""
        self.peak = self._last

    def _sample(self) -> None:
        while True:
            began = time.thread_time()
            self._last = sum(map(proportional_bytes, (os.getpid(), *self._others())))
            self.peak = max(self.peak, self._last)
            if self._done.wait(max(INTERVAL_SECONDS, (time.thread_time() - began) / _SHARE)):
                return
