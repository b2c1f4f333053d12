"""The chunk files of a dataset without decoding them: each is there, not empty and, where its length can be known, of this length.

Of a shard its index is read.
"""

import math
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Literal

import numpy as np

from omezarr_proc.check.arrays import VIEWABLE
from omezarr_proc.check.finding import Finding, Kind
from omezarr_proc.check.shards import Shards, is_known
from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.address import Address
from omezarr_proc.store.codec import HEADER_BYTES, decoded_bytes, stated_bytes
from omezarr_proc.store.read import Dataset
from omezarr_proc.store.zarr_array import Array

# On network file systems opening a file takes milliseconds, in an object store each question tens of them.
_THREADS = 8
_THREADS_OF_STORE = 64
_BATCH = 256

Index = tuple[int, ...]
Verdict = Literal["right", "missing", "damaged"]


def check_stored(dataset: Dataset, array: Array, *, lengths: bool) -> list[Finding]:
    """One finding for a level that lacks chunk files, one for a level with files that are empty or not of their length.

    lengths  whether to open the files; otherwise only their names are looked for
    """
    look = _opener(dataset, array) if lengths else _finder(dataset, array)
    counts = Counter[Verdict]()
    first: dict[Verdict, str] = {}
    indices = array.chunk_indices()
    batches = iter(lambda: list(islice(indices, _BATCH)), [])
    count = _THREADS_OF_STORE if dataset.objects.apart else _THREADS
    with ThreadPoolExecutor(count) as threads:
        while some := list(islice(batches, 4 * count)):
            for batch, verdicts in zip(some, threads.map(lambda batch: list(map(look, batch)), some), strict=True):
                counts.update(verdicts)
                for index, verdict in zip(batch, verdicts, strict=True):
                    if verdict not in first:
                        first[verdict] = f"{array.path}/{array.chunk_name(index)}"
    kind: Kind = "data" if dataset.own is not None else "viewers"  # Zarr itself lets chunks of nothing but fill values be absent
    absent = "every chunk is written: storage without the right to list answers 403 for an absent one, and viewers fail"
    what = "shards" if array.sharded else "chunks"
    rules: tuple[tuple[Verdict, Kind, str, str], ...] = (
        ("missing", kind, "missing", absent),
        ("damaged", "data", "empty, cut off, too long or of another size", "every chunk is whole"),
    )
    return [
        Finding(kind, first[verdict], f"{counts[verdict]} of {array.chunk_count} {what} of level {array.path} are {how}, this first", rule)
        for verdict, kind, how, rule in rules
        if verdict in first
    ]


def _finder(dataset: Dataset, array: Array) -> Callable[[Index], Verdict]:
    objects = dataset.objects

    def look(index: Index) -> Verdict:
        key = f"{array.path}/{array.chunk_name(index)}"
        try:
            return "right" if objects.exists(key) else "missing"
        except OSError as error:
            return _unread(dataset, key, error)

    return look


def _opener(dataset: Dataset, array: Array) -> Callable[[Index], Verdict]:
    objects, expected = dataset.objects, _expected_bytes(array)
    shards = Shards(array, packed=dataset.own is not None) if is_known(array) else None

    def look(index: Index) -> Verdict:
        key = f"{array.path}/{array.chunk_name(index)}"
        try:
            if shards:
                tail, size = objects.part(key, -shards.index_bytes, shards.index_bytes)
                shards.index(tail, index, size)
                return "right"
            head, size = objects.part(key, 0, HEADER_BYTES)
            return "right" if expected(head, size) == size else "damaged"
        except (OSError, ValueError) as error:
            return _unread(dataset, key, error)

    return look


def _unread(dataset: Dataset, key: str, error: Exception) -> Verdict:
    """What a chunk is that cannot be read. A store may deny what is absent, without the right to list."""
    refuse_silence(error)
    if isinstance(dataset.path, Address):
        return "missing" if isinstance(error, FileNotFoundError | PermissionError) else "damaged"
    return "damaged" if dataset.objects.exists(key) else "missing"


def _expected_bytes(array: Array) -> Callable[[bytes, int], int]:
    """How long the file of a chunk must be that begins with `head` and is of `size` bytes: `size` itself where nothing tells.

    0 for one of Blosc that holds fewer or more pixels than a chunk has.
    """
    plain = math.prod(array.chunks) * (np.dtype(array.dtype).itemsize if array.dtype in VIEWABLE else 0)
    match [codec["name"] for codec in array.codecs if codec["name"] not in ("bytes", "transpose")]:
        case ["blosc"] if array.dtype in VIEWABLE:
            return lambda head, size: stated_bytes(head) if decoded_bytes(head) == plain else 0
        case ["blosc"]:
            return lambda head, size: stated_bytes(head)
        case [] if array.dtype in VIEWABLE:
            return lambda head, size: plain
    return lambda head, size: size
