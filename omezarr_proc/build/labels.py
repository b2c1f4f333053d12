"""Why an image seems to hold labels: by what it is called, or by a look at some of its pixels."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.image import Image, Layout, Plane, Rect
from omezarr_proc.model.region import ceil_div
from omezarr_proc.pixels.flatness import are_flat, is_rough

if TYPE_CHECKING:
    from omezarr_proc.tiff.read.reader import Reader

# Whole words of a name, whatever stands for spaces in it: "cells_masks.tif", "nuclei-seg", "Label image".
_NAMES = re.compile(r"(?<![a-z])(masks?|labels?|labelled|labeled|seg|segm|segmentation|segmented|annotations?|instances?)(?![a-z])", re.I)
_INTEGERS = re.compile(r"u?int(8|16|32|64)|bool")
# What labels are stored with. Lossy codecs destroy them, and their decoders stay in the workers, whom a hostile file may take down.
_LOSSLESS = {"none", "deflate", "lzw", "packbits", "zstd"}
_SIDE = 256  # pixels of a window
_MOST_BYTES = 4 << 20  # decoded for one window
_MOST_ROWS = 1 << 20  # bytes of whole rows that are read for a window of them
_PLACES = ((0.5, 0.5), (0.3, 0.3), (0.3, 0.7), (0.7, 0.3), (0.7, 0.7))


def label_hint(image: Image) -> str:
    """Why an image seems to hold labels rather than intensities; empty where it does not.

    It has integers and no colours, and either its file, its own name or a channel is called so, or its pixels are integers of 32 bits or
    more or single bits, which no camera writes; or a few windows of two of its planes have flat areas of values that are no neighbours.
    """
    if image.rgb or not _INTEGERS.fullmatch(image.dtype):
        return ""
    if image.dtype in ("uint32", "int32", "uint64", "int64"):
        return f"{image.dtype} pixels"
    names = [PurePath(image.source).name, image.name, *(channel.name or "" for channel in image.channels)]
    named = next((f"it is called {name!r}" for name in names if _NAMES.search(name)), "")
    return named or ("it has flat areas of values far apart" if _looks_so(image) else "")


def _looks_so(image: Image) -> bool:
    """Whether windows of it are flat; no more are read once one is rough."""
    from omezarr_proc.tiff.read.reader import Reader  # of most images the workers alone need it

    seen: list[NDArray[Any]] = []
    with contextlib.suppress(ProcError, OSError), contextlib.closing(Reader(image)) as reader:  # who converts it says what is wrong
        for window in _windows(image, reader):
            if is_rough(window):
                return False
            seen.append(window)
        return bool(seen) and are_flat(seen)
    return False


def _windows(image: Image, reader: "Reader") -> Iterator[NDArray[Any]]:
    """Windows [h, w] of the first plane and the middle one, from its middle outwards: a function of the image alone."""
    chosen = dict.fromkeys((image.planes[0], image.planes[len(image.planes) // 2]))
    wanted = [
        (plane, rect, "rows" if layout.raw else "segment")
        for plane in chosen
        if plane is not None and (layout := image.layouts[plane.layout]).compression in _LOSSLESS
        for rect in dict.fromkeys(_window(layout, *place) for place in _PLACES)
        if layout.raw or _segments(layout, rect) * max(layout.segment_bytes, layout.encoded_bytes) <= _MOST_BYTES
    ]
    for number, (plane, rect, access) in enumerate(wanted):
        if number < 2:  # the first one mostly says enough; after it the others are fetched together, where the file is far away
            reader.ahead(wanted[number : 1 if number == 0 else None])
        yield from _read(reader, plane, image.layouts[plane.layout], rect, access)


def _window(layout: Layout, down: float, across: float) -> Rect:
    """A window there, which begins with a segment where these are large."""
    y, x = _begin(layout.height, layout.segment_height, down), _begin(layout.width, layout.segment_width, across)
    return Rect(y, min(y + _SIDE, layout.height), x, min(x + _SIDE, layout.width))


def _begin(size: int, segment: int, place: float) -> int:
    begin = int(max(0, size - _SIDE) * place)
    return begin - begin % segment if segment >= _SIDE // 2 else begin


def _segments(layout: Layout, rect: Rect) -> int:
    high, wide = layout.segment_height, layout.segment_width
    return (ceil_div(rect.y1, high) - rect.y0 // high) * (ceil_div(rect.x1, wide) - rect.x0 // wide)


def _read(reader: "Reader", plane: Plane, layout: Layout, rect: Rect, access: str) -> NDArray[Any]:
    """The window's samples [samples, h, w]."""
    width = layout.width * layout.samples * np.dtype(layout.dtype).itemsize
    if layout.raw and rect.width < layout.width <= layout.segment_width and rect.height * width <= _MOST_ROWS:
        rows = _read(reader, plane, layout, Rect(rect.y0, rect.y1, 0, layout.width), access)  # one read, not one for each row
        return rows[:, :, rect.x0 : rect.x1]
    pixels = np.empty((rect.height, rect.width, layout.samples), layout.dtype)
    for y, x, block in reader.read(plane, rect, access):
        pixels[y - rect.y0 :, x - rect.x0 :][: block.shape[0], : block.shape[1]] = block
    return np.moveaxis(pixels, 2, 0)
