"""Whether input files still are what they were when they were opened: one that is written to meanwhile would be published mixed."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from omezarr_proc.host.faults import retry
from omezarr_proc.host.store_errors import refuse_silence
from omezarr_proc.model.address import Address, Place, absolute
from omezarr_proc.model.errors import ChangedInputError, InputError
from omezarr_proc.model.image import FileState
from omezarr_proc.tiff.file.bytes import identity_of

# A file that was written to less than so many seconds ago may be on its way still: it is looked at again a moment later.
_LATELY = 1.0
_MOMENT = 0.1


def changed(states: Iterable[FileState]) -> ChangedInputError | None:
    """What is wrong with the first file that is another one now; None where all are what they were.

    Raises StoreUnavailableError.
    """
    for before in states:
        try:
            now = retry(lambda path=before.path: identity_of(path))  # type: ignore[misc]
        except OSError as error:
            refuse_silence(error)
            return ChangedInputError(f"went away while it was read ({error.strerror})", source=before.path)
        if now.size != before.size:
            return ChangedInputError(f"has changed while it was read, from {before.size} to {now.size} bytes", source=before.path)
        if now.mtime_ns != before.mtime_ns or now.etag != before.etag:
            return ChangedInputError("was written to while it was read", source=before.path)
        # A link or new permissions change the one, a file system in user space may forget the other.
        if now.inode != before.inode and now.ctime_ns != before.ctime_ns:
            return ChangedInputError("was replaced while it was read", source=before.path)
    return None


@contextmanager
def being_opened(path: Place) -> Iterator[None]:
    """Within, a file is opened: what is wrong with it is a ChangedInputError where it is still written. An object is there as a whole.

    Raises OSError where the file is not there.
    """
    if isinstance(path, Address):
        yield
        return
    before = identity_of(absolute(str(path)))
    try:
        yield
    except InputError as error:
        better = changed([before])
        if not better and time.time() - before.mtime_ns / 1e9 < _LATELY:
            time.sleep(_MOMENT)
            better = changed([before])
        if better:
            better.hint = "run it again when it is complete"
            raise better from error
        raise
