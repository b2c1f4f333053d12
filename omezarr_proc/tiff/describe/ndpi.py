"""Hamamatsu's NDPI: one huge JPEG a page, with the places at which decoding can start; levels, macro and focal planes as pages.

Source: OpenSlide's description of the format, and the tag names of tifffile, which decodes it.
"""

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import InputError
from omezarr_proc.model.image import AxisSize
from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.file.ifd import Ifd, Ifds

MAGNIFICATION, FOCUS, MCU_STARTS, MCU_STARTS_UPPER = 65421, 65424, 65426, 65432
MACRO, MAP = -1.0, -2.0
_LONG = 4
MAX_HEADER = 1 << 20  # bytes; tables and a comment take some hundred


def pieces(ifds: Ifds, ifd: Ifd) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Byte offsets and counts of the pieces of a page's JPEG, from restart marker to restart marker; None where the page lists none."""
    starts = ifds.integers(ifd, MCU_STARTS)
    if not len(starts):
        return None
    upper = ifds.integers(ifd, MCU_STARTS_UPPER)
    if len(upper) == len(starts):
        starts = starts + (upper << 32)
    return starts + ifds.integer(ifd, tags.STRIP_OFFSETS, 0), np.diff(starts, append=ifds.integer(ifd, tags.STRIP_BYTE_COUNTS, 0))


def check(ifds: Ifds, ifd: Ifd) -> None:
    """Raise InputError where the header before the first piece is as long as no JPEG's: tifffile reads it whole."""
    mark = MCU_STARTS.to_bytes(2, "little" if ifds.order == "<" else "big")
    if mark not in ifd.entries:  # much faster than to look at all tags
        return
    lists = [ifd.tags[code] for code in (MCU_STARTS, MCU_STARTS_UPPER) if code in ifd.tags]
    if any(tag.kind != _LONG or tag.number < 2 for tag in lists):  # tifffile takes a single number for the place of the list
        raise InputError(f"the JPEG starts of the IFD at byte {ifd.offset} are no list of integers; the file is corrupt", source=ifds.path)
    start = ifds.integer(ifd, MCU_STARTS, 0) + (ifds.integer(ifd, MCU_STARTS_UPPER, 0) << 32)
    if not 0 <= start <= MAX_HEADER:
        raise InputError(f"the JPEG of the IFD at byte {ifd.offset} has a header of {start} bytes; the file is corrupt", source=ifds.path)


def magnification(ifds: Ifds, ifd: Ifd) -> float | None:
    """The objective's magnification with which a page was scanned; None for macro images and maps."""
    scale = ifds.real(ifd, MAGNIFICATION)
    return scale if scale is not None and 0 < scale < np.inf else None


def spacing(ifds: Ifds, pages: list[Ifd]) -> AxisSize | None:
    """The distance of focal planes, from the focus of each in nanometres; None where it is not even."""
    focus = [ifds.integers(ifd, FOCUS)[:1].tolist() for ifd in pages]
    steps = np.abs(np.diff([values[0] for values in focus])) if all(focus) else np.empty(0)
    even = len(steps) > 0 and steps[0] > 0 and (steps == steps[0]).all()
    return AxisSize(float(steps[0]) / 1000, "micrometer") if even else None


def levels(ifds: Ifds, chain: list[Ifd]) -> tuple[list[Ifd], int, list[tuple[Ifd, str]]]:
    """The pages of full resolution (focal planes), the number of those of lower resolution, and all others with their names."""
    scales = [ifds.real(ifd, MAGNIFICATION) for ifd in chain]
    aside = [(ifd, "macro" if scale == MACRO else "macro mask") for ifd, scale in zip(chain, scales, strict=True) if scale in (MACRO, MAP)]
    slide = [ifd for ifd, scale in zip(chain, scales, strict=True) if scale not in (MACRO, MAP)]
    size = max(ifds.integer(ifd, tags.IMAGE_WIDTH, 0) for ifd in slide) if slide else 0
    full = [ifd for ifd in slide if ifds.integer(ifd, tags.IMAGE_WIDTH, 0) == size]
    return full, len(slide) - len(full), aside
