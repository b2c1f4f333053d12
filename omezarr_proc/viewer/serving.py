"""The viewer's server: one folder, or prefix of an object store, and the page, on loopback.

It knows what there is: what lies below the folder, what is made of files that are looked at, what the page lists. How a request is answered
is in answers.py. Nothing but files of datasets is given out: a file that belongs to no dataset, or a link that leads out of the folder, is
as absent as one that is not there.
"""

import os
import stat
import time
from collections.abc import Collection, Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import ProcError
from omezarr_proc.viewer.answers import LOOPBACK, Handler
from omezarr_proc.viewer.catalogue import belongs_to_dataset, dataset_format, find_datasets
from omezarr_proc.viewer.listing import file_entry, made_address, made_entry, printable, reason, stored_entry
from omezarr_proc.viewer.served import Files, Source

MOST_LISTED = 20_000  # datasets, and as many files: more than anybody reads
_REMEMBERED = 10.0  # seconds, that a prefix of an object store is a dataset or none


class ViewerServer(ThreadingHTTPServer):
    """Serves the datasets of `folder` at /data/, or at /data/`name`/ when it is itself one; `origins`: whose pages may read them too.

    live   datasets that do not lie there as files, by their paths below /data/
    files  others, of files that are opened when they are first asked for
    """

    daemon_threads = True
    request_queue_size = 128  # connections that are not taken yet: beyond it they wait for seconds

    def __init__(
        self,
        folder: Place | None,
        *,
        name: str = "",
        port: int = 0,
        origins: Collection[str] = (),
        live: Mapping[str, Source] | None = None,
        files: Files | None = None,
    ) -> None:
        """Listen on loopback; port 0 takes a free one. Raises OSError when the port is taken."""
        self.live, self.files = live or {}, files
        self.folder = folder.resolve(strict=True) if isinstance(folder, Path) else folder
        self._formats: dict[Place, tuple[float, int | None]] = {}
        self.origins = frozenset(origins)
        self.title = name or (folder.name or str(folder) if folder else "what was named")
        self.mount = f"/data/{quote(os.fsencode(name))}/" if name else "/data/"
        super().__init__((LOOPBACK, port), Handler)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about a browser that has gone away in the middle of an answer."""

    def locate(self, path: str) -> Place | None:
        """Return the file or object that a request's path names; None when it is absent, no file, of no dataset, or outside the folder.

        Whether an object is there shows when it is read.
        """
        if self.folder is None or not path.startswith(self.mount):
            return None
        parts = unquote(path.removeprefix(self.mount), errors="surrogateescape").split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts):
            return None
        if isinstance(self.folder, Address):
            return self.folder / "/".join(parts) if belongs_to_dataset(self.folder, parts, self._format) else None
        try:
            if not belongs_to_dataset(self.folder, parts):
                return None
            place = self.folder.joinpath(*parts).resolve(strict=True)
            inside = place.is_relative_to(self.folder) and stat.S_ISREG(place.stat().st_mode)
        except (OSError, RuntimeError):  # RuntimeError: links that go in circles, up to Python 3.12
            return None
        return place if inside else None

    def made(self, path: str) -> tuple[Source, str] | None:
        """Return what a request's path names of a dataset that is no files of the folder, and the key in it; None for any other path.

        Raises ProcError where the file that it is of cannot be opened.
        """
        parts = unquote(path.removeprefix("/data/"), errors="surrogateescape").split("/")
        names = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        known = self.live
        if self.files is not None and (file := next((name for name in names if name in self.files), None)):
            known = self.files.open(file).images
        name = next((name for name in names if name in known), None)
        return None if name is None else (known[name], "/".join(parts)[len(name) + 1 :])

    def _format(self, place: Place) -> int | None:
        """What `dataset_format` has said some seconds ago: a picture is hundreds of requests, and a store answers in 30 ms."""
        now = time.monotonic()
        said, found = self._formats.get(place, (-_REMEMBERED, None))
        if now - said >= _REMEMBERED:
            self._formats[place] = now, found = now, dataset_format(place)
        return found

    def listing(self) -> dict[str, Any]:
        """What the page lists."""
        found = find_datasets(self.folder, MOST_LISTED) if self.folder else []
        files = self.files.names()[:MOST_LISTED] if self.files is not None else []
        return {
            "folder": printable(self.title),
            "full": MOST_LISTED in (len(found), len(files)),
            "datasets": [
                *(stored_entry(one, self.mount, self.title) for one in found),
                *(made_entry(*one) for one in self.live.items()),
                *(file_entry(name) for name in files),
            ],
        }

    def images(self, name: str) -> dict[str, Any]:
        """The images of a file that is listed unopened, and where those are listed that they are of too; or why it cannot be opened."""
        if self.files is None or name not in self.files:
            return {"error": "there is no such file"}
        try:
            opened = self.files.open(name)
        except ProcError as error:
            return {"error": reason(error, name)}
        return {"datasets": [made_entry(*one) for one in opened.images.items()], "others": [made_address(one) for one in opened.others]}
