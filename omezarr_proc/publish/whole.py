"""One large file that appears when it is whole, written by one run at a time.

It is written as `.NAME.unfinished`, which a run that is killed leaves for the next one to write over.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from omezarr_proc.host.faults import output_error, rename
from omezarr_proc.model.errors import InTheWayError
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.store.opening import open_file


@contextmanager
def whole_file(target: Path, *, replaces: bool = False) -> Iterator[BinaryIO]:
    """A file that gets its name when all of it is on disk; else nothing is left of it.

    replaces  whether one that has the name already is replaced; else that is an error

    Raises OutputError, InTheWayError where it is there and not to be replaced, LockedError where another run writes it.
    """
    partial = target.with_name(f".{target.name}.unfinished")
    try:
        if not replaces and os.path.lexists(target):
            raise InTheWayError("is there already, and is not replaced: remove it, or choose another name", source=target)
        with open(partial, "r+b", opener=lambda _, flags: open_file(partial, flags | os.O_CREAT)) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockedError("another run writes it", source=target) from None
            try:
                file.truncate()
                yield file
                file.flush()
                os.fsync(file.fileno())
                rename(partial, target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise output_error("cannot be written", error, target) from error
