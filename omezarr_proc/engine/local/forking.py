"""What the nursery does: it forks a worker for each request, reaps those that end, and says how.

Nobody outlives the main process, even one killed by SIGKILL while everybody is busy: each worker's socket has its only other end there,
and a thread in the worker waits for its hang-up; the nursery itself ends when its own socket does.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import struct
import threading
import time
from multiprocessing.connection import Connection
from typing import NoReturn

RECORD = struct.Struct("<ci")  # request or answer; process id or exit status, or how many bytes follow
CANNOT_START = 71  # a worker's exit status where the system denies it what it needs (EX_OSERR of sysexits.h)
# Descriptors that may be open: without a limit macOS says 2**63 - 1, which closerange does not take.
_MOST_OPEN = 1 << 20


def serve(fd: int) -> NoReturn:
    """The nursery process: fork a worker for each request until the main process closes the socket `fd`. Nothing else is left open."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.closerange(3, fd)
    os.closerange(fd + 1, min(os.sysconf("SC_OPEN_MAX"), _MOST_OPEN))
    import omezarr_proc.engine.local.worker  # noqa: F401

    gc.freeze()
    children = _Children()
    with contextlib.suppress(OSError), socket.socket(fileno=fd) as requests:
        while True:
            data, fds, _, _ = socket.recv_fds(requests, RECORD.size, 2)
            if not data:
                break
            kind, number = RECORD.unpack(data)
            if kind == b"i":
                importlib.import_module(requests.recv(number, socket.MSG_WAITALL).decode())
                gc.freeze()
                continue
            children.reap()
            requests.sendall(RECORD.pack(kind, children.status(number) if kind == b"w" else children.fork(requests, fds)))
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
