"""Work beside what the main thread does."""

import threading
from collections.abc import Callable


class Background(threading.Thread):
    """Does `work` in a thread of its own; where no thread is allowed, at once instead.

    A daemon: storage that is stuck must not keep the process from ending.
    """

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._error: BaseException | None = None
        try:
            self.start()
        except RuntimeError:
            self.run()

    def run(self) -> None:
        """Do the work, and keep what went wrong."""
        try:
            self._work()
        except BaseException as error:
            self._error = error

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is done, for at most so many seconds."""
        if self.ident is not None:  # was started
            self.join(timeout)

    def check(self) -> None:
        """Raise what went wrong."""
        if self._error is not None:
            raise self._error
