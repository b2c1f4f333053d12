"""The display window of each channel, counted by the workers over the finished chunks, so it is a function of the stored pixels only."""

from collections.abc import Mapping, Sequence

from omezarr_proc.engine.local.pipeline import run_tasks
from omezarr_proc.work.tasks import Count, Counted, Reply, Task
from omezarr_proc.engine.local.pool import Pool
from omezarr_proc.model.image import Image
from omezarr_proc.ngff import attributes as ngff
from omezarr_proc.pixels import histogram
from omezarr_proc.ngff import windows
from omezarr_proc.ngff.windows import Window
from omezarr_proc.pixels.histogram import Counts, Extremes, Place
from omezarr_proc.model.pyramid import Frames, Level


def display_windows(
    pool: Pool, image: Image, levels: Sequence[Level], frames: Frames, extremes: Mapping[int, Extremes | None]
) -> tuple[Window, ...]:
    """One window per channel; `extremes`: the finite extremes of each channel's level 0. Raises OutputError for a damaged chunk."""
    if fixed := ngff.fixed_windows(image):
        return fixed
    dtype = image.stored_dtype
    counts = _count(pool, levels, frames, None)
    places = {c: histogram.locate(counted) for c, counted in counts.items()}
    within = _count(pool, levels, frames, places) if histogram.needs_second_count(dtype) else {}
    return tuple(windows.window(extremes[c], histogram.percentiles(dtype, places[c], within.get(c))) for c in range(frames.size_c))


def _count(pool: Pool, levels: Sequence[Level], frames: Frames, places: Mapping[int, tuple[Place, ...]] | None) -> dict[int, Counts]:
    index = windows.window_level(levels)
    planes = windows.sampled_planes(frames.size_t, frames.size_z, levels[index].height, levels[index].width)
    totals: dict[int, Counts] = {}

    def add(task: Task, reply: Reply) -> None:
        assert isinstance(task, Count) and isinstance(reply, Counted)
        c = frames.position(task.frames[0])[1] + task.channel
        totals[c] = totals[c] + reply.counts if c in totals else reply.counts

    def tasks(c: int) -> list[Count]:
        group, channel = divmod(c, frames.channels)
        all_frames = tuple((t * frames.size_z + z) * frames.groups + group for t, z in planes)
        shares = [all_frames[i :: len(pool.workers)] for i in range(len(pool.workers))]  # a histogram is large beside its task
        return [Count(index, share, channel, None if places is None else places[c]) for share in shares if share]

    run_tasks(pool, [task for c in range(frames.size_c) for task in tasks(c)], add)
    return totals
