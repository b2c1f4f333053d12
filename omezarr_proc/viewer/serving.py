"""The viewer's server: one folder, or prefix of an object store, and the page, on loopback.

`/` and its scripts are the page, `/datasets.json` lists what is below the folder, `/images.json?FILE` the images of a file that is listed
unopened, `/data/...` are the files of datasets, with byte ranges (RFC 9110), made ones too. Nothing else is given out: a file that belongs
to no dataset, or a link that leads out of the folder, is as absent as one that is not there. Pages of other origins can read the datasets
only where they are named (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol).
"""

import json
import os
import re
import stat
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from omezarr_proc.host.remote import PASSING
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import ProcError
from omezarr_proc.viewer.catalogue import belongs_to_dataset, dataset_format, find_datasets
from omezarr_proc.viewer.listing import file_entry, made_address, made_entry, printable, reason, stored_entry
from omezarr_proc.viewer.ranges import byte_range
from omezarr_proc.viewer.served import Files, Made, Served, Source, served

LOOPBACK = "127.0.0.1"
SCRIPT = "text/javascript; charset=utf-8"
PAGE = {"/": ("index.html", "text/html; charset=utf-8"), "/viewer.js": ("viewer.js", SCRIPT), "/decoder.js": ("decoder.js", SCRIPT)}
JSON, BINARY, TEXT = "application/json", "application/octet-stream", "text/plain; charset=utf-8"
TYPES = {
    ".json": JSON,
    ".zattrs": JSON,
    ".zgroup": JSON,
    ".zarray": JSON,
    ".zmetadata": JSON,
    ".xml": "application/xml",
    ".png": "image/png",
}
# The page loads nothing from anywhere else.
PAGE_POLICY = (
    "default-src 'self'; style-src 'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
DATA = {
    "Content-Security-Policy": "sandbox",  # a file is data, never a page
    "Cross-Origin-Resource-Policy": "same-origin",  # nor a picture in another one
    "Vary": "Origin",
}
CORS = {
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
    "Access-Control-Allow-Headers": "Range",
    "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range",
}

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
        super().__init__((LOOPBACK, port), _Handler)

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


class _Handler(BaseHTTPRequestHandler):
    server: ViewerServer
    protocol_version = "HTTP/1.1"
    server_version = "omezarr-proc"
    sys_version = ""
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer with the page, the list or a file."""
        path, query = urlsplit(self.path)[2:4]
        if not self._host_is_loopback():
            self._answer(HTTPStatus.FORBIDDEN)
        elif path in PAGE:
            name, kind = PAGE[path]
            page = {"Content-Security-Policy": PAGE_POLICY, "Content-Type": kind}
            self._answer(HTTPStatus.OK, page, (files("omezarr_proc") / "viewer" / name).read_bytes())
        elif path == "/datasets.json":
            self._answer(HTTPStatus.OK, {"Content-Type": JSON}, json.dumps(self.server.listing()).encode())
        elif path == "/images.json":
            said = self.server.images(unquote(query, errors="surrogateescape").removeprefix("data/"))
            self._answer(HTTPStatus.OK, {"Content-Type": JSON}, json.dumps(said).encode())
        elif path.startswith("/data/") and self._send_made(path):
            return
        elif place := self.server.locate(path):
            self._send_file(place)
        else:
            self._answer(HTTPStatus.NOT_FOUND, self._data_headers())

    def do_HEAD(self) -> None:
        """Answer as GET would, without the body."""
        self.do_GET()

    def do_OPTIONS(self) -> None:
        """Answer a browser that asks whether another page may read the data (CORS preflight)."""
        headers = self._data_headers()
        allowed = self._host_is_loopback() and self.path.startswith("/data/") and "Access-Control-Allow-Origin" in headers
        self._answer(HTTPStatus.NO_CONTENT if allowed else HTTPStatus.FORBIDDEN, headers if allowed else {})

    def _host_is_loopback(self) -> bool:
        # a name that somebody's web page made point here must not read the list of datasets (DNS rebinding)
        return re.sub(r":\d*$", "", self.headers.get("Host", "")) in (LOOPBACK, "localhost")

    def _data_headers(self) -> dict[str, str]:
        origin = self.headers.get("Origin")
        return DATA | ({"Access-Control-Allow-Origin": origin} | CORS if origin in self.server.origins else {})

    def _send_file(self, place: Place) -> None:
        name, wanted = PurePath(place.name), self.headers.get("Range")
        with ExitStack() as stack:
            try:
                found = stack.enter_context(served(place, whole=self.command == "GET" and wanted is None))
            except OSError as error:  # gone since it was looked up, or not readable
                silent = isinstance(place, Address) and error.errno in PASSING
                return self._answer(HTTPStatus.BAD_GATEWAY if silent else HTTPStatus.NOT_FOUND, self._data_headers())
            self._send(found, TYPES.get(name.suffix or name.name, BINARY))
        return None

    def _send_made(self, path: str) -> bool:
        """Whether the path is that of a dataset that is no files of the folder: then it has been answered."""
        try:
            found = self.server.made(path)
            if found is None:
                return False
            source, key = found
            self._send(Made(source.get(key)), TYPES.get(PurePath(key).suffix, BINARY))
        except FileNotFoundError:
            self._answer(HTTPStatus.NOT_FOUND, self._data_headers())
        except ProcError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {**self._data_headers(), "Content-Type": TEXT}, str(error).encode())
        return True

    def _send(self, found: Served, kind: str) -> None:
        span = byte_range(self.headers.get("Range"), found.size)
        headers = {**self._data_headers(), "Accept-Ranges": "bytes", "Content-Type": kind}
        if span is None:
            return self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {**headers, "Content-Range": f"bytes */{found.size}"})
        first, length, partial = span
        headers["Content-Length"] = str(length)
        if partial:
            headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{found.size}"
        self._answer(HTTPStatus.PARTIAL_CONTENT if partial else HTTPStatus.OK, headers)
        if self.command == "GET" and length:
            found.send(self.connection, first, length)
        return None

    def _answer(self, status: HTTPStatus, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        all_headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff", **(headers or {})}
        if status is not HTTPStatus.NO_CONTENT:
            all_headers.setdefault("Content-Length", str(len(body)))
        for name, value in all_headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep the terminal free: a picture is hundreds of requests."""
