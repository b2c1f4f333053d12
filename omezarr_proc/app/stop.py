"""SIGTERM and Ctrl-C: out in good order, and out all the same where storage does not let that come to an end."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from types import FrameType
from typing import Any

from omezarr_proc.config.secret import Mask
from omezarr_proc.config.settings import Settings
from omezarr_proc.model.errors import Exit

STOP_SECONDS = 2.5  # for the orderly way out after a signal
STOPPED = {Exit.INTERRUPTED: "interrupted", Exit.TERMINATED: "stopped by SIGTERM"}
GOES_ON = "; what is finished is kept: the same command goes on from there"  # said of a conversion
CODES = {Exit.INTERRUPTED: "interrupted", Exit.TERMINATED: "terminated"}


class Terminated(SystemExit):
    """SIGTERM, raised in the main thread so that every `finally` and `with` on the way out does its work."""


class Stop:
    """Cuts the way out short where it is stuck; `line` makes the last line of the run, of the exit status and of what happened."""

    def __init__(self, line: Callable[[Exit, str], str]) -> None:
        self.line = line
        self._timer: threading.Timer | None = None

    @property
    def begun(self) -> bool:
        """Whether a signal has come."""
        return self._timer is not None

    def begin(self, status: Exit) -> None:
        """Leave after STOP_SECONDS if nothing else does: what is finished is on record at any time, and no worker outlives this process."""
        self._timer = threading.Timer(STOP_SECONDS, self.now, [status])
        self._timer.daemon = True
        with suppress(RuntimeError):  # no thread is allowed
            self._timer.start()

    def now(self, status: Exit) -> None:
        """Leave. Takes no lock, of the log neither: the main thread can be stuck while it holds one."""
        with suppress(OSError):
            os.write(2, self.line(status, f"{STOPPED[status]}; storage does not answer, so the end is not on record").encode())
        os._exit(status)

    def end(self) -> None:
        """The orderly way out has come to its end."""
        if self._timer:
            self._timer.cancel()


def json_line(settings: Settings) -> Callable[[Exit, str], str]:
    """What makes the last line of a run whose log is JSON, before there is that log or without it."""
    ids: dict[str, str] = Mask(settings.secrets()).values(settings.ids())

    def line(status: Exit, text: str) -> str:
        entry = json_entry(datetime.now().astimezone(), "ERROR", "error", text, ids)
        return json.dumps(entry | {"code": CODES[status], "status": status}) + "\n"

    return line


def json_entry(time: datetime, level: str, event: str, message: str, ids: Mapping[str, str]) -> dict[str, Any]:
    """What every line of a JSON log has."""
    return {"time": time.isoformat(), "level": level, "event": event, "message": message, **ids}


@contextmanager
def signals_raise(stop: Stop) -> Iterator[None]:
    """Within, SIGTERM raises Terminated and SIGINT KeyboardInterrupt in the main thread, once; from then on both are ignored.

    Without a handler process 1 would ignore SIGTERM. A way out that is stuck (in storage, in a callback that swallowed the exception) is
    cut short by `stop`.
    """

    def raise_once(signum: int, frame: FrameType | None) -> None:
        if stop.begun:
            return  # a second one must not break the orderly way out
        status = Exit.TERMINATED if signum == signal.SIGTERM else Exit.INTERRUPTED
        stop.begin(status)
        raise Terminated(status) if signum == signal.SIGTERM else KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [signal.SIGTERM] if signal.getsignal(signal.SIGINT) == signal.SIG_IGN else [signal.SIGTERM, signal.SIGINT]
    before = {number: signal.signal(number, raise_once) for number in caught}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if stop.begun else handler)  # what is left is the interpreter's own end
        stop.end()
