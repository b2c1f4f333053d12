"""Shards judged and decoded without zarr: those with the index at the end and chunks of Blosc, as they are made here."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.check.arrays import VIEWABLE
from omezarr_proc.model.region import ceil_div
from omezarr_proc.store.codec import Codec, without_threads
from omezarr_proc.store.shard import damage, index_bytes, place_of, read_index
from omezarr_proc.store.zarr_array import Array


def is_known(array: Array) -> bool:
    """Whether the shards of an array are of the form that is read here."""
    if not array.sharded or array.dtype not in VIEWABLE:
        return False
    settings = array.codecs[0]["configuration"]
    names = [codec["name"] if isinstance(codec, dict) else codec for codec in settings.get("index_codecs", ())]
    form = settings.get("index_location", "end"), names, [codec["name"] for codec in array.inner_codecs]
    return form == ("end", ["bytes", "crc32c"], ["bytes", "blosc"])


@dataclass(frozen=True)
class Shards:
    """The shards of an array of a known form.

    packed  whether chunks must follow each other in C order, and all be there, as in datasets of ours
    """

    array: Array
    packed: bool

    @property
    def grid(self) -> tuple[int, ...]:
        """Chunks of a shard along each axis."""
        return tuple(shard // tile for shard, tile in zip(self.array.chunks, self.array.tiles, strict=True))

    @property
    def index_bytes(self) -> int:
        """How long the index is."""
        return index_bytes(prod(self.grid))

    def index(self, tail: bytes, place: Sequence[int], size: int) -> NDArray[Any]:
        """The index of the shard at `place` in the grid of shards, of `size` bytes that end with `tail`. Raises ValueError if wrong."""
        index = read_index(tail, self.grid)
        if wrong := damage(index, self._inside(place), size - len(tail), packed=self.packed):
            raise ValueError(wrong)
        return index

    def decode(self, data: bytes, place: Sequence[int]) -> NDArray[Any]:
        """All pixels of the shard at `place`, also those outside the array. Raises ValueError, RuntimeError for damage."""
        array, dtype = self.array, np.dtype(self.array.dtype).newbyteorder("<" if self.array.little else ">")
        index = self.index(data[-self.index_bytes :], place, len(data))
        codec = Codec(cname="", clevel=0, shuffle="noshuffle", typesize=dtype.itemsize)
        pixels = np.zeros(array.chunks, dtype)
        tile = np.empty(array.tiles, dtype)
        with without_threads():
            for chunk in np.ndindex(self._inside(place)):
                part = pixels[tuple(slice(n * side, (n + 1) * side) for n, side in zip(chunk, array.tiles, strict=True))]
                if found := place_of(index, chunk):
                    codec.decode(data[found[0] : sum(found)], tile)
                    part[...] = tile
                else:  # which only others leave out
                    part[...] = float(array.fill_value or 0)
        return pixels

    def _inside(self, place: Sequence[int]) -> tuple[int, ...]:
        """Chunks of a shard that are not wholly outside the array, along each axis."""
        sizes = zip(place, self.array.chunks, self.array.shape, self.array.tiles, strict=True)
        return tuple(ceil_div(min(shard, end - n * shard), tile) for n, shard, end, tile in sizes)
