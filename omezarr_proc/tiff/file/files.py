"""The open files of an image, by path: of a set of thousands the ones used last."""

from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType

from omezarr_proc.tiff.file.budget import Budget
from omezarr_proc.tiff.file.bytes import Bytes, Opener, open_bytes
from omezarr_proc.tiff.file.ifd import Ifds


class Files:
    """At most `most` open inputs and, of those that are TIFFs, their directories.

    budget  what their directories may take; None: that of each file alone
    opener  opens an input by its path
    closed  is told the path of a file that was closed for another one: what hangs on it goes too
    """

    def __init__(
        self,
        most: int,
        budget: Budget | None = None,
        opener: Opener = open_bytes,
        closed: Callable[[str], None] | None = None,
    ) -> None:
        self._most, self._budget, self._opener, self._closed = most, budget, opener, closed
        self._open: OrderedDict[str, Bytes] = OrderedDict()
        self._ifds: dict[str, Ifds] = {}

    def __enter__(self) -> "Files":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all of them."""
        self._ifds.clear()
        while self._open:
            self._open.popitem()[1].close()

    def bytes(self, path: str) -> Bytes:
        """An open file. Raises OSError when it cannot be opened."""
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        if len(self._open) == self._most:
            old, file = self._open.popitem(last=False)
            self._ifds.pop(old, None)
            file.close()
            if self._closed:
                self._closed(old)
        opened = self._open[path] = self._opener(path)
        return opened

    def ifds(self, path: str) -> Ifds:
        """The directories of an open file. Raises OSError as `bytes`, and as `Ifds` does."""
        file = self.bytes(path)
        if path not in self._ifds:
            self._ifds[path] = Ifds(file, self._budget)
        return self._ifds[path]
