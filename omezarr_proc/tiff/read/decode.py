"""How a segment becomes pixels, and what that takes: tifffile and imagecodecs decode, this module adds what they leave out."""

import contextlib
import copy
import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from omezarr_proc.host.quiet import quiet_stderr
from omezarr_proc.model.image import Layout
from omezarr_proc.tiff.file.budget import VALUE_BYTES
from omezarr_proc.tiff.file.bytes import stream
from omezarr_proc.tiff.file.ifd import Ifds, Tag
from omezarr_proc.tiff.file.tags import ROWS_PER_STRIP
from omezarr_proc.tiff.read import jpeg
from omezarr_proc.tiff.read.damage import DamagedError
from omezarr_proc.tiff.read.photometric import JPEG, Pixels, UnsupportedError

_JPEG_XR = {22610, 34934}
_DEFLATE = {8, 32946}
_SPOOLED = {5, 7, 8, 32773, 32946, 50000, 34925}
_NAMES = {1: "none", 5: "lzw", 6: "ojpeg", 7: "jpeg", 8: "deflate", 32946: "deflate", 32773: "packbits",
          34712: "jpeg2000", 33003: "jpeg2000", 33004: "jpeg2000",
          33005: "jpeg2000", 50000: "zstd", 34925: "lzma", 34926: "zstd"}  # fmt: skip
_FACTORS = {
    "jpeg2000": 5.0,
    "jpegxl": 6.0,
    "jpegxr": 4.0,
    "webp": 3.0,
    "none": 1.0,
}  # decoded segments that a codec holds, beside the result
MAX_RATIO = {"none": 1, "packbits": 64, "deflate": 1040, "lzw": 2800}  # decoded bytes that one encoded byte can give at most


def open_file(ifds: Ifds) -> tifffile.TiffFile:
    """Tifffile's view of an open file, which it leaves open; of the pages only the first is read."""
    with np.errstate(all="ignore"):  # nonsense in tags
        return tifffile.TiffFile(stream(ifds.source), name=os.path.basename(ifds.path), _multifile=False, is_ome=False, is_ndpi=ifds.ndpi)


def page_at(file: tifffile.TiffFile, offset: int, first: bool = False) -> tifffile.TiffPage:
    """Tifffile's view of the directory at a byte offset."""
    if file.is_ndpi:  # tifffile mends what the pages of a 16-bit slide state
        for page in file.pages:
            if page.offset == offset and isinstance(page, tifffile.TiffPage):
                return page
    if first and isinstance(file.pages.first, tifffile.TiffPage):
        return file.pages.first
    file.filehandle.seek(offset)
    with np.errstate(all="ignore"):
        return tifffile.TiffPage(file, index=0 if first else 1)


def tags_bytes(tags: Mapping[int, Tag], size: int) -> int:
    """Memory that tifffile takes for the tags of a page in a file of `size` bytes: integers as objects, texts as bytes and as text."""
    loaded = (tag for code, tag in tags.items() if code in tifffile.TIFF.TAG_LOAD and tag.size <= size)
    return sum(3 * tag.size if tag.kind in (1, 2, 7) else VALUE_BYTES * tag.number for tag in loaded)


def layout(page: tifffile.TiffPage, shown: Pixels) -> Layout:
    """The layout of a page's planes. Raises UnsupportedError where its codec is not there or its segments make no sense."""
    with np.errstate(all="ignore"):  # nonsense in tags
        decode = (shown.data_units.as_stored(page) if shown.data_units else page).decode
    if decode.__name__.startswith("decode_raise"):
        try:
            decode(b"", 0)
        except Exception as error:
            raise UnsupportedError(str(error)[:120]) from error
    height, width, _ = stored_shape(page, shown)
    if height < 1 or width < 1 or height * width > 64 * max(page.imagelength * page.imagewidth, 1 << 20):
        raise UnsupportedError(f"segments of {width} x {height} pixels")
    code = int(page.compression)
    name = _NAMES.get(code) or getattr(page.compression, "name", str(code)).lower()
    whole = page.bitspersample in (8, 16, 32, 64) and page.fillorder != 2
    nbytes = height * width * max(shown.samples, shown.samples_before) * np.dtype(shown.dtype).itemsize
    return Layout(
        height=page.imagelength,
        width=page.imagewidth,
        samples=shown.samples,
        segment_height=height,
        segment_width=width,
        dtype=shown.dtype,
        compression=name,
        tiled=page.is_tiled,
        raw=code == 1 and page.predictor == 1 and whole and shown.data_units is None,
        stream=code in _DEFLATE and whole and page.predictor in (1, 2, 3) and shown.data_units is None,
        colours=shown.colours_by,
        profile=shown.colours.profile if shown.colours else "",
        spool=whole
        and code in _SPOOLED
        and not page.is_tiled
        and page.predictor in (1, 2)
        and (code != 7 or page.bitspersample == 8)
        and (shown.stored.itemsize, shown.stored_samples) == (np.dtype(shown.dtype).itemsize, shown.samples),
        segment_bytes=nbytes,
        decode_factor=_FACTORS.get(name, 1.0)
        + (1.0 if shown.convert else 0.0)
        + (1.0 if shown.data_units else 0.0)
        + (3.0 if shown.colours else 0.0)
        + (1.0 if page.predictor != 1 else 0.0),
    )


def stored_shape(page: tifffile.TiffPage, shown: Pixels) -> tuple[int, int, int]:
    """Rows, columns and samples of a whole segment of a page, as it is stored."""
    height, width = (
        (page.tilelength, page.tilewidth)
        if page.is_tiled
        else (min(page.rowsperstrip or page.imagelength, page.imagelength), page.imagewidth)
    )
    return height, width, shown.stored_samples


def segment(
    page: tifffile.TiffPage, shown: Pixels, data: bytes | bytearray, index: int, jpegtables: bytes | None, damaged: bool = False
) -> NDArray[Any]:
    """The pixels [h, w, samples] of one segment from its encoded bytes, cut at the image's edge for strips, as stored for tiles.

    Colours are not converted yet.

    Raises DamagedError for a JPEG of which libjpeg only warns; with `damaged` it is decoded as far as it can be.
    """
    is_jpeg = page.compression in JPEG
    block = _jpeg(page, shown, data, index, jpegtables) if is_jpeg and not damaged else None
    if block is None:
        tables = {"jpegtables": jpegtables, "jpegheader": page.jpegheader} if is_jpeg else {}
        with quiet_stderr() if page.compression in _JPEG_XR else contextlib.nullcontext():  # of each odd tag jxrlib tells the terminal
            block = _decoded(page, data, index, tables)
    return block if shown.convert is None else shown.convert(block)


def _decoded(page: tifffile.TiffPage, data: bytes | bytearray, index: int, tables: Mapping[str, Any]) -> NDArray[Any]:
    """The values of a segment; of a plane's last strip, which some writers fill up, those of its rows.

    Codecs refuse what decodes to more than they are asked for.
    """
    values: Any
    try:
        values = page.decode(data, index, **tables)[0]
    except Exception:
        whole = None if (index + 1) % segments_of(page) else _of_whole_strips(page)
        if whole is None:
            raise
        rows = page.imagelength - (segments_of(page) - 1) * page.rowsperstrip
        values = whole.decode(data, index, **tables)[0]
        values = values[:, :rows]
    block: NDArray[Any] = values[0]
    return block


def _of_whole_strips(page: tifffile.TiffPage) -> tifffile.TiffPage | None:
    """The page as high as its strips are; None where it is, or where they are out of all proportion."""
    rows, height = page.tags.valueof(ROWS_PER_STRIP, 0), page.imagelength
    if page.is_tiled or not isinstance(rows, int) or not 0 < rows <= max(2 * height, 64) or not height % rows:
        return None
    whole = copy.copy(page)
    whole.rowsperstrip, whole.imagelength = rows, math.ceil(height / rows) * rows
    whole.shaped = (*page.shaped[:2], whole.imagelength, *page.shaped[3:])
    for kept in ("decode", "hash"):  # by tifffile, from the first use on; by its hash a page shares decoders with others
        whole.__dict__.pop(kept, None)
    return whole


def _jpeg(page: tifffile.TiffPage, shown: Pixels, data: bytes | bytearray, index: int, tables: bytes | None) -> NDArray[Any] | None:
    """The values of a JPEG of the segment's own size; None for another one, which tifffile fits in."""
    stream = data if page.jpegheader is None else b"".join((page.jpegheader, data, b"\xff\xd9"))
    values = jpeg.decode(stream, tables, jpeg_colours(page), shown.stored_samples)
    top = index % segments_of(page) * (page.rowsperstrip or page.imagelength)
    height, width = (
        (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, page.imagelength - top), page.imagewidth)
    )
    if values is not None and (values.shape[1] > width or (page.is_tiled and values.shape[0] > height)):
        raise DamagedError(f"{values.shape[1]} x {values.shape[0]} pixels for {width} x {height}")
    return values if values is not None and values.shape == (height, width, shown.stored_samples) else None


def jpeg_colours(page: tifffile.TiffPage) -> jpeg.Colours:
    """The colours of a page's JPEG streams and of the pixels, as codes of imagecodecs; None where libjpeg finds out."""
    return tifffile.tifffile.jpeg_decode_colorspace(page.photometric, page.planarconfig, page.extrasamples, page.is_jfif)


def decompressed(page: tifffile.TiffPage) -> tifffile.TiffPage:
    """The page as one whose segments are not compressed, though their predictor is still to be undone."""
    raw = copy.copy(page)
    raw.compression = 1
    raw.__dict__.pop("decode", None)  # tifffile keeps it from the first use on
    return raw


def segments_of(page: tifffile.TiffPage) -> int:
    """How many segments one sample plane of the page has."""
    if page.is_tiled:
        return math.ceil(page.imagelength / page.tilelength) * math.ceil(page.imagewidth / page.tilewidth)
    return math.ceil(page.imagelength / (page.rowsperstrip or page.imagelength))
