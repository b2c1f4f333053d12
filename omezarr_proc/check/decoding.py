"""The pixels of a dataset's chunks, of ours or of others: Blosc without zarr, whose import takes 0.3 s and 30 MB, all else with it."""

from collections.abc import Callable
from contextlib import suppress
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.check.arrays import VIEWABLE
from omezarr_proc.check.shards import Shards, is_known
from omezarr_proc.store.codec import Codec, without_threads
from omezarr_proc.store.read import Dataset
from omezarr_proc.store.zarr_array import Array


def chunk_decoder(dataset: Dataset, array: Array) -> Callable[[tuple[int, ...]], NDArray[Any]]:
    """What decodes the chunk, or the shard, of an index to those of its pixels that lie inside the array, of the array's axes and dtype.

    Blosc alone has all its lengths checked, and indexes of shards; zarr decodes what else there is. Raises whatever zarr says to codecs
    that it does not know; what is returned raises FileNotFoundError where the chunk is absent, and whatever a codec says to damaged bytes.
    """
    objects = dataset.objects
    shards = Shards(array, packed=dataset.own is not None) if is_known(array) else None
    if shards or ([codec["name"] for codec in array.codecs if codec["name"] != "bytes"] == ["blosc"] and array.dtype in VIEWABLE):
        dtype = np.dtype(array.dtype).newbyteorder("<" if array.little else ">")
        codec = Codec(cname="", clevel=0, shuffle="noshuffle", typesize=dtype.itemsize)

        def decode_blosc(index: tuple[int, ...]) -> NDArray[Any]:
            encoded = objects.get(f"{array.path}/{array.chunk_name(index)}")
            if shards:
                pixels = shards.decode(encoded, index)
            else:
                pixels = np.empty(array.chunks, dtype)
                with without_threads():
                    codec.decode(encoded, pixels)
            return pixels[tuple(slice(end - i * size) for i, size, end in zip(index, array.chunks, array.shape, strict=True))]

        return decode_blosc
    read = region_reader(dataset, array)

    def decode(index: tuple[int, ...]) -> NDArray[Any]:
        if not objects.size(f"{array.path}/{array.chunk_name(index)}"):
            raise ValueError("the file is empty")
        return read(tuple(slice(i * size, (i + 1) * size) for i, size in zip(index, array.chunks, strict=True)))

    return decode


def region_reader(dataset: Dataset, array: Array) -> Callable[[tuple[slice, ...]], NDArray[Any]]:
    """What reads a region of a level with zarr, out of the chunks that it lies in. Both raise OSError, and whatever zarr says."""
    import zarr
    from zarr.core.buffer import default_buffer_prototype

    objects, buffer = dataset.objects, default_buffer_prototype().buffer.from_bytes
    name = "zarr.json" if dataset.zarr_format == 3 else ".zarray"
    document = objects.get(f"{array.path}/{name}")

    def opened(chunks: dict[str, bytes]) -> Any:
        objects = {key: buffer(data) for key, data in ({name: document} | chunks).items()}
        return zarr.open_array(zarr.storage.MemoryStore(objects), mode="r", zarr_format=3 if dataset.zarr_format == 3 else 2)

    def read(region: tuple[slice, ...]) -> NDArray[Any]:
        spans = zip(region, array.chunks, array.grid, strict=True)
        cells = product(*(range(part.start // size, min(-(-part.stop // size), count)) for part, size, count in spans))
        chunks = {}
        for key in map(array.chunk_name, cells):
            with suppress(FileNotFoundError):
                chunks[key] = objects.get(f"{array.path}/{key}")
        return np.asarray(opened(chunks)[region])

    opened({})  # tells of codecs that zarr does not know
    return read
