"""Workers that do whole tasks, each by itself, while the main process goes on: it looks now and then what has come of them."""

from omezarr_proc.engine.local.pipeline import HELD
from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.work.replies import Done
from omezarr_proc.work.tasks import Solo


class Solos:
    """Those of a pool, which is used for nothing else as long as one of them is at work.

    workers  how many there are at most
    """

    def __init__(self, pool: Pool, workers: int) -> None:
        self.workers, self._pool = workers, pool

    def prepare(self, *modules: str) -> None:
        """There may be tasks that need these modules."""
        for module in modules:
            self._pool.prepare(module)

    @property
    def have_room(self) -> bool:
        """Whether one of them could take a further task."""
        workers = self._pool.workers
        return not any(worker.tasks for worker in workers) or any(len(worker.tasks) < HELD for worker in workers)

    def give(self, task: Solo) -> None:
        """Have it done, if they have room. Raises NurseryError where there can be no worker."""
        if not any(worker.tasks for worker in self._pool.workers):
            self._pool.arena.resize(0)  # each has memory of its own
            self._pool.resize(self.workers)
        self._pool.submit(min(self._pool.workers, key=lambda worker: len(worker.tasks)), task)

    def done(self, patience: float) -> list[tuple[Solo, object]]:
        """Those that have been done, with what came of each; waits for the first, for at most so many seconds. One at least is at work.

        Raises WorkerLostError, OutOfTimeError, or what a task failed with. Then nobody works any more, and what was not done is forgotten.
        """
        try:
            answers = self._pool.wait(patience)
        except BaseException:
            self.stop()
            raise
        return [(task, reply.result) for task, reply in answers if isinstance(task, Solo) and isinstance(reply, Done)]

    def stop(self) -> None:
        """End those that are at work."""
        if any(worker.tasks for worker in self._pool.workers):
            self._pool.resize(0)
