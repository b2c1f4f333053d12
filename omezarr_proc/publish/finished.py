"""What of a pyramid is finished, whatever plan it was made with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.image import Rect
from omezarr_proc.model.pyramid import Band, Frames, Level, Pass, ceil_div
from omezarr_proc.publish.history import Unit


class Completed:
    """A grid of finished chunks per level: `bool[frames, rows, columns]`."""

    def __init__(self, levels: Sequence[Level], frames: Frames, tile: int) -> None:
        """Nothing is finished yet."""
        self._tile = tile
        self._grids: list[NDArray[np.bool_]] = [
            np.zeros((frames.count, ceil_div(level.height, tile), ceil_div(level.width, tile)), np.bool_) for level in levels
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
    def percent(self) -> int:
        """Finished chunks in 100 of all."""
        return 100 * sum(int(grid.sum()) for grid in self._grids) // sum(grid.size for grid in self._grids)

    def covers(self, tiles: Rect, frame: int, level: int) -> bool:
        """Whether all chunks of the rectangle `tiles` (in chunks) are finished."""
        return bool(self._grids[level][frame, tiles.y0 : tiles.y1, tiles.x0 : tiles.x1].all())

    def covers_band(self, stage: Pass, band: Band) -> bool:
        """Whether all levels that a pass makes of a band are finished."""
        return all(self.covers(self._tiles(band.at(step)), band.frame, stage.first + step) for step in range(stage.last - stage.first + 1))

    def covers_level(self, level: int) -> bool:
        """Whether a level is finished."""
        return bool(self._grids[level].all())

    def _tiles(self, rect: Rect) -> Rect:
        tile = self._tile
        return Rect(rect.y0 // tile, ceil_div(rect.y1, tile), rect.x0 // tile, ceil_div(rect.x1, tile))
