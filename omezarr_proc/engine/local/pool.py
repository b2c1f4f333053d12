"""The pool: workers that each talk over one socket, started from the nursery, watched, replaced.

Built on pipes and `multiprocessing.connection.wait` alone: the standard pools need semaphores, which AWS Lambda lacks, and hang or break
as a whole when a worker is killed.
"""

import contextlib
import math
import os
import time
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle

from loguru import logger

from omezarr_proc.engine.local.arena import Arena
from omezarr_proc.engine.local.noted import NotedLog
from omezarr_proc.engine.local.nursery import Nursery, NurseryError, NurseryGoneError
from omezarr_proc.engine.local.process import Worker, WorkerDiedError, WorkerStuckError, end
from omezarr_proc.engine.local.watch import Watch, thread_states
from omezarr_proc.model.errors import OutOfTimeError, ProcError
from omezarr_proc.model.text import duration
from omezarr_proc.work.replies import Failed, Noted, Reply, Stored
from omezarr_proc.work.tasks import Job, Promise, Solo, Storing, Task, doing

# What a thread's state says of a process that does not move (proc(5)).
_STATES = {"T": "stopped by a signal", "D": "waits for storage"}


class Pool:
    """All workers of a run. Only the thread that made it may use it."""

    def __init__(self, nursery: Nursery, deadline: float | None = None, watch: Watch | None = None) -> None:
        """Take over the nursery; workers come with `resize`. Raises LimitError where there is no memory to share with them.

        deadline  when `wait` gives up, as time.monotonic() counts
        watch     what notices workers that do not move; by default it only tells of them
        """
        self.workers: list[Worker] = []
        self._deadline = deadline
        self._watch = watch or Watch()
        self._nursery = nursery
        try:
            self.arena = Arena()
        except ProcError:
            nursery.close()
            raise
        self._job: Job | None = None
        self._noted = NotedLog("")
        self._spool: int | None = None

    def resize(self, count: int) -> None:
        """Have `count` workers, all of them idle; fewer where the system allows no more. Raises NurseryError where it allows none."""
        surplus = self.workers[count:]
        del self.workers[count:]
        if not end(surplus):
            # The system call in which it is stuck may still write into its slot. So the slots of all others are elsewhere from now on.
            rest, self.workers = self.workers, []
            end(rest)
            self.arena.renew()
        while len(self.workers) < count:
            try:
                worker = Worker(*self._fork())
            except NurseryError as error:
                if not self.workers:
                    raise
                logger.warning(f"{error}; going on with {len(self.workers)} instead of {count} workers")
                return
            self.workers.append(worker)

    def _fork(self) -> tuple[int, Connection]:
        try:
            return self._nursery.fork(self.arena.fd)
        except NurseryGoneError as error:
            logger.debug(f"{error}; starting another one")
            self._nursery.close()
            self._nursery = Nursery(may_fork=self._nursery.may_fork)
            return self._nursery.fork(self.arena.fd)

    def prepare(self, module: str) -> None:
        """See `Nursery.prepare`."""
        self._nursery.prepare(module)

    def pids(self) -> list[int]:
        """The nursery and the workers."""
        return [self._nursery.pid, *(worker.pid for worker in self.workers)]

    def begin(self, job: Job, spool: int | None = None) -> None:
        """Say what the next tasks are about. A worker is told with the first that it is given: of a small image most are given none.

        spool  descriptor of the spool file, where the job uses one; the pool closes it
        """
        spooled = self._spool is not None
        self._close_spool()
        self._job, self._spool = job, spool
        if self._noted.source != job.image.source:
            self._noted = NotedLog(job.image.source)
        for worker in self.workers:
            worker.briefed = False
            if spooled:  # each lets go of the last spool file when it is told of the next job
                self._brief(worker)

    def _close_spool(self) -> None:
        """Let go of the last image's spool file; the workers do when they are told of the next one."""
        if self._spool is not None:
            os.close(self._spool)
            self._spool = None

    def _brief(self, worker: Worker) -> None:
        assert self._job is not None  # begun
        worker.briefed = True
        self._send(worker, self._job)
        if self._spool is not None:
            with contextlib.suppress(OSError):
                send_handle(worker.connection, self._spool, worker.pid)

    def submit(self, worker: Worker, task: Task) -> None:
        """Queue a task with a worker."""
        worker.tasks.append(task)
        self.tell(worker, task)

    def tell(self, worker: Worker, message: Task | Promise) -> None:
        """Send a worker what it is to do, or will be given, of the job, which it is told before."""
        if not (worker.briefed or isinstance(message, Solo)):
            self._brief(worker)
        self._send(worker, message)

    def _send(self, worker: Worker, message: Job | Task | Promise) -> None:
        # A dead worker's closed socket is noticed by `wait`, which knows how it ended.
        with contextlib.suppress(OSError):
            worker.connection.send(message)

    def wait(self, patience: float = math.inf) -> list[tuple[Task, Reply]]:
        """Answers that have come, each with its task; waits for the first, or for a line to log, but no longer than `patience` seconds.

        Raises what a task failed with, WorkerDiedError when a worker has ended (it is removed from the pool), WorkerStuckError and
        OutOfTimeError.
        """
        by_connection = {worker.connection: worker for worker in self.workers}
        answers: list[tuple[Task, Reply]] = []
        for connection in self._ready(list(by_connection), patience):
            worker = by_connection[connection]
            self._watch.moved(worker.pid)
            try:
                reply = worker.connection.recv()
            except (EOFError, OSError):  # killed while idle, or in the middle of an answer
                self.workers.remove(worker)
                worker.connection.close()
                raise WorkerDiedError(worker.pid, self._nursery.status(worker.pid)) from None
            if isinstance(reply, Failed):
                logger.debug(f"task failed: {reply.trace}")
                raise reply.error
            if isinstance(reply, Noted):
                self._noted.add(reply.text)
                continue
            if isinstance(reply, Stored):
                worker.unstored.remove(reply.task)
                answers.append((reply.task, reply))
                continue
            task = worker.tasks.popleft()
            if isinstance(task, Storing):
                worker.unstored.append(task)
            answers.append((task, reply))
        return answers

    def _ready(self, connections: list[Connection], patience: float) -> list[Connection]:
        """The connections on which something has come; waits for the first, and looks after the workers meanwhile."""
        until = time.monotonic() + patience
        while True:
            seconds = math.inf if self._deadline is None else self._deadline - time.monotonic()
            if seconds <= 0:
                raise OutOfTimeError("out of time")
            ready = wait(connections, max(0.0, min(seconds, self._watch.due, until - time.monotonic())))
            self._look()
            if ready or time.monotonic() >= until:
                return ready  # type: ignore[return-value]

    def _look(self) -> None:
        busy = {worker.pid: worker for worker in self.workers if worker.tasks or worker.unstored}
        for still in self._watch.look(busy):
            worker = busy[still.pid]
            states = thread_states(still.pid)
            why = next((f" ({text})" for state, text in _STATES.items() if state in states), "")
            task = (*worker.tasks, *worker.unstored)[0]
            what = f"worker process {still.pid} has not moved for {duration(still.seconds)}{why}, {doing(task)}"
            if still.stuck:
                raise WorkerStuckError(f"{what} (STALL_SECONDS={self._watch.stall_seconds:g})")
            image = f"{self._job.image.source}: " if self._job and not isinstance(task, Solo) else ""
            limit = self._watch.stall_seconds
            logger.warning(f"{image}{what}{f'; after {duration(limit)} it is replaced' if limit else ''}")

    def close(self, patience: float = 1.0) -> None:
        """End all workers (within `patience` seconds, then by force) and the nursery, and let go of the memory."""
        deadline = time.monotonic() + patience
        workers, self.workers = self.workers, []
        end(workers, patience)
        self._nursery.close(max(0.2, deadline - time.monotonic()))
        self.arena.close()
        self._close_spool()
