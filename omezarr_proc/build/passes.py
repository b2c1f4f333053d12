"""The levels of one dataset out of bands, pass by pass; what is finished is recorded and not done again."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np
from loguru import logger

from omezarr_proc.engine.local.pipeline import run_pass, run_tasks
from omezarr_proc.engine.local.schedule import Schedule, load_parts
from omezarr_proc.work.tasks import Check, Checked, Reply, Spool, Task, Whole, Write, Written
from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.model.image import Rect
from omezarr_proc.pixels import histogram
from omezarr_proc.pixels.histogram import Extremes
from omezarr_proc.model.pyramid import Band, Pass, band_count, bands, ceil_div
from omezarr_proc.plan.memory import Geometry, Plan, cut_lines
from omezarr_proc.model.events import Progress
from omezarr_proc.model.text import byte_size
from omezarr_proc.store.checksums import CHECKSUM_BYTES, stored_bytes
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.publish.finished import Completed
from omezarr_proc.publish.history import Unit
from omezarr_proc.publish.record import Record

# Source pixels (of all channels) per load task, and stored bytes per write task: long beside a message, short beside a band.
_LOAD_PIXELS = 4 << 20
_WRITE_BYTES = 1 << 20
# Stored bytes per check task.
_CHECK_BYTES = 8 << 20


@dataclass
class Tally:
    """What is stored so far: chunk bytes, and the finite extremes of each channel on level 0."""

    bytes: int = 0
    extremes: dict[int, Extremes | None] = field(default_factory=dict)

    def add(self, unit: Unit, first_channel: int) -> None:
        """Count a finished unit whose frame begins with `first_channel`."""
        self.bytes += unit.bytes
        for channel, found in enumerate(unit.extremes, first_channel):
            self.extremes[channel] = histogram.merge_extremes(self.extremes.get(channel), found)


@dataclass
class Build:
    """One dataset in the making, whatever plan its bands follow."""

    geometry: Geometry
    chunks: ChunkStore
    pool: Pool
    record: Record
    report: Progress
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """Nothing is finished yet, also of what earlier attempts have (see `take_over`)."""
        g = self.geometry
        self._completed = Completed(g.levels, g.frames, g.tile)
        self._open: dict[Band, list[Written]] = {}
        self._earlier = list(_checks(unit for unit in self.record.units if self._is_of_us(unit)))
        self.taken_over = 0  # percent

    @property
    def percent(self) -> int:
        """How much of the chunks is finished."""
        return self._completed.percent

    def take_over(self, until: float | None = None) -> None:
        """Have the workers check what earlier attempts have finished; what is not as it was recorded is made again. Raises ProcError.

        until  when only sizes are looked at any more, as time.monotonic() counts: a run that reads till its deadline would get nowhere
        """
        if not self._earlier:
            return
        source, lost, unread = self.geometry.image.source, 0, 0
        self.report.start(source, sum(unit.bytes for check in self._earlier for unit in check.units), "B")

        def checks() -> Iterator[Check]:
            for check in self._earlier.copy():
                yield replace(check, read=until is None or time.monotonic() < until)

        def note(task: Task, reply: Reply) -> None:
            nonlocal lost, unread
            assert isinstance(task, Check) and isinstance(reply, Checked)
            self._earlier.remove(Check(task.units))
            for unit, changed in zip(task.units, reply.changed, strict=True):
                lost += changed
                unread += 0 if task.read else unit.bytes
                if not changed:
                    self._finish(unit)
                self.report.advance(unit.bytes)

        run_tasks(self.pool, checks(), note)
        self.taken_over = self.percent
        if lost:
            logger.warning(f"{source}: {lost} chunks of an earlier run are not as it has stored them: they are made again")
        if unread:
            logger.warning(f"{source}: no time to read back {byte_size(unread)} of an earlier run: of these only the sizes were checked")
        logger.info(f"{source}: goes on with what an earlier run has finished ({self.taken_over} %)")

    def run(self, plan: Plan) -> None:
        """Finish all levels. Raises ProcError; what is finished by then is in the record, or soon will be."""
        for stage in plan.passes:
            self._run_pass(plan, stage)

    def _run_pass(self, plan: Plan, stage: Pass) -> None:
        g = self.geometry
        name = f"levels {stage.first} to {stage.last}"
        logger.bind(phase=name).debug(f"{g.image.source}: {name} from {'the TIFF' if stage.source is None else f'level {stage.source}'}")
        # never a list: there can be millions
        todo = (band for band in bands(stage, g.levels[stage.first], g.frames.count) if not self._completed.covers_band(stage, band))
        if stage.source is not None or "spool" not in plan.access:
            self._run_bands(plan, stage, todo)
            return
        for frame, of_frame in groupby(todo, lambda band: band.frame):
            run_tasks(self.pool, [Spool(frame)], lambda task, reply: None)
            self._run_bands(plan, stage, of_frame)

    def _run_bands(self, plan: Plan, stage: Pass, todo: Iterator[Band]) -> None:
        g, channels = self.geometry, self.geometry.frames.channels
        number = band_count(stage, g.levels[stage.first], g.frames.count)
        lines = cut_lines(g, plan, stage)

        def parts(band: Band) -> list[Rect]:
            return load_parts(band, stage.factor, *lines, _LOAD_PIXELS // channels)

        schedule = Schedule(
            stage,
            todo,
            [slot * plan.slot_bytes for slot in range(plan.slots)],
            g.tile,
            parts,
            batch=max(1, _WRITE_BYTES // (g.tile**2 * g.itemsize * channels)),
            whole=max(1, min(_WRITE_BYTES // plan.slot_bytes, number // (8 * plan.workers))) if plan.whole else 0,
            sticky=stage.source is None and "stream" in plan.access,
        )
        self._open.clear()
        run_pass(self.pool, schedule, self._encoded, lambda bands: self._stored(stage, bands))

    def _encoded(self, task: Write | Whole, written: Sequence[Sequence[Written]]) -> None:
        for band, parts in zip(task.bands, written, strict=True):
            self._open.setdefault(band, []).extend(parts)
        self.report.advance(sum(rect.height * rect.width for rect in _written(task, self.geometry.tile)) * self.geometry.frames.channels)

    def _stored(self, stage: Pass, bands: Sequence[Band]) -> None:
        units = [unit for band in bands for unit in self._units(stage, band, self._open.pop(band))]
        self.record.add(units)
        for unit in units:
            self._finish(unit)

    def _units(self, stage: Pass, band: Band, written: list[Written]) -> Iterator[Unit]:
        tile = self.geometry.tile
        extremes: list[Extremes | None] = []
        for found in (w.extremes for w in written if w.extremes):
            extremes = [histogram.merge_extremes(*pair) for pair in zip(extremes, found, strict=True)] if extremes else list(found)
        for step in range(stage.last - stage.first + 1):
            rect, level = band.at(step), stage.first + step
            rows, columns = (rect.y0 // tile, ceil_div(rect.y1, tile)), (rect.x0 // tile, ceil_div(rect.x1, tile))
            shape = (rows[1] - rows[0], columns[1] - columns[0], self.chunks.chunks_per_tile)
            checksums = _joined(shape, [w for w in written if w.step == step])
            yield Unit(band.frame, level, rows, columns, tuple(extremes) if level == 0 else (), stored_bytes(checksums), checksums)

    def _is_of_us(self, unit: Unit) -> bool:
        """Whether a unit that was read fits this dataset."""
        if not self._completed.knows(unit) or len(unit.extremes) != (self.geometry.frames.channels if unit.level == 0 else 0):
            return False
        return not unit.checksums or len(unit.checksums) == CHECKSUM_BYTES * _chunk_count(unit, self.chunks)

    def _finish(self, unit: Unit) -> None:
        self._completed.add(unit)
        self.tally.add(unit, self.geometry.frames.position(unit.frame)[1])


def _written(task: Write | Whole, tile: int) -> Iterator[Rect]:
    """The pixels that a task has stored, as rectangles of its levels."""
    if isinstance(task, Whole):
        yield from (band.at(step) for band in task.bands for step in range(task.stage.last - task.stage.first + 1))
        return
    band, tiles = task.band.at(task.step), task.tiles
    yield Rect(tiles.y0 * tile, min(tiles.y1 * tile, band.height), tiles.x0 * tile, min(tiles.x1 * tile, band.width))


def _joined(shape: tuple[int, int, int], written: Sequence[Written]) -> bytes:
    """The checksums of all chunks[rows, columns, channels] of a band's level, out of those of its parts."""
    joined = np.zeros(shape, f"V{CHECKSUM_BYTES}")
    for part in written:
        t = part.tiles
        joined[t.y0 : t.y1, t.x0 : t.x1] = np.frombuffer(part.checksums, joined.dtype).reshape(t.height, t.width, shape[2])
    return joined.tobytes()


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


def _chunk_count(unit: Unit, store: ChunkStore) -> int:
    return (unit.rows[1] - unit.rows[0]) * (unit.columns[1] - unit.columns[0]) * store.chunks_per_tile
