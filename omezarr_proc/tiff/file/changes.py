"""Whether input files still are what they were when they were opened: one that is written to meanwhile would be published mixed."""

import os
from collections.abc import Iterable

from omezarr_proc.host.faults import retry
from omezarr_proc.model.image import FileState


def state(path: str, status: os.stat_result | None = None) -> FileState:
    """What a file is now, or was at its `status`. Raises OSError."""
    status = status or os.stat(path)
    return FileState(path, status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)


def changed(states: Iterable[FileState]) -> str | None:
    """Of the first file that is another one now: which, and what has changed; None where all are what they were."""
    for before in states:
        try:
            now = state(before.path, retry(lambda path=before.path: os.stat(path)))  # type: ignore[misc]
        except OSError as error:
            return f"{before.path}: went away while it was read ({error.strerror})"
        if now.size != before.size:
            return f"{before.path}: has changed while it was read, from {before.size} to {now.size} bytes"
        if now.mtime_ns != before.mtime_ns:
            return f"{before.path}: was written to while it was read"
        # A link or new permissions change the one, a file system in user space may forget the other.
        if now.inode != before.inode and now.ctime_ns != before.ctime_ns:
            return f"{before.path}: was replaced while it was read"
    return None
