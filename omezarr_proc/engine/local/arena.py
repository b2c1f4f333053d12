"""Shared memory for band slots: an anonymous file whose descriptor travels to the workers over their sockets.

`memfd_create` where there is one: it needs no /dev/shm (Lambda has none, Fargate 64 MB of it), counts in the cgroup like any memory,
and goes with its last holder, so nothing can leak. Elsewhere (macOS, a kernel that refuses) an unlinked temporary file has the same
properties at the price of being written back to disk. `multiprocessing.shared_memory` has a name that outlives a killed process
and dies of SIGBUS past the limit of /dev/shm, so it is not used.
"""

import mmap
import os
import tempfile

from omezarr_proc.model.errors import LimitError


class Arena:
    """The main process's side: one anonymous file, which it never maps itself."""

    def __init__(self, kind: str | None = None) -> None:
        """Take `memfd` or an unlinked `file`; by default the first that works. Raises LimitError where there is neither."""
        self.size = 0
        self.kind, self.fd = _open(kind)

    def resize(self, size: int) -> None:
        """Make room for exactly `size` bytes; no worker may be using what is behind it.

        Pages are taken from the system when they are first touched, those behind the new size are given back.
        """
        try:
            os.ftruncate(self.fd, size)
            if self.kind == "file" and size and hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self.fd, 0, size)  # a full disk says so here, not by SIGBUS
        except OSError as error:
            where = f"the temporary folder {tempfile.gettempdir()}" if self.kind == "file" else "memory"
            raise LimitError(f"cannot take {size >> 20} MB of {where} for the slots: {error.strerror}") from error
        self.size = size

    def renew(self) -> None:
        """Take other memory of the same size, and free this one, of whoever may still be in it: a process that cannot be ended."""
        size = self.size
        self.resize(0)
        self.close()
        self.kind, self.fd = _open(None)
        self.resize(size)

    def close(self) -> None:
        """Let go of the memory; it is freed when the workers have ended too."""
        os.close(self.fd)


def _open(kind: str | None) -> tuple[str, int]:
    if kind in (None, "memfd") and hasattr(os, "memfd_create"):
        try:
            return "memfd", os.memfd_create("omezarr_proc", os.MFD_CLOEXEC)
        except OSError:
            if kind:
                raise
    try:
        with tempfile.TemporaryFile(prefix="omezarr_proc-") as file:
            return "file", os.dup(file.fileno())
    except OSError as error:
        reason = f"no temporary file can be made ({error.strerror})"
        raise LimitError(f"there is no memfd here, and {reason}: set TMPDIR to a folder that can be written to") from error


class ArenaMap:
    """A worker's side: the same memory mapped, remapped when the main process has grown it."""

    def __init__(self, fd: int) -> None:
        """Take over the descriptor `fd`."""
        self._fd = fd
        self._map: mmap.mmap | None = None

    def buffer(self, end: int) -> mmap.mmap:
        """The mapped memory, at least `end` bytes long. Arrays over an earlier, shorter map stay valid."""
        if self._map is None or len(self._map) < end:
            self._map = mmap.mmap(self._fd, os.fstat(self._fd).st_size)
        return self._map
