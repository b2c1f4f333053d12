"""Source to slot: average the pixels of a band, from the TIFF or from a finished level, into the first level of its slot."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import UnsupportedInputError
from omezarr_proc.model.image import Image, Plane, Rect
from omezarr_proc.model.region import Region, X, Y, Z, ceil_div
from omezarr_proc.pixels.average import PartialBoxes, box_mean, box_nearest
from omezarr_proc.plan.passes import Pass
from omezarr_proc.store.chunks import read_planes
from omezarr_proc.tiff.read.reader import Reader
from omezarr_proc.work.tasks import Job

# (y, x, pixels[h, w, samples]) in pixels of the source plane.
Blocks = Iterator[tuple[int, int, NDArray[Any]]]

# Means that do not fall into one tile are made in pieces of this size, which stay in a core's cache until they are copied.
_PIECE_BYTES = 128 * 1024


class Loader:
    """Loads bands of one image."""

    def __init__(self, job: Job, spool: int | None, note: Callable[[str], None]) -> None:
        """`spool`: descriptor of the file for decoded planes, where the job's access names one. `note` tells of damaged segments."""
        self._job, self._spool = job, spool
        self._reader = Reader(job.image, note if job.lenient else None)

    def close(self) -> None:
        """Close the TIFF files."""
        self._reader.close()

    def load(self, pass_: Pass, band: Region, part: Region, slot: NDArray[Any]) -> None:
        """Fill `part` (pixels of the pass's first level) of `slot[z, y, x, channels, depth, tile, tile]`, which holds the band.

        Raises InputError for damaged pixels, OutputError for a level that cannot be read back.
        """
        depth = slot.shape[4]
        for z in range(part.start[Z], part.stop[Z]):
            row, within = divmod(z - band.start[Z], depth)
            self._load_plane(pass_, band, part.along(Z, z, z + 1), slot[row, :, :, :, within])

    def spool(self, band: Region) -> None:
        """Decode all planes of a band's channels and depth into the spool file, one after another."""
        for i, plane in enumerate(self._planes(band, band.start[Z], band.stop[Z])):
            if plane is not None:
                self._reader.spool(plane, self._spool_fd(), self._spool_offset(i))

    def _load_plane(self, pass_: Pass, band: Region, part: Region, tiles: NDArray[Any]) -> None:
        """Fill one depth of the band, `tiles[rows, columns, channels, tile, tile]`."""
        d = pass_.ratio[Y]
        plane = self._source_plane(pass_)
        area = Rect(*(min(v * d, end) for v, end in zip(_yx(part), (plane.y1, plane.y1, plane.x1, plane.x1), strict=True)))
        for channel, dtype, blocks in self._sources(pass_, band, part.start[Z], area):
            target = _Part(tiles, band, channel)
            if self._job.nearest:
                for y, x, block in blocks:
                    box_nearest(block, y, x, d, target.put)
            else:
                target.average(blocks, dtype, d, area, plane)

    def _source_plane(self, pass_: Pass) -> Rect:
        if pass_.source is None:
            layout = self._job.image.layouts[0]
            return Rect(0, layout.height, 0, layout.width)
        level = self._job.store.pyramid.levels[pass_.source]
        return Rect(0, level.height, 0, level.width)

    def _planes(self, band: Region, z0: int, z1: int) -> Iterator[Plane | None]:
        """The TIFF planes of a band's time point and channels in depths z0 to z1."""
        image, samples = self._job.image, self._job.image.layouts[0].samples
        for z in range(z0, z1):
            first = (band.start[0] * image.size_z + z) * image.size_c // samples
            yield from image.planes[first + band.start[1] // samples : first + band.stop[1] // samples]

    def _sources(self, pass_: Pass, band: Region, z: int, area: Rect) -> Iterator[tuple[int, np.dtype[Any], Blocks]]:
        """(first channel within the band, dtype, blocks) of everything that fills `area` of a depth."""
        image = self._job.image
        if pass_.source is not None:
            region = Region((band.start[0], band.start[1], z, area.y0, area.x0), (band.stop[0], band.stop[1], z + 1, area.y1, area.x1))
            for channel, y, x, pixels in read_planes(self._job.store, pass_.source, region):
                yield channel, pixels.dtype, iter([(y, x, pixels)])
            return
        samples, dtype = image.layouts[0].samples, np.dtype(image.dtype)
        narrow = _NARROW.get(dtype)
        before = (z - band.start[Z]) * (band.stop[1] - band.start[1]) // samples
        for i, plane in enumerate(self._planes(band, z, z + 1)):
            blocks = self._read(plane, before + i, area) if plane else _zeros(area, samples, dtype)
            yield i * samples, narrow or dtype, _narrowed(blocks, narrow, image, band, z, i) if narrow else blocks

    def _read(self, plane: Plane, index: int, area: Rect) -> Blocks:
        access = self._job.access[plane.layout]
        if access == "spool":
            return self._reader.read_spooled(plane, area, self._spool_fd(), self._spool_offset(index))
        return self._reader.read(plane, area, access)

    def _spool_fd(self) -> int:
        assert self._spool is not None  # the main process sends it with every job that spools
        return self._spool

    def _spool_offset(self, index: int) -> int:
        layout = self._job.image.layouts[0]
        return index * layout.height * layout.width * layout.samples * np.dtype(layout.dtype).itemsize


class _Part:
    """The slot's pixels from one channel on, as something that blocks of source pixels are averaged into."""

    def __init__(self, tiles: NDArray[Any], band: Region, channel: int) -> None:
        self._tiles, self._y, self._x, self._channel = tiles, band.start[Y], band.start[X], channel
        self._tile = tiles.shape[-1]

    def average(self, blocks: Blocks, dtype: np.dtype[Any], d: int, area: Rect, plane: Rect) -> None:
        """Average `blocks`, which cover `area` of the source plane. Rows that do not complete a box are carried as partial sums."""
        partial: PartialBoxes | None = None
        for y, x, block in blocks:
            bottom, right = y + block.shape[0], x + block.shape[1]
            top = min(ceil_div(y, d) * d, bottom)
            end = bottom if bottom == plane.y1 else max(bottom - bottom % d, top)
            if x % d or (right % d and right != plane.x1):
                top = end = bottom
            if top > y or end < bottom:
                partial = partial or PartialBoxes(d, area, block.shape[2], dtype, self.put)
                if top > y:
                    partial.add(y, x, block[: top - y])
                if end < bottom:
                    partial.add(end, x, block[end - y :])
            if end > top:
                self._whole_boxes(block[top - y : end - y], top // d, x // d, d)
        if partial:
            partial.finish()

    def _whole_boxes(self, block: NDArray[Any], y: int, x: int, d: int) -> None:
        height, width = ceil_div(block.shape[0], d), ceil_div(block.shape[1], d)
        row, top = divmod(y - self._y, self._tile)
        column, left = divmod(x - self._x, self._tile)
        if top + height <= self._tile and left + width <= self._tile:
            channels = slice(self._channel, self._channel + block.shape[2])
            box_mean(block, d, self._tiles[row, column, channels, top : top + height, left : left + width])
            return
        step = max(1, _PIECE_BYTES // (width * block.shape[2] * self._tiles.itemsize))
        means = np.empty((block.shape[2], min(step, height), width), self._tiles.dtype)
        for r in range(0, height, step):
            part = means[:, : min(step, height - r)]
            box_mean(block[r * d : (r + step) * d], d, part)
            self.put(y + r, x, part)

    def put(self, y: int, x: int, means: NDArray[Any]) -> None:
        """Copy `means[samples, h, w]` to (`y`, `x`) of the level, tile by tile."""
        tile, y, x = self._tile, y - self._y, x - self._x
        samples, height, width = means.shape
        channels = slice(self._channel, self._channel + samples)
        for row in range(y // tile, ceil_div(y + height, tile)):
            top, bottom = max(y, row * tile), min(y + height, (row + 1) * tile)
            for column in range(x // tile, ceil_div(x + width, tile)):
                left, right = max(x, column * tile), min(x + width, (column + 1) * tile)
                into = self._tiles[row, column, channels, top % tile : top % tile + bottom - top, left % tile : left % tile + right - left]
                with np.errstate(over="ignore", invalid="ignore"):
                    np.copyto(into, means[:, top - y : bottom - y, left - x : right - x], casting="unsafe")


def _yx(region: Region) -> tuple[int, int, int, int]:
    return region.start[Y], region.stop[Y], region.start[X], region.stop[X]


def _zeros(area: Rect, samples: int, dtype: np.dtype[Any]) -> Blocks:
    """A plane that the file lacks, in rows that stay small."""
    for y in range(area.y0, area.y1, 16):
        yield y, area.x0, np.zeros((min(16, area.y1 - y), area.width, samples), dtype)


_NARROW = {np.dtype(np.int64): np.dtype(np.int32), np.dtype(np.uint64): np.dtype(np.uint32)}


def _narrowed(blocks: Blocks, narrow: np.dtype[Any], image: Image, band: Region, z: int, index: int) -> Blocks:
    """64-bit integers as 32-bit ones, since browsers cannot show them; a value outside is an error, never wrapped."""
    info = np.iinfo(narrow)
    for y, x, block in blocks:
        outside = (block < info.min) | (block > info.max)
        if outside.any():
            row, column, sample = np.argwhere(outside)[0]
            raise UnsupportedInputError(
                f"image {image.series}, plane t={band.start[0]} c={band.start[1] + index * block.shape[2] + sample} z={z}:"
                f" the value {block[row, column, sample]}"
                f" at y={y + row}, x={x + column} does not fit into {narrow}, as which {image.dtype} is stored"
                " (viewers cannot show 64-bit integers): rescale the image",
                source=image.source,
            )
        yield y, x, block.astype(narrow)
