"""The levels of one dataset out of bands, pass by pass; what is finished is recorded and not done again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from loguru import logger

from omezarr_proc.engine.pipeline import run_pass, run_tasks
from omezarr_proc.engine.schedule import Schedule, load_parts
from omezarr_proc.engine.tasks import Spool, Whole, Write, Written
from omezarr_proc.engine.workers import Pool
from omezarr_proc.image import Rect
from omezarr_proc.ngff import windows
from omezarr_proc.ngff.windows import Extremes
from omezarr_proc.plan.pyramid import Band, Pass, bands, ceil_div
from omezarr_proc.plan.sizing import Geometry, Plan, cut_lines
from omezarr_proc.progress import Report
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.completed import Completed
from omezarr_proc.store.history import Unit
from omezarr_proc.store.record import Record

# Source pixels (of all channels) per load task, and stored bytes per write task: long beside a message, short beside a band.
_LOAD_PIXELS = 4 << 20
_WRITE_BYTES = 1 << 20


@dataclass
class Tally:
    """What is stored so far: chunk bytes, and the finite extremes of each channel on level 0."""

    bytes: int = 0
    extremes: dict[int, Extremes | None] = field(default_factory=dict)

    def add(self, unit: Unit, first_channel: int) -> None:
        """Count a finished unit whose frame begins with `first_channel`."""
        self.bytes += unit.bytes
        for channel, found in enumerate(unit.extremes, first_channel):
            self.extremes[channel] = windows.merge_extremes(self.extremes.get(channel), found)


@dataclass
class Build:
    """One dataset in the making, whatever plan its bands follow."""

    geometry: Geometry
    chunks: ChunkStore
    pool: Pool
    record: Record
    report: Report
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        """Take over what earlier attempts have finished."""
        g = self.geometry
        self._completed = Completed(g.levels, g.frames, g.tile)
        self._open: dict[Band, list[Written]] = {}
        for unit in self.record.units:
            self._finish(unit)

    @property
    def percent(self) -> int:
        """How much of the chunks is finished."""
        return self._completed.percent

    def run(self, plan: Plan) -> None:
        """Finish all levels. Raises ProcError; what is finished by then is in the record, or soon will be."""
        for stage in plan.passes:
            self._run_pass(plan, stage)

    def _run_pass(self, plan: Plan, stage: Pass) -> None:
        g = self.geometry
        name = f"levels {stage.first} to {stage.last}"
        logger.bind(phase=name).debug(f"{g.image.source}: {name} from {'the TIFF' if stage.source is None else f'level {stage.source}'}")
        todo = [band for band in bands(stage, g.levels[stage.first], g.frames.count) if not self._completed.covers_band(stage, band)]
        if stage.source is not None or "spool" not in plan.access:
            self._run_bands(plan, stage, todo)
            return
        by_frame: dict[int, list[Band]] = {}
        for band in todo:
            by_frame.setdefault(band.frame, []).append(band)
        for frame, of_frame in by_frame.items():
            run_tasks(self.pool, [Spool(frame)], lambda task, counted: None)
            self._run_bands(plan, stage, of_frame)

    def _run_bands(self, plan: Plan, stage: Pass, todo: Sequence[Band]) -> None:
        g, channels = self.geometry, self.geometry.frames.channels
        lines = cut_lines(g, plan, stage)

        def parts(band: Band) -> list[Rect]:
            return load_parts(band, stage.factor, *lines, _LOAD_PIXELS // channels)

        schedule = Schedule(
            stage,
            iter(todo),
            [slot * plan.slot_bytes for slot in range(plan.slots)],
            g.tile,
            parts,
            batch=max(1, _WRITE_BYTES // (g.tile**2 * g.itemsize * channels)),
            whole=max(1, min(_WRITE_BYTES // plan.slot_bytes, len(todo) // (8 * plan.workers))) if plan.whole else 0,
            sticky=stage.source is None and "stream" in plan.access,
        )
        self._open.clear()
        run_pass(self.pool, schedule, self._encoded, lambda bands: self._stored(stage, bands))

    def _encoded(self, task: Write | Whole, written: Sequence[Written]) -> None:
        for band, part in zip(task.bands, written, strict=True):
            self._open.setdefault(band, []).append(part)
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
            extremes = [windows.merge_extremes(*pair) for pair in zip(extremes, found, strict=True)] if extremes else list(found)
        for step in range(stage.last - stage.first + 1):
            rect, level = band.at(step), stage.first + step
            rows, columns = (rect.y0 // tile, ceil_div(rect.y1, tile)), (rect.x0 // tile, ceil_div(rect.x1, tile))
            size = sum(w.bytes for w in written) if step == 0 else 0  # of all steps: only their sum is ever asked for
            yield Unit(band.frame, level, rows, columns, tuple(extremes) if level == 0 else (), size)

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
