"""Work beside what the main thread does."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

QUICK_SECONDS = 0.002
MOST_AT_ONCE = 16


class Background(threading.Thread):
    """Does `work` in a thread of its own; where no thread is allowed, at once instead.

    A daemon: storage that is stuck must not keep the process from ending. `at_once`: without a thread, in which case it is over by then.
    """

    def __init__(self, name: str, work: Callable[[], None], *, at_once: bool = False) -> None:
        super().__init__(name=name, daemon=True)
        self._work = work
        self._error: BaseException | None = None
        if not at_once:
            with contextlib.suppress(RuntimeError):
                self.start()
        if self.ident is None:
            self.run()

    def run(self) -> None:
        """Do the work, and keep what went wrong."""
        try:
            self._work()
        except BaseException as error:
            self._error = error
            if self.ident is None and not isinstance(error, Exception):  # Ctrl-C in the caller's own thread
                raise

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is done, for at most so many seconds."""
        if self.ident is not None:  # was started
            self.join(timeout)

    def check(self) -> None:
        """Raise what went wrong."""
        if self._error is not None:
            raise self._error


class Beside:
    """Work of one kind, again and again: beside what the main thread does, or at once where the last took no longer than a thread does."""

    def __init__(self) -> None:
        self._quick = False

    def begin(self, name: str, work: Callable[[], None]) -> Background:
        """Have it done."""

        def timed() -> None:
            began = time.monotonic()
            work()
            self._quick = time.monotonic() - began < QUICK_SECONDS

        return Background(name, timed, at_once=self._quick)


def side_by_side(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """What each of these returns, up to MOST_AT_ONCE of them at work at a time, in threads. Raises what one of them has raised."""
    found: dict[int, Any] = {}
    todo = iter(range(len(works)))

    def work() -> None:
        for number in todo:
            found[number] = works[number]()

    threads = [Background("side by side", work) for _ in range(min(MOST_AT_ONCE, len(works)))]
    for thread in threads:
        thread.wait()
    for thread in threads:
        thread.check()
    return [found[number] for number in range(len(works))]
