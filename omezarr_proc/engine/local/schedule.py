"""Which task comes next: bands through slots, loads before writes, level by level. Pure bookkeeping without processes or pixels.

A band takes a free slot and is loaded in parts; when all parts are there its tiles are written (and folded) step by step, then the slot
is free again, where shards are stored out of it when their files are written. Tasks of older bands come first, so slots are returned soon
and the next band is loaded while this one is written.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from math import prod

from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Region, Y, Z
from omezarr_proc.plan.passes import Pass, at
from omezarr_proc.work.tasks import Load, Make, Seal, Storing, Task, Write


@dataclass(kw_only=True)
class _Open:
    """A band (of a `Make`, the first) that has a slot: what of the present step is still to be handed out and to be answered."""

    band: Region
    slot: int
    step: int  # -1: loading; beside the writes of a step the shards of the one before are sealed
    ready: list[Task]
    pending: int = 0


@dataclass(kw_only=True)
class Schedule:
    """The tasks of one pass over `bands`.

    parts   the loads that a band is cut into
    batch   chunk positions per write task, each with all channels of the band
    together  bands that one worker is given as one task; 0: the workers share each band
    sticky  the band's load must go to the worker that has loaded the frame's bands above (a decoder that works as a stream)
    """

    pyramid: Pyramid
    pass_: Pass
    bands: Iterator[Region]
    slots: list[int]
    parts: Callable[[Region], list[Region]]
    batch: int
    together: int = 0
    sticky: bool = False
    _open: list[_Open] = field(default_factory=list)
    _unstored: dict[Region, int] = field(default_factory=dict)
    _homes: dict[tuple[int, ...], Hashable] = field(default_factory=dict)
    _held: dict[Region, int] = field(default_factory=dict)
    _exhausted: bool = False

    def next(self, worker: Hashable) -> Task | None:
        """A task for `worker`, or None where there is none for it now."""
        for entry in self._open:
            if entry.ready and self._suits(entry, worker):
                return self._take(entry)
        if self.slots and not self._exhausted:
            taken = tuple(islice(self.bands, self.together or 1))
            if not taken:
                self._exhausted = True
                return None
            slot, band = self.slots.pop(), taken[0]
            if self.together:
                tasks: list[Task] = [Make(self.pass_, slot, taken)]
            else:
                tasks = [Load(self.pass_, slot, band, part) for part in self.parts(band)]
            entry = _Open(band=band, slot=slot, step=len(self.pass_.steps) if self.together else -1, ready=tasks, pending=len(tasks))
            self._open.append(entry)
            if self._suits(entry, worker):
                return self._take(entry)
        return None

    def done(self, task: Load | Storing) -> None:
        """Note the answer to `task`: what needed it becomes ready, its slot is free after the band's last one."""
        entry = next(e for e in self._open if e.slot == task.slot)
        if not isinstance(task, Load):
            self._unstored[entry.band] = self._unstored.get(entry.band, 0) + 1
        entry.pending -= 1
        if entry.pending:
            return
        if entry.step < len(self.pass_.steps):
            entry.step += 1
            entry.ready = [*self._seals(entry), *self._writes(entry)]
            entry.pending = len(entry.ready)
            if entry.pending:
                return
        self._open.remove(entry)
        if self._sharded:
            self._held[entry.band] = entry.slot
        else:
            self.slots.append(entry.slot)

    def stored(self, task: Storing) -> tuple[Region, ...]:
        """Note that the files of `task`, which is done, are written; returns the bands that are complete by that."""
        first = task.bands[0]
        self._unstored[first] -= 1
        if self._unstored[first] or any(entry.band == first for entry in self._open):
            return ()
        del self._unstored[first]
        if first in self._held:
            self.slots.append(self._held.pop(first))
        return task.bands

    @property
    def finished(self) -> bool:
        """Whether every band is done and its files are written."""
        return self._exhausted and not self._open and not self._unstored

    @property
    def _sharded(self) -> bool:
        return any(self.pyramid.levels[self.pass_.first + step].sharded for step in self.pass_.steps)

    def _suits(self, entry: _Open, worker: Hashable) -> bool:
        if not self.sticky or entry.step >= 0:
            return True
        return self._homes.setdefault(entry.band.start[:Y], worker) == worker

    def _take(self, entry: _Open) -> Task:
        return entry.ready.pop(0)

    def _seals(self, entry: _Open) -> Iterator[Task]:
        step = entry.step - 1
        if step not in self.pass_.steps or not (level := self.pyramid.levels[self.pass_.first + step]).sharded:
            return
        objects = at(self.pyramid, self.pass_, entry.band, step).divided(level.object)
        t, c, *_ = objects.shape
        for part in objects.within(objects).cut((t, c, 1, 1, 1)):
            yield Seal(self.pass_, entry.slot, entry.band, step, part.moved(objects.start))

    def _writes(self, entry: _Open) -> Iterator[Task]:
        if entry.step not in self.pass_.steps:
            return
        level = self.pyramid.levels[self.pass_.first + entry.step]
        chunks = at(self.pyramid, self.pass_, entry.band, entry.step).divided(level.chunk)
        t, c, *_ = chunks.shape
        deep = 1 if level.index == self.pass_.last else self.pyramid.deep(level.index, level.index + 1)
        for part in chunks.within(chunks).cut((t, c, deep, 1, max(1, self.batch // deep))):
            yield Write(self.pass_, entry.slot, entry.band, entry.step, part.moved(chunks.start))


def load_parts(pass_: Pass, band: Region, lines: tuple[int, int, int], pixels: int) -> list[Region]:
    """Cut a band into loads of about `pixels` source pixels, at lines that cut no segment and no box.

    lines  the distance of such lines along z, y and x in pixels of the band's level; 0: no cut along this axis
    """
    *_, height, width = band.shape
    planes, rows, columns = lines
    room = pixels // prod(pass_.ratio[Z:])
    across = columns * max(1, room // (columns * min(rows or height, height))) if columns else 0
    down = rows * max(1, room // (rows * min(across or width, width))) if rows else 0
    deep = planes * max(1, room // (planes * min(down or height, height) * min(across or width, width))) if planes else 0
    t, c, z, y, x = band.stop
    return list(band.cut((t, c, deep or z, down or y, across or x)))
