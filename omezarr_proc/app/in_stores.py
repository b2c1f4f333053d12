"""Small images into an object store: the next ones are begun, and the last ones published, while one is made.

Each request is waited for, and of a small image most of the time is that: to look, lock, look again and begin its record; to publish and
unlock. So both are done in threads, of several images at a time. What is replaced is removed at its turn only.

An image counts as done, and says so, when it is published, and in the order of the inputs.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from omezarr_proc.app.beside import is_beside
from omezarr_proc.app.inputs import Input
from omezarr_proc.app.member import Underway
from omezarr_proc.app.opening import check_time
from omezarr_proc.app.report import Report
from omezarr_proc.build.image import Conversion
from omezarr_proc.host.background import Background, side_by_side
from omezarr_proc.model.address import Address
from omezarr_proc.model.errors import ProcError, StoreUnavailableError
from omezarr_proc.publish.existing import left_alone
from omezarr_proc.publish.in_store import InStore

if TYPE_CHECKING:
    from omezarr_proc.publish.store_contents import Contents
    from omezarr_proc.publish.store_lock import StoreLock

AT_A_TIME = 8  # images that are begun, and as many that are being published
STOP_SECONDS = 2.0  # how long an orderly stop waits for the store


@dataclass(eq=False, kw_only=True)
class OnItsWay(Underway):
    """One image on its way, whose lock is held, and what lies in its place since then.

    brief    whether it is one of several, so that nothing of it need be noted
    reason   why the dataset that is there already is left alone
    beside   whether there is something to keep in step beside it
    staging  whether it is being made, or was
    """

    target: Address
    brief: bool
    reason: str = ""
    beside: bool = True
    lock: "StoreLock | None" = None
    there: "Contents | None" = None
    tree: InStore | None = None
    staging: bool = False


class InStores:
    """The small images of a run.

    way             the kind of their trees
    refuse_silence  raises StoreUnavailableError where the output does not answer, as was found out of an image before
    begin           tells of an image whose turn it is
    end             takes a member of which all is known
    """

    def __init__(
        self,
        report: Report,
        way: type[InStore],
        refuse_silence: Callable[[], None],
        begin: Callable[[Conversion, Address], None],
        end: Callable[[OnItsWay], None],
        deadline: float | None,
    ) -> None:
        self._report, self._way, self._deadline = report, way, deadline
        self._refuse_silence, self._told, self._end = refuse_silence, begin, end
        self._coming: list[tuple[OnItsWay, Background]] = []
        self._going: list[tuple[OnItsWay, Background]] = []

    def add(self, entry: Input, conversion: Conversion, target: Address, *, brief: bool) -> None:
        """Begin with an image, and make the first of those that are begun when they are many. `brief`: see `OnItsWay`."""
        member = OnItsWay(entry=entry, conversion=conversion, target=target, aside=self._report.aside(), brief=brief)
        self._coming.append((member, Background("begin", partial(self._begin, member))))
        if len(self._coming) > AT_A_TIME:
            self._turn()

    def finish(self) -> None:
        """Make and publish all that were taken."""
        while self._coming:
            self._turn()
        self._tell(most=0)

    def close(self) -> None:
        """Let go of what an exception has left, if the store is fast enough: what is made is published, the rest another run makes anew."""
        until = time.monotonic() + STOP_SECONDS
        leaving = [Background("leave", partial(self._leave, member, beginning)) for member, beginning in self._coming]
        for thread in (*leaving, *(publishing for _, publishing in self._going)):
            thread.wait(max(0.0, until - time.monotonic()))
        self._tell(most=len(self._going))
        self._coming, self._going = [], []

    def _begin(self, member: OnItsWay) -> None:
        """Find out whether it is to be made; then lock it, and begin its record where nothing is in its place."""
        conversion, target, way = member.conversion, member.target, self._way

        def look(locked: bool) -> "tuple[Contents, str]":
            there = way.contents(target)
            existing = conversion.means.settings.existing
            return there, left_alone(way.standing(there), existing, conversion.key, target, locked=locked)

        with member.trying(), ExitStack() as held:
            (_, member.reason), member.beside = side_by_side([partial(look, False), partial(is_beside, conversion, way.target_of(target))])
            if member.reason:
                return
            member.lock = held.enter_context(way.locked(target))
            member.there, member.reason = look(True)
            if member.reason:
                way.discard(target)
                return
            if member.there.has_locks_of_parts:
                way.refuse_parts(target)
            if member.brief and member.there.empty and _is_possible(conversion):
                member.tree = way(target, conversion.key, member.lock, there=member.there, brief=True)
            member.held = held.pop_all()

    def _turn(self) -> None:
        """Make the first of those that are begun, and have it published."""
        member, beginning = self._coming[0]
        beginning.wait()
        failed = any(before.error for before, _ in self._going)  # then it must be known whether the output answers
        self._tell(most=0 if failed else AT_A_TIME)
        self._report.again(member.aside)
        if not member.reason:
            with member.trying():
                self._make(member)
        member.aside = self._report.aside()
        self._coming.pop(0)
        self._going.append((member, Background("publish", partial(self._publish, member))))

    def _make(self, member: OnItsWay) -> None:
        conversion, target = member.conversion, member.target
        self._refuse_silence()
        if member.error:
            raise member.error
        check_time(self._deadline)
        self._told(conversion, target)
        conversion.refuse_impossible()
        member.staging = True
        if not member.tree:
            assert member.lock
            member.tree = self._way(target, conversion.key, member.lock, there=member.there)
        with conversion.given_up(member.tree):
            member.summary = conversion.stage(target, member.tree)

    def _publish(self, member: OnItsWay) -> None:
        """Publish what was made, remove the record of what was not even begun; then unlock it."""
        with member.trying():
            if member.summary and member.tree:
                with member.conversion.given_up(member.tree):
                    member.conversion.refuse_changed()
                    member.tree.publish()
            elif member.tree and not member.staging and not isinstance(member.error, StoreUnavailableError):
                member.tree.close()
                member.tree.give_up()
        member.let_go()

    def _leave(self, member: OnItsWay, beginning: Background) -> None:
        """Remove the record of what was not even begun, and unlock it; where workers may still put objects the record stays."""
        beginning.wait()
        if member.tree and not member.staging:
            member.tree.close()
            member.tree.give_up()
        member.held.close()

    def _tell(self, most: int) -> None:
        """Tell of those that are published; wait where there are more than so many others."""
        while self._going and (len(self._going) > most or not self._going[0][1].is_alive()):
            member, publishing = self._going.pop(0)
            publishing.wait()
            publishing.check()
            self._report.again(member.aside)
            self._end(member)


def _is_possible(conversion: Conversion) -> bool:
    """Whether it can be made within the limits; why not is told at its turn."""
    try:
        conversion.refuse_impossible()
    except ProcError:
        return False
    return True
