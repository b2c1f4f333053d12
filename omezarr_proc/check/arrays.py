"""Whether the metadata of a dataset's arrays are right, each by itself: pure checks of values."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from omezarr_proc.check.finding import Finding
from omezarr_proc.store.codec import SHUFFLES
from omezarr_proc.store.read import Dataset
from omezarr_proc.store.zarr_array import Array, Json

VIEWABLE = ("uint8", "uint16", "uint32", "int8", "int16", "int32", "float32")
_COMPRESSORS = ("blosclz", "lz4", "lz4hc", "snappy", "zlib", "zstd")
_TO_BYTES, _OF_BYTES = ("bytes", "sharding_indexed"), ("blosc", "crc32c", "gzip", "zstd")
_NO_NUMBERS = ("NaN", "Infinity", "-Infinity")
_FLOAT_BYTES = re.compile(r"0x([0-9a-fA-F]{2})+")


def check_arrays(d: Dataset) -> Iterator[Finding]:
    """What is wrong with the arrays of a dataset."""
    axes = d.axes
    for array in d.arrays:
        if d.zarr_format == 3 and array.dimension_names != axes:
            names = f"{array.dimension_names and list(array.dimension_names)} for axes {list(axes)}"
            yield Finding("spec", array.path, f"dimension_names are {names}", "dimension_names are those of the axes", "correct zarr.json")
        if array.separator != "/":
            yield Finding("spec", array.path, f"chunk names are separated by {array.separator!r}", "chunks are nested: the separator is /")
        if not is_fill_value(array.fill_value, array.dtype, d.zarr_format):
            rule = "fill_value is a value of the array's type, else readers refuse the array"
            yield Finding("spec", array.path, f"fill_value is {array.fill_value!r} for {array.dtype}", rule, "correct the array's metadata")
        if array.dtype not in VIEWABLE:
            yield Finding("viewers", array.path, f"is {array.dtype}", f"web viewers draw {', '.join(VIEWABLE)}")
        if not array.little:
            yield Finding("viewers", array.path, "is big endian", "pixels are little endian")
        yield from _codecs(array, d.zarr_format)
        if len(array.shape) == len(axes):
            yield from _tiles(array, axes)


def is_fill_value(value: Any, dtype: str, zarr_format: int) -> bool:
    """Whether a JSON value is a fill value of arrays of `dtype`; of types that numpy does not know anything is.

    Zarr v2 allows none at all, and its writers state whole numbers as floats too.
    """
    if value is None:
        return zarr_format == 2
    try:
        kind = np.dtype(dtype)
    except TypeError:
        return True
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match kind.kind:
        case "b":
            return isinstance(value, bool) or zarr_format == 2
        case "i" | "u" if not number or (value != value // 1 if zarr_format == 2 else not isinstance(value, int)):
            return False
        case "i" | "u":
            return bool(np.iinfo(kind).min <= value <= np.iinfo(kind).max)
        case "f":
            return number or (isinstance(value, str) and (value in _NO_NUMBERS or bool(_FLOAT_BYTES.fullmatch(value))))
    return True


def _codecs(array: Array, zarr_format: int) -> Iterator[Finding]:
    names = [codec["name"] for codec in array.codecs]
    makers = [name for name in names if name in _TO_BYTES]
    if zarr_format == 3 and (len(makers) != 1 or set(names[: names.index(makers[0])]) & set(_OF_BYTES)):
        rule = "exactly one codec makes bytes of pixels, bytes or sharding_indexed, and what compresses bytes comes after it"
        yield Finding("spec", array.path, f"the codecs are {names}", rule, "correct zarr.json")
    for codec in array.inner_codecs:
        endian = codec["configuration"].get("endian")
        wide = array.dtype in VIEWABLE and np.dtype(array.dtype).itemsize > 1
        if zarr_format == 3 and codec["name"] == "bytes" and wide and endian not in ("little", "big"):
            yield Finding("spec", array.path, f"endian is {endian!r}", "the codec bytes says in which order those of a pixel are")
        typesize = codec["configuration"].get("typesize")
        if codec["name"] == "blosc" and array.dtype in VIEWABLE and typesize != np.dtype(array.dtype).itemsize:
            problem = f"blosc with typesize {typesize} for {array.dtype}"
            yield Finding("viewers", array.path, problem, "typesize is the bytes of a pixel")
        if codec["name"] == "blosc" and (wrong := _wrong_of_blosc(codec["configuration"])):
            yield Finding("spec", array.path, f"blosc with {wrong}", "the settings of blosc are known ones", "correct the array's metadata")


def _wrong_of_blosc(settings: Json) -> str:
    """The first setting of Blosc that is none."""
    cname, clevel, shuffle, blocksize = (settings.get(key) for key in ("cname", "clevel", "shuffle", "blocksize"))
    rules = {
        f"cname {cname!r}": cname in _COMPRESSORS,
        f"clevel {clevel!r}": clevel in range(10) and not isinstance(clevel, bool),
        f"shuffle {shuffle!r}": shuffle in SHUFFLES,
        f"blocksize {blocksize!r}": isinstance(blocksize, int) and blocksize >= 0,
    }
    return next((text for text, right in rules.items() if not right), "")


def _tiles(array: Array, axes: Sequence[str]) -> Iterator[Finding]:
    """What is decoded at once; a shard may be of any size in whole tiles."""
    size = dict(zip(axes, array.tiles, strict=True))
    *_, high, wide = (1, 1, *array.tiles)  # y and x come last, whatever they are called
    if wide != high or high.bit_count() != 1:
        yield Finding("viewers", array.path, f"chunks of {high} x {wide}", "tiles are square, a power of two")
    if size.get("t", 1) != 1 or size.get("c", 1) not in (1, array.shape[axes.index("c")] if "c" in axes else 1):
        yield Finding("viewers", array.path, f"chunks of {size}", "a chunk is of one time point, and of one channel or of all")
