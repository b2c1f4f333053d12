"""The port for objects: bytes under keys, as a folder and an object store both have them.

A key is a relative path with "/" between its parts ("0/c/0/1/2"). What only some stores can (renaming a tree, appending, putting only
where nothing is) is no part of it: `publish` asks for that by itself.
"""

import errno
from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

# What is put: pieces of memory can be put together where they lie, without a copy.
Data = bytes | Sequence[bytes | memoryview]


def joined(data: Data) -> bytes:
    """All of it as one."""
    return data if isinstance(data, bytes) else b"".join(data)


class Objects(Protocol):
    """Where the objects of one tree lie. Values of it travel to workers.

    apart  puts do not wait for each other, whatever their keys; in a folder of a file system they do
    """

    apart: ClassVar[bool]

    def put(self, key: str, data: Data, *, atomic: bool = False) -> None:
        """Create or replace an object.

        data    all of it, or its pieces one behind another
        atomic  whoever reads meanwhile sees the old one or the new one; without it a reader, or a kill, may see a part of it, which nobody
               minds while a tree is not published

        Raises OutputError.
        """

    def get(self, key: str) -> bytes:
        """Return an object. Raises OSError; FileNotFoundError where there is none."""

    def part(self, key: str, start: int, count: int) -> tuple[bytes, int]:
        """Return `count` bytes of an object from byte `start` on, a negative one counted from its end, and the size of the whole object.

        They are fewer where it ends before. Raises as `get` does, OSError also where nothing of it is there.
        """

    def size(self, key: str) -> int:
        """Return an object's size in bytes. Raises as `get` does."""

    def exists(self, key: str) -> bool:
        """Whether there is an object. Raises OSError where that cannot be found out."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in no order. Raises OSError."""

    def names(self, folder: str = "") -> tuple[list[str], list[str]]:
        """Return what the keys directly below a folder (as "0/c/") are called: those of folders, and those of objects. Raises OSError."""

    def sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield the keys that begin with `prefix`, each with the size of its object. Raises OSError."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error. Raises OSError."""


class InMemory:
    """Objects of this process, for tests."""

    apart: ClassVar[bool] = False

    def __init__(self) -> None:
        """Nothing is there yet."""
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: Data, *, atomic: bool = False) -> None:
        """See `Objects`."""
        self.objects[key] = joined(data)

    def get(self, key: str) -> bytes:
        """See `Objects`."""
        try:
            return self.objects[key]
        except KeyError:
            raise FileNotFoundError(2, "No such object", key) from None

    def part(self, key: str, start: int, count: int) -> tuple[bytes, int]:
        """See `Objects`."""
        data = self.get(key)
        start += len(data) if start < 0 else 0
        if not 0 <= start < len(data):
            raise OSError(errno.ENODATA, "Ends before", key)
        return data[start : start + count], len(data)

    def size(self, key: str) -> int:
        """See `Objects`."""
        return len(self.get(key))

    def exists(self, key: str) -> bool:
        """See `Objects`."""
        return key in self.objects

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Objects`."""
        yield from [key for key in self.objects if key.startswith(prefix)]

    def names(self, folder: str = "") -> tuple[list[str], list[str]]:
        """See `Objects`."""
        parts = [key.removeprefix(folder).partition("/") for key in self.keys(folder)]
        return sorted({name for name, deep, _ in parts if deep}), [name for name, deep, _ in parts if not deep]

    def sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """See `Objects`."""
        yield from [(key, len(self.objects[key])) for key in self.keys(prefix)]

    def delete(self, key: str) -> None:
        """See `Objects`."""
        self.objects.pop(key, None)
