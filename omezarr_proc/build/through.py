"""A source read through once more beside its dataset: all bands of its base level, made by the engine and stored nowhere."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from tempfile import gettempdir
from typing import TypeVar

from omezarr_proc.engine.base import Engine, WorkerLostError
from omezarr_proc.host.limits import Limits
from omezarr_proc.model.errors import LimitError
from omezarr_proc.model.image import Image
from omezarr_proc.model.pyramid import Level, Pyramid
from omezarr_proc.model.region import Region, X, Y, Z
from omezarr_proc.plan.passes import MAX_AMPLIFICATION, bands
from omezarr_proc.plan.plan import Plan, make_plan
from omezarr_proc.store.arrays import spool_file
from omezarr_proc.work.replies import Reply
from omezarr_proc.work.tasks import Compare, Hash, Loose, Spool

T = TypeVar("T")
_MOST_PLANS = 3


def with_plans(image: Image, pyramid: Pyramid, limits: Limits, work: Callable[[Plan, int | None], T], *, keeps_pixels: bool = False) -> T:
    """Do `work` with a plan and a spool file where that wants one; where a worker is lost, again with a smaller plan.

    pyramid  of the base level, and of the next one where bands should hold whole chunks of that

    Raises LimitError, and what `work` does.
    """
    for smaller in range(_MOST_PLANS):
        plan = _plan(image, pyramid, limits, smaller, keeps_pixels)
        spool = spool_file(Path(gettempdir(), "verify"), plan.spool_bytes) if plan.spool_bytes else None
        try:
            return work(plan, spool)
        except WorkerLostError:
            if smaller == _MOST_PLANS - 1:
                raise
    raise AssertionError  # the last plan has returned or raised


def _plan(image: Image, pyramid: Pyramid, limits: Limits, smaller: int, keeps_pixels: bool) -> Plan:
    """A plan whose bands hold whole segments: in a conversion the levels of the same pass make them high, here several rows of chunks."""
    level, best = pyramid.levels[0], make_plan(image, pyramid, limits, smaller, keeps_pixels=keeps_pixels)
    t, c, z, y, x = level.axes
    rows = 2 * y.object
    while best.amplification > MAX_AMPLIFICATION and rows < 2 * y.size:
        high = replace(pyramid, levels=(Level(0, (t, c, z, replace(y, object=rows), x)), *pyramid.levels[1:]))
        try:
            plan = make_plan(image, high, limits, smaller, keeps_pixels=keeps_pixels)
        except LimitError:
            break
        best = min(best, plan, key=lambda plan: plan.amplification)
        rows *= 2
    return best


def read_through(
    engine: Engine,
    pyramid: Pyramid,
    plan: Plan,
    kind: type[Compare] | type[Hash],
    note: Callable[[Loose, Reply], None],
    wanted: Callable[[Region], bool] = lambda band: True,
) -> None:
    """Have a task of a kind done with each band that is wanted, after what must be done before. Raises as `Engine.work` does."""
    todo = filter(wanted, bands(plan.passes[0], pyramid))
    for before, tasks in _tasks(pyramid, plan, kind, todo):
        engine.work(before, note)
        engine.work(tasks, note)


def _tasks(
    pyramid: Pyramid, plan: Plan, kind: type[Compare] | type[Hash], todo: Iterator[Region]
) -> Iterator[tuple[Iterator[Spool], Iterator[Compare | Hash]]]:
    """Who streams a plane has all of its bands, one after another."""
    pass_, access = plan.passes[0], plan.access
    height, width = pyramid.levels[0].shape[Y:]
    if "spool" not in access and "stream" not in access:
        yield iter(()), (kind(pass_, (band,)) for band in todo)
        return
    grounds = groupby(todo, lambda band: band.along(Y, 0, height).along(X, 0, width))
    if "spool" not in access:
        yield iter(()), (kind(pass_, tuple(on_it)) for _, on_it in grounds)
        return
    for ground, on_it in grounds:
        t, c, *_ = ground.stop
        parts = ground.cut((t, c, 1, height, width))
        yield (Spool(part, part.start[Z] - ground.start[Z]) for part in parts), (kind(pass_, (band,)) for band in on_it)
