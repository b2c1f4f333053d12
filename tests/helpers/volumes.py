"""Volumes: files of them, and what their levels must be."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import methods
import numpy as np
import tifffile
from conversion import random_pixels


def write_volume(path: Path, shape: Sequence[int], dtype: str = "uint16", z: float = 1.0, **options: Any) -> np.ndarray:
    """An OME-TIFF [t, c, z, y, x] of random pixels, 1 micrometre in y and x and `z` in z. Returns the pixels."""
    pixels = random_pixels(tuple(shape), dtype)
    sizes = {f"PhysicalSize{axis}": value for axis, value in (("X", 1.0), ("Y", 1.0), ("Z", z))}
    units = {f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"}
    options = {"photometric": "minisblack", **options}
    tifffile.imwrite(path, np.moveaxis(pixels, 1, 2), ome=True, metadata={"axes": "TZCYX", **sizes, **units}, **options)
    return pixels


def reduced(pixels: np.ndarray, box: Sequence[int], method: str = "mean") -> np.ndarray:
    """As `methods.reduced`, for means of floats in one go."""
    if pixels.dtype.kind != "f" or method != "mean":
        return methods.reduced(pixels, box, method)
    valid = ~np.isnan(pixels)
    sums, counts = np.where(valid, pixels, 0).astype(np.float64), valid.astype(np.int64)
    for axis, n in zip((-1, -2, -3), box[::-1], strict=True):
        places = np.arange(0, sums.shape[axis], n)
        sums, counts = np.add.reduceat(sums, places, axis), np.add.reduceat(counts, places, axis)
    with np.errstate(invalid="ignore"):
        return (sums / counts).astype(pixels.dtype)
