"""Getting what was written onto the disk: all of a file system at once, or one folder's names."""

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)


def sync_filesystem(folder: Path) -> None:
    """Write out everything that the file system of `folder` has cached. Raises OSError, also for data lost since the last call.

    One syncfs costs a fraction of an fsync per chunk. Where there is none (macOS), all file systems are written out.
    """
    with _opened(folder) as fd:
        if not hasattr(_libc, "syncfs"):
            os.sync()
        elif _libc.syncfs(fd):
            code = ctypes.get_errno()
            if code not in (errno.ENOSYS, errno.EPERM):  # EPERM: a sandbox forbids it
                raise OSError(code, os.strerror(code), str(folder))
            os.sync()


def sync_folder(folder: Path) -> None:
    """Make names that were made, removed or renamed in `folder` last. Raises OSError."""
    with _opened(folder) as fd:
        try:
            os.fsync(fd)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems: names last without it
                raise


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)
