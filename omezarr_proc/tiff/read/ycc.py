"""JPEG 2000 segments that hold YCbCr without saying so: the TIFF tag reads RGB, and the codestream has no colour transform to undo.

Sources: OpenSlide's description of Aperio's format (33003: YCbCr without MCT, PhotometricInterpretation is not correct); libvips, which
writes and reads all colours of 33004 as YCbCr. Bio-Formats (JJ2000) and tifffile use the same numbers for RGB. Codestream: ITU-T T.800
A.5.1 (SIZ), A.6.1 (COD), A.9.2 (COM). YCbCr: ITU-T T.871, section 7.
"""

from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from omezarr_proc.tiff.file import tags

APERIO, LOSSY = 33003, 33004
_YCBCR = 6
_PIECE = 1 << 16


def hidden(page: tifffile.TiffPage) -> bool:
    """Whether the decoded values of a page of three samples are YCbCr: read from the first segment's header.

    Subsampled YCbCr is not: the decoder converts it when it spreads the chroma.
    """
    codestream = _head(page)
    size = 2  # SIZ follows SOC at once
    style = codestream.find(b"\xff\x52", size + 2 + int.from_bytes(codestream[size + 2 : size + 4], "big"))
    if style < 0 or len(codestream) < style + 9 or codestream[size + 44 : size + 46] != b"\1\1":
        return False
    transformed = bool(codestream[style + 8])
    if page.compression == LOSSY and b"OpenJPEG" in codestream:
        return tags.SOFTWARE not in page.tags  # of those who write this, libvips does not name itself
    aperio = page.compression == APERIO and (page.is_svs or page.parent.pages.first.is_svs)
    return not transformed and (aperio or page.photometric == _YCBCR)


def to_rgb(values: NDArray[Any], piece: int = _PIECE) -> NDArray[Any]:
    """RGB [h, w, 3] of YCbCr, unsigned integers of which all levels are used; about `piece` pixels are converted at once."""
    top = np.iinfo(values.dtype).max
    rgb = np.empty_like(values)
    lines = max(1, piece // max(values.shape[1], 1))
    for first in range(0, len(values), lines):
        y, cb, cr = np.moveaxis(values[first : first + lines].astype(np.float32), -1, 0)
        cb, cr = cb - (top + 1) // 2, cr - (top + 1) // 2
        for channel, colour in enumerate((y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb)):
            rgb[first : first + lines, :, channel] = np.clip(np.rint(colour), 0, top)
    return rgb


def _head(page: tifffile.TiffPage) -> bytes:
    place = next((place for place in zip(page.dataoffsets, page.databytecounts, strict=False) if all(place)), None)
    if place is None:
        return b""
    page.parent.filehandle.seek(place[0])
    head: bytes = page.parent.filehandle.read(min(place[1], 4096))
    begin = head.find(b"\xff\x4f\xff\x51")
    return head[begin:] if begin >= 0 else b""
