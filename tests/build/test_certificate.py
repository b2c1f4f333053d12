"""Digests of a source that are taken while it is converted, against those of tifffile's pixels, and of a second reading."""

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from certificates import digest_of
from conversion import levels, random_pixels
from engines import LIMITS, Few, slots_of

from omezarr_proc.app.report import Report
from omezarr_proc.build.certificate import source_digests
from omezarr_proc.build.image import Conversion
from omezarr_proc.build.means import Means
from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.base import Engine
from omezarr_proc.engine.local.engine import Local
from omezarr_proc.engine.local.nursery import Nursery
from omezarr_proc.engine.serial import Serial
from omezarr_proc.model.crop import Crop
from omezarr_proc.model.errors import OutOfTimeError
from omezarr_proc.model.image import Image
from omezarr_proc.model.region import Region
from omezarr_proc.publish.lock import Lock
from omezarr_proc.tiff.describe.images import open_images


@dataclass(frozen=True)
class Case:
    """A file, how it is converted, and how much of it is hashed on the way: "all", "some" or "none" of its blocks."""

    shape: tuple[int, ...]
    axes: str
    dtype: str = "uint16"
    tiff: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    access: str | None = None
    z: float = 0
    crop: Crop = field(default_factory=Crop)
    taken: str = "all"


TILES = {"tile": (256, 256), "compression": "zlib"}
STRIPS = {"compression": "lzw", "rowsperstrip": 31}
RGB = {"photometric": "rgb", "compression": "zlib"}
CASES = {
    "rows": Case((700, 600), "YX"),
    "rows, big endian, low strips": Case((2, 700, 600), "CYX", tiff={"byteorder": ">", "rowsperstrip": 37}),
    "rows, of tiles": Case((700, 600), "YX", tiff={"tile": (64, 256)}),
    "segments of RGB": Case((700, 600, 3), "YXS", "uint8", RGB | {"tile": (256, 512)}),
    "segments of RGB, bundled": Case((700, 600, 3), "YXS", "uint8", RGB | {"tile": (256, 256)}, {"channel_chunking": "bundled"}),
    "samples apart": Case((3, 700, 600), "SYX", "uint8", {**RGB, "planarconfig": "separate", "tile": (128, 256)}),
    "low strips": Case((700, 600), "YX", tiff={"compression": "lzw", "rowsperstrip": 7}),
    "stream": Case((700, 600), "YX", tiff={"compression": "zlib", "predictor": True}, access="stream"),
    "spool": Case((2, 3, 300, 260), "CZYX", "int16", {"compression": "zlib"}, access="spool"),
    "full resolution": Case((700, 600), "YX", "float32", settings={"initial_downsample": 1, "tile_size": 256}),
    "a quarter": Case((700, 600), "YX", "int8", settings={"initial_downsample": 4, "sharding": "on"}),
    "64 bits": Case((700, 600), "YX", "int64", TILES),
    "64 bits, floats": Case((700, 600), "YX", "float64", TILES, {"tile_size": 256}),
    "planes stacked": Case((1, 7, 300, 280), "CZYX", z=1, settings={"z_chunk": 2, "z_downsample": "auto"}),
    "planes summed": Case((2, 7, 300, 280), "CZYX", tiff=STRIPS, z=1, settings={"z_downsample": "auto"}),
    "of planes all are kept": Case((1, 5, 300, 280), "CZYX", z=1, settings={"downsample_method": "mode", "z_downsample": "auto"}),
    "the first of planes": Case((1, 5, 300, 280), "CZYX", z=1, settings={"downsample_method": "nearest"}, taken="some"),
    "shards": Case((2, 1200, 1100), "CYX", settings={"tile_size": 256, "sharding": "on", "initial_downsample": 1}),
    "a deep volume": Case((1, 40, 530, 300), "CZYX", "uint8", z=1, settings={"tile_size": 256, "z_chunk": 16, "initial_downsample": 1}),
    "bundled chunks": Case((700, 600, 3), "YXS", "uint8", RGB, {"channel_chunking": "bundled", "tile_size": 256, "initial_downsample": 1}),
    "time": Case((2, 3, 2, 260, 140), "TZCYX", "int8", settings={"channel_chunking": "per-channel"}),
    "nearest": Case((700, 600), "YX", "uint8", settings={"downsample_method": "nearest"}),
    "tiles that straddle blocks": Case((700, 600, 3), "YXS", "uint8", RGB | {"tile": (240, 240)}, taken="some"),
    "tiles smaller than blocks": Case((700, 600), "YX", tiff={"tile": (64, 64), "compression": "zlib"}, taken="none"),
    "a crop on blocks": Case((700, 600), "YX", tiff=TILES, crop=Crop(region=(256, 0, 300, 300))),
    "a crop between": Case((700, 600), "YX", tiff=TILES, crop=Crop(region=(9, 3, 400, 400)), taken="some"),
    "a crop of rows": Case((3, 700, 600), "CYX", crop=Crop(region=(9, 3, 500, 400), channels=(2,))),
}  # fmt: skip


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[Engine, Engine]]:
    with closing(Local(Nursery(may_fork=False))) as local, closing(Serial()) as serial:
        yield local, serial


def written(case: Case, folder: Path) -> tuple[np.ndarray, Image]:
    """Its pixels [t, c, z, y, x], and what is opened of them."""
    pixels = random_pixels(case.shape, case.dtype)
    if case.dtype == "int64":
        pixels = pixels.astype("int32").astype("int64")
    sizes = {f"PhysicalSize{axis}": 1.0 if axis != "Z" else case.z for axis in "XYZ" if axis != "Z" or case.z}
    path = folder / ("a.tif" if case.dtype == "int64" else "a.ome.tif")
    options = {"photometric": "minisblack", **case.tiff}
    tifffile.imwrite(path, pixels, ome=case.dtype != "int64", metadata={"axes": case.axes, **sizes}, **options)
    axes = case.axes.replace("S", "C")
    pixels = pixels.transpose([axes.index(axis) for axis in "TCZYX" if axis in axes])
    pixels = np.expand_dims(pixels, [i for i, axis in enumerate("TCZYX") if axis not in axes])
    x, y, width, height = case.crop.region or (0, 0, *pixels.shape[:-3:-1])
    channels = case.crop.channels or range(pixels.shape[1])
    return pixels[:, channels, :, y : y + height, x : x + width], case.crop.of(open_images(str(path))[0])


def conversion_of(case: Case, image: Image, out: Path, engine: Engine) -> Conversion:
    chosen = Settings(**{"output_dir": out, "tile_size": 64, "min_dimension": 64, "certificate": True} | case.settings)
    return Conversion(
        image=image,
        means=Means(settings=chosen, limits=LIMITS, engine=engine, report=Report(), planner=slots_of(1 << 20, access=case.access)),
    )


def run(conversion: Conversion, target: Path) -> None:
    with Lock(target) as lock:
        conversion.run(target, lock)


@pytest.mark.parametrize("name", CASES)
def test_taken_on_the_way_or_read_again_they_are_those_of_the_pixels(name: str, engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    case = CASES[name]
    pixels, image = written(case, tmp_path)
    pixels = pixels.astype(image.stored_dtype)
    expected = [digest_of(plane) for plane in pixels.reshape(-1, 1, *pixels.shape[-2:])], digest_of(pixels)
    for number, engine in enumerate(engines):
        conversion = conversion_of(case, image, tmp_path, engine)
        run(conversion, tmp_path / f"{number}.ome.zarr")
        assert conversion.taken is not None
        lacking = [conversion.taken.source.lacks(block) for block in Region((0, 0, 0, 0, 0), image.source_shape).cut((1, 1, 1, 256, 256))]
        assert {"all": not any(lacking), "none": all(lacking), "some": any(lacking) and not all(lacking)}[case.taken]
        for of_level, stored in zip(conversion.taken.levels, levels(tmp_path / f"{number}.ome.zarr"), strict=True):
            assert of_level.complete == (conversion.means.settings.tile_size == 256 or max(stored.shape[-2:]) <= 64)
            assert not of_level.complete or of_level.image() == digest_of(stored)
        for taken in (conversion.taken.source, None):
            found = source_digests(image, conversion.means, taken)
            assert ([hashlib.sha256(bytes.fromhex(plane)).hexdigest() for plane in found["planes"]], found["sha256"]) == expected
            assert tuple(found["shape"].values()) == pixels.shape


def test_what_an_earlier_run_has_made_is_read_again(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    case = Case((2, 2200, 2100), "CYX", settings={"tile_size": 256, "min_dimension": 256})
    pixels, image = written(case, tmp_path)
    conversion = conversion_of(case, image, tmp_path, Few(engines[1], 1))
    with pytest.raises(OutOfTimeError):
        run(conversion, tmp_path / "a.ome.zarr")
    conversion = conversion_of(case, image, tmp_path, engines[0])
    run(conversion, tmp_path / "a.ome.zarr")
    assert conversion.taken is not None
    lacking = [conversion.taken.source.lacks(block) for block in Region((0, 0, 0, 0, 0), image.source_shape).cut((1, 1, 1, 256, 256))]
    assert any(lacking) and not all(lacking)
    assert not conversion.taken.levels[0].complete and conversion.taken.levels[-1].complete
    assert source_digests(image, conversion.means, conversion.taken.source)["sha256"] == digest_of(pixels)


def test_without_a_certificate_none_are_taken(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    case = Case((700, 600), "YX", settings={"certificate": False})
    conversion = conversion_of(case, written(case, tmp_path)[1], tmp_path, engines[1])
    run(conversion, tmp_path / "a.ome.zarr")
    assert conversion.taken is None
