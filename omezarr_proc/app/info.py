"""`info DATASET|TIFF...`: what images hold, on a few lines or as JSON: `{"files": [...]}`, an object for each name, see `describe`."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omezarr_proc.app.describe import Json, describe
from omezarr_proc.app.parser import VerbParser
from omezarr_proc.app.places import named_place
from omezarr_proc.model.text import byte_size, one_line, shown


def main(argv: list[str]) -> int:
    """Tell what the named files hold; returns 1 when one cannot be read, else 0."""
    parser = VerbParser("info", "Tell what TIFFs and OME-Zarr images hold.")
    parser.add_argument("paths", metavar="DATASET|TIFF", nargs="+", type=named_place)
    parser.add_json()
    arguments = parser.parse_args(argv)
    found = []
    for path in arguments.paths:
        found.append(describe(path))
        if not arguments.json:
            print("\n".join(one_line(line) for line in lines(found[-1])), flush=True)
    if arguments.json:
        json.dump({"files": found}, sys.stdout, indent=2)
        print()
    return 1 if any(entry["error"] for entry in found) else 0


def lines(told: Json) -> Iterator[str]:
    """What is told of one file or folder (see `describe`), for a person."""
    name = shown(told["path"])
    if told["error"]:
        yield told["error"]
    elif told["kind"] == "tiff":
        for image in told["images"]:
            yield from _image_lines(name, image)
        yield from told["refused"]
    else:
        if found := told["collection"]:
            size = (
                f"plate {found['name']!r} of {found['rows']} x {found['columns']}, {found['wells']} wells"
                if found["wells"]
                else "collection"
            )
            yield f"{name}: {size}, {found['images']} images, the first of which is"
            name = f"{name}/{found['first']}"
        yield from _dataset_lines(name, told)


def _image_lines(name: str, image: Json) -> Iterator[str]:
    sizes = ", ".join(f"{axis} {image['sizes'][axis]}" for axis in "yxczt" if image["sizes"][axis] > 1 or axis in "yxc")
    stored = f" (stored as {image['stored_dtype']})" if image["stored_dtype"] != image["dtype"] else ""
    kind = " RGB" if image["rgb"] else ""
    left = "" if image["converted"] else "; left out unless IMAGES asks for it"
    well = f" of well {image['well']}" if image["well"] else ""
    yield f"{name}: image {image['index']} {image['name']!r}{well}: {sizes}, {image['dtype']}{stored}{kind}{left}"
    pixel = ", ".join(f"{axis} {size['value']:g} {size['unit']}" for axis, size in image["pixel_size"].items())
    objective = f"; objective {image['magnification']:g}x" if image["magnification"] else ""
    yield f"  pixel size: {pixel or 'not stated'}{objective}"
    if not image["rgb"]:
        for index, channel in enumerate(image["channels"]):
            yield f"  channel {index}: {_channel_text(channel['name'], channel['color'], channel['emission_nm'])}"
    layout = image["layout"]
    segment = " x ".join(map(str, layout["segment"]))
    yield f"  layout: {'tiles' if layout['tiled'] else 'strips'} of {segment}, compression {layout['compression']}"
    levels = ", ".join(" x ".join(map(str, level)) for level in image["levels"][1:])
    yield f"  levels inside: {levels or 'none'}"
    if len(image["files"]) > 1:
        yield f"  files: {len(image['files'])}, {', '.join(shown(Path(file).name) for file in image['files'][:5])}, ..."
    yield from (f"  note: {note}" for note in image["notes"])


def _dataset_lines(name: str, told: Json) -> Iterator[str]:
    axes, versions = " ".join(str(axis["name"]) for axis in told["axes"]), " and ".join(told["ngff"]) or "of no stated version"
    yield f"{name}: {told['name']!r}, axes {axes}, OME-Zarr {versions} in Zarr v{told['zarr_format']}"
    units = ", ".join(f"{axis['name']} {axis['unit']}" for axis in told["axes"] if axis["unit"])
    for level in told["levels"]:
        shape, chunks = (" x ".join(map(str, level[key])) for key in ("shape", "chunks"))
        scale = "" if level["scale"] is None else f", scale {' x '.join(f'{value:g}' for value in level['scale'])}"
        factor = "" if level["factor"] is None else f", factor {' x '.join(f'{value:g}' for value in level['factor'])}"
        yield f"  level {level['path']}: {shape} {level['dtype']}, chunks {chunks}{scale}{factor}, {byte_size(level['bytes'])}"
    yield f"  units: {units or 'not stated'}"
    if told["levels"]:
        stored = "" if told["stored_bytes"] is None else f", {byte_size(told['stored_bytes'])} stored"
        objects = "" if told["chunk_objects"] == told["chunks"] else f" in {told['chunk_objects']} objects"
        yield f"  compression: {told['levels'][0]['compression']}; {told['chunks']} chunks{objects}{stored}"
    for index, channel in enumerate(told["channels"]):
        window = channel["window"] if isinstance(channel["window"], dict) else {}
        start, end, low, high = (_number(window.get(key)) for key in ("start", "end", "min", "max"))
        shown_range = f"shown {start} to {end}, values {low} to {high}"
        hidden = "" if channel["active"] else ", not shown at first"
        yield f"  channel {index}: {_channel_text(channel['label'], channel['color'], None)}, {shown_range}{hidden}"
    made = ", ".join(filter(None, (told["made_by"], told["description"] or told["method"])))
    yield f"  made: {made or 'not stated'}"
    yield from (f"  note: {note}" for note in told["notes"])


def _channel_text(name: Any, color: Any, emission: float | None) -> str:
    colour = f", colour {color}" if color else ""
    return f"{name or 'no name'}{colour}{f', emission {emission:g} nm' if emission else ''}"


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else "?"
