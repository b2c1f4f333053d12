"""Files that are one image together, by their names: what SEQUENCE asks for, or would."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, product

from omezarr_proc.config.rules import FIELD, is_template
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError, UnsupportedInputError
from omezarr_proc.model.image import Image
from omezarr_proc.model.text import shown
from omezarr_proc.tiff.describe.joined import joined

AXES = "tcz"
# With a field go what stands before it to say which one it is: "img_z{z}_c{c}.tif" is of "img".
_TAKEN_OFF = re.compile(r"[ _.-]?(?:(?<![a-z])(?:t|c|ch|z))?\{[tcz]\}", re.IGNORECASE)
# What SEQUENCE=auto takes for fields.
_PROPOSED = re.compile(r"(?<![a-z])(t|c|ch|z)(\d+)(?!\d)", re.IGNORECASE)


@dataclass(frozen=True)
class FileSequence:
    """The files of an image: of each its place and the texts that its name has for each field of the template."""

    template: str
    members: tuple[tuple[Place, tuple[tuple[str, str], ...]], ...]


@dataclass(frozen=True)
class Grid:
    """Where files lie in an image of `sizes` time points, channels and slices.

    files     in the order t, c, z; None where there is none
    channels  their names, where names have more than numbers of them
    """

    sizes: tuple[int, int, int]
    files: tuple[Place | None, ...]
    channels: tuple[str, ...]


def matched(template: str, name: str) -> dict[str, str] | None:
    """The texts that `name` has for the fields; None where it is no name of the template. t and z are numbers, c is anything."""
    parts = FIELD.split(template)
    pattern = "".join(
        re.escape(part) if n % 2 == 0 else f"(?P<{part}>{'.+?' if part == 'c' else '[0-9]+'})" for n, part in enumerate(parts)
    )
    found = re.fullmatch(pattern, name)
    return found.groupdict() if found else None


def name_of(template: str) -> str:
    """The template as the name of the image's file: without its fields, and what introduces them."""
    name = _TAKEN_OFF.sub("", template)
    return name if name.partition(".")[0] else f"sequence{name}"


def grid(sequence: FileSequence, fill: bool) -> Grid:
    """Where the files lie. With `fill` some may be missing. Raises InputError, which names the file, for holes and doubles."""
    places: dict[tuple[str | int, ...], Place] = {}
    for place, texts in sequence.members:
        fields = dict(texts)
        key = tuple(_value(fields.get(axis, "0")) for axis in AXES)
        if key in places:
            raise InputError(f"has the same place in the sequence as {shown(places[key])}", source=place, hint="move one of them away")
        places[key] = place
    values = [_values({key[n] for key in places}) for n in range(len(AXES))]
    wanted = list(product(*values))
    missing = [key for key in wanted if key not in places]
    if missing and not fill:
        lacks = ", ".join(f"{axis}={value}" for axis, value in zip(AXES, missing[0], strict=True) if f"{{{axis}}}" in sequence.template)
        raise InputError(
            f"is of a sequence that lacks {len(missing)} of {len(wanted)} files, the first is that of {lacks}",
            source=sequence.members[0][0],
            hint="put it there (or set ON_MISSING=fill)",
        )
    t, c, z = map(len, values)
    names = () if all(isinstance(value, int) for value in values[1]) else tuple(map(str, values[1]))
    return Grid((t, c, z), tuple(places.get(key) for key in wanted), names)


def _value(text: str) -> str | int:
    return int(text) if text.isdecimal() and text.isascii() else text


def _values(found: set[str | int]) -> list[str | int]:
    """All values along an axis: numbers from the least to the largest, else the texts that there are."""
    numbers = sorted(value for value in found if isinstance(value, int))
    if len(numbers) == len(found) and numbers[-1] - numbers[0] < 1 << 20:
        return list(range(numbers[0], numbers[-1] + 1))
    return sorted(found, key=lambda value: (isinstance(value, str), value))


def image_of(sequence: FileSequence, fill: bool, opened: Callable[[Place], list[Image]]) -> Image:
    """The image that the files are together, each of which `opened` describes. Raises InputError, which names the file."""
    found = grid(sequence, fill)
    images = [None if place is None else _only(place, opened(place)) for place in found.files]
    name = name_of(sequence.template)
    return joined(images, found.sizes, found.channels, re.sub(r"(\.ome)?\.[a-z0-9]+$", "", name, flags=re.IGNORECASE))


def _only(place: Place, images: list[Image]) -> Image:
    if len(images) != 1:
        raise UnsupportedInputError(
            f"has {len(images)} images, and the files of a sequence have one each", source=place, hint="choose one with IMAGES"
        )
    return images[0]


def proposals(names: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Templates that two or more of the `names` of a folder have, with how many: what SEQUENCE could be."""
    templates = sorted(filter(None, map(_template, names)))
    for template, alike in groupby(templates):
        if (count := len(list(alike))) > 1:
            yield template, count


def _template(name: str) -> str | None:
    found = _PROPOSED.sub(lambda match: f"{match[1]}{{{'c' if match[1].lower() == 'ch' else match[1].lower()}}}", name)
    return found if is_template(found) else None
