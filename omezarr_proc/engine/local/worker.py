"""A worker process: answers tasks until the main process closes the connection.

It opens what a task names, touches the part of the slot that the task owns, and waits for nobody but the main process. It logs nothing;
what goes wrong travels back as the answer.
"""

import contextlib
import os
import threading
import traceback
from collections.abc import Callable
from functools import lru_cache
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from omezarr_proc.engine.local.arena import ArenaMap
from omezarr_proc.model.errors import ProcError
from omezarr_proc.model.image import Rect
from omezarr_proc.model.pyramid import Band, Pass, SlotLevel, ceil_div, slot_levels
from omezarr_proc.pixels import histogram
from omezarr_proc.store.checksums import changed
from omezarr_proc.store.chunks import ChunkStore
from omezarr_proc.work.encode import Writer
from omezarr_proc.work.filing import Filing, Ticket
from omezarr_proc.work.load import Loader
from omezarr_proc.work.tasks import (
    Check,
    Checked,
    Count,
    Counted,
    Failed,
    Filled,
    Job,
    Load,
    Noted,
    Reply,
    Spool,
    Stored,
    Task,
    Whole,
    WholeWritten,
    Write,
    Written,
)


def serve(connection: Connection, memory_fd: int) -> None:
    """Answer every task with the `Reply` to it, or `Failed`; then, when the files of a task are on disk, with `Stored` or `Failed`.

    `Noted` can come at any time. A `Job` says what the next tasks are about; it is followed by the spool file's descriptor where it spools.
    """
    arena, filing = ArenaMap(memory_fd), Filing()
    sending = threading.Lock()  # filing's threads answer too
    bench: _Bench | None = None

    def send(reply: Reply) -> None:
        with sending, contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.send(reply)

    while True:
        try:
            message = connection.recv()
            if isinstance(message, Job):
                if bench:
                    bench.close()
                spool = recv_handle(connection) if "spool" in message.access else None
                bench = _Bench(message, arena, filing, spool, send)
                continue
        except (EOFError, ConnectionResetError):
            return
        assert bench is not None  # the pool sends the job before any task
        bench.answer(message)


class _Bench:
    """A worker's tools for one image."""

    def __init__(self, job: Job, arena: ArenaMap, filing: Filing, spool: int | None, send: Callable[[Reply], None]) -> None:
        self.job = job
        self._arena = arena
        self._spool = spool
        self._send = send
        self._loader = Loader(job, spool, lambda text: send(Noted(text)))
        self._writer = Writer(job, filing)

    def close(self) -> None:
        self._loader.close()
        if self._spool is not None:
            os.close(self._spool)

    def answer(self, task: Task) -> None:
        """Do the task and send what there is to say of it."""
        ticket = Ticket(lambda error: self._send(self._failed(error) if error else Stored(task)))  # type: ignore[arg-type]
        try:
            reply = self._do(task, ticket)
        except Exception as error:  # whatever a codec raises on a broken file must reach the main process, and the worker go on
            self._send(self._failed(error))
            return
        self._send(reply)
        if isinstance(task, Write | Whole):
            ticket.seal()

    def _failed(self, error: Exception) -> Failed:
        source = self.job.image.source
        trace = "".join(traceback.format_exception(error))
        if isinstance(error, MemoryError):
            error = ProcError(f"{source}: a worker ran out of memory: give it more, or set MAX_WORKERS lower")
        if not isinstance(error, ProcError):
            error = ProcError(f"{source}: {type(error).__name__}: {error}".replace("\n", " "))
        return Failed(error, trace)

    def _do(self, task: Task, ticket: Ticket) -> Reply:
        match task:
            case Load():
                self._load(task)
                return Filled()
            case Write():
                return self._write(task, ticket)
            case Whole(bands=bands):
                return WholeWritten(tuple(self._whole(task, band, ticket) for band in bands))
            case Spool(frame):
                self._loader.spool(frame)
                return Filled()
            case Count():
                return Counted(self._count(task))
            case Check(units, read):
                return Checked(tuple(changed(self.job.store, unit, read) for unit in units))

    def _whole(self, task: Whole, band: Band, ticket: Ticket) -> tuple[Written, ...]:
        stage, slot = task.stage, task.slot
        self._load(Load(stage, slot, band, band.rect))
        steps = range(stage.last - stage.first + 1)
        return tuple(self._write(Write(stage, slot, band, step, self._all_tiles(band.at(step))), ticket) for step in steps)

    def _load(self, task: Load) -> None:
        self._loader.load(task.stage, task.band, task.rect, self._tiles(task.stage, task.slot, 0))

    def _write(self, task: Write, ticket: Ticket) -> Written:
        last = task.stage.first + task.step == task.stage.last
        above = None if last else self._tiles(task.stage, task.slot, task.step + 1)
        return self._writer.write(task, self._tiles(task.stage, task.slot, task.step), above, ticket)

    def _count(self, task: Count) -> histogram.Counts:
        store = self.job.store
        level = store.levels[task.level]
        plane = Rect(0, level.height, 0, level.width)
        total = np.zeros(histogram.BINS, np.int64) if task.places is None else np.zeros((len(task.places), histogram.BINS), np.int64)
        for frame in task.frames:
            for channel, _, _, pixels in store.read(task.level, frame, plane):
                if channel != task.channel:
                    continue
                if task.places is None:
                    histogram.count(pixels, total)
                else:
                    total += histogram.count_within(pixels, task.places)
        return total

    def _all_tiles(self, rect: Rect) -> Rect:
        tile = self.job.store.tile
        return Rect(0, ceil_div(rect.height, tile), 0, ceil_div(rect.width, tile))

    def _tiles(self, stage: Pass, slot: int, step: int) -> NDArray[Any]:
        """The slot's array of one level: [tile rows, tile columns, channels, tile, tile]."""
        store = self.job.store
        parts, size = _slot(stage, self.job.store)
        part = parts[step]
        shape = (part.rows, part.columns, store.frames.channels, store.tile, store.tile)
        return np.ndarray(shape, store.dtype, self._arena.buffer(slot + size), slot + part.offset)


@lru_cache(maxsize=8)
def _slot(stage: Pass, store: ChunkStore) -> tuple[tuple[SlotLevel, ...], int]:
    return slot_levels(stage, store.levels, store.tile, store.frames.channels, np.dtype(store.dtype).itemsize)
