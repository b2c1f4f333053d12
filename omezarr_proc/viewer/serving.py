"""The viewer's server: one folder, or prefix of an object store, and the page, on loopback.

`/` and its scripts are the page, `/datasets.json` lists what is below the folder, `/data/...` are the files of its datasets, with byte
ranges (RFC 9110), and those of datasets that are made while they are looked at. Nothing else is given out: a file that belongs to no
dataset, or a link that leads out of the folder, is as absent as one that is not there. Pages of other origins can read the datasets only
where they are named (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol).
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
from omezarr_proc.viewer.served import Made, Served, Source, served

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

_REMEMBERED = 10.0  # seconds, that a prefix of an object store is a dataset or none


class ViewerServer(ThreadingHTTPServer):
    """Serves the datasets of `folder` at /data/, or at /data/`name`/ when it is itself one; `origins`: whose pages may read them too.

    live  datasets that are made while they are looked at, by their paths below /data/
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
    ) -> None:
        """Listen on loopback; port 0 takes a free one. Raises OSError when the port is taken."""
        self.live = live or {}
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
        """Return the live dataset that a request's path names, and the key in it; None for any other path."""
        parts = unquote(path.removeprefix("/data/"), errors="surrogateescape").split("/")
        names = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        name = next((name for name in names if name in self.live), None)
        return None if name is None else (self.live[name], "/".join(parts)[len(name) + 1 :])

    def _format(self, place: Place) -> int | None:
        """What `dataset_format` has said some seconds ago: a picture is hundreds of requests, and a store answers in 30 ms."""
        now = time.monotonic()
        said, found = self._formats.get(place, (-_REMEMBERED, None))
        if now - said >= _REMEMBERED:
            self._formats[place] = now, found = now, dataset_format(place)
        return found

    def listing(self) -> dict[str, Any]:
        """Return the datasets as the page wants them: names to show, addresses relative to the page."""
        return {
            "folder": _printable(self.title),
            "datasets": [
                {
                    "name": _printable(found.path or self.title),
                    "url": (self.mount + quote(os.fsencode(found.path))).strip("/"),
                    "zarr_format": found.zarr_format,
                    "labels": [_printable(name) for name in found.labels],
                    "preview": (self.mount + quote(os.fsencode(f"{found.path}.png"))).strip("/") if found.preview else None,
                    "plate": found.plate,
                }
                for found in (find_datasets(self.folder) if self.folder else ())
            ]
            + [
                {
                    "name": _printable(name),
                    "url": f"data/{quote(os.fsencode(name))}",
                    "zarr_format": 3,
                    "labels": [],
                    "preview": None,
                    "plate": source.plate,
                    "slow": source.slow,
                }
                for name, source in self.live.items()
            ],
        }


class _Handler(BaseHTTPRequestHandler):
    server: ViewerServer
    protocol_version = "HTTP/1.1"
    server_version = "omezarr-proc"
    sys_version = ""
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Answer with the page, the list or a file."""
        path = urlsplit(self.path).path
        if not self._host_is_loopback():
            self._answer(HTTPStatus.FORBIDDEN)
        elif path in PAGE:
            name, kind = PAGE[path]
            page = {"Content-Security-Policy": PAGE_POLICY, "Content-Type": kind}
            self._answer(HTTPStatus.OK, page, (files("omezarr_proc") / "viewer" / name).read_bytes())
        elif path == "/datasets.json":
            self._answer(HTTPStatus.OK, {"Content-Type": JSON}, json.dumps(self.server.listing()).encode())
        elif made := self.server.made(path):
            self._send_made(*made)
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

    def _send_made(self, source: Source, key: str) -> None:
        try:
            data = source.get(key)
        except FileNotFoundError:
            return self._answer(HTTPStatus.NOT_FOUND, self._data_headers())
        except ProcError as error:
            return self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {**self._data_headers(), "Content-Type": TEXT}, str(error).encode())
        return self._send(Made(data), TYPES.get(PurePath(key).suffix, BINARY))

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


def byte_range(header: str | None, size: int) -> tuple[int, int, bool] | None:
    """Return (first byte, length, whether it is a part) of what a Range header asks for; None when no byte of it is there.

    As RFC 9110 allows, a header that is malformed, or asks for several ranges, is ignored: the answer is the whole file.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").strip(), re.ASCII)
    if not match or not any(match.groups()):
        return 0, size, False
    first, last = (_position(text) if text else None for text in match.groups())
    if first is None:
        length = min(last or 0, size)
        return (size - length, length, True) if length else None
    if last is not None and last < first:
        return 0, size, False
    if first >= size:
        return None
    return first, min(size - 1 if last is None else last, size - 1) - first + 1, True


def _position(digits: str) -> int:
    # Python refuses to convert thousands of digits; no file has a byte there
    return int(digits) if len(digits.lstrip("0")) < 19 and len(digits) < 4000 else 10**18


def _printable(name: str) -> str:
    return os.fsencode(name).decode(errors="replace")
