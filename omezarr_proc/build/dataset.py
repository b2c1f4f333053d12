"""The dataset that the settings ask for of an image: its pyramid, its key, its root attributes. Pure."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import prod
from typing import Any

from omezarr_proc import __version__
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.address import Address
from omezarr_proc.model.crop import Crop
from omezarr_proc.model.errors import CeilingError
from omezarr_proc.model.image import Image
from omezarr_proc.model.plate import Plate
from omezarr_proc.model.pyramid import Pyramid, axis_names, make_pyramid
from omezarr_proc.model.region import Z
from omezarr_proc.model.shards import sharded
from omezarr_proc.model.text import byte_size
from omezarr_proc.ngff import attributes as ngff
from omezarr_proc.ngff.versions import versioned_key
from omezarr_proc.ngff.windows import Window
from omezarr_proc.store.arrays import ICC_PROFILE
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import MAX_CHUNK_BYTES

# Part of every dataset's key: a new number where the same input and settings give other bytes than before.
OUTPUT_VERSION = 3
# With more chunks than this a dataset in an object store is sharded by SHARDING=auto.
MANY_CHUNKS = 1000


def part_of(image: Image, crop: Crop) -> Image:
    """What a crop takes of an image; its channels keep the names and colours that they have in the whole. Raises as `Crop.of` does."""
    if crop.channels is None:
        return crop.of(image)
    named = ngff.as_shown(image)
    part = crop.of(named)
    return image if part is named else part


def pyramid_of(image: Image, settings: Settings) -> Pyramid:
    """The pyramid that the settings ask for. Raises CeilingError where image or dataset are larger than the settings allow."""
    planes = image.size_t * image.size_c * image.size_z
    if planes * image.height * image.width > settings.max_pixels:
        raise CeilingError(
            f"image {image.series} states {planes} planes of {image.width} x {image.height} pixels,"
            f" more than MAX_PIXELS={settings.max_pixels}",
            source=image.source,
            hint="if that is so, raise MAX_PIXELS, else the file is corrupt",
        )
    pyramid = _pyramid(image, settings)
    if pyramid.chunk_count > settings.max_chunks:
        raise CeilingError(
            f"the dataset of image {image.series} would have {pyramid.chunk_count} chunks, more than MAX_CHUNKS={settings.max_chunks}",
            source=image.source,
            hint="set a larger TILE_SIZE or INITIAL_DOWNSAMPLE, or raise MAX_CHUNKS",
        )
    chunk = prod(pyramid.levels[0].chunk) * pyramid.itemsize
    if chunk > MAX_CHUNK_BYTES:
        raise CeilingError(
            f"a chunk of image {image.series} would have {byte_size(chunk)}, more than the {byte_size(MAX_CHUNK_BYTES)} that Blosc takes",
            source=image.source,
            hint="set a smaller TILE_SIZE or Z_CHUNK",
        )
    return pyramid


def _pyramid(image: Image, settings: Settings) -> Pyramid:
    pyramid = _chunked(image, settings)
    return sharded(pyramid, image) if _in_shards(pyramid, settings) else pyramid


def _in_shards(pyramid: Pyramid, settings: Settings) -> bool:
    """Whether chunks are stored together: where each object costs a request, but not where all of them are few."""
    if settings.sharding == "auto":
        return isinstance(settings.output_dir, Address) and settings.zarr_format == "3" and pyramid.chunk_count > MANY_CHUNKS
    return settings.sharding == "on"


def _chunked(image: Image, settings: Settings) -> Pyramid:
    chunking = settings.channel_chunking
    return make_pyramid(
        image,
        downsample=settings.initial_downsample,
        tile=settings.tile_size,
        bundled=image.rgb if chunking == "auto" else chunking == "bundled",
        max_levels=settings.max_levels,
        min_dimension=settings.min_dimension,
        names=axis_names(image, settings.axes),
        z_downsample=settings.z_downsample,
        z_chunk=settings.z_chunk,
    )


def object_count(image: Image, pyramid: Pyramid, settings: Settings) -> int:
    """How many files, or objects in a store, the dataset will have: chunks (or shards) and documents."""
    stored = sum(level.objects.size for level in pyramid.levels)
    return stored + documents(1 + len(pyramid.levels), image, settings) + bool(image.profile)


def documents(nodes: int, image: Image, settings: Settings) -> int:
    """How many documents so many groups and arrays have, with the OME-XML of an image that has one."""
    return nodes * (2 if settings.zarr_format == "2" else 1) + bool(image.ome_xml and settings.ome_xml == "keep")


def dataset_key(image: Image, settings: Settings) -> str:
    """What a dataset is a function of: the source, the settings that shape it, and the versions of what makes its bytes."""
    import numcodecs.blosc

    shaping = settings.output_shaping()
    if _in_shards(_chunked(image, settings), settings):
        shaping["sharding"] = "on"
    parts = [image.fingerprint, image.series, shaping, OUTPUT_VERSION, numcodecs.blosc.VERSION_STRING]
    if image.profile or image.in_srgb:  # nothing else hangs on it
        parts.append(f"color={settings.color}")
    if len({layout.colours for layout in image.layouts}) > 1:  # up to version 0.2.0 all pages had the colours of the first
        parts.append("palettes")
    if image.ome_places and settings.ome_xml == "keep":  # versions up to 0.2.0 kept all of the document
        parts.append("own OME-XML")
    return versioned_key(hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest(), settings.ngff_version)


def plate_key(fields: Mapping[str, str], plate: Plate, version: str) -> str:
    """What the dataset of a plate is a function of: the key of each field, by its path, and how the plate is described."""
    keys = sorted((path, versioned_key(key, "0.5")) for path, key in fields.items())
    return versioned_key(hashlib.sha256(json.dumps([keys, asdict(plate)], sort_keys=True).encode()).hexdigest(), version)


def own_attributes(key: str, notes: Sequence[str]) -> dict[str, Any]:
    """Our own block of the root attributes."""
    return {"key": key, "version": __version__, "notes": list(notes)}


def attributes(image: Image, settings: Settings, key: str, store: ChunkStore, found: Sequence[Window]) -> dict[str, Any]:
    """The root attributes. `key`: the dataset's; `found`: the display window of each channel."""
    own = own_attributes(key, image.notes)
    if image.origin:
        own["origin"] = dict(image.origin)
    if image.magnification:
        own["magnification"] = image.magnification
    if image.profile:
        own["color"] = {"profile": ICC_PROFILE}
    elif image.in_srgb:
        own["color"] = {"space": "sRGB"}
    multiscale = ngff.multiscales(image, store.pyramid, settings.downsample_method)
    rendering = ngff.omero(image, found, store.pyramid.bundled, store.pyramid.levels[0].shape[Z])
    return ngff.root_attributes(multiscale, rendering, own, store.zarr_format, settings.ngff_version)
