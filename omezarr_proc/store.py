"""The metadata of a dataset in its staging folder, written by zarr, which is imported only here and only when it is needed.

While staged, a dataset has arrays and chunks but no root `zarr.json`; that comes last, then `publish` gives the folder its final name.
"""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from omezarr_proc.chunks import ChunkStore
from omezarr_proc.errors import OutputError
from omezarr_proc.faults import describe, retry


def write_arrays(store: ChunkStore) -> None:
    """Make the array metadata of every level. Raises OutputError."""
    import zarr
    from zarr.codecs import BloscCodec, BytesCodec
    from zarr.storage import LocalStore

    frames, codec = store.frames, store.codec
    sizes = {"t": frames.size_t, "c": frames.size_c, "z": frames.size_z}
    chunk = {"c": frames.channels if store.bundled else 1, "y": store.tile, "x": store.tile}

    def write() -> None:
        for level in store.levels:
            shape = sizes | {"y": level.height, "x": level.width}
            folder = LocalStore(f"{store.root}/{level.index}")
            zarr.create_array(
                folder,
                shape=tuple(shape[axis] for axis in store.axes),
                chunks=tuple(chunk.get(axis, 1) for axis in store.axes),
                dtype=np.dtype(store.dtype),
                serializer=BytesCodec(endian="little" if codec.typesize > 1 else None),
                compressors=[BloscCodec(**dataclasses.asdict(codec))],
                fill_value=0,
                dimension_names=store.axes,
                zarr_format=3,
            )

    _written(Path(store.root), write)


def write_root(staging: Path, attributes: dict[str, Any]) -> None:
    """Make the root group with its attributes: what turns the folder into a dataset. Raises OutputError."""
    import zarr
    from zarr.storage import LocalStore

    _written(staging, lambda: zarr.create_group(LocalStore(str(staging)), attributes=attributes, zarr_format=3))


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
