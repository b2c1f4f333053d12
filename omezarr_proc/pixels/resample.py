"""Pictures in another number of pixels, for looking at: exact means of the ground that each new pixel covers."""

import numpy as np
from numpy.typing import NDArray


def resampled(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """A picture `[h, w, colours]` as `[height, width, colours]`, rounded half to even.

    Each pixel is the mean of those that it covers, one of which it covers a part by that part. All is whole numbers below 2**53 until the
    one division, so the same on every machine; that holds up to 255 h w pixels.
    """
    rows, columns = _shares(picture.shape[0], height), _shares(picture.shape[1], width)
    out = np.empty((height, width, picture.shape[2]), np.uint8)
    for colour in range(picture.shape[2]):
        sums = rows @ picture[..., colour].astype(np.float64) @ columns.T
        out[..., colour] = np.rint(sums / (picture.shape[0] * picture.shape[1]))
    return out


def _shares(old: int, new: int) -> NDArray[np.float64]:
    """How much of each old pixel lies in each new one, `[new, old]`: an old one is `new` long, a new one `old`."""
    begin, end = (np.arange(new) * old)[:, None], (np.arange(1, new + 1) * old)[:, None]
    first, last = np.arange(old) * new, np.arange(1, old + 1) * new
    shares: NDArray[np.float64] = np.clip(np.minimum(end, last) - np.maximum(begin, first), 0, None).astype(np.float64)
    return shares
