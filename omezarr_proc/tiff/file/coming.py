"""Distant inputs that are opened one after another: the next ones are opened meanwhile, many at once."""

import contextlib
from collections import OrderedDict, deque
from collections.abc import Iterable
from concurrent.futures import Future

from omezarr_proc.model.address import is_address
from omezarr_proc.model.errors import ProcError
from omezarr_proc.tiff.file.bytes import Bytes, open_bytes
from omezarr_proc.tiff.file.ifd import Ifds

_AT_ONCE = 16
_DIRECTORY = 4096  # bytes of one with its values, which come with what lies around them


class Coming:
    """Inputs by their paths, in the order in which most of them will be opened; what is near is not opened before it is wanted."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._waiting = deque(path for path in paths if is_address(path))
        self._opened: OrderedDict[str, Future[Bytes]] = OrderedDict()

    def open(self, path: str) -> Bytes:
        """See `open_bytes`."""
        self._go_on()
        if path not in self._opened:
            return open_bytes(path)
        while (first := next(iter(self._opened))) != path:  # members of sets, say, which have been opened with these
            del self._opened[first]
        opened = self._opened.pop(path)
        self._go_on()
        return opened.result()

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
