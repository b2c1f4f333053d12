"""What a conversion takes of memory and of disk space at its peak. Pure, so that a plan is known to fit before any work.

The peak counts what the memory cgroup counts: every process's own pages, pages shared between nursery and workers once, the
slots, and what decoding and encoding take at their worst. `tests/app/test_memory.py` holds measured peaks against it.
"""

import math
import sys

import numpy as np

from omezarr_proc.host.limits import Limits
from omezarr_proc.model.image import Image, Layout, Rect
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import X, Y, Z, ceil_div
from omezarr_proc.pixels.digests import digest_bytes
from omezarr_proc.plan.access import ACCESSES
from omezarr_proc.plan.kept import CACHED_PAGES, COLOUR_PIXELS, OPEN_FILES, QUEUE_BYTES
from omezarr_proc.plan.passes import Pass, planes_of

MB = 1 << 20

# Measured on Linux with Python 3.11 to 3.13: private memory of the main process, of a nursery that was forked from it, with those of its
# pages that the first worker takes copies of, and of an idle worker. A conversion imports no zarr, and the workers are gone while a
# preview is made.
MAIN_BYTES = 32 * MB
NURSERY_BYTES = 23 * MB
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

# Source pixels (of all channels) per load task: long beside a message, short beside a band.
LOAD_PIXELS = 4 << 20
# Metadata below this size are part of the reserve. Above it: a plane in the main process and in each worker, as pickled and not.
SMALL_METADATA_BYTES = MB
PLANE_BYTES = 300
# What is known of an object for a certificate: its size and its checksum.
OBJECT_BYTES = 8


def metadata_bytes(limits: Limits) -> int:
    """What the metadata of one input may take while it is opened: half of what the smallest processes leave.

    The other half is for the plan, which counts what is kept of them in each process.
    """
    return max(0, limits.headroom_bytes - SMALLEST_BYTES) // 2


def limit_for_metadata(limits: Limits, number: int) -> int:
    """The memory limit in bytes with which so many bytes of metadata may be taken, all else being as it is now."""
    return limits.memory_bytes - limits.headroom_bytes + SMALLEST_BYTES + 2 * number


def peak_bytes(image: Image, pyramid: Pyramid, first: Pass, access: tuple[str, ...], *, workers: int, keeps_pixels: bool) -> int:
    """Peak memory of all processes together, beside the slots. `access`: to each layout; `keeps_pixels`: as `make_plan` has it."""
    carried = _kept_bytes if keeps_pixels else _sums_bytes
    layouts = zip(image.layouts, access, strict=True)
    load = max(reading_bytes(layout, how) + carried(layout, how, first, image.ground) for layout, how in layouts)
    chunk = math.prod(pyramid.levels[0].chunk) * pyramid.itemsize
    main, own = _metadata(image, pyramid)
    waiting = min(QUEUE_BYTES, pyramid.pixels * pyramid.itemsize)
    fetched = CLIENT_BYTES + AHEAD_BYTES + max(layout.encoded_bytes for layout in image.layouts) if image.distant else 0
    per_worker = WORKER_BYTES + own + waiting + fetched + max(load, 3 * chunk)
    return MAIN_BYTES + (CLIENT_BYTES if image.distant else 0) + main + NURSERY_BYTES + workers * per_worker


def certificate_bytes(image: Image, pyramid: Pyramid) -> int:
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


def reading_bytes(layout: Layout, access: str) -> int:
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


def spool_bytes(image: Image, pass_: Pass) -> int:
    """Disk space for the decoded planes of a band's ground, each pixel as the reader yields it."""
    planes = min(planes_of(pass_), image.size_z) * pass_.band[1] // image.layouts[0].samples
    return planes * max(layout.height * layout.width * layout.samples * np.dtype(layout.dtype).itemsize for layout in image.layouts)
