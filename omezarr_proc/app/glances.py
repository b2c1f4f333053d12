"""What a part finds in its batch. Where there are many inputs, it only glances at small OME-TIFFs, each of which is one part's whole.

Each part looks at all inputs, so with many parts that costs more than anything else.
"""

from collections.abc import Iterable, Iterator, Sequence

from omezarr_proc.app.datasets import place_of
from omezarr_proc.app.inputs import Input
from omezarr_proc.app.opening import open_inputs
from omezarr_proc.app.shares import Item, Opened, cut_inputs
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.address import Address, real
from omezarr_proc.model.errors import ProcError

# Inputs for each part, from which on a small image need not be cut for parts to have as much as each other.
MANY = 8


def items_of_part(settings: Settings, inputs: Sequence[Input], limits: Limits, deadline: float | None = None) -> list[Item]:
    """What there is to be shared out, in the same order for each part. Raises ProcError as `cut_inputs` does."""
    small = _small(settings, inputs, limits, deadline)
    numbers = {entry: number for number, entry in enumerate(inputs)}
    known: dict[str, int] = {}  # the files of what was opened, and by which input

    def noting(opened: Iterable[Opened]) -> Iterator[Opened]:
        for entry, images in opened:
            if not isinstance(images, ProcError):
                for file in {file for image in images for file in image.files}:
                    known.setdefault(real(file), numbers[entry])
            yield entry, images

    others = [entry for entry in inputs if entry not in small]
    items = cut_inputs(noting(open_inputs(settings, others, limits, deadline)), settings)
    for entry, item in small.items():
        if known.setdefault(real(entry.path), numbers[entry]) >= numbers[entry]:  # else it is part of another one, or a link to it
            items.append(item)
    return items


def _small(settings: Settings, inputs: Sequence[Input], limits: Limits, deadline: float | None) -> dict[Input, Item]:
    """What need not be opened. Inputs in object stores are, many at once: there a glance takes as long."""
    if not settings.part or len(inputs) < MANY * settings.part.of or settings.output_layout == "root":
        return {}
    from omezarr_proc.plan.shares import IMAGE_BYTES, Weight
    from omezarr_proc.plan.solo import SMALL_BYTES
    from omezarr_proc.tiff.describe.glance import bytes_of_one_image
    from omezarr_proc.tiff.file.budget import Budget

    found = {}
    for entry in inputs:
        if entry.sequence or entry.twin or isinstance(entry.path, Address):
            continue
        size = bytes_of_one_image(str(entry.path), Budget.within(limits, source=str(entry.path), deadline=deadline))
        if size is not None and size <= SMALL_BYTES:
            weight = Weight(IMAGE_BYTES + size * 4 // 3 // settings.initial_downsample**2)  # all its levels, about
            found[entry] = Item(entry, place_of(settings, entry), weight)
    return found
