"""The record of a conversion on disk, so that a killed one goes on; what its lines say is in `history`.

It is only appended to. A unit is noted after its chunks are on disk: every INTERVAL seconds, more often at first, a thread takes the units
that were added by then, flushes the file system, appends their lines and flushes those.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from omezarr_proc.host.faults import output_error
from omezarr_proc.model.errors import OutputError, ProcessLimitError
from omezarr_proc.model.part import Part
from omezarr_proc.model.text import duration
from omezarr_proc.publish.hidden import part_target, record_path, staging_path
from omezarr_proc.publish.history import History, Unit, line, unit_line
from omezarr_proc.publish.record_file import prepare, prepare_part, write_all
from omezarr_proc.store.opening import open_file
from omezarr_proc.store.sync import Disk

if TYPE_CHECKING:
    from omezarr_proc.publish.lock import Lock
    from omezarr_proc.publish.store_lock import StoreLock

INTERVAL = 2.0
NOTICE_SECONDS = 30.0


class Record:
    """The record and the staging folder of a dataset in the making. Methods raise OutputError, also for what went wrong in the thread.

    history  what earlier attempts have noted
    staging  the folder of the dataset in the making; it holds no root metadata
    disk     its file system, open since before anything of the dataset was written; for `publish` too, so that no loss goes unnoticed
    lock     of the dataset: who has lost it to another run notes nothing more, since the record is that one's. None: not asked
    """

    lock: "Lock | StoreLock | None" = None

    def __init__(self, path: Path, staging: Path, fd: int, disk: Disk, history: History, interval: float) -> None:
        """Use `open`."""
        self.path, self.staging = path, staging
        self.history, self.disk = history, disk
        self._fd, self._end = fd, history.end
        self._start(interval)

    def _start(self, interval: float) -> None:
        self._interval = interval
        self._changed = threading.Condition()
        self._waiting: list[bytes] = []
        self._units = self._urgent = self._busy = self._closed = False
        self._error: OSError | OutputError | None = None
        self._thread = threading.Thread(target=self._write_by_time, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise ProcessLimitError("cannot start a thread: allow this user more processes", source=self.path) from error

    @classmethod
    def open(cls, target: Path, key: str, interval: float = INTERVAL) -> "Record":
        """Go on with what is staged for `target` if it is `key`'s, else remove that and begin anew. The caller holds the dataset's lock.

        Raises OutputError, also where hidden files are in the way that are not certainly ours.
        """
        path, staging = record_path(target), staging_path(target)
        return cls._open(path, staging, lambda fd: prepare(fd, target, key), interval)

    @classmethod
    def of_part(cls, target: Path, part: Part, key: str, interval: float = INTERVAL) -> "Record":
        """What a part has finished of its share of what is staged for `target`, which is of the same key. The caller holds the part's lock.

        Raises OutputError.
        """
        path = record_path(part_target(target, part))
        return cls._open(path, staging_path(target), lambda fd: prepare_part(fd, path, key), interval)

    @classmethod
    def _open(cls, path: Path, staging: Path, begin: Callable[[int], History], interval: float) -> "Record":
        try:
            disk = Disk(path.parent)
            fd = open_file(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
            try:
                return cls(path, staging, fd, disk, begin(fd), interval)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise output_error("cannot make the output", error, error.filename or staging) from error

    @property
    def units(self) -> tuple[Unit, ...]:
        """What earlier attempts finished."""
        return tuple(self.history.units)

    def begin(self, plan: dict[str, Any]) -> None:
        """Note an attempt; when this returns, it is on disk."""
        self._append([line(["begin", plan])])
        self.flush()

    def add(self, units: Iterable[Unit]) -> None:
        """Note units whose chunk files are written and closed. Does not wait for the disk."""
        self._append([unit_line(unit) for unit in units], units=True)

    def note(self, fact: list[Any]) -> None:
        """Note what is true of all that was put until now. Does not wait for the disk."""
        self._append([line(fact)], units=True)

    def end(self, how: str, timeout: float | None = None) -> bool:
        """Note the orderly end of the attempt; returns whether it is on disk within `timeout` seconds."""
        self._append([line(["end", how])])
        return self.flush(timeout)

    def flush(self, timeout: float | None = None, notice: float = NOTICE_SECONDS) -> bool:
        """Get everything onto the disk; returns whether it is there within `timeout` seconds.

        Without a timeout the log tells after `notice` seconds that storage is slow, then each time after twice as long.
        """
        with self._changed:
            self._urgent, waited = True, 0.0
            self._changed.notify_all()
            while not (done := self._changed.wait_for(self._flushed, notice if timeout is None else timeout)) and timeout is None:
                waited += notice
                logger.warning(f"{self.staging}: has waited for storage for {duration(waited)}")
                notice = waited  # twice as long in all
        self._check()
        return done

    def _flushed(self) -> bool:
        return self._error is not None or not (self._waiting or self._busy)

    def close(self) -> None:
        """Stop; what was not flushed is not noted. Waits at most a second for a disk that is stuck."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(1.0)

    def _append(self, lines: list[bytes], units: bool = False) -> None:
        self._check()
        with self._changed:
            self._waiting += lines
            self._units |= units

    def _check(self) -> None:
        if isinstance(self._error, OutputError):
            raise self._error
        if self._error is not None:
            raise output_error("cannot note what is finished", self._error, self.path) from self._error

    def _write_by_time(self) -> None:
        pause = self._interval / 8  # soon for the first time: a container that is killed within seconds gets on nevertheless
        while not self._closed and self._error is None:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._urgent, pause)
                pause = min(2 * pause, self._interval)
                data, units = b"".join(self._waiting), self._units
                self._waiting, self._units, self._urgent = [], False, False
                self._busy = bool(data)
            error = self._write_if_ours(data, units) if data else None
            with self._changed:
                self._busy, self._error = False, error
                self._changed.notify_all()
        self._let_go()

    def _write_if_ours(self, data: bytes, units: bool) -> OSError | OutputError | None:
        try:
            if self.lock:
                self.lock.check_doubtful()
        except OutputError as error:
            return error
        return self._write(data, units)

    def _let_go(self) -> None:
        os.close(self._fd)

    def _write(self, data: bytes, units: bool) -> OSError | None:
        try:
            if units:
                self.disk.sync()
            write_all(self._fd, data)
            os.fsync(self._fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._end)
            return error
        self._end += len(data)
        return None
