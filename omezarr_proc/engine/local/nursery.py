"""The main process's side of the nursery, a small clean process that forks the workers.

The main process starts it at the beginning of a run: by fork while it has no thread beside its first, which saves the imports a second
time; else by exec, since a fork could deadlock (the caller has threads, or an earlier Lambda invocation has left some). A process that is
somebody else's, as that of a Python call, is never forked.
So the nursery is single-threaded either way. Workers forked from it start in milliseconds, share its memory, and replacements come from the
same state as the first ones.

What the nursery does is in forking.py.
"""

import contextlib
import gc
import os
import signal
import socket
import sys
import time
from multiprocessing.connection import Connection

from omezarr_proc.config import secret
from omezarr_proc.engine.local.forking import RECORD, serve
from omezarr_proc.model.errors import ProcessLimitError

_BOOT = "import sys; sys.path[:] = sys.argv[2:]; from omezarr_proc.engine.local.forking import serve; serve(int(sys.argv[1]))"
EXECUTED_BYTES = 9 << 20  # what a nursery started by exec needs more than a forked one, which shares it with the main process
# Of BLAS, OpenBLAS or macOS's Accelerate: the nursery must stay single-threaded to be forked.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "VECLIB_MAXIMUM_THREADS": "1"}
# For an answer; one that imports with a quarter of a CPU takes 3.
ANSWER_SECONDS = 60.0


class NurseryError(ProcessLimitError):
    """The nursery is gone or cannot fork: no process or memory left for it."""


class NurseryGoneError(NurseryError):
    """The nursery has died; a new one can be started."""


class Nursery:
    """The nursery as the main process knows it.

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

    def prepare(self, module: str) -> None:
        """Have the workers that are forked from now on find this module imported: once for all, and meanwhile. It is not waited for."""
        with contextlib.suppress(OSError):  # the next request will tell
            self._socket.sendall(RECORD.pack(b"i", len(module)) + module.encode())

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
            socket.send_fds(self._socket, [RECORD.pack(kind, number)], fds)
            data = self._socket.recv(RECORD.size, socket.MSG_WAITALL)
            if len(data) < RECORD.size:
                raise ConnectionResetError(104, "connection closed")
        except OSError:
            self._socket.close()
            raise
        return int(RECORD.unpack(data)[1])

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
    env = {k: v for k, v in os.environ.items() if k not in secret.VARIABLES} | _ONE_THREAD
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    return os.posix_spawn(sys.executable, [sys.executable, "-c", _BOOT, str(fd), *sys.path], env, file_actions=actions, setpgroup=0)
