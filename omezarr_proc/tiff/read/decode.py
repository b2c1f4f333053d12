"""What the pages of a TIFF mean and how a segment becomes pixels: tifffile and imagecodecs decode, this module adds what they leave out.

Every viewer inverts MinIsWhite, shows a palette's colours and sees a bit as 0 or 1; tifffile returns what is stored. So the pixels of a
page are tifffile's decoded values, converted by `Pixels`. Pages that nothing here reads faithfully are refused by `pixels`.
"""

import contextlib
import copy
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from omezarr_proc.host.quiet import quiet_stderr
from omezarr_proc.model.image import Layout
from omezarr_proc.tiff.file.budget import VALUE_BYTES
from omezarr_proc.tiff.file.bytes import stream
from omezarr_proc.tiff.file.ifd import Ifds, Tag
from omezarr_proc.tiff.file.tags import PHOTOMETRIC_INTERPRETATION, ROWS_PER_STRIP
from omezarr_proc.tiff.read import jpeg, ycc
from omezarr_proc.tiff.read.colours import ToSrgb, profile_of
from omezarr_proc.tiff.read.damage import DamagedError

MINISWHITE, MINISBLACK, RGB, PALETTE, MASK, SEPARATED, YCBCR, LINEAR_RAW = 0, 1, 2, 3, 4, 5, 6, 34892
_SHOWN = {SEPARATED: "CMYK", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "colour filter array", 32844: "LogL", 32845: "LogLuv"}
_OR_SRGB = ", or set COLOR=srgb where it has an ICC profile"
_AS_THEY_ARE = "COLOR=keep leaves them as they are"
_JPEG = {6, 7, 34892, 33007}
_JPEG2000 = {33003, 33004, 33005, 34712}
_JPEG_XR = {22610, 34934}
_DEFLATE = {8, 32946}
_CCITT = {2, 3, 4}
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


class UnsupportedError(Exception):
    """This page cannot be decoded faithfully; the text says why, for the end of a sentence."""


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """How the values that tifffile decodes become the pixels of the image.

    samples     interleaved samples of a yielded pixel; stored_samples, those of a stored one
    planes      samples that are stored as planes of their own (PlanarConfiguration 2), else 1
    stored      type and byte order of a value in the file, where it is whole bytes
    convert     from decoded values [h, w, stored samples] to pixels [h, w, samples] of dtype; None where they are the same
    colours     what makes sRGB of these, which then are colours by a profile; None where they are taken as they are
    """

    samples: int
    stored_samples: int
    planes: int
    dtype: str
    rgb: bool
    stored: np.dtype[Any]
    convert: Callable[[NDArray[Any]], NDArray[Any]] | None
    colours: ToSrgb | None = None

    @property
    def samples_before(self) -> int:
        """Samples of a pixel before its colours are converted."""
        return self.colours.takes if self.colours else self.samples

    def finished(self, values: NDArray[Any]) -> NDArray[Any]:
        """Pixels of decoded values."""
        found = values if self.convert is None else self.convert(values)
        return found if self.colours is None else self.colours(found)


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
    file.filehandle.seek(offset)
    with np.errstate(all="ignore"):
        return tifffile.TiffPage(file, index=0 if first else 1)


def tags_bytes(tags: Mapping[int, Tag], size: int) -> int:
    """Memory that tifffile takes for the tags of a page in a file of `size` bytes: integers as objects, texts as bytes and as text."""
    loaded = (tag for code, tag in tags.items() if code in tifffile.TIFF.TAG_LOAD and tag.size <= size)
    return sum(3 * tag.size if tag.kind in (1, 2, 7) else VALUE_BYTES * tag.number for tag in loaded)


def pixels(page: tifffile.TiffPage, colours: bool, to_srgb: bool = False) -> Pixels:
    """What the page's pixels are.

    colours  a palette's indices become its colours, else they stay what they are
    to_srgb  colours by an ICC profile become sRGB, also those of inks (CMYK)

    Raises UnsupportedError where the pixels cannot be shown as they are meant.
    """
    profile = profile_of(page) if to_srgb else None
    found = _pixels(page, colours, inks=profile is not None)
    separated = page.photometric == SEPARATED
    return found if profile is None or not (found.rgb or separated) else _in_srgb(found, profile, separated)


def _in_srgb(found: Pixels, profile: bytes, separated: bool) -> Pixels:
    if found.planes > 1:
        raise UnsupportedError(f"colours with a profile whose samples are stored apart, which are not converted to sRGB; {_AS_THEY_ARE}")
    if found.dtype not in ("uint8", "uint16"):
        raise UnsupportedError(f"colours of {found.dtype} with a profile, which are not converted to sRGB; {_AS_THEY_ARE}")
    try:
        colours = ToSrgb(profile, found.samples, "CMYK" if separated else "RGB")
    except (ValueError, imagecodecs.CmsError) as error:
        what = "convert it to RGB" if separated else _AS_THEY_ARE
        raise UnsupportedError(f"colours by a profile that cannot be used ({error}); {what}") from error
    return replace(found, samples=colours.makes, rgb=True, colours=colours)


def _pixels(page: tifffile.TiffPage, colours: bool, inks: bool) -> Pixels:
    """As `pixels`, before any conversion of colours; `inks`: CMYK may be four samples."""
    stated = PHOTOMETRIC_INTERPRETATION in page.tags or page.compression in {2, 3, 4, 6}
    photometric = page.photometric if stated else (RGB if page.samplesperpixel >= 3 else MINISBLACK)
    sizes = page.imagewidth, page.imagelength, page.samplesperpixel, page.tilewidth, page.tilelength, page.rowsperstrip or 0
    if not all(isinstance(size, int) for size in sizes):
        raise UnsupportedError("a page whose sizes are no integers")
    spp, planar = page.samplesperpixel, page.planarconfig == 2 and page.samplesperpixel > 1
    if page.imagewidth < 1 or page.imagelength < 1 or not 1 <= spp <= 4096:
        raise UnsupportedError(f"a page of {page.imagewidth} x {page.imagelength} pixels of {spp} samples")
    if page.compression in _CCITT and ((spp > 1 and not planar) or page.bitspersample != 1):
        raise UnsupportedError(f"CCITT compression of {spp} samples of {page.bitspersample} bits; write it with another compression")
    if page.dtype is None:
        raise UnsupportedError(f"pixels of {page.bitspersample} bits in sample format {page.sampleformat!s}")
    if not isinstance(page.bitspersample, int):
        raise UnsupportedError(f"samples of different size, {page.bitspersample} bits")
    if page.bitspersample == 24 and page.dtype.kind != "f":
        raise UnsupportedError("24-bit integers, on whose byte order writers do not agree; write them as 32-bit integers")
    if page.predictor != 1 and page.bitspersample not in (8, 16, 32, 64):
        raise UnsupportedError(f"a predictor over samples of {page.bitspersample} bits")
    if page.dtype.kind == "c":
        raise UnsupportedError("complex numbers; write magnitude and phase, or real and imaginary part, as channels")
    if photometric in _SHOWN and not (inks and photometric == SEPARATED):
        raise UnsupportedError(f"colours as {_SHOWN[photometric]}; convert it to RGB{_OR_SRGB if photometric == SEPARATED else ''}")
    if photometric not in (SEPARATED, MINISWHITE, MINISBLACK, RGB, PALETTE, MASK, YCBCR, LINEAR_RAW):
        raise UnsupportedError(f"the unknown photometric interpretation {int(photometric)}")
    if page.imagedepth > 1:
        raise UnsupportedError(f"volumetric segments (ImageDepth {page.imagedepth}); write the slices as pages")
    if photometric == YCBCR and page.compression not in _JPEG | _JPEG2000 | {34933, 50001, 50002, 34934}:
        raise UnsupportedError("YCbCr colours without JPEG compression; convert it to RGB")
    if page.compression == 34892 and photometric == YCBCR:
        raise UnsupportedError("lossy DNG JPEG; convert it to RGB")
    samples = 1 if planar else spp
    stored = page.dtype.newbyteorder(page.parent.byteorder)
    dtype = _dtype(page.dtype)
    convert: Callable[[NDArray[Any]], NDArray[Any]] | None = None
    if photometric == MINISWHITE:
        if page.dtype.kind not in "bu":
            raise UnsupportedError(f"MinIsWhite pixels of type {page.dtype}")
        convert = _Invert((1 << page.bitspersample) - 1, dtype)
    elif photometric == PALETTE and samples != 1:
        raise UnsupportedError("a palette image with extra samples; convert it to RGB")
    elif photometric == PALETTE and colours:
        if page.colormap is None or page.dtype.kind not in "bu" or page.colormap.shape[1] < 1 << int(page.bitspersample):
            raise UnsupportedError("a palette image without its colour map")
        convert = _Palette(page.colormap)
        return Pixels(samples=3, stored_samples=samples, planes=1, dtype=convert.table.dtype.name, rgb=True, stored=stored, convert=convert)
    elif dtype != page.dtype.name:
        convert = _Cast(dtype)
    elif page.compression in _JPEG2000 and samples == 3 and dtype == f"uint{page.bitspersample}" and ycc.hidden(page):
        convert = ycc.to_rgb
    return Pixels(
        samples=samples,
        stored_samples=samples,
        planes=spp if planar else 1,
        dtype=dtype,
        rgb=photometric in (RGB, YCBCR) and spp >= 3,
        stored=stored,
        convert=convert,
    )


def is_lookup_table(page: tifffile.TiffPage) -> bool:
    """Whether a palette only shows intensities, as microscopes write it: its colours never get darker from one index to the next."""
    table = page.colormap
    if page.photometric != PALETTE or table is None or table.ndim != 2 or table.shape[1] < 2:
        return False
    steps = np.diff(table.astype(np.int64), axis=1)
    return bool((steps >= 0).all() and len(np.unique(table, axis=1).T) > table.shape[1] // 2)


def layout(page: tifffile.TiffPage, shown: Pixels) -> Layout:
    """The layout of a page's planes. Raises UnsupportedError where its codec is not there or its segments make no sense."""
    with np.errstate(all="ignore"):  # nonsense in tags
        decode = page.decode
    if decode.__name__.startswith("decode_raise"):
        try:
            decode(b"", 0)
        except Exception as error:
            raise UnsupportedError(str(error)[:120]) from error
    height, width = (
        (page.tilelength, page.tilewidth)
        if page.is_tiled
        else (min(page.rowsperstrip or page.imagelength, page.imagelength), page.imagewidth)
    )
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
        raw=code == 1 and page.predictor == 1 and whole,
        stream=code in _DEFLATE and whole and page.predictor in (1, 2, 3),
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
        + (3.0 if shown.colours else 0.0)
        + (1.0 if page.predictor != 1 else 0.0),
    )


def segment(
    page: tifffile.TiffPage, shown: Pixels, data: bytes | bytearray, index: int, jpegtables: bytes | None, damaged: bool = False
) -> NDArray[Any]:
    """The pixels [h, w, samples] of one segment from its encoded bytes, cut at the image's edge for strips, as stored for tiles.

    Colours are not converted yet.

    Raises DamagedError for a JPEG of which libjpeg only warns; with `damaged` it is decoded as far as it can be.
    """
    is_jpeg = page.compression in _JPEG
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


def _dtype(stored: np.dtype[Any]) -> str:
    return "uint8" if stored.kind == "b" else "float32" if stored == np.float16 else stored.name


class _Cast:
    """Values of a type that the output has not: bits as 0 and 1, half floats as floats."""

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype)

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        return values.astype(self.dtype)


class _Invert:
    """MinIsWhite: 0 is white, so the value is counted from the other end."""

    def __init__(self, top: int, dtype: str) -> None:
        self.top = np.array(top, dtype)

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        inverted: NDArray[Any] = self.top - values.astype(self.top.dtype, copy=False)
        return inverted


class _Palette:
    """Indices as colours: uint8 where the 16-bit map holds no more than 8 bits, else uint16."""

    def __init__(self, colormap: NDArray[Any]) -> None:
        table = np.ascontiguousarray(colormap.T)
        if (table <= 255).all():  # written by programs that forget the scale
            table = table.astype(np.uint8)
        elif (table % 257 == 0).all() or (table & 255 == 0).all():
            table = (table >> 8).astype(np.uint8)
        self.table = table

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        colours: NDArray[Any] = self.table[values[..., 0].astype(np.intp, copy=False)]
        return colours
