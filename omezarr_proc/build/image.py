"""One image: plan, staging, passes, windows, metadata, publish."""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger

from omezarr_proc import __version__
from omezarr_proc.build.passes import Build
from omezarr_proc.build.windows import display_windows
from omezarr_proc.work.tasks import Job
from omezarr_proc.host.memory import PeakMemory
from omezarr_proc.engine.local.pool import Pool, WorkerLostError
from omezarr_proc.model.errors import InputError, LimitError, OutOfTimeError, OutputError
from omezarr_proc.model.image import Image
from omezarr_proc.ngff import attributes as ngff
from omezarr_proc.ngff import windows
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.pyramid import chunk_count, make_frames, make_levels
from omezarr_proc.plan.memory import Geometry, Plan, make_plan
from omezarr_proc.model.events import Progress
from omezarr_proc.model.events import Summary
from omezarr_proc.config.settings import Settings
from omezarr_proc.store import arrays as store
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.by_rename import discard, publish
from omezarr_proc.publish.record import Record
from omezarr_proc.tiff.file.changes import changed
from omezarr_proc.check.verdict import refuse_wrong

# Part of every dataset's key: a new number where the same input and settings give other bytes than before.
OUTPUT_VERSION = 2

# Kills in a row before anything was finished, the last two of the smallest plan, and deaths of workers with one plan, after which it is
# given up.
_MOST_STALLED = 3
_MOST_DEATHS = 2


def make_geometry(image: Image, settings: Settings) -> Geometry:
    """The pyramid that the settings ask for. Raises LimitError where image or dataset are larger than the settings allow."""
    planes = image.size_t * image.size_c * image.size_z
    if planes * image.height * image.width > settings.max_pixels:
        raise LimitError(
            f"{image.source}: image {image.series} states {planes} planes of {image.width} x {image.height} pixels,"
            f" more than MAX_PIXELS={settings.max_pixels}; if that is so, raise MAX_PIXELS, else the file is corrupt"
        )
    levels = make_levels(image.height, image.width, settings.initial_downsample, settings.max_levels, settings.min_dimension)
    chunking = settings.channel_chunking
    bundled = image.rgb if chunking == "auto" else chunking == "bundled"
    frames = make_frames(image, bundled)
    chunks = sum(chunk_count(level, frames, settings.tile_size, bundled) for level in levels)
    if chunks > settings.max_chunks:
        raise LimitError(
            f"{image.source}: the dataset of image {image.series} would have {chunks} chunks, more than MAX_CHUNKS={settings.max_chunks};"
            " set a larger TILE_SIZE or INITIAL_DOWNSAMPLE, or raise MAX_CHUNKS"
        )
    return Geometry(image, levels, frames, settings.tile_size, np.dtype(image.stored_dtype).itemsize, bundled)


def dataset_key(image: Image, settings: Settings) -> str:
    """What a dataset is a function of: the source, the settings that shape it, and the versions of what makes its bytes."""
    import numcodecs.blosc

    parts = [image.fingerprint, image.series, settings.output_shaping(), OUTPUT_VERSION, numcodecs.blosc.VERSION_STRING]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass
class Conversion:
    """One image on its way into the dataset `target`, which `lock` holds.

    deadline  when to stop in good order, as time.monotonic() counts
    """

    image: Image
    target: Path
    settings: Settings
    limits: Limits
    pool: Pool
    report: Progress
    lock: Lock
    deadline: float | None = None

    def run(self) -> Summary:
        """Convert and publish.

        Raises ProcError; then nothing has appeared under the target's name, and what is finished waits for the next run; after an
        InputError nothing is left of it.
        """
        try:
            with PeakMemory(self.pool.pids) as memory:
                summary = self._run()
        except InputError:
            self._refuse_changed()  # what looks corrupt can be a file that is being written
            discard(self.target, self.deadline)  # another run would find the same, so what is finished is of no use
            raise
        return replace(summary, peak_bytes=memory.peak or None)

    def _run(self) -> Summary:
        began = time.monotonic()
        geometry = make_geometry(self.image, self.settings)
        make_plan(geometry, self.limits)  # refuses what cannot be done before anything is written
        record = Record.open(self.target, dataset_key(self.image, self.settings))
        how = "failed"
        try:
            chunks = self._chunk_store(geometry, record.staging)
            build = Build(geometry, chunks, self.pool, record, self.report)
            metadata = _Background(lambda: self._write_metadata(chunks))  # network storage takes long beside a small image
            try:
                found = self._build(geometry, build, record)
            except InputError:
                metadata.wait()  # it must not write into what is removed now
                raise
            metadata.result()
            record.flush()
            store.write_root(record.staging, self._attributes(geometry, chunks, found), chunks.zarr_format)
            refuse_wrong(record.staging)
            how = "finished"
        except BaseException as error:
            how = type(error).__name__
            if isinstance(error, OutOfTimeError):
                raise OutOfTimeError(f"{self.image.source}: out of time at {build.percent} %; run it again to go on from there") from None
            raise
        finally:
            self._leave(record, how)
        self.lock.check()
        self._refuse_changed()
        publish(self.target, self.deadline, record.disk, force=self.settings.existing == "force")
        planes = self.image.size_t * self.image.size_c * self.image.size_z
        pixels = planes * self.image.height * self.image.width * (100 - build.taken_over) // 100
        return self._summary(geometry, chunks, build, time.monotonic() - began, pixels)

    def _refuse_changed(self) -> None:
        """Raise InputError where an input is not any more what was opened; what was made of both, or of the other, is removed."""
        if what := changed(self.image.states):
            discard(self.target, self.deadline)
            raise InputError(f"{what}: nothing is published; run it again when it is complete")

    def _leave(self, record: Record, how: str) -> None:
        """Note the orderly end, as far as the disk lets us within the time that a stopping container has."""
        try:
            record.end(how, None if how == "finished" else 1.0)
        except OutputError as error:
            if how == "finished":
                raise
            logger.debug(f"the record cannot be ended: {error}")
        finally:
            record.close()

    def _build(self, geometry: Geometry, build: Build, record: Record) -> tuple[windows.Window, ...]:
        """Make all levels, then find the display windows.

        Tries the plans from the best on: one that died before, in this run or an earlier one, is followed by a smaller one.
        """
        smaller, deaths, plan = record.unfinished, 0, None
        while True:
            before, plan = plan, make_plan(geometry, self.limits, smaller)
            if record.stalled >= _MOST_STALLED and plan == make_plan(geometry, self.limits, smaller - 2):
                raise LimitError(
                    f"{self.image.source}: was killed {record.stalled} times before it got anywhere, the last times with the smallest plan"
                    f" ({plan.projected_bytes >> 20} MB): if memory ran out, give it more than the {self.limits.memory_bytes >> 20} MB that"
                    " there are; if somebody else killed it (a time limit, a stop), see to that and run it again"
                )
            logger.bind(phase="plan", projected_bytes=plan.projected_bytes).debug(f"{self.image.source}: {plan}")
            record.begin({"workers": plan.workers, "slots": plan.slots, "slot_bytes": plan.slot_bytes})
            self._brief_workers(build, plan)
            try:
                build.take_over(None if self.deadline is None else (time.monotonic() + self.deadline) / 2)
                self._start_report(geometry, build)
                build.run(plan)
                logger.bind(phase="windows").debug(f"{self.image.source}: display windows")
                return display_windows(self.pool, self.image, geometry.levels, geometry.frames, build.tally.extremes)
            except WorkerLostError as lost:
                record.end("worker lost")
                deaths = deaths + 1 if before == plan else 1
                if deaths > _MOST_DEATHS:
                    raise
                smaller += 1
                logger.warning(f"{self.image.source}: {lost}; going on with a smaller plan")

    def _chunk_store(self, geometry: Geometry, staging: Path) -> ChunkStore:
        image, settings = self.image, self.settings
        return ChunkStore(
            str(staging),
            ngff.axis_names(image, settings.axes),
            geometry.tile,
            geometry.bundled,
            codec_for(image.stored_dtype, settings.compression, settings.compression_level),
            image.stored_dtype,
            geometry.levels,
            geometry.frames,
            2 if settings.zarr_format == "2" else 3,
        )

    def _start_report(self, geometry: Geometry, build: Build) -> None:
        planes = geometry.frames.count * geometry.frames.channels
        total = sum(level.height * level.width for level in geometry.levels) * planes
        self.report.start(self.image.source, total, done=total * build.percent // 100)

    def _brief_workers(self, build: Build, plan: Plan) -> None:
        self.pool.arena.resize(plan.slots * plan.slot_bytes)
        self.pool.resize(plan.workers)
        spool = store.spool_file(self.target, plan.spool_bytes) if plan.spool_bytes else None
        text = self.image.ome_xml and ""  # workers only ask whether there is one
        nearest, lenient = self.settings.downsample_method == "nearest", self.settings.on_corrupt == "warn"
        self.pool.begin(Job(replace(self.image, ome_xml=text), build.chunks, nearest, plan.access, lenient), spool)

    def _write_metadata(self, chunks: ChunkStore) -> None:
        store.write_arrays(chunks)
        if self.image.ome_xml and self.settings.ome_xml == "keep":
            store.write_ome_xml(Path(chunks.root), self.image.ome_xml)

    def _attributes(self, geometry: Geometry, chunks: ChunkStore, found: tuple[windows.Window, ...]) -> dict[str, Any]:
        own = {"key": dataset_key(self.image, self.settings), "version": __version__, "notes": list(self.image.notes)}
        multiscale = ngff.multiscales(self.image, geometry.levels, chunks.axes, self.settings.downsample_method)
        return ngff.root_attributes(multiscale, ngff.omero(self.image, found, geometry.bundled), own, chunks.zarr_format)

    def _summary(self, geometry: Geometry, chunks: ChunkStore, build: Build, seconds: float, pixels: int) -> Summary:
        image, base = self.image, geometry.levels[0]
        sizes = {"t": image.size_t, "c": image.size_c, "z": image.size_z, "y": base.height, "x": base.width}
        return Summary(
            str(self.target),
            tuple(sizes[axis] for axis in chunks.axes),
            len(geometry.levels),
            sum(chunk_count(level, geometry.frames, geometry.tile, geometry.bundled) for level in geometry.levels),
            build.tally.bytes,
            seconds,
            pixels,
        )


class _Background(threading.Thread):
    """Work beside the passes. A daemon: storage that is stuck must not keep the process from ending."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(name="metadata", daemon=True)
        self._work = work
        self._error: BaseException | None = None
        try:
            self.start()
        except RuntimeError:  # no thread is allowed: at once instead
            self.run()

    def run(self) -> None:
        """Do the work, and keep what went wrong."""
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def wait(self) -> None:
        """Wait until it is done, one way or the other."""
        if self.ident is not None:  # was started
            self.join()

    def result(self) -> None:
        """Wait, and raise what went wrong."""
        self.wait()
        if self._error:
            raise self._error
