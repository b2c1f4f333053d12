"""in_napari.py DATASET: shows a dataset in napari, each channel with its name, colour, contrast and scale."""

import sys
from typing import Any

import dask.array
import napari
import zarr


def main(path: str) -> None:
    """Add a layer for each channel, then wait until the window is closed."""
    group = zarr.open_group(path, mode="r")
    attributes: dict[str, Any] = dict(group.attrs)
    multiscale, channels = attributes["multiscales"][0], attributes["omero"]["channels"]
    axes = [axis["name"] for axis in multiscale["axes"]]
    scale = multiscale["datasets"][0]["coordinateTransformations"][0]["scale"]
    channel_axis = axes.index("c")
    del scale[channel_axis]
    viewer = napari.Viewer()
    viewer.add_image(
        [dask.array.from_zarr(group[entry["path"]]) for entry in multiscale["datasets"]],
        multiscale=True,
        channel_axis=channel_axis,
        scale=scale,
        name=[channel["label"] for channel in channels],
        colormap=[f"#{channel['color']}" for channel in channels],
        contrast_limits=[(channel["window"]["start"], channel["window"]["end"]) for channel in channels],
        visible=[channel["active"] for channel in channels],
    )
    viewer.scale_bar.visible = True
    viewer.scale_bar.unit = multiscale["axes"][-1].get("unit")
    napari.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
