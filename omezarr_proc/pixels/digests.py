"""SHA-256 of an image's pixels, in an order that does not depend on how they are stored, and in memory that does not grow with them.

A plane `[y, x]` is cut into blocks of BLOCK x BLOCK pixels, those at its end smaller. The digest of a block is that of its pixels, row by
row, little endian; the digest of a plane that of the digests of its blocks, row of blocks by row of blocks; the digest of an image that of
the digests of its planes, t by t, in it c by c, in it z by z. Digests are taken as their 32 bytes. (`docs/certificate.md` has it in numpy.)
"""

import hashlib
from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.region import Index, Region, ceil_div

BLOCK = 256
_BYTES = 32

# The place of a block, in blocks along t, c, z, y and x, and its digest.
Digest = tuple[Index, bytes]


def digests_of(pixels: NDArray[Any], start: Index) -> Iterator[Digest]:
    """The digest of each block of `pixels[t, c, z, y, x]`, which begin with a block at `start` and end with a block or with the plane."""
    little = pixels.astype(pixels.dtype.newbyteorder("<"), copy=False)
    t0, c0, z0, y0, x0 = start
    for t, c, z in np.ndindex(little.shape[:3]):
        plane = little[t, c, z]
        for y in range(0, plane.shape[0], BLOCK):
            for x in range(0, plane.shape[1], BLOCK):
                block = np.ascontiguousarray(plane[y : y + BLOCK, x : x + BLOCK])
                place = t0 + t, c0 + c, z0 + z, (y0 + y) // BLOCK, (x0 + x) // BLOCK
                yield place, hashlib.sha256(block.data).digest()


class Passing:
    """Takes the digests of blocks of a plane whose pixels come in pieces on their way elsewhere, and keeps no pixels.

    A block gets one where each piece of it holds whole rows of the block, and they come from its first row down without a gap. So one
    that straddles segments side by side, or that the pieces begin or end within, has none.
    """

    def __init__(self, place: tuple[int, int, int], size: tuple[int, int], dtype: str, found: list[Digest]) -> None:
        """A plane of `size` (y, x) at `place` (t, z, the first of its channels); what is taken of pixels as `dtype` goes to `found`."""
        self._place, self._size, self._found = place, size, found
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._open: dict[tuple[int, int], tuple[int, list[hashlib._Hash]]] = {}  # by place, the row that must be next

    def add(self, y: int, x: int, pixels: NDArray[Any]) -> None:
        """Take `pixels[h, w, samples]` at (`y`, `x`)."""
        height, width, _ = pixels.shape
        for top in range(y - y % BLOCK, y + height, BLOCK):
            for left in range(x + -x % BLOCK, x + width, BLOCK):
                right = min(left + BLOCK, self._size[1])
                if right <= x + width:
                    rows = slice(max(top - y, 0), min(top + BLOCK - y, height))
                    self._take(top, left, y + rows.start, pixels[rows, left - x : right - x])

    def _take(self, top: int, left: int, row: int, pixels: NDArray[Any]) -> None:
        """Take rows of the block at (`top`, `left`) from `row` on."""
        expected, hashes = self._open.pop((top, left), (top, []))
        if row != expected:
            return
        with np.errstate(over="ignore", invalid="ignore"):  # as they are stored
            samples = np.ascontiguousarray(np.moveaxis(pixels, 2, 0), self._dtype)
        hashes = hashes or [hashlib.sha256() for _ in samples]
        for digest, sample in zip(hashes, samples, strict=True):
            digest.update(sample.data)
        row += len(pixels)
        if row < min(top + BLOCK, self._size[0]):
            self._open[top, left] = row, hashes
            return
        t, z, c = self._place
        self._found += (((t, c + i, z, top // BLOCK, left // BLOCK), digest.digest()) for i, digest in enumerate(hashes))


def digest_bytes(shape: Index) -> int:
    """Memory that the `Digests` of an image of `shape` (t, c, z, y, x) take."""
    t, c, z, y, x = shape
    return t * c * z * ceil_div(y, BLOCK) * ceil_div(x, BLOCK) * _BYTES


class Digests:
    """The digests of all blocks of an image of `shape` (t, c, z, y, x), 32 bytes each."""

    def __init__(self, shape: Index) -> None:
        """None is there yet."""
        t, c, z, y, x = shape
        self._blocks = np.zeros((t, c, z, ceil_div(y, BLOCK), ceil_div(x, BLOCK), _BYTES), np.uint8)

    def add(self, found: Digest) -> None:
        """Note one of a block, in any order."""
        place, digest = found
        self._blocks[place] = np.frombuffer(digest, np.uint8)

    def lacks(self, region: Region) -> bool:
        """Whether one of a block that is in a region, in pixels, is not there yet."""
        blocks = region.divided((1, 1, 1, BLOCK, BLOCK))
        return not self._blocks[tuple(map(slice, blocks.start, blocks.stop))].any(axis=-1).all()

    @property
    def complete(self) -> bool:
        """Whether all are there."""
        return bool(self._blocks.any(axis=-1).all())

    def planes(self) -> list[str]:
        """The digest of each plane in hex digits, in the order t, c, z."""
        return [plane.hex() for plane in self._planes()]

    def image(self) -> str:
        """The digest of all planes in hex digits."""
        return hashlib.sha256(b"".join(self._planes())).hexdigest()

    def _planes(self) -> Iterator[bytes]:
        for plane in self._blocks.reshape(-1, prod(self._blocks.shape[3:])):
            yield hashlib.sha256(plane.data).digest()
