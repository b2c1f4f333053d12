"""What a person should know of an image before the work is done: said in the log and by --dry-run. Pure."""

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Literal

from omezarr_proc.build.dataset import object_count
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.events import Advice
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid

# Uploads that take one object after the other with credentials of an hour end between 90,000 and 180,000.
MANY_OBJECTS = 50_000
# Whole words of a name, whatever stands for spaces in it: "cells_masks.tif", "nuclei-seg", "Label image".
_LABELS = re.compile(r"(?<![a-z])(masks?|labels?|labelled|labeled|seg|segm|segmentation|segmented|annotations?|instances?)(?![a-z])", re.I)
_INTEGERS = re.compile(r"u?int(8|16|32|64)|bool")


def advice(image: Image, pyramid: Pyramid, settings: Settings) -> Iterator[Advice]:
    """What is to be said of an image and the dataset that it becomes, the loudest first."""
    keeps = "INITIAL_DOWNSAMPLE=1 keeps full resolution"
    if (why := label_hint(image)) and settings.downsample_method == "mean":
        because = "means of labels are labels that do not exist; DOWNSAMPLE_METHOD=mode or nearest keeps them"
        yield _advice("WARNING", "labels", f"looks like labels ({why}): {because}", f"looks like labels: {because}")
    if (count := object_count(image, pyramid, settings)) > MANY_OBJECTS:
        fewer = "a larger TILE_SIZE or INITIAL_DOWNSAMPLE, or CHANNEL_CHUNKING=bundled, makes fewer"
        yield _advice("WARNING", "many-objects", f"its dataset will have {count:,} objects: {fewer}", f"has many objects: {fewer}")
    base = pyramid.levels[0]
    if settings.initial_downsample == 1:
        return
    if max(base.height, base.width) <= settings.min_dimension:
        left = f"is so small that one level of {base.height} x {base.width} is all that is made of its {image.height} x {image.width}"
        yield _advice("INFO", "small", f"{left}; {keeps}", f"so small that little is left; {keeps}")
    else:
        yield _advice("INFO", "downsampled", f"starts from {settings.initial_downsample}x downsampled; {keeps}")


def _advice(level: Literal["INFO", "WARNING"], event: str, text: str, summary: str = "") -> Advice:
    return Advice(level=level, event=event, text=text, summary=summary or text)


def label_hint(image: Image) -> str:
    """Why an image seems to hold labels rather than intensities; empty where it does not.

    It has integers and no colours, and either its file, its own name or a channel is called so, or its pixels are integers of 32 bits or
    more or single bits, which no camera writes. No pixel is read.
    """
    if image.rgb or not _INTEGERS.fullmatch(image.dtype):
        return ""
    if image.dtype in ("uint32", "int32", "uint64", "int64"):
        return f"{image.dtype} pixels"
    names = [PurePath(image.source).name, image.name, *(channel.name or "" for channel in image.channels)]
    return next((f"it is called {name!r}" for name in names if _LABELS.search(name)), "")
