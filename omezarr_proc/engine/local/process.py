"""A worker process as the pool knows it: what it has been given, how it is ended, and what its end is called."""

import contextlib
import os
import signal
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from omezarr_proc.engine.base import WorkerLostError
from omezarr_proc.engine.local.forking import CANNOT_START
from omezarr_proc.engine.local.watch import thread_states
from omezarr_proc.work.tasks import Task

# For the end of a process that SIGKILL was sent to; longer only where it is stuck in a system call.
_KILLED_SECONDS = 0.5


class WorkerStuckError(WorkerLostError):
    """A worker process does not move. It is still of the pool: `resize(0)` ends it."""


class WorkerDiedError(WorkerLostError):
    """A worker process ended by itself; SIGKILL mostly means that memory ran out."""

    def __init__(self, pid: int, status: int) -> None:
        """`status`: negative for a signal, as `os.waitstatus_to_exitcode` has it."""
        self.pid, self.status = pid, status
        how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        hints = {
            -signal.SIGKILL: " (memory ran out, or somebody else killed it: give it more memory, or set MAX_WORKERS lower)",
            CANNOT_START: " (no thread is allowed for it? allow this user more processes, or set MAX_WORKERS lower)",
        }
        super().__init__(f"worker process {pid} {'was ' if status < 0 else ''}{how}{hints.get(status, '')}")


@dataclass(eq=False)
class Worker:
    """One worker process.

    briefed   whether it knows what tasks are about
    tasks     what it has been sent and has not yet answered, oldest first
    unstored  what it has answered of which files are still to be written
    """

    pid: int
    connection: Connection
    briefed: bool = False
    tasks: deque[Task] = field(default_factory=deque)
    unstored: list[Task] = field(default_factory=list)


def end(workers: list[Worker], patience: float = 1.0) -> bool:
    """End workers, within `patience` seconds or else by force.

    A closed socket tells a worker to end, also one that is busy, since nothing half done counts.
    Returns whether all have ended: one that is stuck in a system call cannot be killed before it gets out of there.
    """
    for worker in workers:
        worker.connection.close()
    pids = [worker.pid for worker in workers]
    if _ended(pids, patience):
        return True
    for pid in filter(_alive, pids):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return _ended(pids, _KILLED_SECONDS)


def _ended(pids: list[int], patience: float) -> bool:
    """Whether all have ended within `patience` seconds."""
    deadline = time.monotonic() + patience
    while alive := any(map(_alive, pids)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.005)
    return not alive


def _alive(pid: int) -> bool:
    """Whether a thread of a worker still runs; a zombie that the nursery has not reaped does not."""
    return bool(set(thread_states(pid)) - set("ZX"))
