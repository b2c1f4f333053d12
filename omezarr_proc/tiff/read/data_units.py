"""What is stored in data units of its own: of several pixels that share their chroma, and of integers of three bytes.

tifffile does not read them, but the page as one of single bytes, whose segments are those of the page: rows and columns of data units.
"""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

Convert = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class DataUnits(ABC):
    """Bytes [data units down, bytes of those across, 1] as pixels [h, w, samples]: also those of the units that lie beyond the image.

    across, down  pixels of a unit
    bytes         of a unit
    """

    across: int
    down: int
    bytes: int

    @abstractmethod
    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Pixels of bytes."""

    def as_stored(self, page: tifffile.TiffPage) -> tifffile.TiffPage:
        """The page as one of single bytes."""
        stored = copy.copy(page)
        stored.photometric, stored.samplesperpixel, stored.bitspersample = tifffile.PHOTOMETRIC.MINISBLACK, 1, 8
        stored.sampleformat, stored.subsampling, stored.extrasamples = tifffile.SAMPLEFORMAT.UINT, None, ()
        stored.dtype = stored._dtype = np.dtype(np.uint8)
        if page.is_tiled:
            stored.tilewidth = math.ceil(page.tilewidth / self.across) * self.bytes
            stored.tilelength = math.ceil(page.tilelength / self.down)
            stored.imagewidth = math.ceil(page.imagewidth / page.tilewidth) * stored.tilewidth
            stored.imagelength = math.ceil(page.imagelength / page.tilelength) * stored.tilelength
        else:
            rows = min(page.rowsperstrip or page.imagelength, page.imagelength)
            before = (math.ceil(page.imagelength / rows) - 1) * rows
            stored.rowsperstrip = math.ceil(rows / self.down)
            stored.imagewidth = math.ceil(page.imagewidth / self.across) * self.bytes
            stored.imagelength = before // rows * stored.rowsperstrip + math.ceil((page.imagelength - before) / self.down)
        stored.shaped = (page.shaped[0], 1, stored.imagelength, stored.imagewidth, 1)
        for kept in ("decode", "hash"):  # by tifffile, from the first use on
            stored.__dict__.pop(kept, None)
        return stored


@dataclass(frozen=True)
class Chroma(DataUnits):
    """Of each unit the luma of its pixels, Cb, Cr (TIFF 6.0, section 21)."""

    to_rgb: Convert

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """See `DataUnits`."""
        units = values.reshape(len(values), -1, self.bytes)
        high, wide = units.shape[0] * self.down, units.shape[1] * self.across
        out = np.empty((high, wide, 3), np.uint8)
        luma = units[..., :-2].reshape(units.shape[0], units.shape[1], self.down, self.across)
        out[..., 0] = luma.transpose(0, 2, 1, 3).reshape(high, wide)
        out[..., 1:] = units[..., -2:].repeat(self.down, 0).repeat(self.across, 1)
        return self.to_rgb(out)


@dataclass(frozen=True)
class Triples(DataUnits):
    """Integers of three bytes as such of four, in the byte order of the file: as libtiff has it, and Bio-Formats."""

    order: str
    then: Convert | None

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """See `DataUnits`."""
        three = values.reshape(len(values), -1, self.bytes // 3, 3)
        four = np.zeros((*three.shape[:3], 4), np.uint8)
        four[..., slice(0, 3) if self.order == "<" else slice(1, 4)] = three
        integers = four.view(f"{self.order}u4")[..., 0].astype(np.uint32)
        return integers if self.then is None else self.then(integers)
