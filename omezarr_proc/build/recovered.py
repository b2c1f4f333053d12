"""The settings that shape a dataset, read back from the dataset itself. Pure.

Nothing is kept for that: sizes, factors, chunks, axes, method and format say it, and notes where it is of a part of an image, or a stored
level was taken as base level.
A source whose planes or segments are missing or damaged has been taken as it is, or there would be no dataset.
"""

import re
from dataclasses import replace
from typing import Any, Literal

from omezarr_proc.build.dataset import pyramid_of
from omezarr_proc.config.rules import INDICES
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.crop import Crop
from omezarr_proc.model.errors import InputError
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Level, Pyramid
from omezarr_proc.model.region import AXES, ceil_div
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.store.arrays import OME_XML
from omezarr_proc.store.read import Dataset, first_multiscale
from omezarr_proc.store.zarr_array import Array

_TAKEN = "is taken as base level (USE_EXISTING_RESOLUTIONS)"
_PART = re.compile(r"only columns (\d+) to (\d+), rows (\d+) to (\d+), channels ([\d,-]+), z ([\d,-]+), t ([\d,-]+)")
_FACTORS = tuple(1 << n for n in range(13))  # what INITIAL_DOWNSAMPLE can be
_TILES = tuple(1 << n for n in range(6, 13))  # what TILE_SIZE can be


def stored_level_taken(dataset: Dataset) -> bool:
    """Whether its base level is one that the source holds beside full resolution."""
    return any(_TAKEN in note for note in _notes(dataset))


def crop_of(dataset: Dataset) -> Crop:
    """The part of the source's image that it is of. Raises InputError where it says that it is one, and not which."""
    found = next(filter(None, map(_PART.fullmatch, _notes(dataset))), None)
    if found is None:
        if "origin" in (dataset.own or {}):
            raise InputError("is of a part of an image, and the note that says of which part is missing")
        return Crop()
    x0, x1, y0, y1 = (int(number) for number in found.groups()[:4])
    channels, z, t = (INDICES.parse(text) for text in found.groups()[4:])
    return Crop(region=(x0, y0, x1 - x0 + 1, y1 - y0 + 1), channels=channels, z=z, t=t)


def in_srgb(dataset: Dataset) -> bool:
    """Whether its colours were converted by the source's profile."""
    return (dataset.own or {}).get("color") == {"space": "sRGB"}


def _notes(dataset: Dataset) -> list[str]:
    notes = (dataset.own or {}).get("notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def factors(dataset: Dataset, level: int) -> dict[str, float]:
    """Full-resolution pixels that a pixel of a level spans along each axis, as its scale and translation say; empty where they do not."""
    entries = first_multiscale(dataset.ome).get("datasets")
    match entries[level] if isinstance(entries, list) and level < len(entries) else None:
        case {"coordinateTransformations": [{"type": "scale", "scale": [*scale]}, {"type": "translation", "translation": [*shift]}]}:
            try:
                return {name: a / (a - 2 * b) for name, a, b in zip(dataset.axes, scale, shift, strict=True)}
            except (TypeError, ValueError, ZeroDivisionError):
                return {}
    return {}


def base_factor(dataset: Dataset) -> int | None:
    """INITIAL_DOWNSAMPLE as scale and translation of the base level say it; None where they say none that there is."""
    return next((n for n in _FACTORS if abs(factors(dataset, 0).get("x", 0) - n) < 1e-6 * n), None)


def settings_of(dataset: Dataset, image: Image) -> Settings:
    """Settings that make a dataset of the image that has these arrays, as far as there are any; what shapes no pixels is left as it is."""
    base, names = dataset.arrays[0], dataset.axes
    size, tile = (dict(zip(names, values, strict=True)) for values in (base.shape, base.tiles))
    stated: Any = first_multiscale(dataset.ome).get("type")
    method: Any = stated if isinstance(stated, str) and stated in REDUCTIONS else "mean"
    settings = Settings(
        initial_downsample=image.reduced_by if image.reduced_by > 1 else base_factor(dataset) or _fitting(image, size),
        tile_size=min(_TILES, key=lambda n: abs(n - tile.get("y", 1))),
        z_chunk=min(1024, tile.get("z", 1)),
        max_levels=len(dataset.arrays),
        min_dimension=1,
        channel_chunking="bundled" if 1 < size.get("c", 1) == tile.get("c", 1) else "per-channel",
        downsample_method=method,
        ome_xml="keep" if dataset.objects.exists(OME_XML) else "drop",
        axes="czyx" if "z" in names else "auto",
        zarr_format="3" if dataset.zarr_format == 3 else "2",
        ngff_version="0.6" if dataset.ome.get("version") == "0.6" else "0.5",
        use_existing_resolutions=stored_level_taken(dataset),
        on_missing="fill",
        on_corrupt="warn",
    )
    ways: tuple[Literal["auto", "none", "isotropic"], ...] = ("auto", "none", "isotropic")
    candidates = [replace(settings, z_downsample=way) for way in ways]
    return max(candidates, key=lambda candidate: _agreement(dataset, pyramid_of(image, candidate)))


def as_stored(pyramid: Pyramid, dataset: Dataset) -> Pyramid:
    """The same pyramid with the objects that its chunks are stored in, which are shards where the dataset has them."""
    levels = (_with_objects(level, array, dataset.axes) for level, array in zip(pyramid.levels, dataset.arrays, strict=True))
    return replace(pyramid, levels=tuple(levels))


def _with_objects(level: Level, array: Array, names: tuple[str, ...]) -> Level:
    of_array = dict(zip(names, array.chunks, strict=True))
    t, c, z, y, x = (replace(axis, object=of_array.get(name, 1)) for name, axis in zip(AXES, level.axes, strict=True))
    return Level(level.index, (t, c, z, y, x))


def _fitting(image: Image, size: dict[str, int]) -> int:
    """The factor that gives these sizes; 1 where none does."""
    sizes = size.get("y"), size.get("x")
    return next((n for n in _FACTORS if sizes == (ceil_div(image.height, n), ceil_div(image.width, n))), 1)


def _agreement(dataset: Dataset, pyramid: Pyramid) -> tuple[int, int]:
    """How many levels have the sizes, and how many the factors of z, that a pyramid has."""
    sizes = found = 0
    for level, array in zip(pyramid.levels, dataset.arrays, strict=False):
        by_name = dict(zip(AXES, zip(level.shape, level.factor, strict=True), strict=True))
        sizes += all(by_name.get(name, (1, 1))[0] == size for name, size in zip(dataset.axes, array.shape, strict=True))
        found += abs(factors(dataset, level.index).get("z", 1) - by_name["z"][1]) < 1e-6
    return sizes, found
