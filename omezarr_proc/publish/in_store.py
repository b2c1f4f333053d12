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
from collections.abc import Iterable, Sequence
from functools import partial
from typing import ClassVar

from loguru import logger

from omezarr_proc.host.background import side_by_side
from omezarr_proc.host.store_errors import store_error
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import InTheWayError, OutputError
from omezarr_proc.model.part import Part
from omezarr_proc.publish.existing import Standing
from omezarr_proc.publish.fields import Field
from omezarr_proc.publish.hidden import IN_STORE, INSIDE, MAGIC
from omezarr_proc.publish.history import History, header, is_line, read
from omezarr_proc.publish.in_place import InPlace, place_for
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.publish.store_contents import Contents
from omezarr_proc.publish.store_lock import LOCK, PART_LOCKS, StoreLock
from omezarr_proc.publish.store_record import RECORD, BriefRecord, StoreRecord, contents
from omezarr_proc.publish.store_shares import StoreShare, begin_share, done_parts, forget_locks, noted, of_parts, refuse_parts
from omezarr_proc.store.documents import ROOT_DOCUMENTS
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.remote import Bucket


class InStore:
    """A tree below the address `dataset`, which is the dataset's alone: see `Tree`."""

    alone: ClassVar[bool] = True

    def __init__(
        self,
        dataset: Address,
        key: str,
        lock: StoreLock,
        *,
        force: bool = False,
        deadline: float | None = None,
        rows: Iterable[str] = (),
        there: Contents | None = None,
        brief: bool = False,
    ) -> None:
        """Go on with what is there where it is of the same key, else begin anew. Raises OutputError.

        rows   see `ByRename`
        there  what lies there since `lock` is held, where that is known
        brief  nothing of it is noted where nothing is there: it is made in a moment, and a kill loses no more than that
        """
        self._bucket, self._lock, self._old = Bucket(dataset), lock, ""
        self._record: StoreRecord | BriefRecord
        try:
            there = there or self.contents(dataset)
            if brief and there.empty:
                history, self._others = History(), []
                self._record = BriefRecord(self._bucket, key)
            else:
                history, number = self._prepare(there, key, set(rows))
                self._others = list(noted(self._bucket, key, names=there.hidden).values())
                self._record = StoreRecord(self._bucket, history, number)
                self._record.lock = lock
        except OSError as error:
            raise store_error("cannot make the output", error, dataset) from error
        self.place, self._remove_place = place_for(self)
        self.objects: Objects = InPlace(dataset, self.place)
        self.units = (*history.units, *(unit for other in self._others for unit in other.units))
        self.unfinished, self.stalled = history.unfinished, history.stalled
        self.begin, self.add, self.end = self._record.begin, self._record.add, self._record.end

    @staticmethod
    def target_of(dataset: Address) -> Address:
        """What a picture of it is named after (see `hidden.inside`)."""
        return dataset

    @classmethod
    def look(cls, dataset: Address, rows: Iterable[str] = ()) -> Standing:
        """See `ByRename`."""
        return cls.standing(cls.contents(dataset), rows)

    @classmethod
    def contents(cls, dataset: Address) -> Contents:
        """What is there. Raises OutputError."""
        return Contents.found(Bucket(dataset), alone=cls.alone)

    @staticmethod
    def standing(there: Contents, rows: Iterable[str] = ()) -> Standing:
        """What that means for a dataset whose rows are called so. Raises OutputError."""
        dataset, root = there.bucket.root, there.root
        own = (root or {}).get("omezarr_proc")
        key = str(own["key"]) if isinstance(own, dict) and "key" in own else None
        try:
            unfinished = bool(there.hidden)
            found = next(there.parts(set(rows)), None) if root is None and not unfinished else None
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
        with contextlib.suppress(OSError, OutputError):
            cls.contents(dataset).discard()

    @staticmethod
    def is_ours(dataset: Address) -> bool:
        """Whether what is hidden there was made by this program. Raises OSError."""
        bucket = Bucket(dataset)
        first = next(bucket.keys(RECORD), None)
        data = bucket.get(first) if first else MAGIC  # a lock alone
        return data.startswith(MAGIC) or is_line(data)

    @classmethod
    def clean(cls, dataset: Address) -> None:
        """Remove what there is of a dataset in the making, and all that is hidden. The caller holds the lock.

        Raises OSError, OutputError.
        """
        there = cls.contents(dataset)
        there.discard()
        there.bucket.delete_all([key for key in there.hidden if key != LOCK])

    def flush(self) -> None:
        """Nobody waits: the root is put when the end is noted, and with it all that was before."""

    def field(self, path: str) -> Field:
        """See `OfFields`. The root of a field is put when it is whole, since nobody looks for it before there is that of the plate."""
        assert isinstance(self._record, StoreRecord)  # what has fields is not made in a moment
        place = self.place / path
        return Field(self._record, path, place, InPlace(self._bucket.root / path, place, ()), self._others)

    def close(self) -> None:
        """See `Tree`."""
        self._record.close()

    def publish(self) -> None:
        """See `Tree`."""
        side_by_side([self._record.settle, self._lock.check])
        bucket, put = self._bucket, {}
        try:
            for name in ROOT_DOCUMENTS:
                if (self.place / name).exists():
                    put[name] = (self.place / name).read_bytes()
                    bucket.put(name, put[name])
            *found, hidden = side_by_side([*(partial(bucket.get, name) for name in put), lambda: [*bucket.keys(IN_STORE)]])
            if found != [*put.values()]:
                raise OSError(5, "the store answers with another root than was put")
            if self._old:
                logger.info(f"{bucket.root}: has replaced an OME-Zarr dataset of {self._old}")
            with contextlib.suppress(OSError):  # in any order: nobody asks for it where there is a root
                bucket.delete_all([key for key in hidden if key != LOCK and not key.startswith(PART_LOCKS)])
                forget_locks(bucket.root, hidden)
        except OSError as error:
            raise store_error("cannot publish", error, bucket.root) from error
        finally:
            self._remove_place()

    def give_up(self) -> None:
        """See `Tree`."""
        self._remove_place()
        self._lock.check()
        with contextlib.suppress(OSError, OutputError):
            there = self.contents(self._bucket.root)
            there.remove(there.rows)
            there.forget()

    def _prepare(self, there: Contents, key: str, rows: set[str]) -> tuple[History, int]:
        """Bring record and objects into step: what the history says of `key` is true of the objects afterwards. Raises OSError."""
        bucket, names = self._bucket, there.records
        history = read(b"".join(contents(bucket, names)), key) if names else None
        if history is not None and history.end > len(MAGIC):
            return history, int(names[-1].rpartition("/")[2]) + 1
        bucket.put(f"{RECORD}{0:08}", MAGIC)  # what is there from now on is ours, and of no use until the next line
        bucket.delete_all([name for name in [*names, *of_parts(there.hidden)] if name != f"{RECORD}{0:08}"])
        self._old = there.remove(rows | there.rows)
        bucket.put(f"{RECORD}{1:08}", header(key))
        return History(end=len(MAGIC) + len(header(key))), 2


class InStoreRoot(InStore):
    """A tree that is OUTPUT_DIR itself, in which others may have objects too: they stay."""

    alone: ClassVar[bool] = False

    @staticmethod
    def target_of(dataset: Address) -> Address:
        """See `InStore`."""
        return dataset / INSIDE
