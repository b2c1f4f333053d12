"""An input in an object store, read by ranges, each of which must be of the version that was opened.

What is asked for without having been planned (see `ahead`) are headers, or little: around a small range a window is fetched and kept, and
while windows follow each other they grow, so that a chain of a thousand directories side by side takes a dozen requests. Who will read most
of a small object has it with one request.
"""

import errno
import mmap
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from omezarr_proc.host.remote import ask, client
from omezarr_proc.host.store_errors import ConditionError
from omezarr_proc.model.address import Address
from omezarr_proc.model.image import FileState
from omezarr_proc.tiff.file.ahead import BLOCK, Ahead, threads
from omezarr_proc.tiff.file.bytes import Bytes

_SMALL = 64 << 10  # a range up to this size is read with what lies behind it
_WINDOW = 64 << 10
_KEPT = 4  # windows
_SMALL_OBJECT = 2 << 20


class RemoteFile(Bytes):
    """An object. Raises OSError where the store fails or the object is not any more what it was."""

    distant = True

    def __init__(self, address: str, known: FileState | None = None, *, alone: bool = False) -> None:
        """An object that is open.

        known  its state when it was opened elsewhere, to which it is held; no request is made then
        alone  whether no other object is read beside it, so that a small one may be kept as a whole
        """
        self.path = str(address)
        self._address = Address(address)
        self._client = client(self._address.root)
        self._windows: list[tuple[int, memoryview]] = []
        self._wide = _WINDOW
        self.identity = known or self._opened()
        self._ahead = Ahead(self._get)
        self._at_once = alone and self.size <= _SMALL_OBJECT
        self._whole: Future[memoryview] | None = None

    def read(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """See `Bytes`."""
        if self._at_once:
            whole = self._fetched().result()
            return [bytes(whole[offset : offset + count]) for offset, count in ranges]
        inside = [(offset, max(0, min(count, self.size - offset))) for offset, count in ranges]
        small = {one: self._near(*one) for one in inside if one[1] <= _SMALL and not self._ahead.has(*one)}
        large = iter(self._ahead.read([one for one in inside if one not in small]))
        return [small[one] if one in small else next(large) for one in inside]

    def ahead(self, ranges: Sequence[tuple[int, int]]) -> None:
        """See `Bytes`."""
        if self._at_once:
            self._fetched()
            return
        self._ahead.plan([(offset, min(count, self.size - offset)) for offset, count in ranges if 0 <= offset < self.size and count > 0])

    def mapped(self, offset: int, count: int) -> memoryview:
        """See `Bytes`; through an unlinked file of the folder for temporary ones."""
        with tempfile.TemporaryFile() as file:
            self.ahead([(offset, count)])
            for at in range(offset, offset + count, BLOCK):
                file.write(self.read([(at, min(BLOCK, offset + count - at))])[0])
            file.flush()
            return memoryview(mmap.mmap(file.fileno(), count, access=mmap.ACCESS_READ))

    def close(self) -> None:
        """See `Bytes`."""
        self._ahead.close()
        self._windows.clear()
        self._whole = None

    def _fetched(self) -> "Future[memoryview]":
        """All of it."""
        if self._whole is None:
            self._whole = threads().submit(self._get, 0, self.size)
        return self._whole

    def _near(self, offset: int, count: int) -> bytes:
        """A small range, from a window that is there or a new one."""
        if not count:
            return b""
        for start, data in self._windows:
            if start <= offset and offset + count <= start + len(data):
                return bytes(data[offset - start : offset - start + count])
        follows = any(start <= offset <= start + len(data) + _SMALL for start, data in self._windows[-1:])
        self._wide = min(2 * self._wide, BLOCK) if follows else _WINDOW
        start = max(0, min(offset, self.size - self._wide))  # directories at the end point to values that lie before them
        data = self._get(start, min(start + self._wide, self.size))
        self._windows = [*self._windows[1 - _KEPT :], (start, data)]
        return bytes(data[offset - start : offset - start + count])

    def _get(self, start: int, stop: int) -> memoryview:
        return self._request({"range": (start, stop), **self._condition()})[1]

    def _condition(self) -> dict[str, str]:
        return {"if_match": self.identity.etag} if self.identity.etag and not self.identity.etag.startswith("W/") else {}

    def _opened(self) -> FileState:
        """The object's state; with it its first window is fetched."""
        try:
            meta, data = self._request({"range": (0, _WINDOW)})
        except OSError as error:
            if error.errno != errno.ENODATA:  # of an empty object there is no range
                raise
            meta, data = self._request({"head": True})
        self._windows = [(0, data)]
        return state(self.path, meta)

    def _request(self, options: dict[str, Any]) -> tuple[Any, memoryview]:
        import obstore

        def work() -> tuple[Any, memoryview]:
            got = obstore.get(self._client, self._address.key, options=options)  # type: ignore[arg-type]
            if options.get("head"):
                return got.meta, memoryview(b"")
            return got.meta, memoryview(got.bytes())

        try:
            return ask(self._address, work)
        except ConditionError:
            raise OSError(errno.ESTALE, "it has changed since it was opened", self.path) from None


def state(path: str, meta: Any) -> FileState:
    """The identity of an object: its size and its ETag, or where a server sends none, when it was last changed."""
    etag = meta["e_tag"] or ""
    changed = 0 if etag else int(meta["last_modified"].timestamp() * 1e9)
    return FileState(path=path, size=meta["size"], mtime_ns=changed, inode=0, ctime_ns=0, etag=etag)


def identity_of(path: str) -> FileState:
    """See `bytes.identity_of`."""
    import obstore

    address = Address(path)
    return state(path, ask(address, lambda: obstore.head(client(address.root), address.key)))
