"""`info DATASET|TIFF...`: what images hold, on a few lines or as JSON. No pixels are read.

`--json` prints `{"files": [...]}`, an object for each name, whose keys stay as they are; new ones may come:

    path, kind ("tiff" or "dataset"), error (text or null)
    tiff     images: index, name, well (its path on a plate, or null), converted (by IMAGES=auto), sizes (t, c, z, y, x), dtype,
             stored_dtype, rgb, pixel_size (axis: value, unit), magnification (or null), channels (name, color, emission_nm), layout
             (tiled, segment, compression), levels (y, x of each), files, notes; refused (why, for each image that is not supported
             beside others)
    dataset  name, zarr_format, ngff, axes (name, type, unit), levels (path, shape, chunks, shards (or null), dtype, compression, scale,
             factor, bytes), chunks, chunk_objects (the files that hold them), stored_bytes (null where counting would take long), channels
             (label, color, active, window), notes, and how it was made: method, made_by, description; collection (of a plate, or what
             bioformats2raw writes: name, rows, columns, wells, images, first; null for an image): all else is then told of the first image
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omezarr_proc.app.inputs import tiff_ending
from omezarr_proc.app.places import check_file, named_place
from omezarr_proc.check.collection import open_collection
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError, LimitError, UnsupportedInputError, about
from omezarr_proc.model.text import byte_size, one_line, shown
from omezarr_proc.store.read import Dataset, first_multiscale, metadata_of, open_dataset
from omezarr_proc.store.zipped import zipped_at

if TYPE_CHECKING:
    from omezarr_proc.model.image import Image

Json = dict[str, Any]

COUNTED_CHUNKS = 20_000  # on a network file system the size of each file is a question to the server


def main(argv: list[str]) -> int:
    """Tell what the named files hold; returns 1 when one cannot be read, else 0."""
    parser = argparse.ArgumentParser(prog="omezarr-proc info", description="Tell what TIFFs and OME-Zarr images hold.", allow_abbrev=False)
    parser.add_argument("paths", metavar="DATASET|TIFF", nargs="+", type=named_place)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
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


def describe(path: Place) -> Json:
    """All that is told of one file or folder."""
    is_dataset = path.is_dir() or zipped_at(path) is not None if isinstance(path, Path) else not tiff_ending(path.name)
    kind = "dataset" if is_dataset else "tiff"
    try:
        with about(path):
            told = _describe_folder(path) if is_dataset else describe_tiff(path)
        return {"path": str(path), "kind": kind, "error": None} | told
    except (InputError, LimitError) as error:
        return {"path": str(path), "kind": kind, "error": str(error)}


def describe_tiff(path: Place) -> Json:
    """The images of a TIFF with all members of its set. Raises InputError."""
    from omezarr_proc.host.limits import read_limits
    from omezarr_proc.tiff.describe.images import open_images
    from omezarr_proc.tiff.file.budget import Budget

    check_file(path)
    limits = read_limits()
    converted = {image.series for image in open_images(str(path), budget=Budget.within(limits, source=str(path)), refused=[])}
    refused: list[UnsupportedInputError] = []
    images = open_images(str(path), images="all", budget=Budget.within(limits, source=str(path)), refused=refused)
    told = {"images": [_image(image, image.series in converted) for image in images]}
    return told | {"refused": [str(error) for error in refused]}


def _describe_folder(path: Place) -> Json:
    dataset = open_dataset(path)
    collection = open_collection(dataset)
    if collection is None or not collection.images:
        return describe_dataset(dataset) | {"collection": None}
    plate = metadata_of(dataset.attributes, "plate").get("plate")
    of_plate = plate if isinstance(plate, dict) else {}
    told: Json = {key: len(_objects(of_plate.get(key))) for key in ("rows", "columns", "wells")}
    told |= {"name": of_plate.get("name"), "images": len(collection.images), "first": collection.images[0]}
    return describe_dataset(open_dataset(path / collection.images[0])) | {"collection": told}


def describe_dataset(dataset: Dataset) -> Json:
    """What the metadata of a dataset say, as far as they are readable."""
    multiscale, omero, own = first_multiscale(dataset.ome), dataset.ome.get("omero"), dataset.own or {}
    transformations = {str(entry.get("path")): entry.get("coordinateTransformations") for entry in _objects(multiscale.get("datasets"))}
    levels = [
        {
            "path": array.path,
            "shape": list(array.shape),
            "chunks": list(array.tiles),
            "shards": list(array.chunks) if array.sharded else None,
            "dtype": array.dtype,
            "compression": array.compression,
            "scale": _scale(transformations.get(array.path)),
            "factor": _factor(transformations.get(array.path), [dataset.origin(axis) for axis in dataset.axes]),
            "bytes": _bytes(array.shape, array.dtype),
        }
        for array in dataset.arrays
    ]
    notes = own.get("notes")
    channels = _objects(omero.get("channels")) if isinstance(omero, dict) else []
    keys = ("label", "color", "active", "window")
    return {
        "zarr_format": dataset.zarr_format,
        "ngff": _versions(dataset),
        "name": multiscale.get("name"),
        "axes": [{key: axis.get(key) for key in ("name", "type", "unit")} for axis in _objects(multiscale.get("axes"))],
        "levels": levels,
        "chunks": sum(array.tile_count for array in dataset.arrays),
        "chunk_objects": sum(array.chunk_count for array in dataset.arrays),
        "stored_bytes": _stored_bytes(dataset),
        "channels": [{key: channel.get(key) for key in keys} for channel in channels],
        "method": multiscale.get("type"),
        "made_by": f"omezarr_proc {own.get('version')}" if own else None,
        "description": _text(multiscale.get("metadata"), "description"),
        "notes": [*map(str, notes if isinstance(notes, list) else []), *(f"{where}: {problem}" for where, problem in dataset.problems)],
    }


def lines(told: Json) -> Iterator[str]:
    """The same for a person."""
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


def _image(image: "Image", converted: bool) -> Json:
    layout = image.layouts[0]
    return {
        "index": image.series,
        "name": image.name,
        "well": image.field.well if image.field else None,
        "converted": converted,
        "sizes": {"t": image.size_t, "c": image.size_c, "z": image.size_z, "y": image.height, "x": image.width},
        "dtype": image.dtype,
        "stored_dtype": image.stored_dtype,
        "rgb": image.rgb,
        "pixel_size": {axis: {"value": size.value, "unit": size.unit} for axis, size in image.sizes.items()},
        "magnification": image.magnification,
        "channels": [{"name": c.name, "color": c.color, "emission_nm": c.emission} for c in image.channels],
        "layout": {"tiled": layout.tiled, "segment": [layout.segment_height, layout.segment_width], "compression": layout.compression},
        "levels": [[image.height, image.width], *_stored_levels(image)],
        "files": list(image.files),
        "notes": list(image.notes),
    }


def _stored_levels(image: "Image") -> list[list[int]]:
    """Sizes of the lower resolutions that the file holds of the image's first plane: its SubIFDs, or pages after it."""
    from omezarr_proc.tiff.describe.reduced import MAX_LEVELS
    from omezarr_proc.tiff.file import tags
    from omezarr_proc.tiff.file.files import Files

    plane = next((plane for plane in image.planes if plane), None)
    if plane is None:
        return []
    with Files(1) as files:
        ifds = files.ifds(image.files[plane.file])
        pages = [ifds.ifd(int(offset)) for offset in ifds.integers(ifds.ifd(plane.ifd), tags.SUB_IFDS)[:MAX_LEVELS]]
        if len({other.ifd for other in image.planes if other}) == 1:
            pages += ifds.chain()
        sizes = {(ifds.integer(page, tags.IMAGE_LENGTH, 0), ifds.integer(page, tags.IMAGE_WIDTH, 0)) for page in pages}
    return [list(size) for size in sorted(sizes, reverse=True) if _is_level(size, (image.height, image.width))]


def _is_level(size: tuple[int, int], full: tuple[int, int]) -> bool:
    """Whether `size` is that of `full` by one factor, give or take a pixel."""
    if not 0 < size[0] < full[0] or not 0 < size[1] < full[1]:
        return False
    factor = max(full) / size[full.index(max(full))]
    return all(abs(small * factor - large) <= 1.5 * factor for small, large in zip(size, full, strict=True))


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


def _versions(dataset: Dataset) -> list[str]:
    ome = dataset.attributes.get("ome")
    found = [ome.get("version") if isinstance(ome, dict) else None, first_multiscale(dataset.attributes).get("version")]
    return [str(version) for version in found if version]


def _scale(transformations: Any) -> list[float] | None:
    match transformations:
        case [{"type": "scale", "scale": [*values]}, *_] if all(isinstance(value, int | float) for value in values):
            return [float(value) for value in values]
    return None


def _factor(transformations: Any, origin: Sequence[int]) -> list[float] | None:
    """Full-resolution pixels that a pixel of the level spans along each axis, as scale and translation have it; None without them.

    origin  of each axis, see `Dataset.origin`
    """
    match transformations:
        case [{"type": "scale", "scale": [*scale]}, {"type": "translation", "translation": [*shift]}]:
            if len(scale) == len(shift) == len(origin) and all(isinstance(value, int | float) for value in (*scale, *shift)):
                # of a pixel of the level, and of the image
                sizes = [(a, (a - 2 * b) / (1 - 2 * begin)) for a, b, begin in zip(scale, shift, origin, strict=True)]
                return [round(a / full, 6) for a, full in sizes] if all(full > 0 for _, full in sizes) else None
    return None


def _bytes(shape: tuple[int, ...], dtype: str) -> int:
    import numpy as np

    total = int(np.prod(shape, dtype=np.int64))
    try:
        return total * np.dtype(dtype).itemsize
    except TypeError:  # a type of Zarr that numpy has not
        return total


def _stored_bytes(dataset: Dataset) -> int | None:
    if sum(array.chunk_count for array in dataset.arrays) > COUNTED_CHUNKS:
        return None
    try:
        return sum(size for array in dataset.arrays for _, size in dataset.objects.sizes(f"{array.path}/"))
    except OSError:  # a web server cannot be listed
        return None


def _objects(value: Any) -> list[Json]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _text(value: Any, key: str) -> str | None:
    return str(value[key]) if isinstance(value, dict) and value.get(key) else None
