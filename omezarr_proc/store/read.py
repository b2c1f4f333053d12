"""What is stored of an OME-Zarr image, of ours or of others, Zarr v3 or v2: its metadata as plain values, without zarr.

Rules: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html and https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html. Only
what is needed to find chunks and to judge the metadata is read; nothing is taken on trust, since the files may be anybody's.
"""

import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from omezarr_proc.host.remote import refuse_silence
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError
from omezarr_proc.ngff.versions import UnsaidError, as_05
from omezarr_proc.store.objects import Objects
from omezarr_proc.store.places import objects_at
from omezarr_proc.store.zipped import zipped_at

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


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One image: its root attributes and its levels in the order of `multiscales`.

    problems  (where, what is wrong) of array metadata that cannot be read; such a level is not in `arrays`
    stored    where its chunks are, if not at `path`: of a tree in an object store only the documents are beside this process
    """

    path: Place
    zarr_format: int
    attributes: Json
    arrays: tuple[Array, ...]
    problems: tuple[tuple[str, str], ...] = field(default=())
    stored: Objects | None = None

    @property
    def objects(self) -> Objects:
        """Where its chunks are, and but for those of a tree its documents."""
        return self.stored or objects_at(self.path)

    @property
    def ome(self) -> Json:
        """The metadata that a reader would take: NGFF 0.5 or 0.6 where it is there, else 0.4."""
        return metadata_of(self.attributes)

    @property
    def own(self) -> Json | None:
        """Our block, where the dataset was made by this program."""
        found = self.attributes.get("omezarr_proc")
        return found if isinstance(found, dict) else None

    def origin(self, axis: str) -> int:
        """Where it begins along an axis in the image of which it is a part, in full-resolution steps; 0 where nothing is said of it."""
        found = (self.own or {}).get("origin")
        begin = found.get(axis, 0) if isinstance(found, dict) else 0
        return begin if isinstance(begin, int) and begin > 0 else 0

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of the axes, as far as they are readable."""
        axes = first_multiscale(self.ome).get("axes")
        return tuple(str(axis.get("name")) if isinstance(axis, dict) else str(axis) for axis in axes) if isinstance(axes, list) else ()


def metadata_of(attributes: Json, kind: str = "multiscales") -> Json:
    """The NGFF metadata of a `kind` in a group's attributes: those of 0.5 or 0.6 where they are there, else of 0.4."""
    ome = attributes.get("ome")
    return ome if isinstance(ome, dict) and kind in ome else attributes


def first_multiscale(ome: Json) -> Json:
    """The one image of `multiscales`, in the words of 0.5 where that of 0.6 can be said in them; empty where there is none."""
    match ome.get("multiscales"):
        case [dict(found), *_]:
            with suppress(UnsaidError):
                return as_05(found) if "coordinateSystems" in found else found
            return found
    return {}


def open_dataset(path: Place) -> Dataset:
    """Read the metadata of an OME-Zarr image. Raises InputError where the root is none, StoreUnavailableError."""
    attributes, zarr_format, stated = _read_group(path)
    objects = objects_at(path)
    arrays: list[Array] = []
    problems: list[tuple[str, str]] = []
    if stated != zarr_format:
        problems.append(("zarr_format", f"is {stated!r} in the metadata of the root, which is laid out as Zarr v{zarr_format}"))
    for level in level_paths(metadata_of(attributes)):
        try:
            arrays.append(_read_array(objects, path, level, zarr_format))
        except (InputError, ValueError, KeyError, TypeError, AttributeError) as error:
            text = str(error) if isinstance(error, InputError) else f"its array metadata is wrong: {type(error).__name__}: {error}"
            problems.append((level, text))
    return Dataset(path=path, zarr_format=zarr_format, attributes=attributes, arrays=tuple(arrays), problems=tuple(problems))


def read_attributes(path: Place) -> Json:
    """The attributes of a group. Raises InputError where there is none, StoreUnavailableError."""
    return _read_group(path)[0]


def _read_group(path: Place) -> tuple[Json, int, Any]:
    """The attributes of a group, the Zarr version that it is laid out in, and the one that it states."""
    if isinstance(path, Path) and not path.is_dir() and not zipped_at(path):
        raise InputError(f"{'is not a folder' if path.exists() else 'is not there'}: name the folder of an OME-Zarr image", source=path)
    objects = objects_at(path)
    if (root := read_json(objects, path, "zarr.json")) is not None:
        zarr_format = 3
        if root.get("node_type") != "group":
            raise InputError("its zarr.json is not of a group: name the folder that holds the levels", source=path)
        attributes = root.get("attributes", {})
    elif (root := read_json(objects, path, ".zgroup")) is not None:
        attributes, zarr_format = read_json(objects, path, ".zattrs") or {}, 2
    else:
        raise InputError("has neither zarr.json nor .zgroup: it is no Zarr dataset, or its root metadata is lost", source=path)
    if not isinstance(attributes, dict):
        raise InputError("the attributes of its root are not a JSON object", source=path)
    return attributes, zarr_format, root.get("zarr_format")


def level_paths(ome: Json) -> list[str]:
    """The paths that `multiscales` names, as far as they stay below the root."""
    datasets = first_multiscale(ome).get("datasets")
    paths = [entry.get("path") for entry in datasets if isinstance(entry, dict)] if isinstance(datasets, list) else []
    return [path for path in paths if isinstance(path, str) and is_inside(path)]


def is_inside(path: str) -> bool:
    """Whether a level's path leads to a place below the root."""
    return bool(path) and not path.startswith("/") and "\0" not in path and not {".", ".."} & set(path.split("/"))


def read_json(objects: Objects, root: Place, key: str) -> Json | None:
    """A JSON object among the objects below `root`; None where there is none. Raises InputError, StoreUnavailableError."""
    try:
        found = json.loads(objects.get(key))
    except FileNotFoundError:
        return None
    except OSError as error:
        refuse_silence(error)
        raise InputError(f"cannot be read: {error.strerror}", source=root / key) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}", source=root / key) from None
    if not isinstance(found, dict):
        raise InputError("is not a JSON object", source=root / key)
    return found


def _read_array(objects: Objects, root: Place, path: str, zarr_format: int) -> Array:
    name = "zarr.json" if zarr_format == 3 else ".zarray"
    found = read_json(objects, root, f"{path}/{name}")
    if found is None:
        raise InputError(f"{name} is not there")
    array = _array_v3(path, found) if zarr_format == 3 else _array_v2(path, found)
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
