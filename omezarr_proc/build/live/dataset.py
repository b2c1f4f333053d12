"""One live dataset: its documents and chunks by their keys, as a conversion of the image would store them."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.build.dataset import attributes
from omezarr_proc.build.live.levels import SETTINGS, joined, parsed, runs
from omezarr_proc.build.live.workshop import Workshop
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.image import Image
from omezarr_proc.model.region import Index, X, Y, Z
from omezarr_proc.ngff import windows
from omezarr_proc.ngff.attributes import fixed_windows, window_owners
from omezarr_proc.ngff.windows import Window
from omezarr_proc.pixels import histogram
from omezarr_proc.store.arrays import OME_XML
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for, without_threads
from omezarr_proc.store.documents import array_documents, group_documents
from omezarr_proc.store.objects import InMemory

# A plane up to this size is looked at whole for the display windows, of larger ones some places: so many pixels take half a second.
LOOKED_AT = 16_000_000
# A plane up to this size is swept for a thumbnail: that takes a second or less.
SWEPT = 64_000_000
NOTE = "made while it is looked at"
_PLACES = ((1, 4), (1, 2), (3, 4))  # along both sides


class Live:
    """A dataset that is made of an image while it is looked at. Threads may use it at once."""

    plate = False

    def __init__(self, image: Image, stored: Sequence[Image], limits: Limits, workshop: Workshop) -> None:
        """`stored`: the levels that the file has of it (`open_images`). Raises ProcError where it cannot be converted."""
        self._runs = runs(image, stored, limits)
        self._pyramid, self._workshop = joined(self._runs), workshop
        found = ", ".join(str(run.first) for run in self._runs[1:])
        notes = (NOTE, *((f"levels the file has: {found}",) if found else ()))
        self.image = replace(image, notes=(*image.notes, *notes))
        self._store = ChunkStore(
            InMemory(), self._pyramid, codec_for(self._pyramid.dtype, SETTINGS.compression, SETTINGS.compression_level)
        )
        self._one = threading.Lock()

    @property
    def slow(self) -> bool:
        """Whether its smallest level takes a sweep over a large plane."""
        return _pixels(self._runs[-1].image) > SWEPT

    def get(self, key: str) -> bytes:
        """A document or a chunk. Raises FileNotFoundError where there is none, ProcError where the file does not give it."""
        place = parsed(self._pyramid, key)
        if place is not None:
            return self._chunk(*place)
        level, _, name = key.rpartition("/")
        if key == "zarr.json":
            with self._one:
                return self._root
        if name == "zarr.json" and level in map(str, range(len(self._pyramid.levels))):
            return array_documents(self._store, self._pyramid.levels[int(level)])[name]
        if key == OME_XML and self.image.ome_xml:
            return self.image.own_ome_xml
        raise FileNotFoundError(2, "No such object", key)

    @cached_property
    def _root(self) -> bytes:
        return group_documents(attributes(self.image, SETTINGS, "", self._store, self._windows()), 3)["zarr.json"]

    def _chunk(self, level: int, place: Index) -> bytes:
        run = next(run for run in reversed(self._runs) if run.first <= level)
        return self._workshop.chunk(run, run.key(level - run.first, place), level - run.first, place)

    def _windows(self) -> tuple[Window, ...]:
        """The display windows by the plane that is shown first, not by all pixels as a conversion has them."""
        if fixed := fixed_windows(self.image):
            return fixed
        owners, looked_at = window_owners(self.image), self._looked_at()
        found = {}
        for owner in dict.fromkeys(owners):
            pixels = np.concatenate([self._pixels(*looked_at, c).reshape(-1) for c, whose in enumerate(owners) if whose == owner])
            places = histogram.locate(histogram.Packed.of(histogram.count(pixels)))
            within = histogram.count_within(pixels, places) if histogram.needs_second_count(pixels.dtype) else None
            percentiles = histogram.percentiles(pixels.dtype, places, within)
            found[owner] = windows.window(histogram.extremes(pixels), percentiles)
        return tuple(found[owner] for owner in owners)

    def _looked_at(self) -> tuple[int, tuple[tuple[int, int], ...]]:
        """A level, and the chunks (y, x) of it, that tell the windows without a sweep over a large plane."""
        level = windows.window_level(self._pyramid.levels)
        run = next(run for run in reversed(self._runs) if run.first <= level)
        if _pixels(run.image) <= LOOKED_AT:
            _, _, _, high, wide = self._pyramid.levels[level].grid.shape
            return level, tuple(np.ndindex(high, wide))
        _, _, _, high, wide = self._pyramid.levels[run.first].grid.shape
        return run.first, tuple((high * n // of, wide * n // of) for n, of in _PLACES)

    def _pixels(self, index: int, places: Sequence[tuple[int, int]], channel: int) -> NDArray[np.generic]:
        """Pixels [chunks * y * x] of a channel of a level's middle plane."""
        level = self._pyramid.levels[index]
        chunk = np.empty(level.chunk[1:], self._pyramid.dtype)
        group, c = divmod(channel, level.chunk[1])
        depth, z = divmod(level.shape[Z] // 2, level.chunk[Z])
        found = []
        for y, x in places:
            with without_threads():
                self._store.codec.decode(self._chunk(index, (0, group, depth, y, x)), chunk)
            height, width = level.height - y * level.chunk[Y], level.width - x * level.chunk[X]
            found.append(chunk[c, z, :height, :width].reshape(-1).copy())
        return np.concatenate(found)


def _pixels(image: Image) -> int:
    return image.height * image.width
