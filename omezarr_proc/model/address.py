"""Addresses of objects, which are no paths of this machine: `s3://bucket/key`, `gs://bucket/key`, `az://container/key`, `https://host/path`."""

import os
import re
from pathlib import Path

STORES = ("s3", "gs", "az")  # schemes of what can be listed and written to
READABLE = (*STORES, "https", "http")

_FORM = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://([^/]*)/*(.*)", re.DOTALL)


class Address(str):
    """The address of an object, or of what lies below it, with as much of `pathlib.Path` as both have in common."""

    __slots__ = ()

    def __new__(cls, text: str) -> "Address":
        """`text` without slashes at its end. Raises ValueError for what is no address."""
        match = _FORM.fullmatch(text)
        if not match or not match[2]:
            raise ValueError(text)
        key = match[3].rstrip("/")
        return super().__new__(cls, f"{match[1].lower()}://{match[2]}" + (f"/{key}" if key else ""))

    @property
    def scheme(self) -> str:
        """What stands before `://`, in lower case."""
        return self.partition("://")[0]

    @property
    def root(self) -> "Address":
        """The bucket, container or host."""
        return Address(self[: len(self) - len(self.key)])

    @property
    def key(self) -> str:
        """What stands behind the root, without a slash before it; empty for the root itself."""
        return self.partition("://")[2].partition("/")[2]

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    @property
    def parent(self) -> "Address":
        """The address without its last part; the root's is itself."""
        return Address(self[: len(self) - len(self.name)])

    def __truediv__(self, relative: str | os.PathLike[str]) -> "Address":
        return Address(f"{self}/{os.fspath(relative)}")


# Where something lies: on this machine, or in an object store.
Place = Path | Address


def is_address(text: str) -> bool:
    """Whether a text is an address, and so no path of this machine."""
    return _FORM.match(text) is not None


def place(text: str) -> Place:
    """What a text names."""
    return Address(text) if is_address(text) else Path(text)


def absolute(path: str) -> str:
    """A path that holds wherever the process goes; an address is one already."""
    return path if is_address(path) else os.path.abspath(path)


def real(path: str | os.PathLike[str]) -> str:
    """The same text for all names of one file, links followed."""
    text = os.fspath(path)
    return text if is_address(text) else os.path.realpath(text)
