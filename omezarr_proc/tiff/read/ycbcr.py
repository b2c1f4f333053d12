"""YCbCr as TIFF stores it where no JPEG does: as RGB by the numbers that its tags give.

Source: TIFF 6.0, section 21, and section 20 for ReferenceBlackWhite. As libtiff does it, all pixels of a unit have the chroma of the unit,
wherever YCbCrPositioning says that it was sampled.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.read.data_units import Chroma

_COEFFICIENTS = (0.299, 0.587, 0.114)
_REFERENCE = (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)
_SUBSAMPLING = (2, 2)
_PIECE = 1 << 16


@dataclass(frozen=True)
class ToRgb:
    """YCbCr [h, w, 3] uint8 as RGB.

    luma       how much red, green and blue make of Y
    reference  black and white of Y, of Cb and of Cr, as numbers
    """

    luma: tuple[float, ...]
    reference: tuple[float, ...]

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """About _PIECE pixels are converted at once."""
        rgb = np.empty_like(values)
        lines = max(1, _PIECE // max(values.shape[1], 1))
        (red, green, blue), black, white = self.luma, np.array(self.reference[::2]), np.array(self.reference[1::2])
        scale = (np.array((255.0, 127.0, 127.0)) / (white - black)).astype(np.float32)
        for first in range(0, len(values), lines):
            y, cb, cr = np.moveaxis((values[first : first + lines] - black.astype(np.float32)) * scale, -1, 0)
            r, b = y + cr * (2 - 2 * red), y + cb * (2 - 2 * blue)
            for channel, colour in enumerate((r, (y - blue * b - red * r) / green, b)):
                rgb[first : first + lines, :, channel] = np.clip(np.rint(colour), 0, 255)
        return rgb


def of(page: tifffile.TiffPage) -> ToRgb | Chroma:
    """What makes RGB of the values of a page of three 8-bit samples. Raises ValueError where its tags make no sense."""
    to_rgb = ToRgb(_numbers(page, tags.YCBCR_COEFFICIENTS, _COEFFICIENTS), _numbers(page, tags.REFERENCE_BLACK_WHITE, _REFERENCE))
    ranges = zip(to_rgb.reference[::2], to_rgb.reference[1::2], strict=True)
    if to_rgb.luma[1] <= 0 or any(black == white for black, white in ranges):
        raise ValueError("coefficients or reference values that give no colours")
    across, down = page.subsampling or _SUBSAMPLING
    if {across, down} - {1, 2, 4}:
        raise ValueError(f"chroma for {across} x {down} pixels")
    return to_rgb if across == down == 1 else Chroma(across, down, across * down + 2, to_rgb)


def _numbers(page: tifffile.TiffPage, code: int, default: tuple[float, ...]) -> tuple[float, ...]:
    """The rational numbers of a tag. Raises ValueError where they are not as many as they should be, or none."""
    found = page.tags.valueof(code)
    if found is None:
        return default
    if not isinstance(found, tuple) or len(found) != (2 if page.tags[code].dtype in (5, 10) else 1) * len(default):
        raise ValueError(f"tag {code} of another number of values")
    if page.tags[code].dtype in (5, 10):
        if not all(found[1::2]):
            raise ValueError(f"tag {code} divides by 0")
        return tuple(a / b for a, b in zip(found[::2], found[1::2], strict=True))
    return tuple(map(float, found))
