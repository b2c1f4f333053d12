"""The largest and the smallest value of each box.

NaN is left out, as of means: a box of nothing else is NaN. Zeros are 0.0, whatever their signs. `tensorstore.downsample(..., "max")` gives
the same bits for integers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.pixels.average import store

# Source bytes worked on at a time, so that they stay in a core's cache.
_STRIP_BYTES = 128 * 1024


def box_max(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    """Maxima of boxes of all planes and d x d pixels of `block[planes, h, w, samples]` into `out[samples, ceil(h/d), ceil(w/d)]`.

    Its first pixel begins a box.
    """
    _farthest(np.fmax, block, d, out)


def box_min(block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    """Minima, see `box_max`."""
    _farthest(np.fmin, block, d, out)


def _farthest(farther: np.ufunc, block: NDArray[Any], d: int, out: NDArray[Any]) -> None:
    strip = max(1, _STRIP_BYTES // max(1, d * block[0, 0].nbytes))
    for r in range(0, out.shape[1], strip):
        lines = block[:, r * d : (r + strip) * d]
        rows = lines[0, ::d].copy()
        for plane in lines:
            for i in range(d):
                more = plane[i::d]
                farther(rows[: len(more)], more, out=rows[: len(more)])
        rows = np.moveaxis(rows, 2, 0)
        found = rows[:, :, ::d].copy()
        for i in range(1, d):
            across = rows[:, :, i::d]
            farther(found[:, :, : across.shape[2]], across, out=found[:, :, : across.shape[2]])
        if found.dtype.kind == "f":
            found += 0.0  # -0.0 + 0.0 is 0.0
            found[np.isnan(found)] = np.nan  # one NaN, whichever there was
        store(found, out[:, r : r + strip])
