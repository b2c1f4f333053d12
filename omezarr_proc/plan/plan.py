"""From what the container has to a plan: workers, slots, bands and how the source is read.

A pure function, so a plan can be shown before any work. What is planned here never shows in the output.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import LimitError
from omezarr_proc.model.image import Image, Layout
from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Z, ceil_div
from omezarr_proc.model.shards import BAND_BYTES
from omezarr_proc.plan.access import choose
from omezarr_proc.plan.memory import MB, RESERVE_BYTES, certificate_bytes, peak_bytes, reading_bytes, spool_bytes
from omezarr_proc.plan.passes import MAX_AMPLIFICATION, First, Pass, band_count, first_passes, next_pass, slot_levels

# A slot of a volume and what decodes into it take no more where the slot can be smaller: 200 MB in all for two workers.
MOST_SHARE_BYTES = 46 * MB
# A band up to this size is one task; larger ones are shared between the workers.
UNDIVIDED_BAND_BYTES = 3 * MB // 2
# The next smaller plan takes at most so much of the memory of the one that has died.
STEP = 6 / 7


@dataclass(frozen=True)
class SlotSizes:
    """How large slots may be, in bytes.

    targets  sizes to try, the best first: long enough for each pass to halve several times, and short enough to stay cheap, since fresh
             memory costs more than decoding. The first takes two levels of a volume of uint16: 2 x 2 x 2 chunks of 16 x 256 x 256 and the
             one that they become, with what chunks of shards have beside them. 0 stands for the smallest that there can be
    most     where slots must be larger, since bands hold several planes that are decoded whole, the spool file is taken first
    """

    targets: tuple[int, ...] = (BAND_BYTES + 4096, 16 * MB, 8 * MB, 4 * MB, 2 * MB, MB, 0)
    most: int = 16 * MB


SLOT_SIZES = SlotSizes()


@dataclass(frozen=True)
class Plan:
    """How one image is converted.

    access           for each layout of the image: "rows", "segment", "stream" or "spool" (see `access`)
    undivided        whether each band is one task
    amplification    segments decoded, over segments there are
    projected_bytes  peak memory of all processes together
    spool_bytes      disk space for decoded planes, beside the dataset
    """

    workers: int
    slots: int
    slot_bytes: int
    passes: tuple[Pass, ...]
    access: tuple[str, ...]
    undivided: bool
    amplification: float
    projected_bytes: int
    spool_bytes: int


def make_plan(
    image: Image,
    pyramid: Pyramid,
    limits: Limits,
    smaller: int = 0,
    *,
    keeps_pixels: bool = False,
    certified: bool = False,
    sizes: SlotSizes = SLOT_SIZES,
    choose: Callable[[Layout, bool], str] = choose,
) -> Plan:
    """The plan with the most workers, then the largest bands, that fits into what is left of the limit.

    smaller       steps down from there, each by a seventh of the memory at least, for a run whose plans have died; the smallest plan ends
                  them
    keeps_pixels  whether the method keeps all pixels of boxes that straddle segments (see `Reduction`)
    certified     whether digests of all pixels are kept for a certificate
    choose        the access to a layout, and the one that it has where there is to be a spool file

    Raises LimitError with the memory that would be enough.
    """
    budget = limits.headroom_bytes - RESERVE_BYTES
    chosen: Plan | None = None
    least = 0
    kept = certificate_bytes(image, pyramid) if certified else 0
    for plan in _plans(image, pyramid, max(1, math.ceil(limits.cpus)), keeps_pixels, kept, sizes, choose):
        least = min(least or plan.projected_bytes, plan.projected_bytes)
        if plan.projected_bytes <= (budget if chosen is None else chosen.projected_bytes * STEP):
            smaller -= chosen is not None
            chosen = plan
            if smaller <= 0:
                return chosen
    if chosen:
        return chosen
    needed = least + RESERVE_BYTES + limits.memory_bytes - limits.headroom_bytes
    raise LimitError(
        f"needs a memory limit of {ceil_div(needed, MB)} MB at least, there are {limits.memory_bytes // MB} MB"
        f" ({limits.memory_source}), of which {limits.headroom_bytes // MB} MB can be used",
        source=image.source,
    )


def _plans(
    image: Image, pyramid: Pyramid, cpus: int, keeps_pixels: bool, kept: int, sizes: SlotSizes, choose: Callable[[Layout, bool], str]
) -> Iterator[Plan]:
    """All plans worth trying, the best first."""
    accesses = dict.fromkeys(tuple(choose(layout, spool) for layout in image.layouts) for spool in (False, True))
    deep = pyramid.levels[0].factor[Z] * pyramid.levels[0].chunk[Z] > 1
    if deep:
        accesses[tuple("rows" if layout.raw else "spool" for layout in image.layouts)] = None
    firsts = {access: first_passes(image, pyramid, access) for access in accesses}
    if deep:
        accesses = dict.fromkeys(sorted(accesses, key=lambda access: "spool" not in access and _smallest(firsts[access]) > sizes.most))
    staged: dict[tuple[tuple[str, ...], int], _Passes] = {}
    for workers in range(cpus, 0, -1):
        for access in accesses:
            reading = max(reading_bytes(layout, how) for layout, how in zip(image.layouts, access, strict=True))
            for target in sizes.targets:
                if "spool" in access and target > sizes.most:  # deeper bands would take more disk space too
                    continue
                if (access, target) not in staged:
                    staged[access, target] = _passes(pyramid, firsts[access], target)
                if deep and target and target + reading > MOST_SHARE_BYTES:
                    continue
                for spare in (1, 0):
                    yield _plan(image, pyramid, workers, access, staged[access, target], spare, keeps_pixels, kept)


@dataclass(frozen=True)
class _Passes:
    """The passes for one size of slots, the slot that the largest of them takes, and the first one's read amplification."""

    passes: tuple[Pass, ...]
    slot_bytes: int
    amplification: float


def _passes(pyramid: Pyramid, firsts: list[First], target: int) -> _Passes:
    """The passes with as many levels each, then bands as wide, as slots of `target` bytes take; the smallest where none is so small."""
    usable = _usable(firsts)
    fitting = (first for first in usable if first.slot_bytes <= target)
    first = next(fitting, None) or min(usable, key=lambda first: first.slot_bytes)
    passes, slot_bytes = [first.pass_], first.slot_bytes
    while passes[-1].last < len(pyramid.levels) - 1:
        passes.append(next_pass(pyramid, passes[-1].last, target))
        slot_bytes = max(slot_bytes, slot_levels(passes[-1], pyramid)[1])
    return _Passes(tuple(passes), slot_bytes, first.amplification)


def _usable(firsts: list[First]) -> list[First]:
    return [first for first in firsts if first.amplification <= MAX_AMPLIFICATION] or [min(firsts, key=lambda first: first.amplification)]


def _smallest(firsts: list[First]) -> int:
    return min(first.slot_bytes for first in _usable(firsts))


def _plan(
    image: Image, pyramid: Pyramid, workers: int, access: tuple[str, ...], passes: _Passes, spare: int, keeps_pixels: bool, kept: int
) -> Plan:
    first, slot_bytes = passes.passes[0], passes.slot_bytes
    bands = band_count(first, pyramid)
    undivided = slot_bytes <= UNDIVIDED_BAND_BYTES and bands >= 2 * workers and "stream" not in access
    slots = min((2 * workers if undivided else workers) + spare, max(bands, 1))
    peak = peak_bytes(image, pyramid, first, access, workers=workers, keeps_pixels=keeps_pixels)
    return Plan(
        workers,
        slots,
        slot_bytes,
        passes.passes,
        access,
        undivided,
        passes.amplification,
        peak + kept + slots * slot_bytes,
        spool_bytes(image, first) if "spool" in access else 0,
    )
