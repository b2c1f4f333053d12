"""Source to slot: reduce the pixels of a band, from the TIFF or from a finished level, into the first level of its slot."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.model.errors import UnsupportedInputError
from omezarr_proc.model.image import Image, Plane, Rect
from omezarr_proc.model.region import Region, X, Y, Z, ceil_div
from omezarr_proc.pixels.digests import Digest, Passing
from omezarr_proc.pixels.gather import Blocks, make_boxes
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.plan.passes import Pass
from omezarr_proc.store.chunks import read_chunks
from omezarr_proc.tiff.read.reader import Reader
from omezarr_proc.work.fold import fold
from omezarr_proc.work.tasks import Job


class Loader:
    """Loads bands of one image."""

    def __init__(self, job: Job, spool: int | None, note: Callable[[str], None]) -> None:
        """`spool`: descriptor of the file for decoded planes, where the job's access names one. `note` tells of damaged segments."""
        self._job, self._spool = job, spool
        self._reduction = REDUCTIONS[job.method]
        self._reader = Reader(job.image, note if job.lenient else None)

    def close(self) -> None:
        """Close the TIFF files."""
        self._reader.close()

    def load(self, pass_: Pass, band: Region, part: Region, slot: NDArray[Any]) -> tuple[Digest, ...]:
        """Fill `part` (pixels of the pass's first level) of `slot[z, y, x, channels, depth, tile, tile]`, which holds the band.

        Returns the digests of the source's blocks that could be taken on the way, where the job asks for them (see `Passing`).
        Raises InputError for damaged pixels, OutputError for a level that cannot be read back.
        """
        if pass_.source is not None:
            self._load_level(pass_, pass_.source, band, part, slot)
            return ()
        found: list[Digest] = []
        for z in range(part.start[Z], part.stop[Z]):
            row, within = divmod(z - band.start[Z], slot.shape[4])
            self._load_planes(pass_, band, part.along(Z, z, z + 1), slot[row, :, :, :, within], found)
        return tuple(found)

    def ahead(self, pass_: Pass, bands: Iterable[tuple[Region, Region]]) -> None:
        """Begin to fetch what loading parts of bands (band, part) will read of the TIFF."""
        if pass_.source is None:
            deep = pass_.ratio[Z]
            self._reader.ahead(
                (plane, self._in_plane(self._area(pass_, part)), self._job.access[plane.layout])
                for band, part in bands
                for plane in self._planes(band, part.start[Z] * deep, part.stop[Z] * deep)
                if plane is not None
            )

    def spool(self, band: Region, before: int) -> None:
        """Decode all planes of a band's channels and depth into the spool file, behind those of `before` depths."""
        deep = self._job.store.pyramid.levels[0].factor[Z]
        groups = (band.stop[1] - band.start[1]) // self._job.image.layouts[0].samples
        for i, plane in enumerate(self._planes(band, band.start[Z] * deep, band.stop[Z] * deep), before * deep * groups):
            if plane is not None:
                self._reader.spool(plane, self._spool_fd(), self._spool_offset(i))

    def _load_level(self, pass_: Pass, source: int, band: Region, part: Region, slot: NDArray[Any]) -> None:
        """Fold what a finished level has of `part`, each chunk decoded once."""
        pyramid = self._job.store.pyramid
        area, origin = part.scaled(pass_.ratio).clipped(pyramid.levels[source].shape), band.scaled(pass_.ratio)
        for piece, pixels in read_chunks(self._job.store, source, area, pyramid.deep(source, pass_.first)):
            _, channel, z, y, x = piece.within(origin).start
            fold(pixels, (z, y, x), pass_.ratio, slot, self._reduction, channel)

    def _load_planes(self, pass_: Pass, band: Region, part: Region, tiles: NDArray[Any], found: list[Digest]) -> None:
        """Fill one depth of the band, `tiles[rows, columns, channels, tile, tile]`, from the planes of the TIFF that it is made of.

        Digests that are taken of them go to `found`.
        """
        image, (_, _, deep, d, _) = self._job.image, pass_.ratio
        layout, z, area = image.layouts[0], part.start[Z], self._area(pass_, part)
        sources = range(z * deep, min((z + 1) * deep, image.size_z))
        for i, planes in enumerate(zip(*(self._planes(band, source, source + 1) for source in sources), strict=True)):
            target = _Tiles(tiles, band, i * layout.samples, layout.samples)
            channel = band.start[1] + i * layout.samples
            passing = [Passing((band.start[0], source, channel), image.plane_size, image.stored_dtype, found) for source in sources]
            if self._stacks(planes, d):
                read = self._reader.read_stack([plane for plane in planes if plane], self._in_plane(area), d)
                for y, x, pixels in self._of_image(read):
                    if self._job.hashed:
                        for taker, plane in zip(passing, pixels, strict=True):
                            taker.add(y, x, plane)
                    make_boxes(self._reduction.boxes, pixels, d, y // d, x // d, target)
            else:
                blocks = [self._blocks(band, source, deep, i, plane, area) for source, plane in zip(sources, planes, strict=True)]
                if self._job.hashed:
                    blocks = [_passed(*pair) for pair in zip(blocks, passing, strict=True)]
                self._reduction.gather(blocks, d, area, target)

    def _stacks(self, planes: Sequence[Plane | None], d: int) -> bool:
        """Whether boxes of several planes are read whole, so that nothing is carried from plane to plane."""
        if len(planes) == 1 or not self._reduction.deep or np.dtype(self._job.image.dtype) in _NARROW:
            return False
        ground = self._job.image.ground
        begins_on_a_box = ground is None or (ground.y0 % d == 0 and ground.x0 % d == 0)
        return self._job.access[0] == "rows" and begins_on_a_box and self._reader.stacks(planes, d)

    def _area(self, pass_: Pass, part: Region) -> Rect:
        """What of the image's pixels in each plane a part of a band is made of."""
        d, (height, width) = pass_.ratio[Y], self._job.image.plane_size
        ends = height, height, width, width
        return Rect(*(min(v * d, end) for v, end in zip(_yx(part), ends, strict=True)))

    def _planes(self, band: Region, z0: int, z1: int) -> Iterator[Plane | None]:
        """The TIFF planes of a band's time point and channels from z0 to z1 or the last."""
        image, samples = self._job.image, self._job.image.layouts[0].samples
        for z in range(z0, min(z1, image.size_z)):
            first = (band.start[0] * image.size_z + z) * image.size_c // samples
            yield from image.planes[first + band.start[1] // samples : first + band.stop[1] // samples]

    def _blocks(self, band: Region, z: int, deep: int, index: int, plane: Plane | None, area: Rect) -> Blocks:
        """The blocks of `area` of the band's TIFF plane `index` at `z`, of which `deep` make one depth; read when gone through."""
        image = self._job.image
        samples, dtype = image.layouts[0].samples, np.dtype(image.dtype)
        before = (z - band.start[Z] * deep) * (band.stop[1] - band.start[1]) // samples
        blocks = self._read(plane, before + index, area) if plane else _zeros(area, samples, dtype)
        narrow = _NARROW.get(dtype)
        return _narrowed(blocks, narrow, image, band, z, index) if narrow else blocks

    def _in_plane(self, area: Rect) -> Rect:
        """Where pixels of the image lie in the planes of the TIFF."""
        ground = self._job.image.ground
        if ground is None:
            return area
        return Rect(area.y0 + ground.y0, area.y1 + ground.y0, area.x0 + ground.x0, area.x1 + ground.x0)

    def _of_image(self, blocks: Blocks) -> Blocks:
        """Blocks of planes of the TIFF in pixels of the image."""
        ground = self._job.image.ground
        return blocks if ground is None else ((y - ground.y0, x - ground.x0, block) for y, x, block in blocks)

    def _read(self, plane: Plane, index: int, area: Rect) -> Blocks:
        access, place = self._job.access[plane.layout], self._in_plane(area)
        if access == "spool":
            return self._of_image(self._reader.read_spooled(plane, place, self._spool_fd(), self._spool_offset(index)))
        return self._of_image(self._reader.read(plane, place, access))

    def _spool_fd(self) -> int:
        assert self._spool is not None  # the main process sends it with every job that spools
        return self._spool

    def _spool_offset(self, index: int) -> int:
        layout = self._job.image.layouts[0]
        return index * layout.height * layout.width * layout.samples * np.dtype(layout.dtype).itemsize


class _Tiles:
    """One depth of a slot from one channel on, as the target of what is gathered."""

    def __init__(self, tiles: NDArray[Any], band: Region, channel: int, samples: int) -> None:
        self._tiles = tiles[:, :, channel : channel + samples]
        self._y, self._x = band.start[Y], band.start[X]

    def view(self, y: int, x: int, height: int, width: int) -> NDArray[Any] | None:
        """See `Target`."""
        tile = self._tiles.shape[-1]
        row, top = divmod(y - self._y, tile)
        column, left = divmod(x - self._x, tile)
        if top + height > tile or left + width > tile:
            return None
        tiles: NDArray[Any] = self._tiles[row, column, :, top : top + height, left : left + width]
        return tiles

    def views(self, y: int, x: int, height: int, width: int) -> Iterator[tuple[slice, slice, NDArray[Any]]]:
        """See `Target`."""
        tile, y, x = self._tiles.shape[-1], y - self._y, x - self._x
        for row in range(y // tile, ceil_div(y + height, tile)):
            top, bottom = max(y, row * tile), min(y + height, (row + 1) * tile)
            rows, down = slice(top - y, bottom - y), slice(top - row * tile, bottom - row * tile)
            for column in range(x // tile, ceil_div(x + width, tile)):
                left, right = max(x, column * tile), min(x + width, (column + 1) * tile)
                view = self._tiles[row, column, :, down, left - column * tile : right - column * tile]
                yield rows, slice(left - x, right - x), view


def _yx(region: Region) -> tuple[int, int, int, int]:
    return region.start[Y], region.stop[Y], region.start[X], region.stop[X]


def _passed(blocks: Blocks, passing: Passing) -> Blocks:
    """The same blocks, of which digests are taken on the way."""
    for y, x, pixels in blocks:
        passing.add(y, x, pixels)
        yield y, x, pixels


def _zeros(area: Rect, samples: int, dtype: np.dtype[Any]) -> Blocks:
    """A plane that the file lacks, in rows that stay small."""
    for y in range(area.y0, area.y1, 16):
        yield y, area.x0, np.zeros((min(16, area.y1 - y), area.width, samples), dtype)


_NARROW = {np.dtype(wide): np.dtype(narrow) for wide, narrow in (("i8", "i4"), ("u8", "u4"), ("f8", "f4"))}


def _narrowed(blocks: Blocks, narrow: np.dtype[Any], image: Image, band: Region, z: int, index: int) -> Blocks:
    """64-bit integers as 32-bit ones, since browsers cannot show them; a value outside is an error, never wrapped.

    Floats stay float64, whose mean is taken; a finite value that float32 has not is the same error, never an infinity.
    """
    for y, x, block in blocks:
        outside = _outside(block, narrow)
        if outside.any():
            row, column, sample = np.argwhere(outside)[0]
            raise UnsupportedInputError(
                f"image {image.series}, plane t={band.start[0]} c={band.start[1] + index * block.shape[2] + sample} z={z}:"
                f" the value {block[row, column, sample]}"
                f" at y={y + row}, x={x + column} does not fit into {narrow}, as which {image.dtype} is stored"
                " (viewers cannot show 64-bit pixels): rescale the image",
                source=image.source,
            )
        yield y, x, block if narrow.kind == "f" else block.astype(narrow)


def _outside(block: NDArray[Any], narrow: np.dtype[Any]) -> NDArray[np.bool_]:
    outside: NDArray[np.bool_]
    if narrow.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            outside = np.isinf(block.astype(narrow))
        outside &= np.isfinite(block)
    else:
        info = np.iinfo(narrow)
        outside = (block < info.min) | (block > info.max)
    return outside
