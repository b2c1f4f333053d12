"""Small datasets for the page of the viewer, made by zarr-python alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc

COLORS = ["FF0000", "00FF00", "0000FF", "FFFF00", "FF00FF", "00FFFF"]
DEFAULT: Any = object()


def write(
    folder: Path,
    name: str,
    pixels: np.ndarray,
    axes: str,
    windows: list[tuple[float, float]],
    zarr_format: Any = 3,
    sizes: Sequence[tuple[float, str | None]] = ((1.0, None), (1.0, None)),
    *,
    codec: Any = DEFAULT,
    shards: tuple[int, ...] | None = None,
    depth: int = 1,
    version: str = "0.4",
) -> None:
    """A dataset of two levels (the second by leaving out pixels); `sizes`: of a pixel in the last axes; `depth`: planes of a chunk."""
    channels = [
        {"label": f"C{i}", "color": COLORS[i % 6], "active": i < 10, "window": {"min": a, "max": b, "start": a, "end": b}}
        for i, (a, b) in enumerate(windows)
    ]
    group = zarr.open_group(folder / name, mode="w", zarr_format=zarr_format)
    image = multiscales(axes, sizes, version)
    omero = {"channels": channels, "rdefs": {"defaultZ": 0}}
    if version >= "0.5":
        group.attrs["ome"] = {"version": version, "multiscales": [image], "omero": omero}
    else:
        group.attrs.update({"multiscales": [image], "omero": omero})
    chunks = (1,) * (len(axes) - 3) + (depth, 64, 64)
    for k in (0, 1):
        level = pixels[..., :: 2**k, :: 2**k]
        how: dict[str, Any] = {"compressors": Blosc() if codec is DEFAULT else codec}
        if zarr_format == 2:
            how |= {"chunk_key_encoding": {"name": "v2", "separator": "." if version == "0.1" else "/"}}
        else:
            how |= {"compressors": zarr.codecs.BloscCodec() if codec is DEFAULT else codec, "dimension_names": list(axes)}
        array = group.create_array(str(k), shape=level.shape, dtype=level.dtype, chunks=chunks, shards=shards, **how)
        array[...] = level


def multiscales(axes: str, sizes: Sequence[tuple[float, str | None]], version: str) -> dict[str, Any]:
    """The metadata of two levels as this version of NGFF has it."""
    if version < "0.4":  # no scales; before 0.3 no axes either
        return {"version": version, "datasets": [{"path": "0"}, {"path": "1"}], **({"axes": list(axes)} if version == "0.3" else {})}
    units = [{}] * (len(axes) - len(sizes)) + [{"unit": unit} if unit else {} for _, unit in sizes]
    named = [{"name": axis} | unit for axis, unit in zip(axes, units, strict=True)]
    datasets = []
    for k in (0, 1):
        factors = [1.0] * (len(axes) - 2) + [2.0**k] * 2
        scale = [
            factor * size for factor, size in zip(factors, [1.0] * (len(axes) - len(sizes)) + [size for size, _ in sizes], strict=True)
        ]
        step: dict[str, Any] = {"type": "scale", "scale": scale}
        if version >= "0.6":
            step = {"type": "sequence", "input": str(k), "output": "physical", "transformations": [step]}
        datasets.append({"path": str(k), "coordinateTransformations": [step]})
    if version >= "0.6":
        return {"coordinateSystems": [{"name": "physical", "axes": named}], "datasets": datasets}
    return {"axes": named, "datasets": datasets, "version": version}


def write_labels(dataset: Path, name: str, labels: np.ndarray) -> None:
    """Label images (y, x) of a dataset in Zarr v3, two levels."""
    zarr.open_group(dataset / "labels", mode="w", zarr_format=3).attrs["ome"] = {"version": "0.5", "labels": [name]}
    group = zarr.open_group(dataset / "labels" / name, mode="w", zarr_format=3)
    image = multiscales("yx", ((1.0, None), (1.0, None)), "0.5")
    group.attrs["ome"] = {"version": "0.5", "multiscales": [image], "image-label": {"version": "0.5"}}
    for k in (0, 1):
        level = labels[:: 2**k, :: 2**k]
        group.create_array(str(k), shape=level.shape, dtype=level.dtype, chunks=(64, 64))[...] = level


def cells() -> np.ndarray:
    """Labels (150, 200): squares of 25 pixels, each with its number, every second one empty."""
    y, x = np.mgrid[:150, :200] // 25
    return np.where((x + y) % 2 == 0, y * 8 + x + 1, 0).astype(np.uint32)


def volume() -> np.ndarray:
    """(2, 40, 130, 150) as (c, z, y, x)."""
    z, y, x = np.mgrid[:40, :130, :150]
    return np.stack([(x + 3 * z) % 200, (y * 2 + 5 * z) % 230]).astype(np.uint16)
