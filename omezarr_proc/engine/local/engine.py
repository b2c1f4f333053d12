"""The local engine: the bands of a pass through slots in shared memory, shared between the workers of this machine."""

from collections.abc import Callable, Iterable, Iterator
from math import prod

from omezarr_proc.engine.base import OnEncoded, OnStored
from omezarr_proc.engine.local.nursery import Nursery
from omezarr_proc.engine.local.pipeline import run
from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.engine.local.process import Worker
from omezarr_proc.engine.local.schedule import Schedule, load_parts
from omezarr_proc.engine.local.solos import Solos
from omezarr_proc.engine.local.watch import Watch
from omezarr_proc.model.region import Region, Y
from omezarr_proc.pixels.digests import BLOCK
from omezarr_proc.plan.memory import LOAD_PIXELS
from omezarr_proc.plan.passes import Pass, band_count, cut_lines
from omezarr_proc.plan.plan import Plan
from omezarr_proc.work.replies import Hashed, Made, OfBand, Reply, Stored
from omezarr_proc.work.tasks import Job, Load, Loose, Promise, Storing, Task

# Stored bytes per write task: long beside a message, short beside a band.
_WRITE_BYTES = 1 << 20
# Of a pass that one worker makes alone, if they are small.
_FEW_BANDS = 8


class Local:
    """Has the bands of one image made by the workers of a pool."""

    travels = True

    def __init__(self, nursery: Nursery, deadline: float | None = None, stall_seconds: float = 0) -> None:
        """Take over the nursery.

        deadline       when to give up, as time.monotonic() counts
        stall_seconds  after which a worker that does not move is replaced; 0: never

        Raises LimitError where there is no memory to share with workers.
        """
        self._pool = Pool(nursery, deadline, Watch(stall_seconds))
        self._job: Job | None = None
        self._plan: Plan | None = None

    @property
    def workers(self) -> int:
        """See `Engine`."""
        return len(self._pool.workers)

    def begin(self, job: Job, plan: Plan, spool: int | None) -> None:
        """See `Engine`."""
        self._job, self._plan = job, plan
        self._pool.arena.resize(plan.slots * plan.slot_bytes)
        self._pool.resize(plan.workers)
        self._pool.begin(job, spool)

    def make(self, pass_: Pass, bands: Iterator[Region], on_encoded: OnEncoded, on_stored: OnStored) -> None:
        """See `Engine`."""
        schedule = self._schedule(pass_, bands)

        def note(task: Task, reply: Reply) -> None:
            assert isinstance(task, Load | Storing)  # what a schedule hands out
            if isinstance(reply, Stored):
                if complete := schedule.stored(reply.task):
                    on_stored(complete)
                return
            if isinstance(task, Load):
                if isinstance(reply, Hashed):
                    on_encoded(task.band, (reply,))
            else:
                assert isinstance(reply, OfBand | Made)  # what a worker says of a task that stores
                made = reply.bands if isinstance(reply, Made) else ((reply,),)
                for band, of_band in zip(task.bands, made, strict=True):
                    on_encoded(band, of_band)
            schedule.done(task)

        def take(worker: Worker) -> Task | None:
            task = schedule.next(worker, idle=not worker.tasks)
            for promised_to, loads in schedule.promises():
                assert isinstance(promised_to, Worker)  # those that the schedule was given
                self._pool.tell(promised_to, Promise(loads))
            return task

        run(self._pool, take, note, lambda: schedule.finished)

    def work(self, tasks: Iterable[Loose], on_reply: Callable[[Loose, Reply], None]) -> None:
        """See `Engine`."""
        waiting = iter(tasks)

        def note(task: Task, reply: Reply) -> None:
            assert isinstance(task, Loose)  # what was handed out
            on_reply(task, reply)

        run(self._pool, lambda _: next(waiting, None), note, lambda: True)  # nobody works, so nobody was given a task: there is none

    def _schedule(self, pass_: Pass, bands: Iterator[Region]) -> Schedule:
        """The tasks of a pass, of sizes that suit the plan."""
        assert self._job and self._plan  # begun
        job, plan, pyramid = self._job, self._plan, self._job.store.pyramid
        lines = cut_lines(job.image, pyramid, pass_, plan.access[0])
        count, pixels = band_count(pass_, pyramid), pyramid.levels[pass_.first].region.size * prod(pass_.ratio)
        # What another worker could do of a small image is about what telling it costs.
        small = count <= _FEW_BANDS and count * plan.slot_bytes <= _WRITE_BYTES and pixels <= LOAD_PIXELS
        small = small and "stream" not in plan.access and not job.image.distant
        together = count if small else max(1, min(_WRITE_BYTES // plan.slot_bytes, count // (8 * plan.workers)))
        if pyramid.sharded:
            together = 1  # a slot holds the shards until they are written
        cut_high = pass_.band[Y] < pyramid.levels[pass_.first].height
        tile_bytes = pyramid.tile**2 * pyramid.levels[0].chunk[2] * pyramid.itemsize * pyramid.channels

        sticky = pass_.source is None and "stream" in plan.access and cut_high

        def parts(band: Region) -> list[Region]:
            return load_parts(pass_, band, lines, LOAD_PIXELS // pyramid.channels, BLOCK if job.hashed and pass_.source is None else 1)

        return Schedule(
            pyramid=pyramid,
            pass_=pass_,
            bands=bands,
            slots=[slot * plan.slot_bytes for slot in range(plan.slots)],
            parts=parts,
            batch=max(1, _WRITE_BYTES // tile_bytes),
            together=together if plan.undivided or small else 0,
            sticky=sticky,
            promised_to=tuple(self._pool.workers) if job.image.distant and pass_.source is None and not sticky else (),
        )

    def solos(self, workers: int) -> Solos:
        """Workers for whole tasks instead; while any of these is at work nothing else is asked of the engine."""
        return Solos(self._pool, workers)

    def processes(self) -> list[int]:
        """The nursery and the workers."""
        return self._pool.pids()

    def rest(self) -> None:
        """See `Engine`."""
        self._pool.resize(0)
        self._pool.arena.resize(0)

    def close(self) -> None:
        """End the workers and the nursery, and let go of the memory."""
        self._pool.close()
