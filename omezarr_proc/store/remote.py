"""Objects of an object store below an address. A put is whole or not there at all, and one request: only above 64 MB several pay."""

import contextlib
import errno
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from omezarr_proc.host.remote import ask, client, exists, listed, refuse_unlistable
from omezarr_proc.host.store_errors import PASSING, ConditionError, store_error
from omezarr_proc.model.address import Address
from omezarr_proc.store.objects import Data, joined

PAGE = 1000  # keys that a store lists, or removes, with one request
_CONFLICTS = 6  # tries where the store answers 409: somebody else puts the same key at this moment
_PAUSE = 0.1


class UnconditionalError(Exception):
    """The store has no conditional puts."""


@dataclass(frozen=True)
class Version:
    """Which of the objects that were put with one key this is.

    etag        what stores hold conditions against
    generation  what Google's stores do instead; empty elsewhere
    """

    etag: str
    generation: str = ""

    @classmethod
    def of(cls, said: Any) -> "Version":
        """That of what a store has said of an object."""
        return cls(said["e_tag"] or "", said.get("version") or "")

    @property
    def condition(self) -> dict[str, str]:
        """That of a put in its place."""
        return {"e_tag": self.etag} | ({"version": self.generation} if self.generation else {})


@dataclass(frozen=True)
class Bucket:
    """The objects below `root`. Values of it travel to workers; each process makes its own client when it first asks."""

    root: Address
    apart: ClassVar[bool] = True

    def __str__(self) -> str:
        return str(self.root)

    def put(self, key: str, data: Data, *, atomic: bool = False) -> None:
        """See `Objects`."""
        try:
            self._put(key, joined(data))
        except OSError as error:
            raise store_error("cannot write", error, self.root / key) from error

    def get(self, key: str) -> bytes:
        """See `Objects`."""
        return self.read(key)[0]

    def read(self, key: str) -> tuple[bytes, Version]:
        """An object and which one it is. Raises as `get`."""
        import obstore

        def work() -> tuple[bytes, Version]:
            got = obstore.get(client(self.root.root), self._key(key))
            return bytes(got.bytes()), Version.of(got.meta)

        return ask(self.root / key, work)

    def part(self, key: str, start: int, count: int) -> tuple[bytes, int]:
        """See `Objects`."""
        import obstore

        if start < 0 and self.root.scheme == "az":  # which knows no ranges from the end
            start = max(0, start + self.size(key))
        wanted = {"range": (start, start + count) if start >= 0 else {"suffix": -start}}

        def work() -> tuple[bytes, int]:
            got = obstore.get(client(self.root.root), self._key(key), options=wanted)  # type: ignore[arg-type]
            return bytes(got.bytes())[:count], got.meta["size"]

        return ask(self.root / key, work)

    def size(self, key: str) -> int:
        """See `Objects`."""
        return int(self._head(key)["size"])

    def exists(self, key: str) -> bool:
        """See `Objects`."""
        return exists(self.root / key)

    def changed(self, key: str) -> float:
        """When an object was put, in seconds since 1970 by the store's clock. Raises as `get`."""
        return float(self._head(key)["last_modified"].timestamp())

    def keys(self, prefix: str = "") -> Iterator[str]:
        """See `Objects`."""
        for key, _ in self.sizes(prefix):
            yield key

    def names(self, folder: str = "") -> tuple[list[str], list[str]]:
        """See `Objects`."""
        folders, objects = listed(self.root / folder)
        return [address.name for address in folders], [name for name, _ in objects]

    def sizes(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """See `Objects`; what lies on a web server cannot be listed."""
        return ((key, entry["size"]) for key, entry in self._entries(prefix))

    def latest(self, prefix: str = "") -> float:
        """When the last of these objects was put, as `changed`; 0 where there is none. Raises OSError."""
        return max((float(entry["last_modified"].timestamp()) for _, entry in self._entries(prefix)), default=0.0)

    def _entries(self, prefix: str) -> Iterator[tuple[str, Any]]:
        import obstore

        refuse_unlistable(self.root)
        folder, begin = prefix.rpartition("/")[0], len(self.root.key) + 1 if self.root.key else 0
        last: str | None = None
        found: Iterator[Sequence[Any]] = iter(())

        def listing() -> Iterator[Sequence[Any]]:
            return iter(obstore.list(client(self.root.root), self._key(folder) or None, offset=last, chunk_size=PAGE))

        def page() -> Sequence[Any] | None:
            nonlocal found
            try:
                return next(found, None)
            except Exception:
                found = listing()  # one that has failed would seem to be at its end
                raise

        found = listing()
        while entries := ask(self.root, page):
            last = entries[-1]["path"]
            for entry in entries:
                if (key := entry["path"][begin:]).startswith(prefix):
                    yield key, entry

    def delete(self, key: str) -> None:
        """See `Objects`."""
        self.delete_all([key])

    def delete_all(self, keys: Sequence[str]) -> None:
        """Remove objects, many at a time; those that are not there are no error. Raises OSError."""
        import obstore

        def delete(paths: Sequence[str]) -> None:
            ask(self.root, lambda: obstore.delete(client(self.root.root), paths))

        paths = [self._key(key) for key in keys]
        for begin in range(0, len(paths), PAGE):
            some = paths[begin : begin + PAGE]
            try:
                delete(some)
            except FileNotFoundError:  # as Google's and Azure's stores say, and the others may still be there
                for path in some:
                    with contextlib.suppress(FileNotFoundError):
                        delete([path])

    def create(self, key: str, data: bytes) -> Version | None:
        """Put an object where there is none; which one it is, or None where there is one already.

        Raises OSError, UnconditionalError where the store cannot do that.
        """
        return self._put_if(key, data, "create")

    def replace(self, key: str, data: bytes, version: Version) -> Version | None:
        """Put an object in the place of this one; the new one, or None where there is another. Raises as `create`."""
        return self._put_if(key, data, version.condition)

    def _put_if(self, key: str, data: bytes, mode: Any) -> Version | None:
        for patient in (False, True):  # a store that does not know conditions answers as one does that is overloaded
            try:
                return self._put(key, data, mode, patient=patient)
            except (ConditionError, FileNotFoundError):
                return self._own(key, data)  # a put that was tried again finds what it has put itself
            except OSError as error:
                if error.errno == errno.ENOSYS:
                    raise UnconditionalError from None
                if patient or error.errno not in PASSING:
                    raise
        raise AssertionError

    def _own(self, key: str, data: bytes) -> Version | None:
        try:
            there, version = self.read(key)
        except FileNotFoundError:
            return None
        return version if there == data else None

    def _put(self, key: str, data: bytes, mode: Any = "overwrite", *, patient: bool = True) -> Version:
        import obstore
        from obstore.exceptions import NotSupportedError

        def work() -> Version:
            try:
                store = client(self.root.root, patient=patient)
                put = obstore.put(store, self._key(key), data, mode=mode, use_multipart=len(data) > 64 << 20)
            except NotSupportedError:
                raise UnconditionalError from None
            return Version.of(put)

        for attempt in range(_CONFLICTS):
            try:
                return ask(self.root / key, work)
            except OSError as error:
                if error.errno != errno.EBUSY or attempt == _CONFLICTS - 1:
                    raise
            time.sleep(_PAUSE * 2**attempt)
        raise AssertionError

    def _head(self, key: str) -> Any:
        import obstore

        return ask(self.root / key, lambda: obstore.head(client(self.root.root), self._key(key)))

    def _key(self, key: str) -> str:
        return "/".join(part for part in (self.root.key, key) if part)


def read_json(bucket: Bucket, key: str) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read. Raises OSError where that cannot be found out."""
    try:
        found = json.loads(bucket.get(key))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
