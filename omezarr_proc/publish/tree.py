"""A tree is published once: begin or go on, note what is finished, publish or give up.

`Tree` is the contract of one dataset in the making. There is one way to keep it so far, `ByRename`: the objects are files of a hidden
staging folder beside the final name, a record there says what is finished, and publishing is a rename or an exchange (see `by_rename`).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from omezarr_proc.publish.by_rename import publish
from omezarr_proc.publish.history import Unit
from omezarr_proc.publish.leftovers import discard
from omezarr_proc.publish.lock import Lock
from omezarr_proc.publish.record import Record
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.objects import Objects


class Tree(Protocol):
    """One dataset in the making, which nobody else works on. Methods raise OutputError.

    objects     where its objects are put; nobody reads them there before it is published
    place       the folder that they are in until then
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

    def publish(self) -> None:
        """Give the tree its name, complete with its root metadata; what had the name is replaced. Only after `close`."""

    def give_up(self) -> None:
        """Remove all that was made, since it is of no use to another attempt. Only after `close`."""


class ByRename:
    """A tree of files below the staging folder of the dataset `target`, noted in the record beside it."""

    def __init__(self, target: Path, key: str, lock: Lock, *, force: bool = False, deadline: float | None = None) -> None:
        """Go on with what is staged where it is of the same key, else begin anew. Raises OutputError.

        lock      held by the caller for as long as the tree is in use
        force     replace whatever has the name, not only an OME-Zarr dataset
        deadline  until when to remove what is of no use any more, as time.monotonic() counts; the next run removes the rest
        """
        self._target, self._lock, self._force, self._deadline = target, lock, force, deadline
        self._record = Record.open(target, key)
        self.place = self._record.staging
        self.objects: Objects = Folder(str(self.place))
        self.units = self._record.units
        self.unfinished, self.stalled = self._record.unfinished, self._record.stalled
        self.begin, self.add, self.end, self.close = self._record.begin, self._record.add, self._record.end, self._record.close

    def flush(self) -> None:
        """See `Tree`."""
        self._record.flush()

    def publish(self) -> None:
        """See `Tree`."""
        self._lock.check()
        publish(self._target, self._deadline, self._record.disk, force=self._force)

    def give_up(self) -> None:
        """See `Tree`."""
        discard(self._target, self._deadline)
