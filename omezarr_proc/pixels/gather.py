"""Boxes whose pixels come in blocks, plane by plane: what a reader yields into pixels of the level made.

Blocks are (y, x, pixels[h, w, samples]) in pixels of the source plane; they are disjoint and come in rows from the top. Of boxes that
straddle blocks means carry sums; whatever must see all pixels of a box at once has them kept (`gather_boxes`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.image import Rect
from omezarr_proc.model.region import ceil_div
from omezarr_proc.pixels.average import add_box_sums, box_mean, mean_of, sum_dtype
from omezarr_proc.pixels.kept import KeptBoxes
from omezarr_proc.pixels.partial import PartialBoxes
from omezarr_proc.pixels.rectangles import even

Blocks = Iterable[tuple[int, int, NDArray[Any]]]
# Makes boxes of all planes and d x d pixels of block[planes, h, w, samples], the first of which begins with it, into
# out[samples, ceil(h/d), ceil(w/d)].
MakeBoxes = Callable[[NDArray[Any], int, NDArray[Any]], None]

# Pixels that do not fall into one piece of the target are made in pieces of this size, which stay in a core's cache until they are copied.
_PIECE_BYTES = 128 * 1024


class Target(Protocol):
    """Where the pixels of a level go."""

    def view(self, y: int, x: int, height: int, width: int) -> NDArray[Any] | None:
        """The memory [samples, h, w] of a rectangle of the level, where it is in one piece."""

    def views(self, y: int, x: int, height: int, width: int) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
        """A rectangle of the level in pieces: the rows and columns of each, from (`y`, `x`) on, and its memory [samples, h, w]."""


def gather_nearest(planes: Sequence[Blocks], d: int, area: Rect, target: Target) -> None:
    """Take the first pixel of each box (for label images). Only the first of `planes` is read; see `gather_means`."""
    for y, x, block in planes[0]:
        top, left = -y % d, -x % d
        _put(np.moveaxis(block[top::d, left::d], 2, 0), (y + top) // d, (x + left) // d, target)


def gather_means(planes: Sequence[Blocks], d: int, area: Rect, target: Target) -> None:
    """Average boxes of all `planes` and d x d pixels into `target`.

    planes  the blocks of each plane of the boxes, from the front; each is gone through once, in turn
    area    what the blocks of a plane cover, in its pixels; begins on a box and ends on one, or with the plane
    """
    taker: _Means | _Sums = _Means(d, target) if len(planes) == 1 else _Sums(len(planes), d, area)
    for blocks in planes:
        _gather_plane(blocks, d, area, taker.whole, lambda block: PartialBoxes(d, area, block.shape[2], block.dtype, taker.sums))
    if isinstance(taker, _Sums):
        taker.finish(target)


def gather_boxes(boxes: MakeBoxes, planes: Sequence[Blocks], d: int, area: Rect, target: Target) -> None:
    """Make boxes of all `planes` and d x d pixels into `target`, each of all its pixels at once; see `gather_means`.

    Rows of boxes that straddle blocks are kept until all of their pixels have come; of several planes the whole area is.
    """

    def whole(y: int, x: int, block: NDArray[Any]) -> None:
        make_boxes(boxes, block[np.newaxis], d, y, x, target)

    if len(planes) == 1:
        _gather_plane(planes[0], d, area, whole, lambda block: KeptBoxes(d, area, whole))
        return
    pixels: NDArray[Any] | None = None
    for z, blocks in enumerate(planes):
        for y, x, block in blocks:
            if pixels is None:
                pixels = np.empty((len(planes), area.height, area.width, block.shape[2]), block.dtype)
            pixels[z, y - area.y0 :, x - area.x0 :][: block.shape[0], : block.shape[1]] = block
    if pixels is not None:
        make_boxes(boxes, pixels, d, area.y0 // d, area.x0 // d, target)


class _Means:
    """Boxes of one plane, averaged where they are to lie."""

    def __init__(self, d: int, target: Target) -> None:
        self._d, self._target = d, target

    def whole(self, y: int, x: int, block: NDArray[Any]) -> None:
        make_boxes(box_mean, block[np.newaxis], self._d, y, x, self._target)

    def sums(self, y: int, x: int, sums: NDArray[Any], counts: int | NDArray[Any], dtype: np.dtype[Any]) -> None:
        means = np.empty(sums.shape, dtype)
        mean_of(sums, counts, means)
        _put(means, y, x, self._target)


def make_boxes(boxes: MakeBoxes, block: NDArray[Any], d: int, y: int, x: int, target: Target) -> None:
    """Make whole boxes of all planes and d x d pixels of `block[planes, h, w, samples]` into `target`, from (`y`, `x`) of the level on."""
    height, width = ceil_div(block.shape[1], d), ceil_div(block.shape[2], d)
    view = target.view(y, x, height, width)
    if view is not None:
        boxes(block, d, view)
        return
    step = max(1, _PIECE_BYTES // (width * block.shape[3] * block.itemsize))
    made = np.empty((block.shape[3], min(step, height), width), block.dtype)
    for r in range(0, height, step):
        part = made[:, : min(step, height - r)]
        boxes(block[:, r * d : (r + step) * d], d, part)
        _put(part, y + r, x, target)


def _put(pixels: NDArray[Any], y: int, x: int, target: Target) -> None:
    with np.errstate(over="ignore", invalid="ignore"):  # as `store` has it, but once
        for rows, columns, view in target.views(y, x, *pixels.shape[1:]):
            np.copyto(view, pixels[:, rows, columns], casting="unsafe")


class _Sums:
    """Boxes of several planes: sums of all that lie in an area, rounded when the last plane is there.

    They take 2 to 8 bytes a pixel of the level and sample, for floats 12 with the counts.
    """

    def __init__(self, planes: int, d: int, area: Rect) -> None:
        self._planes, self._d, self._area = planes, d, area
        self._y, self._x = area.y0 // d, area.x0 // d
        self._sums: NDArray[Any] | None = None
        self._counts: NDArray[Any] | None = None

    def whole(self, y: int, x: int, block: NDArray[Any]) -> None:
        sums, counts = self._at(y, x, (block.shape[2], ceil_div(block.shape[0], self._d), ceil_div(block.shape[1], self._d)), block.dtype)
        add_box_sums(block, self._d, sums, counts)

    def sums(self, y: int, x: int, sums: NDArray[Any], counts: int | NDArray[Any], dtype: np.dtype[Any]) -> None:
        into, numbers = self._at(y, x, sums.shape, dtype)
        with np.errstate(invalid="ignore"):  # opposite infinities cancel to NaN, as they should
            into += sums
        if numbers is not None:
            numbers += counts

    def _at(self, y: int, x: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """The sums [samples, h, w] of a rectangle of the level, and the counts that floats have. `dtype`: of the pixels."""
        samples, height, width = shape
        if self._sums is None:
            whole = samples, ceil_div(self._area.height, self._d), ceil_div(self._area.width, self._d)
            # -0.0 + x is x, whatever its sign.
            self._sums = np.full(whole, -0.0 if dtype.kind == "f" else 0, sum_dtype(dtype, self._planes * self._d**2))
            self._counts = np.zeros(whole, np.int32) if dtype.kind == "f" else None
        here = (slice(None), slice(y - self._y, y - self._y + height), slice(x - self._x, x - self._x + width))
        return self._sums[here], None if self._counts is None else self._counts[here]

    def finish(self, target: Target) -> None:
        """Round the sums into `target`."""
        if self._sums is None:
            return
        _, height, width = self._sums.shape
        for y0, y1, x0, x1, pixels in even(self._area.height, self._area.width, self._d, (0, height, 0, width)):
            count = self._planes * pixels
            for down, across, view in target.views(self._y + y0, self._x + x0, y1 - y0, x1 - x0):
                rows, columns = slice(y0 + down.start, y0 + down.stop), slice(x0 + across.start, x0 + across.stop)
                mean_of(self._sums[:, rows, columns], count if self._counts is None else self._counts[:, rows, columns], view)


class _Straddling(Protocol):
    """Takes the blocks of boxes that straddle them, and hands these over when they are complete."""

    def add(self, y: int, x: int, block: NDArray[Any]) -> None: ...

    def complete(self, y: int) -> None: ...

    def finish(self) -> None: ...


def _gather_plane(
    blocks: Blocks,
    d: int,
    area: Rect,
    whole: Callable[[int, int, NDArray[Any]], None],
    straddling: Callable[[NDArray[Any]], _Straddling],
) -> None:
    """Hand over the boxes of a plane: to `whole` those that lie in a block, by the place of the first one in the level, with their pixels.

    straddling  makes what takes the rows that do not complete a box, for blocks like the one given
    """
    partial: _Straddling | None = None
    for y, x, block in blocks:
        bottom, right = y + block.shape[0], x + block.shape[1]
        top = min(ceil_div(y, d) * d, bottom)
        end = bottom if bottom == area.y1 else max(bottom - bottom % d, top)
        if x % d or (right % d and right != area.x1):
            top = end = bottom
        if top > y or end < bottom:
            partial = partial or straddling(block)
            partial.complete(y)
            if top > y:
                partial.add(y, x, block[: top - y])
            if end < bottom:
                partial.add(end, x, block[end - y :])
        if end > top:
            whole(top // d, x // d, block[top - y : end - y])
    if partial:
        partial.finish()
