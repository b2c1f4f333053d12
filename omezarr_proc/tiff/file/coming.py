"""Distant inputs that are opened one after another: the next ones are opened meanwhile, many at once."""

import contextlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future

from omezarr_proc.model.address import is_address
from omezarr_proc.model.errors import ProcError
from omezarr_proc.tiff.file.bytes import Bytes, open_bytes
from omezarr_proc.tiff.file.ifd import Ifds

_AT_ONCE = 16
_DIRECTORY = 4096  # bytes of one with its values, which come with what lies around them


class Coming:
    """Inputs by their paths, in the order in which it will be their turn; what is near is not opened before it is wanted."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._waiting = deque(path for path in paths if is_address(path))
        self._opened: dict[str, Future[Bytes]] = {}

    def open(self, path: str) -> Bytes:
        """See `open_bytes`."""
        self._go_on()
        opened = self._opened.pop(path, None)
        self._go_on()
        return opened.result() if opened else open_bytes(path)

    def passed(self, path: str) -> None:
        """Its turn is over: whether it was opened, or skipped, as a member of a set is that came with another one."""
        self._opened.pop(path, None)

    def _go_on(self) -> None:
        while self._waiting and len(self._opened) < _AT_ONCE:
            from omezarr_proc.tiff.file.ahead import threads

            path = self._waiting.popleft()
            self._opened[path] = threads().submit(_with_first_directory, path)


def _with_first_directory(path: str) -> Bytes:
    file = open_bytes(path)
    with contextlib.suppress(ProcError, OSError):  # told by whoever reads it
        file.read([(Ifds(file).first, _DIRECTORY)])
    return file
