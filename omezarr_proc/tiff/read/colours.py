"""Colours by their ICC profile: the profile of a page, and its pixels as sRGB by littleCMS.

Relative colorimetric with black point compensation, as viewers of pictures do it: white becomes white, and shadows stay apart.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from omezarr_proc.plan.kept import COLOUR_PIXELS

ICC_PROFILE = 34675  # ICC.1:2022, annex B.4
_HEADER = 128  # bytes (ICC.1:2022, 7.2)
Block = tuple[int, int, NDArray[Any]]


def is_profile(data: bytes) -> bool:
    """Whether it begins like one."""
    return len(data) > _HEADER and data[36:40] == b"acsp"


def profile_of(page: tifffile.TiffPage) -> bytes | None:
    """The profile of a page; None where it has none, or none that begins like one."""
    data = page.tags.valueof(ICC_PROFILE)
    return data if isinstance(data, bytes) and is_profile(data) else None


class ToSrgb:
    """Pixels [h, w, samples] in the colours of a profile to such in sRGB; a fourth sample of RGB, which is alpha, stays.

    takes    samples of a pixel before, makes after
    profile  hex digest
    """

    def __init__(self, profile: bytes, samples: int, space: Literal["RGB", "CMYK"] = "RGB") -> None:
        """`samples`: of a pixel in `space`. Raises ValueError where the profile is for others, CmsError where it cannot be used."""
        stated = profile[16:20].decode("latin-1").strip()
        if stated != space or samples not in ((3, 4) if space == "RGB" else (4,)):
            raise ValueError(f"it is for {stated}, and pixels are {samples} samples of {space}")
        self.takes, self.makes = samples, samples if space == "RGB" else 3
        self.profile = hashlib.sha256(profile).hexdigest()
        self._data, self._space, self._inks = profile, space.lower(), 3 if space == "RGB" else 4
        self(np.zeros((1, 1, samples), np.uint8))

    def __call__(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Uint8 or uint16: of RGB then without the tables that littleCMS makes, which are up to 20 of 255 off where a gamut ends."""
        exact = pixels.dtype == np.uint16 and self._space == "rgb"
        flags = imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION | (imagecodecs.CMS.FLAGS.NOOPTIMIZE if exact else 0)
        colours = imagecodecs.cms_transform(
            np.ascontiguousarray(pixels[..., : self._inks]),
            self._data,
            imagecodecs.cms_profile("srgb"),
            colorspace=self._space,
            outcolorspace="rgb",
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
            flags=flags,
        )
        return colours if self.takes == self._inks else np.concatenate((colours, pixels[..., self._inks :]), axis=-1)

    def blocks(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """Blocks converted some together; the memory of each may be used again for the next."""
        waiting: list[Block] = []
        pixels = 0
        for y, x, block in blocks:
            waiting.append((y, x, block.copy()))
            pixels += block.shape[0] * block.shape[1]
            if pixels >= COLOUR_PIXELS:
                yield from self._together(waiting)
                waiting, pixels = [], 0
        yield from self._together(waiting)

    def _together(self, blocks: list[Block]) -> Iterator[Block]:
        if not blocks:
            return
        found = self(np.concatenate([block.reshape(-1, self.takes) for _, _, block in blocks])[np.newaxis])[0]
        begin = 0
        for y, x, block in blocks:
            end = begin + block.shape[0] * block.shape[1]
            yield y, x, found[begin:end].reshape(*block.shape[:2], self.makes)
            begin = end
