"""From what the container has to a plan: workers, slots, bands and how the source is read.

A pure function, so a plan can be shown before any work.
The projected peak counts what the memory cgroup counts: every process's own pages, pages shared between nursery and workers once, the
slots, and what decoding and encoding take at their worst. `tests/test_memory.py` holds measured peaks against it. What is planned here
never shows in the output.
"""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from omezarr_proc.errors import LimitError
from omezarr_proc.image import Image, Layout
from omezarr_proc.plan.limits import Limits
from omezarr_proc.plan.pyramid import Frames, Level, Pass, band_count, ceil_div, chunk_count, slot_levels

MB = 1 << 20

# Measured on Linux with Python 3.11 to 3.13: private memory of the main process, of a nursery that was forked from it, and of an idle
# worker. A conversion imports no zarr, and the workers are gone while a preview is made.
MAIN_BYTES = 32 * MB
NURSERY_BYTES = 20 * MB
WORKER_BYTES = 13 * MB
# Kept free beside the projection: kernel memory, page tables, what the allocators do not give back.
RESERVE_BYTES = 24 * MB

# Slots of this size are long enough for each pass to halve several times, and short enough to stay cheap: fresh memory costs more than
# decoding.
SLOT_TARGETS = (16 * MB, 8 * MB, 4 * MB, 2 * MB, MB, 0)
# A segment above this size is decoded as a stream where its codec can do that.
STREAM_ABOVE = 8 * MB
# A band up to this size is one task; larger ones are shared between the workers.
WHOLE_BAND_BYTES = 3 * MB // 2
# Most of the source that may be decoded twice because segments straddle bands.
MAX_AMPLIFICATION = 1.1
# Metadata below this size are part of the reserve. Above it: a plane in the main process and in each worker, as pickled and not.
SMALL_METADATA_BYTES = MB
PLANE_BYTES = 300
# Files that a worker keeps open, and pages of which it keeps the places of segments (as an array: a fifth of what the tags take).
OPEN_FILES = 8
CACHED_PAGES = 16
# The next smaller plan takes at most so much of the memory of the one that has died.
STEP = 6 / 7


@dataclass(frozen=True)
class Geometry:
    """What sizing needs to know of an image and the settings.

    itemsize  bytes of a stored pixel
    bundled   whether a chunk holds all channels of its frame
    """

    image: Image
    levels: tuple[Level, ...]
    frames: Frames
    tile: int
    itemsize: int
    bundled: bool


@dataclass(frozen=True)
class Plan:
    """How one image is converted.

    access           for each layout of the image: "rows", "segment", "stream" or "spool" (see `reader`)
    whole            whether each band is one task
    amplification    segments decoded, over segments there are
    projected_bytes  peak memory of all processes together
    spool_bytes      disk space for decoded planes, beside the dataset
    """

    workers: int
    slots: int
    slot_bytes: int
    passes: tuple[Pass, ...]
    access: tuple[str, ...]
    whole: bool
    amplification: float
    projected_bytes: int
    spool_bytes: int


def make_plan(geometry: Geometry, limits: Limits, smaller: int = 0) -> Plan:
    """The plan with the most workers, then the largest bands, that fits into what is left of the limit.

    smaller  steps down from there, each by a seventh of the memory at least, for a run whose plans have died; the smallest plan ends them

    Raises LimitError with the memory that would be enough.
    """
    budget = limits.headroom_bytes - RESERVE_BYTES
    chosen: Plan | None = None
    least = 0
    for plan in _plans(geometry, max(1, math.ceil(limits.cpus))):
        least = min(least or plan.projected_bytes, plan.projected_bytes)
        if plan.projected_bytes <= (budget if chosen is None else chosen.projected_bytes * STEP):
            smaller -= chosen is not None
            chosen = plan
            if smaller <= 0:
                return chosen
    if chosen:
        return chosen
    needed = least + RESERVE_BYTES + limits.memory_bytes - limits.headroom_bytes
    raise LimitError(
        f"{geometry.image.source}: needs a memory limit of {ceil_div(needed, MB)} MB at least, there are {limits.memory_bytes // MB} MB"
        f" ({limits.memory_source}), of which {limits.headroom_bytes // MB} MB can be used"
    )


def metadata_bytes(limits: Limits) -> int:
    """What the metadata of one input may take while it is opened: half of what the smallest processes leave.

    The other half is for the plan, which counts what is kept of them in each process.
    """
    return max(0, limits.headroom_bytes - RESERVE_BYTES - MAIN_BYTES - NURSERY_BYTES - WORKER_BYTES) // 2


def cut_lines(geometry: Geometry, plan: Plan, stage: Pass) -> tuple[int, int]:
    """Where a band may be cut into loads so that nothing is decoded twice: each so many rows and columns of its level; 0: nowhere."""
    layout, access, d = geometry.image.layouts[0], plan.access[0], stage.factor
    if stage.source is not None:
        return geometry.tile // d, geometry.tile // d
    if access == "stream":
        return 0, 0
    if access in ("rows", "spool"):
        return 16, 0
    columns = math.lcm(layout.segment_width, d) // d if layout.tiled else 0
    return math.lcm(layout.segment_height, d) // d, columns


def _plans(geometry: Geometry, cpus: int) -> Iterator[Plan]:
    """All plans worth trying, the best first."""
    accesses = tuple(dict.fromkeys((_access(geometry, spool=False), _access(geometry, spool=True))))
    firsts = {access: _first_passes(geometry, access) for access in accesses}
    staged: dict[tuple[tuple[str, ...], int], _Stages] = {}
    for workers in range(cpus, 0, -1):
        for access in accesses:
            for target in SLOT_TARGETS:
                if (access, target) not in staged:
                    staged[access, target] = _stages(geometry, firsts[access], target)
                for spare in (1, 0):
                    yield _plan(geometry, workers, access, staged[access, target], spare)


def _access(geometry: Geometry, *, spool: bool) -> tuple[str, ...]:
    def one(layout: Layout) -> str:
        if layout.raw:
            return "rows"
        large = layout.segment_bytes > STREAM_ABOVE
        if large and layout.stream and layout.segment_width == layout.width:
            return "stream"
        return "spool" if large and spool and layout.spool and layout.segment_width == layout.width else "segment"

    return tuple(one(layout) for layout in geometry.image.layouts)


@dataclass(frozen=True)
class _First:
    """A pass over the TIFF, its slot and its read amplification."""

    stage: Pass
    slot_bytes: int
    amplification: float


@dataclass(frozen=True)
class _Stages:
    """The passes for one size of slots, the slot that the largest of them takes, and the first one's read amplification."""

    passes: tuple[Pass, ...]
    slot_bytes: int
    amplification: float


def _stages(g: Geometry, firsts: list[_First], target: int) -> _Stages:
    """The passes with as many levels each, then bands as wide, as slots of `target` bytes take; the smallest where none is so small."""
    usable = [first for first in firsts if first.amplification <= MAX_AMPLIFICATION] or [min(firsts, key=lambda first: first.amplification)]
    fitting = (first for first in usable if first.slot_bytes <= target)
    first = next(fitting, None) or min(usable, key=lambda first: first.slot_bytes)
    passes, slot_bytes = [first.stage], first.slot_bytes
    while passes[-1].last < len(g.levels) - 1:
        passes.append(_next_pass(g, passes[-1].last, target))
        slot_bytes = max(slot_bytes, _slot_bytes(g, passes[-1]))
    return _Stages(tuple(passes), slot_bytes, first.amplification)


def _plan(g: Geometry, workers: int, access: tuple[str, ...], stages: _Stages, spare: int) -> Plan:
    first, slot_bytes = stages.passes[0], stages.slot_bytes
    bands = band_count(first, g.levels[0], g.frames.count)
    whole = slot_bytes <= WHOLE_BAND_BYTES and bands >= 2 * workers and "stream" not in access
    slots = min((2 * workers if whole else workers) + spare, max(bands, 1))
    layouts = zip(g.image.layouts, access, strict=True)
    load = max(_load_bytes(layout, how, first, g) for layout, how in layouts)
    chunk = g.tile**2 * g.itemsize * (g.frames.channels if g.bundled else 1)
    main, own = _metadata(g)
    per_worker = WORKER_BYTES + own + max(load, 3 * chunk)
    return Plan(
        workers,
        slots,
        slot_bytes,
        stages.passes,
        access,
        whole,
        stages.amplification,
        MAIN_BYTES + main + NURSERY_BYTES + workers * per_worker + slots * slot_bytes,
        _spool_bytes(g) if "spool" in access else 0,
    )


def _metadata(g: Geometry) -> tuple[int, int]:
    """Memory of the image's metadata, with the grid of finished chunks in the main process, and in each worker."""
    image = g.image
    planes = PLANE_BYTES * len(image.planes)
    chunks = sum(chunk_count(level, g.frames, g.tile, True) for level in g.levels) * g.frames.groups
    main = planes + chunks + 2 * sys.getsizeof(image.ome_xml or "")
    tags = max(layout.tags_bytes for layout in image.layouts)
    worker = planes + tags * min(len(image.files), OPEN_FILES) + tags * min(len(image.planes), CACHED_PAGES) // 5
    return max(0, main - SMALL_METADATA_BYTES), max(0, worker - SMALL_METADATA_BYTES)


def _load_bytes(layout: Layout, access: str, stage: Pass, g: Geometry) -> int:
    """Memory that reading takes in one worker, beside the slot."""
    piece = 4 * MB
    if access == "segment":
        piece += int(layout.segment_bytes * layout.decode_factor) + layout.encoded_bytes
    d = stage.factor
    if layout.segment_height % d or layout.segment_width % d:
        # Partial sums: 8 bytes a pixel, and for floats 4 for the count, over the open box rows of the widest task.
        rows = 2 if access in ("rows", "stream", "spool") else layout.segment_height // d + 2
        piece += rows * min(stage.band_width * d, layout.width) * layout.samples * 12 * 2
    return piece


def _spool_bytes(g: Geometry) -> int:
    per_frame = g.frames.channels // g.image.layouts[0].samples
    return per_frame * max(layout.height * layout.width * layout.samples for layout in g.image.layouts) * max(8, g.itemsize)


def _first_passes(g: Geometry, access: tuple[str, ...]) -> list[_First]:
    """All passes over the TIFF worth trying, the best first: most levels, then widest bands."""
    factor = g.levels[0].factor // g.image.reduced_by
    found = []
    for last in range(len(g.levels) - 1, -1, -1):
        for width in _widths(g.levels[0].width, g.tile << last):
            stage = Pass(None, factor, 0, last, g.tile << last, width)
            found.append(_First(stage, _slot_bytes(g, stage), _amplification(g, stage, access)))
    return found


def _next_pass(g: Geometry, source: int, target: int) -> Pass:
    """The pass after level `source` with as many levels, then bands as wide, as a slot of `target` bytes takes."""

    def stage(last: int, width: int) -> Pass:
        return Pass(source, 2, source + 1, last, g.tile << (last - source - 1), width)

    best = stage(source + 1, g.tile)
    for last in range(source + 2, len(g.levels)):  # the slot grows with each level
        narrow = stage(last, g.tile << (last - source - 1))
        if _slot_bytes(g, narrow) > target:
            break
        best = narrow
    wider = (stage(best.last, width) for width in _widths(g.levels[best.first].width, best.band_width))
    return next((one for one in wider if _slot_bytes(g, one) <= target), best)


def _slot_bytes(g: Geometry, stage: Pass) -> int:
    return slot_levels(stage, g.levels, g.tile, g.frames.channels, g.itemsize)[1]


def _widths(width: int, unit: int) -> Iterator[int]:
    """Band widths to try: the whole plane, then halves of it down to `unit`."""
    units = ceil_div(width, unit)
    while True:
        yield units * unit
        if units == 1:
            return
        units = ceil_div(units, 2)


def _amplification(g: Geometry, stage: Pass, access: tuple[str, ...]) -> float:
    worst = 1.0
    for layout, how in zip(g.image.layouts, access, strict=True):
        if how in ("rows", "spool"):
            continue
        across = _decoded(layout.width, layout.segment_width, stage.band_width * stage.factor)
        down = 1.0 if how == "stream" else _decoded(layout.height, layout.segment_height, stage.band_height * stage.factor)
        worst = max(worst, across * down)
    return worst


def _decoded(length: int, segment: int, band: int) -> float:
    """How often a segment is decoded on average when bands of `band` pixels cut an axis of `length` pixels.

    Each cut that is no multiple of `segment` lies inside a segment, which is decoded once more.
    """
    cuts = ceil_div(length, band) - 1
    segments = ceil_div(length, segment)
    return (segments + cuts - cuts // (segment // math.gcd(segment, band))) / segments
