"""Getting what was written onto the disk: all of a file system at once, or one folder's names."""

import ctypes
import errno
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)


class Disk:
    """The file system of a folder, through one descriptor that is closed with the last reference.

    The kernel tells a descriptor only of data that were lost since it was opened or last told (errseq_t): one that is opened for each call
    misses what another caller of syncfs was told of before. So it is opened before the first byte is written, and kept.
    """

    def __init__(self, folder: Path) -> None:
        """Raises OSError."""
        self._folder = folder
        self._fd = _open(folder)

    def sync(self) -> None:
        """Write out everything that the file system has cached. Raises OSError, also for data lost since the last call.

        One syncfs costs a fraction of an fsync per chunk. Where there is none (macOS), all file systems are written out.
        """
        if not hasattr(_libc, "syncfs"):
            os.sync()
        elif _libc.syncfs(self._fd):
            code = ctypes.get_errno()
            if code not in (errno.ENOSYS, errno.EPERM):  # EPERM: a sandbox forbids it
                raise OSError(code, os.strerror(code), str(self._folder))
            os.sync()

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)


class Disks:
    """One `Disk` for each file system that a run writes to."""

    def __init__(self) -> None:
        self._by_device: dict[int, Disk] = {}

    def of(self, folder: Path) -> Disk:
        """That of a folder; to be asked for before anything is written there. Raises OSError."""
        device = os.stat(folder).st_dev
        if device not in self._by_device:
            self._by_device[device] = Disk(folder)
        return self._by_device[device]

    def close(self) -> None:
        """Let go of them all."""
        self._by_device.clear()


def sync_folder(folder: Path) -> None:
    """Make names that were made, removed or renamed in `folder` last. Raises OSError."""
    fd = _open(folder)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems: names last without it
            raise
    finally:
        os.close(fd)


def _open(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
