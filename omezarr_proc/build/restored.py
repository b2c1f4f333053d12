"""The OME-XML of a TIFF that is made of a dataset: the kept one, of this image alone, else one that says what the dataset says. Pure.

Source: the OME-XML schema, 2016-06, https://docs.openmicroscopy.org/ome-model/6.2.2/.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any
from xml.etree import ElementTree

from omezarr_proc import __version__
from omezarr_proc.check.levels import Level
from omezarr_proc.model.region import AXES, C
from omezarr_proc.ngff.colors import RGB
from omezarr_proc.store.read import Dataset, first_multiscale
from omezarr_proc.tiff.describe.omevalues import LENGTHS, TIMES, OmeXmlError
from omezarr_proc.tiff.describe.omexml import OmeDocument, OmeImage, TiffData, parse, repaired
from omezarr_proc.tiff.describe.planes import order as order_of_planes

# numpy name: Type of Pixels. OME has no integers of 64 bits.
TYPES = {name: name for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32")} | {"float32": "float", "float64": "double"}
_NAMESPACE = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
_SYMBOLS = {name: symbol for units in (LENGTHS, TIMES) for symbol, (factor, name) in reversed(units.items()) if factor == 1}


Page = tuple[int, int, int]  # t, its first channel, z


@dataclass(frozen=True)
class Written:
    """What is written.

    sizes    of t, c, z, y, x
    dtype    numpy name
    samples  channels of one page
    rgb      whether these are red, green and blue, with or without alpha
    pages    in their order
    xml      the description of the first page
    kept     whether that is what the source had, as far as it is of this image
    """

    sizes: dict[str, int]
    dtype: str
    samples: int
    rgb: bool
    pages: tuple[Page, ...]
    xml: bytes
    kept: bool


@dataclass(frozen=True)
class Kept:
    """A kept document, and which of its images the dataset is."""

    text: str
    document: OmeDocument
    number: int

    @property
    def image(self) -> OmeImage:
        """That image."""
        return self.document.images[self.number]


def written(dataset: Dataset, level: Level, dtype: str, text: str | None) -> Written:
    """How the pixels of a level are written; `text`: the document that was kept of them. Without one of these sizes one is made."""
    sizes = dict(zip(AXES, level.shape, strict=True))
    name = str(first_multiscale(dataset.ome).get("name") or "")
    kept = _kept(text, sizes, name) if text else None
    samples, rgb = _samples(dataset, sizes["c"], kept)
    order = "XYCZT" if level.tile[C] > samples else "XYZCT"  # each chunk is decoded as seldom as can be
    how = Written(sizes, dtype, samples, rgb, (), b"", kept is not None)
    if kept and (pages := _stated_pages(kept, how)):
        return replace(how, pages=pages, xml=kept.text.encode())
    xml = _of_one_image(kept, name, how, order) if kept else _made(dataset, how, order)
    return replace(how, pages=tuple(_pages(how, order)), xml=xml)


def _kept(text: str, sizes: dict[str, int], name: str) -> Kept | None:
    """The image of a kept document that has these sizes, best of this name; None where none has, or the document is broken."""
    with suppress(OmeXmlError):
        document = parse(text)
        wanted = {axis.upper(): size for axis, size in sizes.items()}
        fitting = [Kept(text, document, n) for n, image in enumerate(document.images) if image.size == wanted]
        return next((found for found in fitting if found.image.name == name), fitting[0] if fitting else None)
    return None


def _pages(how: Written, order: str) -> Iterator[Page]:
    groups = range(0, how.sizes["c"], how.samples)
    for t in range(how.sizes["t"]):
        if order == "XYZCT":
            yield from ((t, c, z) for c in groups for z in range(how.sizes["z"]))
        else:
            yield from ((t, c, z) for z in range(how.sizes["z"]) for c in groups)


def _stated_pages(kept: Kept, how: Written) -> tuple[Page, ...] | None:
    """The pages in the order in which the document is true of the file as it stands; None where there is none."""
    samples = (sample.image for plate in kept.document.plates for well in plate.wells for sample in well.samples)
    if len(kept.document.images) > 1 or any(image not in (None, kept.image.id) for image in samples):
        return None
    planes = [(t, c, z) for t in range(how.sizes["t"]) for z in range(how.sizes["z"]) for c in range(0, how.sizes["c"], how.samples)]
    pages: dict[int, Page] = {}
    with suppress(OmeXmlError):
        for plane, place in zip(planes, order_of_planes(kept.image, how.sizes["c"] // how.samples), strict=True):
            if place is not None and _is_here(place[0], kept.document.uuid):
                pages[place[1]] = plane
    return tuple(pages[ifd] for ifd in range(len(planes))) if pages.keys() == set(range(len(planes))) else None


def _is_here(data: TiffData | None, own: str | None) -> bool:
    """Whether planes are in the file that has this document, whatever it is called."""
    return data is None or (data.uuid == own if data.uuid else not data.filename)


def _samples(dataset: Dataset, channels: int, kept: Kept | None) -> tuple[int, bool]:
    """How many channels the pages of a dataset's source had, and whether these were colours of one picture."""
    omero = dataset.ome.get("omero")
    omero = omero if isinstance(omero, dict) else {}
    shown = [channel for channel in omero.get("channels") or () if isinstance(channel, dict)]
    colors, labels = ([str(channel.get(key)) for channel in shown] for key in ("color", "label"))
    rdefs = omero.get("rdefs")
    picture = channels in (3, 4) and (
        (isinstance(rdefs, dict) and rdefs.get("model") == "color")
        or (tuple(colors[:3]) == RGB and [label.rpartition(" ")[2] for label in labels[:3]] == ["R", "G", "B"])
    )
    stated = set(kept.image.samples) if kept else set()
    samples = stated.pop() if len(stated) == 1 else 1
    if samples > 1 and channels % samples == 0:
        return samples, picture or (samples in (3, 4) and tuple(colors[:3]) == RGB)
    return (channels, True) if picture else (1, False)


def _of_one_image(kept: Kept, name: str, how: Written, order: str) -> bytes:
    """The kept document for a file that has one image of it: other images go, and what refers to them. `name`: of one that has none."""
    text = repaired(kept.text)
    for _, (prefix, uri) in ElementTree.iterparse(StringIO(text), ["start-ns"]):
        with suppress(ValueError):  # ns0 and the like, which it makes itself
            ElementTree.register_namespace(prefix, uri)
    root = ElementTree.fromstring(text)  # parsed before by `_kept`: there are no entities
    images = [node for node in root if _name(node) == "Image"]
    image = images[kept.number]
    root.attrib.pop("UUID", None)
    if not image.get("Name", "").strip():
        image.set("Name", name)
    there = {node.get("ID") for node in images}
    if len(images) > 1 or any(_name(node) == "ImageRef" and node.get("ID") not in there for node in root.iter()):
        for parent in [*root.iter()]:
            gone = [n for n in parent if (_name(n) == "Image" and n is not image) or _is_of_others(n, image.get("ID"))]
            for node in gone:
                parent.remove(node)
    pixels = next(node for node in image if _name(node) == "Pixels")
    for node in [node for node in pixels if _name(node) in ("TiffData", "BinData", "MetadataOnly")]:
        pixels.remove(node)
    pixels.attrib |= {"DimensionOrder": order, "Type": TYPES[how.dtype]}
    pixels.attrib |= {"BigEndian": "false"} if "BigEndian" in pixels.attrib else {}
    last = max((index for index, node in enumerate(pixels) if _name(node) == "Channel"), default=-1)
    pixels.insert(last + 1, _tiff_data(pixels.tag.removesuffix("Pixels"), how))
    return _document(root)


def _made(dataset: Dataset, how: Written, order: str) -> bytes:
    """A document that says what the dataset says: name, sizes, units, the names and colours of channels."""
    multiscale = first_multiscale(dataset.ome)
    root = ElementTree.Element("OME", {"xmlns": _NAMESPACE, "Creator": f"omezarr_proc {__version__}"})
    image = ElementTree.SubElement(root, "Image", {"ID": "Image:0", "Name": str(multiscale.get("name") or "")})
    sizes = {f"Size{axis.upper()}": str(size) for axis, size in how.sizes.items()}
    stated = {"ID": "Pixels:0", "DimensionOrder": order, "Type": TYPES[how.dtype], **sizes, **_physical(multiscale)}
    pixels = ElementTree.SubElement(image, "Pixels", stated)
    for number, channel in enumerate(_channels(dataset, how)):
        ElementTree.SubElement(pixels, "Channel", {"ID": f"Channel:0:{number}"} | channel)
    pixels.append(_tiff_data("", how))
    return _document(root)


def _channels(dataset: Dataset, how: Written) -> list[dict[str, str]]:
    omero = dataset.ome.get("omero")
    shown = omero.get("channels") if isinstance(omero, dict) else None
    known = [channel if isinstance(channel, dict) else {} for channel in shown] if isinstance(shown, list) else []
    known = (known + [{}] * how.sizes["c"])[: how.sizes["c"]]
    labels = [str(channel.get("label") or "") for channel in known]
    if how.rgb and how.samples == len(labels):
        name, letters = labels[0].removesuffix("R").rstrip(), [label.rpartition(" ")[2] for label in labels[:3]]
        if letters == ["R", "G", "B"] and all(label.startswith(name) for label in labels[:3]):
            return [{"SamplesPerPixel": str(how.samples)} | ({"Name": name} if name else {})]
    colors = [str(channel.get("color")) for channel in known]
    return [
        ({"Name": label} if label else {}) | ({"Color": _color(color)} if re.fullmatch("[0-9a-fA-F]{6}", color) and not how.rgb else {})
        for label, color in zip(labels, colors, strict=True)
    ]


def _color(digits: str) -> str:
    """A signed 32-bit RGBA integer, opaque."""
    value = int(f"{digits}FF", 16)
    return str(value - (1 << 32) if value >= 1 << 31 else value)


def _physical(multiscale: dict[str, Any]) -> dict[str, str]:
    """PhysicalSize and TimeIncrement of the axes whose scale has a unit that OME has too."""
    found: dict[str, str] = {}
    match multiscale:
        case {"axes": [*axes], "datasets": [{"coordinateTransformations": [{"type": "scale", "scale": [*scale]}, *_]}, *_]}:
            for axis, step in zip(axes, scale, strict=False):
                name, symbol = axis.get("name"), _SYMBOLS.get(str(axis.get("unit")))
                key = {"x": "PhysicalSizeX", "y": "PhysicalSizeY", "z": "PhysicalSizeZ", "t": "TimeIncrement"}.get(str(name))
                if key and symbol and isinstance(step, int | float):
                    found |= {key: repr(float(step)), f"{key}Unit": symbol}
    return found


def _tiff_data(space: str, how: Written) -> ElementTree.Element:
    return ElementTree.Element(
        f"{space}TiffData", {"IFD": "0", "PlaneCount": str(how.sizes["t"] * how.sizes["c"] // how.samples * how.sizes["z"])}
    )


def _is_of_others(node: ElementTree.Element, kept: str | None) -> bool:
    """Whether an element tells of images that are not there: a plate of several, or a reference to another one."""
    return _name(node) in ("Plate", "Screen") or (_name(node) == "ImageRef" and node.get("ID") != kept)


def _name(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2] if isinstance(node.tag, str) else ""  # a comment has none


def _document(root: ElementTree.Element) -> bytes:
    """In ASCII, which is all that a TIFF's description may hold."""
    text = ElementTree.tostring(root, encoding="unicode")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text.encode("ascii", "xmlcharrefreplace")
