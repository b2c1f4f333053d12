"""A dataset that is one file: the entries of a zip as objects, which are only read.

Rules: RFC-9, https://ngff.openmicroscopy.org/rfc/9/. Entries are stored as they are, so a part of one is a part of the file; compressed
ones, which the RFC advises against, are read whole.
"""

import errno
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from omezarr_proc.model.errors import OutputError
from omezarr_proc.store.objects import Data

SUFFIX = ".ozx"
_HEADER = struct.Struct("<26xHH")  # of an entry: how long its name is, and what stands between that and its bytes


@dataclass(frozen=True)
class Zipped:
    """The entries of the zip `path` below `prefix` ("" or "A/1/0/")."""

    path: str
    prefix: str = ""
    apart: ClassVar[bool] = False

    def put(self, key: str, data: Data, *, atomic: bool = False) -> None:
        """Raise OutputError."""
        raise OutputError("is one file, and is not changed: convert it anew", source=self.path)

    def delete(self, key: str) -> None:
        """Raise OSError."""
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), self.path)

    def get(self, key: str) -> bytes:
        """See `Objects`; OSError also where the bytes are not those that were written."""
        entry = self._entry(key)
        if entry.compress_type != zipfile.ZIP_STORED:
            try:
                with zipfile.ZipFile(self.path) as file:
                    return file.read(entry)
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError) as error:
                raise self._damaged(key, error) from error
        data = self._read(entry, 0, entry.file_size)
        if zlib.crc32(data) != entry.CRC:
            raise self._damaged(key, "its CRC-32 is not that of its entry")
        return data

    def part(self, key: str, start: int, count: int) -> tuple[bytes, int]:
        """See `Objects`."""
        entry = self._entry(key)
        size = entry.file_size
        begin = start + size if start < 0 else start
        if not 0 <= begin < size:
            raise OSError(errno.ENODATA, "Ends before", f"{self.path}/{self.prefix}{key}")
        if entry.compress_type != zipfile.ZIP_STORED:
            return self.get(key)[begin : begin + count], size
        return self._read(entry, begin, min(count, size - begin)), size

    def size(self, key: str) -> int:
        """See `Objects`."""
        return self._entry(key).file_size

    def exists(self, key: str) -> bool:
        """See `Objects`."""
        return self.prefix + key in self._entries()

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Objects`."""
        yield from (key for key, _ in self.sizes(prefix))

    def names(self, folder: str = "") -> tuple[list[str], list[str]]:
        """See `Objects`."""
        parts = [key.removeprefix(folder).partition("/") for key in self.keys(folder)]
        return sorted({name for name, deep, _ in parts if deep}), [name for name, deep, _ in parts if not deep]

    def sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """See `Objects`."""
        below = self.prefix + prefix
        for name, entry in self._entries().items():
            if name.startswith(below):
                yield name.removeprefix(self.prefix), entry.file_size

    def _entry(self, key: str) -> zipfile.ZipInfo:
        try:
            return self._entries()[self.prefix + key]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "No such entry", f"{self.path}/{self.prefix}{key}") from None

    def _entries(self) -> dict[str, zipfile.ZipInfo]:
        status = os.stat(self.path)
        return _entries(self.path, status.st_mtime_ns, status.st_size)

    def _read(self, entry: zipfile.ZipInfo, start: int, count: int) -> bytes:
        with open(self.path, "rb", buffering=0) as file:
            head = os.pread(file.fileno(), _HEADER.size, entry.header_offset)
            if len(head) < _HEADER.size or not head.startswith(b"PK\3\4"):
                raise self._damaged(entry.filename, "there is no entry where one should be")
            data = os.pread(file.fileno(), count, entry.header_offset + _HEADER.size + sum(_HEADER.unpack(head)) + start)
        if len(data) < count:
            raise self._damaged(entry.filename, "it is cut off")
        return data

    def _damaged(self, key: str, why: object) -> OSError:
        return OSError(errno.EBADMSG, f"Entry {key} is damaged: {why}", self.path)


@lru_cache(maxsize=16)
def _entries(path: str, changed: int, size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by their names. Raises OSError, also for what is no zip."""
    try:
        with zipfile.ZipFile(path) as file:
            return {entry.filename: entry for entry in file.infolist() if not entry.is_dir()}
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, struct.error, ValueError) as error:
        raise OSError(errno.EBADMSG, f"Is no whole zip file: {error}", path) from error


def zipped_at(place: Path) -> Zipped | None:
    """The entries below a path that is a file of one dataset, or leads into one; None for any other."""
    for depth, part in enumerate(place.parts, 1):
        if part.lower().endswith(SUFFIX) and (file := Path(*place.parts[:depth])).is_file():
            inside = "/".join(place.parts[depth:])
            return Zipped(str(file), f"{inside}/" if inside else "")
    return None
