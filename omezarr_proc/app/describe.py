"""What an image holds, as an object of JSON. No pixels are read.

The keys stay as they are; new ones may come:

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

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omezarr_proc.app.inputs import tiff_ending
from omezarr_proc.app.places import check_file
from omezarr_proc.check.collection import open_collection
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import InputError, LimitError, UnsupportedInputError, about
from omezarr_proc.store.read import Dataset, first_multiscale, metadata_of, open_dataset
from omezarr_proc.store.zipped import zipped_at

if TYPE_CHECKING:
    from omezarr_proc.model.image import Image

Json = dict[str, Any]

COUNTED_CHUNKS = 20_000  # on a network file system the size of each file is a question to the server


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
