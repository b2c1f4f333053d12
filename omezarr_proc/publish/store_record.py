"""The record of a dataset in an object store: an object for each flush; together they read as a record in a folder does."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from omezarr_proc.host.background import Background, side_by_side
from omezarr_proc.model.errors import OutputError
from omezarr_proc.publish.hidden import IN_STORE, MAGIC
from omezarr_proc.publish.history import History, Unit, header
from omezarr_proc.publish.record import INTERVAL, Record
from omezarr_proc.store.remote import Bucket

RECORD = f"{IN_STORE}record/"
ROWS = f"{IN_STORE}rows"


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

    def settle(self) -> None:
        """All of it is noted by the time when it has ended."""


class BriefRecord:
    """The record of a dataset that is made in a moment, in a place where nothing is: whose it is, and nothing that one could go on with.

    Used as `StoreRecord`. What the first object says has to be known before anything is put, which key it is of before it is published.
    """

    def __init__(self, bucket: Bucket, key: str) -> None:
        """Begin it. Raises OutputError."""
        bucket.put(f"{RECORD}{0:08}", MAGIC)
        self._header = Background("record", lambda: bucket.put(f"{RECORD}{1:08}", header(key)))

    def begin(self, plan: dict[str, Any]) -> None:
        """Not noted: where a run was killed the next one begins with a record as all others have."""

    def add(self, units: Iterable[Unit]) -> None:
        """Not noted."""

    def end(self, how: str, timeout: float | None = None) -> bool:
        """Not noted."""
        return True

    def close(self) -> None:
        """See `Record`."""
        self._header.wait(1.0)

    def settle(self) -> None:
        """Wait until its key is noted. Raises OutputError."""
        self._header.wait()
        self._header.check()


def contents(bucket: Bucket, names: Sequence[str]) -> list[bytes]:
    """What is in objects of records, many asked for at a time; empty where one is gone. Raises OSError."""

    def get(name: str) -> bytes:
        try:
            return bucket.get(name)
        except FileNotFoundError:
            return b""

    return side_by_side([partial(get, name) for name in names])


def record_of(bucket: Bucket) -> bytes:
    """What the objects of the record say together: a plate has one for each field, or more. Raises OSError."""
    return b"".join(contents(bucket, sorted(bucket.keys(RECORD))))
