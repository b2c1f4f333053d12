"""Objects as files below a folder. The folder itself is never made: one that has vanished must not come back."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import ClassVar

from omezarr_proc.host.faults import output_error, retry
from omezarr_proc.store.objects import Data, joined
from omezarr_proc.store.opening import PLAIN, open_file

_MOST_PIECES = 1024  # IOV_MAX, of Linux and of macOS


@dataclass(frozen=True)
class Folder:
    """The objects below `root`; keys are the paths from there.

    links    whether an object may be a link to its file, as in a dataset that a person names; where this program writes, none is followed
    durable  whether what is put atomically is on disk before it has its name; while a tree is staged, one flush of all does for that
    """

    root: str
    links: bool = False
    durable: bool = False
    apart: ClassVar[bool] = False

    def __str__(self) -> str:
        return self.root

    def put(self, key: str, data: Data, *, atomic: bool = False) -> None:
        """See `Objects`.

        Without `atomic` there is no temporary name, since a file twice named costs twice on network file systems; and the file is never
        emptied: a worker that was given up while it was stuck in here may do its step after its replacement has written the same bytes.
        """
        path = f"{self.root}/{key}"
        try:
            if atomic:
                retry(lambda: self._replace(path, data))
            else:
                retry(lambda: self._write(path, data))
        except OSError as error:
            raise output_error("cannot write", error, path) from error

    def get(self, key: str) -> bytes:
        """See `Objects`."""

        def read() -> bytes:
            with self._open(key) as file:
                return file.read()

        return retry(read)

    def part(self, key: str, start: int, count: int) -> tuple[bytes, int]:
        """See `Objects`."""

        def read() -> tuple[bytes, int]:
            with self._open(key) as file:
                size = os.fstat(file.fileno()).st_size
                begin = start + size if start < 0 else start
                if not 0 <= begin < size:
                    raise OSError(errno.ENODATA, "Ends before", self._path(key))
                return os.pread(file.fileno(), count, begin), size

        return retry(read)

    def size(self, key: str) -> int:
        """See `Objects`."""

        def look() -> int:
            with self._open(key) as file:
                return os.fstat(file.fileno()).st_size

        return retry(look)

    def exists(self, key: str) -> bool:
        """See `Objects`."""
        return os.path.exists(self._path(key))

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Objects`."""
        folders = [""]
        while folders:
            folder = folders.pop()
            with os.scandir(f"{self.root}/{folder}") as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    key = f"{folder}{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        if key.startswith(prefix[: len(key)]):
                            folders.append(f"{key}/")
                    elif key.startswith(prefix):
                        yield key

    def names(self, folder: str = "") -> tuple[list[str], list[str]]:
        """See `Objects`."""
        found: tuple[list[str], list[str]] = [], []
        with os.scandir(self._path(folder)) as entries:
            for entry in entries:
                found[not entry.is_dir(follow_symlinks=self.links)].append(entry.name)
        return found

    def sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """See `Objects`."""
        for key in self.keys(prefix):
            status = os.stat(self._path(key), follow_symlinks=self.links)
            if stat.S_ISREG(status.st_mode):
                yield key, status.st_size

    def delete(self, key: str) -> None:
        """See `Objects`."""
        with contextlib.suppress(FileNotFoundError):
            retry(lambda: os.unlink(self._path(key)))

    def _path(self, key: str) -> Path:
        return Path(self.root, key)

    def _open(self, key: str) -> FileIO:
        return open(open_file(self._path(key), links=self.links), "rb", buffering=0)

    def _write(self, path: str, data: Data) -> None:
        flags = os.O_WRONLY | os.O_CREAT | PLAIN
        try:
            fd = os.open(path, flags, 0o666)
        except FileNotFoundError:
            self._make(os.path.dirname(path))
            fd = os.open(path, flags, 0o666)
        try:
            pieces = [memoryview(data)] if isinstance(data, bytes) else [memoryview(piece) for piece in data]
            size = sum(map(len, pieces))
            if os.fstat(fd).st_size > size:
                os.ftruncate(fd, size)
            _write_all(fd, pieces)
        finally:
            os.close(fd)

    def _replace(self, path: str, data: Data) -> None:
        folder, partial = os.path.dirname(path), Path(f"{path}.partial")
        self._make(folder)
        _refuse_no_folder(folder)
        with open(open_file(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
            file.write(joined(data))
            if self.durable:
                file.flush()
                os.fsync(file.fileno())
        partial.rename(Path(path))

    def _make(self, folder: str) -> None:
        """Like `os.makedirs`, but never makes `root`. Raises OSError."""
        if folder == self.root:
            _refuse_no_folder(folder)
            return
        try:
            os.mkdir(folder)
        except FileExistsError:
            return
        except FileNotFoundError:
            self._make(os.path.dirname(folder))
            self._make(folder)


def _write_all(fd: int, pieces: list[memoryview]) -> None:
    """Write them one behind another, in one call where the system takes so many."""
    while pieces:
        written = os.writev(fd, pieces[:_MOST_PIECES])
        while pieces and written >= len(pieces[0]):
            written -= len(pieces.pop(0))
        if written:
            pieces[0] = pieces[0][written:]


def _refuse_no_folder(path: str) -> None:
    """Raise OSError where a path is no folder, or a link to one."""
    os.close(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC))
