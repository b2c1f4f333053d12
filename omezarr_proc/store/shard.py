"""The index of a shard: where in the object its chunks are. Pure.

Codec `sharding_indexed` with the index at the end, https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/index.html.
Encoded chunks follow each other in C order without gaps, so a shard's bytes are a function of its pixels alone. Chunks that lie wholly
outside the array have no bytes and are marked as empty; others always are there. Behind them comes for each chunk of the shard, in C order,
its offset and its size, 8 bytes little endian each, and the CRC-32C of all that, 4 bytes.
An object that was cut off has no index where one is looked for, so that half a shard never looks whole.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

_EMPTY = np.uint64(2**64 - 1)
_CRC_BYTES = 4


def index_bytes(chunks: int) -> int:
    """The size of the index of a shard of so many chunks, those outside the array included."""
    return 16 * chunks + _CRC_BYTES


def make_index(grid: Sequence[int], inside: Sequence[int], sizes: Sequence[int]) -> bytes:
    """The index of a shard.

    grid    chunks of a shard along each axis
    inside  as many of them as are not wholly outside the array
    sizes   bytes of each of these in C order
    """
    index = np.full((*grid, 2), _EMPTY, "<u8")
    stored = np.array(sizes, "<u8").reshape(inside)
    part = index[tuple(slice(n) for n in inside)]
    part[..., 0] = (np.cumsum(stored) - stored.ravel()).reshape(inside)
    part[..., 1] = stored
    data: bytes = index.tobytes()
    return data + _crc(data)


def read_index(data: bytes, grid: Sequence[int]) -> NDArray[np.uint64]:
    """[*grid, 2] of the last bytes of a shard, as many as `index_bytes` says. Raises ValueError where they are no whole index."""
    if len(data) != index_bytes(prod(grid)) or _crc(data[:-_CRC_BYTES]) != data[-_CRC_BYTES:]:
        raise ValueError("the index of the shard is damaged")
    return np.frombuffer(data, "<u8", 2 * prod(grid)).reshape(*grid, 2)


def place_of(index: NDArray[Any], chunk: Sequence[int]) -> tuple[int, int] | None:
    """The first byte of a chunk, by its place in the shard, and its size; None where the shard has none there."""
    offset, size = index[tuple(chunk)]
    return None if offset == size == _EMPTY else (int(offset), int(size))


def damage(index: NDArray[Any], inside: Sequence[int], end: int, *, packed: bool) -> str:
    """What is wrong with the index of a shard whose chunks have `end` bytes before it; empty where nothing is.

    inside  as in `make_index`
    packed  whether chunks must follow each other without gaps in C order, and none be missing, as in shards that are made here
    """
    count = prod(inside)
    part = index[tuple(slice(n) for n in inside)]
    used = (index != _EMPTY).any(-1)
    there = used[tuple(slice(n) for n in inside)].ravel()
    if int(used.sum()) > int(there.sum()):
        return "its index has chunks outside the array"
    if packed and not there.all():
        return f"its index lacks {count - int(there.sum())} of {count} chunks"
    places = sorted((int(offset), int(size)) for offset, size in part.reshape(-1, 2)[there])
    if any(offset + size > end for offset, size in places):
        return "its index has chunks beyond its end"
    if any(offset + size > following for (offset, size), (following, _) in pairwise(places)):
        return "its index has chunks that overlap"
    if packed and (sum(size for _, size in places) != end or (np.diff(part[..., 0].ravel().astype(np.int64)) <= 0).any()):
        return "its chunks do not follow each other in C order, without gaps"
    return ""


def _crc(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(_CRC_BYTES, "little")
