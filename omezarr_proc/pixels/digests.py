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

from omezarr_proc.model.region import Index, ceil_div

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

    def planes(self) -> list[str]:
        """The digest of each plane in hex digits, in the order t, c, z."""
        return [plane.hex() for plane in self._planes()]

    def image(self) -> str:
        """The digest of all planes in hex digits."""
        return hashlib.sha256(b"".join(self._planes())).hexdigest()

    def _planes(self) -> Iterator[bytes]:
        for plane in self._blocks.reshape(-1, prod(self._blocks.shape[3:])):
            yield hashlib.sha256(plane.data).digest()
