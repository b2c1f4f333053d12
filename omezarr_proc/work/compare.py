"""Source against store: a band is made of the TIFF as a conversion makes it, and held against the pixels that a dataset has there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.check.levels import Difference, Level, merged
from omezarr_proc.model.region import Region, X, Y, Z
from omezarr_proc.pixels import histogram
from omezarr_proc.plan.passes import Pass, slot_levels
from omezarr_proc.work.load import Loader
from omezarr_proc.work.tasks import Compared, Job


class Comparer:
    """Compares bands of one image with the base level of the dataset that its job names."""

    def __init__(self, job: Job, loader: Loader) -> None:
        """Open the level. Raises whatever zarr says to codecs that it does not know."""
        assert job.against is not None  # whoever sends such a task has named it
        self._pyramid, self._loader = job.store.pyramid, loader
        self._level = Level(job.against, job.against.arrays[0])
        self._slot: NDArray[Any] = np.empty(0, self._pyramid.dtype)

    def compare(self, pass_: Pass, bands: tuple[Region, ...]) -> Compared:
        """Make the bands and tell what differs, with the finite extremes of each channel as the source has them."""
        found: list[Difference | None] = []
        extremes: dict[int, histogram.Extremes | None] = {}
        for band in bands:
            slot = self._made(pass_, band)
            origin = band.divided(self._chunk)
            for place in origin.indices():
                region = Region(place, tuple(i + 1 for i in place)).scaled(self._chunk).clipped(self._pyramid.levels[0].shape)  # type: ignore[arg-type]
                z, y, x = (place[axis] - origin.start[axis] for axis in (Z, Y, X))
                channels = range(region.start[1] - band.start[1], region.stop[1] - band.start[1])
                _, _, depth, height, width = region.shape
                pixels = slot[z, y, x, channels.start : channels.stop, :depth, :height, :width]
                found.append(self._level.compared(region, pixels[np.newaxis]))
                for channel, of_channel in enumerate(pixels, region.start[1]):
                    extremes[channel] = histogram.merge_extremes(extremes.get(channel), histogram.extremes(of_channel))
        return Compared(merged(found), extremes)

    @property
    def _chunk(self) -> tuple[int, int, int, int, int]:
        return self._pyramid.levels[0].chunk

    def _made(self, pass_: Pass, band: Region) -> NDArray[Any]:
        """The band as `[z, y, x, channels, depth, tile, tile]`, in memory that is used again."""
        (part,), _ = slot_levels(pass_, self._pyramid)
        if self._slot.shape != part.shape:
            self._slot = np.empty(part.shape, self._pyramid.dtype)
        self._loader.load(pass_, band, band, self._slot)
        return self._slot
