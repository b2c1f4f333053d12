"""Whether each level of a dataset is exactly what the one before gives: all of its pixels."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from omezarr_proc.check.levels import Difference, Level, Step, merged
from omezarr_proc.host.limits import read_limits
from omezarr_proc.model.region import Region
from omezarr_proc.pixels.reduction import REDUCTIONS
from omezarr_proc.store.codec import without_threads
from omezarr_proc.store.read import Dataset, first_multiscale
from omezarr_proc.store.zarr_array import Array

_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class Made:
    """How a level comes from the one before.

    method      the reduction that it was held against
    pixels      that were compared
    difference  where there is one; `problem` instead where they cannot be compared
    """

    path: str
    before: str
    method: str
    pixels: int = 0
    difference: Difference | None = None
    problem: str = ""

    @property
    def exact(self) -> bool:
        """Whether it is made so, pixel by pixel."""
        return not self.difference and not self.problem


def stated_method(dataset: Dataset) -> str | None:
    """The reduction that the metadata say levels are made by, where it is known."""
    stated = first_multiscale(dataset.ome).get("type")
    return stated if isinstance(stated, str) and stated in REDUCTIONS else None


def check_steps(dataset: Dataset, known: Made | None = None) -> Iterator[Made]:
    """Each level but the first, held against what the metadata say it is made by; else against whatever it may be made by.

    known  what is known of the second one already
    """
    stated = stated_method(dataset)
    methods = [stated] if stated else list(REDUCTIONS)
    with ThreadPoolExecutor(max(1, round(read_limits(0, 0).cpus))) as threads, without_threads():
        if known:
            yield known
        for below, array in islice(zip(dataset.arrays, dataset.arrays[1:], strict=False), bool(known), None):
            tried = [_made(dataset, below, array, method, threads) for method in methods]
            yield next((made for made in tried if made.exact), tried[0])


def _made(dataset: Dataset, below: Array, array: Array, method: str, threads: ThreadPoolExecutor) -> Made:
    try:
        step = Step(Level(dataset, below), Level(dataset, array), method)
    except Exception as error:  # sizes that do not fit, or whatever zarr says to metadata that it does not take
        return Made(path=array.path, before=below.path, method=method, problem=" ".join(str(error).split()))
    found: Difference | None = None
    tiles = step.tiles()
    while batch := list(islice(tiles, _BATCH)):
        found = merged([found, *threads.map(step.difference, batch)])
    total = Region((0, 0, 0, 0, 0), step.above.shape).size
    return Made(path=array.path, before=below.path, method=method, pixels=total, difference=found)
