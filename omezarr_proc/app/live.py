"""TIFFs that are looked at as they are, each opened when it is first asked for: an image or plate of it is a live dataset."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path

from omezarr_proc.app.inputs import Input
from omezarr_proc.app.opening import typed
from omezarr_proc.app.places import check_file
from omezarr_proc.app.standard import say
from omezarr_proc.build.live.dataset import Live
from omezarr_proc.build.live.levels import grouped
from omezarr_proc.build.live.plate import LivePlate
from omezarr_proc.build.live.workshop import Workshop
from omezarr_proc.host.limits import Limits, read_limits
from omezarr_proc.model.address import Place, real
from omezarr_proc.model.errors import ProcError, UnsupportedInputError
from omezarr_proc.model.image import Image
from omezarr_proc.tiff.describe.images import open_images
from omezarr_proc.tiff.file.budget import Budget
from omezarr_proc.viewer.served import Opened, Source

MOST_OPEN = 50  # files: what is known of one can be megabytes


class LiveFiles:
    """The TIFFs by name; threads may use it at once. Of the members of a set the first stands for all, once one has been opened."""

    def __init__(self, inputs: Sequence[Input], limits: Limits | None = None, workshop: Workshop | None = None) -> None:
        """Nothing is opened yet."""
        self._limits, self._workshop = limits or read_limits(), workshop or Workshop()
        self._inputs: dict[str, Input] = {}
        for entry in inputs:
            self._inputs[_free(entry.relative, self._inputs)] = entry
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._standing_for: dict[str, str] = {}  # members of sets, by whom they are shown
        self._told: set[str] = set()
        self._one = threading.Lock()
        self._opening: dict[str, threading.Lock] = {}

    def names(self) -> list[str]:
        """The names of all files but the members of a set that another one stands for."""
        return [name for name in self._inputs if name not in self._standing_for]

    def __contains__(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return name in self._inputs

    def open(self, name: str) -> Opened:
        """The images of a file by name: that of the file, with `/series1` or `/plate0` behind it where it has several. A plate is one.

        Raises ProcError where it cannot be opened; that, and images that are left out, are told in a line each. No pixels are read.
        """
        name = self._standing_for.get(name, name)
        with self._one:
            opening = self._opening.setdefault(name, threading.Lock())
        with opening:
            with self._one:
                if (found := self._opened.get(name)) is not None:
                    self._opened.move_to_end(name)
                    return found
            opened = self._open(name)
            with self._one:
                self._opened[self._standing_for.get(name, name)] = opened
                while len(self._opened) > MOST_OPEN:
                    self._opened.popitem(last=False)
        return opened

    def _open(self, name: str) -> Opened:
        path = self._inputs[name].path
        try:
            with typed(path):
                images, refused = _images(path, self._limits)
                first, *others = self._members(name, images)
                opened = Opened(_datasets(first, images, self._limits, self._workshop), tuple(others))
        except ProcError as error:
            self._tell(error)
            raise
        self._standing_for |= dict.fromkeys(others, first)
        for left_out in refused:
            self._tell(left_out)
        return opened

    def _members(self, name: str, images: Sequence[tuple[Image, list[Image]]]) -> list[str]:
        """The names of the files that the images of one are of, in the order in which they were given."""
        files = {real(file) for image, _ in images for file in image.files} - {real(self._inputs[name].path)}
        members = {name, *(self._by_place[file] for file in files if file in self._by_place)}
        return [name] if len(members) == 1 else [one for one in self._inputs if one in members]

    @cached_property
    def _by_place(self) -> dict[str, str]:
        return {real(entry.path): name for name, entry in self._inputs.items()}

    def _tell(self, error: ProcError) -> None:
        if str(error) not in self._told:
            self._told.add(str(error))
            say(f"{error}\n")


def _datasets(name: str, images: Sequence[tuple[Image, list[Image]]], limits: Limits, workshop: Workshop) -> dict[str, Source]:
    """The images of one file by name, those that are on a plate as one. Raises ProcError."""
    plates: dict[int, list[Image]] = {}
    for image, _ in images:
        if image.field is not None:
            plates.setdefault(image.field.plate.number, []).append(image)
    stored = {image.series: levels for image, levels in images}
    alone = [image for image, _ in images if image.field is None]
    several = len(plates) + len(alone) > 1
    found: dict[str, Source] = {}
    for number, fields in plates.items():
        found[f"{name}/plate{number}" if several else name] = LivePlate(fields, stored, limits, workshop)
    for image in alone:
        found[f"{name}/series{image.series}" if several else name] = Live(image, stored[image.series], limits, workshop)
    return found


def _images(path: Place, limits: Limits) -> tuple[list[tuple[Image, list[Image]]], list[UnsupportedInputError]]:
    """Each image with its stored levels, and the errors of those that are not supported."""
    check_file(path)
    refused: list[UnsupportedInputError] = []
    budget = Budget.within(limits, source=str(path))
    images = open_images(str(path), on_missing="fill", budget=budget, refused=refused, levels=True)
    return list(grouped(images)), refused


def _free(relative: Path, taken: Collection[str]) -> str:
    """A name that no other has: two files of different folders can be called alike."""
    name = relative.as_posix()
    return name if name not in taken else next(one for n in count(2) if (one := f"{name} ({n})") not in taken)
