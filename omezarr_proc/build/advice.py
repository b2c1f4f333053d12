"""What a person should know of an image before the work is done: said in the log and by --dry-run."""

from collections.abc import Iterator
from typing import Literal

from omezarr_proc.build.dataset import object_count
from omezarr_proc.build.labels import label_hint
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.events import Advice
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid

# Uploads that take one object after the other with credentials of an hour end between 90,000 and 180,000.
MANY_OBJECTS = 50_000


def advice(image: Image, pyramid: Pyramid, settings: Settings) -> Iterator[Advice]:
    """What is to be said of an image and the dataset that it becomes, the loudest first."""
    keeps = "INITIAL_DOWNSAMPLE=1 keeps full resolution"
    if settings.downsample_method == "mean" and (why := label_hint(image)):
        because = "means of labels are labels that do not exist; DOWNSAMPLE_METHOD=mode or nearest keeps them"
        yield _advice("WARNING", "labels", f"looks like labels ({why}): {because}", f"looks like labels: {because}")
    if (count := object_count(image, pyramid, settings)) > MANY_OBJECTS:
        fewer = f"{_fewer(image, pyramid, settings)} makes fewer"
        yield _advice("WARNING", "many-objects", f"its dataset will have {count:,} objects: {fewer}", f"has many objects: {fewer}")
    base = pyramid.levels[0]
    if settings.initial_downsample == 1:
        return
    if max(base.height, base.width) <= settings.min_dimension:
        left = f"is so small that one level of {base.height} x {base.width} is all that is made of its {image.height} x {image.width}"
        yield _advice("INFO", "small", f"{left}; {keeps}", f"so small that little is left; {keeps}")
    else:
        yield _advice("INFO", "downsampled", f"starts from {settings.initial_downsample}x downsampled; {keeps}")


def _fewer(image: Image, pyramid: Pyramid, settings: Settings) -> str:
    """What to set, the most helpful first."""
    shards = () if pyramid.sharded or settings.zarr_format == "2" else ("SHARDING=on",)
    deeper = ("a larger Z_CHUNK",) if image.size_z > 1 else ()
    return ", ".join((*shards, "a larger TILE_SIZE or INITIAL_DOWNSAMPLE", *deeper)) + ", or CHANNEL_CHUNKING=bundled,"


def _advice(level: Literal["INFO", "WARNING"], event: str, text: str, summary: str = "") -> Advice:
    return Advice(level=level, event=event, text=text, summary=summary or text)
