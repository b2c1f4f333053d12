"""A dataset in an object store: lock, record, and publishing with the root last. All that is hidden lies below the dataset's own prefix.

    .omezarr_proc/lock          who works on it: put where there is none, renewed while it is ours alone
    .omezarr_proc/record/N      what is finished, an object for each flush; together they read as a record in a folder does
    .omezarr_proc/part-locks, parts, done    what parts have noted, and their locks (see `store_shares`)
    .omezarr_proc/rows          of a plate in the making, or one that is replaced: what its rows are called
    0/c/... and the like        put in place, which nobody takes for a dataset while there is no root
    zarr.json                   the root, put last, after which the record goes

A dataset that is replaced loses its root first, then all its objects, before the first new one is put: nobody ever sees parts of both.
A run that is killed leaves its record, and the next one goes on from there.
"""

import contextlib
import json
from collections.abc import Container, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from loguru import logger

from omezarr_proc.host.remote import store_error
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import InTheWayError
from omezarr_proc.model.part import Part
from omezarr_proc.publish.children import OURS, named_at_top
from omezarr_proc.publish.existing import Standing, is_ome
from omezarr_proc.publish.fields import Field
from omezarr_proc.publish.hidden import IN_STORE, INSIDE, MAGIC
from omezarr_proc.publish.history import History, header, read
from omezarr_proc.publish.in_place import InPlace, place_for
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.publish.store_lock import LOCK, StoreLock
from omezarr_proc.publish.store_record import RECORD, ROWS, StoreRecord, record_of
from omezarr_proc.publish.store_shares import StoreShare, begin_share, done_parts, forget_noted, forget_parts, noted, refuse_parts
from omezarr_proc.store.documents import ROOT_DOCUMENTS
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.remote import Bucket, read_json


class InStore:
    """A tree below the address `dataset`, which is the dataset's alone: see `Tree`."""

    alone: ClassVar[bool] = True

    def __init__(
        self, dataset: Address, key: str, lock: StoreLock, *, force: bool = False, deadline: float | None = None, rows: Iterable[str] = ()
    ) -> None:
        """Go on with what is there where it is of the same key, else begin anew. `rows`: see `ByRename`. Raises OutputError."""
        self._bucket, self._lock, self._old = Bucket(dataset), lock, ""
        try:
            history, number = self._prepare(key, set(rows))
            self._others = list(noted(self._bucket, key).values())
        except OSError as error:
            raise store_error("cannot make the output", error, dataset) from error
        self.place, self._remove_place = place_for(self)
        self.objects: Objects = InPlace(dataset, self.place)
        self._record = StoreRecord(self._bucket, history, number)
        self.units = (*self._record.units, *(unit for other in self._others for unit in other.units))
        self.unfinished, self.stalled = history.unfinished, history.stalled
        self.begin, self.add, self.end = self._record.begin, self._record.add, self._record.end

    @staticmethod
    def target_of(dataset: Address) -> Address:
        """What a picture of it is named after (see `hidden.inside`)."""
        return dataset

    @classmethod
    def look(cls, dataset: Address, rows: Iterable[str] = ()) -> Standing:
        """See `ByRename`; two requests: for the root, and the first of all keys."""
        bucket = Bucket(dataset)
        root = _root(bucket)
        own = (root or {}).get("omezarr_proc")
        key = str(own["key"]) if isinstance(own, dict) and "key" in own else None
        try:
            unfinished = any(True for _ in bucket.keys(IN_STORE))
            found = next(cls._parts(bucket, set(rows)), None) if root is None and not unfinished else None
        except OSError as error:
            raise store_error("cannot be listed", error, dataset) from error
        foreign = found and InTheWayError(
            f"holds objects that are no OME-Zarr dataset ({found}) and is not replaced: move them away or remove them, or choose"
            " EXISTING=force, which deletes them",
            source=dataset,
        )
        return Standing(root is not None, key, foreign or None, unfinished)

    @staticmethod
    def refuse_parts(dataset: Address) -> None:
        """See `ByRename`."""
        refuse_parts(dataset)

    @staticmethod
    def locked(dataset: Address) -> StoreLock:
        """The lock of a dataset, to be entered."""
        return StoreLock(dataset)

    @staticmethod
    def locked_share(dataset: Address, part: Part) -> StoreLock:
        """The lock of a part's share of a dataset, to be entered."""
        return StoreLock(dataset, part)

    @classmethod
    def share(cls, dataset: Address, key: str, part: Part, parts: Sequence[int], rows: Iterable[str] = ()) -> StoreShare:
        """See `ByRename`."""

        def set_up(lock: StoreLock) -> None:
            if cls.look(dataset).key == key:
                raise LockedError("another run has published this dataset just now: run again", source=dataset)
            tree = cls(dataset, key, lock, rows=rows)
            tree.close()
            if tree._old:
                logger.info(f"{dataset}: an OME-Zarr dataset of {tree._old} is removed, which this one replaces")

        try:
            return begin_share(dataset, key, part, parts, set_up)
        except OSError as error:
            raise store_error("cannot make the output", error, dataset) from error

    @classmethod
    def is_done(cls, dataset: Address, key: str, of: int, parts: Iterable[int]) -> bool:
        """See `ByRename`."""
        try:
            return done_parts(Bucket(dataset), key, of).issuperset(parts)
        except OSError as error:
            raise store_error("cannot be listed", error, dataset) from error

    @classmethod
    def discard(cls, dataset: Address, deadline: float | None = None) -> None:
        """See `ByRename`."""
        with contextlib.suppress(OSError):
            cls._discard(Bucket(dataset))

    @staticmethod
    def is_ours(dataset: Address) -> bool:
        """Whether what is hidden there was made by this program. Raises OSError."""
        bucket = Bucket(dataset)
        first = next(bucket.keys(RECORD), None)
        return bucket.get(first).startswith(MAGIC) if first else True  # a lock alone

    @classmethod
    def clean(cls, dataset: Address) -> None:
        """Remove what there is of a dataset in the making, and all that is hidden. The caller holds the lock. Raises OSError."""
        bucket = Bucket(dataset)
        cls._discard(bucket)
        bucket.delete_all([key for key in bucket.keys(IN_STORE) if key != LOCK])

    @classmethod
    def _discard(cls, bucket: Bucket) -> None:
        """Remove the record, and what it tells of where that is no dataset yet. Raises OSError."""
        bucket.delete_all(sorted(bucket.keys(RECORD))[1:])  # half of it must not be taken for the whole
        if _root(bucket) is None:
            bucket.delete_all([*cls._parts(bucket, rows_of(bucket))])
        _forget(bucket)

    def flush(self) -> None:
        """See `Tree`."""
        self._record.flush()

    def field(self, path: str) -> Field:
        """See `OfFields`. The root of a field is put when it is whole, since nobody looks for it before there is that of the plate."""
        place = self.place / path
        return Field(self._record, path, place, InPlace(self._bucket.root / path, place, ()), self._others)

    def close(self) -> None:
        """See `Tree`."""
        self._record.close()

    def publish(self) -> None:
        """See `Tree`."""
        self._lock.check()
        try:
            for name in ROOT_DOCUMENTS:
                if (self.place / name).exists():
                    data = (self.place / name).read_bytes()
                    self._bucket.put(name, data)
                    if self._bucket.get(name) != data:
                        raise OSError(5, "the store answers with another root than was put")
            if self._old:
                logger.info(f"{self._bucket.root}: has replaced an OME-Zarr dataset of {self._old}")
            with contextlib.suppress(OSError):
                _forget(self._bucket)
        except OSError as error:
            raise store_error("cannot publish", error, self._bucket.root) from error
        finally:
            self._remove_place()

    def give_up(self) -> None:
        """See `Tree`."""
        self._remove_place()
        with contextlib.suppress(OSError):
            self._clear(rows_of(self._bucket))
            _forget(self._bucket)

    def _clear(self, rows: set[str]) -> str:
        """Remove the dataset that is there, or what there is of one, the root first; whose it was, in words. Raises OSError."""
        keys, whose = [key for key in self._bucket.keys("") if not key.startswith(IN_STORE)], ""
        if roots := [name for name in reversed(ROOT_DOCUMENTS) if name in keys]:
            root = _root(self._bucket) or {}
            own = root.get("omezarr_proc")
            whose = f"omezarr_proc {own.get('version', '')}".strip() if isinstance(own, dict) else "another program"
            rows = rows | {name for name in named_at_top(root) if not OURS.fullmatch(name)}
        if rows:  # before the root goes, which names them
            self._bucket.put(ROWS, json.dumps(sorted(rows)).encode())
        for name in roots:
            self._bucket.delete(name)
        self._bucket.delete_all([key for key in keys if key not in roots and self._is_part(key, rows)])
        return whose

    @classmethod
    def _is_part(cls, key: str, rows: Container[str]) -> bool:
        """Whether a dataset in this place has, or needs, what is called so."""
        top = key.partition("/")[0]
        return cls.alone or top in rows or OURS.fullmatch(top) is not None

    @classmethod
    def _parts(cls, bucket: Bucket, rows: Container[str]) -> Iterator[str]:
        """The objects that a dataset in this place has or needs. Raises OSError."""
        return (key for key in bucket.keys("") if not key.startswith(IN_STORE) and cls._is_part(key, rows))

    def _prepare(self, key: str, rows: set[str]) -> tuple[History, int]:
        """Bring record and objects into step: what the history says of `key` is true of the objects afterwards. Raises OSError."""
        bucket, hidden = self._bucket, sorted(self._bucket.keys(IN_STORE))
        names = [name for name in hidden if name.startswith(RECORD)]
        history = read(record_of(bucket), key) if names else None
        if history is not None and history.end > len(MAGIC):
            return history, int(names[-1].rpartition("/")[2]) + 1
        bucket.put(f"{RECORD}{0:08}", MAGIC)  # what is there from now on is ours, and of no use until the next line
        bucket.delete_all([name for name in names if name != f"{RECORD}{0:08}"])
        forget_noted(bucket)
        self._old = self._clear(rows | rows_of(bucket) if ROWS in hidden else rows)
        bucket.put(f"{RECORD}{1:08}", header(key))
        return History(end=len(MAGIC) + len(header(key))), 2


class InStoreRoot(InStore):
    """A tree that is OUTPUT_DIR itself, in which others may have objects too: they stay."""

    alone: ClassVar[bool] = False

    @staticmethod
    def target_of(dataset: Address) -> Address:
        """See `InStore`."""
        return dataset / INSIDE


def rows_of(bucket: Bucket) -> set[str]:
    """What is noted as the rows of a plate in the making, or of one that is replaced. Raises OSError."""
    try:
        found = json.loads(bucket.get(ROWS))
    except (FileNotFoundError, ValueError):
        return set()
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()


def _forget(bucket: Bucket) -> None:
    """Remove the record, its begin last but not alone: without it the rest is none. Raises OSError."""
    names = sorted(bucket.keys(RECORD))
    bucket.delete_all([*names[1:], ROWS])
    forget_parts(bucket.root)
    bucket.delete_all(names[:1])


def _root(bucket: Bucket) -> dict[str, Any] | None:
    """The root attributes of the OME-Zarr dataset that is there; None where there is none. Raises OutputError."""
    try:
        found = read_json(bucket, "zarr.json").get("attributes") or read_json(bucket, ".zattrs")
    except OSError as error:
        raise store_error("cannot be read", error, bucket.root) from error
    return found if isinstance(found, dict) and is_ome(found) else None
