"""A page, ready for its segments to be decoded: tifffile interprets its IFD, or has interpreted one of the same layout."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import tifffile
from numpy.typing import NDArray

from omezarr_proc.model.image import Layout
from omezarr_proc.model.text import first_line
from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.file.ifd import Ifds
from omezarr_proc.tiff.read import decode, photometric

_SPECIAL = {"ojpeg", "ccittrle", "ccittfax3", "ccittfax4", "ccitt_t4", "ccitt_t6"}  # tifffile mends their offsets


class PageError(ValueError):
    """A page cannot be read, or is not the one that was planned with; says why."""


@dataclass(kw_only=True)
class Page:
    """A page's segments, and the page that tifffile decodes them with: itself or one of the same layout.

    decompressed  what tifffile decodes them with when they are decompressed already; None where it does that
    """

    tiff: tifffile.TiffPage
    decompressed: tifffile.TiffPage | None
    shown: photometric.Pixels
    offsets: Sequence[int] | NDArray[np.int64]
    counts: Sequence[int] | NDArray[np.int64]
    jpegtables: bytes | None


def interpreted(file: tifffile.TiffFile, offset: int, layout: Layout) -> Page:
    """The page whose IFD is at byte `offset`. Raises PageError, OSError."""
    try:
        tiff = decode.page_at(file, offset, offset == file.pages.first.offset)
        shown = photometric.pixels(tiff, layout.samples == 3, bool(layout.profile))
    except OSError:
        raise
    except Exception as error:
        raise PageError(f"its IFD at byte {offset} is unreadable ({first_line(error)})") from error
    if (tiff.imagelength, tiff.imagewidth, shown.samples, shown.dtype) != (layout.height, layout.width, layout.samples, layout.dtype):
        raise PageError("the file has changed since it was opened")
    if not all(isinstance(number, int) for numbers in (tiff.dataoffsets, tiff.databytecounts) for number in numbers):
        raise PageError("its segment offsets are no integers; the file is corrupt")
    stored = shown.data_units.as_stored(tiff) if shown.data_units else tiff
    decompressed = decode.decompressed(stored) if layout.compression == "lzw" and tiff.fillorder != 2 else None
    return Page(
        tiff=stored,
        decompressed=decompressed,
        shown=shown,
        offsets=tiff.dataoffsets,
        counts=tiff.databytecounts,
        jpegtables=tiff.jpegtables,
    )


def alike(like: Page, file: tifffile.TiffFile, ifds: Ifds, offset: int, layout: Layout) -> Page | None:
    """A page of the same layout as `like`: only its segments and tables are read, ten times as fast.

    None where that is not known to be enough. Raises OSError.
    """
    if layout.compression in _SPECIAL or file.is_ndpi:
        return None
    ifd = ifds.ifd(offset)
    places = tags.TILES if like.tiff.is_tiled else tags.STRIPS
    offsets, counts = (ifds.integers(ifd, code) for code in places)
    if not len(offsets) == len(counts) == len(like.offsets):
        return None
    tables = ifd.tags.get(tags.JPEG_TABLES)
    return Page(
        tiff=like.tiff,
        decompressed=like.decompressed,
        shown=like.shown,
        offsets=offsets,
        counts=counts,
        jpegtables=ifds.raw(tables) if tables else None,
    )
