"""Small images are made: each by one worker while the next ones are opened, or where that cannot be one after another by all workers."""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile

from omezarr_proc.app.member import Member
from omezarr_proc.app.opening import check_time
from omezarr_proc.app.outcomes import Outcomes
from omezarr_proc.build.image import noted
from omezarr_proc.build.makers import Makers, is_for_all
from omezarr_proc.build.means import Means
from omezarr_proc.build.solo import SoloMade
from omezarr_proc.engine.base import WorkerLostError
from omezarr_proc.model.errors import ProcError


class Making:
    """Those whose turn it is.

    outcomes  is told of those that are begun
    means     what they are made with
    members   in the order in which they are to be told of
    """

    def __init__(self, outcomes: Outcomes, means: Means) -> None:
        self._outcomes, self._report, self._means = outcomes, outcomes.report, means
        self._makers: Makers[Member] = Makers(means.solos, means.limits)
        self.members: list[Member] = []
        self._waiting: deque[Member] = deque()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.members)

    @property
    def waits(self) -> bool:
        """Whether there are some that nobody works on yet."""
        return bool(self._waiting)

    def add(self, members: Iterable[Member]) -> None:
        """Have these made too, whose records are on disk."""
        for member in members:
            member.at_work = True
            self.members.append(member)
            self._waiting.append(member)

    def look(self, patience: float) -> None:
        """Go on: waits at most so many seconds for a worker to be done, or has one image made by all of them."""
        self._hand_out()
        if self._makers:
            self._take(patience)
            self._hand_out()
        elif self._waiting:
            self._make(self._waiting.popleft())

    def made(self) -> list[Member]:
        """Take those that are made, up to the first that is not."""
        made = list(takewhile(lambda member: member.is_made, self.members))
        del self.members[: len(made)]
        return made

    def stop(self) -> list[Member]:
        """Have nobody go on, and take those that are left."""
        self._makers.stop()
        left, self.members = self.members, []
        self._waiting.clear()
        return left

    def _hand_out(self) -> None:
        """Give as many to workers as these have room for; one that all of them make waits until none has any."""
        while self._waiting and self._makers.have_room and not self._by_all(self._waiting[0]):
            self._give(self._waiting.popleft())

    def _by_all(self, member: Member) -> bool:
        return member.by_all or not self._makers.can_make(member.conversion)

    def _begun(self, member: Member) -> None:
        """Begin an image. Raises ProcError; then nothing is left of it."""
        if member.begun:
            return
        try:
            if member.error:
                raise member.error
            check_time(self._means.deadline)
            member.tree.stage()
        except ProcError:
            member.tree.close()
            member.tree.give_up()
            raise
        member.begun = True
        self._outcomes.begun(member.conversion, member.target)

    def _give(self, member: Member) -> None:
        with self._of(member):
            self._begun(member)
            member.tree.begin({"workers": 1})
            self._makers.give(member, member.conversion, member.target, member.tree)
        member.at_work = not member.error

    def _take(self, patience: float) -> None:
        """Take what has come of those that were given."""
        taken = self._makers.take(patience)
        again = [(member, made) for member, made in taken if is_for_all(made)]
        lost = [(member, made.error) for member, made in again if isinstance(made.error, WorkerLostError)]
        if lost:
            member, error = lost[0]
            with self._of(member):
                self._report.retry(f"{error}; going on with one image at a time")
        for member, _ in reversed(again):
            self._have_all_make(member)
        for member, made in taken:
            if not is_for_all(made):
                self._end(member, made)

    def _end(self, member: Member, made: SoloMade) -> None:
        """Take what has come of an image."""
        memory = self._means.memory.peak or None
        with self._of(member):
            for line in made.lines:
                line.log()
            for phase, seconds in made.phases.items():
                self._report.spent(phase, seconds)
            self._report.peak(memory)
            with member.conversion.given_up(member.tree), noted(member.tree):
                if error := member.error or made.error:
                    raise error
                self._report.at_once(member.conversion.source, member.conversion.pyramid.pixels)
            assert made.summary
            member.summary = replace(made.summary, peak_bytes=memory)
        member.at_work = False

    def _have_all_make(self, member: Member) -> None:
        member.by_all = True
        with member.trying():
            member.tree.end("worker lost")
        if member.error:
            member.at_work = False
        else:
            self._waiting.appendleft(member)

    def _make(self, member: Member) -> None:
        with self._of(member):
            self._begun(member)
            with member.conversion.given_up(member.tree):
                member.summary = member.conversion.stage(member.target, member.tree)
        member.at_work = False

    @contextmanager
    def _of(self, member: Member) -> Iterator[None]:
        """Within, it is the image at work, and what goes wrong is its error."""
        self._report.again(member.aside)
        with member.trying():
            yield
        member.aside = self._report.aside()
