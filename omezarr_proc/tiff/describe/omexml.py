"""OME-XML as plain values: images, their sizes, channels and TiffData. Pure; knows no file.

Parsed by expat element by element, so a document with a million Plane elements costs little memory; a document type declaration (and
with it every entity, internal or external) is refused. Broken texts are taken as microscopes write them: control characters, a byte
order mark before the document, bytes after its end. Source: the OME-XML schema, 2016-06, and the older ones where only names moved.
"""

import math
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from omezarr_proc.model.image import AxisSize, Channel
from omezarr_proc.tiff.file.budget import ELEMENT_BYTES, Budget

_PREFIXES = {"Y": "yotta", "Z": "zetta", "E": "exa", "P": "peta", "T": "tera", "G": "giga", "M": "mega", "k": "kilo", "h": "hecto",
             "d": "deci", "c": "centi", "m": "milli", "n": "nano", "p": "pico", "f": "femto", "a": "atto", "z": "zepto",
             "y": "yocto"}  # fmt: skip
_PREFIXES |= {"": "", "\u00b5": "micro", "\u03bc": "micro", "u": "micro"}
LENGTHS: dict[str, tuple[float, str]] = {prefix + "m": (1.0, name + "meter") for prefix, name in _PREFIXES.items()}
LENGTHS |= {"\u00c5": (1.0, "angstrom"), "\u212b": (1.0, "angstrom"), "in.": (1.0, "inch"), "ft": (1.0, "foot"), "yd": (1.0, "yard"),
            "mi": (1.0, "mile"),
            "pc": (1.0, "parsec"), "dam": (10.0, "meter"), "thou": (0.001, "inch"), "li": (1 / 12, "inch"), "pt": (1 / 72, "inch"),
            "ua": (149597870700.0, "meter"), "ly": (9460730472580800.0, "meter")}  # fmt: skip
TIMES: dict[str, tuple[float, str]] = {prefix + "s": (1.0, name + "second") for prefix, name in _PREFIXES.items()}
TIMES |= {"das": (10.0, "second"), "min": (1.0, "minute"), "h": (1.0, "hour"), "d": (1.0, "day")}
_NANOMETRES = {"nm": 1.0, "pm": 1e-3, "\u00c5": 0.1, "\u212b": 0.1, "\u00b5m": 1e3, "\u03bcm": 1e3, "um": 1e3, "mm": 1e6, "m": 1e9}


_FIRSTS = (("c", "FirstC"), ("z", "FirstZ"), ("t", "FirstT"))


class OmeXmlError(ValueError):
    """The document is not usable OME-XML; the text says why, for the end of a sentence."""


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
    """One Image element. `samples` are the SamplesPerPixel of its channels; sizes of axes as stated, None where absent."""

    name: str = ""
    order: str = "XYZCT"
    size: dict[str, int] = field(default_factory=dict)
    physical: dict[str, AxisSize] = field(default_factory=dict)
    channels: list[Channel] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    tiffdata: list[TiffData] = field(default_factory=list)
    modulo: dict[str, str] = field(default_factory=dict)


@dataclass
class OmeDocument:
    """The document: its UUID, its images, and for BinaryOnly files where the metadata are."""

    uuid: str | None = None
    images: list[OmeImage] = field(default_factory=list)
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
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]", "", text)
    text = text[max(text.find("<"), 0) :]
    ends = list(re.finditer(r"</(\w+:)?OME\s*>", text[-10000:]))
    if ends:
        text = text[: max(len(text) - 10000, 0) + ends[-1].end()]
    handler = _Handler(budget)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = handler.start
    parser.EndElementHandler = handler.end
    parser.CharacterDataHandler = handler.characters
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError as error:
        raise OmeXmlError(f"malformed XML ({error})") from error
    return handler.document


def _refuse(*_: Any) -> None:
    raise OmeXmlError("it declares a document type or entities, which OME-XML has not")


class _Handler:
    """Collects the elements that matter while expat reads."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.document = OmeDocument()
        self.path: list[str] = []
        self.text: list[str] = []
        self.data: dict[str, Any] = {}
        self.starts: dict[str, Callable[[dict[str, str]], None]] = {
            "OME": self._ome, "BinaryOnly": self._binary_only, "Image": self._image, "Pixels": self._pixels, "Channel": self._channel,
            "TiffData": self._tiffdata, "UUID": self._uuid,
            "ModuloAlongZ": self._modulo, "ModuloAlongC": self._modulo, "ModuloAlongT": self._modulo,
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
            self.data["uuid"] = _bare("".join(self.text))
        if name == "TiffData" and self.image is not None:
            self.image.tiffdata.append(TiffData(**self.data))
        self.text.clear()

    def characters(self, text: str) -> None:
        if self.path[-1] == "UUID":
            self.text.append(text)

    def _ome(self, a: dict[str, str]) -> None:
        if len(self.path) == 1:
            self.document.uuid = _bare(a.get("UUID"))

    def _binary_only(self, a: dict[str, str]) -> None:
        self.document.metadata_file = a.get("MetadataFile")
        self.document.metadata_uuid = _bare(a.get("UUID"))

    def _image(self, a: dict[str, str]) -> None:
        if len(self.path) == 2:
            self.document.images.append(OmeImage(name=a.get("Name", "")))

    def _pixels(self, a: dict[str, str]) -> None:
        image = self.image
        if image is None or self.path[-2] != "Image":
            return
        order = a.get("DimensionOrder", "XYZCT")
        if sorted(order) != sorted("XYZCT") or order[:2] != "XY":
            raise OmeXmlError(f"DimensionOrder {order!r}")
        image.order = order
        for axis in "XYZCT":
            image.size[axis] = _whole(a.get("Size" + axis), "Size" + axis, least=1)
        for axis in "XYZ":
            size = _axis(a.get("PhysicalSize" + axis), a.get(f"PhysicalSize{axis}Unit", "\u00b5m"), LENGTHS)
            if size:
                image.physical[axis.lower()] = size
        step = _axis(a.get("TimeIncrement"), a.get("TimeIncrementUnit", "s"), TIMES)
        if step:
            image.physical["t"] = step

    def _channel(self, a: dict[str, str]) -> None:
        image = self.image
        if image is None or self.path[-2] != "Pixels":
            return
        wave = _number(a.get("EmissionWavelength"))
        factor = _NANOMETRES.get(a.get("EmissionWavelengthUnit", "nm"))
        image.channels.append(Channel(a.get("Name") or None, color(a.get("Color")), wave * factor if wave and factor else None))
        samples = a.get("SamplesPerPixel", "1")
        image.samples.append(int(samples) if samples.isdigit() and int(samples) else 1)

    def _tiffdata(self, a: dict[str, str]) -> None:
        optional = {key: _whole(a[name], name) if name in a else None for key, name in (("ifd", "IFD"), ("count", "PlaneCount"))}
        if optional["count"] is None and "NumPlanes" in a:  # schemas before 2008
            optional["count"] = _whole(a["NumPlanes"], "NumPlanes")
        self.data = dict(optional, **{axis: _whole(a[name], name) if name in a else 0 for axis, name in _FIRSTS})

    def _uuid(self, a: dict[str, str]) -> None:
        self.text.clear()
        if self.path[-2:-1] == ["TiffData"]:
            self.data["filename"] = a.get("FileName")

    def _modulo(self, a: dict[str, str]) -> None:
        if self.document.images:
            target = self.document.images[-1]
            target.modulo.setdefault(self.path[-1][-1], a.get("Type", "other"))


def color(text: str | None) -> str | None:
    """Six hex digits of an OME colour, a signed (by some writers unsigned) 32-bit RGBA integer."""
    try:
        value = int(text or "")
    except ValueError:
        return None
    return f"{(value & 0xFFFFFFFF) >> 8:06X}" if -(1 << 31) <= value < 1 << 32 else None


def axis_size(value: float | None, unit: str, units: dict[str, tuple[float, str]]) -> AxisSize | None:
    """A size with the NGFF name of its unit; None for a unit that NGFF cannot say (pixel, reference frame) or a value that is no size."""
    if value is None or not math.isfinite(value) or value <= 0 or unit.strip() not in units:
        return None
    factor, name = units[unit.strip()]
    return AxisSize(value * factor, name)


def _axis(text: str | None, unit: str, units: dict[str, tuple[float, str]]) -> AxisSize | None:
    return axis_size(_number(text), unit, units)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _whole(text: str | None, name: str, least: int = 0) -> int:
    if text is not None and text.isascii() and text.isdigit() and len(text) <= 18 and int(text) >= least:
        return int(text)  # all but always, and ten times as fast as the rest
    if text is None or not re.fullmatch(r"\s*\+?\d{1,18}\s*", text) or int(text) < least:
        raise OmeXmlError(f"{name} is missing" if text is None else f"{name} is {text!r:.40}")
    return int(text)


def _bare(uuid: str | None) -> str | None:
    """A UUID without its urn prefix, in lower case."""
    return uuid.strip().lower().removeprefix("urn:uuid:") or None if uuid else None
