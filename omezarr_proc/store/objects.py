"""The port for objects: bytes under keys, as a folder and an object store both have them.

A key is a relative path with "/" between its parts ("0/c/0/1/2"). What only some stores can (renaming a tree, appending, putting only
where nothing is) is no part of it: `publish` asks for that by itself.
"""

from collections.abc import Iterator
from typing import ClassVar, Protocol


class Objects(Protocol):
    """Where the objects of one tree lie. Values of it travel to workers.

    apart  puts do not wait for each other, whatever their keys; in a folder of a file system they do
    """

    apart: ClassVar[bool]

    def put(self, key: str, data: bytes, *, atomic: bool = False) -> None:
        """Create or replace an object.

        atomic  whoever reads meanwhile sees the old one or the new one; without it a reader, or a kill, may see a part of it, which nobody
               minds while a tree is not published

        Raises OutputError.
        """

    def get(self, key: str) -> bytes:
        """Return an object. Raises OSError; FileNotFoundError where there is none."""

    def size(self, key: str) -> int:
        """Return an object's size in bytes. Raises as `get` does."""

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in no order. Raises OSError."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error. Raises OSError."""


class InMemory:
    """Objects of this process, for tests."""

    apart: ClassVar[bool] = False

    def __init__(self) -> None:
        """Nothing is there yet."""
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: bytes, *, atomic: bool = False) -> None:
        """See `Objects`."""
        self.objects[key] = bytes(data)

    def get(self, key: str) -> bytes:
        """See `Objects`."""
        try:
            return self.objects[key]
        except KeyError:
            raise FileNotFoundError(2, "No such object", key) from None

    def size(self, key: str) -> int:
        """See `Objects`."""
        return len(self.get(key))

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Objects`."""
        yield from [key for key in self.objects if key.startswith(prefix)]

    def delete(self, key: str) -> None:
        """See `Objects`."""
        self.objects.pop(key, None)
