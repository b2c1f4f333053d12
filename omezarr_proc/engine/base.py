"""The contract of an engine: it takes bands and tasks of one image, has them done, and gives back what was made of each."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from omezarr_proc.model.errors import Exit, ProcError
from omezarr_proc.model.region import Region
from omezarr_proc.plan.passes import Pass
from omezarr_proc.plan.plan import Plan
from omezarr_proc.work.replies import OfBand, Reply
from omezarr_proc.work.tasks import Job, Loose

# Told what was encoded of a band, or hashed, at once or bit by bit: its slot is free, its files may still be on their way.
OnEncoded = Callable[[Region, Sequence[OfBand]], None]
# Told of bands whose files are all written.
OnStored = Callable[[Sequence[Region]], None]


class WorkerLostError(ProcError):
    """A worker process cannot go on with what it was given; another one can."""

    code = "worker-lost"
    exit = Exit.NEEDS_MORE  # most of them are killed for their memory


class Engine(Protocol):
    """Makes bands. Used by the thread that made it.

    travels  whether what is told of them comes from another process, so that what is large costs time
    """

    travels: bool

    @property
    def workers(self) -> int:
        """How many tasks are worked at once: into so many shares work is cut that can be cut anyhow."""

    def begin(self, job: Job, plan: Plan, spool: int | None) -> None:
        """All that follows is about this job, within this plan. `spool`: descriptor of the spool file, which the engine closes."""

    def make(self, pass_: Pass, bands: Iterator[Region], on_encoded: OnEncoded, on_stored: OnStored) -> None:
        """Make bands of a pass, in any order and several at once. Each is given to `on_stored` once, after all of it to `on_encoded`.

        Raises ProcError: what a task failed with, OutOfTimeError, WorkerLostError. Then nobody is left who could write a file.
        """

    def work(self, tasks: Iterable[Loose], on_reply: Callable[[Loose, Reply], None]) -> None:
        """Do tasks that do not depend on each other, in any order. Raises as `make` does."""

    def processes(self) -> list[int]:
        """Process ids of all that work for it, beside this process."""

    def rest(self) -> None:
        """Let go of workers and memory until the next `begin`."""

    def close(self) -> None:
        """End all that works for it."""
