"""A dataset on disk: staged under a hidden name beside its final one, its metadata written by zarr, published by a rename.

While staged, `.NAME.partial` holds arrays and chunks but no root `zarr.json`, so even under its hidden name it is no dataset. The root
metadata comes last; then one rename makes the dataset visible, whole. zarr is imported only here, and only when it is needed.
"""

import dataclasses
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from omezarr_proc.chunks import ChunkStore, describe
from omezarr_proc.errors import OutputError


def staging_path(target: Path) -> Path:
    """The hidden name of a dataset in the making."""
    return target.with_name(f".{target.name}.partial")


def published_key(target: Path) -> str | None:
    """The key that a published dataset carries; None where there is no dataset of ours."""
    try:
        attributes = json.loads((target / "zarr.json").read_bytes())["attributes"]
        return str(attributes["omezarr_proc"]["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def begin(target: Path) -> Path:
    """An empty staging folder for `target`; what an earlier run has left there is removed. Raises OutputError."""
    staging = staging_path(target)
    try:
        if staging.exists():
            shutil.rmtree(staging)
        staging.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{staging}: cannot make the output: {describe(error)}") from error
    return staging


def write_arrays(store: ChunkStore) -> None:
    """Make the array metadata of every level."""
    import zarr
    from zarr.codecs import BloscCodec, BytesCodec
    from zarr.storage import LocalStore

    frames, codec = store.frames, store.codec
    sizes = {"t": frames.size_t, "c": frames.size_c, "z": frames.size_z}
    chunk = {"c": frames.channels if store.bundled else 1, "y": store.tile, "x": store.tile}
    for level in store.levels:
        sizes |= {"y": level.height, "x": level.width}
        zarr.create_array(
            LocalStore(f"{store.root}/{level.index}"),
            shape=tuple(sizes[a] for a in store.axes),
            chunks=tuple(chunk.get(a, 1) for a in store.axes),
            dtype=np.dtype(store.dtype),
            serializer=BytesCodec(endian="little" if codec.typesize > 1 else None),
            compressors=[BloscCodec(**dataclasses.asdict(codec))],
            fill_value=0,
            dimension_names=store.axes,
            zarr_format=3,
        )


def spool_file(target: Path, size: int) -> int:
    """A descriptor of an unlinked file of `size` bytes beside the dataset, for decoded planes that do not fit into memory.

    Raises OutputError where there is not so much space, or only memory (tmpfs) to take it from.
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


def write_ome_xml(staging: Path, text: str) -> None:
    """Keep the input's OME-XML as it is."""
    path = staging / "OME" / "METADATA.ome.xml"
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {describe(error)}") from error


def publish(staging: Path, target: Path, attributes: dict[str, Any]) -> None:
    """Write the root metadata and give the dataset its final name; one that is there already is moved aside and then removed."""
    import zarr
    from zarr.storage import LocalStore

    aside = target.with_name(f".{target.name}.old")
    try:
        zarr.create_group(LocalStore(str(staging)), attributes=attributes, zarr_format=3)
        if target.exists():
            os.rename(target, aside)
        os.rename(staging, target)
        if aside.exists():
            shutil.rmtree(aside)
    except OSError as error:
        raise OutputError(f"{target}: cannot publish: {describe(error)}") from error
