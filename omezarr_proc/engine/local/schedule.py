"""Which task comes next: bands through slots, loads before writes, level by level. Pure bookkeeping without processes or pixels.

A band takes a free slot and is loaded in parts; when all parts are there its tiles are written (and folded) step by step, then the slot
is free again, where shards are stored out of it when their files are written. Tasks of older bands come first, so slots are returned soon
and the next band is loaded while this one is written. Of a source that is far away the bands after those are known too: each of their loads
is promised to a worker, which is told, so that it can fetch what it will load.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from math import gcd, lcm, prod

from omezarr_proc.model.pyramid import Pyramid
from omezarr_proc.model.region import Region, Y, Z
from omezarr_proc.plan.passes import Pass, at
from omezarr_proc.work.tasks import Load, Make, Seal, Storing, Task, Write

# Loads that are promised to each worker before there is a slot for them: what a worker does meanwhile takes longer than the slowest store.
PROMISED = 16
# Tasks of whole bands that lie one behind the other, of which one worker is promised all.
_RUN = 4
_NO_SLOT = -1


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
    promised_to  workers to whom loads are promised; none where the source is near
    """

    pyramid: Pyramid
    pass_: Pass
    bands: Iterator[Region]
    slots: list[int]
    parts: Callable[[Region], list[Region]]
    batch: int
    together: int = 0
    sticky: bool = False
    promised_to: tuple[Hashable, ...] = ()
    _open: list[_Open] = field(default_factory=list)
    _coming: list[Sequence[Load | Make]] = field(default_factory=list)
    _untold: list[tuple[Hashable, tuple[Load | Make, ...]]] = field(default_factory=list)
    _unstored: dict[Region, int] = field(default_factory=dict)
    _homes: dict[tuple[int, ...], Hashable] = field(default_factory=dict)
    _held: dict[Region, int] = field(default_factory=dict)
    _exhausted: bool = False
    _turn: int = 0

    def next(self, worker: Hashable, idle: bool = False) -> Task | None:
        """A task for `worker`, or None where there is none for it now.

        One that is `idle` and has been promised nothing more is given what others were, the last of it. Before that it waits: what another
        one has begun to fetch would be fetched twice, and be in the way there.
        """
        if task := self._ready(worker) or self._begun(worker):
            return task
        if idle and self.promised_to and self._exhausted and not self._first_coming(worker):
            return self._begun(None) or self._ready(None)
        return None

    def _ready(self, worker: Hashable | None) -> Task | None:
        """A task of a band that has a slot, for `worker`; None: whomever it was promised to."""
        for entry in self._open:
            for number, task in enumerate(entry.ready):
                if self._suits(task, worker):
                    return entry.ready.pop(number)
        return None

    def _begun(self, worker: Hashable | None) -> Task | None:
        """The first task of a band that is given a slot now."""
        self._look_ahead()
        loads = self._first_coming(worker)
        if not self.slots or loads is None:
            return None
        self._coming.remove(loads)
        band, slot = _band(loads[0]), self.slots.pop()
        step = len(self.pass_.steps) if self.together else -1
        ready: list[Task] = [replace(load, slot=slot) for load in loads]
        self._open.append(_Open(band=band, slot=slot, step=step, ready=ready, pending=len(loads)))
        return self._ready(worker)

    def _first_coming(self, worker: Hashable | None) -> Sequence[Load | Make] | None:
        """The loads of the next band without a slot of which one is for `worker`; None: of the last band."""
        if worker is None:
            return self._coming[-1] if self._coming else None
        return next((loads for loads in self._coming if any(self._suits(load, worker) for load in loads)), None)

    def promises(self) -> Iterator[tuple[Hashable, tuple[Load | Make, ...]]]:
        """What has been promised since this was asked last: a worker, and the loads that it will be given, in this order, without slots."""
        while self._untold:
            yield self._untold.pop(0)

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
        return self._exhausted and not self._coming and not self._open and not self._unstored

    @property
    def _sharded(self) -> bool:
        return any(self.pyramid.levels[self.pass_.first + step].sharded for step in self.pass_.steps)

    def _look_ahead(self) -> None:
        """Take the bands that come next: as many as have a slot, or where loads are promised, as hold enough of them."""
        while not self._exhausted and self._few_coming():
            run = (_RUN if self.promised_to else 1) * self.together
            taken = tuple(islice(self.bands, run or 1))
            if not taken:
                self._exhausted = True
            elif self.together:
                makes = [Make(self.pass_, _NO_SLOT, taken[i : i + self.together]) for i in range(0, len(taken), self.together)]
                self._coming.extend([make] for make in makes)
                self._promise(makes, 1)
            else:
                loads = [Load(self.pass_, _NO_SLOT, taken[0], part) for part in self.parts(taken[0])]
                self._coming.append(loads)
                self._promise(loads, len(self.promised_to))

    def _few_coming(self) -> bool:
        if self.promised_to:
            return sum(map(len, self._coming)) < PROMISED * len(self.promised_to)
        return len(self._coming) < len(self.slots)

    def _promise(self, loads: Sequence[Load | Make], shares: int) -> None:
        """Promise loads, in so many shares: a worker has neighbours, which lie side by side in the source."""
        for share in range(shares if self.promised_to else 0):
            worker = self.promised_to[self._turn % len(self.promised_to)]
            self._turn += 1
            if own := tuple(loads[len(loads) * share // shares : len(loads) * (share + 1) // shares]):
                self._homes.update((_key(load), worker) for load in own)
                self._untold.append((worker, own))

    def _suits(self, task: Task, worker: Hashable | None) -> bool:
        if worker is None or not isinstance(task, Load | Make):
            return True
        if self.sticky:
            return self._homes.setdefault(_band(task).start[:Y], worker) == worker
        return self._homes.get(_key(task), worker) == worker

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


def _band(load: Load | Make) -> Region:
    return load.band if isinstance(load, Load) else load.bands[0]


def _key(load: Load | Make) -> tuple[int, ...]:
    """What tells a load from all others of its pass."""
    return load.part.start if isinstance(load, Load) else _band(load).start


def load_parts(pass_: Pass, band: Region, lines: tuple[int, int, int], pixels: int, block: int = 1) -> list[Region]:
    """Cut a band into loads of about `pixels` source pixels, at lines that cut no segment and no box.

    lines  the distance of such lines along z, y and x in pixels of the band's level; 0: no cut along this axis
    block  side of squares of source pixels that are not cut either; but where segments side by side cut them anyway, and of several planes
           where loads would become larger than memory is planned for
    """
    *_, height, width = band.shape
    planes, rows, columns = lines
    room = pixels // prod(pass_.ratio[Z:])
    side = block // gcd(block, pass_.ratio[Y])
    whole = lcm(rows, side)
    if columns % side == 0 and (pass_.ratio[Z] == 1 or min(whole or height, height) * min(columns or width, width) <= room):
        rows = whole
    across = columns * max(1, room // (columns * min(rows or height, height))) if columns else 0
    down = rows * max(1, room // (rows * min(across or width, width))) if rows else 0
    deep = planes * max(1, room // (planes * min(down or height, height) * min(across or width, width))) if planes else 0
    t, c, z, y, x = band.stop
    return list(band.cut((t, c, deep or z, down or y, across or x)))
