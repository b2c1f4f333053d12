"""The levels of one dataset out of bands, pass by pass; what is finished is recorded and not done again."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

import numpy as np
from loguru import logger

from omezarr_proc.build.taken import Taken
from omezarr_proc.engine.base import Engine
from omezarr_proc.model.events import Progress
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Region, X, Y, Z
from omezarr_proc.model.text import byte_size
from omezarr_proc.pixels.histogram import Extremes, Packed, merge_extremes
from omezarr_proc.plan.passes import Pass, at, bands, passes_left
from omezarr_proc.plan.plan import Plan
from omezarr_proc.publish.finished import Finished
from omezarr_proc.publish.history import Unit
from omezarr_proc.publish.tree import Noting
from omezarr_proc.store.checksums import CHECKSUM_BYTES, stored_bytes
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.work.replies import Checked, Hashed, OfBand, Reply, Sealed, Written
from omezarr_proc.work.tasks import Check, Loose, Spool

# Stored bytes per check task.
_CHECK_BYTES = 8 << 20


@dataclass
class Tally:
    """What is stored so far: chunk bytes, the finite extremes of each channel on level 0, and histograms that were taken meanwhile."""

    bytes: int = 0
    extremes: dict[int, Extremes | None] = field(default_factory=dict)
    counts: dict[int, Packed] = field(default_factory=dict)

    def add(self, unit: Unit, first_channel: int) -> None:
        """Count a finished unit whose frame begins with `first_channel`."""
        self.bytes += unit.bytes
        for channel, found in enumerate(unit.extremes, first_channel):
            self.extremes[channel] = merge_extremes(self.extremes.get(channel), found)

    def count(self, counts: Iterable[Packed], first_channel: int) -> None:
        """Add the histograms of a part of a level."""
        for channel, found in enumerate(counts, first_channel):
            self.counts[channel] = self.counts[channel] + found if channel in self.counts else found


@dataclass(kw_only=True)
class Build:
    """One dataset in the making, whatever plan its bands follow.

    within  the regions of the base level that are made, in its pixels, where that is not all; of what others have finished only what lies
            in one of these is taken over
    trusted  what earlier attempts have finished is not read back, only its sizes are looked at: it is of many machines, and would take this
             one as long as it took all of them
    taken    where digests go that are taken on the way, and checksums; None: none are
    """

    image: Image
    store: ChunkStore
    engine: Engine
    tree: Noting
    progress: Progress
    within: tuple[Region, ...] | None = None
    trusted: bool = False
    taken: Taken | None = None
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """Nothing is finished yet, also of what earlier attempts have (see `take_over`)."""
        self.pyramid = self.store.pyramid
        self._finished = Finished(self.pyramid, self.within)
        self._open: dict[Region, list[Written | Sealed]] = {}
        self._earlier = list(_checks(unit for unit in self.tree.units if self._is_of_us(unit)))
        self.taken_over = 0  # percent

    @property
    def percent(self) -> int:
        """How much of the chunks is finished."""
        return self._finished.percent

    @property
    def chunks(self) -> int:
        """How many chunks are to be finished, as a record counts them: those of a channel group are one."""
        return self._finished.wanted

    @property
    def pixels(self) -> int:
        """Of all levels that are made, planes and channels."""
        regions = self.within or (self.pyramid.levels[0].region,)
        return sum(region.divided(self.pyramid.ratio(0, level.index)).size for region in regions for level in self.pyramid.levels)

    def take_over(self, until: float | None = None) -> None:
        """Have what earlier attempts have finished checked; what is not as it was recorded is made again. Raises ProcError.

        until  when only sizes are looked at any more, as time.monotonic() counts: a run that reads till its deadline would get nowhere
        """
        if not self._earlier:
            return
        source, lost, unread = self.image.source, 0, 0
        self.progress.start(source, sum(unit.bytes for check in self._earlier for unit in check.units), "B")

        def checks() -> Iterator[Check]:
            for check in self._earlier.copy():
                yield replace(check, read=not self.trusted and (until is None or time.monotonic() < until))

        def note(task: Loose, reply: Reply) -> None:
            nonlocal lost, unread
            assert isinstance(task, Check) and isinstance(reply, Checked)
            self._earlier.remove(Check(task.units))
            for unit, changed in zip(task.units, reply.changed, strict=True):
                lost += changed
                unread += 0 if task.read else unit.bytes
                if not changed:
                    self._finish(unit)
                self.progress.advance(unit.bytes)

        self.engine.work(checks(), note)
        self.taken_over = self.percent
        if lost:
            logger.warning(f"{source}: {lost} chunks of an earlier run are not as it has stored them: they are made again")
        if unread and not self.trusted:
            logger.warning(f"{source}: no time to read back {byte_size(unread)} of an earlier run: of these only the sizes were checked")
        logger.info(f"{source}: goes on with what an earlier run has finished ({self.taken_over} %)")

    def run(self, plan: Plan) -> None:
        """Finish all levels. Raises ProcError; what is finished by then is in the record, or soon will be."""
        for pass_ in passes_left(self.pyramid, plan.passes, self._finished.made, plan.slot_bytes):
            name = f"levels {pass_.first} to {pass_.last}"
            source = "the TIFF" if pass_.source is None else f"level {pass_.source}"
            logger.bind(phase=name).debug(f"{self.image.source}: {name} from {source}")
            for before, todo in self._unfinished(plan, pass_):
                self.engine.work(before, lambda task, reply: None)
                self._open.clear()
                self.engine.make(pass_, todo, partial(self._encoded, pass_), partial(self._stored, pass_))

    def _unfinished(self, plan: Plan, pass_: Pass) -> Iterator[tuple[Sequence[Spool], Iterator[Region]]]:
        """The bands of a pass that are still to be made, each time after the tasks that must be done for them."""
        # never a list: there can be millions
        todo = (band for band in bands(pass_, self.pyramid, self.within) if not self._finished.covers_band(pass_, band))
        if pass_.source is not None or "spool" not in plan.access:
            yield (), todo
            return
        for ground, on_it in groupby(todo, partial(spooled, self.pyramid)):
            yield spools(ground), on_it

    def _encoded(self, pass_: Pass, band: Region, made: Sequence[OfBand]) -> None:
        self._open.setdefault(band, []).extend(part for part in made if not isinstance(part, Hashed))
        for part in made:
            if isinstance(part, Written):
                level = self.pyramid.levels[pass_.first + part.step]
                self.progress.advance(part.chunks.scaled(level.chunk).clipped(level.shape).size)
            if self.taken and isinstance(part, Written | Hashed):
                found = self.taken.levels[pass_.first + part.step] if isinstance(part, Written) else self.taken.source
                for digest in part.digests:
                    found.add(digest)

    def _stored(self, pass_: Pass, done: Sequence[Region]) -> None:
        units: list[Unit] = []
        for band in done:
            made = self._open.pop(band)
            units += self._units(pass_, band, made)
            for part in made:
                if isinstance(part, Written):
                    self.tally.count(part.counts, band.start[1])
        self.tree.add(units)
        for unit in units:
            self._finish(unit)

    def _units(self, pass_: Pass, band: Region, made: Sequence[Written | Sealed]) -> Iterator[Unit]:
        extremes: list[Extremes | None] = []
        for found in (part.extremes for part in made if isinstance(part, Written) and part.extremes):
            extremes = [merge_extremes(*pair) for pair in zip(extremes, found, strict=True)] if extremes else list(found)
        for step in pass_.steps:
            level, ground = self.pyramid.levels[pass_.first + step], at(self.pyramid, pass_, band, step)
            chunks = ground.divided(level.chunk)
            checksums = _joined(ground.divided(level.object), [part for part in made if part.step == step])
            for i, z in enumerate(range(chunks.start[Z], chunks.stop[Z])):
                frame = self.pyramid.frame(level.index, band.start[0], band.start[1], z)
                of_frame = checksums[i].tobytes()
                (y0, x0), (y1, x1) = chunks.start[Y:], chunks.stop[Y:]
                known = tuple(extremes) if level.index == 0 else ()
                yield Unit(frame, level.index, (y0, y1), (x0, x1), known, stored_bytes(of_frame), of_frame)

    def _is_of_us(self, unit: Unit) -> bool:
        """Whether a unit that was read fits this dataset."""
        if not self._finished.knows(unit) or len(unit.extremes) != (self.pyramid.channels if unit.level == 0 else 0):
            return False
        level = self.pyramid.levels[unit.level]
        chunks = self.pyramid.frame_chunks(unit.level, unit.frame, unit.rows, unit.columns)
        if not self._finished.wants(unit.level, chunks):
            return False
        objects = chunks.divided(level.shard)
        if objects.scaled(level.shard).clipped(level.grid.shape) != chunks:
            return False  # a part of a shard is nothing that a band makes
        return (not unit.checksums and not level.sharded) or len(unit.checksums) == CHECKSUM_BYTES * objects.size

    def _finish(self, unit: Unit) -> None:
        self._finished.add(unit)
        if self.taken:
            self.taken.finish(unit)
        self.tally.add(unit, self.pyramid.position(unit.level, unit.frame)[1])


def spooled(pyramid: Pyramid, band: Region) -> Region:
    """The ground of a band over the TIFF whose planes are spooled together: the whole planes that it lies in."""
    height, width = pyramid.levels[0].shape[Y:]
    return band.along(Y, 0, height).along(X, 0, width)


def spools(ground: Region) -> tuple[Spool, ...]:
    """The tasks that spool the planes of a ground."""
    t, c, _, height, width = ground.stop
    return tuple(Spool(part, part.start[Z] - ground.start[Z]) for part in ground.cut((t, c, 1, height, width)))


def _joined(objects: Region, made: Sequence[Written | Sealed]) -> np.ndarray[tuple[int, ...], np.dtype[np.void]]:
    """The checksums[z, y, x, channels] of all objects of a band's level, out of those of its parts."""
    _, c, z, y, x = objects.shape
    joined = np.zeros((z, y, x, c), f"V{CHECKSUM_BYTES}")
    for part in made:
        if part.checksums:
            here = (part.chunks if isinstance(part, Written) else part.objects).within(objects)
            ranges = tuple(slice(here.start[axis], here.stop[axis]) for axis in (2, 3, 4))
            joined[ranges] = np.frombuffer(part.checksums, joined.dtype).reshape(joined[ranges].shape)
    return joined


def _checks(units: Iterable[Unit]) -> Iterator[Check]:
    """Tasks of about _CHECK_BYTES, since a unit may be a single small chunk."""
    batch: list[Unit] = []
    size = 0
    for unit in units:
        batch.append(unit)
        size += unit.bytes
        if size >= _CHECK_BYTES:
            yield Check(tuple(batch))
            batch, size = [], 0
    if batch:
        yield Check(tuple(batch))
