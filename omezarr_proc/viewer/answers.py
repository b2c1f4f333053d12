"""What the viewer's server answers to a request, in HTTP.

`/` and its scripts are the page, `/datasets.json` lists what is below the folder, `/images.json?FILE` the images of a file that is listed
unopened, `/data/...` are the files of datasets, with byte ranges (RFC 9110), made ones too. Pages of other origins can read the datasets
only where they are named (CORS, https://fetch.spec.whatwg.org/#http-cors-protocol).
"""

import json
import re
from contextlib import ExitStack
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from omezarr_proc.host.store_errors import PASSING
from omezarr_proc.model.address import Address, Place
from omezarr_proc.model.errors import ProcError
from omezarr_proc.viewer.ranges import byte_range
from omezarr_proc.viewer.served import Made, Served, served

if TYPE_CHECKING:
    from omezarr_proc.viewer.serving import ViewerServer

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


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    server: "ViewerServer"
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
