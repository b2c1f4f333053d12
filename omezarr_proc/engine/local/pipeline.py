"""The pool at work: hands out what is ready, takes the answers, never lets a worker run dry."""

from collections.abc import Callable

from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.engine.local.process import Worker
from omezarr_proc.work.replies import Reply
from omezarr_proc.work.tasks import Task

# Tasks that a worker holds: one that it works on, and the next, so that it never waits for the main process.
HELD = 2


def run(pool: Pool, take: Callable[[Worker], Task | None], note: Callable[[Task, Reply], None], finished: Callable[[], bool]) -> None:
    """Have tasks done until `take` has none for any worker, all answers are there and it is `finished`.

    take      gives the next task for a worker, None where there is none for it now
    note      is told of each answer, with its task
    finished  whether no more answers are to come, asked when no worker has a task

    Raises what a task failed with, or WorkerLostError; then no worker is left that could touch a slot or a file.
    """
    try:
        while True:
            for depth in range(1, HELD + 1):
                for worker in pool.workers:
                    if len(worker.tasks) < depth and (task := take(worker)):
                        pool.submit(worker, task)
            if not any(worker.tasks for worker in pool.workers) and finished():
                return
            for task, reply in pool.wait():
                note(task, reply)
    except BaseException:
        pool.resize(0)  # at once: what is half done does not count, and new workers are quick to have
        raise
