"""The display window of each channel, counted over the finished chunks, so it is a function of the stored pixels only.

Of small images the pixels are counted when they are written, before they are encoded: chunks are encoded without loss.
"""

from collections.abc import Mapping, Sequence
from itertools import chain, groupby

from omezarr_proc.engine.base import Engine
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Z
from omezarr_proc.ngff import attributes as ngff
from omezarr_proc.ngff import windows
from omezarr_proc.ngff.windows import Window
from omezarr_proc.pixels import histogram
from omezarr_proc.pixels.histogram import Extremes, Packed, Place
from omezarr_proc.work.replies import Counted, Reply
from omezarr_proc.work.tasks import Count, Loose

# Pixels of a level that is counted when it is written by workers: its histograms are no larger than what else is said of it.
_AT_ONCE_PIXELS = 1 << 20


def level_counted_at_once(image: Image, pyramid: Pyramid, *, travels: bool) -> int | None:
    """The level whose pixels are counted when they are written, None where not all are to be counted, or twice.

    travels  whether what is counted travels from one process to another, for which it must not be large
    """
    if ngff.fixed_windows(image) or histogram.needs_second_count(pyramid.dtype):
        return None
    level = pyramid.levels[windows.window_level(pyramid.levels)]
    size_t, _, size_z, height, width = level.shape
    of_all = len(windows.sampled_planes(size_t, size_z, height, width)) == size_t * size_z
    return level.index if of_all and (level.region.size <= _AT_ONCE_PIXELS or not travels) else None


def display_windows(
    engine: Engine,
    image: Image,
    pyramid: Pyramid,
    extremes: Mapping[int, Extremes | None],
    counted: Mapping[int, Packed] | None = None,
) -> tuple[Window, ...]:
    """The window of each channel. Raises OutputError for a damaged chunk.

    extremes  the finite extremes of each channel's level 0
    counted   of channels the histogram of what was counted of `level_counted_at_once`, which is not all where others have made some of it
    """
    if fixed := ngff.fixed_windows(image):
        return fixed
    owners = ngff.window_owners(image)
    counts = _known(image, pyramid, owners, counted or {}) or _count(engine, pyramid, owners, None)
    places = {c: histogram.locate(found) for c, found in counts.items()}
    within = _count(engine, pyramid, owners, places) if histogram.needs_second_count(pyramid.dtype) else {}
    total: dict[int, Extremes | None] = {}
    for c, owner in enumerate(owners):
        total[owner] = histogram.merge_extremes(total.get(owner), extremes[c])
    second = {c: found.whole() for c, found in within.items()}
    return tuple(windows.window(total[c], histogram.percentiles(pyramid.dtype, places[c], second.get(c))) for c in owners)


def _known(image: Image, pyramid: Pyramid, owners: Sequence[int], counted: Mapping[int, Packed]) -> dict[int, Packed]:
    """The histogram of each window where all its pixels are counted already; else nothing."""
    index = level_counted_at_once(image, pyramid, travels=False)
    if index is None:
        return {}
    level = pyramid.levels[index].region
    pixels = level.size // level.shape[1]
    if any(c not in counted or counted[c].counts.sum() != pixels for c in range(len(owners))):
        return {}
    totals: dict[int, Packed] = {}
    for c, owner in enumerate(owners):
        totals[owner] = totals[owner] + counted[c] if owner in totals else counted[c]
    return totals


def _count(engine: Engine, pyramid: Pyramid, owners: Sequence[int], places: Mapping[int, tuple[Place, ...]] | None) -> dict[int, Packed]:
    """The histogram of each window, of all channels that `owners` gives it."""
    level = pyramid.levels[windows.window_level(pyramid.levels)]
    size_t, size_c, size_z, height, width = level.shape
    planes = windows.sampled_planes(size_t, size_z, height, width)
    totals: dict[int, Packed] = {}

    def add(task: Loose, reply: Reply) -> None:
        assert isinstance(task, Count) and isinstance(reply, Counted)
        c = owners[task.channel]
        totals[c] = totals[c] + reply.counts if c in totals else reply.counts

    depth = level.chunk[Z]
    together = [tuple(group) for _, group in groupby(planes, lambda plane: (plane[0], plane[1] // depth))]  # each chunk is decoded once
    # a histogram is large beside its task
    shares = [tuple(chain.from_iterable(together[i :: engine.workers])) for i in range(engine.workers)]
    whose = [None if places is None else places[owner] for owner in owners]
    tasks = (Count(level.index, c, share, whose[c]) for c in range(size_c) for share in shares if share)
    engine.work(tasks, add)
    return totals
