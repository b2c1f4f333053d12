"""A plane decoded once into a file, for codecs that yield a huge segment only whole (LZW, JPEG, ZSTD, PackBits in one strip).

The encoded bytes and the result are both file-backed maps, so the working memory stays small whatever the size of the segment; the
codec writes straight into the map where its pixels lie there row by row as they are decoded.
"""

import mmap
import os
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import InputError
from omezarr_proc.model.image import Layout, Plane, Rect
from omezarr_proc.tiff.read import damage, decode, jpeg
from omezarr_proc.tiff.read.damage import DamagedError
from omezarr_proc.tiff.read.segments import Segments

_CODECS = {5: imagecodecs.lzw_decode, 8: imagecodecs.zlib_decode, 32946: imagecodecs.zlib_decode, 32773: imagecodecs.packbits_decode,
           50000: imagecodecs.zstd_decode, 34925: imagecodecs.lzma_decode}  # fmt: skip
SLAB = 1 << 20  # bytes that are converted at once


def spool(source: Segments, plane: Plane, fd: int, offset: int) -> None:
    """Decode a plane into `fd` from byte `offset` on, as rows [height, width, samples] of the layout's dtype in native order.

    Raises InputError for a missing or corrupt segment, OSError where the file cannot grow.
    """
    layout = source.image.layouts[plane.layout]
    shape = layout.height, layout.width, layout.samples
    nbytes = int(np.prod(shape)) * np.dtype(layout.dtype).itemsize
    if os.fstat(fd).st_size < offset + nbytes:
        grow = getattr(os, "posix_fallocate", None)  # not on macOS, where a full disk shows later
        grow(fd, offset, nbytes) if grow else os.truncate(fd, offset + nbytes)
    begin = offset - offset % mmap.ALLOCATIONGRANULARITY
    area = mmap.mmap(fd, offset - begin + nbytes, offset=begin)  # freed with its last view, which an error's traceback can hold
    _fill(source, plane, layout, np.frombuffer(area, layout.dtype, int(np.prod(shape)), offset - begin).reshape(shape))


def read_spooled(layout: Layout, rect: Rect, fd: int, offset: int, piece: int) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """The pixels of `rect` of a plane that `spool` wrote, in pieces of rows of at most some `piece` bytes."""
    dtype = np.dtype(layout.dtype)
    pixel = layout.samples * dtype.itemsize
    lines = max(1, piece // (rect.width * pixel))
    for y0 in range(rect.y0, rect.y1, lines):
        y1 = min(y0 + lines, rect.y1)
        block = np.empty((y1 - y0, rect.width, layout.samples), dtype)
        rows = [block] if rect.width == layout.width else list(block)
        for number, target in enumerate(rows):
            view = target.data.cast("B")
            at = offset + ((y0 + number) * layout.width + rect.x0) * pixel
            if os.preadv(fd, [view], at) != len(view):
                raise OSError(f"the spooled plane ends before byte {at + len(view)}")
        yield y0, rect.x0, block


def _fill(source: Segments, plane: Plane, layout: Layout, out: NDArray[Any]) -> None:
    page = source.page(plane)
    across = -(-layout.width // layout.segment_width)
    for index in range(decode.segments_of(page.tiff)):
        row, column = divmod(index, across)
        y, x = row * layout.segment_height, column * layout.segment_width
        target = out[y : y + layout.segment_height, x : x + layout.segment_width]
        place = source.extent(plane, index)
        if layout.spool and place is not None and _straight(source, plane, index, place, target):
            continue
        part = source.segment(plane, index)[: target.shape[0], : target.shape[1]]
        part = part if page.shown.colours is None else page.shown.colours(part)
        if part.shape != target.shape:
            raise source.error(plane, f"segment {index} decodes to {part.shape}; the file is corrupt")
        target[...] = part


def _straight(source: Segments, plane: Plane, index: int, place: tuple[int, int], target: NDArray[Any]) -> bool:
    """Decode a strip from map to map; False for a JPEG that only the general decoder reads (lossless, or of another size than stated)."""
    page, shown = source.page(plane).tiff, source.page(plane).shown
    data: Any = source.mapped(plane, *place)
    source.check(plane, index, data)
    try:
        if page.compression == 7:
            _jpeg(source, plane, index, data, target)
        else:
            got = _CODECS[int(page.compression)](data, out=target.data.cast("B"))
            if len(got) < target.nbytes:
                raise ValueError(f"{len(got)} of {target.nbytes} bytes decoded")
    except (InputError, MemoryError):
        raise
    except Exception as error:
        if page.compression == 7:
            return False
        raise source.error(plane, f"segment {index} is corrupt ({str(error)[:160]}); copy the file again or repair it") from error
    lines = max(1, SLAB // (target.nbytes // len(target)))
    for y in range(0, len(target), lines):
        rows = target[y : y + lines]
        if page.compression != 7 and not shown.stored.isnative:
            rows.byteswap(inplace=True)
        if page.compression != 7 and page.predictor == 2:
            imagecodecs.delta_decode(rows, axis=-2, out=rows)
        if shown.convert is not None or shown.colours is not None:
            rows[...] = shown.finished(rows)
    return True


def _jpeg(source: Segments, plane: Plane, index: int, data: memoryview, target: NDArray[Any]) -> None:
    tables, colours = source.page(plane).jpegtables, decode.jpeg_colours(source.page(plane).tiff)
    damaged = None
    try:
        damage.look(data, "jpeg")
        if jpeg.decode(data, tables, colours, target.shape[2], target) is not None:
            return
    except DamagedError as error:
        damaged = error
    into = target if target.shape[2] > 1 else target[..., 0]
    imagecodecs.jpeg8_decode(data, tables=tables, colorspace=colours[0], outcolorspace=colours[1], shape=into.shape[:2], out=into)
    if damaged:
        source.damaged(plane, index, damaged)
