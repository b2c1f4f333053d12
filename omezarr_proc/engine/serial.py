"""The serial engine: bands one after another in this process, without workers, threads or shared memory."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from loguru import logger

from omezarr_proc.engine.base import OnEncoded, OnStored
from omezarr_proc.host.quiet import quiet_libraries
from omezarr_proc.model.errors import OutOfTimeError
from omezarr_proc.model.region import Region
from omezarr_proc.plan.passes import Pass
from omezarr_proc.plan.plan import Plan
from omezarr_proc.store.codec import without_threads
from omezarr_proc.work.bench import Bench
from omezarr_proc.work.filing import AtOnce, Ticket
from omezarr_proc.work.replies import Reply
from omezarr_proc.work.tasks import Job, Loose


class Serial:
    """Works in the calling thread.

    deadline  when it gives up, between two bands or tasks, as time.monotonic() counts
    """

    workers = 1

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = deadline
        self._bench: Bench | None = None
        self._slot = bytearray()

    def begin(self, job: Job, plan: Plan, spool: int | None) -> None:
        """See `Engine`."""
        self.close()
        self._slot = bytearray(plan.slot_bytes)
        self._bench = Bench(job, lambda end: self._slot, AtOnce(), spool, logger.warning)

    def make(self, pass_: Pass, bands: Iterator[Region], on_encoded: OnEncoded, on_stored: OnStored) -> None:
        """See `Engine`."""
        for band in bands:
            with self._ready() as bench:
                made = bench.make(pass_, band, 0, _TICKET)
            on_encoded(band, made)
            on_stored([band])

    def work(self, tasks: Iterable[Loose], on_reply: Callable[[Loose, Reply], None]) -> None:
        """See `Engine`."""
        for task in tasks:
            with self._ready() as bench:
                reply = bench.do(task, _TICKET)
            on_reply(task, reply)

    def processes(self) -> list[int]:
        """None beside this one."""
        return []

    def rest(self) -> None:
        """See `Engine`."""
        self.close()

    def close(self) -> None:
        """Let go of the source and of the slot."""
        if self._bench:
            self._bench.close()
        self._bench, self._slot = None, bytearray()

    @contextmanager
    def _ready(self) -> Iterator[Bench]:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise OutOfTimeError("out of time")
        assert self._bench is not None  # whoever has something to do has begun
        try:
            with quiet_libraries(), without_threads():
                yield self._bench
        except Exception as error:
            raise self._bench.failure(error).error from error


_TICKET = Ticket(lambda error: None)  # nobody waits for it: files are written when `AtOnce.put` returns, which raises errors by itself
