"""TIFFs opened to be looked at as they are: each image or plate is a live dataset, called like its file."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

from omezarr_proc.app.inputs import Input, check_file
from omezarr_proc.app.opening import typed
from omezarr_proc.app.standard import say
from omezarr_proc.build.live.dataset import Live
from omezarr_proc.build.live.levels import grouped
from omezarr_proc.build.live.plate import LivePlate
from omezarr_proc.build.live.workshop import Workshop
from omezarr_proc.host.limits import Limits, read_limits
from omezarr_proc.model.address import real
from omezarr_proc.model.errors import ProcError, UnsupportedInputError
from omezarr_proc.model.image import Image
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.file.budget import Budget


def open_live(inputs: Sequence[Input], limits: Limits | None = None, workshop: Workshop | None = None) -> dict[str, Live | LivePlate]:
    """The images of TIFFs by name: that of the file, with `/series1` or `/plate0` behind it where it has several. A plate is one.

    What is refused is told in a line each. Members of a set are one input, the first of them. No pixels are read.
    """
    limits, workshop = limits or read_limits(), workshop or Workshop()
    found: dict[str, Live | LivePlate] = {}
    members: set[str] = set()
    taken: set[str] = set()
    for entry in inputs:
        if real(entry.path) in members:
            continue
        try:
            with typed(entry.path):
                images, refused = _images(entry, limits)
                members |= {real(file) for image, _ in images for file in image.files}
                name = _free(entry.relative, taken)
                taken.add(name)
                found |= _datasets(name, images, limits, workshop)
            for left_out in refused:
                say(f"{left_out}\n")
        except ProcError as error:
            say(f"{error}\n")
    return found


def _datasets(name: str, images: Sequence[tuple[Image, list[Image]]], limits: Limits, workshop: Workshop) -> dict[str, Live | LivePlate]:
    """The images of one file by name, those that are on a plate as one. Raises ProcError."""
    plates: dict[int, list[Image]] = {}
    for image, _ in images:
        if image.field is not None:
            plates.setdefault(image.field.plate.number, []).append(image)
    stored = {image.series: levels for image, levels in images}
    alone = [image for image, _ in images if image.field is None]
    several = len(plates) + len(alone) > 1
    found: dict[str, Live | LivePlate] = {}
    for number, fields in plates.items():
        found[f"{name}/plate{number}" if several else name] = LivePlate(fields, stored, limits, workshop)
    for image in alone:
        found[f"{name}/series{image.series}" if several else name] = Live(image, stored[image.series], limits, workshop)
    return found


def _images(entry: Input, limits: Limits) -> tuple[list[tuple[Image, list[Image]]], list[UnsupportedInputError]]:
    """Each image with its stored levels, and the errors of those that are not supported."""
    check_file(entry.path)
    refused: list[UnsupportedInputError] = []
    budget = Budget.within(limits, source=str(entry.path))
    images = open_images(str(entry.path), on_missing="fill", budget=budget, refused=refused, levels=True)
    return list(grouped(images)), refused


def _free(relative: Path, taken: set[str]) -> str:
    """A name that no other has: two files of different folders can be called alike."""
    name = relative.as_posix()
    return name if name not in taken else next(one for n in count(2) if (one := f"{name} ({n})") not in taken)
