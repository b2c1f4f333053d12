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
from omezarr_proc.pixels.gather import Blocks, Target, gather_means, gather_nearest


@dataclass(frozen=True)
class Reduction:
    """One way.

    boxes   (block[planes, h, w, samples], d, out[samples, ceil(h/d), ceil(w/d)]): boxes of all planes and d x d pixels, the first of which
            begins with the block
    gather  the same where pixels come in blocks, plane by plane (see `gather_means`)
    """

    boxes: Callable[[NDArray[Any], int, NDArray[Any]], None]
    gather: Callable[[Sequence[Blocks], int, Rect, Target], None]

    def fold(self, pixels: NDArray[Any], depth: int, d: int, out: NDArray[Any]) -> None:
        """Make `out[channels, ceil(z/depth), ceil(h/d), ceil(w/d)]` of boxes of `depth` x d x d of `pixels[channels, z, h, w]`."""
        for planes, into in zip(pixels, out, strict=True):
            for z, plane in enumerate(into):
                self.boxes(planes[z * depth : (z + 1) * depth, :, :, np.newaxis], d, plane[np.newaxis])


def _first(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    out[...] = np.moveaxis(block[0, ::d, ::d], 2, 0)


REDUCTIONS = {
    "mean": Reduction(box_mean, gather_means),
    "nearest": Reduction(_first, gather_nearest),
}
