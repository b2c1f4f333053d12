"""Planes and what a file says of them as one Image, with the notes that the log should have."""

from dataclasses import dataclass

import numpy as np

from omezarr_proc.model.errors import UnsupportedInputError
from omezarr_proc.model.image import Channel, Image, Plane
from omezarr_proc.tiff.describe.pages import Pages
from omezarr_proc.tiff.file import tags
from omezarr_proc.tiff.file.ifd import Ifd


@dataclass(frozen=True)
class Refused:
    """An image that cannot be converted, beside others of its file that can."""

    name: str
    error: UnsupportedInputError


_STORED = {"float64": "float32", "int64": "int32", "uint64": "uint32"}


def check_number(path: str, number: int, most: int | None) -> None:
    """Raise InputError for a file of more than `most` images."""
    if most is not None and number > most:
        raise UnsupportedInputError(
            f"it has {number} images, more than the {most} that are converted unasked;"
            " set IMAGES=all for all of them, or IMAGES=0,2 for some",
            source=path,
        )


def assembled(
    path: str,
    pages: Pages,
    number: int,
    name: str,
    tcz: tuple[int, int, int],
    listed: list[Plane | None],
    first: tuple[int, Ifd],
    notes: list[str],
) -> Image:
    """An image of `tcz` time points, channels and slices, whose planes are `listed`; `first` is a page of it, (file, IFD).

    Files, layouts and fingerprint are filled in when all images are there. Raises InputError for pages that do not fit together.
    """
    kind, shown = pages.kind(*first)
    layout = pages.layouts[kind]
    for plane in listed:
        other = layout if plane is None else pages.layouts[plane.layout]
        if (other.height, other.width, other.samples, other.dtype) != (layout.height, layout.width, layout.samples, layout.dtype):
            kinds = " and ".join(f"{one.width} x {one.height} {one.dtype}" for one in (layout, other))
            raise UnsupportedInputError(
                f"image {number} has pages of different size or type ({kinds})",
                source=path,
                hint="write each kind into an image of its own",
            )
    stored = _STORED.get(layout.dtype, layout.dtype)
    if stored != layout.dtype:
        notes = [*notes, f"{layout.dtype} pixels are stored as {stored}, which every viewer can read"]
    elif shown.stored == np.float16:
        notes = [*notes, "float16 pixels are stored as float32, which every viewer can read"]
    if any(plane is not None and (plane.file, plane.ifd) in pages.sparse for plane in listed):
        notes = [*notes, "some segments have no bytes (a sparse file): their pixels are the no-data value or 0"]
    profile = None if layout.profile else pages.profile(*first)
    if layout.profile:
        notes = [*notes, "its colours are converted to sRGB by its ICC profile (relative colorimetric, black point compensation)"]
    elif profile is not None:
        convert = "; COLOR=srgb converts its colours" if shown.rgb else ""
        notes = [*notes, f"its ICC profile is kept as OME/profile.icc, and not used{convert}"]
    orientation = pages.ifds(first[0]).integer(first[1], tags.ORIENTATION, 1)
    if orientation != 1:
        notes = [*notes, f"rows and columns stay as they are stored (Orientation {orientation} is not applied)"]
    t, c, z = tcz
    return Image(
        source=path,
        files=(),
        series=number,
        name=name,
        size_t=t,
        size_c=c,
        size_z=z,
        height=layout.height,
        width=layout.width,
        dtype=layout.dtype,
        stored_dtype=stored,
        rgb=shown.rgb and c in (3, 4),
        layouts=(),
        planes=tuple(listed),
        channels=tuple(Channel() for _ in range(c)),
        profile=profile,
        notes=tuple(notes),
    )
