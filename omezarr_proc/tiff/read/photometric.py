"""What the pixels of a TIFF page are, by its photometric interpretation, its samples and their types.

Every viewer inverts MinIsWhite, shows a palette's colours and sees a bit as 0 or 1; tifffile returns what is stored. So the pixels of a
page are tifffile's decoded values, converted by `Pixels`. Pages that nothing here reads faithfully are refused by `pixels`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from omezarr_proc.tiff.file.tags import PHOTOMETRIC_INTERPRETATION
from omezarr_proc.tiff.read import ycbcr, ycc
from omezarr_proc.tiff.read.colours import ToSrgb, profile_of
from omezarr_proc.tiff.read.data_units import Chroma, DataUnits, Triples

MINISWHITE, MINISBLACK, RGB, PALETTE, MASK, SEPARATED, YCBCR, LINEAR_RAW = 0, 1, 2, 3, 4, 5, 6, 34892
_SHOWN = {SEPARATED: "CMYK", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32803: "colour filter array", 32844: "LogL", 32845: "LogLuv"}
_OR_SRGB = ", or set COLOR=srgb where it has an ICC profile"
_AS_THEY_ARE = "COLOR=keep leaves them as they are"
JPEG = {6, 7, 34892, 33007}
JPEG2000 = {33003, 33004, 33005, 34712}
_CCITT = {2, 3, 4}


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
    def data_units(self) -> DataUnits | None:
        """What makes pixels of units of bytes; None where tifffile decodes values."""
        return self.convert if isinstance(self.convert, DataUnits) else None

    @property
    def colours_by(self) -> str:
        """Hex digest of the numbers by which values become colours; empty where they are colours."""
        if isinstance(self.convert, _Palette):
            return hashlib.sha256(self.convert.table.dtype.char.encode() + self.convert.table.tobytes()).hexdigest()
        if isinstance(self.convert, ycbcr.ToRgb | Chroma):
            return hashlib.sha256(repr(self.convert).encode()).hexdigest()
        return ""

    @property
    def samples_before(self) -> int:
        """Samples of a pixel before its colours are converted."""
        return self.colours.takes if self.colours else self.samples

    def finished(self, values: NDArray[Any]) -> NDArray[Any]:
        """Pixels of decoded values."""
        found = values if self.convert is None else self.convert(values)
        return found if self.colours is None else self.colours(found)


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
    plain_ycbcr = photometric == YCBCR and page.compression not in JPEG | JPEG2000 | {34933, 50001, 50002, 34934}
    if plain_ycbcr and (spp != 3 or planar or page.bitspersample != 8):
        apart = ", each stored apart" if planar else ""
        raise UnsupportedError(f"YCbCr colours of {spp} samples of {page.bitspersample} bits{apart}; convert it to RGB")
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
    elif plain_ycbcr:
        try:
            convert = ycbcr.of(page)
        except ValueError as error:
            raise UnsupportedError(f"YCbCr colours with {error}; convert it to RGB") from error
        if isinstance(convert, Chroma) and page.predictor != 1:
            raise UnsupportedError("a predictor over subsampled YCbCr colours")
    elif dtype != page.dtype.name:
        convert = _Cast(dtype)
    elif page.compression in JPEG2000 and samples == 3 and dtype == f"uint{page.bitspersample}" and ycc.hidden(page):
        convert = ycc.to_rgb
    if page.bitspersample == 24 and page.dtype.kind != "f":
        convert = Triples(1, 1, 3 * samples, page.parent.byteorder, convert)
    return Pixels(
        samples=samples,
        stored_samples=1 if isinstance(convert, DataUnits) else samples,
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
