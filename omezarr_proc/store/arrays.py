"""What lies in a staging folder beside the chunks: the JSON documents, the OME-XML, and where planes are spooled.

While staged, a dataset has arrays and chunks but no root metadata; that comes last, then `publish` gives the folder its final name. In
Zarr v2 the root is two files: `.zgroup` makes it a group, and the `.zattrs` that makes the group an image is renamed into place after it.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from omezarr_proc.errors import OutputError
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.documents import array_documents, group_documents
from omezarr_proc.store.faults import describe, retry


def write_arrays(store: ChunkStore) -> None:
    """Make the array metadata of every level. Raises OutputError."""
    for level in store.levels:
        folder = Path(store.root, str(level.index))
        _written(folder, lambda folder=folder: folder.mkdir(exist_ok=True))  # type: ignore[misc]
        _write_documents(folder, array_documents(store, level))


def write_root(staging: Path, attributes: dict[str, Any], zarr_format: Literal[2, 3]) -> None:
    """Make the root group with its attributes: what turns the folder into a dataset. Raises OutputError."""
    _write_documents(staging, group_documents(attributes, zarr_format))


def _write_documents(folder: Path, documents: dict[str, bytes]) -> None:
    """One after another, each whole under its name; `folder` is never made, since a staging folder that has vanished must not come back."""

    def write() -> None:
        for name, content in documents.items():
            partial = folder / f"{name}.partial"
            partial.write_bytes(content)
            partial.replace(folder / name)

    _written(folder, lambda: retry(write))


def write_ome_xml(staging: Path, text: str) -> None:
    """Keep the input's OME-XML as it is. Raises OutputError."""
    path = staging / "OME" / "METADATA.ome.xml"

    def write() -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    _written(path, lambda: retry(write))


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


def _written(path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {describe(error)}") from error
