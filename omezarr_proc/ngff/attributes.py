"""The metadata of a dataset as plain data: NGFF `multiscales` and `omero`, and the root attributes that hold both of their forms.

Rules: https://ngff.openmicroscopy.org/0.4/ and https://ngff.openmicroscopy.org/0.5/. Newer readers look for version 0.5 (or 0.6, see
`versions`) inside the attribute `ome`, Neuroglancer and the Pennsieve viewers for version 0.4 beside it; the two say the same.
Everything is a function of the image, the settings and the finished pixels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from pathlib import PurePath
from typing import Any, Literal

from omezarr_proc import __version__
from omezarr_proc.model.image import Channel, Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Z
from omezarr_proc.model.text import shown
from omezarr_proc.ngff.colors import RGB, channel_colors, is_rgb_picture
from omezarr_proc.ngff.versions import in_version
from omezarr_proc.ngff.windows import Window

Json = dict[str, Any]

# Viv and Vizarr draw at most six channels at once, and more on top of each other tell nobody anything. The others are one click away.
MAX_ACTIVE = 6


def multiscales(image: Image, pyramid: Pyramid, method: str) -> Json:
    """The one entry of `multiscales`, without its version.

    Each level has first a scale, then the translation to the middle of the box of full-resolution pixels that its first pixel stands for,
    counted from the begin of the image of which this one is a part.
    Where the file states no extent of an axis, the unit is left out and the scale counts full-resolution pixels, planes or time points.
    """
    return {
        "name": image_name(image),
        "type": method,
        "metadata": {
            "description": _description(image, pyramid, method),
            "method": "omezarr_proc",
            "version": __version__,
        },
        "axes": [_axis(image, name) for name in pyramid.names],
        "datasets": [
            _dataset(image, level.index, dict(zip(pyramid.names, pyramid.stored(level.factor), strict=True))) for level in pyramid.levels
        ],
    }


def omero(image: Image, windows: Sequence[Window], bundled: bool, planes: int | None = None) -> Json:
    """The rendering block, without its version: every channel's label, colour and window.

    windows  one per channel
    bundled  whether a stored chunk holds all channels: only then does an RGB picture get the model "color", which viewers draw as one layer
    planes   of level 0 along z, whose middle one is shown first; None: all of the image's
    """
    labels, colors = channel_labels(image), channel_colors(image)
    active = range(len(RGB) if is_rgb_picture(image) else MAX_ACTIVE)
    channels = [
        {
            "label": label,
            "color": color,
            "active": index in active,
            "coefficient": 1,
            "family": "linear",
            "inverted": False,
            "window": {"min": window.min, "max": window.max, "start": window.start, "end": window.end},
        }
        for index, (label, color, window) in enumerate(zip(labels, colors, windows, strict=True))
    ]
    rdefs: Json = {"defaultT": 0, "defaultZ": (planes or image.size_z) // 2}
    if image.rgb and bundled:
        rdefs["model"] = "color"
    return {"id": 1, "name": image_name(image), "channels": channels, "rdefs": rdefs}


def root_attributes(
    multiscale: Json, rendering: Json, own: Mapping[str, Any], zarr_format: Literal[2, 3] = 3, version: str = "0.5"
) -> Json:
    """The root group's attributes: the metadata, and our own block `own` (the dataset's key) under `omezarr_proc`.

    Zarr v3 has both forms of the metadata, the newer one in `version` (0.5 or 0.6); for Zarr v2 these are not defined, so that has the form
    of 0.4 alone.
    """
    both: Json = {"ome": {"version": "0.5", "multiscales": [multiscale], "omero": rendering}} if zarr_format == 3 else {}
    made = {
        "multiscales": [{"version": "0.4", **multiscale}],
        "omero": {"version": "0.4", **rendering},
        **both,
        "omezarr_proc": dict(own),
    }
    return made if version == "0.5" else in_version(made, version)


def image_name(image: Image) -> str:
    """The image's name, that of its file where it has none."""
    return image.name.strip() or shown(PurePath(image.source).name)


def channel_labels(image: Image) -> tuple[str, ...]:
    """The name of each channel from the file, else R, G, B, else "Channel 0" and so on; no two are alike.

    One OME channel of three samples names each of them, as Bio-Formats has it: each gets its letter behind it. Other equal names get the
    channel's number.
    """
    names = [(c.name or "").strip() for c in image.channels[: image.size_c]]
    names += [""] * (image.size_c - len(names))
    own = [str(index) for index in range(image.size_c)]
    if is_rgb_picture(image):
        own[: len(RGB)] = "RGB"
    labels = [name or (letter if letter in "RGB" else f"Channel {letter}") for name, letter in zip(names, own, strict=True)]
    while len(number := Counter(labels)) < len(labels):  # again where a name made so is another channel's already
        labels = [f"{label} {letter}" if number[label] > 1 else label for label, letter in zip(labels, own, strict=True)]
    return tuple(labels)


def as_shown(image: Image) -> Image:
    """The image with the names and colours of its channels as viewers get them, also those that the file does not state."""
    shown_as = zip(channel_labels(image), channel_colors(image), strict=True)
    return replace(image, channels=tuple(Channel(name=name, color=color) for name, color in shown_as))


def window_owners(image: Image) -> tuple[int, ...]:
    """For each channel the one whose window it has: red, green and blue of a picture share one, else its colours would shift."""
    shared = len(RGB) if is_rgb_picture(image) else 0
    return tuple(0 if channel < shared else channel for channel in range(image.size_c))


def fixed_windows(image: Image) -> tuple[Window, ...] | None:
    """The windows that are known without looking at pixels: the whole range for 8-bit RGB; None where they must be measured."""
    return (Window(0.0, 255.0, 0.0, 255.0),) * image.size_c if image.rgb and image.stored_dtype == "uint8" else None


def _description(image: Image, pyramid: Pyramid, method: str) -> str:
    levels = pyramid.levels
    _, _, *base = levels[0].factor
    first = f"base level {_box(base)} {method} of full resolution, then " if max(base) > 1 else ""
    boxes = [_box(pyramid.ratio(level.index - 1, level.index)[Z:]) for level in levels[1:]] or ["2x2"]
    then = ", then ".join(box for box, _ in groupby(boxes))
    converted = f"; {image.dtype} stored as {image.stored_dtype}" if image.dtype != image.stored_dtype else ""
    return f"{first}{then} {method}{converted}"


def _box(sides: Sequence[int]) -> str:
    """Pixels along z, y and x, or y and x where it is one plane."""
    return "x".join(map(str, sides[sides[0] == 1 :]))


def _axis(image: Image, name: str) -> Json:
    kind = {"t": "time", "c": "channel"}.get(name, "space")
    size = image.sizes.get(name)
    return {"name": name, "type": kind} | ({"unit": size.unit} if size else {})


def _dataset(image: Image, index: int, factors: Mapping[str, int]) -> Json:
    # Fractions of the number as it is written: 1.5 steps of 0.325 are 0.4875, not 0.48750000000000004.
    steps = {name: Fraction(str(image.sizes[name].value)) if name in image.sizes else Fraction(1) for name in factors}
    scale = [float(steps[name] * factor) for name, factor in factors.items()]
    begin = {name: image.origin.get(name, 0) for name in factors}
    translation = [float(steps[name] * (begin[name] + Fraction(factor - 1, 2))) for name, factor in factors.items()]
    return {
        "path": str(index),
        "coordinateTransformations": [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}],
    }
