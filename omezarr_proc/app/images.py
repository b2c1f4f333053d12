"""The images of a run on their way: what is there already is left alone, small ones are made together, others by parts or alone."""

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omezarr_proc.app.beside import keep_in_step
from omezarr_proc.app.datasets import Planned, datasets
from omezarr_proc.app.inputs import Input
from omezarr_proc.app.opening import check_time, typed
from omezarr_proc.app.outcomes import Outcomes
from omezarr_proc.app.shares import Owned
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import InTheWayError, ProcError, StoreUnavailableError, without_frames
from omezarr_proc.publish.existing import left_alone
from omezarr_proc.publish.lock import LockedError
from omezarr_proc.publish.tree import ByRename, tree_for
from omezarr_proc.store.opening import first_link

if TYPE_CHECKING:
    from omezarr_proc.app.in_stores import InStores, OnItsWay
    from omezarr_proc.app.member import Member
    from omezarr_proc.app.together import Most, Together
    from omezarr_proc.build.image import Conversion
    from omezarr_proc.build.means import Means
    from omezarr_proc.build.plate import PlateConversion
    from omezarr_proc.model.events import Summary
    from omezarr_proc.model.image import Image
    from omezarr_proc.plan.shares import Cut, FieldCut, Shared


@dataclass(frozen=True, kw_only=True)
class Images:
    """Converts images one after another, small ones together.

    means     what they are made with
    left      datasets with hidden files of an earlier run beside them
    alone     whether there is one input only
    mine      what of each input is this run's, where it is one of several parts
    most      how large a bunch of small images becomes
    outcomes  what becomes of each
    """

    settings: Settings
    means: "Means"
    left: set[Path]
    mine: dict[Input, Owned]
    alone: bool
    most: "Most | None"
    outcomes: Outcomes

    @cached_property
    def together(self) -> "Together | InStores":
        """The small images, until they are done."""
        if isinstance(self.settings.output_dir, Address):
            from omezarr_proc.app.in_stores import InStores

            begin, deadline = self.outcomes.begun, self.means.deadline
            return InStores(self.outcomes.report, self._tree, self._refuse_silence, begin, self._end_in_store, deadline)
        from omezarr_proc.app.making import Making
        from omezarr_proc.app.together import Together

        return Together(self.outcomes.report, Making(self.outcomes, self.means), self._end, self.most)

    @property
    def _tree(self) -> Any:
        return tree_for(self.settings.output_dir, self.settings.output_layout)

    def convert(self, entry: Input, images: "list[Image] | ProcError") -> None:
        """Convert the images of an input, or begin with those that are small; errors are outcomes."""
        if isinstance(images, ProcError):
            self.together.finish()
            self.outcomes.failed(entry, None, images)
            return
        for planned in datasets(self.settings, entry, images):
            if self.mine and planned.target not in self.mine[entry].datasets:
                continue
            try:
                with typed(entry.path):
                    self._refuse_silence()
                    self._make(entry, self._conversion(planned), planned.target, alone=self.alone and len(images) == 1)
            except ProcError as error:
                self.together.finish()
                self.outcomes.failed(entry, planned.target, without_frames(error))

    def _refuse_silence(self) -> None:
        """Raise StoreUnavailableError where the image before has waited in vain for the output: the others would, one by one."""
        error, output = self.outcomes.all[-1].error if self.outcomes.all else None, self.settings.output_dir
        if isinstance(error, StoreUnavailableError) and isinstance(output, Address) and f"{error.source}/".startswith(f"{output}/"):
            raise StoreUnavailableError("does not answer, so this is not begun", source=output, hint="run it again to go on")

    def _join(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place) -> bool:
        """Take a small image into the bunch that is made together; returns whether it is one of those, and the first to work on it."""
        from omezarr_proc.app.member import Member
        from omezarr_proc.app.together import Together
        from omezarr_proc.build.image import Conversion
        from omezarr_proc.build.makers import is_small
        from omezarr_proc.publish.brief import Brief, is_fresh

        if not isinstance(conversion, Conversion) or self._tree is not ByRename or target in self.left or not is_small(conversion):
            return False
        assert isinstance(target, Path) and isinstance(self.together, Together)  # by rename
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
            member = Member(
                entry=entry, conversion=conversion, target=target, tree=tree, held=held.pop_all(), aside=self.outcomes.report.aside()
            )
        self.together.add(member)
        return True

    def _join_in_store(self, entry: Input, conversion: "Conversion | PlateConversion", target: Address, *, alone: bool) -> bool:
        """Begin with a small image into an object store; returns whether it is one."""
        from omezarr_proc.app.in_stores import InStores
        from omezarr_proc.build.image import Conversion
        from omezarr_proc.build.makers import is_small

        if not isinstance(conversion, Conversion) or not is_small(conversion):
            return False
        assert isinstance(self.together, InStores)
        self.together.add(entry, conversion, target, brief=not alone)
        return True

    def _end_in_store(self, member: "OnItsWay") -> None:
        """Take what came of a small image into an object store."""
        if member.error is None and member.beside:
            with member.trying():
                self._beside(member.conversion, member.target, is_new=not member.reason)
        if member.error:
            self.outcomes.failed(member.entry, member.target, member.error)
        elif member.summary:
            self.outcomes.converted(member.entry, member.target, member.summary)
        else:
            self.outcomes.skipped(member.entry, member.conversion, member.target, member.reason)

    def _end(self, member: "Member") -> None:
        """Take what came of a member of a bunch."""
        if not member.error:
            with member.trying():
                assert member.summary
                self._converted(member.entry, member.conversion, member.target, member.summary)
        if member.error:
            self.outcomes.failed(member.entry, member.target, member.error)

    def _beside(self, conversion: "Conversion | PlateConversion", target: Place, *, is_new: bool) -> None:
        keep_in_step(conversion, target, self._tree.target_of(target), is_new=is_new)

    def _conversion(self, planned: Planned) -> "Conversion | PlateConversion":
        if planned.plate:
            from omezarr_proc.build.plate import PlateConversion

            return PlateConversion(images=planned.images, means=self.means)
        from omezarr_proc.build.image import Conversion

        return Conversion(image=planned.images[0], means=self.means)

    def _make(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, *, alone: bool) -> None:
        """Convert an image, or have it join others."""
        tree = self._tree
        if isinstance(target, Path) and (link := first_link(Path(self.settings.output_dir), tree.target_of(target).parent)):
            raise InTheWayError("is a link, and below OUTPUT_DIR links are not followed: put a folder there, then run again", source=link)
        shared = self.mine[entry].datasets[target] if self.mine else None
        cut = shared and shared.cut
        if isinstance(target, Address) and not cut and self._join_in_store(entry, conversion, target, alone=alone):
            return None
        if target not in self.left and (reason := self._left_alone(conversion, target, locked=False)):
            self.together.finish()
            return self._skipped(entry, conversion, target, reason)
        check_time(self.means.deadline)
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
            self.outcomes.begun(conversion, target)
            summary = conversion.run(target, lock)
        return self._converted(entry, conversion, target, summary)

    def _make_share(
        self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, shared: "Shared", cut: "Cut | FieldCut"
    ) -> None:
        """Make the share of a dataset that is this part's; if those of all others are done by then, all that is left, and publish."""
        from omezarr_proc.build.share import make_share

        key, tree, part = conversion.key, self._tree, self.settings.part
        assert part
        with tree.locked_share(target, part):
            # asked before one looks: who publishes in between removes what says so, and what is there then is seen
            is_done = tree.is_done(target, key, part.of, [part.number])
            if reason := self._left_alone(conversion, target, locked=True):
                with suppress(LockedError), tree.locked(target):  # who has it removes what is hidden
                    tree.discard(target, self.means.deadline)
                return self._skipped(entry, conversion, target, reason)
            self.outcomes.begun(conversion, target)
            if not is_done:
                conversion.refuse_impossible()
                pieces = [piece for piece in shared.pieces if piece.part == part.number]
                make_share(conversion, tree.share(target, key, part, shared.parts, conversion.rows), cut, pieces)
        if not tree.is_done(target, key, part.of, shared.parts):
            return self.outcomes.in_part(entry, target, f"part {part} is done, others are not yet")
        try:
            with tree.locked(target) as lock:
                if self._left_alone(conversion, target, locked=True):
                    tree.discard(target, self.means.deadline)
                    return self.outcomes.in_part(entry, target, f"part {part} is done, and another part has published it")
                summary = conversion.run(target, lock, trusted=True)
        except LockedError:
            return self.outcomes.in_part(entry, target, f"part {part} is done, and another part makes what is left")
        return self._converted(entry, conversion, target, summary)

    def _converted(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, summary: "Summary") -> None:
        self._beside(conversion, target, is_new=True)
        self.outcomes.converted(entry, target, summary)

    def _skipped(self, entry: Input, conversion: "Conversion | PlateConversion", target: Place, reason: str) -> None:
        self._beside(conversion, target, is_new=False)
        self.outcomes.skipped(entry, conversion, target, reason)

    def _left_alone(self, conversion: "Conversion | PlateConversion", target: Place, *, locked: bool) -> str:
        """Why the dataset that is there already is left alone; empty where it is not. Raises OutputError where it must not be there."""
        existing = self.settings.existing
        if existing == "force":
            return ""
        return left_alone(self._tree.look(target, conversion.rows), existing, conversion.key, target, locked=locked)
