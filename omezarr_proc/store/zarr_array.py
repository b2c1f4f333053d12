"""One array of a dataset, of ours or of others: its metadata in Zarr v3 or v2 as plain values, without zarr. Pure.

Rules: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html and https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html. Only
what is needed to find chunks and to judge the metadata is read; nothing is taken on trust, since the files may be anybody's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

Json = dict[str, Any]

_MOST_CHUNKS = 10**8  # of a level; no file system holds more, so the metadata must be wrong
_V2_SHUFFLE = {-1: "shuffle", 0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}  # -1: as Blosc likes, which it says in each chunk


@dataclass(frozen=True, kw_only=True)
class Array:
    """One level as stored.

    chunks           what one file holds (of a sharded array: a shard)
    dtype            numpy name ("uint16"), or as it is written where numpy knows none
    little           whether it is little endian, as far as that matters
    separator        between the indices of a chunk's name; `prefixed`: they come after "c"
    dimension_names  Zarr v3 only
    compression      in a few words
    codecs           {"name", "configuration"} as in zarr.json; v2: filters and compressor in that form
    tiles            what is decoded at once: chunks, of a sharded array those within a shard
    fill_value       as it is written
    inner_codecs     of a sharded array those of the chunks within a shard, else the same
    """

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: str
    little: bool = True
    separator: str = "/"
    prefixed: bool = True
    dimension_names: tuple[str | None, ...] | None = None
    codecs: tuple[Json, ...] = ()
    inner_codecs: tuple[Json, ...] = ()
    compression: str = "none"
    tiles: tuple[int, ...]
    fill_value: Any = None

    @property
    def sharded(self) -> bool:
        """Whether a file holds chunks with an index."""
        return self.codecs != self.inner_codecs

    @property
    def tile_count(self) -> int:
        """All tiles of a complete array."""
        return math.prod(-(-size // tile) for size, tile in zip(self.shape, self.tiles, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        """How many chunks lie along each axis."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.shape, self.chunks, strict=True))

    @property
    def chunk_count(self) -> int:
        """All chunks of a complete array."""
        return math.prod(self.grid)

    def chunk_name(self, index: tuple[int, ...]) -> str:
        """The file of a chunk, relative to the array."""
        return self.separator.join((*(("c",) if self.prefixed else ()), *map(str, index)))

    def chunk_indices(self) -> "product[tuple[int, ...]]":
        """All chunks, those in one folder one after another."""
        return product(*map(range, self.grid))


def array_of(path: str, stated: Json, zarr_format: int) -> Array:
    """The array that a zarr.json or .zarray states. Raises ValueError, KeyError, TypeError or AttributeError where it states none."""
    array = _array_v3(path, stated) if zarr_format == 3 else _array_v2(path, stated)
    if len(array.shape) != len(array.chunks) or min(array.chunks, default=1) < 1 or min(array.shape, default=1) < 1:
        raise ValueError(f"shape {array.shape} in chunks of {array.chunks}")
    if array.tile_count > _MOST_CHUNKS:
        raise ValueError(f"{array.tile_count} chunks")
    return array


def _array_v3(path: str, found: Json) -> Array:
    if found.get("node_type") != "array" or found.get("zarr_format") != 3:
        raise ValueError("not an array of Zarr v3")
    grid, encoding = found["chunk_grid"], found["chunk_key_encoding"]
    if grid["name"] != "regular":
        raise ValueError(f"chunk grid {grid['name']!r} is not known here")
    if encoding["name"] not in ("default", "v2"):
        raise ValueError(f"chunk key encoding {encoding['name']!r} is not known here")
    if found.get("storage_transformers", []) != []:
        raise ValueError(f"storage_transformers {found['storage_transformers']!r} are not known here")
    if not isinstance(found.get("attributes", {}), dict):
        raise ValueError(f"attributes are {found['attributes']!r}")
    chunks = _integers(grid["configuration"]["chunk_shape"])
    prefixed = encoding["name"] == "default"
    codecs = inner_codecs = tuple(_codec(codec) for codec in found["codecs"])
    if [codec["name"] for codec in codecs] == ["sharding_indexed"]:
        inner_codecs = tuple(_codec(codec) for codec in codecs[0]["configuration"]["codecs"])
    names = found.get("dimension_names")
    return Array(
        path=path,
        shape=_integers(found["shape"]),
        chunks=chunks,
        dtype=str(found["data_type"]),
        little=all(codec["configuration"].get("endian", "little") == "little" for codec in inner_codecs if codec["name"] == "bytes"),
        separator=str(encoding.get("configuration", {}).get("separator", "/" if prefixed else ".")),
        prefixed=prefixed,
        dimension_names=None if names is None else tuple(names),
        codecs=codecs,
        inner_codecs=inner_codecs,
        compression=_compression(codecs),
        tiles=_tiles(codecs, chunks),
        fill_value=found["fill_value"],
    )


def _tiles(codecs: Sequence[Json], chunks: tuple[int, ...]) -> tuple[int, ...]:
    """The chunks within a shard, or the chunks themselves. Raises ValueError where a shard is not made of whole ones."""
    for codec in codecs:
        if codec["name"] == "sharding_indexed":
            inner = _integers(codec["configuration"]["chunk_shape"])
            if len(inner) != len(chunks) or min(inner, default=1) < 1 or any(a % b for a, b in zip(chunks, inner, strict=True)):
                raise ValueError(f"shards of {chunks} in chunks of {inner}")
            return inner
    return chunks


def _array_v2(path: str, found: Json) -> Array:
    if found.get("zarr_format") != 2:
        raise ValueError("not an array of Zarr v2")
    written = found["dtype"]
    dtype = np.dtype(written)
    compressor = found.get("compressor")
    codecs = [_codec({"name": entry["id"], "configuration": entry}) for entry in found.get("filters") or []]
    if compressor:
        settings = {key: value for key, value in compressor.items() if key != "id"}
        if compressor["id"] == "blosc":
            shuffle = settings.get("shuffle")
            if isinstance(shuffle, int) and not isinstance(shuffle, bool):
                shuffle = _V2_SHUFFLE.get(shuffle, shuffle)
            settings |= {"typesize": dtype.itemsize, "shuffle": shuffle}
        codecs.append(_codec({"name": compressor["id"], "configuration": settings}))
    if found.get("order", "C") != "C":
        codecs.insert(0, {"name": "transpose", "configuration": {"order": found["order"]}})
    return Array(
        path=path,
        shape=_integers(found["shape"]),
        chunks=(chunks := _integers(found["chunks"])),
        dtype=dtype.name,
        little=not str(written).startswith(">"),
        separator=str(found.get("dimension_separator", ".")),
        prefixed=False,
        dimension_names=None,
        codecs=tuple(codecs),
        inner_codecs=tuple(codecs),
        compression=_compression(codecs),
        tiles=chunks,
        fill_value=found["fill_value"],
    )


def _codec(written: Any) -> Json:
    found = {"name": written} if isinstance(written, str) else written
    name, settings = found["name"], found.get("configuration")
    if not isinstance(name, str) or not isinstance(settings, dict | None):
        raise ValueError(f"not a codec: {written}")
    return {"name": name, "configuration": settings or {}}


def _integers(values: list[Any]) -> tuple[int, ...]:
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        raise ValueError(f"not whole numbers: {values}")
    return tuple(values)


def _compression(codecs: Sequence[Json]) -> str:
    return ", ".join(_codec_text(codec) for codec in codecs if codec["name"] not in ("bytes", "transpose", "crc32c")) or "none"


def _codec_text(codec: Json) -> str:
    settings = codec["configuration"]
    match codec["name"]:
        case "blosc":
            return f"blosc {settings.get('cname')} level {settings.get('clevel')} {settings.get('shuffle')}"
        case "sharding_indexed":
            inner = _compression([_codec(entry) for entry in settings["codecs"]])
            return f"shards of {' x '.join(map(str, settings['chunk_shape']))} chunks ({inner})"
        case name:
            level = settings.get("level")
            return str(name) if level is None else f"{name} level {level}"
