"""Small images share what they would each wait for: the syncs of a bunch of them, and its publishing while the next bunch is made.

    turn      sync the file systems: the records of the bunch that comes, all of the bunch that was made
    meanwhile the bunch that was made gets its names and loses what is hidden (in a thread), the one that comes is made

An image counts as done, and says so, when its name is safe on disk, and in the order of the inputs.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from omezarr_proc.app.inputs import Input
from omezarr_proc.app.opening import check_time, typed
from omezarr_proc.app.report import Aside, Report
from omezarr_proc.build.image import Conversion
from omezarr_proc.host.background import Background
from omezarr_proc.host.faults import output_error
from omezarr_proc.model.errors import ProcError, without_frames
from omezarr_proc.model.events import Summary
from omezarr_proc.model.image import Image
from omezarr_proc.publish.brief import Brief
from omezarr_proc.publish.hidden import hidden_names
from omezarr_proc.store.sync import Disks, sync_folder

# How long an orderly stop waits for the disk, so that what is made is not lost: within it a container's last seconds are not over.
STOP_SECONDS = 3.0
# Of an image that is small: its pixels, its planes, its OME-XML, of which two bunches are kept.
SMALL_BYTES = 32 << 20
SMALL_PLANES = 256
SMALL_TEXT = 1 << 20


def pixel_bytes(image: Image, itemsize: int) -> int:
    """Of all its planes, of pixels of so many bytes."""
    return image.size_t * image.size_c * image.size_z * image.height * image.width * itemsize


def is_small(conversion: Conversion) -> bool:
    """Whether an image is made in a moment, and what is known of it small. Raises CeilingError."""
    image = conversion.image
    known = len(image.planes) <= SMALL_PLANES and len(image.ome_xml or "") <= SMALL_TEXT
    return known and pixel_bytes(image, conversion.pyramid.itemsize) <= SMALL_BYTES


@dataclass(frozen=True, kw_only=True)
class Most:
    """How large a bunch becomes: what a kill may have to be made again, about what a record would lose.

    bytes    of pixels
    seconds  after which those that are made are published before the next is made
    """

    images: int = 32
    bytes: int = 256 << 20
    seconds: float = 5.0


@dataclass(kw_only=True)
class Member:
    """One image of a bunch, whose lock is `held`. `aside`: how the report knows it; `summary` or `error`: what came of it."""

    entry: Input
    conversion: Conversion
    target: Path
    tree: Brief
    held: ExitStack
    aside: Aside
    summary: Summary | None = None
    error: ProcError | None = None

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Within, what goes wrong becomes the member's error, and stops no other."""
        try:
            with typed(self.entry.path):
                yield
        except ProcError as error:
            self.error = without_frames(error)


class Together:
    """The small images of a run.

    begin  tells of an image whose turn it is
    end    takes a member of which all is known
    """

    def __init__(
        self,
        report: Report,
        begin: Callable[[Conversion, Path], None],
        end: Callable[[Member], None],
        deadline: float | None,
        most: Most | None = None,
    ) -> None:
        self.disks = Disks()
        self._report, self._begin, self._end, self._deadline = report, begin, end, deadline
        self._most = most or Most()
        self._begun: list[Member] = []
        self._made: list[Member] = []
        self._published: list[Member] = []
        self._publishing: Background | None = None

    def add(self, member: Member) -> None:
        """Take an image whose record is written."""
        self._begun.append(member)
        size = sum(pixel_bytes(one.conversion.image, one.conversion.pyramid.itemsize) for one in self._begun)
        if len(self._begun) >= self._most.images or size >= self._most.bytes:
            self._turn()

    def finish(self) -> None:
        """Make and publish all that were taken."""
        while self._begun or self._made:
            self._turn()
        self._tell()

    def close(self) -> None:
        """Let go of what an exception has left: what is made is published if the disk is fast enough, the rest another run makes anew."""
        until = time.monotonic() + STOP_SECONDS
        self._wait(until)
        if self._made and not self._publishing:
            made, self._published, self._made = self._made, self._made, []

            def publish() -> None:
                _sync(made)
                _publish(made)

            self._publishing = Background("publish", publish)
            self._wait(until)
        for member in (*self._begun, *self._made):
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
        """Publish what is made, and make what has begun; where that takes long, publish again between two images."""
        self._publish()
        begun_at = time.monotonic()
        for member in self._begun.copy():
            if time.monotonic() > begun_at + self._most.seconds:
                self._publish()
                begun_at = time.monotonic()
            self._make(member)
            self._begun.remove(member)
            self._made.append(member)

    def _publish(self) -> None:
        """Get all onto the disk, also the records of those that come; then give those that are made their names meanwhile."""
        self._tell()
        _sync((*self._begun, *self._made))
        made, self._published, self._made = self._made, self._made, []
        self._publishing = Background("publish", lambda: _publish(made))

    def _make(self, member: Member) -> None:
        tree = member.tree
        self._report.again(member.aside)
        with member.trying():
            try:
                if member.error:
                    raise member.error
                check_time(self._deadline)
                tree.stage()
            except ProcError:
                tree.close()
                tree.give_up()
                raise
            self._begin(member.conversion, member.target)
            with member.conversion.given_up(tree):
                member.summary = member.conversion.stage(member.target, tree)
        member.aside = self._report.aside()

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
