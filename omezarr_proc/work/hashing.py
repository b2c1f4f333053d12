"""source -> digests: a band of full resolution is read as a conversion reads it, and the digest of each of its blocks is taken."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.region import Region, X, Y, Z
from omezarr_proc.pixels.digests import Digest, digests_of
from omezarr_proc.plan.passes import Pass, slot_levels
from omezarr_proc.work.load import Loader
from omezarr_proc.work.replies import Hashed
from omezarr_proc.work.tasks import Job


class Hasher:
    """Hashes bands of one image, of a pyramid whose chunks are one plane of one channel, and blocks (see `pixels.digests`)."""

    def __init__(self, job: Job, loader: Loader) -> None:
        self._pyramid, self._loader = job.store.pyramid, loader
        self._slot: NDArray[Any] = np.empty(0, self._pyramid.dtype)

    def hashed(self, pass_: Pass, bands: tuple[Region, ...]) -> Hashed:
        """Make the bands and return the digests of their blocks."""
        return Hashed(tuple(digest for band in bands for digest in self._of_band(pass_, band)))

    def _of_band(self, pass_: Pass, band: Region) -> list[Digest]:
        level = self._pyramid.levels[0]
        (part,), _ = slot_levels(pass_, self._pyramid)
        if self._slot.shape != part.shape:
            self._slot = np.empty(part.shape, self._pyramid.dtype)
        self._loader.load(pass_, band, band, self._slot)
        origin = band.divided(level.chunk)
        found: list[Digest] = []
        for place in origin.indices():
            t, c, *_ = place
            region = Region(place, (t + 1, c + 1, place[Z] + 1, place[Y] + 1, place[X] + 1)).scaled(level.chunk).clipped(level.shape)
            z, y, x = (place[axis] - origin.start[axis] for axis in (Z, Y, X))
            pixels = self._slot[z, y, x, c - band.start[1], :, : region.shape[Y], : region.shape[X]]
            found += digests_of(pixels[np.newaxis, np.newaxis], region.start)
        return found
