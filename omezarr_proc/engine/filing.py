"""Encoded chunks to files, by threads, so that a worker never waits for storage while there is something to encode.

On network file systems creating a file costs milliseconds, and creates in one folder run one after another. So each folder has its own
queue, one thread at a time works on a folder, and threads are added only while there are folders that nobody works on: a fast disk
keeps one or two, EFS gets all of them.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

# Encoded bytes that may wait: enough for chunk rows of many folders. Part of each worker's budget.
QUEUE_BYTES = 8 << 20
MAX_THREADS = 16


class Ticket:
    """The files of one task; calls `done` once, when all are written and no more will come, with the first error if there was one."""

    def __init__(self, done: Callable[[Exception | None], None]) -> None:
        """`done` may be called by any thread."""
        self._done = done
        self._lock = threading.Lock()
        self._pending = 1  # the task itself, until `seal`
        self._error: Exception | None = None

    def add(self) -> None:
        """One more file."""
        with self._lock:
            self._pending += 1

    def settle(self, error: Exception | None = None) -> None:
        """One file less."""
        with self._lock:
            self._pending -= 1
            self._error = self._error or error
            last = self._pending == 0
        if last:
            self._done(self._error)

    seal = settle


@dataclass(frozen=True)
class _File:
    write: Callable[[], None]
    size: int
    ticket: Ticket


class Filing:
    """A bounded queue of files to write, in order within each folder."""

    def __init__(self) -> None:
        """Threads are started when there is work for them."""
        self._change = threading.Condition()
        self._queues: dict[str, deque[_File]] = {}
        self._idle_folders: deque[str] = deque()  # with files, and no thread working on them
        self._bytes = 0
        self._threads = self._waiting = 0

    def put(self, folder: str, size: int, write: Callable[[], None], ticket: Ticket) -> None:
        """Let `write`, which makes a file of `size` bytes in `folder`, be called by a thread. Waits while too many bytes are queued."""
        ticket.add()
        with self._change:
            while self._bytes and self._bytes + size > QUEUE_BYTES:
                self._change.wait()
            self._bytes += size
            queue = self._queues.get(folder)
            if queue is None:
                self._queues[folder] = queue = deque()
                self._idle_folders.append(folder)
                if self._waiting:
                    self._change.notify_all()
                elif self._threads < MAX_THREADS:
                    self._start_thread()
            queue.append(_File(write, size, ticket))
            alone = not self._threads
        if alone:
            self._idle_folders.popleft()
            self._empty(folder)

    def _start_thread(self) -> None:
        with contextlib.suppress(RuntimeError):  # no more allowed: those that there are will do, or the caller itself
            threading.Thread(target=self._work, daemon=True).start()
            self._threads += 1

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._idle_folders:
                    self._waiting += 1
                    self._change.wait()
                    self._waiting -= 1
                folder = self._idle_folders.popleft()
            self._empty(folder)

    def _empty(self, folder: str) -> None:
        while True:
            with self._change:
                queue = self._queues[folder]
                if not queue:
                    del self._queues[folder]
                    return
                file = queue.popleft()
            error = None
            try:
                file.write()
            except Exception as raised:  # goes to the main process with the task's ticket
                error = raised
            with self._change:
                self._bytes -= file.size
                self._change.notify_all()
            file.ticket.settle(error)
