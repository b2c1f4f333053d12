"""The port for bytes in: an input is bytes that have a size and an identity, and of which many ranges are asked for at once.

Who reads a TIFF knows no path, descriptor or protocol. An object store (`remote`) answers in 10 to 50 ms: what is needed is asked for
together, and ahead.
"""

import io
import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from omezarr_proc.host.remote import exists, listed
from omezarr_proc.model.address import Address, is_address
from omezarr_proc.model.image import FileState

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Bytes(ABC):
    """The bytes of one input, open for reading.

    path      what messages call it
    identity  tells it from a changed one; as it was when it was opened
    distant   asking takes much longer than reading: what will be needed is worth being planned

    All methods raise OSError where the storage fails.
    """

    path: str
    identity: FileState
    distant: bool = False

    @property
    def size(self) -> int:
        """Bytes of the whole input."""
        return self.identity.size

    @abstractmethod
    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """The bytes of each range (offset, count); shorter only where the input ends before."""

    def read_into(self, parts: Sequence[tuple[int, memoryview]]) -> None:
        """Fill each view (of bytes) with what is at its offset. Raises EOFError, which says where the input ends, if that is before."""
        for (offset, out), data in zip(parts, self.read([(offset, len(out)) for offset, out in parts]), strict=True):
            if len(data) < len(out):
                raise ended(offset + len(data))
            out[:] = data

    def ahead(self, ranges: Sequence[tuple[int, int]]) -> None:  # noqa: B027  # what is near is not asked for ahead
        """Hear which ranges (offset, count) will be read soon, in this order, and begin to fetch them."""

    def mapped(self, offset: int, count: int) -> memoryview:
        """The `count` bytes at `offset`, all inside the input, freed with the last view of them."""
        return memoryview(self.read([(offset, count)])[0])

    def close(self) -> None:  # noqa: B027  # what is in memory has nothing to close
        """Give back what the system holds for it; nothing can be read then. What is `mapped` stays."""


Opener = Callable[[str], Bytes]


def ended(at: int) -> EOFError:
    """The error of a read behind the end of an input, which is at byte `at`."""
    return EOFError(f"the file ends at byte {at}")


def open_bytes(path: str, known: FileState | None = None, *, alone: bool = False) -> Bytes:
    """The bytes of an input by its name. Raises OSError.

    known  its state when it was opened elsewhere
    alone  whether no other input is read beside it
    """
    if is_address(path):
        from omezarr_proc.tiff.file.remote import RemoteFile

        return RemoteFile(path, known, alone=alone)
    return LocalFile(path)


def identity_of(path: str) -> FileState:
    """The identity that an input would have if it were opened now. Raises OSError."""
    if is_address(path):
        from omezarr_proc.tiff.file import remote

        return remote.identity_of(path)
    return _identity(path, os.stat(path))


def is_file(path: str) -> bool:
    """Whether there is an input of that name."""
    return exists(Address(path)) if is_address(path) else os.path.isfile(path)


def names_beside(path: str) -> list[str]:
    """The names of what lies in the folder of an input. Raises OSError."""
    if is_address(path):
        return [name for name, _ in listed(Address(path).parent)[1]]
    return os.listdir(os.path.dirname(path) or ".")


def _identity(path: str, status: os.stat_result) -> FileState:
    return FileState(path=path, size=status.st_size, mtime_ns=status.st_mtime_ns, inode=status.st_ino, ctime_ns=status.st_ctime_ns)


class LocalFile(Bytes):
    """A file of a mounted file system: its bytes go straight into the arrays they are for, or are mapped without being copied."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # what lies there may be a pipe
        self.identity = _identity(path, os.fstat(self._fd))

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """See `Bytes`."""
        return [self._read(offset, count) for offset, count in ranges]

    def _read(self, offset: int, count: int) -> bytes:
        data = os.pread(self._fd, count, offset)
        while len(data) < count and (more := os.pread(self._fd, count - len(data), offset + len(data))):
            data += more
        return data

    def read_into(self, parts: Sequence[tuple[int, memoryview]]) -> None:
        """See `Bytes`; nothing is copied."""
        for offset, out in parts:
            done = 0
            while done < len(out):
                got = os.preadv(self._fd, [out[done:]], offset + done)
                if not got:
                    raise ended(offset + done)
                done += got

    def mapped(self, offset: int, count: int) -> memoryview:
        """See `Bytes`; as file-backed memory, which the system can take back."""
        begin = offset - offset % mmap.ALLOCATIONGRANULARITY
        area = mmap.mmap(self._fd, offset - begin + count, access=mmap.ACCESS_READ, offset=begin)
        return memoryview(area)[offset - begin :]

    def close(self) -> None:
        """See `Bytes`."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class InMemory(Bytes):
    """Bytes under a name, for tests: it can do no more than every input can, as one in an object store."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path = path
        self.identity = FileState(path=path, size=len(data), mtime_ns=0, inode=0, ctime_ns=0)
        self._data = data

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """See `Bytes`."""
        return [self._data[offset : offset + count] for offset, count in ranges]


class _Raw(io.RawIOBase):
    """A position in an input."""

    def __init__(self, source: Bytes) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if at < 0:
            raise OSError(f"a seek to byte {at}")
        self._at = at
        return at

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        data = self._source.read([(self._at, len(view))])[0]
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def stream(source: Bytes) -> io.BufferedReader:
    """An input as a binary file object, for libraries that take one. It has no descriptor, and leaves the input open when it is closed."""
    return io.BufferedReader(_Raw(source))
