"""What of a pyramid is finished, whatever plan it was made with."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Region
from omezarr_proc.plan.passes import Pass, at
from omezarr_proc.publish.history import Unit


class Finished:
    """A grid of finished chunks per level: `bool[frames, rows, columns]` (see `Pyramid.frame`)."""

    def __init__(self, pyramid: Pyramid, within: Sequence[Region] | None = None) -> None:
        """Nothing is finished yet. `within`: the regions of the base level, in its pixels, that are to be; None: all of it."""
        self._pyramid = pyramid
        self._within = within or (pyramid.levels[0].region,)
        self._grids: list[NDArray[np.bool_]] = [
            np.zeros((pyramid.frames(level.index), *level.grid.shape[3:]), np.bool_) for level in pyramid.levels
        ]

    def add(self, unit: Unit) -> None:
        """Note finished chunks. Raises IndexError for a unit that is not of this pyramid."""
        if not self.knows(unit):
            raise IndexError(f"not of this pyramid: {unit}")
        self._grids[unit.level][unit.frame, slice(*unit.rows), slice(*unit.columns)] = True

    def knows(self, unit: Unit) -> bool:
        """Whether a unit is of this pyramid."""
        (y0, y1), (x0, x1) = unit.rows, unit.columns
        if not 0 <= unit.level < len(self._grids):
            return False
        frames, rows, columns = self._grids[unit.level].shape
        return bool(0 <= unit.frame < frames and 0 <= y0 < y1 <= rows and 0 <= x0 < x1 <= columns)

    @property
    def count(self) -> int:
        """How many chunks are finished: those of a channel group are one."""
        return sum(int(grid.sum()) for grid in self._grids)

    @property
    def made(self) -> int:
        """The level up to which all are finished; -1: not even the first."""
        return next((level for level, grid in enumerate(self._grids) if not grid.all()), len(self._grids)) - 1

    @property
    def percent(self) -> int:
        """Finished chunks in 100 of all that are to be."""
        return 100 * self.count // self.wanted

    @property
    def wanted(self) -> int:
        """All chunks that are to be finished, as `count` counts them."""
        return sum(self._count(chunks) for level in self._pyramid.levels for chunks in self._wanted(level.index))

    def wants(self, level: int, chunks: Region) -> bool:
        """Whether all of these chunks are to be finished, as far as one region tells."""
        return any(chunks.is_within(wanted) for wanted in self._wanted(level))

    def _wanted(self, level: int) -> Iterator[Region]:
        """The chunks of a level that are to be finished."""
        ratio, chunk = self._pyramid.ratio(0, level), self._pyramid.levels[level].chunk
        return (region.divided(ratio).divided(chunk) for region in self._within)

    def _count(self, chunks: Region) -> int:
        """As `count` does, of these chunks."""
        return chunks.size if self._pyramid.bundled else chunks.size // self._pyramid.channels

    def covers(self, level: int, region: Region) -> bool:
        """Whether all chunks that hold a region (in pixels of the level) are finished."""
        chunks = region.divided(self._pyramid.levels[level].chunk)
        (t, _, z0, y0, x0), (_, _, z1, y1, x1) = chunks.start, chunks.stop
        frames = [self._pyramid.frame(level, t, region.start[1], z) for z in range(z0, z1)]
        return all(bool(self._grids[level][frame, y0:y1, x0:x1].all()) for frame in frames)

    def covers_band(self, pass_: Pass, band: Region) -> bool:
        """Whether all levels that a pass makes of a band are finished."""
        return all(self.covers(pass_.first + step, at(self._pyramid, pass_, band, step)) for step in pass_.steps)
