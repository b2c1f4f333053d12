"""One image: plan, staging, passes, windows, metadata, publish."""

import hashlib
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from loguru import logger

from omezarr_proc import __version__, ngff, store, windows
from omezarr_proc.chunks import ChunkStore
from omezarr_proc.codec import codec_for
from omezarr_proc.contrast import display_windows
from omezarr_proc.image import Image
from omezarr_proc.limits import Limits
from omezarr_proc.pipeline import run_pass, run_tasks
from omezarr_proc.progress import Report, Summary
from omezarr_proc.pyramid import Band, Pass, bands, chunk_count, make_frames, make_levels
from omezarr_proc.schedule import Schedule, load_parts
from omezarr_proc.settings import Settings
from omezarr_proc.sizing import Geometry, Plan, cut_lines, make_plan
from omezarr_proc.tasks import Job, Spool, Task, Whole, Write, Written
from omezarr_proc.usage import PeakMemory
from omezarr_proc.workers import Pool

# Part of every dataset's key: a new number where the same input and settings give other bytes than before.
OUTPUT_VERSION = 1

# Source pixels (of all channels) per load task, and stored bytes per write task: long beside a message, short beside a band.
_LOAD_PIXELS = 4 << 20
_WRITE_BYTES = 1 << 20


def make_geometry(image: Image, settings: Settings) -> Geometry:
    """The pyramid that the settings ask for."""
    levels = make_levels(image.height, image.width, settings.initial_downsample, settings.max_levels, settings.min_dimension)
    chunking = settings.channel_chunking
    bundled = image.rgb if chunking == "auto" else chunking == "bundled"
    frames = make_frames(image, bundled)
    return Geometry(image, levels, frames, settings.tile_size, np.dtype(image.stored_dtype).itemsize, bundled)


def dataset_key(image: Image, settings: Settings) -> str:
    """What a dataset is a function of: the source, the settings that shape it, and the versions of what makes its bytes."""
    import numcodecs.blosc

    parts = [image.fingerprint, image.series, settings.output_shaping(), OUTPUT_VERSION, numcodecs.blosc.VERSION_STRING]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


@dataclass
class Conversion:
    """One image on its way into the dataset `target`."""

    image: Image
    target: Path
    settings: Settings
    limits: Limits
    pool: Pool
    report: Report
    _bytes: int = 0
    _extremes: dict[int, windows.Extremes | None] = field(default_factory=dict)

    def run(self) -> Summary:
        """Convert and publish. Raises ProcError; then nothing has appeared under the target's name."""
        with PeakMemory(self.pool.pids) as memory:
            summary = self._run()
        return replace(summary, peak_bytes=memory.peak or None)

    def _run(self) -> Summary:
        began = time.monotonic()
        geometry = make_geometry(self.image, self.settings)
        plan = make_plan(geometry, self.limits)
        logger.debug(f"{self.image.source}: {plan}")
        chunks = self._chunk_store(geometry, store.begin(self.target))
        self._brief_workers(geometry, plan, chunks)
        with ThreadPoolExecutor(1) as background:
            metadata = background.submit(self._write_metadata, chunks)  # importing zarr takes long beside a small image
            for stage in plan.passes:
                self._run_pass(geometry, plan, stage)
            metadata.result()
        found = display_windows(self.pool, self.image, geometry.levels, geometry.frames, self._extremes)
        store.publish(Path(chunks.root), self.target, self._attributes(geometry, chunks, found))
        return self._summary(geometry, chunks, time.monotonic() - began)

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
        )

    def _brief_workers(self, geometry: Geometry, plan: Plan, chunks: ChunkStore) -> None:
        planes = geometry.frames.count * geometry.frames.channels
        self.report.start(self.image.source, sum(level.height * level.width for level in geometry.levels) * planes)
        self.pool.arena.grow(plan.slots * plan.slot_bytes)
        self.pool.resize(plan.workers)
        spool = store.spool_file(self.target, plan.spool_bytes) if plan.spool_bytes else None
        self.pool.begin(Job(self.image, chunks, self.settings.downsample_method == "nearest", plan.access), spool)

    def _run_pass(self, geometry: Geometry, plan: Plan, stage: Pass) -> None:
        channels = geometry.frames.channels
        batch = max(1, _WRITE_BYTES // (geometry.tile**2 * geometry.itemsize * channels))
        lines = cut_lines(geometry, plan, stage)

        def parts(band: Band) -> list[Any]:
            return load_parts(band, stage.factor, *lines, _LOAD_PIXELS // channels)

        def run(todo: Iterable[Band]) -> None:
            slots = [i * plan.slot_bytes for i in range(plan.slots)]
            sticky = stage.source is None and "stream" in plan.access
            schedule = Schedule(stage, iter(todo), slots, geometry.tile, parts, batch, plan.whole, sticky)
            run_pass(self.pool, schedule, lambda task, written: self._note(geometry, task, written))

        todo = bands(stage, geometry.levels[stage.first], geometry.frames.count)
        if stage.source is not None or "spool" not in plan.access:
            run(todo)
            return
        by_frame: dict[int, list[Band]] = {}
        for band in todo:
            by_frame.setdefault(band.frame, []).append(band)
        for frame, of_frame in by_frame.items():
            run_tasks(self.pool, [Spool(frame)], lambda task, reply: None)
            run(of_frame)

    def _note(self, geometry: Geometry, task: Task, written: Written) -> None:
        self._bytes += written.bytes
        if not isinstance(task, Write | Whole):
            return
        self.report.advance(_pixels(task, geometry))
        first = geometry.frames.position(task.band.frame)[1]
        for channel, extremes in enumerate(written.extremes, first):
            self._extremes[channel] = windows.merge_extremes(self._extremes.get(channel), extremes)

    def _write_metadata(self, chunks: ChunkStore) -> None:
        store.write_arrays(chunks)
        if self.image.ome_xml and self.settings.ome_xml == "keep":
            store.write_ome_xml(Path(chunks.root), self.image.ome_xml)

    def _attributes(self, geometry: Geometry, chunks: ChunkStore, found: tuple[windows.Window, ...]) -> dict[str, Any]:
        own = {"key": dataset_key(self.image, self.settings), "version": __version__, "notes": list(self.image.notes)}
        multiscale = ngff.multiscales(self.image, geometry.levels, chunks.axes, self.settings.downsample_method)
        return ngff.root_attributes(multiscale, ngff.omero(self.image, found, geometry.bundled), own)

    def _summary(self, geometry: Geometry, chunks: ChunkStore, seconds: float) -> Summary:
        image, base = self.image, geometry.levels[0]
        planes = image.size_t * image.size_c * image.size_z
        sizes = {"t": image.size_t, "c": image.size_c, "z": image.size_z, "y": base.height, "x": base.width}
        return Summary(
            str(self.target),
            tuple(sizes[axis] for axis in chunks.axes),
            len(geometry.levels),
            sum(chunk_count(level, geometry.frames, geometry.tile, geometry.bundled) for level in geometry.levels),
            self._bytes,
            seconds,
            planes * image.height * image.width,
        )


def _pixels(task: Write | Whole, geometry: Geometry) -> int:
    """Pixels of all channels that a task has stored, on all its levels."""
    if isinstance(task, Whole):
        rects = [task.band.at(step) for step in range(task.stage.last - task.stage.first + 1)]
        return sum(rect.height * rect.width for rect in rects) * geometry.frames.channels
    rect, tiles, tile = task.band.at(task.step), task.tiles, geometry.tile
    height = min(tiles.y1 * tile, rect.height) - tiles.y0 * tile
    width = min(tiles.x1 * tile, rect.width) - tiles.x0 * tile
    return height * width * geometry.frames.channels
