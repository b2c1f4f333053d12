"""read_with_zarr.py DATASET: the levels of a dataset, how large a pixel is, and the first channel at a size that fits the screen."""

import sys
from typing import Any

import zarr

SCREEN = 1000  # pixels


def main(path: str) -> None:
    """Print what there is."""
    group = zarr.open_group(path, mode="r")
    multiscale: dict[str, Any] = group.attrs["multiscales"][0]  # type: ignore[index,assignment,call-overload]
    axes = [axis["name"] for axis in multiscale["axes"]]
    for entry in multiscale["datasets"]:
        scale = entry["coordinateTransformations"][0]["scale"]
        shape = group[entry["path"]].shape
        print(f"level {entry['path']}: {dict(zip(axes, shape, strict=True))}, a pixel is {dict(zip(axes, scale, strict=True))}")

    arrays = [group[entry["path"]] for entry in multiscale["datasets"]]
    level = next((array for array in arrays if max(array.shape[-2:]) <= SCREEN), arrays[-1])  # only this is read
    first = {"t": 0, "c": 0, "z": level.shape[axes.index("z")] // 2 if "z" in axes else 0}
    plane = level[tuple(first.get(axis, slice(None)) for axis in axes)]
    print(f"the first channel in {plane.shape[0]} x {plane.shape[1]} pixels: {plane.min()} to {plane.max()}, mean {plane.mean():.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
