"""The metadata of a dataset in its staging folder, written by zarr, which is imported only when it is needed.

While staged, a dataset has arrays and chunks but no root metadata; that comes last, then `publish` gives the folder its final name. In
Zarr v2 the root is two files: `.zgroup` makes it a group, and the `.zattrs` that makes the group an image is renamed into place after it.
"""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from omezarr_proc.errors import OutputError
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import SHUFFLES
from omezarr_proc.store.faults import describe, retry


def write_arrays(store: ChunkStore) -> None:
    """Make the array metadata of every level. Raises OutputError."""
    import zarr
    from zarr.storage import LocalStore

    frames = store.frames
    encoding = _encoding_v3(store) if store.zarr_format == 3 else _encoding_v2(store)
    sizes = {"t": frames.size_t, "c": frames.size_c, "z": frames.size_z}
    chunk = {"c": frames.channels if store.bundled else 1, "y": store.tile, "x": store.tile}

    def write() -> None:
        for level in store.levels:
            os.stat(store.root)  # where it has vanished, zarr would make it again
            shape = sizes | {"y": level.height, "x": level.width}
            folder = LocalStore(f"{store.root}/{level.index}")
            zarr.create_array(
                folder,
                shape=tuple(shape[axis] for axis in store.axes),
                chunks=tuple(chunk.get(axis, 1) for axis in store.axes),
                dtype=np.dtype(store.dtype),
                fill_value=0,
                zarr_format=store.zarr_format,
                **encoding,
            )

    _written(Path(store.root), write)


def _encoding_v3(store: ChunkStore) -> dict[str, Any]:
    from zarr.codecs import BloscCodec, BytesCodec

    return {
        "serializer": BytesCodec(endian="little" if store.codec.typesize > 1 else None),
        "compressors": [BloscCodec(**dataclasses.asdict(store.codec))],
        "dimension_names": store.axes,
    }


def _encoding_v2(store: ChunkStore) -> dict[str, Any]:
    import numcodecs

    codec = store.codec
    blosc = numcodecs.Blosc(codec.cname, codec.clevel, SHUFFLES[codec.shuffle], codec.blocksize)
    return {"compressors": blosc, "order": "C", "chunk_key_encoding": {"name": "v2", "separator": "/"}}


def write_root(staging: Path, attributes: dict[str, Any], zarr_format: Literal[2, 3]) -> None:
    """Make the root group with its attributes: what turns the folder into a dataset. Raises OutputError."""
    import zarr
    from zarr.storage import LocalStore

    def write() -> None:
        store = LocalStore(str(staging))
        if zarr_format == 3:
            zarr.create_group(store, attributes=attributes, zarr_format=3)
        else:
            zarr.create_group(store, zarr_format=2).update_attributes(attributes)

    _written(staging, write)


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
