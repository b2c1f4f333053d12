"""The trees of small images that share their syncs: each is made in a moment, so nothing of it is worth going on with.

What is on disk when, of all of them together:

    record      its first lines, then a sync, then the staging folder: one that is there is known to be ours, also after a power cut
    attempt     its begin and its end are written, not synced: they serve to tell what kills a run, and a kill loses nothing
    dataset     all chunks and documents, then a sync, then the name (see `by_rename`), then a sync of the folder, then what is hidden goes

Units are not noted. A run that is killed makes its images again, the next one each by itself, with a record as all others have
(`is_fresh`): what killed it is found by its own attempts.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omezarr_proc.host.faults import output_error
from omezarr_proc.publish.by_rename import Named, confirm, take_name
from omezarr_proc.publish.hidden import MAGIC, record_path, staging_path
from omezarr_proc.publish.history import Unit, header, line
from omezarr_proc.publish.leftovers import discard
from omezarr_proc.publish.lock import Lock
from omezarr_proc.store.folder import Folder
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.opening import open_file
from omezarr_proc.store.sync import Disks


def is_fresh(target: Path) -> bool:
    """Whether no earlier run has left anything that one could go on with. The caller holds the lock."""
    return not (os.path.lexists(record_path(target)) or os.path.lexists(staging_path(target)))


class Brief:
    """One such tree, a `Noting`, in these steps: made, `sync`, `stage`, its objects, `close`, `sync`, `name`, its folder's sync, `confirm`.

    disk  its file system, to be synced by the caller
    """

    units: tuple[Unit, ...] = ()
    unfinished = stalled = 0

    def __init__(self, target: Path, key: str, lock: Lock, disks: Disks, *, force: bool = False, deadline: float | None = None) -> None:
        """Write the record of a target that `is_fresh`; the rest as `ByRename`. Raises OutputError."""
        self.target, self._lock, self._force, self._deadline = target, lock, force, deadline
        self.place = staging_path(target)
        self.objects: Objects = Folder(str(self.place))
        self._named: Named | None = None
        self._fd = -1
        try:
            self.disk = disks.of(target.parent)
            self._fd = open_file(record_path(target), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
            os.write(self._fd, MAGIC + header(key))
        except OSError as error:
            self.close()
            raise output_error("cannot make the output", error, error.filename or target) from error

    def stage(self) -> None:
        """Make the staging folder, now that the record is on disk. Raises OutputError."""
        try:
            self.place.mkdir()
        except OSError as error:
            raise output_error("cannot make the output", error, self.place) from error

    def begin(self, plan: dict[str, Any]) -> None:
        """Note an attempt."""
        self._write(line(["begin", plan]))

    def add(self, units: Iterable[Unit]) -> None:
        """Nothing is noted of them."""

    def flush(self) -> None:
        """Nothing waits."""

    def end(self, how: str, timeout: float | None = None) -> bool:
        """Note the orderly end of an attempt."""
        self._write(line(["end", how]))
        return True

    def close(self) -> None:
        """Stop noting."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes) -> None:
        try:
            os.write(self._fd, data)
        except OSError as error:
            raise output_error("cannot note what is finished", error, record_path(self.target)) from error

    def name(self) -> None:
        """Give the dataset, all of which is safe on disk, its name. Raises OutputError."""
        self._lock.check()
        try:
            self._named = take_name(self.target, force=self._force)
        except OSError as error:
            raise output_error("cannot publish", error, self.target) from error

    def confirm(self, names: Iterable[str]) -> None:
        """See that the name, which is safe on disk, leads to the dataset; remove what is hidden of it. Raises OutputError.

        names  those of its folder since then: listed once for all of a bunch
        """
        assert self._named is not None
        try:
            confirm(self._named, self._deadline, names)
        except OSError as error:
            raise output_error("cannot publish", error, self.target) from error

    def give_up(self) -> None:
        """Remove all that was made."""
        discard(self.target, self._deadline)
