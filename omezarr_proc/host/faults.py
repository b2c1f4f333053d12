"""What storage errors mean to the person who must act, and which are worth another try."""

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from omezarr_proc.model.errors import NoSpaceError, OutputError

T = TypeVar("T")

# What a network file system answers for a moment and then no more.
PASSING = frozenset({errno.EIO, errno.ESTALE, errno.EAGAIN, errno.ETIMEDOUT})


def retry(work: Callable[[], T], tries: int = 4, pause: float = 0.2) -> T:
    """Call `work` until it does not fail with a passing error, at most `tries` times, `pause`, 2 `pause`, 4 `pause`, ... seconds apart.

    `work` must bear being done twice, since an error may come after the deed. Never for fsync and syncfs: they report lost data once, and
    the second call succeeds without it.
    """
    for attempt in range(tries - 1):
        try:
            return work()
        except OSError as error:
            if error.errno not in PASSING:
                raise
        time.sleep(pause * 2**attempt)
    return work()


def rename(source: Path, to: Path) -> None:
    """Rename, and try again where it fails with a passing error. Raises OSError."""
    tried = False

    def once() -> None:
        nonlocal tried
        if tried and os.path.lexists(to) and not os.path.lexists(source):
            return  # done by the try that answered with an error
        tried = True
        os.rename(source, to)

    retry(once)


def describe(error: OSError) -> str:
    """What an operating system error means for the person who must act."""
    hint = {
        errno.ENOSPC: " (the file system of OUTPUT_DIR is full: free space, then run again)",
        errno.EDQUOT: " (the quota of OUTPUT_DIR is used up: free space, then run again)",
        errno.EROFS: " (OUTPUT_DIR is mounted read-only)",
        errno.EXDEV: " (it lies on the lower layer of an overlay and cannot be renamed: remove it, then run again)",
        errno.EACCES: " (OUTPUT_DIR must be writable for the user this runs as)",
    }.get(error.errno or 0, "")
    return f"{error.strerror or error}{hint}"


def output_error(what: str, error: OSError, source: str | os.PathLike[str]) -> OutputError:
    """The error about `source` when what failed to be done there failed with `error`."""
    kind = NoSpaceError if error.errno in (errno.ENOSPC, errno.EDQUOT) else OutputError
    return kind(f"{what}: {describe(error)}", source=source)
