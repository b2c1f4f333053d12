"""The chunk files of a dataset without decoding them: each is there, not empty and, where its length can be known, of this length."""

import math
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Literal

import numpy as np

from omezarr_proc.check.arrays import VIEWABLE
from omezarr_proc.check.finding import Finding, Kind
from omezarr_proc.store.codec import HEADER_BYTES, decoded_bytes, stated_bytes
from omezarr_proc.store.read import Array, Dataset

# On network file systems opening a file takes milliseconds.
_THREADS = 8
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
    with ThreadPoolExecutor(_THREADS) as threads:
        while some := list(islice(batches, 4 * _THREADS)):
            for batch, verdicts in zip(some, threads.map(lambda batch: list(map(look, batch)), some), strict=True):
                counts.update(verdicts)
                for index, verdict in zip(batch, verdicts, strict=True):
                    if verdict not in first:
                        first[verdict] = f"{array.path}/{array.chunk_name(index)}"
    kind: Kind = "data" if dataset.own is not None else "viewers"  # Zarr itself lets chunks of nothing but fill values be absent
    absent = "every chunk is written: storage without the right to list answers 403 for an absent one, and viewers fail"
    rules: tuple[tuple[Verdict, Kind, str, str], ...] = (
        ("missing", kind, "missing", absent),
        ("damaged", "data", "empty, cut off, too long or of another size", "every chunk is whole"),
    )
    return [
        Finding(kind, first[verdict], f"{counts[verdict]} of {array.chunk_count} chunks of level {array.path} are {how}, this first", rule)
        for verdict, kind, how, rule in rules
        if verdict in first
    ]


def _finder(dataset: Dataset, array: Array) -> Callable[[Index], Verdict]:
    root = f"{dataset.path}/{array.path}"
    return lambda index: "right" if os.path.exists(f"{root}/{array.chunk_name(index)}") else "missing"


def _opener(dataset: Dataset, array: Array) -> Callable[[Index], Verdict]:
    root, expected = f"{dataset.path}/{array.path}", _expected_bytes(array)

    def look(index: Index) -> Verdict:
        path = f"{root}/{array.chunk_name(index)}"
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # what lies there may be anything
            with open(fd, "rb", buffering=0) as file:
                size = os.fstat(fd).st_size
                return "right" if size and expected(file.read(HEADER_BYTES), size) == size else "damaged"
        except (OSError, ValueError):
            return "damaged" if os.path.exists(path) else "missing"

    return look


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
