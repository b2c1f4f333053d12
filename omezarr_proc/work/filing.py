"""Encoded chunks to files, by threads, so that a worker never waits for storage while there is something to encode.

On network file systems creating a file costs milliseconds, and creates in one folder run one after another. So each folder has its own
queue, one thread at a time works on a folder, and threads are added only while there are folders that nobody works on: a fast disk
keeps one or two, EFS gets all of them. Where the last file took no longer than handing it over does, the next one is written at once.
What waits is part of the plan (QUEUE_BYTES a worker).
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from omezarr_proc.plan.kept import QUEUE_BYTES

MAX_THREADS = 16
# A file on a local disk takes 0.1 ms, and so does waking a thread for it; on EFS it takes 5 ms or more.
QUICK_SECONDS = 0.001


class Ticket:
    """The files of one task; calls `done` once, when all are written and no more will come, with the first error if there was one.

    After an error those that wait are not written: the task is lost, and where storage fails each of them can take minutes.
    """

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

    @property
    def has_failed(self) -> bool:
        """Whether there was an error."""
        return self._error is not None

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


class Files(Protocol):
    """Where encoded chunks go."""

    def put(self, folder: str, size: int, write: Callable[[], None], ticket: Ticket) -> None:
        """Have `write` called, which makes a file of `size` bytes in `folder`; `ticket` counts it. May wait."""


class AtOnce:
    """Writes each file before `put` returns."""

    def put(self, folder: str, size: int, write: Callable[[], None], ticket: Ticket) -> None:
        """Write it; raises what it raises."""
        write()


class Filing:
    """A bounded queue of files to write, in order within each folder."""

    def __init__(self) -> None:
        """Threads are started when there is work for them."""
        lock = threading.Lock()
        self._work_there, self._room_there = threading.Condition(lock), threading.Condition(lock)
        self._queues: dict[str, deque[_File]] = {}
        self._idle_folders: deque[str] = deque()  # with files, and no thread working on them
        self._bytes = 0
        self._threads = self._free = 0  # all, and those that have nothing to do
        self._quick = False  # the last file was

    def put(self, folder: str, size: int, write: Callable[[], None], ticket: Ticket) -> None:
        """Have `write` called, which makes a file of `size` bytes in `folder`: by a thread, or at once where files are quick to write.

        Waits while too many bytes are queued.
        """
        ticket.add()
        file = _File(write, size, ticket)
        if self._quick and not self._queues:
            self._write(file)
            return
        with self._room_there:
            while self._bytes and self._bytes + size > QUEUE_BYTES:
                self._room_there.wait()
            if folder in self._queues:
                self._bytes += size
                self._queues[folder].append(file)
                return
            if len(self._idle_folders) >= self._free and self._threads < MAX_THREADS:
                self._start_thread()
            if self._threads:
                self._bytes += size
                self._queues[folder] = deque([file])
                self._idle_folders.append(folder)
                self._work_there.notify()
                return
        self._write(file)

    def _start_thread(self) -> None:
        with contextlib.suppress(RuntimeError):  # no more allowed: those that there are will do, or the caller itself
            threading.Thread(target=self._work, daemon=True).start()
            self._threads += 1
            self._free += 1

    def _work(self) -> None:
        while True:
            with self._work_there:
                while not self._idle_folders:
                    self._work_there.wait()
                self._free -= 1
                folder = self._idle_folders.popleft()
            while file := self._next(folder):
                self._write(file)
                with self._room_there:
                    self._bytes -= file.size
                    self._room_there.notify()

    def _next(self, folder: str) -> _File | None:
        """The next file of a folder; without one the folder is given up, and the thread is free."""
        with self._work_there:
            if queue := self._queues[folder]:
                return queue.popleft()
            del self._queues[folder]
            self._free += 1
            return None

    def _write(self, file: _File) -> None:
        error, began = None, time.monotonic()
        try:
            if not file.ticket.has_failed:
                file.write()
        except Exception as raised:  # goes to the main process with the task's ticket
            error = raised
        self._quick = time.monotonic() - began < QUICK_SECONDS
        file.ticket.settle(error)
