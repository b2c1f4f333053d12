"""The JSON documents of a dataset, as bytes: what makes its folders Zarr arrays and a Zarr group. Pure, and without zarr.

Importing zarr takes 0.3 s, 30 MB and three threads, for documents that are functions of a few numbers. They are byte for byte those that
zarr-python 3.1 to 3.4 writes; a test holds them against it.

Zarr v3  https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html, codecs `bytes`, `blosc` and `sharding_indexed` beside it
Zarr v2  https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html, `dimension_separator` as NGFF 0.4 asks for it
"""

import json
from typing import Any, Literal

import numpy as np

from omezarr_proc.model.pyramid import Level
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import SHUFFLES

# All that makes a folder the root of a dataset, ours or of others, in the order in which it is written; what is removed goes in the reverse
# order. The last one that there is holds the attributes. `.zmetadata` repeats all documents of Zarr v2, and is never written here.
ROOT_DOCUMENTS = (".zgroup", ".zmetadata", ".zattrs", "zarr.json")


def array_documents(store: ChunkStore, level: Level) -> dict[str, bytes]:
    """File names and contents that make the folder of a level an array, in the order in which they are written."""
    shape, chunks = store.pyramid.stored(level.shape), store.pyramid.stored(level.chunk)
    if store.zarr_format == 3:
        return {"zarr.json": _json(_array_v3(store, level))}
    return {".zarray": _json(_array_v2(store, shape, chunks)), ".zattrs": _json({})}


def group_documents(attributes: dict[str, Any], zarr_format: Literal[2, 3]) -> dict[str, bytes]:
    """File names and contents that make a folder the group with these attributes; the last one makes it an image."""
    if zarr_format == 3:
        return {"zarr.json": _json({"attributes": attributes, "zarr_format": 3, "node_type": "group"})}
    return {".zgroup": _json({"zarr_format": 2}), ".zattrs": _json(attributes)}


def _array_v3(store: ChunkStore, level: Level) -> dict[str, Any]:
    dtype = np.dtype(store.pyramid.dtype)
    return {
        "shape": store.pyramid.stored(level.shape),
        "data_type": dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": store.pyramid.stored(level.object)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": dtype.type(0).item(),
        "codecs": [_sharding(store, level)] if level.sharded else _codecs(store, endian=dtype.itemsize > 1),
        "attributes": {},
        "dimension_names": store.pyramid.names,
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def _codecs(store: ChunkStore, *, endian: bool) -> list[dict[str, Any]]:
    """What makes pixels a chunk."""
    codec = store.codec
    blosc = {"typesize": codec.typesize, "cname": codec.cname, "clevel": codec.clevel, "shuffle": codec.shuffle}
    return [_bytes(endian=endian), {"name": "blosc", "configuration": blosc | {"blocksize": codec.blocksize}}]


def _sharding(store: ChunkStore, level: Level) -> dict[str, Any]:
    """What makes chunks a shard: as every reader has been seen to take it, with `endian` also where a pixel is one byte."""
    settings = {
        "chunk_shape": store.pyramid.stored(level.chunk),
        "codecs": _codecs(store, endian=True),
        "index_codecs": [_bytes(endian=True), {"name": "crc32c"}],
        "index_location": "end",
    }
    return {"name": "sharding_indexed", "configuration": settings}


def _bytes(*, endian: bool) -> dict[str, Any]:
    return {"name": "bytes"} | ({"configuration": {"endian": "little"}} if endian else {})


def _array_v2(store: ChunkStore, shape: tuple[int, ...], chunks: tuple[int, ...]) -> dict[str, Any]:
    dtype, codec = np.dtype(store.pyramid.dtype), store.codec
    blosc = {"cname": codec.cname, "clevel": codec.clevel, "shuffle": SHUFFLES[codec.shuffle], "blocksize": codec.blocksize}
    return {
        "shape": shape,
        "chunks": chunks,
        "dtype": dtype.str,
        "fill_value": dtype.type(0).item(),
        "order": "C",
        "filters": None,
        "dimension_separator": "/",
        "compressor": {"id": "blosc", **blosc},
        "zarr_format": 2,
    }


def _json(document: dict[str, Any]) -> bytes:
    """ASCII with two blanks of indentation; floats that are no number as zarr writes them (NaN, Infinity)."""
    return json.dumps(document, indent=2).encode()
