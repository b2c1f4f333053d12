"""Whether the extremes that the omero windows state are those of the pixels of level 0."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.check.finding import Finding, is_number
from omezarr_proc.check.viewers import DARK, shows_nothing
from omezarr_proc.pixels.histogram import Extremes, extremes, merge_extremes
from omezarr_proc.store.read import Dataset
from omezarr_proc.store.zarr_array import Array

ChannelExtremes = dict[int, Extremes | None]  # by channel; None where no value is finite

_BYTES = (0.0, 255.0)


def chunk_extremes(axes: Sequence[str], array: Array, index: tuple[int, ...], pixels: NDArray[Any]) -> ChannelExtremes:
    """The finite extremes of each channel in chunk `index`, of which `pixels` are those that belong to the image."""
    if "c" not in axes:
        return {0: extremes(pixels)}
    axis = axes.index("c")
    first = index[axis] * array.chunks[axis]
    return {first + i: extremes(plane) for i, plane in enumerate(np.moveaxis(pixels, axis, 0))}


def merged(a: ChannelExtremes, b: ChannelExtremes) -> ChannelExtremes:
    """The extremes of the pixels of both."""
    return a | {channel: merge_extremes(a.get(channel), found) for channel, found in b.items()}


def check_windows(dataset: Dataset, seen: ChannelExtremes, *, every_chunk: bool) -> Iterator[Finding]:
    """Hold what the windows state against what chunks of level 0 hold together.

    every_chunk  `seen` is of all chunks: then the extremes must be equal, else none of theirs may lie outside
    """
    may_be_rgb = dataset.arrays[0].dtype == "uint8" and len(seen) >= 3
    form = "omero" if dataset.ome is dataset.attributes else "ome.omero"
    stated = [_stated(dataset.ome, channel) for channel in range(3)]
    colours = merged(merged({0: seen.get(0)}, {0: seen.get(1)}), {0: seen.get(2)})[0] if len(set(stated)) == 1 else None
    for channel, found in seen.items():
        window = _stated(dataset.ome, channel)
        found = colours if channel < 3 and colours else found  # red, green and blue of a picture share one window
        if window is None or (may_be_rgb and window == _BYTES):
            continue  # `check_omero` has told of it; 8-bit RGB is shown as it is
        low, high = found or (0.0, 1.0)
        where = f"{form}.channels[{channel}].window"
        if (low, high) != window if every_chunk else found and (low < window[0] or high > window[1]):
            problem = f"from {window[0]} to {window[1]}, pixels from {low} to {high}"
            yield Finding("viewers", where, problem, "min and max are the finite extremes of level 0")
        shown = _stated(dataset.ome, channel, "start", "end")
        if shown and every_chunk and shows_nothing(low, high, *shown) and not shows_nothing(*window, *shown):
            problem = f"shows {shown[0]} to {shown[1]}, pixels from {low} to {high}"
            yield Finding("viewers", where, problem, DARK, "set start and end to percentiles of the pixels")


def _stated(ome: dict[str, Any], channel: int, first: str = "min", last: str = "max") -> Extremes | None:
    """Two numbers of a channel's window, None where they are not there."""
    match ome.get("omero"):
        case {"channels": list(channels)} if channel < len(channels):
            match channels[channel]:
                case {"window": dict(window)} if is_number(window.get(first)) and is_number(window.get(last)):
                    return float(window[first]), float(window[last])
    return None
