"""One of several images that are one dataset, as the fields of a plate are: a `Noting` whose notes go into the record of its tree.

It needs no lock, no record and no name of its own: it is whole once its record says so, and goes where the tree goes.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omezarr_proc.host.faults import output_error
from omezarr_proc.publish.history import History, Unit
from omezarr_proc.publish.record import Record
from omezarr_proc.store.objects import Objects


class Field:
    """The image at `path` of a tree: see `Noting`.

    made  its bytes, where an earlier attempt has made all of it
    """

    def __init__(self, record: Record, path: str, place: Path, objects: Objects, others: Sequence[History]) -> None:
        """Go on with what the record, and those of others who work on the same dataset, tell of it. Raises OutputError."""
        self._record, self._path = record, path
        self.place, self.objects = place, objects
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error("cannot make the output", error, place) from error
        histories = [history.fields[path] for history in (record.history, *others) if path in history.fields]
        own = record.history.fields.get(path, History())
        self.units = tuple(unit for history in histories for unit in history.units)
        self.unfinished, self.stalled = own.unfinished, own.stalled
        self.made = next((history.made for history in histories if history.made is not None), None)

    def begin(self, plan: dict[str, Any]) -> None:
        """See `Noting`."""
        self._record.begin(plan | {"field": self._path})

    def add(self, units: Iterable[Unit]) -> None:
        """See `Noting`."""
        self._record.add(units)

    def flush(self) -> None:
        """Nobody waits: the record is flushed when the next one begins, and when all are made."""

    def end(self, how: str, timeout: float | None = None) -> bool:
        """See `Noting`; what is finished is whole when it has its root, which `finish` notes."""
        return how == "finished" or self._record.end(how, timeout)

    def close(self) -> None:
        """See `Noting`: the record stays open for the next one."""

    def finish(self, size: int) -> None:
        """Note that all of it, its root too, is put: so many bytes."""
        self._record.note(["made", self._path, size])

    def give_up(self) -> None:
        """Forget what is noted of it; another attempt puts the same objects in the place of those that are there."""
        self._record.note(["forget", self._path])
