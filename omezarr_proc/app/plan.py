"""`--dry-run`: the plan for each image, as lines for a person, before anything is written."""

from collections import Counter
from collections.abc import Iterable, Iterator

from omezarr_proc.app.collect import proposed
from omezarr_proc.app.datasets import Planned, datasets
from omezarr_proc.app.inputs import Input
from omezarr_proc.app.opening import open_inputs
from omezarr_proc.build.advice import advice
from omezarr_proc.build.dataset import object_count, pyramid_of
from omezarr_proc.build.fields import plate_notes, plate_objects
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits, read_limits
from omezarr_proc.model.errors import LimitError, ProcError, UnsupportedInputError, about
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.text import byte_size, counted, quantity, shown
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.plan.memory import MB
from omezarr_proc.plan.passes import band_count
from omezarr_proc.plan.plan import make_plan


def dry_run(settings: Settings, inputs: Iterable[Input]) -> Iterator[tuple[str, bool]]:
    """Yield (line, whether it is an error) for what `batch.run` would do."""
    limits = read_limits(settings.memory_limit_mb, settings.max_workers)
    yield f"memory: {limits.memory_bytes // MB} MB ({limits.memory_source}), of which {limits.headroom_bytes // MB} MB can be used", False
    yield f"CPUs: {limits.cpus:g} ({limits.cpu_source})", False
    inputs = list(inputs)
    if settings.sequence == "auto":
        yield from ((line, False) for line in proposed(inputs))
    planned_datasets, failed, sums = 0, 0, Counter[str]()
    for entry, images in open_inputs(settings, inputs, limits):
        if isinstance(images, ProcError):
            failed += 1
            yield str(images), True
            continue
        for planned in datasets(settings, entry, images):
            yield f"{shown(entry.path)} -> {shown(planned.target)}", False
            try:
                with about(entry.path):
                    yield from ((f"  {line}", False) for line in _dataset(settings, planned, limits))
                    planned_datasets, sums = planned_datasets + 1, sums + _sums(settings, planned)
            except (LimitError, UnsupportedInputError) as error:
                failed += 1
                yield str(error), True
    if planned_datasets > 1:
        stored = f"{sums['objects']} objects, {byte_size(sums['bytes'])} before compression"
        others = f"; {failed} would fail" if failed else ""
        yield f"all {planned_datasets} datasets: {quantity(sums['pixels'], 'px')} to read; {stored}{others}", False


def _sums(settings: Settings, planned: Planned) -> Counter[str]:
    """What a dataset costs, to be added up: pixels to read, objects, bytes in all of its levels."""
    pyramids = [pyramid_of(image, settings) for image in planned.images]
    return Counter(
        pixels=sum(image.size_t * image.size_c * image.size_z * image.height * image.width for image in planned.images),
        objects=plate_objects(planned.images, settings) if planned.plate else object_count(planned.images[0], pyramids[0], settings),
        bytes=sum(pyramid.pixels * pyramid.itemsize for pyramid in pyramids),
    )


def _dataset(settings: Settings, planned: Planned, limits: Limits) -> Iterator[str]:
    """What is said of one dataset; of a plate, levels and plan are those of its first field."""
    image = planned.images[0]
    yield from plate_notes(planned.images) if planned.plate else image.notes
    pyramid = pyramid_of(image, settings)
    yield from _levels(image, pyramid)
    yield f"{plate_objects(planned.images, settings) if planned.plate else object_count(image, pyramid, settings)} objects"
    yield from (f"{line.level.lower()}: {line.text}" for line in advice(image, pyramid, settings))
    yield _plan(image, pyramid, limits, settings)


def _levels(image: Image, pyramid: Pyramid) -> Iterator[str]:
    axes = "zyx" if image.size_z > 1 else "yx"
    for level in pyramid.levels:
        size, chunks = byte_size(level.region.size * pyramid.itemsize), counted(level.grid.size, "chunk")
        if level.sharded:
            chunks += f" in {counted(level.objects.size, 'shard')} of up to {_by(n for n in level.shard if n > 1)}"
        sides = level.shape[-len(axes) :]
        factors = dict(zip(axes, level.factor[-len(axes) :], strict=True))
        spacing = ", ".join(_spacing(image, axis, factor) for axis, factor in factors.items())
        yield (
            f"level {level.index}: {_by(sides)}, {chunks}, {size} before compression"
            f"; factor {_by(factors.values())} ({', '.join(axes)}), spacing {spacing}"
        )


def _by(values: Iterable[int]) -> str:
    return " x ".join(map(str, values))


def _spacing(image: Image, axis: str, factor: int) -> str:
    size = image.sizes.get(axis)
    return f"{axis} {size.value * factor:g} {size.unit}" if size else f"{axis} not stated"


def _plan(image: Image, pyramid: Pyramid, limits: Limits, settings: Settings) -> str:
    keeps_pixels = REDUCTIONS[settings.downsample_method].keeps_pixels
    plan = make_plan(image, pyramid, limits, keeps_pixels=keeps_pixels, certified=settings.certificate)
    count = sum(band_count(pass_, pyramid) for pass_ in plan.passes)
    disk = f", {byte_size(plan.spool_bytes)} of disk for decoded planes" if plan.spool_bytes else ""
    passes = "1 pass" if len(plan.passes) == 1 else f"{len(plan.passes)} passes"
    return (
        f"{counted(plan.workers, 'worker')}, {counted(plan.slots, 'slot')} of {plan.slot_bytes / MB:.1f} MB,"
        f" {counted(count, 'band')} in {passes},"
        f" read amplification {plan.amplification:.2f}, projected peak {plan.projected_bytes // MB} MB{disk}"
    )
