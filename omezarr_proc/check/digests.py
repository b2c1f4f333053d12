"""SHA-256 of what a finished dataset holds: of the pixels of its levels (see `pixels.digests`), and of its objects."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from omezarr_proc.check.levels import Level
from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.errors import DifferentOutputError, InputError
from omezarr_proc.model.region import Index, Region, ceil_div
from omezarr_proc.pixels.digests import BLOCK, Digest, Digests, digests_of
from omezarr_proc.publish.children import OURS
from omezarr_proc.publish.hidden import IN_STORE
from omezarr_proc.store.checksums import checksum
from omezarr_proc.store.read import Dataset
from omezarr_proc.store.zarr_array import Array

A = TypeVar("A")
B = TypeVar("B")
_BATCH = 64
NOT_LISTED = "ro-crate-metadata.json"  # it is made of what is listed


def level_digest(dataset: Dataset, array: Array, threads: ThreadPoolExecutor) -> str:
    """The digest of the pixels of a level, in hex digits. Raises InputError where one of its chunks cannot be read."""
    level = Level(dataset, array)
    found = Digests(level.shape)

    def of_region(region: Region) -> list[Digest]:
        return list(digests_of(level.read(region), region.start))

    t, c, z, y, x = level.tile
    step: Index = (t, c, z, BLOCK * ceil_div(y, BLOCK), BLOCK * ceil_div(x, BLOCK))  # chunks are powers of two: whole chunks and blocks
    try:
        for digests in _batched(threads, of_region, Region((0, 0, 0, 0, 0), level.shape).cut(step)):
            for digest in digests:
                found.add(digest)
    except Exception as error:  # whatever a codec says to damaged bytes
        if isinstance(error, OSError):
            refuse_silence(error)
        raise InputError(
            "a chunk cannot be read, so no certificate is written",
            source=dataset.path / array.path,
            hint="`omezarr-proc validate --deep` says which",
        ) from None
    return found.image()


def object_digests(
    dataset: Dataset, known: Callable[[str], bytes | None], *, shared: bool, threads: ThreadPoolExecutor
) -> Iterator[tuple[str, str, int]]:
    """The key of each object of a dataset, the digest of its bytes in hex digits and their number, by key.

    known   the checksum that the object of a key had when it was made (see `checksum`), where that is known
    shared  see `keys_of`

    Raises OSError, DifferentOutputError where an object has another one.
    """
    objects = dataset.objects

    def digest(key: str) -> tuple[str, str, int]:
        data = objects.get(key)
        if (made := known(key)) and made != checksum(data):
            raise DifferentOutputError(
                f"{key} is not as it was made: no certificate is written",
                source=dataset.path,
                hint="EXISTING=force makes it anew; look at what has changed it: memory, storage or somebody",
            )
        return key, hashlib.sha256(data).hexdigest(), len(data)

    yield from _batched(threads, digest, keys_of(dataset, shared=shared))


def keys_of(dataset: Dataset, *, shared: bool) -> list[str]:
    """The keys of all objects of a dataset, or of a plate, in order; of a folder that is `shared` with other files only what is ours.

    Raises OSError.
    """
    keys = (key for key, _ in dataset.objects.sizes() if not key.startswith(IN_STORE) and key != NOT_LISTED)
    return sorted(key for key in keys if not shared or OURS.fullmatch(key.split("/")[0]))


def _batched(threads: ThreadPoolExecutor, work: Callable[[A], B], values: Iterable[A]) -> Iterator[B]:
    left = iter(values)
    while batch := list(islice(left, _BATCH)):
        yield from threads.map(work, batch)
