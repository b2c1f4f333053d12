"""A tree is published once: begin or go on, note what is finished, publish or give up.

`Tree` is the contract of one dataset in the making, and `Noting` what it has in common with the share of a part (see `shares`).
In a folder there are two ways to keep it, by OUTPUT_LAYOUT. With both the objects are
files of a hidden staging folder, and a record beside it says what is finished:

    folders  `ByRename`    beside the dataset; publishing is a rename or an exchange (see `by_rename`)
    root     `ByRootLast`  inside the dataset's folder; publishing moves all in place, the root last (see `by_root_last`)

In an object store the objects are put in place at once, and the root last (see `in_store`).
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from omezarr_proc.host.faults import output_error
from omezarr_proc.model.address import Place
from omezarr_proc.model.part import Part
from omezarr_proc.publish import by_rename, by_root_last, shares
from omezarr_proc.publish.children import refuse_in_the_way
from omezarr_proc.publish.existing import Standing, dataset_at, refuse_foreign, standing, stored_key
from omezarr_proc.publish.fields import Field
from omezarr_proc.publish.hidden import inside
from omezarr_proc.publish.history import Unit
from omezarr_proc.publish.leftovers import discard, refuse_parts
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.record import Record
from omezarr_proc.publish.shares import Share
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.objects import Objects


class Noting(Protocol):
    """A dataset in the making, or the share of a part of it, and what is noted of that. Methods raise OutputError.

    objects     where its objects are put; nobody reads them there before it is published
    place       the folder that its documents, and in a folder its chunks too, are in until then
    units       what earlier attempts have finished
    unfinished  how many of the latest attempts in a row were killed
    stalled     how many of these before they had finished anything
    """

    objects: Objects
    place: Path
    units: tuple[Unit, ...]
    unfinished: int
    stalled: int

    def begin(self, plan: dict[str, Any]) -> None:
        """Note an attempt; when this returns, the note will survive whatever comes."""

    def add(self, units: Iterable[Unit]) -> None:
        """Note units whose objects are put. Does not wait until the note is safe."""

    def flush(self) -> None:
        """Wait until everything that was noted is safe."""

    def end(self, how: str, timeout: float | None = None) -> bool:
        """Note the orderly end of an attempt; returns whether it is safe within `timeout` seconds."""

    def close(self) -> None:
        """Stop noting."""


class OfFields(Noting, Protocol):
    """The same of a dataset of several images, as a plate is: each of these is made on its own, and noted in the same record."""

    def field(self, path: str) -> Field:
        """The image that has this path in the dataset, gone on with where an earlier attempt has left it."""


class Tree(OfFields, Protocol):
    """One dataset in the making, which nobody else works on, but for parts that are repeated. Methods raise OutputError."""

    def publish(self) -> None:
        """Give the tree its name, complete with its root metadata; what had the name is replaced. Only after `close`."""

    def give_up(self) -> None:
        """Remove all that was made, since it is of no use to another attempt. Only after `close`."""


class _Staged:
    """A tree of files below a staging folder, noted in the record beside it."""

    def __init__(
        self, dataset: Path, key: str, lock: Lock, *, force: bool = False, deadline: float | None = None, rows: Iterable[str] = ()
    ) -> None:
        """Go on with what is staged where it is of the same key, else begin anew. Raises OutputError.

        lock      held by the caller for as long as the tree is in use
        force     replace whatever is in the way, not only an OME-Zarr dataset
        rows      of a plate what its rows are called: what it has at its top beside what all datasets have there
        deadline  until when to remove what is of no use any more, as time.monotonic() counts; the next run removes the rest
        """
        self._dataset, self._lock, self._force, self._deadline = dataset, lock, force, deadline
        self._target = self.target_of(dataset)
        self._record = Record.open(self._target, key)
        self._record.lock = lock
        self.place = self._record.staging
        self.objects: Objects = Folder(str(self.place))
        self._others = shares.histories_of_parts(self._target, key)
        self.units = (*self._record.units, *(unit for history in self._others for unit in history.units))
        self.unfinished, self.stalled = self._record.history.unfinished, self._record.history.stalled
        self.begin, self.add, self.end, self.close = self._record.begin, self._record.add, self._record.end, self._record.close

    @staticmethod
    def target_of(dataset: Path) -> Path:
        """The path that is locked, and beside which the hidden files are."""
        return dataset

    @classmethod
    def locked(cls, dataset: Path) -> Lock:
        """The lock of a dataset, to be entered."""
        return Lock(cls.target_of(dataset))

    @classmethod
    def refuse_parts(cls, dataset: Path) -> None:
        """Raise LockedError where a part works on its share of a dataset that the caller has locked."""
        refuse_parts(cls.target_of(dataset))

    @classmethod
    def locked_share(cls, dataset: Path, part: Part) -> Lock:
        """The lock of a part's share of a dataset, to be entered."""
        return shares.lock_of(cls.target_of(dataset), part)

    @classmethod
    def share(cls, dataset: Path, key: str, part: Part, parts: Sequence[int], rows: Iterable[str] = ()) -> Share:
        """The share of a part, which the caller has locked; `parts`: the numbers of all that have one. Raises OutputError."""
        target = cls.target_of(dataset)
        with Lock(target, shares.PATIENCE) as lock:
            shares.refuse_other_keys(target, key)
            if not shares.is_set_up(target, key):
                cls(dataset, key, lock).close()
        return Share(target, part, key, parts)

    @classmethod
    def is_done(cls, dataset: Path, key: str, of: int, parts: Iterable[int]) -> bool:
        """Whether each of these parts has noted that its share is done. Raises OutputError."""
        return all(shares.is_done(cls.target_of(dataset), key, Part(number, of)) for number in parts)

    @classmethod
    def discard(cls, dataset: Path, deadline: float | None = None) -> None:
        """Remove all that is hidden of a dataset that needs no more work. The caller holds the lock."""
        discard(cls.target_of(dataset), deadline)

    def flush(self) -> None:
        """See `Tree`."""
        self._record.flush()

    def field(self, path: str) -> Field:
        """See `OfFields`."""
        return Field(self._record, path, self.place / path, Folder(str(self.place / path)), self._others)

    def give_up(self) -> None:
        """See `Tree`."""
        self._lock.check()
        discard(self._target, self._deadline)


class ByRename(_Staged):
    """The dataset is a folder of OUTPUT_DIR, or further below."""

    @staticmethod
    def recover(folder: Path) -> set[Path]:
        """Put in order what killed runs have left half done in `folder`; returns the datasets that still have something hidden."""
        return by_rename.recover(folder)

    @staticmethod
    def look(dataset: Path, rows: Iterable[str] = ()) -> Standing:
        """What is there already. `rows`: as of a tree. Raises OutputError."""
        found = standing(os.path.lexists(dataset), stored_key(dataset), lambda: refuse_foreign(dataset))
        return replace(found, taken=found.taken and not found.foreign)

    def publish(self) -> None:
        """See `Tree`."""
        self._lock.check()
        by_rename.publish(self._dataset, self._deadline, self._record.disk, force=self._force)


class ByRootLast(_Staged):
    """The dataset is OUTPUT_DIR itself."""

    def __init__(
        self, dataset: Path, key: str, lock: Lock, *, force: bool = False, deadline: float | None = None, rows: Iterable[str] = ()
    ) -> None:
        """As `ByRename`. What another run was killed over since this one has begun is finished first."""
        try:
            by_root_last.refuse_foreign_hidden(dataset)
            by_root_last.settle(dataset)
        except OSError as error:
            raise output_error("cannot put in order what an earlier run has left", error, dataset) from error
        super().__init__(dataset, key, lock, force=force, deadline=deadline, rows=rows)

    @staticmethod
    def target_of(dataset: Path) -> Path:
        """The path that is locked, and beside which the hidden files are."""
        return inside(dataset)

    @staticmethod
    def recover(folder: Path) -> set[Path]:
        """See `ByRename`."""
        return {folder} if by_root_last.recover(folder) else set()

    @staticmethod
    def look(dataset: Path, rows: Iterable[str] = ()) -> Standing:
        """See `ByRename`; the folder itself is always there."""
        return standing(dataset_at(dataset) is not None, stored_key(dataset), lambda: refuse_in_the_way(dataset, rows))

    def publish(self) -> None:
        """See `Tree`."""
        self._lock.check()
        by_root_last.publish(self._dataset, self._deadline, self._record.disk, force=self._force)


TREES: dict[str, type[ByRename] | type[ByRootLast]] = {"folders": ByRename, "root": ByRootLast}  # by OUTPUT_LAYOUT


def tree_for(output_dir: Place, output_layout: str) -> Any:
    """The class of the trees of an OUTPUT_DIR: of TREES, or in an object store of those in `in_store`, which are used alike."""
    if isinstance(output_dir, Path):
        return TREES[output_layout]
    from omezarr_proc.publish.in_store import InStore, InStoreRoot

    return {"folders": InStore, "root": InStoreRoot}[output_layout]
