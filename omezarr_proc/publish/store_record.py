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

    def __init__(self, bucket: Bucket, history: History, number: int, prefix: str = RECORD, interval: float = INTERVAL) -> None:
        """`number`: of the next object, below `prefix`."""
        self.path, self.staging = bucket.root / prefix.rstrip("/"), bucket.root  # type: ignore[assignment]  # for messages
        self.history, self._bucket, self._number, self._prefix = history, bucket, number, prefix
        self._start(interval)

    def _let_go(self) -> None:
        pass

    def _write(self, data: bytes, units: bool) -> OSError | None:
        try:
            self._bucket.put(f"{self._prefix}{self._number:08}", data)
        except OutputError as error:
            return error.__cause__ if isinstance(error.__cause__, OSError) else OSError(5, error.message)
        self._number += 1
        return None


def contents(bucket: Bucket, names: Sequence[str]) -> list[bytes]:
    """What is in objects of records, many asked for at a time; empty where one is gone. Raises OSError."""

    def get(name: str) -> bytes:
        try:
            return bucket.get(name)
        except FileNotFoundError:
            return b""

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(get, names))


def record_of(bucket: Bucket) -> bytes:
    """What the objects of the record say together: a plate has one for each field, or more. Raises OSError."""
    return b"".join(contents(bucket, sorted(bucket.keys(RECORD))))
