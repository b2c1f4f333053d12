"""The display window of each channel, counted over the finished chunks, so it is a function of the stored pixels only."""

from collections.abc import Mapping
from itertools import chain, groupby

from omezarr_proc.engine.base import Engine
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Z
from omezarr_proc.ngff import attributes as ngff
from omezarr_proc.ngff import windows
from omezarr_proc.ngff.windows import Window
from omezarr_proc.pixels import histogram
from omezarr_proc.pixels.histogram import Counts, Extremes, Place
from omezarr_proc.work.tasks import Count, Counted, Loose, Reply


def display_windows(engine: Engine, image: Image, pyramid: Pyramid, extremes: Mapping[int, Extremes | None]) -> tuple[Window, ...]:
    """One window per channel; `extremes`: the finite extremes of each channel's level 0. Raises OutputError for a damaged chunk."""
    if fixed := ngff.fixed_windows(image):
        return fixed
    counts = _count(engine, pyramid, None)
    places = {c: histogram.locate(counted) for c, counted in counts.items()}
    within = _count(engine, pyramid, places) if histogram.needs_second_count(pyramid.dtype) else {}
    return tuple(windows.window(extremes[c], histogram.percentiles(pyramid.dtype, places[c], within.get(c))) for c in range(image.size_c))


def _count(engine: Engine, pyramid: Pyramid, places: Mapping[int, tuple[Place, ...]] | None) -> dict[int, Counts]:
    level = pyramid.levels[windows.window_level(pyramid.levels)]
    size_t, size_c, size_z, height, width = level.shape
    planes = windows.sampled_planes(size_t, size_z, height, width)
    totals: dict[int, Counts] = {}

    def add(task: Loose, reply: Reply) -> None:
        assert isinstance(task, Count) and isinstance(reply, Counted)
        c = task.channel
        totals[c] = totals[c] + reply.counts if c in totals else reply.counts

    depth = level.chunk[Z]
    together = [tuple(group) for _, group in groupby(planes, lambda plane: (plane[0], plane[1] // depth))]  # each chunk is decoded once
    # a histogram is large beside its task
    shares = [tuple(chain.from_iterable(together[i :: engine.workers])) for i in range(engine.workers)]
    tasks = (Count(level.index, c, share, None if places is None else places[c]) for c in range(size_c) for share in shares if share)
    engine.work(tasks, add)
    return totals
