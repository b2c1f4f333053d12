"""Pixels of one level into the next one's part of a slot."""

from typing import Any

from numpy.typing import NDArray

from omezarr_proc.model.region import Index, Y, Z, ceil_div
from omezarr_proc.pixels.reduction import Reduction


def fold(
    pixels: NDArray[Any], place: tuple[int, int, int], ratio: Index, slot: NDArray[Any], reduction: Reduction, channel: int = 0
) -> None:
    """Reduce `pixels[channels, depth, h, w]` of a level into `slot[z, y, x, channels, depth, tile, tile]` of the next one.

    place    where the pixels begin, on a box, along z, y and x: in pixels of their level from the begin of the slot's ground
    ratio    of both levels; all of the result lies in one chunk, since chunks are as large on every level
    channel  of the slot that the first one of the pixels is
    """
    deep, d = ratio[Z], ratio[Y]
    channels, depth, height, width = pixels.shape
    (z, front), (y, top), (x, left) = (divmod(at // n, side) for at, n, side in zip(place, ratio[Z:], slot.shape[4:], strict=True))
    planes = slice(front, front + ceil_div(depth, deep))
    rows, columns = slice(top, top + ceil_div(height, d)), slice(left, left + ceil_div(width, d))
    reduction.fold(pixels, deep, d, slot[z, y, x, channel : channel + channels, planes, rows, columns])
