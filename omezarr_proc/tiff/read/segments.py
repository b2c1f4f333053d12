"""The segments of an image's planes as pixels: each checked before its decoder sees it, damage told of.

An undecodable segment is an error that names file, image, plane and segment.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import InputError, LimitError, UnsupportedInputError
from omezarr_proc.model.image import Image, Plane
from omezarr_proc.model.text import first_line
from omezarr_proc.tiff.file.bytes import Opener
from omezarr_proc.tiff.read import claims, damage, decode, lzw
from omezarr_proc.tiff.read.damage import DamagedError
from omezarr_proc.tiff.read.source import Source

READ_TOGETHER = 512 << 10  # bytes of encoded segments that wait to be decoded


class Segments(Source):
    """A source that also decodes."""

    def __init__(self, image: Image, on_damage: Callable[[str], None] | None = None, opener: Opener | None = None) -> None:
        """`on_damage` is told of each damaged segment whose pixels are taken as decoded; without it such a segment is an error."""
        super().__init__(image, opener)
        self._on_damage = on_damage

    def segment(self, plane: Plane, index: int) -> NDArray[Any]:
        """The pixels [h, w, samples] of one segment of a plane, at least its part inside the image."""
        return next(self.segments(plane, (index,)))

    def segments(self, plane: Plane, indices: Iterable[int]) -> Iterator[NDArray[Any]]:
        """The pixels of several segments in turn, each as `segment` has it; small ones are read together."""
        for group in self._together(plane, indices):
            found = self.read_all(plane, [place for _, place in group if place])[::-1]
            for index, place in group:
                yield self._pixels(plane, index, found.pop()) if place else self.empty(plane)

    def _together(self, plane: Plane, indices: Iterable[int]) -> Iterator[list[tuple[int, tuple[int, int] | None]]]:
        """Segments with their extents, in groups of at most READ_TOGETHER bytes, or of one."""
        group: list[tuple[int, tuple[int, int] | None]] = []
        size = 0
        for index in indices:
            place = self.extent(plane, index)
            count = place[1] if place else 0
            if group and size + count > READ_TOGETHER:
                yield group
                group, size = [], 0
            group.append((index, place))
            size += count
        if group:
            yield group

    def _pixels(self, plane: Plane, index: int, data: bytes) -> NDArray[Any]:
        try:
            return self._decoded(plane, index, data)
        except DamagedError as error:
            pixels = self._decoded(plane, index, data, damaged=True)  # raises where ON_CORRUPT=warn would not help
            self.damaged(plane, index, error)
            return pixels

    def damaged(self, plane: Plane, index: int, reason: DamagedError) -> None:
        """Tell of a segment that is damaged. Raises InputError where that is an error."""
        what = f"segment {index} is damaged ({first_line(reason)})"
        if self._on_damage is None:
            raise self.error(plane, f"{what}; copy the file again or repair it (or set ON_CORRUPT=warn)") from reason
        self._on_damage(str(self.error(plane, f"{what}; its pixels are taken as decoded")))

    def _decoded(self, plane: Plane, index: int, data: bytes, damaged: bool = False) -> NDArray[Any]:
        """The pixels of an encoded segment. Raises DamagedError for what is seen to be damaged and yet can be decoded with `damaged`."""
        page = self.page(plane)
        position = index + plane.sample % page.shown.planes * decode.segments_of(page.tiff)
        try:
            if page.decompressed and (decompressed := lzw.decode(data, self._stored_bytes(plane))) is not None:
                return decode.segment(page.decompressed, page.shown, decompressed, position, None)
            self.check(plane, index, data)
            if not damaged:
                damage.look(data, self.image.layouts[plane.layout].compression)
            return decode.segment(page.tiff, page.shown, data, position, page.jpegtables, damaged)
        except (InputError, DamagedError):
            raise
        except MemoryError as error:
            what = f"segment {index} does not fit into the memory there is: it is corrupt, or needs a larger machine"
            raise self.error(plane, what, LimitError) from error
        except Exception as error:
            if self.image.layouts[plane.layout].compression == "ojpeg":  # which TIFF 6.0 left open in much
                what = f"segment {index} is old-style JPEG in a form that is not supported, or corrupt ({first_line(error)}); "
                raise self.error(plane, what + "write it anew with another compression", UnsupportedInputError) from error
            raise self.error(plane, f"segment {index} is corrupt ({first_line(error)}); copy the file again or repair it") from error

    def _stored_bytes(self, plane: Plane) -> int:
        """Decompressed bytes of a segment at most."""
        page = self.page(plane)
        itemsize = page.tiff.dtype.itemsize if page.tiff.dtype else 0
        return math.prod(decode.stored_shape(page.tiff, page.shown)) * itemsize

    def check(self, plane: Plane, index: int, data: bytes | memoryview) -> None:
        """Raise InputError for an encoded segment that must not reach its decoder: it would take the worker's memory or its life."""
        layout, samples = self.image.layouts[plane.layout], self.page(plane).shown.stored_samples
        reason = claims.excessive(data, layout.compression, layout.segment_width, layout.segment_height, samples)
        if layout.compression == "lzw":
            page = self.page(plane).tiff
            reason = lzw.invalid(imagecodecs.bitorder_decode(bytes(data)) if page.fillorder == 2 else data)
        if reason:
            raise self.error(plane, f"segment {index} is corrupt ({reason}); copy the file again or repair it")

    def empty(self, plane: Plane) -> NDArray[Any]:
        """The pixels of an empty segment of a sparse file."""
        page = self.page(plane)
        if page.shown.data_units and self.nodata(plane):
            raise self.error(
                plane, "it has empty segments of another no-data value than 0, in 24-bit integers or YCbCr", UnsupportedInputError
            )
        values = np.full(decode.stored_shape(page.tiff, page.shown), self.nodata(plane), page.tiff.dtype)
        return values if page.shown.convert is None else page.shown.convert(values)

    def nodata(self, plane: Plane) -> int | float:
        """The value, as stored, of what a sparse file leaves out."""
        nodata = self.page(plane).tiff.nodata
        return nodata if isinstance(nodata, int | float) else 0
