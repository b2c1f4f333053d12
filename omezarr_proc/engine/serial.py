"""The serial engine: bands one after another in this process, without workers or shared memory."""

import threading
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
from omezarr_proc.work.filing import AtOnce, Files, Ticket
from omezarr_proc.work.replies import Reply
from omezarr_proc.work.tasks import Job, Loose


class Serial:
    """Works in the calling thread.

    deadline  when it gives up, between two bands or tasks, as time.monotonic() counts
    files     takes what is to be stored; all of a band is when the next one is begun
    note      is told what the user should know of the source
    """

    workers = 1
    travels = False

    def __init__(self, deadline: float | None = None, files: Files | None = None, note: Callable[[str], None] = logger.warning) -> None:
        self._deadline, self._files, self._note = deadline, files or AtOnce(), note
        self._bench: Bench | None = None
        self._slot = bytearray()

    def begin(self, job: Job, plan: Plan, spool: int | None) -> None:
        """See `Engine`."""
        self.close()
        self._slot = bytearray(plan.slot_bytes)
        self._bench = Bench(job, lambda end: self._slot, self._files, spool, self._note)

    def make(self, pass_: Pass, bands: Iterator[Region], on_encoded: OnEncoded, on_stored: OnStored) -> None:
        """See `Engine`."""
        for band in bands:
            with self._ready() as bench, stored() as ticket:
                made = bench.make(pass_, band, 0, ticket)
            on_encoded(band, made)
            on_stored([band])

    def work(self, tasks: Iterable[Loose], on_reply: Callable[[Loose, Reply], None]) -> None:
        """See `Engine`."""
        for task in tasks:
            with self._ready() as bench:
                reply = bench.do(task, Ticket(lambda error: None))  # it stores nothing
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


@contextmanager
def stored() -> Iterator[Ticket]:
    """A ticket for what is stored within; at the end it is waited for, and what went wrong with it is raised."""
    errors: list[Exception | None] = []
    settled = threading.Event()

    def settle(error: Exception | None) -> None:
        errors.append(error)
        settled.set()

    ticket = Ticket(settle)
    yield ticket
    ticket.seal()
    settled.wait()
    if errors[0]:
        raise errors[0]
