"""The record of a dataset in an object store: an object for each flush; together they read as a record in a folder does."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish.hidden import IN_STORE
from omezarr_proc.publish.history import History
from omezarr_proc.publish.record import INTERVAL, Record
from omezarr_proc.store.remote import Bucket

RECORD = f"{IN_STORE}record/"
ROWS = f"{IN_STORE}rows"
_AT_ONCE = 16  # objects that are asked for


class StoreRecord(Record):
    """The record of a dataset in an object store: see `Record`."""

    def __init__(self, bucket: Bucket, history: History, number: int, interval: float = INTERVAL) -> None:
        """`number`: of the next object."""
        self.path, self.staging = bucket.root / RECORD.rstrip("/"), bucket.root  # type: ignore[assignment]  # for messages
        self.history, self._bucket, self._number = history, bucket, number
        self._start(interval)

    def _let_go(self) -> None:
        pass

    def _write(self, data: bytes, units: bool) -> OSError | None:
        try:
            self._bucket.put(f"{RECORD}{self._number:08}", data)
        except OutputError as error:
            return error.__cause__ if isinstance(error.__cause__, OSError) else OSError(5, error.message)
        self._number += 1
        return None


def record_of(bucket: Bucket, names: Sequence[str]) -> bytes:
    """What the objects of a record say together: a plate has one for each field, or more. Raises OSError."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return b"".join(threads.map(bucket.get, names))


def forget(bucket: Bucket) -> None:
    """Remove the record, its begin last but not alone: without it the rest is none. Raises OSError."""
    names = sorted(bucket.keys(RECORD))
    bucket.delete_all([*names[1:], ROWS])
    bucket.delete_all(names[:1])
