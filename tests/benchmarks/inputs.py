"""The inputs of the benchmarks: tissue-like and fluorescence-like TIFFs of any size, from fixed seeds.

A small periodic field is made once for each kind; every segment is a crop of it at its own random place and orientation, so that no two
are equal and a large file is made in seconds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from tests.benchmarks.shuffle import SIZE, camera, tissue

MICROMETRES = {"PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}


@dataclass(frozen=True)
class Case:
    """One input: its size at scale 1, how it is stored, the converter's settings, and the goals as (factor over the work, seconds, MB).

    z  of a volume, how many times as far apart as its pixels its planes are; 0: not stated
    """

    name: str
    what: str
    shape: tuple[int, ...]
    tiff: dict[str, Any]
    goal: tuple[float, float, int]
    flags: tuple[str, ...] = ()
    z: float = 0

    @property
    def rgb(self) -> bool:
        """Whether samples are interleaved colours."""
        return self.shape[-1] == 3

    def scaled(self, scale: float) -> tuple[int, ...]:
        """The shape with y and x `scale` times as long, in whole segments."""
        y, x = (-3, -2) if self.rgb else (-2, -1)
        shape = list(self.shape)
        for axis in (y, x):
            shape[axis] = max(1024, round(shape[axis] * scale / 1024) * 1024) if shape[axis] > 1024 else shape[axis]
        return tuple(shape)


JPEG = {"compression": "jpeg", "compressionargs": {"level": 85}}
SLIDE = {"tile": (512, 512), **JPEG}
DEFLATE = {"tile": (256, 256), "compression": "deflate", "predictor": True}
LZW = {"rowsperstrip": 64, "compression": "lzw", "predictor": True}
TALL = {"rowsperstrip": 4096, "compression": "deflate"}
ONE = {"rowsperstrip": 1024, "compression": "deflate"}
LOW = {"rowsperstrip": 16, "compression": "lzw"}
SPLIT = ("--channel-chunking", "per-channel")
_ALL = (
    Case("A", "RGB uint8 16384 x 16384, JPEG tiles 512", (16384, 16384, 3), SLIDE, (1.15, 0.4, 200)),
    Case("B", "4 x uint16 8192 x 8192, deflate tiles 256, predictor", (4, 8192, 8192), DEFLATE, (1.15, 0.4, 200)),
    Case("B2", "4 x uint16 8192 x 8192, LZW strips of 64, predictor", (4, 8192, 8192), LZW, (1.2, 0.4, 200)),
    Case("C", "2 x 60 planes of 1024 x 1024 uint16, uncompressed", (2, 60, 1024, 1024), {}, (1.2, 0.4, 150)),
    Case("D", "RGB uint8 60000 x 40000, JPEG tiles 512", (40000, 60000, 3), SLIDE, (1.15, 0.4, 200)),
    Case("E240", "RGB uint8 8192 x 8192, JPEG tiles 240", (8192, 8192, 3), {**SLIDE, "tile": (240, 240)}, (1.3, 0.4, 200)),
    Case("E4096", "uint16 8192 x 8192, deflate strips of 4096", (8192, 8192), TALL, (1.3, 0.4, 200)),
    Case("Eper", "RGB uint8 8192 x 8192, JPEG tiles 512, per-channel", (8192, 8192, 3), SLIDE, (1.3, 0.4, 200), SPLIT),
    Case("V1", "600 planes of 1024 x 1024 uint16, isotropic, uncompressed", (1, 600, 1024, 1024), {}, (1.2, 0.4, 200), (), 1),
    Case("V2", "the same, a deflate strip a plane", (1, 600, 1024, 1024), ONE, (1.2, 0.4, 200), (), 1),
    Case(
        "V3",
        "2 x 200 planes of 2048 x 2048 uint16, z 3, LZW strips of 16",
        (2, 200, 2048, 2048),
        LOW,
        (1.2, 0.4, 200),
        (),
        3,
    ),
    Case("small", "RGB uint8 512 x 512", (512, 512, 3), {**SLIDE, "tile": (256, 256)}, (1.5, 0.15, 100)),
)
CASES = {case.name: case for case in _ALL}


def make(case: Case, scale: float, folder: Path) -> Path:
    """The TIFF of a case, made unless `folder` has it already."""
    shape = case.scaled(scale)
    path = folder / f"{case.name}-{'x'.join(map(str, shape))}.ome.tiff"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    axes = "YXS" if case.rgb else {2: "YX", 3: "CYX", 4: "CZYX"}[len(shape)]
    sizes = MICROMETRES | ({"PhysicalSizeZ": 0.25 * case.z, "PhysicalSizeZUnit": "µm"} if case.z else {})
    options = {"photometric": "rgb" if case.rgb else "minisblack", "bigtiff": True, "metadata": {"axes": axes, **sizes}, **case.tiff}
    data: Any
    if "tile" in case.tiff:
        data = _tiles(shape, case.tiff["tile"], rng, _tissue if case.rgb else _fluorescence)
        options |= {"shape": shape, "dtype": "uint8" if case.rgb else "uint16"}
    else:
        data = np.empty(shape, "uint16")
        for plane in data.reshape(-1, *shape[-2:]):
            for y in range(0, plane.shape[0], SIZE):
                for x in range(0, plane.shape[1], SIZE):
                    part = plane[y : y + SIZE, x : x + SIZE]
                    part[...] = _crop(_fluorescence(), rng, *part.shape)[..., 0]
    part = path.with_suffix(".part")
    tifffile.imwrite(part, data, ome=True, **options)
    return part.rename(path)


def _tiles(
    shape: tuple[int, ...], tile: tuple[int, int], rng: np.random.Generator, field: Callable[[], NDArray[Any]]
) -> Iterator[NDArray[Any]]:
    rgb = shape[-1] == 3
    height, width = shape[-3:-1] if rgb else shape[-2:]
    planes = int(np.prod(shape[:-3] if rgb else shape[:-2]))
    for _ in range(planes * -(-height // tile[0]) * -(-width // tile[1])):
        block = _crop(field(), rng, *tile)
        yield block if rgb else block[..., 0]


def _crop(field: NDArray[Any], rng: np.random.Generator, height: int, width: int) -> NDArray[Any]:
    """A piece [height, width, samples] of the periodic `field` at a random place, turned at random."""
    y, x = rng.integers(0, SIZE, 2)
    side = max(height, width)
    piece = field[y : y + side, x : x + side]
    turned: NDArray[Any] = np.rot90(piece, int(rng.integers(4)))[:: int(rng.choice([-1, 1])), :, :]
    return np.ascontiguousarray(turned[:height, :width])


@cache
def _tissue() -> NDArray[Any]:
    return _doubled(tissue(np.random.default_rng(1)))


@cache
def _fluorescence() -> NDArray[Any]:
    return _doubled(camera(np.random.default_rng(1))[:1])


def _doubled(pixels: NDArray[Any]) -> NDArray[Any]:
    """[c, y, x] -> [2y, 2x, c], so that every crop of a period lies inside."""
    return np.tile(np.moveaxis(pixels, 0, 2), (2, 2, 1))
