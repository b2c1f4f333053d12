"""Boxes of an area in rectangles. Pure."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def even(height: int, width: int, d: int, boxes: tuple[int, int, int, int]) -> Iterator[tuple[int, int, int, int, int]]:
    """(y0, y1, x0, x1, pixels of each) of rectangles of `boxes` whose boxes are as large; the last of an area may be smaller."""
    y0, y1, x0, x1 = boxes
    yield from (
        (top, bottom, left, right, high * wide)
        for top, bottom, high in ((y0, min(y1, height // d), d), (max(y0, height // d), y1, height % d))
        for left, right, wide in ((x0, min(x1, width // d), d), (max(x0, width // d), x1, width % d))
        if top < bottom and left < right
    )


def covered(here: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int]]:
    """(y0, y1, x0, x1) of rectangles that cover what is true."""
    if here.all():
        yield 0, here.shape[0], 0, here.shape[1]
        return
    for y, row in enumerate(here):
        edges = np.flatnonzero(np.diff(row, prepend=False, append=False)).tolist()
        yield from ((y, y + 1, x0, x1) for x0, x1 in zip(edges[::2], edges[1::2], strict=True))
