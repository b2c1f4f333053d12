"""`--dry-run`: the plan for each image, as lines for a person, before anything is written."""

from collections.abc import Iterable, Iterator

from omezarr_proc.app.batch import open_inputs
from omezarr_proc.app.inputs import Input, dataset_of
from omezarr_proc.build.advice import advice
from omezarr_proc.build.dataset import object_count, pyramid_of
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits, read_limits
from omezarr_proc.model.errors import LimitError, ProcError, about
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.text import byte_size, shown
from omezarr_proc.pixels.reduction import REDUCTIONS, Reduction
from omezarr_proc.plan.memory import MB, make_plan
from omezarr_proc.plan.passes import band_count


def dry_run(settings: Settings, inputs: Iterable[Input]) -> Iterator[tuple[str, bool]]:
    """Yield (line, whether it is an error) for what `process.run` would do."""
    limits = read_limits(settings.memory_limit_mb, settings.max_workers)
    yield f"memory: {limits.memory_bytes // MB} MB ({limits.memory_source}), of which {limits.headroom_bytes // MB} MB can be used", False
    yield f"CPUs: {limits.cpus:g} ({limits.cpu_source})", False
    for entry, images in open_inputs(settings, inputs, limits):
        if isinstance(images, ProcError):
            yield str(images), True
            continue
        for image in images:
            yield f"{shown(entry.path)} -> {shown(dataset_of(settings, entry.relative, image.series))}", False
            yield from ((f"  {note}", False) for note in image.notes)
            try:
                with about(entry.path):
                    pyramid = pyramid_of(image, settings)
                    yield from ((f"  {line}", False) for line in _levels(image, pyramid))
                    yield f"  {object_count(image, pyramid, settings)} objects", False
                    yield from ((f"  {line.level.lower()}: {line.text}", False) for line in advice(image, pyramid, settings))
                    yield f"  {_plan(image, pyramid, limits, REDUCTIONS[settings.downsample_method])}", False
            except LimitError as error:
                yield str(error), True


def _levels(image: Image, pyramid: Pyramid) -> Iterator[str]:
    axes = "zyx" if image.size_z > 1 else "yx"
    for level in pyramid.levels:
        size, chunks = byte_size(level.region.size * pyramid.itemsize), level.grid.size
        sides = level.shape[-len(axes) :]
        factors = dict(zip(axes, level.factor[-len(axes) :], strict=True))
        spacing = ", ".join(_spacing(image, axis, factor) for axis, factor in factors.items())
        yield (
            f"level {level.index}: {_by(sides)}, {chunks} chunks, {size} before compression"
            f"; factor {_by(factors.values())} ({', '.join(axes)}), spacing {spacing}"
        )


def _by(values: Iterable[int]) -> str:
    return " x ".join(map(str, values))


def _spacing(image: Image, axis: str, factor: int) -> str:
    size = image.sizes.get(axis)
    return f"{axis} {size.value * factor:g} {size.unit}" if size else f"{axis} not stated"


def _plan(image: Image, pyramid: Pyramid, limits: Limits, reduction: Reduction) -> str:
    plan = make_plan(image, pyramid, limits, keeps_pixels=reduction.keeps_pixels)
    count = sum(band_count(pass_, pyramid) for pass_ in plan.passes)
    disk = f", {byte_size(plan.spool_bytes)} of disk for decoded planes" if plan.spool_bytes else ""
    return (
        f"{plan.workers} workers, {plan.slots} slots of {plan.slot_bytes / MB:.1f} MB, {count} bands in {len(plan.passes)} passes,"
        f" read amplification {plan.amplification:.2f}, projected peak {plan.projected_bytes // MB} MB{disk}"
    )
