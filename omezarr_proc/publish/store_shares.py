"""The share of a part in an object store: as in a folder (see `shares`), with what is noted below the dataset's own prefix.

    .omezarr_proc/part-locks/3-of-16        who works on the share of a part
    .omezarr_proc/parts/KEY/3-of-16/N       what is finished of it, an object for each flush, by the dataset's key
    .omezarr_proc/done/KEY/3-of-16          empty: the share is done

Names tell the key and what is done, so a listing finds out what would else be a request for each part.
"""

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from omezarr_proc.host.store_errors import store_error
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import OutputError
from omezarr_proc.model.part import Part
from omezarr_proc.publish.fields import Field
from omezarr_proc.publish.hidden import IN_STORE, MAGIC
from omezarr_proc.publish.history import History, header, read, recorded_key
from omezarr_proc.publish.in_place import InPlace, place_for
from omezarr_proc.publish.shares import FINISHED, other_key
from omezarr_proc.publish.store_lock import PART_LOCKS, StoreLock, is_held
from omezarr_proc.publish.store_record import RECORD, StoreRecord, contents, record_of
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.remote import Bucket

PARTS = f"{IN_STORE}parts/"
DONE = f"{IN_STORE}done/"
# How long the begin of one part may take while others wait for theirs, a dataset that is replaced being removed; between two looks.
PATIENCE = 60.0
_PAUSE = 0.5
_NAME = re.compile(r"([1-9][0-9]{0,8})-of-([1-9][0-9]{0,8})")


class StoreShare:
    """The share of a part in an object store, as `Share` is one in a folder."""

    def __init__(self, dataset: Address, part: Part, key: str, parts: Sequence[int]) -> None:
        """Go on with what this and others have noted. The dataset is set up, and the caller holds the lock of the part. Raises OSError."""
        self._bucket, self._parts = Bucket(dataset), list(parts)
        self._prefix, self._done = f"{PARTS}{key}/{_name(part)}/", f"{DONE}{key}/{_name(part)}"
        histories = noted(self._bucket, key, lambda other: other == part or other.of != part.of)
        own, names = histories.pop(part, None), sorted(self._bucket.keys(self._prefix))
        of_runs = read(record_of(self._bucket), key)
        self._others = [*([of_runs] if of_runs else []), *histories.values()]
        if own is None:
            self._bucket.put(f"{self._prefix}{0:08}", MAGIC + header(key))
            self._bucket.delete_all(names[1:])
        number = int(names[-1].rpartition("/")[2]) + 1 if own else 1
        self._record = StoreRecord(self._bucket, own or History(), number, self._prefix)
        self.units = tuple(unit for history in (self._record.history, *self._others) for unit in history.units)
        self.unfinished, self.stalled = self._record.history.unfinished, self._record.history.stalled
        self.objects: Objects = self._bucket
        self.place, self._remove_place = place_for(self)
        self.add = self._record.add

    def begin(self, plan: dict[str, Any]) -> None:
        """See `Noting`."""
        self._record.begin(plan | {"parts": self._parts})

    def flush(self) -> None:
        """See `Noting`."""
        self._record.flush()

    def end(self, how: str, timeout: float | None = None) -> bool:
        """See `Noting`; what is finished is named so when all of it is noted."""
        safe = self._record.end(how, timeout)
        if how == FINISHED:
            self._bucket.put(self._done, b"")
        return safe

    def field(self, path: str) -> Field:
        """See `OfFields`."""
        place = self.place / path
        return Field(self._record, path, place, InPlace(self._bucket.root / path, place, ()), self._others)

    def close(self) -> None:
        """See `Noting`."""
        self._record.close()
        self._remove_place()

    def give_up(self) -> None:
        """Forget what the part has noted, its begin last. Only after `close`. Raises OutputError."""
        try:
            names = sorted(self._bucket.keys(self._prefix))
            self._bucket.delete_all([self._done, *names[1:]])
            self._bucket.delete_all(names[:1])
        except OSError as error:
            raise store_error("cannot be removed", error, self._bucket.root / self._prefix) from error


def begin_share(dataset: Address, key: str, part: Part, parts: Sequence[int], set_up: Callable[[StoreLock], None]) -> StoreShare:
    """The share of a part, whose lock the caller holds, after one part has set up the dataset for all. Raises OSError, OutputError.

    A run without parts has the lock of the dataset from its begin to its end, parts have it for moments. Each looks at it, and at the key
    of the record, once more when its own record is there: who begins another dataset from then on finds that.
    """
    bucket = Bucket(dataset)
    while True:
        if _waited(dataset) or not _is_set_up(bucket, key):
            with StoreLock(dataset) as lock:
                if other := _other_part(bucket, key):
                    raise other_key(other, dataset)
                if not _is_set_up(bucket, key):
                    set_up(lock)
        share = StoreShare(dataset, part, key, parts)
        if not is_held(dataset) and _is_set_up(bucket, key):
            return share
        share.close()
        if not _is_set_up(bucket, key):
            share.give_up()


def _waited(dataset: Address) -> bool:
    """Wait while others have the lock of a dataset; whether they still have it after PATIENCE seconds."""
    give_up = time.monotonic() + PATIENCE
    while (held := is_held(dataset)) and time.monotonic() < give_up:
        time.sleep(_PAUSE)
    return held


def _is_set_up(bucket: Bucket, key: str) -> bool:
    """Whether the record of the dataset is of this key."""
    try:
        return recorded_key(MAGIC + bucket.get(f"{RECORD}{1:08}")) == key
    except FileNotFoundError:
        return False


def _other_part(bucket: Bucket, key: str) -> Part | None:
    """A part that has noted something of another key than this one; None where there is none."""
    of_others = (_part_of(name) for name in bucket.keys(PARTS) if not name.startswith(f"{PARTS}{key}/"))
    return next(filter(None, of_others), None)


def done_parts(bucket: Bucket, key: str, of: int) -> set[int]:
    """The numbers of the parts, of `of`, that have noted that their shares are done. Raises OSError."""
    parts = map(_part, bucket.names(f"{DONE}{key}/")[1])
    return {part.number for part in parts if part and part.of == of}


def noted(
    bucket: Bucket, key: str, wanted: Callable[[Part], bool] = lambda part: True, names: Iterable[str] | None = None
) -> dict[Part, History]:
    """What those parts that are `wanted` have noted of a key; `names`: of what is hidden, where they are known. Raises OSError."""
    prefix = f"{PARTS}{key}/"
    names = sorted(name for name in (bucket.keys(prefix) if names is None else names) if name.startswith(prefix))
    of_parts = {part: [*some] for part, some in groupby(names, _part_of) if part and wanted(part)}
    found = iter(contents(bucket, [name for some in of_parts.values() for name in some]))
    records = {part: b"".join(next(found) for _ in some) for part, some in of_parts.items()}
    return {part: history for part, record in records.items() if (history := read(record, key))}


def working_parts(bucket: Bucket) -> Iterator[Part]:
    """The parts that have their lock, or were killed with it. Raises OSError."""
    return filter(None, map(_part, bucket.names(PART_LOCKS)[1]))


def refuse_parts(dataset: Address) -> None:
    """Raise LockedError where a part works on its share of a dataset that the caller has locked. Raises OutputError."""
    try:
        parts = sorted(working_parts(Bucket(dataset)))
    except OSError as error:
        raise store_error("cannot be listed", error, dataset) from error
    for part in parts:
        with StoreLock(dataset, part):
            pass  # it was of one that is gone


def of_parts(names: Iterable[str]) -> list[str]:
    """Those of what is hidden that parts have noted."""
    return [name for name in names if name.startswith((DONE, PARTS))]


def forget_locks(dataset: Address, names: Iterable[str]) -> None:
    """Remove the locks of parts among what is hidden that nobody has. The caller holds the dataset's lock. Raises OSError."""
    for part in filter(None, (_part(name.removeprefix(PART_LOCKS)) for name in names if name.startswith(PART_LOCKS))):
        with contextlib.suppress(OutputError), StoreLock(dataset, part):
            pass  # a lock goes when it is left


def _part_of(key: str) -> Part | None:
    """The part whose record an object is of."""
    return _part(key.split("/")[-2])


def _part(name: str) -> Part | None:
    match = _NAME.fullmatch(name)
    return Part(int(match[1]), int(match[2])) if match else None


def _name(part: Part) -> str:
    return f"{part.number}-of-{part.of}"
