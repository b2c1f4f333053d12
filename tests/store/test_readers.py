"""Datasets read by programs of others that need much to be installed: pip install '.[readers]', else these skip."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from datasets import IMAGES, made, pixels

FORMATS = (3, 2)
# GDAL has a Blosc of its own; in a process of its own it meets no other
GDAL = """
import sys, numpy, rasterio
name, level, target = sys.argv[1:]
with rasterio.open(f'ZARR:"{name}":/{level}') as found:
    numpy.save(target, found.read())
"""


def levels(dataset: Path) -> list[str]:
    return sorted(path.name for path in dataset.iterdir() if path.name.isdigit())


def stored(dataset: Path, level: str) -> np.ndarray:
    found: Any = zarr.open_array(dataset / level, mode="r")[...]
    return np.asarray(found)


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("name", IMAGES)
def test_gdal_reads_every_pixel(name: str, zarr_format: int, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="GDAL is not installed: pip install '.[readers]'")
    if zarr_format == 3 and tuple(map(int, re.findall(r"\d+", rasterio.__gdal_version__)[:2])) < (3, 12):
        pytest.skip("GDAL before 3.12 reads no Blosc in Zarr v3")
    dataset = made(name, zarr_format)
    for level in levels(dataset):
        target = tmp_path / f"{level}.npy"
        words = [sys.executable, "-W", "ignore", "-c", GDAL, str(dataset), level, str(target)]
        subprocess.run(words, check=True, timeout=120, env=os.environ)
        wanted = stored(dataset, level)
        np.testing.assert_array_equal(np.load(target), wanted.reshape(-1, *wanted.shape[-2:]))


@pytest.mark.parametrize("flags", [(), ("--sharding", "on")], ids=["chunks", "shards"])
@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("name", IMAGES)
def test_ngio_reads_pixels_sizes_and_channels(name: str, zarr_format: int, flags: tuple[str, ...]) -> None:
    ngio = pytest.importorskip("ngio", reason="ngio is not installed: pip install '.[readers]'")
    if flags and zarr_format == 2:
        pytest.skip("Zarr v2 has no shards")
    dataset = made(name, zarr_format, *flags)
    container = ngio.open_ome_zarr_container(dataset, mode="r")
    assert container.level_paths == levels(dataset)
    for level in container.level_paths:
        image = container.get_image(path=level)
        np.testing.assert_array_equal(image.get_as_numpy(), stored(dataset, level))
        factor = 2 ** (int(level) + 1)  # of a base level that is half as large
        assert (image.pixel_size.y, image.pixel_size.x) == pytest.approx((0.325 * factor, 0.325 * factor))
    axes = IMAGES[name][2].replace("S", "C")
    count = pixels(name).shape[axes.index("C")] if "C" in axes else 1
    assert len(set(container.channel_labels)) == count
