"""What of a batch is one part's. Each part opens all inputs, and so finds the same cut without asking anybody.

Only a few numbers are kept of each image. What is this part's is opened again in its turn.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from omezarr_proc.app.datasets import Planned, datasets
from omezarr_proc.app.inputs import Input
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.address import Place
from omezarr_proc.model.errors import CeilingError, Exit, ProcError
from omezarr_proc.model.part import Part
from omezarr_proc.model.text import counted

if TYPE_CHECKING:
    from omezarr_proc.model.image import Image
    from omezarr_proc.plan.shares import Shared, Weight

Opened = tuple[Input, "list[Image] | ProcError"]


@dataclass
class Owned:
    """What of one input is this part's.

    datasets  whole ones, and pieces of others, by where they go
    errors    of those that the input yields, by their order
    """

    datasets: "dict[Place, Shared]" = field(default_factory=dict)
    errors: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Item:
    """What is shared out of an input: one dataset, by where it goes, or (None) the error why something cannot be converted."""

    entry: Input
    target: Place | None
    weight: "Weight"


def cut_inputs(opened: Iterable[Opened], settings: Settings) -> list[Item]:
    """What there is to be shared out. Raises ProcError where an input cannot be opened by this machine now."""
    from omezarr_proc.plan.shares import IMAGE_BYTES, Weight

    found: list[Item] = []
    for entry, images in opened:
        if isinstance(images, ProcError):
            if images.exit in (Exit.TRY_AGAIN, Exit.NEEDS_MORE):  # other parts may open it, and would cut the batch otherwise
                raise images
            found.append(Item(entry, None, Weight(IMAGE_BYTES)))
        else:
            found += (Item(entry, planned.target, _weight(planned, settings)) for planned in datasets(settings, entry, images))
    return found


def _weight(planned: Planned, settings: Settings) -> "Weight":
    """The work of a dataset, and how it can be cut."""
    from omezarr_proc.build.dataset import pyramid_of
    from omezarr_proc.build.fields import by_path
    from omezarr_proc.plan.shares import IMAGE_BYTES, Weight, weight_of, weight_of_plate

    images = by_path(planned.images).values() if planned.plate else planned.images
    try:
        pyramids = [pyramid_of(image, settings) for image in images]
    except CeilingError:
        return Weight(IMAGE_BYTES)
    return weight_of_plate(pyramids) if planned.plate else weight_of(planned.images[0], pyramids[0])


def shared_out(found: Sequence[Item], of: int) -> "dict[int, dict[Input, Owned]]":
    """What is each part's, by input, of `of` parts; those that have nothing are left out."""
    from omezarr_proc.plan.shares import cut_batch

    by_part: dict[int, dict[Input, Owned]] = {}
    wrong: dict[Input, int] = {}
    for item, shared in zip(found, cut_batch([item.weight for item in found], of), strict=True):
        number = wrong.get(item.entry, 0)
        if item.target is None:
            wrong[item.entry] = number + 1
        for part in shared.parts:
            of_entry = by_part.setdefault(part, {}).setdefault(item.entry, Owned())
            if item.target is None:
                of_entry.errors.add(number)
            else:
                of_entry.datasets[item.target] = shared
    return by_part


def owned(found: Sequence[Item], part: Part) -> dict[Input, Owned]:
    """What is this part's, by input."""
    mine = shared_out(found, part.of).get(part.number, {})
    whole = sum(shared.cut is None for of_entry in mine.values() for shared in of_entry.datasets.values())
    pieces = sum(len(of_entry.datasets) for of_entry in mine.values()) - whole
    text = f"part {part}: {counted(whole, 'whole dataset')} and pieces of {counted(pieces, 'other')}, of {len(found)} in all"
    logger.bind(event="part", part=part.number, parts=part.of, whole=whole, pieces=pieces, datasets=len(found)).info(text)
    return mine


def chosen(opened: Iterable[Opened], mine: dict[Input, Owned]) -> Iterator[Opened]:
    """Of what was opened again the errors that are this part's, and all images of an input of which some are.

    An input that could be opened before and cannot now is an error of each part that has something of it.
    """
    wrong: dict[Input, int] = {}
    before: Input | None = None
    for entry, images in opened:
        of_entry = mine[entry]
        if isinstance(images, ProcError):
            number = wrong[entry] = wrong.get(entry, -1) + 1
            if number in of_entry.errors or (of_entry.datasets and entry != before):
                yield entry, images
        elif of_entry.datasets:
            yield entry, images
        before = entry
