"""A finished dataset held against the TIFF that it was made of: every pixel of the base level, and all of the root metadata.

The base level is made anew by the engine, band by band, as a conversion makes it, and compared where a conversion would encode it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from omezarr_proc.build.dataset import attributes, pyramid_of
from omezarr_proc.build.recovered import as_stored
from omezarr_proc.build.through import read_through, with_plans
from omezarr_proc.build.windows import display_windows
from omezarr_proc.check.exact import Made, check_steps, stated_method
from omezarr_proc.check.levels import Difference, Level, merged
from omezarr_proc.config.settings import Settings
from omezarr_proc.engine.base import Engine
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import DifferentOutputError
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import AXES
from omezarr_proc.pixels.histogram import Extremes, merge_extremes
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.plan.plan import Plan
from omezarr_proc.store.arrays import OME_XML
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.read import Dataset
from omezarr_proc.work.replies import Compared, Reply
from omezarr_proc.work.tasks import Compare, Job, Loose


@dataclass(frozen=True, kw_only=True)
class Sourced:
    """What of a dataset is not what its source gives.

    pixels      that were compared
    difference  of the base level; `problem` instead where it cannot be compared
    metadata    what is stated otherwise, a line each; of datasets by others nothing is told
    above       how the next level comes from the base level, where it was compared on the way
    """

    pixels: int = 0
    difference: Difference | None = None
    problem: str = ""
    metadata: tuple[str, ...] = ()
    above: Made | None = None

    @property
    def identical(self) -> bool:
        """Whether nothing is."""
        return not (self.difference or self.problem or self.metadata)


def compare_with_source(dataset: Dataset, image: Image, settings: Settings, engine: Engine, limits: Limits) -> Sourced:
    """Hold a dataset against an image; `settings`: those that it was made with (`recovered.settings_of`).

    Raises ProcError: what reading the source raises, LimitError, WorkerLostError.
    """
    pyramid = pyramid_of(image, settings)
    base, level = dataset.arrays[0], pyramid.levels[0]
    of_source = dict(zip(AXES, level.shape, strict=True))
    stored = dict(zip(dataset.axes, base.shape, strict=False))
    if {name: size for name, size in of_source.items() if size > 1} != {name: size for name, size in stored.items() if size > 1}:
        return Sourced(problem=f"is of {_sizes(stored)}, the source gives {_sizes(of_source)}")
    if dataset.own is not None and base.dtype != pyramid.dtype:
        return Sourced(problem=f"is {base.dtype}, the source gives {pyramid.dtype}")
    if len(pyramid.levels) == len(dataset.arrays) and dataset.own is not None:
        pyramid = as_stored(pyramid, dataset)
    codec = codec_for(pyramid.dtype, settings.compression, settings.compression_level)
    store = ChunkStore(dataset.objects, pyramid, codec, 2 if settings.zarr_format == "2" else 3)

    def compare(plan: Plan, spool: int | None) -> Sourced:
        source, method = replace(image, ome_xml=None), settings.downsample_method
        engine.begin(Job(source, store, method, plan.access, lenient=True, against=dataset), plan, spool)
        differences, extremes = _compare(engine, pyramid, plan)
        if differences[0] or dataset.own is None:
            return Sourced(pixels=level.region.size, difference=differences[0])
        above = _above(dataset, pyramid, settings.downsample_method, differences[1]) if len(differences) > 1 else None
        metadata = tuple(_metadata(dataset, image, settings, engine, store, extremes))
        return Sourced(pixels=level.region.size, metadata=metadata, above=above)

    planned = replace(settings, max_levels=2 if _has_next(dataset, pyramid, settings) else 1, sharding="off")
    keeps_pixels = REDUCTIONS[settings.downsample_method].keeps_pixels
    return with_plans(image, pyramid_of(image, planned), limits, compare, keeps_pixels=keeps_pixels)


def _has_next(dataset: Dataset, pyramid: Pyramid, settings: Settings) -> bool:
    """Whether the second level is one that a conversion makes of the base level, so that both are compared while pixels are there."""
    if dataset.own is None or len(dataset.arrays) != len(pyramid.levels) or len(pyramid.levels) == 1:
        return False
    array = dataset.arrays[1]
    sizes = pyramid.stored(pyramid.levels[1].shape)
    if array.shape != sizes or array.dtype != pyramid.dtype or stated_method(dataset) != settings.downsample_method:
        return False
    try:
        Level(dataset, array)
    except Exception:  # whatever zarr says to codecs that it does not know: `check_steps` tells of it
        return False
    return True


def _above(dataset: Dataset, pyramid: Pyramid, method: str, difference: Difference | None) -> Made:
    below, array = dataset.arrays[:2]
    return Made(path=array.path, before=below.path, method=method, pixels=pyramid.levels[1].region.size, difference=difference)


def refuse_different(dataset: Dataset, image: Image, settings: Settings, engine: Engine, limits: Limits) -> None:
    """Raise DifferentOutputError where a dataset about to be published is not what its source gives."""
    if found := different(dataset, image, settings, engine, limits):
        raise DifferentOutputError(
            f"is not published, since what is stored is not what the input gives (VERIFY=1): {found}",
            source=image.source,
            hint="run it again; if it comes again the same, it is a mistake of this program, else look at memory and storage",
        )


def different(dataset: Dataset, image: Image, settings: Settings, engine: Engine, limits: Limits) -> str:
    """What first of a dataset is not what its source gives, or a level not of the one before; empty where all is."""
    of_source = compare_with_source(dataset, image, settings, engine, limits)
    found = [*of_source.metadata]
    if of_source.difference or of_source.problem:
        found.insert(0, f"level 0: {of_source.difference.text if of_source.difference else of_source.problem}")
    for level in check_steps(dataset, of_source.above):
        if not level.exact:
            what = level.difference.text if level.difference else level.problem
            found.append(f"level {level.path} is not the exact {level.method} of level {level.before}: {what}")
    return found[0] if found else ""


def _compare(engine: Engine, pyramid: Pyramid, plan: Plan) -> tuple[list[Difference | None], dict[int, Extremes | None]]:
    """What differs on each level of the pass over the source, and the extremes of each channel in the source."""
    found: list[tuple[Difference | None, ...]] = []
    extremes: dict[int, Extremes | None] = {}

    def note(task: Loose, reply: Reply) -> None:
        if isinstance(reply, Compared):
            found.append(reply.differences)
            for channel, of_channel in reply.extremes.items():
                extremes[channel] = merge_extremes(extremes.get(channel), of_channel)

    read_through(engine, pyramid, plan, Compare, note)
    return [merged(of_level) for of_level in zip(*found, strict=True)], extremes


def _metadata(
    dataset: Dataset, image: Image, settings: Settings, engine: Engine, store: ChunkStore, extremes: Mapping[int, Extremes | None]
) -> Iterator[str]:
    """What a dataset of ours states that its source, or its own pixels, do not."""
    found = display_windows(engine, image, store.pyramid, extremes)
    own = dataset.own or {}
    yield from unlike(dataset.attributes, attributes(image, settings, str(own.get("key")), store, found))
    # the second is what versions up to 0.2.0 kept
    if dataset.objects.exists(OME_XML) and dataset.objects.get(OME_XML) not in (image.own_ome_xml, (image.ome_xml or "").encode()):
        yield f"{OME_XML} is not the OME-XML of the source"


def unlike(stated: Any, expected: Any, where: str = "") -> Iterator[str]:
    """Where two JSON values differ; which version of this program has made them does not count."""
    if isinstance(stated, dict) and isinstance(expected, dict):
        for key in dict.fromkeys((*expected, *stated)):
            if key not in stated or key not in expected:
                yield f"{where}{key} {'is missing' if key in expected else 'is not of the source'}"
            elif key != "version" or not where.endswith(("metadata.", "omezarr_proc.")):
                yield from unlike(stated[key], expected[key], f"{where}{key}.")
    elif isinstance(stated, list) and isinstance(expected, list) and len(stated) == len(expected):
        for index, pair in enumerate(zip(stated, expected, strict=True)):
            yield from unlike(*pair, f"{where}{index}.")
    elif stated != expected or isinstance(stated, bool) != isinstance(expected, bool):
        yield f"{where[:-1]} is {stated!r}, the source gives {expected!r}"


def _sizes(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in sizes.items() if size > 1) or "one pixel"
