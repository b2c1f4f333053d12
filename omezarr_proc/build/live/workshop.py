"""Bands on demand: what is asked for is made with all of its band, and kept in bounded memory as long as there is room.

A band of a later pass needs the finished level below it, which is asked for in the same way. So a coarse level of a file without stored
ones is made by one sweep over the file, of which the coarse chunks are kept: they have a place of their own, which the many fine ones
beside them cannot take.
"""

import os
import tempfile
import threading
from collections import Counter, OrderedDict
from pathlib import Path

from omezarr_proc.build.live.levels import SETTINGS, Run
from omezarr_proc.build.passes import spooled, spools
from omezarr_proc.engine.serial import Serial
from omezarr_proc.model.region import Index, Region
from omezarr_proc.plan.passes import Pass
from omezarr_proc.store.arrays import spool_file
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.store.codec import codec_for
from omezarr_proc.store.objects import Data, InMemory, joined
from omezarr_proc.work.tasks import Job

MB = 1 << 20
FINE_BYTES = 96 * MB  # of encoded chunks, of levels that can be made of one band of the file
COARSE_BYTES = 160 * MB  # of those that take many bands, and of those that they are made of
TOGETHER = max(2, min(4, os.cpu_count() or 1))  # bands of one pass that are made at once
IDLE = 4  # engines that are kept with their slot, open files and spooled planes

_Key = tuple[Run, str]  # which of its objects; the run itself, since the number (id) of one that is gone is given to others


class Workshop:
    """Makes chunks of all live datasets of a server; any thread may ask."""

    def __init__(self, fine_bytes: int = FINE_BYTES, coarse_bytes: int = COARSE_BYTES) -> None:
        """Nothing is opened yet."""
        self._turn = threading.Condition()
        self._making: set[tuple[Run, int, Index]] = set()
        self._busy: Counter[tuple[Run, int]] = Counter()
        self._idle: list[tuple[tuple[Run, int], _Lane]] = []
        self._fine, self._coarse = _Kept(fine_bytes), _Kept(coarse_bytes)

    def chunk(self, run: Run, key: str, level: int, place: Index) -> bytes:
        """An encoded chunk of a level, by its key and place. Raises ProcError."""
        name = run, key
        pass_, band = run.band(level, place)
        while (data := self._kept(name)) is None:
            self._make(run, pass_, band, name)
        return data

    def _kept(self, name: _Key) -> bytes | None:
        with self._turn:
            return self._coarse.get(name) or self._fine.get(name)

    def keep(self, run: Run, key: str, data: bytes) -> None:
        """Keep an object that was made."""
        level, passes = int(key.partition("/")[0]), run.plan.passes
        coarse = level > passes[0].last or any(level == pass_.source for pass_ in passes)
        with self._turn:
            (self._coarse if coarse else self._fine).put((run, key), data)

    def _make(self, run: Run, pass_: Pass, band: Region, wanted: _Key) -> None:
        """Make a band, or wait for who makes it."""
        of, work = (run, pass_.first), (run, pass_.first, band.start)
        with self._turn:
            if work in self._making or self._busy[of] >= TOGETHER:
                self._turn.wait()
                return
            if self._coarse.get(wanted) or self._fine.get(wanted):
                return
            for kept in (self._coarse, self._fine):  # what is made must not go before it is given out
                kept.most = max(kept.most, 2 * TOGETHER * run.plan.slot_bytes)
            self._making.add(work)
            self._busy[of] += 1
            found = next((n for n, (name, _) in enumerate(self._idle) if name == of), None)
            lane = None if found is None else self._idle.pop(found)[1]
        try:
            self._make_below(run, pass_, band)
            lane = lane or _Lane(run, self)
            lane.make(pass_, band)
        except BaseException:
            if lane is not None:
                lane.close()
            lane = None
            raise
        finally:
            with self._turn:
                self._making.discard(work)
                self._busy[of] -= 1
                if lane is not None:
                    self._idle.append((of, lane))
                surplus = [self._idle.pop(0)[1] for _ in range(len(self._idle) - IDLE)]
                self._turn.notify_all()
            for one in surplus:
                one.close()

    def _make_below(self, run: Run, pass_: Pass, band: Region) -> None:
        """Make what a band of a later pass is made of, several bands at once. Raises the first error."""
        if pass_.source is None:
            return
        level = run.pyramid.levels[pass_.source]
        chunks = band.scaled(pass_.ratio).clipped(level.shape).divided(level.chunk)
        of_bands = {run.band(level.index, place): place for place in chunks.indices()}
        places, errors = iter(list(of_bands.values())), list[BaseException]()

        def work() -> None:
            try:
                for place in places:  # each thread takes the next one
                    if errors:
                        return
                    self.chunk(run, run.key(level.index, place), level.index, place)
            except BaseException as error:
                errors.append(error)

        helpers = [threading.Thread(target=work, daemon=True) for _ in range(min(TOGETHER, len(of_bands)) - 1)]
        for helper in helpers:
            helper.start()
        work()
        for helper in helpers:
            helper.join()
        if errors:
            raise errors[0]


class _Lane:
    """An engine for one run of levels; one thread uses it at a time."""

    def __init__(self, run: Run, workshop: Workshop) -> None:
        self._run = run
        store = ChunkStore(
            _Made(run, workshop), run.pyramid, codec_for(run.pyramid.dtype, SETTINGS.compression, SETTINGS.compression_level)
        )
        disk = run.plan.spool_bytes
        spool = spool_file(Path(tempfile.gettempdir()) / "omezarr-proc", disk) if disk else None
        self._engine = Serial()
        self._engine.begin(Job(run.image, store, SETTINGS.downsample_method, run.plan.access), run.plan, spool)
        self._ground: Region | None = None

    def make(self, pass_: Pass, band: Region) -> None:
        """Make all that a band holds; it is kept by the workshop. Raises ProcError."""
        if pass_.source is None and "spool" in self._run.plan.access:
            self._spool(spooled(self._run.pyramid, band))
        self._engine.make(pass_, iter([band]), lambda band, made: None, lambda bands: None)

    def _spool(self, ground: Region) -> None:
        if ground != self._ground:
            self._ground = None
            self._engine.work(spools(ground), lambda task, reply: None)
            self._ground = ground

    def close(self) -> None:
        """Let go of files and memory."""
        self._engine.close()


class _Made(InMemory):
    """The objects of a run as its bands see them: what they put is kept for a while, what they get is made again where it is gone."""

    def __init__(self, run: Run, workshop: Workshop) -> None:
        super().__init__()
        self._run, self._workshop = run, workshop

    def put(self, key: str, data: Data, *, atomic: bool = False) -> None:
        self._workshop.keep(self._run, key, joined(data))

    def get(self, key: str) -> bytes:
        found = self._run.place_of(key)
        assert found is not None  # bands ask for chunks of their run alone
        return self._workshop.chunk(self._run, key, *found)


class _Kept:
    """The objects that were used last, of so many bytes at most."""

    def __init__(self, most: int) -> None:
        self.most, self._bytes = most, 0
        self._objects: OrderedDict[_Key, bytes] = OrderedDict()

    def get(self, name: _Key) -> bytes | None:
        if name in self._objects:
            self._objects.move_to_end(name)
        return self._objects.get(name)

    def put(self, name: _Key, data: bytes) -> None:
        self._bytes += len(data) - len(self._objects.pop(name, b""))
        self._objects[name] = data
        while self._bytes > self.most and len(self._objects) > 1:
            self._bytes -= len(self._objects.popitem(last=False)[1])
