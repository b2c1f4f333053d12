"""Which datasets the images of an input become, and where: one of each image, or one of all fields of a well plate."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from omezarr_proc.app.inputs import Input, dataset_path
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.address import Place
from omezarr_proc.model.image import Image


@dataclass(frozen=True)
class Planned:
    """A dataset, and what it is made of: one image, or the fields of a plate."""

    target: Place
    images: tuple[Image, ...]
    plate: bool = False

    @property
    def what(self) -> str:
        """Which of its input's images it is, in words."""
        return "a plate" if self.plate else f"image {self.images[0].series}"


def datasets(settings: Settings, entry: Input, images: Sequence[Image]) -> Iterator[Planned]:
    """The datasets of an input, the plates first. Beside a plate an image has its number in its name, also the first one."""
    plates: dict[int, list[Image]] = {}
    for image in images:
        if image.field is not None and settings.plates == "auto":
            plates.setdefault(image.field.plate.number, []).append(image)
    for number, fields in plates.items():
        yield Planned(place_of(settings, entry, f"plate{number}" if number else ""), tuple(fields), plate=True)
    placed = {image.series for fields in plates.values() for image in fields}
    for image in images:
        if image.series not in placed:
            yield Planned(place_of(settings, entry, f"series{image.series}" if image.series or plates else ""), (image,))


def place_of(settings: Settings, entry: Input, apart: str = "") -> Place:
    """Where a dataset of an input goes; `apart`: see `dataset_path`."""
    return settings.output_dir if settings.output_layout == "root" else settings.output_dir / dataset_path(entry.relative, apart)
