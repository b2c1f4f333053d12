"""What lies in a staging folder beside the chunks: the JSON documents, the OME-XML, and where planes are spooled.

While staged, a dataset has arrays and chunks but no root metadata; that comes last, then `publish` gives the folder its final name. In
Zarr v2 the root is two files: `.zgroup` makes it a group, and the `.zattrs` that makes the group an image is renamed into place after it.
"""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from omezarr_proc.errors import OutputError
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.documents import array_documents, group_documents
from omezarr_proc.store.faults import describe, retry
from omezarr_proc.store.opening import open_file


def write_arrays(store: ChunkStore) -> None:
    """Make the array metadata of every level. Raises OutputError."""

    def write() -> None:
        for level in store.levels:
            _write(_made(Path(store.root, str(level.index))), array_documents(store, level))

    _written(Path(store.root), write)


def write_root(staging: Path, attributes: dict[str, Any], zarr_format: Literal[2, 3]) -> None:
    """Make the root group with its attributes: what turns the folder into a dataset. Raises OutputError."""
    _written(staging, lambda: _write(staging, group_documents(attributes, zarr_format)))


def write_ome_xml(staging: Path, text: str) -> None:
    """Keep the input's OME-XML as it is. Raises OutputError."""
    folder, name = staging / "OME", "METADATA.ome.xml"
    _written(folder / name, lambda: _write(_made(folder), {name: text.encode()}))


def spool_file(target: Path, size: int) -> int:
    """A descriptor of an unlinked file of `size` bytes beside the dataset, for decoded planes that do not fit into memory.

    Raises OutputError where there is not so much space.
    """
    try:
        free = shutil.disk_usage(target.parent).free
        if free < size:
            raise OutputError(
                f"{target.parent}: {size >> 20} MB of free space are needed while {target.name} is made, there are {free >> 20} MB"
            )
        with tempfile.TemporaryFile(dir=target.parent, prefix=f".{target.name}.") as file:
            os.truncate(file.fileno(), size)
            return os.dup(file.fileno())
    except OSError as error:
        raise OutputError(f"{target.parent}: cannot make a file for decoded planes: {describe(error)}") from error


def _made(folder: Path) -> Path:
    """A folder of the staging folder, made where it is not there yet. Raises OSError."""
    with contextlib.suppress(FileExistsError):
        retry(folder.mkdir)
    return folder


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Make files in a folder; each appears whole. Raises OSError."""

    def write() -> None:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
        for name, data in files.items():
            partial = folder / f"{name}.partial"
            with open(open_file(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "wb") as file:
                file.write(data)
            partial.rename(folder / name)

    retry(write)


def _written(path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {describe(error)}") from error
