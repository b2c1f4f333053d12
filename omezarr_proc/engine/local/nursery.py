"""The nursery: a small clean process that forks the workers.

The main process starts it at the beginning of a run: by fork while it has no thread beside its first, which saves the imports a second
time; else by exec, since a fork could deadlock (the caller has threads, or an earlier Lambda invocation has left some). A process that is
somebody else's, as that of a Python call, is never forked.
So the nursery is single-threaded either way. Workers forked from it start in milliseconds, share its memory, and replacements come from the
same state as the first ones.

Nobody outlives the main process, even one killed by SIGKILL while everybody is busy: each worker's socket has its only other end there,
and a thread in the worker waits for its hang-up; the nursery itself ends when its own socket does.
"""

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import NoReturn

from omezarr_proc.config import secret
from omezarr_proc.model.errors import ProcessLimitError

_RECORD = struct.Struct("<ci")  # request or answer, process id or exit status
_BOOT = "import sys; sys.path[:] = sys.argv[2:]; from omezarr_proc.engine.local.nursery import serve; serve(int(sys.argv[1]))"
EXECUTED_BYTES = 9 << 20  # what a nursery started by exec needs more than a forked one, which shares it with the main process
# For an answer; one that imports with a quarter of a CPU takes 3.
ANSWER_SECONDS = 60.0
CANNOT_START = 71  # a worker's exit status where the system denies it what it needs (EX_OSERR of sysexits.h)


class NurseryError(ProcessLimitError):
    """The nursery is gone or cannot fork: no process or memory left for it."""


class NurseryGoneError(NurseryError):
    """The nursery has died; a new one can be started."""


class Nursery:
    """The main process's side.

    pid       the nursery's process id
    forked    whether it shares the main process's pages
    patience  how many seconds it may take to answer; then it counts as dead, since its late answer would be taken for the next one's
    """

    def __init__(self, *, may_fork: bool = True) -> None:
        """Start the nursery; requests may be sent before it has finished its imports. Raises NurseryError.

        may_fork  whether this process is ours to fork, and to freeze for the collector
        """
        self.may_fork = may_fork
        self.patience = ANSWER_SECONDS
        try:
            self._socket, child = socket.socketpair()
        except OSError as error:
            raise NurseryError(f"cannot make a pair of sockets to talk to a process: {error.strerror}") from error
        try:
            with child:
                self.forked = may_fork and _can_fork()
                self.pid = _forked(child.fileno()) if self.forked else _executed(child.fileno())
        except OSError as error:
            self._socket.close()
            raise NurseryError(f"cannot start a process: {error.strerror}") from error

    def fork(self, memory: int) -> tuple[int, Connection]:
        """A new worker that maps the memory behind the descriptor `memory`: its process id and our end of its socket."""
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise NurseryError(f"cannot make a pair of sockets to talk to a worker: {error.strerror}") from error
        with theirs:
            try:
                pid = self._ask(b"f", 0, [theirs.fileno(), memory])
            except OSError as error:
                ours.close()
                raise NurseryGoneError(f"the process that starts workers is gone ({error.strerror or error})") from error
        if pid < 0:
            ours.close()
            raise NurseryError(f"cannot start a worker process: {os.strerror(-pid)} (allow this user more processes or memory)")
        return pid, Connection(ours.detach())

    def status(self, pid: int) -> int:
        """How a worker whose socket has closed ended, as `os.waitstatus_to_exitcode` says it (-9: SIGKILL)."""
        try:
            return self._ask(b"w", pid, [])
        except OSError:
            return -signal.SIGKILL

    def _ask(self, kind: bytes, number: int, fds: list[int]) -> int:
        """The answer to a request. After an OSError every further request fails at once: the nursery must be replaced."""
        try:
            self._socket.settimeout(self.patience)
            socket.send_fds(self._socket, [_RECORD.pack(kind, number)], fds)
            data = self._socket.recv(_RECORD.size, socket.MSG_WAITALL)
            if len(data) < _RECORD.size:
                raise ConnectionResetError(104, "connection closed")
        except OSError:
            self._socket.close()
            raise
        return int(_RECORD.unpack(data)[1])

    def close(self, patience: float = 1.0) -> None:
        """End the nursery and whatever worker is left, within `patience` seconds, then by force."""
        self._socket.close()
        if not self._ended(patience):
            os.kill(self.pid, signal.SIGKILL)
            self._ended(0.2)

    def _ended(self, patience: float) -> bool:
        deadline = time.monotonic() + patience
        with contextlib.suppress(ChildProcessError):  # seen before
            while not os.waitpid(self.pid, os.WNOHANG)[0]:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.002)
        return True


def _can_fork() -> bool:
    """Whether this process has one thread, counting those that Python does not know, also with all imported that it shares with workers."""
    if not _single_threaded():
        return False
    collects = gc.isenabled()
    gc.disable()  # what is imported stays, so looking through it for garbage again and again is time for nothing
    # What this process needs as well as each worker, once for all. The rest of a worker's is imported by the nursery, beside this process.
    import omezarr_proc.tiff.describe.images
    import omezarr_proc.work.tasks  # noqa: F401

    if collects:
        gc.enable()
    return _single_threaded()  # numpy's BLAS may have started some


def _single_threaded() -> bool:
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:  # not told here
        return False


def _forked(fd: int) -> int:
    gc.freeze()  # the children share these pages as long as no collector touches them
    pid = os.fork()
    if pid == 0:
        try:
            secret.forget_environment()
            os.setpgid(0, 0)  # Ctrl-C goes to the main process alone, which decides
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            serve(fd)
        finally:
            os._exit(1)
    return pid


def _executed(fd: int) -> int:
    os.set_inheritable(fd, True)
    # One BLAS thread: the nursery must stay single-threaded to be forked.
    env = {k: v for k, v in os.environ.items() if k not in secret.VARIABLES} | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    return os.posix_spawn(sys.executable, [sys.executable, "-c", _BOOT, str(fd), *sys.path], env, file_actions=actions, setpgroup=0)


def serve(fd: int) -> NoReturn:
    """The nursery process: fork a worker for each request until the main process closes the socket `fd`. Nothing else is left open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.closerange(3, fd)
    os.closerange(fd + 1, os.sysconf("SC_OPEN_MAX"))
    import omezarr_proc.engine.local.worker  # noqa: F401

    gc.freeze()
    children = _Children()
    with contextlib.suppress(OSError), socket.socket(fileno=fd) as requests:
        while True:
            data, fds, _, _ = socket.recv_fds(requests, _RECORD.size, 2)
            if not data:
                break
            kind, number = _RECORD.unpack(data)
            children.reap()
            requests.sendall(_RECORD.pack(kind, children.status(number) if kind == b"w" else children.fork(requests, fds)))
    children.end()
    os._exit(0)


class _Children:
    """The workers, reaped by the nursery alone, so that none stays a zombie and none is left to process 1 of a container."""

    def __init__(self) -> None:
        self._alive: set[int] = set()
        self._ended: dict[int, int] = {}

    def fork(self, requests: socket.socket, fds: list[int]) -> int:
        """A new worker with the descriptors `fds`: its process id, or the error number below zero."""
        try:
            pid = os.fork()
        except OSError as error:
            pid = -(error.errno or 1)
        if pid == 0:
            requests.close()
            _be_worker(*fds)
        for inherited in fds:
            os.close(inherited)
        if pid > 0:
            self._alive.add(pid)
        return pid

    def status(self, pid: int) -> int:
        """How a worker that has let go of its socket has ended."""
        if pid in self._alive:
            self._note(*os.waitpid(pid, 0))
        return self._ended.pop(pid, 0)

    def reap(self) -> None:
        """Take note of all that have ended."""
        while self._alive and (found := os.waitpid(-1, os.WNOHANG))[0]:
            self._note(*found)

    def end(self, patience: float = 0.5) -> None:
        """Kill all; one that is stuck in storage dies when it gets out of there."""
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + patience
        while self._alive and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.005)

    def _note(self, pid: int, status: int) -> None:
        self._alive.discard(pid)
        self._ended[pid] = os.waitstatus_to_exitcode(status)


def _be_worker(connection_fd: int, memory_fd: int) -> None:
    from omezarr_proc.engine.local import worker

    status = CANNOT_START
    try:
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")  # the OOM killer should take a worker, never the main process
        threading.Thread(target=_die_with_main, args=(connection_fd,), daemon=True).start()
        status = 1
        worker.serve(Connection(connection_fd), memory_fd)
        status = 0
    finally:
        os._exit(status)


def _die_with_main(connection_fd: int) -> None:
    poll = select.poll()
    poll.register(connection_fd, 0)  # a hang-up is always reported
    while not poll.poll():
        pass
    os._exit(0)
