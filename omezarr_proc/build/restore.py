"""A dataset as a tiled, compressed OME-TIFF: level 0 page by page, each with the further levels of its plane as SubIFDs.

Chunks are decoded by threads a few ahead of the writer, whose threads compress; what is held is a few megabytes whatever the size. Where
a chunk has several pages, or does not fit the tiles of TIFF, a slab of pages is decoded once into an unlinked file beside the output.
"""

import mmap
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.build.recovered import base_factor, stored_level_taken
from omezarr_proc.build.restored import TYPES, Written, written
from omezarr_proc.check.levels import Level
from omezarr_proc.model.errors import InputError, UnsupportedInputError
from omezarr_proc.model.region import AXES, C, Region, X, Y, Z
from omezarr_proc.publish.whole import whole_file
from omezarr_proc.store.arrays import ICC_PROFILE, OME_XML, spool_file
from omezarr_proc.store.codec import without_threads
from omezarr_proc.store.read import Dataset, first_multiscale

Compression = Literal["deflate", "zstd"]
_BUFFER = 8 << 20  # bytes that the writer compresses at once
_TILE = 256  # pixels along a side, where chunks are no tiles of TIFF, whose sides are multiples of 16
_CLASSIC = 3 << 30  # raw bytes from which on it is a BigTIFF: offsets of a classic one have 32 bits, and noise does not compress


@dataclass(frozen=True)
class Restored:
    """What was written: sizes of t, c, z, y, x of each level; `kept`: whether the OME-XML is that of the source."""

    levels: tuple[tuple[int, ...], ...]
    dtype: str
    kept: bool
    bytes: int


def losses(dataset: Dataset) -> list[str]:
    """What of its source's pixels a dataset of ours has not: each as the end of "it lacks"."""
    own = dataset.own or {}
    lost = []
    if (factor := base_factor(dataset) if dataset.own else None) not in (None, 1) or stored_level_taken(dataset):
        lost.append(f"full resolution: its level 0 is {factor} times smaller (INITIAL_DOWNSAMPLE)")
    if own.get("origin"):
        lost.append("the whole image: it was made of a part of one (CROP_REGION and the like)")
    if own.get("color") == {"space": "sRGB"}:
        lost.append("the colours of the source: they were converted to sRGB (COLOR=srgb)")
    metadata = first_multiscale(dataset.ome).get("metadata")
    stated = str(metadata.get("description")) if isinstance(metadata, dict) else ""
    if dataset.own and " stored as " in stated:
        lost.append(f"the type of the pixels: {stated.rpartition('; ')[2]}")
    return lost


def restore(dataset: Dataset, target: Path, compression: Compression, workers: int) -> Restored:
    """Write the TIFF, under its name only when it is whole. Raises InputError, UnsupportedInputError, OutputError."""
    try:
        levels = [Level(dataset, array) for array in dataset.arrays]
    except Exception as error:  # whatever zarr says to codecs that it does not know
        raise UnsupportedInputError(f"cannot be restored: {error}", source=dataset.path) from error
    base, dtype = levels[0], np.dtype(dataset.arrays[0].dtype).name
    if dtype not in TYPES:
        raise UnsupportedInputError(f"cannot be restored: OME-TIFF has no pixels of type {dtype}", source=dataset.path)
    levels = [level for level in levels if level.shape[:Y] == base.shape[:Y]]  # a SubIFD is of the same plane
    text = _text(dataset) if not losses(dataset) else None  # else it speaks of other pixels
    how = written(dataset, base, dtype, text)
    profile = dataset.objects.get(ICC_PROFILE) if dataset.objects.exists(ICC_PROFILE) else None
    with whole_file(target) as file, ThreadPoolExecutor(workers) as threads:
        source = [_Pages(dataset.path, level, how, target, threads, workers) for level in levels]
        _write(file, source, how, profile, compression, workers)
        size = file.seek(0, os.SEEK_END)
    return Restored(tuple(level.shape for level in levels), dtype, how.kept, size)


def _text(dataset: Dataset) -> str | None:
    return dataset.objects.get(OME_XML).decode(errors="replace") if dataset.objects.exists(OME_XML) else None


def _write(file: BinaryIO, levels: list["_Pages"], how: Written, profile: bytes | None, compression: Compression, workers: int) -> None:
    import tifffile

    big = sum(level.bytes for level in levels) > _CLASSIC
    options: dict[str, Any] = {
        "dtype": how.dtype,
        "photometric": "rgb" if how.rgb else "minisblack",
        "planarconfig": "contig" if how.samples > 1 else None,
        "extrasamples": ["unassalpha"] if how.rgb and how.samples == 4 else None,
        "compression": {"deflate": "adobe_deflate", "zstd": "zstd"}[compression],
        "predictor": True,
        "metadata": None,
        "software": False,
        "maxworkers": workers,
        "buffersize": _BUFFER,
    }
    with tifffile.TiffWriter(file, bigtiff=big, byteorder="<", ome=False, shaped=False) as tiff:
        for number, page in enumerate(how.pages):
            for index, level in enumerate(levels):
                first: dict[str, Any] = {"description": how.xml} if number == index == 0 else {}
                tags: dict[str, Any] = {"subifds": len(levels) - 1, "iccprofile": profile} if index == 0 else {"subfiletype": 1}
                shape = (*level.size, how.samples) if how.samples > 1 else level.size
                tiff.write(level.tiles(*page), shape=shape, tile=level.side, **options, **tags, **first)


class _Pages:
    """The pages of one level, as tiles of a TIFF."""

    def __init__(self, path: Any, level: Level, how: Written, target: Path, threads: ThreadPoolExecutor, workers: int) -> None:
        self._path, self._level, self._samples = path, level, how.samples
        self._target, self._threads, self._ahead = target, threads, 2 * workers
        self._slab: tuple[Region, NDArray[Any]] | None = None
        _, channels, depth, *tile = level.tile
        self.size = level.shape[Y], level.shape[X]
        fitting = [side % 16 == 0 or side >= size for side, size in zip(tile, self.size, strict=True)]
        down, across = (
            -(-min(side, size) // 16) * 16 if fits else _TILE for side, size, fits in zip(tile, self.size, fitting, strict=True)
        )
        self.side = down, across
        self._all_channels = channels > how.samples or [page[1] for page in how.pages[:2]] != [0] * len(how.pages[:2])
        self._slabs = channels > how.samples or depth > 1 or not all(fitting)
        self.bytes = int(np.prod(level.shape, dtype=np.int64)) * np.dtype(level.array.dtype).itemsize

    def tiles(self, t: int, c: int, z: int) -> Iterator[NDArray[Any]]:
        """The tiles of a page, each whole, those at the edges with zeros behind the pixels."""
        page = Region((t, c, z, 0, 0), (t + 1, c + self._samples, z + 1, *self.size))
        read = self._of_slab(page) if self._slabs else self._read
        for _, pixels in self._in_order(read, page.cut((1, self._samples, 1, *self.side))):
            yield self._as_tile(pixels)

    def _in_order(self, read: Callable[[Region], NDArray[Any]], regions: Iterator[Region]) -> Iterator[tuple[Region, NDArray[Any]]]:
        """Each region with its pixels, a few of them read ahead."""
        waiting: deque[tuple[Region, Future[NDArray[Any]]]] = deque()
        for region in regions:
            waiting.append((region, self._threads.submit(read, region)))
            if len(waiting) > self._ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        yield from ((region, future.result()) for region, future in waiting)

    def _as_tile(self, pixels: NDArray[Any]) -> NDArray[Any]:
        samples = pixels[0, :, 0]
        tile = np.zeros((*self.side, self._samples), pixels.dtype.newbyteorder("<"))
        tile[: samples.shape[1], : samples.shape[2]] = np.moveaxis(samples, 0, 2)
        return tile if self._samples > 1 else tile[..., 0]

    def _read(self, region: Region) -> NDArray[Any]:
        try:
            with without_threads():
                return self._level.read(region)
        except Exception as error:  # a chunk is absent, or whatever a codec says to damaged bytes
            reason = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be decoded ({type(error).__name__})"
            at = ", ".join(f"{axis} {begin}" for axis, begin in zip(AXES, region.start, strict=True))
            hint = "`omezarr-proc validate --deep` says more"
            raise InputError(f"the chunk at {at} {reason}", source=self._path / self._level.array.path, hint=hint) from error

    def _of_slab(self, page: Region) -> Callable[[Region], NDArray[Any]]:
        """What reads the page out of the slab that it lies in, which is decoded unless it is the last one."""
        if self._slab is None or not page.is_within(self._slab[0]):
            self._slab = None  # before the next one takes as much
            self._slab = self._decoded(page)
        region, pixels = self._slab
        return lambda part: pixels[tuple(map(slice, part.within(region).start, part.within(region).stop))]

    def _decoded(self, page: Region) -> tuple[Region, NDArray[Any]]:
        """The pages whose chunks the page shares, in an unlinked file that is mapped."""
        depth = self._level.tile[Z]
        region = page.along(Z, page.start[Z] // depth * depth, min(page.start[Z] // depth * depth + depth, self._level.shape[Z]))
        region = region.along(C, 0, self._level.shape[C]) if self._all_channels else region
        dtype = np.dtype(self._level.array.dtype)
        spool = spool_file(self._target, region.size * dtype.itemsize)
        try:
            pixels = np.frombuffer(mmap.mmap(spool, 0), dtype).reshape(region.shape)
        finally:
            os.close(spool)
        for part, found in self._in_order(self._read, region.cut(self._level.tile)):
            pixels[tuple(map(slice, part.within(region).start, part.within(region).stop))] = found
        return region, pixels
