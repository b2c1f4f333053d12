"""Images of several files as one: the files of a sequence. Nothing is copied; planes stay where they are. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from omezarr_proc.model.errors import UnsupportedInputError
from omezarr_proc.model.image import Channel, Image, Layout, Plane


def joined(images: Sequence[Image | None], sizes: tuple[int, int, int], channels: Sequence[str], name: str) -> Image:
    """One image of `images`, which lie in a grid of `sizes` time points, channels and slices, in the order t, c, z; None: filled.

    channels  their names along the grid; none: as the files have them

    An image's own time points, channels and slices stay side by side. Raises UnsupportedInputError, which names the file, where two are of
    different size or type.
    """
    first = next(image for image in images if image is not None)
    for image in images:
        if image is not None and _kind(image) != _kind(first):
            raise UnsupportedInputError(
                f"is {_said(image)}, and {first.source} is {_said(first)}: the files of a sequence are alike", source=image.source
            )
    files: list[str] = []
    layouts: dict[Layout, int] = {}
    moved: list[tuple[Plane | None, ...]] = []
    groups = first.size_c // first.layouts[0].samples
    own = first.size_t, groups, first.size_z
    for image in images:
        if image is None:
            moved.append((None,) * (own[0] * own[1] * own[2]))
            continue
        numbers = [layouts.setdefault(layout, len(layouts)) for layout in image.layouts]
        moved.append(tuple(p and replace(p, file=p.file + len(files), layout=numbers[p.layout]) for p in image.planes))
        files += image.files
    order = product(range(sizes[0]), range(own[0]), range(sizes[2]), range(own[2]), range(sizes[1]), range(own[1]))
    planes = tuple(moved[(t * sizes[1] + c) * sizes[2] + z][(ti * own[2] + zi) * own[1] + ci] for t, ti, z, zi, c, ci in order)
    there = [image for image in images if image is not None]
    digest = hashlib.sha256(repr((sizes, tuple(channels), [image and image.fingerprint for image in images])).encode())
    return replace(
        first,
        files=tuple(files),
        name=name,
        size_t=sizes[0] * first.size_t,
        size_c=sizes[1] * first.size_c,
        size_z=sizes[2] * first.size_z,
        rgb=first.rgb and sizes[1] == 1,
        layouts=tuple(layouts),
        planes=planes,
        channels=_channels(images, sizes, channels, first.size_c),
        ome_xml=None,
        field=None,
        notes=(f"{len(there)} files are joined as one image (SEQUENCE)", *dict.fromkeys(note for image in there for note in image.notes)),
        fingerprint=digest.hexdigest(),
        states=tuple(dict.fromkeys(state for image in there for state in image.states)),
    )


def _kind(image: Image) -> tuple[object, ...]:
    of_planes = image.layouts[0].samples, image.dtype, image.stored_dtype, image.rgb, image.reduced_by
    return image.size_t, image.size_c, image.size_z, image.height, image.width, *of_planes


def _said(image: Image) -> str:
    more = {"time points": image.size_t, "channels": image.size_c, "slices": image.size_z}
    counts = "".join(f" of {number} {what}" for what, number in more.items() if number > 1)
    return f"{image.width} x {image.height} {image.dtype}{counts}"


def _channels(images: Sequence[Image | None], sizes: tuple[int, int, int], names: Sequence[str], each: int) -> tuple[Channel, ...]:
    """Those of the first file of each channel, with the names that the sequence gives."""
    found: list[Channel] = []
    for c in range(sizes[1]):
        of_channel = (images[(t * sizes[1] + c) * sizes[2] + z] for t in range(sizes[0]) for z in range(sizes[2]))
        image = next((image for image in of_channel if image is not None), None)
        own = image.channels if image else (Channel(),) * each
        found += [replace(channel, name=names[c]) if names else channel for channel in own]
    return tuple(found)
