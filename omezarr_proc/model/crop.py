"""A part of an image as an image of its own: a rectangle of each plane, some channels, a range of planes and of time points. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from omezarr_proc.model.errors import UnsupportedInputError
from omezarr_proc.model.image import Image, Rect
from omezarr_proc.model.indices import ranges
from omezarr_proc.model.text import counted


@dataclass(frozen=True, kw_only=True)
class Crop:
    """What is taken of each image; None: all.

    region    (x, y, width, height) in pixels of full resolution
    channels  indices, ascending; `z` and `t` likewise, without gaps
    """

    region: tuple[int, int, int, int] | None = None
    channels: Sequence[int] | None = None
    z: Sequence[int] | None = None
    t: Sequence[int] | None = None

    def of(self, image: Image) -> Image:
        """That part of an image, or the image itself where that is all of it.

        Raises UnsupportedInputError where the image has no such pixels, or stores channels interleaved that are to be parted.
        """
        samples = image.layouts[0].samples
        channels = self._indices(image, "channel", self.channels, image.size_c)
        z = self._indices(image, "z slice", self.z, image.size_z)
        t = self._indices(image, "time point", self.t, image.size_t)
        groups = list(dict.fromkeys(channel // samples for channel in channels))
        if len(groups) * samples != len(channels):
            raise UnsupportedInputError(
                f"image {image.series} stores its channels interleaved, {samples} together, so {list(channels)} cannot be taken alone",
                source=image.source,
            )
        x, y, width, height = self.region or (0, 0, image.width, image.height)
        if x + width > image.width or y + height > image.height:
            raise UnsupportedInputError(
                f"image {image.series} has {image.width} x {image.height} pixels, and the region of {width} x {height} from x={x}, y={y} on"
                " is not inside",
                source=image.source,
            )
        taken = (x, y, width, height), tuple(channels), tuple(z), tuple(t)
        if taken == ((0, 0, image.width, image.height), *(tuple(range(n)) for n in (image.size_c, image.size_z, image.size_t))):
            return image
        of_all = image.size_c // samples
        parted = " named as in the whole" if len(channels) < image.size_c else ""  # up to version 0.2.0 they were named anew
        part = f"columns {x} to {x + width - 1}, rows {y} to {y + height - 1}, channels {ranges(channels)}, z {ranges(z)}, t {ranges(t)}"
        return replace(
            image,
            size_t=len(t),
            size_c=len(channels),
            size_z=len(z),
            height=height,
            width=width,
            rgb=image.rgb and len(channels) == image.size_c,
            planes=tuple(image.planes[(a * image.size_z + b) * of_all + group] for a in t for b in z for group in groups),
            channels=tuple(image.channels[channel] for channel in channels if channel < len(image.channels)),
            ground=Rect(y, y + height, x, x + width) if (height, width) != (image.height, image.width) else None,
            origin={"t": t[0], "z": z[0], "y": y, "x": x},
            ome_xml=image.ome_xml and "",  # it describes all of the image
            notes=(*image.notes, f"only {part}"),
            fingerprint=hashlib.sha256(f"{image.fingerprint} {taken}{parted}".encode()).hexdigest(),
        )

    def _indices(self, image: Image, what: str, wanted: Sequence[int] | None, size: int) -> Sequence[int]:
        if wanted and wanted[-1] >= size:
            there = f"only {what} 0" if size == 1 else f"{counted(size, what)}, 0 to {size - 1}"
            absent = [index for index in wanted if index >= size]
            of_it = f"{what} {absent[0]} is" if len(absent) == 1 else f"{what}s {ranges(absent)} are"
            raise UnsupportedInputError(f"image {image.series} has {there}: {of_it} not there", source=image.source)
        return range(size) if wanted is None else wanted
