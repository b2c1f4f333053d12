"""Bands through slots with the pool at work: hands out what is ready, takes the answers, never lets a worker run dry."""

from collections import deque
from collections.abc import Callable, Iterable

from loguru import logger

from omezarr_proc.schedule import Schedule
from omezarr_proc.tasks import Counted, Failed, Task, Written
from omezarr_proc.workers import Pool, Worker, WorkerDiedError

# Tasks that a worker holds: one that it works on, and the next, so that it never waits for the main process.
_AHEAD = 2


def run_pass(pool: Pool, schedule: Schedule, on_task: Callable[[Task, Written], None]) -> None:
    """Work all bands of a pass; calls `on_task` for each answer.

    Raises what a task failed with, or WorkerDiedError; by then no worker is busy any more, so slots and files are nobody's.
    """

    def note(task: Task, reply: Counted | Written) -> None:
        assert isinstance(reply, Written)  # the only other answer of these tasks is Failed
        on_task(task, reply)
        schedule.done(task)

    _run(pool, schedule.next, note)


def run_tasks(pool: Pool, tasks: Iterable[Task], on_task: Callable[[Task, Counted | Written], None]) -> None:
    """Work tasks that do not depend on each other, in any order. Raises as `run_pass` does."""
    waiting = deque(tasks)
    _run(pool, lambda _: waiting.popleft() if waiting else None, on_task)


def _run(pool: Pool, take: Callable[[Worker], Task | None], note: Callable[[Task, Counted | Written], None]) -> None:
    while True:
        for depth in range(1, _AHEAD + 1):
            for worker in pool.workers:
                if len(worker.tasks) < depth and (task := take(worker)):
                    pool.submit(worker, task)
        if not any(worker.tasks for worker in pool.workers):
            return
        for _, task, reply in pool.wait():
            if isinstance(reply, Failed):
                logger.debug(f"task failed: {reply.trace}")
                _drain(pool)
                raise reply.error
            note(task, reply)


def _drain(pool: Pool) -> None:
    """Wait until no worker is busy; what else goes wrong meanwhile does not matter."""
    while any(worker.tasks for worker in pool.workers):
        try:
            pool.wait()
        except WorkerDiedError as died:
            logger.debug(str(died))
