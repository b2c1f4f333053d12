"""What lies in a dataset's place in an object store, found out at once: by a listing, and the root beside it; and removing that."""

import json
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from omezarr_proc.host.background import side_by_side
from omezarr_proc.host.store_errors import store_error
from omezarr_proc.publish.children import OURS, named_at_top
from omezarr_proc.publish.existing import is_ome
from omezarr_proc.publish.hidden import IN_STORE
from omezarr_proc.publish.store_lock import LOCK, PART_LOCKS
from omezarr_proc.publish.store_record import RECORD, ROWS
from omezarr_proc.publish.store_shares import forget_locks, of_parts
from omezarr_proc.store.documents import ROOT_DOCUMENTS
from omezarr_proc.store.remote import PAGE, Bucket, read_json


@dataclass(frozen=True)
class Contents:
    """What lies in the place of a dataset.

    alone  whether the place is the dataset's alone; else others may have objects there, which stay
    root   the root attributes of the OME-Zarr dataset that is there; None where there is none
    first  the keys of the first objects
    whole  whether these are all
    """

    bucket: Bucket
    alone: bool
    root: dict[str, Any] | None
    first: tuple[str, ...]
    whole: bool

    @classmethod
    def found(cls, bucket: Bucket, *, alone: bool) -> "Contents":
        """What is there now. Raises OutputError."""
        document, first = side_by_side([lambda: _asked(bucket, "zarr.json"), lambda: tuple(islice(_listed(bucket), PAGE))])
        whole = len(first) < PAGE
        attributes = document.get("attributes") or (_asked(bucket, ".zattrs") if not whole or ".zattrs" in first else {})
        root = attributes if isinstance(attributes, dict) and is_ome(attributes) else None
        return cls(bucket, alone, root, first, whole)

    @property
    def empty(self) -> bool:
        """Whether there is nothing but the lock."""
        return self.whole and set(self.first) <= {LOCK}

    @cached_property
    def hidden(self) -> list[str]:
        """The keys of all that is hidden, sorted. Raises OSError."""
        return sorted(key for key in (self.first if self.whole else self.bucket.keys(IN_STORE)) if key.startswith(IN_STORE))

    @property
    def records(self) -> list[str]:
        """Of these those of the record, the first one first. Raises OSError."""
        return [key for key in self.hidden if key.startswith(RECORD)]

    @property
    def has_locks_of_parts(self) -> bool:
        """Whether parts work on it, or were killed with their locks. Raises OSError."""
        return any(key.startswith(PART_LOCKS) for key in self.hidden)

    @property
    def rows(self) -> set[str]:
        """What is noted as the rows of a plate in the making, or of one that is replaced. Raises OSError."""
        return rows_of(self.bucket) if ROWS in self.hidden else set()

    @property
    def others(self) -> Iterator[str]:
        """The keys of what is not hidden. Raises OSError."""
        return (key for key in (self.first if self.whole else self.bucket.keys()) if not key.startswith(IN_STORE))

    def parts(self, rows: Container[str]) -> Iterator[str]:
        """The objects that a dataset in this place has or needs, one whose rows are called so. Raises OSError."""
        return (key for key in self.others if self.alone or (top := key.partition("/")[0]) in rows or OURS.fullmatch(top))

    def remove(self, rows: set[str]) -> str:
        """Remove the dataset that is there, or what there is of one, the root first; whose it was, in words. Raises OSError."""
        keys, whose = list(self.others), ""
        if roots := [name for name in reversed(ROOT_DOCUMENTS) if name in keys]:
            root = self.root or {}
            own = root.get("omezarr_proc")
            whose = f"omezarr_proc {own.get('version', '')}".strip() if isinstance(own, dict) else "another program"
            rows = rows | {name for name in named_at_top(root) if not OURS.fullmatch(name)}
        if rows:  # before the root goes, which names them
            self.bucket.put(ROWS, json.dumps(sorted(rows)).encode())
        for name in roots:
            self.bucket.delete(name)
        self.bucket.delete_all([key for key in self.parts(rows) if key not in roots])
        return whose

    def discard(self) -> None:
        """Remove the record, and what it tells of where that is no dataset yet. Raises OSError."""
        self.bucket.delete_all(self.records[1:])  # half of it must not be taken for the whole
        if self.root is None:
            self.bucket.delete_all([*self.parts(self.rows)])
        self.forget()

    def forget(self) -> None:
        """Remove the record, its begin last but not alone: without it the rest is none. Raises OSError."""
        self.bucket.delete_all([*self.records[1:], *of_parts(self.hidden), *(key for key in self.hidden if key == ROWS)])
        forget_locks(self.bucket.root, self.hidden)
        self.bucket.delete_all(self.records[:1])


def rows_of(bucket: Bucket) -> set[str]:
    """What is noted as the rows of a plate in the making, or of one that is replaced. Raises OSError."""
    try:
        found = json.loads(bucket.get(ROWS))
    except (FileNotFoundError, ValueError):
        return set()
    return {name for name in found if isinstance(name, str)} if isinstance(found, list) else set()


def _asked(bucket: Bucket, key: str) -> dict[str, Any]:
    try:
        return read_json(bucket, key)
    except OSError as error:
        raise store_error("cannot be read", error, bucket.root) from error


def _listed(bucket: Bucket) -> Iterator[str]:
    try:
        yield from bucket.keys()
    except OSError as error:
        raise store_error("cannot be listed", error, bucket.root) from error
