"""The run: inputs -> each image in turn -> results. One bad input never stops the others."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from loguru import logger

from omezarr_proc.app.inputs import Input, check_file, dataset_path
from omezarr_proc.app.progress import Report
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits, read_limits
from omezarr_proc.model.errors import OutOfTimeError, OutputError, ProcError
from omezarr_proc.model.text import shown
from omezarr_proc.publish import by_rename as publish
from omezarr_proc.publish.existing import dataset_key as key_of
from omezarr_proc.publish.existing import refuse_foreign
from omezarr_proc.publish.lock import Lock
from omezarr_proc.store.opening import first_link

if TYPE_CHECKING:
    from omezarr_proc.engine.base import Engine
    from omezarr_proc.model.image import Image

T = TypeVar("T")

# Before the deadline: to end the tasks at work, note what is done, and publish what is finished. With one CPU; longer with less.
STOP_SECONDS = 4.0


@dataclass(frozen=True)
class Result:
    """What became of one image (or of an input whose images are not known): its dataset, or the error."""

    source: str
    dataset: str | None
    error: str | None


def run(settings: Settings, inputs: Sequence[Input], report: Report, *, deadline: float | None = None) -> list[Result]:
    """Convert every image of every input; errors are results, told to `report` where they happen.

    deadline  when to stop in good order, as time.monotonic() counts
    """
    from omezarr_proc.engine.local.nursery import EXECUTED_BYTES, Nursery

    limits = read_limits(settings.memory_limit_mb, settings.max_workers)  # before our own processes are part of what is in use
    if deadline is not None:
        deadline -= min(STOP_SECONDS / min(1.0, limits.cpus), (deadline - time.monotonic()) / 2)
    nursery = Nursery()  # before any thread of ours is there; one that is started by exec imports while we do
    if not nursery.forked:
        limits = replace(limits, headroom_bytes=max(0, limits.headroom_bytes - EXECUTED_BYTES))
    from omezarr_proc.engine.local.engine import Local

    engine = Local(nursery, deadline, settings.stall_seconds)
    try:
        folders = sorted({settings.output_dir / entry.relative.parent for entry in inputs})
        left = {target for folder in folders if not first_link(settings.output_dir, folder) for target in publish.recover(folder)}
        images = _Images(settings, limits, report, engine, left, deadline)
        results: list[Result] = []
        for entry, found in open_inputs(settings, inputs, limits, deadline):
            results += images.convert(entry, found)
            del found  # its metadata are gone before the next one's are read
        return results
    finally:
        engine.close()


def open_inputs(
    settings: Settings, inputs: Sequence[Input], limits: Limits, deadline: float | None = None
) -> Iterator[tuple[Input, "list[Image] | str"]]:
    """Each input with its images, or with the message why there are none. The members of a set are one input: the first of them."""
    from omezarr_proc.plan.memory import metadata_bytes
    from omezarr_proc.tiff.describe.images import open_images
    from omezarr_proc.tiff.file.budget import Budget

    images = settings.images if isinstance(settings.images, str) else ",".join(map(str, settings.images))
    reduced_by = settings.initial_downsample if settings.use_existing_resolutions else 1
    members: dict[str, Input] = {}

    def opened(entry: Input) -> "list[Image] | Input":
        if first := members.get(os.path.realpath(entry.path)):
            return first
        _check_time(shown(entry.path), deadline)
        check_file(entry.path)
        budget = Budget(shown(entry.path), metadata_bytes(limits), settings.max_segments, deadline)
        return open_images(str(entry.path), images=images, on_missing=settings.on_missing, reduced_by=reduced_by, budget=budget)

    for entry in inputs:
        found, error = _attempt(entry, lambda entry=entry: opened(entry))  # type: ignore[misc]
        if isinstance(found, Input):
            logger.info(f"{shown(entry.path)}: is part of {shown(found.path)}")
            continue
        members |= {os.path.realpath(file): entry for image in found or () for file in image.files}
        yield entry, error if found is None else found
        del found


def _check_time(source: str, deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise OutOfTimeError(f"{source}: not begun, since time is up; run it again to go on")


def _attempt(entry: Input, work: Callable[[], T]) -> tuple[T | None, str]:
    """What `work` returns, or None and the message for the user: whatever is wrong with one image, the others are tried."""
    source = shown(entry.path)
    try:
        return work(), ""
    except ProcError as error:
        return None, str(error)
    except MemoryError:
        return None, f"{source}: out of memory: give it more, or set MEMORY_LIMIT_MB to what there really is"
    except Exception as error:  # a library's surprise at a broken file, or a mistake of ours: neither may stop the batch
        if str(error) == "can't start new thread":
            return None, f"{source}: cannot start a thread: allow this user more processes, or set MAX_WORKERS lower"
        if isinstance(error, OSError) and error.filename is not None:
            return None, f"{source}: {error.filename}: {error.strerror}"
        logger.opt(exception=error).debug(f"{source}: unexpected error")
        return None, f"{source}: unexpected {type(error).__name__}: {error} (LOG_LEVEL=DEBUG shows where)".replace("\n", " ")


@dataclass(frozen=True)
class _Images:
    """Converts images one after another; `left`: datasets with hidden files of an earlier run beside them."""

    settings: Settings
    limits: Limits
    report: Report
    engine: "Engine"
    left: set[Path]
    deadline: float | None

    def convert(self, entry: Input, images: "list[Image] | str") -> Iterator[Result]:
        source = shown(entry.path)
        if isinstance(images, str):
            self.report.fail(source, images)
            yield Result(source, None, images)
            return
        for image in images:
            target = self.settings.output_dir / dataset_path(entry.relative, image.series)
            _, error = _attempt(entry, lambda image=image, target=target: self._make(image, target))  # type: ignore[misc]
            if error:
                self.report.fail(source, error)
            yield Result(source, None if error else str(target), error or None)

    def _make(self, image: "Image", target: Path) -> None:
        """Dataset and picture. A picture that is there already is kept in step with its dataset, asked for or not."""
        from omezarr_proc.build.preview import is_current, preview_path, write_preview

        self._convert(image, target)
        if (self.settings.preview or preview_path(target).exists()) and not is_current(target):
            self.engine.rest()  # the picture may take what they had
            write_preview(target)

    def _convert(self, image: "Image", target: Path) -> None:
        from omezarr_proc.build.dataset import dataset_key
        from omezarr_proc.build.image import Conversion

        key = dataset_key(image, self.settings)
        if link := first_link(self.settings.output_dir, target.parent):
            raise OutputError(f"{link}: is a link, and below OUTPUT_DIR links are not followed: put a folder there, then run again")
        if target not in self.left and self._is_done(target, key, image.source):
            return
        _check_time(image.source, self.deadline)
        with Lock(target) as lock:
            if self._is_done(target, key, image.source):
                publish.discard(target, self.deadline)
                return
            for note in image.notes:
                logger.info(f"{image.source}: {note}")
            self.report.finish(Conversion(image, target, self.settings, self.limits, self.engine, self.report, lock, self.deadline).run())

    def _is_done(self, target: Path, key: str, source: str) -> bool:
        """Whether the dataset that is there already is to be left alone. Raises OutputError where it must not be there."""
        existing = self.settings.existing
        if existing == "force" or not os.path.lexists(target):
            return False
        if key_of(target) == key:
            self.report.skip(source, f"{target} is there already, made of the same input with the same settings")
            return True
        if existing == "skip":
            self.report.skip(source, f"{target} is there already (EXISTING=skip)")
            return True
        if existing == "fail":
            raise OutputError(
                f"{target}: is there already, of another input or with other settings (EXISTING=fail): remove it, or choose replace or skip"
            )
        refuse_foreign(target)
        return False
