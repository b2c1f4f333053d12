"""OME-XML as plain values: images, their sizes, channels and TiffData. Pure; knows no file.

Parsed by expat element by element, so a document with a million Plane elements costs little memory; a document type declaration (and
with it every entity, internal or external) is refused. Broken texts are taken as microscopes write them: control characters, a byte
order mark before the document, bytes after its end. Source: the OME-XML schema, 2016-06, and the older ones where only names moved.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from omezarr_proc.model.image import AxisSize, Channel
from omezarr_proc.tiff.describe.omevalues import LENGTHS, TIMES, OmeXmlError, bare, color, number, stated_size, whole
from omezarr_proc.tiff.describe.plates import OmePlate, PlateElements
from omezarr_proc.tiff.file.budget import ELEMENT_BYTES, Budget

_NANOMETRES = {"nm": 1.0, "pm": 1e-3, "\u00c5": 0.1, "\u212b": 0.1, "\u00b5m": 1e3, "\u03bcm": 1e3, "um": 1e3, "mm": 1e6, "m": 1e9}


_FIRSTS = (("c", "FirstC"), ("z", "FirstZ"), ("t", "FirstT"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffData:
    """Which planes are where: `count` planes (None: not stated) from plane (c, z, t) on are at IFD `ifd` and following of a file."""

    ifd: int | None
    count: int | None
    c: int
    z: int
    t: int
    uuid: str | None = None
    filename: str | None = None


@dataclass(kw_only=True)
class OmeImage:
    """One Image element. `id` is empty where it has none, `samples` are the SamplesPerPixel of its channels, `size` of axes as stated.

    place  where it stands in the document: the bytes from the first on to before the last
    """

    id: str = ""
    name: str = ""
    order: str = "XYZCT"
    size: dict[str, int] = field(default_factory=dict)
    physical: dict[str, AxisSize] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    tiffdata: list[TiffData] = field(default_factory=list)
    modulo: dict[str, str] = field(default_factory=dict)
    place: tuple[int, int] = (0, 0)


@dataclass
class OmeDocument:
    """The document: its UUID, its images, its plates, and for BinaryOnly files where the metadata are."""

    uuid: str | None = None
    images: list[OmeImage] = field(default_factory=list)
    plates: list[OmePlate] = field(default_factory=list)
    metadata_file: str | None = None
    metadata_uuid: str | None = None


def is_ome(text: str) -> bool:
    """Whether an image description is meant as OME-XML."""
    head = text.lstrip("\ufeff \t\r\n")[:4000]
    return re.search(r"<(\w+:)?OME[\s>]", head) is not None and head.startswith("<")


def parse(text: str, budget: Budget | None = None) -> OmeDocument:
    """The values of a document.

    Raises OmeXmlError for malformed XML, a document type declaration, or unusable sizes; LimitError and OutOfTimeError as `budget` says.
    """
    budget = budget or Budget(source="OME-XML")
    budget.need(sys.getsizeof(text))
    text = repaired(text)
    data = text.encode()
    parser = expat.ParserCreate("utf-8")
    handler = _Handler(budget, lambda: parser.CurrentByteIndex)
    parser.buffer_text = True
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.characters
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise OmeXmlError(f"malformed XML ({error})") from error
    for image in handler.document.images:
        start, end = image.place
        image.place = start, data.find(b">", end) + 1 if data[end : end + 2] == b"</" else end
    return handler.document


def repaired(text: str) -> str:
    """A document without what microscopes write into and around it, and XML has not."""
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]", "", text)
    text = text[max(text.find("<"), 0) :]
    ends = list(re.finditer(r"</(\w+:)?OME\s*>", text[-10000:]))
    return text[: max(len(text) - 10000, 0) + ends[-1].end()] if ends else text


def _refuse(*_: Any) -> None:
    raise OmeXmlError("it declares a document type or entities, which OME-XML has not")


class _Handler:
    """Collects the elements that matter while expat reads. `at`: the byte at which the present start or end stands."""

    def __init__(self, budget: Budget, at: Callable[[], int]) -> None:
        self.budget, self.at = budget, at
        self.document = OmeDocument()
        self.path: list[str] = []
        self.text: list[str] = []
        self.data: dict[str, Any] = {}
        self.starts: dict[str, Callable[[dict[str, str]], None]] = {
            "OME": self._ome, "BinaryOnly": self._binary_only, "Image": self._image, "Pixels": self._pixels, "Channel": self._channel,
            "TiffData": self._tiffdata, "UUID": self._uuid,
            "ModuloAlongZ": self._modulo, "ModuloAlongC": self._modulo, "ModuloAlongT": self._modulo,
            **PlateElements(self.path, self.document.plates).starts,
        }  # fmt: skip

    @property
    def image(self) -> OmeImage | None:
        return self.document.images[-1] if self.document.images and "Image" in self.path else None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        self.path.append(name)
        if len(self.path) > 200:
            raise OmeXmlError("elements nested more than 200 deep")
        if name in self.starts:
            self.budget.keep(ELEMENT_BYTES + sum(map(len, attributes.values())))
            self.starts[name](attributes)
        else:
            self.budget.need()

    def end(self, name: str) -> None:
        name = self.path.pop()
        if name == "UUID" and self.path and self.path[-1] == "TiffData":
            self.data["uuid"] = bare("".join(self.text))
        if name == "TiffData" and self.image is not None:
            self.image.tiffdata.append(TiffData(**self.data))
        if name == "Image" and len(self.path) == 1:
            self.document.images[-1].place = self.document.images[-1].place[0], self.at()
        self.text.clear()

    def characters(self, text: str) -> None:
        if self.path[-1] == "UUID":
            self.text.append(text)

    def _ome(self, a: dict[str, str]) -> None:
        if len(self.path) == 1:
            self.document.uuid = bare(a.get("UUID"))

    def _binary_only(self, a: dict[str, str]) -> None:
        self.document.metadata_file = a.get("MetadataFile")
        self.document.metadata_uuid = bare(a.get("UUID"))

    def _image(self, a: dict[str, str]) -> None:
        if len(self.path) == 2:
            self.document.images.append(OmeImage(id=a.get("ID", ""), name=a.get("Name", ""), place=(self.at(), 0)))

    def _pixels(self, a: dict[str, str]) -> None:
        image = self.image
        if image is None or self.path[-2] != "Image":
            return
        order = a.get("DimensionOrder", "XYZCT")
        if sorted(order) != sorted("XYZCT") or order[:2] != "XY":
            raise OmeXmlError(f"DimensionOrder {order!r}")
        image.order = order
        for axis in "XYZCT":
            image.size[axis] = whole(a.get("Size" + axis), "Size" + axis, least=1)
        for axis in "XYZ":
            size = stated_size(a.get("PhysicalSize" + axis), a.get(f"PhysicalSize{axis}Unit", "\u00b5m"), LENGTHS)
            if size:
                image.physical[axis.lower()] = size
        step = stated_size(a.get("TimeIncrement"), a.get("TimeIncrementUnit", "s"), TIMES)
        if step:
            image.physical["t"] = step

    def _channel(self, a: dict[str, str]) -> None:
        image = self.image
        if image is None or self.path[-2] != "Pixels":
            return
        wave = number(a.get("EmissionWavelength"))
        factor = _NANOMETRES.get(a.get("EmissionWavelengthUnit", "nm"))
        image.channels.append(Channel(a.get("Name") or None, color(a.get("Color")), wave * factor if wave and factor else None))
        samples = a.get("SamplesPerPixel", "1")
        image.samples.append(int(samples) if samples.isdigit() and int(samples) else 1)

    def _tiffdata(self, a: dict[str, str]) -> None:
        optional = {key: whole(a[name], name) if name in a else None for key, name in (("ifd", "IFD"), ("count", "PlaneCount"))}
        if optional["count"] is None and "NumPlanes" in a:  # schemas before 2008
            optional["count"] = whole(a["NumPlanes"], "NumPlanes")
        self.data = dict(optional, **{axis: whole(a[name], name) if name in a else 0 for axis, name in _FIRSTS})

    def _uuid(self, a: dict[str, str]) -> None:
        self.text.clear()
        if self.path[-2:-1] == ["TiffData"]:
            self.data["filename"] = a.get("FileName")

    def _modulo(self, a: dict[str, str]) -> None:
        if self.document.images:
            target = self.document.images[-1]
            target.modulo.setdefault(self.path[-1][-1], a.get("Type", "other"))
