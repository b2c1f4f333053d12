"""The standard streams: what the program says on stderr may get lost, but never changes what it does.

The reader of a log can go at any time (`2>&1 | head`, a log shipper that dies, a terminal that is closed), and its disk can be full.
Results on stdout are another matter: who prints them must hear of it.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TextIO, TypeVar

from omezarr_proc.model.text import one_line

T = TypeVar("T")


class Lossy:
    """A text stream for logs: what cannot be written is lost, and no caller hears of it. All else is as `stream` has it.

    stream  stderr as it is at each call by default; None where there is none counts too
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream

    def _now(self) -> TextIO | None:
        return self._stream or sys.stderr

    def write(self, text: str) -> int:
        """Write, if it can be done; returns the number of characters as if it had been."""
        with suppress(OSError, ValueError, AttributeError):  # ValueError: python has closed it; AttributeError: there is none
            self._now().write(text)  # type: ignore[union-attr]
        return len(text)

    def flush(self) -> None:
        """Flush, if it can be done."""
        with suppress(OSError, ValueError, AttributeError):
            self._now().flush()  # type: ignore[union-attr]

    def isatty(self) -> bool:
        """Whether a terminal shows it."""
        with suppress(OSError, ValueError, AttributeError):
            return self._now().isatty()  # type: ignore[union-attr]
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._now(), name)


class Heard:
    """stdout for results that an exit status says too: a reader that has seen enough (`validate ... | head`) does not end the work."""

    def __init__(self) -> None:
        self._open = True

    def write(self, text: str) -> None:
        """Write and flush, as long as somebody reads. Raises OSError for anything but a reader that has gone."""
        if not self._open:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:
            self._open = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell_each(
    found: Iterable[T], right: Callable[[T], bool], lines: Callable[[T], Iterable[str]], as_json: Callable[[T], dict[str, Any]] | None
) -> int:
    """Print what was found of each dataset: in lines as it comes, or with `as_json` all as one JSON object.

    Returns the exit status, 0 where all are right, else 1. Raises OSError as `Heard.write` does.
    """
    out, wrong, told = Heard(), False, []
    for one in found:
        wrong = wrong or not right(one)
        if as_json:
            told.append(as_json(one))
        else:
            out.write("".join(f"{one_line(line)}\n" for line in lines(one)))
    if as_json:
        out.write(f"{json.dumps({'datasets': told}, indent=2)}\n")
    return 1 if wrong else 0


def say(text: str) -> None:
    """Write whole lines to stderr."""
    stream = Lossy()
    stream.write(text)
    stream.flush()


def open_missing() -> None:
    """Open /dev/null where descriptor 0, 1 or 2 is not open (`2>&-`), and make the streams that python has left out.

    Else the next file that is opened, a chunk or a socket, would get that number, and with it whatever is written to stderr.
    """
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free, which is fd
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace")
