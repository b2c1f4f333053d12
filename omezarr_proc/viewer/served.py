"""What the viewer's server gives out: a file, an object of a store, of which only what is asked for is fetched, or what is made."""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from omezarr_proc.model.address import Place
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.places import objects_at


class Served(Protocol):
    """Bytes that can be sent.

    size  of all of them
    """

    size: int

    def send(self, connection: socket.socket, first: int, length: int) -> None:
        """Send a part. Raises OSError."""


class _File:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def send(self, connection: socket.socket, first: int, length: int) -> None:
        connection.sendfile(self._file, first, length)


class _Object:
    def __init__(self, objects: Objects, key: str, *, whole: bool) -> None:
        self._objects, self._key = objects, key
        self._data = objects.get(key) if whole else None
        self.size = objects.size(key) if self._data is None else len(self._data)

    def send(self, connection: socket.socket, first: int, length: int) -> None:
        data = self._objects.part(self._key, first, length)[0] if self._data is None else self._data[first : first + length]
        connection.sendall(data)


class Source(Protocol):
    """A dataset that is made while it is looked at.

    slow   whether its smallest level takes long to make
    plate  whether it is a well plate
    """

    @property
    def plate(self) -> bool:
        """See the class."""

    @property
    def slow(self) -> bool:
        """See the class."""

    def get(self, key: str) -> bytes:
        """Make a document or chunk. Raises FileNotFoundError where there is none, ProcError where it cannot be made."""


@dataclass(frozen=True)
class Opened:
    """A file that was opened: its images by their names, and the names of the other files that these are of."""

    images: Mapping[str, Source]
    others: tuple[str, ...] = ()


class Files(Protocol):
    """Files whose images are datasets, each opened when it is first asked for."""

    def names(self) -> Sequence[str]:
        """What the files are called that are listed."""

    def __contains__(self, name: str) -> bool:
        """Whether there is a file of that name."""

    def open(self, name: str) -> Opened:
        """Open a file. Raises ProcError where that cannot be."""


class Made:
    """Bytes that are there already."""

    def __init__(self, data: bytes) -> None:
        self._data, self.size = data, len(data)

    def send(self, connection: socket.socket, first: int, length: int) -> None:
        """See `Served`."""
        connection.sendall(memoryview(self._data)[first : first + length])


@contextmanager
def served(place: Place, *, whole: bool) -> Iterator[Served]:
    """What lies at a place; `whole`: all of it will be sent. Raises OSError."""
    if isinstance(place, Path):
        with place.open("rb") as file:
            yield _File(file)
    else:
        yield _Object(objects_at(place.parent), place.name, whole=whole)
