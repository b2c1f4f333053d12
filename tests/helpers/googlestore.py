"""A store that answers as Google Cloud Storage does (XML API), in this process, for the real client: there is no server of it to install.

What it knows is what the client asks for: objects with generations and the conditions on them, ranges, listings with prefix and delimiter.
https://cloud.google.com/storage/docs/xml-api/reference-headers
"""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

BUCKET = "bucket"


@dataclass
class Held:
    """An object: its generation is another one after each put."""

    data: bytes
    generation: int
    changed: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.data).hexdigest()}"'


class GoogleStore:
    """The objects of one bucket, by key; `conditions` counts those that did not hold."""

    def __init__(self) -> None:
        self.objects: dict[str, Held] = {}
        self.conditions = 0
        self.port = 0
        self.lock = threading.Lock()
        self._generations = 0

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs to know of it."""
        account = {"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
        return {"GOOGLE_BASE_URL": f"http://127.0.0.1:{self.port}", "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account)}

    def put(self, key: str, data: bytes, match: str | None) -> Held | None:
        """Put an object; `match`: only where this is its generation, "0": only where there is none."""
        with self.lock:
            there = self.objects.get(key)
            if match is not None and int(match) != (there.generation if there else 0):
                self.conditions += 1
                return None
            self._generations += 1
            held = self.objects[key] = Held(data, self._generations)
            return held


@contextlib.contextmanager
def google_store() -> Iterator[GoogleStore]:
    """A store that answers at a port of this machine."""
    store = GoogleStore()

    class Requests(_Requests):
        of = store

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, *request: object) -> None:
            """A client that was killed."""

    with Server(("127.0.0.1", 0), Requests) as server:
        store.port = server.server_port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield store
        server.shutdown()


class _Requests(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    of: GoogleStore

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        held = self.of.put(self._key, data, self.headers["x-goog-if-generation-match"])
        if held is None:
            self._answer(HTTPStatus.PRECONDITION_FAILED, _error("PreconditionFailed"))
        else:
            self._answer(HTTPStatus.OK, headers=_headers(held))

    def do_GET(self) -> None:
        if not self._key:
            self._answer(HTTPStatus.OK, self._listing())
            return
        held = self.of.objects.get(self._key)
        if held is None:
            self._answer(HTTPStatus.NOT_FOUND, _error("NoSuchKey"))
        elif self.headers["If-Match"] not in (None, held.etag):
            self._answer(HTTPStatus.PRECONDITION_FAILED, _error("PreconditionFailed"))
        elif asked := self.headers["Range"]:
            begin, end = re.fullmatch(r"bytes=(\d*)-(\d*)", asked).groups()  # type: ignore[union-attr]
            size = len(held.data)
            first = int(begin) if begin else max(0, size - int(end))
            last = min(int(end), size - 1) if begin and end else size - 1
            if first >= size:
                self._answer(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, _error("InvalidRange"))
                return
            place = {"Content-Range": f"bytes {first}-{last}/{size}"}
            self._answer(HTTPStatus.PARTIAL_CONTENT, held.data[first : last + 1], _headers(held) | place)
        else:
            self._answer(HTTPStatus.OK, held.data, _headers(held))

    do_HEAD = do_GET  # noqa: N815  # the name that the server calls

    def do_DELETE(self) -> None:
        gone = self.of.objects.pop(self._key, None)
        self._answer(HTTPStatus.NO_CONTENT if gone else HTTPStatus.NOT_FOUND, b"" if gone else _error("NoSuchKey"))

    def log_message(self, *message: object) -> None:
        pass

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").lstrip("/")

    def _listing(self) -> bytes:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter")
        entries, folders = [], {}
        with self.of.lock:
            for key, held in sorted(self.of.objects.items()):
                if not key.startswith(prefix):
                    continue
                inner, found, _ = key.removeprefix(prefix).partition(delimiter or "\0")
                if found:
                    folders[prefix + inner + "/"] = None
                    continue
                entries.append(
                    f"<Contents><Key>{escape(key)}</Key><Size>{len(held.data)}</Size><ETag>{escape(held.etag)}</ETag>"
                    f"<LastModified>{held.changed.isoformat().replace('+00:00', 'Z')}</LastModified></Contents>"
                )
        common = "".join(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in folders)
        return f"<ListBucketResult>{''.join(entries)}{common}</ListBucketResult>".encode()

    def _answer(self, status: HTTPStatus, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _headers(held: Held) -> dict[str, str]:
    return {
        "ETag": held.etag,
        "x-goog-generation": str(held.generation),
        "x-goog-hash": f"md5={base64.b64encode(hashlib.md5(held.data).digest()).decode()}",
        "Last-Modified": format_datetime(held.changed, usegmt=True),
    }


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code></Error>".encode()
