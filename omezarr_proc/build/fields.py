"""The fields of a plate: the path of each in it, what the log should say of them, how many objects they become. Pure."""

from collections.abc import Sequence
from itertools import groupby

from omezarr_proc.build.dataset import documents, object_count, pyramid_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.image import Image
from omezarr_proc.model.plate import Field


def field_of(image: Image) -> Field:
    """The place of an image that is on a plate."""
    assert image.field is not None
    return image.field


def by_path(images: Sequence[Image]) -> dict[str, Image]:
    """Each field by its path in the plate, `B/3/0`: row by row, well by well, the fields of a well counted from 0."""
    in_order = sorted(images, key=lambda image: (field_of(image).row, field_of(image).column, field_of(image).order, image.series))
    wells = groupby(in_order, key=lambda image: field_of(image).well)
    return {f"{well}/{index}": image for well, of_well in wells for index, image in enumerate(of_well)}


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
