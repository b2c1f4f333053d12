"""What an object was when it was encoded, its size and CRC-32C, and whether it still is: between two runs anything may happen to it."""

import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from omezarr_proc.host.background import side_by_side
from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.errors import OutputError
from omezarr_proc.model.region import Region
from omezarr_proc.plan.kept import QUEUE_BYTES
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.objects import Data

# Of one object: its size in bytes and the CRC-32C (RFC 3720, B.4) of them, little endian. Blosc makes no chunk of more than 2 GB.
_CHECKSUM = struct.Struct("<2I")
CHECKSUM_BYTES = _CHECKSUM.size

_AT_ONCE = 16  # objects of a store that are asked for


def checksum(encoded: Data) -> bytes:
    """The CHECKSUM_BYTES that tell `encoded` from whatever else its object may come to hold."""
    if isinstance(encoded, bytes):
        return _CHECKSUM.pack(len(encoded), google_crc32c.value(encoded))
    crc = 0
    for piece in encoded:
        crc = google_crc32c.extend(crc, bytes(piece))
    return _CHECKSUM.pack(sum(map(len, encoded)), crc)


def stored_bytes(checksums: bytes) -> int:
    """The sizes of all objects together."""
    return sum(size for size, _ in _CHECKSUM.iter_unpack(checksums))


def _size(recorded: bytes) -> int:
    return int(_CHECKSUM.unpack(recorded)[0])


def changed(store: ChunkStore, level: int, chunks: Region, checksums: bytes, read: bool = True) -> int:
    """How many objects of a level are not as they were recorded; without checksums, how many chunks cannot be decoded.

    chunks     in chunks of the level; they fill their objects
    checksums  of each of their objects by depth, row, column and channel; empty where none were recorded, which are chunks then
    read       False: by their sizes alone
    """
    keys = store.keys(level, chunks.divided(store.pyramid.levels[level].shard))
    if checksums:
        recorded = [checksums[i : i + CHECKSUM_BYTES] for i in range(0, len(checksums), CHECKSUM_BYTES)]
        if store.objects.apart and not read:
            return _other_sizes(store, list(keys), [_size(one) for one in recorded])
        with _asking(store, max(map(stored_bytes, recorded))) as each:
            return sum(not same for same in each(lambda key, one: _is_as_recorded(store, key, one, read), keys, recorded))
    out = np.empty(store.pyramid.levels[level].chunk[1:], store.pyramid.dtype)
    return sum(not _is_whole(store, key, out) for key in keys)


def _other_sizes(store: ChunkStore, keys: Sequence[str], sizes: Sequence[int]) -> int:
    """How many of these have other sizes, by listings: a row of objects is one request, not one each."""

    def listed(row: str) -> list[tuple[str, int]]:
        try:
            return list(store.objects.sizes(row))
        except OSError as error:
            refuse_silence(error)
            return []

    rows = dict.fromkeys(key.rpartition("/")[0] + "/" for key in keys)
    found = dict(chain.from_iterable(side_by_side([partial(listed, row) for row in rows])))
    return sum(found.get(key) != size for key, size in zip(keys, sizes, strict=True))


@contextmanager
def _asking(store: ChunkStore, most: int) -> Iterator[Callable[..., Iterator[bool]]]:
    """What calls a function for each object, of up to `most` bytes each: of a store many at a time, in the room of what waits otherwise."""
    if not store.objects.apart:
        yield map
        return
    with ThreadPoolExecutor(max(1, min(_AT_ONCE, QUEUE_BYTES // max(most, 1)))) as threads:
        yield threads.map


def _is_as_recorded(store: ChunkStore, key: str, recorded: bytes, read: bool) -> bool:
    try:
        if read:
            return checksum(store.objects.get(key)) == recorded
        return store.objects.size(key) == _size(recorded)
    except OSError as error:
        refuse_silence(error)
        return False


def _is_whole(store: ChunkStore, key: str, out: NDArray[Any]) -> bool:
    try:
        store.read(key, out)
    except OutputError:
        return False
    return True
