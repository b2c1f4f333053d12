"""Small images share what they would each wait for: the syncs of a bunch of them, and its publishing while the next bunch is made.

    turn      sync the file systems: the records of the bunch that comes, all of the bunch that was made
    meanwhile the bunch that was made gets its names and loses what is hidden (in a thread), the one that comes is made (see `making`),
              and the one after it is opened, and has its records written

An image counts as done, and says so, when its name is safe on disk, and in the order of the inputs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omezarr_proc.app.making import Making
from omezarr_proc.app.member import Member
from omezarr_proc.app.report import Report
from omezarr_proc.build.makers import pixel_bytes
from omezarr_proc.host.background import Background
from omezarr_proc.host.faults import output_error
from omezarr_proc.publish.hidden import hidden_names
from omezarr_proc.store.sync import Disks, sync_folder

# How long an orderly stop waits for the disk, so that what is made is not lost: within it a container's last seconds are not over.
STOP_SECONDS = 3.0
# Images of the first bunch; each has twice as many as the one before, so that workers have something to do soon.
_FIRST = 8


@dataclass(frozen=True, kw_only=True)
class Most:
    """How large a bunch becomes: what a kill may have to be made again, about what a record would lose.

    bytes    of pixels
    seconds  after which those that are made are published before the next is made
    """

    images: int = 32
    bytes: int = 256 << 20
    seconds: float = 5.0


class Together:
    """The small images of a run.

    making  has them made
    end     takes a member of which all is known
    """

    def __init__(self, report: Report, making: Making, end: Callable[[Member], None], most: Most | None = None) -> None:
        self.disks = Disks()
        self._report, self._making, self._end = report, making, end
        self._most = most or Most()
        self._enough = min(_FIRST, self._most.images)
        self._begun: list[Member] = []
        self._made: list[Member] = []
        self._published: list[Member] = []
        self._publishing: Background | None = None

    def add(self, member: Member) -> None:
        """Take an image whose record is written."""
        self._begun.append(member)
        if self._making:
            self._making.look(0.0)
        size = sum(pixel_bytes(one.conversion) for one in self._begun)
        if len(self._begun) >= self._enough or size >= self._most.bytes:
            self._turn()

    def finish(self) -> None:
        """Make and publish all that were taken."""
        while self._begun or self._making or self._made:
            self._turn()
        self._tell()

    def close(self) -> None:
        """Let go of what an exception has left: what is made is published if the disk is fast enough, the rest another run makes anew."""
        until = time.monotonic() + STOP_SECONDS
        self._made += self._making.made()
        left = [*self._making.stop(), *self._begun]
        self._wait(until)
        if self._made and not self._publishing:
            made, self._published, self._made = self._made, self._made, []

            def publish() -> None:
                _sync(made)
                _publish(made)

            self._publishing = Background("publish", publish)
            self._wait(until)
        for member in (*left, *self._made):
            member.tree.close()
            member.held.close()
        self._begun, self._made = [], []
        if not self._publishing:  # who still waits for a disk needs its descriptor
            self.disks.close()

    def _wait(self, until: float) -> None:
        """Wait for what is being published, but no longer than until then."""
        if self._publishing:
            self._publishing.wait(max(0.0, until - time.monotonic()))
            if not self._publishing.is_alive():
                self._tell()

    def _turn(self) -> None:
        """Publish what is made, and have what has begun made, so that no worker runs dry; where that takes long, publish in between."""
        began_at = time.monotonic()
        while self._making.waits if self._begun else self._making:
            self._making.look(self._most.seconds)
            self._made += self._making.made()
            if self._made and time.monotonic() > began_at + self._most.seconds:
                self._publish()
                began_at = time.monotonic()
        self._made += self._making.made()
        self._publish()
        begun, self._begun = self._begun, []
        self._making.add(begun)
        self._enough = min(2 * self._enough, self._most.images)

    def _publish(self) -> None:
        """Get all onto the disk, also the records of those that come; then give those that are made their names meanwhile."""
        self._tell()
        _sync((*self._begun, *self._making.members, *self._made))
        made, self._published, self._made = self._made, self._made, []
        self._publishing = Background("publish", lambda: _publish(made))

    def _tell(self) -> None:
        """Tell of those that are published."""
        if self._publishing:
            self._publishing.wait()
            published, self._published, publishing, self._publishing = self._published, [], self._publishing, None
            publishing.check()
            for member in published:
                self._report.again(member.aside)
                self._end(member)


def _sync(members: Sequence[Member]) -> None:
    """Get all that was written of them onto the disk."""
    for disk in {member.tree.disk for member in members if not member.error}:
        try:
            disk.sync()
        except OSError as error:
            for member in members:
                if member.tree.disk is disk and not member.error:
                    member.error = output_error("cannot publish", error, member.target)


def _publish(members: Sequence[Member]) -> None:
    """Give those that were made their names, all of whose content is on disk; then each is released, whatever came of it."""
    for member in _good(members):
        with member.trying(), member.conversion.given_up(member.tree):
            member.conversion.refuse_changed()
            member.tree.name()
    names: dict[Path, list[str]] = {}
    for folder in {member.target.parent for member in _good(members)}:
        try:
            sync_folder(folder)
            names[folder] = hidden_names(folder)
        except OSError as error:
            for member in _good(members):
                if member.target.parent == folder:
                    member.error = output_error("cannot publish", error, member.target)
    for member in _good(members):
        with member.trying():
            member.tree.confirm(names[member.target.parent])
    for member in members:
        member.held.close()


def _good(members: Sequence[Member]) -> list[Member]:
    return [member for member in members if not member.error]
