"""Chunk bytes: the Blosc codec of every stored chunk, as one value that both the metadata and the workers take.

The worker that made a chunk encodes it itself, because zarr's array assignment costs more than the compression. So that zarr reads it
back, the fields are those of the Zarr v3 blosc codec (https://zarr-specs.readthedocs.io/en/latest/v3/codecs/blosc/index.html):
`dataclasses.asdict(codec)` is its `configuration` in zarr.json, and each chunk's header states the same type size, shuffle and compressor.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any, Literal

import numcodecs.blosc
import numpy as np
from numpy.typing import DTypeLike, NDArray

Shuffle = Literal["noshuffle", "shuffle", "bitshuffle"]

# As Zarr v2 metadata has them too.
SHUFFLES: dict[Shuffle, int] = {
    "noshuffle": numcodecs.blosc.NOSHUFFLE,
    "shuffle": numcodecs.blosc.SHUFFLE,
    "bitshuffle": numcodecs.blosc.BITSHUFFLE,
}
_HEADER = struct.Struct("<4B3I")  # version, codec version, flags, typesize, nbytes, blocksize, cbytes (c-blosc README_CHUNK_FORMAT)
HEADER_BYTES = _HEADER.size
MAX_CHUNK_BYTES: int = numcodecs.blosc.MAX_BUFFERSIZE


def stated_bytes(head: bytes) -> int:
    """How long a stored chunk that begins with `head` says it is, in bytes; 0 where that is no whole header."""
    return int(_HEADER.unpack_from(head)[-1]) if len(head) >= HEADER_BYTES else 0


def decoded_bytes(head: bytes) -> int:
    """How many bytes of pixels a stored chunk that begins with `head` says it holds; 0 where that is no whole header."""
    return int(_HEADER.unpack_from(head)[4]) if len(head) >= HEADER_BYTES else 0


@dataclass(frozen=True, kw_only=True)
class Codec:
    """How chunks of one array are compressed.

    cname      Blosc compressor: one of `numcodecs.blosc.list_compressors()`
    clevel     1 (fast) to 9 (small)
    shuffle    "noshuffle", "shuffle" (bytes) or "bitshuffle"
    typesize   bytes per pixel of the array's dtype
    blocksize  bytes that Blosc compresses at once; 0 lets it choose
    """

    cname: str
    clevel: int
    shuffle: Shuffle
    typesize: int
    blocksize: int = 0

    def encode(self, chunk: NDArray[Any]) -> bytes:
        """The stored bytes of one whole chunk: C order, little endian, then Blosc.

        Raises ValueError for an array that is not contiguous in C order, not little endian or of another pixel size than the codec's.
        """
        if not chunk.flags.c_contiguous or chunk.dtype.itemsize != self.typesize or chunk.dtype.str[0] == ">":
            made = f"{chunk.dtype.str} with strides {chunk.strides}"
            raise ValueError(f"a chunk to encode must be contiguous, little endian and of {self.typesize} bytes a pixel, not {made}")
        encoded: bytes = numcodecs.blosc.compress(
            chunk, self.cname.encode(), self.clevel, SHUFFLES[self.shuffle], self.blocksize, self.typesize
        )
        return encoded

    def decode(self, encoded: bytes, out: NDArray[Any]) -> None:
        """Fill `out` (contiguous in C order) with the pixels of one stored chunk, whatever Blosc parameters it was made with.

        Raises ValueError where `encoded` is not one whole chunk of exactly `out.nbytes` bytes: Blosc itself reads past the end of a
        truncated chunk, and accepts one that fills `out` only in part. Damage inside a chunk of the right length raises RuntimeError.
        """
        if not out.flags.c_contiguous:
            raise ValueError("a chunk is decoded into a contiguous array only")
        if len(encoded) < _HEADER.size:
            raise ValueError(f"a stored chunk is cut off: {len(encoded)} bytes")
        *_, nbytes, _, cbytes = _HEADER.unpack_from(encoded)
        if cbytes != len(encoded) or nbytes != out.nbytes:
            raise ValueError(f"a stored chunk has {len(encoded)} bytes for {nbytes} of pixels, expected {cbytes} for {out.nbytes}")
        numcodecs.blosc.decompress(encoded, out)


class _Switch:
    """Blosc's own thread pool, off for as long as anybody wants it to be; then as it was before the first."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0
        self._before: bool | None = None

    def off(self) -> None:
        with self._lock:
            if not self._users:
                self._before, numcodecs.blosc.use_threads = numcodecs.blosc.use_threads, False
            self._users += 1

    def back(self) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                numcodecs.blosc.use_threads = self._before


_SWITCH = _Switch()


@contextmanager
def without_threads() -> Iterator[None]:
    """Within, Blosc works in the thread that calls it.

    Its own thread pool takes a global lock and does not survive a fork; without it, calls release the GIL and run side by side. The switch
    is one of the whole process, which may be a caller's, so the last of those who are within puts it back.
    """
    _SWITCH.off()
    try:
        yield
    finally:
        _SWITCH.back()


def codec_for(dtype: DTypeLike, cname: str, clevel: int) -> Codec:
    """The codec of an array of `dtype`: bitshuffle for every dtype and shape of chunks, as measured in docs/codec.md."""
    return Codec(cname=cname, clevel=clevel, shuffle="bitshuffle", typesize=np.dtype(dtype).itemsize)
