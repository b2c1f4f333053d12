"""The most frequent value of each box, of several the smallest: for labels, since no other id comes of ids.

NaN is left out, as of means: a box of nothing else is NaN. Zeros of both signs are one value. `tensorstore.downsample(..., "mode")` gives
the same bits for integers.

`_kernels` does it in C, and numpy where there is no compiled extension or no kernel for a block. Both give the same bits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.pixels.average import store
from omezarr_proc.pixels.rectangles import even

try:
    from omezarr_proc.pixels._kernels import box_mode as compiled
except ImportError:  # installed without a compiler

    def compiled(block: NDArray[Any], d: int, out: NDArray[Any], /) -> bool:
        """There is no kernel for anything."""
        return False


# Pixels that are sorted at a time.
_STRIP_PIXELS = 128 * 1024


def box_mode(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    """Modes of boxes of all planes and d x d pixels of `block[planes, h, w, samples]` into `out[samples, ceil(h/d), ceil(w/d)]`.

    Its first pixel begins a box.
    """
    if not compiled(block, d, out):
        numpy_box_mode(block, d, out)


def numpy_box_mode(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    """`box_mode` without the compiled kernels."""
    planes, height, width, samples = block.shape
    for y0, y1, x0, x1, pixels in even(height, width, d, (0, out.shape[1], 0, out.shape[2])):
        strip = max(1, _STRIP_PIXELS // (planes * pixels * (x1 - x0) * samples))
        for r in range(y0, y1, strip):
            rows, columns = min(strip, y1 - r), x1 - x0
            boxes = block[:, r * d : (r + rows) * d, x0 * d : x1 * d]
            high, wide = boxes.shape[1] // rows, boxes.shape[2] // columns
            values = boxes.reshape(planes, rows, high, columns, wide, samples).transpose(5, 1, 3, 0, 2, 4)
            store(_modes(values.reshape(samples, rows, columns, -1)), out[:, r : r + rows, x0:x1])


def _modes(values: NDArray[Any]) -> NDArray[Any]:
    """Of each line of the last axis."""
    values = np.sort(values + values.dtype.type(0), axis=-1)  # -0.0 + 0.0 is 0.0; NaN comes last, and none equals another
    places = np.arange(values.shape[-1], dtype=np.int32)
    begins = np.zeros(values.shape, np.int32)
    begins[..., 1:] = np.where(values[..., 1:] != values[..., :-1], places[1:], 0)
    repeated = places - np.maximum.accumulate(begins, axis=-1)
    modes = np.take_along_axis(values, repeated.argmax(axis=-1)[..., np.newaxis], axis=-1)[..., 0]
    if modes.dtype.kind == "f":
        modes[np.isnan(modes)] = np.nan  # one NaN, whichever there was
    return modes
