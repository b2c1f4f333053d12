"""Whether input files still are what they were when they were opened: one that is written to meanwhile would be published mixed."""

from collections.abc import Iterable

from omezarr_proc.host.faults import retry
from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.image import FileState
from omezarr_proc.tiff.file.bytes import identity_of


def changed(states: Iterable[FileState]) -> str | None:
    """Of the first file that is another one now: which, and what has changed; None where all are what they were.

    Raises StoreUnavailableError.
    """
    for before in states:
        try:
            now = retry(lambda path=before.path: identity_of(path))  # type: ignore[misc]
        except OSError as error:
            refuse_silence(error)
            return f"{before.path}: went away while it was read ({error.strerror})"
        if now.size != before.size:
            return f"{before.path}: has changed while it was read, from {before.size} to {now.size} bytes"
        if now.mtime_ns != before.mtime_ns or now.etag != before.etag:
            return f"{before.path}: was written to while it was read"
        # A link or new permissions change the one, a file system in user space may forget the other.
        if now.inode != before.inode and now.ctime_ns != before.ctime_ns:
            return f"{before.path}: was replaced while it was read"
    return None
