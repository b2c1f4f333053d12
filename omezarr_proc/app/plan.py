"""`--dry-run`: the plan for each image, as lines for a person, before anything is written."""

from collections.abc import Iterator, Sequence

from omezarr_proc.app.batch import open_inputs
from omezarr_proc.app.inputs import Input, dataset_path
from omezarr_proc.build.image import make_geometry
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits, read_limits
from omezarr_proc.model.errors import LimitError
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import band_count, chunk_count
from omezarr_proc.model.text import byte_size, shown
from omezarr_proc.plan.memory import MB, Geometry, make_plan


def dry_run(settings: Settings, inputs: Sequence[Input]) -> Iterator[tuple[str, bool]]:
    """Yield (line, whether it is an error) for what `process.run` would do."""
    limits = read_limits(settings.memory_limit_mb, settings.max_workers)
    yield f"memory: {limits.memory_bytes // MB} MB ({limits.memory_source}), of which {limits.headroom_bytes // MB} MB can be used", False
    yield f"CPUs: {limits.cpus:g} ({limits.cpu_source})", False
    for entry, images in open_inputs(settings, inputs, limits):
        if isinstance(images, str):
            yield f"{shown(entry.path)}: {images}" if shown(entry.path) not in images else images, True
            continue
        for image in images:
            yield f"{shown(entry.path)} -> {shown(settings.output_dir / dataset_path(entry.relative, image.series))}", False
            yield from ((f"  {note}", False) for note in image.notes)
            try:
                geometry = make_geometry(image, settings)
                yield from ((f"  {line}", False) for line in _levels(image, geometry))
                yield f"  {_plan(geometry, limits)}", False
            except LimitError as error:
                yield str(error), True


def _levels(image: Image, g: Geometry) -> Iterator[str]:
    planes = image.size_t * image.size_c * image.size_z
    for level in g.levels:
        size = level.height * level.width * planes * g.itemsize
        chunks = chunk_count(level, g.frames, g.tile, g.bundled)
        yield f"level {level.index}: {level.height} x {level.width}, {chunks} chunks, {byte_size(size)} before compression"


def _plan(g: Geometry, limits: Limits) -> str:
    plan = make_plan(g, limits)
    count = sum(band_count(stage, g.levels[stage.first], g.frames.count) for stage in plan.passes)
    disk = f", {byte_size(plan.spool_bytes)} of disk for decoded planes" if plan.spool_bytes else ""
    return (
        f"{plan.workers} workers, {plan.slots} slots of {plan.slot_bytes / MB:.1f} MB, {count} bands in {len(plan.passes)} passes,"
        f" read amplification {plan.amplification:.2f}, projected peak {plan.projected_bytes // MB} MB{disk}"
    )
