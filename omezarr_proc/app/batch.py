"""The run: inputs -> each image in turn -> results. One bad input never stops the others."""

import math
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from omezarr_proc.app.asset import write_beside
from omezarr_proc.app.datasets import Planned, datasets, refuse_plate
from omezarr_proc.app.inputs import MENTIONED, Input, check_file, check_twin, dataset_path
from omezarr_proc.app.progress import Report
from omezarr_proc.app.sequence import image_of
from omezarr_proc.app.shares import Owned, chosen, cut_inputs, owned
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import Limits, read_limits
from omezarr_proc.model.address import Address, Place, real
from omezarr_proc.model.crop import Crop
from omezarr_proc.model.errors import (
    InTheWayError,
    LimitError,
    OutOfTimeError,
    ProcError,
    ProcessLimitError,
    SettingsError,
    UnsupportedInputError,
    about,
    without_frames,
)
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.model.text import shown
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.publish.tree import tree_for
from omezarr_proc.store.opening import first_link

if TYPE_CHECKING:
    from omezarr_proc.build.image import Conversion
    from omezarr_proc.build.plate import PlateConversion
    from omezarr_proc.engine.base import Engine
    from omezarr_proc.model.events import Summary
    from omezarr_proc.model.image import Image
    from omezarr_proc.plan.shares import Cut, Shared

# Before the deadline: to end the tasks at work, note what is done, and publish what is finished. With one CPU; longer with less.
STOP_SECONDS = 4.0


def run(
    settings: Settings, found: Iterable[Input], report: Report, *, deadline: float | None = None, may_fork: bool = True
) -> list[Outcome]:
    """Convert every image of every input; errors are outcomes, told to `report` where they happen.

    found     the inputs; iterated when the nursery is there, since that may ask an object store
    deadline  when to stop in good order, as time.monotonic() counts
    may_fork  whether this process is ours to fork
    """
    from omezarr_proc.engine.local.nursery import EXECUTED_BYTES, Nursery

    limits = read_limits(settings.memory_limit_mb, settings.max_workers)  # before our own processes are part of what is in use
    if deadline is not None:
        deadline -= min(STOP_SECONDS / min(1.0, limits.cpus), (deadline - time.monotonic()) / 2)
    nursery = Nursery(may_fork=may_fork)  # before any thread of ours is there; one that is started by exec imports while we do
    if not nursery.forked:
        limits = replace(limits, headroom_bytes=max(0, limits.headroom_bytes - EXECUTED_BYTES))
    from omezarr_proc.engine.local.engine import Local

    if isinstance(settings.output_dir, Address):
        from omezarr_proc.plan.memory import STORE_BYTES

        limits = replace(limits, headroom_bytes=max(0, limits.headroom_bytes - STORE_BYTES * (1 + math.ceil(limits.cpus))))
    engine = Local(nursery, deadline, settings.stall_seconds)
    try:
        inputs = list(found)
        opened = open_inputs(settings, inputs, limits, deadline)
        mine: dict[Input, Owned] = {}
        if settings.part:
            mine = owned(cut_inputs(opened, settings), settings.part)
            inputs = [entry for entry in inputs if entry in mine]
            opened = chosen(open_inputs(settings, inputs, limits, deadline), mine)
        left = _recover(settings, inputs)
        images = _Images(settings=settings, limits=limits, report=report, engine=engine, left=left, deadline=deadline, mine=mine)
        outcomes: list[Outcome] = []
        numbers = {entry: number for number, entry in enumerate(inputs, 1)}
        for entry, of_entry in opened:
            report.at(numbers[entry], len(inputs))
            outcomes += images.convert(entry, of_entry)
            del of_entry  # its metadata are gone before the next one's are read
        if settings.preview == "thumbnail":
            engine.rest()
        write_beside(settings, outcomes)
        return outcomes
    finally:
        engine.close()


def open_inputs(
    settings: Settings, inputs: Iterable[Input], limits: Limits, deadline: float | None = None
) -> Iterator[tuple[Input, "list[Image] | ProcError"]]:
    """Each input with its images, or with the error why there are none, and with that of each image that is not supported.

    The members of a set are one input: the first of them.

    Raises SettingsError, before anything is yielded, where OUTPUT_LAYOUT=root has no place for all of them.
    """
    opened = _open(settings, inputs, limits, deadline)
    return opened if settings.output_layout == "folders" else iter(_the_only_one(opened))


def _the_only_one(opened: "Iterator[tuple[Input, list[Image] | ProcError]]") -> "list[tuple[Input, list[Image] | ProcError]]":
    """The one input, with its one image. One that cannot be opened counts as well: what becomes OUTPUT_DIR must not depend on damage."""
    first: list[tuple[Input, list[Image] | ProcError]] = []
    names: list[str] = []
    for entry, found in opened:
        images = [""] if isinstance(found, ProcError) else [f" (image {image.series})" for image in found]
        names += [shown(entry.path) + image for image in images]
        first = first or [(entry, found)]
        if len(names) > MENTIONED:
            names[MENTIONED:] = ["..."]
            break
    if len(names) > 1:
        raise SettingsError(
            f"OUTPUT_LAYOUT=root makes OUTPUT_DIR itself the dataset of one image, and there are more: {', '.join(names)};"
            " name one file, choose with IMAGES, or write them with OUTPUT_LAYOUT=folders"
        )
    return first


def _recover(settings: Settings, inputs: Iterable[Input]) -> set[Path]:
    """Put in order what killed runs have left half done; returns the datasets that still have something hidden."""
    if isinstance(settings.output_dir, Address):  # each is asked for in its turn
        return set()
    tree = tree_for(settings.output_dir, settings.output_layout)
    root = settings.output_layout == "root"
    places = {settings.output_dir if root else settings.output_dir / dataset_path(entry.relative) for entry in inputs}
    folders = sorted({tree.target_of(place).parent for place in places})
    return {left for folder in folders if not first_link(settings.output_dir, folder) for left in tree.recover(folder)}


def _open(
    settings: Settings, inputs: Iterable[Input], limits: Limits, deadline: float | None
) -> Iterator[tuple[Input, "list[Image] | ProcError"]]:
    from omezarr_proc.plan.memory import metadata_bytes
    from omezarr_proc.tiff.describe.images import open_images
    from omezarr_proc.tiff.file.budget import Budget

    chosen, on_missing = settings.images, settings.on_missing
    crop = Crop(region=settings.crop_region, channels=settings.crop_channels, z=settings.crop_z, t=settings.crop_t)
    reduced_by = settings.initial_downsample if settings.use_existing_resolutions and not crop.region else 1
    members: dict[str, Input] = {}

    def opened(path: Place, budget: Budget, refused: list[UnsupportedInputError] | None = None) -> "list[Image]":
        check_file(path)
        return open_images(
            str(path),
            images=chosen,
            on_missing=on_missing,
            reduced_by=reduced_by,
            z_downsample=settings.z_downsample,
            budget=budget,
            refused=refused,
            to_srgb=settings.color == "srgb",
        )

    for entry in inputs:
        found: list[Image] | ProcError
        refused: list[UnsupportedInputError] = []
        try:
            with _typed(entry.path):
                if first := members.get(real(entry.path)):
                    logger.info(f"{shown(entry.path)}: is part of {shown(first.path)}")
                    continue
                _check_time(deadline)
                check_twin(entry)
                budget = Budget(source=str(entry.path), bytes=metadata_bytes(limits), segments=settings.max_segments, deadline=deadline)
                if entry.sequence is None:
                    found = opened(entry.path, budget, refused)
                else:
                    found = [image_of(entry.sequence, on_missing == "fill", partial(opened, budget=budget))]
                members |= {real(file): entry for image in found for file in image.files}
                found = list(_cropped(crop, found, refused))
        except ProcError as error:
            found = without_frames(error)
        yield entry, found
        del found
        yield from ((entry, without_frames(error)) for error in refused)


def _cropped(crop: Crop, images: "Iterable[Image]", refused: list[UnsupportedInputError]) -> "Iterator[Image]":
    for image in images:
        try:
            yield crop.of(image)
        except UnsupportedInputError as error:
            refused.append(error)


def _check_time(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise OutOfTimeError("not begun, since time is up", hint="run it again to go on")


@contextmanager
def _typed(source: Place) -> Iterator[None]:
    """Within, whatever goes wrong with an input becomes a ProcError about it: the others are tried all the same."""
    with about(source):
        try:
            yield
        except ProcError:
            raise
        except MemoryError as error:
            raise LimitError("out of memory: give it more, or set MEMORY_LIMIT_MB to what there really is") from error
        except Exception as error:  # a library's surprise at a broken file, or a mistake of ours: neither may stop the batch
            if str(error) == "can't start new thread":
                raise ProcessLimitError("cannot start a thread: allow this user more processes, or set MAX_WORKERS lower") from error
            if isinstance(error, OSError) and error.filename is not None:
                raise ProcError(f"{error.filename}: {error.strerror}") from error
            logger.opt(exception=error).debug(f"{shown(source)}: unexpected error")
            text = f"unexpected {type(error).__name__}: {error} (LOG_LEVEL=DEBUG shows where)"
            raise ProcError(text.replace("\n", " ")) from error


@dataclass(frozen=True, kw_only=True)
class _Images:
    """Converts images one after another.

    left  datasets with hidden files of an earlier run beside them
    mine  what of each input is this run's, where it is one of several parts
    """

    settings: Settings
    limits: Limits
    report: Report
    engine: "Engine"
    left: set[Path]
    mine: dict[Input, Owned]
    deadline: float | None

    @property
    def _tree(self) -> Any:
        return tree_for(self.settings.output_dir, self.settings.output_layout)

    def convert(self, entry: Input, images: "list[Image] | ProcError") -> Iterator[Outcome]:
        if isinstance(images, ProcError):
            yield self._failed(entry, None, images)
            return
        for planned in datasets(self.settings, entry, images):
            if self.mine and planned.target not in self.mine[entry].datasets:
                continue
            try:
                with _typed(entry.path):
                    refuse_plate(self.settings, planned)
                    outcome = self._make(entry, self._conversion(planned), planned.target)
            except ProcError as error:
                outcome = self._failed(entry, planned.target, without_frames(error))
            yield outcome

    def _failed(self, entry: Input, target: Place | None, error: ProcError) -> Outcome:
        self.report.fail(str(entry.path), error, None if target is None else str(target))
        return Outcome(source=str(entry.path), status="failed", target=target, error=error)

    def _picture(self, target: Place, *, is_new: bool) -> None:
        """A picture that is there already is kept in step with its dataset, asked for or not."""
        from omezarr_proc.build.preview import is_current, is_there, preview_path, write_preview

        picture = preview_path(self._tree.target_of(target))
        if (self.settings.preview is True or is_there(picture)) and (is_new or not is_current(picture, target)):
            self.engine.rest()  # the picture may take what they had
            write_preview(picture, target)

    def _conversion(self, planned: Planned) -> "Conversion | PlateConversion":
        from omezarr_proc.build.image import Conversion
        from omezarr_proc.build.plate import PlateConversion

        common: dict[str, Any] = {"settings": self.settings, "limits": self.limits, "engine": self.engine, "report": self.report}
        common["deadline"] = self.deadline
        return PlateConversion(images=planned.images, **common) if planned.plate else Conversion(image=planned.images[0], **common)

    def _make(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place) -> Outcome:
        key, tree = conversion.key, self._tree
        if isinstance(target, Path) and (link := first_link(Path(self.settings.output_dir), tree.target_of(target).parent)):
            raise InTheWayError("is a link, and below OUTPUT_DIR links are not followed: put a folder there, then run again", source=link)
        if target not in self.left and (reason := self._left_alone(target, key, locked=False)):
            return self._skipped(entry, conversion, target, reason)
        _check_time(self.deadline)
        shared = self.mine[entry].datasets[target] if self.mine else None
        if shared and shared.cut:
            return self._make_share(entry, conversion, target, shared, shared.cut)
        with tree.locked(target) as lock:
            if reason := self._left_alone(target, key, locked=True):
                tree.discard(target, self.deadline)
                return self._skipped(entry, conversion, target, reason)
            tree.refuse_parts(target)
            self._begin(conversion, target)
            summary = conversion.run(target, lock)
        return self._converted(entry, target, summary)

    def _make_share(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, shared: "Shared", cut: "Cut") -> Outcome:
        """Make the share of an image that is this part's; if those of all others are done by then, all that is left, and publish."""
        from omezarr_proc.build.image import Conversion
        from omezarr_proc.build.share import make_share

        assert isinstance(conversion, Conversion)  # a plate is never cut
        key, tree, part = conversion.key, self._tree, self.settings.part
        assert part
        with tree.locked_share(target, part):
            if reason := self._left_alone(target, key, locked=True):
                with suppress(LockedError), tree.locked(target):  # who has it removes what is hidden
                    tree.discard(target, self.deadline)
                return self._skipped(entry, conversion, target, reason)
            self._begin(conversion, target)
            if not tree.is_done(target, key, part.of, [part.number]):
                conversion.attempts.plan(conversion.pyramid)  # refuses what cannot be done before anything is written
                pieces = (piece for piece in shared.pieces if piece.part == part.number)
                regions = (region for piece in pieces for region in cut.regions(piece.start, piece.stop))
                make_share(conversion, tree.share(target, key, part, shared.parts), cut.last, regions)
        if not tree.is_done(target, key, part.of, shared.parts):
            return self._in_part(entry, target, f"part {part} is done, others are not yet")
        try:
            with tree.locked(target) as lock:
                if self._left_alone(target, key, locked=True):
                    tree.discard(target, self.deadline)
                    return self._in_part(entry, target, f"part {part} is done, and another part has published it")
                summary = conversion.run(target, lock, trusted=True)
        except LockedError:
            return self._in_part(entry, target, f"part {part} is done, and another part makes what is left")
        return self._converted(entry, target, summary)

    def _in_part(self, entry: Input, target: Place, done: str) -> Outcome:
        self.report.share(str(entry.path), done, str(target))
        return Outcome(source=str(entry.path), status="part", target=target, reason=done)

    def _converted(self, entry: Input, target: Place, summary: "Summary") -> Outcome:
        self._picture(target, is_new=True)
        self.report.finish(summary)
        return Outcome(
            source=str(entry.path),
            status="converted",
            target=target,
            shape=summary.shape,
            levels=summary.levels,
            chunks=summary.chunks,
            stored_bytes=summary.stored_bytes,
            seconds=summary.seconds,
        )

    def _begin(self, conversion: "Conversion | PlateConversion", target: Place) -> None:
        self.report.begin(conversion.begun(target))
        for note in conversion.notes:
            logger.info(f"{conversion.source}: {note}")
        for line in conversion.advice():
            self.report.advise(conversion.source, line)

    def _skipped(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, reason: str) -> Outcome:
        self._picture(target, is_new=False)
        self.report.skip(conversion.source, f"{target} {reason}", str(target))
        return Outcome(source=str(entry.path), status="skipped", target=target, reason=reason)

    def _left_alone(self, target: Place, key: str, *, locked: bool) -> str:
        """Why the dataset that is there already is left alone; empty where it is not, or is unfinished, which who has `locked` it decides.

        Raises OutputError where it must not be there.
        """
        existing = self.settings.existing
        if existing == "force":
            return ""
        standing = self._tree.look(target)
        if standing.unfinished and not locked:
            return ""
        if standing.taken:
            if standing.key == key:
                return "is there already, made of the same input with the same settings"
            if existing == "skip":
                return "is there already (EXISTING=skip)"
            if existing == "fail":
                raise InTheWayError(
                    "is there already, of another input or with other settings (EXISTING=fail): remove it, or choose replace or skip",
                    source=target,
                )
        if standing.foreign:
            raise standing.foreign
        return ""
