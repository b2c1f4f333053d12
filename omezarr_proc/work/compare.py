"""Source against store: a band is made of the TIFF as a conversion makes it, and held against the pixels that a dataset has there."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.check.levels import Difference, Level, merged
from omezarr_proc.model.region import Region, X, Y, Z
from omezarr_proc.pixels import histogram
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.plan.passes import Pass, at, slot_levels
from omezarr_proc.store.chunks import stacked
from omezarr_proc.work.fold import fold
from omezarr_proc.work.load import Loader
from omezarr_proc.work.replies import Compared
from omezarr_proc.work.tasks import Job


class Comparer:
    """Compares bands of one image with the base level of the dataset that its job names, and with the next one where a pass has it."""

    def __init__(self, job: Job, loader: Loader) -> None:
        """Open the base level. Raises whatever zarr says to codecs that it does not know."""
        assert job.against is not None  # whoever sends such a task has named it
        self._pyramid, self._loader, self._reduction = job.store.pyramid, loader, REDUCTIONS[job.method]
        self._dataset, self._levels = job.against, [Level(job.against, job.against.arrays[0])]
        self._slots: list[NDArray[Any]] = []

    def compare(self, pass_: Pass, bands: tuple[Region, ...]) -> Compared:
        """Make the bands and tell what differs on each level, with the finite extremes of each channel as the source has them."""
        if len(self._levels) <= pass_.last:
            self._levels.append(Level(self._dataset, self._dataset.arrays[1]))
        found: list[list[Difference | None]] = [[] for _ in pass_.steps]
        extremes: dict[int, histogram.Extremes | None] = {}
        for band in bands:
            slots = self._made(pass_, band)
            for region, pixels in self._chunks(0, band, slots[0]):
                found[0].append(self._levels[0].compared(region, pixels[np.newaxis]))
                for channel, of_channel in enumerate(pixels, region.start[1]):
                    extremes[channel] = histogram.merge_extremes(extremes.get(channel), histogram.extremes(of_channel))
            if pass_.last:
                self._fold(band, *slots)
                for region, pixels in self._chunks(1, at(self._pyramid, pass_, band, 1), slots[1]):
                    found[1].append(self._levels[1].compared(region, pixels[np.newaxis]))
        return Compared(tuple(map(merged, found)), extremes)

    def _chunks(self, level: int, ground: Region, slot: NDArray[Any]) -> Iterator[tuple[Region, NDArray[Any]]]:
        """The chunks of a ground of a level: where each is in the level, and its `pixels[channels, depth, h, w]` inside it."""
        chunk, shape = self._pyramid.levels[level].chunk, self._pyramid.levels[level].shape
        origin = ground.divided(chunk)
        for place in origin.indices():
            t, c, z, y, x = place
            region = Region(place, (t + 1, c + 1, z + 1, y + 1, x + 1)).scaled(chunk).clipped(shape)
            z, y, x = (place[axis] - origin.start[axis] for axis in (Z, Y, X))
            channels = slice(region.start[1] - ground.start[1], region.stop[1] - ground.start[1])
            _, _, depth, height, width = region.shape
            yield region, slot[z, y, x, channels, :depth, :height, :width]

    def _fold(self, band: Region, slot: NDArray[Any], above: NDArray[Any]) -> None:
        """Make the next level's part of a band out of that of the base level."""
        level, deep = self._pyramid.levels[0], self._pyramid.deep(0, 1)
        _, _, depth, high, wide = level.chunk
        ground = band.clipped(level.shape).shape
        for z, y, x in product(range(0, slot.shape[0], deep), *map(range, slot.shape[1:3])):
            begin = z * depth, y * high, x * wide
            planes, height, width = (size - at for size, at in zip(ground[Z:], begin, strict=True))
            if min(planes, height, width) > 0:  # the slot is as large as the largest band
                valid = stacked(slot[z : z + deep, y, x])[:, :planes, :height, :width]
                fold(valid, begin, self._pyramid.ratio(0, 1), above, self._reduction)

    def _made(self, pass_: Pass, band: Region) -> list[NDArray[Any]]:
        """What each level of the pass has of the band, `[z, y, x, channels, depth, tile, tile]`, in memory that is used again.

        Only that of the base level is filled.
        """
        shapes = [part.shape for part in slot_levels(pass_, self._pyramid)[0]]
        if [slot.shape for slot in self._slots] != shapes:
            self._slots = [np.empty(shape, self._pyramid.dtype) for shape in shapes]
        self._loader.load(pass_, band, band, self._slots[0])
        return self._slots
