"""The ways to make pixels of a level out of boxes of finer ones: a table with a row for each, by the names of DOWNSAMPLE_METHOD.

Whoever makes or judges levels goes through a row, and knows none by its name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.image import Rect
from omezarr_proc.pixels.average import box_mean
from omezarr_proc.pixels.extremes import box_max, box_min
from omezarr_proc.pixels.gather import Blocks, MakeBoxes, Target, gather_boxes, gather_means, gather_nearest
from omezarr_proc.pixels.mode import box_mode


@dataclass(frozen=True)
class Reduction:
    """One way.

    boxes     what makes whole boxes into pixels; all that a way needs
    straight  the same where pixels come in blocks, plane by plane (see `gather_means`), for a way that does with less than all pixels of a
              box at once
    deep      whether more than the first plane of a box counts
    """

    boxes: MakeBoxes
    straight: Callable[[Sequence[Blocks], int, Rect, Target], None] | None = None
    deep: bool = True

    @property
    def keeps_pixels(self) -> bool:
        """Whether all pixels of boxes that straddle blocks are kept in memory, and not some numbers for each."""
        return self.straight is None

    def gather(self, planes: Sequence[Blocks], d: int, area: Rect, target: Target) -> None:
        """Make boxes of all `planes` and d x d pixels into `target` (see `gather_means`)."""
        if self.straight is None:
            gather_boxes(self.boxes, planes, d, area, target)
        else:
            self.straight(planes, d, area, target)

    def fold(self, pixels: NDArray[Any], depth: int, d: int, out: NDArray[Any]) -> None:
        """Make `out[channels, ceil(z/depth), ceil(h/d), ceil(w/d)]` of boxes of `depth` x d x d of `pixels[channels, z, h, w]`."""
        for planes, into in zip(pixels, out, strict=True):
            for z, plane in enumerate(into):
                self.boxes(planes[z * depth : (z + 1) * depth, :, :, np.newaxis], d, plane[np.newaxis])


def _first(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    out[...] = np.moveaxis(block[0, ::d, ::d], 2, 0)


REDUCTIONS = {
    "mean": Reduction(box_mean, gather_means),
    "nearest": Reduction(_first, gather_nearest, deep=False),
    "mode": Reduction(box_mode),
    "max": Reduction(box_max),
    "min": Reduction(box_min),
}
