"""What a worker of the cluster is asked to do: first whether it fits, then one share after another, as PART does it.

It runs in a thread of the worker's process, which is somebody else's: nothing is forked there and no signal is handled, and when nobody
wants the share any more, or the worker is closing, it ends as soon as the next band is done. What is finished by then is on record.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from omezarr_proc import __version__
from omezarr_proc.app.inputs import Input
from omezarr_proc.app.report import Aside, Report
from omezarr_proc.app.results import Result, Work
from omezarr_proc.app.shares import Owned
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import MissingFolderError, ProcError, SettingsError
from omezarr_proc.model.events import Advice, Begun, Phase, Summary
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.model.text import shown
from omezarr_proc.store.places import objects_at

Event = tuple[str, tuple[Any, ...]]

_one_at_a_time = threading.Lock()  # a share takes all that the worker may use


@dataclass(frozen=True)
class Question:
    """What must be the same for all workers.

    versions  of the program, and of what makes its bytes
    key       of an object in `output_dir` that was put there just now, and its `content`
    first     an input, and its size in bytes; None where it is in an object store
    """

    versions: tuple[str, ...]
    output_dir: Place
    key: str
    content: bytes
    first: tuple[Place, int] | None


@dataclass(frozen=True)
class Errand:
    """A share: what of each input is to be made, with which settings, and how many seconds there are left for it (None: any)."""

    settings: Settings
    mine: dict[Input, Owned]
    seconds: float | None


@dataclass(frozen=True)
class Made:
    """What became of one image.

    events  what the report was told of it: methods and arguments
    result  what the report has kept of it
    """

    outcome: Outcome
    events: list[Event]
    result: Result


def versions() -> tuple[str, ...]:
    """What the bytes of a dataset are a function of, beside input and settings."""
    import numcodecs.blosc

    from omezarr_proc.build.dataset import OUTPUT_VERSION

    return f"omezarr_proc {__version__}", f"output {OUTPUT_VERSION}", f"Blosc {numcodecs.blosc.VERSION_STRING}"


def check(question: Question) -> None:
    """Raise SettingsError where this process would make other bytes, MissingFolderError where it does not see the same storage."""
    if (ours := versions()) != question.versions:
        raise SettingsError(f"it has {', '.join(ours)}, and this run {', '.join(question.versions)}: install the same everywhere")
    where = f"OUTPUT_DIR {shown(question.output_dir)}"
    try:
        found = objects_at(question.output_dir).get(question.key)
    except OSError as error:
        raise MissingFolderError(f"it does not see the {where} of this run ({error.strerror or error}): mount the same there") from None
    if found != question.content:
        raise MissingFolderError(f"it sees another {where} than this run: mount the same there")
    if not isinstance(question.output_dir, Address) and not os.access(question.output_dir, os.W_OK | os.X_OK):
        raise MissingFolderError(f"it may not write to {where}")
    if question.first:
        path, size = question.first
        try:
            same = os.path.getsize(path) == size
        except OSError as error:
            raise MissingFolderError(f"it does not see the input {shown(path)} ({error.strerror}): mount the same there") from None
        if not same:
            raise MissingFolderError(f"it sees another file as {shown(path)} than this run: mount the same there")


def run_errand(errand: Errand) -> list[Made] | None:
    """Make a share within what the worker may use; None where nobody wanted it any more. Raises ProcError where it cannot even begin."""
    from distributed import get_worker

    from omezarr_proc.app import batch, log

    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing" and worker.status.name not in ("closing", "closed", "failed")

    began = time.monotonic()
    notebook = Notebook(is_wanted)
    try:
        while not _one_at_a_time.acquire(timeout=Notebook.SECONDS):
            notebook.go_on()
        try:
            settings = within(errand.settings, worker.state.nthreads, worker.memory_manager.memory_limit)
            log.configure(settings)
            deadline = None if errand.seconds is None else began + errand.seconds
            outcomes = batch.run(settings, list(errand.mine), notebook, deadline=deadline, may_fork=False, mine=errand.mine)
        finally:
            _one_at_a_time.release()
    except UnwantedError:
        return None
    return [Made(*of_image) for of_image in zip(outcomes, notebook.images, notebook.results.done, strict=True)]


def within(settings: Settings, threads: int, memory: int | None) -> Settings:
    """The settings within a worker's own limits: its threads, and its memory in bytes. Several on a machine have a part of it each."""
    workers = min(filter(None, (settings.max_workers, threads)))
    limit = min(filter(None, (settings.memory_limit_mb, (memory or 0) >> 20)), default=0)
    return replace(settings, max_workers=workers, memory_limit_mb=limit)


class UnwantedError(BaseException):
    """Nobody wants the share any more: no fault of an input, so nothing on the way may take it for one."""


class Notebook(Report):
    """Notes what a report is told of each image, so that another can be told the same; ends the run when it is not wanted any more."""

    SECONDS = 0.5  # between two looks whether it is

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        super().__init__()
        self.images: list[list[Event]] = []
        self._events: list[Event] = []
        self._of_aside: dict[Work, list[Event]] = {}
        self._is_wanted, self._looked = is_wanted, 0.0

    def go_on(self) -> None:
        """Raise UnwantedError when nobody wants this any more."""
        if (now := time.monotonic()) >= self._looked + self.SECONDS:
            self._looked = now
            if not self._is_wanted():
                raise UnwantedError

    def advance(self, amount: int) -> None:
        """See `Report`."""
        self.go_on()

    def phase(self, phase: Phase) -> None:
        """See `Report`."""
        super().phase(phase)
        if phase != "publish":
            self.go_on()

    def aside(self) -> Aside:
        """See `Report`."""
        image = super().aside()
        self._of_aside[image.work], self._events = self._events, []
        return image

    def again(self, image: Aside) -> None:
        """See `Report`."""
        super().again(image)
        self._events = self._of_aside.pop(image.work)

    def begin(self, begun: Begun) -> None:
        """See `Report`."""
        self.go_on()
        super().begin(begun)
        self._events.append(("begin", (begun,)))

    def advise(self, source: str, advice: Advice) -> None:
        """See `Report`."""
        super().advise(source, advice)
        self._events.append(("advise", (source, advice)))

    def finish(self, summary: Summary) -> None:
        """See `Report`."""
        super().finish(summary)
        self._end("finish", summary)

    def skip(self, name: str, reason: str, target: str | None = None) -> None:
        """See `Report`."""
        super().skip(name, reason, target)
        self._end("skip", name, reason, target)

    def share(self, name: str, done: str, target: str) -> None:
        """See `Report`."""
        super().share(name, done, target)
        self._end("share", name, done, target)

    def fail(self, name: str, error: ProcError, target: str | None = None) -> None:
        """See `Report`."""
        super().fail(name, error, target)
        self._end("fail", name, error, target)

    def _end(self, how: str, *arguments: Any) -> None:
        self.images.append([*self._events, (how, arguments)])
        self._events = []
