"""The fields of a plate: the path of each in it, its groups, what the log should say of them, how many objects they become. Pure."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import PurePath
from typing import Any, Literal

from omezarr_proc.build.dataset import documents, object_count, pyramid_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.image import Image
from omezarr_proc.model.plate import Field
from omezarr_proc.model.text import shown
from omezarr_proc.ngff.plates import acquired, plate_attributes, well_attributes

Json = dict[str, Any]


def field_of(image: Image) -> Field:
    """The place of an image that is on a plate."""
    assert image.field is not None
    return image.field


def by_path(images: Sequence[Image]) -> dict[str, Image]:
    """Each field by its path in the plate, `B/3/0`: row by row, well by well, the fields of a well counted from 0."""
    in_order = sorted(images, key=lambda image: (field_of(image).row, field_of(image).column, field_of(image).order, image.series))
    wells = groupby(in_order, key=lambda image: field_of(image).well)
    return {f"{well}/{index}": image for well, of_well in wells for index, image in enumerate(of_well)}


def plate_groups(images: Sequence[Image], own: Json, zarr_format: Literal[2, 3], version: str) -> dict[str, Json]:
    """The attributes of the groups of a plate by their paths: of each row, of each well, and last, by "", of the plate itself.

    own  our own block of the plate's attributes
    """
    fields: dict[str, list[Field]] = {}
    for image in by_path(images).values():
        fields.setdefault(field_of(image).well, []).append(field_of(image))
    every = [field for of_well in fields.values() for field in of_well]
    groups: dict[str, Json] = {row: {} for row in dict.fromkeys(well.split("/")[0] for well in fields)}
    groups |= {well: well_attributes(of_well, acquired(every), zarr_format, version) for well, of_well in fields.items()}
    return groups | {"": plate_attributes(shown(PurePath(images[0].source).name), every, own, zarr_format, version)}


def plate_notes(images: Sequence[Image]) -> list[str]:
    """What becomes of the plate, then what is to be said of its fields, each once."""
    plate, wells = field_of(images[0]).plate, {field_of(image).well for image in images}
    name = f"plate {plate.name!r}" if plate.name else "a plate"
    own = f"{name} of {len(plate.rows)} x {len(plate.columns)} wells: {len(images)} fields in {len(wells)} wells become one dataset"
    return [own, *dict.fromkeys(note for image in images for note in image.notes)]


def plate_objects(images: Sequence[Image], settings: Settings) -> int:
    """How many files the dataset of the plate will have: those of the fields, and the groups of plate, rows and wells."""
    fields = (image.alone() for image in images)
    of_fields = sum(object_count(image, pyramid_of(image, settings), settings) for image in fields)
    places = {(field_of(image).row, field_of(image).column) for image in images}
    return of_fields + documents(1 + len({row for row, _ in places}) + len(places), images[0], settings)
