"""What the pixels of a plane are gathered into."""

from collections.abc import Iterator

import numpy as np


class Level:
    """A level as the target of what is gathered, in tiles of 16 x 16 pixels."""

    def __init__(self, shape: tuple[int, int, int], dtype: str) -> None:
        self.pixels = np.zeros(shape, dtype)

    def view(self, y: int, x: int, height: int, width: int) -> np.ndarray | None:
        whole = y % 16 + height <= 16 and x % 16 + width <= 16
        return self.pixels[:, y : y + height, x : x + width] if whole else None

    def views(self, y: int, x: int, height: int, width: int) -> Iterator[tuple[slice, slice, np.ndarray]]:
        for top in range(y - y % 16, y + height, 16):
            for left in range(x - x % 16, x + width, 16):
                rows, columns = slice(max(top, y), min(top + 16, y + height)), slice(max(left, x), min(left + 16, x + width))
                here = slice(rows.start - y, rows.stop - y), slice(columns.start - x, columns.stop - x)
                yield *here, self.pixels[:, rows, columns]
