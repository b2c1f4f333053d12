"""What the spacing of an image's planes says of its pyramid: which levels halve z, and how many planes a chunk holds. Pure."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal

from omezarr_proc.model.image import Image
from omezarr_proc.model.region import ceil_div

ZDownsample = Literal["auto", "isotropic", "none"]
ZChunk = Literal["auto"] | int

# A level halves z where that leaves z at most so many times as coarse as y and x: farther from a cube it would be than without.
_MOST_COARSE = Fraction(3, 2)
# Volumes that are looked at from all sides have so many planes at least, whose spacing is at most so many times that in the plane.
_VOLUME_PLANES = 64
_VOLUME_SPACING = 2
_VOLUME_CHUNK = 16

# Metres of the units that files state (UDUNITS-2 names, as NGFF has them); light years and the like are stated as metres.
_PREFIXES = {"yotta": 24, "zetta": 21, "exa": 18, "peta": 15, "tera": 12, "giga": 9, "mega": 6, "kilo": 3, "hecto": 2, "": 0, "deci": -1,
             "centi": -2, "milli": -3, "micro": -6, "nano": -9, "pico": -12, "femto": -15, "atto": -18, "zepto": -21,
             "yocto": -24}  # fmt: skip
_METRES = {f"{prefix}meter": Fraction(10) ** power for prefix, power in _PREFIXES.items()}
_METRES |= {"angstrom": Fraction(1, 10**10), "inch": Fraction(254, 10**4), "foot": Fraction(3048, 10**4), "yard": Fraction(9144, 10**4),
            "mile": Fraction(1609344, 1000), "parsec": Fraction(30856775814913673)}  # fmt: skip


def anisotropy(image: Image) -> Fraction | None:
    """How many times as far apart as the pixels of a plane (along y or x, whichever are closer) its planes are; None where not stated."""
    metres = []
    for axis in "zyx":
        size = image.sizes.get(axis)
        if size is None or size.unit not in _METRES:
            return None
        metres.append(Fraction(str(size.value)) * _METRES[size.unit])
    z, y, x = metres
    return z / min(y, x)


def z_factors(image: Image, z_downsample: ZDownsample) -> Iterator[int]:
    """The factor of z where that of y and x is 1, 2, 4 and so on, without end. An axis that has come down to one plane stays as it is.

    auto       z is halved where its spacing is then at most 1.5 times the smaller one of y and x; never where the file states no sizes
    isotropic  z is halved with y and x
    none       z is never halved
    """
    ratio = {"isotropic": Fraction(1), "none": None, "auto": anisotropy(image)}[z_downsample]
    plane, z = 1, 1
    while True:
        yield z
        if ratio is not None and ratio * z <= _MOST_COARSE * plane and ceil_div(image.size_z, z) > 1:
            z *= 2
        plane *= 2


def chunk_depth(image: Image, z_chunk: ZChunk, size_z: int) -> int:
    """Planes of a chunk where the base level has `size_z`: never more than that."""
    if z_chunk == "auto":
        ratio = anisotropy(image)
        near = image.size_z >= _VOLUME_PLANES and ratio is not None and ratio <= _VOLUME_SPACING
        z_chunk = _VOLUME_CHUNK if near else 1
    return min(z_chunk, size_z)
