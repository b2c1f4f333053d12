"""A small image on its way through a run, with others."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from omezarr_proc.app.inputs import Input
from omezarr_proc.app.opening import typed
from omezarr_proc.app.report import Aside
from omezarr_proc.build.image import Conversion
from omezarr_proc.model.errors import ProcError, without_frames
from omezarr_proc.model.events import Summary
from omezarr_proc.publish.brief import Brief


@dataclass(eq=False, kw_only=True)
class Underway:
    """An image on its way among others.

    aside    how the report knows it
    held     what is let go of in the end: its lock
    summary, error  what came of it
    """

    entry: Input
    conversion: Conversion
    aside: Aside
    held: ExitStack = field(default_factory=ExitStack)
    summary: Summary | None = None
    error: ProcError | None = None

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Within, what goes wrong becomes its error, and stops no other."""
        try:
            with typed(self.entry.path):
                yield
        except ProcError as error:
            self.error = without_frames(error)

    def let_go(self) -> None:
        """Let go of what is held, and tell it what went wrong."""
        self.held.__exit__(type(self.error) if self.error else None, self.error, None)


@dataclass(eq=False, kw_only=True)
class Member(Underway):
    """One image of a bunch.

    begun    whether its staging folder is there
    at_work  whether somebody makes it, or will: what has gone wrong meanwhile is not all
    by_all   it is not to be made by one worker
    """

    target: Path
    tree: Brief
    begun: bool = False
    at_work: bool = False
    by_all: bool = False

    @property
    def is_made(self) -> bool:
        """Whether all is known of how it was made."""
        return bool(self.summary or self.error) and not self.at_work
