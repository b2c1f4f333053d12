"""The run: inputs -> each image in turn, small ones together -> results. One bad input never stops the others."""

import math
import time
from collections.abc import Iterable
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loguru import logger

from omezarr_proc.app.asset import write_beside
from omezarr_proc.app.beside import keep_in_step
from omezarr_proc.app.datasets import Planned, datasets
from omezarr_proc.app.inputs import Input, dataset_path
from omezarr_proc.app.opening import check_time, open_inputs, typed
from omezarr_proc.app.progress import Report
from omezarr_proc.app.shares import Owned, chosen, cut_inputs, owned
from omezarr_proc.config.settings import Settings
from omezarr_proc.host.limits import read_limits
from omezarr_proc.host.memory import PeakMemory
from omezarr_proc.model.address import Address, Place, absolute
from omezarr_proc.model.errors import InTheWayError, ProcError, StoreUnavailableError, without_frames
from omezarr_proc.model.outcome import Outcome
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.publish.tree import ByRename, tree_for
from omezarr_proc.store.opening import first_link

if TYPE_CHECKING:
    from omezarr_proc.app.together import Member, Most, Together
    from omezarr_proc.build.image import Conversion
    from omezarr_proc.build.means import Means
    from omezarr_proc.build.plate import PlateConversion
    from omezarr_proc.model.events import Summary
    from omezarr_proc.model.image import Image
    from omezarr_proc.plan.shares import Cut, FieldCut, Shared

# Before the deadline: to end the tasks at work, note what is done, and publish what is finished. With one CPU; longer with less.
STOP_SECONDS = 4.0


def run(
    settings: Settings,
    found: Iterable[Input],
    report: Report,
    *,
    deadline: float | None = None,
    may_fork: bool = True,
    mine: dict[Input, Owned] | None = None,
    most: "Most | None" = None,
) -> list[Outcome]:
    """Convert every image of every input; errors are outcomes, told to `report` where they happen.

    found     the inputs; iterated when the nursery is there, since that may ask an object store
    deadline  when to stop in good order, as time.monotonic() counts
    may_fork  whether this process is ours to fork
    mine      what of each input is this part's, where somebody knows; else the part finds out
    most      how large a group of small images becomes
    """
    if settings.cluster:
        from omezarr_proc.app.cluster.run import run_on_cluster

        return run_on_cluster(settings, found, report, deadline)
    from omezarr_proc.engine.local.nursery import EXECUTED_BYTES, Nursery

    limits = read_limits(settings.memory_limit_mb, settings.max_workers)  # before our own processes are part of what is in use
    if deadline is not None:
        deadline -= min(STOP_SECONDS / min(1.0, limits.cpus), (deadline - time.monotonic()) / 2)
    nursery = Nursery(may_fork=may_fork)  # before any thread of ours is there; one that is started by exec imports while we do
    if not nursery.forked:
        limits = replace(limits, headroom_bytes=max(0, limits.headroom_bytes - EXECUTED_BYTES))
    from omezarr_proc.build.means import Means
    from omezarr_proc.engine.local.engine import Local

    if isinstance(settings.output_dir, Address):
        from omezarr_proc.plan.memory import STORE_BYTES

        limits = replace(limits, headroom_bytes=max(0, limits.headroom_bytes - STORE_BYTES * (1 + math.ceil(limits.cpus))))
    engine = Local(nursery, deadline, settings.stall_seconds)
    try:
        inputs = list(found)
        opened = open_inputs(settings, inputs, limits, deadline)
        if settings.part:
            mine = owned(cut_inputs(opened, settings), settings.part) if mine is None else mine
            inputs = [entry for entry in inputs if entry in mine]
            opened = chosen(open_inputs(settings, inputs, limits, deadline), mine)
        left = _recover(settings, inputs)
        outcomes: list[Outcome] = []
        numbers = {entry: number for number, entry in enumerate(inputs, 1)}
        with PeakMemory(engine.processes) as memory:
            means = Means(settings=settings, limits=limits, engine=engine, report=report, deadline=deadline, memory=memory)
            alone = len(inputs) == 1
            images = _Images(
                settings=settings, means=means, report=report, left=left, mine=mine or {}, alone=alone, most=most, outcomes=outcomes
            )
            with closing(images.together):
                for entry, of_entry in opened:
                    report.at(numbers[entry], len(inputs))
                    images.convert(entry, of_entry)
                    del of_entry  # its metadata are gone before the next one's are read, but for those of small images
                images.together.finish()
        if settings.preview == "thumbnail":
            engine.rest()
        write_beside(settings, outcomes)
        return outcomes
    finally:
        engine.close()


def _recover(settings: Settings, inputs: Iterable[Input]) -> set[Path]:
    """Put in order what killed runs have left half done; returns the datasets that still have something hidden."""
    if isinstance(settings.output_dir, Address):  # each is asked for in its turn
        return set()
    tree = tree_for(settings.output_dir, settings.output_layout)
    root = settings.output_layout == "root"
    places = {settings.output_dir if root else settings.output_dir / dataset_path(entry.relative) for entry in inputs}
    folders = sorted({tree.target_of(place).parent for place in places})
    return {left for folder in folders if not first_link(settings.output_dir, folder) for left in tree.recover(folder)}


@dataclass(frozen=True, kw_only=True)
class _Images:
    """Converts images one after another, small ones together.

    means     what they are made with
    left      datasets with hidden files of an earlier run beside them
    alone     whether there is one input only
    mine      what of each input is this run's, where it is one of several parts
    most      how large a group of small images becomes
    outcomes  where what becomes of each goes, in the order of the inputs
    """

    settings: Settings
    means: "Means"
    report: Report
    left: set[Path]
    mine: dict[Input, Owned]
    alone: bool
    most: "Most | None"
    outcomes: list[Outcome]

    @cached_property
    def together(self) -> "Together":
        """The small images, until they are done."""
        from omezarr_proc.app.together import Together

        return Together(self.report, self._begin, self._end, self.means.deadline, self.most)

    @property
    def _tree(self) -> Any:
        return tree_for(self.settings.output_dir, self.settings.output_layout)

    def convert(self, entry: Input, images: "list[Image] | ProcError") -> None:
        """Convert the images of an input, or begin with those that are small; errors are outcomes."""
        if isinstance(images, ProcError):
            self.together.finish()
            self.outcomes.append(self._failed(entry, None, images))
            return
        for planned in datasets(self.settings, entry, images):
            if self.mine and planned.target not in self.mine[entry].datasets:
                continue
            try:
                with typed(entry.path):
                    self._refuse_silence()
                    outcome = self._make(entry, self._conversion(planned), planned.target, alone=self.alone and len(images) == 1)
            except ProcError as error:
                self.together.finish()
                outcome = self._failed(entry, planned.target, without_frames(error))
            if outcome:
                self.outcomes.append(outcome)

    def _refuse_silence(self) -> None:
        """Raise StoreUnavailableError where the image before has waited in vain for the output: the others would, one by one."""
        error, output = self.outcomes[-1].error if self.outcomes else None, self.settings.output_dir
        if isinstance(error, StoreUnavailableError) and isinstance(output, Address) and f"{error.source}/".startswith(f"{output}/"):
            raise StoreUnavailableError("does not answer, so this is not begun", source=output, hint="run it again to go on")

    def _join(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place) -> bool:
        """Take a small image into the group that is made together; returns whether it is one of those, and the first to work on it."""
        from omezarr_proc.app.together import Member, is_small
        from omezarr_proc.build.image import Conversion
        from omezarr_proc.publish.brief import Brief, is_fresh

        if not isinstance(conversion, Conversion) or self._tree is not ByRename or target in self.left or not is_small(conversion):
            return False
        assert isinstance(target, Path)  # by rename
        with ExitStack() as held:
            lock = held.enter_context(ByRename.locked(target))
            if self._left_alone(conversion, target, locked=True) or not is_fresh(target):
                return False
            ByRename.refuse_parts(target)
            try:
                conversion.refuse_impossible()
            except ProcError:  # told when it has begun
                return False
            disks, force, deadline = self.together.disks, conversion.force, self.means.deadline
            tree = Brief(target, conversion.key, lock, disks, force=force, deadline=deadline)
            member = Member(entry=entry, conversion=conversion, target=target, tree=tree, held=held.pop_all(), aside=self.report.aside())
        self.together.add(member)
        return True

    def _end(self, member: "Member") -> None:
        """Take what came of a member of a group."""
        if not member.error:
            with member.trying():
                assert member.summary
                self.outcomes.append(self._converted(member.entry, member.conversion, member.target, member.summary))
        if member.error:
            self.outcomes.append(self._failed(member.entry, member.target, member.error))

    def _failed(self, entry: Input, target: Place | None, error: ProcError) -> Outcome:
        self.report.fail(absolute(str(entry.path)), error, None if target is None else str(target))
        return Outcome(source=str(entry.path), status="failed", target=target, error=error)

    def _beside(self, conversion: "Conversion | PlateConversion", target: Place, *, is_new: bool) -> None:
        keep_in_step(conversion, target, self._tree.target_of(target), is_new=is_new)

    def _conversion(self, planned: Planned) -> "Conversion | PlateConversion":
        if planned.plate:
            from omezarr_proc.build.plate import PlateConversion

            return PlateConversion(images=planned.images, means=self.means)
        from omezarr_proc.build.image import Conversion

        return Conversion(image=planned.images[0], means=self.means)

    def _make(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, *, alone: bool) -> Outcome | None:
        """Convert an image; None where it has joined others."""
        tree = self._tree
        if isinstance(target, Path) and (link := first_link(Path(self.settings.output_dir), tree.target_of(target).parent)):
            raise InTheWayError("is a link, and below OUTPUT_DIR links are not followed: put a folder there, then run again", source=link)
        if target not in self.left and (reason := self._left_alone(conversion, target, locked=False)):
            self.together.finish()
            return self._skipped(entry, conversion, target, reason)
        check_time(self.means.deadline)
        shared = self.mine[entry].datasets[target] if self.mine else None
        cut = shared and shared.cut
        if not (cut or alone) and self._join(entry, conversion, target):
            return None
        self.together.finish()
        if shared and cut:
            return self._make_share(entry, conversion, target, shared, cut)
        with tree.locked(target) as lock:
            if reason := self._left_alone(conversion, target, locked=True):
                tree.discard(target, self.means.deadline)
                return self._skipped(entry, conversion, target, reason)
            tree.refuse_parts(target)
            self._begin(conversion, target)
            summary = conversion.run(target, lock)
        return self._converted(entry, conversion, target, summary)

    def _make_share(
        self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, shared: "Shared", cut: "Cut | FieldCut"
    ) -> Outcome:
        """Make the share of a dataset that is this part's; if those of all others are done by then, all that is left, and publish."""
        from omezarr_proc.build.share import make_share

        key, tree, part = conversion.key, self._tree, self.settings.part
        assert part
        with tree.locked_share(target, part):
            if reason := self._left_alone(conversion, target, locked=True):
                with suppress(LockedError), tree.locked(target):  # who has it removes what is hidden
                    tree.discard(target, self.means.deadline)
                return self._skipped(entry, conversion, target, reason)
            self._begin(conversion, target)
            if not tree.is_done(target, key, part.of, [part.number]):
                conversion.refuse_impossible()
                pieces = [piece for piece in shared.pieces if piece.part == part.number]
                make_share(conversion, tree.share(target, key, part, shared.parts, conversion.rows), cut, pieces)
        if not tree.is_done(target, key, part.of, shared.parts):
            return self._in_part(entry, target, f"part {part} is done, others are not yet")
        try:
            with tree.locked(target) as lock:
                if self._left_alone(conversion, target, locked=True):
                    tree.discard(target, self.means.deadline)
                    return self._in_part(entry, target, f"part {part} is done, and another part has published it")
                summary = conversion.run(target, lock, trusted=True)
        except LockedError:
            return self._in_part(entry, target, f"part {part} is done, and another part makes what is left")
        return self._converted(entry, conversion, target, summary)

    def _in_part(self, entry: Input, target: Place, done: str) -> Outcome:
        self.report.share(absolute(str(entry.path)), done, str(target))
        return Outcome(source=str(entry.path), status="part", target=target, reason=done)

    def _converted(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, summary: "Summary") -> Outcome:
        self._beside(conversion, target, is_new=True)
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
        self._beside(conversion, target, is_new=False)
        self.report.skip(conversion.source, f"{target} {reason}", str(target))
        return Outcome(source=str(entry.path), status="skipped", target=target, reason=reason)

    def _left_alone(self, conversion: "Conversion | PlateConversion", target: Place, *, locked: bool) -> str:
        """Why the dataset that is there already is left alone; empty where it is not, or is unfinished, which who has `locked` it decides.

        Raises OutputError where it must not be there.
        """
        existing = self.settings.existing
        if existing == "force":
            return ""
        standing = self._tree.look(target, conversion.rows)
        if standing.unfinished and not locked:
            return ""
        if standing.taken:
            if standing.key == conversion.key:
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
