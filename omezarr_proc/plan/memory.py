"""From what the container has to a plan: workers, slots, bands and how the source is read.

A pure function, so a plan can be shown before any work.
The projected peak counts what the memory cgroup counts: every process's own pages, pages shared between nursery and workers once, the
slots, and what decoding and encoding take at their worst. `tests/app/test_memory.py` holds measured peaks against it. What is planned here
never shows in the output.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import LimitError
from omezarr_proc.model.image import Image, Layout, Rect
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import X, Y, Z, ceil_div
from omezarr_proc.model.shards import BAND_BYTES
from omezarr_proc.pixels.digests import digest_bytes
from omezarr_proc.plan.access import ACCESSES, choose
from omezarr_proc.plan.kept import CACHED_PAGES, COLOUR_PIXELS, OPEN_FILES, QUEUE_BYTES
from omezarr_proc.plan.passes import MAX_AMPLIFICATION, First, Pass, band_count, first_passes, next_pass, planes_of, slot_levels

MB = 1 << 20

# Measured on Linux with Python 3.11 to 3.13: private memory of the main process, of a nursery that was forked from it, and of an idle
# worker. A conversion imports no zarr, and the workers are gone while a preview is made.
MAIN_BYTES = 32 * MB
NURSERY_BYTES = 20 * MB
WORKER_BYTES = 13 * MB
# Kept free beside the projection: kernel memory, page tables, what the allocators do not give back.
RESERVE_BYTES = 24 * MB
# What a conversion takes before it has opened anything.
SMALLEST_BYTES = MAIN_BYTES + NURSERY_BYTES + WORKER_BYTES + RESERVE_BYTES

# Of an input in an object store: bytes that a worker holds ahead of its decoder, and what a client with its connections takes.
AHEAD_BYTES = 8 * MB
CLIENT_BYTES = 16 * MB
# Of an output there, in each process, beside what waits: the client, and what it sends.
STORE_BYTES = CLIENT_BYTES + QUEUE_BYTES

# A slot of a volume and what decodes into it take no more where the slot can be smaller: 200 MB in all for two workers.
MOST_SHARE_BYTES = 46 * MB
# Source pixels (of all channels) per load task: long beside a message, short beside a band.
LOAD_PIXELS = 4 << 20
# A band up to this size is one task; larger ones are shared between the workers.
UNDIVIDED_BAND_BYTES = 3 * MB // 2
# Metadata below this size are part of the reserve. Above it: a plane in the main process and in each worker, as pickled and not.
SMALL_METADATA_BYTES = MB
PLANE_BYTES = 300
# What is known of an object for a certificate: its size and its checksum.
OBJECT_BYTES = 8
# The next smaller plan takes at most so much of the memory of the one that has died.
STEP = 6 / 7


@dataclass(frozen=True)
class SlotSizes:
    """How large slots may be, in bytes.

    targets  sizes to try, the best first: long enough for each pass to halve several times, and short enough to stay cheap, since fresh
             memory costs more than decoding. The first takes two levels of a volume of uint16: 2 x 2 x 2 chunks of 16 x 256 x 256 and the
             one that they become, with what chunks of shards have beside them. 0 stands for the smallest that there can be
    most     where slots must be larger, since bands hold several planes that are decoded whole, the spool file is taken first
    """

    targets: tuple[int, ...] = (BAND_BYTES + 4096, 16 * MB, 8 * MB, 4 * MB, 2 * MB, MB, 0)
    most: int = 16 * MB


SLOT_SIZES = SlotSizes()


@dataclass(frozen=True)
class Plan:
    """How one image is converted.

    access           for each layout of the image: "rows", "segment", "stream" or "spool" (see `access`)
    undivided        whether each band is one task
    amplification    segments decoded, over segments there are
    projected_bytes  peak memory of all processes together
    spool_bytes      disk space for decoded planes, beside the dataset
    """

    workers: int
    slots: int
    slot_bytes: int
    passes: tuple[Pass, ...]
    access: tuple[str, ...]
    undivided: bool
    amplification: float
    projected_bytes: int
    spool_bytes: int


def make_plan(
    image: Image,
    pyramid: Pyramid,
    limits: Limits,
    smaller: int = 0,
    *,
    keeps_pixels: bool = False,
    certified: bool = False,
    sizes: SlotSizes = SLOT_SIZES,
    choose: Callable[[Layout, bool], str] = choose,
) -> Plan:
    """The plan with the most workers, then the largest bands, that fits into what is left of the limit.

    smaller       steps down from there, each by a seventh of the memory at least, for a run whose plans have died; the smallest plan ends
                  them
    keeps_pixels  whether the method keeps all pixels of boxes that straddle segments (see `Reduction`)
    certified     whether digests of all pixels are kept for a certificate
    choose        the access to a layout, and the one that it has where there is to be a spool file

    Raises LimitError with the memory that would be enough.
    """
    budget = limits.headroom_bytes - RESERVE_BYTES
    chosen: Plan | None = None
    least = 0
    kept = _certificate_bytes(image, pyramid) if certified else 0
    for plan in _plans(image, pyramid, max(1, math.ceil(limits.cpus)), keeps_pixels, kept, sizes, choose):
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
        f"needs a memory limit of {ceil_div(needed, MB)} MB at least, there are {limits.memory_bytes // MB} MB"
        f" ({limits.memory_source}), of which {limits.headroom_bytes // MB} MB can be used",
        source=image.source,
    )


def metadata_bytes(limits: Limits) -> int:
    """What the metadata of one input may take while it is opened: half of what the smallest processes leave.

    The other half is for the plan, which counts what is kept of them in each process.
    """
    return max(0, limits.headroom_bytes - SMALLEST_BYTES) // 2


def limit_for_metadata(limits: Limits, number: int) -> int:
    """The memory limit in bytes with which so many bytes of metadata may be taken, all else being as it is now."""
    return limits.memory_bytes - limits.headroom_bytes + SMALLEST_BYTES + 2 * number


def _plans(
    image: Image, pyramid: Pyramid, cpus: int, keeps_pixels: bool, kept: int, sizes: SlotSizes, choose: Callable[[Layout, bool], str]
) -> Iterator[Plan]:
    """All plans worth trying, the best first."""
    accesses = dict.fromkeys(tuple(choose(layout, spool) for layout in image.layouts) for spool in (False, True))
    deep = pyramid.levels[0].factor[Z] * pyramid.levels[0].chunk[Z] > 1
    if deep:
        accesses[tuple("rows" if layout.raw else "spool" for layout in image.layouts)] = None
    firsts = {access: first_passes(image, pyramid, access) for access in accesses}
    if deep:
        accesses = dict.fromkeys(sorted(accesses, key=lambda access: "spool" not in access and _smallest(firsts[access]) > sizes.most))
    staged: dict[tuple[tuple[str, ...], int], _Passes] = {}
    for workers in range(cpus, 0, -1):
        for access in accesses:
            for target in sizes.targets:
                if "spool" in access and target > sizes.most:  # deeper bands would take more disk space too
                    continue
                if (access, target) not in staged:
                    staged[access, target] = _passes(pyramid, firsts[access], target)
                first = staged[access, target].passes[0]
                reading = max(_read_bytes(layout, how, first) for layout, how in zip(image.layouts, access, strict=True))
                if deep and target and target + reading > MOST_SHARE_BYTES:
                    continue
                for spare in (1, 0):
                    yield _plan(image, pyramid, workers, access, staged[access, target], spare, keeps_pixels, kept)


@dataclass(frozen=True)
class _Passes:
    """The passes for one size of slots, the slot that the largest of them takes, and the first one's read amplification."""

    passes: tuple[Pass, ...]
    slot_bytes: int
    amplification: float


def _passes(pyramid: Pyramid, firsts: list[First], target: int) -> _Passes:
    """The passes with as many levels each, then bands as wide, as slots of `target` bytes take; the smallest where none is so small."""
    usable = _usable(firsts)
    fitting = (first for first in usable if first.slot_bytes <= target)
    first = next(fitting, None) or min(usable, key=lambda first: first.slot_bytes)
    passes, slot_bytes = [first.pass_], first.slot_bytes
    while passes[-1].last < len(pyramid.levels) - 1:
        passes.append(next_pass(pyramid, passes[-1].last, target))
        slot_bytes = max(slot_bytes, slot_levels(passes[-1], pyramid)[1])
    return _Passes(tuple(passes), slot_bytes, first.amplification)


def _usable(firsts: list[First]) -> list[First]:
    return [first for first in firsts if first.amplification <= MAX_AMPLIFICATION] or [min(firsts, key=lambda first: first.amplification)]


def _smallest(firsts: list[First]) -> int:
    return min(first.slot_bytes for first in _usable(firsts))


def _plan(
    image: Image, pyramid: Pyramid, workers: int, access: tuple[str, ...], passes: _Passes, spare: int, keeps_pixels: bool, kept: int
) -> Plan:
    first, slot_bytes = passes.passes[0], passes.slot_bytes
    bands = band_count(first, pyramid)
    undivided = slot_bytes <= UNDIVIDED_BAND_BYTES and bands >= 2 * workers and "stream" not in access
    distant = image.distant
    slots = min((2 * workers if undivided else workers) + spare, max(bands, 1))
    layouts = zip(image.layouts, access, strict=True)
    carried = _kept_bytes if keeps_pixels else _sums_bytes
    load = max(_read_bytes(layout, how, first) + carried(layout, how, first, image.ground) for layout, how in layouts)
    chunk = math.prod(pyramid.levels[0].chunk) * pyramid.itemsize
    main, own = _metadata(image, pyramid)
    waiting = min(QUEUE_BYTES, pyramid.pixels * pyramid.itemsize)
    fetched = CLIENT_BYTES + AHEAD_BYTES + max(layout.encoded_bytes for layout in image.layouts) if distant else 0
    per_worker = WORKER_BYTES + own + waiting + fetched + max(load, 3 * chunk)
    return Plan(
        workers,
        slots,
        slot_bytes,
        passes.passes,
        access,
        undivided,
        passes.amplification,
        MAIN_BYTES + (CLIENT_BYTES if distant else 0) + main + kept + NURSERY_BYTES + workers * per_worker + slots * slot_bytes,
        _spool_bytes(image, first) if "spool" in access else 0,
    )


def _certificate_bytes(image: Image, pyramid: Pyramid) -> int:
    """Memory of the digests of the source's pixels and of each level's, and of the objects' checksums, in the main process."""
    of_levels = sum(digest_bytes(level.shape) + OBJECT_BYTES * level.objects.size for level in pyramid.levels)
    return digest_bytes(image.source_shape) + of_levels


def _metadata(image: Image, pyramid: Pyramid) -> tuple[int, int]:
    """Memory of the image's metadata, with the grid of finished chunks in the main process, and in each worker."""
    planes = PLANE_BYTES * len(image.planes)
    finished = sum(pyramid.frames(level.index) * level.grid.shape[Y] * level.grid.shape[X] for level in pyramid.levels)
    main = planes + finished + 2 * sys.getsizeof(image.ome_xml or "") + len(image.profile or b"")
    tags = max(layout.tags_bytes for layout in image.layouts)
    worker = planes + tags * min(len(image.files), OPEN_FILES) + tags * min(len(image.planes), CACHED_PAGES) // 5
    return max(0, main - SMALL_METADATA_BYTES), max(0, worker - SMALL_METADATA_BYTES)


def _read_bytes(layout: Layout, access: str, pass_: Pass) -> int:
    """Memory that reading takes in one worker, beside the slot and what is carried of boxes."""
    decoder = "segment" if access == "spool" and not layout.spool else access
    # Colours are converted so many pixels at a time: as decoded, side by side, and in sRGB.
    colours = 3 * COLOUR_PIXELS * 4 * np.dtype(layout.dtype).itemsize if layout.profile else 0
    return ACCESSES[decoder].load_bytes(layout) + colours


def _straddles(layout: Layout, ground: Rect | None, d: int) -> bool:
    """Whether segments end within boxes of d x d pixels."""
    sides = (layout.segment_height, layout.segment_width, *((ground.y0, ground.x0) if ground else ()))
    return any(side % d for side in sides)


def _sums_bytes(layout: Layout, access: str, pass_: Pass, ground: Rect | None) -> int:
    """Partial sums of boxes: 8 bytes a pixel, and for floats 4 for the count."""
    d, nbytes = pass_.ratio[Y], 0
    across = min(pass_.band[X] * d, layout.width)
    if _straddles(layout, ground, d):  # over the open box rows of the widest task
        nbytes += ACCESSES[access].open_rows(layout, d) * across * layout.samples * 12 * 2
    if pass_.ratio[Z] > 1:  # over the boxes of a load
        pixels = min(LOAD_PIXELS, min(pass_.band[Y] * d, layout.height) * across)
        nbytes += ceil_div(pixels, d * d) * layout.samples * 12 * 2
    return nbytes


def _kept_bytes(layout: Layout, access: str, pass_: Pass, ground: Rect | None) -> int:
    """Pixels of boxes that are kept: of several planes those of a load, else of the open box rows of the widest task."""
    d, pixel = pass_.ratio[Y], layout.samples * np.dtype(layout.dtype).itemsize
    across, high = min(pass_.band[X] * d, layout.width), min(pass_.band[Y] * d, layout.height)
    if pass_.ratio[Z] > 1:
        rows, columns = (n * d for n in ACCESSES[access].cut_lines(layout, d))
        least = min(rows or high, high) * min(columns or across, across)  # a load cuts no segment
        return pass_.ratio[Z] * max(least, min(LOAD_PIXELS // pass_.ratio[Z], high * across)) * pixel
    if access == "segment" and not _straddles(layout, ground, d):
        return 0
    return min(ACCESSES[access].open_rows(layout, d) * d, high) * across * pixel


def _spool_bytes(image: Image, pass_: Pass) -> int:
    """Disk space for the decoded planes of a band's ground, each pixel as the reader yields it."""
    planes = min(planes_of(pass_), image.size_z) * pass_.band[1] // image.layouts[0].samples
    return planes * max(layout.height * layout.width * layout.samples * np.dtype(layout.dtype).itemsize for layout in image.layouts)
