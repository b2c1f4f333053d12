"""One run per dataset: the lock is the main process's alone and dies with it.

Where the file system has locks, it is a flock on `.NAME.lock`. A flock lives on in every process that has its descriptor, and no other has:
the nursery, forked or started by exec, closes all descriptors but its socket, and workers are forked from it.
Where there are no locks, it is the file `.NAME.owner`, made exclusively and touched every HEARTBEAT seconds by a thread. An owner that was
not touched for STALE seconds, or whose process is known to be gone, is replaced.
Both name their maker (see `holder`).
"""

import contextlib
import errno
import fcntl
import os
import threading
import time
from pathlib import Path
from types import TracebackType

from omezarr_proc.host.faults import output_error
from omezarr_proc.model.errors import Exit, OutputError
from omezarr_proc.publish.hidden import dataset_of, lock_path, owner_path, part_of
from omezarr_proc.publish.holder import Holder, check_ours, is_dead, moment, myself, read
from omezarr_proc.store.opening import open_file

HEARTBEAT = 10.0
STALE = 60.0
SETTLE = 2.0
_SHORT = 0.05  # between two tries: another run may look at the dataset only for a moment
_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


class LockedError(OutputError):
    """Another run works on the dataset."""

    code = "dataset-in-use"
    exit = Exit.TRY_AGAIN


class Lock:
    """`with Lock(target):` holds the right to work on the dataset `target`; its folder is made where it is missing.

    Raises LockedError when another run has it for longer than `patience` seconds, OutputError when the lock cannot be made.

    heartbeat  seconds between two touches of the owner file
    settle     seconds between taking over a stale owner and being sure that nobody else did
    """

    def __init__(self, target: Path, patience: float = 1.0, *, heartbeat: float = HEARTBEAT, settle: float = SETTLE) -> None:
        self._target = target
        self._patience = patience
        self._heartbeat, self._settle = heartbeat, settle
        self._fd: int | None = None
        self._heart: _Heart | None = None

    def __enter__(self) -> "Lock":
        give_up = time.monotonic() + self._patience
        try:
            self._target.parent.mkdir(parents=True, exist_ok=True)
            while (holder := self._try()) is not None:
                if time.monotonic() >= give_up:
                    raise LockedError(_refusal(self._target, holder))
                time.sleep(_SHORT)
        except OSError as error:
            raise output_error("cannot lock the dataset", error, dataset_of(self._target)) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._heart is not None:
            self._heart.stop()
            self._heart = None
        if self._fd is not None:
            # removed while still locked: who opened this file meanwhile finds that it is not at the path any more, and tries again
            with contextlib.suppress(OSError):
                lock_path(self._target).unlink()
            os.close(self._fd)
            self._fd = None

    def check(self) -> None:
        """Raise LockedError when the lock was lost, since another run took this one for dead. To be called before publishing."""
        if self._heart is not None and not self._heart.mine():
            raise LockedError(
                f"another run took over this dataset, since this one gave no sign of life for {STALE:.0f} s",
                source=dataset_of(self._target),
            )

    def check_doubtful(self) -> None:
        """As `check`, but only where this run may have stood still for so long that another one took it for dead: else it costs nothing."""
        if self._heart is not None and self._heart.doubtful:
            self.check()

    def _try(self) -> Holder | None:
        """Take the lock; returns who has it when it is another."""
        path = lock_path(self._target)
        while True:
            fd = open_file(path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_at(fd, path):
                    check_ours(fd, path)
                    with contextlib.suppress(OSError):  # a full disk: the name is for messages only
                        os.ftruncate(fd, 0)
                        os.pwrite(fd, myself(), 0)
                    self._fd = fd
                    return None
            except BlockingIOError:
                return read(fd)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                check_ours(fd, path)
                path.unlink(missing_ok=True)
                return self._try_owner()
            finally:
                if self._fd is None:
                    os.close(fd)

    def _try_owner(self) -> Holder | None:
        """Make the owner file, or replace a stale one; returns who has it when it is another."""
        path, me = owner_path(self._target), myself()
        if not _make(path, me):
            holder, seen = _read_owner(path)
            if not is_dead(holder) and not _is_silent(path, seen, self._heartbeat):
                return holder
            path.unlink(missing_ok=True)
            if not _make(path, me):
                return _read_owner(path)[0]
            time.sleep(self._settle)
        heart = _Heart(path, me, self._heartbeat)
        if not heart.mine():
            return _read_owner(path)[0]
        heart.start()
        self._heart = heart
        return None


class _Heart(threading.Thread):
    """Touches the owner file for as long as it is ours."""

    def __init__(self, path: Path, me: bytes, interval: float) -> None:
        super().__init__(daemon=True)
        self._path, self._me, self._interval = path, me, interval
        self._ending, self._beaten = threading.Event(), time.monotonic()

    @property
    def doubtful(self) -> bool:
        """Whether it has not beaten for so long that another run may have taken the dataset over."""
        return time.monotonic() > self._beaten + STALE

    def mine(self) -> bool:
        with contextlib.suppress(OSError):
            return self._path.read_bytes() == self._me
        return False

    def run(self) -> None:
        while not self._ending.wait(self._interval):
            with contextlib.suppress(OSError):
                if self.mine():
                    os.utime(self._path)
                    self._beaten = time.monotonic()

    def stop(self) -> None:
        self._ending.set()
        if self.mine():
            with contextlib.suppress(OSError):
                self._path.unlink()


def is_held(target: Path) -> bool:
    """Whether some run works on `target` now, as far as that can be told. A lock file that nobody has goes."""
    if not (os.path.lexists(lock_path(target)) or os.path.lexists(owner_path(target))):
        return False
    try:
        with Lock(target, patience=0):
            return False
    except OutputError:
        return True


def _make(path: Path, me: bytes) -> bool:
    """Make the owner file; False when there is one."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        return False
    with open(fd, "wb") as file:
        file.write(me)
    return True


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file still is the one at `path`: its last holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(fd), path.lstat())
    except FileNotFoundError:
        return False


def _read_owner(path: Path) -> tuple[Holder, float]:
    """The owner, and when it was touched; nobody and now where it has just been removed. Raises OutputError for a file that is not ours."""
    try:
        with open(open_file(path), "rb") as file:
            check_ours(file.fileno(), path)
            return read(file.fileno()), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return Holder(), time.time()


def _is_silent(path: Path, seen: float, heartbeat: float) -> bool:
    """Whether the owner has not been touched for STALE seconds. Clocks may be off, so look again for two heartbeats.

    A time in the future is as suspect as one in the past: who lives touches the file with the clock that there is.
    """
    if abs(time.time() - seen) < STALE:
        return False
    until = time.monotonic() + 2 * heartbeat
    while time.monotonic() < until:
        time.sleep(heartbeat / 10)
        if _read_owner(path)[1] != seen:
            return False
    return True


def _refusal(target: Path, holder: Holder) -> str:
    who = "another run"
    if holder.pid:
        who += f" (process {holder.pid} on {holder.host} since {moment(holder.since)})"
    owner = owner_path(target)
    hint = f"; if there is no such run, remove {owner}" if os.path.lexists(owner) else ""
    what = f"part {part} of this dataset" if (part := part_of(target)) else "this dataset"
    return f"{dataset_of(target)}: {who} works on {what}: wait until it is done or stop it, then run again{hint}"
