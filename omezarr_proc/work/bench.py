"""A worker's tools for one image, and the band: `make(pass_, band, memory)` is all that it takes to have one.

Nothing here knows a process, a pool or who has sent the task.
"""

import os
import traceback
from collections.abc import Callable
from functools import cached_property, lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import LimitError, ProcError
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Region, Z
from omezarr_proc.pixels import histogram
from omezarr_proc.plan.passes import Pass, SlotLevel, at, slot_levels
from omezarr_proc.publish.history import Unit
from omezarr_proc.store.checksums import changed
from omezarr_proc.store.chunks import read_chunks
from omezarr_proc.work.encode import Writer
from omezarr_proc.work.filing import Files, Ticket
from omezarr_proc.work.load import Loader
from omezarr_proc.work.replies import Checked, Counted, Failed, Filled, Hashed, Made, OfBand, Reply, Sealed, Written
from omezarr_proc.work.tasks import Check, Compare, Count, Hash, Job, Load, Make, OfJob, Promise, Seal, Spool, Write

if TYPE_CHECKING:
    from omezarr_proc.work.compare import Comparer
    from omezarr_proc.work.hashing import Hasher

# The memory that slots lie in, at least so many bytes of it.
Memory = Callable[[int], Any]


class Bench:
    """Does the tasks of one image.

    memory  where slots are; tasks name them by the byte at which they begin
    files   takes what is to be stored
    spool   descriptor of the file for decoded planes, where the job's access names one; closed with the bench
    note    is told what the user should know of the source
    """

    def __init__(self, job: Job, memory: Memory, files: Files, spool: int | None, note: Callable[[str], None]) -> None:
        self.job = job
        self._memory, self._spool = memory, spool
        self._loader = Loader(job, spool, note)
        self._writer = Writer(job, files)

    def close(self) -> None:
        """Close the source and the spool file."""
        self._loader.close()
        if self._spool is not None:
            os.close(self._spool)

    def expect(self, promise: Promise) -> None:
        """Hear of what will be loaded soon: it is fetched from a source that is far away meanwhile."""
        for load in promise.loads:  # each for itself: what two share would be held from the one to the other, and fill the room
            parts = [(load.band, load.part)] if isinstance(load, Load) else [(band, band) for band in load.bands]
            self._loader.ahead(load.pass_, parts)

    def do(self, task: OfJob, ticket: Ticket) -> Reply:
        """Do a task and return the answer to it; `ticket` counts the files that are still to be written. Raises ProcError."""
        match task:
            case Load(pass_, slot, band, part):
                digests = self._loader.load(pass_, band, part, self._level(pass_, slot, 0)[0])
                return Hashed(digests) if digests else Filled()
            case Write():
                return self._write(task, ticket)
            case Seal():
                return self._seal(task, ticket)
            case Make(pass_, slot, bands):
                return Made(tuple(self.make(pass_, band, slot, ticket) for band in bands))
            case Spool(band, before):
                self._loader.spool(band, before)
                return Filled()
            case Count():
                return Counted(histogram.Packed.of(self._count(task)))
            case Check(units, read):
                return Checked(tuple(self._changed(unit, read) for unit in units))
            case Compare(pass_, bands):
                return self._comparer.compare(pass_, bands)
            case Hash(pass_, bands):
                return self._hasher.hashed(pass_, bands)

    def failure(self, error: Exception) -> Failed:
        """What to answer where a task, or the writing of its files, raised `error`."""
        source, trace = self.job.image.source, "".join(traceback.format_exception(error))
        if isinstance(error, MemoryError):
            error = LimitError("a worker ran out of memory: give it more, or set MAX_WORKERS lower", source=source)
        if not isinstance(error, ProcError):
            error = ProcError(f"{type(error).__name__}: {error}".replace("\n", " "), source=source)
        return Failed(error, trace)

    def make(self, pass_: Pass, band: Region, slot: int, ticket: Ticket) -> tuple[OfBand, ...]:
        """Make one band in the slot that begins at byte `slot`: load it, then store all its levels. Returns what was made of each."""
        pyramid = self.job.store.pyramid
        digests = self._loader.load(pass_, band, band, self._level(pass_, slot, 0)[0])
        made: list[OfBand] = [Hashed(digests)] if digests else []
        for step in pass_.steps:
            level, ground = pyramid.levels[pass_.first + step], at(pyramid, pass_, band, step)
            made.append(self._write(Write(pass_, slot, band, step, ground.divided(level.chunk)), ticket))
            if level.sharded:
                made.append(self._seal(Seal(pass_, slot, band, step, ground.divided(level.object)), ticket))
        return tuple(made)

    def _write(self, task: Write, ticket: Ticket) -> Written:
        last = task.pass_.first + task.step == task.pass_.last
        above = None if last else self._level(task.pass_, task.slot, task.step + 1)[0]
        return self._writer.write(task, *self._level(task.pass_, task.slot, task.step), above, ticket)

    def _seal(self, task: Seal, ticket: Ticket) -> Sealed:
        return self._writer.seal(task, self._level(task.pass_, task.slot, task.step)[1], ticket)

    @cached_property
    def _comparer(self) -> "Comparer":
        from omezarr_proc.work.compare import Comparer

        return Comparer(self.job, self._loader)

    @cached_property
    def _hasher(self) -> "Hasher":
        from omezarr_proc.work.hashing import Hasher

        return Hasher(self.job, self._loader)

    def _changed(self, unit: Unit, read: bool) -> int:
        store = self.job.store
        chunks = store.pyramid.frame_chunks(unit.level, unit.frame, unit.rows, unit.columns)
        return changed(store, unit.level, chunks, unit.checksums, read)

    def _count(self, task: Count) -> histogram.Counts:
        pyramid = self.job.store.pyramid
        whole = pyramid.levels[task.level].region
        total = np.zeros(histogram.BINS if task.places is None else (len(task.places), histogram.BINS), np.int64)
        depth = pyramid.levels[task.level].chunk[Z]
        for (t, _), in_chunks in groupby(task.planes, lambda plane: (plane[0], plane[1] // depth)):
            depths = [z for _, z in in_chunks]
            ground = whole.along(0, t, t + 1).along(1, task.channel, task.channel + 1).along(Z, depths[0], depths[-1] + 1)
            for _, pixels in read_chunks(self.job.store, task.level, ground):
                for z in depths:
                    plane = pixels[:, z - depths[0]]
                    if task.places is None:
                        histogram.count(plane, total)
                    else:
                        total += histogram.count_within(plane, task.places)
        return total

    def _level(self, pass_: Pass, slot: int, step: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """The slot's array of one level, [z, y, x, channels, depth, tile, tile], and the same memory as [z, y, x, chunks there, bytes]."""
        pyramid = self.job.store.pyramid
        parts, size = _slot(pass_, pyramid)
        part, memory = parts[step], self._memory(slot + size)
        pixels: NDArray[Any] = np.ndarray(part.shape, pyramid.dtype, memory, slot + part.offset, part.strides)
        return pixels, np.ndarray(part.cells, np.uint8, memory, slot + part.offset)


@lru_cache(maxsize=8)
def _slot(pass_: Pass, pyramid: Pyramid) -> tuple[tuple[SlotLevel, ...], int]:
    return slot_levels(pass_, pyramid)
