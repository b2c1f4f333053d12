"""Bands through slots with the pool at work: hands out what is ready, takes the answers, never lets a worker run dry."""

from collections.abc import Callable, Iterable, Sequence

from omezarr_proc.engine.local.pool import Pool, Worker
from omezarr_proc.engine.local.schedule import Schedule
from omezarr_proc.model.region import Region
from omezarr_proc.work.tasks import Load, Loose, Made, Make, Reply, Stored, Task, Write, Written

# Tasks that a worker holds: one that it works on, and the next, so that it never waits for the main process.
_AHEAD = 2


def run_pass(
    pool: Pool,
    schedule: Schedule,
    on_task: Callable[[Write | Make, Sequence[Sequence[Written]]], None],
    on_bands: Callable[[Sequence[Region]], None],
) -> None:
    """Work all bands of a pass; calls `on_task` for what was encoded of each band of a task, `on_bands` when all files of some are written.

    Raises what a task failed with, or WorkerLostError; then no worker is left that could touch a slot or a file.
    """

    def note(task: Task, reply: Reply) -> None:
        assert isinstance(task, Load | Write | Make)  # what a schedule hands out
        if isinstance(reply, Stored):
            if complete := schedule.stored(reply.task):
                on_bands(complete)
            return
        if not isinstance(task, Load):
            assert isinstance(reply, Written | Made)  # what a worker says of a task that writes
            on_task(task, reply.bands if isinstance(reply, Made) else ((reply,),))
        schedule.done(task)

    _run(pool, schedule.next, note, lambda: schedule.finished)


def run_tasks(pool: Pool, tasks: Iterable[Loose], on_reply: Callable[[Loose, Reply], None]) -> None:
    """Work tasks in any order, each taken when a worker has room; calls `on_reply` for each. Raises as `run_pass` does."""
    waiting = iter(tasks)

    def note(task: Task, reply: Reply) -> None:
        assert isinstance(task, Loose)  # what was handed out
        on_reply(task, reply)

    _run(pool, lambda _: next(waiting, None), note, lambda: True)  # nobody works, so nobody was given a task: there is none


def _run(pool: Pool, take: Callable[[Worker], Task | None], note: Callable[[Task, Reply], None], finished: Callable[[], bool]) -> None:
    try:
        while True:
            for depth in range(1, _AHEAD + 1):
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
